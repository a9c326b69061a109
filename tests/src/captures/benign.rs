//! What comes in on an ordinary day.

use std::net::{Ipv4Addr, Ipv6Addr};

use stopbank_common::parse::tcp_flags::{ACK, FIN, SYN};

use super::{HOST, HOST6, Random, SECOND, Scenario};
use crate::{
    frames::{FrameBuilder, arp},
    pcap::Pcap,
};

const MS: u64 = SECOND / 1_000;

/// Packets of several peers at once, put in the order of their times.
#[derive(Default)]
struct Day {
    packets: Vec<(u64, Vec<u8>)>,
}

impl Day {
    #[expect(clippy::needless_pass_by_value, reason = "frames are described where they are added")]
    fn add(&mut self, at_ns: u64, frame: FrameBuilder) {
        self.packets.push((at_ns, frame.build().bytes));
    }

    /// A segment each time span: what a client sends while it is served, or a server while it serves.
    fn segments(&mut self, from: u64, count: u64, every_ns: u64, segment: &FrameBuilder) {
        let bytes = segment.clone().build().bytes;
        self.packets.extend((0..count).map(|number| (from + number * every_ns, bytes.clone())));
    }

    fn pcap(mut self) -> Pcap {
        self.packets.sort_by_key(|(at, _)| *at);
        let mut pcap = Pcap::default();
        for (at, frame) in &self.packets {
            pcap.packet(*at, frame);
        }
        pcap
    }
}

fn from(host: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(203, 0, 113, 0)) + host)
}

/// Handshake, request, acknowledgements of the answer, farewell.
fn visit(day: &mut Day, at: u64, port: u16, peer: impl Fn() -> FrameBuilder) {
    let segment = |flags| peer().tcp(port, 443).flags(flags);
    day.add(at, segment(SYN));
    day.add(at + 30 * MS, segment(ACK));
    day.add(at + 31 * MS, segment(ACK | 0x08).payload(&[0x16; 517]));
    day.segments(at + 60 * MS, 60, MS, &segment(ACK));
    day.add(at + 200 * MS, segment(ACK | FIN));
}

fn web() -> Pcap {
    let (mut day, mut random) = (Day::default(), Random(1));
    for client in 0..200 {
        for connection in 0..6 {
            let at = u64::from(random.below(8_000)) * MS;
            visit(&mut day, at, 30_000 + connection, || FrameBuilder::new(from(client), HOST));
            let v6 = Ipv6Addr::new(0x2001, 0xdb8, 1, client as u16, 0, 0, 0, 1);
            visit(&mut day, at + MS, 30_000 + connection, || FrameBuilder::new(v6, HOST6));
        }
    }
    day.pcap()
}

/// A few hundred people behind one address: 60 connections a second.
fn nat() -> Pcap {
    let mut day = Day::default();
    for connection in 0..300_u16 {
        visit(&mut day, u64::from(connection) * 16 * MS, 20_000 + connection, || {
            FrameBuilder::new(from(7), HOST)
        });
    }
    day.pcap()
}

/// Some 8,000 people behind one address of a carrier: 150 connections a second, and 500 at once after a pause.
fn carrier() -> Pcap {
    let mut day = Day::default();
    for connection in 0..2_000_u16 {
        let at = if connection < 500 { 0 } else { u64::from(connection - 500) * 6_667 * MS / 1_000 };
        visit(&mut day, at + 5 * SECOND, 20_000 + connection, || FrameBuilder::new(from(8), HOST));
    }
    day.pcap()
}

/// 400 of them over HTTP/3, who load 20 Mbit/s each, at times: 8,000 acknowledgements a second of one address.
fn carrier_quic() -> Pcap {
    let mut day = Day::default();
    for client in 0..400_u16 {
        let peer = FrameBuilder::new(from(8), HOST).udp(20_000 + client, 443).payload(&[0x40; 40]);
        day.segments(u64::from(client) * 125_000, 100, 50 * MS, &peer);
    }
    day.pcap()
}

/// 4,000 questions a second of one public resolver, to a DNS server of this host.
fn resolver() -> Pcap {
    let mut day = Day::default();
    let ask = FrameBuilder::new("9.9.9.9", HOST).udp(40_000, 53).payload(&[0; 40]);
    day.segments(0, 12_000, 250_000, &ask);
    day.pcap()
}

/// A tunnel (`WireGuard`), through which 40 Mbit/s come.
fn tunnel() -> Pcap {
    let mut day = Day::default();
    let packet = FrameBuilder::new(from(9), HOST).udp(51_820, 51_820).payload(&[4; 1_452]);
    day.segments(0, 10_500, 285_714, &packet);
    day.pcap()
}

fn quic() -> Pcap {
    let (mut day, mut random) = (Day::default(), Random(2));
    for client in 0..100 {
        let at = u64::from(random.below(2_000)) * MS;
        let peer = || FrameBuilder::new(from(client), HOST).udp(50_000, 443);
        day.segments(at, 3, 10 * MS, &peer().payload(&[0xc0; 1_200]));
        day.segments(at + 50 * MS, 500, 2 * MS, &peer().payload(&[0x40; 40]));
    }
    day.pcap()
}

/// Answers to the host's own questions: 500 a second of a resolver, and one each minute of time servers.
fn own_questions() -> Pcap {
    let (mut day, mut random) = (Day::default(), Random(3));
    for question in 0..2_500_u64 {
        let port = 32_768 + random.below(28_000) as u16;
        let answer =
            FrameBuilder::new("9.9.9.9", HOST)
                .udp(53, port)
                .payload(&vec![0; 60 + random.below(400) as usize]);
        day.add(question * 2 * MS, answer);
    }
    for server in 0..4 {
        let answer = || FrameBuilder::new(from(100 + server), HOST).udp(123, 123).payload(&[0x24; 48]);
        day.add(u64::from(server) * 700 * MS, answer());
        day.add(u64::from(server) * 700 * MS + 2 * SECOND, answer());
    }
    day.pcap()
}

/// A resolver that the host runs: 200 clients ask ten questions a second.
fn dns_server() -> Pcap {
    let mut day = Day::default();
    for client in 0..200_u32 {
        let ask = FrameBuilder::new(from(client), HOST).udp(40_000 + client as u16, 53).payload(&[0; 40]);
        day.segments(u64::from(client) * 3 * MS, 50, 100 * MS, &ask);
    }
    day.pcap()
}

fn operator() -> Pcap {
    let mut day = Day::default();
    let peer = || FrameBuilder::new(from(1), HOST);
    day.add(0, peer().tcp(51_000, 22));
    day.segments(20 * MS, 400, 20 * MS, &peer().tcp(51_000, 22).flags(ACK | 0x08).payload(&[0x33; 36]));
    day.segments(0, 10, SECOND, &peer().echo_request().payload(&[0; 56]));
    day.segments(
        500 * MS,
        10,
        SECOND,
        &FrameBuilder::new("2001:db8:1::1", HOST6).echo_request().payload(&[0; 56]),
    );
    // Path MTU discovery needs these.
    day.add(3 * SECOND, peer().icmp(3, 4).payload(&[0; 28]));
    day.add(4 * SECOND, FrameBuilder::new("2001:db8:1::1", HOST6).icmp(2, 0).payload(&[0; 48]));
    day.pcap()
}

fn link() -> Pcap {
    let mut day = Day::default();
    for number in 0..20 {
        let at = number * 500 * MS;
        day.add(at, FrameBuilder::new("fe80::1", HOST6).neighbour(135));
        day.add(at + MS, FrameBuilder::new("fe80::1", HOST6).neighbour(136));
        day.packets
            .push((at + 2 * MS, arp(Ipv4Addr::new(198, 51, 100, 254), Ipv4Addr::new(198, 51, 100, 1)).bytes));
        day.add(at + 3 * MS, FrameBuilder::new("198.51.100.254", HOST).udp(67, 68).payload(&[2; 300]));
    }
    day.pcap()
}

/// Full segments of one server, so many a second, for three seconds.
fn download(per_second: u64) -> Pcap {
    let mut day = Day::default();
    let segment = FrameBuilder::new(from(9), HOST).tcp(443, 40_000).flags(ACK).payload(&[0x17; 1_448]);
    day.segments(0, 3 * per_second, SECOND / per_second, &segment);
    day.pcap()
}

macro_rules! scenarios {
    ($($name:literal => $make:expr;)+) => { vec![$(Scenario { name: $name, make: || $make },)+] };
}

/// What must never be dropped; each lasts for some seconds.
pub fn benign() -> Vec<Scenario> {
    scenarios! {
        "web-browsing" => web();
        "web-one-nat" => nat();
        "web-carrier-nat" => carrier();
        "quic" => quic();
        "quic-carrier-nat" => carrier_quic();
        "dns-server-resolver" => resolver();
        "tunnel-40-mbit" => tunnel();
        "own-dns-and-ntp" => own_questions();
        "dns-server" => dns_server();
        "ssh-and-ping" => operator();
        "link" => link();
        "download-400-mbit" => download(33_000);
        "download-1-gbit" => download(82_000);
    }
}
