//! List files: what they say, and how it becomes what the kernel reads.
//!
//! Each format has its parser, a file each. All are bounded in what they read and keep, and take a file as a whole or not
//! at all: one line that cannot be understood says that something went wrong with the file, and half a list is worse than
//! yesterday's.

mod copies;
mod crowdsec;
mod files;
mod format;
mod iptoasn;
mod mmdb;
mod paint;
mod plain;
mod range;
mod set;
mod spamhaus;

use std::time::{Duration, SystemTime};

use ipnet::IpNet;
use stopbank_common::list::{VERDICT_ALLOW, VERDICT_DENY};

pub use copies::{Content, ContentRef, Copies, CopyError};
pub use files::{Files, Loaded, ReadError, Stamp, read, wait_until_steady};
pub use format::Format;
pub use paint::{Painted, leaves, paint, word_at};
pub use set::{Bits, Filed, PrefixSet};

use super::{PrefixError, parse_prefix, printable};
use crate::config::{ListAction, ListFile};

/// Largest file, in bytes.
pub const LARGEST: u64 = 256 << 20;
/// Longest line, in bytes.
pub const LONGEST_LINE: usize = 4096;
/// Prefixes that one file may have.
pub const MOST: usize = 4_000_000;

/// Why a file is not taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}{message}", .line.map(|line| format!("line {line}: ")).unwrap_or_default())]
pub struct FeedError {
    /// The line, from 1, where the format has lines.
    pub line: Option<usize>,
    /// What is wrong with it.
    pub message: String,
}

impl FeedError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { line: None, message: message.into() }
    }

    pub(super) fn at(line: usize, message: impl Into<String>) -> Self {
        Self { line: Some(line), message: message.into() }
    }
}

/// What a file says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Parsed {
    /// Its prefixes.
    pub set: PrefixSet,
    /// Entries that say nothing to this list: another kind, another country, expired.
    pub skipped: usize,
    /// When the first of its entries expires.
    pub expires: Option<SystemTime>,
}

/// What is taken of a file.
#[derive(Clone, Debug)]
pub struct Wanted {
    verdict: u8,
    /// ISO 3166 codes, upper case.
    countries: Vec<String>,
    asns: Vec<u32>,
    /// When the file was written: times in it count from then.
    written: SystemTime,
    now: SystemTime,
}

impl Wanted {
    /// By the configuration.
    pub fn by(list: &ListFile, written: SystemTime, now: SystemTime) -> Self {
        let verdict = match list.action {
            ListAction::Allow => VERDICT_ALLOW,
            ListAction::Deny => VERDICT_DENY,
        };
        Self { verdict, countries: list.countries.clone(), asns: list.asns.clone(), written, now }
    }

    /// Whether a network of this country and autonomous system is wanted.
    fn takes(&self, country: Option<&str>, asn: Option<u32>) -> bool {
        country
            .is_some_and(|country| self.countries.iter().any(|wanted| wanted.eq_ignore_ascii_case(country)))
            || asn.is_some_and(|asn| self.asns.contains(&asn))
    }

    /// Whether anything is chosen at all.
    fn chooses(&self) -> bool {
        !self.countries.is_empty() || !self.asns.is_empty()
    }

    /// When something ends that was given so long at the time of writing; `None` if that is over.
    fn end(&self, left: Duration) -> Option<SystemTime> {
        self.written.checked_add(left).filter(|end| *end > self.now)
    }
}

/// Reads a file's bytes.
///
/// # Errors
///
/// [`FeedError`], naming the line.
pub fn parse(bytes: &[u8], format: Format, wanted: &Wanted) -> Result<(Parsed, Format), FeedError> {
    let format = if format == Format::Auto { Format::detect(bytes)? } else { format };
    if format.chooses() != wanted.chooses() {
        return Err(FeedError::new(if format.chooses() {
            format!(
                "a {} file needs `countries` or `asns`, or all of the internet would be on the list",
                format.name()
            )
        } else {
            format!("`countries` and `asns` say nothing of a {} file", format.name())
        }));
    }
    let mut parsed = match format {
        Format::Auto | Format::Plain => plain::parse(bytes, wanted),
        Format::SpamhausJson => spamhaus::parse(bytes, wanted),
        Format::CrowdsecJson => crowdsec::json(bytes, wanted),
        Format::CrowdsecCsv => crowdsec::csv(bytes, wanted),
        Format::IpToAsn => iptoasn::parse(bytes, wanted),
        Format::Mmdb => mmdb::parse(bytes, wanted),
    }?;
    parsed.set.finish();
    Ok((parsed, format))
}

/// Lines with their numbers, without line ends and what surrounds them; each bounded, UTF-8.
fn lines(bytes: &[u8]) -> impl Iterator<Item = Result<(usize, &str), FeedError>> {
    // A byte order mark, as some exporters write it.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    bytes.split(|byte| *byte == b'\n').enumerate().map(|(i, line)| {
        if line.len() > LONGEST_LINE {
            return Err(FeedError::at(i + 1, format!("it is longer than {LONGEST_LINE} bytes")));
        }
        match std::str::from_utf8(line) {
            Ok(text) => Ok((i + 1, text.trim())),
            Err(_) => Err(FeedError::at(i + 1, "it is not UTF-8")),
        }
    })
}

/// An address or a prefix, which may not stand for most of the internet: a file that says so was not meant.
fn prefix(text: &str) -> Result<IpNet, String> {
    let net = match parse_prefix(text) {
        Ok(net) => net,
        // Bogon lists have such; the index keeps families apart.
        Err(PrefixError::BothFamilies(_)) => text.trim().parse().map_err(|_| "it is no prefix".to_owned())?,
        Err(error) => return Err(error.to_string()),
    };
    sane(net)
}

fn sane(net: IpNet) -> Result<IpNet, String> {
    let net = match net {
        // IPv4 in IPv6's clothes, as a range or a database may have it.
        IpNet::V6(v6) if v6.prefix_len() >= 96 => match v6.network().to_ipv4_mapped() {
            Some(v4) => ipnet::Ipv4Net::new_assert(v4, v6.prefix_len() - 96).into(),
            None => net,
        },
        _ => net,
    };
    let everything = match net {
        IpNet::V4(v4) => v4.prefix_len() < 3,
        IpNet::V6(v6) => {
            v6.contains(&std::net::Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0)) && v6.prefix_len() <= 3
        }
    };
    if everything {
        Err(format!("{net} is most of the internet, which no list of sources is"))
    } else {
        Ok(net)
    }
}

/// Adds a prefix, unless there are too many.
fn add(parsed: &mut Parsed, net: IpNet, wanted: &Wanted) -> Result<(), FeedError> {
    if parsed.set.len() >= MOST {
        return Err(FeedError::new(format!("it has more than {MOST} prefixes")));
    }
    parsed.set.push(net, wanted.verdict);
    Ok(())
}

/// Text of a file for a message.
fn shown(text: &str) -> String {
    printable(text, 60)
}

#[cfg(test)]
#[path = "hostile_tests.rs"]
mod hostile_tests;
#[cfg(test)]
#[path = "tests.rs"]
mod tests;
