//! Role `gateway`: what the flow table costs a packet that comes in, and the tc program one that goes out.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use aya::{
    Ebpf,
    maps::{Array, MapData, ProgramArray},
    programs::{ProgramFd, SchedClassifier, TestRun as _, TestRunOptions},
};
use serde_json::json;
use stopbank::{
    config::Flows,
    datapath::{Datapath, Options},
    lists::feeds::PrefixSet,
};
use stopbank_common::{Reason, policy::MAX_CLASSES};
use stopbank_tests::{
    frames::{Frame, FrameBuilder, SHORTEST},
    interrupt,
};

use crate::{
    features::{Config, Features, SLOT},
    measure::{Plan, median},
    packets::Sources,
    programs::{OBJECT, map, xdp, xdp_mut},
    rows::{Section, rounded, row},
};

/// The default of `flows.lines`.
const LINES: u32 = 1 << 16;
/// `TC_ACT_UNSPEC` (include/uapi/linux/pkt_cls.h): what the tc programs return.
const LEFT_TO_OTHERS: u32 = u32::MAX;
const DROP: u32 = 1;
/// Mutators of what comes in, then of what goes out: IPv4, IPv6.
const MUTATORS: [[&str; 2]; 2] =
    [["mutate_v4_frags", "mutate_v6_frags"], ["mutate_egress_v4", "mutate_egress_v6"]];
/// Where the last two bytes stand that differ between the first 2^16 of the mutators' addresses, in either family.
const VARIED: usize = 28;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// One thing that is measured.
struct Case {
    name: &'static str,
    traffic: Traffic,
    /// Whose packets: those of [`Sources`] that are known are at most the first 2^16.
    sources: Sources,
    /// Where it is dropped for it: the reason.
    dropped: Option<Reason>,
    /// Whether the role is asked.
    role: &'static str,
}

/// What is sent, and which way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Traffic {
    /// Data of a TCP connection, from outside.
    DataIn,
    /// The answer of a DNS server.
    AnswerIn,
    /// Data of a TCP connection, from inside.
    DataOut,
    /// The answer to a SYN.
    SynAckOut,
    /// Datagrams that nothing is noted of.
    DatagramOut,
}

fn cases() -> Vec<Case> {
    use Traffic::{AnswerIn, DataIn, DataOut, DatagramOut, SynAckOut};
    let case = |role, name, traffic, sources, dropped| Case { name, traffic, sources, dropped, role };
    let gateway = |name, traffic, sources, dropped| case("gateway", name, traffic, sources, dropped);
    let (nobody, reflected) = (Some(Reason::NoConnection), Some(Reason::Amplification));
    vec![
        case("any", "TCP data, role any", DataIn, Sources::One, None),
        gateway("TCP data of a connection", DataIn, Sources::One, None),
        case("any", "TCP data, role any", DataIn, Sources::Many, None),
        gateway("TCP data of a connection", DataIn, Sources::Many, None),
        gateway("TCP data of none, dropped", DataIn, Sources::One, nobody),
        gateway("TCP data of none, dropped", DataIn, Sources::All, nobody),
        case("any", "UDP answer, role any", AnswerIn, Sources::One, None),
        gateway("UDP answer that was asked for", AnswerIn, Sources::One, None),
        case("any", "UDP answer, role any", AnswerIn, Sources::Many, None),
        gateway("UDP answer that was asked for", AnswerIn, Sources::Many, None),
        gateway("UDP answer that nobody asked for, dropped", AnswerIn, Sources::One, reflected),
        gateway("UDP answer that nobody asked for, dropped", AnswerIn, Sources::All, reflected),
        gateway("out: TCP data of a connection", DataOut, Sources::One, None),
        gateway("out: TCP data of a connection", DataOut, Sources::Many, None),
        gateway("out: SYN-ACKs to whoever asks", SynAckOut, Sources::All, None),
        gateway("out: UDP that nothing is noted of", DatagramOut, Sources::All, None),
        case("any", "out: TCP data, role any", DataOut, Sources::One, None),
    ]
}

impl Traffic {
    const fn is_out(self) -> bool {
        matches!(self, Self::DataOut | Self::SynAckOut | Self::DatagramOut)
    }

    /// The other end's port, and the host's.
    const fn ports(self) -> (u16, u16) {
        match self {
            Self::DataIn | Self::DataOut => (40_000, 443),
            // Else the data might be what answers it.
            Self::SynAckOut => (40_001, 443),
            Self::AnswerIn => (53, 40_000),
            Self::DatagramOut => (40_000, 50_000),
        }
    }

    fn frame(self, v4: bool) -> Frame {
        let (ends, ports) = (ends(v4), self.ports());
        let flags = if self == Self::SynAckOut { SYN | ACK } else { ACK };
        let builder = match self {
            Self::DataIn => FrameBuilder::new(ends.0, ends.1).tcp(ports.0, ports.1).flags(flags),
            Self::DataOut | Self::SynAckOut => {
                FrameBuilder::new(ends.1, ends.0).tcp(ports.1, ports.0).flags(flags)
            }
            Self::AnswerIn => FrameBuilder::new(ends.0, ends.1).udp(ports.0, ports.1),
            Self::DatagramOut => FrameBuilder::new(ends.1, ends.0).udp(ports.1, ports.0),
        };
        builder.build().padded(SHORTEST)
    }
}

/// The mutators' first address, and a host behind the gateway.
const fn ends(v4: bool) -> (&'static str, &'static str) {
    if v4 { ("11.0.0.0", "198.18.0.1") } else { ("2001:db8::1", "2001:db8:ffff::1") }
}

/// Programs and table of a gateway, and what calls them.
struct Gateway {
    peers: Ebpf,
    source_bits: Array<MapData, u32>,
    target: ProgramArray<MapData>,
    target_egress: ProgramArray<MapData>,
    datapath: Datapath,
    programs: [ProgramFd; 2],
}

impl Gateway {
    fn load() -> Result<Self> {
        let mut peers = Ebpf::load(OBJECT).context("cannot make the maps of the benchmark's programs")?;
        let [inbound, egress] = MUTATORS;
        for name in inbound.into_iter().chain(["empty_frags"]) {
            xdp_mut(&mut peers, name)?.load().with_context(|| format!("cannot load {name}"))?;
        }
        for name in egress.into_iter().chain(["empty_egress"]) {
            let program = peers.program_mut(name).with_context(|| format!("no program {name}"))?;
            let program: &mut SchedClassifier = program.try_into()?;
            program.load().with_context(|| format!("cannot load {name}"))?;
        }
        let flows = Some(Flows { lines: LINES, learn: Duration::ZERO });
        let mut datapath = Datapath::private(&Options { flows, ..Options::default() })?;
        Ok(Self {
            source_bits: map(&mut peers, "SOURCE_BITS")?,
            target: map(&mut peers, "TARGET_FRAGS")?,
            target_egress: map(&mut peers, "TARGET_EGRESS")?,
            programs: [datapath.program_fd()?, datapath.egress_fd()?],
            peers,
            datapath,
        })
    }

    /// The first 2^16 of the mutators' addresses have a connection each, and have each been asked for an answer.
    fn establish(&mut self) -> Result<()> {
        for v4 in [true, false] {
            let data = Traffic::DataIn.frame(v4);
            let query = |frame: &Frame| {
                let (ends, ports) = (ends(v4), Traffic::AnswerIn.ports());
                let query = FrameBuilder::new(ends.1, ends.0).udp(ports.1, ports.0).build();
                readdressed(&query.padded(SHORTEST), frame, v4)
            };
            for number in 0..=u16::MAX {
                let from = data.clone().with(VARIED, &number.to_be_bytes());
                self.datapath.send(&readdressed(&Traffic::DataOut.frame(v4), &from, v4))?;
                self.datapath.run(&from, 1)?;
                self.datapath.send(&query(&from))?;
            }
        }
        Ok(())
    }

    /// One turn: nanoseconds a packet, of ours or of the empty program, and what it returned last.
    fn turn(&mut self, case: &Case, v4: bool, ours: bool, repeat: u32) -> Result<(f64, u32)> {
        self.source_bits.set(0, case.sources.bits(), 0)?;
        let out = case.traffic.is_out();
        let mutator = MUTATORS[usize::from(out)][usize::from(!v4)];
        let frame = case.traffic.frame(v4);
        let mut options = TestRunOptions::new();
        options.data_in = Some(&frame);
        options.repeat = repeat;
        let result = if out {
            let empty = classifier(&self.peers, "empty_egress")?.fd()?;
            self.target_egress.set(0, if ours { &self.programs[1] } else { empty }, 0)?;
            classifier(&self.peers, mutator)?.test_run(options)?
        } else {
            let empty = xdp(&self.peers, "empty_frags")?.fd()?;
            self.target.set(0, if ours { &self.programs[0] } else { empty }, 0)?;
            xdp(&self.peers, mutator)?.test_run(options)?
        };
        Ok((result.duration.as_nanos() as f64, result.return_value))
    }

    /// How many packets were dropped for a reason so far.
    fn counted(&self, reason: Reason) -> Result<u64> {
        let mut sum = 0;
        for class in 0..MAX_CLASSES as u8 {
            sum += self.datapath.counters(SLOT, class)?.judged[reason as usize].packets;
        }
        Ok(sum)
    }

    /// Net of the empty program. Checked: a program that did something else than it should is not worth timing.
    fn net(&mut self, case: &Case, v4: bool, repeat: u32) -> Result<f64> {
        let reason = case.dropped.unwrap_or(Reason::NoConnection);
        let other = if reason == Reason::NoConnection { Reason::Amplification } else { Reason::NoConnection };
        let before = (self.counted(reason)?, self.counted(other)?);
        let (ns, returned) = self.turn(case, v4, true, repeat)?;
        let (empty, nothing) = self.turn(case, v4, false, repeat)?;
        let dropped = (self.counted(reason)? - before.0, self.counted(other)? - before.1);
        let expected = if case.dropped.is_some() { u64::from(repeat) } else { 0 };
        // Where all of IPv4 sends, some belong to the flows that there are.
        ensure!(
            dropped.0 <= expected && dropped.0 >= expected * 99 / 100 && dropped.1 == 0,
            "{dropped:?} of {repeat} dropped by {reason:?} and {other:?}"
        );
        if case.traffic.is_out() {
            ensure!((returned, nothing) == (LEFT_TO_OTHERS, LEFT_TO_OTHERS), "tc returned {returned:#x}");
        } else {
            ensure!(nothing == DROP, "the empty program returned {nothing}");
        }
        Ok(ns - empty)
    }
}

/// Sends a frame of the host's to where another one came from.
fn readdressed(frame: &Frame, from: &Frame, v4: bool) -> Frame {
    let (source, destination, length) = if v4 { (26, 30, 4) } else { (22, 38, 16) };
    frame.clone().with(destination, &from[source..source + length])
}

fn classifier<'e>(ebpf: &'e Ebpf, name: &str) -> Result<&'e SchedClassifier> {
    Ok(ebpf.program(name).with_context(|| format!("no program {name}"))?.try_into()?)
}

/// Unknown sources are measured where none of them has a flow: before any is made, in a table of their own.
pub(crate) fn run(feed: &Arc<PrefixSet>, plan: &Plan<'_>) -> Result<Section> {
    let cases = cases();
    let (mut known, mut unknown) = (Gateway::load()?, Gateway::load()?);
    known.install("gateway", feed)?;
    known.establish()?;
    let mut times = vec![[Vec::new(), Vec::new()]; cases.len()];
    for round in 0..=plan.rounds {
        interrupt::check()?;
        eprintln!("gateway: round {round} of {}", plan.rounds);
        for (case, times) in cases.iter().zip(&mut times) {
            // Whoever asks for everything must not be in the way of the others.
            let stranger = case.dropped.is_some() || case.traffic == Traffic::SynAckOut;
            let gateway = if stranger { &mut unknown } else { &mut known };
            gateway.install(case.role, feed)?;
            for (times, v4) in times.iter_mut().zip([true, false]) {
                let net = gateway.net(case, v4, plan.repeat);
                let net = net.with_context(|| format!("{} of {} sources", case.name, case.sources))?;
                if round > 0 {
                    times.push(net);
                }
            }
        }
    }
    Ok(report(&cases, times))
}

impl Gateway {
    fn install(&mut self, role: &'static str, feed: &Arc<PrefixSet>) -> Result<()> {
        let lines = Options::default().source_lines;
        Features { role, ..Config::Default.features() }.install(&mut self.datapath, feed, lines)
    }
}

fn report(cases: &[Case], times: Vec<[Vec<f64>; 2]>) -> Section {
    let mut section = Section::default();
    let text = &mut section.markdown;
    *text += "\n### Role gateway\n\nNanoseconds net of the empty program (of XDP, or of tc for what goes out): `default` with the role, \
              a flow table with room for 524,288 flows that is half full.\n\n\
              | config | packet | sources | IPv4 | IPv6 |\n| --- | --- | ---: | ---: | ---: |\n";
    for (case, [v4, v6]) in cases.iter().zip(times) {
        let (v4, v6) = (median(v4), median(v6));
        let sources = case.sources.short();
        let _ = writeln!(text, "| {} | {} | {sources} | {v4:.0} | {v6:.0} |", Config::Default, case.name);
        for (family, ns) in [("4", v4), ("6", v6)] {
            let kind =
                if matches!(case.traffic, Traffic::AnswerIn | Traffic::DatagramOut) { "udp" } else { "tcp" };
            let fields = json!({
                "step": format!("gateway: {}", case.name), "packet": format!("{kind}{family}"),
                "sources": case.sources.count(), "program": "stopbank", "net_ns": rounded(ns),
            });
            section.rows.push(row("steps", Config::Default, fields));
        }
    }
    section
}
