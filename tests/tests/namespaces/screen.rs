//! `stopbank top` in a real terminal, `events --follow`, `status --check` and `support-dump`, with a real agent under a real
//! flood.

use std::{fs, process::Command, time::Duration};

use libtest_mimic::Trial;
use serde_json::Value;
use stopbank_tests::{
    agent::{Settings, Site, binary},
    generator::Flood,
    process::Background,
    pty::Terminal,
    scratch::Scratch,
    topology::Topology,
};

use crate::rig::{enforcing, eventually, said, site, succeed, trial};

/// How long anything may take to be seen.
const SOON: Duration = Duration::from_secs(10);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "top shows a flood, bans its source by a key, outlives the agent, and leaves the terminal as it was",
            top,
        ),
        trial("events are followed through a restart of the agent", follow),
        trial("status --check tells what is not as configured", check),
        trial("a support dump has everything but secrets, with an agent and without", dump),
    ]
}

/// One source that sends far more than it may.
fn loud() -> Flood {
    let frame = Topology::frame("11.0.0.1").udp(1, 443);
    Flood { frame, sources: 1, pace: Some(5_000), at_most: Duration::from_secs(120) }
}

const POLICY: &str = "[[class]]\nname = \"udp\"\nprotocol = \"udp\"\nper_source = { packets = \"100/s\" }\n";

fn command(site: &Site<'_>, arguments: &[&str]) -> Command {
    let mut command = site.namespace().command(binary().unwrap());
    command.args(arguments).env("STOPBANK_SOCKET", site.socket());
    command
}

fn top(topology: &Topology) {
    let site = site(topology, &enforcing(POLICY));
    let agent = site.start().unwrap();
    let flood = loud().start(&topology.switch, topology.to_server().unwrap()).unwrap();
    let mut terminal =
        Terminal::start(&mut command(&site, &["top", "--interval", "200ms"]), 100, 30).unwrap();
    for part in ["11.0.0.1", "source-packets", "eth0 native", "ok: protected as configured", "drops began"] {
        terminal.wait_for(part, SOON).unwrap();
    }
    assert!(terminal.is_full_screen() && !terminal.is_cooked().unwrap());

    terminal.press("b").unwrap();
    terminal.wait_for("10m_", SOON).unwrap();
    terminal.press("\r").unwrap();
    terminal.wait_for("stopbank ban add 11.0.0.1 --for '10m'", SOON).unwrap();
    assert_eq!(
        site.ask(&["ban", "ls"]).unwrap()["entries"].as_array().unwrap().len(),
        0,
        "nothing without a yes"
    );
    terminal.press("y").unwrap();
    terminal.wait_for("done: 11.0.0.1 added to the ban list", SOON).unwrap();
    let bans = site.ask(&["ban", "ls"]).unwrap();
    assert_eq!(bans["entries"][0]["prefix"], "11.0.0.1/32", "{bans}");
    assert_eq!(bans["entries"][0]["reason"], "from stopbank top");
    assert!(eventually(SOON, || site.counts().unwrap().reason("ban") > 5_000), "banned, and not felt");

    for (columns, rows) in [(20, 5), (1, 1), (80, 24), (100, 30)] {
        terminal.resize(columns, rows).unwrap();
        std::thread::sleep(Duration::from_millis(700));
    }
    terminal.wait_for("SOURCE", SOON).unwrap();
    agent.kill().unwrap();
    terminal.wait_for("agent does not answer, since 1 s", SOON).unwrap();
    let _agent = site.start().unwrap();
    terminal.wait_for("the agent answers again", SOON).unwrap();
    terminal.wait_for("ok: protected as configured", SOON).unwrap();

    let status = terminal.end(libc::SIGTERM).unwrap();
    assert!(status.success(), "{status}");
    assert!(!terminal.is_full_screen() && terminal.is_cooked().unwrap(), "the terminal is not as it was");
    drop(terminal);
    flood.stop().unwrap();
}

fn follow(topology: &Topology) {
    let site = site(topology, &enforcing(POLICY));
    let agent = site.start().unwrap();
    let scratch = Scratch::new().unwrap();
    let flood = loud().start(&topology.switch, topology.to_server().unwrap()).unwrap();
    let arguments =
        ["events", "--follow", "-o", "jsonl", "--source", "11.0.0.0/24", "--reason", "source-packets"];
    let following = Background::start(command(&site, &arguments), &scratch.file("events")).unwrap();
    let events = || {
        let log = following.log();
        // The last line may be under way.
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole
            .lines()
            .filter(|line| line.starts_with('{'))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect::<Vec<Value>>()
    };
    assert!(eventually(SOON, || events().len() > 20), "{}", following.log());
    assert!(events().iter().all(|event| event["source"] == "11.0.0.1" && event["verdict"] == "drop"));
    assert_eq!(agent.stop().unwrap(), 0);
    assert!(eventually(SOON, || following.log().contains("has gone")), "{}", following.log());
    let before = events().len();
    let _agent = site.start().unwrap();
    assert!(
        eventually(SOON, || following.log().contains("the agent answers again, after")),
        "{}",
        following.log()
    );
    assert!(eventually(SOON, || events().len() > before + 20), "{}", following.log());
    // One object a line, without --follow as well, and of others there are none.
    let latest = succeed(&site, &["events", "-o", "jsonl", "--limit", "5"]);
    assert_eq!(latest.lines().count(), 5, "{latest}");
    assert_eq!(succeed(&site, &["events", "--source", "192.0.2.0/24"]), "no drops were sampled\n");
    let none = site.cli(&["events", "--follow", "--reason", "sorce-packets"]).unwrap();
    assert_eq!(none.status.code(), Some(3), "{}", said(&none));
    drop(following);
    flood.stop().unwrap();
}

fn check(topology: &Topology) {
    let site = site(topology, &enforcing(""));
    let agent = site.start().unwrap();
    assert_eq!(succeed(&site, &["status", "--check"]), "ok    protected as configured\n");
    assert!(succeed(&site, &["status", "--nagios"]).starts_with("STOPBANK OK - eth0 native, enforce"));

    succeed(&site, &["mode", "set", "observe"]);
    let good = fs::read_to_string(site.configuration()).unwrap();
    site.write_configuration(&format!("{good}\nnonsense = 1\n")).unwrap();
    assert_eq!(site.cli(&["reload"]).unwrap().status.code(), Some(78));
    let checked = site.cli(&["status", "--check"]).unwrap();
    let told = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert_eq!(checked.status.code(), Some(1), "{told}");
    for part in [
        "fail  mode: observe, where the configuration says enforce",
        "fail  configuration: the last reload failed: ",
    ] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    let json = site.cli(&["status", "--check", "-o", "json"]).unwrap();
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["state"], &json["problems"][0]["level"]), (&"fail".into(), &"fail".into()), "{json}");
    assert!(succeed(&site, &["status"]).contains("the last reload failed"), "status tells as well");
    assert_eq!(site.cli(&["status", "--nagios"]).unwrap().status.code(), Some(2));

    site.configure(&Settings { mode: "observe", ..enforcing("") }).unwrap();
    succeed(&site, &["reload"]);
    assert!(succeed(&site, &["status", "--check"]).starts_with("warn  mode: observe, as configured"));
    assert_eq!(site.cli(&["status", "--nagios"]).unwrap().status.code(), Some(1));
    agent.stop().unwrap();
    assert_eq!(site.cli(&["status", "--check"]).unwrap().status.code(), Some(4));
}

/// The files of a dump, by name.
fn unpacked(file: &std::path::Path) -> std::collections::BTreeMap<String, String> {
    use std::io::Read as _;
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(file).unwrap()));
    let read = |entry: std::io::Result<tar::Entry<'_, _>>| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (name, text)
    };
    archive.entries().unwrap().map(read).collect()
}

fn dump(topology: &Topology) {
    const SECRETS: [&str; 4] = ["hunter2", "s3cr3t-env", "t0ken-url", "pa55-reason"];
    let site = site(topology, &enforcing(POLICY));
    let agent = site.start().unwrap();
    succeed(&site, &["ban", "add", "192.0.2.1", "--reason", "password=pa55-reason"]);
    let good = fs::read_to_string(site.configuration()).unwrap();
    site.write_configuration(&format!(
        "api_token = \"hunter2\"\nfeed = \"https://me:t0ken-url@example.org/\"\n{good}"
    ))
    .unwrap();
    assert_eq!(site.cli(&["reload"]).unwrap().status.code(), Some(78));
    let scratch = Scratch::new().unwrap();
    for (name, running) in [("with.tar.gz", true), ("without.tar.gz", false)] {
        let file = scratch.file(name);
        let configuration = site.configuration().display().to_string();
        let arguments = ["support-dump", "--out", file.to_str().unwrap(), "--config", &configuration];
        let output = command(&site, &arguments).env("DATABASE_PASSWORD", "s3cr3t-env").output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let files = unpacked(&file);
        for (file, text) in &files {
            for secret in SECRETS {
                assert!(!text.contains(secret), "{secret} is in {file}:\n{text}");
            }
        }
        for part in ["README", "host.txt", "interfaces.txt", "doctor.json"] {
            assert!(files.contains_key(part), "no {part}: {:?}", files.keys());
        }
        assert_eq!(files.contains_key("status.json"), running, "{:?}", files.keys());
        assert_eq!(files.contains_key("effective.toml"), running, "{:?}", files.keys());
        assert_eq!(files["README"].contains("no agent answers"), !running, "{}", files["README"]);
        let again = command(&site, &arguments).output().unwrap();
        assert_eq!(again.status.code(), Some(1), "a file that is there is not overwritten: {}", said(&again));
        if running {
            assert!(files["status.json"].contains("unknown key"), "{}", files["status.json"]);
        }
        if name == "with.tar.gz" {
            // The second round has none.
            succeed(&site, &["detach"]);
        }
    }
    drop(agent);
}
