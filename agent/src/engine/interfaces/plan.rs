//! Which interfaces are to be protected: what the configuration names, by name, pattern or default route, and what the
//! operator has said since.

use std::collections::BTreeSet;

use super::Protected;
use crate::{
    config::{Interface, Selector},
    datapath::{
        DatapathError,
        link::{Link, Links},
    },
};

/// What the thread that follows interfaces goes by. It waits for nobody else: whoever holds this does nothing meanwhile
/// but attach or detach.
#[derive(Debug, Default)]
pub(in crate::engine) struct Plan {
    /// The configuration's.
    pub(super) configured: Vec<Interface>,
    /// Attached by a command; they come before the configuration's.
    pub(super) by_hand: Vec<Interface>,
    /// Detached by a command: left alone until the next reload.
    pub(super) off: BTreeSet<String>,
    /// Interfaces that a default route goes through, or has gone through since the configuration was read.
    pub(super) default_routes: BTreeSet<u32>,
    /// Protection has been ended.
    pub(in crate::engine) over: bool,
}

/// An interface that is to be protected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::engine) struct Wanted {
    /// Its own name, and how to attach.
    pub(super) interface: Interface,
    /// Its index; 0 where it is not there.
    pub(super) index: u32,
    /// By a pattern or a default route, and not by its name.
    pub(super) matched: bool,
}

impl Plan {
    pub(in crate::engine) fn new(configured: Vec<Interface>, default_routes: BTreeSet<u32>) -> Self {
        Self { configured, default_routes, ..Self::default() }
    }

    /// What names an interface: first whoever names it itself, then patterns, in the order of the file.
    pub(super) fn selects(&self, link: &Link) -> Option<&Interface> {
        if self.over || self.off.contains(&link.name) {
            return None;
        }
        let all = || self.by_hand.iter().chain(&self.configured);
        let named = all().find(|interface| interface.selector() == Selector::Name(&link.name));
        named.or_else(|| all().find(|interface| self.matches(interface, link)))
    }

    fn matches(&self, interface: &Interface, link: &Link) -> bool {
        match interface.selector() {
            Selector::Name(name) => name == link.name,
            Selector::Pattern(pattern) => !link.loopback && pattern.matches(&link.name),
            Selector::DefaultRoute => !link.loopback && self.default_routes.contains(&link.index),
        }
    }

    /// Whether routes matter.
    pub(super) fn follows_routes(&self) -> bool {
        self.configured.iter().any(|interface| interface.selector() == Selector::DefaultRoute)
    }

    /// Every interface that is to be protected, those that are named first, in the order of the file; then what patterns and
    /// default routes match, by index.
    pub(super) fn wanted(&self, links: &Links) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        for interface in self.by_hand.iter().chain(&self.configured) {
            let Selector::Name(name) = interface.selector() else { continue };
            let double = wanted.iter().any(|wanted: &Wanted| wanted.interface.name == name);
            if double || self.off.contains(name) {
                continue;
            }
            let index = links.values().find(|link| link.name == name).map_or(0, |link| link.index);
            wanted.push(Wanted { interface: interface.clone(), index, matched: false });
        }
        for link in links.values() {
            if wanted.iter().any(|wanted| wanted.index == link.index) {
                continue;
            }
            if let Some(selector) = self.selects(link) {
                let interface = Interface { name: link.name.clone(), ..selector.clone() };
                wanted.push(Wanted { interface, index: link.index, matched: true });
            }
        }
        wanted
    }

    /// Whether an interface that is gone is still told of: what a pattern or a default route has matched.
    pub(super) fn remembers(&self, gone: &Protected) -> bool {
        let matches = |interface: &Interface| match interface.selector() {
            Selector::Name(_) => false,
            Selector::Pattern(pattern) => pattern.matches(&gone.name),
            Selector::DefaultRoute => true,
        };
        gone.matched && !self.off.contains(&gone.name) && self.configured.iter().any(matches)
    }

    /// Whether an interface is there that a block is for.
    pub(in crate::engine) fn finds(&self, interface: &Interface, links: &Links) -> bool {
        links.values().any(|link| self.matches(interface, link))
    }

    /// Whether an interface is there that any block is for.
    pub(in crate::engine) fn finds_any(&self, links: &Links) -> bool {
        self.configured.iter().any(|interface| self.finds(interface, links))
    }

    /// Patterns, and `default-route`, that no interface matches.
    pub(super) fn waiting<'p>(&'p self, links: &'p Links) -> impl Iterator<Item = &'p Interface> {
        self.configured.iter().filter(|interface| {
            !matches!(interface.selector(), Selector::Name(_)) && !self.finds(interface, links)
        })
    }

    /// Refuses where an interface is not there that must be, unless it was known before.
    pub(in crate::engine) fn complete(
        &self,
        links: &Links,
        known: impl Fn(&str) -> bool,
    ) -> Result<(), DatapathError> {
        let missing = |name: &str| DatapathError::NoSuchInterface {
            name: name.to_owned(),
            existing: links.values().map(|link| link.name.clone()).collect(),
        };
        let absent = self
            .wanted(links)
            .into_iter()
            .find(|wanted| wanted.index == 0 && wanted.interface.required && !known(&wanted.interface.name));
        if let Some(absent) = absent {
            return Err(missing(&absent.interface.name));
        }
        match self.waiting(links).find(|interface| interface.required) {
            Some(unmatched) => Err(missing(&unmatched.name)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Attach;

    fn interface(name: &str, attach: Attach) -> Interface {
        Interface { name: name.to_owned(), attach, required: !name.contains('*') && name != "default-route" }
    }

    fn links() -> Links {
        let link = |(index, name): (u32, &str)| {
            (index, Link { index, name: name.to_owned(), loopback: name == "lo", ..Link::default() })
        };
        [(1, "lo"), (2, "eth0"), (3, "eth1"), (4, "wan0")].into_iter().map(link).collect()
    }

    fn names(plan: &Plan) -> Vec<(String, u32, Attach)> {
        let wanted = plan.wanted(&links()).into_iter();
        wanted.map(|wanted| (wanted.interface.name, wanted.index, wanted.interface.attach)).collect()
    }

    #[test]
    fn a_name_comes_before_a_pattern_and_the_loopback_interface_matches_none() {
        let configured = vec![
            interface("*", Attach::Native),
            interface("eth1", Attach::Generic),
            interface("eth9", Attach::Native),
        ];
        let mut plan = Plan::new(configured, BTreeSet::new());
        let expected = [
            ("eth1".to_owned(), 3, Attach::Generic),
            ("eth9".to_owned(), 0, Attach::Native),
            ("eth0".to_owned(), 2, Attach::Native),
            ("wan0".to_owned(), 4, Attach::Native),
        ];
        assert_eq!(names(&plan), expected);
        plan.off.insert("eth1".to_owned());
        assert!(!names(&plan).iter().any(|(name, ..)| name == "eth1"), "detached by hand");
        plan.over = true;
        assert_eq!(plan.selects(&links()[&2]), None);
    }

    #[test]
    fn an_interface_is_matched_by_its_default_route() {
        let plan = Plan::new(vec![interface("default-route", Attach::Native)], [4].into());
        assert_eq!(names(&plan), [("wan0".to_owned(), 4, Attach::Native)]);
        assert!(plan.follows_routes());
        let none = Plan::new(plan.configured.clone(), BTreeSet::new());
        assert_eq!(none.waiting(&links()).count(), 1);
    }

    #[test]
    fn what_must_be_there_and_is_not_is_refused_unless_it_was_known() {
        let plan = |name: &str, required| {
            Plan::new(vec![Interface { required, ..interface(name, Attach::Native) }], BTreeSet::new())
        };
        for (name, required, fits) in [
            ("eth9", true, false),
            ("eth9", false, true),
            ("en*", true, false),
            ("en*", false, true),
            ("e*", true, true),
        ] {
            assert_eq!(plan(name, required).complete(&links(), |_| false).is_ok(), fits, "{name} {required}");
        }
        assert!(plan("eth9", true).complete(&links(), |name| name == "eth9").is_ok());
    }
}
