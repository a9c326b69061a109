//! What the tests that need root, the demo and the benchmark share.

pub mod frames;
pub mod generator;
pub mod netns;
pub mod process;
pub mod topology;
