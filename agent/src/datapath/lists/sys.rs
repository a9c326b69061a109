//! What aya has no call for: pins of any kind, programs by number, and links that are given another program; maps made with flags of their own, written through a mapping or in batches, and slots of an
//! outer map that are emptied.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
    ptr::NonNull,
    sync::atomic::AtomicU64,
};

// Commands of bpf(2) (include/uapi/linux/bpf.h).
const MAP_CREATE: libc::c_long = 0;
const MAP_UPDATE_ELEM: libc::c_long = 2;
const MAP_DELETE_ELEM: libc::c_long = 3;
const OBJ_GET: libc::c_long = 7;
const PROG_GET_FD_BY_ID: libc::c_long = 13;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const MAP_UPDATE_BATCH: libc::c_long = 26;
const LINK_UPDATE: libc::c_long = 29;

/// `BPF_MAP_TYPE_ARRAY`.
pub(super) const ARRAY: u32 = 2;
/// `BPF_MAP_TYPE_LPM_TRIE`.
pub(super) const LPM_TRIE: u32 = 11;
/// `BPF_F_NO_PREALLOC`, which tries must have.
pub(super) const NO_PREALLOC: u32 = 1;
/// `BPF_F_MMAPABLE`.
pub(super) const MAPPED: u32 = 1 << 10;
/// `BPF_F_INNER_MAP`: may differ in size from others in the same outer map.
pub(super) const ANY_SIZE: u32 = 1 << 12;

/// Elements of one batch: about a megabyte that the kernel copies at a time.
const BATCH: usize = 1 << 14;

/// The beginning of `union bpf_attr` for `BPF_MAP_CREATE`.
#[repr(C)]
#[derive(Default)]
struct Create {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    /// Ends in NUL.
    name: [u8; 16],
}

/// For `BPF_MAP_UPDATE_ELEM` and `BPF_MAP_DELETE_ELEM`.
#[repr(C)]
#[derive(Default)]
struct Element {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// For `BPF_MAP_UPDATE_BATCH`.
#[repr(C)]
#[derive(Default)]
struct Batch {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// bpf(2), with an attribute that begins as the command wants it.
pub(in crate::datapath) fn bpf<A>(command: libc::c_long, attribute: &mut A) -> io::Result<libc::c_long> {
    // SAFETY: the attribute is a live, initialised struct of the size that is given; what it points to is the caller's
    // affair and outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attribute, size_of::<A>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Makes a map.
pub(super) fn create(
    name: &str,
    map_type: u32,
    (key_size, value_size): (usize, usize),
    max_entries: u32,
    map_flags: u32,
) -> io::Result<OwnedFd> {
    let (key_size, value_size) = (key_size as u32, value_size as u32);
    let mut attribute =
        Create { map_type, key_size, value_size, max_entries, map_flags, ..Create::default() };
    let length = name.len().min(attribute.name.len() - 1);
    attribute.name[..length].copy_from_slice(&name.as_bytes()[..length]);
    let fd = bpf(MAP_CREATE, &mut attribute)?;
    // SAFETY: the kernel has just given this descriptor to us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Puts a map into a slot of an outer map. When this returns, no program that runs has what was there before: the kernel
/// waits for those that began earlier (`maybe_wait_bpf_programs`, kernel/bpf/syscall.c).
pub(super) fn put(map: BorrowedFd<'_>, key: u32, inner: BorrowedFd<'_>) -> io::Result<()> {
    let value = inner.as_raw_fd() as u32;
    let mut attribute = Element {
        map_fd: map.as_raw_fd() as u32,
        key: (&raw const key).expose_provenance() as u64,
        value: (&raw const value).expose_provenance() as u64,
        ..Element::default()
    };
    bpf(MAP_UPDATE_ELEM, &mut attribute).map(|_| ())
}

/// Empties a slot of an outer map; it may be empty already.
pub(super) fn empty(map: BorrowedFd<'_>, key: u32) -> io::Result<()> {
    let key = (&raw const key).expose_provenance() as u64;
    let mut attribute = Element { map_fd: map.as_raw_fd() as u32, key, ..Element::default() };
    match bpf(MAP_DELETE_ELEM, &mut attribute) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        result => result.map(|_| ()),
    }
}

/// Opens whatever is pinned at a path.
pub(in crate::datapath) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // `pathname`, `bpf_fd` and `file_flags`.
    let fd = bpf(OBJ_GET, &mut [path.as_ptr().expose_provenance() as u64, 0])?;
    // SAFETY: the kernel has just given this descriptor to us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// The program with a number. Takes CAP_SYS_ADMIN.
pub(in crate::datapath) fn program_by_id(id: u32) -> io::Result<OwnedFd> {
    // `prog_id`, `next_id` and `open_flags`.
    let fd = bpf(PROG_GET_FD_BY_ID, &mut [id, 0, 0])?;
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// The number of a program.
pub(in crate::datapath) fn program_id(program: BorrowedFd<'_>) -> io::Result<u32> {
    // `struct bpf_prog_info` begins with its type and its id; so much of it is asked for.
    let mut info = [0_u32; 2];
    let at = (&raw mut info).expose_provenance() as u64;
    // `bpf_fd`, `info_len` and `info`.
    bpf(OBJ_GET_INFO_BY_FD, &mut [program.as_raw_fd() as u64 | (size_of_val(&info) as u64) << 32, at])?;
    Ok(info[1])
}

/// Replaces the program of a link, atomically.
pub(in crate::datapath) fn update_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    // `link_fd`, `new_prog_fd`, `flags` and `old_prog_fd`.
    bpf(LINK_UPDATE, &mut [link.as_raw_fd() as u32, program.as_raw_fd() as u32, 0, 0]).map(|_| ())
}

/// Inserts or replaces many elements.
pub(super) fn insert_all<K: Copy, V: Copy>(
    map: BorrowedFd<'_>,
    elements: impl Iterator<Item = (K, V)>,
) -> io::Result<()> {
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    for (key, value) in elements {
        keys.push(key);
        values.push(value);
        if keys.len() == BATCH {
            insert_batch(map, &keys, &values)?;
            keys.clear();
            values.clear();
        }
    }
    if keys.is_empty() { Ok(()) } else { insert_batch(map, &keys, &values) }
}

fn insert_batch<K: Copy, V: Copy>(map: BorrowedFd<'_>, keys: &[K], values: &[V]) -> io::Result<()> {
    let mut attribute = Batch {
        keys: keys.as_ptr().expose_provenance() as u64,
        values: values.as_ptr().expose_provenance() as u64,
        count: keys.len() as u32,
        map_fd: map.as_raw_fd() as u32,
        ..Batch::default()
    };
    bpf(MAP_UPDATE_BATCH, &mut attribute).map(|_| ())
}

/// `u64`s of an array that user space writes directly.
pub(super) struct Mapping {
    base: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: the mapping belongs to this value alone, and is read and written as atomics only.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps so many words.
    pub(super) fn new(map: &impl AsFd, words: usize) -> io::Result<Self> {
        // SAFETY: asks for new addresses; touches none that are in use.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                words * size_of::<u64>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.as_fd().as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::other("mapped at 0"))?;
        Ok(Self { base, words })
    }

    /// The words that were asked for.
    pub(super) fn words(&self) -> &[AtomicU64] {
        // SAFETY: mapped, page-aligned, and as long as `self`; shared memory is only ever seen as atomics.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.words) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: what `new` mapped, which nothing refers to any more.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.words * size_of::<u64>()) };
    }
}
