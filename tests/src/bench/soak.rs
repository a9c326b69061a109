//! What the agent itself takes while the program turns a flood away: processor time and memory, over minutes.
//!
//! A million frames a second from random sources come in at a veth, while Prometheus' work is done by a scrape every five
//! seconds. The agent keeps off the CPU that sends and receives them, as it would off a network card's, so that its processor
//! time is its own: user and system time as /proc/ID/stat has them. (Their sum is exact; how it is divided goes by what the
//! timer's ticks have met.)
//!
//! Memory of maps that the agent has mapped is not the agent's: what /proc/ID/smaps counts as resident for mappings of
//! `anon_inode:bpf-map` is taken off.

use std::{
    fmt::Write as _,
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use stopbank_tests::{
    agent::{Settings, Site},
    cpu::{self, Role},
    frames::FrameBuilder,
    generator::Flood,
    http, interrupt,
    netns::Namespace,
    scratch::Scratch,
    topology::{INTERFACE, poll_for_receiving},
};

use crate::{
    features::{Config, Lists, Rates},
    feed::{self, ONE_SOURCE},
    load::{block, wait_for},
    rows::{Section, rounded, row},
    scrape::METRICS,
};

/// Frames a second.
const PACE: u64 = 1_000_000;
/// How often memory is looked at, and how often metrics are scraped.
const LOOK: Duration = Duration::from_secs(10);
const SCRAPE: Duration = Duration::from_secs(5);
/// Before anything is counted: the flood gets to its pace.
const WARM_UP: Duration = Duration::from_secs(5);
/// Growth is counted from the first look after so many seconds: until then what is remembered of sources and events fills up, and
/// the first scrapes take their buffers.
const SETTLED: f64 = 29.0;

/// The most of one core that the agent may take.
const MOST_CPU: f64 = 0.05;
/// The most memory beside the maps, in MiB.
const MOST_MEMORY: f64 = 64.0;
/// The most that it may grow from then on to the last look, in MiB.
const MOST_GROWTH: f64 = 1.0;

/// What the kernel says of a process.
#[derive(Clone, Copy, Debug)]
struct Look {
    seconds: f64,
    /// Processor time, in seconds.
    user: f64,
    system: f64,
    /// Resident memory beside mapped maps, and that of its own, in MiB.
    resident: f64,
    own: f64,
}

impl Look {
    fn at(process: u32, begin: Instant) -> Result<Self> {
        let read = |name: &str| fs::read_to_string(format!("/proc/{process}/{name}"));
        let stat = read("stat").context("the agent is gone")?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<f64>().ok());
        // SAFETY: sysconf takes any number.
        let second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
        let (user, system) = (ticks(14).context("no user time")?, ticks(15).context("no system time")?);
        let smaps = memory(&read("smaps")?);
        Ok(Self {
            seconds: begin.elapsed().as_secs_f64(),
            user: user / second,
            system: system / second,
            resident: (smaps.resident - smaps.maps) as f64 / 1024.0,
            own: smaps.own as f64 / 1024.0,
        })
    }
}

/// Sums of /proc/ID/smaps, in KiB.
#[derive(Default, PartialEq, Eq, Debug)]
struct Memory {
    resident: u64,
    /// Of that, maps of the kernel.
    maps: u64,
    /// Of that, anonymous pages.
    own: u64,
}

fn memory(smaps: &str) -> Memory {
    let mut sum = Memory::default();
    let mut is_map = false;
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        let (Some(first), second) = (words.next(), words.next()) else { continue };
        let value = second.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        match first {
            "Rss:" => {
                sum.resident += value;
                sum.maps += if is_map { value } else { 0 };
            }
            "Anonymous:" => sum.own += value,
            // "address-address rights offset device inode name"
            _ if !first.ends_with(':') => is_map = line.contains("bpf-map"),
            _ => {}
        }
    }
    sum
}

/// A flood of `time` over the whole configuration.
pub(crate) fn run(time: Duration) -> Result<Section> {
    cpu::assign(0, Role::Other)?;
    let (switch, server) = (Namespace::new()?, Namespace::new()?);
    switch.ip(&[
        &format!("link add to-server type veth peer name {INTERFACE} netns {}", server.path()),
        "link set to-server up",
    ])?;
    server.ip(&[&format!("link set {INTERFACE} up")])?;
    poll_for_receiving(&server, INTERFACE)?;
    let files = Scratch::new()?;
    let mut section = Section { markdown: "\n## Soak\n".to_owned(), rows: Vec::new() };
    for config in Config::ALL {
        let features = config.features();
        let mut policy = features.text(Rates::TOTAL);
        if features.lists == Lists::Million {
            fs::write(files.file("feed.txt"), feed::file(usize::MAX))?;
            policy += &block(&files.file("feed.txt"));
        }
        let site = Site::new(&server)?;
        site.configure(&Settings { policy, ..Settings::default() })?;
        let mut agent = site.start()?;
        if features.lists == Lists::Million {
            wait_for(&site, 1_000_000)?;
        }
        let flood = Flood {
            frame: FrameBuilder::new(ONE_SOURCE, "198.18.0.1").udp(40_000, 53).payload(&[0; 18]),
            sources: 0,
            pace: Some(PACE),
            at_most: WARM_UP + time + Duration::from_secs(60),
        }
        .start(&switch, switch.interface_index("to-server")?)?;
        interrupt::sleep_until(Instant::now() + WARM_UP)?;
        let before = flood.sent()?;
        let looks = watch(config, agent.id(), &server, time)?;
        let took = looks.last().map_or(1.0, |look| look.seconds);
        let pace = (flood.sent()? - before) as f64 / took;
        flood.stop()?;
        let counts = site.counts()?;
        ensure!(counts.verdict("drop") * 10 > counts.total() * 7, "{config}: most of the flood passed");
        report(&mut section, config, pace, &looks);
        site.detach()?;
        agent.ended()?;
    }
    Ok(section)
}

/// Looks at the agent again and again, the first time at once.
fn watch(config: Config, agent: u32, server: &Namespace, time: Duration) -> Result<Vec<Look>> {
    let begin = Instant::now();
    let mut looks = vec![Look::at(agent, begin)?];
    let (mut scrape, mut look) = (begin + SCRAPE, begin + LOOK.min(time));
    loop {
        interrupt::sleep_until(scrape.min(look))?;
        if Instant::now() >= scrape {
            let (status, _) = http::get(server, METRICS, "/metrics")?;
            ensure!(status == 200, "metrics are not served: {status}");
            scrape += SCRAPE;
        }
        if Instant::now() >= look {
            let latest = Look::at(agent, begin)?;
            eprintln!("soak, {config}: {:.0} s, {:.1} MiB beside the maps", latest.seconds, latest.resident);
            looks.push(latest);
            look += LOOK;
            if begin.elapsed() >= time {
                return Ok(looks);
            }
            look = look.min((begin + time).max(Instant::now()));
        }
    }
}

fn report(section: &mut Section, config: Config, pace: f64, looks: &[Look]) {
    let (Some(first), Some(last)) = (looks.first(), looks.last()) else { return };
    let seconds = last.seconds - first.seconds;
    let (user, system) = ((last.user - first.user) / seconds, (last.system - first.system) / seconds);
    let most = looks.iter().map(|look| look.resident).fold(0.0, f64::max);
    let settled = looks.iter().find(|look| look.seconds >= SETTLED).unwrap_or(first);
    let grown = last.resident - settled.resident;
    let text = &mut section.markdown;
    let _ = writeln!(
        text,
        "\n{config}: {:.2} million frames a second from random sources for {seconds:.0} s, a scrape every {} s.\n",
        pace / 1e6,
        SCRAPE.as_secs()
    );
    *text += "| second | MiB beside the maps | of that its own |\n| ---: | ---: | ---: |\n";
    for look in looks {
        let _ = writeln!(text, "| {:.0} | {:.1} | {:.1} |", look.seconds, look.resident, look.own);
    }
    *text += "\n";
    let figures = [
        ("cpu", "of one core, user and system time", MOST_CPU, user + system),
        ("cpu-user", "of one core, user time", MOST_CPU, user),
        ("memory", "MiB beside the maps", MOST_MEMORY, most),
        ("growth", "MiB more at the end than after half a minute", MOST_GROWTH, grown),
    ];
    for (case, what, at_most, value) in figures {
        let verdict = if value <= at_most { "pass" } else { "MISS" };
        let _ = writeln!(text, "- {what}: at most {at_most:.2}, measured {value:.3}: **{verdict}**");
        let fields = json!({
            "case": case, "value": rounded(value), "at_most": at_most, "seconds": rounded(seconds),
            "mpps": rounded(pace / 1e6),
        });
        section.rows.push(row("soak", config, fields));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_maps_are_told_from_memory() {
        let smaps = "55d0-55d1 r-xp 00000000 fe:00 12 /usr/bin/stopbank\nSize: 8 kB\nRss: 7 kB\nAnonymous: 0 kB\n\
            7f00-7f01 rw-p 00000000 00:00 0\nRss: 20 kB\nAnonymous: 20 kB\nVmFlags: rd wr\n\
            7f02-7f03 rw-s 00000000 00:0f 1057 anon_inode:bpf-map\nRss: 64 kB\nAnonymous: 0 kB\n\
            7f04-7f05 rw-p 00000000 00:00 0 [heap]\nRss: 4 kB\nAnonymous: 4 kB\n";
        assert_eq!(memory(smaps), Memory { resident: 95, maps: 64, own: 24 });
    }
}
