//! What the maps take for this configuration, against what there is.

use std::{collections::BTreeMap, fs, path::Path};

use super::Finding;
use crate::{
    config::{Config, Role},
    datapath::{Datapath, Options},
    object,
};

/// Kernel memory of a prefix of a list file, and what the agent needs for it while it is read, in bytes: from what a million takes
/// (docs/operator.md), rounded up.
const KERNEL_PER_PREFIX: u64 = 100;
const AGENT_PER_PREFIX: u64 = 180;
/// Bytes of a list file that make a prefix at least: `192.0.2.7` and the line's end.
const SHORTEST_LINE: u64 = 10;
/// The part of what is free that the maps may take without a warning.
const COMFORTABLE: u64 = 4;

/// Looks at memory, by loading the program with the configuration's tables; nothing of it stays.
pub(super) fn findings(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let files = list_files(config);
    match maps(config) {
        Ok(bytes) => findings.push(enough(bytes, files, available())),
        Err(why) => findings.push(Finding::warn(
            "memory",
            format!("what the maps take cannot be measured: {why}"),
            "run it as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON",
        )),
    }
    findings.extend(limited("this process", "/proc/self/cgroup"));
    findings
}

/// Kernel memory that the maps take.
fn maps(config: &Config) -> Result<u64, String> {
    if object::is_stub() {
        return Err("this stopbank was built without its BPF programs".to_owned());
    }
    let options = Options {
        source_lines: config.source.lines,
        flows: (config.role == Role::Gateway).then_some(config.flows),
        ..Options::default()
    };
    let before = map_memory();
    let loaded = Datapath::private(&options).map_err(|error| first_line(&error.to_string()))?;
    let after = map_memory();
    drop(loaded);
    Ok(after.iter().filter(|(id, _)| !before.contains_key(id)).map(|(_, bytes)| bytes).sum())
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// Bytes of every map that this process holds, by its id (Documentation/bpf, `fdinfo`).
fn map_memory() -> BTreeMap<u32, u64> {
    let mut memory = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/fdinfo").into_iter().flatten().flatten() {
        let info = fs::read_to_string(entry.path()).unwrap_or_default();
        let number = |key| info.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok());
        if let (Some(id), Some(bytes)) = (number("map_id:"), number("memlock:")) {
            memory.insert(id as u32, bytes);
        }
    }
    memory
}

/// Prefixes that the list files may have, by their size.
fn list_files(config: &Config) -> u64 {
    let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    config.list_files.iter().map(|list| size(&list.path) / SHORTEST_LINE).sum()
}

/// `MemAvailable`, in bytes.
fn available() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

fn enough(maps: u64, prefixes: u64, available: Option<u64>) -> Finding {
    const CHECK: &str = "memory";
    // Two generations while one is swapped for the other.
    let lists = prefixes * (2 * KERNEL_PER_PREFIX + AGENT_PER_PREFIX);
    let needed = maps + lists;
    let mut found = format!("the maps take {}", mebibytes(maps));
    if prefixes > 0 {
        found.push_str(&format!(", list files up to {} more while they are read", mebibytes(lists)));
    }
    let Some(available) = available else { return Finding::ok(CHECK, found) };
    found.push_str(&format!("; {} are available", mebibytes(available)));
    if needed > available {
        let fix = "fewer `lines` in [source] (and [flows]), shorter list files, or more memory";
        return Finding::fail(CHECK, found, fix);
    }
    if needed > available / COMFORTABLE {
        let fix =
            "see that nothing else on this host needs it: fewer `lines` in [source] (and [flows]) take less";
        return Finding::warn(CHECK, found, fix);
    }
    Finding::ok(CHECK, found)
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// A limit of the control group: since Linux 5.11 the maps of a process count there, and not against its locked memory.
fn limited(who: &str, path: &str) -> Option<Finding> {
    let text = fs::read_to_string(path).ok()?;
    let group = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    let limit = lowest_limit(Path::new("/sys/fs/cgroup"), group.trim())?;
    Some(judge_limit(who, limit))
}

/// The lowest `memory.max` from a control group up to the root, bytes.
fn lowest_limit(root: &Path, group: &str) -> Option<u64> {
    let own = root.join(group.trim_start_matches('/'));
    own.ancestors()
        .take_while(|group| group.starts_with(root))
        .filter_map(|group| fs::read_to_string(group.join("memory.max")).ok()?.trim().parse().ok())
        .min()
}

/// What an agent with small tables needs, in bytes.
const LEAST: u64 = 128 << 20;

fn judge_limit(who: &str, limit: u64) -> Finding {
    let found =
        format!("{who} may use {} (memory.max of its control group), maps included", mebibytes(limit));
    if limit < LEAST {
        return Finding::warn(
            "memory limit",
            found,
            "MemoryMax=256M or more in the unit, twice that with large list files",
        );
    }
    Finding::ok("memory limit", found)
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn what_is_needed_is_held_against_what_there_is() {
        assert_eq!(enough(10 << 20, 0, Some(1 << 30)).state, State::Ok);
        assert_eq!(enough(10 << 20, 0, None).state, State::Ok);
        assert_eq!(enough(300 << 20, 0, Some(1 << 30)).state, State::Warn);
        assert_eq!(enough(2 << 30, 0, Some(1 << 30)).state, State::Fail);
        let lists = enough(10 << 20, 1_000_000, Some(1 << 29));
        assert_eq!(lists.state, State::Warn, "a million prefixes count too: {lists:?}");
        assert_eq!(judge_limit("x", 64 << 20).state, State::Warn);
        assert_eq!(judge_limit("x", 256 << 20).state, State::Ok);
    }

    #[test]
    fn the_lowest_limit_above_a_group_counts() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("system.slice/stopbank.service");
        fs::create_dir_all(&group).unwrap();
        assert_eq!(lowest_limit(root.path(), "/system.slice/stopbank.service"), None);
        fs::write(group.join("memory.max"), "max\n").unwrap();
        fs::write(root.path().join("system.slice/memory.max"), "1048576\n").unwrap();
        assert_eq!(lowest_limit(root.path(), "/system.slice/stopbank.service"), Some(1 << 20));
        fs::write(group.join("memory.max"), "4096\n").unwrap();
        assert_eq!(lowest_limit(root.path(), "/system.slice/stopbank.service"), Some(4_096));
    }
}
