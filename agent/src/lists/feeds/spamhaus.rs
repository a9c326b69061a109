//! Spamhaus's DROP as JSON: an object a line, the last of which describes the file.

use serde::Deserialize;

use super::{FeedError, Parsed, Wanted, add, lines, prefix};

#[derive(Deserialize)]
struct Line {
    cidr: Option<String>,
    /// `metadata` for the last line.
    r#type: Option<String>,
    records: Option<usize>,
}

pub(super) fn parse(bytes: &[u8], wanted: &Wanted) -> Result<Parsed, FeedError> {
    let mut parsed = Parsed::default();
    let mut objects = 0;
    for line in lines(bytes) {
        let (number, text) = line?;
        if text.is_empty() {
            continue;
        }
        let line: Line = serde_json::from_str(text)
            .map_err(|error| FeedError::at(number, format!("it is no object of this format: {error}")))?;
        match (line.cidr, line.r#type.as_deref()) {
            (Some(cidr), _) => {
                objects += 1;
                add(&mut parsed, prefix(&cidr).map_err(|why| FeedError::at(number, why))?, wanted)?;
            }
            (None, Some("metadata")) => {
                if let Some(records) = line.records.filter(|records| *records != objects) {
                    return Err(FeedError::at(
                        number,
                        format!(
                            "the file says that it has {records} records, but {objects} are there: it was cut"
                        ),
                    ));
                }
            }
            (None, _) => return Err(FeedError::at(number, "it has no `cidr`")),
        }
    }
    Ok(parsed)
}
