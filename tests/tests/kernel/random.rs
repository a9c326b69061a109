//! Packets that nobody made on purpose, and sources that do not exist.

use std::{collections::BTreeMap, time::Instant};

use libtest_mimic::Trial;
use stopbank::datapath::{Datapath, EventReader};
use stopbank_common::{
    Reason,
    gcra::Dimension,
    parse::{Cursor, Facts, parse, protocol},
};
use stopbank_tests::frames::FrameBuilder;

use crate::rig::{self, PASS, Random, Rules, packets, per_second};

const WEB: u8 = 2;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial(
            "a million random frames: each counted once, malformed as the host's parser says",
            million,
        ),
        crate::trial(
            "a flood of random sources changes no verdict of a legitimate one, and no map grows",
            bystander,
        ),
        crate::trial(
            "events are sampled within their budget, tell the truth, and a full ring is counted",
            events,
        ),
    ]
}

/// One of several good frames with some bytes overwritten, or nothing but random bytes.
fn random_frame(random: &mut Random, good: &[Vec<u8>]) -> Vec<u8> {
    let mut frame = if random.below(4) == 0 {
        let mut bytes = vec![0; 14 + random.below(200)];
        random.fill(&mut bytes);
        // Half of them get past the EtherType.
        if random.below(2) == 0 {
            let ethertype = [[0x08, 0x00], [0x86, 0xdd], [0x81, 0x00], [0x88, 0xa8]][random.below(4)];
            bytes[12..14].copy_from_slice(&ethertype);
        }
        return bytes;
    } else {
        good[random.below(good.len())].clone()
    };
    for _ in 0..random.below(4) {
        let at = 12 + random.below(frame.len() - 12);
        frame[at] = random.next() as u8;
    }
    if random.below(3) == 0 {
        frame.truncate(14 + random.below(frame.len() - 13));
    }
    frame
}

fn good_frames() -> Vec<Vec<u8>> {
    let v4 = || FrameBuilder::new("192.0.2.7", "198.51.100.1");
    let v6 = || FrameBuilder::new("2001:db8::7", "2001:db8:1::1");
    [
        v4().tcp(40_000, 80).tcp_options(&[1; 12]).build(),
        v4().vlan(1).vlan(2).options(&[1; 8]).udp(40_000, 53).payload(&[7; 30]).build(),
        v4().echo_request().payload(&[7; 20]).build(),
        v4().fragment(64, true).protocol(protocol::UDP).payload(&[7; 64]).build(),
        v6().tcp(40_000, 80).build(),
        v6().hop_by_hop(2).routing(1).authentication(6).destination_options(2).udp(40_000, 53).build(),
        v6().fragment(0, true).udp(40_000, 53).payload(&[7; 8]).build(),
        v6().fragment(128, false).protocol(protocol::TCP).payload(&[7; 40]).build(),
        v6().echo_request().build(),
    ]
    .into_iter()
    .map(|frame| frame.bytes)
    .collect()
}

fn million() {
    const FRAMES: u64 = 1_000_000;
    let datapath =
        rig::load(Rules::new().tcp(80, WEB).per_source(WEB, Dimension::Packets, per_second(100, 100)));
    let mut random = Random(20_261_123);
    let good = good_frames();
    let mut bytes = 0;
    let mut expected = BTreeMap::new();
    for _ in 0..FRAMES {
        let frame = random_frame(&mut random, &good);
        let parsed = parse(Cursor::new(&frame), frame.len() as u32, &mut Facts::default());
        if let Err(reason) = parsed {
            *expected.entry(reason).or_insert(0) += 1;
        }
        bytes += frame.len() as u64;
        let action = datapath.run(&frame, 1).unwrap().action;
        assert!(action == PASS || action == rig::DROP, "action {action} for {frame:02x?}");
    }
    assert_eq!(rig::everything(&datapath), FRAMES, "the sum of the counters is the packets sent");
    let counted_bytes: u64 = rig::all_counters(&datapath)
        .iter()
        .flat_map(|(_, _, counters)| counters.judged.iter().map(|tally| tally.bytes).collect::<Vec<_>>())
        .sum();
    assert_eq!(counted_bytes, bytes);
    for &reason in Reason::ALL.iter().filter(|reason| reason.name().starts_with("malformed")) {
        let expected = expected.get(&reason).copied().unwrap_or(0);
        assert_eq!(packets(&datapath, reason), expected, "{}", reason.name());
        // No frame is shorter than an Ethernet header here: the kernel would not run it. And this policy opens no tunnels.
        let never = [Reason::MalformedEthernet, Reason::MalformedTunnel].contains(&reason);
        assert!(expected > 50 || never, "{}: only {expected}", reason.name());
    }
}

fn bystander() {
    const LIMIT: u64 = 1_000; // packets a second from one source
    let rules = Rules::new().udp(53, WEB).per_source(WEB, Dimension::Packets, per_second(LIMIT, LIMIT));
    let (datapath, maps) = rig::load_and_tell(rules);
    let memory = || rig::map_memory().into_iter().filter(|(id, _)| maps.contains(id)).collect::<Vec<_>>();
    let mut flood = FrameBuilder::new("11.0.0.1", "198.51.100.1").udp(40_000, 53).build();
    let honest = FrameBuilder::new("192.0.2.7", "198.51.100.1").udp(40_000, 53).build();
    let before = memory();
    assert!(before.len() > 8, "{before:?}");
    let mut random = Random(7);
    let mut sent = 0_u64;
    let mut asked = 0_u64;
    let start = Instant::now();
    while sent < 2_000_000 {
        for _ in 0..256 {
            random.fill(&mut flood.bytes[26..30]);
            datapath.run(&flood.bytes, 1).unwrap();
            sent += 1;
        }
        // At half its limit.
        while asked < start.elapsed().as_millis() as u64 * LIMIT / 2_000 {
            assert_eq!(
                datapath.run(&honest.bytes, 1).unwrap().action,
                PASS,
                "packet {asked} after {sent} others"
            );
            asked += 1;
        }
    }
    println!("{sent} packets from random sources, {asked} from the honest one");
    assert!(asked > LIMIT / 2, "the flood was over before the honest source had said much: {asked}");
    // Tests beside this one load programs, too: their maps may have come or gone meanwhile, ours cannot.
    let after: BTreeMap<u32, u64> = memory().into_iter().collect();
    let ours: Vec<_> = before.iter().filter_map(|(id, bytes)| Some((*id, *bytes, *after.get(id)?))).collect();
    assert!(ours.len() > 8, "{ours:?}");
    assert!(ours.iter().all(|(_, before, after)| before == after), "no map grows: {ours:?}");
    assert!(datapath.list_entries().unwrap().is_empty());
}

fn drain(events: &mut EventReader) -> Vec<stopbank_common::event::Event> {
    std::iter::from_fn(|| events.next_event()).collect()
}

fn events() {
    let mut datapath: Datapath = rig::load(Rules::new().closed(1).events(per_second(100, 10)));
    let mut events = datapath.take_events().unwrap();
    let frame = FrameBuilder::new("192.0.2.7", "198.51.100.1").tcp(40_000, 81).build();
    let start = Instant::now();
    datapath.run(&frame, 100_000).unwrap();
    let sampled = drain(&mut events);
    // The budget goes by the kernel's coarse clock, hence a tick of slack.
    let most = 10.0 + 100.0 * (start.elapsed().as_secs_f64() + 0.01) + 1.0;
    assert!(
        sampled.len() >= 10 && (sampled.len() as f64) < most,
        "{} events of at most {most}",
        sampled.len()
    );
    let event = sampled[0];
    assert_eq!(event.source, rig::ip("192.0.2.7").into());
    assert_eq!(event.destination, rig::ip("198.51.100.1").into());
    assert_eq!((event.source_port, event.destination_port, event.protocol), (40_000, 81, protocol::TCP));
    assert_eq!((event.reason, event.class, event.dropped), (Reason::ClassClosed as u8, 1, 1));
    assert_eq!((event.interface, event.length), (1, frame.len() as u32));
    assert!(stopbank::datapath::monotonic_ns() - event.time_ns < 10_000_000_000);

    assert_eq!(datapath.events_lost().unwrap(), 0);
    rig::install(&mut datapath, Rules::new().closed(1).events(per_second(1_000_000, 1_000_000)));
    datapath.run(&frame, 50_000).unwrap();
    let (read, lost) = (drain(&mut events).len() as u64, datapath.events_lost().unwrap());
    assert!(lost > 0 && read > 1_000, "{read} read, {lost} lost");
    assert_eq!(packets(&datapath, Reason::ClassClosed), 150_000, "a full ring loses events, never counts");
}
