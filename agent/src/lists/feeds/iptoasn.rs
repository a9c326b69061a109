//! iptoasn.com's tables: first address, last address, number of the autonomous system, country, name.

use std::net::{IpAddr, Ipv4Addr};

use super::{FeedError, Parsed, Wanted, add, lines, range, sane, shown};

pub(super) fn parse(bytes: &[u8], wanted: &Wanted) -> Result<Parsed, FeedError> {
    let mut parsed = Parsed::default();
    for line in lines(bytes) {
        let (number, line) = line?;
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |why: String| FeedError::at(number, why);
        let mut fields = line.split('\t');
        let mut field = || fields.next().map(str::trim);
        let (Some(first), Some(last), Some(asn), Some(country)) = (field(), field(), field(), field()) else {
            return Err(wrong("it has fewer than four columns between tabs".to_owned()));
        };
        let asn = match asn.trim_start_matches("AS").parse::<u32>() {
            Ok(asn) => Some(asn).filter(|asn| *asn != 0),
            Err(_) => return Err(wrong(format!("`{}` is no number of an autonomous system", shown(asn)))),
        };
        let (first, last) = (address(first).map_err(wrong)?, address(last).map_err(wrong)?);
        let Some(prefixes) = range::prefixes(first, last) else {
            return Err(wrong(format!("{first} to {last} is no range of addresses")));
        };
        if !wanted.takes(Some(country), asn) {
            parsed.skipped += 1;
            continue;
        }
        for net in prefixes {
            add(&mut parsed, sane(net).map_err(wrong)?, wanted)?;
        }
    }
    Ok(parsed)
}

/// Dotted, or as a number.
fn address(text: &str) -> Result<IpAddr, String> {
    let number = || text.parse::<u32>().ok().map(|number| IpAddr::V4(Ipv4Addr::from(number)));
    text.parse().ok().or_else(number).ok_or_else(|| format!("`{}` is no address", shown(text)))
}
