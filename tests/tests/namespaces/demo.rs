//! The demo itself: what it prints, and that it leaves nothing however it ends.

use std::{fs, thread, time::Duration};

use libtest_mimic::Trial;
use stopbank_tests::{
    process::{self, Background},
    scratch::{self, Scratch},
};

use crate::rig::{bare_trial, eventually, said};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        bare_trial("the demo prints one JSON object, and the flood is dropped", json),
        bare_trial("an interrupted demo leaves nothing", interrupted),
        bare_trial("what a killed demo leaves is swept by the next", killed),
    ]
}

const DEMO: &str = env!("CARGO_BIN_EXE_demo");

fn json() {
    let mut command = process::command(DEMO.as_ref(), None);
    // A rate that any machine can take: what one of these is busy with otherwise is not known.
    let output = process::output(command.args(["--json", "--seconds", "1", "--rate", "200000"]), "").unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let phases = report["phases"].as_array().unwrap();
    assert_eq!(phases.len(), 16);
    for phase in phases {
        let number = |path: &str| phase.pointer(path).and_then(serde_json::Value::as_f64).unwrap();
        assert_eq!(number("/flood/offered"), number("/flood/dropped") + number("/flood/passed"), "{phase}");
        assert!(number("/flood/offered") > 1000.0, "{phase}");
        assert!(
            number("/legit/attempted") > 20.0 && number("/legit/attempted") >= number("/legit/succeeded")
        );
        assert!(number("/legit/p99_ms") >= number("/legit/p50_ms"), "{phase}");
        if phase["protected"] == true {
            assert_eq!(phase["attach_mode"], "native", "{phase}");
            assert!(number("/beyond_limits_dropped") >= 0.99, "{phase}");
            // The client goes on between one reading and the other.
            let apart = (number("/received") - number("/judged")).abs();
            assert!(apart <= 50.0, "every packet is counted once: {phase}");
        } else {
            assert_eq!((&phase["attach_mode"], number("/flood/dropped")), (&"none".into(), 0.0), "{phase}");
        }
    }
}

/// What a process has left in file systems.
fn left_by(process: u32) -> Vec<String> {
    let own = format!("stopbank-test-{process}-");
    ["/sys/fs/bpf".into(), std::env::temp_dir()]
        .iter()
        .flat_map(|directory| fs::read_dir(directory).unwrap().flatten())
        .map(|entry| entry.path().display().to_string())
        .filter(|path| path.contains(&own))
        .collect()
}

/// Processes that run in one of its files' directories: its agent and its nginx.
fn run_by(process: u32) -> Vec<String> {
    let own = format!("stopbank-test-{process}-");
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok())
        .filter(|command| command.contains(&own))
        .collect()
}

/// A demo whose agent has pinned.
fn protected_demo(scratch: &Scratch) -> Background {
    let mut command = process::command(DEMO.as_ref(), None);
    command.args(["--seconds", "2", "--rate", "50000"]);
    let mut demo = Background::start(command, &scratch.file("demo.log")).unwrap();
    let process = demo.id();
    demo.wait_until(Duration::from_secs(60), || left_by(process).iter().any(|path| path.starts_with("/sys")))
        .unwrap();
    thread::sleep(Duration::from_millis(300));
    assert!(!run_by(process).is_empty());
    demo
}

fn interrupted() {
    let scratch = Scratch::new().unwrap();
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let mut demo = protected_demo(&scratch);
        demo.signal(signal).unwrap();
        let status = demo.wait(Duration::from_secs(20)).unwrap();
        assert_eq!(status.code(), Some(130), "{}", demo.log());
        assert_eq!((left_by(demo.id()), run_by(demo.id())), (vec![], vec![]));
    }
}

fn killed() {
    let scratch = Scratch::new().unwrap();
    let mut demo = protected_demo(&scratch);
    demo.signal(libc::SIGKILL).unwrap();
    demo.wait(Duration::from_secs(10)).unwrap();
    assert!(eventually(Duration::from_secs(5), || run_by(demo.id()).is_empty()), "{:?}", run_by(demo.id()));
    assert!(!left_by(demo.id()).is_empty());
    // As the next demo does first of all.
    scratch::sweep();
    assert_eq!(left_by(demo.id()), Vec::<String>::new());
}
