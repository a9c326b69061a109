//! SYN cookies from XDP: every byte of an answer, and when one is sent. Whether the kernel takes them is for the tests in
//! network namespaces.

use libtest_mimic::Trial;
use stopbank::datapath::{Datapath, Options, Simulation};
use stopbank_common::{
    Reason,
    gcra::Dimension,
    policy::{
        CLASS_DEFAULT, CLASS_OBSERVE, GUARD_ALWAYS, GUARD_AUTO, Guard, HANDSHAKE_SACK, HANDSHAKE_SCALING,
        HANDSHAKE_TIMESTAMPS, Handshake, MODE_OBSERVE, ROLE_HOST,
    },
};
use stopbank_tests::frames::{FrameBuilder, internet_checksum};

use crate::rig::{self, DROP, PASS, Random, Rules, per_second};

/// `XDP_TX`.
const REPLY: u32 = 3;
const ALL: u8 = HANDSHAKE_SACK | HANDSHAKE_SCALING | HANDSHAKE_TIMESTAMPS;
const SECOND: u64 = 1_000_000_000;
/// Any time at which the lowest six bits of its milliseconds are neither all zero nor all one.
const NOW: u64 = 5_000 * SECOND + 33_000_000;
/// What Linux offers: segment size, selective acknowledgements, a timestamp, and a window scale of 9.
const LINUX: [u8; 20] = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0xa1, 0xb2, 0xc3, 0xd4, 0, 0, 0, 0, 1, 3, 3, 9];
/// What Windows offers: no timestamp.
const WINDOWS: [u8; 12] = [2, 4, 5, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("SYN cookies: every byte of the answer, by family, tags and options", answers),
        crate::trial("SYN cookies: options that lie are read to their first lie", lies),
        crate::trial("SYN cookies: one SYN a second for each listener goes on to the kernel", trickle),
        crate::trial("SYN cookies: automatic ones begin above the rate and end after the hold", automatic),
        crate::trial("SYN cookies: what cannot be answered is left to the limits", unanswered),
        crate::trial("SYN cookies: observed ones are counted, and the SYN goes on", observed),
        crate::trial("SYN cookies: a spent total stops no answer, a source's limit does", limits),
    ]
}

fn rules(mode: u32, flags: u8) -> Rules {
    let mut rules = Rules::new();
    rules.policy.role = ROLE_HOST;
    rules.policy.handshake = Handshake {
        mss_v4: 1_412,
        mss_v6: 1_392,
        window: 64_240,
        scale: 7,
        flags,
        hop_limit: 61,
        reserved: [0; 7],
    };
    let class = &mut rules.policy.classes[usize::from(CLASS_DEFAULT)];
    class.guard = Guard { mode, hold_ms: 2_000, rate: per_second(10, 10) };
    rules
}

/// A program whose sockets all exist and listen; each listener has had its SYN of this second.
fn load(rules: Rules) -> Datapath {
    let simulation = Some(Simulation { assume_sockets: true });
    let mut datapath = Datapath::private(&Options { simulation, ..Options::default() })
        .unwrap_or_else(|error| panic!("{error}"));
    rig::install(&mut datapath, rules);
    datapath
}

fn v4() -> FrameBuilder {
    FrameBuilder::new("192.0.2.7", "198.51.100.1").tcp(40_123, 443)
}

fn v6() -> FrameBuilder {
    FrameBuilder::new("2001:db8:7::7", "2001:db8::1").tcp(40_123, 443)
}

fn reason(datapath: &mut Datapath, frame: &[u8], now: u64) -> (u32, Reason) {
    let trace = datapath.simulate(frame, now).unwrap();
    (trace.action, Reason::from_number(trace.reason as u8).unwrap())
}

/// Lets the listener's SYN of this second pass.
fn warm_up(datapath: &mut Datapath, now: u64) {
    for frame in [v4().build(), v6().build()] {
        assert_eq!(reason(datapath, &frame, now), (PASS, Reason::Passed));
    }
}

fn answers() {
    let mut datapath = load(rules(GUARD_ALWAYS, ALL));
    warm_up(&mut datapath, NOW);
    for base in [v4(), v6()] {
        for tagged in [base.clone(), base.clone().vlan(7), base.clone().service_vlan(9).vlan(7)] {
            for (options, sack, scale) in [
                (&LINUX[..], true, Some(9)),
                (&LINUX[8 - 4..], false, None),
                (&WINDOWS[..], false, None),
                (&[], false, None),
            ] {
                // The second begins in the middle of the first's options: only what stands in the right form counts.
                let options = if options.len() == 16 {
                    &[8, 10, 0xa1, 0xb2, 0xc3, 0xd4, 0, 0, 0, 0, 1, 1][..]
                } else {
                    options
                };
                let frame = tagged.clone().tcp_options(options).build();
                let timestamp = options.contains(&0xa1).then_some(0xa1b2_c3d4);
                check(&mut datapath, &frame, &Expected { timestamp, sack, scale });
                // With data (TCP Fast Open), or padded: neither is in the answer.
                check(
                    &mut datapath,
                    &tagged.clone().tcp_options(options).payload(&[7; 1_000]).build(),
                    &Expected { timestamp, sack, scale },
                );
                check(&mut datapath, &frame.padded(90), &Expected { timestamp, sack, scale });
            }
        }
    }
    // A host that keeps less of what is offered.
    let mut datapath = load(rules(GUARD_ALWAYS, HANDSHAKE_TIMESTAMPS | HANDSHAKE_SCALING));
    warm_up(&mut datapath, NOW);
    let expected = Expected { timestamp: Some(0xa1b2_c3d4), sack: false, scale: Some(9) };
    check(&mut datapath, &v4().tcp_options(&LINUX).build(), &expected);
    let mut datapath = load(rules(GUARD_ALWAYS, HANDSHAKE_SACK | HANDSHAKE_SCALING));
    warm_up(&mut datapath, NOW);
    let expected = Expected { timestamp: None, sack: false, scale: None };
    check(&mut datapath, &v6().tcp_options(&LINUX).build(), &expected);
}

/// What an answer says of the client's options.
struct Expected {
    timestamp: Option<u32>,
    sack: bool,
    scale: Option<u8>,
}

fn check(datapath: &mut Datapath, frame: &[u8], expected: &Expected) {
    assert_eq!(reason(datapath, frame, NOW), (REPLY, Reason::SynCookie), "{frame:02x?}");
    let (run, answer) = datapath.run_and_see(frame).unwrap();
    assert_eq!(run.action, REPLY);
    let tags =
        (0..).take_while(|i| matches!(&frame[12 + 4 * i..14 + 4 * i], [0x81, 0] | [0x88, 0xa8])).count();
    let network = 14 + 4 * tags;
    assert_eq!((&answer[..6], &answer[6..12]), (&frame[6..12], &frame[..6]), "stations");
    assert_eq!(answer[12..network], frame[12..network], "tags and Ethernet type");
    let v4 = frame[network] >> 4 == 4;
    let (ip, asked_ip) = (&answer[network..], &frame[network..]);
    let (header, segment, asked) =
        if v4 { (&ip[..20], &ip[20..], &asked_ip[20..]) } else { (&ip[..40], &ip[40..], &asked_ip[40..]) };
    let (source, destination) = if v4 {
        assert_eq!(header[..12], [0x45, 0, 0, ip.len() as u8, 0, 0, 0x40, 0, 61, 6, header[10], header[11]]);
        assert_eq!(internet_checksum(&[header]), 0);
        (&header[12..16], &header[16..20])
    } else {
        assert_eq!(header[..8], [0x60, 0, 0, 0, 0, segment.len() as u8, 6, 61]);
        (&header[8..24], &header[24..40])
    };
    let asked_addresses = if v4 { &asked_ip[12..20] } else { &asked_ip[8..40] };
    assert_eq!(
        [source, destination].concat(),
        [&asked_addresses[source.len()..], &asked_addresses[..source.len()]].concat()
    );
    let pseudo = [0, 6, 0, segment.len() as u8];
    assert_eq!(internet_checksum(&[source, destination, &pseudo, segment]), 0, "TCP checksum");
    assert_eq!((&segment[..2], &segment[2..4]), (&asked[2..4], &asked[..2]), "ports");
    let word = |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    assert_eq!(word(segment, 8), word(asked, 4).wrapping_add(1), "acknowledgement");
    assert_eq!((segment[13], &segment[14..16]), (0x12, &64_240_u16.to_be_bytes()[..]), "flags and window");
    assert_eq!(usize::from(segment[12] >> 4) * 4, segment.len());
    let mss = if v4 { 1_412_u16 } else { 1_392 }.to_be_bytes();
    assert_eq!(segment[20..24], [2, 4, mss[0], mss[1]]);
    let Some(timestamp) = expected.timestamp else {
        assert_eq!(segment.len(), 24, "without a timestamp the kernel forgets the rest: {segment:02x?}");
        return;
    };
    let head = if expected.sack { [4, 2, 8, 10] } else { [1, 1, 8, 10] };
    let tail = if expected.scale.is_some() { [1, 3, 3, 7] } else { [1; 4] };
    assert_eq!((&segment[24..28], &segment[36..]), (&head[..], &tail[..]), "{segment:02x?}");
    assert_eq!(word(segment, 32), timestamp, "echoed");
    let ours = word(segment, 28);
    assert_eq!(ours & 63, u32::from(expected.sack) << 4 | u32::from(expected.scale.unwrap_or(15)));
    let now = (NOW / 1_000_000) as u32;
    assert!((now - 127..=now).contains(&ours), "{ours} at {now}");
}

fn lies() {
    let mut datapath = load(rules(GUARD_ALWAYS, ALL));
    warm_up(&mut datapath, NOW);
    let mut random = Random(0x51f7);
    for round in 0..2_000 {
        let mut options = LINUX.to_vec();
        if round % 2 == 0 {
            let at = random.below(options.len());
            options[at] = random.next() as u8;
        } else {
            options = vec![0; 4 * random.below(11)];
            random.fill(&mut options);
            for byte in &mut options {
                // Kinds and lengths that mean something are rare among all bytes.
                *byte %= 12;
            }
        }
        let base = if round % 3 == 0 { v6() } else { v4() };
        check(&mut datapath, &base.tcp_options(&options).build(), &reference(&options));
    }
}

/// RFC 9293 section 3.1, written down once more; a segment size makes no difference to the options.
fn reference(mut options: &[u8]) -> Expected {
    let mut offered = Expected { timestamp: None, sack: false, scale: None };
    while let Some((&kind, rest)) = options.split_first() {
        if kind == 0 {
            break;
        }
        if kind == 1 {
            options = rest;
            continue;
        }
        let Some(&length) =
            rest.first().filter(|length| (2..=options.len()).contains(&usize::from(**length)))
        else {
            break;
        };
        let (option, after) = options.split_at(length.into());
        match option {
            [3, 3, scale] => offered.scale = Some(*scale),
            [4, 2] => offered.sack = true,
            [8, 10, value @ .., _, _, _, _] => {
                offered.timestamp = Some(u32::from_be_bytes(value.try_into().unwrap()));
            }
            _ => {}
        }
        options = after;
    }
    // RFC 7323 section 2.3: 14 is the most.
    offered.scale = offered.scale.map(|scale| if scale == 15 { 15 } else { scale.min(14) });
    if offered.timestamp.is_none() {
        (offered.sack, offered.scale) = (false, None);
    }
    offered
}

fn trickle() {
    let mut datapath = load(rules(GUARD_ALWAYS, ALL));
    let other = FrameBuilder::new("192.0.2.7", "198.51.100.1").tcp(40_123, 80).build();
    for second in 0..5 {
        let passed = (0..50)
            .filter(|_| reason(&mut datapath, &v4().build(), NOW + second * SECOND) == (PASS, Reason::Passed))
            .count();
        assert_eq!(passed, 1);
        assert_eq!(reason(&mut datapath, &other, NOW + second * SECOND).1, Reason::Passed);
        assert_eq!(reason(&mut datapath, &v6().build(), NOW + second * SECOND).1, Reason::Passed);
    }
}

fn automatic() {
    let mut datapath = load(rules(GUARD_AUTO, ALL));
    let mut cookies = |from: u64, every: u64, count: u64| {
        (0..count)
            .filter(|i| reason(&mut datapath, &v4().build(), from + i * every).1 == Reason::SynCookie)
            .count() as u64
    };
    assert_eq!(cookies(NOW, SECOND / 5, 50), 0, "half of the rate");
    let flood = NOW + 100 * SECOND;
    // A burst of ten passes, and what comes in meanwhile, and one a second is the kernel's.
    assert_eq!(cookies(flood, SECOND / 100, 110), 98);
    let end = flood + 110 * SECOND / 100;
    assert!(cookies(end, SECOND / 5, 5) >= 3, "it is held for two seconds, though half of the rate is left");
    assert_eq!(cookies(end + 4 * SECOND, SECOND / 5, 20), 0, "and ends then");
    assert_eq!(cookies(end + 8 * SECOND, SECOND / 100, 110), 98, "to begin anew");
}

fn unanswered() {
    let mut datapath =
        load(rules(GUARD_ALWAYS, ALL).total(CLASS_DEFAULT, Dimension::Connections, per_second(1, 1)));
    warm_up(&mut datapath, NOW);
    let frames = [
        ("IPv4 options", v4().options(&[1, 1, 1, 1]).build()),
        ("an extension header", v6().destination_options(1).build()),
        ("a first fragment", v4().fragment(0, true).payload(&[0; 4]).build()),
        ("to a group", FrameBuilder::new("192.0.2.7", "224.0.0.5").tcp(40_123, 443).build()),
    ];
    for (index, (name, frame)) in frames.iter().enumerate() {
        let now = NOW + (index as u64 + 1) * 100 * SECOND;
        // One may be for the kernel, one is the total's of this second.
        let outcomes: Vec<_> = (0..4).map(|_| reason(&mut datapath, frame, now)).collect();
        assert_eq!(outcomes[0], (PASS, Reason::Passed), "{name}");
        assert_eq!(outcomes[2..], [(DROP, Reason::TotalConnections); 2], "{name}");
        assert_eq!(datapath.run_and_see(frame).unwrap().1, frame.bytes, "{name}: as it came");
    }
    // Neither a SYN-ACK nor an ACK is ever answered.
    for flags in [0x12, 0x10, 0x18] {
        let frame = v4().flags(flags).build();
        assert_ne!(reason(&mut datapath, &frame, NOW).0, REPLY, "{flags:#x}");
    }
}

fn observed() {
    let mode = rules(GUARD_ALWAYS, ALL).mode(MODE_OBSERVE);
    let mut class = rules(GUARD_ALWAYS, ALL);
    class.policy.classes[usize::from(CLASS_DEFAULT)].flags |= CLASS_OBSERVE;
    for rules in [mode, class] {
        let mut datapath = load(rules);
        for _ in 0..3 {
            let trace = datapath.simulate(&v4().build(), NOW).unwrap();
            assert_eq!((trace.action, trace.reason), (PASS, Reason::Passed as u32));
            assert_eq!(trace.observed, Reason::SynCookie as u32);
        }
    }
}

fn limits() {
    let rules = rules(GUARD_ALWAYS, ALL)
        .total(CLASS_DEFAULT, Dimension::Connections, per_second(1, 1))
        .total(CLASS_DEFAULT, Dimension::Packets, per_second(1, 1))
        .per_source(CLASS_DEFAULT, Dimension::Connections, per_second(1, 5));
    let mut datapath = load(rules);
    let outcomes: Vec<Reason> = (0..8).map(|_| reason(&mut datapath, &v4().build(), NOW).1).collect();
    use Reason::{Passed, SourceConnections as Source, SynCookie as Cookie};
    assert_eq!(outcomes, [Passed, Cookie, Cookie, Cookie, Cookie, Source, Source, Source]);
    for host in 1..100 {
        let other = FrameBuilder::new(format!("203.0.113.{host}").as_str(), "198.51.100.1").tcp(40_123, 443);
        assert_eq!(reason(&mut datapath, &other.build(), NOW), (REPLY, Cookie));
    }
}
