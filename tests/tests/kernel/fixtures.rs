//! Named fixtures: a sentence, a frame, what becomes of it, and what it is counted under.

use std::sync::{LazyLock, Mutex};

use libtest_mimic::Trial;
use stopbank::datapath::Datapath;
use stopbank_common::{
    Reason::{self, *},
    parse::{protocol, tcp_flags},
    policy::{CLASS_DEFAULT, CLASS_NONE, FRAGMENTS_DROP, MODE_OBSERVE},
    reason::Kind,
};
use stopbank_tests::frames::{Frame, FrameBuilder, arp, ethertype, other};

use crate::rig::{self, DROP, PASS, Rules, SLOT, install, judge, lock};

const WEB: u8 = 2;
const DNS: u8 = 3;
const PING: u8 = 4;
const CLOSED: u8 = 5;

/// One program for all fixtures: none of them comes near a limit.
static RIG: LazyLock<Mutex<Datapath>> = LazyLock::new(|| Mutex::new(rig::load(rules())));

fn rules() -> Rules {
    Rules::new()
        .tcp(80, WEB)
        .udp(53, DNS)
        .protocol(protocol::ICMP, PING)
        .protocol(protocol::ICMPV6, PING)
        .tcp(23, CLOSED)
        .closed(CLOSED)
}

fn v4() -> FrameBuilder {
    FrameBuilder::new("192.0.2.7", "198.51.100.1")
}

fn v6() -> FrameBuilder {
    FrameBuilder::new("2001:db8::7", "2001:db8:1::1")
}

/// Sentence, frame, reason, class.
type Fixture = (&'static str, Frame, Reason, u8);

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials: Vec<_> = [passing(), malformed(), fragments(), illegitimate()]
        .into_iter()
        .flatten()
        .map(|(sentence, frame, reason, class)| {
            crate::trial(format!("fixture: {sentence}"), move || check(&frame, reason, class))
        })
        .collect();
    trials.push(crate::trial("every truncation of every header is judged, and counted once", truncations));
    trials
        .push(crate::trial("observe mode passes everything and counts what it would have dropped", observe));
    trials.push(crate::trial("dropped fragments by policy", fragments_dropped));
    trials.push(crate::trial("a program without a policy passes and counts", no_policy));
    trials.push(crate::trial(
        "an interface that the policy does not name is counted in slot 0",
        unnamed_interface,
    ));
    trials.push(crate::trial("DHCP beyond its budget is judged like any UDP", dhcp_budget));
    trials
}

fn check(frame: &[u8], reason: Reason, class: u8) {
    let datapath = lock(&RIG);
    let (action, counted) = judge(&datapath, frame);
    assert_eq!((counted.reason, counted.class), (reason, class));
    assert_eq!(action, if reason.kind() == Kind::Pass { PASS } else { DROP });
    assert_eq!((counted.slot, counted.observed), (SLOT, false));
}

fn passing() -> Vec<Fixture> {
    let link_local = || FrameBuilder::new("fe80::1", "fe80::2");
    vec![
        ("a SYN to a served port passes", v4().tcp(40_000, 80).build(), Passed, WEB),
        ("a SYN over IPv6 to a served port passes", v6().tcp(40_000, 80).build(), Passed, WEB),
        (
            "a TCP segment to another port is the default class's",
            v4().tcp(40_000, 81).build(),
            Passed,
            CLASS_DEFAULT,
        ),
        ("a UDP datagram to a served port passes", v4().udp(40_000, 53).build(), Passed, DNS),
        ("a UDP datagram over IPv6 passes", v6().udp(40_000, 53).build(), Passed, DNS),
        (
            "the TCP class does not claim the same UDP port",
            v4().udp(40_000, 80).build(),
            Passed,
            CLASS_DEFAULT,
        ),
        ("a ping is ICMP's class's", v4().echo_request().build(), Passed, PING),
        ("a ping over IPv6 is ICMPv6's class's", v6().echo_request().build(), Passed, PING),
        (
            "another protocol is the default class's",
            v4().protocol(47).payload(&[0; 8]).build(),
            Passed,
            CLASS_DEFAULT,
        ),
        ("one VLAN tag is looked through", v4().vlan(5).tcp(40_000, 80).build(), Passed, WEB),
        ("two VLAN tags are looked through", v6().service_vlan(5).vlan(6).udp(1, 53).build(), Passed, DNS),
        ("ports are found behind IPv4 options", v4().options(&[1; 40]).tcp(40_000, 80).build(), Passed, WEB),
        (
            "ports are found behind IPv6 extension headers",
            v6().hop_by_hop(1).destination_options(3).routing(2).authentication(6).udp(1, 53).build(),
            Passed,
            DNS,
        ),
        (
            "an atomic fragment is a whole packet (RFC 6946)",
            v6().fragment(0, false).udp(1, 53).build(),
            Passed,
            DNS,
        ),
        (
            "padding behind a short packet is no contradiction",
            v4().udp(1, 53).build().padded(60),
            Passed,
            DNS,
        ),
        ("ESP has no ports to read", v4().protocol(50).payload(&[0; 16]).build(), Passed, CLASS_DEFAULT),
        (
            "ICMPv6 over IPv4 is just another protocol",
            v4().protocol(58).payload(&[8; 2]).build(),
            Passed,
            PING,
        ),
        ("a closed class drops", v4().tcp(40_000, 23).build(), ClassClosed, CLOSED),
        ("ARP passes", arp([192, 0, 2, 7].into(), [192, 0, 2, 8].into()), Essential, CLASS_NONE),
        ("LLDP passes as not IP", other(ethertype::LLDP, &[0; 46]), NotIp, CLASS_NONE),
        ("a neighbour solicitation passes", link_local().neighbour(135).build(), Essential, CLASS_NONE),
        ("a neighbour advertisement passes", link_local().neighbour(136).build(), Essential, CLASS_NONE),
        (
            "neighbour discovery that a router forwarded is judged as ICMPv6",
            link_local().neighbour(135).hops(254).build(),
            Passed,
            PING,
        ),
        (
            "a router advertisement in fragments is judged (RFC 6980)",
            link_local().fragment(0, true).icmp(134, 0).hops(255).payload(&[0; 8]).build(),
            Passed,
            PING,
        ),
        ("duplicate address detection passes from ::", dad(), Essential, CLASS_NONE),
        (
            "a DHCP reply passes",
            FrameBuilder::new("192.0.2.1", "255.255.255.255").udp(67, 68).payload(&[2; 240]).build(),
            Essential,
            CLASS_NONE,
        ),
        (
            "a DHCP request passes from 0.0.0.0",
            FrameBuilder::new("0.0.0.0", "255.255.255.255").udp(68, 67).payload(&[1; 240]).build(),
            Essential,
            CLASS_NONE,
        ),
        (
            "a DHCPv6 reply passes",
            link_local().udp(547, 546).payload(&[7; 40]).build(),
            Essential,
            CLASS_NONE,
        ),
    ]
}

fn dad() -> Frame {
    FrameBuilder::new("::", "ff02::1:ff00:1").neighbour(135).build()
}

fn malformed() -> Vec<Fixture> {
    let none = CLASS_NONE;
    vec![
        (
            "a third VLAN tag is malformed",
            v4().vlan(1).vlan(2).vlan(3).udp(1, 53).build(),
            MalformedVlan,
            none,
        ),
        ("IPv4 with version 5", v4().version(5).udp(1, 53).build(), MalformedIpv4, none),
        ("IPv4 with a header below 20 bytes", v4().header_words(4).udp(1, 53).build(), MalformedIpv4, none),
        (
            "IPv4 with a total length below its header",
            v4().length(19).udp(1, 53).build(),
            MalformedIpv4,
            none,
        ),
        (
            "IPv4 with a total length beyond the frame",
            v4().length(100).udp(1, 53).build(),
            MalformedIpv4,
            none,
        ),
        (
            "IPv4 with a header beyond its total length",
            v4().header_words(15).udp(1, 53).build(),
            MalformedIpv4,
            none,
        ),
        ("IPv6 with version 4", v6().version(4).udp(1, 53).build(), MalformedIpv6, none),
        ("IPv6 with a payload beyond the frame", v6().length(100).udp(1, 53).build(), MalformedIpv6, none),
        ("an IPv4-mapped source on the wire", mapped(), MalformedIpv6, none),
        (
            "an extension header beyond the payload",
            v6().extension(protocol::DESTINATION_OPTIONS, &[9, 0, 0, 0, 0, 0, 0]).udp(1, 53).build(),
            MalformedExtension,
            none,
        ),
        (
            "hop-by-hop options that are not first",
            v6().destination_options(1).hop_by_hop(1).udp(1, 53).build(),
            MalformedExtension,
            none,
        ),
        (
            "two fragment headers",
            v6().fragment(0, true).fragment(0, true).udp(1, 53).payload(&[0; 8]).build(),
            MalformedExtension,
            none,
        ),
        (
            "nine extension headers",
            (0..9).fold(v6(), |frame, _| frame.destination_options(1)).udp(1, 53).build(),
            MalformedExtension,
            none,
        ),
        ("TCP with a data offset below 20 bytes", v4().tcp(1, 80).data_offset(4).build(), MalformedTcp, none),
        (
            "TCP with a data offset beyond the packet",
            v6().tcp(1, 80).data_offset(15).build(),
            MalformedTcp,
            none,
        ),
        ("UDP with a length below 8", v4().udp(1, 53).udp_length(7).build(), MalformedUdp, none),
        ("UDP with a length beyond the packet", v6().udp(1, 53).udp_length(9).build(), MalformedUdp, none),
        (
            "a transport header that only padding completes",
            v4().protocol(protocol::UDP).payload(&[0; 4]).build().padded(60),
            MalformedUdp,
            none,
        ),
        (
            "an ICMP message of four bytes",
            v4().protocol(protocol::ICMP).payload(&[8, 0, 0, 0]).build(),
            MalformedIcmp,
            none,
        ),
    ]
}

fn mapped() -> Frame {
    // The builder takes ::ffff:192.0.2.7 for IPv6, which is what the attacker does.
    FrameBuilder::new("::ffff:192.0.2.7", "2001:db8:1::1").udp(1, 53).build()
}

fn fragments() -> Vec<Fixture> {
    let later = |offset| v4().fragment(offset, true).protocol(protocol::UDP);
    vec![
        (
            "a first fragment is judged as a packet",
            v4().fragment(0, true).udp(1, 53).payload(&[0; 8]).build(),
            Passed,
            DNS,
        ),
        (
            "a later fragment is the default class's",
            later(64).payload(&[0; 8]).build(),
            Passed,
            CLASS_DEFAULT,
        ),
        (
            "a later fragment over IPv6 is the default class's",
            v6().fragment(64, false).protocol(protocol::UDP).payload(&[0; 5]).build(),
            Passed,
            CLASS_DEFAULT,
        ),
        ("a fragment beyond 64 KiB", later(65_528).payload(&[0; 16]).build(), MalformedFragment, CLASS_NONE),
        (
            "a fragment that is no multiple of eight",
            later(64).payload(&[0; 9]).build(),
            MalformedFragment,
            CLASS_NONE,
        ),
        ("an empty fragment", later(64).build(), MalformedFragment, CLASS_NONE),
        (
            "a fragment over the TCP flags (RFC 1858)",
            v4().fragment(8, false).protocol(protocol::TCP).payload(&[0; 16]).build(),
            MalformedFragment,
            CLASS_NONE,
        ),
        (
            "a first fragment too short for its TCP header (RFC 7112)",
            v4().fragment(0, true).protocol(protocol::TCP).payload(&[0; 16]).build(),
            MalformedTcp,
            CLASS_NONE,
        ),
    ]
}

fn illegitimate() -> Vec<Fixture> {
    let from = |source| FrameBuilder::new(source, "198.51.100.1").udp(1, 53).build();
    let from6 = |source| FrameBuilder::new(source, "2001:db8:1::1").udp(1, 53).build();
    let flags = |flags| v4().tcp(1, 80).flags(flags).build();
    let none = CLASS_NONE;
    let (fin, syn, rst, ack) = (tcp_flags::FIN, tcp_flags::SYN, tcp_flags::RST, tcp_flags::ACK);
    vec![
        (
            "source and destination the same",
            FrameBuilder::new("192.0.2.7", "192.0.2.7").udp(1, 53).build(),
            Land,
            none,
        ),
        ("from 0.0.0.0/8", from("0.1.2.3"), BogonSource, none),
        ("from loopback", from("127.0.0.1"), BogonSource, none),
        ("from multicast", from("224.0.0.1"), BogonSource, none),
        ("from the reserved 240.0.0.0/4", from("250.0.0.1"), BogonSource, none),
        ("from broadcast", from("255.255.255.255"), BogonSource, none),
        ("from 223.255.255.255, just below multicast", from("223.255.255.255"), Passed, DNS),
        ("from private space", from("10.0.0.1"), Passed, DNS),
        ("from ::", from6("::"), BogonSource, none),
        ("from ::1", from6("::1"), BogonSource, none),
        ("from ::2", from6("::2"), Passed, DNS),
        ("from IPv6 multicast", from6("ff02::1"), BogonSource, none),
        ("UDP from port 0", v4().udp(0, 53).build(), PortZero, none),
        ("UDP to port 0", v6().udp(1, 0).build(), PortZero, none),
        ("TCP to port 0", v4().tcp(1, 0).build(), PortZero, none),
        ("TCP without flags", flags(0), TcpFlags, none),
        ("TCP with SYN and FIN", flags(syn | fin), TcpFlags, none),
        ("TCP with SYN and RST", flags(syn | rst), TcpFlags, none),
        ("TCP with FIN alone", flags(fin), TcpFlags, none),
        ("TCP with everything (Xmas)", flags(0x3f), TcpFlags, none),
        ("TCP with a bare RST", flags(rst), Passed, WEB),
        ("TCP with RST and ACK", flags(rst | ack), Passed, WEB),
        ("TCP with FIN and ACK", flags(fin | ack), Passed, WEB),
        ("TCP with a SYN-ACK", flags(syn | ack), Passed, WEB),
        ("TCP with an ACK", flags(ack), Passed, WEB),
    ]
}

fn truncations() {
    let whole = [
        v4().vlan(5).vlan(6).options(&[1; 12]).tcp(1, 80).tcp_options(&[1; 12]).build(),
        v4().udp(1, 53).build(),
        v4().echo_request().build(),
        v6().hop_by_hop(2).fragment(0, true).tcp(1, 80).payload(&[0; 4]).build(),
        v6().authentication(6).routing(2).udp(1, 53).build(),
        v6().destination_options(1).echo_request().build(),
    ];
    let datapath = lock(&RIG);
    for frame in whole {
        // The kernel runs no frame shorter than an Ethernet header.
        for length in 14..frame.len() {
            let (action, counted) = judge(&datapath, &frame.truncated(length));
            assert_eq!(action, DROP, "{length} bytes of {frame:?} pass as {counted:?}");
            assert!(counted.reason.name().starts_with("malformed"), "{length} bytes: {counted:?}");
        }
        let (action, counted) = judge(&datapath, &frame);
        assert_eq!((action, counted.reason), (PASS, Passed), "{frame:?}");
    }
}

fn observe() {
    let mut datapath = lock(&RIG);
    install(&mut datapath, rules().mode(MODE_OBSERVE));
    let drops = [malformed(), illegitimate()]
        .into_iter()
        .flatten()
        .filter(|(_, _, reason, _)| reason.kind() == Kind::Drop);
    for (sentence, frame, reason, class) in drops {
        let (action, counted) = judge(&datapath, &frame);
        assert_eq!(
            (action, counted.reason, counted.class, counted.observed),
            (PASS, reason, class, true),
            "{sentence}"
        );
    }
    let (_, counted) = judge(&datapath, &v4().udp(1, 53).build());
    assert!(!counted.observed, "what passes anyway is not observed");
    install(&mut datapath, rules());
}

fn fragments_dropped() {
    let mut datapath = lock(&RIG);
    install(&mut datapath, rules().fragments(FRAGMENTS_DROP));
    for frame in [
        v4().fragment(0, true).udp(1, 53).payload(&[0; 8]).build(),
        v6().fragment(64, false).protocol(protocol::UDP).payload(&[0; 5]).build(),
    ] {
        let (action, counted) = judge(&datapath, &frame);
        assert_eq!((action, counted.reason), (DROP, Fragment));
    }
    let (_, counted) = judge(&datapath, &v6().fragment(0, false).udp(1, 53).build());
    assert_eq!(counted.reason, Passed, "an atomic fragment is none");
    install(&mut datapath, rules());
}

fn no_policy() {
    let datapath = rig::load_without_policy();
    let (action, counted) = judge(&datapath, &v4().version(9).udp(1, 53).build());
    assert_eq!((action, counted.reason, counted.slot), (PASS, NoPolicy, 0));
}

fn unnamed_interface() {
    let mut rules = rules();
    rules.policy.interfaces = [0; 8];
    rules.policy.interfaces[3] = 1;
    let mut datapath = lock(&RIG);
    install(&mut datapath, rules);
    assert_eq!(judge(&datapath, &v4().udp(1, 53).build()).1.slot, 3);
    let mut unnamed = self::rules();
    unnamed.policy.interfaces = [0; 8];
    install(&mut datapath, unnamed);
    assert_eq!(judge(&datapath, &v4().udp(1, 53).build()).1.slot, 0);
    install(&mut datapath, self::rules());
}

fn dhcp_budget() {
    let datapath = rig::load(rules());
    let frame = FrameBuilder::new("192.0.2.1", "198.51.100.1").udp(67, 68).payload(&[2; 240]).build();
    datapath.run(&frame, 10_000).unwrap();
    let essential = rig::packets(&datapath, Essential);
    assert!((100..=200).contains(&essential), "{essential} DHCP messages passed unjudged");
    assert_eq!(rig::packets(&datapath, Passed), 10_000 - essential);
}
