//! Running other programs.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::workspace;

/// Directories that hold administrators' programs; not on every user's PATH.
const ADMINISTRATORS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Tells the user. On stderr, because stdout belongs to what is run: `demo --json` prints an object there.
pub(crate) fn say(line: &str) {
    eprintln!("xtask: {line}");
}

/// A command in the workspace's root, in the environment that `cargo xtask` was started in rather than the one that
/// cargo made for this program.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(workspace::root());
    for (name, _) in env::vars_os() {
        let bytes = name.as_bytes();
        if bytes.starts_with(b"CARGO_PKG_") || bytes.starts_with(b"CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    if let Some(path) = env::var_os("LD_LIBRARY_PATH") {
        // Cargo puts its own toolchain's libraries first, where another toolchain's compiler would find them.
        let own: Vec<PathBuf> = library_roots();
        let rest = env::split_paths(&path).filter(|entry| !own.iter().any(|root| entry.starts_with(root)));
        match env::join_paths(rest) {
            Ok(rest) if !rest.is_empty() => command.env("LD_LIBRARY_PATH", rest),
            _ => command.env_remove("LD_LIBRARY_PATH"),
        };
    }
    command
}

/// Below these are the directories that cargo adds to the library path of what it runs.
fn library_roots() -> Vec<PathBuf> {
    let toolchain =
        env::var_os("CARGO").and_then(|cargo| Some(Path::new(&cargo).parent()?.parent()?.to_path_buf()));
    toolchain.into_iter().chain(workspace::binaries("")).collect()
}

/// The cargo that started this program: the ordinary toolchain's.
pub(crate) fn cargo() -> Command {
    command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs `command` to its end, an error when it fails. Its stdout goes to ours unless redirected.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {}", describe(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", describe(command));
    }
    Ok(())
}

/// Runs `command` quietly and returns its stdout; an error, with its stderr, when it fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("starting {}", describe(command)))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed ({}): {}", describe(command), output.status, why.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Becomes `command`; returns only the error when that fails.
pub(crate) fn exec(command: &mut Command) -> Result<()> {
    let error: io::Error = command.exec();
    Err(error).with_context(|| format!("starting {}", describe(command)))
}

/// An error when there is no way to run `what` as root; to be told before the work that leads there.
pub(crate) fn require_root(what: &str) -> Result<()> {
    if !is_root() && find("sudo").is_none() {
        bail!("{what}: this needs root, and there is no sudo; run it as root");
    }
    Ok(())
}

/// `program` as root: itself when we are, under sudo otherwise.
pub(crate) fn as_root(program: &Path) -> Result<Command> {
    if is_root() {
        return Ok(command(program));
    }
    require_root(&program.display().to_string())?;
    let sudo = find("sudo").context("sudo was there a moment ago")?;
    let mut command = command(sudo);
    command.arg(program);
    Ok(command)
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Where the program `name` is, looked for on PATH and among the administrators' programs.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(ADMINISTRATORS.map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|file| is_executable(file))
}

/// Whether `file` is a file with an executable bit.
pub(crate) fn is_executable(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// The command line, as one would type it.
pub(crate) fn describe(command: &Command) -> String {
    let mut line = quoted(command.get_program());
    for argument in command.get_args() {
        let _ = write!(line, " {}", quoted(argument));
    }
    line
}

fn quoted(word: &OsStr) -> String {
    let word = OsString::from(word).to_string_lossy().into_owned();
    if word.is_empty() || word.contains([' ', '"', '\'', '$', '*', '\u{1f}']) {
        return format!("'{}'", word.replace('\'', r"'\''"));
    }
    word
}
