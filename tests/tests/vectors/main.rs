//! The limiter's arithmetic in the kernel: the same source, compiled for BPF, must do on the same vectors what it does on
//! the host. (The properties of that arithmetic are held in `common/tests/gcra`.)

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod kernel;
mod random;
mod table;

use std::cell::Cell as Slot;

use kernel::{Exchange, Kernel};
use libtest_mimic::Arguments;
use stopbank_common::gcra::{Cell, Limit, admit};
use stopbank_tests::skip;

/// Pseudo-random vectors that the kernel is given.
const RANDOM: usize = 10_000;

/// A cell of the host's.
struct HostCell(Slot<u64>);

impl Cell for HostCell {
    fn load(&self) -> u64 {
        self.0.get()
    }

    fn replace(&self, current: u64, new: u64) -> bool {
        let unchanged = self.0.get() == current;
        if unchanged {
            self.0.set(new);
        }
        unchanged
    }
}

/// What the kernel program does, on the host.
fn on_the_host(mut exchange: Exchange) -> Exchange {
    let cell = HostCell(Slot::new(exchange.arrival));
    let limit = Limit { increment: exchange.increment, tolerance: exchange.tolerance };
    exchange.admitted = u32::from(admit(&cell, exchange.now, &limit, exchange.units));
    exchange.arrival = cell.0.get();
    exchange
}

fn host_keeps_to_the_table() {
    for vector in table::vectors() {
        assert_eq!(on_the_host(vector.asked), vector.expected, "{}", vector.name);
    }
}

fn kernel_keeps_to_the_table() {
    let kernel = Kernel::load();
    for vector in table::vectors() {
        assert_eq!(kernel.judge(vector.asked), vector.expected, "{}", vector.name);
    }
}

fn kernel_does_as_the_host() {
    let kernel = Kernel::load();
    let (mut admitted, mut refused) = (0, 0);
    for (number, asked) in random::vectors(RANDOM).enumerate() {
        let expected = on_the_host(asked);
        assert_eq!(kernel.judge(asked), expected, "vector {number}: {asked:?}");
        if expected.admitted == 0 { refused += 1 } else { admitted += 1 }
    }
    // Vectors that are all refused would prove little.
    assert!(admitted > RANDOM / 5 && refused > RANDOM / 5, "{admitted} admitted, {refused} refused");
}

fn main() {
    let arguments = Arguments::from_args();
    let trials = vec![
        skip::trial(
            "the host decides every vector of the table as it says",
            || None,
            host_keeps_to_the_table,
        ),
        skip::trial(
            "the kernel decides every vector of the table as it says",
            kernel::obstacle,
            kernel_keeps_to_the_table,
        ),
        skip::trial(
            "the kernel decides 10,000 pseudo-random vectors as the host does",
            kernel::obstacle,
            kernel_does_as_the_host,
        ),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}
