//! What the kernel says of an interface over rtnetlink: its MTU, and the XDP program it has.
//!
//! Listing programs by id needs CAP_SYS_ADMIN; this needs nothing.

use std::io;

use netlink_packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkMessage, LinkXdp, XdpAttached},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// How a program is attached to an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AttachedProgram {
    /// The program's id.
    pub id: u32,
    /// In the driver, and not generic.
    pub native: bool,
}

/// An interface.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Link {
    /// Bytes.
    pub mtu: u32,
    /// The program it has, if any.
    pub program: Option<AttachedProgram>,
}

/// Asks the kernel about the interface with this index.
///
/// # Errors
///
/// Whatever the netlink socket says; `ENODEV` when there is no such interface.
pub fn query(index: u32) -> io::Result<Link> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetLink(message));
    request.header.flags = NLM_F_REQUEST;
    request.finalize();
    let mut out = vec![0; request.buffer_len()];
    request.serialize(&mut out);

    let socket = Socket::new(NETLINK_ROUTE)?;
    socket.send_to(&out, &SocketAddr::new(0, 0), 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)
        .map_err(|error| io::Error::other(error.to_string()))?;
    match answer.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => Ok(read(&link)),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        other => Err(io::Error::other(format!("unexpected answer {}", other.message_type()))),
    }
}

fn read(message: &LinkMessage) -> Link {
    let mut link = Link::default();
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Xdp(details) => link.program = program(details),
            _ => {}
        }
    }
    link
}

fn program(details: &[LinkXdp]) -> Option<AttachedProgram> {
    let mut program = AttachedProgram::default();
    let mut attached = false;
    for detail in details {
        match detail {
            LinkXdp::Attached(how) => {
                attached = *how != XdpAttached::None;
                program.native = *how != XdpAttached::SocketBuffer;
            }
            LinkXdp::ProgId(id) => program.id = *id,
            _ => {}
        }
    }
    attached.then_some(program)
}
