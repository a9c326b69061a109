//! Who is on which list and why, and what the kernel must hold for it.
//!
//! The kernel keeps one entry for each prefix; several may be wanted for the same one. Of the same prefix, an allow
//! entry beats a ban beats a deny entry, and what is beaten comes back when what beat it goes. (Of different prefixes
//! the longest wins, which is the kernel's business.) Every change to the store gives a [`Change`], which is then made in
//! the kernel, or taken back if the kernel refuses.

mod inherit;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    time::{Duration, SystemTime},
};

use ipnet::IpNet;
use stopbank_common::list::{LIST_CAPACITY, VERDICT_ALLOW, VERDICT_BAN, VERDICT_DENY};

pub use inherit::Inherited;

use super::{ListName, Origin};
use crate::{config::ConfiguredLists, datapath::Entry};

/// "Never" as an operator's entry says it to the kernel. The configuration's entries say 0, which the kernel takes the
/// same way; so an agent that starts can tell what an earlier one was told by its operator, and must keep, from what
/// stood in a configuration that may have changed since.
const OPERATORS_NEVER: u64 = u64::MAX;

/// An operator's entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    /// When it ends, in nanoseconds of the kernel's monotonic clock; `None`: never.
    pub expires_ns: Option<u64>,
    /// The same by the wall clock, which goes on when the host does not.
    pub until: Option<SystemTime>,
    /// When it was made; `None` for one inherited from an earlier agent.
    pub added: Option<SystemTime>,
    /// Why, in the operator's words.
    pub reason: Option<String>,
    /// Who made it.
    pub origin: Origin,
}

/// All that is wanted for one prefix.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Layers {
    configured_allow: bool,
    configured_deny: bool,
    allow: Option<Item>,
    ban: Option<Item>,
}

/// One prefix's entry before and after, as the kernel holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The prefix.
    pub prefix: IpNet,
    /// What the kernel holds.
    pub before: Option<Entry>,
    /// What it shall hold.
    pub after: Option<Entry>,
    layers: Layers,
}

impl Change {
    /// The change that takes this one back in the kernel. (The store has its own way: [`Store::undo`].)
    #[must_use]
    pub fn reversed(&self) -> Self {
        Self { before: self.after, after: self.before, ..self.clone() }
    }
}

/// An entry as it is listed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// The prefix.
    pub prefix: IpNet,
    /// The entry.
    pub item: Item,
    /// The list whose entry for the same prefix beats this one.
    pub beaten_by: Option<ListName>,
}

/// Some of the operator's entries, with what is known of each, and the last prefix that was looked at.
pub type Portion<T> = (Vec<(ListName, IpNet, T)>, IpNet);

/// Why an entry cannot be removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotRemoved {
    /// It is not there.
    NotListed,
    /// It stands in the configuration.
    Configured,
}

/// The lists.
#[derive(Debug)]
pub struct Store {
    capacity: usize,
    entries: BTreeMap<IpNet, Layers>,
    deadlines: BTreeSet<(u64, IpNet)>,
    counts: [usize; 3],
}

impl Default for Store {
    fn default() -> Self {
        Self::with_capacity(LIST_CAPACITY as usize)
    }
}

impl Store {
    /// Empty lists that hold at most so many prefixes.
    pub const fn with_capacity(capacity: usize) -> Self {
        Self { capacity, entries: BTreeMap::new(), deadlines: BTreeSet::new(), counts: [0; 3] }
    }

    /// Puts the configuration's entries in the place of those of the configuration before.
    pub fn configure(&mut self, configured: &ConfiguredLists) -> Vec<Change> {
        let allow: BTreeSet<&IpNet> = configured.allow.iter().collect();
        let deny: BTreeSet<&IpNet> = configured.deny.iter().collect();
        let known =
            self.entries.iter().filter(|(_, layers)| layers.configured_allow || layers.configured_deny);
        let prefixes: BTreeSet<IpNet> = known
            .map(|(prefix, _)| *prefix)
            .chain(allow.iter().chain(&deny).map(|prefix| **prefix))
            .collect();
        prefixes
            .into_iter()
            .filter_map(|prefix| {
                let mut layers = self.layers(&prefix);
                layers.configured_allow = allow.contains(&prefix);
                layers.configured_deny = deny.contains(&prefix);
                self.replace(prefix, layers)
            })
            .collect()
    }

    /// Adds an entry, or replaces the one that the list has for the prefix. `None` if nothing changes, not even what is
    /// known of it. The deny list is the configuration's alone: nothing is ever added to it here.
    pub fn add(&mut self, list: ListName, prefix: IpNet, item: Item) -> Option<Change> {
        let mut layers = self.layers(&prefix);
        match list {
            ListName::Allow => layers.allow = Some(item),
            ListName::Ban => layers.ban = Some(item),
            ListName::Deny => return None,
        }
        self.replace(prefix, layers)
    }

    /// Removes an entry; what it beat comes back.
    ///
    /// # Errors
    ///
    /// [`NotRemoved`].
    pub fn remove(&mut self, list: ListName, prefix: IpNet) -> Result<Option<Change>, NotRemoved> {
        let mut layers = self.layers(&prefix);
        let taken = match list {
            ListName::Allow => layers.allow.take(),
            ListName::Ban => layers.ban.take(),
            ListName::Deny => None,
        };
        match taken {
            Some(_) => Ok(self.replace(prefix, layers)),
            None if layers.has(list) => Err(NotRemoved::Configured),
            None => Err(NotRemoved::NotListed),
        }
    }

    /// Drops what has expired by now.
    pub fn expire(&mut self, now_ns: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        while let Some(&(deadline, prefix)) = self.deadlines.first() {
            if deadline > now_ns {
                break;
            }
            let mut layers = self.layers(&prefix);
            let expired = |item: &Item| item.expires_ns.is_some_and(|at| at <= now_ns);
            layers.allow = layers.allow.filter(|item| !expired(item));
            layers.ban = layers.ban.filter(|item| !expired(item));
            self.deadlines.remove(&(deadline, prefix));
            changes.extend(self.replace(prefix, layers));
        }
        changes
    }

    /// What has expired by now, and is still there.
    pub fn due(&self, now_ns: u64) -> Vec<(ListName, IpNet)> {
        let over = |item: &Option<Item>| {
            item.as_ref().and_then(|item| item.expires_ns).is_some_and(|at| at <= now_ns)
        };
        let mut due = Vec::new();
        let prefixes: BTreeSet<&IpNet> =
            self.deadlines.iter().take_while(|(at, _)| *at <= now_ns).map(|(_, prefix)| prefix).collect();
        for prefix in prefixes {
            let Some(layers) = self.entries.get(prefix) else { continue };
            due.extend(over(&layers.allow).then_some((ListName::Allow, *prefix)));
            due.extend(over(&layers.ban).then_some((ListName::Ban, *prefix)));
        }
        due
    }

    /// When the next entry expires, by the kernel's monotonic clock.
    pub fn next_expiry(&self) -> Option<u64> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Takes a change back that the kernel did not take.
    pub fn undo(&mut self, change: Change) {
        self.replace(change.prefix, change.layers);
    }

    /// Entries on a list, those included that another list's entry beats.
    pub fn count(&self, list: ListName) -> usize {
        self.counts[list as usize]
    }

    /// Prefixes that the kernel can still take.
    pub fn room(&self) -> usize {
        self.capacity.saturating_sub(self.entries.len())
    }

    /// Whether there are more prefixes than the kernel can take.
    pub fn overfull(&self) -> bool {
        self.entries.len() > self.capacity
    }

    /// Whether the lists have anything for this very prefix.
    pub fn knows(&self, prefix: &IpNet) -> bool {
        self.entries.contains_key(prefix)
    }

    /// The entry that a list has for this very prefix.
    pub fn get(&self, list: ListName, prefix: &IpNet) -> Option<Listed> {
        self.entries.get(prefix)?.listed(list, *prefix)
    }

    /// The entries of a list, by prefix.
    pub fn list(&self, list: ListName) -> impl Iterator<Item = Listed> {
        self.entries.iter().filter_map(move |(prefix, layers)| layers.listed(list, *prefix))
    }

    /// The operator's entries of the next so many prefixes after this one, and the last of these; nothing where none is left.
    pub fn portion(&self, after: Option<IpNet>, most: usize) -> Option<Portion<Item>> {
        let (mut entries, mut last) = (Vec::new(), None);
        let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
        for (prefix, layers) in self.entries.range((begin, Bound::Unbounded)).take(most) {
            for (list, item) in [(ListName::Allow, &layers.allow), (ListName::Ban, &layers.ban)] {
                entries.extend(item.clone().map(|item| (list, *prefix, item)));
            }
            last = Some(*prefix);
        }
        Some((entries, last?))
    }

    /// Prefixes on a list that contain this one, longest first.
    pub fn containing(&self, list: ListName, prefix: IpNet) -> Vec<IpNet> {
        std::iter::successors(prefix.supernet(), IpNet::supernet)
            .filter(|wider| self.entries.get(wider).is_some_and(|layers| layers.has(list)))
            .collect()
    }

    /// What there is for a prefix and for all that contain it: longest first, and of each prefix what holds first. With each
    /// entry, whether it is what the kernel holds.
    pub fn around(&self, prefix: IpNet) -> Vec<(ListName, Listed, bool)> {
        std::iter::successors(Some(prefix), IpNet::supernet)
            .filter_map(|wider| Some((wider, self.entries.get(&wider)?)))
            .flat_map(|(wider, layers)| layers.each(wider))
            .collect()
    }

    /// What there is inside a prefix, itself left out: of at most `limit` prefixes, and of how many there is more.
    pub fn inside(&self, prefix: IpNet, limit: usize) -> (Vec<(ListName, Listed, bool)>, usize) {
        let last = match prefix {
            IpNet::V4(v4) => ipnet::Ipv4Net::new_assert(v4.broadcast(), 32).into(),
            IpNet::V6(v6) => ipnet::Ipv6Net::new_assert(v6.broadcast(), 128).into(),
        };
        // Of the same address the shorter prefix comes first, so that what is wider comes before.
        let mut all = self.entries.range((Bound::Excluded(prefix), Bound::Included(last)));
        let some = all.by_ref().take(limit).flat_map(|(prefix, layers)| layers.each(*prefix)).collect();
        (some, all.count())
    }

    fn layers(&self, prefix: &IpNet) -> Layers {
        self.entries.get(prefix).cloned().unwrap_or_default()
    }

    /// The one place that writes: keeps deadlines and counts in step.
    fn replace(&mut self, prefix: IpNet, layers: Layers) -> Option<Change> {
        let before = self.layers(&prefix);
        if before == layers {
            return None;
        }
        for deadline in before.deadlines() {
            self.deadlines.remove(&(deadline, prefix));
        }
        self.deadlines.extend(layers.deadlines().map(|deadline| (deadline, prefix)));
        for list in ListName::ALL {
            let count = &mut self.counts[list as usize];
            *count = *count + usize::from(layers.has(list)) - usize::from(before.has(list));
        }
        let change = Change { prefix, before: before.effective(), after: layers.effective(), layers: before };
        if layers == Layers::default() {
            self.entries.remove(&prefix);
        } else {
            self.entries.insert(prefix, layers);
        }
        Some(change)
    }
}

impl Layers {
    fn has(&self, list: ListName) -> bool {
        match list {
            ListName::Allow => self.configured_allow || self.allow.is_some(),
            ListName::Deny => self.configured_deny,
            ListName::Ban => self.ban.is_some(),
        }
    }

    fn deadlines(&self) -> impl Iterator<Item = u64> {
        let deadline = |item: &Option<Item>| item.as_ref().and_then(|item| item.expires_ns);
        [deadline(&self.allow), deadline(&self.ban)].into_iter().flatten()
    }

    /// What the kernel shall hold.
    fn effective(&self) -> Option<Entry> {
        let entry = |verdict, expires_ns| Some(Entry { verdict, expires_ns });
        let operators = |item: &Item| item.expires_ns.unwrap_or(OPERATORS_NEVER);
        match (&self.allow, &self.ban) {
            // With the configuration's entry beneath, a timed one must not end in the kernel before the agent has put
            // that entry back: there would be a gap, and a long one if the agent is down then.
            (Some(item), _) if self.configured_allow && item.expires_ns.is_some() => entry(VERDICT_ALLOW, 0),
            (Some(item), _) => entry(VERDICT_ALLOW, operators(item)),
            (None, _) if self.configured_allow => entry(VERDICT_ALLOW, 0),
            (None, Some(item)) if self.configured_deny && item.expires_ns.is_some() => entry(VERDICT_DENY, 0),
            (None, Some(item)) => entry(VERDICT_BAN, operators(item)),
            (None, None) => self.configured_deny.then_some(Entry { verdict: VERDICT_DENY, expires_ns: 0 }),
        }
    }

    /// What each list has for the prefix, and whether that is what the kernel holds; what holds comes first.
    fn each(&self, prefix: IpNet) -> Vec<(ListName, Listed, bool)> {
        let holds = match self.effective().map(|entry| entry.verdict) {
            Some(VERDICT_ALLOW) => Some(ListName::Allow),
            Some(VERDICT_BAN) => Some(ListName::Ban),
            Some(VERDICT_DENY) => Some(ListName::Deny),
            _ => None,
        };
        let mut each: Vec<_> = ListName::ALL
            .into_iter()
            .filter_map(|list| Some((list, self.listed(list, prefix)?, holds == Some(list))))
            .collect();
        each.sort_by_key(|(.., holds)| !holds);
        each
    }

    fn listed(&self, list: ListName, prefix: IpNet) -> Option<Listed> {
        let configured = || Item {
            expires_ns: None,
            until: None,
            added: None,
            reason: None,
            origin: Origin::Configuration,
        };
        let item = match list {
            ListName::Allow => self.allow.clone().or_else(|| self.configured_allow.then(configured)),
            ListName::Deny => self.configured_deny.then(configured),
            ListName::Ban => self.ban.clone(),
        }?;
        let beaten_by = [ListName::Allow, ListName::Ban]
            .into_iter()
            .take_while(|&other| other != list)
            .find(|&other| self.has(other));
        Some(Listed { prefix, item, beaten_by })
    }
}

/// When it is so late by the wall clock, to the millisecond.
pub fn wall_clock(at_ns: u64, now_ns: u64) -> SystemTime {
    let now = SystemTime::now();
    let time = match at_ns.checked_sub(now_ns) {
        Some(left) => now.checked_add(Duration::from_nanos(left)),
        None => now.checked_sub(Duration::from_nanos(now_ns - at_ns)),
    };
    crate::state::time_of(crate::state::milliseconds(time.unwrap_or(now)))
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
