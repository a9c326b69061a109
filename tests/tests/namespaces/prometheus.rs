//! An attack as an operator learns of it: the agent, Prometheus with the rules of deploy/, Alertmanager, and a webhook.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use libtest_mimic::Trial;
use serde_json::Value;
use stopbank_tests::{
    generator::Flood,
    http,
    netns::Namespace,
    process::Background,
    scratch::Scratch,
    topology::{INTERFACE, Topology},
};

use crate::{
    clients::without,
    metrics::{METRICS, RULES, dashboard},
    rig::{enforcing, eventually, has_program, site, trial_if},
};

const PROMETHEUS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);
const ALERTMANAGER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9093);
/// How long either takes to start, and an alert to arrive.
const PATIENCE: Duration = Duration::from_secs(40);
/// Frames a second; the alert begins at 10,000 dropped ones in the mean of a minute.
const PACE: u64 = 200_000;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial_if(
        no_monitors,
        "an attack that Prometheus sees reaches Alertmanager, and so does a dead agent",
        attack,
    )]
}

fn no_monitors() -> Option<String> {
    without("prometheus", "prometheus")
        .or_else(|| without("prometheus-alertmanager", "prometheus-alertmanager"))
}

/// Alerts as Alertmanager posts them.
struct Webhook {
    port: u16,
    alerts: Receiver<Value>,
}

impl Webhook {
    /// Listens in the namespace until the process ends or nobody wants the alerts any more.
    fn listen(namespace: &Namespace) -> Self {
        let listener = namespace.run(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (send, alerts) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut reader = BufReader::new(stream);
                let mut length = 0;
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                    if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap_or(0);
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                if reader.read_exact(&mut body).is_err() {
                    continue;
                }
                let _gone = reader
                    .get_mut()
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                let Ok(posted) = serde_json::from_slice::<Value>(&body) else { continue };
                for alert in posted["alerts"].as_array().into_iter().flatten() {
                    if send.send(alert.clone()).is_err() {
                        return;
                    }
                }
            }
        });
        Self { port, alerts }
    }

    /// Waits for an alert.
    fn wait_for(&self, name: &str) -> Value {
        loop {
            let alert = self.alerts.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{name} has not come"));
            if alert["labels"]["alertname"] == name {
                return alert;
            }
        }
    }
}

/// Both servers; they end when this is dropped.
struct Monitors {
    _prometheus: Background,
    _alertmanager: Background,
    _files: Scratch,
}

impl Monitors {
    fn start(namespace: &Namespace, webhook: u16) -> Self {
        let files = Scratch::new().unwrap();
        let write = |name: &str, text: &str| fs::write(files.file(name), text).unwrap();
        // The rules as they are, but for how long something must hold.
        let rules = RULES.lines().map(|line| match line.split_once("for: ") {
            Some((indent, _)) if indent.trim().is_empty() => format!("{indent}for: 1s\n"),
            _ => format!("{line}\n"),
        });
        write("rules.yml", &rules.collect::<String>());
        write(
            "prometheus.yml",
            &format!(
                "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
                 rule_files: [rules.yml]\n\
                 alerting: {{alertmanagers: [{{static_configs: [{{targets: [\"{ALERTMANAGER}\"]}}]}}]}}\n\
                 scrape_configs:\n  - job_name: stopbank\n    static_configs: [{{targets: [\"{METRICS}\"]}}]\n"
            ),
        );
        write(
            "alertmanager.yml",
            &format!(
                "route: {{receiver: test, group_by: [\"...\"], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}\n\
                 receivers:\n  - name: test\n    webhook_configs:\n      \
                 - {{url: \"http://127.0.0.1:{webhook}/\", send_resolved: false}}\n"
            ),
        );
        let start = |program: &str, configuration: &str, data: &str, address, more: &[&str]| {
            let mut command = namespace.command(program);
            command.arg(format!("--config.file={}", files.file(configuration).display()));
            command.arg(format!("{data}={}", files.file(program).display()));
            command.arg(format!("--web.listen-address={address}")).args(more).current_dir(files.path());
            let mut process = Background::start(command, &files.file(&format!("{program}.log"))).unwrap();
            let ready = || http::get(namespace, address, "/-/ready").is_ok_and(|(status, _)| status == 200);
            process.wait_until(PATIENCE, ready).unwrap();
            process
        };
        let alertmanager = start(
            "prometheus-alertmanager",
            "alertmanager.yml",
            "--storage.path",
            ALERTMANAGER,
            &["--cluster.listen-address="],
        );
        let prometheus = start("prometheus", "prometheus.yml", "--storage.tsdb.path", PROMETHEUS, &[]);
        Self { _prometheus: prometheus, _alertmanager: alertmanager, _files: files }
    }
}

/// What Prometheus answers to a query: the series with their values.
fn query(namespace: &Namespace, query: &str) -> Vec<(Value, f64)> {
    let path = format!("/api/v1/query?query={}", http::escape(query));
    let (status, body) = http::get(namespace, PROMETHEUS, &path).unwrap();
    assert_eq!(status, 200, "{query}: {body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    let series = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{query}: {body}")).iter();
    series.map(|one| (one["metric"].clone(), one["value"][1].as_str().unwrap().parse().unwrap())).collect()
}

fn attack(topology: &Topology) {
    let server = &topology.server;
    let site = site(
        topology,
        &enforcing(
            "[[class]]\nname = \"udp\"\nprotocol = \"udp\"\nper_source = { packets = \"100/s\" }\n\
             total = { packets = \"1000/s\" }\n",
        ),
    );
    let agent = site.start().unwrap();
    let webhook = Webhook::listen(server);
    let _monitors = Monitors::start(server, webhook.port);
    let up = || query(server, "up{job=\"stopbank\"}").iter().any(|(_, value)| *value == 1.0);
    assert!(eventually(PATIENCE, up), "Prometheus does not take what the agent serves");
    // Some evaluations later nobody has been called.
    thread::sleep(Duration::from_secs(3));
    assert_eq!(webhook.alerts.try_recv().ok(), None, "an alert in peace");

    let frame = Topology::frame("11.0.0.1").udp(1, 443).payload(&[0; 18]);
    let flood = Flood { frame, sources: 0, pace: Some(PACE), at_most: PATIENCE };
    let running = flood.start(&topology.switch, topology.to_server().unwrap()).unwrap();
    let alert = webhook.wait_for("StopbankUnderAttack");
    panels(server);
    running.stop().unwrap();
    assert_eq!(alert["status"], "firing", "{alert}");
    assert_eq!(alert["labels"]["instance"], METRICS.to_string(), "{alert}");
    assert_eq!(alert["labels"]["severity"], "warning", "{alert}");
    assert_eq!(alert["annotations"]["runbook_url"], "docs/operator.md#stopbankunderattack", "{alert}");
    assert!(
        alert["annotations"]["summary"].as_str().unwrap().contains("packets a second are dropped"),
        "{alert}"
    );

    // What Prometheus has is what the kernel has counted, to the packet.
    let counted = || site.counts().unwrap().verdict("drop") as f64;
    let dropped = "sum(stopbank_packets_total{verdict=\"drop\"})";
    let same = || query(server, dropped).iter().any(|(_, value)| *value == counted());
    assert!(eventually(Duration::from_secs(10), same), "{:?} and {}", query(server, dropped), counted());

    agent.kill().unwrap();
    let alert = webhook.wait_for("StopbankDown");
    assert_eq!(alert["labels"]["severity"], "critical", "{alert}");
    assert!(has_program(server, INTERFACE), "the interface is protected all the same");
}

/// Every panel's query is one that Prometheus understands, and most have something to show under attack.
fn panels(server: &Namespace) {
    let (queries, _) = dashboard();
    let filled = queries.iter().filter(|query_of| {
        let text = query_of
            .replace("$__rate_interval", "5s")
            .replace("$job", "stopbank")
            .replace("$instance", ".*")
            .replace("$interface", ".*")
            .replace("$class", ".*");
        assert!(!text.contains('$'), "{text}");
        !query(server, &text).is_empty()
    });
    let filled = filled.count();
    // Signatures, list files, cookies and flows there are none here.
    assert!(filled * 2 > queries.len(), "{filled} of {} panels", queries.len());
}
