//! What an operator has put on the lists, on the disk: so that it survives a reboot, with who did it, when and why.
//!
//! Two files in `lists` below the agent's state directory. `snapshot` holds all entries and the latest [`Event`]s as they
//! were at some time, `journal` every change since; both have the same kind of lines ([`Line`]), each with its number and
//! its checksum. A number that the snapshot covers is not read from the journal again, so that a crash between writing
//! the one and emptying the other does no harm.
//!
//! The [`Keeper`] writes them, on threads of its own: nobody waits for a disk. What is in force is the kernel's affair;
//! a full disk or a damaged file costs what would have been known after the next reboot, and is named.

mod event;
mod files;
mod keeper;
mod line;

pub use event::{Action, Event, History};
pub use files::{Contents, Directory, Loaded, grouped};
pub use keeper::{Keeper, KeeperStatus, Outcome, Source, Ticket};
pub use line::{Found, Kept, Line, encode, read};

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last millisecond that RFC 3339 can write: the year 9999's.
const LAST: u64 = 253_402_300_799_999;

/// Milliseconds since 1970, which is how times are written.
pub fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(LAST).min(LAST)
}

/// The time of so many milliseconds since 1970; at most the last of the year 9999.
pub fn time_of(milliseconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(milliseconds.min(LAST))
}
