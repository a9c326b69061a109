//! A real HTTPS client and a real HTTPS server, while one core floods the server.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;
use serde_json::{Value, json};
use stopbank_common::parse::{protocol, tcp_flags};
use stopbank_tests::{
    agent::{Agent, Site},
    cpu::{self, Role},
    curl::{Curl, Requests},
    frames::FrameBuilder,
    generator::{Flood, Running},
    interrupt,
    nginx::Nginx,
    scratch::Scratch,
    topology::{INTERFACE, Receiving, Topology, server_address},
};

use crate::{
    features::Config,
    feed,
    load::{block, nft, wait_for},
    rows::{Section, rounded, row},
};

/// Requests a second, each over a new connection.
const REQUESTS: u32 = 20;
/// How long a request may take: as long as to send a lost SYN once more, and then some.
const PATIENCE: Duration = Duration::from_secs(3);
/// For how long there is an attack before the client begins.
const LEAD: Duration = Duration::from_millis(1500);

/// The least part of the requests that must be served under attack.
const LEAST_SUCCESS: f64 = 0.995;
/// The most that the slowest hundredth may take, of what it takes without attack.
const MOST_OF_P99: f64 = 3.0;

/// What the configuration says beside where files are: a host that serves HTTPS and asks others over UDP.
const POLICY: &str = "
[default]
per_source = { packets = \"1000/s\", connections = \"100/s\" }
total = { packets = \"20k/s\" }

[[class]]
name = \"https\"
protocol = \"tcp\"
ports = [443]
syn_cookies = \"auto\"
per_source = { packets = \"5000/s\", connections = \"100/s\" }
";
/// The same with all else that there is, but for list and sources, which the policy of the run adds.
const POLICY_FULL: &str = "
[[class.per_prefix]]
ipv4 = 24
ipv6 = 64
packets = \"20k/s\"
[[class.per_prefix]]
ipv6 = 48
packets = \"100k/s\"
[class.total]
packets = { rate = \"2M/s\", burst = 2000000 }
proven = \"50%\"
[source]
ipv6_prefix = 128
";

/// nftables' answer to the same floods, as its manuals have it: what can be told without state on ingress, SYNPROXY before
/// the server, and nothing that belongs to no connection.
const NFT: &str = "table netdev guard {
  set sources { type ipv4_addr; size 1048576; flags dynamic,timeout; timeout 10s; }
  chain ingress {
    type filter hook ingress device \"eth0\" priority -500; policy accept;
    ip frag-off & 0x1fff != 0 limit rate over 1000/second drop
    ip protocol udp update @sources { ip saddr limit rate over 1000/second } drop
    ip protocol udp limit rate over 20000/second drop
    tcp dport 443 tcp flags & (syn|ack) == syn update @sources { ip saddr limit rate over 100/second } drop
    tcp flags & (syn|ack) == (syn|ack) limit rate over 1000/second drop
  }
}
table inet guard {
  chain raw {
    type filter hook prerouting priority raw; policy accept;
    tcp dport 443 tcp flags & (syn|ack) == syn notrack
  }
  chain input {
    type filter hook input priority filter; policy accept;
    tcp dport 443 ct state invalid,untracked synproxy mss 1460 wscale 7 timestamp sack-perm
    ct state invalid drop
    ct state established,related accept
    meta l4proto udp drop
  }
}";

/// What stands before the server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Defence {
    None,
    Stopbank(Config),
    Nftables,
}

const DEFENCES: [Defence; 4] =
    [Defence::None, Defence::Stopbank(Config::Default), Defence::Stopbank(Config::Full), Defence::Nftables];

/// What comes at it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Attack {
    None,
    Syn,
    Ack,
    SynAckReflection,
    DnsReflection,
    Udp,
}

const ATTACKS: [Attack; 6] =
    [Attack::None, Attack::Syn, Attack::Ack, Attack::SynAckReflection, Attack::DnsReflection, Attack::Udp];

/// How long, and how much.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    /// For how long the client asks, under each attack.
    pub(crate) time: Duration,
    /// Frames a second of the attack, as far as one core makes them.
    pub(crate) pace: u64,
}

/// What came of one attack.
struct Phase {
    defence: Defence,
    attack: Attack,
    requests: Requests,
    /// Millions of frames a second that the generator made.
    sent_mpps: f64,
}

impl Attack {
    const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Syn => "syn",
            Self::Ack => "ack",
            Self::SynAckReflection => "syn-ack-reflection",
            Self::DnsReflection => "dns-reflection-fragments",
            Self::Udp => "udp",
        }
    }

    /// From random sources, all of it.
    fn start(self, topology: &Topology, load: Load) -> Result<Vec<Running>> {
        let frame = || Topology::frame("11.0.0.1");
        let (frames, reflected): (Vec<FrameBuilder>, bool) = match self {
            Self::None => (Vec::new(), false),
            Self::Syn => (vec![frame().tcp(32_768, 443).tcp_options(&[2, 4, 5, 180])], false),
            Self::Ack => (vec![frame().tcp(32_768, 443).flags(tcp_flags::ACK).sequence(1)], false),
            Self::SynAckReflection => {
                let flags = tcp_flags::SYN | tcp_flags::ACK;
                (vec![frame().tcp(443, 32_768).flags(flags).tcp_options(&[2, 4, 5, 180])], true)
            }
            Self::DnsReflection => (
                vec![
                    frame().fragment(0, true).udp(53, 32_768).udp_length(2988).payload(&[0x5b; 1472]),
                    frame().fragment(1480, false).protocol(protocol::UDP).payload(&[0x5b; 1480]),
                ],
                true,
            ),
            Self::Udp => (vec![frame().udp(32_768, 443).payload(&[0x5b; 18])], false),
        };
        let pace = load.pace / frames.len().max(1) as u64;
        frames
            .into_iter()
            .map(|frame| {
                let at_most = load.time + LEAD + PATIENCE + Duration::from_secs(5);
                let flood = Flood { frame, sources: 0, pace: Some(pace), at_most };
                let to_server = topology.to_server()?;
                if reflected {
                    flood.start_reflected(&topology.switch, to_server)
                } else {
                    flood.start(&topology.switch, to_server)
                }
            })
            .collect()
    }
}

impl Defence {
    const fn program(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Stopbank(_) => "stopbank",
            Self::Nftables => "nftables",
        }
    }

    fn is_in(self, config: Config) -> bool {
        !matches!(self, Self::Stopbank(its) if its != config)
    }
}

/// Every attack against every defence.
pub(crate) fn run(load: Load) -> Result<Section> {
    cpu::assign(0, Role::Other)?;
    let files = Scratch::new()?;
    let list = files.file("feed.txt");
    fs::write(&list, feed::file(usize::MAX))?;
    let mut phases = Vec::new();
    for defence in DEFENCES {
        // A network of its own for each: nothing is left of what was before.
        let topology = Topology::with(Receiving::Queues)?;
        // SYN cookies are sent back by the program itself; for a defence that sends none this changes nothing.
        let _replies = topology.take_replies()?;
        let _server = Nginx::start_tls(&topology.server)?;
        let site = Site::new(&topology.server)?;
        let agent = match defence {
            Defence::None => None,
            Defence::Stopbank(config) => Some(protect(&site, config, &list)?),
            Defence::Nftables => {
                // Only who has finished the handshake with the proxy gets a connection.
                topology.server.sysctl("netfilter/nf_conntrack_tcp_loose", "0")?;
                nft(&topology.server, NFT)?;
                None
            }
        };
        for attack in ATTACKS {
            eprintln!("https: {} under {}", defence.program(), attack.name());
            phases.push(phase(&topology, defence, attack, load)?);
        }
        if let Some(agent) = agent {
            site.detach()?;
            agent.stop()?;
        }
    }
    Ok(report(&phases, load))
}

fn protect(site: &Site<'_>, config: Config, list: &Path) -> Result<Agent> {
    let mut text = format!(
        "mode = \"enforce\"\nrole = \"host\"\nmanage_sysctls = true\n\n[agent]\npin_dir = {:?}\nstate_dir = {:?}\nsocket = {:?}\n\n\
         [[interface]]\nname = \"{INTERFACE}\"\nattach = \"native\"\n{POLICY}",
        site.pins(),
        site.state(),
        site.socket()
    );
    if config == Config::Full {
        text += POLICY_FULL;
        text += &block(list);
    }
    site.write_configuration(&text)?;
    let agent = site.start()?;
    if config == Config::Full {
        wait_for(site, 1_000_000)?;
    }
    Ok(agent)
}

fn phase(topology: &Topology, defence: Defence, attack: Attack, load: Load) -> Result<Phase> {
    let floods = attack.start(topology, load)?;
    if attack != Attack::None {
        interrupt::sleep_until(Instant::now() + LEAD)?;
    }
    let sent = || floods.iter().map(Running::sent).sum::<Result<u64>>();
    let (begin, before) = (Instant::now(), sent()?);
    let url = format!("https://{}/", server_address(false));
    let curl = Curl { url, rate: REQUESTS, time: load.time, timeout: PATIENCE };
    let requests = curl.work(&topology.client)?;
    let sent_mpps = (sent()? - before) as f64 / begin.elapsed().as_secs_f64() / 1e6;
    for flood in floods {
        flood.stop()?;
    }
    Ok(Phase { defence, attack, requests, sent_mpps })
}

/// The slowest hundredth without attack, for one defence.
fn calm(phases: &[Phase], defence: Defence) -> Option<f64> {
    phases
        .iter()
        .find(|phase| phase.defence == defence && phase.attack == Attack::None)?
        .requests
        .quantile(0.99)
}

fn report(phases: &[Phase], load: Load) -> Section {
    let markdown = format!(
        "\n## HTTPS under attack\n\ncurl, {REQUESTS} requests a second for {} s, each over a new connection; nginx; attacks of \
         {} frames a second at most from random sources, made by one core:\n\n\
         | config | defence | attack | Mpps sent | requests | served | p50 ms | p99 ms | p99 of calm | |\n\
         | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n",
        load.time.as_secs(),
        load.pace
    );
    let mut section = Section { markdown, rows: Vec::new() };
    for config in Config::ALL {
        for phase in phases.iter().filter(|phase| phase.defence.is_in(config)) {
            add(&mut section, config, phase, calm(phases, phase.defence));
        }
    }
    section
}

fn add(section: &mut Section, config: Config, phase: &Phase, calm: Option<f64>) {
    let (success, p99) = (phase.requests.success(), phase.requests.quantile(0.99));
    let p50 = phase.requests.quantile(0.5);
    let grown = p99.zip(calm).map(|(p99, calm)| p99 / calm);
    let kept = success >= LEAST_SUCCESS && grown.is_some_and(|grown| grown <= MOST_OF_P99);
    let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
    let _ = writeln!(
        section.markdown,
        "| {config} | {} | {} | {:.2} | {} | {:.1} % | {} | {} | {} | {} |",
        phase.defence.program(),
        phase.attack.name(),
        phase.sent_mpps,
        phase.requests.attempted(),
        success * 100.0,
        shown(p50),
        shown(p99),
        shown(grown),
        if kept { "pass" } else { "MISS" }
    );
    let number = |value: Option<f64>| value.map_or(Value::Null, |value| json!(rounded(value)));
    let fields = json!({
        "program": phase.defence.program(), "attack": phase.attack.name(), "sent_mpps": rounded(phase.sent_mpps),
        "requests": phase.requests.attempted(), "success": rounded(success), "p50_ms": number(p50),
        "p99_ms": number(p99), "p99_of_calm": number(grown),
    });
    section.rows.push(row("https", config, fields));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_policies_are_ones_that_the_agent_takes() {
        for policy in [POLICY.to_owned(), format!("{POLICY}{POLICY_FULL}")] {
            let config = stopbank::config::parse("bench.toml", &policy).unwrap();
            assert_eq!(config.classes.len(), 1);
        }
    }
}
