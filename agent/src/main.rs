//! stopbank.
fn main() {}
