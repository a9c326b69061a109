//! An address or a prefix a line.

use super::{FeedError, Parsed, Wanted, add, lines, prefix};

pub(super) fn parse(bytes: &[u8], wanted: &Wanted) -> Result<Parsed, FeedError> {
    let mut parsed = Parsed::default();
    for line in lines(bytes) {
        let (number, line) = line?;
        let text = line.split(['#', ';']).next().unwrap_or_default().trim();
        if !text.is_empty() {
            add(&mut parsed, prefix(text).map_err(|why| FeedError::at(number, why))?, wanted)?;
        }
    }
    Ok(parsed)
}
