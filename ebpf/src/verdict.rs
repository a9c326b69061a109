//! How the steps tell what they found.
//!
//! A step is a global function of the object: the verifier looks at each once, by itself, and not on every way that
//! leads to it, which with ten steps are more ways than it goes. What such a function takes are numbers, and pointers that
//! may be null for all that the verifier knows; what it gives is a number.

use stopbank_common::Reason;

/// The step leaves the packet to the next one.
pub(crate) const NONE: u32 = u32::MAX;

/// A step's result as a number.
#[inline(always)]
pub(crate) const fn of(reason: Option<Reason>) -> u32 {
    match reason {
        Some(reason) => reason as u32,
        None => NONE,
    }
}

/// What becomes of a packet with this reason's number.
#[inline(always)]
pub(crate) const fn kind(reason: u32) -> Kind {
    if PASSES >> (reason & 63) & 1 != 0 {
        Kind::Pass
    } else if reason == Reason::SynCookie as u32 {
        Kind::Reply
    } else {
        Kind::Drop
    }
}

pub(crate) use stopbank_common::reason::Kind;

/// The reasons that let a packet pass, a bit each.
const PASSES: u64 = {
    let (mut bits, mut i) = (0, 0);
    while i < Reason::ALL.len() {
        if matches!(Reason::ALL[i].kind(), Kind::Pass) {
            bits |= 1 << i;
        }
        i += 1;
    }
    bits
};
