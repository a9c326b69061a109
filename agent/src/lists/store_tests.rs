use super::*;
use proptest::prelude::*;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn item(expires_ns: Option<u64>) -> Item {
    Item { expires_ns, until: None, added: None, reason: None, origin: Origin::Operator }
}

fn configured(allow: &[&str], deny: &[&str]) -> ConfiguredLists {
    let nets = |texts: &[&str]| texts.iter().map(|text| net(text)).collect();
    ConfiguredLists { allow: nets(allow), deny: nets(deny) }
}

const A: &str = "192.0.2.0/24";

#[test]
fn of_the_same_prefix_allow_beats_ban_beats_deny_and_what_is_beaten_comes_back() {
    let mut store = Store::default();
    let verdict = |change: Option<Change>| change.unwrap().after.map(|entry| entry.verdict);
    store.configure(&configured(&[], &[A]));
    assert_eq!(verdict(store.add(ListName::Ban, net(A), item(None))), Some(VERDICT_BAN));
    assert_eq!(verdict(store.add(ListName::Allow, net(A), item(None))), Some(VERDICT_ALLOW));
    let ban = store.get(ListName::Ban, &net(A)).unwrap();
    assert_eq!(ban.beaten_by, Some(ListName::Allow));
    assert_eq!(store.get(ListName::Deny, &net(A)).unwrap().beaten_by, Some(ListName::Allow));
    assert_eq!(verdict(store.remove(ListName::Allow, net(A)).unwrap()), Some(VERDICT_BAN));
    assert_eq!(verdict(store.remove(ListName::Ban, net(A)).unwrap()), Some(VERDICT_DENY));
    assert_eq!(store.remove(ListName::Ban, net(A)), Err(NotRemoved::NotListed));
    assert_eq!(store.configure(&configured(&[], &[]))[0].after, None);
    assert_eq!(store.count(ListName::Deny), 0);
}

#[test]
fn what_is_not_listed_names_what_contains_it() {
    let mut store = Store::default();
    store.add(ListName::Ban, net(A), item(None));
    store.add(ListName::Ban, net("192.0.0.0/16"), item(None));
    store.configure(&configured(&["198.51.100.1/32"], &[]));
    assert_eq!(store.remove(ListName::Ban, net("192.0.2.7/32")), Err(NotRemoved::NotListed));
    assert_eq!(store.containing(ListName::Ban, net("192.0.2.7/32")), [net(A), net("192.0.0.0/16")]);
    assert_eq!(store.remove(ListName::Allow, net("198.51.100.1/32")), Err(NotRemoved::Configured));
}

#[test]
fn bans_expire_in_time_and_only_then() {
    let mut store = Store::default();
    store.add(ListName::Ban, net(A), item(Some(100)));
    store.add(ListName::Ban, net("198.51.100.0/24"), item(Some(50)));
    assert_eq!(store.next_expiry(), Some(50));
    assert!(store.expire(49).is_empty());
    assert_eq!(store.expire(50).len(), 1);
    // A new time replaces the old one.
    store.add(ListName::Ban, net(A), item(Some(200)));
    assert!(store.expire(150).is_empty());
    assert_eq!(store.expire(200)[0].after, None);
    assert_eq!((store.next_expiry(), store.count(ListName::Ban)), (None, 0));
}

#[test]
fn no_gap_where_a_timed_entry_lies_over_a_lasting_one() {
    let mut store = Store::default();
    store.configure(&configured(&["10.0.0.0/8"], &[A]));
    // The kernel would end a timed entry by itself; what lies beneath must hold on even if the agent is down then.
    store.add(ListName::Ban, net(A), item(Some(100)));
    assert_eq!(store.entries[&net(A)].effective(), Some(Entry { verdict: VERDICT_DENY, expires_ns: 0 }));
    store.add(ListName::Allow, net("10.0.0.0/8"), item(Some(100)));
    assert_eq!(
        store.entries[&net("10.0.0.0/8")].effective(),
        Some(Entry { verdict: VERDICT_ALLOW, expires_ns: 0 })
    );
}

#[test]
fn a_restart_keeps_what_the_operator_did_and_follows_the_configuration() {
    let mut first = Store::default();
    let mut kernel: BTreeMap<IpNet, Entry> = BTreeMap::new();
    let old = configured(&["10.0.0.0/8", "10.1.0.0/16"], &[A]);
    let mut changes = first.configure(&old);
    for (list, prefix, expires) in [
        (ListName::Ban, "203.0.113.1/32", None),
        (ListName::Ban, "203.0.113.2/32", Some(500)),
        (ListName::Ban, "203.0.113.3/32", Some(10)),
        (ListName::Allow, "203.0.113.4/32", None),
        (ListName::Allow, "203.0.113.5/32", Some(500)),
    ] {
        changes.extend(first.add(list, net(prefix), item(expires)));
    }
    for change in changes {
        kernel.insert(change.prefix, change.after.unwrap());
    }
    let left: Vec<(IpNet, Entry)> = kernel.into_iter().collect();

    let new = configured(&["10.0.0.0/8"], &["198.51.100.0/24"]);
    let Inherited { store: second, changes, .. } = Store::inherit(&left, None, &new, 100);
    let prefixes = |list| second.list(list).map(|listed| listed.prefix.to_string()).collect::<Vec<_>>();
    assert_eq!(prefixes(ListName::Ban), ["203.0.113.1/32", "203.0.113.2/32"]);
    assert_eq!(prefixes(ListName::Allow), ["10.0.0.0/8", "203.0.113.4/32", "203.0.113.5/32"]);
    assert_eq!(prefixes(ListName::Deny), ["198.51.100.0/24"]);
    assert!(second.list(ListName::Ban).all(|listed| listed.item.origin == Origin::Inherited));
    let mut changed: Vec<(String, bool)> =
        changes.iter().map(|change| (change.prefix.to_string(), change.after.is_some())).collect();
    changed.sort();
    let expected = [("10.1.0.0/16", false), (A, false), ("198.51.100.0/24", true), ("203.0.113.3/32", false)];
    assert_eq!(changed, expected.map(|(prefix, stays)| (prefix.to_owned(), stays)));
}

/// One step of an operator, a reload or time.
#[derive(Clone, Debug)]
enum Step {
    Add(ListName, u8, Option<u64>),
    Remove(ListName, u8),
    Configure(Vec<u8>, Vec<u8>),
    Expire(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let list = prop_oneof![Just(ListName::Allow), Just(ListName::Ban)];
    prop_oneof![
        (list.clone(), 0..6_u8, prop::option::of(1..100_u64)).prop_map(|(l, p, e)| Step::Add(l, p, e)),
        (list, 0..6_u8).prop_map(|(l, p)| Step::Remove(l, p)),
        (prop::collection::vec(0..6_u8, 0..3), prop::collection::vec(0..6_u8, 0..3))
            .prop_map(|(a, d)| Step::Configure(a, d)),
        (1..100_u64).prop_map(Step::Expire),
    ]
}

proptest! {
    #[test]
    fn the_changes_always_lead_the_kernel_to_what_the_store_wants(
        steps in prop::collection::vec(step(), 1..60),
        refused in any::<prop::sample::Index>(),
    ) {
        let prefix = |number: u8| net(&format!("10.{number}.0.0/16"));
        let (mut store, mut kernel) = (Store::default(), BTreeMap::<IpNet, Entry>::new());
        let refused = refused.index(steps.len());
        for (i, step) in steps.into_iter().enumerate() {
            let changes: Vec<Change> = match step {
                Step::Add(list, number, expires) => {
                    store.add(list, prefix(number), item(expires)).into_iter().collect()
                }
                Step::Remove(list, number) => store.remove(list, prefix(number)).ok().flatten().into_iter().collect(),
                Step::Configure(allow, deny) => store.configure(&ConfiguredLists {
                    allow: allow.into_iter().map(prefix).collect(),
                    deny: deny.into_iter().map(prefix).collect(),
                }),
                Step::Expire(now) => store.expire(now),
            };
            for change in changes {
                prop_assert_eq!(kernel.get(&change.prefix).copied(), change.before);
                if i == refused {
                    store.undo(change);
                    continue;
                }
                match change.after {
                    Some(entry) => kernel.insert(change.prefix, entry),
                    None => kernel.remove(&change.prefix),
                };
            }
            let wanted: BTreeMap<IpNet, Entry> =
                store.entries.iter().filter_map(|(p, layers)| Some((*p, layers.effective()?))).collect();
            prop_assert_eq!(&wanted, &kernel);
            for list in ListName::ALL {
                prop_assert_eq!(store.count(list), store.list(list).count());
            }
            let timed = store.entries.values().flat_map(Layers::deadlines).min();
            prop_assert_eq!(store.next_expiry(), timed);
        }
    }
}

fn kept(list: ListName, prefix: &str, expires_ns: Option<u64>, reason: &str) -> (ListName, IpNet, Item) {
    (list, net(prefix), Item { reason: Some(reason.to_owned()), ..item(expires_ns) })
}

fn reasons(store: &Store, list: ListName) -> Vec<(String, Option<u64>, Option<String>)> {
    store.list(list).map(|one| (one.prefix.to_string(), one.item.expires_ns, one.item.reason)).collect()
}

#[test]
fn after_a_reboot_all_that_was_kept_comes_back_but_what_is_over() {
    let entries = [
        kept(ListName::Ban, A, None, "lasting"),
        kept(ListName::Ban, "198.51.100.7/32", Some(500), "timed"),
        kept(ListName::Ban, "198.51.100.8/32", Some(100), "over"),
        kept(ListName::Allow, "203.0.113.0/24", None, "office"),
    ];
    // The kernel may hold entries of the configuration already; those are not the operator's.
    let kernel = [(net("192.0.2.9/32"), Entry { verdict: VERDICT_DENY, expires_ns: 0 })];
    let inherited = Store::inherit(&kernel, entries, &configured(&[], &["192.0.2.9/32"]), 100);
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        reasons(&inherited.store, ListName::Ban),
        [(A.to_owned(), None, some("lasting")), ("198.51.100.7/32".to_owned(), Some(500), some("timed"))]
    );
    assert_eq!(reasons(&inherited.store, ListName::Allow)[0].2, some("office"));
    assert_eq!((inherited.restored.len(), inherited.changes.len()), (3, 3));
    assert!(inherited.unknown.is_empty() && inherited.stale.is_empty());
}

#[test]
fn after_a_restart_the_kernel_says_what_is_in_force_and_what_was_kept_says_why() {
    let ban = |expires_ns| Entry { verdict: VERDICT_BAN, expires_ns };
    let allow = |expires_ns| Entry { verdict: VERDICT_ALLOW, expires_ns };
    let kernel = [
        (net("192.0.2.1/32"), ban(OPERATORS_NEVER)),
        (net("192.0.2.2/32"), ban(700)),
        (net("192.0.2.3/32"), ban(OPERATORS_NEVER)),
        (net("192.0.2.4/32"), allow(OPERATORS_NEVER)),
        (net("192.0.2.5/32"), allow(0)),
        (net("192.0.2.6/32"), Entry { verdict: VERDICT_DENY, expires_ns: 0 }),
    ];
    let entries = [
        kept(ListName::Ban, "192.0.2.1/32", None, "known"),
        kept(ListName::Ban, "192.0.2.2/32", Some(500), "renewed when the disk was full"),
        kept(ListName::Ban, "192.0.2.4/32", None, "hidden by an operator's allow entry"),
        kept(ListName::Allow, "192.0.2.4/32", None, "allowed"),
        kept(ListName::Allow, "192.0.2.5/32", Some(500), "over the configuration's"),
        kept(ListName::Ban, "192.0.2.6/32", Some(500), "over the configuration's"),
        kept(ListName::Ban, "192.0.2.7/32", None, "removed when the disk was full"),
        kept(ListName::Allow, "192.0.2.1/32", None, "removed when the disk was full"),
    ];
    let inherited = Store::inherit(&kernel, entries, &configured(&["192.0.2.5/32"], &["192.0.2.6/32"]), 100);
    let bans = reasons(&inherited.store, ListName::Ban);
    let shown: Vec<_> =
        bans.iter().map(|(prefix, at, reason)| (prefix.as_str(), *at, reason.as_deref())).collect();
    assert_eq!(
        shown,
        [
            ("192.0.2.1/32", None, Some("known")),
            ("192.0.2.2/32", Some(700), Some("renewed when the disk was full")),
            ("192.0.2.3/32", None, None),
            ("192.0.2.4/32", None, Some("hidden by an operator's allow entry")),
            ("192.0.2.6/32", Some(500), Some("over the configuration's")),
        ]
    );
    let allowed = reasons(&inherited.store, ListName::Allow);
    assert_eq!(
        allowed.iter().map(|one| one.0.as_str()).collect::<Vec<_>>(),
        ["192.0.2.4/32", "192.0.2.5/32"]
    );
    assert_eq!(inherited.unknown, [(ListName::Ban, net("192.0.2.3/32"))]);
    assert_eq!(
        inherited.stale,
        [(ListName::Ban, net("192.0.2.7/32")), (ListName::Allow, net("192.0.2.1/32"))]
    );
    assert!(inherited.restored.is_empty() && inherited.changes.is_empty(), "{:?}", inherited.changes);
}

#[test]
fn what_is_due_is_told_by_list_once() {
    let mut store = Store::default();
    store.add(ListName::Ban, net(A), item(Some(50)));
    store.add(ListName::Allow, net(A), item(Some(70)));
    store.add(ListName::Ban, net("198.51.100.0/24"), item(Some(60)));
    assert_eq!(store.due(49), []);
    assert_eq!(store.due(50), [(ListName::Ban, net(A))]);
    assert_eq!(
        store.due(70),
        [(ListName::Allow, net(A)), (ListName::Ban, net(A)), (ListName::Ban, net("198.51.100.0/24"))]
    );
}

#[test]
fn the_operators_entries_come_in_portions() {
    let mut store = Store::default();
    store.configure(&configured(&[], &["10.0.0.0/8"]));
    for number in 0..10_u8 {
        store.add(ListName::Ban, net(&format!("11.{number}.0.0/16")), item(None));
    }
    store.add(ListName::Allow, net("11.3.0.0/16"), item(None));
    let (mut all, mut after) = (Vec::new(), None);
    while let Some((entries, last)) = store.portion(after, 3) {
        all.extend(entries.into_iter().map(|(list, prefix, _)| (list, prefix)));
        after = Some(last);
    }
    assert_eq!(all.len(), 11);
    assert!(all.contains(&(ListName::Allow, net("11.3.0.0/16"))));
}
