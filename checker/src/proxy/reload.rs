//! `reload`: has a running proxy read everything again, and waits for what becomes of it. A signal has no answer, so the proxy leaves one in its
//! runtime directory (systemd.exec(5), `RuntimeDirectory=`).

use std::{
    env, fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::say;

/// The file, which says how many reloads there were, and what became of the last.
const FILE: &str = "reload";
/// How long one may take: the largest policies and specifications are compiled in seconds.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// Have a running proxy read its files again, and wait for what becomes of it
///
/// It is for the service manager (`ExecReload=`), which runs it as the proxy's user: by hand, `systemctl reload stopbank-checker` does all of it.
#[derive(clap::Args)]
#[command(
    after_help = "Exit codes: 0 what was read is in force; 1 it is not: what was in force stays so, and the journal says why."
)]
pub(crate) struct ReloadCommand {
    /// The proxy's process
    #[arg(value_name = "PID")]
    process: i32,
    /// Its runtime directory
    #[arg(long, value_name = "DIRECTORY", env = "RUNTIME_DIRECTORY")]
    directory: PathBuf,
}

impl ReloadCommand {
    pub(crate) fn run(&self) -> Result<()> {
        let process = Pid::from_raw(self.process).context("0 is no process")?;
        let file = self.directory.join(FILE);
        let (before, _) = read(&file)?;
        kill_process(process, Signal::HUP)
            .with_context(|| format!("cannot send a signal to process {}", self.process))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match read(&file)? {
                (count, _) if count == before => {}
                (_, true) => return Ok(()),
                (_, false) => bail!("what was in force stays in force"),
            }
            if test_kill_process(process).is_err() {
                bail!("process {} has ended", self.process);
            }
            if Instant::now() > deadline {
                bail!(
                    "process {} has not answered within {}",
                    self.process,
                    humantime::format_duration(PATIENCE)
                );
            }
            thread::sleep(PAUSE);
        }
    }
}

/// How many reloads there were, and whether the last one was good.
fn read(file: &Path) -> Result<(u64, bool)> {
    let name = file.display();
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
    let parts = text.trim_end().split_once(' ');
    match parts.and_then(|(count, what)| Some((count.parse().ok()?, what))) {
        Some((count, "good")) => Ok((count, true)),
        Some((count, "wrong")) => Ok((count, false)),
        _ => bail!("{name} is not what a proxy writes"),
    }
}

/// Where a proxy says what became of its reloads: nowhere, without a runtime directory.
#[derive(Debug)]
pub(super) struct Told {
    file: Option<PathBuf>,
    count: u64,
}

impl Told {
    /// Of a proxy that has started.
    pub(super) fn begin() -> Self {
        Self::within(env::var_os("RUNTIME_DIRECTORY").map(PathBuf::from))
    }

    fn within(directory: Option<PathBuf>) -> Self {
        let told = Self { file: directory.map(|directory| directory.join(FILE)), count: 0 };
        told.write(true);
        told
    }

    /// Tells of one more.
    pub(super) fn tell(&mut self, good: bool) {
        self.count += 1;
        self.write(good);
    }

    fn write(&self, good: bool) {
        let Some(file) = &self.file else { return };
        // Whole, or not there yet.
        let half = file.with_extension("half");
        let text = format!("{} {}\n", self.count, if good { "good" } else { "wrong" });
        if let Err(error) = fs::write(&half, text).and_then(|()| fs::rename(&half, file)) {
            say(&format!("cannot write {}: {error}", file.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_a_reload_is_read_as_it_was_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join(FILE);
        let mut told = Told::within(Some(directory.path().to_owned()));
        assert_eq!(read(&file).expect("a beginning"), (0, true));
        told.tell(false);
        assert_eq!(read(&file).expect("an outcome"), (1, false));
        told.tell(true);
        assert_eq!(read(&file).expect("another"), (2, true));
        fs::write(&file, "3 perhaps\n").expect("written");
        assert!(read(&file).is_err());
        Told::within(None).tell(true);
    }
}
