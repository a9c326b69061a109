//! What the kernel does for XDP programs, each asked for by itself; and the program as a whole.

use aya::{
    maps::MapType,
    programs::ProgramType,
    sys::{BpfHelper, is_helper_supported, is_map_supported},
};

use super::Finding;
use crate::{
    datapath::{Datapath, Options},
    object,
};

/// Helpers by what they serve. Linux 6.1 has all of them unless it was built without the subsystem.
const HELPERS: [(&str, BpfHelper); 13] = [
    ("frames of several buffers (bpf_xdp_get_buff_len)", BpfHelper::BPF_FUNC_xdp_get_buff_len),
    ("their later buffers (bpf_xdp_load_bytes)", BpfHelper::BPF_FUNC_xdp_load_bytes),
    ("the coarse clock (bpf_ktime_get_coarse_ns)", BpfHelper::BPF_FUNC_ktime_get_coarse_ns),
    ("the tick counter (bpf_jiffies64)", BpfHelper::BPF_FUNC_jiffies64),
    ("events (bpf_ringbuf_reserve)", BpfHelper::BPF_FUNC_ringbuf_reserve),
    ("TCP sockets (bpf_skc_lookup_tcp)", BpfHelper::BPF_FUNC_skc_lookup_tcp),
    ("UDP sockets (bpf_sk_lookup_udp)", BpfHelper::BPF_FUNC_sk_lookup_udp),
    ("SYN cookies, IPv4 (bpf_tcp_raw_gen_syncookie_ipv4)", BpfHelper::BPF_FUNC_tcp_raw_gen_syncookie_ipv4),
    ("SYN cookies, IPv6 (bpf_tcp_raw_gen_syncookie_ipv6)", BpfHelper::BPF_FUNC_tcp_raw_gen_syncookie_ipv6),
    (
        "their check, IPv4 (bpf_tcp_raw_check_syncookie_ipv4)",
        BpfHelper::BPF_FUNC_tcp_raw_check_syncookie_ipv4,
    ),
    (
        "their check, IPv6 (bpf_tcp_raw_check_syncookie_ipv6)",
        BpfHelper::BPF_FUNC_tcp_raw_check_syncookie_ipv6,
    ),
    ("answers (bpf_xdp_adjust_tail)", BpfHelper::BPF_FUNC_xdp_adjust_tail),
    ("programs in steps (bpf_tail_call)", BpfHelper::BPF_FUNC_tail_call),
];

const MAPS: [(&str, MapType); 4] = [
    ("policies swapped whole (array of maps)", MapType::ArrayOfMaps),
    ("prefixes (LPM trie)", MapType::LpmTrie),
    ("events (ring buffer)", MapType::RingBuf),
    ("counters (array by CPU)", MapType::PerCpuArray),
];

/// Lines of rate state in the program that is loaded to see whether it can be: few, for it is thrown away.
const LINES: u32 = 1 << 10;

pub(super) fn findings() -> Vec<Finding> {
    let helpers = HELPERS.into_iter().map(|(name, helper)| {
        supported(name, is_helper_supported(ProgramType::Xdp, helper).map_err(|error| error.to_string()))
    });
    let maps = MAPS
        .into_iter()
        .map(|(name, map)| supported(name, is_map_supported(map).map_err(|error| error.to_string())));
    helpers.chain(maps).chain([program()]).collect()
}

/// What a probe says. The program as a whole has its own check: a feature that is missing alone is no failure.
fn supported(name: &str, answer: Result<bool, String>) -> Finding {
    let check = format!("feature: {name}");
    match answer {
        Ok(true) => Finding::ok(check, "there"),
        Ok(false) => Finding::warn(
            check,
            "this kernel does not have it",
            "use Linux 6.1 or later, as a distribution builds it; rules that need it are refused on this one",
        ),
        Err(error) => Finding::warn(check, format!("cannot be asked for: {error}"), "run it as root"),
    }
}

/// Whether the kernel takes the program. Nothing of it stays.
fn program() -> Finding {
    const CHECK: &str = "program";
    if object::is_stub() {
        let found = "this stopbank was built without its BPF programs";
        return Finding::fail(CHECK, found, "build it with `cargo xtask build`");
    }
    match Datapath::private(&Options { source_lines: LINES, ..Options::default() }) {
        Ok(_) => Finding::ok(CHECK, "the kernel takes it"),
        Err(error) => {
            // The verifier's log may be thousands of lines long.
            let error = error.to_string();
            let first = error.lines().next().unwrap_or_default();
            Finding::fail(CHECK, first, "see `stopbank run`, which prints what the kernel says of it")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_missing_feature_and_one_that_cannot_be_asked_for_are_told_apart() {
        assert_eq!(supported("x", Ok(true)).state, State::Ok);
        let (missing, unknown) = (supported("x", Ok(false)), supported("x", Err("EPERM".to_owned())));
        assert_eq!((missing.state, unknown.state), (State::Warn, State::Warn));
        assert!(missing.found.contains("does not have") && unknown.found.contains("EPERM"));
    }
}
