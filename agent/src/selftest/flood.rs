//! A flood beyond one of the limits in force: what is within passes, and what is beyond it is dropped.

use std::{net::IpAddr, thread, time::Instant};

use stopbank_common::{
    Reason,
    gcra::{Dimension, INCREMENT_FRACTION, Limit, TICKS_PER_SECOND},
    parse::protocol,
    policy::{CLASS_CLOSED, CLASS_OBSERVE, Class, MAX_CLASSES, MAX_LEVELS, Policy},
};

use super::{
    Outcome, Steps, Test, bind_udp, family,
    frames::{Content, frame, octets},
    to, wire,
};
use crate::{config::Claim, selftest::wire::Wire};

/// The largest burst that is worth exceeding here, in packets.
const LARGEST_BURST: u64 = 20_000;
/// Frames between two looks at what has arrived.
const AT_ONCE: u64 = 64;

/// What says that a limit was exceeded.
const OVER: [Reason; 6] = [
    Reason::SourcePackets,
    Reason::SourceConnections,
    Reason::PrefixPackets,
    Reason::PrefixConnections,
    Reason::TotalPackets,
    Reason::TotalConnections,
];

/// What is flooded, and how much of it the tightest limit allows.
#[derive(Clone, Copy)]
struct Target {
    content: Content,
    class: u8,
    burst: u64,
    per_second: f64,
}

/// Floods the class with the smallest burst.
pub(super) fn run(test: &Test<'_>, steps: &mut Steps<'_>, source: IpAddr) {
    let (begin, v6) = (Instant::now(), source.is_ipv6());
    let name = family("a flood beyond a limit is dropped", v6);
    let Some(target) = target(test, v6) else {
        let found = format!(
            "the configuration has no limit on packets or connections with a burst of at most {LARGEST_BURST} that is enforced"
        );
        steps.done(&name, begin, Outcome::Skip, found);
        return;
    };
    // So that a policy that asks for sockets finds some.
    let (_tcp, _udp) = match target.content {
        Content::Syn(port) => (wire::listen(port).ok(), None),
        Content::Udp(port) => (None, bind_udp(port)),
        Content::Echo => (None, None),
    };
    let (outcome, found) = flood(test, source, target);
    let class = test.numbers.name(target.class);
    steps.done(&name, begin, outcome, format!("class `{class}`: {found}"));
}

fn flood(test: &Test<'_>, source: IpAddr, target: Target) -> (Outcome, String) {
    let frame = frame(source, to(source), target.content);
    let (address, sent) = (octets(source), target.burst * 2 + 200);
    test.wire.arrived(&address);
    let (over, passed) = (test.counted(&OVER), test.counted(&[Reason::Passed]));
    let (begin, mut arrived) = (Instant::now(), 0);
    for number in 0..sent {
        if let Err(error) = test.wire.send(&frame) {
            return (Outcome::Fail, format!("cannot send: {error}"));
        }
        if number % AT_ONCE == AT_ONCE - 1 {
            arrived += test.wire.arrived(&address);
            thread::yield_now();
        }
    }
    let counts = || (test.counted(&OVER) - over, test.counted(&[Reason::Passed]) - passed);
    Wire::until(|| {
        let (over, passed) = counts();
        over + passed >= sent
    });
    let elapsed = begin.elapsed().as_secs_f64();
    let (over, passed) = counts();
    Wire::until(|| {
        arrived += test.wire.arrived(&address);
        arrived >= passed
    });
    let allowed = target.burst + (target.per_second * elapsed).ceil() as u64 + 2;
    let found = format!(
        "{sent} sent in {:.0} ms, {passed} passed (at most {allowed} are allowed), {over} dropped, {arrived} arrived",
        elapsed * 1e3
    );
    // A few may be lost in the veth's queue; what was judged must be judged right.
    let right =
        over > 0 && passed > 0 && passed <= allowed && arrived == passed && over + passed > sent * 9 / 10;
    (if right { Outcome::Ok } else { Outcome::Fail }, found)
}

/// What can be sent to exceed a limit with the fewest packets.
fn target(test: &Test<'_>, v6: bool) -> Option<Target> {
    let policy = &*test.policy;
    let ports = test.config.classes.iter().filter_map(|class| match &class.claim {
        Claim::Udp(ranges) => Some(Content::Udp(ranges.first().map_or(40_007, |range| range.first))),
        Claim::Tcp(ranges) => Some(Content::Syn(ranges.first().map_or(40_008, |range| range.first))),
        _ => None,
    });
    let contents = ports.chain([Content::Echo, Content::Udp(40_007), Content::Syn(40_008)]);
    let targets = contents.filter_map(|content| {
        let number = class_of(policy, content, v6);
        let class = &policy.classes[usize::from(number) & (MAX_CLASSES - 1)];
        let (burst, per_second) = tightest(policy, class, content, v6)?;
        Some(Target { content, class: number, burst, per_second })
    });
    targets.filter(|target| target.burst <= LARGEST_BURST).min_by_key(|target| target.burst)
}

fn class_of(policy: &Policy, content: Content, v6: bool) -> u8 {
    match content {
        Content::Syn(port) => policy.by_tcp_port[usize::from(port)],
        Content::Udp(port) => policy.by_udp_port[usize::from(port)],
        Content::Echo => policy.by_protocol[usize::from(if v6 { protocol::ICMPV6 } else { protocol::ICMP })],
    }
}

/// Burst and rate of the class's tightest limit that is enforced, for one source.
fn tightest(policy: &Policy, class: &Class, content: Content, v6: bool) -> Option<(u64, f64)> {
    let observed = OVER.iter().any(|reason| policy.observed >> *reason as u32 & 1 != 0);
    if observed || class.flags & (CLASS_CLOSED | CLASS_OBSERVE) != 0 || class.signatures != 0 {
        return None;
    }
    let dimensions: &[Dimension] = match content {
        Content::Syn(_) => &[Dimension::Packets, Dimension::Connections],
        _ => &[Dimension::Packets],
    };
    let levels = if v6 { class.levels >> 8 } else { class.levels };
    let mut all = Vec::new();
    for dimension in dimensions.iter().map(|dimension| *dimension as usize) {
        let of_source = (0..MAX_LEVELS).filter(|level| levels >> level & 1 != 0);
        all.extend(of_source.map(|level| amount(&class.per_source[level][dimension])));
        // Who is not proven has half of the reserve's burst as well.
        let (open, reserve) = (amount(&class.total[dimension]), amount(&class.reserve[dimension].halved()));
        all.push(open.map(|(burst, rate)| {
            let (more, faster) = reserve.unwrap_or_default();
            (burst + more, rate + faster)
        }));
    }
    all.into_iter().flatten().min_by_key(|(burst, _)| *burst)
}

/// Burst, and units a second.
fn amount(limit: &Limit) -> Option<(u64, f64)> {
    limit.is_set().then(|| {
        let burst = (u128::from(limit.tolerance) << INCREMENT_FRACTION) / u128::from(limit.increment);
        let per_second =
            TICKS_PER_SECOND as f64 * f64::from(1_u32 << INCREMENT_FRACTION) / limit.increment as f64;
        (u64::try_from(burst).unwrap_or(u64::MAX), per_second)
    })
}
