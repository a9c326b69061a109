//! What a real agent exports, held against its documentation, the alert rules and the dashboard.

use std::{collections::BTreeSet, fs, net::SocketAddr, path::Path, process::Command, time::Duration};

use libtest_mimic::Trial;
use serde_json::Value;
use stopbank_tests::{
    agent::{Settings, Site},
    http, process,
    promql::{self, Asked, Names},
    scratch::Scratch,
    topology::Topology,
};

use crate::{
    clients::without,
    rig::{eventually, flood, trial, trial_if},
};

/// Where agents serve metrics if nothing is configured.
pub(crate) const METRICS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9117);
/// Labels that Prometheus adds.
const ADDED: [&str; 2] = ["job", "instance"];
/// Metrics that Prometheus makes itself.
const OWN: [&str; 2] = ["up", "scrape_duration_seconds"];

pub(crate) const DASHBOARD: &str = include_str!("../../../deploy/grafana/stopbank.json");
pub(crate) const RULES: &str = include_str!("../../../deploy/prometheus/stopbank.rules.yml");
const CASES: [&str; 2] = [
    include_str!("../../../deploy/prometheus/stopbank.test.yml"),
    include_str!("../../../deploy/prometheus/stopbank.hours.test.yml"),
];
const OPERATOR: &str = include_str!("../../../docs/operator.md");

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("every metric is documented with its labels, and every documented one is exported", documented),
        trial("rules and dashboard ask for nothing but what the agent exports", asked_for),
        trial_if(no_promtool, "promtool finds no fault in what the agent exports", linted),
        trial_if(no_promtool, "every alert fires when it should, not otherwise, and has its runbook", rules),
    ]
}

pub(crate) fn no_promtool() -> Option<String> {
    without("promtool", "prometheus")
}

/// What an agent exports that has everything: a gateway with lists, signatures, SYN cookies, and packets to count.
fn everything(topology: &Topology) -> String {
    let files = Scratch::new().unwrap();
    let list = files.file("drop");
    fs::write(&list, "11.0.0.0/24\n2001:db8::/48\n").unwrap();
    let policy = format!(
        "[[list]]\nname = \"drop\"\npath = {list:?}\naction = \"deny\"\n\
         [[signature]]\nname = \"monlist\"\npayload = {{ text = \"monlist\" }}\n\
         [default]\nper_source = {{ packets = \"100/s\", bytes = \"1MB/s\", connections = \"10/s\" }}\n\
         [[class]]\nname = \"web\"\nprotocol = \"tcp\"\nports = [443]\nsyn_cookies = \"always\"\n\
         total = {{ packets = \"1000/s\" }}\n\
         [[class]]\nname = \"ntp\"\nprotocol = \"udp\"\nports = [123]\nsignatures = [\"monlist\"]\n"
    );
    let site = Site::new(&topology.server).unwrap();
    site.configure(&Settings { role: "gateway", policy, ..Settings::default() }).unwrap();
    let _agent = site.start().unwrap();
    flood(topology, Topology::frame("11.0.0.1").udp(1, 443), 1000, 5000, Duration::from_millis(300));
    let scrape = || {
        let (status, text) = http::get(&topology.server, METRICS, "/metrics").unwrap();
        assert_eq!(status, 200, "{text}");
        text
    };
    assert!(eventually(Duration::from_secs(5), || scrape().contains("reason=\"deny-list\",verdict=\"drop\"")));
    scrape()
}

/// What the table of docs/operator.md says.
fn table() -> Names {
    let mut names = Names::new();
    for row in
        OPERATOR.lines().filter(|line| line.starts_with("| `stopbank_") || line.starts_with("| `process_"))
    {
        let quoted =
            |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
        let cells: Vec<&str> = row.split('|').collect();
        for name in quoted(cells[1]) {
            names.insert(name, quoted(cells[2]).into_iter().collect());
        }
    }
    names
}

fn documented(topology: &Topology) {
    let exported = promql::exported(&everything(topology));
    let documented = table();
    assert!(exported.len() > 30, "{exported:?}");
    for (name, labels) in &exported {
        assert_eq!(documented.get(name), Some(labels), "{name}, as docs/operator.md has it");
    }
    for name in documented.keys() {
        assert!(exported.contains_key(name), "{name} is documented, and not exported");
    }
}

/// All queries of the dashboard, and all else in it that has names of labels.
pub(crate) fn dashboard() -> (Vec<String>, Vec<String>) {
    fn walk(value: &Value, queries: &mut Vec<String>, texts: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (key, member) in members {
                    match (key.as_str(), member.as_str()) {
                        ("expr", Some(query)) => queries.push(query.to_owned()),
                        ("legendFormat" | "definition", Some(text)) => texts.push(text.to_owned()),
                        _ => walk(member, queries, texts),
                    }
                }
            }
            Value::Array(members) => members.iter().for_each(|member| walk(member, queries, texts)),
            _ => {}
        }
    }
    let (mut queries, mut texts) = (Vec::new(), Vec::new());
    walk(&serde_json::from_str(DASHBOARD).unwrap(), &mut queries, &mut texts);
    (queries, texts)
}

/// Labels that templates name: `{{ $labels.x }}` in rules, `{{x}}` in legends.
fn templated(texts: &[String]) -> BTreeSet<String> {
    let inner =
        texts.iter().flat_map(|text| text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()));
    inner
        .filter_map(|inner| {
            let inner = inner.trim();
            let label = inner.strip_prefix("$labels.").unwrap_or(inner);
            (!label.starts_with('$')).then(|| label.split_whitespace().next().unwrap_or_default().to_owned())
        })
        .collect()
}

fn asked_for(topology: &Topology) {
    let exported = promql::exported(&everything(topology));
    let (queries, texts) = dashboard();
    let mut asked = Asked::default();
    queries.iter().chain(&promql::values(RULES, "expr")).for_each(|query| asked.add(query));
    for definition in texts.iter().filter_map(|text| text.strip_prefix("label_values(")) {
        let (query, label) = definition.trim_end_matches(')').rsplit_once(',').unwrap();
        asked.add(query);
        asked.labels.insert(label.trim().to_owned());
    }
    assert!(asked.metrics.len() > 30, "{asked:?}");
    let recorded = promql::values(RULES, "record");
    let known = |label: &String| {
        ADDED.contains(&label.as_str()) || exported.values().any(|labels| labels.contains(label))
    };
    for (metric, labels) in &asked.metrics {
        if recorded.contains(metric) || OWN.contains(&metric.as_str()) {
            assert!(labels.iter().all(known), "{metric}{labels:?}");
            continue;
        }
        let has = exported.get(metric).unwrap_or_else(|| panic!("nobody exports {metric}"));
        for label in labels {
            assert!(has.contains(label) || ADDED.contains(&label.as_str()), "{metric} has no label {label}");
        }
    }
    let annotations =
        ["summary", "description"].iter().flat_map(|key| promql::values(RULES, key)).collect::<Vec<_>>();
    for label in asked.labels.iter().chain(&templated(&texts)).chain(&templated(&annotations)) {
        assert!(known(label), "nothing has the label {label}");
    }
}

fn linted(topology: &Topology) {
    let text = everything(topology);
    let mut promtool = topology.server.command("promtool");
    promtool.args(["check", "metrics"]);
    let output = process::output(&mut promtool, &text).unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

fn rules(_: &Topology) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus");
    let cases = ["test", "rules", "stopbank.test.yml", "stopbank.hours.test.yml"];
    for arguments in [&["check", "rules", "stopbank.rules.yml"][..], &cases] {
        let said = process::run(Command::new("promtool").args(arguments).current_dir(&directory)).unwrap();
        assert!(said.contains("SUCCESS"), "{said}");
    }
    let alerts = promql::values(RULES, "alert");
    assert!(alerts.len() > 15, "{alerts:?}");
    let cases: Vec<&str> = CASES.iter().flat_map(|file| file.split("alertname: ").skip(1)).collect();
    let headings: Vec<&str> = OPERATOR.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    for alert in &alerts {
        let of = |fires: bool| {
            cases
                .iter()
                .filter(|case| case.lines().next() == Some(alert))
                .any(|case| case.contains("exp_labels") == fires)
        };
        assert!(of(true) && of(false), "{alert}: a case in which it fires, and one in which it does not");
        assert!(headings.contains(&alert.as_str()), "docs/operator.md has no heading for {alert}");
    }
    for key in ["summary", "description"] {
        assert_eq!(promql::values(RULES, key).len(), alerts.len(), "each alert has a {key}");
    }
    let runbooks: Vec<String> =
        alerts.iter().map(|alert| format!("docs/operator.md#{}", alert.to_lowercase())).collect();
    assert_eq!(promql::values(RULES, "runbook_url"), runbooks);
}
