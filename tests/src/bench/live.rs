//! Real frames through veths: how many a second one core sends and receives.
//!
//! Every contender has a veth and a namespace of its own and stays in place; the flood goes to one after the other. It is
//! made in the kernel (BPF_F_TEST_XDP_LIVE_FRAMES), and received by the CPU that sends it, in software interrupts, so
//! that what is counted is what one core does in all.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use aya::programs::xdp::XdpMode;
use serde_json::json;
use stopbank_tests::{
    agent::{Agent, Settings, Site},
    cpu::{self, Role},
    frames::FrameBuilder,
    generator::Flood,
    interrupt,
    netns::Namespace,
    scratch::Scratch,
    topology::{INTERFACE, poll_for_receiving},
};

use crate::{
    features::{Config, Lists, Rates},
    feed::{self, ONE_SOURCE},
    load::{block, nft, wait_for},
    measure::{Plan, median},
    programs::{Bare, Filter},
    rows::{Section, rounded, row},
};

/// What the generator makes before anything is counted: caches and tables fill, budgets are spent.
const WARM_UP: Duration = Duration::from_millis(700);
/// How long a turn is counted.
const TURN: Duration = Duration::from_millis(800);

/// The least that the default configuration must reach, of nftables' meter and of a bare drop.
const LEAST_OF_METER: f64 = 2.5;
const LEAST_OF_BARE: f64 = 0.5;

/// Drops everything as early as nftables can.
const NFT_DROP: &str = "table netdev bench {
  chain ingress { type filter hook ingress device \"eth0\" priority 0; policy drop; }
}";
/// A limit for each source, as its manual has it; what keeps within it is dropped as well, so that only the filter counts.
const NFT_METER: &str = "table netdev bench {
  set sources { type ipv4_addr; size 1048576; flags dynamic,timeout; timeout 10s; }
  chain ingress {
    type filter hook ingress device \"eth0\" priority 0; policy drop;
    ip protocol udp update @sources { ip saddr limit rate over 1000/second } drop
  }
}";

/// What stands behind a veth.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Contender {
    Bare,
    /// Ours; the last word says what turns random sources away.
    Stopbank(Config, Way),
    XdpFilter,
    NftDrop,
    NftMeter,
}

/// What turns a flood of random sources away.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The class's total, asked before the table of sources.
    Total,
    /// The table of sources, read and charged for every packet.
    Sources,
}

const CONTENDERS: [Contender; 8] = [
    Contender::Bare,
    Contender::Stopbank(Config::Default, Way::Total),
    Contender::Stopbank(Config::Default, Way::Sources),
    Contender::Stopbank(Config::Full, Way::Total),
    Contender::Stopbank(Config::Full, Way::Sources),
    Contender::XdpFilter,
    Contender::NftDrop,
    Contender::NftMeter,
];

/// Name in the table, sources as the generator takes them (0: random ones), and how many those are.
const SOURCES: [(&str, u32, u64); 2] = [("1", 1, 1), ("2^32", 0, 1 << 32)];

impl Contender {
    const fn program(self) -> &'static str {
        match self {
            Self::Bare => "xdp-drop",
            Self::Stopbank(..) => "stopbank",
            Self::XdpFilter => "xdp-filter",
            Self::NftDrop => "nftables-drop",
            Self::NftMeter => "nftables-meter",
        }
    }

    const fn case(self) -> &'static str {
        match self {
            Self::Bare | Self::XdpFilter | Self::NftDrop => "drop",
            Self::Stopbank(_, Way::Total) => "total",
            Self::Stopbank(_, Way::Sources) | Self::NftMeter => "per-source",
        }
    }

    fn is_in(self, config: Config) -> bool {
        !matches!(self, Self::Stopbank(its, _) if its != config)
    }
}

/// A contender in its place.
struct Place {
    contender: Contender,
    server: Namespace,
    /// Index of the other end.
    to_server: u32,
}

/// Floods, in turns.
pub(crate) fn run(plan: &Plan<'_>, xdp_filter: &Path) -> Result<Section> {
    cpu::assign(0, Role::Other)?;
    let switch = Namespace::new()?;
    let files = Scratch::new()?;
    fs::write(files.file("feed.txt"), feed::file(usize::MAX))?;
    let mut places = Vec::new();
    for (i, contender) in CONTENDERS.into_iter().enumerate() {
        if contender == Contender::XdpFilter && !xdp_filter.exists() {
            eprintln!("live: xdp-filter is not here ({}) and is left out", xdp_filter.display());
            continue;
        }
        let server = Namespace::new()?;
        let port = format!("to-{i}");
        let path = server.path();
        switch.ip(&[
            &format!("link add {port} type veth peer name {INTERFACE} netns {path}"),
            &format!("link set {port} up"),
        ])?;
        server.ip(&[&format!("link set {INTERFACE} up")])?;
        poll_for_receiving(&server, INTERFACE)?;
        places.push(Place { contender, to_server: switch.interface_index(&port)?, server });
    }
    let standing =
        places.iter().map(|place| Standing::put(place, &files, xdp_filter)).collect::<Result<Vec<_>>>()?;
    let mut rates = vec![vec![Vec::new(); SOURCES.len()]; places.len()];
    for round in 0..=plan.rounds {
        eprintln!("live: round {round} of {}", plan.rounds);
        for i in 0..places.len() {
            let i = (i + round) % places.len();
            for (number, (_, sources, _)) in SOURCES.iter().enumerate() {
                let rate = turn(&switch, &places[i], *sources)?;
                if round > 0 {
                    rates[i][number].push(rate);
                }
            }
        }
    }
    standing.iter().try_for_each(Standing::check)?;
    Ok(report(&places, &rates))
}

/// What keeps a contender in place; in the order in which it must go.
enum Standing<'p> {
    Program { _bare: Bare },
    Filter { _filter: Filter },
    Agent { _agent: Agent, site: Site<'p> },
    Rules,
}

impl<'p> Standing<'p> {
    fn put(place: &'p Place, files: &Scratch, xdp_filter: &Path) -> Result<Self> {
        let server = &place.server;
        match place.contender {
            Contender::Bare => {
                let mut bare = Bare::load()?;
                let program = bare.program()?;
                server.run(|| program.attach(INTERFACE, XdpMode::Driver).map(drop))??;
                Ok(Self::Program { _bare: bare })
            }
            Contender::XdpFilter => {
                let mut filter = Filter::load(xdp_filter)?;
                let program = filter.program()?;
                server.run(|| program.attach(INTERFACE, XdpMode::Driver).map(drop))??;
                Ok(Self::Filter { _filter: filter })
            }
            Contender::Stopbank(config, way) => {
                eprintln!("live: an agent with {config}");
                let rates = if way == Way::Total { Rates::TOTAL } else { Rates::SOURCES };
                let features = config.features();
                let mut policy = features.text(rates);
                if features.lists == Lists::Million {
                    policy += &block(&files.file("feed.txt"));
                }
                let site = Site::new(server)?;
                site.configure(&Settings { policy, ..Settings::default() })?;
                let agent = site.start()?;
                // What keeps within the limits goes no further, as nftables' meter has it.
                nft(server, NFT_DROP)?;
                if features.lists == Lists::Million {
                    wait_for(&site, 1_000_000)?;
                }
                Ok(Self::Agent { _agent: agent, site })
            }
            Contender::NftDrop => nft(server, NFT_DROP).map(|()| Self::Rules),
            Contender::NftMeter => nft(server, NFT_METER).map(|()| Self::Rules),
        }
    }

    /// Ours must have turned the floods away, as the others do, for a comparison to mean anything. What limits and tables
    /// take before they are full passes.
    fn check(&self) -> Result<()> {
        let Self::Agent { site, .. } = self else { return Ok(()) };
        let counts = site.counts()?;
        let (dropped, all) = (counts.verdict("drop"), counts.total());
        ensure!(dropped * 10 >= all * 7, "an agent dropped only {dropped} of {all}");
        Ok(())
    }
}

/// Millions of packets a second that were received and judged.
fn turn(switch: &Namespace, place: &Place, sources: u32) -> Result<f64> {
    let flood = Flood {
        frame: FrameBuilder::new(ONE_SOURCE, "198.18.0.1").udp(40_000, 53).payload(&[0; 18]),
        sources,
        pace: None,
        at_most: WARM_UP + TURN + Duration::from_secs(5),
    }
    .start(switch, place.to_server)?;
    interrupt::sleep_until(Instant::now() + WARM_UP)?;
    let (begin, before) = (Instant::now(), place.server.statistics(INTERFACE)?.received);
    interrupt::sleep_until(begin + TURN)?;
    let (took, after) = (begin.elapsed(), place.server.statistics(INTERFACE)?.received);
    flood.stop().context("the flood failed")?;
    Ok((after - before) as f64 / took.as_secs_f64() / 1e6)
}

fn report(places: &[Place], rates: &[Vec<Vec<f64>>]) -> Section {
    let mut section = Section::default();
    let text = &mut section.markdown;
    *text += "\n## Live frames\n\nMillions of UDP frames a second through a veth, one core for sending and receiving:\n\n\
              | config | program | by | 1 source | 2^32 sources | of bare drop | of nftables' meter |\n\
              | --- | --- | --- | ---: | ---: | ---: | ---: |\n";
    let medians: Vec<Vec<f64>> =
        rates.iter().map(|rates| rates.iter().map(|rates| median(rates.clone())).collect()).collect();
    let of = |wanted: Contender| {
        places.iter().position(|place| place.contender == wanted).map(|i| medians[i].clone())
    };
    let share = |rate: f64, number: usize, other| of(other).map(|others| rate / others[number]);
    let shown = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.2}"));
    for config in Config::ALL {
        for (place, medians) in places.iter().zip(&medians).filter(|(place, _)| place.contender.is_in(config))
        {
            let (program, case) = (place.contender.program(), place.contender.case());
            let random = medians[1];
            let _ = writeln!(
                text,
                "| {config} | {program} | {case} | {:.2} | {random:.2} | {} | {} |",
                medians[0],
                shown(share(random, 1, Contender::Bare)),
                shown(share(random, 1, Contender::NftMeter))
            );
            for (number, (_, _, sources)) in SOURCES.iter().enumerate() {
                let rate = medians[number];
                let fields = json!({
                    "program": program, "case": case, "packet": "udp4", "sources": sources, "mpps": rounded(rate),
                    "of_xdp_drop": share(rate, number, Contender::Bare).map(rounded),
                    "of_nft_meter": share(rate, number, Contender::NftMeter).map(rounded),
                });
                section.rows.push(row("live", config, fields));
            }
        }
    }
    section.markdown += "\nFigures to keep, at 2^32 sources:\n\n";
    for way in [Way::Total, Way::Sources] {
        let ours = Contender::Stopbank(Config::Default, way);
        for (other, least) in [(Contender::NftMeter, LEAST_OF_METER), (Contender::Bare, LEAST_OF_BARE)] {
            let value = of(ours).and_then(|rates| share(rates[1], 1, other)).unwrap_or_default();
            let verdict = if value >= least { "pass" } else { "MISS" };
            section.markdown += &format!(
                "- stopbank default ({}) by {}: at least {least:.1}, measured {value:.2}: **{verdict}**\n",
                ours.case(),
                other.program()
            );
        }
    }
    section
}
