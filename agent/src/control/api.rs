//! What goes over the control socket: JSON, described for people in docs/control-api.md. The CLI prints the same
//! objects with `-o json`.
//!
//! Times are RFC 3339 in UTC, durations seconds, sizes bytes.
//!
//! Long, and in one piece: a flat list of types in the order of that page, without logic, to be read beside it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::configuration::Pending;
use super::interfaces::Standing;
use crate::{
    config::{Attach, DropIn, ListAction, Mode},
    datapath::FlowUsage,
    lists::Origin,
};

pub use super::kept::{HistoryEntry, HistoryReport, ImportEntry, ImportRequest, Imported, StateStatus};

/// An error, with any status but 200.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What was tried and why it failed.
    pub error: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What is wrong with single items of a request that had several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<ItemError>,
}

/// What is wrong with one item.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ItemError {
    /// Its place in the request, from 0.
    pub index: usize,
    /// What is wrong.
    pub error: String,
}

/// `GET /v1/status`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// stopbank's version.
    pub version: String,
    /// Process of the agent.
    pub pid: u32,
    /// When the agent started.
    pub started: String,
    /// How long it has been running.
    pub uptime_seconds: f64,
    /// The mode in force.
    pub mode: Mode,
    /// The mode that the configuration asks for.
    pub configured_mode: Mode,
    /// Interfaces that are protected, or are to be.
    pub interfaces: Vec<InterfaceStatus>,
    /// What happens to packets.
    pub traffic: Traffic,
    /// Entries on the lists.
    pub lists: ListSizes,
    /// How it goes with keeping the lists for a reboot.
    #[serde(default)]
    pub state: StateStatus,
    /// List files.
    #[serde(default)]
    pub files: FilesSummary,
    /// How many sources are proven.
    #[serde(default)]
    pub proven: usize,
    /// SYN cookies.
    #[serde(default)]
    pub syn_cookies: CookieStatus,
    /// The flow table, on a gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flows: Option<FlowUsage>,
    /// The policy.
    pub policy: PolicyStatus,
    /// Sampled drops.
    pub events: EventStatus,
    /// The configuration.
    pub configuration: ConfigurationStatus,
    /// Where metrics are served.
    pub metrics: Option<String>,
}

/// How it stands with SYN cookies.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct CookieStatus {
    /// Classes that are to send them.
    pub configured: Vec<String>,
    /// Classes whose SYNs are answered with cookies now.
    pub active: Vec<String>,
    /// Why none is sent, where any is configured.
    pub obstacle: Option<String>,
}

/// An interface that is protected, or is to be.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// Its index; 0 where it is not there.
    pub index: u32,
    /// How the program is attached, or is to be.
    pub attach: Attach,
    /// Whether the configuration names it; one that it no longer names stays protected until it is detached.
    pub configured: bool,
    /// Whether an earlier agent's program was replaced there.
    pub taken_over: bool,
    /// Whether it must be there.
    #[serde(default)]
    pub required: bool,
    /// How it stands with it.
    #[serde(default)]
    pub state: Standing,
    /// Why it is not protected although it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl InterfaceStatus {
    /// How it is attached; in capitals what it is instead.
    pub fn how(&self) -> String {
        match self.state {
            Standing::Attached => self.attach.name().to_owned(),
            state => state.name().to_uppercase(),
        }
    }
}

/// What happened to packets, all interfaces together.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// Passed.
    pub passed: Flow,
    /// Dropped.
    pub dropped: Flow,
    /// Passed, and counted as what `enforce` would have dropped.
    pub observed: Flow,
    /// Answered from the NIC, with SYN cookies.
    #[serde(default)]
    pub replied: Flow,
}

/// A count and its present rate.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Flow {
    /// Packets, ever since the maps were made.
    pub packets: u64,
    /// Bytes of their frames.
    pub bytes: u64,
    /// Packets a second, over the last few seconds.
    pub packets_per_second: f64,
    /// Bytes a second, over the last few seconds.
    pub bytes_per_second: f64,
}

/// Entries on each list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ListSizes {
    /// Allow entries.
    pub allow: usize,
    /// Deny entries.
    pub deny: usize,
    /// Bans.
    pub ban: usize,
}

/// List files, all together.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct FilesSummary {
    /// Lists that the configuration names.
    pub lists: usize,
    /// Their prefixes in force.
    pub prefixes: usize,
    /// What is wrong with some, each with the list's name.
    pub errors: Vec<String>,
}

/// `GET /v1/list-files`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct FileReport {
    /// In the order of the configuration.
    pub lists: Vec<FileStatus>,
}

/// A list file, and what of it is in force.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FileStatus {
    /// The list's name.
    pub name: String,
    /// The file.
    pub path: String,
    /// What becomes of its sources.
    pub action: ListAction,
    /// How it is written.
    pub format: String,
    /// IPv4 prefixes in force.
    pub ipv4: usize,
    /// IPv6 prefixes in force.
    pub ipv6: usize,
    /// Entries that were left out: of another kind, country or system, or expired.
    pub skipped: usize,
    /// When what is in force was read; left out if the file could never be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<String>,
    /// What is wrong with the file as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Since when what is in force is the copy that an earlier agent has kept: the file was bad when this one began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_in_use_since: Option<String>,
    /// Why no copy of what is in force is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_error: Option<String>,
}

/// The policy in force, in short.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PolicyStatus {
    /// Classes, `default` included.
    pub classes: Vec<String>,
    /// Bits of an IPv4 address that make a source.
    pub ipv4_prefix: u8,
    /// Bits of an IPv6 address that make a source.
    pub ipv6_prefix: u8,
    /// Lines of rate state, 64 bytes each.
    pub lines: u32,
}

/// Sampled drops.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct EventStatus {
    /// Read since the agent started.
    pub received: u64,
    /// Lost because the ring buffer was full, ever since the maps were made.
    pub lost: u64,
    /// Read in the last minute or so.
    #[serde(default)]
    pub received_last_minute: u64,
    /// Lost in the last minute or so.
    #[serde(default)]
    pub lost_last_minute: u64,
}

/// Where the configuration came from, and how the last reload went.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ConfigurationStatus {
    /// The file.
    pub file: String,
    /// When the one in force was read.
    pub loaded: String,
    /// Why the last reload failed; the configuration before is in force then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload_error: Option<String>,
    /// Until when it has to be confirmed, if it is on trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// The files on the disk say what was taken back; an agent that starts goes by the one in force as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rejected_on_disk: bool,
}

/// How `GET /v1/drops` adds up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum DropsBy {
    /// Each reason once.
    #[default]
    Reason,
    /// By class and reason.
    Class,
    /// By interface and reason.
    Interface,
    /// By interface, class and reason.
    All,
}

/// `GET /v1/drops?by=reason|class|interface|all`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DropsReport {
    /// The mode in force.
    pub mode: Mode,
    /// All reasons together.
    pub traffic: Traffic,
    /// What was counted, passes included; rows without a packet are left out.
    pub rows: Vec<DropsRow>,
}

/// Packets counted under one reason.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DropsRow {
    /// The interface, where rows are by interface; `other` for what the policy does not name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The class, where rows are by class; `none` for what was judged before it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The reason's name.
    pub reason: String,
    /// What became of them.
    pub verdict: Verdict,
    /// What the reason means.
    pub description: String,
    /// How many.
    #[serde(flatten)]
    pub flow: Flow,
}

/// What became of a packet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Dropped.
    Drop,
    /// Passed; `enforce` would have dropped it.
    Observed,
    /// Passed.
    Pass,
    /// Answered from the NIC, with a SYN cookie.
    Reply,
}

impl Verdict {
    /// Its name in metrics, the API and the CLI.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Observed => "observed",
            Self::Pass => "pass",
            Self::Reply => "reply",
        }
    }
}

/// `GET /v1/signatures`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct SignaturesReport {
    /// In the order of the configuration, which is that in which they are asked.
    pub signatures: Vec<SignatureStatus>,
}

/// A signature, and what it has matched ever since it was first in force.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SignatureStatus {
    /// Its name.
    pub name: String,
    /// It drops nothing.
    pub observe: bool,
    /// Classes that name it.
    pub classes: Vec<String>,
    /// What it has dropped.
    pub dropped: Matched,
    /// What it would have dropped, had not itself, its class, the rule or the mode only observed.
    pub observed: Matched,
}

/// Packets that a signature has matched.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Matched {
    /// Packets.
    pub packets: u64,
    /// Bytes of their frames.
    pub bytes: u64,
}

/// `GET /v1/top?limit=N`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TopReport {
    /// What happens to packets.
    pub traffic: Traffic,
    /// Time after which a sample counts half.
    pub half_life_seconds: f64,
    /// Sources most seen among the sampled drops, most first.
    pub sources: Vec<TopSource>,
}

/// A source of drops.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TopSource {
    /// Its address.
    pub source: IpAddr,
    /// Its part of all sampled drops, 0 to 1.
    pub share: f64,
    /// That part of all packets dropped (in `observe` mode: that would have been).
    pub packets_per_second: f64,
    /// Why its last packet was dropped.
    pub reason: String,
    /// Class of its last packet.
    pub class: String,
    /// Interface of its last packet.
    pub interface: String,
    /// How long ago that was.
    pub last_seen_seconds: f64,
}

/// `GET /v1/events?limit=N`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EventsReport {
    /// Latest sampled drops, the newest first.
    pub events: Vec<SampledDrop>,
}

/// A sampled drop.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SampledDrop {
    /// When.
    pub time: String,
    /// Where it came in.
    pub interface: String,
    /// Source address.
    pub source: IpAddr,
    /// TCP or UDP source port.
    pub source_port: u16,
    /// Destination address.
    pub destination: IpAddr,
    /// TCP or UDP destination port.
    pub destination_port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// Bytes of the frame.
    pub length: u32,
    /// Its class.
    pub class: String,
    /// Why.
    pub reason: String,
    /// Dropped or observed.
    pub verdict: Verdict,
}

/// `GET /v1/lists/{allow|deny|ban}`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ListReport {
    /// The entries, by prefix.
    pub entries: Vec<ListEntry>,
}

/// An entry of a list.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ListEntry {
    /// The prefix.
    pub prefix: String,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who made it.
    pub origin: Origin,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added: Option<String>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// How long that is from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<f64>,
    /// The list whose entry for the same prefix is in force instead of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beaten_by: Option<String>,
}

/// `POST /v1/lists/{allow|ban}`: all or nothing.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddRequest {
    /// Addresses and prefixes.
    pub prefixes: Vec<String>,
    /// For how long; left out: until removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_seconds: Option<f64>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Take what would otherwise be refused as a probable slip.
    #[serde(default)]
    pub force: bool,
    /// The address that the operator's session comes from: a ban that contains it needs `force`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<IpAddr>,
}

/// `POST /v1/proven`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProveRequest {
    /// Addresses; each stands for one source, as wide as `[source]` has it.
    pub sources: Vec<String>,
    /// For how long; left out: until it is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_seconds: Option<f64>,
}

/// Answer to [`ProveRequest`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Proved {
    /// Sources that were not proven before.
    pub added: usize,
    /// Sources that were, and got a new time.
    pub renewed: usize,
}

/// `DELETE /v1/proven`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnproveRequest {
    /// Addresses.
    pub sources: Vec<String>,
}

/// Answer to [`UnproveRequest`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Unproved {
    /// Sources that are proven no more.
    pub removed: usize,
}

/// `GET /v1/proven`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ProvenReport {
    /// Sources that can be proven at a time.
    pub capacity: u32,
    /// Those that are.
    pub sources: Vec<ProvenSource>,
}

/// A proven source.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ProvenSource {
    /// Its address, or that of its prefix.
    pub source: String,
    /// How long it stays so; left out: until it is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<f64>,
}

/// Answer to [`AddRequest`].
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Added {
    /// New entries.
    pub added: usize,
    /// Entries that were there and got a new time or reason.
    pub replaced: usize,
    /// What the operator should know: entries without effect, for instance.
    pub notes: Vec<String>,
}

/// `DELETE /v1/lists/{allow|ban}`: all or nothing.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveRequest {
    /// Addresses and prefixes, as they stand on the list.
    pub prefixes: Vec<String>,
    /// The address that the operator's session comes from, for the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<IpAddr>,
}

/// Answer to [`RemoveRequest`].
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Removed {
    /// What was removed.
    pub removed: Vec<ListEntry>,
    /// What the operator should know: wider entries that still hold, for instance.
    pub notes: Vec<String>,
}

/// `GET /v1/limits`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LimitsReport {
    /// The classes, `default` first.
    pub classes: Vec<ClassLimits>,
}

/// A class's limits.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ClassLimits {
    /// Its name.
    pub name: String,
    /// Which packets are of it.
    pub claims: String,
    /// Whether everything of it is dropped.
    pub closed: bool,
    /// Its limits in force.
    pub limits: Vec<LimitRow>,
    /// Its limits as the configuration has them, where an operator has changed them since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configured: Option<Vec<LimitRow>>,
}

/// One limit.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LimitRow {
    /// `per_source`, `per_prefix` or `total`.
    pub scope: String,
    /// Bits of an IPv4 address that make a prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4_prefix: Option<u8>,
    /// Bits of an IPv6 address that make a prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6_prefix: Option<u8>,
    /// `packets`, `bytes` or `connections`.
    pub counts: String,
    /// As the configuration writes it.
    pub rate: String,
    /// Units a second.
    pub per_second: f64,
    /// Units at once.
    pub burst: u64,
    /// Of a total: the part that is for proven sources first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven_percent: Option<u8>,
}

/// `GET /v1/mode`, and the answer to `PUT /v1/mode`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ModeReport {
    /// The mode in force.
    pub mode: Mode,
    /// The mode that the configuration asks for; it comes back with the next reload or restart.
    pub configured: Mode,
}

/// `PUT /v1/mode`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetMode {
    /// The mode wanted.
    pub mode: Mode,
}

/// `GET /v1/config`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ConfigReport {
    /// The file.
    pub file: String,
    /// Its text, as it was read.
    pub text: String,
    /// The files in `conf.d` beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop_ins: Vec<DropIn>,
    /// Until when it has to be confirmed, if it is on trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// The configuration in force, with every key written out.
    pub effective: String,
}

/// Answer to `POST /v1/reload`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Reloaded {
    /// What the operator should know: keys that need a restart, for instance.
    pub notes: Vec<String>,
}

/// `POST /v1/detach`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetachRequest {
    /// Interfaces whose protection ends; none: all of them, every pin is removed, and the agent stops.
    #[serde(default)]
    pub interfaces: Vec<String>,
}

/// Answer to [`DetachRequest`].
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Detached {
    /// Interfaces that are protected no longer.
    pub interfaces: Vec<String>,
    /// Whether the agent stops.
    pub stopping: bool,
}
