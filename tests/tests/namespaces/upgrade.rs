//! An agent takes over what one of another ABI version has pinned: nothing is lost, and no moment is without protection.
//!
//! Version 4's pins are made as that version made them (`stopbank_tests::earlier`). Where what is in force is to be ours, the pins
//! of this version are given that one's name.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    thread,
    time::Instant,
};

use aya::maps::{Array, HashMap, LpmTrie, MapData, PerCpuArray, PerCpuValues, lpm_trie::Key};
use libtest_mimic::Trial;
use stopbank_common::{ABI_VERSION, Address, Reason, counters::slot, hash::class_salt, list};
use stopbank_tests::{
    agent::{Agent, Settings, Site},
    earlier::{self, KEPT_WORDS, Link},
    nginx::Nginx,
    process,
    topology::{CLIENT, INTERFACE, Topology},
};

use crate::rig::{enforcing, has_program, said, served, site, succeed, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("version 4's bans, proofs, counters and link are taken over", from_version_4),
        trial("an upgrade that is killed at any point is finished by the next start", killed_at_any_point),
        trial("what an upgrade has left half done is put in order", half_done),
        trial("an upgrade that fails leaves what was in force as it was", failing_upgrade),
        trial("pins of a newer version are refused, and can be detached", newer_version),
        trial("a table of sources of another size is only taken when the agent starts", other_lines),
        trial("pins can be used by root alone", modes),
    ]
}

const POLICY: &str = "[[class]]\nname = \"web\"\nprotocol = \"tcp\"\nports = [80]\n";
/// Of version 4's table of sources: those that an agent makes by default.
fn lines() -> u32 {
    stopbank::config::source_lines(stopbank::config::Config::builtin().source.lines)
}

fn directory(site: &Site<'_>, version: u32) -> PathBuf {
    site.pins().join(format!("v{version}"))
}

fn link(directory: &Path) -> Link {
    earlier::link(&directory.join("link_eth0")).unwrap()
}

/// Gives what is pinned now an earlier version's name.
fn pretend_earlier(site: &Site<'_>) {
    fs::rename(directory(site, ABI_VERSION), directory(site, 4)).unwrap();
}

/// Where somebody else's link is pinned.
const FOREIGN: &str = "foreign";

/// Directories below the pin directory.
fn directories(site: &Site<'_>) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(site.pins())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != FOREIGN)
        .collect();
    names.sort();
    names
}

fn only_own(site: &Site<'_>) {
    assert_eq!(directories(site), [format!("v{ABI_VERSION}")]);
}

/// What version 4 holds: a ban of the client, an allow entry, a proof, counts of class web, and rate state.
fn fill(pins: &Path) {
    let until = stopbank::datapath::monotonic_ns() + 600_000_000_000;
    let entry = |verdict: u8, bits: u8| {
        let mut entry = [0_u8; 16];
        entry[..8].copy_from_slice(&until.to_ne_bytes());
        (entry[8], entry[9]) = (verdict, bits);
        entry
    };
    let address = |text: &str| Address::from(text.parse::<std::net::IpAddr>().unwrap()).to_bytes();
    let mut lists: LpmTrie<MapData, [u8; 16], [u8; 16]> = earlier::map(pins, "LISTS").unwrap();
    lists.insert(&Key::new(128, address("10.99.0.2")), entry(list::VERDICT_BAN, 128), 0).unwrap();
    lists.insert(&Key::new(120, address("192.0.2.0")), entry(list::VERDICT_ALLOW, 120), 0).unwrap();
    let mut proven: HashMap<MapData, [u8; 16], u64> = earlier::map(pins, "PROVEN").unwrap();
    proven.insert(address("198.51.100.7"), until, 0).unwrap();
    let mut kept = [0_u32; KEPT_WORDS];
    kept[..12].fill(0x5b5b);
    kept[12 + 1] = class_salt(stopbank::config::Config::DEFAULT_CLASS);
    kept[12 + 9] = class_salt("web");
    earlier::set(pins, "KEPT", kept).unwrap();
    let mut counters: PerCpuArray<MapData, [u64; 256]> = earlier::map(pins, "COUNTERS").unwrap();
    let cpus = counters.get(&0, 0).unwrap().len();
    let mut counts = [0_u64; 256];
    counts[Reason::SourcePackets as usize * 2] = 1_000;
    counters.set(slot(1, 9), PerCpuValues::try_from(vec![counts; cpus]).unwrap(), 0).unwrap();
    let mut sources: Array<MapData, [u64; 8]> = earlier::map(pins, "SOURCES").unwrap();
    sources.set(77, [7; 8], 0).unwrap();
}

fn from_version_4(topology: &Topology) {
    let _nginx = Nginx::start(&topology.server).unwrap();
    let site = site(topology, &enforcing(POLICY));
    let before = directory(&site, 4);
    earlier::pin_version_4(&before, lines()).unwrap();
    fill(&before);
    earlier::attach(&topology.server, INTERFACE, &before.join("link_eth0")).unwrap();
    let old = link(&before);

    let agent = site.start().unwrap();
    only_own(&site);
    let new = link(&directory(&site, ABI_VERSION));
    assert_eq!(new.id, old.id, "the link was never taken off");
    assert_ne!(new.program, old.program);
    let status = site.ask(&["status"]).unwrap();
    assert_eq!(status["interfaces"][0]["taken_over"], true, "{status}");
    assert_eq!((&status["lists"]["ban"], &status["lists"]["allow"]), (&1.into(), &1.into()), "{status}");
    let bans = site.ask(&["ban", "ls"]).unwrap();
    assert_eq!(bans["entries"][0]["prefix"], "10.99.0.2/32");
    assert!((500.0..=600.0).contains(&bans["entries"][0]["expires_in_seconds"].as_f64().unwrap()), "{bans}");
    assert!(!served(topology, false), "banned");
    assert!(served(topology, true));
    let proven = site.ask(&["proven", "ls"]).unwrap();
    assert!(proven.to_string().contains("198.51.100.7"), "{proven}");
    let drops = site.ask(&["drops", "--all", "--by", "class"]).unwrap();
    let counted = drops["rows"].as_array().unwrap().iter().find(|row| row["reason"] == "source-packets");
    let counted = counted.unwrap_or_else(|| panic!("{drops}"));
    assert_eq!(counted["class"], "web");
    assert!(counted["packets"].as_u64().unwrap() >= 1_000, "{counted}");
    let sources: Array<MapData, [u64; 8]> = earlier::map(&directory(&site, ABI_VERSION), "SOURCES").unwrap();
    assert_eq!(sources.get(&77, 0).unwrap(), [7; 8], "rate state goes on");
    let kept: Array<MapData, [u32; KEPT_WORDS]> =
        earlier::map(&directory(&site, ABI_VERSION), "KEPT").unwrap();
    assert_eq!(kept.get(&0, 0).unwrap()[..12], [0x5b5b; 12], "under the same key");
    // And once more, without anything to upgrade.
    agent.kill().unwrap();
    let _agent = site.start().unwrap();
    assert_eq!(link(&directory(&site, ABI_VERSION)).id, old.id);
    assert!(!served(topology, false), "banned");
    succeed(&site, &["ban", "rm", "10.99.0.2"]);
    assert!(served(topology, false));
}

/// An agent has banned the client, and is gone; what it pinned has version 4's name.
fn earlier_agent(site: &Site<'_>) {
    let agent = site.start().unwrap();
    succeed(site, &["ban", "add", &CLIENT.0.to_string(), "--for", "1h"]);
    agent.kill().unwrap();
    pretend_earlier(site);
}

fn assert_upgraded(topology: &Topology, site: &Site<'_>, id: u32) {
    let agent: Agent = site.start().unwrap();
    only_own(site);
    assert_eq!(link(&directory(site, ABI_VERSION)).id, id, "the link was never taken off");
    assert!(!served(topology, false), "banned");
    assert!(served(topology, true));
    assert_eq!(site.ask(&["status"]).unwrap()["lists"]["ban"], 1);
    agent.kill().unwrap();
}

fn killed_at_any_point(topology: &Topology) {
    const TIMES: u32 = 40;
    let _nginx = Nginx::start(&topology.server).unwrap();
    let site = site(topology, &enforcing(POLICY));
    earlier_agent(&site);
    let id = link(&directory(&site, 4)).id;
    // From before the first pin to after the last.
    let begin = Instant::now();
    assert_upgraded(topology, &site, id);
    let whole = begin.elapsed();
    pretend_earlier(&site);
    let (mut unfinished, mut finished) = (0, 0);
    for time in 0..TIMES {
        let agent = site.spawn().unwrap();
        thread::sleep(whole * time / TIMES);
        agent.kill().unwrap();
        let pinned: Vec<String> = directories(&site)
            .into_iter()
            .filter(|name| site.pins().join(name).join("link_eth0").exists())
            .collect();
        assert_eq!(pinned.len(), 1, "after {time}: the link is in {pinned:?}");
        assert_eq!(link(&site.pins().join(&pinned[0])).id, id);
        assert!(has_program(&topology.server, INTERFACE));
        if directories(&site) == [format!("v{ABI_VERSION}")] {
            finished += 1;
            pretend_earlier(&site);
        } else {
            unfinished += 1;
        }
        if time % 8 == 7 {
            assert!(!served(topology, false), "banned, whoever was killed");
            assert_upgraded(topology, &site, id);
            pretend_earlier(&site);
        }
    }
    println!("{finished} upgrades were over when they were killed, {unfinished} were not");
    assert!(
        finished > 0 && unfinished > 2,
        "{finished} finished, {unfinished} not: kill them at other times"
    );
    assert_upgraded(topology, &site, id);
}

fn half_done(topology: &Topology) {
    let _nginx = Nginx::start(&topology.server).unwrap();
    let site = site(topology, &enforcing(POLICY));
    earlier_agent(&site);
    let (old, own) = (directory(&site, 4), directory(&site, ABI_VERSION));
    let id = link(&old).id;
    // What is new has been begun.
    let begun = site.pins().join(format!("new_v{ABI_VERSION}"));
    earlier::pin_version_4(&begun, 64).unwrap();
    assert_upgraded(topology, &site, id);
    // What is new is complete, and nothing is moved: here with maps that no agent could use.
    pretend_earlier(&site);
    earlier::pin_version_4(&own, 64).unwrap();
    assert_upgraded(topology, &site, id);
    // The link is moved, and its program is the old one; what was before is there, whole or half gone.
    for left in ["v4", "old_v4"] {
        earlier::pin_version_4(&site.pins().join(left), 64).unwrap();
        assert_upgraded(topology, &site, id);
    }
    // The table was to be of another size: the directory is set aside, and the new one not there yet, or not in use.
    let aside = site.pins().join(format!("before_v{ABI_VERSION}"));
    fs::rename(&own, &aside).unwrap();
    assert_upgraded(topology, &site, id);
    fs::rename(&own, &aside).unwrap();
    earlier::pin_version_4(&own, 64).unwrap();
    assert_upgraded(topology, &site, id);
    // Two interfaces, one of which is moved.
    topology.server.ip(&["link add two type veth peer name three", "link set two up"]).unwrap();
    fs::create_dir(&old).unwrap();
    earlier::pin_version_4(&old, 64).unwrap();
    earlier::attach(&topology.server, "two", &old.join("link_two")).unwrap();
    let two = earlier::link(&old.join("link_two")).unwrap();
    let agent = site.start().unwrap();
    only_own(&site);
    let moved = earlier::link(&own.join("link_two")).unwrap();
    assert_eq!(moved.id, two.id);
    assert_eq!(moved.program, link(&own).program, "what is left of another version is taken over as well");
    drop(agent);
    site.detach().unwrap();
    assert!(
        !site.pinned() && !has_program(&topology.server, INTERFACE) && !has_program(&topology.server, "two")
    );
}

/// Starts an agent that must fail, and says so.
fn fails(site: &Site<'_>, code: i32) -> String {
    let output = process::output(&mut site.run_command().unwrap(), "").unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", said(&output));
    said(&output)
}

fn failing_upgrade(topology: &Topology) {
    let _nginx = Nginx::start(&topology.server).unwrap();
    let site = site(topology, &enforcing(POLICY));
    earlier_agent(&site);
    let old = directory(&site, 4);
    let before = link(&old);
    let untouched = || {
        assert_eq!(directories(&site), ["v4"]);
        assert_eq!(link(&old), before, "link and program are as before");
        assert!(!served(topology, false), "banned");
    };
    // A file that cannot be read, an interface that is not there, and one with another's program.
    site.write_configuration("mode = \"enforced\"\n").unwrap();
    fails(&site, 78);
    untouched();
    topology.server.ip(&["link add two type veth peer name three", "link set two up"]).unwrap();
    for (name, code) in [("nope", 3), ("two", 1)] {
        let foreign = site.pins().join(FOREIGN);
        earlier::attach(&topology.server, "two", &foreign).unwrap();
        let more =
            format!("{POLICY}[[interface]]\nname = \"{name}\"\n[lists]\ndeny = [\"203.0.113.0/24\"]\n");
        site.configure(&enforcing(&more)).unwrap();
        fails(&site, code);
        fs::remove_file(&foreign).unwrap();
        untouched();
    }
    // The last of two links is none: the first one's program has been replaced by then, and is put back.
    let policy = format!("{POLICY}[[interface]]\nname = \"two\"\n");
    site.configure(&enforcing(&policy)).unwrap();
    fs::hard_link(old.join("LISTS"), old.join("link_two")).unwrap_or_else(|_| {
        // Names of one pin can be had by pinning it twice as well.
        let map: Array<MapData, u64> = earlier::map(&old, "DHCP_BUDGET").unwrap();
        map.pin(old.join("link_two")).unwrap();
    });
    earlier::attach(&topology.server, "two", &site.pins().join(FOREIGN)).unwrap();
    let said = fails(&site, 1);
    assert!(said.contains("two"), "{said}");
    untouched();
    fs::remove_file(old.join("link_two")).unwrap();
    fs::remove_file(site.pins().join(FOREIGN)).unwrap();
    assert_upgraded(topology, &site, before.id);
    drop(site.start().unwrap());
    assert!(has_program(&topology.server, "two"));
}

fn newer_version(topology: &Topology) {
    let _nginx = Nginx::start(&topology.server).unwrap();
    let site = site(topology, &enforcing(POLICY));
    earlier_agent(&site);
    let newer = directory(&site, ABI_VERSION + 1);
    fs::rename(directory(&site, 4), &newer).unwrap();
    let before = link(&newer);
    let said = fails(&site, 1);
    for word in ["newer", "protecting eth0", "stopbank detach", "Nothing was changed"] {
        assert!(said.contains(word), "{said}");
    }
    assert_eq!(link(&newer), before);
    assert!(!served(topology, false), "banned");
    // What never came into force does not stand in the way.
    fs::rename(&newer, directory(&site, ABI_VERSION)).unwrap();
    earlier::pin_version_4(&newer, 64).unwrap();
    drop(site.start().unwrap());
    assert!(newer.exists());
    site.detach().unwrap();
    assert!(!site.pinned() && !has_program(&topology.server, INTERFACE));
    assert!(served(topology, false));
}

fn other_lines(topology: &Topology) {
    let _nginx = Nginx::start(&topology.server).unwrap();
    let settings = |lines: u32| Settings {
        policy: format!("{POLICY}[source]\nlines = {lines}\n"),
        ..Settings::default()
    };
    let site = site(topology, &settings(4096));
    let own = directory(&site, ABI_VERSION);
    let size = || {
        let sources: Array<MapData, [u64; 8]> = earlier::map(&own, "SOURCES").unwrap();
        (sources.len(), sources.get(&5, 0).unwrap()[0])
    };
    site.start().unwrap().kill().unwrap();
    let mut sources: Array<MapData, [u64; 8]> = earlier::map(&own, "SOURCES").unwrap();
    sources.set(5, [5; 8], 0).unwrap();
    let before = (size(), link(&own));
    // A start that fails changes nothing, whatever size it wanted.
    let mut other = settings(1024);
    other.policy += "[[interface]]\nname = \"lo\"\n";
    site.configure(&other).unwrap();
    fails(&site, 1);
    assert_eq!((size(), link(&own)), before);
    site.configure(&settings(1024)).unwrap();
    let agent = site.start().unwrap();
    only_own(&site);
    assert_eq!(size(), (stopbank::config::source_lines(1024), 0));
    assert_eq!(link(&own).id, before.1.id, "the link was never taken off");
    assert!(agent.log().contains("SOURCES begins anew"), "{}", agent.log());
    assert!(served(topology, false));
}

fn modes(topology: &Topology) {
    let site = site(topology, &enforcing(POLICY));
    let agent = site.start().unwrap();
    let mut looked_at = 0;
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
    for directory in [site.pins().to_owned(), directory(&site, ABI_VERSION)] {
        assert_eq!(mode(&directory), 0o700, "{}", directory.display());
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if !path.is_dir() {
                assert_eq!(mode(&path), 0o600, "{}", path.display());
                looked_at += 1;
            }
        }
    }
    assert!(looked_at > 20, "{looked_at} pins");
    drop(agent);
}
