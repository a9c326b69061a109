//! What a flood and a legitimate client notice of whatever happens to the agent: nothing, it should be.
//!
//! The real agent protects the server. One flood comes from a single source, to a port whose class limits each source; another one
//! from random sources, to a port whose class has a total. What comes through is counted behind the program by
//! nftables, not by the program itself. A limit of R a second with burst B lets B + R·t packets through in a time t, however it is cut;
//! what is more than that went through a gap. A rate state that were lost would let its burst through once more.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::Value;
use stopbank_common::ABI_VERSION;

use crate::{
    agent::{self, Agent, Settings, Site},
    client::{Client, Working},
    cpu::{self, Role},
    generator::{Flood, Running},
    nginx::Nginx,
    process,
    scratch::Scratch,
    topology::{INTERFACE, Receiving, SERVER, Topology},
};

/// Packets a second that either flood is allowed, and how many at once.
const RATE: f64 = 1000.0;
const BURST: f64 = 10.0;
/// Ports of the floods: from one source, from random ones.
const PORTS: [u16; 2] = [9, 10];
/// How long a list of a million prefixes may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// Counts what has come through, and keeps it from whoever would answer.
const WITNESS: &str = "\
table inet witness {
  counter one_source { }
  counter any_source { }
  chain seen {
    type filter hook prerouting priority -300;
    udp dport 9 counter name one_source drop
    udp dport 10 counter name any_source drop
  }
}
";

/// What another configuration has more: a limit in the last class, and a list.
const OTHER: &str = "[class.per_source]\npackets = \"5000/s\"\n[lists]\ndeny = [\"203.0.113.0/24\"]\n";

/// What happens to the agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Case {
    /// Stopped by SIGTERM and started.
    Restart,
    /// Killed and started.
    Kill,
    /// Stopped, and another program file of the same layout started.
    Upgrade,
    /// Stopped, and started over pins of ABI version 4.
    Layout,
    /// A list file replaced, and reloaded.
    List,
    /// Another configuration in force by a reload, and the one before again.
    Reload,
    /// Another configuration in force on trial, and taken back.
    Rollback,
    /// Stopped, and started three times in vain.
    FailingStart,
    /// `observe` and `enforce` by turns; only the times of `enforce` count.
    Modes,
    /// Protection ended and begun again: to see that a gap would be seen.
    Detach,
}

impl Case {
    /// Those in which there must be no gap.
    pub const ALL: [Self; 9] = [
        Self::Restart,
        Self::Kill,
        Self::Upgrade,
        Self::Layout,
        Self::List,
        Self::Reload,
        Self::Rollback,
        Self::FailingStart,
        Self::Modes,
    ];

    /// What is done, in words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Restart => "restart (SIGTERM, start)",
            Self::Kill => "kill -9, start",
            Self::Upgrade => "upgrade, same layout",
            Self::Layout => "upgrade from ABI version 4",
            Self::List => "reload of a list file",
            Self::Reload => "other configuration and back",
            Self::Rollback => "other configuration on trial, rolled back",
            Self::FailingStart => "starts that fail, then one that does not",
            Self::Modes => "mode observe and enforce by turns",
            Self::Detach => "detach and start (to compare)",
        }
    }
}

/// How much is done.
#[derive(Clone, Debug)]
pub struct Load {
    /// Packets a second of either flood.
    pub pace: u64,
    /// How often.
    pub times: u32,
    /// Prefixes in the list file.
    pub prefixes: u32,
    /// How long the client waits for an answer.
    pub timeout: Duration,
    /// A program of another version to upgrade from, if there is one.
    pub earlier: Option<PathBuf>,
}

/// What was noticed.
#[derive(Clone, Debug, Serialize)]
pub struct Noticed {
    /// What was done.
    pub case: &'static str,
    /// How often.
    pub times: u32,
    /// For how long both floods were watched.
    pub seconds: f64,
    /// Packets that came in.
    pub arrived: u64,
    /// Packets that came through.
    pub passed: u64,
    /// Packets that the limits allow in that time.
    pub allowed: u64,
    /// Packets that came through beyond the limits.
    pub beyond: u64,
    /// The client's requests.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
}

/// The network, the server and an agent under both floods.
struct Scene<'n> {
    topology: &'n Topology,
    site: Site<'n>,
    agent: Option<Agent>,
    floods: [Running; 2],
    client: Working,
    files: Scratch,
    load: Load,
    at: Option<Mark>,
    noticed: Noticed,
}

/// What was counted up to a moment.
struct Mark {
    when: Instant,
    sent: u64,
    lost: u64,
    passed: [u64; 2],
}

/// Does it, in a network of its own, and says what was noticed.
///
/// # Errors
///
/// Without root, or when anything does not go as it should.
pub fn notice(case: Case, load: &Load) -> Result<Noticed> {
    cpu::assign(0, Role::Other)?;
    // The program runs on the CPU of the floods; agent, server and client share the other one.
    let topology = Topology::with(Receiving::Queues)?;
    let _nginx = Nginx::start(&topology.server)?;
    let mut scene = Scene::begin(&topology, case, load)?;
    for _ in 0..load.times {
        scene.act(case)?;
    }
    scene.end()
}

fn policy(list: Option<&Path>, more: &str) -> Settings {
    let list = list.map_or_else(String::new, |path| {
        format!("[[list]]\nname = \"feed\"\npath = {path:?}\naction = \"deny\"\n")
    });
    let limit = format!("packets = {{ rate = \"{RATE}/s\", burst = {BURST} }}");
    let policy = format!(
        "{list}[[class]]\nname = \"single\"\nprotocol = \"udp\"\nports = [{}]\n[class.per_source]\n{limit}\n\
         [[class]]\nname = \"random\"\nprotocol = \"udp\"\nports = [{}]\n[class.total]\n{limit}\n\
         [[class]]\nname = \"web\"\nprotocol = \"tcp\"\nports = [80]\n{more}",
        PORTS[0], PORTS[1]
    );
    Settings { policy, ..Settings::default() }
}

impl<'n> Scene<'n> {
    fn begin(topology: &'n Topology, case: Case, load: &Load) -> Result<Self> {
        let files = Scratch::new()?;
        let mut site = Site::new(&topology.server)?;
        let list = files.file("feed");
        write_list(&list, load.prefixes, 0)?;
        site.configure(&policy((case == Case::List).then_some(&list), ""))?;
        if case == Case::Upgrade {
            let first = load.earlier.clone().map_or_else(agent::binary, Ok)?;
            site.run_program(Some(first));
        }
        let agent = Some(site.start()?);
        process::run_with_input(topology.server.command("nft").args(["-f", "-"]), WITNESS)?;
        let flood = |sources, port| {
            let frame = Topology::frame("198.18.0.1").udp(40_000, port);
            let flood = Flood { frame, sources, pace: Some(load.pace), at_most: Duration::from_secs(1800) };
            flood.start(&topology.switch, topology.to_server()?)
        };
        let floods = [flood(1, PORTS[0])?, flood(0, PORTS[1])?];
        let client = Client { server: (SERVER.0, 80).into(), rate: 100, timeout: load.timeout }
            .start(&topology.client)?;
        let noticed = Noticed {
            case: case.name(),
            times: load.times,
            seconds: 0.0,
            arrived: 0,
            passed: 0,
            allowed: 0,
            beyond: 0,
            requests: 0,
            failed: 0,
        };
        let mut scene =
            Self { topology, site, agent, floods, client, files, load: load.clone(), at: None, noticed };
        // The first bursts are spent by then.
        thread::sleep(Duration::from_millis(500));
        scene.client.take();
        scene.watch()?;
        Ok(scene)
    }

    fn act(&mut self, case: Case) -> Result<()> {
        match case {
            Case::Restart => self.stop()?,
            Case::Kill => self.agent.take().context("no agent")?.kill()?,
            Case::Upgrade => {
                self.stop()?;
                let copy = self.files.file("stopbank");
                fs::copy(agent::binary()?, &copy)?;
                self.site.run_program(Some(copy));
            }
            Case::Layout => {
                self.stop()?;
                let pins = self.site.pins();
                fs::rename(pins.join(format!("v{ABI_VERSION}")), pins.join("v4"))?;
            }
            Case::List => self.replace_list()?,
            Case::Reload => {
                for more in [OTHER, ""] {
                    self.site.configure(&policy(None, more))?;
                    self.site.ask(&["reload"])?;
                }
            }
            Case::Rollback => {
                let before = fs::read_to_string(self.site.configuration())?;
                let other = self.files.file("other.toml");
                self.site.configure(&policy(None, OTHER))?;
                fs::rename(self.site.configuration(), &other)?;
                self.site.write_configuration(&before)?;
                let other = other.to_str().context("a path that is no text")?;
                self.site.ask(&["config", "apply", other, "--confirm", "1m"])?;
                thread::sleep(Duration::from_millis(200));
                self.site.ask(&["config", "rollback"])?;
                let now = fs::read_to_string(self.site.configuration())?;
                ensure!(now == before, "the configuration was not taken back: {now}");
            }
            Case::FailingStart => {
                self.stop()?;
                self.fail_to_start()?;
            }
            Case::Modes => {
                self.unwatch()?;
                self.site.ask(&["mode", "set", "observe"])?;
                thread::sleep(Duration::from_millis(200));
                self.site.ask(&["mode", "set", "enforce"])?;
                self.watch()?;
            }
            Case::Detach => {
                self.site.detach()?;
                self.agent.take();
            }
        }
        if self.agent.is_none() {
            // Whoever installs another version takes a moment.
            thread::sleep(Duration::from_millis(200));
            self.agent = Some(self.site.start()?);
        }
        thread::sleep(Duration::from_millis(500));
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        let code = self.agent.take().context("no agent")?.stop()?;
        ensure!(code == 0, "the agent ended with {code}");
        Ok(())
    }

    fn fail_to_start(&self) -> Result<()> {
        let bad = [
            ("mode = \"enforced\"\n".to_owned(), 78),
            (fs::read_to_string(self.site.configuration())?.replace(INTERFACE, "eth77"), 3),
            (format!("{}[[interface]]\nname = \"lo\"\n", fs::read_to_string(self.site.configuration())?), 1),
        ];
        let good = fs::read_to_string(self.site.configuration())?;
        for (text, code) in bad {
            self.site.write_configuration(&text)?;
            let mut agent = self.site.spawn()?;
            let ended = agent.ended()?;
            ensure!(ended == code, "a start that was to end with {code} ended with {ended}: {}", agent.log());
        }
        self.site.write_configuration(&good)
    }

    fn replace_list(&self) -> Result<()> {
        let read = || -> Result<Value> { Ok(self.site.ask(&["list", "ls"])?["lists"][0].clone()) };
        let before = read()?["ipv4"].as_u64().unwrap_or(0);
        let other = if before == u64::from(self.load.prefixes) { 1 } else { 0 };
        write_list(&self.files.file("new"), self.load.prefixes + other, other)?;
        fs::rename(self.files.file("new"), self.files.file("feed"))?;
        self.site.ask(&["reload"])?;
        let begin = Instant::now();
        while read()?["ipv4"].as_u64() != Some(u64::from(self.load.prefixes + other)) {
            ensure!(begin.elapsed() < PATIENCE, "the list is not in force: {}", read()?);
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Counts from now on.
    fn watch(&mut self) -> Result<()> {
        // Before it counts: the time is rather too long than too short by what counting takes.
        let when = Instant::now();
        self.at = Some(Mark { when, ..self.mark()? });
        Ok(())
    }

    /// Counts what has come since.
    fn unwatch(&mut self) -> Result<()> {
        let now = self.mark()?;
        let begin = self.at.take().context("nothing is counted")?;
        let time = now.when.duration_since(begin.when).as_secs_f64();
        let noticed = &mut self.noticed;
        noticed.seconds += time;
        noticed.arrived += (now.sent - begin.sent).saturating_sub(now.lost - begin.lost);
        for (now, before) in now.passed.iter().zip(begin.passed) {
            let (passed, allowed) = (now - before, (BURST + RATE * time).floor() as u64);
            noticed.passed += passed;
            noticed.allowed += allowed;
            noticed.beyond += passed.saturating_sub(allowed);
        }
        Ok(())
    }

    fn mark(&self) -> Result<Mark> {
        let mut sent = 0;
        for flood in &self.floods {
            sent += flood.sent()?;
        }
        let lost = self.topology.server.statistics(INTERFACE)?.receive_dropped;
        let passed = witnessed(self.topology)?;
        Ok(Mark { sent, lost, passed, when: Instant::now() })
    }

    fn end(mut self) -> Result<Noticed> {
        self.unwatch()?;
        let Self { floods, client, agent, noticed, site, .. } = self;
        let served = client.stop()?;
        for flood in floods {
            flood.stop()?;
        }
        drop(agent);
        drop(site);
        ensure!(noticed.arrived > 0 && noticed.passed > 0, "there was no flood: {noticed:?}");
        if served.succeeded != served.attempted {
            eprintln!("failed requests: {:?}", served.failures);
        }
        Ok(Noticed { requests: served.attempted, failed: served.attempted - served.succeeded, ..noticed })
    }
}

fn witnessed(topology: &Topology) -> Result<[u64; 2]> {
    let text = process::run(topology.server.command("nft").args(["-j", "list", "counters"]))?;
    let report: Value = serde_json::from_str(&text)?;
    let of = |name: &str| {
        let objects = report["nftables"].as_array()?;
        objects.iter().find(|object| object["counter"]["name"] == name)?["counter"]["packets"].as_u64()
    };
    Ok([
        of("one_source").context("no counter of one source")?,
        of("any_source").context("no counter of random ones")?,
    ])
}

/// A list of prefixes that say nothing of the floods' source or of the client; another one for each version.
fn write_list(path: &Path, prefixes: u32, version: u32) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for i in 0..prefixes {
        let address = std::net::Ipv4Addr::from((32 << 24) + i * 64 + version);
        writeln!(file, "{address}")?;
    }
    Ok(file.flush()?)
}
