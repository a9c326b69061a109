//! The lists of an agent that starts: from what the kernel holds, from what an earlier agent has kept, and from the configuration.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, SystemTime},
};

use ipnet::IpNet;
use stopbank_common::list::{VERDICT_ALLOW, VERDICT_BAN, VERDICT_DENY};

use super::{Change, Item, Layers, ListName, OPERATORS_NEVER, Origin, Store, wall_clock};
use crate::{config::ConfiguredLists, datapath::Entry};

/// Lists that were inherited, and what came of it.
#[derive(Debug)]
pub struct Inherited {
    /// The lists.
    pub store: Store,
    /// What brings the kernel in line.
    pub changes: Vec<Change>,
    /// Entries that were kept and that the kernel did not hold any more, as after a reboot.
    pub restored: Vec<(ListName, IpNet)>,
    /// Entries that the kernel held and that were not kept.
    pub unknown: Vec<(ListName, IpNet)>,
    /// Entries that were kept, and had been removed when nothing could be written.
    pub stale: Vec<(ListName, IpNet)>,
    /// Entries that there was no room for.
    pub left_out: usize,
}

impl Store {
    /// What the configuration says, and what an earlier agent's operator did.
    ///
    /// Where the kernel holds anything of an operator's, it decides what is in force, and until when; what was `kept`
    /// says the rest: why, since when, and what another entry for the same prefix hides. Where it holds nothing, as
    /// after a reboot, all that was kept comes back. Of both, nothing whose time is over.
    pub fn inherit(
        kernel: &[(IpNet, Entry)],
        kept: impl IntoIterator<Item = (ListName, IpNet, Item)>,
        configured: &ConfiguredLists,
        now_ns: u64,
    ) -> Inherited {
        let (mut store, mut restored, mut stale) = (Self::default(), Vec::new(), Vec::new());
        let (mut unknown, mut left_out) = (Vec::new(), 0);
        let held: HashMap<IpNet, Entry> = kernel.iter().copied().collect();
        let decides = kernel.iter().any(|(_, entry)| operators(entry).is_some());
        for (list, prefix, mut item) in kept {
            if item.expires_ns.is_some_and(|at| at <= now_ns) {
                continue;
            }
            let entry = held.get(&prefix);
            let confirmed = entry.filter(|entry| operators(entry) == Some(list));
            if let Some(entry) = confirmed {
                item.expires_ns = (entry.expires_ns != OPERATORS_NEVER).then_some(entry.expires_ns);
                item.until = item.expires_ns.map(|at| kept_time(item.until, wall_clock(at, now_ns)));
            } else if decides && !entry.is_some_and(|entry| hides(entry, list, &item)) {
                stale.push((list, prefix));
                continue;
            } else if !decides {
                restored.push((list, prefix));
            }
            if store.room() == 0 && !store.knows(&prefix) {
                left_out += 1;
                continue;
            }
            store.add(list, prefix, item);
        }
        for (prefix, entry) in kernel {
            let expires_ns = (entry.expires_ns != OPERATORS_NEVER).then_some(entry.expires_ns);
            let Some(list) = operators(entry).filter(|_| expires_ns.is_none_or(|at| at > now_ns)) else {
                continue;
            };
            if store.get(list, prefix).is_none() {
                unknown.push((list, *prefix));
                let until = expires_ns.map(|at| wall_clock(at, now_ns));
                let item = Item { expires_ns, until, added: None, reason: None, origin: Origin::Inherited };
                store.add(list, *prefix, item);
            }
        }
        store.configure(configured);
        let changes = store.against(kernel);
        Inherited { store, changes, restored, unknown, stale, left_out }
    }

    /// What the store wants against what the kernel has, each prefix once.
    fn against(&self, kernel: &[(IpNet, Entry)]) -> Vec<Change> {
        let mut has: BTreeMap<IpNet, Entry> = kernel.iter().copied().collect();
        let mut changes = Vec::new();
        for (prefix, layers) in &self.entries {
            let (before, after) = (has.remove(prefix), layers.effective());
            if before != after {
                changes.push(Change { prefix: *prefix, before, after, layers: layers.clone() });
            }
        }
        let gone =
            |(prefix, entry)| Change { prefix, before: Some(entry), after: None, layers: Layers::default() };
        changes.extend(has.into_iter().map(gone));
        changes
    }
}

/// The time that was kept, if it is the kernel's; clocks differ a little, and rounding too.
fn kept_time(kept: Option<SystemTime>, kernels: SystemTime) -> SystemTime {
    let differs = |kept: SystemTime| {
        kept.duration_since(kernels).unwrap_or_else(|earlier| earlier.duration()) > Duration::from_secs(2)
    };
    kept.filter(|kept| !differs(*kept)).unwrap_or(kernels)
}

/// The list by which an operator's entry is there; nothing for one of the configuration's.
fn operators(entry: &Entry) -> Option<ListName> {
    match entry.verdict {
        VERDICT_BAN => Some(ListName::Ban),
        VERDICT_ALLOW if entry.expires_ns != 0 => Some(ListName::Allow),
        _ => None,
    }
}

/// Whether what the kernel holds for a prefix stands in front of such an entry: see `Layers::effective`.
fn hides(entry: &Entry, list: ListName, item: &Item) -> bool {
    match (list, entry.verdict) {
        (ListName::Ban, VERDICT_ALLOW) => true,
        (ListName::Ban, VERDICT_DENY) | (ListName::Allow, VERDICT_ALLOW) => {
            item.expires_ns.is_some() && entry.expires_ns == 0
        }
        _ => false,
    }
}
