//! What the tests that need root, the demo and the benchmark share.

pub mod client;
pub mod cpu;
pub mod frames;
pub mod generator;
pub mod netns;
pub mod nginx;
pub mod process;
pub mod scratch;
pub mod topology;
