//! The network that tests and demo play on: a server and a client on one switch, and a way to flood the server.
//!
//! ```text
//!   server namespace      switch namespace            client namespace
//!   eth0 <--- veth ---> to-server ─┐
//!   (protected)            ↑      br0 (gateway)
//!                       floods     └─ to-client <--- veth ---> eth0
//! ```
//!
//! Floods are redirected into `to-server`, so that they come in at the server's `eth0` like from a wire, beside what the
//! switch forwards. The bridge is the server's default gateway: its answers to invented addresses leave the server as they
//! would a real one, and end there.
//!
//! The server receives on a CPU of its own. Left alone, packets between veths are received by the CPU that sends them,
//! before it goes on: a flood would never be faster than its victim, and no packet would be lost. So the interface's
//! packets are received by a kernel thread on one CPU, while the flood comes from another, and what it cannot take in
//! time overruns its receive queue (256 packets), as it would a NIC's.
//!
//! An ordinary thread waits until whatever its CPU does in the kernel is done, on a kernel without preemption for
//! milliseconds, in which a flood overruns the queue whoever defends the server. Where times are measured, the receiving is
//! therefore as a NIC's that has a queue for each CPU ([`Receiving::Queues`]): XDP runs where frames come in, on the flood's CPU
//! and before the flood, and what it lets pass is handed to the server's CPU (RPS), where it interrupts whatever else there is. One core then makes
//! the flood and turns it away.

use std::{
    fs,
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream, UdpSocket},
    os::fd::AsRawFd,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use aya::programs::TcAttachType;

use crate::{
    cpu::{self, Role},
    frames::{FrameBuilder, IntoIp, Mac},
    generator,
    netns::Namespace,
};

/// The server's protected interface, and the client's.
pub const INTERFACE: &str = "eth0";
/// The server's addresses.
pub const SERVER: (Ipv4Addr, Ipv6Addr) = (Ipv4Addr::new(10, 99, 0, 1), address_v6(1));
/// The legitimate client's addresses.
pub const CLIENT: (Ipv4Addr, Ipv6Addr) = (Ipv4Addr::new(10, 99, 0, 2), address_v6(2));
const GATEWAY: (Ipv4Addr, Ipv6Addr) = (Ipv4Addr::new(10, 99, 0, 254), address_v6(254));
const SERVER_MAC: Mac = [2, 0x5b, 0, 0, 0, 1];
const CLIENT_MAC: Mac = [2, 0x5b, 0, 0, 0, 2];
const FLOOD_MAC: Mac = [2, 0x5b, 0, 0, 0, 0xff];
/// Where floods come in.
const TO_SERVER: &str = "to-server";
const TO_CLIENT: &str = "to-client";

const fn address_v6(host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, host)
}

/// How the server receives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Receiving {
    /// All of it in a kernel thread on the server's CPU.
    Thread,
    /// XDP on the flood's CPU, the rest in software interrupts on the server's.
    Queues,
}

/// The three namespaces; they and their interfaces are gone when it is dropped.
#[derive(Debug)]
pub struct Topology {
    /// Where the agent and the servers run.
    pub server: Namespace,
    /// Where the bridge is and floods begin.
    pub switch: Namespace,
    /// Where the legitimate client runs.
    pub client: Namespace,
}

impl Topology {
    /// Builds the network, with [`Receiving::Thread`], and waits until packets get through.
    ///
    /// # Errors
    ///
    /// Without root, or where the kernel has no veth or bridge.
    pub fn new() -> Result<Self> {
        Self::with(Receiving::Thread)
    }

    /// [`Self::new`], with a way to receive.
    ///
    /// # Errors
    ///
    /// As those of [`Self::new`].
    pub fn with(receiving: Receiving) -> Result<Self> {
        let topology =
            Self { server: Namespace::new()?, switch: Namespace::new()?, client: Namespace::new()? };
        let Self { server, switch, client } = &topology;
        for namespace in [server, switch, client] {
            // Addresses are usable at once, and nothing is sent that was not asked for.
            for variable in ["ipv6/conf/default/accept_dad", "ipv6/conf/default/router_solicitations"] {
                namespace.sysctl(variable, "0")?;
            }
            namespace.sysctl("ipv6/conf/default/accept_ra", "0")?;
        }
        switch.ip(&[
            "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
            &format!("addr add {}/16 dev br0", GATEWAY.0),
            &format!("addr add {}/64 dev br0 nodad", GATEWAY.1),
            "link set br0 up",
        ])?;
        switch.sysctl("ipv4/ip_forward", "0")?;
        topology.plug(server, TO_SERVER, SERVER_MAC, SERVER)?;
        topology.plug(client, TO_CLIENT, CLIENT_MAC, CLIENT)?;
        server.ip(&[
            &format!("route add default via {} dev {INTERFACE}", GATEWAY.0),
            &format!("route add default via {} dev {INTERFACE}", GATEWAY.1),
        ])?;
        // Without XDP a veth receives redirected frames only if it polls, which GRO makes it do.
        poll_for_receiving(server, INTERFACE)?;
        // What may be a segment of many packets would go around the receive queue that the flood goes through.
        switch.run(|| set_feature(TO_SERVER, ETHTOOL_STSO, false))?.context("cannot turn TSO off")?;
        match receiving {
            Receiving::Thread => {
                let thread = server.receive_by_thread(INTERFACE)?;
                cpu::assign(thread, Role::Receive).context("cannot give the receiving thread its CPU")?;
            }
            Receiving::Queues => {
                server.receive_on(INTERFACE, cpu::of(Role::Receive)?)?;
                // The switch's end too: what the server's program itself sends back comes in there.
                for (namespace, interface) in [(server, INTERFACE), (switch, TO_SERVER)] {
                    poll_for_receiving(namespace, interface)?;
                    let thread = namespace.receive_by_thread(interface)?;
                    cpu::assign(thread, Role::Flood)?;
                    cpu::put_first(thread).context("cannot let receiving come first")?;
                }
            }
        }
        topology.wait_for_link()?;
        Ok(topology)
    }

    fn plug(&self, host: &Namespace, port: &str, mac: Mac, address: (Ipv4Addr, Ipv6Addr)) -> Result<()> {
        let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
        self.switch.ip(&[
            &format!("link add {port} type veth peer name {INTERFACE} address {mac} netns {}", host.path()),
            &format!("link set {port} master br0 up"),
        ])?;
        host.ip(&[
            &format!("addr add {}/16 dev {INTERFACE}", address.0),
            &format!("addr add {}/64 dev {INTERFACE} nodad", address.1),
            &format!("link set {INTERFACE} up"),
        ])
    }

    fn wait_for_link(&self) -> Result<()> {
        for address in [IpAddr::from(SERVER.0), IpAddr::from(SERVER.1)] {
            let deadline = Instant::now() + Duration::from_secs(5);
            // Nothing listens there: a refusal has come all the way from the server.
            let knock = || TcpStream::connect_timeout(&(address, 1).into(), Duration::from_millis(500));
            while !matches!(self.client.run(knock)?, Err(error) if error.kind() == ErrorKind::ConnectionRefused)
            {
                if Instant::now() > deadline {
                    bail!("the client does not reach {address}");
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    /// Puts a VLAN tag on all that goes between switch and server, but for floods, until the result is dropped. It stands in the
    /// frames that come in at the server, as it does where a NIC does not take it out; the switch takes nothing from the
    /// server that has none.
    ///
    /// # Errors
    ///
    /// Where the kernel has no TCX (Linux 6.6).
    pub fn tag(&self) -> Result<impl Sized> {
        const ENDS: [(&str, TcAttachType); 4] = [
            ("push_tag", TcAttachType::Egress),
            ("pop_tag", TcAttachType::Ingress),
            ("push_tag", TcAttachType::Egress),
            ("pop_tag_or_drop", TcAttachType::Ingress),
        ];
        self.switch.run(|| leave_tags_in(TO_SERVER))?.context("cannot have tags in the frames")?;
        let mut attached = Vec::new();
        for (i, (program, way)) in ENDS.into_iter().enumerate() {
            let (end, interface) = if i < 2 { (&self.server, INTERFACE) } else { (&self.switch, TO_SERVER) };
            attached.push(end.run(|| generator::attach_tagging(interface, program, way))??);
        }
        Ok(attached)
    }

    /// Index, in the switch's namespace, of the interface that leads to the server: where a flood is sent.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn to_server(&self) -> Result<u32> {
        self.switch.interface_index(TO_SERVER)
    }

    /// UDP datagrams that came through to the server's own stack, where nobody waits for them.
    ///
    /// # Errors
    ///
    /// When the kernel does not say.
    pub fn unheard_datagrams(&self, v6: bool) -> Result<u64> {
        let (file, key) = if v6 { ("snmp6", "Udp6NoPorts") } else { ("snmp", "Udp:") };
        let text = self.server.run(|| fs::read_to_string(format!("/proc/thread-self/net/{file}")))??;
        let mut lines = text.lines().filter(|line| line.starts_with(key)).map(str::split_whitespace);
        let (Some(first), second) = (lines.next(), lines.next()) else { bail!("{file} has no {key}") };
        // IPv6: one line each, a name and a value. IPv4: a line of names, then a line of values.
        let value = match second {
            Some(values) => first.zip(values).find(|(name, _)| *name == "NoPorts").map(|(_, value)| value),
            None => {
                let mut words = first;
                words.nth(1)
            }
        };
        value
            .with_context(|| format!("{file} has no count of datagrams without port"))?
            .parse()
            .context("no number")
    }

    /// Lets what the server's program itself sends back (`XDP_TX`) come in at the switch, until the result is dropped.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn take_replies(&self) -> Result<impl Sized> {
        self.switch.run(|| generator::take_replies(TO_SERVER))?
    }

    /// A frame for the server from `source`, to be completed into a flood's template.
    ///
    /// # Panics
    ///
    /// If a text is no address.
    pub fn frame(source: impl IntoIp) -> FrameBuilder {
        let source = source.into_ip();
        let destination = server_address(source.is_ipv6());
        FrameBuilder::new(source, destination).macs(FLOOD_MAC, SERVER_MAC)
    }
}

/// Makes a veth receive what is redirected to it though it has no XDP program.
///
/// # Errors
///
/// When there is no such interface.
pub fn poll_for_receiving(namespace: &Namespace, interface: &str) -> Result<()> {
    namespace.run(|| set_feature(interface, ETHTOOL_SGRO, true))?.context("cannot turn GRO on")
}

/// The server's IPv6 or IPv4 address.
pub fn server_address(v6: bool) -> IpAddr {
    if v6 { SERVER.1.into() } else { SERVER.0.into() }
}

/// Flags that ethtool once had an ioctl for: read, written.
const ETHTOOL_FLAGS: (u32, u32) = (0x25, 0x26);
/// Inserting VLAN tags is the device's work (`ETH_FLAG_TXVLAN`).
const FLAG_SEND_VLAN: u32 = 1 << 7;

/// Has the kernel put VLAN tags into the frames that it gives to an interface, instead of beside them.
fn leave_tags_in(interface: &str) -> Result<()> {
    let flags = ethtool(interface, ETHTOOL_FLAGS.0, 0)?;
    ethtool(interface, ETHTOOL_FLAGS.1, flags & !FLAG_SEND_VLAN).map(|_| ())
}

/// Generic receive offload (include/uapi/linux/ethtool.h).
const ETHTOOL_SGRO: u32 = 0x2c;
/// TCP segmentation offload.
const ETHTOOL_STSO: u32 = 0x1f;

#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

/// Turns a feature on or off, as `ethtool -K` does.
fn set_feature(interface: &str, feature: u32, on: bool) -> Result<()> {
    ethtool(interface, feature, on.into()).map(|_| ())
}

/// One of ethtool's commands that take a number or give one.
fn ethtool(interface: &str, command: u32, data: u32) -> Result<u32> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let mut value = EthtoolValue { command, data };
    // SAFETY: an ifreq of zeroes is an empty one.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if interface.len() >= request.ifr_name.len() {
        bail!("{interface} is no interface name");
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: SIOCETHTOOL reads the request and the value behind it, both of which live across the call.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) } {
        0 => Ok(value.data),
        _ => Err(io::Error::last_os_error().into()),
    }
}
