//! Child processes that end with this one.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::{fd::RawFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::netns;

/// A command that runs in a network namespace (in this one if `None`) and that the kernel kills when the *thread* that
/// started it ends, so that a killed test or demo leaves no process behind. It has a process group of its own: Ctrl-C at
/// a terminal reaches only this process, which then ends its children in order.
pub fn command(program: &Path, namespace: Option<RawFd>) -> Command {
    let mut command = Command::new(program);
    command.process_group(0);
    // SAFETY: between fork and exec only system calls are made, and nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // This process may block signals (see `crate::interrupt`); its children are to hear them.
            let mut none = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
            namespace.map_or(Ok(()), netns::enter)
        });
    }
    command
}

/// Runs a command to its end and returns what it wrote to stdout.
///
/// # Errors
///
/// When it cannot be started or fails: then with what it wrote to stderr.
pub fn run(command: &mut Command) -> Result<String> {
    run_with_input(command, "")
}

/// Like [`run`], with a text on its stdin.
///
/// # Errors
///
/// See [`run`].
pub fn run_with_input(command: &mut Command, input: &str) -> Result<String> {
    let output = output(command, input)?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{command:?}: {}: {}", output.status, said.trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs a command to its end, whatever that is.
///
/// # Errors
///
/// When it cannot be started.
pub fn output(command: &mut Command, input: &str) -> Result<Output> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends without reading it is judged by its exit status.
        let _unread = stdin.write_all(input.as_bytes());
    }
    Ok(child.wait_with_output()?)
}

/// A process in the background: its output goes to a file, and it is killed when this is dropped.
#[derive(Debug)]
pub struct Background {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Background {
    /// Starts it; stdout and stderr are appended to `log`.
    ///
    /// # Errors
    ///
    /// When the program or the log cannot be opened.
    pub fn start(mut command: Command, log: &Path) -> Result<Self> {
        let name = command.get_program().display().to_string();
        let file = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, child, log: log.to_owned() })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    ///
    /// When it cannot be waited for.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until `ready` holds.
    ///
    /// # Errors
    ///
    /// With what the process wrote, when it ends before or `ready` does not hold in time.
    pub fn wait_until(&mut self, at_most: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let deadline = Instant::now() + at_most;
        while !ready() {
            if let Some(status) = self.ended()? {
                bail!("{} ended ({status}) before it was ready:\n{}", self.name, self.log());
            }
            if Instant::now() > deadline {
                bail!("{} is not ready after {at_most:?}:\n{}", self.name, self.log());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    ///
    /// When there is no such process any more.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        // SAFETY: kill takes any numbers. The child has not been waited for unless it has ended, so its id is its own.
        match unsafe { libc::kill(self.id().cast_signed(), signal) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// With what it wrote, when it has not ended in time.
    pub fn wait(&mut self, at_most: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + at_most;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("{} still runs after {at_most:?}:\n{}", self.name, self.log());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Both fail only when it has ended and been waited for.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}
