//! What the lists say of an address: the entry that holds, and those that it beats.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;
use stopbank_common::{Reason, list::VERDICT_ALLOW};

use crate::{
    config::ListAction,
    lists::{
        ListName, Listed, Store,
        feeds::{Files, PrefixSet},
    },
};

/// A list file, and what of it is in force.
#[derive(Clone, Debug)]
pub struct FileInForce {
    /// The list's name.
    pub name: String,
    /// What becomes of its sources.
    pub action: ListAction,
    /// Its prefixes.
    pub set: Arc<PrefixSet>,
}

impl FileInForce {
    /// Every list file.
    pub fn all(files: &Files) -> Vec<Self> {
        let one = |loaded: &crate::lists::feeds::Loaded| Self {
            name: loaded.list.name.clone(),
            action: loaded.list.action,
            set: loaded.set.clone(),
        };
        files.iter().map(one).collect()
    }
}

/// Where an entry stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// On a list: the configuration's or an operator's.
    List(ListName, Box<Listed>),
    /// In a list file, by its list's name.
    File(String),
}

/// An entry that contains the address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The prefix.
    pub prefix: IpNet,
    /// Under which reason a packet is counted that it decides.
    pub reason: Reason,
    /// Where it stands.
    pub place: Place,
    /// Whether, of all that the lists have for this prefix, it is what the kernel holds; always so in a file.
    holds: bool,
}

impl Entry {
    /// The longest prefix decides; of the same one, allow beats ban beats deny: as `stopbank_common::list::beats` has it.
    fn rank(&self) -> (u8, u8) {
        let of_equals = match (&self.place, self.reason) {
            (Place::List(..), _) if !self.holds => 0,
            (Place::List(..), Reason::Allowed) => 4,
            (Place::File(_), Reason::Allowed) => 3,
            (Place::List(..), _) => 2,
            (Place::File(_), _) => 1,
        };
        (self.prefix.prefix_len(), of_equals)
    }

    /// Why it holds against another that is weaker.
    pub fn beats_because(&self, weaker: &Self) -> String {
        if self.prefix.prefix_len() != weaker.prefix.prefix_len() {
            return format!("{} is longer, and the longest prefix decides", self.prefix);
        }
        if self.reason == weaker.reason {
            return "the same prefix stands twice".to_owned();
        }
        if weaker.reason == Reason::Banned && self.reason == Reason::Denied {
            return "what the configuration denies needs no ban: it is counted as `deny-list`".to_owned();
        }
        "of the same prefix, allow beats ban beats deny".to_owned()
    }
}

/// All entries that contain the whole of a prefix, the one that holds first. Those whose time is over at `now_ns` (the kernel's
/// monotonic clock) count no more.
///
/// The same as the program does (ebpf/src/lists.rs), told by the agent's own lists; a test holds one against the other.
pub fn around(store: &Store, files: &[FileInForce], prefix: IpNet, now_ns: u64) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (list, listed, holds) in store.around(prefix) {
        if listed.item.expires_ns.is_none_or(|at| at > now_ns) {
            entries.push(of_list(list, listed, holds));
        }
    }
    for file in files {
        entries.extend(
            file.set.around(prefix).into_iter().map(|(prefix, verdict)| of_file(file, prefix, verdict)),
        );
    }
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.rank()));
    entries
}

/// The reason that the lists give for an address, if they know it.
pub fn reason_for(store: &Store, files: &[FileInForce], address: IpAddr, now_ns: u64) -> Option<Reason> {
    around(store, files, address.into(), now_ns).first().map(|entry| entry.reason)
}

/// Entries inside a prefix, itself left out: at most `limit`, and how many there are more.
pub fn inside(store: &Store, files: &[FileInForce], prefix: IpNet, limit: usize) -> (Vec<Entry>, usize) {
    let (listed, mut more) = store.inside(prefix, limit);
    let mut entries: Vec<Entry> =
        listed.into_iter().map(|(list, listed, holds)| of_list(list, listed, holds)).collect();
    for file in files {
        let (some, rest) = file.set.inside(prefix, limit.saturating_sub(entries.len()));
        entries.extend(some.into_iter().map(|(prefix, verdict)| of_file(file, prefix, verdict)));
        more += rest;
    }
    (entries, more)
}

fn of_list(list: ListName, listed: Listed, holds: bool) -> Entry {
    let reason = match list {
        ListName::Allow => Reason::Allowed,
        ListName::Ban => Reason::Banned,
        ListName::Deny => Reason::Denied,
    };
    Entry { prefix: listed.prefix, reason, place: Place::List(list, Box::new(listed)), holds }
}

fn of_file(file: &FileInForce, prefix: IpNet, verdict: u8) -> Entry {
    let reason = if verdict == VERDICT_ALLOW { Reason::Allowed } else { Reason::Denied };
    Entry { prefix, reason, place: Place::File(file.name.clone()), holds: true }
}
