//! Bans and allow entries, as an operator makes them and as packets feel them.

use std::{fs, net::Ipv4Addr, thread, time::Duration};

use libtest_mimic::Trial;
use stopbank_tests::{
    client::Client,
    generator::Flood,
    nginx::Nginx,
    scratch::Scratch,
    topology::{CLIENT, SERVER, Topology},
};

use crate::rig::{enforcing, eventually, flood, said, served, site, succeed, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("proven sources are added, shown, outlive the agent, and end", proven),
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

/// The part of its requests that the client is served. Under a flood some are lost whatever the policy says.
fn share(topology: &Topology) -> f64 {
    let client = Client { server: (SERVER.0, 80).into(), rate: 20, timeout: Duration::from_millis(1_500) };
    let working = client.start(&topology.client).unwrap();
    thread::sleep(Duration::from_secs(1));
    let served = working.stop().unwrap();
    f64::from(u32::try_from(served.succeeded).unwrap()) / f64::from(u32::try_from(served.attempted).unwrap())
}

fn proven(topology: &Topology) {
    let _nginx = Nginx::start(&topology.server).unwrap();
    // So few that a client cannot live on being first after a tick of the clock; the burst is for who is proven.
    let policy = "[[class]]\nname = \"web\"\nprotocol = \"tcp\"\nports = [80]\nper_source = { packets = \"1000/s\" }\n\
                  total = { packets = { rate = \"40/s\", burst = 2000 }, proven = \"50%\" }\n";
    let site = site(topology, &enforcing(policy));
    let agent = site.start().unwrap();
    let client = CLIENT.0.to_string();
    let flood = Flood {
        frame: Topology::frame("11.0.0.1").tcp(1, 80),
        sources: 0,
        pace: Some(20_000),
        at_most: Duration::from_secs(60),
    };
    let running = flood.start(&topology.switch, topology.to_server().unwrap()).unwrap();
    assert!(eventually(Duration::from_secs(20), || share(topology) < 0.3), "the total is spent");
    succeed(&site, &["proven", "add", &client, "--for", "10m"]);
    assert!(share(topology) > 0.6, "a proven client is served from the reserve");
    let now = site.ask(&["proven", "ls"]).unwrap();
    assert_eq!(now["sources"][0]["source"], client.as_str());
    assert!((500.0..=600.0).contains(&now["sources"][0]["expires_in_seconds"].as_f64().unwrap()), "{now}");
    assert_eq!(agent.stop().unwrap(), 0);
    assert!(share(topology) > 0.6, "a proof outlives the agent");
    let _agent = site.start().unwrap();
    assert_eq!(site.ask(&["status"]).unwrap()["proven"], 1);
    succeed(&site, &["proven", "rm", &client]);
    assert!(share(topology) < 0.3, "the proof was taken back");
    running.stop().unwrap();

    let again = site.cli(&["proven", "rm", &client]).unwrap();
    assert_eq!(again.status.code(), Some(3), "{}", said(&again));
    let bad = site.cli_with_input(&["proven", "add", "-"], "192.0.2.1 # one\n192.0.2.0/24\n").unwrap();
    assert!(!bad.status.success() && said(&bad).contains("192.0.2.0/24"), "{}", said(&bad));
    let many: String = (0..70_000_u32).map(|i| format!("{}\n", Ipv4Addr::from(0x0a00_0000 + i))).collect();
    let full = site.cli_with_input(&["proven", "add", "-"], &many).unwrap();
    assert!(!full.status.success() && said(&full).contains("room for 65536"), "{}", said(&full));
    assert_eq!(site.ask(&["status"]).unwrap()["proven"], 0, "all or none");
    succeed(&site, &["proven", "add", "192.0.2.1", "2001:db8::1", "--for", "1s"]);
    let swept = || site.ask(&["status"]).unwrap()["proven"] == 0;
    assert!(eventually(Duration::from_secs(10), swept), "a proof ends by itself");
}
