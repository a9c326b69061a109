//! `stopbank limit`: limits that an operator changes while the agent runs.

use std::time::Duration;

use libtest_mimic::Trial;
use serde_json::Value;
use stopbank_tests::{agent::Site, topology::Topology};

use crate::rig::{enforcing, flood, said, site, succeed, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "limits that are set hold at once, until they are reset, and a reload ends them",
            set_and_reset,
        ),
        trial("limits too low for the session that they come from need --force", operator),
    ]
}

const POLICY: &str = "[default]\n\
[[class]]\nname = \"game\"\nprotocol = \"udp\"\nports = [7]\nper_source = { packets = \"1000/s\" }\n\
[[class.per_prefix]]\nipv4 = 24\npackets = \"5000/s\"\n\
[[class]]\nname = \"ssh\"\nprotocol = \"tcp\"\nports = [22, 2222]\nper_source = { packets = \"1000/s\" }\n";

/// Packets of half a second's flood that came through, in parts of a hundred.
fn share(topology: &Topology, site: &Site<'_>) -> u64 {
    let before = site.counts().unwrap();
    let frame = Topology::frame("11.0.0.1").udp(1000, 7);
    let offered = flood(topology, frame, 1, 400, Duration::from_millis(1_000));
    let counts = site.counts().unwrap().since(&before);
    counts.reason("passed") * 100 / offered.max(1)
}

fn class(report: &Value, name: &str) -> Value {
    let classes = report["classes"].as_array().unwrap();
    classes.iter().find(|class| class["name"] == name).unwrap().clone()
}

fn set_and_reset(topology: &Topology) {
    let site = site(topology, &enforcing(POLICY));
    let _agent = site.start().unwrap();
    let before = site.ask(&["limit", "ls"]).unwrap();
    let game = class(&before, "game");
    assert_eq!(
        (&game["limits"][0]["rate"], &game["limits"][1]["scope"]),
        (&"1000/s".into(), &"per_prefix".into())
    );
    assert_eq!((&game["limits"][1]["ipv4_prefix"], &game["configured"]), (&24.into(), &Value::Null));
    assert!(share(topology, &site) > 90);

    succeed(&site, &["limit", "set", "game", "per_source.packets=20/s", "burst=20"]);
    assert!(share(topology, &site) < 30, "the new limit holds");
    let now = class(&site.ask(&["limit", "ls"]).unwrap(), "game");
    assert_eq!(
        (&now["limits"][0]["rate"], &now["configured"][0]["rate"]),
        (&"20/s".into(), &"1000/s".into())
    );
    let shown = succeed(&site, &["limit", "ls"]);
    assert!(shown.contains("1000/s, burst 1000") && shown.contains("each /24 (IPv6: -)"), "{shown}");
    let effective = succeed(&site, &["config", "show", "--effective"]);
    assert!(effective.contains("rate = \"20/s\""), "{effective}");
    let explained =
        site.ask(&["explain", "12.0.0.1", "--port", "7", "--protocol", "udp"]).unwrap().to_string();
    assert!(explained.contains("20 of 20 packets left at once, 20/s"), "{explained}");
    // The mode stays, and both stay when the other changes.
    succeed(&site, &["mode", "set", "observe"]);
    succeed(&site, &["limit", "set", "game", "total.packets=none"]);
    assert_eq!(site.ask(&["mode", "get"]).unwrap()["mode"], "observe");
    succeed(&site, &["mode", "set", "enforce"]);
    assert!(share(topology, &site) < 30, "still");

    // What is wrong changes nothing and points at itself.
    let wrong = site.cli(&["limit", "set", "game", "per_source.packets=20"]).unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{}", said(&wrong));
    assert!(
        said(&wrong).contains("limit set game:1:22") && said(&wrong).contains("^^^^"),
        "{}",
        said(&wrong)
    );
    let nobody = site.cli(&["limit", "set", "gmae", "per_source.packets=20/s"]).unwrap();
    assert_eq!(nobody.status.code(), Some(3), "{}", said(&nobody));
    assert!(said(&nobody).contains("there are: default, game, ssh"), "{}", said(&nobody));
    assert_eq!(class(&site.ask(&["limit", "ls"]).unwrap(), "game"), now);

    succeed(&site, &["limit", "reset", "game"]);
    assert_eq!(site.ask(&["limit", "ls"]).unwrap(), before);
    assert!(share(topology, &site) > 90, "the configuration's again");
    succeed(&site, &["limit", "set", "game", "per_source.packets=20/s"]);
    succeed(&site, &["limit", "set", "default", "per_source.packets=20/s"]);
    succeed(&site, &["limit", "reset"]);
    assert_eq!(site.ask(&["limit", "ls"]).unwrap(), before);
    succeed(&site, &["limit", "set", "game", "per_source.packets=20/s"]);
    succeed(&site, &["reload"]);
    assert_eq!(site.ask(&["limit", "ls"]).unwrap(), before, "a reload ends them");
    assert!(share(topology, &site) > 90);
}

fn operator(topology: &Topology) {
    let site = site(topology, &enforcing(POLICY));
    let _agent = site.start().unwrap();
    let limits = || site.ask(&["limit", "ls"]).unwrap();
    let before = limits();
    let refused = site.cli(&["limit", "set", "ssh", "per_source.packets=1/s"]).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(
        said(&refused).contains("lock yourself out") && said(&refused).contains("--force"),
        "{}",
        said(&refused)
    );
    assert_eq!(limits(), before);
    // Other classes, and limits that one can live with, need nothing.
    succeed(&site, &["limit", "set", "game", "per_source.packets=1/s"]);
    succeed(&site, &["limit", "set", "ssh", "per_source.packets=100/s"]);
    succeed(&site, &["limit", "set", "ssh", "per_source.packets=1/s", "--force"]);
}
