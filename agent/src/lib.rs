//! The agent.

pub mod datapath;
pub mod object;
