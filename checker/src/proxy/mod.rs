//! `stopbank-checker proxy`: a reverse proxy that judges what passes through it.
//!
//! Each thread has a reactor, connections and a pool of upstream connections of its own; what they have in common is counted in atomics.
//! Another one beside them takes signals, checks health, and serves metrics.

mod accept;
mod admin;
mod audit;
mod auth_request;
mod bounds;
mod command;
mod config;
mod exchange;
mod ext_authz;
mod fetch;
mod health;
mod holding;
mod http1;
mod http2;
mod judge;
mod kept;
mod lingering;
mod metrics;
mod passing;
mod problem;
mod reload;
mod repeats;
mod run;
mod shared;
mod spoe;
mod stapling;
mod streaming;
mod tls;
mod upstream;

use std::io::Write as _;

pub(crate) use command::{ExplainCommand, ProxyCommand};
pub(crate) use judge::identity;
pub(crate) use reload::ReloadCommand;

/// What stands around an error of the configuration or of a file that it names: another attempt would end alike.
#[derive(Debug)]
pub(crate) struct Misconfigured;

impl std::fmt::Display for Misconfigured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the configuration cannot be used")
    }
}

/// Tells the operator, by the journal or on the terminal.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "stopbank-checker: {text}");
}
