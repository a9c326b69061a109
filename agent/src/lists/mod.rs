//! The lists: who passes at once, and who is dropped.

mod prefix;

pub use prefix::{PrefixError, parse_prefix, printable};
