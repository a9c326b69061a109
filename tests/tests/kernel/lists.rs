//! Allow, deny and ban entries in the kernel.

use std::{thread::sleep, time::Duration};

use libtest_mimic::Trial;
use stopbank::datapath::{Datapath, Entry, monotonic_ns};
use stopbank_common::{
    Reason::{self, *},
    list::{VERDICT_ALLOW, VERDICT_BAN, VERDICT_DENY},
};
use stopbank_tests::frames::FrameBuilder;

use crate::rig::{self, Rules, judge};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("lists: the longest prefix wins, IPv4 and IPv6", longest_prefix),
        crate::trial("lists: an IPv4 prefix says nothing of IPv6, and the other way round", families),
        crate::trial("lists: a ban ends by itself, and what lay beneath it holds again", expiry),
        crate::trial("lists: what was put in can be read back and taken out", read_back),
        crate::trial(
            "lists: thousands of single addresses, more than their table has room for",
            many_addresses,
        ),
        crate::trial(
            "lists: many entries that come while list files are being replaced hold at once",
            many_meanwhile,
        ),
        crate::trial("lists: an allowed source passes whatever else is wrong with it", allowed),
    ]
}

fn reason(datapath: &Datapath, source: &str) -> Reason {
    let destination = if source.contains(':') { "2001:db8:ffff::1" } else { "198.51.100.1" };
    judge(datapath, &FrameBuilder::new(source, destination).udp(1, 53).build()).1.reason
}

fn put(datapath: &mut Datapath, prefix: &str, verdict: u8, expires_ns: u64) {
    datapath.list_insert(prefix.parse().unwrap(), Entry { verdict, expires_ns }).unwrap();
}

fn longest_prefix() {
    let mut datapath = rig::load(Rules::new());
    put(&mut datapath, "10.0.0.0/8", VERDICT_DENY, 0);
    put(&mut datapath, "10.1.0.0/16", VERDICT_ALLOW, 0);
    put(&mut datapath, "10.1.2.3/32", VERDICT_BAN, 0);
    put(&mut datapath, "2001:db8::/32", VERDICT_DENY, 0);
    put(&mut datapath, "2001:db8:0:1::/64", VERDICT_ALLOW, 0);
    put(&mut datapath, "2001:db8:0:1::7/128", VERDICT_BAN, 0);
    for (source, expected) in [
        ("10.2.0.1", Denied),
        ("10.1.0.1", Allowed),
        ("10.1.2.3", Banned),
        ("10.1.2.4", Allowed),
        ("11.0.0.1", Passed),
        ("2001:db8:5::1", Denied),
        ("2001:db8:0:1::1", Allowed),
        ("2001:db8:0:1::7", Banned),
        ("2001:db9::1", Passed),
    ] {
        assert_eq!(reason(&datapath, source), expected, "{source}");
    }
}

fn families() {
    let mut datapath = rig::load(Rules::new());
    put(&mut datapath, "0.0.0.0/0", VERDICT_DENY, 0);
    assert_eq!(reason(&datapath, "192.0.2.1"), Denied);
    assert_eq!(reason(&datapath, "2001:db8::1"), Passed);
    assert!(datapath.list_remove("0.0.0.0/0".parse().unwrap()).unwrap());
    put(&mut datapath, "2000::/3", VERDICT_DENY, 0);
    assert_eq!(reason(&datapath, "192.0.2.1"), Passed);
    assert_eq!(reason(&datapath, "2001:db8::1"), Denied);
}

fn expiry() {
    let mut datapath = rig::load(Rules::new());
    // Long enough for a slow machine to have looked three times.
    let soon = monotonic_ns() + 2_000_000_000;
    put(&mut datapath, "192.0.0.0/16", VERDICT_DENY, 0);
    put(&mut datapath, "192.0.2.0/24", VERDICT_ALLOW, soon);
    put(&mut datapath, "192.0.2.7/32", VERDICT_BAN, soon);
    put(&mut datapath, "203.0.113.7/32", VERDICT_BAN, soon);
    assert_eq!(reason(&datapath, "192.0.2.7"), Banned);
    assert_eq!(reason(&datapath, "192.0.2.8"), Allowed);
    assert_eq!(reason(&datapath, "203.0.113.7"), Banned);
    sleep(Duration::from_nanos(soon.saturating_sub(monotonic_ns()) + 20_000_000));
    assert_eq!(reason(&datapath, "192.0.2.7"), Denied, "two expired entries hide the third");
    assert_eq!(reason(&datapath, "192.0.2.8"), Denied);
    assert_eq!(reason(&datapath, "203.0.113.7"), Passed);
}

fn read_back() {
    let mut datapath = rig::load(Rules::new());
    let mut expected = Vec::new();
    for (i, prefix) in ["0.0.0.0/0", "10.0.0.0/8", "192.0.2.7/32", "::/0", "2001:db8::/32", "2001:db8::1/128"]
        .iter()
        .enumerate()
    {
        let entry = Entry { verdict: 1 + (i % 3) as u8, expires_ns: i as u64 * 1_000_000_000_000 };
        datapath.list_insert(prefix.parse().unwrap(), entry).unwrap();
        expected.push((prefix.parse().unwrap(), entry));
    }
    let mut found = datapath.list_entries().unwrap();
    found.sort_by_key(|(prefix, _)| *prefix);
    expected.sort_by_key(|(prefix, _)| *prefix);
    assert_eq!(found, expected);
    for (prefix, _) in expected {
        assert!(datapath.list_remove(prefix).unwrap());
        assert!(!datapath.list_remove(prefix).unwrap(), "{prefix} is gone");
    }
    assert!(datapath.list_entries().unwrap().is_empty());
}

/// Those that find no room in the table of addresses are found all the same, and who is taken out is gone from both.
fn many_addresses() {
    let mut datapath = rig::load(Rules::new());
    let address = |i: u32| {
        if i.is_multiple_of(4) { format!("2001:db8::{i:x}") } else { format!("10.7.{}.{}", i >> 8, i & 255) }
    };
    let prefix = |i: u32| format!("{}/{}", address(i), if i.is_multiple_of(4) { 128 } else { 32 });
    let sampled = |step: usize| (1..4_000_u32).step_by(step);
    put(&mut datapath, "10.7.0.0/16", VERDICT_DENY, 0);
    for i in sampled(1).filter(|i| i % 2 == 0) {
        put(&mut datapath, &prefix(i), VERDICT_BAN, 0);
    }
    let beside = |i: u32| if i.is_multiple_of(4) { Passed } else { Denied };
    for i in sampled(7) {
        let expected = if i.is_multiple_of(2) { Banned } else { beside(i) };
        assert_eq!(reason(&datapath, &address(i)), expected, "{}", address(i));
    }
    for i in sampled(1).filter(|i| i % 6 == 0) {
        put(&mut datapath, &prefix(i), VERDICT_ALLOW, 0);
    }
    for i in sampled(1).filter(|i| i % 10 == 0) {
        assert!(datapath.list_remove(prefix(i).parse().unwrap()).unwrap());
    }
    // At once in the places that have just become free, or elsewhere: with an end, and over already.
    for i in sampled(1).filter(|i| i % 20 == 0) {
        put(&mut datapath, &prefix(i), VERDICT_BAN, monotonic_ns() - 1_000_000_000);
    }
    for i in sampled(3).filter(|i| i % 2 == 0) {
        let expected = match i {
            i if i.is_multiple_of(10) => beside(i),
            i if i.is_multiple_of(6) => Allowed,
            _ => Banned,
        };
        assert_eq!(reason(&datapath, &address(i)), expected, "{}", address(i));
    }
}

/// As an agent does that takes the lists over: what was in force can still be gone back to when its own entries come.
fn many_meanwhile() {
    let mut datapath = rig::load(Rules::new());
    let prefix = |i: u32| format!("{}.{}.0.0/16", 11 + i % 100, i / 100);
    let address = |i: u32| format!("{}.{}.1.2", 11 + i % 100, i / 100);
    (0..60).for_each(|i| put(&mut datapath, &prefix(i), VERDICT_DENY, 0));
    datapath.install_lists(None).unwrap();
    (60..300).for_each(|i| put(&mut datapath, &prefix(i), VERDICT_DENY, 0));
    let all_hold = |datapath: &Datapath| {
        for i in (0..300).step_by(7) {
            assert_eq!(reason(datapath, &address(i)), Denied, "{}", address(i));
            assert_eq!(reason(datapath, &address(i + 300)), Passed, "{}", address(i + 300));
        }
    };
    all_hold(&datapath);
    datapath.settle_lists().unwrap();
    all_hold(&datapath);
    datapath.install_lists(None).unwrap();
    datapath.revert_lists().unwrap();
    all_hold(&datapath);
}

fn allowed() {
    let mut datapath = rig::load(Rules::new().closed(1));
    put(&mut datapath, "192.0.2.7/32", VERDICT_ALLOW, 0);
    assert_eq!(reason(&datapath, "192.0.2.7"), Allowed);
    assert_eq!(reason(&datapath, "192.0.2.8"), ClassClosed);
    let malformed = FrameBuilder::new("192.0.2.7", "198.51.100.1").version(5).udp(1, 53).build();
    assert_eq!(judge(&datapath, &malformed).1.reason, MalformedIpv4, "but not what cannot be read");
}
