//! What GRE, IP in IP and VXLAN carry: a sentence, a frame, what becomes of it, and what it is counted under.
//!
//! One long file: the frames, and what they are to come to, are read side by side.

use std::sync::{LazyLock, Mutex};

use ipnet::IpNet;
use libtest_mimic::Trial;
use stopbank::datapath::{Datapath, Entry, Options, Simulation};
use stopbank_common::{
    Reason::{self, *},
    gcra::Dimension,
    list::{VERDICT_ALLOW, VERDICT_BAN, VERDICT_DENY},
    parse::{protocol, tcp_flags},
    policy::{
        CLASS_DEFAULT, CLASS_NONE, FRAGMENTS_DROP, GUARD_ALWAYS, MODE_OBSERVE, ROLE_GATEWAY, ROLE_HOST,
        TUNNEL_GRE, TUNNEL_IPIP, TUNNEL_VXLAN,
    },
    reason::Kind,
    signature::{field, words},
};
use stopbank_tests::frames::{Frame, FrameBuilder, Gre, arp, ethertype, other};

use crate::rig::{self, DROP, PASS, Rules, SLOT, install, ip, judge, lock, per_second};

const WEB: u8 = 2;
const DNS: u8 = 3;
const TUNNEL: u8 = 4;
const CLOSED: u8 = 5;
const PING: u8 = 6;
const LATER: u8 = 7;

const ALL: u32 = TUNNEL_GRE | TUNNEL_IPIP | TUNNEL_VXLAN;
/// A port of VXLAN that is not the IANA's.
const OTHER_PORT: u16 = 8472;

/// One program for all fixtures: none of them comes near a limit.
static RIG: LazyLock<Mutex<Datapath>> = LazyLock::new(|| {
    let mut datapath = rig::load(rules(ALL));
    list(&mut datapath);
    Mutex::new(datapath)
});

fn rules(tunnels: u32) -> Rules {
    let mut rules = Rules::new()
        .tcp(80, WEB)
        .udp(53, DNS)
        .udp(4789, TUNNEL)
        .udp(OTHER_PORT, TUNNEL)
        .protocol(protocol::GRE, TUNNEL)
        .protocol(protocol::IPV4, TUNNEL)
        .protocol(protocol::IPV6, TUNNEL)
        .protocol(protocol::ICMPV6, PING)
        .tcp(23, CLOSED)
        .closed(CLOSED);
    rules.policy.fragments_class = LATER.into();
    rules.policy.tunnels = tunnels;
    rules.policy.vxlan_ports = [4789, OTHER_PORT, 0, 0];
    rules
}

fn list(datapath: &mut Datapath) {
    for (prefix, verdict) in [
        ("203.0.113.9/32", VERDICT_BAN),
        ("203.0.113.64/26", VERDICT_DENY),
        ("203.0.113.99/32", VERDICT_ALLOW),
        ("2001:db8:bad::/48", VERDICT_BAN),
    ] {
        let prefix: IpNet = prefix.parse().unwrap();
        datapath.list_insert(prefix, Entry { verdict, expires_ns: 0 }).unwrap();
    }
}

/// A peer that tunnels are expected from.
fn peer() -> FrameBuilder {
    FrameBuilder::new("192.0.2.7", "198.51.100.1")
}

fn peer6() -> FrameBuilder {
    FrameBuilder::new("2001:db8:7::7", "2001:db8:1::1")
}

fn from(source: &str) -> FrameBuilder {
    FrameBuilder::new(source, if ip(source).is_ipv4() { "10.0.0.1" } else { "fd00::1" })
}

/// A SYN to a served port.
fn syn(source: &str) -> Frame {
    from(source).tcp(40_000, 80).build()
}

fn bridging() -> Gre {
    Gre { bridges: true, ..Gre::default() }
}

/// A frame in each kind of tunnel, with all that its header may have.
fn carried(inner: &Frame) -> Vec<(&'static str, Frame)> {
    let full = Gre { checksum: true, key: Some(7), sequence: Some(9), bridges: false };
    vec![
        ("GRE", peer().gre(Gre::default(), inner).build()),
        ("GRE with checksum, key and sequence number", peer().gre(full, inner).build()),
        ("GRE with a key", peer().gre(Gre { key: Some(7), ..Gre::default() }, inner).build()),
        ("GRE over IPv6", peer6().destination_options(1).gre(Gre::default(), inner).build()),
        ("GRE behind VLAN tags", peer().service_vlan(5).vlan(6).gre(Gre::default(), inner).build()),
        ("GRE that bridges", peer().gre(bridging(), inner).build()),
        ("IP in IPv4", peer().options(&[1; 8]).ip_in_ip(inner).build()),
        ("IP in IPv6", peer6().ip_in_ip(inner).build()),
        ("VXLAN", peer().vxlan(50_000, 4789, inner).build()),
        ("VXLAN over IPv6 to another port", peer6().vxlan(50_000, OTHER_PORT, inner).build()),
    ]
}

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials: Vec<_> = [passing(), dropped(), nested(), malformed(), fragments()]
        .into_iter()
        .flatten()
        .map(|(sentence, frame, reason, class)| {
            crate::trial(format!("tunnel: {sentence}"), move || check(&frame, reason, class))
        })
        .collect();
    trials.push(crate::trial("tunnel: whoever is banned is dropped in every kind of tunnel", banned));
    trials.push(crate::trial("tunnel: what is not looked into passes as before", not_configured));
    trials.push(crate::trial(
        "tunnel: every truncation of every header is dropped, and counted once",
        truncations,
    ));
    trials.push(crate::trial("tunnel: what a tunnel carries is held to its own limits", limits));
    trials.push(crate::trial("tunnel: the packet around it is judged first, and charged", outer_first));
    trials.push(crate::trial(
        "tunnel: of an allowed peer, what it carries is judged all the same",
        allowed_peer,
    ));
    trials.push(crate::trial("tunnel: observe mode, and rules that observe, pass and count", observed));
    trials.push(crate::trial("tunnel: fragments are dropped inside too, by policy", fragments_dropped));
    trials.push(crate::trial("tunnel: sockets are asked for IP in a tunnel, and not for Ethernet", sockets));
    trials.push(crate::trial("tunnel: a gateway's flows are not asked for what a tunnel carries", flows));
    trials.push(crate::trial("tunnel: signatures look at what it carries", signatures));
    trials.push(crate::trial("tunnel: a SYN in a tunnel is not answered with a cookie", cookies));
    trials
}

/// Sentence, frame, reason, class.
type Fixture = (&'static str, Frame, Reason, u8);

fn check(frame: &[u8], reason: Reason, class: u8) {
    let datapath = lock(&RIG);
    let (action, counted) = judge(&datapath, frame);
    assert_eq!((counted.reason, counted.class), (reason, class));
    assert_eq!(action, if reason.kind() == Kind::Pass { PASS } else { DROP });
    assert_eq!((counted.slot, counted.observed), (SLOT, false));
}

fn passing() -> Vec<Fixture> {
    let dad = FrameBuilder::new("::", "ff02::1:ff00:1").neighbour(135).build();
    let discover = FrameBuilder::new("0.0.0.0", "255.255.255.255").udp(68, 67).payload(&[1; 240]).build();
    let solicitation = FrameBuilder::new("fe80::1", "fe80::2").neighbour(135).build();
    let gre = |header: &[u8], content: &[u8]| peer().gre_with(header, content).build();
    let bad = syn("203.0.113.9");
    vec![
        (
            "what GRE carries is of its own class",
            peer().gre(Gre::default(), &syn("203.0.113.1")).build(),
            Passed,
            WEB,
        ),
        (
            "an allowed source in GRE",
            peer().gre(Gre::default(), &syn("203.0.113.99")).build(),
            Allowed,
            CLASS_NONE,
        ),
        (
            "ARP in VXLAN",
            peer().vxlan(1, 4789, &arp([10, 0, 0, 1].into(), [10, 0, 0, 2].into())).build(),
            Passed,
            TUNNEL,
        ),
        (
            "spanning tree in GRE that bridges",
            peer().gre(bridging(), &other(ethertype::LLDP, &[0; 46])).build(),
            Passed,
            TUNNEL,
        ),
        ("duplicate address detection in VXLAN is ICMPv6", peer().vxlan(1, 4789, &dad).build(), Passed, PING),
        ("a DHCP request in VXLAN is UDP", peer().vxlan(1, 4789, &discover).build(), Passed, CLASS_DEFAULT),
        (
            "a neighbour solicitation in IP is ICMPv6, since no link vouches for it",
            peer().ip_in_ip(&solicitation).build(),
            Passed,
            PING,
        ),
        ("PPTP's GRE carries no IP", gre(&[0x20, 1, 0x88, 0x0b, 0, 8, 0, 7], &bad), Passed, TUNNEL),
        ("MPLS in GRE is not looked into", gre(&[0, 0, 0x88, 0x47], &[0; 24]), Passed, TUNNEL),
        ("VXLAN to a port that is not named", peer().vxlan(1, 4790, &bad).build(), Passed, CLASS_DEFAULT),
        (
            "ESP in GRE has no ports to read",
            peer().gre(Gre::default(), &from("203.0.113.1").protocol(50).payload(&[0; 16]).build()).build(),
            Passed,
            CLASS_DEFAULT,
        ),
    ]
}

fn dropped() -> Vec<Fixture> {
    let gre = |inner: &Frame| peer().gre(Gre::default(), inner).build();
    let udp = |source: &str| from(source).udp(40_000, 53).build();
    let bad = syn("203.0.113.9");
    // A priority tag of VLAN 0, which Linux takes off.
    let tagged = [&[0, 0, ethertype::IPV4.to_be_bytes()[0], 0][..], &bad[bad.network..]].concat();
    let wccp2 = [&[0, 1, 0, 0][..], &bad[bad.network..]].concat();
    vec![
        ("a denied source in GRE", gre(&syn("203.0.113.70")), Denied, CLASS_NONE),
        (
            "a banned prefix of IPv6 in IPv4",
            peer().ip_in_ip(&syn("2001:db8:bad::1")).build(),
            Banned,
            CLASS_NONE,
        ),
        (
            "a banned source behind tags in VXLAN",
            peer().vxlan(1, 4789, &from("203.0.113.9").service_vlan(1).vlan(2).tcp(1, 80).build()).build(),
            Banned,
            CLASS_NONE,
        ),
        (
            "a banned source behind a tag that GRE names",
            peer().gre_with(&[0, 0, 0x81, 0], &tagged).build(),
            Banned,
            CLASS_NONE,
        ),
        (
            "a banned source behind WCCP's type",
            peer().gre_with(&[0, 0, 0x88, 0x3e], &bad[bad.network..]).build(),
            Banned,
            CLASS_NONE,
        ),
        (
            "a banned source behind the header of WCCP 2",
            peer().gre_with(&[0, 0, 0x88, 0x3e], &wccp2).build(),
            Banned,
            CLASS_NONE,
        ),
        (
            "a banned source behind reserved bits",
            peer().gre_with(&[0x0f, 0xf8, 8, 0], &bad[bad.network..]).build(),
            Banned,
            CLASS_NONE,
        ),
        ("a banned source to a served port over UDP", gre(&udp("203.0.113.9")), Banned, CLASS_NONE),
        ("from loopback in GRE", gre(&udp("127.0.0.1")), BogonSource, CLASS_NONE),
        (
            "a DHCP request in IP, which no host sends",
            gre(&FrameBuilder::new("0.0.0.0", "255.255.255.255").udp(68, 67).build()),
            BogonSource,
            CLASS_NONE,
        ),
        (
            "source and destination the same in VXLAN",
            peer().vxlan(1, 4789, &FrameBuilder::new("10.0.0.1", "10.0.0.1").udp(1, 53).build()).build(),
            Land,
            CLASS_NONE,
        ),
        ("port 0 in GRE", gre(&from("203.0.113.1").tcp(1, 0).build()), PortZero, CLASS_NONE),
        (
            "no TCP flags in IP in IP",
            peer().ip_in_ip(&from("203.0.113.1").tcp(1, 80).flags(0).build()).build(),
            TcpFlags,
            CLASS_NONE,
        ),
        ("a closed class in GRE", gre(&from("203.0.113.1").tcp(1, 23).build()), ClassClosed, CLOSED),
    ]
}

fn nested() -> Vec<Fixture> {
    let inner = || from("203.0.113.1");
    let deep = syn("203.0.113.2");
    vec![
        (
            "GRE in GRE",
            peer().gre(Gre::default(), &inner().gre(Gre::default(), &deep).build()).build(),
            NestedTunnel,
            CLASS_NONE,
        ),
        (
            "IP in IP in VXLAN",
            peer().vxlan(1, 4789, &inner().ip_in_ip(&deep).build()).build(),
            NestedTunnel,
            CLASS_NONE,
        ),
        (
            "VXLAN in GRE over IPv6",
            peer6().gre(Gre::default(), &inner().vxlan(1, OTHER_PORT, &deep).build()).build(),
            NestedTunnel,
            CLASS_NONE,
        ),
        (
            "GRE in GRE of an allowed source",
            peer().gre(Gre::default(), &from("203.0.113.99").gre(Gre::default(), &deep).build()).build(),
            NestedTunnel,
            CLASS_NONE,
        ),
        (
            "a later fragment of GRE in IP in IP is one like others",
            peer().ip_in_ip(&inner().fragment(64, false).protocol(47).payload(&[7; 9]).build()).build(),
            Passed,
            LATER,
        ),
    ]
}

fn malformed() -> Vec<Fixture> {
    let good = syn("203.0.113.1");
    let gre = |inner: &Frame| peer().gre(Gre::default(), inner).build();
    let with = |header: &[u8]| peer().gre_with(header, &good[good.network..]).build();
    let vxlan = |flags: u8| {
        let frame = peer().vxlan(1, 4789, &good).build();
        let at = frame.payload;
        frame.with(at, &[flags])
    };
    vec![
        ("GRE of version 2", with(&[0, 2, 8, 0]), MalformedTunnel, CLASS_NONE),
        ("GRE with a source route (RFC 1701)", with(&[0x40, 0, 8, 0]), MalformedTunnel, CLASS_NONE),
        (
            "GRE without room for its key",
            peer().gre_with(&[0x20, 0, 8, 0], &[0; 3]).build(),
            MalformedTunnel,
            CLASS_NONE,
        ),
        (
            "a GRE header that only padding completes",
            peer().gre_with(&[0, 0], &[]).build().padded(120),
            MalformedTunnel,
            CLASS_NONE,
        ),
        ("VXLAN without its flag", vxlan(0), MalformedTunnel, CLASS_NONE),
        (
            "VXLAN too short for its header",
            peer().udp(1, 4789).payload(&[8, 0, 0, 0]).build().padded(120),
            MalformedTunnel,
            CLASS_NONE,
        ),
        (
            "VXLAN too short for a frame",
            peer().vxlan(1, 4789, &good[..13]).build().padded(120),
            MalformedEthernet,
            CLASS_NONE,
        ),
        (
            "three tags in VXLAN",
            peer().vxlan(1, 4789, &from("203.0.113.1").vlan(1).vlan(2).vlan(3).udp(1, 2).build()).build(),
            MalformedVlan,
            CLASS_NONE,
        ),
        (
            "IPv4 of version 5 in GRE",
            gre(&from("203.0.113.1").version(5).udp(1, 53).build()),
            MalformedIpv4,
            CLASS_NONE,
        ),
        (
            "IPv4 that is longer than GRE holds",
            gre(&from("203.0.113.1").length(100).udp(1, 53).build()).padded(200),
            MalformedIpv4,
            CLASS_NONE,
        ),
        (
            "IPv6 in IP that says it is IPv4",
            peer().protocol(4).payload(&syn("fd00::7")[14..]).build(),
            MalformedIpv4,
            CLASS_NONE,
        ),
        (
            "an IPv4-mapped source in IP",
            peer().ip_in_ip(&FrameBuilder::new("::ffff:203.0.113.9", "fd00::1").udp(1, 53).build()).build(),
            MalformedIpv6,
            CLASS_NONE,
        ),
        ("nothing in IP in IP", peer().protocol(41).build().padded(120), MalformedIpv6, CLASS_NONE),
        (
            "hop-by-hop options twice in GRE",
            gre(&from("fd00::7").hop_by_hop(1).hop_by_hop(1).udp(1, 53).build()),
            MalformedExtension,
            CLASS_NONE,
        ),
        (
            "an empty fragment in GRE",
            gre(&from("203.0.113.1").fragment(64, true).protocol(17).build()),
            MalformedFragment,
            CLASS_NONE,
        ),
        (
            "TCP without its options in GRE",
            gre(&from("203.0.113.1").tcp(1, 80).data_offset(15).build()),
            MalformedTcp,
            CLASS_NONE,
        ),
        (
            "UDP longer than its packet in IP in IP",
            peer6().ip_in_ip(&from("203.0.113.1").udp(1, 53).udp_length(9).build()).build(),
            MalformedUdp,
            CLASS_NONE,
        ),
        (
            "half an ICMPv6 header in VXLAN",
            peer().vxlan(1, 4789, &from("fd00::7").protocol(58).payload(&[128, 0]).build()).build(),
            MalformedIcmp,
            CLASS_NONE,
        ),
    ]
}

/// The first `length` bytes of what a tunnel carries, in a first fragment whose frame goes on with something harmless.
fn first_fragment(header: &[u8], inner: &[u8], length: usize) -> Frame {
    let payload = [header, inner].concat();
    let mut frame = peer().fragment(0, true).protocol(protocol::GRE).payload(&payload[..length]).build();
    frame.bytes.extend([0x45, 0, 0, 20, 0, 0, 0, 0, 64, 253, 0, 0, 10, 0, 0, 9, 10, 0, 0, 1, 0, 0, 0, 0]);
    frame
}

fn fragments() -> Vec<Fixture> {
    let ip_gre = [0, 0, 8, 0];
    let long = |source: &str| from(source).udp(40_000, 53).payload(&[7; 900]).build();
    let (bad, good) = (long("203.0.113.9"), long("203.0.113.1"));
    let inner = |frame: &Frame| frame[frame.network..].to_vec();
    let bridged = |frame: &Frame| [&[0, 0, 0x65, 0x58][..], frame].concat();
    vec![
        (
            "a first fragment of GRE with all headers is looked into",
            first_fragment(&ip_gre, &inner(&good), 64),
            Passed,
            DNS,
        ),
        (
            "a banned source in a first fragment of GRE",
            first_fragment(&ip_gre, &inner(&bad), 64),
            Banned,
            CLASS_NONE,
        ),
        (
            "a first fragment that leaves the inner addresses to the next",
            first_fragment(&ip_gre, &inner(&bad), 16),
            MalformedIpv4,
            CLASS_NONE,
        ),
        (
            "a first fragment that leaves the inner ports to the next",
            first_fragment(&ip_gre, &inner(&bad), 24),
            MalformedUdp,
            CLASS_NONE,
        ),
        (
            "a first fragment that leaves the inner Ethernet type to the next",
            first_fragment(&bridged(&bad), &[], 16),
            MalformedEthernet,
            CLASS_NONE,
        ),
        (
            "a first fragment that leaves the inner tag to the next",
            first_fragment(&bridged(&from("203.0.113.9").vlan(7).vlan(8).udp(1, 53).build()), &[], 24),
            MalformedVlan,
            CLASS_NONE,
        ),
        (
            "a later fragment of GRE is one like others",
            peer().fragment(64, false).protocol(47).payload(&[7; 9]).build(),
            Passed,
            LATER,
        ),
        (
            "a later fragment of VXLAN is one like others",
            peer().fragment(1_480, false).protocol(17).payload(&[7; 9]).build(),
            Passed,
            LATER,
        ),
        (
            "a first fragment of UDP in a whole packet of GRE",
            peer()
                .gre(
                    Gre::default(),
                    &from("203.0.113.1")
                        .fragment(0, true)
                        .udp(1, 53)
                        .payload(&[7; 16])
                        .udp_length(900)
                        .build(),
                )
                .build(),
            Passed,
            DNS,
        ),
        (
            "a later fragment in GRE is of the fragments' class",
            peer()
                .gre(
                    Gre::default(),
                    &from("203.0.113.1").fragment(64, false).protocol(17).payload(&[7; 9]).build(),
                )
                .build(),
            Passed,
            LATER,
        ),
        (
            "a banned source of a later fragment in GRE",
            peer()
                .gre(
                    Gre::default(),
                    &from("203.0.113.9").fragment(64, false).protocol(17).payload(&[7; 9]).build(),
                )
                .build(),
            Banned,
            CLASS_NONE,
        ),
    ]
}

fn banned() {
    let datapath = lock(&RIG);
    for source in ["203.0.113.9", "2001:db8:bad::9"] {
        for (kind, frame) in carried(&syn(source)) {
            let (action, counted) = judge(&datapath, &frame);
            assert_eq!(
                (action, counted.reason, counted.class),
                (DROP, Banned, CLASS_NONE),
                "{source} in {kind}"
            );
        }
    }
    for (kind, frame) in carried(&syn("203.0.113.1")) {
        let (action, counted) = judge(&datapath, &frame);
        assert_eq!((action, counted.reason, counted.class), (PASS, Passed, WEB), "in {kind}");
    }
}

fn not_configured() {
    let mut datapath = lock(&RIG);
    let bad = syn("203.0.113.9");
    let each = [
        (TUNNEL_GRE, peer().gre(Gre::default(), &bad).build()),
        (TUNNEL_IPIP, peer().ip_in_ip(&bad).build()),
        (TUNNEL_IPIP, peer6().ip_in_ip(&syn("2001:db8:bad::1")).build()),
        (TUNNEL_VXLAN, peer().vxlan(1, 4789, &bad).build()),
    ];
    for (kind, frame) in &each {
        for tunnels in 0..=ALL {
            install(&mut datapath, rules(tunnels));
            let (action, counted) = judge(&datapath, frame);
            let expected =
                if tunnels & kind == 0 { (PASS, Passed, TUNNEL) } else { (DROP, Banned, CLASS_NONE) };
            assert_eq!((action, counted.reason, counted.class), expected, "{kind} of {tunnels}");
        }
    }
    // What is not looked into is no nesting either: the way to have an overlay's own tunnels.
    install(&mut datapath, rules(TUNNEL_VXLAN));
    let inner = from("203.0.113.1").gre(Gre::default(), &bad).build();
    let (_, counted) = judge(&datapath, &peer().vxlan(1, 4789, &inner).build());
    assert_eq!((counted.reason, counted.class), (Passed, TUNNEL));
    install(&mut datapath, rules(ALL));
}

fn truncations() {
    let datapath = lock(&RIG);
    let inner = [
        from("203.0.113.1").vlan(5).options(&[1; 12]).tcp(1, 80).tcp_options(&[1; 12]).build(),
        from("fd00::7").hop_by_hop(1).fragment(0, true).udp(1, 53).payload(&[]).build(),
        from("fd00::7").authentication(6).echo_request().build(),
    ];
    for inner in &inner {
        for (kind, frame) in carried(inner) {
            let (action, counted) = judge(&datapath, &frame);
            assert_eq!((action, counted.reason), (PASS, Passed), "{kind}");
            for length in 14..frame.len() {
                let (action, counted) = judge(&datapath, &frame.truncated(length));
                assert_eq!(action, DROP, "{length} bytes of {kind} pass as {counted:?}");
                assert!(counted.reason.is_malformed(), "{length} bytes of {kind}: {counted:?}");
            }
            // Where the outer headers say that there is no more, and the frame goes on.
            let outer = frame.transport;
            for length in outer..frame.len() {
                let mut cut = frame.clone();
                let ipv4 = cut[cut.network] >> 4 == 4;
                let (at, from) = if ipv4 { (2, cut.network) } else { (4, cut.network + 40) };
                let network = cut.network;
                cut[network + at..network + at + 2].copy_from_slice(&((length - from) as u16).to_be_bytes());
                let (action, counted) = judge(&datapath, &cut);
                assert_eq!(action, DROP, "{kind} that says {length} bytes passes as {counted:?}");
                assert!(counted.reason.is_malformed(), "{kind} that says {length} bytes: {counted:?}");
            }
        }
    }
}

fn limits() {
    let rules = || {
        rules(ALL).per_source(WEB, Dimension::Packets, per_second(1, 3)).total(
            DNS,
            Dimension::Packets,
            per_second(1, 5),
        )
    };
    let datapath = rig::load(rules());
    let reasons = |datapath: &Datapath, frame: &Frame, count: usize| -> Vec<(Reason, u8)> {
        let judged = (0..count).map(|_| judge(datapath, frame).1);
        judged.map(|counted| (counted.reason, counted.class)).collect()
    };
    // Each in another kind of tunnel: the source is the inner one, whatever carries it.
    for ((_, frame), expected) in
        carried(&syn("203.0.113.1")).iter().zip([Passed, Passed, Passed, SourcePackets])
    {
        assert_eq!(reasons(&datapath, frame, 1), [(expected, WEB)]);
    }
    let neighbour = peer().gre(Gre::default(), &syn("203.0.113.2")).build();
    assert_eq!(reasons(&datapath, &neighbour, 4)[2..], [(Passed, WEB), (SourcePackets, WEB)]);
    // Outside a tunnel it is the same source.
    assert_eq!(reasons(&datapath, &syn("203.0.113.2"), 1), [(SourcePackets, WEB)]);
    for (number, (_, frame)) in carried(&from("203.0.113.3").udp(1, 53).build()).iter().enumerate() {
        let expected = if number < 5 { Passed } else { TotalPackets };
        assert_eq!(reasons(&datapath, frame, 1), [(expected, DNS)], "packet {number}");
    }
}

fn outer_first() {
    let rules = rules(ALL).per_source(TUNNEL, Dimension::Packets, per_second(1, 2));
    let mut datapath = rig::load(rules);
    list(&mut datapath);
    let bad = peer().gre(Gre::default(), &syn("203.0.113.9")).build();
    let judged: Vec<_> = (0..4).map(|_| judge(&datapath, &bad).1).map(|c| (c.reason, c.class)).collect();
    assert_eq!(
        judged,
        [(Banned, CLASS_NONE), (Banned, CLASS_NONE), (SourcePackets, TUNNEL), (SourcePackets, TUNNEL)]
    );
    let banned = FrameBuilder::new("203.0.113.9", "198.51.100.1");
    let (_, counted) = judge(&datapath, &banned.gre_with(&[0, 7], &[]).build());
    assert_eq!(counted.reason, Banned, "before its tunnel is looked at");
}

fn allowed_peer() {
    let datapath = lock(&RIG);
    let allowed = || FrameBuilder::new("203.0.113.99", "198.51.100.1");
    let tunnelled = |inner: &Frame| judge(&datapath, &allowed().gre(Gre::default(), inner).build()).1;
    assert_eq!(tunnelled(&syn("203.0.113.9")).reason, Banned);
    let passed = tunnelled(&syn("203.0.113.1"));
    assert_eq!((passed.reason, passed.class), (Passed, WEB));
    let (_, counted) = judge(&datapath, &allowed().gre_with(&[0, 0, 0x88, 0x47], &[0; 24]).build());
    assert_eq!((counted.reason, counted.class), (Allowed, CLASS_NONE), "nothing in it can be judged");
}

fn observed() {
    let mut datapath = lock(&RIG);
    install(&mut datapath, rules(ALL).mode(MODE_OBSERVE));
    let drops = [dropped(), nested(), malformed()].into_iter().flatten();
    for (sentence, frame, reason, class) in drops.filter(|(_, _, reason, _)| reason.kind() == Kind::Drop) {
        let (action, counted) = judge(&datapath, &frame);
        assert_eq!(
            (action, counted.reason, counted.class, counted.observed),
            (PASS, reason, class, true),
            "{sentence}"
        );
    }
    // Twice what is only observed: the packet goes on, and is counted as passed as well.
    install(&mut datapath, rules(ALL).observe(NestedTunnel).observe(Banned));
    for (inner, reason) in [
        (syn("203.0.113.9"), Banned),
        (from("203.0.113.1").gre(Gre::default(), &syn("203.0.113.9")).build(), NestedTunnel),
    ] {
        let before = rig::all_counters(&datapath);
        let run = datapath.run(&peer().gre(Gre::default(), &inner).build(), 1).unwrap();
        let counted = rig::difference(&before, &rig::all_counters(&datapath));
        let told: Vec<_> = counted.iter().map(|counted| (counted.reason, counted.observed)).collect();
        assert_eq!((run.action, &told[..]), (PASS, &[(Passed, false), (reason, true)][..]));
    }
    install(&mut datapath, rules(ALL));
}

fn fragments_dropped() {
    let mut datapath = lock(&RIG);
    install(&mut datapath, rules(ALL).fragments(FRAGMENTS_DROP));
    let inner = from("203.0.113.1").fragment(64, false).protocol(17).payload(&[7; 9]).build();
    for frame in [
        peer().gre(Gre::default(), &inner).build(),
        peer().fragment(64, false).protocol(protocol::GRE).payload(&[7; 9]).build(),
        first_fragment(&[0, 0, 8, 0], &syn("203.0.113.1")[14..], 40),
    ] {
        assert_eq!(judge(&datapath, &frame).1.reason, Fragment);
    }
    install(&mut datapath, rules(ALL));
}

/// A program by a simulation's clock, for which no socket exists.
fn simulated(rules: Rules) -> Datapath {
    let options = Options { simulation: Some(Simulation::default()), ..Options::default() };
    let mut datapath = Datapath::private(&options).unwrap_or_else(|error| panic!("{error}"));
    install(&mut datapath, rules);
    datapath
}

fn told(datapath: &mut Datapath, frame: &Frame) -> (Reason, bool) {
    let trace = datapath.simulate(frame, 3_600_000_000_000).unwrap();
    (Reason::from_number(trace.reason as u8).unwrap(), trace.inner != 0)
}

fn sockets() {
    let mut rules = rules(ALL);
    rules.policy.role = ROLE_HOST;
    rules.policy.amplifiers[0] = 1 << 53;
    let mut datapath = simulated(rules);
    let reflected = from("203.0.113.1").udp(53, 40_000).build();
    let ack = from("203.0.113.1").tcp(1, 80).flags(tcp_flags::ACK).build();
    for (inner, reason) in [(syn("203.0.113.1"), NoListener), (ack, NoConnection), (reflected, Amplification)]
    {
        for frame in [peer().gre(Gre::default(), &inner).build(), peer6().ip_in_ip(&inner).build()] {
            assert_eq!(told(&mut datapath, &frame), (reason, true));
        }
        for frame in [peer().gre(bridging(), &inner).build(), peer().vxlan(1, 4789, &inner).build()] {
            assert_eq!(told(&mut datapath, &frame), (Passed, true));
        }
    }
}

fn flows() {
    let mut rules = rules(ALL);
    rules.policy.role = ROLE_GATEWAY;
    let mut datapath = simulated(rules);
    let ack = from("203.0.113.1").tcp(1, 80).flags(tcp_flags::ACK).build();
    assert_eq!(told(&mut datapath, &ack), (NoConnection, false));
    assert_eq!(told(&mut datapath, &peer().gre(Gre::default(), &ack).build()), (Passed, true));
}

fn signatures() {
    let mut rules = rules(ALL);
    let (mut pattern, mut mask) = ([0; 16], [0; 16]);
    pattern[..6].copy_from_slice(b"attack");
    mask[..6].fill(0xff);
    rules.policy.signatures[0] = stopbank_common::signature::Signature {
        pattern: words(pattern),
        mask: words(mask),
        pattern_length: 6,
        fields: field::PAYLOAD,
        ..Default::default()
    };
    rules.policy.classes[usize::from(DNS)].signatures = 1;
    let datapath = rig::load(rules);
    let with = |payload: &[u8]| from("203.0.113.1").vlan(5).udp(1, 53).payload(payload).build();
    for (kind, frame) in carried(&with(b"attack!")) {
        let (action, counted) = judge(&datapath, &frame);
        assert_eq!((action, counted.reason, counted.class), (DROP, Signature, DNS), "in {kind}");
    }
    for (kind, frame) in carried(&with(b"nothing")) {
        assert_eq!(judge(&datapath, &frame).1.reason, Passed, "in {kind}");
    }
}

fn cookies() {
    let mut rules = rules(ALL);
    rules.policy.classes[usize::from(WEB)].guard.mode = GUARD_ALWAYS;
    rules.policy.role = ROLE_HOST;
    let options = Options { simulation: Some(Simulation { assume_sockets: true }), ..Options::default() };
    let mut datapath = Datapath::private(&options).unwrap();
    install(&mut datapath, rules);
    let mut outside = Vec::new();
    for _ in 0..2 {
        outside.push(told(&mut datapath, &syn("203.0.113.1")).0);
        assert_eq!(
            told(&mut datapath, &peer().gre(Gre::default(), &syn("203.0.113.1")).build()),
            (Passed, true)
        );
    }
    assert!(outside.contains(&SynCookie), "{outside:?}");
}
