//! The real agent, driven as an operator drives it: by its configuration, its signals and its command line.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    netns::Namespace,
    process::{self, Background},
    scratch::Scratch,
    topology::INTERFACE,
};

/// How long an agent may take to load and attach its program, or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// What an agent's configuration says beside where its files are.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `enforce` or `observe`.
    pub mode: &'static str,
    /// `any` or `host`.
    pub role: &'static str,
    /// The interface to protect.
    pub interface: String,
    /// `native` or `generic`.
    pub attach: &'static str,
    /// Everything else: keys, then tables of TOML.
    pub policy: String,
}

impl Default for Settings {
    /// Enforces nothing but the built-in rules, natively on [`INTERFACE`]. Floods come from any port, those of amplifiers
    /// among them, and to none that anybody listens on: they are for the limits to stop.
    fn default() -> Self {
        Self {
            mode: "enforce",
            role: "any",
            interface: INTERFACE.to_owned(),
            attach: "native",
            policy: String::new(),
        }
    }
}

/// Where one agent after the other runs and leaves its files and pins. When this is dropped, its pins are removed, which ends
/// the protection; drop the [`Agent`] first.
#[derive(Debug)]
pub struct Site<'n> {
    namespace: &'n Namespace,
    /// The agent's program, where it is not the one that was built with this.
    program: Option<PathBuf>,
    // Before the files: a program without a link is detached.
    pins: Scratch,
    files: Scratch,
}

/// An agent under way; it is killed when this is dropped.
#[derive(Debug)]
pub struct Agent {
    process: Background,
}

impl<'n> Site<'n> {
    /// In a namespace, with files and pins of its own.
    ///
    /// # Errors
    ///
    /// When there is no place for temporary files.
    pub fn new(namespace: &'n Namespace) -> Result<Self> {
        Ok(Self { namespace, program: None, pins: Scratch::pins(), files: Scratch::new()? })
    }

    /// The namespace that its agents protect.
    pub const fn namespace(&self) -> &'n Namespace {
        self.namespace
    }

    /// Where it pins.
    pub fn pins(&self) -> &Path {
        self.pins.path()
    }

    /// Whether anything is pinned.
    pub fn pinned(&self) -> bool {
        contains_file(self.pins())
    }

    /// Its control socket.
    pub fn socket(&self) -> PathBuf {
        self.files.file("control.sock")
    }

    /// Where it keeps what survives a reboot.
    pub fn state(&self) -> PathBuf {
        self.files.file("state")
    }

    /// Its configuration file.
    pub fn configuration(&self) -> PathBuf {
        self.files.file("stopbank.toml")
    }

    /// Writes its configuration file.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn configure(&self, settings: &Settings) -> Result<()> {
        let Settings { mode, role, .. } = settings;
        // Keys of the document itself must stand before any table.
        let mut at = 0;
        for line in settings.policy.split_inclusive('\n') {
            if line.trim_start().starts_with('[') {
                break;
            }
            at += line.len();
        }
        let (keys, tables) = settings.policy.split_at(at);
        let mut text = format!("mode = \"{mode}\"\nrole = \"{role}\"\n{keys}\n");
        writeln!(text, "[agent]\npin_dir = \"{}\"", self.pins().display())?;
        writeln!(text, "state_dir = \"{}\"", self.state().display())?;
        writeln!(text, "socket = \"{}\"\n", self.socket().display())?;
        writeln!(text, "[[interface]]\nname = \"{}\"", settings.interface)?;
        writeln!(text, "attach = \"{}\"\n\n{tables}", settings.attach)?;
        self.write_configuration(&text)
    }

    /// Writes any text to its configuration file.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write_configuration(&self, text: &str) -> Result<()> {
        fs::write(self.configuration(), text).context("cannot write the agent's configuration")
    }

    /// Starts an agent with the configuration as it stands and waits until it answers.
    ///
    /// # Errors
    ///
    /// With what it wrote, when it ends or does not answer.
    pub fn start(&self) -> Result<Agent> {
        let mut agent = self.spawn()?;
        agent
            .process
            .wait_until(PATIENCE, || self.cli(&["status"]).is_ok_and(|output| output.status.success()))?;
        Ok(agent)
    }

    /// Starts an agent and does not wait: for one that is to fail.
    ///
    /// # Errors
    ///
    /// When there is no agent to start.
    pub fn spawn(&self) -> Result<Agent> {
        let process = Background::start(self.run_command()?, &self.files.file("agent.log"))?;
        Ok(Agent { process })
    }

    /// From now on, agents are of another program file; `None`: of the one that was built with this.
    pub fn run_program(&mut self, program: Option<PathBuf>) {
        self.program = program;
    }

    /// The command `stopbank run` with the configuration as it stands.
    ///
    /// # Errors
    ///
    /// When there is no agent to run.
    pub fn run_command(&self) -> Result<Command> {
        let program = self.program.clone().map_or_else(binary, Ok)?;
        let mut command = self.namespace.command(program);
        command.arg("run").arg("--config").arg(self.configuration());
        Ok(command)
    }

    /// Runs a command of the CLI to its end.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn cli(&self, arguments: &[&str]) -> Result<Output> {
        self.cli_with_input(arguments, "")
    }

    /// Like [`Self::cli`], with a text on its stdin.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn cli_with_input(&self, arguments: &[&str], input: &str) -> Result<Output> {
        let mut command = self.namespace.command(binary()?);
        command.args(arguments).env("STOPBANK_SOCKET", self.socket());
        process::output(&mut command, input)
    }

    /// Runs a command of the CLI that must succeed, with `-o json`, and returns what it says.
    ///
    /// # Errors
    ///
    /// With what it wrote to stderr, when it fails or says no JSON.
    pub fn ask(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.cli(&[arguments, &["-o", "json"]].concat())?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("stopbank {}: {}: {}", arguments.join(" "), output.status, said.trim());
        }
        serde_json::from_slice(&output.stdout).with_context(|| {
            format!("stopbank {}: {:?}", arguments.join(" "), String::from_utf8_lossy(&output.stdout))
        })
    }

    /// What the program has counted.
    ///
    /// # Errors
    ///
    /// When no agent answers.
    pub fn counts(&self) -> Result<Counts> {
        Counts::read(&self.ask(&["drops", "--all"])?)
    }

    /// Ends the protection as an operator does.
    ///
    /// # Errors
    ///
    /// With what the command says when it fails.
    pub fn detach(&self) -> Result<()> {
        let mut command = self.namespace.command(binary()?);
        command.arg("detach").arg("--config").arg(self.configuration()).env("STOPBANK_SOCKET", self.socket());
        process::run(&mut command).map(drop)
    }
}

impl Agent {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it has written.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Stops it as systemd does and returns its exit code.
    ///
    /// # Errors
    ///
    /// With what it wrote, when it does not end, or ends by a signal.
    pub fn stop(mut self) -> Result<i32> {
        self.process.signal(libc::SIGTERM)?;
        self.ended()
    }

    /// Kills it.
    ///
    /// # Errors
    ///
    /// When it cannot be waited for.
    pub fn kill(mut self) -> Result<()> {
        self.process.signal(libc::SIGKILL)?;
        self.process.wait(PATIENCE).map(drop)
    }

    /// Waits for its end and returns its exit code.
    ///
    /// # Errors
    ///
    /// With what it wrote, when it does not end, or ends by a signal.
    pub fn ended(&mut self) -> Result<i32> {
        let status = self.process.wait(PATIENCE)?;
        status.code().with_context(|| format!("the agent ended by a signal: {status}\n{}", self.log()))
    }
}

/// Packets that the program has counted, ever since its maps were made.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Counts {
    /// By verdict (`pass`, `observed`, `drop`) and reason.
    rows: std::collections::BTreeMap<(String, String), u64>,
}

impl Counts {
    fn read(report: &Value) -> Result<Self> {
        let mut counts = Self::default();
        for row in report["rows"].as_array().context("`stopbank drops` has no rows")? {
            let (verdict, reason, packets) =
                (row["verdict"].as_str(), row["reason"].as_str(), row["packets"].as_u64());
            let (Some(verdict), Some(reason), Some(packets)) = (verdict, reason, packets) else {
                bail!("`stopbank drops` has a row that is none: {row}");
            };
            *counts.rows.entry((verdict.to_owned(), reason.to_owned())).or_default() += packets;
        }
        Ok(counts)
    }

    /// What was counted after `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut rows = self.rows.clone();
        for (key, packets) in &mut rows {
            *packets = packets.saturating_sub(earlier.rows.get(key).copied().unwrap_or(0));
        }
        rows.retain(|_, packets| *packets != 0);
        Self { rows }
    }

    /// Packets with a verdict: `pass`, `observed` or `drop`.
    pub fn verdict(&self, verdict: &str) -> u64 {
        self.rows.iter().filter(|((of, _), _)| of == verdict).map(|(_, packets)| packets).sum()
    }

    /// Packets counted under a reason, whatever became of them.
    pub fn reason(&self, reason: &str) -> u64 {
        self.rows.iter().filter(|((_, of), _)| of == reason).map(|(_, packets)| packets).sum()
    }

    /// Every packet.
    pub fn total(&self) -> u64 {
        self.rows.values().sum()
    }

    /// Dropped packets by reason.
    pub fn dropped(&self) -> impl Iterator<Item = (&str, u64)> {
        self.rows
            .iter()
            .filter(|((verdict, _), _)| verdict == "drop")
            .map(|((_, reason), packets)| (reason.as_str(), *packets))
    }
}

/// The agent's program: `$STOPBANK`, or else the one that was built with this one.
///
/// # Errors
///
/// When there is none.
pub fn binary() -> Result<PathBuf> {
    if let Some(chosen) = std::env::var_os("STOPBANK") {
        return Ok(chosen.into());
    }
    // target/release/demo, target/release/deps/namespaces-…: never another profile's, which may be an old one.
    let this = std::env::current_exe()?;
    let found = this
        .ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join("stopbank"))
        .find(|path| path.is_file());
    found.with_context(|| format!("no agent beside {}: build it with `cargo xtask build`", this.display()))
}

fn contains_file(directory: &Path) -> bool {
    fs::read_dir(directory).into_iter().flatten().flatten().any(|entry| {
        let path = entry.path();
        !path.is_dir() || contains_file(&path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_told_apart_by_verdict_and_reason() {
        let report = |banned| {
            serde_json::json!({"rows": [
                {"verdict": "pass", "reason": "passed", "packets": 7},
                {"verdict": "drop", "reason": "ban", "packets": banned},
                {"verdict": "observed", "reason": "ban", "packets": 2},
            ]})
        };
        let (earlier, later) = (Counts::read(&report(1)).unwrap(), Counts::read(&report(5)).unwrap());
        assert_eq!((later.verdict("drop"), later.reason("ban"), later.total()), (5, 7, 14));
        let between = later.since(&earlier);
        assert_eq!(between.dropped().collect::<Vec<_>>(), [("ban", 4)]);
        assert_eq!(between.total(), 4);
        assert!(Counts::read(&serde_json::json!({"rows": [{"reason": "ban"}]})).is_err());
    }
}
