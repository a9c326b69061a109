//! What an operator puts on the lists is kept for a reboot, and who did it when and why is remembered.

use std::{
    fs::File,
    io,
    path::Path,
    sync::{Arc, PoisonError},
    thread,
    time::{Duration, SystemTime},
};

use ipnet::IpNet;

use super::{Engine, State};
use crate::{
    config::ConfiguredLists,
    control::{
        Refused,
        api::{HistoryReport, StateStatus},
        lists::Done,
    },
    datapath::{Entry, monotonic_ns},
    lists::{Inherited, ListName, Portion, Store},
    state::{Action, Contents, Event, History, Keeper, Kept, Line, Outcome, Source, grouped},
};

/// Prefixes of a portion of a snapshot; the lists are locked for so many at a time.
const PORTION: usize = 4096;

/// What a start finds on the disk and in the kernel.
pub(super) struct Resumed {
    pub(super) keeper: Keeper,
    pub(super) lock: Option<File>,
    pub(super) inherited: Inherited,
    pub(super) record: History,
    /// What is new about it, to be kept once the agent has taken hold.
    pub(super) lines: Vec<Line>,
}

impl Resumed {
    /// Reads what is kept below a state directory, and brings it together with what the kernel holds.
    pub(super) fn new(state: &Path, kernel: &[(IpNet, Entry)], configured: &ConfiguredLists) -> Self {
        let (keeper, Contents { entries, history: mut record, .. }, lock) = Keeper::open(state);
        let (clock, now) = (SystemTime::now(), monotonic_ns());
        let mut over = Vec::new();
        let kept = entries.into_iter().map(|((list, prefix), kept)| {
            let item = kept.item(clock, now);
            if item.expires_ns.is_some_and(|at| at <= now) {
                over.push((list, prefix));
            }
            (list, prefix, item)
        });
        let inherited = Store::inherit(kernel, kept, configured, now);
        let mut lines = removals(&over);
        lines.extend(removals(&inherited.stale));
        lines.extend(grouped(inherited.unknown.iter().filter_map(|(list, prefix)| {
            Some((*list, *prefix, Kept::of(&inherited.store.get(*list, prefix)?.item)))
        })));
        let expired = events(Action::Expire, &over);
        for event in expired.into_iter().chain(events(Action::Restore, &inherited.restored)) {
            record.push(event.clone());
            lines.push(Line::Event(event));
        }
        log(&inherited, over.len());
        Self { keeper, lock, inherited, record, lines }
    }
}

fn log(inherited: &Inherited, expired: usize) {
    let Inherited { restored, stale, unknown, left_out, .. } = inherited;
    if !restored.is_empty() {
        tracing::info!(
            entries = restored.len(),
            expired,
            "bans and allow entries are back, as they were kept"
        );
    }
    if !stale.is_empty() || !unknown.is_empty() {
        tracing::warn!(
            gone = stale.len(),
            unknown = unknown.len(),
            "an earlier agent could not keep all that was done; what the kernel holds counts"
        );
    }
    if *left_out > 0 {
        tracing::error!(entries = left_out, "the lists have no room for all that was kept");
    }
}

/// Lines that take entries off, by list.
fn removals(entries: &[(ListName, IpNet)]) -> Vec<Line> {
    let mut lines = Vec::new();
    for list in [ListName::Allow, ListName::Ban] {
        let prefixes = of(list, entries);
        lines.extend(prefixes.chunks(256).map(|some| Line::Remove { list, prefixes: some.to_vec() }));
    }
    lines
}

/// One event for each list that has any of the entries.
fn events(action: Action, entries: &[(ListName, IpNet)]) -> Vec<Event> {
    let lists = [ListName::Allow, ListName::Ban].map(|list| (list, of(list, entries)));
    let any = lists.into_iter().filter(|(_, prefixes)| !prefixes.is_empty());
    any.map(|(list, prefixes)| Event::new(action, list, &prefixes)).collect()
}

fn of(list: ListName, entries: &[(ListName, IpNet)]) -> Vec<IpNet> {
    entries.iter().filter(|(one, _)| *one == list).map(|(_, prefix)| *prefix).collect()
}

impl Engine {
    /// Makes a change to the lists: in the store, in the kernel, and on the disk. Gives the answer, and what is to be said of the
    /// disk.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut Store, u64) -> Result<Done<T>, Refused>,
    ) -> Result<(T, Option<String>), Refused> {
        let mut state = self.lock();
        let Done { changes, lines, answer } = change(&mut state.lists, monotonic_ns())?;
        state.apply(changes)?;
        state.remember(&lines);
        let ticket = self.keeper.push(lines);
        drop(state);
        self.expiry.notify_one();
        let note = match self.keeper.wait(ticket) {
            Outcome::Written => None,
            Outcome::Slow => Some(
                "this is in force, but the disk takes its time: a reboot within the next moments would undo it"
                    .to_owned(),
            ),
            Outcome::Failed(why) => Some(format!(
                "this is in force, but a reboot would undo it: {why}. It is tried again and again; `stopbank status` says how it stands"
            )),
        };
        Ok((answer, note))
    }

    /// What has expired, for the history and the disk.
    pub(super) fn keep_expired(&self, state: &mut State, expired: &[(ListName, IpNet)]) {
        if expired.is_empty() {
            return;
        }
        let mut lines = removals(expired);
        lines.extend(events(Action::Expire, expired).into_iter().map(Line::Event));
        state.remember(&lines);
        self.keeper.push(lines);
    }

    pub(super) fn report_history(
        &self,
        list: ListName,
        limit: usize,
        prefix: Option<IpNet>,
    ) -> HistoryReport {
        let state = self.lock();
        let wanted =
            |event: &&Event| event.list == list && prefix.is_none_or(|prefix| event.concerns(&prefix));
        HistoryReport {
            events: state.record.iter().rev().filter(wanted).take(limit).map(Into::into).collect(),
        }
    }

    /// How it goes with keeping the lists.
    pub(super) fn state_status(&self) -> StateStatus {
        self.keeper.status().into()
    }

    /// Starts the two threads that keep the lists; [`Engine::finish_lists`] ends them.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn keep_lists(self: &Arc<Self>) -> io::Result<()> {
        let lock = self.state_lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (writer, synchroniser) = (self.clone(), self.clone());
        thread::Builder::new().name("lists".to_owned()).spawn(move || writer.keeper.write(&*writer, lock))?;
        thread::Builder::new()
            .name("lists-sync".to_owned())
            .spawn(move || synchroniser.keeper.synchronise())?;
        Ok(())
    }

    /// Waits, at most so long, until all that was done to the lists is on the disk.
    pub fn finish_lists(&self, at_most: Duration) {
        self.keeper.finish(at_most);
    }
}

impl State {
    /// Takes what was done into the history.
    fn remember(&mut self, lines: &[Line]) {
        for line in lines {
            if let Line::Event(event) = line {
                self.record.push(event.clone());
            }
        }
    }
}

impl Source for Engine {
    fn entries(&self, after: Option<IpNet>) -> Option<Portion<Kept>> {
        let (entries, last) = self.lock().lists.portion(after, PORTION)?;
        Some((entries.iter().map(|(list, prefix, item)| (*list, *prefix, Kept::of(item))).collect(), last))
    }

    fn events(&self) -> Vec<Event> {
        self.lock().record.iter().cloned().collect()
    }
}
