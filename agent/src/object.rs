//! The BPF object that this binary carries.

/// The compiled XDP programs, or nothing if the binary was built without a BPF linker (`cargo xtask build` has one).
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/stopbank-xdp"));

/// Whether the binary was built on the empty stub.
pub const fn is_stub() -> bool {
    OBJECT.is_empty()
}
