//! `stopbank simulate`: captures run through the program by a clock of their own, and each verdict is told.
//!
//! In a program that protects an interface [`SIMULATION`] is 0. It stands in a frozen map, so that the verifier knows the
//! value, never walks what depends on it, and takes those instructions out.

use aya_ebpf::{Global, btf_maps::Array, macros::btf_map};
use stopbank_common::simulation::{ASSUME_SOCKETS, SIMULATE, Trace};

/// `BPF_F_MMAPABLE` (include/uapi/linux/bpf.h): user space writes the time and reads the verdict without a system call.
const MMAPABLE: usize = 1 << 10;

/// `SIMULATE` and what else goes with it; always set at load. Its initial value is one that no other constant has: see
/// `SOURCES_MASK`.
#[unsafe(no_mangle)]
static SIMULATION: Global<u32> = Global::new(0xdead_51a7);

/// Now, in nanoseconds.
#[btf_map]
static SIMULATED_NOW: Array<u64, 1, MMAPABLE> = Array::new();

/// What became of the latest packet.
#[btf_map]
static TRACE: Array<Trace, 1, MMAPABLE> = Array::new();

/// Whether this program was loaded for a simulation.
#[inline(always)]
fn simulating() -> bool {
    SIMULATION.load() & SIMULATE != 0
}

/// The capture's time in nanoseconds; nothing in a program that protects an interface.
#[inline(always)]
pub(crate) fn now() -> Option<u64> {
    if simulating() { Some(capture_time()) } else { None }
}

/// Whether a socket is taken to exist; nothing where the kernel is to be asked.
#[inline(always)]
pub(crate) fn socket() -> Option<bool> {
    if simulating() { Some(SIMULATION.load() & ASSUME_SOCKETS != 0) } else { None }
}

/// Tells what becomes of the packet. `reason` and `observed` are numbers; see [`crate::verdict`].
#[inline(always)]
pub(crate) fn trace(class: u8, inner: u8, reason: u32, observed: u32, action: u32) {
    if simulating() {
        tell(class, inner, reason, observed, action);
    }
}

// Functions of their own, so that they take no registers from the code around their calls, and go with them.

#[inline(never)]
fn capture_time() -> u64 {
    let Some(now) = SIMULATED_NOW.get_ptr(0) else { return 0 };
    // SAFETY: an aligned u64 in a map value. Volatile: user space writes it between two packets.
    unsafe { now.read_volatile() }
}

#[inline(never)]
fn tell(class: u8, inner: u8, reason: u32, observed: u32, action: u32) {
    let Some(trace) = TRACE.get_ptr_mut(0) else { return };
    let verdict = Trace { reason, observed, action, class: u32::from(class), inner: u32::from(inner) };
    // SAFETY: a map value; packets of a simulation are run one at a time.
    unsafe { trace.write_volatile(verdict) };
}
