//! `stopbank selftest`: proves that the program, with the policy in force, drops what it should and passes what it should, by
//! sending packets to itself.
//!
//! The very object is loaded with maps of its own, and attached natively to one end of a pair of veths in a network namespace
//! of its own. Nothing that protects this host is touched: of that it is only asked whether it is there.

mod flood;
mod frames;
mod live;
#[expect(unsafe_code, reason = "packet sockets and namespaces")]
mod wire;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    time::Instant,
};

use ipnet::IpNet;
use serde::Serialize;
use stopbank_common::{
    Reason,
    list::{VERDICT_ALLOW, VERDICT_BAN, VERDICT_DENY},
    policy::{CLASS_CLOSED, MAX_CLASSES, MAX_INTERFACES, MODE_ENFORCE, Policy},
};

pub use live::Live;

use frames::{Content, broken, frame, octets};
use wire::Wire;

use crate::{
    config::{Claim, ClassNumbers, Compiled, Config, Host, Role, compile},
    datapath::{AttachMode, Datapath, Entry, Options},
    engine::forwards,
    failure::{Code, Failure},
};

/// How a step went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should.
    Ok,
    /// As the configuration has it, which drops less than it could.
    Warn,
    /// Not as it should.
    Fail,
    /// It could not be tried.
    Skip,
}

impl Outcome {
    /// As it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
            Self::Skip => "skip",
        }
    }
}

/// One step.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Step {
    /// What was tried.
    pub step: String,
    /// How it went.
    pub outcome: Outcome,
    /// What was found.
    pub found: String,
    /// How long it took.
    pub milliseconds: f64,
}

/// The whole test.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    /// Whether no step failed.
    pub passed: bool,
    /// Where the policy that was tested came from.
    pub policy: String,
    /// In the order in which they were done.
    pub steps: Vec<Step>,
}

/// What is tested.
pub struct Subject {
    /// The configuration in force, or one to be tried.
    pub config: Config,
    /// Where it came from.
    pub origin: String,
    /// What protects this host; `None`: that is not looked at.
    pub live: Option<Live>,
}

/// Where the frames come in, as counters have it.
const SLOT: u32 = 1;
/// Destinations of the frames; nobody has them.
const TO: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(198, 51, 100, 77), Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0x77));
/// Ports that are tried first for a client that must get through.
const USUAL_PORTS: [u16; 6] = [443, 80, 22, 8_443, 8_080, 40_443];
/// Frames of a kind that must be dropped.
const SEVERAL: u64 = 5;

/// Tests it. Each step is told to `each` as soon as it is done.
///
/// # Errors
///
/// [`Failure`], with [`Code::Permission`] where this process may not make a network namespace or load programs.
pub fn run(subject: Subject, each: &mut (dyn FnMut(&Step) + Send)) -> Result<Report, Failure> {
    if !wire::may_unshare() {
        return Err(Failure::new(
            Code::Permission,
            "the self-test makes a network namespace of its own, for which this process lacks CAP_SYS_ADMIN",
        )
        .hint("run it as root: sudo stopbank selftest"));
    }
    let Subject { config, origin, live } = subject;
    let mut steps = Steps { done: Vec::new(), each };
    if let Some(live) = &live {
        live.check(&mut steps, &config);
    }
    let outcome = wire::in_namespace(|| -> Result<(), Failure> {
        let begin = Instant::now();
        let mut test = Test::new(&config)?;
        let found = format!("attached natively to {} beside {}", test.wire.far, test.wire.near);
        steps.done("program loaded, policy in force, private veth pair", begin, Outcome::Ok, found);
        test.all(&mut steps);
        Ok(())
    });
    outcome
        .map_err(|error| Failure::new(Code::Failed, format!("cannot make a network namespace: {error}")))??;
    let passed = steps.done.iter().all(|step| step.outcome != Outcome::Fail);
    Ok(Report { passed, policy: origin, steps: steps.done })
}

/// Steps, as they are done.
struct Steps<'e> {
    done: Vec<Step>,
    each: &'e mut (dyn FnMut(&Step) + Send),
}

impl Steps<'_> {
    fn done(&mut self, step: &str, begin: Instant, outcome: Outcome, found: impl Into<String>) {
        let milliseconds = begin.elapsed().as_secs_f64() * 1e3;
        let step = Step { step: step.to_owned(), outcome, found: found.into(), milliseconds };
        (self.each)(&step);
        self.done.push(step);
    }
}

/// A program that protects one end of a wire, under the policy that is tested.
struct Test<'c> {
    config: &'c Config,
    datapath: Datapath,
    policy: Box<Policy>,
    numbers: ClassNumbers,
    wire: Wire,
}

impl<'c> Test<'c> {
    fn new(config: &'c Config) -> Result<Self, Failure> {
        let wire = Wire::new()
            .map_err(|error| Failure::new(Code::Failed, format!("cannot make a pair of veths: {error}")))?;
        let options = Options {
            source_lines: config.source.lines,
            flows: (config.role == Role::Gateway).then_some(config.flows),
            ..Options::default()
        };
        let mut datapath = Datapath::private(&options)?;
        let attached = datapath.attach(&wire.far, AttachMode::Native)?;
        let mut interfaces = [0; MAX_INTERFACES];
        interfaces[SLOT as usize] = attached.index;
        // No cookies: in this namespace nobody would take them.
        let host = Host { interfaces, forwards: forwards(), handshake: None };
        let Compiled { mut policy, numbers, .. } =
            compile(config, &datapath.kept()?, &host).map_err(|error| {
                Failure::new(Code::Configuration, format!("a limit cannot be held: {error:?}"))
            })?;
        policy.mode = MODE_ENFORCE;
        let denied = config.lists.deny.iter().map(|prefix| (*prefix, VERDICT_DENY));
        // Last, because of the same prefix allow beats deny.
        let allowed = config.lists.allow.iter().map(|prefix| (*prefix, VERDICT_ALLOW));
        for (prefix, verdict) in denied.chain(allowed) {
            datapath.list_insert(prefix, Entry { verdict, expires_ns: 0 })?;
        }
        datapath.install(&mut policy)?;
        Ok(Self { config, datapath, policy, numbers, wire })
    }

    fn all(&mut self, steps: &mut Steps<'_>) {
        for v6 in [false, true] {
            let sources = self.sources(v6);
            let Some([client, banned, allowed, flooding]) = sources else {
                let found = "every address that it could send from is on the configuration's lists";
                steps.done(&family("packets", v6), Instant::now(), Outcome::Skip, found);
                continue;
            };
            self.client(steps, client);
            self.listed(steps, banned, VERDICT_BAN);
            self.listed(steps, allowed, VERDICT_ALLOW);
            self.hopeless(steps, client);
            flood::run(self, steps, flooding);
        }
    }

    /// A client's SYN comes through.
    fn client(&self, steps: &mut Steps<'_>, source: IpAddr) {
        let (begin, name) = (Instant::now(), family("a client's SYN comes through", source.is_ipv6()));
        let Some(port) = self.open_port() else {
            steps.done(&name, begin, Outcome::Skip, "the configuration closes every TCP class");
            return;
        };
        let listener = match wire::listen(port) {
            Ok(listener) => listener,
            Err(error) => {
                steps.done(&name, begin, Outcome::Fail, format!("cannot listen to port {port}: {error}"));
                return;
            }
        };
        let frame = frame(source, to(source), Content::Syn(port));
        let (outcome, found) = self.expect(&frame, 1, source, &[Reason::Passed], true);
        drop(listener);
        steps.done(&name, begin, outcome, format!("to port {port}: {found}"));
    }

    /// A banned source is dropped, whatever it sends; an allowed one passes, whatever it sends.
    fn listed(&mut self, steps: &mut Steps<'_>, source: IpAddr, verdict: u8) {
        let begin = Instant::now();
        let ban = verdict == VERDICT_BAN;
        let (what, reason) = if ban {
            ("a banned source is dropped", Reason::Banned)
        } else {
            ("an allowed source passes", Reason::Allowed)
        };
        let name = family(what, source.is_ipv6());
        let prefix = IpNet::from(source);
        if let Err(error) = self.datapath.list_insert(prefix, Entry { verdict, expires_ns: 0 }) {
            steps.done(&name, begin, Outcome::Fail, error.to_string());
            return;
        }
        let frame = frame(source, to(source), Content::Udp(40_007));
        let (outcome, found) = self.expect(&frame, SEVERAL, source, &[reason], !ban);
        if let Err(error) = self.datapath.list_remove(prefix) {
            steps.done(&name, begin, Outcome::Fail, error.to_string());
            return;
        }
        steps.done(&name, begin, outcome, found);
    }

    /// What no honest sender sends.
    fn hopeless(&self, steps: &mut Steps<'_>, source: IpAddr) {
        let begin = Instant::now();
        let v6 = source.is_ipv6();
        let reasons = [if v6 { Reason::MalformedIpv6 } else { Reason::MalformedIpv4 }];
        let (outcome, found) = self.expect(&broken(source, to(source)), SEVERAL, source, &reasons, false);
        steps.done(&family("a malformed packet is dropped", v6), begin, outcome, found);

        let begin = Instant::now();
        let bogon: IpAddr = if v6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
        if self.is_listed(bogon) {
            return;
        }
        let frame = frame(bogon, to(bogon), Content::Udp(40_007));
        let (outcome, found) = self.expect(&frame, SEVERAL, bogon, &[Reason::BogonSource], false);
        steps.done(&family("a source that nobody has is dropped", v6), begin, outcome, found);
    }

    /// Sends a frame so many times; all of them must be counted under one of the reasons, and arrive or not.
    fn expect(
        &self,
        frame: &[u8],
        count: u64,
        source: IpAddr,
        reasons: &[Reason],
        arrives: bool,
    ) -> (Outcome, String) {
        let only_observed = reasons.iter().any(|reason| self.policy.observed >> *reason as u32 & 1 != 0);
        if only_observed {
            return (Outcome::Warn, format!("the configuration only observes `{}`", reasons[0].name()));
        }
        let source = octets(source);
        self.wire.arrived(&source);
        let before = self.counted(reasons);
        for _ in 0..count {
            if let Err(error) = self.wire.send(frame) {
                return (Outcome::Fail, format!("cannot send: {error}"));
            }
        }
        let counted = || self.counted(reasons) - before;
        let judged = Wire::until(|| counted() >= count);
        let mut arrived = 0;
        if arrives {
            Wire::until(|| {
                arrived += self.wire.arrived(&source);
                arrived >= count
            });
        } else {
            arrived += self.wire.arrived(&source);
        }
        let found =
            format!("{count} sent, {} counted as `{}`, {arrived} arrived", counted(), reasons[0].name());
        let right = judged && counted() == count && arrived == if arrives { count } else { 0 };
        (if right { Outcome::Ok } else { Outcome::Fail }, found)
    }

    /// Packets judged for one of these reasons so far.
    fn counted(&self, reasons: &[Reason]) -> u64 {
        let of_class = |class: u8| -> u64 {
            let Ok(counters) = self.datapath.counters(SLOT, class) else { return 0 };
            reasons.iter().map(|reason| counters.of(*reason).0.packets).sum()
        };
        self.numbers.iter().map(|(class, _)| of_class(class)).sum()
    }

    /// A TCP port whose class lets clients in.
    fn open_port(&self) -> Option<u16> {
        let of_classes = self.config.classes.iter().filter_map(|class| match &class.claim {
            Claim::Tcp(ranges) => ranges.first().map(|range| range.first),
            _ => None,
        });
        let open = |port: &u16| {
            let class = &self.policy.classes
                [usize::from(self.policy.by_tcp_port[usize::from(*port)]) & (MAX_CLASSES - 1)];
            class.flags & CLASS_CLOSED == 0 && class.signatures == 0
        };
        USUAL_PORTS.into_iter().chain(of_classes).find(open)
    }

    /// Four addresses that no list of the configuration has an opinion on.
    fn sources(&self, v6: bool) -> Option<[IpAddr; 4]> {
        // Benchmarks' and examples' own (RFC 2544, RFC 5737, RFC 5180, RFC 3849), then any: nothing leaves this namespace.
        let bases: &[&str] = if v6 {
            &["2001:2:0:1::7", "2001:db8:1:1::7", "2a10:1:1:1::7"]
        } else {
            &["198.18.1.7", "203.0.113.7", "192.0.2.7", "10.213.1.7", "45.77.1.7"]
        };
        let near = |base: &&str| -> Vec<IpAddr> {
            match base.parse() {
                // Prefixes of their own, so that no limit is shared.
                Ok(IpAddr::V4(v4)) => {
                    (0..64_u32).map(|i| IpAddr::V4((u32::from(v4) + i * 1_024).into())).collect()
                }
                Ok(IpAddr::V6(v6)) => {
                    (0..64_u128).map(|i| IpAddr::V6((u128::from(v6) + (i << 80)).into())).collect()
                }
                Err(_) => Vec::new(),
            }
        };
        let mut free = bases.iter().flat_map(near).filter(|address| !self.is_listed(*address));
        Some([free.next()?, free.next()?, free.next()?, free.next()?])
    }

    fn is_listed(&self, address: IpAddr) -> bool {
        let lists = &self.config.lists;
        lists.allow.iter().chain(&lists.deny).any(|prefix| prefix.contains(&address))
    }
}

/// Nobody's address, of the same family.
fn to(source: IpAddr) -> IpAddr {
    if source.is_ipv6() { TO.1.into() } else { TO.0.into() }
}

fn family(step: &str, v6: bool) -> String {
    format!("{step} ({})", if v6 { "IPv6" } else { "IPv4" })
}

/// A socket for datagrams to a port, where there can be one.
fn bind_udp(port: u16) -> Option<UdpSocket> {
    UdpSocket::bind(("::", port)).or_else(|_| UdpSocket::bind(("0.0.0.0", port))).ok()
}
