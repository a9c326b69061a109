//! Bans and allow entries, as an operator makes them and as packets feel them.

use std::{fs, net::Ipv4Addr, time::Duration};

use libtest_mimic::Trial;
use stopbank_tests::{
    nginx::Nginx,
    scratch::Scratch,
    topology::{CLIENT, Topology},
};

use crate::rig::{enforcing, eventually, flood, said, served, site, succeed, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a banned source is not served until the ban is removed", ban),
        trial("a ban ends by itself", ban_expires),
        trial("bans come from stdin, all or none", ban_from_stdin),
        trial("allow beats a ban of the same prefix, and a longer prefix a shorter", allow),
        trial("an allowed source has no limits", allowed_source_has_no_limits),
        trial("a list file is heeded when it changes, and what it said holds when it goes bad", list_file),
    ]
}

fn ban(topology: &Topology) {
    let _nginx = Nginx::start(&topology.server).unwrap();
    let site = site(topology, &enforcing(""));
    let _agent = site.start().unwrap();
    for (address, v6) in [(CLIENT.0.to_string(), false), (CLIENT.1.to_string(), true)] {
        assert!(served(topology, v6), "before the ban");
        succeed(&site, &["ban", "add", &address, "--for", "10m", "--reason", "test"]);
        assert!(!served(topology, v6), "banned");
        assert!(served(topology, !v6), "the other family is not");
        let bans = site.ask(&["ban", "ls"]).unwrap();
        let entry = &bans["entries"][0];
        assert!(entry["prefix"].as_str().unwrap().starts_with(&address), "{bans}");
        assert_eq!(entry["reason"], "test");
        assert!((500.0..=600.0).contains(&entry["expires_in_seconds"].as_f64().unwrap()), "{bans}");
        succeed(&site, &["ban", "rm", &address]);
        assert!(served(topology, v6), "after the ban");
        let again = site.cli(&["ban", "rm", &address]).unwrap();
        assert_eq!(again.status.code(), Some(3), "{}", said(&again));
    }
    assert!(site.counts().unwrap().reason("ban") > 0);
}

fn ban_expires(topology: &Topology) {
    let _nginx = Nginx::start(&topology.server).unwrap();
    let site = site(topology, &enforcing(""));
    let _agent = site.start().unwrap();
    succeed(&site, &["ban", "add", &CLIENT.0.to_string(), "--for", "3s"]);
    assert!(!served(topology, false));
    assert!(eventually(Duration::from_secs(10), || served(topology, false)), "still banned");
    let gone = || site.ask(&["ban", "ls"]).unwrap()["entries"].as_array().unwrap().is_empty();
    assert!(eventually(Duration::from_secs(10), gone), "the list still has it");
}

fn ban_from_stdin(topology: &Topology) {
    let site = site(topology, &enforcing(""));
    let _agent = site.start().unwrap();
    let bans = || site.ask(&["ban", "ls"]).unwrap()["entries"].as_array().unwrap().len();
    let good =
        site.cli_with_input(&["ban", "add", "-"], "# seen today\n198.51.100.7\n2001:db8:bad::/48\n").unwrap();
    assert!(good.status.success(), "{}", said(&good));
    assert_eq!(bans(), 2);
    let bad = site.cli_with_input(&["ban", "add", "-"], "198.51.100.8\n198.51.100.999\n").unwrap();
    assert_eq!(bad.status.code(), Some(2), "{}", said(&bad));
    assert!(said(&bad).contains("198.51.100.999"), "{}", said(&bad));
    assert_eq!(bans(), 2, "all or none");
}

fn allow(topology: &Topology) {
    let _nginx = Nginx::start(&topology.server).unwrap();
    let site = site(topology, &enforcing("[lists]\ndeny = [\"10.99.0.0/16\"]\n"));
    let _agent = site.start().unwrap();
    let client = CLIENT.0.to_string();
    assert!(!served(topology, false), "denied by its network");
    succeed(&site, &["allow", "add", &client]);
    assert!(served(topology, false), "allowed by its address");
    succeed(&site, &["ban", "add", &client]);
    assert!(served(topology, false), "allow beats a ban of the same prefix");
    succeed(&site, &["allow", "rm", &client]);
    assert!(!served(topology, false), "the ban holds again");
    succeed(&site, &["ban", "rm", &client]);
    succeed(&site, &["allow", "add", "10.99.0.0/24"]);
    assert!(served(topology, false), "the longer prefix wins");
}

fn allowed_source_has_no_limits(topology: &Topology) {
    let policy = "[lists]\nallow = [\"11.0.0.1\"]\n[default]\nper_source = { packets = \"10/s\" }\n";
    let site = site(topology, &enforcing(policy));
    let _agent = site.start().unwrap();
    for (source, allowed) in [("11.0.0.1", true), ("11.0.0.2", false)] {
        let before = site.counts().unwrap();
        let offered = flood(topology, Topology::frame(source).udp(1, 443), 1, 5000, Duration::from_secs(1));
        let counts = site.counts().unwrap().since(&before);
        assert!(offered > 1000, "only {offered} packets came in");
        if allowed {
            assert_eq!((counts.reason("allow-list"), counts.verdict("drop")), (offered, 0), "{counts:?}");
        } else {
            assert!(counts.reason("source-packets") > offered * 9 / 10, "{counts:?}");
        }
    }
}

fn list_file(topology: &Topology) {
    let _nginx = Nginx::start(&topology.server).unwrap();
    let directory = Scratch::new().unwrap();
    let path = directory.file("drop");
    let put = |text: &str| {
        // As updaters do it: written beside, then renamed.
        fs::write(directory.file("new"), text).unwrap();
        fs::rename(directory.file("new"), &path).unwrap();
    };
    put("198.51.100.7\n");
    let block = format!("[[list]]\nname = \"drop\"\npath = {path:?}\naction = \"deny\"\n");
    let site = site(topology, &enforcing(&block));
    let agent = site.start().unwrap();
    assert!(served(topology, false), "not on the list");
    let soon = Duration::from_secs(10);
    put(&format!("{}/24\n2001:db8:bad::/48\n", Ipv4Addr::from(u32::from(CLIENT.0) & !255)));
    let status = || site.ask(&["list", "ls"]).unwrap()["lists"][0].clone();
    assert!(eventually(soon, || status()["ipv6"] == 1), "{}", status());
    assert_eq!(status()["ipv4"], 1, "{}", status());
    assert!(!served(topology, false), "the file denies it");

    put("<html>502 Bad Gateway</html>\n");
    assert!(eventually(soon, || status()["error"].is_string()), "{}", status());
    assert!(status()["error"].as_str().unwrap().contains("line 1: `<html>"), "{}", status());
    assert!(!served(topology, false), "what it said before holds");
    let shown = site.cli(&["status"]).unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("1 with errors") && shown.contains("line 1"), "{shown}");
    succeed(&site, &["reload"]);
    assert!(!served(topology, false), "a reload changes nothing of that");
    let checked = site.cli(&["list", "check", path.to_str().unwrap()]).unwrap();
    assert_eq!(checked.status.code(), Some(78), "{}", said(&checked));

    succeed(&site, &["allow", "add", &CLIENT.0.to_string()]);
    assert!(served(topology, false), "an operator's longer prefix wins");
    succeed(&site, &["allow", "rm", &CLIENT.0.to_string()]);
    assert!(!served(topology, false));
    put(&format!("{}/24\n", Ipv4Addr::from(u32::from(CLIENT.0) & !255)));
    assert!(eventually(soon, || status()["error"].is_null()), "{}", status());

    // Another agent takes over, and the list with it; one without the list gives it up.
    agent.kill().unwrap();
    assert!(!served(topology, false), "without an agent");
    let agent = site.start().unwrap();
    assert!(!served(topology, false), "with the next one");
    agent.stop().unwrap();
    site.configure(&enforcing("")).unwrap();
    let _agent = site.start().unwrap();
    assert!(served(topology, false), "the configuration has no list any more");
}
