//! Which sockets this host has, as its own tables in /proc say it: what the program asks by `bpf_skc_lookup_tcp` and
//! `bpf_sk_lookup_udp`.
//!
//! Listening sockets come first in the TCP tables (net/ipv4/tcp_ipv4.c), so that connections, of which there may be millions,
//! are not read.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// Lines of a table that are read at most.
const MOST: usize = 200_000;
/// `TCP_LISTEN` (include/net/tcp_states.h), as the table has it.
const LISTEN: &str = "0A";

/// Where a socket listens to which a connection to this port (and this address, if it is known) can come; `None`: nowhere.
///
/// # Errors
///
/// When the kernel's table cannot be read.
pub(super) fn listener(v6: bool, to: Option<IpAddr>, port: u16) -> io::Result<Option<SocketAddr>> {
    find("tcp", v6, |socket| socket.state == LISTEN, |socket| takes(socket.local, to, port))
}

/// Which UDP socket takes a datagram to this port (and this address, if it is known); `None`: none. One that is connected takes them
/// from its peer alone.
///
/// # Errors
///
/// When the kernel's table cannot be read.
pub(super) fn udp(
    v6: bool,
    to: Option<IpAddr>,
    port: u16,
    from: SocketAddr,
) -> io::Result<Option<SocketAddr>> {
    let from_peer = |peer: SocketAddr| {
        peer.ip().is_unspecified() || (peer.ip().to_canonical() == from.ip() && peer.port() == from.port())
    };
    find("udp", v6, |_| true, |socket| takes(socket.local, to, port) && from_peer(socket.peer))
}

/// Whether a socket bound to `local` is meant.
fn takes(local: SocketAddr, to: Option<IpAddr>, port: u16) -> bool {
    let address = local.ip().to_canonical();
    local.port() == port && (address.is_unspecified() || to.is_none_or(|to| to == address))
}

struct Socket<'l> {
    local: SocketAddr,
    peer: SocketAddr,
    state: &'l str,
}

/// Looks through the tables of the family; those of IPv6 have sockets that take IPv4 as well.
fn find(
    table: &str,
    v6: bool,
    while_it: impl Fn(&Socket<'_>) -> bool,
    wanted: impl Fn(&Socket<'_>) -> bool,
) -> io::Result<Option<SocketAddr>> {
    let names: &[&str] = if v6 { &["6"] } else { &["", "6"] };
    for suffix in names {
        let file = match File::open(format!("/proc/thread-self/net/{table}{suffix}")) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for line in BufReader::new(file).lines().skip(1).take(MOST) {
            let line = line?;
            let Some(socket) = read(&line) else { continue };
            if !while_it(&socket) {
                break;
            }
            let local = socket.local.ip();
            // A socket of the other family's own address.
            let family = local.is_unspecified() || local.to_canonical().is_ipv6() == v6;
            if family && wanted(&socket) {
                return Ok(Some(socket.local));
            }
        }
    }
    Ok(None)
}

/// `  0: 0100007F:1F90 00000000:0000 0A …`: number, local end, peer, state.
fn read(line: &str) -> Option<Socket<'_>> {
    let mut words = line.split_whitespace().skip(1);
    let (local, peer) = (end(words.next()?)?, end(words.next()?)?);
    Some(Socket { local, peer, state: words.next()? })
}

/// Words of an address are in the machine's order, each in hexadecimal; the port is a number.
fn end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let word = |i: usize| u32::from_str_radix(address.get(8 * i..8 * i + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(words).ok()?))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    #[test]
    fn tables_are_read_as_the_kernel_writes_them() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 1";
        let socket = read(line).unwrap();
        assert_eq!((socket.local, socket.state), ("127.0.0.1:8080".parse().unwrap(), "0A"));
        let v6 = end("B80D0120000000000000000001000000:0035").unwrap();
        assert_eq!(v6, "[2001:db8::1]:53".parse().unwrap());
        assert!(end("0100007F").is_none() && end("01:zz").is_none() && read("").is_none());
    }

    #[test]
    fn sockets_of_this_process_are_found_and_gone_when_they_are_closed() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        let here = Some("127.0.0.1".parse().unwrap());
        assert_eq!(listener(false, here, port).unwrap(), Some(tcp.local_addr().unwrap()));
        assert_eq!(listener(false, None, port).unwrap(), Some(tcp.local_addr().unwrap()));
        assert_eq!(listener(false, Some("127.0.0.9".parse().unwrap()), port).unwrap(), None);
        drop(tcp);
        assert_eq!(listener(false, here, port).unwrap(), None);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let from = "192.0.2.1:53".parse().unwrap();
        assert!(udp(false, None, port, from).unwrap().is_some());
        socket.connect("127.0.0.1:9").unwrap();
        assert!(udp(false, None, port, from).unwrap().is_none(), "it is connected to another");
    }
}
