//! The address that the operator is logged in from, so that nobody bans it by accident.

use std::{fs, net::IpAddr, process};

/// Processes between this one and the login shell that are looked at.
const GENERATIONS: usize = 32;

/// The remote address of the SSH session that this command runs in, if it runs in one. sudo clears the environment, so
/// that those of the processes above are looked at too (root may read them).
pub(super) fn operator_address() -> Option<IpAddr> {
    let own = ["SSH_CONNECTION", "SSH_CLIENT"].iter().find_map(|name| std::env::var(name).ok());
    if let Some(address) = own.as_deref().and_then(first_address) {
        return Some(address);
    }
    let mut pid = process::id();
    for _ in 0..GENERATIONS {
        pid = parent(pid)?;
        if pid <= 1 {
            return None;
        }
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let connection =
            environment.split(|&byte| byte == 0).find_map(|entry| entry.strip_prefix(b"SSH_CONNECTION="));
        if let Some(address) =
            connection.and_then(|text| std::str::from_utf8(text).ok()).and_then(first_address)
        {
            return Some(address);
        }
    }
    None
}

/// `SSH_CONNECTION` is "client address, client port, server address, server port".
fn first_address(text: &str) -> Option<IpAddr> {
    let address = text.split_whitespace().next()?;
    let address = address.split('%').next()?;
    address.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// The parent of a process: the fourth field of /proc/PID/stat, counted from the end of the command's name, which may
/// hold anything (proc_pid_stat(5)).
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_the_first_address() {
        let first = |text: &str| first_address(text).map(|address| address.to_string());
        assert_eq!(first("203.0.113.9 50022 192.0.2.1 22").as_deref(), Some("203.0.113.9"));
        assert_eq!(first("fe80::1%eth0 50022 fe80::2%eth0 22").as_deref(), Some("fe80::1"));
        assert_eq!(first("::ffff:203.0.113.9 1 ::1 22").as_deref(), Some("203.0.113.9"));
        assert_eq!(first(""), None);
    }

    #[test]
    fn the_parent_is_found() {
        assert_eq!(parent(process::id()), Some(std::os::unix::process::parent_id()));
    }
}
