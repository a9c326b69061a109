//! What lists cost: beside nothing at all, a million prefixes, an LPM trie of as many, and hits.

use std::{fmt::Write as _, net::IpAddr, sync::Arc, time::Instant};

use anyhow::{Context, Result, ensure};
use aya::maps::lpm_trie::{Key, LpmTrie};
use ipnet::IpNet;
use serde_json::json;
use stopbank::{
    datapath::{Entry, Generation},
    lists::feeds::PrefixSet,
};
use stopbank_common::{Reason, list::VERDICT_BAN};
use stopbank_tests::interrupt;

use crate::{
    features::{Config, Lists},
    feed::{self, ONE_SOURCE},
    measure::{Plan, median},
    packets::{Packet, Sources},
    programs::{Program, Programs},
    rows::{Section, rounded, row},
};

/// The most that the list may cost above an empty one, at random sources.
const MOST_FOR_A_MILLION: f64 = 90.0;
/// The most that a ban hit may cost above the empty program.
const MOST_FOR_A_BAN: f64 = 40.0;

/// What is measured: what is on the lists, whether the single source is banned beside, and the reason that all packets
/// must have.
struct Case {
    name: &'static str,
    title: &'static str,
    lists: Lists,
    ban: bool,
    sources: Sources,
    reason: Option<Reason>,
}

const fn case(name: &'static str, title: &'static str, lists: Lists, sources: Sources) -> Case {
    Case { name, title, lists, ban: false, sources, reason: None }
}

const CASES: [Case; 7] = [
    case("empty", "lists empty, 2^32 sources", Lists::Empty, Sources::All),
    case("million", "1.2 M prefixes, 2^32 sources", Lists::Million, Sources::All),
    case("empty-one", "lists empty, 1 source", Lists::Empty, Sources::One),
    Case {
        reason: Some(Reason::Denied),
        ..case("million-hit", "1.2 M prefixes, a source denied by one", Lists::Million, Sources::One)
    },
    Case { ban: true, ..case("ban", "a ban, 2^32 sources", Lists::Empty, Sources::All) },
    Case {
        ban: true,
        reason: Some(Reason::Banned),
        ..case("ban-hit", "a ban, its source", Lists::Empty, Sources::One)
    },
    Case {
        ban: true,
        reason: Some(Reason::Banned),
        ..case("million-ban-hit", "1.2 M prefixes and a ban, its source", Lists::Million, Sources::One)
    },
];

/// The tries of our own comparison program, in the same form.
const TRIES: [(&str, &str, Sources); 2] = [
    ("lpm-trie", "an LPM trie of 1 M prefixes alone, 2^32 sources", Sources::All),
    ("lpm-trie-one", "an LPM trie of 1 M prefixes alone, 1 source", Sources::One),
];

/// Times of one case, round by round.
#[derive(Clone, Default)]
struct Times {
    all: Vec<f64>,
    net: Vec<f64>,
}

/// Each case in turns with the empty program; medians.
pub(crate) fn run(load: impl Fn() -> Result<Programs>, plan: &Plan<'_>) -> Result<Section> {
    let denied = Arc::new(feed::set(Some(IpNet::from(IpAddr::V4(ONE_SOURCE)))));
    let mut section = compile_time(&denied)?;
    let mut programs = load()?;
    fill(programs.lpm_list()?)?;
    let mut times = vec![Times::default(); CASES.len() + TRIES.len()];
    for round in 0..=plan.rounds {
        interrupt::check()?;
        eprintln!("lists: round {round} of {}", plan.rounds);
        for (number, times) in times.iter_mut().enumerate() {
            let (sources, ns) = match CASES.get(number) {
                Some(case) => (case.sources, one_case(&mut programs, case, &denied, plan.repeat)?),
                None => {
                    let sources = TRIES[number - CASES.len()].2;
                    // At random sources the trie takes two thousand nanoseconds: fewer packets do.
                    (sources, programs.lpm(sources, plan.repeat / 4)?)
                }
            };
            let empty = programs.turn(Program::Empty, Packet::Udp4, sources, plan.repeat)?.ns;
            if round > 0 {
                times.all.push(ns);
                times.net.push(ns - empty);
            }
        }
    }
    report(&mut section, &times);
    Ok(section)
}

fn one_case(programs: &mut Programs, case: &Case, feed: &Arc<PrefixSet>, repeat: u32) -> Result<f64> {
    let datapath = programs.datapath(Config::Default)?;
    case.lists.install(datapath, feed)?;
    if case.ban {
        let source = IpNet::from(IpAddr::V4(ONE_SOURCE));
        datapath.list_insert(source, Entry { verdict: VERDICT_BAN, expires_ns: 0 })?;
        datapath.settle_lists()?;
    }
    let (ns, counted) = programs.ours(Config::Default, Packet::Udp4, case.sources, repeat)?;
    if let Some(reason) = case.reason {
        ensure!(counted.of(reason).0.packets == u64::from(repeat), "{}: not all {reason:?}", case.name);
    }
    Ok(ns)
}

/// The IPv4 prefixes, for the comparison.
fn fill(mut trie: LpmTrie<aya::maps::MapData, u32, u8>) -> Result<()> {
    eprintln!("lists: filling the trie that ours is compared with");
    for (prefix, verdict) in feed::prefixes() {
        if let IpNet::V4(prefix) = prefix {
            let key = Key::new(prefix.prefix_len().into(), u32::from(prefix.network()).to_be());
            trie.insert(&key, verdict, 0).context("the trie takes no more")?;
        }
    }
    Ok(())
}

/// From prefixes in memory to an index in the kernel.
fn compile_time(set: &Arc<PrefixSet>) -> Result<Section> {
    let begin = Instant::now();
    let generation = Generation::build(set.clone())?;
    let seconds = begin.elapsed().as_secs_f64();
    drop(generation);
    let markdown = format!("\n## Lists\n\nAn index of {} prefixes was built in {seconds:.2} s.\n", set.len());
    let fields = json!({ "case": "index-built", "prefixes": set.len() as u64, "seconds": rounded(seconds) });
    Ok(Section { markdown, rows: vec![row("lists", Config::Default, fields)] })
}

fn report(section: &mut Section, times: &[Times]) {
    let names = CASES.iter().map(|case| (case.name, case.title, case.sources)).chain(TRIES);
    let text = &mut section.markdown;
    *text += "\n| config | case | ns | net of the empty program |\n| --- | --- | ---: | ---: |\n";
    let mut net = std::collections::BTreeMap::new();
    for ((name, title, sources), times) in names.zip(times) {
        let (ns, net_ns) = (median(times.all.clone()), median(times.net.clone()));
        net.insert(name, net_ns);
        let _ = writeln!(text, "| default | {title} | {ns:.0} | {net_ns:.0} |");
        let fields = json!({
            "case": name, "packet": Packet::Udp4.name(), "sources": sources.count(),
            "program": if name.starts_with("lpm") { "lpm-trie" } else { "stopbank" },
            "ns": rounded(ns), "net_ns": rounded(net_ns),
        });
        section.rows.push(row("lists", Config::Default, fields));
    }
    let more = net["million"] - net["empty"];
    *text += "\nFigures to keep:\n\n";
    for (name, what, most, value) in [
        ("million-above-empty", "1.2 M prefixes above empty lists, ns", MOST_FOR_A_MILLION, more),
        ("ban-above-empty-program", "a ban hit above the empty program, ns", MOST_FOR_A_BAN, net["ban-hit"]),
    ] {
        let verdict = if value <= most { "pass" } else { "MISS" };
        let _ = writeln!(text, "- {what}: at most {most:.0}, measured {value:.0}: **{verdict}**");
        let fields = json!({ "case": name, "net_ns": rounded(value), "at_most": most });
        section.rows.push(row("lists", Config::Default, fields));
    }
}
