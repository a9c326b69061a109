//! The engine as what the control API speaks to.

use ipnet::IpNet;
use stopbank_common::event::Event;

use super::{Engine, report};
use crate::{
    config::{Config, Mode},
    control::{
        Control, Refused,
        api::{
            AddRequest, Added, ConfigReport, DetachRequest, Detached, DropsBy, DropsReport, EventsReport,
            FileReport, HistoryReport, ImportRequest, Imported, LimitsReport, ListReport, ModeReport,
            ProveRequest, Proved, ProvenReport, Reloaded, RemoveRequest, Removed, SampledDrop,
            SignaturesReport, Status, TopReport, UnproveRequest, Unproved,
        },
        configuration::{
            Applied, ApplyRequest, ChangeRequest, Confirmed, DiffReport, DiffRequest, RolledBack,
        },
        explain::{ExplainQuery, Explanation},
        interfaces::{AttachRequest, InterfaceReport, InterfacesReport},
        limits::SetLimits,
        lists::{Who, list_entry},
    },
    datapath::monotonic_ns,
    lists::{ListName, printable},
};

impl Control for Engine {
    fn status(&self) -> Result<Status, Refused> {
        self.report_status()
    }

    fn drops(&self, by: DropsBy) -> Result<DropsReport, Refused> {
        self.report_drops(by)
    }

    fn signatures(&self) -> Result<SignaturesReport, Refused> {
        self.report_signatures()
    }

    fn top(&self, limit: usize) -> Result<TopReport, Refused> {
        self.report_top(limit)
    }

    fn events(&self, limit: usize) -> EventsReport {
        self.report_events(limit)
    }

    fn follow(&self) -> tokio::sync::broadcast::Receiver<Event> {
        self.events.follow()
    }

    fn describe(&self, events: &[Event]) -> Vec<SampledDrop> {
        self.describe_events(events)
    }

    fn list(&self, list: ListName) -> ListReport {
        let now = monotonic_ns();
        ListReport { entries: self.lock().lists.list(list).map(|listed| list_entry(listed, now)).collect() }
    }

    fn list_files(&self) -> FileReport {
        self.report_files()
    }

    fn add(&self, list: ListName, request: &AddRequest, who: Who) -> Result<Added, Refused> {
        self.add_entries(list, request, who)
    }

    fn remove(&self, list: ListName, request: &RemoveRequest, who: Who) -> Result<Removed, Refused> {
        self.remove_entries(list, request, who)
    }

    fn import(&self, list: ListName, request: &ImportRequest, who: Who) -> Result<Imported, Refused> {
        self.import_entries(list, request, who)
    }

    fn history(&self, list: ListName, limit: usize, prefix: Option<IpNet>) -> HistoryReport {
        self.report_history(list, limit, prefix)
    }

    fn proven(&self) -> ProvenReport {
        self.lock().proofs.report(monotonic_ns())
    }

    fn prove(&self, request: &ProveRequest) -> Result<Proved, Refused> {
        self.prove_sources(request)
    }

    fn unprove(&self, request: &UnproveRequest) -> Result<Unproved, Refused> {
        self.unprove_sources(request)
    }

    fn limits(&self) -> LimitsReport {
        self.report_limits()
    }

    fn set_limits(&self, class: &str, request: &SetLimits) -> Result<LimitsReport, Refused> {
        self.set_class_limits(class, request)
    }

    fn reset_limits(&self, class: Option<&str>) -> Result<LimitsReport, Refused> {
        self.reset_class_limits(class)
    }

    fn explain(&self, query: &ExplainQuery) -> Result<Explanation, Refused> {
        self.explain_subject(query)
    }

    fn mode(&self) -> ModeReport {
        let state = self.lock();
        ModeReport { mode: state.mode, configured: state.config.mode }
    }

    fn set_mode(&self, mode: Mode) -> Result<ModeReport, Refused> {
        self.change_mode(mode)
    }

    fn config(&self) -> ConfigReport {
        let state = self.lock();
        // The mode may have been changed since; what is in force is what is asked for.
        let config = Config { mode: state.mode, ..state.config.clone() };
        ConfigReport {
            file: printable(&self.origin.file.display().to_string(), 4096),
            text: state.sources.text.clone(),
            drop_ins: state.sources.drop_ins.clone(),
            pending: state.pending(),
            effective: report::effective(&config),
        }
    }

    fn reload(&self, request: &ChangeRequest) -> Result<Reloaded, Refused> {
        self.reload_file(request)
    }

    fn diff(&self, request: &DiffRequest) -> Result<DiffReport, Refused> {
        self.diff_configuration(request)
    }

    fn apply(&self, request: &ApplyRequest) -> Result<Applied, Refused> {
        self.apply_configuration(request)
    }

    fn confirm(&self) -> Result<Confirmed, Refused> {
        self.confirm_configuration()
    }

    fn roll_back(&self, request: &ChangeRequest) -> Result<RolledBack, Refused> {
        self.roll_back_configuration(request)
    }

    fn interfaces(&self) -> Result<InterfacesReport, Refused> {
        self.report_interfaces()
    }

    fn attach(&self, request: &AttachRequest) -> Result<InterfaceReport, Refused> {
        self.attach_interface(request)
    }

    fn detach(&self, request: &DetachRequest) -> Result<Detached, Refused> {
        self.end_protection(request)
    }
}
