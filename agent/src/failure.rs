//! How a command fails: what is told, and the exit code.

use std::fmt;

use crate::{
    config::ConfigError,
    control::{Refused, Why, client::ClientError},
    datapath::{DatapathError, Kind},
};

/// Exit codes; 77 and 78 are `EX_NOPERM` and `EX_CONFIG` of sysexits(3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Code {
    /// It failed.
    Failed = 1,
    /// The command line or what came on stdin is wrong.
    Usage = 2,
    /// What was asked for is not there.
    NotFound = 3,
    /// No agent answers.
    Unreachable = 4,
    /// Privileges are missing.
    Permission = 77,
    /// The configuration is wrong.
    Configuration = 78,
}

/// A command that failed.
#[derive(Clone, PartialEq, Debug)]
pub struct Failure {
    /// The exit code.
    pub code: Code,
    /// What was tried, on what, and why it failed.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// Without a hint.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

impl From<DatapathError> for Failure {
    fn from(error: DatapathError) -> Self {
        let code = match error.kind() {
            Kind::Permission => Code::Permission,
            Kind::NoSuchInterface => Code::NotFound,
            Kind::NoNativeSupport | Kind::OtherProgram | Kind::NoObject | Kind::Kernel => Code::Failed,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let code = if error.is_permission() { Code::Permission } else { Code::Configuration };
        Self::new(code, error.to_string())
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let code = match refused.why {
            Why::BadRequest | Why::TooLarge => Code::Usage,
            Why::Forbidden => Code::Permission,
            Why::NotFound => Code::NotFound,
            Why::Conflict | Why::Failed => Code::Failed,
            Why::Configuration => Code::Configuration,
        };
        let mut message = refused.body.error;
        for item in &refused.body.items {
            message.push_str("\n  ");
            message.push_str(&item.error);
        }
        Self { code, message, hint: refused.body.hint }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(refused) => refused.into(),
            ClientError::Unreachable { .. } => Self::new(Code::Unreachable, error.to_string())
                .hint("start it with `stopbank run`, or name its socket with --socket; interfaces that it protected are protected still"),
            ClientError::Permission(_) => Self::new(Code::Permission, error.to_string()),
            ClientError::Broken { .. } => Self::new(Code::Failed, error.to_string()),
        }
    }
}
