//! Why a packet passed or was dropped: the closed set that counters, events, metrics and the CLI all speak.

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $value:literal, $kind:ident, $name:literal;)+) => {
        /// Why a packet passed or was dropped. Every packet is counted under exactly one.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Reason {
            $($(#[doc = $doc])+ $variant = $value,)+
        }

        impl Reason {
            /// Every reason, in the order of its number.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name used in metrics, events and the CLI.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What it means, in one sentence.
            pub const fn description(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+),)+ }
            }

            /// Whether the packet could not be read.
            pub const fn is_malformed(self) -> bool {
                self as u8 >= Self::MalformedEthernet as u8 && self as u8 <= Self::MalformedIcmp as u8
                    || self as u8 == Self::MalformedTunnel as u8
            }

            /// What becomes of a packet judged so.
            #[inline(always)]
            pub const fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind,)+ }
            }

            /// The reason with this number, if there is one.
            pub fn from_number(number: u8) -> Option<Self> {
                match number { $($value => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It goes on to the host.
    Pass,
    /// It is dropped at the NIC (in `observe` mode: counted as what would have been dropped, and passed).
    Drop,
    /// It is answered from the NIC, and goes no further.
    Reply,
}

/// Room for reasons in the counters; a power of two, so that the verifier sees the bound in a mask.
pub const REASONS: usize = 64;

reasons! {
    /// No list, rule or limit stood against it.
    Passed = 0, Pass, "passed";
    /// Its source is on the allow list.
    Allowed = 1, Pass, "allow-list";
    /// It keeps the host on the network: ARP, IPv6 neighbour discovery, DHCP.
    Essential = 2, Pass, "essential";
    /// It is neither IPv4 nor IPv6 nor ARP.
    NotIp = 3, Pass, "not-ip";
    /// The program ran before the agent gave it a policy.
    NoPolicy = 4, Pass, "no-policy";
    /// The Ethernet header is cut short.
    MalformedEthernet = 5, Drop, "malformed-ethernet";
    /// A VLAN tag is cut short, or there are more than two.
    MalformedVlan = 6, Drop, "malformed-vlan";
    /// The IPv4 header is cut short or contradicts itself or the frame.
    MalformedIpv4 = 7, Drop, "malformed-ipv4";
    /// The IPv6 header is cut short or contradicts itself or the frame.
    MalformedIpv6 = 8, Drop, "malformed-ipv6";
    /// An IPv6 extension header is cut short, stands twice, or there are too many.
    MalformedExtension = 9, Drop, "malformed-extension";
    /// A fragment that no sender makes: beyond 64 KiB, not a multiple of eight bytes, or hiding the TCP header.
    MalformedFragment = 10, Drop, "malformed-fragment";
    /// The TCP header is cut short or its length contradicts the packet.
    MalformedTcp = 11, Drop, "malformed-tcp";
    /// The UDP header is cut short or its length contradicts the packet.
    MalformedUdp = 12, Drop, "malformed-udp";
    /// The ICMP or ICMPv6 header is cut short.
    MalformedIcmp = 13, Drop, "malformed-icmp";
    /// Its source is on the deny list.
    Denied = 14, Drop, "deny-list";
    /// Its source is banned.
    Banned = 15, Drop, "ban";
    /// Its source address can belong to nobody: unspecified, loopback, multicast, reserved.
    BogonSource = 16, Drop, "bogon-source";
    /// Source and destination address are the same.
    Land = 17, Drop, "land";
    /// A TCP or UDP port is zero.
    PortZero = 18, Drop, "port-zero";
    /// TCP flags that no connection sends: none at all, SYN with FIN or RST, FIN without ACK.
    TcpFlags = 19, Drop, "tcp-flags";
    /// It is a fragment, and the policy drops fragments.
    Fragment = 20, Drop, "fragment";
    /// Its class is closed.
    ClassClosed = 21, Drop, "class-closed";
    /// Its source sends more packets than the class allows one source.
    SourcePackets = 22, Drop, "source-packets";
    /// Its source sends more bytes than the class allows one source.
    SourceBytes = 23, Drop, "source-bytes";
    /// Its source opens more TCP connections than the class allows one source.
    SourceConnections = 24, Drop, "source-connections";
    /// All sources together send more packets than the class's total budget.
    TotalPackets = 25, Drop, "total-packets";
    /// All sources together send more bytes than the class's total budget.
    TotalBytes = 26, Drop, "total-bytes";
    /// All sources together open more TCP connections than the class's total budget.
    TotalConnections = 27, Drop, "total-connections";
    /// The prefix of its source sends more packets than the class allows one prefix.
    PrefixPackets = 28, Drop, "prefix-packets";
    /// The prefix of its source sends more bytes than the class allows one prefix.
    PrefixBytes = 29, Drop, "prefix-bytes";
    /// The prefix of its source opens more TCP connections than the class allows one prefix.
    PrefixConnections = 30, Drop, "prefix-connections";
    /// A TCP segment that belongs to no connection of this host.
    NoConnection = 31, Drop, "no-connection";
    /// A TCP SYN to a port on which this host does not listen.
    NoListener = 32, Drop, "no-listener";
    /// UDP to a port to which no socket of this host is bound.
    NoSocket = 33, Drop, "no-socket";
    /// UDP from a port of amplifiers (DNS, NTP, memcached, …) to a port to which no socket of this host is bound.
    Amplification = 34, Drop, "amplification";
    /// It matches a signature of its class.
    Signature = 35, Drop, "signature";
    /// A TCP ACK whose SYN cookie is wrong or too old.
    BadCookie = 36, Drop, "bad-cookie";
    /// A TCP SYN that was answered with a SYN cookie.
    SynCookie = 37, Reply, "syn-cookie";
    /// A GRE or VXLAN header is cut short, or one that no sender makes.
    MalformedTunnel = 38, Drop, "malformed-tunnel";
    /// A tunnel within a tunnel, of kinds that are looked into.
    NestedTunnel = 39, Drop, "nested-tunnel";
}

const _: () = assert!(Reason::ALL.len() <= REASONS);

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_are_dense_and_names_unique() {
        let mut names = HashSet::new();
        for (i, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, i);
            assert_eq!(Reason::from_number(i as u8), Some(*reason));
            assert!(names.insert(reason.name()), "{} stands twice", reason.name());
            assert!(reason.description().ends_with('.'));
        }
        assert_eq!(Reason::from_number(Reason::ALL.len() as u8), None);
    }
}
