//! A network namespace of its own with a pair of veths in it, and raw frames over them.
//!
//! The namespace belongs to one thread and has no name: when the thread ends, or the process in whatever way, the kernel takes
//! it down with everything in it. Nothing has to be cleaned up.

use std::{
    fs, io,
    mem::size_of,
    net::TcpListener,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::datapath::interface_index;

/// How long frames may take to come through.
const PATIENCE: Duration = Duration::from_secs(2);
/// Receive buffer, in bytes: room for what is sent between two looks.
const BUFFER: libc::c_int = 4 << 20;
/// Longest frame that is looked at.
const LONGEST: usize = 2_048;

/// Whether the process may make a network namespace; it needs CAP_SYS_ADMIN.
pub(super) fn may_unshare() -> bool {
    use rustix::thread::{CapabilitySet, capabilities};
    capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// Does `work` on a thread of its own, in a new network namespace, and waits for it.
pub(super) fn in_namespace<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let done = thread::scope(|scope| {
        scope
            .spawn(|| {
                // SAFETY: only this thread's network namespace changes, and the thread ends with this.
                if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
                    return Err(io::Error::last_os_error());
                }
                Ok(work())
            })
            .join()
    });
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Both ends of a pair, up, in this thread's namespace.
pub(super) struct Wire {
    /// Where frames are sent.
    pub(super) near: String,
    /// Where they come in: the one to protect.
    pub(super) far: String,
    send: Packets,
    receive: Packets,
}

impl Wire {
    /// Makes it.
    pub(super) fn new() -> io::Result<Self> {
        // Nothing but what is sent here shall come in: no neighbour discovery, no listener reports.
        let _ = fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
        let (near, far) = (format!("sbs{}a", std::process::id()), format!("sbs{}b", std::process::id()));
        add_pair(&near, &far)?;
        for name in ["lo", &near, &far] {
            set_up(index(name)?)?;
        }
        let (send, receive) = (Packets::on(index(&near)?)?, Packets::on(index(&far)?)?);
        Ok(Self { near, far, send, receive })
    }

    /// Sends a frame.
    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.send.send(frame)
    }

    /// Frames with this source address in their IP header that have come through since the last look, without waiting.
    pub(super) fn arrived(&self, source: &[u8]) -> u64 {
        let mut count = 0;
        let mut frame = [0; LONGEST];
        while let Some(length) = self.receive.next(&mut frame) {
            let at = if source.len() == 4 { 26 } else { 22 };
            count += u64::from(frame[..length].get(at..at + source.len()) == Some(source));
        }
        count
    }

    /// Waits until something is so, or for as long as frames may take.
    pub(super) fn until(mut is_so: impl FnMut() -> bool) -> bool {
        let begin = Instant::now();
        while !is_so() {
            if begin.elapsed() > PATIENCE {
                return false;
            }
            thread::sleep(Duration::from_millis(2));
        }
        true
    }
}

/// A listener in this thread's namespace, so that a program that asks for sockets finds one.
pub(super) fn listen(port: u16) -> io::Result<TcpListener> {
    // Of both families, where the kernel has IPv6.
    TcpListener::bind(("::", port)).or_else(|_| TcpListener::bind(("0.0.0.0", port)))
}

fn index(name: &str) -> io::Result<u32> {
    let name = std::ffi::CString::new(name).map_err(io::Error::other)?;
    interface_index(&name).ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
}

fn add_pair(near: &str, far: &str) -> io::Result<()> {
    let mut peer = LinkMessage::default();
    peer.attributes.push(LinkAttribute::IfName(far.to_owned()));
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(near.to_owned()));
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ]));
    ask(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
}

fn set_up(index: u32) -> io::Result<()> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    ask(RouteNetlinkMessage::SetLink(message), 0)
}

/// Sends a request over rtnetlink and waits for its acknowledgement.
fn ask(message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
    let mut request = NetlinkMessage::from(message);
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    request.finalize();
    let mut out = vec![0; request.buffer_len()];
    request.serialize(&mut out);
    let socket = Socket::new(NETLINK_ROUTE)?;
    socket.send_to(&out, &SocketAddr::new(0, 0), 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)
        .map_err(|error| io::Error::other(error.to_string()))?;
    match answer.payload {
        // No code: an acknowledgement.
        NetlinkPayload::Error(error) if error.code.is_none() => Ok(()),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        other => Err(io::Error::other(format!("unexpected answer {}", other.message_type()))),
    }
}

/// Whole frames of one interface (packet(7)).
struct Packets {
    socket: OwnedFd,
}

impl Packets {
    fn on(index: u32) -> io::Result<Self> {
        let all = (libc::ETH_P_ALL as u16).to_be();
        // SAFETY: socket takes numbers, and the descriptor that it gives is nobody else's.
        let socket = unsafe {
            let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
            let descriptor = libc::socket(libc::AF_PACKET, kind, i32::from(all));
            if descriptor < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(descriptor)
        };
        // SAFETY: an address of zeroes is an empty one.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = all;
        address.sll_ifindex = index.cast_signed();
        // SAFETY: the address lives through the call, and is as long as is said.
        let bound = unsafe {
            libc::bind(
                socket.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        if bound != 0 {
            return Err(io::Error::last_os_error());
        }
        // Where this is refused, the usual size has to do.
        let buffer = BUFFER;
        // SAFETY: the value lives through the call, and is as long as is said.
        unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVBUFFORCE,
                (&raw const buffer).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            );
        }
        Ok(Self { socket })
    }

    fn send(&self, frame: &[u8]) -> io::Result<()> {
        // SAFETY: the frame lives through the call, and is as long as is said.
        let sent = unsafe { libc::send(self.socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// The next frame that came in (not out), if there is one; its length.
    fn next(&self, frame: &mut [u8; LONGEST]) -> Option<usize> {
        loop {
            // SAFETY: an address of zeroes is an empty one.
            let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
            let mut length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            // SAFETY: buffer and address live through the call, and are as long as is said.
            let received = unsafe {
                libc::recvfrom(
                    self.socket.as_raw_fd(),
                    frame.as_mut_ptr().cast(),
                    frame.len(),
                    0,
                    (&raw mut from).cast(),
                    &raw mut length,
                )
            };
            let received = usize::try_from(received).ok()?;
            if from.sll_pkttype != libc::PACKET_OUTGOING {
                return Some(received);
            }
        }
    }
}
