//! What the API says of entries that are exported and imported, of what was done to the lists, and of how it is kept;
//! described for people in docs/control-api.md.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{
    lists::ListName,
    state::{Action, Event, KeeperStatus, time_of},
};

/// `POST /v1/lists/{allow|ban}/import`: all or nothing.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportRequest {
    /// The entries; of those with the same prefix the last one counts.
    pub entries: Vec<ImportEntry>,
    /// Take what would otherwise be refused as a probable slip.
    #[serde(default)]
    pub force: bool,
    /// The address that the operator's session comes from: a ban that contains it needs `force`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<IpAddr>,
}

/// An entry to be imported.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportEntry {
    /// Address or prefix.
    pub prefix: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was made; left out: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added: Option<String>,
    /// When it ends; left out: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// Answer to [`ImportRequest`].
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Imported {
    /// New entries.
    pub added: usize,
    /// Entries that were there, and are now as the import has them.
    pub replaced: usize,
    /// Entries whose time was over: they were left out.
    pub expired: usize,
    /// What the operator should know.
    pub notes: Vec<String>,
}

/// `GET /v1/lists/{allow|ban}/history?limit=N&prefix=CIDR`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct HistoryReport {
    /// Changes, the newest first.
    pub events: Vec<HistoryEntry>,
}

/// A change to a list.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// When.
    pub time: String,
    /// What was done.
    pub action: Action,
    /// To which list.
    pub list: ListName,
    /// User whose process asked for it, as a number; left out where time or a start did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The address that this user was logged in from, as the command line told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<IpAddr>,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Until when the entries were to stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// How many entries.
    pub count: u64,
    /// The first 64 of them.
    pub prefixes: Vec<String>,
}

impl From<&Event> for HistoryEntry {
    fn from(event: &Event) -> Self {
        Self {
            time: time(event.at),
            action: event.action,
            list: event.list,
            uid: event.uid,
            session: event.session,
            reason: event.reason.clone(),
            expires: event.until.map(time),
            count: event.count,
            prefixes: event.prefixes.iter().map(ToString::to_string).collect(),
        }
    }
}

fn time(milliseconds: u64) -> String {
    humantime::format_rfc3339_millis(time_of(milliseconds)).to_string()
}

/// How it goes with keeping bans and allow entries for a reboot.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct StateStatus {
    /// Where they are kept.
    pub directory: String,
    /// Why nothing can be written there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_since: Option<String>,
    /// Changes that a power cut would take, for they are not on the disk yet.
    pub pending: u64,
    /// Files that this agent found damaged when it started, and where they are now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<String>,
}

impl From<KeeperStatus> for StateStatus {
    fn from(status: KeeperStatus) -> Self {
        let (error, since) = status.trouble.unzip();
        Self {
            directory: status.directory.display().to_string(),
            error,
            error_since: since.map(|since| humantime::format_rfc3339_seconds(since).to_string()),
            pending: status.pending,
            damaged: status.damaged,
        }
    }
}
