//! Configurations on trial: put in force, confirmed, taken back.
//!
//! While one is on trial the state directory says so, with the one before; nothing else does. An agent that finds that when
//! it starts goes back at once. Files are written when a trial is confirmed, or when one that was read from them is taken
//! back, and always say what is in force then.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    Engine, State,
    interfaces::{self, Plan},
    reload::{Candidate, keep_what_needs_a_restart, refuse},
    report::time,
};
use crate::{
    config::{self, Class, Config, History, Mode, Sources, Trial},
    control::{
        Refused, Why,
        api::DetachRequest,
        configuration::{
            Applied, ApplyRequest, Change, ChangeRequest, Confirmed, DiffReport, DiffRequest, Pending,
            RolledBack,
        },
    },
};

/// Where nothing is said.
const USUAL: Duration = Duration::from_secs(120);
/// A configuration may be on trial for so long.
const LONGEST: Duration = Duration::from_secs(86_400);
/// After how long taking back is tried again where it failed.
const RETRY: Duration = Duration::from_secs(5);
/// What files said before a trial was confirmed, and before one was taken back.
const REPLACED: &str = "replaced";
pub(super) const ROLLED_BACK: &str = "rolled-back";
/// What was in force before a trial was confirmed.
const LAST_GOOD: &str = "last-good";

/// What is known of a trial beside what is kept of it.
pub(super) struct OnTrial {
    deadline: Instant,
    until: SystemTime,
    /// The mode in force before it.
    mode: Mode,
    /// Classes whose limits an operator had changed before it.
    limits: Vec<Class>,
}

impl Engine {
    /// Puts a configuration in force until it is confirmed, or its time is over.
    pub(super) fn apply_configuration(&self, request: &ApplyRequest) -> Result<Applied, Refused> {
        let time = trial_time(request.confirm_seconds)?;
        let _alone = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        self.refuse_during_trial()?;
        let candidate = self.prepare(self.sources(request.text.as_ref(), request.name.clone())?)?;
        self.refuse_lockout(request.session(), &candidate)?;
        let (before, history, protected, mode, limits) = {
            let state = self.lock();
            let protected = state.interfaces.iter().map(|interface| interface.name.clone()).collect();
            let changed = state.configured.keys().filter_map(|name| state.config.class(name).cloned());
            (state.config.clone(), state.history.clone(), protected, state.mode, changed.collect())
        };
        refuse_other_places(&candidate.config, &before)?;
        let changes = changes(&Config { mode, ..before.clone() }, &candidate.config);
        let until = SystemTime::now() + time;
        let seconds = until.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let trial = History {
            trial: Some(Trial { until: seconds, protected, tried: candidate.sources.clone() }),
            ..history.clone()
        };
        let directory = &before.agent.state_dir;
        // First that it is to be taken back, then what: whatever happens in between, the next agent finds the way back.
        trial.save(directory).map_err(|error| {
            Refused::new(
                Why::Failed,
                format!("nothing was changed: that it is on trial cannot be kept: {error}"),
            )
            .hint("without it an agent that starts would not go back; see [agent] state_dir")
        })?;
        let mut state = self.lock();
        let reloaded = match self.reload_into(&mut state, candidate, None) {
            Ok(reloaded) => reloaded,
            Err(refused) => {
                drop(state);
                keep(&history, directory);
                return Err(refused);
            }
        };
        state.history = trial;
        state.trial = Some(OnTrial { deadline: Instant::now() + time, until, mode, limits });
        let pending = state.pending().unwrap_or_default();
        drop(state);
        self.expiry.notify_one();
        self.trials.notify_one();
        tracing::warn!(
            "a configuration is on trial until {}: it is taken back unless it is confirmed",
            pending.until
        );
        Ok(Applied { pending, changes, notes: reloaded.notes })
    }

    /// Keeps what is on trial, and makes the files say it.
    pub(super) fn confirm_configuration(&self) -> Result<Confirmed, Refused> {
        let _alone = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let (sources, history, directory) = {
            let state = self.lock();
            if state.trial.is_none() {
                return Err(Refused::new(Why::Conflict, "no configuration is on trial")
                    .hint("it was confirmed, or taken back when its time was over: `stopbank status` says what is in force"));
            }
            (state.sources.clone(), state.history.clone(), state.config.agent.state_dir.clone())
        };
        let file = &self.origin.file;
        let mut confirmed = Confirmed::default();
        let written = config::install(file, &sources, REPLACED).map_err(|error| {
            Refused::new(Why::Failed, format!("it stays on trial: the file cannot be written: {error}")).hint(
                "let the agent write there, or write the file yourself (`stopbank config show`) and confirm again",
            )
        })?;
        confirmed.written = shown(&written);
        if let Err(error) = config::keep(file, &history.good.text, LAST_GOOD) {
            confirmed.notes.push(format!("what was in force before is not kept beside the file: {error}"));
        }
        let history =
            History { good: sources, before: Some(history.good), trial: None, rejected: None, ..history };
        confirmed.notes.extend(keep(&history, &directory));
        let mut state = self.lock();
        state.history = history;
        state.trial = None;
        state.reload_error = None;
        drop(state);
        self.trials.notify_one();
        tracing::info!("the configuration on trial is confirmed");
        Ok(confirmed)
    }

    /// Goes back to what was in force before the trial, or else before the last change.
    pub(super) fn roll_back_configuration(&self, request: &ChangeRequest) -> Result<RolledBack, Refused> {
        let _alone = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let (on_trial, history) = {
            let state = self.lock();
            (state.trial.is_some(), state.history.clone())
        };
        let wanted = if on_trial { Some(history.good) } else { history.before };
        let Some(wanted) = wanted else {
            return Err(Refused::new(Why::Conflict, "no configuration is kept from before the one in force")
                .hint("`stopbank config show` prints the one in force"));
        };
        let candidate = self.prepare(wanted)?;
        if !on_trial {
            self.refuse_lockout(request.session(), &candidate)?;
        }
        self.go_back(candidate, "on request")
    }

    /// Takes back what is on trial when its time is over, for as long as the task lives.
    pub async fn watch_trials(self: Arc<Self>) {
        loop {
            let deadline = self.lock().trial.as_ref().map(|trial| trial.deadline);
            let wait = deadline.map_or(LONGEST, |at| at.saturating_duration_since(Instant::now()));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.trials.notified() => continue,
            }
            let engine = self.clone();
            let outcome = tokio::task::spawn_blocking(move || engine.take_back(false)).await;
            if !matches!(outcome, Ok(Ok(()))) {
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Takes back what is on trial: when its time is over, or `at_once`.
    pub(crate) fn take_back(&self, at_once: bool) -> Result<(), Refused> {
        let _alone = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = {
            let state = self.lock();
            match &state.trial {
                Some(trial) if at_once || trial.deadline <= Instant::now() => state.history.good.clone(),
                _ => return Ok(()),
            }
        };
        let why = if at_once { "because the agent stops" } else { "because nobody has confirmed it" };
        let outcome = self.prepare(wanted).and_then(|candidate| self.go_back(candidate, why));
        outcome.map(drop).inspect_err(|refused| {
            tracing::error!("a configuration on trial cannot be taken back: {}", refused.body.error);
        })
    }

    /// Puts an earlier configuration in force, and makes the files say it.
    fn go_back(&self, mut candidate: Candidate, why: &str) -> Result<RolledBack, Refused> {
        let wanted = candidate.sources.clone();
        let gone = wait_for_absent(&mut candidate.config);
        let mut state = self.lock();
        let mode = state.trial.as_ref().map(|trial| trial.mode);
        let reloaded = self.reload_into(&mut state, candidate, mode)?;
        state.reload_error = None;
        let trial = state.trial.take();
        let was_trial = trial.is_some();
        if let Some(OnTrial { limits, .. }) = trial.filter(|trial| !trial.limits.is_empty())
            && let Err(refused) = state.put_classes(limits)
        {
            tracing::error!("limits are the configuration's again: {}", refused.body.error);
        }
        state.rollbacks += 1;
        let (mut history, directory) = (state.history.clone(), state.config.agent.state_dir.clone());
        drop(state);
        self.expiry.notify_one();
        self.trials.notify_one();
        tracing::warn!("the configuration was taken back {why}; the one before is in force");
        let mut answer = RolledBack { notes: reloaded.notes, ..RolledBack::default() };
        answer.notes.extend(gone);
        let mut tried = None;
        if let Some(trial) = history.trial.take() {
            for name in self.detach_others(&trial.protected) {
                answer.notes.retain(|note| !note.contains(&format!("`stopbank detach {name}`")));
            }
            tried = Some(trial.tried);
        }
        let (written, rejected) = self.write_back(&wanted, tried.as_ref(), &mut answer.notes);
        answer.written = written;
        let before = history.before.filter(|_| was_trial);
        let history = History { good: wanted, before, trial: None, rejected, ..history };
        answer.notes.extend(keep(&history, &directory));
        self.lock().history = history;
        Ok(answer)
    }

    /// Makes the files say what is in force again; gives what they say where they cannot be written. After a trial, what was not
    /// tried is left alone: somebody has edited it since.
    fn write_back(
        &self,
        wanted: &Sources,
        tried: Option<&Sources>,
        notes: &mut Vec<String>,
    ) -> (Vec<String>, Option<Sources>) {
        if let Some(tried) = tried {
            let on_disk = config::read_sources_if_any(&self.origin.file).ok();
            if on_disk.as_ref().is_none_or(|on_disk| !on_disk.same_texts(tried)) {
                if on_disk.is_none_or(|on_disk| !on_disk.same_texts(wanted)) {
                    notes.push(
                        "the file says what was neither in force before nor on trial, and was left as it is; `stopbank config diff` shows what it would change"
                            .to_owned(),
                    );
                }
                return (Vec::new(), None);
            }
        }
        match config::install(&self.origin.file, wanted, ROLLED_BACK) {
            Ok(written) => (shown(&written), None),
            Err(error) => {
                notes.push(format!(
                    "the file says what was taken back still ({error}); an agent that starts goes by what is in force now"
                ));
                (Vec::new(), config::read_sources_if_any(&self.origin.file).ok())
            }
        }
    }

    /// Ends protection of interfaces that only the configuration taken back has named, and names them.
    pub(super) fn detach_others(&self, protected: &[String]) -> Vec<String> {
        let others: Vec<String> = {
            let state = self.lock();
            let other =
                state.interfaces.iter().filter(|one| !one.configured && !protected.contains(&one.name));
            other.map(|interface| interface.name.clone()).collect()
        };
        // None would mean all.
        if others.is_empty() {
            return others;
        }
        self.end_protection(&DetachRequest { interfaces: others }).map_or_else(
            |refused| {
                tracing::error!("interfaces that were protected on trial stay so: {}", refused.body.error);
                Vec::new()
            },
            |detached| detached.interfaces,
        )
    }

    /// What a configuration would change.
    pub(super) fn diff_configuration(&self, request: &DiffRequest) -> Result<DiffReport, Refused> {
        let mut new = config::parse_sources(&self.sources(request.text.as_ref(), request.name.clone())?)
            .map_err(|error| refuse(&error))?;
        if let Some(socket) = &self.origin.socket {
            new.agent.socket.clone_from(socket);
        }
        let old = {
            let state = self.lock();
            Config { mode: state.mode, ..state.config.clone() }
        };
        Ok(DiffReport { changes: changes(&old, &new) })
    }

    /// A text in the place of the configuration's file, or what stands there.
    fn sources(&self, text: Option<&String>, name: Option<String>) -> Result<Sources, Refused> {
        let file = &self.origin.file;
        match text {
            Some(text) => config::with_text(file, text.clone(), name),
            None => config::read_sources(file),
        }
        .map_err(|error| refuse(&error))
    }

    pub(super) fn refuse_during_trial(&self) -> Result<(), Refused> {
        match self.lock().pending() {
            Some(Pending { until, .. }) => {
                Err(Refused::new(Why::Conflict, format!("a configuration is on trial until {until}"))
                    .hint("first `stopbank config confirm` or `stopbank config rollback`"))
            }
            None => Ok(()),
        }
    }

    /// After a reload: `before` was in force.
    pub(super) fn note_reload(&self, before: Sources) {
        let (mut history, sources) = {
            let state = self.lock();
            (state.history.clone(), state.sources.clone())
        };
        if !before.same_texts(&sources) {
            history.before = Some(before);
        }
        history.good = sources;
        history.rejected = None;
        self.lock().history = history;
        self.keep_history();
    }

    /// Keeps what is in force for a later agent.
    pub(super) fn keep_history(&self) {
        let (history, directory) = {
            let state = self.lock();
            (state.history.clone(), state.config.agent.state_dir.clone())
        };
        keep(&history, &directory);
    }
}

impl State {
    /// Until when the configuration in force has to be confirmed.
    pub(super) fn pending(&self) -> Option<Pending> {
        let trial = self.trial.as_ref()?;
        let left = trial.deadline.saturating_duration_since(Instant::now());
        Some(Pending { until: time(trial.until), seconds_left: left.as_secs_f64() })
    }
}

/// Has interfaces waited for that are gone, and says so: they are no reason to stay with what is to be taken back.
pub(super) fn wait_for_absent(config: &mut Config) -> Vec<String> {
    let mut plan = Plan::new(config.interfaces.clone(), BTreeSet::new());
    let Ok(links) = interfaces::look(&mut plan) else { return Vec::new() };
    // Without any, nothing would be in force.
    if !plan.finds_any(&links) {
        return Vec::new();
    }
    let absent =
        config.interfaces.iter_mut().filter(|interface| interface.required && !plan.finds(interface, &links));
    absent
        .map(|interface| {
            interface.required = false;
            let note = format!("{} is not there; it is protected as soon as it is", interface.name);
            tracing::warn!("{note}");
            note
        })
        .collect()
}

fn trial_time(seconds: Option<f64>) -> Result<Duration, Refused> {
    let Some(seconds) = seconds else { return Ok(USUAL) };
    let time = Duration::try_from_secs_f64(seconds).ok();
    time.filter(|time| (Duration::from_secs(1)..=LONGEST).contains(time))
        .ok_or_else(|| Refused::new(Why::BadRequest, "the time to confirm is from one second to one day"))
}

/// The next agent must find what this one keeps, and hold the same lock while it looks.
fn refuse_other_places(new: &Config, old: &Config) -> Result<(), Refused> {
    let same = (&new.agent.pin_dir, &new.agent.state_dir, &new.agent.socket)
        == (&old.agent.pin_dir, &old.agent.state_dir, &old.agent.socket);
    if same {
        return Ok(());
    }
    Err(Refused::new(Why::Conflict, "[agent] pin_dir, state_dir and socket cannot be changed on trial")
        .hint("leave them as they are, or change the file and restart the agent"))
}

fn changes(old: &Config, new: &Config) -> Vec<Change> {
    let mut without_restart = new.clone();
    keep_what_needs_a_restart(&mut without_restart, old);
    let at_once = config::diff(old, &without_restart);
    let change = |one: config::Difference| Change {
        needs_restart: !at_once.contains(&one),
        key: one.key,
        before: one.before,
        after: one.after,
    };
    config::diff(old, new).into_iter().map(change).collect()
}

/// Keeps a history, or forgets the one that is kept, which says something else; tells if that fails.
fn keep(history: &History, directory: &std::path::Path) -> Option<String> {
    let error = history.save(directory).err()?;
    let note = match History::forget(directory) {
        Ok(()) => format!("what is in force is not kept for a rollback by a later agent: {error}"),
        Err(forgetting) => {
            format!("an agent that starts will go by an earlier state of things: {error}; {forgetting}")
        }
    };
    tracing::warn!("{note}");
    Some(note)
}

fn shown(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| crate::lists::printable(&path.display().to_string(), 4096)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    #[test]
    fn what_is_gone_is_waited_for_unless_nothing_would_be_protected() {
        let config = |names: &[&str]| {
            let blocks = names.iter().map(|name| format!("[[interface]]\nname = \"{name}\"\n"));
            parse("", &blocks.collect::<String>()).unwrap()
        };
        let required = |names: &[&str]| {
            let mut config = config(names);
            let notes = wait_for_absent(&mut config);
            (config.interfaces.iter().map(|interface| interface.required).collect(), notes.len())
        };
        assert_eq!(required(&["lo", "gone0", "gone1"]), (vec![true, false, false], 2));
        assert_eq!(required(&["lo"]), (vec![true], 0));
        assert_eq!(required(&["gone0"]), (vec![true], 0));
    }
}
