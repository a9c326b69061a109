//! Where the operator is logged in from, so that nobody shuts it out by accident.

use std::{fs::File, io::Read as _, net::IpAddr, os::unix::process::parent_id};

use crate::control::configuration::Session;

/// Processes between this one and the login shell that are looked at.
const GENERATIONS: usize = 32;

/// The remote address of the SSH session that this command runs in, if it runs in one.
pub(super) fn operator_address() -> Option<IpAddr> {
    session().map(|session| session.address)
}

/// The SSH session that this command runs in. sudo clears the environment, so that those of the processes above are looked
/// at too (root may read them).
pub(super) fn session() -> Option<Session> {
    let own = ["SSH_CONNECTION", "SSH_CLIENT"].iter().find_map(|name| std::env::var(name).ok());
    if let Some(session) = own.as_deref().and_then(read) {
        return Some(session);
    }
    let mut pid = parent_id();
    for _ in 0..GENERATIONS {
        if pid <= 1 {
            return None;
        }
        let environment = process_file(pid, "environ").unwrap_or_default();
        let connection =
            environment.split(|&byte| byte == 0).find_map(|entry| entry.strip_prefix(b"SSH_CONNECTION="));
        if let Some(session) = connection.and_then(|text| std::str::from_utf8(text).ok()).and_then(read) {
            return Some(session);
        }
        pid = parent(pid)?;
    }
    None
}

/// `SSH_CONNECTION` is "client address, client port, server address, server port", `SSH_CLIENT` the same without the third.
fn read(text: &str) -> Option<Session> {
    let address = text.split_whitespace().next()?.split('%').next()?;
    let address = address.parse::<IpAddr>().ok()?.to_canonical();
    let port = text.split_whitespace().skip(2).last().and_then(|port| port.parse().ok());
    Some(Session { address, port: port.unwrap_or(22) })
}

/// The parent of a process: the fourth field of /proc/PID/stat, counted from the end of the command's name, which may
/// hold anything (proc_pid_stat(5)).
fn parent(pid: u32) -> Option<u32> {
    let stat = String::from_utf8_lossy(&process_file(pid, "stat")?).into_owned();
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// A file of /proc/PID. These files have no length that could be asked for: with room from the start they are read at once and not by
/// 32, 64, 128, … bytes, each of which the kernel makes anew. A ban waits for this.
fn process_file(pid: u32, name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(16 << 10);
    File::open(format!("/proc/{pid}/{name}")).ok()?.read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_the_first_address_and_this_hosts_port_the_last_word() {
        let first = |text: &str| read(text).map(|session| (session.address.to_string(), session.port));
        let is = |address: &str, port| Some((address.to_owned(), port));
        assert_eq!(first("203.0.113.9 50022 192.0.2.1 2222"), is("203.0.113.9", 2222));
        assert_eq!(first("203.0.113.9 50022 2222"), is("203.0.113.9", 2222));
        assert_eq!(first("fe80::1%eth0 50022 fe80::2%eth0 22"), is("fe80::1", 22));
        assert_eq!(first("::ffff:203.0.113.9 1 ::1 22"), is("203.0.113.9", 22));
        assert_eq!(first("203.0.113.9"), is("203.0.113.9", 22));
        assert_eq!(first(""), None);
    }

    #[test]
    fn the_parent_is_found() {
        assert_eq!(parent(std::process::id()), Some(parent_id()));
    }
}
