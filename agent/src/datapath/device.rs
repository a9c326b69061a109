//! What a driver says of an interface (ethtool's ioctl), and what its refusal of native XDP is due to.

use std::{ffi::CStr, io, net::Ipv4Addr, net::UdpSocket, os::fd::AsRawFd as _};

/// `ETHTOOL_GDRVINFO`, `ETHTOOL_GFLAGS`, `ETHTOOL_GCHANNELS` (include/uapi/linux/ethtool.h).
const GET_DRIVER: u32 = 0x03;
const GET_FLAGS: u32 = 0x25;
const GET_CHANNELS: u32 = 0x3c;
/// `ETH_FLAG_LRO` in what the latter returns.
const FLAG_LRO: u32 = 1 << 15;

/// The MTU, bytes, up to which every virtio_net takes native XDP: a page, less the room that XDP and the network stack keep
/// for themselves. From Linux 6.3 on it takes larger ones.
pub const VIRTIO_MTU: u32 = 3_000;

/// `struct ethtool_drvinfo`.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    /// Versions, the bus address, counts.
    rest: [u8; 160],
}

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// `struct ethtool_channels`.
#[repr(C)]
#[derive(Default)]
struct Channels {
    command: u32,
    /// Receiving, sending, other, both.
    most: [u32; 4],
    now: [u32; 4],
}

const _: () = assert!(size_of::<DriverInfo>() == 196);

/// The name of the interface's driver, if it says one.
pub fn driver(interface: &str) -> Option<String> {
    let mut info = DriverInfo { command: GET_DRIVER, driver: [0; 32], rest: [0; 160] };
    ethtool(interface, &mut info).ok()?;
    let name = CStr::from_bytes_until_nul(&info.driver).ok()?.to_str().ok()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// Queues for what comes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Queues {
    /// In use.
    pub now: u32,
    /// That the driver could use.
    pub most: u32,
}

/// The interface's queues for what comes in, if its driver says.
pub fn queues(interface: &str) -> Option<Queues> {
    let mut channels = Channels { command: GET_CHANNELS, ..Channels::default() };
    ethtool(interface, &mut channels).ok()?;
    let [now, most] = [channels.now, channels.most].map(|[receive, _, _, both]| receive.saturating_add(both));
    (now != 0).then_some(Queues { now, most })
}

/// Whether large receive offload is on, which hands merged segments over that XDP could not tell apart.
pub fn lro(interface: &str) -> Option<bool> {
    let mut value = Value { command: GET_FLAGS, data: 0 };
    ethtool(interface, &mut value).ok()?;
    Some(value.data & FLAG_LRO != 0)
}

/// One request of ethtool's, whose structure begins with its command.
fn ethtool<T>(interface: &str, request: &mut T) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // SAFETY: an ifreq of zeroes is an empty one.
    let mut ifreq: libc::ifreq = unsafe { std::mem::zeroed() };
    if interface.len() >= ifreq.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, from) in ifreq.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed();
    }
    ifreq.ifr_ifru.ifru_data = std::ptr::from_mut(request).cast();
    // SAFETY: the kernel reads and writes no more than the structure that the command says, which lives across the call.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut ifreq) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What to do when the driver refuses native XDP with this error, as the interface is set up.
pub fn advice(interface: &str, driver: &str, mtu: u32, code: i32) -> String {
    let generic = "or set attach = \"generic\" for it, at a third of the speed";
    if driver == "virtio_net" && mtu > VIRTIO_MTU {
        return format!(
            "Its MTU is {mtu}, and before Linux 6.3 virtio_net takes one page a packet with XDP: ip link set dev {interface} mtu 1500, use a newer kernel, {generic}"
        );
    }
    if lro(interface) == Some(true) {
        return format!("LRO is on, which XDP excludes: ethtool -K {interface} lro off, {generic}");
    }
    match code {
        libc::ENOSPC | libc::E2BIG => format!(
            "It has too few queues for one more for each CPU: ethtool -L {interface} combined N, with a smaller N, {generic}"
        ),
        _ if mtu > 1_500 => format!(
            "Its MTU is {mtu}, too large for XDP in this driver: ip link set dev {interface} mtu 1500, {generic}"
        ),
        _ => format!(
            "Usual causes: an MTU too large for XDP (now {mtu}: ip link set dev {interface} mtu 1500), GRO in hardware (ethtool -K {interface} rx-gro-hw off), too few queues (ethtool -L {interface} combined N); {generic}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_names_a_command_for_what_is_in_the_way() {
        for (driver, mtu, code, command) in [
            ("virtio_net", 9_000, libc::EINVAL, "before Linux 6.3"),
            ("ixgbe", 9_000, libc::EINVAL, "ip link set dev nosuch0 mtu 1500"),
            ("ixgbe", 1_500, libc::ENOSPC, "ethtool -L nosuch0 combined"),
            ("ixgbe", 1_500, libc::EINVAL, "rx-gro-hw off"),
        ] {
            let advice = advice("nosuch0", driver, mtu, code);
            assert!(advice.contains(command) && advice.contains("generic"), "{advice}");
        }
    }

    #[test]
    fn an_interface_that_is_not_there_says_nothing() {
        assert_eq!(driver("nosuch0"), None);
        assert_eq!(lro("a name that is far too long for an interface"), None);
    }
}
