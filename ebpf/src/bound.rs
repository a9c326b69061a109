//! Indices whose bounds every verifier sees.

use core::{arch::asm, hint::assert_unchecked};

/// `value & MASK`, right here, which the compiler must not leave out.
///
/// The compiler knows what an index can be, and drops a mask that changes nothing. The verifier of Linux 6.1 and 6.12
/// forgets what it knew of a value once it has gone over the stack as a part of something wider, and refuses the access.
/// (An assembly of no instruction would be shorter, and the kernel refuses the line numbers of it.)
#[inline(always)]
pub(crate) fn masked<const MASK: usize>(value: usize) -> usize {
    const { assert!(MASK <= i32::MAX as usize, "an immediate operand has 31 bits and a sign") };
    let mut value = value as u64;
    // SAFETY: one instruction on a register, after which the value is no more than the mask.
    unsafe {
        asm!(
            "{value} &= {mask}",
            value = inout(reg) value,
            mask = const MASK,
            options(pure, nomem, nostack, preserves_flags),
        );
        assert_unchecked(value <= MASK as u64);
    }
    value as usize
}
