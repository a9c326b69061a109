use std::collections::BTreeSet;

use super::*;
use crate::{config::Interface, datapath::link::Link};

fn links(several: &[(u32, &str)]) -> Links {
    let link = |(index, name): &(u32, &str)| {
        (*index, Link { index: *index, name: (*name).to_owned(), ..Link::default() })
    };
    several.iter().map(link).collect()
}

fn plan(names: &[&str]) -> Plan {
    let interface = |name: &&str| Interface {
        name: (*name).to_owned(),
        attach: Attach::Native,
        required: !name.contains('*'),
    };
    Plan::new(names.iter().map(interface).collect(), BTreeSet::new())
}

/// Everything that is there is attached.
fn attached(mut interfaces: Vec<Protected>) -> Vec<Protected> {
    for interface in interfaces.iter_mut().filter(|interface| interface.index != 0) {
        interface.stands(Attached, None);
    }
    interfaces
}

fn shown(interfaces: &[Protected]) -> Vec<(&str, u32, usize, Standing, bool)> {
    let one = |i: &'_ Protected| (i.index, i.slot, i.standing, i.configured);
    interfaces
        .iter()
        .map(|interface| {
            let (index, slot, standing, configured) = one(interface);
            (interface.name.as_str(), index, slot, standing, configured)
        })
        .collect()
}

use Standing::{Absent, Attached, Failed};

#[test]
fn one_that_vanishes_is_absent_keeps_its_slot_and_is_to_be_attached_when_it_returns() {
    let plan = plan(&["eth0", "eth1"]);
    let first = attached(picture(&[], &plan, &links(&[(2, "eth0"), (3, "eth1")])));
    assert_eq!(shown(&first), [("eth0", 2, 1, Attached, true), ("eth1", 3, 2, Attached, true)]);
    let gone = picture(&first, &plan, &links(&[(3, "eth1")]));
    assert_eq!(shown(&gone), [("eth0", 0, 1, Absent, true), ("eth1", 3, 2, Attached, true)]);
    assert_eq!(gone[0].trouble().as_deref(), Some("eth0 is not there"));
    let back = picture(&gone, &plan, &links(&[(3, "eth1"), (9, "eth0")]));
    assert_eq!(shown(&back), [("eth0", 9, 1, Failed, true), ("eth1", 3, 2, Attached, true)]);
}

#[test]
fn one_that_is_renamed_stays_protected_under_its_new_name() {
    let plan = plan(&["eth0", "lan*"]);
    let first = attached(picture(&[], &plan, &links(&[(2, "eth0")])));
    // By the pattern, and without.
    let renamed = picture(&first, &plan, &links(&[(2, "lan0")]));
    assert_eq!(shown(&renamed), [("eth0", 0, 2, Absent, true), ("lan0", 2, 1, Attached, true)]);
    let unnamed = picture(&first, &plan, &links(&[(2, "wan0")]));
    assert_eq!(shown(&unnamed), [("eth0", 0, 2, Absent, true), ("wan0", 2, 1, Attached, false)]);
    // Two that change places.
    let both = Plan::new(plan.configured.clone(), BTreeSet::new());
    let first = attached(picture(&[], &both, &links(&[(2, "eth0"), (3, "lan0")])));
    let exchanged = picture(&first, &both, &links(&[(2, "lan0"), (3, "eth0")]));
    assert_eq!(shown(&exchanged), [("eth0", 3, 2, Attached, true), ("lan0", 2, 1, Attached, true)]);
}

#[test]
fn one_that_nothing_names_any_more_stays_until_it_is_gone() {
    let first = attached(picture(&[], &plan(&["eth0", "eth1"]), &links(&[(2, "eth0"), (3, "eth1")])));
    let reloaded = picture(&first, &plan(&["eth1"]), &links(&[(2, "eth0"), (3, "eth1")]));
    assert_eq!(shown(&reloaded), [("eth1", 3, 2, Attached, true), ("eth0", 2, 1, Attached, false)]);
    let gone = picture(&reloaded, &plan(&["eth1"]), &links(&[(3, "eth1")]));
    assert_eq!(shown(&gone), [("eth1", 3, 2, Attached, true)]);
}

#[test]
fn more_than_have_slots_are_protected_and_counted_together() {
    let names: Vec<String> = (0..10).map(|i| format!("eth{i}")).collect();
    let there: Vec<(u32, &str)> =
        names.iter().enumerate().map(|(i, name)| (i as u32 + 2, name.as_str())).collect();
    let all = attached(picture(&[], &plan(&["eth*"]), &links(&there)));
    let slots: Vec<usize> = all.iter().map(|interface| interface.slot).collect();
    assert_eq!(slots, [1, 2, 3, 4, 5, 6, 7, 0, 0, 0]);
    // The slot of one that has gone is for those that are there.
    let fewer = picture(&all, &plan(&["eth*"]), &links(&there[1..]));
    let slots: BTreeSet<(&str, usize)> = fewer.iter().map(|i| (i.name.as_str(), i.slot)).collect();
    assert!(slots.contains(&("eth7", 1)) && slots.contains(&("eth0", 0)), "{slots:?}");
}

#[test]
fn what_patterns_matched_is_remembered_up_to_a_bound() {
    let plan = plan(&["veth*"]);
    let mut interfaces = Vec::new();
    for i in 0..100_u32 {
        let name = format!("veth{i}");
        interfaces = attached(picture(&interfaces, &plan, &links(&[(i + 2, &name)])));
    }
    assert_eq!(interfaces.len(), 1 + REMEMBERED);
    assert_eq!(interfaces.iter().filter(|interface| interface.standing == Absent).count(), REMEMBERED);
    assert!(
        interfaces.iter().all(|interface| interface.standing == Attached || interface.trouble().is_none())
    );
}
