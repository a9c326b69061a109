//! What the tests that need root, the demo and the benchmark share.

pub mod frames;
