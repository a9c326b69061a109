//! Signatures in the kernel: named attacks, and any signature on any frame against a plain reference.

#[path = "../../../common/tests/signature/generate.rs"]
mod generate;
#[path = "../../../common/tests/signature/reference.rs"]
mod reference;

use generate::Draw;
use libtest_mimic::Trial;
use stopbank::datapath::Datapath;
use stopbank_common::{
    Reason,
    counters::Tally,
    parse::{Cursor, Facts, Network, parse, tcp_flags},
    policy::{CLASS_DEFAULT, MAX_SIGNATURES},
    signature::{Range, Signature, field, words},
};
use stopbank_tests::frames::{Frame, FrameBuilder};

use crate::rig::{self, DROP, PASS, Random, Rules, difference, judge};

const GAME: u8 = 2;
const WEB: u8 = 3;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("signatures: what matches is dropped, counted under its reason and by signature", named),
        crate::trial("signatures: one that observes is counted, and the packet goes on", observed),
        crate::trial("signatures: the last of 32 is found, and only those of the packet's class", classes),
        crate::trial("signatures: bytes are found in the second of a driver's buffers", far),
        crate::trial("signatures: any signature on any frame, as the reference says", differential),
    ]
}

impl Draw for Random {
    fn below(&mut self, bound: usize) -> usize {
        Self::below(self, bound)
    }
}

fn v4() -> FrameBuilder {
    FrameBuilder::new("192.0.2.7", "198.51.100.1")
}

/// A policy in which signatures are a class's, the first being number 0.
fn rules(class: u8, signatures: &[Signature]) -> Rules {
    let mut rules = Rules::new().udp(27_015, GAME).tcp(80, WEB);
    for (i, signature) in signatures.iter().enumerate() {
        rules.policy.signatures[i] = Signature { counter: i as u32, ..*signature };
        rules.policy.classes[usize::from(class)].signatures |= 1 << i;
    }
    rules
}

fn payload(offset: u16, bytes: &[u8]) -> Signature {
    let (mut pattern, mut mask) = ([0; 16], [0; 16]);
    pattern[..bytes.len()].copy_from_slice(bytes);
    mask[..bytes.len()].fill(0xff);
    Signature {
        pattern: words(pattern),
        mask: words(mask),
        pattern_length: bytes.len() as u16,
        offset,
        fields: field::PAYLOAD,
        ..Signature::default()
    }
}

fn syn_without_options() -> Signature {
    Signature {
        tcp_flags: [tcp_flags::SYN | tcp_flags::ACK, tcp_flags::SYN],
        fields: field::TCP_FLAGS | field::TCP_OPTIONS,
        ..Signature::default()
    }
}

#[track_caller]
fn becomes(datapath: &Datapath, frame: &Frame, action: u32, reason: Reason, class: u8) {
    let (did, counted) = judge(datapath, frame);
    assert_eq!((did, counted.reason, counted.class, counted.observed), (action, reason, class, false));
}

/// Packets that each counter has, whatever became of them.
fn matched(datapath: &Datapath) -> Vec<u64> {
    let both = |counter| datapath.signature_matches(counter).unwrap();
    (0..MAX_SIGNATURES as u32).map(|counter| both(counter).iter().map(|tally| tally.packets).sum()).collect()
}

fn named() {
    let query = payload(0, b"\xff\xff\xff\xffTSource En");
    let datapath = rig::load(rules(GAME, &[query]));
    let game = || v4().udp(40_000, 27_015);
    let flood = game().payload(b"\xff\xff\xff\xffTSource Engine Query\0").build();
    becomes(&datapath, &flood, DROP, Reason::Signature, GAME);
    becomes(&datapath, &game().payload(b"\xff\xff\xff\xffTSource").build(), PASS, Reason::Passed, GAME);
    becomes(&datapath, &game().payload(b"\xff\xff\xff\xffVSource En").build(), PASS, Reason::Passed, GAME);
    becomes(&datapath, &game().build(), PASS, Reason::Passed, GAME);
    let behind_tags = game().vlan(5).options(&[1; 8]).payload(b"\xff\xff\xff\xffTSource En").build();
    becomes(&datapath, &behind_tags, DROP, Reason::Signature, GAME);
    let [tally, _] = datapath.signature_matches(0).unwrap();
    assert_eq!(tally, Tally { packets: 2, bytes: (flood.len() + behind_tags.len()) as u64 });

    let datapath = rig::load(rules(WEB, &[syn_without_options()]));
    let web = |flags| FrameBuilder::new("2001:db8::7", "2001:db8::1").tcp(40_000, 80).flags(flags);
    becomes(&datapath, &web(tcp_flags::SYN).build(), DROP, Reason::Signature, WEB);
    becomes(&datapath, &web(tcp_flags::ACK).build(), PASS, Reason::Passed, WEB);
    let real = web(tcp_flags::SYN).tcp_options(&[2, 4, 5, 0xb4]).build();
    becomes(&datapath, &real, PASS, Reason::Passed, WEB);
}

fn observed() {
    let mut watch = payload(0, b"GET ");
    watch.fields |= field::OBSERVE;
    let limited =
        Signature { hop_limit: Range { from: 1, to: 5 }, fields: field::HOP_LIMIT, ..Signature::default() };
    let datapath = rig::load(rules(WEB, &[watch, limited]));
    let frame =
        |hops| v4().tcp(40_000, 80).hops(hops).flags(tcp_flags::ACK).payload(b"GET / HTTP/1.1").build();
    let before = rig::all_counters(&datapath);
    assert_eq!(datapath.run(&frame(64), 1).unwrap().action, PASS);
    let counted = difference(&before, &rig::all_counters(&datapath));
    let as_what: Vec<_> = counted.iter().map(|counted| (counted.reason, counted.observed)).collect();
    assert_eq!(as_what, [(Reason::Passed, false), (Reason::Signature, true)]);
    assert_eq!(matched(&datapath)[..2], [1, 0]);
    // What only observes stands in no other's way.
    assert_eq!(datapath.run(&frame(3), 1).unwrap().action, DROP);
    assert_eq!(matched(&datapath)[..2], [2, 1]);
}

fn classes() {
    let mut rules = rules(GAME, &[payload(0, b"game")]);
    let last = MAX_SIGNATURES - 1;
    rules.policy.signatures[last] = Signature { counter: last as u32, ..payload(0, b"web") };
    rules.policy.classes[usize::from(WEB)].signatures = 1 << last;
    let datapath = rig::load(rules);
    let web = |bytes: &[u8]| v4().tcp(40_000, 80).flags(tcp_flags::ACK).payload(bytes).build();
    becomes(&datapath, &web(b"webber"), DROP, Reason::Signature, WEB);
    becomes(&datapath, &web(b"game"), PASS, Reason::Passed, WEB);
    let elsewhere = v4().tcp(40_000, 81).flags(tcp_flags::ACK).payload(b"webber").build();
    becomes(&datapath, &elsewhere, PASS, Reason::Passed, CLASS_DEFAULT);
    assert_eq!((matched(&datapath)[0], matched(&datapath)[last]), (0, 1));
}

/// BPF_PROG_TEST_RUN puts what a page does not hold into further buffers, as drivers do with large frames.
fn far() {
    let mut end = payload(4, b"tail");
    end.fields = field::PAYLOAD_END;
    let datapath = rig::load(rules(WEB, &[payload(6_000, b"far away"), end]));
    let frame = |at: usize, what: &[u8]| {
        let mut bytes = vec![0; 8_000];
        bytes[at..at + what.len()].copy_from_slice(what);
        v4().tcp(40_000, 80).flags(tcp_flags::ACK).payload(&bytes).build()
    };
    assert_eq!(datapath.run(&frame(6_000, b"far away"), 1).unwrap().action, DROP);
    assert_eq!(datapath.run(&frame(7_996, b"tail"), 1).unwrap().action, DROP);
    assert_eq!(datapath.run(&frame(6_001, b"far away"), 1).unwrap().action, PASS);
    assert_eq!(matched(&datapath)[..2], [1, 1]);
    // Across every place where the first buffer may end: a signature for each, all of which observe.
    let mut datapath = rig::load(Rules::new());
    let bytes: Vec<u8> = (0..4_300_u32).map(|i| (i.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
    let frame = frame(0, &bytes);
    for first in (0..4_200_u16).step_by(MAX_SIGNATURES) {
        let each = |at: u16| Signature {
            fields: field::PAYLOAD | field::OBSERVE,
            ..payload(at, &bytes[usize::from(at)..usize::from(at) + 16])
        };
        let signatures: Vec<Signature> = (first..first + MAX_SIGNATURES as u16).map(each).collect();
        rig::install(&mut datapath, rules(WEB, &signatures));
        let before = matched(&datapath);
        assert_eq!(datapath.run(&frame, 1).unwrap().action, PASS);
        for (i, (after, before)) in matched(&datapath).iter().zip(before).enumerate() {
            assert_eq!(after - before, 1, "at {}", usize::from(first) + i);
        }
    }
}

fn good_frames() -> Vec<Frame> {
    let v6 = || FrameBuilder::new("2001:db8::7", "2001:db8:1::1");
    let options = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
    let text = b"GET / HTTP/1.1\r\nHost: example.net\r\n\r\n";
    vec![
        v4().tcp(40_000, 80).tcp_options(&options).build(),
        v4().tcp(40_000, 80).tcp_options(&[1; 40]).payload(text).flags(tcp_flags::ACK).build(),
        v4().vlan(1).vlan(2).options(&[1; 8]).udp(123, 53).payload(&[0xd7, 0, 3, 0x2a, 5, 6, 7]).build(),
        v4().echo_request().payload(&[7; 20]).build(),
        v4().fragment(64, true).protocol(17).payload(&[7; 64]).build(),
        v4().udp(1, 2).build(),
        v6().tcp(40_000, 443).tcp_options(&[2, 4, 5, 0xb4]).build(),
        v6().hop_by_hop(2).routing(1).destination_options(2).udp(53, 53).payload(text).build(),
        v6().fragment(128, false).protocol(6).payload(&[7; 40]).build(),
        v6().echo_request().payload(&[9; 9]).build(),
        v6().protocol(47).payload(text).build(),
    ]
}

/// Thirty-two signatures at a time, all of which observe, so that each is told by its own count.
fn differential() {
    let (mut random, good) = (Random(61), good_frames());
    let mut datapath = rig::load(Rules::new());
    let (mut frames, mut hits) = (0, 0);
    for _ in 0..100 {
        let signatures: Vec<Signature> = (0..MAX_SIGNATURES)
            .map(|_| {
                let frame = &good[random.below(good.len())];
                let signature = generate::signature(&mut random, frame);
                Signature { fields: signature.fields | field::OBSERVE, ..signature }
            })
            .collect();
        rig::install(&mut datapath, rules(CLASS_DEFAULT, &signatures));
        for _ in 0..25 {
            let mut frame = good[random.below(good.len())].bytes.clone();
            for _ in 0..random.below(3) {
                let at = 12 + random.below(frame.len() - 12);
                frame[at] = random.next() as u8;
            }
            let mut facts = Facts::default();
            let parsed = parse(Cursor::new(&frame), frame.len() as u32, &mut facts);
            let before = (matched(&datapath), rig::packets(&datapath, Reason::Passed));
            datapath.run(&frame, 1).unwrap();
            if rig::packets(&datapath, Reason::Passed) == before.1 {
                continue; // An earlier step has decided.
            }
            assert_eq!(parsed, Ok(Network::Ip));
            frames += 1;
            for (i, (after, before)) in matched(&datapath).iter().zip(&before.0).enumerate() {
                let of_class = facts.destination_port != 80 && facts.destination_port != 27_015;
                let expected = of_class && reference::matches(&signatures[i], &frame);
                assert_eq!(after - before == 1, expected, "{:?}\n{frame:02x?}", signatures[i]);
                hits += u64::from(expected);
            }
        }
    }
    println!("{frames} frames, each against 32 signatures: {hits} matched");
    assert!(frames > 1_500 && hits > 3_000, "{frames} frames, {hits} matched");
}
