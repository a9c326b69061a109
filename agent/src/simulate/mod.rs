//! `stopbank simulate`: a capture through the program, by a clock of its own.
//!
//! The program is loaded with maps of its own; nothing is pinned or attached, and nothing is left behind.

mod clock;
pub mod explain;
mod report;

use stopbank_common::{
    Reason,
    gcra::Limit,
    list::{VERDICT_ALLOW, VERDICT_DENY},
    policy::{CLASS_NONE, MAX_VXLAN_PORTS},
    reason::Kind,
    simulation::Trace,
};

use crate::{
    capture::{Capture, CaptureError, Record},
    config::{ClassNumbers, Config, Host, Mode, compile},
    control::api::Verdict,
    datapath::{self, Datapath, Entry, LONGEST, Options},
    failure::{Code, Failure},
    handshake,
};

pub use clock::Pace;
pub use report::{Flow, ReasonRow, Report};

use clock::Clock;
use report::Tallies;

/// Headers that a packet may need to be judged by: Ethernet with a VLAN tag, IPv6, TCP.
const HEADERS: usize = 14 + 4 + 40 + 20;
/// `XDP_DROP`.
const DROP: u32 = 1;
/// `XDP_TX`.
const REPLY: u32 = 3;

/// How a capture is judged.
#[derive(Clone, Debug)]
pub struct Settings {
    /// By which rules; its interfaces do not matter.
    pub config: Config,
    /// When its packets come.
    pub pace: Pace,
    /// Whether every look-up of a socket finds one, instead of none.
    pub assume_sockets: bool,
}

/// A program that judges a capture.
pub struct Simulation {
    datapath: Datapath,
    numbers: ClassNumbers,
    mode: Mode,
    inspected: Inspected,
    clock: Clock,
    tallies: Tallies,
    frame: Vec<u8>,
}

/// A packet that was judged.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// Its place in the capture, from 1.
    pub number: u64,
    /// When it came, in nanoseconds since the first.
    pub at_ns: u64,
    /// When it was captured, in nanoseconds since 1970.
    pub time_ns: Option<i64>,
    /// The frame that was judged, padding included.
    pub frame: &'a [u8],
    /// How long the frame was on the wire.
    pub length: u64,
    /// The name of its class.
    pub class: &'a str,
    /// What becomes of it.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// What a tunnel carries decided, and not the packet around it: which tunnels are looked into.
    pub within: Option<Inspected>,
}

/// The tunnels that are looked into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inspected {
    /// `TUNNEL_` bits.
    pub kinds: u32,
    /// Destination ports of VXLAN.
    pub vxlan_ports: [u16; MAX_VXLAN_PORTS],
}

/// What was found, but for the packet itself.
struct Outcome {
    class: u8,
    verdict: Verdict,
    reason: Reason,
    within: bool,
}

impl Simulation {
    /// Loads the program and puts the configuration's policy and lists in force for it alone.
    ///
    /// # Errors
    ///
    /// [`Failure`]; with [`Code::Permission`] if this process may not load programs.
    pub fn new(settings: &Settings) -> Result<Self, Failure> {
        let config = &settings.config;
        let options = Options {
            source_lines: config.source.lines,
            simulation: Some(datapath::Simulation { assume_sockets: settings.assume_sockets }),
            ..Options::default()
        };
        let mut datapath = Datapath::private(&options)?;
        let mut compiled = compile(
            config,
            &datapath.kept()?,
            &Host { handshake: Some(handshake::USUAL), ..Host::default() },
        )
        .map_err(|error| Failure::new(Code::Configuration, format!("a limit cannot be held: {error:?}")))?;
        // Nobody reads samples.
        compiled.policy.events = Limit::default();
        let lists = &config.lists;
        let denied = lists.deny.iter().map(|prefix| (*prefix, VERDICT_DENY));
        // Last, because of the same prefix allow beats deny.
        let allowed = lists.allow.iter().map(|prefix| (*prefix, VERDICT_ALLOW));
        for (prefix, verdict) in denied.chain(allowed) {
            datapath.list_insert(prefix, Entry { verdict, expires_ns: 0 })?;
        }
        datapath.install(&mut compiled.policy)?;
        Ok(Self {
            datapath,
            numbers: compiled.numbers,
            mode: config.mode,
            inspected: Inspected { kinds: compiled.policy.tunnels, vxlan_ports: compiled.policy.vxlan_ports },
            clock: Clock::new(settings.pace),
            tallies: Tallies::default(),
            frame: Vec::with_capacity(LONGEST),
        })
    }

    /// Judges every packet of a capture; `each` is told of every one.
    ///
    /// # Errors
    ///
    /// [`Failure`]: the capture's, the kernel's or `each`'s.
    pub fn run(
        mut self,
        capture: &mut Capture<'_>,
        mut each: impl FnMut(&Judged<'_>) -> Result<(), Failure>,
    ) -> Result<Report, Failure> {
        let mut number = 0;
        while let Some(record) = capture.next_record()? {
            number += 1;
            self.packet(number, &record, &mut each)?;
        }
        let mut report = self.tallies.report(&self.numbers, &self.clock);
        report.mode = self.mode.name().to_owned();
        report.warn(capture, &self.tallies, &self.clock);
        Ok(report)
    }

    fn packet(
        &mut self,
        number: u64,
        record: &Record<'_>,
        each: &mut impl FnMut(&Judged<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let shape = record.ethernet(&mut self.frame);
        if shape.is_some_and(|shape| shape.outgoing) {
            self.tallies.outgoing += 1;
            return Ok(());
        }
        let at_ns = self.clock.next(record.time_ns);
        let (outcome, length) = match shape {
            Some(shape) => {
                self.complete(shape.captured, shape.length);
                let trace = self.datapath.simulate(&self.frame, clock::BASE_NS + at_ns)?;
                (outcome(trace), shape.length)
            }
            // The kernel runs no frame that is shorter than its Ethernet header; a driver never hands one up.
            None => (self.cut_short(), u64::from(record.original)),
        };
        self.tallies.count(outcome.reason, outcome.verdict, outcome.class, length);
        each(&Judged {
            number,
            at_ns,
            time_ns: record.time_ns,
            frame: &self.frame,
            length,
            class: self.numbers.name(outcome.class),
            verdict: outcome.verdict,
            reason: outcome.reason,
            within: outcome.within.then_some(self.inspected),
        })
    }

    /// Gives the frame the length that it had on the wire, so that its headers' lengths hold.
    fn complete(&mut self, captured: usize, length: u64) {
        let whole = usize::try_from(length).unwrap_or(usize::MAX);
        if captured < whole {
            self.tallies.padded += 1;
            self.tallies.shallow += u64::from(captured < HEADERS);
        }
        self.tallies.shortened += u64::from(whole > LONGEST);
        self.frame.resize(whole.min(LONGEST), 0);
    }

    fn cut_short(&self) -> Outcome {
        let verdict = match self.mode {
            Mode::Enforce => Verdict::Drop,
            Mode::Observe => Verdict::Observed,
        };
        Outcome { class: CLASS_NONE, verdict, reason: Reason::MalformedEthernet, within: false }
    }
}

/// What the program told of a packet.
fn outcome(trace: Trace) -> Outcome {
    // Numbers that this version does not know cannot come from the object that it embeds.
    let reason = |number: u32| u8::try_from(number).ok().and_then(Reason::from_number);
    let judged = reason(trace.reason).unwrap_or(Reason::NoPolicy);
    let (verdict, reason) = match (trace.action, reason(trace.observed)) {
        (DROP, _) => (Verdict::Drop, judged),
        (REPLY, _) => (Verdict::Reply, judged),
        // The policy as a whole only observes.
        (_, _) if judged.kind() == Kind::Drop => (Verdict::Observed, judged),
        (_, Some(observed)) => (Verdict::Observed, observed),
        (_, None) => (Verdict::Pass, judged),
    };
    Outcome { class: trace.class as u8, verdict, reason, within: trace.inner != 0 }
}

impl From<CaptureError> for Failure {
    fn from(error: CaptureError) -> Self {
        Self::new(Code::Failed, error.to_string())
    }
}
