//! stopbank's agent: loads policy into the XDP program that protects this host, keeps the lists, exports metrics, and
//! takes the operator's commands.

pub mod config;
pub mod datapath;
pub mod lists;
pub mod object;
