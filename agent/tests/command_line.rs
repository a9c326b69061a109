//! The command line as users meet it: what it prints, and its exit codes. Needs no root and no kernel.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use std::{
    fs,
    io::{ErrorKind, Write as _},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_stopbank");
/// A user without any rights, where the tests run as root.
const NOBODY: u32 = 65_534;

/// A directory for one test, with a socket name that nobody listens at.
struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self(directory)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.binary(Path::new(BINARY), arguments)
    }

    fn binary(&self, binary: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary);
        command
            .args(arguments)
            .env_clear()
            .env("STOPBANK_SOCKET", self.0.path().join("control.sock"))
            .current_dir(self.0.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().unwrap().into()
    }

    fn run_with_stdin(&self, arguments: &[&str], stdin: &str) -> Ran {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        child.wait_with_output().unwrap().into()
    }

    /// As a user without rights: as ourselves, or, where we are root, as nobody, with a binary that nobody may read.
    fn run_unprivileged(&self, arguments: &[&str]) -> Ran {
        if !rustix::process::geteuid().is_root() {
            return self.run(arguments);
        }
        let copy = self.0.path().join("stopbank");
        fs::copy(BINARY, &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        loop {
            match self.binary(&copy, arguments).uid(NOBODY).gid(NOBODY).output() {
                // Another test has just forked: its child holds the copy open for writing until it executes.
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                ran => return ran.unwrap().into(),
            }
        }
    }
}

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

#[test]
fn help_teaches() {
    let scratch = Scratch::new();
    for arguments in [
        &["--help"][..],
        &["run", "--help"],
        &["drops", "--help"],
        &["top", "--help"],
        &["ban", "--help"],
        &["allow", "--help"],
        &["mode", "--help"],
        &["config", "check", "--help"],
        &["config", "show", "--help"],
        &["config", "diff", "--help"],
        &["config", "apply", "--help"],
        &["config", "confirm", "--help"],
        &["config", "rollback", "--help"],
        &["config", "schema", "--help"],
        &["reload", "--help"],
        &["simulate", "--help"],
    ] {
        let ran = scratch.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}");
        assert!(ran.stdout.contains("Examples:\n  stopbank"), "{arguments:?}: {}", ran.stdout);
    }
    assert!(scratch.run(&["--help"]).stdout.contains("Exit codes: 0 ok"));
    assert!(scratch.run(&["--version"]).stdout.starts_with("stopbank 0."));
}

#[test]
fn a_wrong_command_line_is_usage() {
    let scratch = Scratch::new();
    for arguments in [
        &[][..],
        &["bann"],
        &["ban", "add"],
        &["ban", "add", "192.0.2.1", "--for", "soon"],
        &["mode", "set", "sleep"],
        &["status", "-o", "yaml"],
        &["run", "--kernel-log", "loud"],
        &["config", "show", "--default", "--effective"],
        &["simulate"],
        &["simulate", "--pcap", "a.pcap", "--rate", "fast"],
        &["simulate", "--pcap", "a.pcap", "--rate", "0/s"],
        &["simulate", "--pcap", "a.pcap", "--limit", "5"],
        &["simulate", "--pcap", "a.pcap", "--explain", "--only", "some"],
    ] {
        let ran = scratch.run(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.stderr);
    }
    assert!(scratch.run(&["bann"]).stderr.contains("'ban'"), "a near miss is named");
}

#[test]
fn without_an_agent_every_command_of_one_says_so() {
    let scratch = Scratch::new();
    for arguments in [
        &["status"][..],
        &["drops"],
        &["top", "--once"],
        &["events"],
        &["events", "--follow"],
        &["status", "--check"],
        &["ban", "ls"],
        &["ban", "add", "192.0.2.1"],
        &["allow", "rm", "192.0.2.1"],
        &["deny", "ls"],
        &["limit", "ls"],
        &["mode", "get"],
        &["reload"],
        &["config", "show"],
        &["detach", "eth0"],
    ] {
        let ran = scratch.run(arguments);
        assert_eq!(ran.code, 4, "{arguments:?}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("no agent answers at") && ran.stderr.contains("hint: start it"),
            "{}",
            ran.stderr
        );
        assert!(ran.stdout.is_empty());
    }
}

#[test]
fn a_monitoring_plugin_says_one_line_and_has_codes_of_its_own() {
    let ran = Scratch::new().run(&["status", "--nagios"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (2, ""));
    assert!(ran.stdout.starts_with("STOPBANK CRITICAL - no agent answers at"), "{}", ran.stdout);
    assert_eq!(ran.stdout.lines().count(), 1);
}

#[test]
fn bad_addresses_are_all_named_before_anything_is_sent() {
    let scratch = Scratch::new();
    let ran = scratch.run(&["ban", "add", "192.0.2.1/24", "nonsense", "192.0.2.7"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.stderr.contains("the network is `192.0.2.0/24`") && ran.stderr.contains("`nonsense`"),
        "{}",
        ran.stderr
    );

    let ran = scratch.run_with_stdin(
        &["ban", "add", "-"],
        "192.0.2.1 # fine\n\n# nothing\nwrong\n192.0.2.2\n10.0.0.1/8\n",
    );
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("nothing was changed"));
    assert!(
        ran.stderr.contains("stdin, line 4: `wrong`") && ran.stderr.contains("stdin, line 6: "),
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains("line 1:"));

    let ran = scratch.run_with_stdin(&["ban", "add", "-"], &"x\n".repeat(500));
    assert!(ran.stderr.contains("… and 450 more"));
    assert_eq!(scratch.run(&["ban", "add", "-"]).code, 2, "an empty stdin is no list");
}

#[test]
fn config_check_tells_good_from_bad() {
    let scratch = Scratch::new();
    let good = scratch.file("good.toml", "[[interface]]\nname = \"eth0\"\n");
    let ran = scratch.run(&["config", "check", &good]);
    assert_eq!((ran.code, ran.stdout), (0, format!("{good}: good\n")));

    let bad = scratch.file("bad.toml", "mode = \"enforced\"\n");
    let ran = scratch.run(&["config", "check", &bad]);
    assert_eq!(ran.code, 78);
    assert!(
        ran.stderr.contains(&format!("{bad}:1:8: ")) && ran.stderr.contains("did you mean"),
        "{}",
        ran.stderr
    );
    let ran = scratch.run(&["config", "check", &bad, "-o", "json"]);
    assert_eq!(ran.code, 78);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&report["valid"], &report["errors"][0]["column"]), (&Value::Bool(false), &Value::from(8)));

    for path in ["missing.toml", "."] {
        assert_eq!(scratch.run(&["config", "check", path]).code, 78, "{path}");
    }
    let secret = scratch.file("secret.toml", "");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    let ran = scratch.run_unprivileged(&["config", "check", &secret]);
    assert_eq!(ran.code, 77, "{}", ran.stderr);
    assert!(ran.stderr.contains("Permission denied"));
}

#[test]
fn the_default_configuration_is_shown_and_valid() {
    let scratch = Scratch::new();
    let ran = scratch.run(&["config", "show", "--default"]);
    assert_eq!(ran.stdout, stopbank::config::DEFAULT);
    let file = scratch.file("default.toml", &ran.stdout);
    let effective = scratch.run(&["config", "show", "--effective", &file]);
    let rendered = scratch.file("effective.toml", &effective.stdout);
    assert_eq!(scratch.run(&["config", "check", &rendered]).code, 0);
}

#[test]
fn run_names_what_is_missing_before_it_touches_anything() {
    let scratch = Scratch::new();
    let ran = scratch.run(&["run", "--config", "missing.toml"]);
    assert_eq!(ran.code, 78);
    let empty = scratch.file("empty.toml", "");
    let ran = scratch.run(&["run", "--config", &empty]);
    assert_eq!(ran.code, 78);
    assert!(ran.stderr.contains("[[interface]]\n    name = \"eth0\""), "{}", ran.stderr);

    let good = scratch.file("good.toml", "agent = { metrics = \"off\" }\n[[interface]]\nname = \"eth0\"\n");
    let ran = scratch.run_unprivileged(&["run", "--config", &good]);
    if stopbank::object::is_stub() {
        assert_eq!(ran.code, 1);
        assert!(ran.stderr.contains("cargo xtask build"), "{}", ran.stderr);
    } else {
        assert_eq!(ran.code, 77);
        for capability in ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"] {
            assert!(ran.stderr.contains(capability), "{}", ran.stderr);
        }
    }
    assert!(!scratch.0.path().join("control.sock.lock").exists());
}

#[test]
fn simulate_names_what_is_missing_before_it_asks_the_kernel_for_anything() {
    let scratch = Scratch::new();
    // An empty capture: pcap's file header, and no record.
    let header = [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
    let empty = scratch.file("empty.pcap", "");
    fs::write(&empty, header).unwrap();
    let bad = scratch.file("bad.toml", "mode = 7");
    let text = scratch.file("text.pcap", "a text, and no capture");
    for (arguments, code, told) in [
        (&["--pcap", "no.pcap"][..], 3, "cannot read the capture no.pcap: No such file"),
        (&["--pcap", "."], 1, "cannot read the capture .: is a directory"),
        (&["--pcap", &text], 1, "text.pcap: this is no capture"),
        (&["--pcap", "-"], 1, "standard input: this is no capture: it ends after 0 bytes"),
        (&["--pcap", &empty, "--config", &bad], 78, "bad.toml"),
        (&["--pcap", &empty, "--config", "no.toml"], 78, "no.toml"),
    ] {
        let arguments = [&["simulate"], arguments].concat();
        let ran = scratch.run(&arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(told), "{arguments:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{arguments:?}");
    }
    let ran = scratch.run_unprivileged(&["simulate", "--pcap", &empty]);
    if stopbank::object::is_stub() {
        assert!(ran.stderr.contains("built without its BPF programs"), "{}", ran.stderr);
    } else {
        assert_eq!(ran.code, 77, "{}", ran.stderr);
        assert!(ran.stderr.contains("run as root, or with CAP_BPF"), "{}", ran.stderr);
    }
}

#[test]
fn detach_without_an_agent_and_without_pins_finds_nothing() {
    let scratch = Scratch::new();
    let pins = scratch.0.path().join("pins");
    let ran = scratch.run(&["detach", "--pin-dir", pins.to_str().unwrap()]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "nothing was protected\n"), "{}", ran.stderr);
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let scratch = Scratch::new();
    let mut child = scratch
        .command(&["config", "show", "--default"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ran: Ran = child.wait_with_output().unwrap().into();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
}

#[test]
fn the_doctor_says_what_is_missing_and_what_to_do() {
    let scratch = Scratch::new();
    let ran = scratch.run_unprivileged(&["doctor", "nosuch0"]);
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    for part in ["ok    kernel: Linux", "fail  privileges: this process lacks CAP_BPF", "fix: run it as root"]
    {
        assert!(ran.stdout.contains(part), "no {part:?} in: {}", ran.stdout);
    }
    assert!(ran.stdout.contains("fail  interface nosuch0: state: does not exist"), "{}", ran.stdout);
    assert!(ran.stderr.contains("stand in the way"), "{}", ran.stderr);

    let ran = scratch.run_unprivileged(&["doctor", "nosuch0", "-o", "json"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, report["state"].as_str()), (1, Some("fail")), "{report}");
    assert!(report["findings"].as_array().unwrap().len() > 15, "{report}");
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let scratch = Scratch::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = scratch.run(&["completions", shell]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(ran.stdout.contains("simulate") && ran.stdout.contains("assume-sockets"), "{shell}");
    }
    assert_eq!(scratch.run(&["completions", "sh"]).code, 2);
    let bash = scratch.file("stopbank.bash", &scratch.run(&["completions", "bash"]).stdout);
    // What a shell makes of `stopbank ban <TAB>`.
    let asked = format!(
        "source {bash}; COMP_WORDS=(stopbank ban ''); COMP_CWORD=2; _stopbank stopbank '' ban; echo \"${{COMPREPLY[*]}}\""
    );
    let shell = Command::new("bash").args(["--norc", "-c", &asked]).output().unwrap();
    let offered = String::from_utf8_lossy(&shell.stdout).into_owned();
    assert!(["add", "rm", "ls"].iter().all(|word| offered.split(' ').any(|one| one == *word)), "{offered}");

    let ran = scratch.run(&["man", "ban", "add"]);
    assert!(ran.stdout.contains(".TH stopbank-ban-add 1"), "{}", ran.stdout);
    assert_eq!(scratch.run(&["man", "bann"]).code, 3);
    assert!(scratch.run(&["man", "stopbank.toml"]).stdout.contains(".TH stopbank.toml 5"));
    let pages = scratch.0.path().join("share/man");
    let ran = scratch.run(&["man", "--dir", pages.to_str().unwrap()]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
    for page in ["man1/stopbank.1", "man1/stopbank-limit-ls.1", "man5/stopbank.toml.5"] {
        assert!(pages.join(page).exists(), "no {page}");
    }
}

/// Every command without others below it, as the words that call it.
fn leaves(command: &clap::Command, above: &[String]) -> Vec<Vec<String>> {
    let below: Vec<_> = command.get_subcommands().filter(|command| command.get_name() != "help").collect();
    if below.is_empty() {
        return vec![above.to_vec()];
    }
    let path = |command: &clap::Command| [above, &[command.get_name().to_owned()]].concat();
    below.into_iter().flat_map(|command| leaves(command, &path(command))).collect()
}

#[test]
fn every_command_helps_takes_every_output_and_refuses_what_it_does_not_know() {
    let scratch = Scratch::new();
    let leaves = leaves(&stopbank::cli::command(), &[]);
    assert!(leaves.len() > 20, "{leaves:?}");
    for words in &leaves {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        for output in ["table", "json", "jsonl"] {
            let ran = scratch.run(&[&words[..], &["-o", output, "--help"]].concat());
            assert_eq!(ran.code, 0, "{words:?} -o {output}: {}", ran.stderr);
            assert!(
                ran.stdout.contains("Examples:\n") && !ran.stdout.contains('\u{1b}'),
                "{words:?}: {}",
                ran.stdout
            );
        }
        for wrong in [&["--no-such-option"][..], &["-o", "yaml"]] {
            let ran = scratch.run(&[&words[..], wrong].concat());
            assert_eq!(ran.code, 2, "{words:?} {wrong:?}: {}", ran.stderr);
        }
    }
}

#[test]
fn a_support_dump_without_an_agent_says_what_is_missing_and_holds_no_secret() {
    let scratch = Scratch::new();
    let config = scratch.file("bad.toml", "db_password = \"hunter2\"\n[[interface]]\nname = \"lo\"\n");
    let mut command =
        scratch.command(&["support-dump", "--out", "dump.tar.gz", "--config", &config, "-o", "json"]);
    let ran: Ran = command.env("API_TOKEN", "s3cr3t").output().unwrap().into();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(told["missing"].to_string().contains("no agent answers"), "{told}");
    assert!(told["missing"].to_string().contains("bad.toml:1:1: unknown key"), "{told}");
    let file = scratch.0.path().join("dump.tar.gz");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let mut text = String::new();
    std::io::Read::read_to_string(
        &mut flate2::read::GzDecoder::new(fs::File::open(&file).unwrap()),
        &mut text,
    )
    .unwrap();
    assert!(text.contains("README") && text.contains("kernel: Linux version"), "{text}");
    assert!(
        !text.contains("hunter2") && !text.contains("s3cr3t") && !ran.stdout.contains("hunter2"),
        "{text}"
    );
    let again = scratch.run(&["support-dump", "--out", "dump.tar.gz"]);
    assert_eq!(again.code, 1, "what is there is kept: {}", again.stderr);
}
