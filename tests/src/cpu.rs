//! Who runs on which CPU: a flood on one, and all that suffers from it on the others, wherever there are two.
//!
//! Beside the flood nothing would suffer. Whoever runs on its CPU runs while it pauses, and finds the receive queue just
//! drained.

use std::{io, mem, sync::OnceLock};

/// What a thread is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Sends a flood: the last CPU, which it has to itself as far as may be. It stands for other people's machines.
    Flood,
    /// Receives it: the last but one, on which it comes before processes, as a host's receiving does.
    Receive,
    /// Anything else while there are floods: every CPU but the last.
    Other,
    /// Whoever floods nobody: every CPU.
    Any,
}

impl Role {
    /// Its CPUs, out of at least one.
    fn among(self, cpus: &[usize]) -> &[usize] {
        let others = &cpus[..cpus.len().saturating_sub(1).max(1)];
        match self {
            Self::Flood => &cpus[cpus.len() - 1..],
            Self::Receive => &others[others.len() - 1..],
            Self::Other => others,
            Self::Any => cpus,
        }
    }
}

/// The first CPU of a role.
///
/// # Errors
///
/// When the kernel does not say which there are.
pub fn of(role: Role) -> io::Result<usize> {
    Ok(role.among(cpus()?)[0])
}

/// Gives a thread (0: the calling one) the CPUs of its role; threads and processes that it starts inherit them. On a machine
/// with one CPU everybody shares it.
///
/// # Errors
///
/// When the thread is gone or is not ours.
pub fn assign(thread: i32, role: Role) -> io::Result<()> {
    let chosen = role.among(cpus()?);
    // SAFETY: a set of zeroes is an empty one, CPU_SET checks its bounds, and the kernel reads a whole set.
    let done = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        for cpu in chosen {
            libc::CPU_SET(*cpu, &mut set);
        }
        libc::sched_setaffinity(thread, size_of_val(&set), &raw const set)
    };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    if matches!(role, Role::Flood | Role::Receive) {
        // SAFETY: takes any numbers.
        let done = unsafe { libc::setpriority(libc::PRIO_PROCESS, thread.cast_unsigned(), -20) };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Lets a kernel's thread come before whatever else its CPU has to do, as a software interrupt does. Priorities of processes would
/// not: they count within a group of processes only.
///
/// # Errors
///
/// When the thread is gone, or without root.
pub fn put_first(thread: i32) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: the kernel reads the parameters, which live across the call.
    match unsafe { libc::sched_setscheduler(thread, libc::SCHED_FIFO, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The CPUs that this process might use when it first asked; never none.
fn cpus() -> io::Result<&'static [usize]> {
    static CPUS: OnceLock<Vec<usize>> = OnceLock::new();
    if let Some(cpus) = CPUS.get() {
        return Ok(cpus);
    }
    // SAFETY: a set of zeroes is an empty one; the kernel writes at most its size, and CPU_ISSET checks its bounds.
    let cpus: Vec<usize> = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        if libc::sched_getaffinity(libc::getpid(), size_of_val(&set), &raw mut set) != 0 {
            return Err(io::Error::last_os_error());
        }
        (0..libc::CPU_SETSIZE as usize).filter(|cpu| libc::CPU_ISSET(*cpu, &set)).collect()
    };
    Ok(CPUS.get_or_init(|| cpus))
}
