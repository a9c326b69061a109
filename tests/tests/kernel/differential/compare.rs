//! The program and the reference beside each other: the same worlds, the same packets, and what each makes of them.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use stopbank::{
    datapath::{Datapath, Entry, Generation, Options, Simulation},
    lists::feeds::PrefixSet,
};
use stopbank_common::{
    Address, Reason,
    counters::Tally,
    gcra::{Limit, MAX_UNITS},
    hash::HashKey,
    list::{VERDICT_ALLOW, VERDICT_BAN, VERDICT_DENY},
    policy::{
        CLASS_CLOSED, CLASS_OBSERVE, FRAGMENTS_DROP, FRAGMENTS_JUDGE, Level as KernelLevel, Limits,
        MAX_CLASSES, MODE_ENFORCE, MODE_OBSERVE, ROLE_ANY, ROLE_HOST, Region, TUNNEL_GRE, TUNNEL_IPIP,
        TUNNEL_VXLAN,
    },
    simulation::Trace,
};

use super::{
    generate::{Arrival, World as Generated},
    reference::{Judgement, Reference},
    world::{Class, Level, Rates, Tunnel, Verdict, World},
};
use crate::rig::{Rules, SLOT};

/// Packets by reason, over all worlds.
pub(super) type Tallies = BTreeMap<Reason, u64>;

/// Two loaded programs, one for which every socket exists and one for which none does.
pub(super) struct Programs {
    with_sockets: Datapath,
    without: Datapath,
}

impl Programs {
    pub(super) fn load() -> Self {
        let load = |assume_sockets| {
            let options = Options { simulation: Some(Simulation { assume_sockets }), ..Options::default() };
            Datapath::private(&options).unwrap_or_else(|error| panic!("{error}"))
        };
        Self { with_sockets: load(true), without: load(false) }
    }

    /// Judges a world's packets both ways, up to the first difference. What `told` holds is what the reference said.
    ///
    /// # Errors
    ///
    /// The difference, for people.
    pub(super) fn compare(&mut self, generated: &Generated, told: &mut Tallies) -> Result<(), String> {
        let world = &generated.world;
        let datapath = if world.sockets { &mut self.with_sockets } else { &mut self.without };
        enter(datapath, world);
        let before = counted(datapath);
        let (mut reference, mut expected) = (Reference::default(), Counted::new());
        for (number, Arrival { frame, at_ns }) in generated.packets.iter().enumerate() {
            let wanted = reference.judge(world, frame, *at_ns);
            let trace =
                datapath.simulate(frame, *at_ns).map_err(|error| format!("{error}: {}", hex(frame)))?;
            if trace != as_trace(wanted) {
                let (got, frame) = (shown(trace), hex(frame));
                return Err(format!(
                    "packet {number} at {at_ns} ns: the reference says {wanted:?}, the program {got}\n{frame}\n{world:?}"
                ));
            }
            *told.entry(wanted.reason).or_default() += 1;
            count(&mut expected, world, wanted, frame.len());
        }
        let got = difference(&before, &counted(datapath));
        leave(datapath, world);
        if got == expected { Ok(()) } else { Err(format!("counted {got:?}, not {expected:?}\n{world:?}")) }
    }
}

/// By class, reason and whether it was only observed.
type Counted = BTreeMap<(u8, Reason, bool), (u64, u64)>;

fn count(counted: &mut Counted, world: &World, judgement: Judgement, bytes: usize) {
    let Judgement { reason, observed, observed_class, class, .. } = judgement;
    let passes = matches!(reason.kind(), stopbank_common::reason::Kind::Pass);
    let really = (class, reason, !passes && !world.enforce);
    for key in [Some(really), observed.map(|reason| (observed_class, reason, true))].into_iter().flatten() {
        let tally = counted.entry(key).or_default();
        *tally = (tally.0 + 1, tally.1 + bytes as u64);
    }
}

fn counted(datapath: &Datapath) -> Counted {
    let mut all = Counted::new();
    for class in 0..MAX_CLASSES as u8 {
        let counters = datapath.counters(SLOT, class).unwrap();
        for &reason in Reason::ALL {
            let (judged, observed) = counters.of(reason);
            for (Tally { packets, bytes }, observed) in [(judged, false), (observed, true)] {
                if packets > 0 {
                    all.insert((class, reason, observed), (packets, bytes));
                }
            }
        }
    }
    all
}

fn difference(before: &Counted, after: &Counted) -> Counted {
    let less = |key, (packets, bytes): (u64, u64)| {
        let (old_packets, old_bytes) = before.get(key).copied().unwrap_or_default();
        (packets - old_packets, bytes - old_bytes)
    };
    let changed = after.iter().map(|(key, tally)| (*key, less(key, *tally)));
    changed.filter(|(_, (packets, _))| *packets > 0).collect()
}

fn as_trace(judgement: Judgement) -> Trace {
    Trace {
        reason: judgement.reason as u32,
        observed: judgement.observed.map_or(Trace::NOTHING, |reason| reason as u32),
        action: if judgement.dropped { crate::rig::DROP } else { crate::rig::PASS },
        class: judgement.class.into(),
        inner: judgement.within.map_or(0, |within| within as u32),
    }
}

fn shown(trace: Trace) -> String {
    let name = |number: u32| u8::try_from(number).ok().and_then(Reason::from_number);
    let (reason, observed) = (name(trace.reason), name(trace.observed));
    format!(
        "{reason:?}, observed {observed:?}, class {}, action {}, within {}",
        trace.class, trace.action, trace.inner
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Puts a world's policy and lists in force.
fn enter(datapath: &mut Datapath, world: &World) {
    datapath.install(&mut policy(world).policy).unwrap();
    for (source, until) in &world.proven {
        datapath.prove((*source).into(), until.unwrap_or(0)).unwrap();
    }
    let mut filed = PrefixSet::default();
    for entry in &world.filed {
        filed.push(entry.prefix, number(entry.verdict));
    }
    filed.finish();
    let generation = (!filed.is_empty()).then(|| Generation::build(Arc::new(filed)).unwrap());
    datapath.install_lists(generation).unwrap();
    datapath.settle_lists().unwrap();
    for entry in &world.dynamic {
        let verdict = number(entry.verdict);
        datapath
            .list_insert(entry.prefix, Entry { verdict, expires_ns: entry.until_ns.unwrap_or(0) })
            .unwrap();
    }
}

/// Takes its lists back; rates run out by themselves.
fn leave(datapath: &mut Datapath, world: &World) {
    for entry in &world.dynamic {
        assert!(datapath.list_remove(entry.prefix).unwrap(), "{}", entry.prefix);
    }
    for source in world.proven.keys() {
        assert!(datapath.unprove((*source).into()).unwrap(), "{source}");
    }
}

fn number(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Allow => VERDICT_ALLOW,
        Verdict::Ban => VERDICT_BAN,
        Verdict::Deny => VERDICT_DENY,
    }
}

fn policy(world: &World) -> Rules {
    let mut rules = Rules::new().mode(if world.enforce { MODE_ENFORCE } else { MODE_OBSERVE });
    let policy = &mut rules.policy;
    policy.fragments = if world.drop_fragments { FRAGMENTS_DROP } else { FRAGMENTS_JUDGE };
    policy.role = if world.host { ROLE_HOST } else { ROLE_ANY };
    for tunnel in &world.tunnels {
        policy.tunnels |= match tunnel {
            Tunnel::Gre => TUNNEL_GRE,
            Tunnel::Ipip => TUNNEL_IPIP,
            Tunnel::Vxlan => TUNNEL_VXLAN,
        };
    }
    for (place, port) in policy.vxlan_ports.iter_mut().zip(&world.vxlan_ports) {
        *place = *port;
    }
    policy.udp_needs_socket = world.udp_needs_socket.into();
    policy.observed = world.observed.iter().fold(0, |bits, &reason| bits | 1 << reason as u64);
    policy.key = HashKey { words: world.key };
    for port in &world.amplifiers {
        policy.amplifiers[usize::from(*port) / 64] |= 1 << (port % 64);
    }
    for (kernel, Level { ipv4, ipv6 }) in policy.levels.iter_mut().zip(&world.levels) {
        let mask = |length: Option<u8>, more| Address::mask(length.map_or(0, |bits| u32::from(bits) + more));
        *kernel = KernelLevel { mask_v4: mask(*ipv4, 96), mask_v6: mask(*ipv6, 0) };
    }
    policy.by_udp_port.fill(world.udp_class);
    (policy.fragments_class, policy.answers_class, policy.udp_class) =
        (world.fragments_class.into(), world.answers_class.into(), world.udp_class.into());
    for (&port, &class) in &world.by_tcp_port {
        policy.by_tcp_port[usize::from(port)] = class;
    }
    for (&port, &class) in &world.by_udp_port {
        policy.by_udp_port[usize::from(port)] = class;
    }
    for (&protocol, &class) in &world.by_protocol {
        policy.by_protocol[usize::from(protocol)] = class;
    }
    for (&number, class) in &world.classes {
        kernel_class(&mut policy.classes[usize::from(number)], class, &world.levels);
    }
    rules
}

fn kernel_class(kernel: &mut stopbank_common::policy::Class, class: &Class, levels: &[Level]) {
    kernel.salt = class.salt;
    kernel.flags =
        if class.closed { CLASS_CLOSED } else { 0 } | if class.observe { CLASS_OBSERVE } else { 0 };
    kernel.total = limits(&class.total);
    kernel.reserve = limits(&class.reserve);
    kernel.regions = class.lines.map(|lines| Region { base: lines.first, mask: lines.count - 1 });
    for (number, (rates, level)) in class.per_source.iter().zip(levels).enumerate() {
        kernel.per_source[number] = limits(rates);
        kernel.levels |=
            u32::from(level.ipv4.is_some()) << number | u32::from(level.ipv6.is_some()) << (8 + number);
    }
}

fn limits(rates: &Rates) -> Limits {
    let largest = [1, MAX_UNITS, 1];
    std::array::from_fn(|dimension| {
        rates[dimension].map_or(Limit::NONE, |rate| {
            Limit::new(1, rate.interval_ns, rate.burst, largest[dimension]).unwrap()
        })
    })
}
