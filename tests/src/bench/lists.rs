//! What lists cost: beside nothing at all, a million prefixes, and hits.

use std::{fmt::Write as _, net::IpAddr, sync::Arc, time::Instant};

use anyhow::{Context, Result, ensure};
use ipnet::IpNet;
use stopbank::{
    datapath::{Entry, Generation},
    lists::feeds::PrefixSet,
};
use stopbank_common::{
    Reason,
    list::{VERDICT_ALLOW, VERDICT_BAN, VERDICT_DENY},
};

use crate::{
    measure::{Plan, median},
    packets::{Packet, Sources},
    programs::{Program, Programs},
};

/// IPv4 prefixes of the large list.
const V4: u32 = 1_000_000;
/// IPv6 prefixes of the large list.
const V6: u32 = 200_000;

/// What is on the lists.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lists {
    Empty,
    Ban,
    Million,
    MillionAndBan,
}

/// What is measured, and the reason that all its packets (or nearly all) must have.
const CASES: [(&str, Lists, Sources, Option<Reason>); 8] = [
    ("lists empty, 2^32 sources", Lists::Empty, Sources::All, None),
    ("1.2 M prefixes, 2^32 sources", Lists::Million, Sources::All, None),
    ("1.2 M prefixes and a ban, 2^32 sources", Lists::MillionAndBan, Sources::All, None),
    ("lists empty, 1 source", Lists::Empty, Sources::One, None),
    ("a ban, its source", Lists::Ban, Sources::One, Some(Reason::Banned)),
    ("1.2 M prefixes and a ban, its source", Lists::MillionAndBan, Sources::One, Some(Reason::Banned)),
    ("1.2 M prefixes, a source denied by one", Lists::Million, Sources::One, Some(Reason::Denied)),
    ("a ban, 2^32 sources", Lists::Ban, Sources::All, None),
];

/// Each case in turns with the empty program; medians, in Markdown.
pub(crate) fn run(load: impl Fn() -> Result<Programs>, plan: &Plan<'_>) -> Result<String> {
    let set = Arc::new(million());
    let mut out = format!(
        "\n## Lists\n\n{}\n\n| case | ns | net of the empty program |\n| --- | ---: | ---: |\n",
        compile_times(&set)?
    );
    let mut times = vec![(Vec::new(), Vec::new()); CASES.len()];
    for round in 0..=plan.rounds {
        eprintln!("lists: round {round} of {}", plan.rounds);
        let mut programs = load()?;
        for (case, (name, lists, sources, reason)) in CASES.iter().enumerate() {
            arrange(&mut programs, *lists, &set)?;
            let (ns, counted) = programs.ours(Packet::Udp4, *sources, plan.repeat)?;
            if let Some(reason) = reason {
                ensure!(
                    counted.of(*reason).0.packets == u64::from(plan.repeat),
                    "{name}: not all {reason:?}"
                );
            }
            let empty = programs.turn(Program::Empty, Packet::Udp4, *sources, plan.repeat)?.ns;
            if round > 0 {
                times[case].0.push(ns);
                times[case].1.push(ns - empty);
            }
        }
    }
    for ((name, ..), (all, net)) in CASES.iter().zip(times) {
        let _ = writeln!(out, "| {name} | {:.0} | {:.0} |", median(all), median(net));
    }
    Ok(out)
}

/// From prefixes in memory to an index in the kernel.
fn compile_times(set: &Arc<PrefixSet>) -> Result<String> {
    let begin = Instant::now();
    let generation = Generation::build(set.clone())?;
    let took = begin.elapsed();
    drop(generation);
    Ok(format!("An index of {} prefixes was built in {:.2} s.", set.len(), took.as_secs_f64()))
}

fn arrange(programs: &mut Programs, lists: Lists, set: &Arc<PrefixSet>) -> Result<()> {
    let datapath = programs.datapath();
    for (prefix, _) in datapath.list_entries()? {
        datapath.list_remove(prefix)?;
    }
    let large = matches!(lists, Lists::Million | Lists::MillionAndBan);
    let generation = if large { Some(Generation::build(set.clone())?) } else { None };
    datapath.install_lists(generation)?;
    datapath.settle_lists()?;
    if matches!(lists, Lists::Ban | Lists::MillionAndBan) {
        let first = "11.0.0.0/32".parse().context("the first source")?;
        datapath.list_insert(first, Entry { verdict: VERDICT_BAN, expires_ns: 0 })?;
    }
    Ok(())
}

/// Mostly single addresses, as feeds have them, spread over all of IPv4, and some of every length from /20 on; IPv6 from
/// /29 to /64. One in twenty is allowed.
fn million() -> PrefixSet {
    let mut set = PrefixSet::default();
    let mut state = 0x9e37_79b9_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 24) as u32 ^ (state >> 40) as u32
    };
    let verdict = |i: u32| if i.is_multiple_of(20) { VERDICT_ALLOW } else { VERDICT_DENY };
    for i in 0..V4 {
        let bits = if i % 20 == 1 { 20 + (random() % 12) as u8 } else { 32 };
        let prefix = IpNet::new_assert(IpAddr::V4(random().into()), bits);
        set.push(prefix.trunc(), verdict(i));
    }
    for i in 0..V6 {
        let address = u128::from(0x2000_0000 | random() >> 3) << 96 | u128::from(random()) << 64;
        set.push(IpNet::new_assert(IpAddr::V6(address.into()), 29 + (i % 36) as u8).trunc(), verdict(i));
    }
    // The one source that is measured alone.
    set.push(IpNet::new_assert(IpAddr::V4(0x0b00_0000.into()), 32), VERDICT_DENY);
    set.finish();
    set
}
