//! Frames: good ones, and what becomes of them when they are bent, cut and lengthened.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use stopbank_tests::frames::{Frame, FrameBuilder, arp, other};

use super::{
    generate::{one_in, pick},
    world::World,
};
use crate::rig::Random;

/// Ports that worlds name.
pub(super) const PORTS: [u16; 6] = [53, 80, 443, 4789, 8080, 65_535];
/// Source ports that worlds may take for amplifiers'.
pub(super) const AMPLIFIERS: [u16; 6] = [19, 53, 123, 1900, 11_211, 65_472];
/// Protocols that worlds name.
pub(super) const PROTOCOLS: [u8; 8] = [0, 1, 4, 41, 47, 58, 59, 253];

/// Frames of which others are made.
const TEMPLATES: usize = 300;
/// Above this a frame lies in several buffers, of which the program reads the first.
const ONE_BUFFER: usize = 3_520;

/// Makes frames.
pub(super) struct Mill {
    templates: Vec<Vec<u8>>,
}

impl Mill {
    pub(super) fn new(random: &mut Random, world: &World, mut sources: Vec<IpAddr>) -> Self {
        // Proven ones send more often than they would by chance.
        sources.extend(world.proven.keys());
        let templates = (0..TEMPLATES).map(|_| template(random, &sources, 0).bytes).collect();
        Self { templates }
    }

    pub(super) fn frame(&mut self, random: &mut Random) -> Vec<u8> {
        let mut frame = self.templates[random.below(self.templates.len())].clone();
        match random.below(16) {
            // Long frames lie in several buffers; with headers bent, these might begin beyond the first.
            0..3 if frame.len() < ONE_BUFFER => bend(random, &mut frame),
            3 => frame.truncate(14 + random.below(frame.len() - 13)),
            4 => {
                // Most cuts leave no headers, or all of them.
                frame.truncate(14 + random.below((frame.len() - 13).min(70)));
            }
            5 if frame.len() < 1_400 => frame.resize(frame.len() + random.below(100), 0),
            6 if one_in(random, 8) => {
                frame = vec![0; 14 + random.below(100)];
                random.fill(&mut frame);
                let ethertype = pick(random, &[[8, 0], [0x86, 0xdd], [0x81, 0], [0x88, 0xa8], [0x91, 0]]);
                frame[12..14].copy_from_slice(&ethertype);
            }
            _ => {}
        }
        frame
    }
}

/// Overwrites some bytes of the headers, often with what is a limit somewhere.
fn bend(random: &mut Random, frame: &mut [u8]) {
    for _ in 0..1 + random.below(3) {
        let at = 12 + random.below((frame.len() - 12).min(90));
        frame[at] = match random.below(4) {
            0 => frame[at] ^ 1 << random.below(8),
            1 => pick(random, &[0, 1, 4, 5, 6, 8, 17, 0x20, 43, 44, 0x45, 51, 58, 59, 60, 0x81, 255]),
            2 => frame[at].wrapping_add(pick(random, &[1, 2, 255, 254])),
            _ => random.next() as u8,
        };
    }
}

/// `depth`: how many tunnels it is to go into.
fn template(random: &mut Random, sources: &[IpAddr], depth: usize) -> Frame {
    match random.below(60) {
        0 => return arp(Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)),
        1 => return other(pick(random, &[0x88cc, 0x8847, 0x05dc, 0x888e]), &[7; 40]),
        _ => {}
    }
    let source = if one_in(random, 16) { strange(random) } else { pick(random, sources) };
    let destination = match source {
        _ if one_in(random, 40) => source,
        IpAddr::V4(_) => Ipv4Addr::new(198, 51, 100, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1).into(),
    };
    let frame = tagged(random, FrameBuilder::new(source, destination));
    if depth < 3 && one_in(random, 3 + 2 * depth) {
        let inner = template(random, sources, depth + 1);
        return tunnel(random, frame, source.is_ipv4(), &inner);
    }
    let frame = extended(random, frame, source.is_ipv4());
    transport(random, frame, source.is_ipv4()).checksum(0).build()
}

/// A frame in a tunnel, now and then in a first fragment that holds only its beginning.
fn tunnel(random: &mut Random, frame: FrameBuilder, ipv4: bool, inner: &Frame) -> Frame {
    let network = &inner[inner.network..];
    // What the frame says that it carries, or something else.
    let announced = [inner[inner.network - 2], inner[inner.network - 1]];
    let ethertype = pick(random, &[[8, 0], [0x86, 0xdd], [0x81, 0], [0x88, 0x3e], [0x88, 0x47], [8, 6]]);
    let ethertype = if one_in(random, 5) { ethertype } else { announced };
    let (protocol, mut content) = match random.below(8) {
        0 | 1 => (47, [&gre(random, ethertype)[..], network].concat()),
        2 => {
            // The EtherType of the outermost tag, and what follows it: tags that GRE names.
            (47, [&[0, 0][..], &inner[12..]].concat())
        }
        3 => (47, [&gre(random, [0x65, 0x58])[..], inner].concat()),
        4 | 5 => {
            let other = if one_in(random, 8) { 4 } else { 41 };
            (if announced == [8, 0] { 4 } else { other }, network.to_vec())
        }
        _ => {
            let flags = if one_in(random, 12) { random.next() as u8 } else { 8 };
            (17, [&[flags, 0, 0, 0, 0, 0, 7, 0][..], inner].concat())
        }
    };
    let mut frame = if one_in(random, 4) { extended(random, frame, ipv4) } else { frame };
    let rest = if one_in(random, 10) {
        frame = frame.fragment(0, true);
        let all = content.len() / 8 * 8;
        let rest = content.split_off((8 * random.below(16)).min(all));
        rest.into_iter().take(random.below(60)).collect()
    } else {
        Vec::new()
    };
    let frame = if protocol == 17 {
        frame.udp(1_024 + random.below(64_000) as u16, pick(random, &[4789, 4789, 8080, 8472, 443, 53]))
    } else {
        frame.protocol(protocol)
    };
    let mut frame = frame.payload(&content).checksum(0).build();
    frame.bytes.extend(rest);
    frame
}

/// A GRE header, usually one that a sender makes.
fn gre(random: &mut Random, ethertype: [u8; 2]) -> Vec<u8> {
    let flags: u8 = pick(random, &[0, 0, 0x80, 0x20, 0x10, 0x30, 0xb0, 0xa0]);
    let optional = vec![7; 4 * flags.count_ones() as usize];
    let (strange, version) = match random.below(16) {
        0 => (pick(random, &[0x40, 0x08, 0x07]), 0),
        1 => (0, pick(random, &[1, 2, 7, 0x80, 0xf8])),
        _ => (0, 0),
    };
    [&[flags | strange, version][..], &ethertype, &optional].concat()
}

/// Addresses that mean something.
fn strange(random: &mut Random) -> IpAddr {
    let texts = [
        "0.0.0.0",
        "0.1.2.3",
        "1.0.0.0",
        "126.255.255.255",
        "127.0.0.1",
        "128.0.0.1",
        "223.255.255.255",
        "224.0.0.1",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "100.64.0.1",
        "169.254.1.1",
        "::",
        "::1",
        "::2",
        "0:0:0:1::",
        "1::",
        "ff02::1",
        "fe80::1",
        "fc00::1",
        "::ffff:192.0.2.1",
        "::fffe:192.0.2.1",
        "64:ff9b::192.0.2.1",
    ];
    pick(random, &texts).parse().unwrap()
}

fn tagged(random: &mut Random, frame: FrameBuilder) -> FrameBuilder {
    match random.below(24) {
        0 => frame.vlan(7),
        1 => frame.service_vlan(7).vlan(8),
        2 => frame.tag(0x9100, 7).vlan(4095),
        3 => frame.vlan(1).vlan(2).vlan(3),
        _ => frame,
    }
}

/// Options, extension headers and fragments.
fn extended(random: &mut Random, mut frame: FrameBuilder, ipv4: bool) -> FrameBuilder {
    if ipv4 && one_in(random, 6) {
        let length = 4 * (1 + random.below(10));
        frame = frame.options(&vec![1; length]);
    }
    if !ipv4 && one_in(random, 3) {
        if one_in(random, 3) {
            frame = frame.hop_by_hop(1 + random.below(3) as u8);
        }
        for _ in 0..pick(random, &[0, 1, 1, 2, 3, 7, 8]) {
            frame = match random.below(10) {
                0..4 => frame.destination_options(1 + random.below(3) as u8),
                4..7 => frame.routing(1 + random.below(3) as u8),
                7 => frame.authentication(pick(random, &[2, 3, 4, 6])),
                8 => frame.extension(pick(random, &[135, 139, 140]), &[0; 7]),
                _ => frame.hop_by_hop(1),
            };
        }
    }
    if one_in(random, 10) {
        let offset = pick(random, &[0, 0, 0, 8, 16, 1_480, 8_000, 60_000, 65_512, 65_528]);
        frame = frame.fragment(offset, one_in(random, 2));
        if !ipv4 && one_in(random, 3) {
            frame = frame.destination_options(1);
        }
    }
    if !ipv4 && one_in(random, 60) {
        frame = frame.fragment(0, false);
    }
    frame
}

fn transport(random: &mut Random, frame: FrameBuilder, ipv4: bool) -> FrameBuilder {
    let length = match random.below(40) {
        0 => 3_400 + random.below(200),
        1 => 8_000 + random.below(900),
        2..8 => 500 + random.below(900),
        8..24 => 8 * random.below(20),
        _ => random.below(60),
    };
    let payload = vec![7; length];
    let to = if one_in(random, 30) { 0 } else { pick(random, &PORTS) };
    let to = if one_in(random, 6) { 1_024 + random.below(60_000) as u16 } else { to };
    let from = if one_in(random, 30) { 0 } else { 1_024 + random.below(64_000) as u16 };
    match random.below(20) {
        0..8 => {
            let flags = match random.below(4) {
                0 | 1 => 0x02,
                2 => pick(random, &[0x10, 0x12, 0x18, 0x11, 0x04, 0x14, 0xc2, 0x30]),
                _ => random.next() as u8,
            };
            let options = vec![1; if one_in(random, 3) { 4 * random.below(11) } else { 0 }];
            frame.tcp(from, to).flags(flags).tcp_options(&options).payload(&payload)
        }
        8..13 => {
            let from = if one_in(random, 3) { pick(random, &AMPLIFIERS) } else { from };
            frame.udp(from, to).payload(&payload)
        }
        13 | 14 => {
            let (from, to) = pick(random, &[(67, 68), (68, 67), (67, 67), (68, 68), (546, 547), (547, 546)]);
            frame.udp(from, to).payload(&payload)
        }
        15 => frame.echo_request().payload(&payload),
        16 if !ipv4 => {
            let hops = pick(random, &[255, 255, 255, 254, 64]);
            let code = pick(random, &[0, 0, 0, 1]);
            frame.icmp(pick(random, &[132, 133, 134, 135, 136, 137, 138]), code).hops(hops).payload(&payload)
        }
        16 => frame.icmp(random.next() as u8, random.next() as u8).payload(&payload),
        17 => frame.protocol(random.next() as u8).payload(&payload),
        _ => frame.protocol(pick(random, &PROTOCOLS)).payload(&payload),
    }
}
