//! What the tests that need root, the demo and the benchmark share.

pub mod agent;
pub mod captures;
pub mod client;
pub mod cpu;
pub mod curl;
pub mod demo;
pub mod earlier;
pub mod frames;
pub mod gaps;
pub mod generator;
pub mod http;
pub mod interrupt;
pub mod netns;
pub mod nginx;
pub mod pcap;
pub mod process;
pub mod promql;
pub mod pty;
pub mod scratch;
pub mod skip;
pub mod topology;
