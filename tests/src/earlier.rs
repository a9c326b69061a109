//! What an agent of ABI version 4 has pinned, made as that version made it: maps of the same types, sizes and flags (commit
//! "common, ebpf: one cell for each limit of a source", the last one of that version), and a link.
//!
//! The program behind the link is none of ours; it lets everything pass. What it is does not matter to who replaces it.

use std::{
    ffi::CString,
    fs, io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use anyhow::{Context, Result};
use aya::{
    Ebpf, Pod,
    maps::{Array, Map, MapData, MapError},
    programs::{Xdp, XdpMode, links::FdLink},
};
use stopbank_common::index::{PIECE_WORDS, PIECES};

use crate::netns::Namespace;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/traffic-xdp"));

// include/uapi/linux/bpf.h
const MAP_CREATE: i64 = 0;
const OBJ_PIN: i64 = 6;
const OBJ_GET: i64 = 7;
const OBJ_GET_INFO_BY_FD: i64 = 15;
const HASH: u32 = 1;
const ARRAY: u32 = 2;
const PERCPU_ARRAY: u32 = 6;
const LPM_TRIE: u32 = 11;
const ARRAY_OF_MAPS: u32 = 12;
const RINGBUF: u32 = 27;
const NO_PREALLOC: u32 = 1;
const MMAPABLE: u32 = 1 << 10;
const INNER_MAP: u32 = 1 << 12;

/// Bytes of that version's policy, without the sixteen about tunnels.
const POLICY: u32 =
    40 + 4 * 32 + 48 + 2 * 16 + 16 + 4 * 8 + 8 * 1024 + 128 * 32 + 384 * 64 + 256 + 2 * 65_536;
/// `u64`s of its filter: a bit for each /24 of both families, and no summary.
const FILTER_WORDS: u32 = 1 << 19;

/// Words of a KEPT: the key, the salts of 64 classes, and those of 32 signatures.
pub const KEPT_WORDS: usize = (48 + 4 * 64 + 4 * 32) / 4;

/// Type, key size, value size, entries and flags.
type Layout = (u32, u32, u32, u32, u32);

/// Pins the maps of version 4 in a directory, which is made. `lines`: entries of the table of sources.
///
/// # Errors
///
/// When the kernel refuses.
pub fn pin_version_4(directory: &Path, lines: u32) -> Result<()> {
    fs::create_dir_all(directory)?;
    let plain: [(&str, Layout); 14] = [
        ("LISTS", (LPM_TRIE, 20, 16, 1 << 20, NO_PREALLOC)),
        ("LISTS_STATE", (ARRAY, 4, 8, 1, 0)),
        ("LISTS_COARSE", (ARRAY, 4, 64, 1, 0)),
        ("SOURCES", (ARRAY, 4, 64, lines, MMAPABLE)),
        ("FLOWS", (ARRAY, 4, 64, 1, MMAPABLE)),
        ("FLOWS_STATE", (ARRAY, 4, 16, 1, 0)),
        ("TOTALS", (ARRAY, 4, 64, 64, MMAPABLE)),
        ("PROVEN", (HASH, 16, 8, 1 << 16, NO_PREALLOC)),
        ("COUNTERS", (PERCPU_ARRAY, 4, 2 * 16 * 64, 8 * 64, 0)),
        ("SIGNATURES", (PERCPU_ARRAY, 4, 16, 64, 0)),
        ("EVENTS", (RINGBUF, 0, 0, 256 * 1024, 0)),
        ("EVENT_BUDGET", (ARRAY, 4, 8, 1, 0)),
        ("DHCP_BUDGET", (ARRAY, 4, 8, 1, 0)),
        ("KEPT", (ARRAY, 4, 4 * KEPT_WORDS as u32, 1, 0)),
    ];
    for (name, layout) in plain {
        pin(&create(layout, None)?, &directory.join(name)).with_context(|| format!("cannot pin {name}"))?;
    }
    pin(&create((PERCPU_ARRAY, 4, 8, 1, 0), None)?, &directory.join("EVENTS_LOST"))?;
    let outer: [(&str, u32, Layout); 5] = [
        ("POLICY", 1, (ARRAY, 4, POLICY, 1, 0)),
        ("LISTS_FILTER", 2, (ARRAY, 4, 8, FILTER_WORDS, 0)),
        ("LISTS_INDEX", 2 * PIECES as u32, (ARRAY, 4, 8, PIECE_WORDS as u32, 0)),
        ("LISTS_LEAVES", 2, (ARRAY, 4, 64, 1, MMAPABLE | INNER_MAP)),
        ("LISTS_LONGER", 2, (LPM_TRIE, 20, 16, 1 << 22, NO_PREALLOC)),
    ];
    for (name, entries, layout) in outer {
        let inner = create(layout, None)?;
        let outer = create((ARRAY_OF_MAPS, 4, 4, entries, 0), Some(&inner))?;
        pin(&outer, &directory.join(name)).with_context(|| format!("cannot pin {name}"))?;
    }
    Ok(())
}

/// Opens a pinned map.
///
/// # Errors
///
/// When there is none, or it is of another type.
pub fn map<M: TryFrom<Map, Error = MapError>>(directory: &Path, name: &str) -> Result<M> {
    let data = MapData::from_pin(directory.join(name)).with_context(|| format!("no map {name}"))?;
    Ok(M::try_from(Map::from_map_data(data)?)?)
}

/// Writes the only entry of a pinned array.
///
/// # Errors
///
/// When the kernel refuses.
pub fn set<V: Pod>(directory: &Path, name: &str, value: V) -> Result<()> {
    let mut array: Array<MapData, V> = map(directory, name)?;
    Ok(array.set(0, value, 0)?)
}

/// Attaches a program that lets everything pass to an interface, and pins its link.
///
/// # Errors
///
/// When the kernel refuses.
pub fn attach(namespace: &Namespace, interface: &str, pin: &Path) -> Result<()> {
    let mut object = Ebpf::load(OBJECT).context("the kernel refuses the program's maps")?;
    let program: &mut Xdp = object.program_mut("take_replies").context("no such program")?.try_into()?;
    program.load()?;
    let id = namespace.run(|| program.attach(interface, XdpMode::Driver))??;
    FdLink::try_from(program.take_link(id)?)?.pin(pin)?;
    Ok(())
}

/// A link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// Its number, which stays as long as it is never taken off.
    pub id: u32,
    /// The number of its program.
    pub program: u32,
}

/// What is pinned as a link.
///
/// # Errors
///
/// When there is none.
pub fn link(pin: &Path) -> Result<Link> {
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let link = open(
        bpf(OBJ_GET, &mut [path.as_ptr().expose_provenance() as u64, 0])
            .with_context(|| format!("no link {}", pin.display()))?,
    );
    // `struct bpf_link_info`: type, id and program; so much of it is asked for.
    let mut info = [0_u32; 3];
    let at = (&raw mut info).expose_provenance() as u64;
    let length = (size_of_val(&info) as u64) << 32;
    bpf(OBJ_GET_INFO_BY_FD, &mut [link.as_raw_fd() as u64 | length, at])?;
    Ok(Link { id: info[1], program: info[2] })
}

fn create((kind, key, value, entries, flags): Layout, inner: Option<&OwnedFd>) -> io::Result<OwnedFd> {
    let inner = inner.map_or(0, |inner| inner.as_raw_fd() as u32);
    Ok(open(bpf(MAP_CREATE, &mut [kind, key, value, entries, flags, inner, 0, 0])?))
}

fn pin(map: &OwnedFd, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    bpf(OBJ_PIN, &mut [path.as_ptr().expose_provenance() as u64, map.as_raw_fd() as u64]).map(drop)
}

fn open(descriptor: i64) -> OwnedFd {
    // SAFETY: the kernel has just given this descriptor to us.
    unsafe { OwnedFd::from_raw_fd(descriptor as i32) }
}

fn bpf<A>(command: i64, attribute: &mut A) -> io::Result<i64> {
    // SAFETY: an initialised attribute of the length that is given; what it points to outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attribute, size_of::<A>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
