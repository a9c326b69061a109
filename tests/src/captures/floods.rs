//! Floods: 200,000 packets within a second, all to one host.

use stopbank_common::parse::{protocol, tcp_flags};

use super::{HOST, HOST6, Random, SECOND, Scenario, Sources};
use crate::{
    frames::{Frame, FrameBuilder},
    pcap::Pcap,
};

const PACKETS: u64 = 200_000;
/// What a flood comes from, before its sources are made.
const FROM: &str = "11.0.0.1";
const FROM6: &str = "2001:db8:0:1::1";
/// Where the transport header of a plain frame begins.
const TRANSPORT: usize = 34;
const TRANSPORT6: usize = 54;

fn v4() -> FrameBuilder {
    FrameBuilder::new(FROM, HOST)
}

fn v6() -> FrameBuilder {
    FrameBuilder::new(FROM6, HOST6)
}

/// The same few frames again and again, each from another source and with another of one port.
fn flood(frames: &[Frame], sources: Sources, port_at: Option<usize>) -> Pcap {
    let mut random = Random(7);
    let mut datagram = 0;
    let mut pcap = Pcap::default();
    for number in 0..PACKETS {
        let mut frame = frames[number as usize % frames.len()].bytes.clone();
        // The parts of one datagram come from one source.
        if number % frames.len() as u64 == 0 {
            datagram = random.next();
        }
        Random(datagram).source(sources, &mut frame);
        if let Some(at) = port_at.filter(|at| at + 2 <= frame.len()) {
            random.port(&mut frame, at);
        }
        pcap.packet(number * (SECOND / PACKETS), &frame);
    }
    pcap
}

fn udp(sources: Sources) -> Pcap {
    flood(&[v4().udp(40_000, 27_015).payload(&[0x55; 86]).build()], sources, Some(TRANSPORT))
}

fn udp6(sources: Sources) -> Pcap {
    flood(&[v6().udp(40_000, 27_015).payload(&[0x55; 86]).build()], sources, Some(TRANSPORT6))
}

fn tcp(flags: u8, source_port: u16, sources: Sources) -> Pcap {
    let vary = if source_port == 443 { TRANSPORT + 2 } else { TRANSPORT };
    let port = if source_port == 443 { 40_000 } else { 443 };
    flood(&[v4().tcp(source_port, port).flags(flags).build()], sources, Some(vary))
}

fn tcp6(flags: u8, sources: Sources) -> Pcap {
    flood(&[v6().tcp(40_000, 443).flags(flags).build()], sources, Some(TRANSPORT6))
}

/// Answers of so many reflectors to a question that this host did not ask.
fn reflection(port: u16, payload: usize) -> Pcap {
    let frame = v4().udp(port, 40_000).payload(&vec![0x5a; payload]).build();
    flood(&[frame], Sources::Many(4_096), Some(TRANSPORT + 2))
}

/// Answers of 4,000 bytes, in three fragments.
fn fragmented_reflection() -> Pcap {
    let first = v4().fragment(0, true).udp(53, 40_000).udp_length(4_008).payload(&[0x5a; 1_472]).build();
    let later = |offset: u16, more, bytes: usize| {
        v4().fragment(offset, more).protocol(protocol::UDP).payload(&vec![0x5a; bytes]).build()
    };
    flood(&[first, later(1_480, true, 1_480), later(2_960, false, 1_048)], Sources::Many(4_096), None)
}

fn fragments() -> Pcap {
    let frame = v4().fragment(1_480, true).protocol(protocol::UDP).payload(&[0x5a; 1_480]).build();
    flood(&[frame], Sources::Any, None)
}

fn icmp(sources: Sources) -> Pcap {
    flood(&[v4().echo_request().payload(&[0; 56]).build()], sources, None)
}

fn gre() -> Pcap {
    flood(&[v4().protocol(47).payload(&[0; 512]).build()], Sources::Many(1 << 16), None)
}

fn malformed() -> Pcap {
    let tcp = || v4().tcp(40_000, 443);
    let frames = [
        tcp().flags(0).build(),
        tcp().flags(tcp_flags::SYN | tcp_flags::FIN).build(),
        tcp().data_offset(4).build(),
        tcp().header_words(4).build(),
        tcp().length(2_000).build(),
        tcp().build().truncated(40),
        v4().tcp(40_000, 0).build(),
        v4().udp(0, 53).build(),
        v4().udp(40_000, 53).udp_length(7).build(),
        v4().udp(40_000, 53).udp_length(900).build(),
        v4().fragment(65_528, false).protocol(protocol::UDP).payload(&[0; 64]).build(),
        v4().fragment(8, true).protocol(protocol::TCP).payload(&[0; 64]).build(),
        FrameBuilder::new(HOST, HOST).tcp(443, 443).build(),
        FrameBuilder::new("127.0.0.1", HOST).udp(40_000, 53).build(),
        FrameBuilder::new("240.0.0.1", HOST).udp(40_000, 53).build(),
        v6().hop_by_hop(1).hop_by_hop(1).tcp(40_000, 443).build(),
        v4().vlan(1).vlan(2).vlan(3).tcp(40_000, 443).build(),
    ];
    flood(&frames, Sources::One, None)
}

macro_rules! scenarios {
    ($($name:literal => $make:expr;)+) => { vec![$(Scenario { name: $name, make: || $make },)+] };
}

/// The usual ones.
pub fn floods() -> Vec<Scenario> {
    const MANY: Sources = Sources::Many(1 << 16);
    const SYN: u8 = tcp_flags::SYN;
    const ACK: u8 = tcp_flags::ACK;
    scenarios! {
        "udp-one" => udp(Sources::One);
        "udp-65536" => udp(MANY);
        "udp-random" => udp(Sources::Any);
        "udp6-one" => udp6(Sources::One);
        "udp6-one-64" => udp6(Sources::One64);
        "udp6-65536-64s" => udp6(MANY);
        "udp6-random" => udp6(Sources::Any);
        "syn-one" => tcp(SYN, 40_000, Sources::One);
        "syn-65536" => tcp(SYN, 40_000, MANY);
        "syn-random" => tcp(SYN, 40_000, Sources::Any);
        "syn6-random" => tcp6(SYN, Sources::Any);
        "ack-one" => tcp(ACK, 40_000, Sources::One);
        "ack-random" => tcp(ACK, 40_000, Sources::Any);
        "ack6-random" => tcp6(ACK, Sources::Any);
        "rst-random" => tcp(tcp_flags::RST, 40_000, Sources::Any);
        "syn-ack-reflection" => tcp(SYN | ACK, 443, MANY);
        "dns-reflection" => reflection(53, 1_200);
        "dns-reflection-fragments" => fragmented_reflection();
        "ntp-reflection" => reflection(123, 440);
        "memcached-reflection" => reflection(11_211, 1_400);
        "ssdp-reflection" => reflection(1_900, 320);
        "cldap-reflection" => reflection(389, 1_400);
        "chargen-reflection" => reflection(19, 1_000);
        "icmp-one" => icmp(Sources::One);
        "icmp-65536" => icmp(MANY);
        "icmp-random" => icmp(Sources::Any);
        "fragments-random" => fragments();
        "gre-65536" => gre();
        "malformed" => malformed();
    }
}
