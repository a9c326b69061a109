//! An agent that starts with a bad list file holds on to what an earlier one has kept of it.

use std::{fs, net::Ipv4Addr, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use libtest_mimic::Trial;
use serde_json::Value;
use stopbank_tests::{
    agent::Site,
    nginx::Nginx,
    scratch::Scratch,
    topology::{CLIENT, Topology},
};

use crate::rig::{enforcing, eventually, served, site, succeed, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "an agent that starts with a bad list file denies what was kept of it, and says so",
            bad_at_start,
        ),
        trial("a kept copy that is damaged is set aside and named, and costs no other list", damaged_copy),
    ]
}

/// A disk that others keep busy takes its time.
const SOON: Duration = Duration::from_secs(30);

fn block(name: &str, path: &Path) -> String {
    format!("[[list]]\nname = \"{name}\"\npath = {path:?}\naction = \"deny\"\n")
}

fn client_network() -> String {
    format!("{}/24\n", Ipv4Addr::from(u32::from(CLIENT.0) & !255))
}

fn status(site: &Site<'_>, list: usize) -> Value {
    site.ask(&["list", "ls"]).unwrap()["lists"][list].clone()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// As after a reboot: nothing of the agent is in the kernel any more.
fn reboot(site: &Site<'_>) {
    site.detach().unwrap();
    assert!(!site.pinned());
}

fn bad_at_start(topology: &Topology) {
    let _nginx = Nginx::start(&topology.server).unwrap();
    let directory = Scratch::new().unwrap();
    let path = directory.file("drop");
    fs::write(&path, client_network()).unwrap();
    let site = site(topology, &enforcing(&block("drop", &path)));
    // Stopped at once: what has been read by then is kept all the same.
    let agent = site.start().unwrap();
    assert_eq!(agent.stop().unwrap(), 0);
    let copies = site.state().join("list-copies");
    assert!(copies.join("drop.copy").is_file());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&copies), mode(&copies.join("drop.copy"))), (0o700, 0o600));
    let length = || fs::metadata(copies.join("drop.copy")).unwrap().len();
    let before = length();
    reboot(&site);
    assert!(served(topology, false), "nothing is in force");

    for bad in [Some("<html>502 Bad Gateway</html>\n"), None] {
        match bad {
            Some(bad) => fs::write(&path, bad).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let agent = site.start().unwrap();
        assert!(!served(topology, false), "what was kept of it denies it");
        let now = status(&site, 0);
        assert_eq!(now["ipv4"], 1, "{now}");
        assert!(now["copy_in_use_since"].is_string() && now["read"].is_string(), "{now}");
        assert!(text(&now, "copy_in_use_since") >= text(&now, "read"), "{now}");
        assert!(now["error"].is_string() && now["copy_error"].is_null(), "{now}");
        let said = agent.log();
        assert!(
            said.contains("is in force, from its kept copy") && said.contains(text(&now, "read")),
            "{said}"
        );
        let shown = succeed(&site, &["status"]);
        assert!(shown.contains("its kept copy of ") && shown.contains("is in force"), "{shown}");
        assert!(succeed(&site, &["list", "ls"]).contains("its kept copy is in force since"));
        succeed(&site, &["reload"]);
        assert_eq!(
            status(&site, 0)["copy_in_use_since"],
            now["copy_in_use_since"],
            "a reload changes nothing"
        );
        assert!(!served(topology, false));
        assert_eq!(agent.stop().unwrap(), 0);
        reboot(&site);
    }

    let agent = site.start().unwrap();
    fs::write(&path, "198.51.100.7\n2001:db8::/32\n").unwrap();
    assert!(eventually(SOON, || status(&site, 0)["error"].is_null()), "{}", status(&site, 0));
    assert!(status(&site, 0)["copy_in_use_since"].is_null(), "{}", status(&site, 0));
    assert!(served(topology, false), "the file is good again, and does not deny it");
    // The copy is that of the good file within a moment, without a farewell.
    assert!(eventually(SOON, || length() == before + 18), "{before}, {}", length());
    fs::write(&path, "198.51.100.0/24\n198.51.100.7\n2001:db8::/32\n").unwrap();
    assert!(eventually(SOON, || length() == before + 24), "{before}, {}", length());
    agent.kill().unwrap();
    fs::write(&path, "nonsense\n").unwrap();
    let agent = site.start().unwrap();
    assert_eq!((&status(&site, 0)["ipv4"], &status(&site, 0)["ipv6"]), (&2.into(), &1.into()));
    // With another meaning in the configuration it is not the same list.
    agent.stop().unwrap();
    let allow = block("drop", &path).replace("deny", "allow");
    site.configure(&enforcing(&allow)).unwrap();
    let _agent = site.start().unwrap();
    let now = status(&site, 0);
    assert!(now["ipv4"] == 0 && text(&now, "error").contains("another `action`"), "{now}");
}

fn damaged_copy(topology: &Topology) {
    let _nginx = Nginx::start(&topology.server).unwrap();
    let directory = Scratch::new().unwrap();
    let paths = [directory.file("one"), directory.file("two")];
    fs::write(&paths[0], client_network()).unwrap();
    fs::write(&paths[1], "fd99::/64\n").unwrap();
    let blocks = block("one", &paths[0]) + &block("two", &paths[1]);
    let site = site(topology, &enforcing(&blocks));
    site.start().unwrap().stop().unwrap();
    reboot(&site);
    for path in &paths {
        fs::write(path, "nonsense\n").unwrap();
    }
    let copy = site.state().join("list-copies/one.copy");
    let mut bytes = fs::read(&copy).unwrap();
    let at = bytes.len() - 6;
    bytes[at] ^= 1;
    fs::write(&copy, &bytes).unwrap();

    let agent = site.start().unwrap();
    let (one, two) = (status(&site, 0), status(&site, 1));
    let aside = copy.with_extension("copy.damaged");
    let error = text(&one, "error");
    assert!(error.contains("line 1") && error.contains("its kept copy is damaged"), "{one}");
    assert!(error.contains(&aside.display().to_string()), "{one}");
    assert!(
        agent.log().contains("list one is empty") && agent.log().contains("one.copy.damaged"),
        "{}",
        agent.log()
    );
    assert!(one["ipv4"] == 0 && one["copy_in_use_since"].is_null(), "{one}");
    assert_eq!(fs::read(&aside).unwrap(), bytes, "it is there to be looked at");
    assert!(!copy.exists());
    assert!(two["ipv6"] == 1 && two["copy_in_use_since"].is_string(), "{two}");
    assert!(served(topology, false) && !served(topology, true), "the other list's copy is in force");
    fs::write(&paths[0], client_network()).unwrap();
    assert!(eventually(SOON, || copy.exists()), "a good file is kept again");
    assert!(!served(topology, false));
    assert_eq!(agent.stop().unwrap(), 0);
}
