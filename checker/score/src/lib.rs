//! What measurements of the checker have in common: the servers it is measured beside.
#![forbid(unsafe_code)]

pub mod nginx;
