//! The demo: a web server with a client is flooded, unprotected and then protected by the real agent.

pub mod attack;
pub mod report;
mod screen;

use std::{
    io::Write,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use attack::{ATTACKS, Attack};
use report::{Flood, Legit, Phase, Report, Summary};
use screen::{Row, Screen};

use crate::{
    agent::{Counts, Settings, Site},
    client::{Client, Served, Working},
    cpu::{self, Role},
    generator, interrupt,
    netns::Statistics,
    nginx::Nginx,
    topology::{INTERFACE, Topology, server_address},
};

/// What one may ask of the demo.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long each flood takes.
    pub seconds: u32,
    /// Frames a second of each flood.
    pub rate: u64,
}

/// Requests a second of the client, half of them over new connections.
const REQUESTS: u32 = 60;
/// How long the client waits for an answer: as long as to send a lost SYN once more, and then some.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How long the client is watched before the first flood.
const BASELINE: Duration = Duration::from_secs(2);
/// What is still on its way when a flood ends has arrived after this long.
const SETTLE: Duration = Duration::from_millis(200);
/// Beside its own time a phase takes at most this long; the whole demo is given up after as much for each.
const OVERHEAD: Duration = Duration::from_secs(10);

impl Options {
    /// How long the demo may take before it is given up.
    pub fn at_most(&self) -> Duration {
        (Duration::from_secs(self.seconds.into()) + OVERHEAD) * (2 * ATTACKS.len() as u32 + 1)
    }
}

/// Plays all of it, and shows it on `out` as it happens.
///
/// # Errors
///
/// When the network, nginx, the agent or the generator do not come about, or when interrupted.
pub fn run(options: Options, out: &mut dyn Write) -> Result<Report> {
    let mut screen = Screen::new(out);
    screen.opening(options)?;
    // Everything but the flood keeps off the flood's CPU.
    cpu::assign(0, Role::Other)?;
    let topology = Topology::new()?;
    let _nginx = Nginx::start(&topology.server)?;
    let stage = Stage { options, topology: &topology, to_server: topology.to_server()? };

    screen.phase("no flood, unprotected")?;
    let baseline = Legit::from(&stage.baseline(&mut screen)?);
    let mut phases = Vec::new();
    for attack in ATTACKS {
        let title = attack.title();
        screen.phase(&format!("{title}, unprotected"))?;
        phases.push(stage.phase(attack, None, &mut screen)?);

        screen.phase(&format!("{title}, protected"))?;
        let site = Site::new(&topology.server)?;
        site.configure(&Settings { policy: attack::policy(), ..Settings::default() })?;
        let agent = site.start()?;
        phases.push(stage.phase(attack, Some(&site), &mut screen)?);
        site.detach()?;
        agent.stop()?;
    }
    let summary = Summary::of(&phases);
    let report = Report { rate: options.rate, baseline, phases, summary };
    screen.summary(&report)?;
    Ok(report)
}

struct Stage<'t> {
    options: Options,
    topology: &'t Topology,
    to_server: u32,
}

/// Where the counters stood.
struct Reading {
    at: Instant,
    interface: Statistics,
    /// Packets that the client has sent.
    client: u64,
    counts: Counts,
    sent: u64,
}

impl Stage<'_> {
    fn client(&self) -> Result<Working> {
        let server = (server_address(false), 80).into();
        Client { server, rate: REQUESTS, timeout: PATIENCE }.start(&self.topology.client)
    }

    fn baseline(&self, screen: &mut Screen<'_>) -> Result<Served> {
        let client = self.client()?;
        interrupt::sleep_until(Instant::now() + BASELINE)?;
        let served = client.stop()?;
        screen.row(&Row {
            second: 0,
            flood: Flood::default(),
            seconds: 1.0,
            drops: &[],
            legit: (&served).into(),
        })?;
        Ok(served)
    }

    /// One flood; against the agent of `site`, if there is one.
    fn phase(&self, attack: Attack, site: Option<&Site<'_>>, screen: &mut Screen<'_>) -> Result<Phase> {
        let seconds = Duration::from_secs(self.options.seconds.into());
        let client = self.client()?;
        let first = self.reading(site, 0)?;
        let flood = generator::Flood {
            frame: attack.frame(),
            sources: attack.sources,
            pace: Some(self.options.rate),
            at_most: seconds + OVERHEAD,
        }
        .start(&self.topology.switch, self.to_server)?;

        let mut served = Served::default();
        let mut before = None;
        for second in 1..=self.options.seconds {
            interrupt::sleep_until(first.at + Duration::from_secs(second.into()))?;
            let now = self.reading(site, flood.sent()?)?;
            let lately = client.take();
            self.show(second, before.as_ref().unwrap_or(&first), &now, &lately, screen)?;
            served.add(lately);
            before = Some(now);
        }
        let sent = flood.stop()?;
        let took = first.at.elapsed();
        interrupt::sleep_until(Instant::now() + SETTLE)?;
        let last = self.reading(site, sent)?;
        served.add(client.stop()?);
        phase(attack, site, &first, &last, took, &served)
    }

    fn reading(&self, site: Option<&Site<'_>>, sent: u64) -> Result<Reading> {
        Ok(Reading {
            at: Instant::now(),
            interface: self.topology.server.statistics(INTERFACE)?,
            client: self.topology.client.statistics(INTERFACE)?.sent,
            counts: site.map_or_else(|| Ok(Counts::default()), Site::counts)?,
            sent,
        })
    }

    fn show(
        &self,
        second: u32,
        before: &Reading,
        now: &Reading,
        served: &Served,
        screen: &mut Screen<'_>,
    ) -> Result<()> {
        let counts = now.counts.since(&before.counts);
        let drops: Vec<(&str, u64)> = counts.dropped().collect();
        let mut flood = flood(before, now);
        if counts.total() != 0 {
            // The agent answers a little after the generator: what passed is what it says passed, less the client's part.
            flood.passed = counts.verdict("pass").saturating_sub(now.client - before.client);
        }
        screen.row(&Row {
            second,
            flood,
            seconds: (now.at - before.at).as_secs_f64(),
            drops: &drops,
            legit: served.into(),
        })
    }
}

/// The flood's packets between two readings.
///
/// What the generator hands over is counted by its program, and what finds the receive queue full by the interface: the rest
/// has come in. (The client's packets that find it full count as lost at their sender's end.) What was dropped is what the
/// agent says; nobody floods with what the client sends, so that all of it is the flood's as long as the client is served.
fn flood(before: &Reading, now: &Reading) -> Flood {
    let sent = now.sent - before.sent;
    let lost = (now.interface.receive_dropped - before.interface.receive_dropped).min(sent);
    let offered = sent - lost;
    let dropped = now.counts.since(&before.counts).verdict("drop").min(offered);
    Flood { sent, lost, offered, dropped, passed: offered - dropped }
}

fn phase(
    attack: Attack,
    site: Option<&Site<'_>>,
    first: &Reading,
    last: &Reading,
    took: Duration,
    served: &Served,
) -> Result<Phase> {
    let flood = flood(first, last);
    let counts = last.counts.since(&first.counts);
    let (mut attach_mode, mut within_limits, mut beyond_limits_dropped) = ("none".to_owned(), 0, 0.0);
    if let Some(site) = site {
        let status = site.ask(&["status"])?;
        let mode =
            status["interfaces"][0]["attach"].as_str().context("the agent's status names no interface")?;
        attach_mode = mode.to_owned();
        within_limits = attack.within_limits(took.as_secs_f64());
        let beyond = flood.offered.saturating_sub(within_limits);
        beyond_limits_dropped =
            if beyond == 0 { 1.0 } else { (flood.dropped as f64 / beyond as f64).min(1.0) };
    }
    Ok(Phase {
        name: format!("{}/{}", attack.name(), if site.is_some() { "protected" } else { "unprotected" }),
        protected: site.is_some(),
        attack: attack.name(),
        sources: if attack.sources == 0 { 1 << 32 } else { attack.sources.into() },
        seconds: took.as_secs_f64(),
        flood,
        legit: served.into(),
        attach_mode,
        drops_by_reason: counts.dropped().map(|(reason, packets)| (reason.to_owned(), packets)).collect(),
        within_limits,
        beyond_limits_dropped,
        received: last.interface.received - first.interface.received,
        judged: counts.total(),
    })
}
