//! A list file of a million prefixes in the real agent: how long until it is in force, and how much memory that takes.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::json;
use stopbank_tests::{
    agent::{Settings, Site},
    netns::Namespace,
    process,
    scratch::Scratch,
};

use crate::{
    features::Config,
    feed,
    rows::{Section, rounded, row},
};

/// IPv4 prefixes in the file.
const PREFIXES: usize = 1_000_000;
/// The most that it may take, in seconds.
const MOST_SECONDS: f64 = 2.0;
/// The most memory that the agent may ever have had, in MiB.
const MOST_MEMORY: f64 = 300.0;
/// How long the agent is given.
const PATIENCE: Duration = Duration::from_secs(120);

/// One load, by the agent beside this program.
pub(crate) fn run() -> Result<Section> {
    eprintln!("lists: a file of a million prefixes in the agent");
    let namespace = Namespace::new()?;
    namespace.ip(&["link add eth0 type veth peer name eth1", "link set eth0 up", "link set eth1 up"])?;
    let files = Scratch::new()?;
    let path = files.file("feed.txt");
    fs::write(&path, "192.0.2.1\n")?;
    let site = Site::new(&namespace)?;
    site.configure(&Settings { policy: block(&path), ..Settings::default() })?;
    let agent = site.start()?;
    wait_for(&site, 1)?;
    let before = memory(agent.id())?;
    fs::write(files.file("new"), feed::file(PREFIXES))?;
    let begin = Instant::now();
    fs::rename(files.file("new"), &path)?;
    wait_for(&site, PREFIXES as u64 / 2)?;
    let seconds = begin.elapsed().as_secs_f64();
    let peak = memory(agent.id())?;
    site.detach()?;
    agent.stop()?;
    Ok(report(seconds, before, peak))
}

/// The `[[list]]` of a file.
pub(crate) fn block(path: &Path) -> String {
    format!("[[list]]\nname = \"feed\"\npath = {path:?}\naction = \"deny\"\n")
}

/// Waits until the agent's list has so many prefixes.
pub(crate) fn wait_for(site: &Site<'_>, least: u64) -> Result<()> {
    let begin = Instant::now();
    loop {
        let list = site.ask(&["list", "ls"])?["lists"][0].clone();
        let prefixes = ["ipv4", "ipv6"].iter().filter_map(|family| list[family].as_u64()).sum::<u64>();
        if prefixes >= least && list["error"].is_null() {
            return Ok(());
        }
        if begin.elapsed() > PATIENCE {
            bail!("the agent has not loaded the list: {list}");
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// The most memory that a process ever had, in MiB.
fn memory(process: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next());
    Ok(peak.context("the kernel tells no peak of memory")?.parse::<f64>()? / 1024.0)
}

fn report(seconds: f64, before: f64, peak: f64) -> Section {
    let mut section = Section {
        markdown: format!(
            "\nA file of {PREFIXES} prefixes, put in place of one with a single prefix under a running agent (both by the \
             agent's word, asked every 20 ms and more):\n\n"
        ),
        rows: Vec::new(),
    };
    for (case, what, most, value) in [
        ("file-to-in-force", "seconds until it was in force", MOST_SECONDS, seconds),
        ("peak-memory", "the agent's peak memory, MiB", MOST_MEMORY, peak),
    ] {
        let verdict = if value <= most { "pass" } else { "MISS" };
        section.markdown += &format!("- {what}: at most {most:.1}, measured {value:.2}: **{verdict}**\n");
        let fields = json!({ "case": case, "value": rounded(value), "at_most": most });
        section.rows.push(row("lists", Config::Default, fields));
    }
    section.markdown += &format!("- before, the agent had had {before:.0} MiB at most\n");
    section
}

/// Rules for nftables, put in force in a namespace.
pub(crate) fn nft(namespace: &Namespace, rules: &str) -> Result<()> {
    let mut command = namespace.command("nft");
    command.args(["-f", "-"]);
    process::run_with_input(&mut command, rules).context("nftables takes no rules").map(drop)
}
