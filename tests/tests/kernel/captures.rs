//! Captures through `stopbank simulate`'s engine: what it reports is what the arithmetic promises.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use libtest_mimic::Trial;
use serde_json::{Value, json};
use stopbank::{
    capture::Capture,
    config::{self, Period, Rate},
    simulate::{Pace, Report, Settings, Simulation, explain::Explained},
};
use stopbank_tests::{
    frames::{FrameBuilder, other},
    pcap::Pcap,
};

const MS: u64 = 1_000_000;
/// Judges by limits alone: no rule asks for a socket.
const ANY: &str = "role = \"any\"\n";
const DNS: &str = r#"
    [default]
    per_source = {}
    [[class]]
    name = "dns"
    protocol = "udp"
    ports = [53]
    per_source = { packets = { rate = "100/s", burst = 50 } }
"#;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("a capture of a spike: exactly what GCRA drops at the capture's own rate", spike),
        crate::trial("the same capture at other rates drops nothing, or nearly all", rates),
        crate::trial("a capture is judged by the file's mode and lists", lists),
        crate::trial("a capture of short, cut and giant packets is judged by their true lengths", lengths),
        crate::trial("a capture without Ethernet headers is judged, without what the host sent", cooked),
        crate::trial("a capture's report is the documented object", report),
        crate::trial("a capture's packets are explained", explained),
        crate::trial("a simulation leaves nothing behind", nothing_left),
        crate::trial("a capture on the command line: tables, JSON, lines, and errors", command_line),
    ]
}

/// Runs `stopbank simulate` with a capture on standard input: its exit code, output and errors.
fn command(pcap: &[u8], arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut child = Command::new(stopbank_tests::agent::binary().unwrap())
        .args(["simulate", "--pcap", "-"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(pcap));
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    })
}

fn command_line() {
    let pcap = spike_capture();
    let config = std::env::temp_dir().join(format!("stopbank-simulate-{}.toml", std::process::id()));
    std::fs::write(&config, format!("{ANY}{DNS}")).unwrap();
    let file = config.to_str().unwrap();
    let good = |arguments: &[&str]| {
        let (code, out, errors) = command(pcap.bytes(), arguments);
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{arguments:?}");
        out
    };
    let lines =
        |text: &str| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>();

    let table = good(&["-c", file]);
    assert!(table.contains("dropped      2651  84.16 %"), "{table}");
    assert!(table.contains("source-packets  drop        2651  84.16 %"), "{table}");
    let whole: Value = serde_json::from_str(&good(&["-c", file, "-o", "json"])).unwrap();
    assert_eq!(
        (&whole["packets"], &whole["reasons"]),
        (&json!(3150), &json!({ "passed": 499, "source-packets": 2651 }))
    );
    assert_eq!(lines(&good(&["-c", file, "-o", "jsonl"])), std::slice::from_ref(&whole));
    let even: Value = serde_json::from_str(&good(&["-c", file, "-o", "json", "--rate", "100/s"])).unwrap();
    assert_eq!((&even["passed"], &even["rate"]), (&json!(3150), &json!("100/s")));

    let told = lines(&good(&["-c", file, "-o", "jsonl", "--explain", "--only", "dropped"]));
    assert_eq!(told.len(), 2651);
    assert!(told.iter().all(|packet| packet["verdict"] == "drop" && packet["source"] == "192.0.2.1"));
    let told: Value =
        serde_json::from_str(&good(&["-c", file, "-o", "json", "--explain", "--limit", "3"])).unwrap();
    assert_eq!(told["explain"].as_array().map(Vec::len), Some(3));
    assert_eq!(told["packets"], whole["packets"]);
    let none: Value =
        serde_json::from_str(&good(&["-o", "json", "--explain", "--only", "observed"])).unwrap();
    assert_eq!((&none["explain"], &none["config"]), (&json!([]), &json!("built in")));
    let shown = good(&["-c", file, "--explain", "--limit", "2"]);
    assert!(
        shown.starts_with("  PACKET") && shown.lines().nth(2).unwrap().trim().starts_with('2'),
        "{shown}"
    );
    assert!(shown.contains("dropped      2651"), "the summary is of all: {shown}");

    let (code, out, errors) = command(&pcap.bytes()[..500], &["-o", "json"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert!(out.contains("ends in the middle of a record"), "{out}");
    let mut corrupt = pcap.bytes()[..500].to_vec();
    corrupt[24 + 2 * 88 + 11] = 0x7f;
    let (code, out, errors) = command(&corrupt, &[]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(errors.contains("standard input: the capture is corrupt at byte 200"), "{errors}");
    std::fs::remove_file(config).unwrap();
}

fn settings(text: &str, pace: Pace) -> Settings {
    let config = config::parse("test", &format!("{ANY}{text}")).unwrap_or_else(|error| panic!("{error}"));
    Settings { config, pace, assume_sockets: false }
}

fn simulate(text: &str, pace: Pace, pcap: &[u8]) -> Report {
    let mut capture = Capture::open(pcap).unwrap();
    Simulation::new(&settings(text, pace)).unwrap().run(&mut capture, |_| Ok(())).unwrap()
}

fn per_second(count: u64) -> Pace {
    Pace::Even(Rate { count, period: Period::Second })
}

fn query(source: &str) -> Vec<u8> {
    FrameBuilder::new(source, "198.51.100.1").udp(40_000, 53).payload(&[0; 30]).build().bytes
}

/// One source a thousand times a second for three seconds, another fifty times.
fn spike_capture() -> Pcap {
    let mut pcap = Pcap::default();
    for ms in 0..3_000 {
        pcap.packet(ms * MS, &query("192.0.2.1"));
        if ms % 20 == 0 {
            pcap.packet(ms * MS + 1, &query("192.0.2.2"));
        }
    }
    pcap
}

/// What GCRA admits of packets at these times, written down anew (ITU-T I.371, annex A).
fn admitted(times: impl Iterator<Item = u64>, per_second: u64, burst: u64) -> u64 {
    let increment = 1_000_000_000 / per_second;
    let (mut arrival, mut admitted) = (0_u64, 0);
    for now in times.map(|time| time + 3_600_000_000_000) {
        if arrival <= now + (burst - 1) * increment {
            arrival = arrival.max(now) + increment;
            admitted += 1;
        }
    }
    admitted
}

fn spike() {
    let report = simulate(DNS, Pace::Original, spike_capture().bytes());
    let passed = admitted((0..3_000).map(|ms| ms * MS), 100, 50);
    // The first fifty, then one for each hundredth of a second.
    assert_eq!(passed, 50 + 299);
    assert_eq!((report.packets, report.passed, report.dropped), (3_150, passed + 150, 3_000 - passed));
    assert_eq!(report.reasons["source-packets"], 3_000 - passed);
    assert_eq!(report.duration_seconds, 2.999);
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
}

fn rates() {
    let pcap = spike_capture();
    let report = simulate(DNS, per_second(100), pcap.bytes());
    assert_eq!((report.packets, report.dropped), (3_150, 0));
    assert_eq!(report.duration_seconds, 31.49);
    // All within 3.15 ms: each source its burst.
    let report = simulate(DNS, per_second(1_000_000), pcap.bytes());
    assert_eq!((report.packets, report.passed), (3_150, 100));
}

fn lists() {
    let lists = "lists = { allow = [\"192.0.2.1\"], deny = [\"192.0.2.0/24\"] }\n";
    let report = simulate(&format!("{lists}{DNS}"), Pace::Original, spike_capture().bytes());
    assert_eq!((report.reasons["allow-list"], report.reasons["deny-list"]), (3_000, 150));
    assert_eq!((report.passed, report.dropped, report.observed), (3_000, 150, 0));
    let report =
        simulate(&format!("mode = \"observe\"\n{lists}{DNS}"), Pace::Original, spike_capture().bytes());
    assert_eq!((report.passed, report.dropped, report.observed), (3_000, 0, 150));
    assert_eq!(report.reasons["deny-list"], 150);
}

fn lengths() {
    let frame =
        FrameBuilder::new("192.0.2.1", "198.51.100.1").tcp(40_000, 80).payload(&[7; 1_400]).build().bytes;
    let giant =
        FrameBuilder::new("192.0.2.1", "198.51.100.1").tcp(40_000, 80).payload(&[7; 65_000]).build().bytes;
    let mut pcap = Pcap::default();
    pcap.packet(0, &frame).part(1, &frame[..96], frame.len()).part(2, &frame[..20], frame.len());
    pcap.packet(3, &giant).part(4, &giant[..128], giant.len());
    // What the kernel would not run, and what nobody can have sent.
    pcap.packet(5, &frame[..13]).part(6, &giant, 1 << 30);
    let report = simulate("", Pace::Original, pcap.bytes());
    assert_eq!((report.packets, report.padded, report.shortened), (7, 4, 1));
    assert_eq!(report.reasons["malformed-ethernet"], 1);
    assert_eq!(report.reasons["passed"], 5, "{:?}", report.reasons);
    assert_eq!(report.bytes, (3 * frame.len() + 2 * giant.len() + 13 + (1 << 30)) as u64);
    let warnings = report.warnings.join("\n");
    for warning in ["4 packets not captured whole", "1 packet captured so short", "1 packet longer than"] {
        assert!(warnings.contains(warning), "{warnings}");
    }
    let observe = simulate("mode = \"observe\"", Pace::Original, pcap.bytes());
    assert_eq!((observe.dropped, observe.passed + observe.observed), (0, 7));
}

fn cooked() {
    let query = query("192.0.2.1");
    let cooked = |kind: u8| {
        let header = [&[0, kind, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0][..], &query[12..]];
        header.concat()
    };
    let mut pcap = Pcap::of_link(113);
    pcap.packet(0, &cooked(0)).packet(1, &cooked(4)).packet(2, &cooked(0)[..9]);
    let report = simulate(DNS, Pace::Original, pcap.bytes());
    assert_eq!((report.packets, report.outgoing), (2, 1));
    assert_eq!((report.classes["dns"].packets, report.reasons["malformed-ethernet"]), (1, 1));
    assert_eq!(report.classes["dns"].bytes, query.len() as u64);
    let mut raw = Pcap::of_link(101);
    raw.packet(0, &query[14..]);
    assert_eq!(simulate(DNS, Pace::Original, raw.bytes()).classes["dns"].passed, 1);
}

fn report() {
    let mut pcap = Pcap::default();
    pcap.packet(10 * MS, &query("192.0.2.1"))
        .packet(0, &query("192.0.2.1"))
        .packet(20 * MS, &other(0x88cc, &[0; 60]));
    let report = simulate(DNS, Pace::Original, &pcap.bytes()[..pcap.bytes().len() - 1]);
    let value = serde_json::to_value(&report).unwrap();
    for (key, expected) in [
        ("packets", json!(2)),
        ("passed", json!(2)),
        ("dropped", json!(0)),
        ("observed", json!(0)),
        ("reasons", json!({ "passed": 2 })),
        ("mode", json!("enforce")),
        (
            "classes",
            json!({ "dns": { "packets": 2, "bytes": 144, "passed": 2, "dropped": 0, "observed": 0, "replied": 0 } }),
        ),
    ] {
        assert_eq!(value[key], expected, "{key}");
    }
    let warnings = value["warnings"].as_array().unwrap().iter().filter_map(Value::as_str).collect::<String>();
    let last = 24 + 2 * (16 + 72);
    assert!(warnings.contains(&format!("begins at byte {last}")), "{warnings}");
    assert!(warnings.contains("1 packet older than the one before"), "{warnings}");

    let mut pcap = Pcap::of_link(147);
    let mut capture = Capture::open(pcap.packet(0, &[0; 60]).bytes()).unwrap();
    let simulation = Simulation::new(&settings("", Pace::Original)).unwrap();
    let error = simulation.run(&mut capture, |_| Ok(())).unwrap_err();
    assert!(error.message.contains("147"), "{error}");
}

fn explained() {
    let frames = [
        query("192.0.2.1"),
        FrameBuilder::new("2001:db8::1", "2001:db8::2").tcp(40_000, 443).build().bytes,
        FrameBuilder::new("192.0.2.9", "198.51.100.1").echo_request().build().bytes,
        FrameBuilder::new("192.0.2.9", "198.51.100.1").udp(1, 53).build().truncated(38).bytes,
        other(0x88cc, &[0; 60]).bytes,
    ];
    let mut pcap = Pcap::default();
    for (second, frame) in (0..).zip(&frames) {
        pcap.packet(second * 1_000 * MS, frame);
    }
    let mut capture = Capture::open(pcap.bytes()).unwrap();
    let (mut lines, mut objects) = (Vec::new(), Vec::new());
    let simulation = Simulation::new(&settings(DNS, Pace::Original)).unwrap();
    simulation
        .run(&mut capture, |judged| {
            let explained = Explained::of(judged);
            lines.push(explained.line().split_whitespace().collect::<Vec<_>>().join(" "));
            objects.push(serde_json::to_value(&explained).unwrap());
            Ok(())
        })
        .unwrap();
    assert_eq!(
        lines,
        [
            "1 0.000000 192.0.2.1:40000 198.51.100.1:53 udp 72 dns pass passed",
            "2 1.000000 [2001:db8::1]:40000 [2001:db8::2]:443 tcp S 74 default pass passed",
            "3 2.000000 192.0.2.9 198.51.100.1 icmp 8/0 42 default pass passed",
            "4 3.000000 192.0.2.9 198.51.100.1 udp 38 none drop malformed-ipv4",
            "5 4.000000 - - 0x88cc 74 none pass not-ip",
        ]
    );
    assert_eq!(objects[0]["time"], json!("2023-11-14T22:13:20.000000000Z"));
    assert_eq!((&objects[0]["source_port"], &objects[3]["source_port"]), (&json!(40_000), &Value::Null));
}

/// Everything pinned in the BPF file system, but for what other tests have there at the same time.
fn all_pins() -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![std::path::PathBuf::from("/sys/fs/bpf")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with("stopbank-test-") {
                continue;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                directories.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

fn nothing_left() {
    let before = all_pins();
    let report = simulate("interface = [{ name = \"no-such-0\" }]", Pace::Original, spike_capture().bytes());
    assert_eq!(report.packets, 3_150);
    assert_eq!(all_pins(), before);
}
