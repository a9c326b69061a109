//! Changes to the lists, the mode, and the end of protection.

use super::{Engine, State, interfaces::locked};
use crate::{
    config::Mode,
    control::{
        Refused,
        api::{
            AddRequest, Added, DetachRequest, Detached, ImportRequest, Imported, ModeReport, RemoveRequest,
            Removed,
        },
        import::import,
        lists::{self, Who},
    },
    datapath::detach_all,
    lists::ListName,
};

impl Engine {
    /// Adds entries to a list, all or none.
    pub(super) fn add_entries(
        &self,
        list: ListName,
        request: &AddRequest,
        who: Who,
    ) -> Result<Added, Refused> {
        let (mut answer, note) = self.change(|store, now| lists::add(store, list, request, who, now))?;
        log_change("added to", list, &request.prefixes, request.reason.as_deref());
        answer.notes.extend(note);
        Ok(answer)
    }

    /// Adds entries to a list as they were exported, all or none.
    pub(super) fn import_entries(
        &self,
        list: ListName,
        request: &ImportRequest,
        who: Who,
    ) -> Result<Imported, Refused> {
        let (mut answer, note) = self.change(|store, now| import(store, list, request, who, now))?;
        let prefixes: Vec<String> =
            request.entries.iter().take(6).map(|entry| entry.prefix.clone()).collect();
        log_change("imported to", list, &prefixes, None);
        answer.notes.extend(note);
        Ok(answer)
    }

    /// Removes entries from a list, all or none.
    pub(super) fn remove_entries(
        &self,
        list: ListName,
        request: &RemoveRequest,
        who: Who,
    ) -> Result<Removed, Refused> {
        let (mut answer, note) = self.change(|store, now| lists::remove(store, list, request, who, now))?;
        log_change("removed from", list, &request.prefixes, None);
        answer.notes.extend(note);
        Ok(answer)
    }

    /// Changes the mode until the next reload.
    pub(super) fn change_mode(&self, mode: Mode) -> Result<ModeReport, Refused> {
        let mut state = self.lock();
        let before = std::mem::replace(&mut state.policy.mode, crate::config::mode_number(mode));
        let State { datapath, policy, .. } = &mut *state;
        if let Err(error) = datapath.install(policy) {
            state.policy.mode = before;
            return Err(error.into());
        }
        state.mode = mode;
        tracing::info!("mode is {} now", mode.name());
        Ok(ModeReport { mode, configured: state.config.mode })
    }

    /// Ends protection of some interfaces, or of all; then every pin goes, and the agent stops.
    pub(super) fn end_protection(&self, request: &DetachRequest) -> Result<Detached, Refused> {
        let mut state = self.lock();
        if request.interfaces.is_empty() {
            let pins = state.config.agent.pin_dir.clone();
            let plan = state.plan.clone();
            let mut plan = locked(&plan);
            plan.over = true;
            let interfaces = detach_all(&pins).inspect_err(|_| plan.over = false)?;
            state.interfaces.clear();
            tracing::warn!("protection ended on request: {}; stopping", interfaces.join(", "));
            self.stop.send_replace(true);
            return Ok(Detached { interfaces, stopping: true });
        }
        state.detach_interfaces(&request.interfaces)?;
        Ok(Detached { interfaces: request.interfaces.clone(), stopping: false })
    }
}

fn log_change(what: &str, list: ListName, prefixes: &[String], reason: Option<&str>) {
    let shown: Vec<&str> = prefixes.iter().take(5).map(String::as_str).collect();
    let more = if prefixes.len() > shown.len() { ", …" } else { "" };
    tracing::info!(
        entries = prefixes.len(),
        reason,
        "{what} the {} list: {}{more}",
        list.name(),
        shown.join(", ")
    );
}
