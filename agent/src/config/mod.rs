//! The configuration: read from TOML, checked as a whole before anything is touched, and compiled to the policy that
//! the kernel judges by.
//!
//! [`load`] reads a file, [`parse`] a text; both give a [`Config`] in which everything has been checked, or a
//! [`ConfigError`] that names every error found, each with its line, column and what is allowed. [`compile()`] turns it
//! into a [`stopbank_common::policy::Policy`].

mod amplifiers;
mod builtin;
mod classes;
mod compile;
mod cookies;
mod document;
mod error;
mod flows;
mod limits;
mod list_files;
mod model;
mod rate;
mod read;
mod render;
mod signatures;
mod tunnels;

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

pub use amplifiers::AMPLIFIERS;
pub(crate) use compile::mode as mode_number;
pub use compile::{ClassNumbers, Compiled, Host, compile, source_lines};
pub use cookies::arm as arm_cookies;
pub use error::{ConfigError, Diagnostic, Invalid};
pub use model::{
    Agent, Attach, Claim, Class, Config, ConfiguredLists, CookieMode, Flows, Fragments, Interface, LimitSet,
    ListAction, ListFile, Mode, PortRange, PrefixLength, PrefixLimits, Role, SignatureRule, Source,
    SynCookies, Tunnels, dimension_name,
};
pub use rate::{Period, Quantity, Rate, RateLimit, parse_amount, parse_rate, show_amount};
pub use render::render;
pub use signatures::SignatureCounters;
pub use tunnels::tunnel_name;

use document::Diagnostics;

/// The configuration that comes with stopbank, with a comment on every key.
pub const DEFAULT: &str = include_str!("../../config/stopbank.toml");

/// Where the configuration is looked for when none is named.
pub const DEFAULT_PATH: &str = "/etc/stopbank/stopbank.toml";

/// Largest file that is read, in bytes.
pub const LARGEST: u64 = 1 << 20;

/// Reads and checks a file.
///
/// # Errors
///
/// [`ConfigError`].
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    parse(&path.display().to_string(), &read_text(path)?)
}

/// Reads a file's text, without looking at what it says.
///
/// # Errors
///
/// [`ConfigError`] when it cannot be read, is larger than [`LARGEST`], no regular file, or not UTF-8.
pub fn read_text(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |source: io::Error| ConfigError::Unreadable { path: path.to_owned(), source };
    let not_a_file = |why: String| ConfigError::NotAFile { path: path.to_owned(), why };
    // Looked at before it is opened: opening a FIFO would wait for a writer.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(not_a_file("is a directory; name the file in it".to_owned()));
    }
    if !metadata.is_file() {
        return Err(not_a_file("is not a regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        return Err(not_a_file(format!(
            "is larger than {} KiB; long lists go in files of their own, each a [[list]]",
            LARGEST / 1024
        )));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
        not_a_file(format!("is not UTF-8: byte {at}, on line {line}, belongs to no character"))
    })
}

/// Checks a text; `file` is what messages call it.
///
/// # Errors
///
/// [`ConfigError::Invalid`] with every error that was found.
pub fn parse(file: &str, text: &str) -> Result<Config, ConfigError> {
    let invalid = |diagnostics: Vec<Diagnostic>| {
        ConfigError::Invalid(Box::new(Invalid {
            file: crate::lists::printable(file, 4096),
            text: text.to_owned(),
            diagnostics,
        }))
    };
    let (document, syntax) = toml::de::DeTable::parse_recoverable(text);
    if !syntax.is_empty() {
        // What a broken line was meant to say is anyone's guess: values are only judged once the syntax is right.
        let mut diagnostics: Vec<Diagnostic> = syntax
            .into_iter()
            .map(|error| Diagnostic {
                span: error.span().unwrap_or_default(),
                message: format!("not TOML: {}", error.message().replace('\n', "; ")),
                help: Vec::new(),
            })
            .collect();
        diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
        // One bracket that is missing can be missed at every depth.
        diagnostics.dedup();
        return Err(invalid(diagnostics));
    }
    let mut diagnostics = Diagnostics::default();
    let config = read::config(&document, &mut diagnostics);
    let diagnostics = diagnostics.into_sorted();
    if diagnostics.is_empty() { Ok(config) } else { Err(invalid(diagnostics)) }
}
