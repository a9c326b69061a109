//! The lists: who passes at once, and who is dropped.
//!
//! [`Store`] knows what is wanted and why, and what follows for the kernel; it touches nothing. Texts become prefixes
//! in [`parse_prefix`], and [`objection`] says what had better be thought over.

pub mod feeds;
mod guard;
mod prefix;
mod store;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use guard::{limit_objection, objection};
pub use prefix::{PrefixError, parse_prefix, printable};
pub use store::{Change, Inherited, Item, Listed, NotRemoved, Portion, Store, wall_clock};

/// Longest reason for an entry, in characters.
pub const LONGEST_REASON: usize = 200;
/// Longest time that an entry may be given; whoever means longer means for ever.
pub const LONGEST_TIME: Duration = Duration::from_secs(10 * 366 * 86_400);

/// Which list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListName {
    /// Sources that pass at once: the configuration's and the operator's.
    Allow,
    /// Sources that are dropped: the configuration's.
    Deny,
    /// Sources that are dropped: the operator's, mostly for a time.
    Ban,
}

impl ListName {
    /// Every list.
    pub const ALL: [Self; 3] = [Self::Allow, Self::Deny, Self::Ban];

    /// Its name in metrics, the API and the CLI.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Ban => "ban",
        }
    }
}

/// Who made an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// It stands in the configuration.
    Configuration,
    /// An operator, through the control API.
    Operator,
    /// An operator, through an agent before this one that could not keep who, when and why.
    Inherited,
}

impl Origin {
    /// Its name in the API and the CLI.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Operator => "operator",
            Self::Inherited => "inherited",
        }
    }
}
