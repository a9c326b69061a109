//! Where the time goes: the same packets under policies that have one more thing on each.

use std::{fmt::Write as _, net::TcpListener, net::UdpSocket, sync::Arc};

use anyhow::{Context, Result};
use serde_json::json;
use stopbank::{datapath::Entry, lists::feeds::PrefixSet};
use stopbank_common::list::VERDICT_BAN;
use stopbank_tests::interrupt;

use crate::{
    features::{Config, Features, Lists},
    feed::ONE_SOURCE,
    measure::{Plan, median},
    packets::{Packet, Sources},
    programs::{Program, Programs},
    rows::{Section, rounded, row},
};

/// What one step is measured by: its name, the policy, and whether the single source is banned.
type Step = (&'static str, Features, bool);

/// Each has one thing more than the one before it, but for the last ones, which say what they have.
fn steps() -> Vec<Step> {
    let parse = Features::BARE;
    let few = Features { lists: Lists::Few, ..parse };
    let packets = Features { packets: true, ..few };
    let connections = Features { connections: true, ..packets };
    let total = Config::Default.features();
    let million = Features { lists: Lists::Million, ..total };
    let reserve = Features { reserve: true, ..million };
    let levels = Features { levels: true, ..reserve };
    let full = Config::Full.features();
    vec![
        ("parser, class, counters", parse, false),
        ("+ six dynamic list entries", few, false),
        ("+ packets per source", packets, false),
        ("+ connections per source", connections, false),
        ("+ total (= default)", total, false),
        ("+ 1.2 M prefixes", million, false),
        ("+ reserve for proven sources", reserve, false),
        ("+ wider prefixes", levels, false),
        ("+ 63 classes (= full)", full, false),
        ("+ sockets (role host)", Features { role: "host", ..full }, false),
        ("default, and sockets (role host)", Features { role: "host", ..total }, false),
        ("a ban hit", parse, true),
        ("a ban hit, no events", Features { events: false, ..parse }, true),
    ]
}

/// Unless others are asked for.
const SOURCES: [Sources; 2] = [Sources::One, Sources::All];

/// Steps in turns with the empty program; medians of net times.
pub(crate) fn run(
    load: impl Fn() -> Result<Programs>,
    feed: &Arc<PrefixSet>,
    plan: &Plan<'_>,
) -> Result<Section> {
    let _sockets = listen()?;
    let steps = steps();
    let sources = if plan.sources == Sources::ALL { SOURCES.as_slice() } else { plan.sources };
    let combinations: Vec<(Packet, Sources)> = plan
        .packets
        .iter()
        .flat_map(|&packet| sources.iter().map(move |&sources| (packet, sources)))
        .collect();
    let mut times = vec![vec![Vec::new(); combinations.len()]; steps.len()];
    let mut programs = load()?;
    for round in 0..=plan.rounds {
        interrupt::check()?;
        eprintln!("steps: round {round} of {}", plan.rounds);
        for (step, times) in steps.iter().zip(&mut times) {
            arrange(&mut programs, *step, feed)?;
            for ((packet, sources), times) in combinations.iter().zip(times) {
                let (ns, _) = programs.ours(Config::Default, *packet, *sources, plan.repeat)?;
                let empty = programs.turn(Program::Empty, *packet, *sources, plan.repeat)?.ns;
                if round > 0 {
                    times.push(ns - empty);
                }
            }
        }
    }
    Ok(report(&steps, &combinations, &times))
}

/// Something listens on the ports of the benchmark's packets, so that the host's sockets want them.
pub(crate) fn listen() -> Result<(TcpListener, UdpSocket)> {
    let obstacle = "ports 443/tcp and 53/udp must be free here";
    Ok((TcpListener::bind("[::]:443").context(obstacle)?, UdpSocket::bind("[::]:53").context(obstacle)?))
}

fn arrange(programs: &mut Programs, (_, features, ban): Step, feed: &Arc<PrefixSet>) -> Result<()> {
    programs.install(Config::Default, features, feed)?;
    let datapath = programs.datapath(Config::Default)?;
    if ban {
        for source in [format!("{ONE_SOURCE}/32"), "2001:db8::/64".to_owned()] {
            datapath.list_insert(source.parse()?, Entry { verdict: VERDICT_BAN, expires_ns: 0 })?;
        }
        datapath.settle_lists()?;
    }
    Ok(())
}

fn report(steps: &[Step], combinations: &[(Packet, Sources)], times: &[Vec<Vec<f64>>]) -> Section {
    let mut section = Section::default();
    let text = &mut section.markdown;
    *text += "\n## Steps\n\nNanoseconds net of the empty program; each line has one thing more than the line above, but for \
              the last three.\n\n| config | policy |";
    for (packet, sources) in combinations {
        let _ = write!(text, " {packet}, {} |", sources.short());
    }
    *text += "\n| --- | --- |";
    *text += &" ---: |".repeat(combinations.len());
    for ((name, features, ban), times) in steps.iter().zip(times) {
        let config = if features.lists == Lists::Million { Config::Full } else { Config::Default };
        let _ = write!(text, "\n| {config} | {name} |");
        for ((packet, sources), times) in combinations.iter().zip(times) {
            // Nobody but the single source is banned.
            let ns = median(times.clone());
            if *ban && *sources != Sources::One {
                *text += " |";
                continue;
            }
            let _ = write!(text, " {ns:.0} |");
            let fields = json!({
                "step": name, "packet": packet.name(), "sources": sources.count(), "program": "stopbank",
                "net_ns": rounded(ns),
            });
            section.rows.push(row("steps", config, fields));
        }
    }
    *text += "\n";
    section
}
