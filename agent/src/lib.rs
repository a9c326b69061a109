//! stopbank's agent: loads policy into the XDP program that protects this host, keeps the lists, exports metrics, and
//! takes the operator's commands.
//!
//! [`cli`] reads the command line; [`daemon`] is `stopbank run`, which starts an [`engine`] and puts it behind the
//! [`control`] socket and [`metrics`]; the [`datapath`] is the kernel's side of it.

#![deny(unsafe_code)]

pub mod capture;
pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
#[expect(unsafe_code, reason = "system calls, and map values as bytes")]
pub mod datapath;
pub mod doctor;
pub mod engine;
pub mod events;
pub mod explain;
pub mod failure;
mod handshake;
pub mod listener;
pub mod lists;
pub mod lock;
pub mod metrics;
pub mod notify;
pub mod object;
pub mod proofs;
pub mod rates;
pub mod selftest;
pub mod simulate;
pub mod state;
pub mod top;
pub mod watchdog;
