//! The kernel memory of a process's BPF maps.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
};

/// Bytes by program.
pub(crate) type Memory = Vec<(String, u64)>;

/// Bytes of each map that this process holds, as the kernel accounts them, by the map's id.
pub(crate) fn of_maps() -> BTreeMap<u64, u64> {
    let mut memory = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/fdinfo").into_iter().flatten().flatten() {
        // A descriptor that was closed meanwhile has none.
        let info = fs::read_to_string(entry.path()).unwrap_or_default();
        let number =
            |key: &str| info.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok());
        if let (Some(id), Some(bytes)) = (number("map_id:"), number("memlock:")) {
            memory.insert(id, bytes);
        }
    }
    memory
}

/// Bytes of these maps together.
pub(crate) fn sum(ids: &BTreeSet<u64>) -> u64 {
    of_maps().iter().filter(|(id, _)| ids.contains(id)).map(|(_, bytes)| bytes).sum()
}

/// A sentence for each program; they were the same before and after.
pub(crate) fn markdown(memory: &Memory) -> String {
    let mut text = String::from("\nMemory of the maps, the same before and after:\n\n");
    for (program, bytes) in memory {
        let _ = writeln!(text, "- {program}: {bytes} bytes");
    }
    text
}
