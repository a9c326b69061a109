//! What requests to change a list mean for the lists: everything is checked first, and a request with anything wrong in it
//! changes nothing.

use std::{
    collections::HashSet,
    net::IpAddr,
    time::{Duration, SystemTime},
};

use ipnet::IpNet;

use super::{
    Refused, Why,
    api::{AddRequest, Added, ItemError, ListEntry, RemoveRequest, Removed},
};
use crate::{
    lists::{
        Change, Item, LONGEST_REASON, LONGEST_TIME, ListName, Listed, NotRemoved, Origin, Store, objection,
        parse_prefix, wall_clock,
    },
    state::{Action, Event, Kept, Line, grouped, milliseconds, time_of},
};

/// Prefixes in a line that is kept.
const REMOVED_A_LINE: usize = 256;
/// Notes in an answer; the rest is only counted.
const NOTES: usize = 10;

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Who {
    /// User of the process at the other end of the socket, as the kernel says.
    pub uid: Option<u32>,
}

/// A change to the lists that was made in the store.
#[derive(Debug)]
pub struct Done<T> {
    /// To be made in the kernel, or undone in the store.
    pub changes: Vec<Change>,
    /// To be kept once that is done.
    pub lines: Vec<Line>,
    /// To be answered.
    pub answer: T,
}

/// Adds entries to a list, all or none. `now_ns` is the kernel's monotonic clock. The changes are to be made in the
/// kernel, or undone in the store.
///
/// # Errors
///
/// [`Refused`], naming every prefix that is at fault; the store is as it was then.
pub fn add(
    store: &mut Store,
    list: ListName,
    request: &AddRequest,
    who: Who,
    now_ns: u64,
) -> Result<Done<Added>, Refused> {
    let prefixes = prefixes(&request.prefixes)?;
    let item = item(request, now_ns)?;
    if !request.force {
        refuse_objections(list, &prefixes, request.operator)?;
    }
    refuse_too_many(store, &prefixes)?;
    let (mut changes, mut answer) = (Vec::new(), Added::default());
    for prefix in &prefixes {
        *(if is_operators(store, list, prefix) { &mut answer.replaced } else { &mut answer.added }) += 1;
        changes.extend(store.add(list, *prefix, item.clone()));
    }
    answer.notes = without_effect(store, list, prefixes.iter());
    let kept = Kept::of(&item);
    let event = Event {
        uid: who.uid,
        session: request.operator,
        reason: kept.reason.clone(),
        until: kept.until,
        ..Event::new(Action::Add, list, &prefixes)
    };
    let mut lines = grouped(prefixes.iter().map(|prefix| (list, *prefix, kept.clone())));
    lines.push(Line::Event(event));
    Ok(Done { changes, lines, answer })
}

/// Whether the list has an entry of an operator's for the very prefix.
pub(super) fn is_operators(store: &Store, list: ListName, prefix: &IpNet) -> bool {
    store.get(list, prefix).is_some_and(|listed| listed.item.origin != Origin::Configuration)
}

/// What was added and does nothing.
pub(super) fn without_effect<'p>(
    store: &Store,
    list: ListName,
    prefixes: impl Iterator<Item = &'p IpNet>,
) -> Vec<String> {
    limited(prefixes.filter_map(|prefix| {
        let beaten = store.get(list, prefix)?.beaten_by?;
        Some(format!("{prefix} has no effect while the {} list has the same prefix", beaten.name()))
    }))
}

pub(super) fn refuse_too_many(store: &Store, prefixes: &[IpNet]) -> Result<(), Refused> {
    let new = prefixes.iter().filter(|prefix| !store.knows(prefix)).count();
    let room = store.room();
    if new <= room {
        return Ok(());
    }
    Err(Refused::new(Why::Conflict, format!("the lists have room for {room} more prefixes, not for {new}"))
        .hint("remove some, or put wider prefixes in their place"))
}

/// Removes entries from a list, all or none. The changes are to be made in the kernel, or undone in the store.
///
/// # Errors
///
/// [`Refused`], naming every prefix that is at fault; the store is as it was then.
pub fn remove(
    store: &mut Store,
    list: ListName,
    request: &RemoveRequest,
    who: Who,
    now_ns: u64,
) -> Result<Done<Removed>, Refused> {
    let prefixes = prefixes(&request.prefixes)?;
    let (mut changes, mut errors, mut answer) = (Vec::new(), Vec::new(), Removed::default());
    for (index, prefix) in prefixes.iter().enumerate() {
        let entry = store.get(list, prefix);
        match store.remove(list, *prefix) {
            Ok(change) => {
                changes.extend(change);
                answer.removed.extend(entry.map(|listed| list_entry(listed, now_ns)));
            }
            Err(why) => errors.push((index, *prefix, why)),
        }
    }
    if !errors.is_empty() {
        for change in changes.into_iter().rev() {
            store.undo(change);
        }
        return Err(refuse_removal(store, list, &errors));
    }
    answer.notes = limited(prefixes.iter().filter_map(|prefix| {
        if let Some(listed) = store.get(list, prefix) {
            return Some(format!(
                "{prefix} is still on the {} list: {}",
                list.name(),
                listed.item.origin.name()
            ));
        }
        let wider = store.containing(list, *prefix);
        Some(format!("{prefix} is still on the {} list as part of {}", list.name(), wider.first()?))
    }));
    let event =
        Event { uid: who.uid, session: request.operator, ..Event::new(Action::Remove, list, &prefixes) };
    let removed = prefixes.chunks(REMOVED_A_LINE);
    let lines = removed.map(|prefixes| Line::Remove { list, prefixes: prefixes.to_vec() });
    let lines = lines.chain([Line::Event(event)]).collect();
    Ok(Done { changes, lines, answer })
}

/// An entry as the API gives it.
pub fn list_entry(listed: Listed, now_ns: u64) -> ListEntry {
    let time = |time| humantime::format_rfc3339_millis(time).to_string();
    let left = listed.item.expires_ns.map(|at| Duration::from_nanos(at.saturating_sub(now_ns)));
    ListEntry {
        prefix: listed.prefix.to_string(),
        reason: listed.item.reason,
        origin: listed.item.origin,
        added: listed.item.added.map(time),
        expires: listed.item.until.map(time),
        expires_in_seconds: left.map(|left| left.as_secs_f64()),
        beaten_by: listed.beaten_by.map(|list| list.name().to_owned()),
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
    let (mut prefixes, mut seen, mut errors) = (Vec::new(), HashSet::new(), Vec::new());
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
    Err(Refused::new(
        Why::BadRequest,
        format!("nothing was changed: {count} of {} are no prefixes", texts.len()),
    )
    .items(errors))
}

/// The entry that a request describes.
fn item(request: &AddRequest, now_ns: u64) -> Result<Item, Refused> {
    if let Some(reason) = &request.reason {
        check_reason(reason).map_err(|why| Refused::new(Why::BadRequest, why))?;
    }
    let expires_ns = match request.for_seconds {
        None => None,
        Some(seconds) => {
            let time = Duration::try_from_secs_f64(seconds)
                .ok()
                .filter(|time| !time.is_zero() && *time <= LONGEST_TIME);
            let Some(time) = time else {
                return Err(Refused::new(
                    Why::BadRequest,
                    "the time must be more than nothing and at most ten years",
                )
                .hint("leave it out for an entry that stays until it is removed"));
            };
            Some(now_ns + time.as_nanos() as u64)
        }
    };
    let reason = request.reason.clone().filter(|reason| !reason.is_empty());
    Ok(Item {
        expires_ns,
        until: expires_ns.map(|at| wall_clock(at, now_ns)),
        added: Some(time_of(milliseconds(SystemTime::now()))),
        reason,
        origin: Origin::Operator,
    })
}

/// Whether an operator may say this for a reason.
pub(super) fn check_reason(reason: &str) -> Result<(), String> {
    if reason.chars().count() > LONGEST_REASON || reason.chars().any(char::is_control) {
        return Err(format!("a reason is one line of at most {LONGEST_REASON} characters"));
    }
    Ok(())
}

pub(super) fn refuse_objections(
    list: ListName,
    prefixes: &[IpNet],
    operator: Option<IpAddr>,
) -> Result<(), Refused> {
    let objections: Vec<ItemError> = prefixes
        .iter()
        .enumerate()
        .filter_map(|(index, prefix)| Some(ItemError { index, error: objection(list, prefix, operator)? }))
        .collect();
    if objections.is_empty() {
        return Ok(());
    }
    Err(Refused::new(Why::Conflict, "nothing was changed, because this looks like a slip")
        .hint("if it is meant, repeat it with --force (API: \"force\": true)")
        .items(objections))
}

fn refuse_removal(store: &Store, list: ListName, errors: &[(usize, IpNet, NotRemoved)]) -> Refused {
    let name = list.name();
    let explain = |prefix: &IpNet, why: &NotRemoved| match why {
        NotRemoved::Configured => format!("{prefix} is on the {name} list by the configuration"),
        NotRemoved::NotListed => match store.containing(list, *prefix).first() {
            Some(wider) => format!("{prefix} is on the {name} list only as part of {wider}"),
            None => format!("{prefix} is not on the {name} list"),
        },
    };
    let items =
        errors.iter().map(|(index, prefix, why)| ItemError { index: *index, error: explain(prefix, why) });
    let items = items.collect();
    if errors.iter().all(|(.., why)| *why == NotRemoved::Configured) {
        return Refused::new(Why::Conflict, "nothing was removed")
            .items(items)
            .hint("take them out of the configuration, then `stopbank reload`");
    }
    Refused::new(Why::NotFound, "nothing was removed")
        .items(items)
        .hint(format!("`stopbank {name} ls` shows what is there"))
}
