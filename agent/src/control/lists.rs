//! What requests to change a list mean for the lists: everything is checked first, and a request with anything wrong in it
//! changes nothing.

use std::{
    collections::HashSet,
    time::{Duration, SystemTime},
};

use ipnet::IpNet;

use super::{
    Refused, Why,
    api::{AddRequest, Added, ItemError, ListEntry, RemoveRequest, Removed},
};
use crate::lists::{Change, Item, ListName, Listed, NotRemoved, Origin, Store, objection, parse_prefix};

/// Longest reason, in characters.
const LONGEST_REASON: usize = 200;
/// Longest time that an entry may be given; whoever means longer means for ever.
const LONGEST_TIME: Duration = Duration::from_secs(10 * 366 * 86_400);
/// Notes in an answer; the rest is only counted.
const NOTES: usize = 10;

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
    now_ns: u64,
) -> Result<(Vec<Change>, Added), Refused> {
    let prefixes = prefixes(&request.prefixes)?;
    let item = item(request, now_ns)?;
    if !request.force {
        refuse_objections(list, &prefixes, request)?;
    }
    let new = prefixes.iter().filter(|prefix| !store.knows(prefix)).count();
    let room = store.room();
    if new > room {
        return Err(Refused::new(
            Why::Conflict,
            format!("the lists have room for {room} more prefixes, not for {new}"),
        )
        .hint("remove some, or put wider prefixes in their place"));
    }
    let (mut changes, mut answer) = (Vec::new(), Added::default());
    for prefix in &prefixes {
        let renewed =
            store.get(list, prefix).is_some_and(|listed| listed.item.origin != Origin::Configuration);
        *(if renewed { &mut answer.replaced } else { &mut answer.added }) += 1;
        changes.extend(store.add(list, *prefix, item.clone()));
    }
    answer.notes = limited(prefixes.iter().filter_map(|prefix| {
        let beaten = store.get(list, prefix)?.beaten_by?;
        Some(format!("{prefix} has no effect while the {} list has the same prefix", beaten.name()))
    }));
    Ok((changes, answer))
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
    now_ns: u64,
) -> Result<(Vec<Change>, Removed), Refused> {
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
    Ok((changes, answer))
}

/// An entry as the API gives it.
pub fn list_entry(listed: Listed, now_ns: u64) -> ListEntry {
    let time = |time| humantime::format_rfc3339_seconds(time).to_string();
    let left = listed.item.expires_ns.map(|at| Duration::from_nanos(at.saturating_sub(now_ns)));
    ListEntry {
        prefix: listed.prefix.to_string(),
        reason: listed.item.reason,
        origin: listed.item.origin,
        added: listed.item.added.map(time),
        expires: left.map(|left| time(SystemTime::now() + left)),
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
