//! What requests to import entries mean for the lists: each with its own reason and times, all of them or none.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use ipnet::IpNet;

use super::{
    Refused, Why,
    api::{ImportEntry, ImportRequest, Imported, ItemError},
    lists::{Done, Who, check_reason, is_operators, refuse_objections, refuse_too_many, without_effect},
};
use crate::{
    lists::{Item, LONGEST_TIME, ListName, Origin, Store, parse_prefix},
    state::{Action, Event, Kept, Line, grouped, milliseconds, time_of},
};

/// Adds entries to a list as they were exported, all or none. `now_ns` is the kernel's monotonic clock.
///
/// # Errors
///
/// [`Refused`], naming every entry that is at fault; the store is as it was then.
pub fn import(
    store: &mut Store,
    list: ListName,
    request: &ImportRequest,
    who: Who,
    now_ns: u64,
) -> Result<Done<Imported>, Refused> {
    let mut entries = read(&request.entries, SystemTime::now(), now_ns)?;
    let all = entries.len();
    entries.retain(|_, item| item.expires_ns.is_none_or(|at| at > now_ns));
    let prefixes: Vec<IpNet> = entries.keys().copied().collect();
    if !request.force {
        refuse_objections(list, &prefixes, request.operator)?;
    }
    refuse_too_many(store, &prefixes)?;
    let mut answer = Imported { expired: all - entries.len(), ..Imported::default() };
    let (mut changes, mut kept) = (Vec::new(), Vec::with_capacity(entries.len()));
    for (prefix, item) in entries {
        *(if is_operators(store, list, &prefix) { &mut answer.replaced } else { &mut answer.added }) += 1;
        kept.push((list, prefix, Kept::of(&item)));
        changes.extend(store.add(list, prefix, item));
    }
    answer.notes = without_effect(store, list, prefixes.iter());
    let reason = kept.first().and_then(|(.., first)| first.reason.clone());
    let event = Event {
        uid: who.uid,
        session: request.operator,
        // Where all have the same.
        reason: reason.filter(|_| kept.iter().all(|(.., one)| one.reason == kept[0].2.reason)),
        ..Event::new(Action::Import, list, &prefixes)
    };
    let mut lines = grouped(kept);
    lines.push(Line::Event(event));
    Ok(Done { changes, lines, answer })
}

/// Reads every entry, or names every one that cannot be read.
fn read(entries: &[ImportEntry], now: SystemTime, now_ns: u64) -> Result<BTreeMap<IpNet, Item>, Refused> {
    if entries.is_empty() {
        return Err(Refused::new(Why::BadRequest, "no entries were given"));
    }
    let (mut read, mut errors) = (BTreeMap::new(), Vec::new());
    for (index, entry) in entries.iter().enumerate() {
        match read_one(entry, now, now_ns) {
            Ok((prefix, item)) => drop(read.insert(prefix, item)),
            Err(error) => errors.push(ItemError { index, error }),
        }
    }
    if errors.is_empty() {
        return Ok(read);
    }
    let (bad, all) = (errors.len(), entries.len());
    Err(Refused::new(Why::BadRequest, format!("nothing was changed: {bad} of {all} entries are none"))
        .items(errors))
}

fn read_one(entry: &ImportEntry, now: SystemTime, now_ns: u64) -> Result<(IpNet, Item), String> {
    let prefix = parse_prefix(&entry.prefix).map_err(|error| error.to_string())?;
    let wrong = |error: String| format!("{prefix}: {error}");
    let reason = entry.reason.clone().filter(|reason| !reason.is_empty());
    reason.as_deref().map_or(Ok(()), check_reason).map_err(wrong)?;
    let time = |name: &str, text: &Option<String>| {
        let read = text.as_deref().map(humantime::parse_rfc3339).transpose();
        read.map(|time| time.map(milliseconds).map(time_of)).map_err(|_| {
            let shown = crate::lists::printable(text.as_deref().unwrap_or_default(), 40);
            wrong(format!("`{shown}` in {name} is no time such as 2026-01-31T12:00:00Z"))
        })
    };
    let (added, until) = (time("added", &entry.added)?, time("expires", &entry.expires)?);
    let left = |until: SystemTime| until.duration_since(now).unwrap_or(Duration::ZERO);
    if until.is_some_and(|until| left(until) > LONGEST_TIME) {
        return Err(wrong("it must end within ten years, or never: leave `expires` out".to_owned()));
    }
    let item = Item {
        expires_ns: until.map(|until| now_ns + left(until).as_nanos() as u64),
        until,
        // Nobody has made it tomorrow.
        added: Some(added.filter(|added| *added <= now).unwrap_or(time_of(milliseconds(now)))),
        reason,
        origin: Origin::Operator,
    };
    Ok((prefix, item))
}
