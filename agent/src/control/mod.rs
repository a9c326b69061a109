//! The control API: HTTP and JSON over a unix socket.
//!
//! [`Control`] is what can be asked of an agent, [`server`] puts it on a socket, and [`client`] is the CLI's end of it.

pub mod api;
pub mod client;
pub mod configuration;
pub mod connections;
pub mod explain;
pub mod follow;
pub mod import;
pub mod interfaces;
pub mod kept;
pub mod limits;
pub mod lines;
pub mod lists;
pub mod problems;
pub mod server;

use api::{
    AddRequest, Added, ConfigReport, DetachRequest, Detached, DropsBy, DropsReport, ErrorBody, EventsReport,
    FileReport, HistoryReport, ImportRequest, Imported, ItemError, LimitsReport, ListReport, ModeReport,
    ProveRequest, Proved, ProvenReport, Reloaded, RemoveRequest, Removed, SampledDrop, SignaturesReport,
    Status, TopReport, UnproveRequest, Unproved,
};
use explain::{ExplainQuery, Explanation};
use limits::SetLimits;

use configuration::{Applied, ApplyRequest, ChangeRequest, Confirmed, DiffReport, DiffRequest, RolledBack};
use interfaces::{AttachRequest, InterfaceReport, InterfacesReport};
use ipnet::IpNet;

use crate::{config::Mode, lists::ListName};
use lists::Who;

/// What can be asked of an agent. Each call takes effect as a whole or not at all, and none waits for anything but the
/// kernel, and half a second at most for the disk that keeps the lists.
pub trait Control: Send + Sync + 'static {
    /// How things are.
    ///
    /// # Errors
    ///
    /// [`Refused`] when the kernel's counters cannot be read.
    fn status(&self) -> Result<Status, Refused>;

    /// What was counted, and how fast.
    ///
    /// # Errors
    ///
    /// [`Refused`] when the kernel's counters cannot be read.
    fn drops(&self, by: DropsBy) -> Result<DropsReport, Refused>;

    /// The signatures, and what each has matched.
    ///
    /// # Errors
    ///
    /// [`Refused`] when the kernel's counters cannot be read.
    fn signatures(&self) -> Result<SignaturesReport, Refused>;

    /// The sources of most drops, at most `limit` of them.
    ///
    /// # Errors
    ///
    /// [`Refused`] when the kernel's counters cannot be read.
    fn top(&self, limit: usize) -> Result<TopReport, Refused>;

    /// The latest sampled drops, at most `limit` of them.
    fn events(&self, limit: usize) -> EventsReport;

    /// Sampled drops from now on.
    fn follow(&self) -> tokio::sync::broadcast::Receiver<stopbank_common::event::Event>;

    /// What is told of sampled drops.
    fn describe(&self, events: &[stopbank_common::event::Event]) -> Vec<SampledDrop>;

    /// The entries of a list.
    fn list(&self, list: ListName) -> ListReport;

    /// The list files.
    fn list_files(&self) -> FileReport;

    /// Adds entries, all or none.
    ///
    /// # Errors
    ///
    /// [`Refused`], naming every item that is at fault.
    fn add(&self, list: ListName, request: &AddRequest, who: Who) -> Result<Added, Refused>;

    /// Removes entries, all or none.
    ///
    /// # Errors
    ///
    /// [`Refused`], naming every item that is at fault.
    fn remove(&self, list: ListName, request: &RemoveRequest, who: Who) -> Result<Removed, Refused>;

    /// Adds entries, each with its own time and reason, all or none.
    ///
    /// # Errors
    ///
    /// [`Refused`], naming every item that is at fault.
    fn import(&self, list: ListName, request: &ImportRequest, who: Who) -> Result<Imported, Refused>;

    /// What was done to a list, the newest first: at most `limit` changes, of those that concern a prefix if there is one.
    fn history(&self, list: ListName, limit: usize, prefix: Option<IpNet>) -> HistoryReport;

    /// The proven sources.
    fn proven(&self) -> ProvenReport;

    /// Takes sources as proven, all or none.
    ///
    /// # Errors
    ///
    /// [`Refused`], naming every item that is at fault.
    fn prove(&self, request: &ProveRequest) -> Result<Proved, Refused>;

    /// Takes proofs back, all or none.
    ///
    /// # Errors
    ///
    /// [`Refused`], naming every item that is at fault.
    fn unprove(&self, request: &UnproveRequest) -> Result<Unproved, Refused>;

    /// The classes and their limits.
    fn limits(&self) -> LimitsReport;

    /// Changes limits of a class until the next reload.
    ///
    /// # Errors
    ///
    /// [`Refused`], with what is wrong with the limits, or when the kernel does not take the policy.
    fn set_limits(&self, class: &str, request: &SetLimits) -> Result<LimitsReport, Refused>;

    /// Goes back to the configuration's limits, of one class or of all.
    ///
    /// # Errors
    ///
    /// [`Refused`] when there is no such class, or the kernel does not take the policy.
    fn reset_limits(&self, class: Option<&str>) -> Result<LimitsReport, Refused>;

    /// What becomes of an address or a prefix, and why.
    ///
    /// # Errors
    ///
    /// [`Refused`] when what is asked makes no sense, or the kernel's state cannot be read.
    fn explain(&self, query: &ExplainQuery) -> Result<Explanation, Refused>;

    /// The mode in force.
    fn mode(&self) -> ModeReport;

    /// Changes the mode until the next reload.
    ///
    /// # Errors
    ///
    /// [`Refused`] when the kernel does not take the policy.
    fn set_mode(&self, mode: Mode) -> Result<ModeReport, Refused>;

    /// The configuration in force.
    fn config(&self) -> ConfigReport;

    /// Reads the configuration file again.
    ///
    /// # Errors
    ///
    /// [`Refused`]; the configuration before stays in force then.
    fn reload(&self, request: &ChangeRequest) -> Result<Reloaded, Refused>;

    /// What a configuration would change.
    ///
    /// # Errors
    ///
    /// [`Refused`] when it has errors.
    fn diff(&self, request: &DiffRequest) -> Result<DiffReport, Refused>;

    /// Puts a configuration in force that is taken back unless it is confirmed in time.
    ///
    /// # Errors
    ///
    /// [`Refused`]; the configuration before stays in force then.
    fn apply(&self, request: &ApplyRequest) -> Result<Applied, Refused>;

    /// Keeps the configuration on trial, on the disk too.
    ///
    /// # Errors
    ///
    /// [`Refused`] when none is on trial, or the files cannot be written; it stays on trial then.
    fn confirm(&self) -> Result<Confirmed, Refused>;

    /// Goes back to the configuration before.
    ///
    /// # Errors
    ///
    /// [`Refused`] when there is none; the one in force stays so then.
    fn roll_back(&self, request: &ChangeRequest) -> Result<RolledBack, Refused>;

    /// The interfaces of the host.
    ///
    /// # Errors
    ///
    /// [`Refused`] when the kernel does not tell.
    fn interfaces(&self) -> Result<InterfacesReport, Refused>;

    /// Protects an interface, until the next reload unless the configuration names it.
    ///
    /// # Errors
    ///
    /// [`Refused`], with what stands in the way.
    fn attach(&self, request: &AttachRequest) -> Result<InterfaceReport, Refused>;

    /// Ends protection.
    ///
    /// # Errors
    ///
    /// [`Refused`] when an interface is not protected or a pin cannot be removed.
    fn detach(&self, request: &DetachRequest) -> Result<Detached, Refused>;
}

/// What kind of refusal; decides the HTTP status and the CLI's exit code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// The request is malformed.
    BadRequest,
    /// The peer may not ask.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// It would do harm, or does not fit the state of things.
    Conflict,
    /// The request is too large.
    TooLarge,
    /// The configuration has errors.
    Configuration,
    /// Something failed on this side.
    Failed,
}

/// A request that was refused or failed. Nothing was changed.
#[derive(Clone, PartialEq, Debug)]
pub struct Refused {
    /// What kind.
    pub why: Why,
    /// What is told.
    pub body: ErrorBody,
}

impl Refused {
    /// Without a hint.
    pub fn new(why: Why, error: impl Into<String>) -> Self {
        Self { why, body: ErrorBody { error: error.into(), ..ErrorBody::default() } }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.body.hint = Some(hint.into());
        self
    }

    /// Adds what is wrong with single items.
    #[must_use]
    pub fn items(mut self, items: Vec<ItemError>) -> Self {
        self.body.items = items;
        self
    }
}

impl From<crate::datapath::DatapathError> for Refused {
    fn from(error: crate::datapath::DatapathError) -> Self {
        Self::new(Why::Failed, error.to_string())
    }
}
