//! Changes to the lists, the mode, and the end of protection.

use std::time::{Duration, SystemTime};

use ipnet::IpNet;

use super::{Engine, State};
use crate::{
    config::Mode,
    control::{
        Refused, Why,
        api::{AddRequest, Added, DetachRequest, Detached, ItemError, ModeReport, RemoveRequest, Removed},
    },
    datapath::{detach_all, monotonic_ns},
    lists::{Item, ListName, NotRemoved, Origin, objection, parse_prefix, printable},
};

/// Longest reason, in characters.
const LONGEST_REASON: usize = 200;
/// Longest time that an entry may be given; whoever means longer means for ever.
const LONGEST_TIME: Duration = Duration::from_secs(10 * 366 * 86_400);
/// Notes of one kind in an answer; the rest is only counted.
const NOTES: usize = 10;

impl Engine {
    /// Adds entries to a list, all or none.
    pub(super) fn add_entries(&self, list: ListName, request: &AddRequest) -> Result<Added, Refused> {
        let prefixes = prefixes(&request.prefixes)?;
        let item = item(request)?;
        if !request.force {
            refuse_objections(list, &prefixes, request)?;
        }
        let mut state = self.lock();
        let new = prefixes.iter().filter(|prefix| !state.lists.knows(prefix)).count();
        if new > state.lists.room() {
            let room = state.lists.room();
            return Err(Refused::new(Why::Conflict, format!("the lists have room for {room} more prefixes, not for {new}"))
                .hint("remove some, or put wider prefixes in their place"));
        }
        let mut answer = Added::default();
        let mut changes = Vec::new();
        for prefix in &prefixes {
            let before = state.lists.get(list, prefix).is_some_and(|listed| listed.item.origin != Origin::Configuration);
            *(if before { &mut answer.replaced } else { &mut answer.added }) += 1;
            changes.extend(state.lists.add(list, *prefix, item.clone()));
        }
        state.apply(changes)?;
        answer.notes = state.notes_on(list, &prefixes);
        drop(state);
        self.expiry.notify_one();
        log_change("added to", list, &request.prefixes, request.reason.as_deref());
        Ok(answer)
    }

    /// Removes entries from a list, all or none.
    pub(super) fn remove_entries(&self, list: ListName, request: &RemoveRequest) -> Result<Removed, Refused> {
        let prefixes = prefixes(&request.prefixes)?;
        let mut state = self.lock();
        let (mut changes, mut errors, mut answer) = (Vec::new(), Vec::new(), Removed::default());
        for (index, prefix) in prefixes.iter().enumerate() {
            let entry = state.lists.get(list, prefix);
            match state.lists.remove(list, *prefix) {
                Ok(change) => {
                    changes.extend(change);
                    answer.removed.extend(entry.map(super::report::list_entry));
                }
                Err(why) => errors.push((index, explain(list, prefix, &why), why)),
            }
        }
        if !errors.is_empty() {
            for change in changes.into_iter().rev() {
                state.lists.undo(change);
            }
            return Err(refuse_removal(list, errors));
        }
        state.apply(changes)?;
        answer.notes = state.notes_after(list, &prefixes);
        drop(state);
        self.expiry.notify_one();
        log_change("removed from", list, &request.prefixes, None);
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
            let interfaces = detach_all(&pins)?;
            state.interfaces.clear();
            tracing::warn!("protection ended on request: {}; stopping", interfaces.join(", "));
            self.stop.send_replace(true);
            return Ok(Detached { interfaces, stopping: true });
        }
        let attached = state.datapath.attached_interfaces()?;
        let unknown: Vec<ItemError> = request
            .interfaces
            .iter()
            .enumerate()
            .filter(|(_, name)| !attached.contains(name))
            .map(|(index, name)| ItemError { index, error: format!("{} is not protected", printable(name, 40)) })
            .collect();
        if !unknown.is_empty() {
            return Err(Refused::new(Why::NotFound, "nothing was detached")
                .hint(format!("protected are: {}", attached.join(", ")))
                .items(unknown));
        }
        for name in &request.interfaces {
            state.datapath.detach(name)?;
            state.interfaces.retain(|interface| interface.name != *name);
            tracing::warn!("{name} is protected no longer, on request");
        }
        Ok(Detached { interfaces: request.interfaces.clone(), stopping: false })
    }
}

impl State {
    /// What of what was just added has no effect, or less than one might think.
    fn notes_on(&self, list: ListName, prefixes: &[IpNet]) -> Vec<String> {
        let notes = prefixes.iter().filter_map(|prefix| {
            let beaten = self.lists.get(list, prefix)?.beaten_by?;
            Some(format!("{prefix} has no effect while the {} list has the same prefix", beaten.name()))
        });
        limited(notes)
    }

    /// What still holds for what was just removed.
    fn notes_after(&self, list: ListName, prefixes: &[IpNet]) -> Vec<String> {
        let notes = prefixes.iter().filter_map(|prefix| {
            if let Some(listed) = self.lists.get(list, prefix) {
                return Some(format!("{prefix} is still on the {} list: {}", list.name(), listed.item.origin.name()));
            }
            let wider = self.lists.containing(list, *prefix);
            let wider = wider.first()?;
            Some(format!("{prefix} is still on the {} list as part of {wider}", list.name()))
        });
        limited(notes)
    }
}

fn limited(notes: impl Iterator<Item = String>) -> Vec<String> {
    let mut notes = notes;
    let mut shown: Vec<String> = notes.by_ref().take(NOTES).collect();
    match notes.count() {
        0 => {}
        more => shown.push(format!("… and {more} more like these")),
    }
    shown
}

/// Reads every prefix, or names every one that cannot be read. What stands twice counts once.
fn prefixes(texts: &[String]) -> Result<Vec<IpNet>, Refused> {
    if texts.is_empty() {
        return Err(Refused::new(Why::BadRequest, "no prefixes were given"));
    }
    let (mut prefixes, mut seen, mut errors) = (Vec::new(), std::collections::HashSet::new(), Vec::new());
    for (index, text) in texts.iter().enumerate() {
        match parse_prefix(text) {
            Ok(prefix) => {
                if seen.insert(prefix) {
                    prefixes.push(prefix);
                }
            }
            Err(error) => errors.push(ItemError { index, error: error.to_string() }),
        }
    }
    if errors.is_empty() {
        return Ok(prefixes);
    }
    let count = errors.len();
    Err(Refused::new(Why::BadRequest, format!("nothing was changed: {count} of {} are no prefixes", texts.len()))
        .items(errors))
}

/// The entry that a request describes.
fn item(request: &AddRequest) -> Result<Item, Refused> {
    if let Some(reason) = &request.reason
        && (reason.chars().count() > LONGEST_REASON || reason.chars().any(char::is_control))
    {
        return Err(Refused::new(
            Why::BadRequest,
            format!("a reason is one line of at most {LONGEST_REASON} characters"),
        ));
    }
    let expires_ns = match request.for_seconds {
        None => None,
        Some(seconds) => {
            let time = Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero() && *time <= LONGEST_TIME);
            let Some(time) = time else {
                return Err(Refused::new(Why::BadRequest, "the time must be more than nothing and at most ten years")
                    .hint("leave it out for an entry that stays until it is removed"));
            };
            Some(monotonic_ns() + time.as_nanos() as u64)
        }
    };
    let reason = request.reason.clone().filter(|reason| !reason.is_empty());
    Ok(Item { expires_ns, added: Some(SystemTime::now()), reason, origin: Origin::Operator })
}

fn refuse_objections(list: ListName, prefixes: &[IpNet], request: &AddRequest) -> Result<(), Refused> {
    let objections: Vec<ItemError> = prefixes
        .iter()
        .enumerate()
        .filter_map(|(index, prefix)| {
            Some(ItemError { index, error: objection(list, prefix, request.operator)? })
        })
        .collect();
    if objections.is_empty() {
        return Ok(());
    }
    Err(Refused::new(Why::Conflict, "nothing was changed, because this looks like a slip")
        .hint("if it is meant, repeat it with --force (API: \"force\": true)")
        .items(objections))
}

fn refuse_removal(list: ListName, errors: Vec<(usize, String, NotRemoved)>) -> Refused {
    let configured = errors.iter().all(|(.., why)| *why == NotRemoved::Configured);
    let why = if configured { Why::Conflict } else { Why::NotFound };
    let items = errors.into_iter().map(|(index, error, _)| ItemError { index, error }).collect();
    let refused = Refused::new(why, "nothing was removed").items(items);
    if configured {
        refused.hint("take them out of the configuration, then `stopbank reload`")
    } else {
        refused.hint(format!("`stopbank {} ls` shows what is there", list.name()))
    }
}

fn explain(list: ListName, prefix: &IpNet, why: &NotRemoved) -> String {
    let name = list.name();
    match why {
        NotRemoved::Configured => format!("{prefix} is on the {name} list by the configuration"),
        NotRemoved::NotListed(wider) => match wider.first() {
            Some(wider) => format!("{prefix} is on the {name} list only as part of {wider}"),
            None => format!("{prefix} is not on the {name} list"),
        },
    }
}

fn log_change(what: &str, list: ListName, prefixes: &[String], reason: Option<&str>) {
    let shown: Vec<&str> = prefixes.iter().take(5).map(String::as_str).collect();
    let more = if prefixes.len() > shown.len() { ", …" } else { "" };
    tracing::info!(entries = prefixes.len(), reason, "{what} the {} list: {}{more}", list.name(), shown.join(", "));
}
