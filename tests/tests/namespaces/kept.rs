//! Bans and allow entries survive the agent and the host, whatever happens to the disk.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use libtest_mimic::Trial;
use serde_json::Value;
use stopbank_tests::{
    agent::{Settings, Site},
    nginx::Nginx,
    process,
    scratch::Scratch,
    topology::{CLIENT, Topology},
};

use crate::rig::{enforcing, eventually, said, served, site, succeed, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("bans and allow entries survive a reboot, with reason and time", reboot),
        trial("a ban is kept, with its reason, when the agent is killed right after it", killed),
        trial("a damaged file is set aside and named, and only its bad lines are lost", damaged),
        trial("a full disk stops nothing, is said, and is made up for", full_disk),
        trial("a state directory that cannot be written stops nothing, and is said", unwritable),
        trial("bans that are exported are imported as they were, all or none", transfer),
    ]
}

const SOON: Duration = Duration::from_secs(30);

/// As after a reboot: nothing of the agent is in the kernel any more.
fn forget(site: &Site<'_>) {
    site.detach().unwrap();
    assert!(!site.pinned());
}

fn entries(site: &Site<'_>, list: &str) -> Vec<Value> {
    site.ask(&[list, "ls"]).unwrap()["entries"].as_array().unwrap().clone()
}

fn entry(site: &Site<'_>, list: &str, prefix: &str) -> Option<Value> {
    entries(site, list).into_iter().find(|entry| entry["prefix"].as_str().unwrap().starts_with(prefix))
}

/// What of an entry must never change by itself.
fn lasting(entry: &Value) -> [Value; 4] {
    ["reason", "added", "expires", "origin"].map(|key| entry[key].clone())
}

fn reboot(topology: &Topology) {
    let _nginx = Nginx::start(&topology.server).unwrap();
    let site = site(topology, &enforcing(""));
    let agent = site.start().unwrap();
    let client = CLIENT.0.to_string();
    succeed(&site, &["ban", "add", &client, "--for", "10m", "--reason", "login flood"]);
    succeed(&site, &["ban", "add", "198.51.100.7", "--for", "2s"]);
    succeed(&site, &["ban", "add", "198.51.100.8", "--reason", "removed again"]);
    succeed(&site, &["ban", "rm", "198.51.100.8"]);
    succeed(&site, &["allow", "add", "192.0.2.0/24", "--reason", "office"]);
    let before = [entry(&site, "ban", &client).unwrap(), entry(&site, "allow", "192.0.2.0").unwrap()];
    assert_eq!(agent.stop().unwrap(), 0);

    // A restart first: it knows as much.
    let agent = site.start().unwrap();
    assert_eq!(lasting(&entry(&site, "ban", &client).unwrap()), lasting(&before[0]));
    assert_eq!(entry(&site, "ban", &client).unwrap()["origin"], "operator");
    assert_eq!(agent.stop().unwrap(), 0);

    forget(&site);
    assert!(served(topology, false), "nothing is in force");
    std::thread::sleep(Duration::from_secs(2));
    let agent = site.start().unwrap();
    assert!(!served(topology, false) && served(topology, true), "the ban is back");
    let after = [entry(&site, "ban", &client).unwrap(), entry(&site, "allow", "192.0.2.0").unwrap()];
    assert_eq!(before.each_ref().map(lasting), after.each_ref().map(lasting));
    let left = |entry: &Value| entry["expires_in_seconds"].as_f64().unwrap();
    assert!(left(&after[0]) < left(&before[0]) - 2.0, "time goes on while nothing runs: {after:?}");
    assert_eq!(entries(&site, "ban").len(), 1, "what was over or removed does not come back");

    let history = site.ask(&["ban", "history"]).unwrap();
    let actions: Vec<&str> =
        history["events"].as_array().unwrap().iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert_eq!(actions.first(), Some(&"restore"), "{history}");
    for action in ["add", "remove", "expire"] {
        assert!(actions.contains(&action), "{action}: {history}");
    }
    let one = site.ask(&["ban", "history", &client]).unwrap();
    let added = one["events"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&added["action"], &added["reason"], &added["uid"]),
        (&"add".into(), &"login flood".into(), &0.into())
    );

    let removed = site.cli(&["ban", "rm", &client]).unwrap();
    let shown = String::from_utf8_lossy(&removed.stdout).into_owned();
    assert!(shown.contains(&client) && shown.contains("login flood") && shown.contains("in 9m"), "{shown}");
    assert!(served(topology, false));
    agent.stop().unwrap();
    forget(&site);
    let _agent = site.start().unwrap();
    assert!(entries(&site, "ban").is_empty(), "what was removed stays so");
}

fn killed(topology: &Topology) {
    let site = site(topology, &enforcing(""));
    for round in 0..5 {
        let agent = site.start().unwrap();
        let (address, reason) = (format!("198.51.100.{round}"), format!("round {round}"));
        succeed(&site, &["ban", "add", &address, "--for", "1h", "--reason", &reason]);
        agent.kill().unwrap();
    }
    let kept = |site: &Site<'_>| {
        let _agent = site.start().unwrap();
        for round in 0..5 {
            let entry = entry(site, "ban", &format!("198.51.100.{round}")).unwrap();
            assert_eq!(entry["reason"], format!("round {round}"), "{entry}");
            assert_eq!(entry["origin"], "operator", "{entry}");
        }
    };
    kept(&site);
    forget(&site);
    kept(&site);
}

fn metric(site: &Site<'_>, name: &str) -> f64 {
    let address = site.ask(&["status"]).unwrap()["metrics"].as_str().unwrap().to_owned();
    let get = || {
        let mut command = Command::new("curl");
        process::run(command.args(["--silent", "--max-time", "5"]).arg(format!("http://{address}/metrics")))
    };
    let text = site.namespace().run(get).unwrap().unwrap();
    let line = text.lines().find(|line| line.split(' ').next() == Some(name));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).split(' ').nth(1).unwrap().parse().unwrap()
}

fn damaged(topology: &Topology) {
    let site = site(topology, &enforcing(""));
    let agent = site.start().unwrap();
    for address in ["198.51.100.1", "198.51.100.2", "198.51.100.3"] {
        succeed(&site, &["ban", "add", address, "--reason", &format!("reason of {address}")]);
    }
    agent.stop().unwrap();
    let journal = site.state().join("lists/journal");
    let mode = fs::metadata(&journal).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let mut bytes = fs::read(&journal).unwrap();
    let at = bytes.windows(22).position(|window| window == b"reason of 198.51.100.2").unwrap();
    bytes[at] ^= 1;
    fs::write(&journal, &bytes).unwrap();
    let aside = site.state().join("lists/journal.damaged");

    // After a restart the kernel still has all of them.
    let agent = site.start().unwrap();
    assert_eq!(fs::read(&aside).unwrap(), bytes, "it is there to be looked at");
    assert_eq!(entries(&site, "ban").len(), 3, "nothing is lost");
    let second = entry(&site, "ban", "198.51.100.2").unwrap();
    assert!(second["reason"].is_null() && second["origin"] == "inherited", "{second}");
    assert_eq!(entry(&site, "ban", "198.51.100.3").unwrap()["reason"], "reason of 198.51.100.3");
    let named = aside.display().to_string();
    assert!(agent.log().contains(&named), "{}", agent.log());
    assert!(succeed(&site, &["status"]).contains(&named));
    assert_eq!(site.ask(&["status"]).unwrap()["state"]["damaged"].as_array().unwrap().len(), 1);
    assert!((metric(&site, "stopbank_state_damaged_files") - 1.0).abs() < 0.1);
    agent.stop().unwrap();

    // The whole snapshot is gone this time, and the host has rebooted: what the journal has is back.
    let agent = site.start().unwrap();
    assert!(succeed(&site, &["status"]).lines().all(|line| !line.starts_with("damaged")), "it is told once");
    succeed(&site, &["ban", "add", "198.51.100.4", "--reason", "after the snapshot"]);
    agent.stop().unwrap();
    forget(&site);
    fs::write(site.state().join("lists/snapshot"), vec![0xff; 5000]).unwrap();
    let agent = site.start().unwrap();
    let bans = entries(&site, "ban");
    assert_eq!((bans.len(), &bans[0]["reason"]), (1, &"after the snapshot".into()));
    assert!(agent.log().contains("snapshot.damaged"), "{}", agent.log());
}

/// A file system of 64 KiB, for as long as it lives.
struct Tiny(PathBuf);

impl Tiny {
    fn mount(path: &Path) -> Self {
        fs::create_dir(path).unwrap();
        let mut mount = Command::new("mount");
        process::run(mount.args(["-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs"]).arg(path)).unwrap();
        Self(path.to_owned())
    }

    fn fill(&self) {
        let mut file = File::create(self.0.join("ballast")).unwrap();
        while file.write_all(&[0; 512]).is_ok() {}
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open there does not keep it.
        if let Err(error) = process::run(Command::new("umount").arg("-l").arg(&self.0)) {
            eprintln!("cannot unmount {}: {error:#}", self.0.display());
        }
    }
}

/// A site whose state directory is another, and its settings.
fn elsewhere<'n>(topology: &'n Topology, state: &Path) -> Site<'n> {
    let site = site(topology, &Settings::default());
    let text = fs::read_to_string(site.configuration()).unwrap();
    let usual = site.state().display().to_string();
    assert!(text.contains(&usual));
    site.write_configuration(&text.replace(&usual, &state.display().to_string())).unwrap();
    site
}

fn full_disk(topology: &Topology) {
    let _nginx = Nginx::start(&topology.server).unwrap();
    let directory = Scratch::new().unwrap();
    let tiny = Tiny::mount(&directory.file("state"));
    let site = elsewhere(topology, &tiny.0);
    let agent = site.start().unwrap();
    succeed(&site, &["ban", "add", "198.51.100.1", "--reason", "there was room"]);
    tiny.fill();

    // One line fits into what is left of a page, perhaps; a thousand do not.
    let many: String = (0..1000).map(|i| format!("203.0.{}.{}\n", i / 250, i % 250)).collect();
    let added = site.cli_with_input(&["ban", "add", "-", "--reason", "many"], &many).unwrap();
    assert!(added.status.success(), "{}", said(&added));
    assert!(said(&added).contains("No space left on device"), "{}", said(&added));
    let client = CLIENT.0.to_string();
    let banned = site.cli(&["ban", "add", &client, "--reason", "no room"]).unwrap();
    assert!(banned.status.success() && said(&banned).contains("a reboot would undo it"), "{}", said(&banned));
    assert!(!served(topology, false), "it is in force");
    let shown = succeed(&site, &["status"]);
    assert!(shown.contains("NOT KEPT") && shown.contains("No space left"), "{shown}");
    assert!(metric(&site, "stopbank_state_last_write_successful").abs() < 0.1);
    assert!(agent.log().contains("No space left on device"), "{}", agent.log());
    assert_eq!(agent.stop().unwrap(), 0, "it does not wait for room");

    // The kernel has them still; an agent that starts on a full disk does, too.
    let agent = site.start().unwrap();
    assert_eq!(entries(&site, "ban").len(), 1002);
    succeed(&site, &["ban", "rm", "198.51.100.1"]);
    tiny.make_room();
    let kept = || site.ask(&["status"]).unwrap()["state"]["error"].is_null();
    assert!(eventually(SOON, kept), "{}", agent.log());
    assert!((metric(&site, "stopbank_state_last_write_successful") - 1.0).abs() < 0.1);
    assert_eq!(agent.stop().unwrap(), 0);
    forget(&site);
    let _agent = site.start().unwrap();
    assert_eq!(entries(&site, "ban").len(), 1001, "it is made up for");
    assert!(entry(&site, "ban", "198.51.100.1").is_none(), "the removal as well");
    assert!(!served(topology, false));
}

fn unwritable(topology: &Topology) {
    let directory = Scratch::new().unwrap();
    // Not even root can make a directory below a file.
    let obstacle = directory.file("file");
    fs::write(&obstacle, "").unwrap();
    let site = elsewhere(topology, &obstacle.join("state"));
    let agent = site.start().unwrap();
    let banned = site.cli(&["ban", "add", "198.51.100.1"]).unwrap();
    assert!(banned.status.success() && said(&banned).contains("Not a directory"), "{}", said(&banned));
    assert!(succeed(&site, &["status"]).contains("NOT KEPT"));
    assert_eq!(agent.stop().unwrap(), 0);
    let agent = site.start().unwrap();
    assert_eq!(entries(&site, "ban").len(), 1, "the kernel has it");
    fs::remove_file(&obstacle).unwrap();
    let kept = || site.ask(&["status"]).unwrap()["state"]["error"].is_null();
    assert!(eventually(SOON, kept), "{}", agent.log());
    assert!(obstacle.join("state/lists/snapshot").is_file());
}

fn transfer(topology: &Topology) {
    let (here, there) = (site(topology, &enforcing("")), Scratch::new().unwrap());
    let agent = here.start().unwrap();
    succeed(&here, &["ban", "add", "198.51.100.7", "--for", "10m", "--reason", "reason= \"quoted\" # ü"]);
    succeed(&here, &["ban", "add", "2001:db8:bad::/48", "198.51.100.8"]);
    let all = || {
        entries(&here, "ban")
            .iter()
            .map(|entry| (entry["prefix"].clone(), lasting(entry)))
            .collect::<Vec<_>>()
    };
    let before = all();
    for output in ["table", "json", "jsonl"] {
        let exported = succeed(&here, &["ban", "export", "-o", output]);
        let file = there.file(output);
        fs::write(&file, &exported).unwrap();
        let file = file.to_str().unwrap();
        succeed(&here, &["ban", "rm", "198.51.100.7", "2001:db8:bad::/48", "198.51.100.8"]);
        assert!(entries(&here, "ban").is_empty());
        let imported = here.ask(&["ban", "import", file]).unwrap();
        assert_eq!((&imported["added"], &imported["replaced"]), (&3.into(), &0.into()), "{imported}");
        assert_eq!(all(), before, "{exported}");
        assert_eq!(succeed(&here, &["ban", "export", "-o", output]), exported);
        let again = here.cli_with_input(&["ban", "import", "-"], &exported).unwrap();
        assert!(again.status.success(), "{}", said(&again));
        assert!(String::from_utf8_lossy(&again.stdout).contains("3 entries renewed"));
    }
    for bad in ["198.51.100.9\n198.51.100.999\n", "198.51.100.9\n198.51.100.10 # expires=tomorrow\n", "[{}]"]
    {
        let refused = here.cli_with_input(&["ban", "import", "-"], bad).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{bad}: {}", said(&refused));
        assert_eq!(all(), before, "all or none");
    }
    let missing = here.cli(&["ban", "import", "/nowhere/at/all"]).unwrap();
    assert_eq!(missing.status.code(), Some(3), "{}", said(&missing));
    agent.stop().unwrap();
}
