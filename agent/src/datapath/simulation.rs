//! Frames through the program by a clock of their own, for `stopbank simulate`.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _},
    ptr::NonNull,
};

use aya::{
    Ebpf,
    maps::{Map, MapData},
    programs::{Program, TestRun as _, TestRunOptions},
};
use stopbank_common::{
    Plain, names,
    simulation::{ASSUME_SOCKETS, SIMULATE, Trace},
};

use super::{Datapath, DatapathError, maps, missing};

/// The shortest frame that the kernel runs: an Ethernet header.
pub const SHORTEST: usize = 14;

/// The longest frame that the kernel runs: what one page holds beside the program's headroom and the kernel's own data,
/// and the 17 fragments (`MAX_SKB_FRAGS`) that a packet has at most, a page each. Above all that IP can carry.
pub const LONGEST: usize = 4096 - 256 - 320 + 17 * 4096;

/// How the program is loaded for a simulation.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Simulation {
    /// Whether look-ups of sockets find one, whatever is asked for; otherwise they find none.
    pub assume_sockets: bool,
}

impl Simulation {
    /// What the program's global is set to.
    pub(super) const fn bits(simulation: Option<Self>) -> u32 {
        match simulation {
            None => 0,
            Some(Self { assume_sockets: false }) => SIMULATE,
            Some(Self { assume_sockets: true }) => SIMULATE | ASSUME_SOCKETS,
        }
    }
}

/// The maps by which a simulation speaks to its program, in this process's memory: two system calls less a packet.
pub(super) struct Exchange {
    now: Page<u64>,
    trace: Page<Trace>,
}

impl Exchange {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, DatapathError> {
        Ok(Self { now: Page::map(ebpf, names::SIMULATED_NOW)?, trace: Page::map(ebpf, names::TRACE)? })
    }

    /// Sets the simulation's clock.
    pub(super) fn set_clock(&mut self, now_ns: u64) {
        self.now.write(now_ns);
    }
}

impl Datapath {
    /// Runs a frame through the program at `now_ns` of the simulation's clock, and tells what became of it.
    ///
    /// # Errors
    ///
    /// [`DatapathError`]: the program was not loaded for a simulation, or the frame is shorter than [`SHORTEST`] or longer
    /// than [`LONGEST`].
    pub fn simulate(&mut self, frame: &[u8], now_ns: u64) -> Result<Trace, DatapathError> {
        let exchange = self.exchange.as_mut().ok_or_else(|| missing(names::TRACE))?;
        let Some(Program::Xdp(program)) = self.ebpf.program(names::PROGRAM) else {
            return Err(missing(names::PROGRAM));
        };
        exchange.now.write(now_ns);
        // What stands there afterwards is this frame's.
        exchange.trace.write(Trace::NONE);
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.repeat = 1;
        program.test_run(options).map_err(|error| {
            DatapathError::kernel(format!("run a frame of {} bytes through the program", frame.len()), &error)
        })?;
        let trace = exchange.trace.read();
        if trace == Trace::NONE {
            return Err(DatapathError::Kernel {
                tried: format!("run a frame of {} bytes through the program", frame.len()),
                why: "the program told nothing of it".to_owned(),
            });
        }
        Ok(trace)
    }
}

/// The one value of an array map, mapped into memory.
struct Page<T: Plain> {
    value: NonNull<T>,
    /// Open until the program, which refers to it, is loaded.
    _map: MapData,
}

// SAFETY: the memory belongs to this value alone, whichever thread holds it.
unsafe impl<T: Plain + Send> Send for Page<T> {}
// SAFETY: a shared reference only reads, and whatever bytes are there are a `T`.
unsafe impl<T: Plain + Sync> Sync for Page<T> {}

impl<T: Plain> Page<T> {
    fn map(ebpf: &mut Ebpf, name: &'static str) -> Result<Self, DatapathError> {
        let Map::Array(data) = maps::take(ebpf, name)? else { return Err(missing(name)) };
        // SAFETY: a new mapping at an address that the kernel chooses; the descriptor is open.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                Self::bytes(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                data.fd().as_fd().as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            let error = io::Error::last_os_error();
            return Err(DatapathError::kernel(format!("take map {name} into memory"), &error));
        }
        NonNull::new(address.cast()).map(|value| Self { value, _map: data }).ok_or_else(|| missing(name))
    }

    /// Mappings are made of whole pages.
    fn bytes() -> usize {
        // SAFETY: sysconf takes a number and touches nothing.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        size_of::<T>().next_multiple_of(usize::try_from(page).unwrap_or(4096))
    }

    fn write(&mut self, value: T) {
        // SAFETY: mapped and page-aligned; volatile, because the kernel reads it behind the compiler's back.
        unsafe { self.value.as_ptr().write_volatile(value) };
    }

    fn read(&self) -> T {
        // SAFETY: mapped and page-aligned, every bit pattern is a `T`; volatile, because the kernel writes it.
        unsafe { self.value.as_ptr().read_volatile() }
    }
}

impl<T: Plain> Drop for Page<T> {
    fn drop(&mut self) {
        // SAFETY: mapped with this length, and nothing refers to it any more.
        unsafe { libc::munmap(self.value.as_ptr().cast(), Self::bytes()) };
    }
}
