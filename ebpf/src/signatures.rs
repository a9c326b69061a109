//! What packets of known attacks look like. Asked only where a class has signatures, of which each is compared with what
//! the headers say first, and reads the packet only where that fits.

use core::cell::UnsafeCell;

use aya_ebpf::{
    bindings::xdp_md, btf_maps::PerCpuArray, helpers::generated::bpf_xdp_load_bytes, macros::btf_map,
    programs::XdpContext,
};
use stopbank_common::{
    Reason,
    counters::Tally,
    parse::{Cursor, Layout, parse_layout},
    policy::{CLASS_OBSERVE, MAX_CLASSES, MAX_SIGNATURES, MODE_ENFORCE, Policy},
    signature::{Bytes, LONGEST_OPTIONS, Signature, TALLIES, field, option_kinds, tally},
};

use crate::{Packet, bound::masked, tunnels, verdict};

/// Packets that each signature has matched, by [`tally`].
#[btf_map]
static SIGNATURES: PerCpuArray<Tally, TALLIES> = PerCpuArray::new();

/// The TCP options at hand. On the stack there is no room for them.
#[btf_map]
static OPTIONS: PerCpuArray<[u64; 8], 1> = PerCpuArray::new();

/// [`Reason::Signature`] if the packet matches a signature of its class; what only signatures match that observe is noted.
/// The first that matches and does not observe decides. See [`verdict`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn judge_by_signatures(
    ctx: *mut xdp_md,
    packet: *mut Packet,
    policy: *const Policy,
) -> u32 {
    // SAFETY: the verifier knows that both may be null, and how large they are.
    let (Some(packet), Some(policy)) = (unsafe { packet.as_mut() }, unsafe { policy.as_ref() }) else {
        return verdict::NONE;
    };
    // Read a second time, so that packets of other classes do not pay for what only signatures ask. The facts are the same
    // again; for others there is no room on the stack.
    let mut layout = Layout::default();
    if packet.inner == tunnels::OUTER {
        let context = XdpContext::new(ctx);
        // SAFETY: data and data_end delimit the packet's bytes; the verifier holds every read to them.
        let cursor = unsafe { Cursor::from_range(context.data(), context.data_end()) };
        if parse_layout(cursor, packet.length, &mut packet.facts, &mut layout).is_err() {
            return verdict::NONE; // Never: it was read before.
        }
    } else {
        tunnels::read_inner(ctx, packet, &mut layout);
    }
    let layout = core::hint::black_box(&layout);
    let mut asked = policy.classes[masked::<{ MAX_CLASSES - 1 }>(packet.class.into())].signatures;
    let mut number = 0;
    while number < MAX_SIGNATURES {
        if asked == 0 {
            break;
        }
        let signature = &policy.signatures[masked::<{ MAX_SIGNATURES - 1 }>(number)];
        if asked & 1 != 0 && matches_signature(ctx, packet, layout, signature) != 0 {
            count(packet, policy, signature);
            if signature.fields & field::OBSERVE == 0 {
                return Reason::Signature as u32;
            }
            packet.note(Reason::Signature as u32);
        }
        asked >>= 1;
        number += 1;
    }
    verdict::NONE
}

/// 1 if the packet matches. The verifier looks at it once, and not for each of the signatures.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn matches_signature(
    ctx: *mut xdp_md,
    packet: *const Packet,
    layout: *const Layout,
    signature: *const Signature,
) -> u32 {
    // SAFETY: the verifier knows that they may be null, and how large they are.
    let (Some(packet), Some(layout), Some(signature)) =
        (unsafe { (packet.as_ref(), layout.as_ref(), signature.as_ref()) })
    else {
        return 0;
    };
    u32::from(signature.matches(&packet.facts, layout, &Reader::new(ctx)))
}

/// Counts a match: as observed where the signature, its class, the rule or the whole policy only observes.
#[inline(always)]
fn count(packet: &Packet, policy: &Policy, signature: &Signature) {
    let class = &policy.classes[masked::<{ MAX_CLASSES - 1 }>(packet.class.into())];
    let observed = signature.fields & field::OBSERVE != 0
        || class.flags & CLASS_OBSERVE != 0
        || policy.observed >> Reason::Signature as u32 & 1 != 0
        || policy.mode != MODE_ENFORCE;
    let Some(tally) = SIGNATURES.get_ptr_mut(tally(signature.counter, observed)) else { return };
    // SAFETY: this CPU's own value; nothing else on this CPU touches it while an XDP program runs.
    let tally = unsafe { &mut *tally };
    tally.packets += 1;
    tally.bytes += u64::from(packet.length);
}

/// Reads the packet by a helper that knows all of a driver's buffers. What it reads goes to one place, cleared once.
struct Reader {
    ctx: *mut xdp_md,
    buffer: UnsafeCell<[u64; 2]>,
}

impl Reader {
    #[inline(always)]
    const fn new(ctx: *mut xdp_md) -> Self {
        Self { ctx, buffer: UnsafeCell::new([0; 2]) }
    }
}

impl Bytes for Reader {
    #[inline(always)]
    fn pattern(&self, offset: u32, length: u32) -> Option<[u64; 2]> {
        let buffer = self.buffer.get();
        // The verifier wants to see that it is 1 to 16.
        let length = 1 + masked::<15>(length.wrapping_sub(1) as usize) as u32;
        // SAFETY: the buffer is ours alone, and holds as many bytes; what an earlier signature left after them, the mask
        // does not ask for.
        unsafe {
            (bpf_xdp_load_bytes(self.ctx, offset, buffer.cast(), length) == 0).then(|| buffer.read_volatile())
        }
    }

    #[inline(always)]
    fn options(&self, offset: u32, length: u32) -> Option<u64> {
        if length == 0 {
            return Some(0);
        }
        Some(read_option_kinds(self.ctx, offset, length))
    }
}

/// [`option_kinds`] of up to 40 bytes of options.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn read_option_kinds(ctx: *mut xdp_md, offset: u32, length: u32) -> u64 {
    if length == 0 || length > LONGEST_OPTIONS as u32 {
        return 0;
    }
    let Some(options) = OPTIONS.get_ptr_mut(0) else { return stopbank_common::signature::OPTIONS_MALFORMED };
    let bytes = options.cast::<[u8; 64]>();
    // Linux 6.1 wants to see that it is 1 to 64.
    let length = 1 + masked::<63>((length - 1) as usize) as u32;
    // SAFETY: this CPU's own, longer than the longest options; what an earlier packet left behind them is not looked at.
    if unsafe { bpf_xdp_load_bytes(ctx, offset, bytes.cast(), length) } != 0 {
        // The parser has found them to be there.
        return stopbank_common::signature::OPTIONS_MALFORMED;
    }
    // SAFETY: 64 bytes of a map value.
    option_kinds(unsafe { &*bytes }, length)
}
