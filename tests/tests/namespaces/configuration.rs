//! Configurations that are tried, confirmed, taken back and refused, by the real agent.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use libtest_mimic::Trial;
use serde_json::{Value, json};
use stopbank_tests::{
    agent::{Site, binary},
    generator::Flood,
    process,
    topology::{CLIENT, Topology},
};

use crate::rig::{datagrams, enforcing, eventually, has_program, said, site, succeed, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a configuration on trial is taken back unless it is confirmed, and no flood notices", tried),
        trial("what is confirmed is in the file, and a rollback goes back to what was before", confirmed),
        trial("an agent that was killed or stopped during a trial goes back", killed_on_trial),
        trial(
            "files that cannot be written are named, and an agent that starts goes by what is in force",
            not_written,
        ),
        trial("an interface that has gone does not keep a configuration on trial in force", gone_on_trial),
        trial("a configuration that fails leaves everything as it was", failed),
        trial("files in conf.d add to the configuration, and errors point into them", drop_ins),
        trial("a configuration that would drop the operator's session asks first", lockout),
    ]
}

/// Everything to UDP port 9 is dropped, by every configuration here.
const CLOSED: &str = "[[class]]\nname = \"flooded\"\nprotocol = \"udp\"\nports = [9]\nclosed = true\n";
const EXTRA: &str = "[[class]]\nname = \"extra\"\nprotocol = 47\n[class.total]\npackets = \"7/s\"\n";

fn beside(site: &Site<'_>, name: &str) -> PathBuf {
    site.configuration().with_file_name(name)
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Another configuration: the site's, with more at its end.
fn other(site: &Site<'_>, more: &str) -> String {
    let path = beside(site, "new.toml");
    fs::write(&path, format!("{}{more}", text(&site.configuration()))).unwrap();
    path.to_str().unwrap().to_owned()
}

/// All that a change of the configuration could change.
fn snapshot(site: &Site<'_>) -> Value {
    let ask = |arguments: &[&str]| site.ask(arguments).unwrap();
    let (status, configuration) = (ask(&["status"]), ask(&["config", "show"]));
    json!({
        "mode": [status["mode"], status["configured_mode"]],
        "interfaces": status["interfaces"],
        "allow": ask(&["allow", "ls"]),
        "deny": ask(&["deny", "ls"]),
        "ban": ask(&["ban", "ls"]),
        "files": ask(&["list", "ls"]),
        "limits": ask(&["limit", "ls"]),
        "signatures": ask(&["signatures"]),
        "effective": configuration["effective"],
        "pending": configuration["pending"],
    })
}

fn on_trial(site: &Site<'_>) -> bool {
    !site.ask(&["status"]).unwrap()["configuration"]["pending"].is_null()
}

fn fails(site: &Site<'_>, arguments: &[&str], code: i32, says: &str) -> Output {
    let output = site.cli(arguments).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
    assert!(said(&output).contains(says), "{arguments:?}: {}", said(&output));
    output
}

fn tried(topology: &Topology) {
    let site = site(topology, &enforcing(CLOSED));
    let _agent = site.start().unwrap();
    succeed(&site, &["ban", "add", "198.51.100.7"]);
    let file = text(&site.configuration());
    let enforced = snapshot(&site);
    let frame = Topology::frame("11.0.0.1".parse::<std::net::Ipv4Addr>().unwrap()).udp(40_000, 9);
    let flood = Flood { frame, sources: 1000, pace: Some(5_000), at_most: Duration::from_secs(60) };
    let through = datagrams(topology, false);
    let running = flood.start(&topology.switch, topology.to_server().unwrap()).unwrap();

    let new = other(&site, EXTRA);
    let diff = site.ask(&["config", "diff", &new]).unwrap();
    let keys: Vec<&str> =
        diff["changes"].as_array().unwrap().iter().map(|change| change["key"].as_str().unwrap()).collect();
    assert!(keys.contains(&"class.extra.total.packets"), "{diff}");
    assert!(keys.iter().all(|key| key.starts_with("class.extra.")), "{diff}");
    let applied = site.ask(&["config", "apply", &new, "--confirm", "4s"]).unwrap();
    assert_eq!(applied["changes"], diff["changes"]);
    assert!(snapshot(&site)["effective"].as_str().unwrap().contains("name = \"extra\""));
    assert!(on_trial(&site));
    assert_eq!(text(&site.configuration()), file, "nothing is written before it is confirmed");
    fails(&site, &["reload"], 1, "on trial");
    fails(&site, &["config", "apply", &new, "--confirm", "4s"], 1, "on trial");
    assert!(eventually(Duration::from_secs(10), || !on_trial(&site)), "nobody has taken it back");
    assert_eq!(snapshot(&site), enforced);
    assert_eq!(text(&site.configuration()), file);
    fails(&site, &["config", "confirm"], 1, "no configuration is on trial");

    let sent = running.stop().unwrap();
    assert!(sent > 1_000, "hardly a flood: {sent}");
    assert_eq!(datagrams(topology, false), through, "the flood came through");

    // The mode and the limits that an operator has set come back as well, and so does what was not protected before.
    topology.server.ip(&["link add plain0 type bridge", "link set plain0 up"]).unwrap();
    succeed(&site, &["mode", "set", "observe"]);
    succeed(&site, &["limit", "set", "default", "total.packets=77/s"]);
    let before = snapshot(&site);
    let new = other(&site, "[[interface]]\nname = \"plain0\"\nattach = \"generic\"\n");
    succeed(&site, &["config", "apply", &new, "--confirm", "60s"]);
    assert!(
        has_program(&topology.server, "plain0") && site.ask(&["mode", "get"]).unwrap()["mode"] == "enforce"
    );
    succeed(&site, &["config", "rollback"]);
    assert_eq!(snapshot(&site), before);
    assert!(!has_program(&topology.server, "plain0"), "what was protected on trial is protected still");
}

fn confirmed(topology: &Topology) {
    let site = site(topology, &enforcing(CLOSED));
    let agent = site.start().unwrap();
    let (before, file) = (snapshot(&site), text(&site.configuration()));
    fails(&site, &["config", "rollback"], 1, "no configuration is kept");
    let new = other(&site, EXTRA);
    succeed(&site, &["config", "apply", &new, "--confirm", "60s"]);
    let after = snapshot(&site);
    succeed(&site, &["config", "confirm"]);
    assert!(!on_trial(&site));
    assert_eq!(text(&site.configuration()), text(new.as_ref()));
    assert_eq!(text(&beside(&site, "stopbank.toml.last-good")), file);
    assert_eq!(site.ask(&["config", "diff"]).unwrap()["changes"], json!([]));

    // What was before is known to the next agent too.
    assert_eq!(agent.stop().unwrap(), 0);
    let _agent = site.start().unwrap();
    assert_eq!(snapshot(&site)["effective"], after["effective"]);
    succeed(&site, &["config", "rollback"]);
    assert_eq!(snapshot(&site)["effective"], before["effective"]);
    assert_eq!(text(&site.configuration()), file);
    assert_eq!(text(&beside(&site, "stopbank.toml.rolled-back")), text(new.as_ref()));
    fails(&site, &["config", "rollback"], 1, "no configuration is kept");

    // A reload can be taken back as well; and without --confirm it is for good at once.
    fs::write(site.configuration(), text(new.as_ref())).unwrap();
    succeed(&site, &["reload"]);
    assert_eq!(snapshot(&site)["effective"], after["effective"]);
    succeed(&site, &["config", "rollback"]);
    assert_eq!(text(&site.configuration()), file);
    // So is what a file with errors has left.
    fs::write(site.configuration(), "packest = 1\n").unwrap();
    fails(&site, &["reload"], 78, "packest");
    let reload_error = || site.ask(&["status"]).unwrap()["configuration"]["reload_error"].clone();
    assert!(reload_error().is_string());
    succeed(&site, &["config", "apply", &new]);
    assert!(!on_trial(&site) && reload_error().is_null());
    assert_eq!(text(&site.configuration()), text(new.as_ref()));
}

fn killed_on_trial(topology: &Topology) {
    let site = site(topology, &enforcing(CLOSED));
    let agent = site.start().unwrap();
    let (before, file) = (snapshot(&site)["effective"].clone(), text(&site.configuration()));
    // The agent's own file, edited, and one more beside it.
    let edited = format!("{file}{EXTRA}");
    fs::write(site.configuration(), &edited).unwrap();
    fs::create_dir(beside(&site, "conf.d")).unwrap();
    let drop_in = beside(&site, "conf.d/10-events.toml");
    fs::write(&drop_in, "[events]\nrate = \"5/s\"\n").unwrap();
    succeed(&site, &["config", "apply", "--confirm", "1h"]);
    assert_ne!(snapshot(&site)["effective"], before);
    agent.kill().unwrap();

    let agent = site.start().unwrap();
    assert!(!on_trial(&site));
    assert_eq!(snapshot(&site)["effective"], before, "{}", agent.log());
    assert!(agent.log().contains("was not confirmed"), "{}", agent.log());
    assert_eq!(text(&site.configuration()), file);
    assert_eq!(text(&beside(&site, "stopbank.toml.rolled-back")), edited);
    assert!(!drop_in.exists() && beside(&site, "conf.d/10-events.toml.rolled-back").exists());

    let new = other(&site, EXTRA);
    succeed(&site, &["config", "apply", &new, "--confirm", "1h"]);
    assert_eq!(agent.stop().unwrap(), 0);
    let agent = site.start().unwrap();
    assert_eq!(snapshot(&site)["effective"], before, "{}", agent.log());
    // All of the site's agents write to one log.
    let found = agent.log().matches("was not confirmed").count();
    assert_eq!(found, 1, "the one that stopped has taken it back: {}", agent.log());

    // Saved in half when it was killed; somebody is at work on it.
    succeed(&site, &["config", "apply", &new, "--confirm", "1h"]);
    let half = format!("{file}[[class]\n");
    fs::write(site.configuration(), &half).unwrap();
    agent.kill().unwrap();
    let agent = site.start().unwrap();
    assert_eq!(snapshot(&site)["effective"], before, "{}", agent.log());
    assert_eq!(text(&site.configuration()), half);
    // What was mended meanwhile is taken as it is.
    fs::write(site.configuration(), &file).unwrap();
    succeed(&site, &["reload"]);
    succeed(&site, &["config", "apply", &new, "--confirm", "1h"]);
    agent.kill().unwrap();
    let mended = format!("# mended\n{file}");
    fs::write(site.configuration(), &mended).unwrap();
    let agent = site.start().unwrap();
    assert!(!on_trial(&site) && text(&site.configuration()) == mended, "{}", agent.log());
    assert_eq!(snapshot(&site)["effective"], before, "{}", agent.log());
    fs::write(site.configuration(), &file).unwrap();
    succeed(&site, &["reload"]);

    // A file of that kind that is damaged is set aside, and nothing else is lost.
    assert_eq!(agent.stop().unwrap(), 0);
    fs::write(site.state().join("configuration"), "garbage").unwrap();
    let agent = site.start().unwrap();
    assert_eq!(snapshot(&site)["effective"], before);
    assert!(agent.log().contains("configuration.damaged"), "{}", agent.log());
    assert!(site.state().join("configuration.damaged").exists());
}

fn gone_on_trial(topology: &Topology) {
    let second = "[[interface]]\nname = \"gone0\"\nattach = \"generic\"\n";
    let make = || topology.server.ip(&["link add gone0 type veth peer name gone1"]).unwrap();
    let site = site(topology, &enforcing(CLOSED));
    let (without, new) = (text(&site.configuration()), other(&site, EXTRA));
    fs::write(site.configuration(), format!("{without}{second}")).unwrap();
    make();
    let agent = site.start().unwrap();
    let extra = || snapshot(&site)["effective"].as_str().unwrap().contains("name = \"extra\"");
    succeed(&site, &["config", "apply", &new, "--confirm", "3s"]);
    topology.server.ip(&["link del gone0"]).unwrap();
    assert!(extra() && eventually(Duration::from_secs(15), || !on_trial(&site)), "{}", agent.log());
    assert!(!extra());

    make();
    succeed(&site, &["reload"]);
    succeed(&site, &["config", "apply", &new, "--confirm", "1h"]);
    agent.kill().unwrap();
    topology.server.ip(&["link del gone0"]).unwrap();
    let agent = site.start().unwrap();
    assert!(!on_trial(&site) && !extra(), "{}", agent.log());
    assert!(agent.log().contains("gone0 is not there"), "{}", agent.log());
}

fn not_written(topology: &Topology) {
    let site = site(topology, &enforcing(CLOSED));
    let agent = site.start().unwrap();
    let (before, file) = (snapshot(&site)["effective"].clone(), text(&site.configuration()));
    // What is kept of a file that is replaced has nowhere to go.
    let block =
        |suffix: &str| fs::create_dir_all(beside(&site, &format!("stopbank.toml.{suffix}/full"))).unwrap();
    block("replaced");
    let new = other(&site, EXTRA);
    succeed(&site, &["config", "apply", &new, "--confirm", "1h"]);
    fails(&site, &["config", "confirm"], 1, "it stays on trial");
    assert!(on_trial(&site) && text(&site.configuration()) == file);
    succeed(&site, &["config", "rollback"]);
    fails(&site, &["config", "apply", &new], 1, "taken back again");
    assert_eq!(snapshot(&site)["effective"], before);

    block("rolled-back");
    let edited = format!("{file}{EXTRA}");
    fs::write(site.configuration(), &edited).unwrap();
    succeed(&site, &["config", "apply", "--confirm", "1h"]);
    let output = site.cli(&["config", "rollback"]).unwrap();
    assert!(output.status.success() && said(&output).contains("still"), "{}", said(&output));
    let rejected = || site.ask(&["status"]).unwrap()["configuration"]["rejected_on_disk"] == true;
    assert!(rejected() && text(&site.configuration()) == edited);
    assert_eq!(snapshot(&site)["effective"], before);
    agent.kill().unwrap();
    let agent = site.start().unwrap();
    assert!(rejected(), "{}", agent.log());
    assert_eq!(snapshot(&site)["effective"], before, "{}", agent.log());
    succeed(&site, &["reload"]);
    assert!(!rejected());
    assert!(snapshot(&site)["effective"].as_str().unwrap().contains("name = \"extra\""));
}

fn failed(topology: &Topology) {
    topology.server.ip(&["link add plain0 type bridge", "link set plain0 up"]).unwrap();
    let list = format!("[[list]]\nname = \"drop\"\npath = \"{}\"\naction = \"deny\"\n", "/dev/null");
    let signature = "[[signature]]\nname = \"low\"\nttl = 1\n";
    let site =
        site(topology, &enforcing(&format!("[lists]\nallow = [\"192.0.2.1\"]\n{list}{signature}{CLOSED}")));
    let _agent = site.start().unwrap();
    succeed(&site, &["ban", "add", "198.51.100.0/24", "--reason", "kept"]);
    succeed(&site, &["allow", "add", "198.51.100.9"]);
    succeed(&site, &["mode", "set", "observe"]);
    let (before, file) = (snapshot(&site), text(&site.configuration()));
    for (more, code, says) in [
        ("[[class]\n", 78, ".toml:"),
        ("[[class]]\nname = \"flooded\"\nprotocol = 47\n", 78, "stands twice"),
        // The kernel refuses, after much else has been changed.
        (&*format!("{EXTRA}[[interface]]\nname = \"plain0\"\n"), 1, "native"),
    ] {
        let new = other(&site, more);
        for arguments in [&["reload"][..], &["config", "apply", "--confirm", "60s"], &["config", "apply"]] {
            fs::write(site.configuration(), text(new.as_ref())).unwrap();
            fails(&site, arguments, code, says);
            assert_eq!(snapshot(&site), before, "{arguments:?} {more}");
            fs::write(site.configuration(), &file).unwrap();
        }
        let output = site.cli(&["config", "apply", &new, "--confirm", "60s"]).unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert!(code != 78 || said(&output).contains("new.toml:"), "{}", said(&output));
        assert_eq!(snapshot(&site), before, "{more}");
        assert_eq!(text(&site.configuration()), file);
    }
    for time in ["0s", "500ms", "2d"] {
        let output = site.cli(&["config", "apply", "--confirm", time]).unwrap();
        assert_eq!(output.status.code(), Some(2), "{time}: {}", said(&output));
    }
    // That it is on trial cannot be kept: it is not tried.
    let new = other(&site, EXTRA);
    fs::create_dir_all(site.state().join(".configuration.new/full")).unwrap();
    fails(&site, &["config", "apply", &new, "--confirm", "60s"], 1, "nothing was changed");
    assert_eq!(snapshot(&site), before);
    fs::remove_dir_all(site.state().join(".configuration.new")).unwrap();
    succeed(&site, &["config", "apply", &new]);
}

fn drop_ins(topology: &Topology) {
    let site = site(topology, &enforcing(CLOSED));
    let directory = beside(&site, "conf.d");
    fs::create_dir(&directory).unwrap();
    let write = |name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
    write("20-extra.toml", EXTRA);
    write("10-lists.toml", "[lists]\ndeny = [\"203.0.113.0/24\"]\n");
    write("10-lists.toml~", "garbage");
    write(".hidden.toml", "garbage");
    let _agent = site.start().unwrap();
    let before = snapshot(&site);
    assert!(before["effective"].as_str().unwrap().contains("name = \"extra\""));
    assert_eq!(before["deny"]["entries"][0]["prefix"], "203.0.113.0/24");
    let shown = succeed(&site, &["config", "show"]);
    assert!(shown.contains("conf.d/20-extra.toml") && shown.contains("name = \"extra\""), "{shown}");

    write("30-more.toml", "mode = \"observe\"\n[lists]\ndeny = []\n");
    let output = fails(&site, &["reload"], 78, "conf.d/30-more.toml:1:1: `mode` is set in two files");
    for says in
        ["stopbank.toml:1:1 already", "30-more.toml:3:1: `deny` of [lists]", "10-lists.toml:2:1 already"]
    {
        assert!(said(&output).contains(says), "{says}: {}", said(&output));
    }
    assert_eq!(snapshot(&site), before);
    let path = site.configuration().to_str().unwrap().to_owned();
    let checked = fails(&site, &["config", "check", &path, "-o", "json"], 78, "2 errors");
    let checked: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert!(checked["errors"][1]["file"].as_str().unwrap().ends_with("conf.d/30-more.toml"), "{checked}");
    assert_eq!(checked["errors"][1]["line"], 3);

    write("30-more.toml", "[lists]\nallow = [\"192.0.2.0/24\"]\n");
    succeed(&site, &["config", "check", &path]);
    succeed(&site, &["reload"]);
    assert_eq!(snapshot(&site)["allow"]["entries"][0]["prefix"], "192.0.2.0/24");
    fs::remove_file(directory.join("20-extra.toml")).unwrap();
    succeed(&site, &["reload"]);
    assert!(!snapshot(&site)["effective"].as_str().unwrap().contains("name = \"extra\""));
}

fn lockout(topology: &Topology) {
    let site = site(topology, &enforcing(CLOSED));
    let _agent = site.start().unwrap();
    let (before, file) = (snapshot(&site), text(&site.configuration()));
    let from_client = |arguments: &[&str]| {
        let mut command = topology.server.command(binary().unwrap());
        command.args(arguments).env("STOPBANK_SOCKET", site.socket());
        command.env("SSH_CONNECTION", format!("{} 50000 10.99.0.1 2222", CLIENT.0));
        process::output(&mut command, "").unwrap()
    };
    let deny = format!("[lists]\ndeny = [\"{}\"]\n", CLIENT.0);
    let closed = "[[class]]\nname = \"ssh\"\nprotocol = \"tcp\"\nports = [2222]\nclosed = true\n";
    for (more, says) in [(deny.as_str(), "[lists] deny has"), (closed, "class `ssh`")] {
        fs::write(site.configuration(), format!("{file}{more}")).unwrap();
        for arguments in [&["reload"][..], &["config", "apply", "--confirm", "60s"]] {
            let output = from_client(arguments);
            assert_eq!(output.status.code(), Some(1), "{arguments:?} {more}");
            let said = said(&output);
            assert!(said.contains(says) && said.contains("--force"), "{said}");
            assert_eq!(snapshot(&site), before);
        }
    }
    // It is asked for, or from elsewhere.
    let output = from_client(&["reload", "--force"]);
    assert!(output.status.success(), "{}", said(&output));
    // What drops the session already is no change for the worse.
    assert!(from_client(&["reload"]).status.success());
    fs::write(site.configuration(), &file).unwrap();
    assert!(from_client(&["reload"]).status.success());
    fs::write(site.configuration(), format!("{file}{deny}")).unwrap();
    succeed(&site, &["reload"]);
}
