//! The configuration: read from TOML, checked as a whole before anything is touched, and compiled to the policy that
//! the kernel judges by.
//!
//! [`load`] reads a file and what lies in `conf.d` beside it, [`parse`] a text; both give a [`Config`] in which everything
//! has been checked, or a [`ConfigError`] that names every error found, each with its file, line, column and what is
//! allowed. [`compile()`] turns it into a [`stopbank_common::policy::Policy`].

mod amplifiers;
mod builtin;
mod change;
mod classes;
mod compile;
mod cookies;
mod diff;
mod directory;
mod document;
mod error;
mod flows;
mod history;
mod install;
mod interfaces;
mod limits;
mod list_files;
mod model;
mod rate;
mod read;
mod render;
mod schema;
mod signatures;
mod sources;
mod tunnels;

use std::path::Path;

pub use amplifiers::AMPLIFIERS;
pub use change::change_limits;
pub(crate) use compile::mode as mode_number;
pub use compile::{ClassNumbers, Compiled, Host, compile, source_lines};
pub use cookies::arm as arm_cookies;
pub use diff::{Difference, diff};
pub use directory::{LARGEST, read_sources, read_sources_if_any, read_text, with_text};
pub use error::{ConfigError, Diagnostic, Invalid, Located};
pub use history::{History, HistoryError, Trial};
pub use install::{install, install_text, keep};
pub use interfaces::{DEFAULT_ROUTE, Pattern, Selector};
pub use model::{
    Agent, Attach, Claim, Class, Config, ConfiguredLists, CookieMode, Flows, Fragments, Interface, LimitSet,
    ListAction, ListFile, Mode, PortRange, PrefixLength, PrefixLimits, Role, SignatureRule, Source,
    SynCookies, Tunnels, dimension_name,
};
pub use rate::{Period, Quantity, Rate, RateLimit, parse_amount, parse_rate, show_amount};
pub use render::render;
pub use schema::schema;
pub use signatures::SignatureCounters;
pub use sources::{DROP_INS, DropIn, Sources};
pub use tunnels::tunnel_name;

use document::Diagnostics;

/// The configuration that comes with stopbank, with a comment on every key.
pub const DEFAULT: &str = include_str!("../../config/stopbank.toml");

/// Where the configuration is looked for when none is named.
pub const DEFAULT_PATH: &str = "/etc/stopbank/stopbank.toml";

/// Reads and checks a file, and what lies in `conf.d` beside it.
///
/// # Errors
///
/// [`ConfigError`].
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    parse_sources(&read_sources(path)?)
}

/// Checks a text; `file` is what messages call it.
///
/// # Errors
///
/// [`ConfigError::Invalid`] with every error that was found.
pub fn parse(file: &str, text: &str) -> Result<Config, ConfigError> {
    parse_sources(&Sources::single(file, text))
}

/// Checks the texts of all files of a configuration.
///
/// # Errors
///
/// [`ConfigError::Invalid`] with every error that was found.
pub fn parse_sources(sources: &Sources) -> Result<Config, ConfigError> {
    let invalid = |diagnostics: Vec<Diagnostic>| {
        ConfigError::Invalid(Box::new(Invalid { sources: sources.clone(), diagnostics }))
    };
    let mut diagnostics = Diagnostics::default();
    let document = sources.document(&mut diagnostics).map_err(invalid)?;
    let config = read::config(&document, &mut diagnostics);
    let diagnostics = diagnostics.into_sorted();
    if diagnostics.is_empty() { Ok(config) } else { Err(invalid(diagnostics)) }
}
