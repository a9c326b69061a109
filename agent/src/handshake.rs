//! What the kernel makes of a SYN cookie on this host: the settings that an answer sent from XDP must agree with.
//!
//! The kernel takes a cookie that it did not send itself only where a listener sends some, and only
//! `net.ipv4.tcp_syncookies=2` makes sure of that. What a client's window scale and selective acknowledgements were it
//! reads from its own timestamp that the client sends back, which we can only make where timestamps have no secret offset
//! for each connection: `net.ipv4.tcp_timestamps=2`.

use std::fs;

use stopbank_common::policy::{
    HANDSHAKE_SACK, HANDSHAKE_SCALING, HANDSHAKE_TIMESTAMPS, Handshake, MAX_INTERFACES,
};

use crate::datapath::link;

/// Settings that the agent may make where the configuration allows it: path below /proc/sys, and value.
pub(crate) const MANAGED: [(&str, &str); 2] =
    [("net/ipv4/tcp_syncookies", "2"), ("net/ipv4/tcp_timestamps", "2")];

/// The largest window that needs no scaling.
const LARGEST_WINDOW: u32 = 65_535;
/// MTU where an interface tells none.
const USUAL_MTU: u32 = 1_500;
/// Largest receive buffer of a kernel that shows none in this network namespace (`SK_RMEM_MAX`, include/net/sock.h).
const USUAL_RMEM_MAX: u32 = 212_992;

/// What an answer says on a host with usual settings, as captures are judged for.
pub(crate) const USUAL: Handshake = Handshake {
    mss_v4: 1_460,
    mss_v6: 1_440,
    window: 65_535,
    scale: 7,
    flags: HANDSHAKE_SACK | HANDSHAKE_SCALING | HANDSHAKE_TIMESTAMPS,
    hop_limit: 64,
    reserved: [0; 7],
};

/// What an answer must say, for the interfaces with these indices; `None` where the kernel would not take a cookie that
/// it did not send itself.
pub(crate) fn of_host(interfaces: &[u32; MAX_INTERFACES]) -> Option<Handshake> {
    let mtu = interfaces
        .iter()
        .filter(|index| **index != 0)
        .filter_map(|index| link::query(*index).ok())
        .map(|link| link.mtu)
        .min();
    of_settings(&setting, mtu.unwrap_or(USUAL_MTU))
}

/// What the kernel says of a setting, by its path below /proc/sys.
fn setting(name: &str) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/sys/{name}")).ok()?.trim().to_owned())
}

/// [`of_host`], by what `setting` says.
fn of_settings(setting: &dyn Fn(&str) -> Option<String>, mtu: u32) -> Option<Handshake> {
    let number = |name: &str| setting(name)?.parse::<u32>().ok();
    if number("net/ipv4/tcp_syncookies")? < 2 {
        return None;
    }
    let buffers: Vec<u32> = setting("net/ipv4/tcp_rmem")?
        .split_whitespace()
        .map(|bytes| bytes.parse().unwrap_or(u32::MAX))
        .collect();
    let [_, usual, largest] = buffers[..] else { return None };
    let on = |name, value, bit| if number(name) == Some(value) { bit } else { 0 };
    let segment = |headers| mtu.saturating_sub(headers).clamp(536, LARGEST_WINDOW) as u16;
    Some(Handshake {
        mss_v4: segment(40),
        mss_v6: segment(60),
        // Half of a buffer is for data (`tcp_win_from_space`, include/net/tcp.h).
        window: (usual / 2).min(LARGEST_WINDOW) as u16,
        scale: scale(largest.max(number("net/core/rmem_max").unwrap_or(USUAL_RMEM_MAX))),
        flags: on("net/ipv4/tcp_timestamps", 2, HANDSHAKE_TIMESTAMPS)
            | on("net/ipv4/tcp_window_scaling", 1, HANDSHAKE_SCALING)
            | on("net/ipv4/tcp_sack", 1, HANDSHAKE_SACK),
        hop_limit: number("net/ipv4/ip_default_ttl").unwrap_or(64) as u8,
        reserved: [0; 7],
    })
}

/// `tcp_select_initial_window` (net/ipv4/tcp_output.c), which the kernel works out anew when the cookie comes back.
fn scale(space: u32) -> u8 {
    space.checked_ilog2().unwrap_or(0).saturating_sub(15).min(14) as u8
}

/// Makes the settings that cookies need. What was changed: name, before, after.
///
/// # Errors
///
/// What the kernel says, with the setting's name in it.
pub(crate) fn manage() -> Result<Vec<(String, String, &'static str)>, String> {
    let mut changed = Vec::new();
    for (path, wanted) in MANAGED {
        let name = path.replace('/', ".");
        let before = setting(path).ok_or_else(|| format!("cannot read {name}"))?;
        if before != wanted {
            fs::write(format!("/proc/sys/{path}"), wanted)
                .map_err(|error| format!("cannot set {name} to {wanted}: {error}"))?;
            changed.push((name, before, wanted));
        }
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(changed: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        let usual = [
            ("net/ipv4/tcp_syncookies", "2"),
            ("net/ipv4/tcp_timestamps", "2"),
            ("net/ipv4/tcp_window_scaling", "1"),
            ("net/ipv4/tcp_sack", "1"),
            ("net/ipv4/tcp_rmem", "4096\t131072\t6291456"),
            ("net/ipv4/ip_default_ttl", "64"),
        ];
        let all: Vec<(String, String)> =
            usual.iter().chain(changed).map(|(name, value)| ((*name).into(), (*value).into())).collect();
        move |name| all.iter().rev().find(|(one, _)| one == name).map(|(_, value)| value.clone())
    }

    #[test]
    fn an_answer_says_what_the_kernel_would_say() {
        let answer = of_settings(&host(&[]), 1_500).unwrap();
        assert_eq!(answer, USUAL);
        assert_eq!((answer.mss_v4, answer.mss_v6, answer.window), (1_460, 1_440, 65_535));
        assert_eq!((answer.scale, answer.hop_limit), (7, 64));
        assert_eq!(answer.flags, HANDSHAKE_SACK | HANDSHAKE_SCALING | HANDSHAKE_TIMESTAMPS);
        let other = host(&[
            ("net/ipv4/tcp_timestamps", "1"),
            ("net/ipv4/tcp_sack", "0"),
            ("net/ipv4/tcp_rmem", "4096 16384 33554432"),
        ]);
        let answer = of_settings(&other, 9_000).unwrap();
        assert_eq!((answer.mss_v4, answer.window, answer.scale), (8_960, 8_192, 10));
        assert_eq!(answer.flags, HANDSHAKE_SCALING);
    }

    #[test]
    fn without_cookies_in_the_kernel_there_is_no_answer() {
        for value in ["0", "1", "", "two"] {
            assert_eq!(of_settings(&host(&[("net/ipv4/tcp_syncookies", value)]), 1_500), None, "{value}");
        }
        assert_eq!(of_settings(&host(&[("net/ipv4/tcp_rmem", "4096")]), 1_500), None);
    }

    #[test]
    fn the_largest_buffer_decides_the_scale() {
        for (space, shift) in [(0, 0), (65_535, 0), (65_536, 1), (212_992, 2), (6_291_456, 7), (u32::MAX, 14)]
        {
            assert_eq!(scale(space), shift.min(14), "{space}");
        }
    }
}
