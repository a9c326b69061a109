//! UDP services that answer a small question with a large answer, to whoever a forger says has asked.

use super::model::PortRange;

/// Ports, what answers there, and how many times as many bytes as were asked for (as published in US-CERT TA14-017A, by
/// the CISA alerts that followed it, and in Rossow, "Amplification Hell", NDSS 2014; 0 where none is published).
pub const AMPLIFIERS: [(PortRange, &str, u32); 43] = [
    one(7, "echo", 1),
    one(17, "QOTD (RFC 865)", 140),
    one(19, "chargen (RFC 864)", 359),
    one(53, "DNS", 54),
    one(69, "TFTP", 60),
    one(111, "RPC portmap", 28),
    one(123, "NTP (monlist)", 557),
    one(137, "NetBIOS name service", 4),
    one(138, "NetBIOS datagrams", 0),
    one(161, "SNMP v2", 6),
    one(177, "XDMCP", 7),
    one(389, "CLDAP", 70),
    one(427, "SLP", 2200),
    one(500, "ISAKMP/IKE", 5),
    one(520, "RIPv1", 131),
    one(623, "IPMI", 1),
    one(626, "Mac OS X server serial numbers", 10),
    one(751, "Kerberos v4", 0),
    one(1194, "OpenVPN", 60),
    one(1434, "MS-SQL resolution", 25),
    one(1604, "Citrix ICA", 0),
    one(1900, "SSDP", 31),
    one(2302, "DayZ and Arma", 0),
    one(3283, "Apple Remote Management", 36),
    one(3389, "RDP over UDP", 86),
    one(3478, "STUN", 2),
    one(3702, "WS-Discovery", 500),
    one(5060, "SIP", 0),
    one(5093, "Sentinel licence manager", 42),
    one(5351, "NAT-PMP", 0),
    one(5353, "mDNS", 10),
    one(5683, "CoAP", 34),
    one(6881, "BitTorrent DHT", 4),
    one(10001, "Ubiquiti discovery", 35),
    one(10074, "Mitel MiCollab (TP-240)", 0),
    one(11211, "memcached", 51_000),
    range(17_185, 17_185, "VxWorks debugging", 0),
    one(26000, "Quake", 64),
    range(27_015, 27_019, "Steam and Source servers", 6),
    range(27_960, 27_964, "Quake 3 and its kin", 64),
    one(30_718, "Lantronix", 30),
    one(37_810, "DVRs of Dahua (DHDiscover)", 30),
    one(47_808, "BACnet", 14),
];

const fn one(port: u16, name: &'static str, factor: u32) -> (PortRange, &'static str, u32) {
    range(port, port, name, factor)
}

const fn range(first: u16, last: u16, name: &'static str, factor: u32) -> (PortRange, &'static str, u32) {
    (PortRange { first, last }, name, factor)
}

/// The ports alone.
pub(super) fn ports() -> Vec<PortRange> {
    AMPLIFIERS.iter().map(|(ports, ..)| *ports).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_stand_in_order_and_once() {
        assert!(AMPLIFIERS.windows(2).all(|pair| pair[0].0.last < pair[1].0.first));
        assert!(AMPLIFIERS.iter().all(|(ports, name, _)| ports.first <= ports.last && !name.is_empty()));
    }
}
