//! Network namespaces without names.
//!
//! A namespace lives as long as something holds it: here a descriptor of this process and the processes running in it
//! (which die with it, see [`crate::process`]). So the kernel clears everything away, interfaces included, however this
//! process ends, `kill -9` not excepted, and two runs side by side cannot take each other's names.
//!
//! Only the network namespace is entered. `ip netns exec` would also remount /sys, which hides the BPF file system that
//! the agent pins to.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    path::Path,
    process::Command,
    thread,
};

use anyhow::{Context, Result, bail};

use crate::process;

/// A network namespace of this process's own, its loopback interface up.
#[derive(Debug)]
pub struct Namespace {
    handle: OwnedFd,
}

impl Namespace {
    /// Makes one.
    ///
    /// # Errors
    ///
    /// Without `CAP_SYS_ADMIN`, or where the kernel has no network namespaces.
    pub fn new() -> Result<Self> {
        // A thread of its own: its namespace is left behind with it.
        let made = thread::scope(|scope| scope.spawn(unshared).join());
        let handle = match made {
            Ok(handle) => handle.context("cannot make a network namespace (are you root?)")?,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        let namespace = Self { handle };
        namespace.ip(&["link set lo up"])?;
        Ok(namespace)
    }

    /// Does `work` inside, on a thread of its own, and waits for it. Sockets opened there stay in the namespace.
    ///
    /// # Errors
    ///
    /// When the namespace cannot be entered.
    ///
    /// # Panics
    ///
    /// When `work` does.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let done = thread::scope(|scope| {
            scope
                .spawn(|| {
                    enter(self.handle.as_raw_fd())?;
                    Ok(work())
                })
                .join()
        });
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// A command that will run inside; see [`process::command`].
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        process::command(program.as_ref(), Some(self.handle.as_raw_fd()))
    }

    /// Runs iproute2 commands inside, all in one `ip -batch`.
    ///
    /// # Errors
    ///
    /// With what `ip` said of the command that failed.
    pub fn ip(&self, commands: &[&str]) -> Result<()> {
        let mut command = self.command("ip");
        command.args(["-batch", "-"]);
        process::run_with_input(&mut command, &commands.join("\n"))
            .with_context(|| format!("ip commands: {}", commands.join("; ")))
            .map(drop)
    }

    /// Sets a variable under /proc/sys/net of the namespace, `ipv4/ip_forward` for instance.
    ///
    /// # Errors
    ///
    /// When the kernel has no such variable or does not take the value.
    pub fn sysctl(&self, variable: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/net/{variable}");
        self.run(|| fs::write(&path, value))?.with_context(|| format!("cannot write {value} to {path}"))
    }

    /// A path under which other processes can open the namespace for as long as this process holds it.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.handle.as_raw_fd())
    }

    /// The index of one of its interfaces.
    ///
    /// # Errors
    ///
    /// When it has no such interface.
    pub fn interface_index(&self, name: &str) -> Result<u32> {
        let c_name = std::ffi::CString::new(name)?;
        // SAFETY: the name is a C string that lives across the call.
        let index = self.run(|| unsafe { libc::if_nametoindex(c_name.as_ptr()) })?;
        if index == 0 {
            bail!("there is no interface {name}");
        }
        Ok(index)
    }

    /// What one of its interfaces has counted.
    ///
    /// # Errors
    ///
    /// When it has no such interface.
    pub fn statistics(&self, interface: &str) -> Result<Statistics> {
        // Not /sys/class/net: sysfs shows the namespace that it was mounted in.
        let table = self.run(|| fs::read_to_string("/proc/thread-self/net/dev"))??;
        Statistics::find(&table, interface).with_context(|| format!("there is no interface {interface}"))
    }

    /// Has the kernel receive an interface's packets on a thread of its own, and returns that thread's id.
    ///
    /// # Errors
    ///
    /// When the interface does not poll, or before Linux 5.12.
    pub fn receive_by_thread(&self, interface: &str) -> Result<i32> {
        let switch = format!("/sys/class/net/{interface}/threaded");
        // The thread's name says which interface it serves, but not in which namespace: it is the one that is new.
        let one_at_a_time = File::open(std::env::temp_dir())?;
        one_at_a_time.lock()?;
        let before = receiving_threads(interface)?;
        self.run(|| {
            see_own_sysfs()?;
            fs::write(&switch, "1")
        })?
        .with_context(|| format!("cannot write {switch}"))?;
        let after = receiving_threads(interface)?;
        let new = after.into_iter().find(|thread| !before.contains(thread));
        new.with_context(|| format!("no kernel thread receives for {interface}"))
    }

    /// Lets one CPU receive what comes in at an interface, by software interrupts, whichever CPU it comes in on (RPS,
    /// Documentation/networking/scaling.rst).
    ///
    /// # Errors
    ///
    /// When there is no such interface, or the kernel has no RPS.
    pub fn receive_on(&self, interface: &str, cpu: usize) -> Result<()> {
        let switch = format!("/sys/class/net/{interface}/queues/rx-0/rps_cpus");
        // 32 CPUs a word, the highest ones first.
        let mut mask = format!("{:x}", 1_u32 << (cpu % 32));
        for _ in 0..cpu / 32 {
            mask += ",00000000";
        }
        self.run(|| {
            see_own_sysfs()?;
            fs::write(&switch, &mask)
        })?
        .with_context(|| format!("cannot write {switch}"))
    }

    /// A clone of its descriptor, for a thread that stays inside longer than [`Self::run`].
    pub(crate) fn handle(&self) -> io::Result<OwnedFd> {
        self.handle.try_clone()
    }
}

/// What an interface has counted since it was made.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Statistics {
    /// Packets received. Of a veth: those that its receive queue took, whatever XDP did with them then.
    pub received: u64,
    /// Packets that did not get into the receive queue, or that XDP dropped by an error.
    pub receive_dropped: u64,
    /// Packets sent.
    pub sent: u64,
}

impl Statistics {
    /// Reads the interface's line of /proc/net/dev.
    fn find(table: &str, interface: &str) -> Option<Self> {
        let (_, numbers) = table
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.trim() == interface)?;
        let numbers: Vec<u64> = numbers.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        Some(Self { received: *numbers.get(1)?, receive_dropped: *numbers.get(3)?, sent: *numbers.get(9)? })
    }
}

/// Moves the calling thread into the network namespace. Allocates nothing, so that a forked child may call it.
pub(crate) fn enter(namespace: RawFd) -> io::Result<()> {
    // SAFETY: setns takes any descriptor and says so if it is no namespace.
    match unsafe { libc::setns(namespace, libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Shows the calling thread, and only it, the sysfs of the network namespace that it is in.
fn see_own_sysfs() -> io::Result<()> {
    // SAFETY: the strings are C strings, there is no data, and the mounts of other threads stay as they are.
    let done = unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(
                std::ptr::null(),
                c"/".as_ptr(),
                std::ptr::null(),
                libc::MS_REC | libc::MS_PRIVATE,
                std::ptr::null(),
            ) == 0
            && libc::mount(c"sysfs".as_ptr(), c"/sys".as_ptr(), c"sysfs".as_ptr(), 0, std::ptr::null()) == 0
    };
    if done { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The ids of the kernel threads that receive for interfaces of this name, in whatever namespace.
fn receiving_threads(interface: &str) -> io::Result<Vec<i32>> {
    let prefix = format!("napi/{interface}-");
    let mut found = Vec::new();
    for process in fs::read_dir("/proc")?.flatten() {
        let Some(id) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that ended meanwhile has no name any more.
        if fs::read_to_string(process.path().join("comm")).is_ok_and(|name| name.starts_with(&prefix)) {
            found.push(id);
        }
    }
    Ok(found)
}

fn unshared() -> io::Result<OwnedFd> {
    // SAFETY: only this thread's network namespace changes, and the thread ends with this function.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(File::open("/proc/thread-self/ns/net")?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_read_by_column() {
        let table = "Inter-|   Receive                                                |  Transmit\n \
             face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop\n    \
             lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0\n  \
             eth0: 5000000000 70 0 7 0 0 0 0 900 9 0 2 0 0 0 0\n";
        let expected = Statistics { received: 70, receive_dropped: 7, sent: 9 };
        assert_eq!(Statistics::find(table, "eth0"), Some(expected));
        assert_eq!(Statistics::find(table, "eth"), None);
    }
}
