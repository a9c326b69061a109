//! What the engine says of a request.

use crate::Reason;

/// What is to become of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// It is forwarded as it came.
    Allow,
    /// It is refused.
    Refuse,
}

impl Action {
    /// As verdicts have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Refuse => "refuse",
        }
    }
}

/// A group of rules that are switched on and off together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Check {
    /// Where a request ends, and what its headers are.
    Framing,
    /// The target.
    Target,
    /// The body's content coding.
    Coding,
    /// Whether the body is what it is declared as.
    Content,
    /// Structure and limits of JSON.
    Json,
    /// Form fields.
    Form,
    /// Forms of parts.
    Multipart,
}

impl Check {
    /// As verdicts and the policy have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Framing => "framing",
            Self::Target => "target",
            Self::Coding => "coding",
            Self::Content => "content",
            Self::Json => "json",
            Self::Form => "form",
            Self::Multipart => "multipart",
        }
    }
}

/// What the engine says of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// What is to become of it.
    pub action: Action,
    /// The status that a refusal carries; 0 where it is allowed.
    pub status: u16,
    /// Why it is refused.
    pub reason: Option<Reason>,
    /// The check that refused it.
    pub check: Option<Check>,
}

impl Verdict {
    /// Nothing speaks against it.
    pub const ALLOWED: Self = Self { action: Action::Allow, status: 0, reason: None, check: None };

    /// A check refuses it.
    pub const fn refused(check: Check, reason: Reason) -> Self {
        Self { action: Action::Refuse, status: reason.status(), reason: Some(reason), check: Some(check) }
    }
}
