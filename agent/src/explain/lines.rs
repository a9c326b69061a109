//! Where in a list file a prefix stands. What is in force of a file is a sorted set that knows no lines, so the file is read again.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::{Duration, Instant},
};

use ipnet::IpNet;

use crate::lists::{feeds::Format, parse_prefix};

/// Whoever asks does not wait longer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Lines between two looks at the clock.
const LOOK: usize = 1 << 14;
/// Longest line that is looked at, in bytes.
const LONGEST: u64 = 4096;

/// Numbers, from 1, of the lines that the prefixes stand in, in the order of `prefixes`; all in one reading. Nothing where the
/// format has no lines of its own, or a prefix is not found in time.
///
/// # Errors
///
/// When the file cannot be read.
pub fn find(path: &Path, format: Format, prefixes: &[IpNet]) -> io::Result<Vec<Option<usize>>> {
    let mut found = vec![None; prefixes.len()];
    if !matches!(format, Format::Plain | Format::SpamhausJson | Format::CrowdsecCsv) {
        return Ok(found);
    }
    let needles: Vec<String> = prefixes.iter().map(|prefix| prefix.network().to_string()).collect();
    // Not waited for, as for a FIFO's writer.
    let file: File = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let (mut reader, mut line, begin) = (BufReader::new(file), Vec::new(), Instant::now());
    for number in 1.. {
        line.clear();
        if (&mut reader).take(LONGEST).read_until(b'\n', &mut line)? == 0
            || (number % LOOK == 0 && begin.elapsed() > PATIENCE)
        {
            break;
        }
        let Ok(text) = std::str::from_utf8(&line) else { continue };
        for ((prefix, needle), place) in prefixes.iter().zip(&needles).zip(&mut found) {
            if place.is_none() && names(text, format, prefix, needle) {
                *place = Some(number);
            }
        }
        if found.iter().all(Option::is_some) {
            break;
        }
    }
    Ok(found)
}

/// Whether a line names the prefix. What is written otherwise than as usual (`2001:DB8::0/32`) is read where the format is plain.
fn names(line: &str, format: Format, prefix: &IpNet, needle: &str) -> bool {
    if format == Format::Plain {
        let text = line.split(['#', ';']).next().unwrap_or_default().trim();
        let may_be = text.starts_with(needle) || text.contains(':');
        return may_be && parse_prefix(text).is_ok_and(|found| found == *prefix);
    }
    let word = |c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '/'));
    line.split(word)
        .any(|text| text.starts_with(needle) && parse_prefix(text).is_ok_and(|found| found == *prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_from_one_and_comments_are_lines_too() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list");
        std::fs::write(&path, "# 192.0.2.7\n192.0.2.70\n192.0.2.7 ; why\n2001:DB8:0::/32\n198.51.100.0/24\n")
            .unwrap();
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let prefixes = [net("192.0.2.7/32"), net("2001:db8::/32"), net("198.51.100.0/24"), net("10.0.0.0/8")];
        let found = find(&path, Format::Plain, &prefixes).unwrap();
        assert_eq!(found, [Some(3), Some(4), Some(5), None]);
        std::fs::write(&path, "{\"cidr\":\"1.10.16.0/20\",\"sblid\":\"SBL256894\"}\n").unwrap();
        assert_eq!(find(&path, Format::SpamhausJson, &[net("1.10.16.0/20")]).unwrap(), [Some(1)]);
        assert_eq!(find(&path, Format::Mmdb, &[net("1.10.16.0/20")]).unwrap(), [None]);
    }
}
