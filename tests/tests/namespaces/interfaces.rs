//! Interfaces that come and go, are called something else, or belong to somebody else, and what is said of them.

use std::time::Duration;

use aya::{
    Ebpf,
    programs::{Xdp, XdpMode},
};
use libtest_mimic::Trial;
use serde_json::Value;
use stopbank_tests::{
    agent::Site,
    netns::Namespace,
    process,
    topology::{INTERFACE, Topology},
};

use crate::rig::{eventually, has_program, said, succeed, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("what a pattern matches is protected as soon as it appears, until it is detached", pattern),
        trial("what a default route goes through is protected", default_route),
        trial("a renamed interface stays protected, with an agent and without", renamed),
        trial("an interface that has gone refuses no reload, and is protected again", gone_and_reloaded),
        trial("another's program on one that appears is named, flagged, and waited for", foreign_program),
        trial("more interfaces than are counted apart are protected all the same", many),
        trial("interfaces on top of others are told apart, with what to protect instead", on_top_of_others),
        trial("interfaces are attached and detached by command until the next reload", by_command),
    ]
}

const SOON: Duration = Duration::from_secs(8);

/// A site whose configuration has these `[[interface]]` blocks: `name` and other keys of each.
pub(crate) fn site<'n>(namespace: &'n Namespace, blocks: &[&str], policy: &str) -> Site<'n> {
    let site = Site::new(namespace).unwrap();
    configure(&site, blocks, policy);
    site
}

fn configure(site: &Site<'_>, blocks: &[&str], policy: &str) {
    let blocks: String = blocks.iter().map(|block| format!("[[interface]]\n{block}\n")).collect();
    let text = format!(
        "mode = \"enforce\"\nrole = \"any\"\n[agent]\npin_dir = {:?}\nstate_dir = {:?}\nsocket = {:?}\n{blocks}{policy}\n",
        site.pins(),
        site.state(),
        site.socket()
    );
    site.write_configuration(&text).unwrap();
}

/// An interface as `iface ls` has it; null if it has not.
fn shown(site: &Site<'_>, name: &str) -> Value {
    let report = site.ask(&["iface", "ls", "--all"]).unwrap();
    let interfaces = report["interfaces"].as_array().unwrap();
    interfaces.iter().find(|interface| interface["name"] == name).cloned().unwrap_or(Value::Null)
}

fn becomes(site: &Site<'_>, name: &str, state: &str) -> bool {
    let holds = eventually(SOON, || shown(site, name)["state"] == state);
    if !holds {
        println!("{name} is not {state}: {}", shown(site, name));
    }
    holds
}

/// What is served over HTTP beside the control socket, with its status.
fn fetch(namespace: &Namespace, path: &str) -> String {
    let url = format!("http://127.0.0.1:9117{path}");
    process::run(namespace.command("curl").args(["-s", "-w", "\n%{http_code}", &url])).unwrap()
}

fn attached_metric(namespace: &Namespace, name: &str) -> Option<String> {
    let text = fetch(namespace, "/metrics");
    let line = |line: &&str| line.starts_with(&format!("stopbank_interface_attached{{interface=\"{name}\""));
    text.lines().find(line).map(str::to_owned)
}

fn foreign() -> Ebpf {
    static TRAFFIC: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/traffic-xdp"));
    let mut object = Ebpf::load(TRAFFIC).unwrap();
    let program: &mut Xdp = object.program_mut("flood").unwrap().try_into().unwrap();
    program.load().unwrap();
    object
}

fn pattern(topology: &Topology) {
    let server = &topology.server;
    server.ip(&["link add shield0 type veth peer name far0", "link set shield0 up"]).unwrap();
    let site = site(server, &["name = \"shield*\"", "name = \"nothing*\""], "");
    let agent = site.start().unwrap();
    assert_eq!(shown(&site, "shield0")["state"], "attached");
    assert_eq!(shown(&site, "shield0")["selected_by"], "shield*");
    assert_eq!(shown(&site, "shield0")["kind"], "veth");
    for other in ["far0", INTERFACE, "lo"] {
        assert!(shown(&site, other)["state"] == "unprotected" && !has_program(server, other), "{other}");
    }
    assert_eq!(site.ask(&["iface", "ls"]).unwrap()["unmatched"][0], "nothing*");

    server
        .ip(&["link add shield1 type veth peer name far1", "link add other1 type veth peer name far2"])
        .unwrap();
    assert!(becomes(&site, "shield1", "attached") && has_program(server, "shield1"));
    assert_eq!(shown(&site, "shield1")["counted_as"], "shield1");
    assert!(!has_program(server, "other1"));

    server.ip(&["link del shield1"]).unwrap();
    assert!(becomes(&site, "shield1", "absent"));
    assert!(attached_metric(server, "shield1").unwrap().ends_with("} 0"));
    assert!(fetch(server, "/healthz").ends_with("200"), "what a pattern matched need not be there");
    server.ip(&["link add shield1 type veth peer name far1"]).unwrap();
    assert!(becomes(&site, "shield1", "attached"));
    assert!(attached_metric(server, "shield1").unwrap().ends_with("} 1"));

    // Detached, it stays so, though it goes and comes; a reload brings it back.
    succeed(&site, &["detach", "shield1"]);
    assert!(shown(&site, "shield1")["state"] == "detached" && !has_program(server, "shield1"));
    server
        .ip(&["link del shield1", "link add shield1 type veth peer name far1", "link set shield1 up"])
        .unwrap();
    server.ip(&["link add shield2 type veth peer name far3"]).unwrap();
    assert!(becomes(&site, "shield2", "attached"));
    assert!(!has_program(server, "shield1"), "detached by hand");
    succeed(&site, &["reload"]);
    assert!(has_program(server, "shield1"));

    // A start finds what has changed meanwhile.
    agent.kill().unwrap();
    server.ip(&["link del shield2", "link add shield3 type veth peer name far4"]).unwrap();
    let _agent = site.start().unwrap();
    assert_eq!(shown(&site, "shield3")["state"], "attached");
    assert_eq!(shown(&site, "shield2"), Value::Null);
    site.detach().unwrap();
    assert!(!site.pinned() && !has_program(server, "shield3"));
}

fn default_route(topology: &Topology) {
    let server = &topology.server;
    server
        .ip(&[
            "link add out0 type veth peer name far0",
            "link set out0 up",
            "link set far0 up",
            "addr add 192.0.2.1/24 dev out0",
        ])
        .unwrap();
    let site = site(server, &["name = \"default-route\""], "");
    let _agent = site.start().unwrap();
    assert_eq!(shown(&site, INTERFACE)["state"], "attached");
    assert_eq!(shown(&site, INTERFACE)["selected_by"], "default-route");
    assert!(!has_program(server, "out0"));
    server.ip(&["route add 198.51.100.0/24 via 192.0.2.2"]).unwrap();
    server.ip(&["route add default via 192.0.2.2 metric 50"]).unwrap();
    assert!(becomes(&site, "out0", "attached"));
    // The route has gone, and protection has not.
    server.ip(&["route del default via 192.0.2.2 metric 50"]).unwrap();
    succeed(&site, &["reload"]);
    assert!(has_program(server, "out0"));
    assert_eq!(shown(&site, "out0")["selected_by"], Value::Null);
}

fn renamed(topology: &Topology) {
    let server = &topology.server;
    server.ip(&["link add in0 type veth peer name far0", "link add in1 type veth peer name far1"]).unwrap();
    let site = site(server, &["name = \"in0\"", "name = \"in1\""], "");
    let agent = site.start().unwrap();
    let index = shown(&site, "in0")["index"].clone();
    server.ip(&["link set in0 name moved0"]).unwrap();
    assert!(becomes(&site, "moved0", "attached") && has_program(server, "moved0"));
    assert_eq!(shown(&site, "moved0")["index"], index);
    assert_eq!(shown(&site, "in0")["state"], "absent");
    assert!(fetch(server, "/healthz").contains("in0 is not there"));
    // A new one of the old name is another one, and takes nothing from it.
    server.ip(&["link add in0 type veth peer name far2"]).unwrap();
    assert!(becomes(&site, "in0", "attached") && has_program(server, "moved0"));
    succeed(&site, &["detach", "moved0"]);
    assert!(!has_program(server, "moved0") && has_program(server, "in0"));

    // In another namespace it goes on to be protected, by the same link.
    server.ip(&["link add in2 type veth peer name far3"]).unwrap();
    succeed(&site, &["iface", "attach", "in2"]);
    server.ip(&[&format!("link set in2 netns {}", topology.client.path())]).unwrap();
    assert!(becomes(&site, "in2", "absent") && has_program(&topology.client, "in2"));
    succeed(&site, &["iface", "detach", "in2"]);
    assert!(!has_program(&topology.client, "in2"));

    // Two that exchange their names while no agent runs.
    agent.kill().unwrap();
    server
        .ip(&[
            "link set in0 name between0",
            "link set in1 name in0",
            "link set between0 name in1",
            "link set in1 mtu 1400",
        ])
        .unwrap();
    let _agent = site.start().unwrap();
    let status = site.ask(&["status"]).unwrap();
    for i in 0..2 {
        let interface = &status["interfaces"][i];
        assert!(interface["taken_over"] == true && interface["state"] == "attached", "{status}");
    }
    succeed(&site, &["detach", "in1"]);
    assert!(
        !has_program(server, "in1") && has_program(server, "in0"),
        "each link has the name of its interface"
    );
}

fn gone_and_reloaded(topology: &Topology) {
    let server = &topology.server;
    server.ip(&["link add in0 type veth peer name far0"]).unwrap();
    let blocks = ["name = \"in0\"", "name = \"later0\"\nrequired = false"];
    let site = site(server, &blocks, "");
    let _agent = site.start().unwrap();
    assert_eq!(shown(&site, "later0")["state"], "absent");
    assert!(fetch(server, "/healthz").ends_with("200"));
    server.ip(&["link del in0"]).unwrap();
    assert!(becomes(&site, "in0", "absent"));
    assert!(fetch(server, "/healthz").ends_with("503"));
    let status = site.cli(&["status"]).unwrap();
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains("NOT PROTECTED") && status.contains("in0 (absent)"), "{status}");
    configure(&site, &blocks, "[lists]\ndeny = [\"198.51.100.0/24\"]\n");
    succeed(&site, &["reload"]);
    assert_eq!(site.ask(&["status"]).unwrap()["lists"]["deny"], 1);
    // One that was never there is a slip.
    configure(&site, &["name = \"in0\"", "name = \"slip0\""], "");
    let refused = site.cli(&["reload"]).unwrap();
    assert!(!refused.status.success() && said(&refused).contains("slip0"), "{}", said(&refused));

    server
        .ip(&["link add in0 type veth peer name far0", "link add later0 type veth peer name far1"])
        .unwrap();
    assert!(becomes(&site, "in0", "attached") && becomes(&site, "later0", "attached"));
    assert!(fetch(server, "/healthz").ends_with("200"));
}

fn foreign_program(topology: &Topology) {
    let server = &topology.server;
    let site = site(server, &["name = \"eth*\""], "");
    let agent = site.start().unwrap();
    let mut object = foreign();
    let theirs: &mut Xdp = object.program_mut("flood").unwrap().try_into().unwrap();
    let id = theirs.info().unwrap().id();
    // Over ours nobody attaches, in whatever way.
    for mode in [XdpMode::Driver, XdpMode::Skb] {
        assert!(server.run(|| theirs.attach(INTERFACE, mode)).unwrap().is_err(), "{mode:?}");
    }

    // Theirs first, and then the name that we look for.
    server.ip(&["link add late0 type veth peer name far0"]).unwrap();
    let link = server.run(|| theirs.attach("late0", XdpMode::Driver)).unwrap().unwrap();
    server.ip(&["link set late0 name eth7"]).unwrap();
    assert!(becomes(&site, "eth7", "failed"));
    let failed = shown(&site, "eth7");
    let why = failed["error"].as_str().unwrap();
    assert!(
        why.contains(&format!("id {id}, \"flood\", native")) && why.contains("does not replace"),
        "{why}"
    );
    assert!(failed["program"]["id"] == id && failed["program"]["ours"] == false, "{failed}");
    assert!(attached_metric(server, "eth7").unwrap().ends_with("} 0"));
    let health = fetch(server, "/healthz");
    assert!(health.contains("eth7 is not protected") && health.ends_with("503"), "{health}");
    assert!(agent.log().contains("eth7 is not protected"), "{}", agent.log());
    let ls = succeed(&site, &["iface", "ls"]);
    assert!(ls.contains("failed") && ls.contains(&format!("another's program {id} \"flood\"")), "{ls}");

    server.run(|| theirs.detach(link)).unwrap().unwrap();
    assert!(becomes(&site, "eth7", "attached"), "tried again by itself");
    assert!(fetch(server, "/healthz").ends_with("200"));
    assert_eq!(agent.stop().unwrap(), 0);
}

fn many(topology: &Topology) {
    let server = &topology.server;
    let site = site(server, &["name = \"shield*\""], "");
    let agent = site.start().unwrap();
    assert!(fetch(server, "/healthz").contains("no interface is protected"));
    let add: Vec<String> =
        (0..10).map(|i| format!("link add shield{i} type veth peer name far{i}")).collect();
    server.ip(&add.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    for i in 0..10 {
        let name = format!("shield{i}");
        assert!(becomes(&site, &name, "attached") && has_program(server, &name), "{name}");
    }
    let report = site.ask(&["iface", "ls"]).unwrap();
    let other = |interface: &&Value| interface["counted_as"] == "other";
    assert_eq!(report["interfaces"].as_array().unwrap().iter().filter(other).count(), 3, "{report}");
    assert!(agent.log().contains("more than 7 interfaces are"), "{}", agent.log());
    // What is counted together is counted once.
    let traffic = &site.ask(&["status"]).unwrap()["traffic"]["passed"]["packets"];
    assert_eq!(*traffic, site.counts().unwrap().verdict("pass"));
}

fn on_top_of_others(topology: &Topology) {
    let server = &topology.server;
    server
        .ip(&[
            "link add br0 type bridge",
            "link add port0 type veth peer name far0",
            "link add port1 type veth peer name far1",
            "link set port0 master br0",
            "link set port1 master br0",
            "link add mac0 link far0 type macvlan",
            "tuntap add dev tun0 mode tun",
        ])
        .unwrap();
    for (name, attach, part) in [
        ("br0", "native", "br0 is a bridge over port0, port1: protect these"),
        ("mac0", "native", "mac0 is a macvlan device of"),
        ("tun0", "generic", "carries no Ethernet frames"),
    ] {
        let site = site(server, &[&format!("name = \"{name}\"\nattach = \"{attach}\"")], "");
        let output = process::output(&mut site.run_command().unwrap(), "").unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(part), "{}", said(&output));
        assert!(!site.pinned() && !has_program(server, name));
        let doctor = site.cli(&["doctor", "--config", &site.configuration().display().to_string()]).unwrap();
        let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert!(doctor.contains(part) || doctor.contains("no Ethernet header"), "{doctor}");
    }
    // By a pattern, what can be protected is.
    let site = site(server, &["name = \"br*\"", "name = \"port?\""], "");
    let agent = site.start().unwrap();
    assert_eq!(shown(&site, "port0")["state"], "attached");
    assert_eq!(shown(&site, "br0")["state"], "failed");
    assert!(agent.log().contains("br0 is not protected"), "{}", agent.log());
    assert_eq!(shown(&site, "br0")["members"], serde_json::json!(["port0", "port1"]));
    assert_eq!(shown(&site, "port0")["part_of"], "br0");
}

fn by_command(topology: &Topology) {
    let server = &topology.server;
    server.ip(&["link add hand0 type veth peer name far0", "link add br0 type bridge"]).unwrap();
    let site = site(server, &[&format!("name = \"{INTERFACE}\"")], "");
    let agent = site.start().unwrap();
    succeed(&site, &["iface", "attach", "hand0"]);
    assert!(has_program(server, "hand0") && shown(&site, "hand0")["selected_by"] == "hand0");
    // Followed, until the next reload.
    server.ip(&["link del hand0", "link add hand0 type veth peer name far0"]).unwrap();
    assert!(becomes(&site, "hand0", "attached"));

    let refused = site.cli(&["iface", "attach", "br0"]).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("a bridge without ports"), "{}", said(&refused));
    assert!(!has_program(server, "br0"));
    succeed(&site, &["iface", "attach", "br0", "--generic"]);
    assert_eq!(shown(&site, "br0")["attach"], "generic");
    let status = succeed(&site, &["status"]);
    assert!(status.contains("br0 (generic"), "{status}");
    assert!(agent.log().contains("br0 is protected in generic mode"), "{}", agent.log());
    let metric = attached_metric(server, "br0").unwrap();
    assert!(metric.contains("mode=\"generic\"} 1"), "{metric}");
    let missing = site.cli(&["iface", "attach", "nosuch0"]).unwrap();
    assert_eq!(missing.status.code(), Some(3), "{}", said(&missing));

    succeed(&site, &["iface", "detach", INTERFACE, "br0"]);
    assert!(!has_program(server, INTERFACE) && !has_program(server, "br0"));
    let again = site.cli(&["iface", "detach", INTERFACE]).unwrap();
    assert_eq!(again.status.code(), Some(3), "{}", said(&again));
    succeed(&site, &["reload"]);
    assert!(has_program(server, INTERFACE) && !has_program(server, "br0"));
    assert!(has_program(server, "hand0"), "what is protected stays so");
    assert_eq!(shown(&site, "hand0")["selected_by"], Value::Null);
}
