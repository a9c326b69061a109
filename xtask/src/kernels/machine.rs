//! One virtual machine, from its start to its end.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::Kernel;
use super::payload::{DONE, ENDED, UP};
use crate::command::{self, command};
use crate::totals::{Summary, Totals};

/// MiB of memory.
const MEMORY: &str = "1024";

/// How long a machine that is done may take to switch itself off.
const GRACE: Duration = Duration::from_secs(5);

/// What runs the machine's processor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Accelerator {
    /// This machine's own processor.
    Kvm,
    /// A program: works everywhere, at a tenth of the speed.
    Emulated,
}

impl Accelerator {
    /// Whether KVM seems to be there; whether it starts a kernel is seen only then.
    pub(super) fn is_kvm_usable() -> bool {
        File::options().read(true).write(true).open("/dev/kvm").is_ok()
    }
}

/// What came of a machine.
pub(super) struct Ran {
    pub(super) totals: Totals,
    /// Whether its first process has run.
    pub(super) booted: bool,
    /// Why the totals are not those of every test.
    pub(super) broken: Option<String>,
    /// What started it.
    pub(super) command: String,
}

/// Boots the kernel, passes on what the tests print, each line under the kernel's name, and adds it up. A machine that does not
/// come to its end, or a program that dies in it, is a failure.
pub(super) fn run(
    kernel: &Kernel,
    disk: &Path,
    log: &Path,
    seconds: u64,
    accelerator: Accelerator,
) -> Result<Ran> {
    let mut command = qemu(kernel, disk, accelerator);
    let mut watch = Watch::start(&mut command, &kernel.name, log, seconds)?;
    watch.follow();
    Ok(watch.ran(&command))
}

/// The command that starts the machine: two network cards on one wire, a serial line.
fn qemu(kernel: &Kernel, disk: &Path, accelerator: Accelerator) -> Command {
    let image = kernel.root.join(format!("boot/vmlinuz-{}", kernel.release));
    let mut qemu = command("qemu-system-x86_64");
    qemu.args(["-machine", "q35", "-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"]);
    match accelerator {
        Accelerator::Kvm => qemu.args(["-accel", "kvm", "-cpu", "host", "-smp", "2"]),
        // qemu 7.2 at times leaves rubbish in the flags after cmpxchg16b, which brings a kernel down that has no other fault.
        // Nor does it keep two emulated processors in step when one rewrites code that the other runs, as each test run does
        // with the kernel's XDP dispatcher: on two, the kernel hung or died of an int3 that nobody owned.
        Accelerator::Emulated => qemu.args(["-accel", "tcg", "-cpu", "max,-cx16", "-smp", "1"]),
    };
    qemu.args(["-m", MEMORY]);
    for card in ["0", "1"] {
        qemu.args(["-netdev", &format!("hubport,id=port{card},hubid=0")]);
        qemu.args(["-device", &format!("virtio-net-pci,netdev=port{card},mac=52:54:00:00:00:0{card}")]);
    }
    qemu.arg("-kernel").arg(image).arg("-initrd").arg(disk);
    // What replaces a map waits for a grace period, and an emulated 6.1 takes a second over each unless it is to hurry.
    let parameters = "console=ttyS0 quiet loglevel=2 panic=-1 net.ifnames=0 rcupdate.rcu_expedited=1";
    qemu.args(["-append", parameters]);
    qemu
}

/// A machine under way.
struct Watch {
    child: Child,
    /// What stands before each line of its output.
    name: String,
    lines: Receiver<String>,
    log: File,
    deadline: Instant,
    seconds: u64,
    summary: Summary,
    up: bool,
    done: bool,
    /// Programs that died: they have no result line, and their failures are counted in none.
    died: Vec<String>,
    /// Failed tests counted before a program ended, to tell one that died from one whose tests failed.
    failed_before: u32,
    late: bool,
}

impl Watch {
    fn start(qemu: &mut Command, name: &str, log: &Path, seconds: u64) -> Result<Self> {
        let log = File::create(log).with_context(|| format!("making {}", log.display()))?;
        let mut child = qemu
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", command::describe(qemu)))?;
        let output = child.stdout.take().context("its output is a pipe")?;
        let (to, lines) = mpsc::channel();
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                if to.send(text).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            name: name.to_owned(),
            lines,
            log,
            deadline: Instant::now() + Duration::from_secs(seconds),
            seconds,
            summary: Summary::default(),
            up: false,
            done: false,
            died: Vec::new(),
            failed_before: 0,
            late: false,
        })
    }

    /// Until it is off, or its time is over; then it is ended.
    fn follow(&mut self) {
        loop {
            match self.lines.recv_timeout(self.deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.line(&line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    self.late = !self.done;
                    break;
                }
            }
        }
        // It has ended, or is to.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }

    fn line(&mut self, line: &str) {
        let _unlogged = writeln!(self.log, "{line}");
        if line.starts_with(UP) {
            self.up = true;
        } else if let Some(ended) = line.strip_prefix(ENDED) {
            let failed = self.summary.totals(true).failed;
            if !ended.ends_with(" 0") && failed == self.failed_before {
                self.died.push(ended.to_owned());
            }
            self.failed_before = failed;
        } else if line == DONE {
            self.done = true;
            // Some kernels do not get an emulated machine to switch off.
            self.deadline = self.deadline.min(Instant::now() + GRACE);
        } else if self.up {
            println!("{}: {line}", self.name);
            self.summary.line(line);
        }
    }

    fn ran(self, command: &Command) -> Ran {
        let mut totals = self.summary.totals(true);
        totals.failed += self.died.len() as u32;
        let mut broken = Vec::new();
        if !self.died.is_empty() {
            broken.push(format!("died (name, exit code): {}", self.died.join(", ")));
        }
        if self.late {
            broken.push(format!("not done after {} s, ended", self.seconds));
        } else if !self.up {
            broken.push("did not boot".to_owned());
        } else if !self.done {
            broken.push("went down before its tests were done".to_owned());
        }
        if !self.done {
            totals.failed += 1;
        }
        let broken = (!broken.is_empty()).then(|| broken.join("; "));
        Ran { totals, booted: self.up, broken, command: command::describe(command) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell in the machine's place.
    fn watched(script: &str, seconds: u64) -> Ran {
        let log =
            std::env::temp_dir().join(format!("stopbank-xtask-{}-{}", std::process::id(), script.len()));
        let mut shell = Command::new("sh");
        shell.args(["-c", script]);
        let mut watch = Watch::start(&mut shell, "a shell", &log, seconds).expect("a shell runs");
        watch.follow();
        std::fs::remove_file(&log).expect("it was written");
        watch.ran(&shell)
    }

    const OK: &str =
        "echo 'test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 4 filtered out; finished in 1s'";

    #[test]
    fn a_machine_that_ran_everything_has_its_tests_totals() {
        let ran = watched(
            &format!("echo '{UP}6.1'; {OK}; echo '{ENDED}a 0'; {OK}; echo '{ENDED}b 0'; echo {DONE}"),
            10,
        );
        assert_eq!((ran.totals, ran.broken), (Totals { passed: 6, failed: 0, skipped: 0 }, None));
    }

    #[test]
    fn what_died_hung_or_never_came_up_is_a_failure() {
        let died = watched(&format!("echo '{UP}6.1'; {OK}; echo '{ENDED}a 101'; echo {DONE}"), 10);
        assert_eq!(died.totals, Totals { passed: 3, failed: 1, skipped: 0 });
        assert!(died.broken.expect("it says so").contains("a 101"));

        let hung = watched(&format!("echo '{UP}6.1'; {OK}; exec sleep 60"), 1);
        assert_eq!(hung.totals, Totals { passed: 3, failed: 1, skipped: 0 });
        assert!(hung.broken.expect("it says so").contains("not done after 1 s"));

        let dark = watched("echo nothing", 10);
        assert_eq!(dark.totals, Totals { passed: 0, failed: 1, skipped: 0 });
        assert_eq!(dark.broken.as_deref(), Some("did not boot"));
    }

    #[test]
    fn a_program_whose_tests_failed_is_not_counted_twice() {
        let failed = "echo 'test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out'";
        let ran = watched(&format!("echo '{UP}6.1'; {failed}; echo '{ENDED}a 101'; echo {DONE}"), 10);
        assert_eq!((ran.totals, ran.broken), (Totals { passed: 2, failed: 1, skipped: 0 }, None));
    }
}
