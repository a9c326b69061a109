//! The lines of both files: `<checksum> [<number>,{…}]`, a CRC-32 in hexadecimal and JSON, so that they can be read at three
//! in the morning, and a damaged one costs no other.

use std::{
    io::{self, BufRead, Read as _, Write as _},
    time::{Duration, SystemTime},
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Event, LAST, event::NAMED, milliseconds, time_of};
use crate::lists::{Item, LONGEST_REASON, LONGEST_TIME, ListName, Origin, parse_prefix};

/// The first line, with the version of all that follows.
pub(super) const MAGIC: &[u8] = b"stopbank lists 1\n";
/// What that line begins with in any version.
const MAGIC_OF_ANY: &[u8] = b"stopbank lists ";
/// Longest line; what is longer is no line of ours.
const LONGEST: u64 = 1 << 20;
/// Numbers below this are counted up from 1; none of ours comes near.
const HIGHEST: u64 = 1 << 62;
/// Most prefixes in a line.
pub(super) const PREFIXES: usize = 256;

/// What is kept of an entry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// When it was made, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added: Option<u64>,
    /// When it ends, in milliseconds since 1970; never, if it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who made it.
    pub origin: Origin,
}

impl Kept {
    /// Of an entry.
    pub fn of(item: &Item) -> Self {
        Self {
            added: item.added.map(milliseconds),
            until: item.until.map(milliseconds),
            reason: item.reason.clone(),
            origin: item.origin,
        }
    }

    /// The entry, now. Its time goes by the wall clock, but is never longer than it was when the entry was made: a host that has
    /// forgotten the time holds nobody for years.
    pub fn item(self, now: SystemTime, now_ns: u64) -> Item {
        let left = |until: u64| {
            let whole = self.added.map_or(u64::MAX, |added| until.saturating_sub(added));
            let left = Duration::from_millis(until.saturating_sub(milliseconds(now)).min(whole));
            now_ns.saturating_add(left.min(LONGEST_TIME).as_nanos() as u64)
        };
        Item {
            expires_ns: self.until.map(left),
            until: self.until.map(time_of),
            added: self.added.map(time_of),
            reason: self.reason,
            origin: self.origin,
        }
    }
}

/// A line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Line {
    /// These are on a list, in the place of what it had for the same prefixes.
    Add {
        /// The list.
        list: ListName,
        /// What is known of each.
        entry: Kept,
        /// At most 256.
        prefixes: Vec<IpNet>,
    },
    /// These are on a list no more.
    Remove {
        /// The list.
        list: ListName,
        /// At most 256.
        prefixes: Vec<IpNet>,
    },
    /// Something was done.
    Event(Event),
    /// The last line of a snapshot.
    End {
        /// Lines before it.
        lines: u64,
    },
}

impl Line {
    /// Whether an agent could have written it. The checksum is against accidents; what would do harm is refused all the same.
    fn is_sane(&self) -> bool {
        let prefixes = |prefixes: &[IpNet], most| {
            prefixes.len() <= most
                && prefixes.iter().all(|prefix| parse_prefix(&prefix.to_string()).as_ref() == Ok(prefix))
        };
        let reason = |reason: &Option<String>| reason.as_deref().is_none_or(is_reason);
        let time = |time: Option<u64>| time.is_none_or(|time| time <= LAST);
        match self {
            Self::Add { list, entry, prefixes: which } => {
                *list != ListName::Deny
                    && entry.origin != Origin::Configuration
                    && time(entry.added)
                    && time(entry.until)
                    && reason(&entry.reason)
                    && prefixes(which, PREFIXES)
            }
            Self::Remove { list, prefixes: which } => *list != ListName::Deny && prefixes(which, PREFIXES),
            Self::Event(event) => {
                time(Some(event.at))
                    && time(event.until)
                    && reason(&event.reason)
                    && prefixes(&event.prefixes, NAMED)
                    && event.prefixes.len() as u64 <= event.count
            }
            Self::End { .. } => true,
        }
    }
}

/// Whether an operator may say this for a reason.
fn is_reason(text: &str) -> bool {
    text.chars().count() <= LONGEST_REASON && !text.chars().any(char::is_control)
}

/// Appends a line to `out`.
pub fn encode(out: &mut Vec<u8>, number: u64, line: &Line) {
    let begin = out.len();
    out.extend_from_slice(b"00000000 ");
    let text = out.len();
    // Neither a map with odd keys nor a number that JSON has not: it cannot fail, and memory takes what is written.
    if serde_json::to_writer(&mut *out, &(number, line)).is_err() {
        out.truncate(begin);
        return;
    }
    let sum = crc32fast::hash(&out[text..]);
    let _ = write!(&mut out[begin..text], "{sum:08x}");
    out.push(b'\n');
}

/// What was found in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// Lines that are as they were written.
    pub good: u64,
    /// Lines that are not.
    pub bad: u64,
    /// The first of those, from 1.
    pub first_bad: Option<u64>,
    /// The highest number of a good line.
    pub last: u64,
    /// It has the end of a snapshot, and all that is to come before it.
    pub whole: bool,
    /// It ends in the middle of a line, as after a crash.
    pub cut: bool,
    /// Another version of stopbank wrote it; nothing more has been read.
    pub foreign: bool,
}

/// Reads the lines of a file that are as they were written, and hands each to `take` with its number. Takes no more memory than the
/// longest line there may be.
///
/// # Errors
///
/// What the system says.
pub fn read(input: &mut impl BufRead, mut take: impl FnMut(u64, Line)) -> io::Result<Found> {
    let (mut found, mut text, mut place) = (Found::default(), Vec::new(), 0);
    loop {
        text.clear();
        let length = input.by_ref().take(LONGEST).read_until(b'\n', &mut text)?;
        if length == 0 {
            break;
        }
        place += 1;
        if place == 1 {
            if text == MAGIC {
                continue;
            }
            if text.starts_with(MAGIC_OF_ANY) && text.ends_with(b"\n") && version(&text).is_some() {
                found.foreign = true;
                return Ok(found);
            }
        }
        found.cut = text.last() != Some(&b'\n') && skip_line(input, length as u64 == LONGEST)?;
        if found.cut {
            break;
        }
        match decode(&text) {
            Some((number, Line::End { lines })) => {
                found.whole = lines == found.good;
                found.good += 1;
                found.last = found.last.max(number);
            }
            Some((number, line)) => {
                found.whole = false;
                found.good += 1;
                found.last = found.last.max(number);
                take(number, line);
            }
            None => {
                found.bad += 1;
                found.first_bad.get_or_insert(place);
            }
        }
    }
    found.whole &= !found.cut && found.bad == 0;
    Ok(found)
}

/// Another version than ours, where it is one.
fn version(line: &[u8]) -> Option<u32> {
    std::str::from_utf8(&line[MAGIC_OF_ANY.len()..]).ok()?.trim_end().parse().ok()
}

/// Reads on to the end of a line that is `longer` than any of ours; whether the file ends first.
fn skip_line(input: &mut impl BufRead, longer: bool) -> io::Result<bool> {
    if !longer {
        return Ok(true);
    }
    let mut rest = Vec::new();
    loop {
        rest.clear();
        if input.by_ref().take(LONGEST).read_until(b'\n', &mut rest)? == 0 {
            return Ok(true);
        }
        if rest.last() == Some(&b'\n') {
            return Ok(false);
        }
    }
}

fn decode(text: &[u8]) -> Option<(u64, Line)> {
    let text = text.strip_suffix(b"\n")?;
    let (sum, json) = text.split_at_checked(9)?;
    let sum = std::str::from_utf8(sum.strip_suffix(b" ")?).ok()?;
    // Written in one way only.
    let expected = format!("{:08x}", crc32fast::hash(json));
    if sum != expected {
        return None;
    }
    serde_json::from_slice::<(u64, Line)>(json)
        .ok()
        .filter(|(number, line)| *number < HIGHEST && line.is_sane())
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
