//! Who has changed the lists, when, how and why: the latest changes, as many as there is room for.

use std::{collections::VecDeque, net::IpAddr, time::SystemTime};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::milliseconds;
use crate::lists::ListName;

/// Events that are remembered.
const EVENTS: usize = 2048;
/// Prefixes that an event names; of the others it knows how many they are.
pub(super) const NAMED: usize = 64;

/// What was done to a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Entries were added, or got a new time or reason.
    Add,
    /// The same, from what was exported.
    Import,
    /// Entries were taken off.
    Remove,
    /// Their time was over.
    Expire,
    /// An agent that started found none of them in the kernel, as after a reboot, and put them in force again.
    Restore,
}

impl Action {
    /// Its name in the API and the CLI.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Import => "import",
            Self::Remove => "remove",
            Self::Expire => "expire",
            Self::Restore => "restore",
        }
    }
}

/// One change to a list: a command, or entries whose time was over together.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// What.
    pub action: Action,
    /// To which list.
    pub list: ListName,
    /// User whose process asked for it; none where nobody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The address that this user was logged in from, as the command line told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<IpAddr>,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Until when the entries were to stay, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// How many entries.
    pub count: u64,
    /// The first of them.
    pub prefixes: Vec<IpNet>,
}

impl Event {
    /// Of these entries, now, by nobody.
    pub fn new(action: Action, list: ListName, prefixes: &[IpNet]) -> Self {
        Self {
            at: milliseconds(SystemTime::now()),
            action,
            list,
            uid: None,
            session: None,
            reason: None,
            until: None,
            count: prefixes.len() as u64,
            prefixes: prefixes.iter().take(NAMED).copied().collect(),
        }
    }

    /// Whether it is of the prefix, of one that contains it, or of one within; only the prefixes that it names count.
    pub fn concerns(&self, prefix: &IpNet) -> bool {
        self.prefixes.iter().any(|one| one.contains(prefix) || prefix.contains(one))
    }
}

/// The latest events, the oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct History(VecDeque<Event>);

impl History {
    /// Adds one, in the place of the oldest where there is no room.
    pub fn push(&mut self, event: Event) {
        if self.0.len() == EVENTS {
            self.0.pop_front();
        }
        self.0.push_back(event);
    }

    /// All of them, the oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Event> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_is_bounded_and_so_is_each_event() {
        let prefixes: Vec<IpNet> =
            (0..1000_u32).map(|i| IpNet::from(IpAddr::from(i.to_be_bytes()))).collect();
        let mut history = History::default();
        for at in 0..EVENTS as u64 + 10 {
            history.push(Event { at, ..Event::new(Action::Add, ListName::Ban, &prefixes) });
        }
        assert_eq!(history.iter().count(), EVENTS);
        assert_eq!(history.iter().next().unwrap().at, 10);
        let last = history.iter().next_back().unwrap();
        assert_eq!((last.count, last.prefixes.len()), (1000, NAMED));
    }

    #[test]
    fn an_event_concerns_what_contains_and_what_is_contained() {
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let event = Event::new(Action::Add, ListName::Ban, &[net("192.0.2.0/24")]);
        for (prefix, concerned) in [
            ("192.0.2.7/32", true),
            ("192.0.0.0/16", true),
            ("192.0.2.0/24", true),
            ("192.0.3.0/24", false),
            ("2001:db8::/32", false),
        ] {
            assert_eq!(event.concerns(&net(prefix)), concerned, "{prefix}");
        }
    }
}
