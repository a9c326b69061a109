//! What the kernel says of interfaces over rtnetlink: what they are, the XDP program that each has, and which of them a
//! default route goes through; once, or as it changes.
//!
//! Listing programs by id needs CAP_SYS_ADMIN; this needs nothing.

mod parse;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

pub use parse::Message;
use parse::{GET_LINK, GET_ROUTE, messages};
pub use watch::{News, Watch};

/// `ARPHRD_ETHER`, `ARPHRD_LOOPBACK` (include/uapi/linux/if_arp.h): frames begin with an Ethernet header.
const ETHERNET: [u16; 2] = [1, 772];
/// Room for one datagram: the kernel's are 32 KiB at most.
const ROOM: usize = 64 << 10;

/// How a program is attached to an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AttachedProgram {
    /// The program's id.
    pub id: u32,
    /// In the driver, and not generic.
    pub native: bool,
}

impl AttachedProgram {
    /// As in the configuration.
    pub const fn mode(self) -> &'static str {
        if self.native { "native" } else { "generic" }
    }
}

/// An interface.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Link {
    /// Its number, which no other interface of this namespace has while it is there.
    pub index: u32,
    /// Its name, which may change.
    pub name: String,
    /// `ARPHRD_…`: what its frames begin with.
    pub link_type: u16,
    /// Set up by the administrator; says nothing of the cable.
    pub up: bool,
    /// The loopback interface.
    pub loopback: bool,
    /// Bytes.
    pub mtu: u32,
    /// The interface that it is on top of (a VLAN's) or opposite to (a veth's).
    pub lower: Option<u32>,
    /// The bond or bridge that it is part of.
    pub master: Option<u32>,
    /// `vlan`, `bond`, `bridge`, `veth`, …; nothing for network cards.
    pub kind: Option<String>,
    /// `BOND_MODE_…`, of a bond.
    pub bond_mode: Option<u8>,
    /// Queues that it has for what comes in.
    pub receive_queues: u32,
    /// The program it has, if any.
    pub program: Option<AttachedProgram>,
}

impl Link {
    /// Whether its frames begin with an Ethernet header, which is what the program reads.
    pub fn is_ethernet(&self) -> bool {
        ETHERNET.contains(&self.link_type)
    }
}

/// Interfaces by their indices.
pub type Links = BTreeMap<u32, Link>;

/// Asks the kernel about the interface with this index.
///
/// # Errors
///
/// Whatever the netlink socket says; `ENODEV` when there is no such interface.
pub fn query(index: u32) -> io::Result<Link> {
    let mut found = None;
    ask(GET_LINK, 0, &information(index), |message| {
        if let Message::Link(link) = message {
            found = Some(link);
        }
    })?;
    found.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
}

/// Every interface of this network namespace.
///
/// # Errors
///
/// Whatever the netlink socket says.
pub fn all() -> io::Result<Links> {
    let mut links = Links::new();
    ask(GET_LINK, NLM_F_DUMP, &information(0), |message| {
        if let Message::Link(link) = message {
            links.insert(link.index, link);
        }
    })?;
    Ok(links)
}

/// Indices of the interfaces that a default route of the main table goes through, IPv4 or IPv6.
///
/// # Errors
///
/// Whatever the netlink socket says.
pub fn default_routes() -> io::Result<BTreeSet<u32>> {
    let mut through = BTreeSet::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        // `struct rtmsg`.
        let mut request = [0; 12];
        request[0] = family as u8;
        ask(GET_ROUTE, NLM_F_DUMP, &request, |message| {
            if let Message::DefaultRoute(indices) = message {
                through.extend(indices);
            }
        })?;
    }
    Ok(through)
}

/// `struct ifinfomsg`.
fn information(index: u32) -> [u8; 16] {
    let mut request = [0; 16];
    request[4..8].copy_from_slice(&index.to_ne_bytes());
    request
}

/// Sends a request, and hands over every message of the answer.
fn ask(kind: u16, flags: u16, payload: &[u8], mut take: impl FnMut(Message)) -> io::Result<()> {
    let mut request = Vec::with_capacity(16 + payload.len());
    request.extend((16 + payload.len() as u32).to_ne_bytes());
    request.extend(kind.to_ne_bytes());
    request.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    request.extend([0; 8]);
    request.extend(payload);
    let socket = Socket::new(NETLINK_ROUTE)?;
    socket.send_to(&request, &SocketAddr::new(0, 0), 0)?;
    let dump = flags & NLM_F_DUMP == NLM_F_DUMP;
    let mut room = Vec::with_capacity(ROOM);
    loop {
        room.clear();
        let (_, from) = socket.recv_from(&mut room, 0)?;
        if from.port_number() != 0 {
            // Not the kernel's: anybody may send to a netlink socket.
            continue;
        }
        for message in messages(&room) {
            match message.map_err(|_| io::Error::other("the kernel's answer is malformed"))? {
                Message::Done => return Ok(()),
                Message::Refused(code) => return Err(io::Error::from_raw_os_error(code)),
                message => take(message),
            }
        }
        if !dump {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_answers_as_it_is_read_here() {
        let links = all().unwrap();
        let loopback = links.values().find(|link| link.loopback).unwrap();
        assert_eq!((loopback.name.as_str(), loopback.is_ethernet()), ("lo", true));
        assert_eq!(&query(loopback.index).unwrap(), loopback);
        assert_eq!(query(0x7fff_fff0).unwrap_err().raw_os_error(), Some(libc::ENODEV));
        for index in default_routes().unwrap() {
            assert!(links.contains_key(&index), "{index}");
        }
    }
}
