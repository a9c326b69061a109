//! The per-source limiter as it is commonly written for XDP: an LRU hash map from address to a fixed window.
//!
//! As little as such a limiter can do: no VLAN, no ports, no lists, no counters, and a window that can be beaten at its
//! boundary. Whatever is added makes it slower.

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::LruHashMap,
    helpers::generated::bpf_ktime_get_ns,
    macros::{btf_map, xdp},
    programs::XdpContext,
};

/// Packets that one source may send in a window: the benchmark's policy has the same.
const LIMIT: u64 = 1000;
const WINDOW_NS: u64 = 1_000_000_000;
/// Sources remembered at once, for each of IPv4 and IPv6. About what peers choose, and some 100 MiB; fewer would evict
/// more, more would miss the cache more.
const SOURCES: usize = 1 << 20;

const ETHERTYPE_IPV4: u16 = 0x0800_u16.to_be();
const ETHERTYPE_IPV6: u16 = 0x86dd_u16.to_be();

#[repr(C)]
struct Window {
    began_ns: u64,
    packets: u64,
}

#[btf_map]
static LRU_V4: LruHashMap<u32, Window, SOURCES> = LruHashMap::new();
#[btf_map]
static LRU_V6: LruHashMap<[u32; 4], Window, SOURCES> = LruHashMap::new();

/// Drops what a source sends above its limit.
#[xdp(frags)]
fn lru_limiter(ctx: XdpContext) -> u32 {
    let (start, end) = (ctx.data(), ctx.data_end());
    let Some(ethertype) = read::<u16>(start, 12, end) else { return xdp_action::XDP_PASS };
    match ethertype {
        ETHERTYPE_IPV4 => match read::<u32>(start, 26, end) {
            Some(source) => limit(&LRU_V4, &source),
            None => xdp_action::XDP_DROP,
        },
        ETHERTYPE_IPV6 => match read_v6(start, 22, end) {
            Some(source) => limit(&LRU_V6, &source),
            None => xdp_action::XDP_DROP,
        },
        _ => xdp_action::XDP_PASS,
    }
}

#[inline(always)]
fn limit<K>(sources: &LruHashMap<K, Window, SOURCES>, source: &K) -> u32 {
    // SAFETY: a helper without arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let Some(window) = sources.get_ptr_mut(source) else {
        return match sources.insert(source, &Window { began_ns: now, packets: 1 }, 0) {
            Ok(()) => xdp_action::XDP_PASS,
            Err(_) => xdp_action::XDP_ABORTED,
        };
    };
    // SAFETY: the map's value; as everywhere in such limiters, two CPUs may lose each other's counts.
    let window = unsafe { &mut *window };
    if now.wrapping_sub(window.began_ns) >= WINDOW_NS {
        window.began_ns = now;
        window.packets = 0;
    }
    window.packets += 1;
    if window.packets > LIMIT { xdp_action::XDP_DROP } else { xdp_action::XDP_PASS }
}

#[inline(always)]
fn read_v6(start: usize, offset: usize, end: usize) -> Option<[u32; 4]> {
    Some([
        read(start, offset, end)?,
        read(start, offset + 4, end)?,
        read(start, offset + 8, end)?,
        read(start, offset + 12, end)?,
    ])
}

/// Reads an integer of the frame, if the frame is that long.
#[inline(always)]
fn read<T: Copy>(start: usize, offset: usize, end: usize) -> Option<T> {
    let at = start + offset;
    if at + size_of::<T>() > end {
        return None;
    }
    // SAFETY: the bytes are within the frame, and BPF loads need no alignment. Volatile, for the compiler must assume
    // nothing about the address.
    Some(unsafe { core::ptr::with_exposed_provenance::<T>(at).read_volatile() })
}
