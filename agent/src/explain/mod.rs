//! What becomes of a packet from an address, and why: every step of its way (docs/packet-path.md), told from what the agent
//! knows and from the kernel's rate state.
//!
//! Nothing is run through the program: whatever judges by the live maps also charges them, and a copy has no state. So this
//! is a second telling of ebpf/src/main.rs, held against the program by tests (tests/tests/kernel/explain.rs and
//! tests/tests/namespaces/explain.rs). Whoever changes what becomes of a packet changes this as well.

mod limits;
mod lines;
pub mod lists;
mod prefix;
mod rules;
mod sockets;
mod trail;

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;
use stopbank_common::{
    Address, Reason,
    gcra::Line,
    policy::{Class, MAX_CLASSES, Policy},
};

pub use lines::find as find_line;
use lists::{Entry, FileInForce, Place};
use trail::Trail;

use crate::{
    config::{ClassNumbers, Config, Mode},
    control::{
        api::SampledDrop,
        explain::{ExplainQuery, Explanation, Transport},
    },
    datapath::DatapathError,
    lists::{ListName, Store},
};

/// Rate state and proofs, as the kernel holds them.
pub trait Cells {
    /// A line of the table of sources.
    ///
    /// # Errors
    ///
    /// [`DatapathError`] when the map cannot be read.
    fn source(&self, line: u32) -> Result<Line, DatapathError>;

    /// The line of a class's totals.
    ///
    /// # Errors
    ///
    /// [`DatapathError`] when the map cannot be read.
    fn totals(&self, class: u8) -> Result<Line, DatapathError>;

    /// Until when a source (cut to its prefix) is proven, by the monotonic clock; 0: until it is taken back.
    ///
    /// # Errors
    ///
    /// [`DatapathError`] when the map cannot be read.
    fn proven_until(&self, source: Address) -> Result<Option<u64>, DatapathError>;
}

/// How things are when it is asked.
pub struct Situation<'s> {
    /// The policy in force.
    pub policy: &'s Policy,
    /// The configuration that it was made of.
    pub config: &'s Config,
    /// The mode in force.
    pub mode: Mode,
    /// Names of classes.
    pub numbers: &'s ClassNumbers,
    /// The lists.
    pub lists: &'s Store,
    /// List files.
    pub files: Vec<FileInForce>,
    /// Protected interfaces, each with how.
    pub interfaces: Vec<String>,
    /// The kernel's rate state.
    pub cells: &'s dyn Cells,
    /// Sampled drops of the subject, the newest first, and how many there are in all.
    pub drops: (Vec<SampledDrop>, usize),
    /// The kernel's monotonic clock.
    pub now_ns: u64,
}

/// An entry of a list file whose line is still to be looked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// The step that names it.
    pub step: usize,
    /// The list.
    pub list: String,
    /// The entry.
    pub prefix: IpNet,
}

/// What the next packet is taken to be.
struct Packet {
    source: IpAddr,
    protocol: Option<Transport>,
    port: Option<u16>,
    from_port: Option<u16>,
    to: Option<IpAddr>,
}

impl Packet {
    fn of(source: IpAddr, query: &ExplainQuery) -> Self {
        let protocol = query.protocol.or_else(|| query.port.map(|_| Transport::Tcp));
        let to = query.to.map(|to| to.to_canonical());
        Self { source, protocol, port: query.port, from_port: query.from_port, to }
    }

    fn is(&self, protocol: Transport) -> bool {
        self.protocol == Some(protocol)
    }

    /// Bytes of its frame: Ethernet, IP, and of TCP a SYN with the usual options.
    fn length(&self) -> u32 {
        if self.source.is_ipv4() { 74 } else { 94 }
    }

    fn shown(&self) -> String {
        let what = match self.protocol {
            Some(Transport::Tcp) => "a TCP SYN",
            Some(Transport::Udp) => "a UDP datagram",
            Some(Transport::Icmp) => "an ICMP message",
            None => "any packet",
        };
        let mut shown = format!("{what} of {} bytes", self.length());
        if let Some(port) = self.from_port {
            shown.push_str(&format!(" from port {port}"));
        }
        match (self.to, self.port) {
            (Some(to), Some(port)) => shown.push_str(&format!(" to {to} port {port}")),
            (Some(to), None) => shown.push_str(&format!(" to {to}")),
            (None, Some(port)) => shown.push_str(&format!(" to port {port}")),
            (None, None) => {}
        }
        shown
    }
}

/// Explains an address or a prefix, and says which lines of list files are still to be looked for (which takes time, and none of
/// what is borrowed here).
///
/// # Errors
///
/// [`DatapathError`] when the kernel's state cannot be read.
pub fn explain(
    situation: &Situation<'_>,
    subject: IpNet,
    query: &ExplainQuery,
) -> Result<(Explanation, Vec<Wanted>), DatapathError> {
    if subject.prefix_len() < subject.max_prefix_len() {
        return prefix::explain(situation, subject);
    }
    let packet = Packet::of(subject.addr(), query);
    let mut trail = Trail::default();
    situation.interfaces(&mut trail);
    rules::essential(&mut trail, &packet);
    let wanted = situation.lists(&mut trail, subject);
    rules::legitimate(&mut trail, situation.policy, &packet);
    rules::sockets(&mut trail, situation.policy, &packet);
    situation.class_and_limits(&mut trail, &packet)?;
    if situation.policy.tunnels != 0 {
        trail.next(
            "tunnels",
            "what GRE, IP in IP or VXLAN carries is judged as well",
            "a tunnel that comes so far is judged once more, by what it carries",
        );
    }
    situation.recent(&mut trail);
    let (verdict, reason, conclusion) = trail.conclude(situation.mode);
    let explanation = Explanation {
        subject: subject.addr().to_string(),
        packet: packet.shown(),
        mode: situation.mode,
        steps: trail.steps,
        verdict,
        reason: reason.map(|reason| reason.name().to_owned()),
        conclusion,
    };
    Ok((explanation, wanted))
}

impl Situation<'_> {
    fn interfaces(&self, trail: &mut Trail) {
        if self.interfaces.is_empty() {
            trail.unjudged("none is protected", "no interface is protected");
        } else {
            trail.next("interfaces", self.interfaces.join(", "), "what comes in there is judged");
        }
    }

    /// The entry that holds, then those that it beats.
    fn lists(&self, trail: &mut Trail, subject: IpNet) -> Vec<Wanted> {
        let entries = lists::around(self.lists, &self.files, subject, self.now_ns);
        let mut wanted = Vec::new();
        let Some(first) = entries.first() else {
            trail.next("lists", self.sizes(), "no entry contains it");
            return wanted;
        };
        for entry in &entries {
            if let Place::File(list) = &entry.place {
                wanted.push(Wanted { step: trail.steps.len(), list: list.clone(), prefix: entry.prefix });
            }
            let found = self.describe(entry);
            if entry == first {
                let what = match entry.reason {
                    Reason::Allowed => "allowed, past everything that follows",
                    Reason::Banned => "banned",
                    _ => "denied",
                };
                let because = format!("{} is {what}", entry.prefix);
                trail.decide("lists", found, entry.reason, self.stands(entry.reason, None), because);
            } else {
                trail.next("lists", found, format!("beaten: {}", first.beats_because(entry)));
            }
        }
        wanted
    }

    fn sizes(&self) -> String {
        let sizes =
            ListName::ALL.map(|list| format!("{} {}", self.lists.count(list), list.name())).join(", ");
        let filed: usize = self.files.iter().map(|file| file.set.len()).sum();
        format!("{sizes} entries, and {filed} in {} list files", self.files.len())
    }

    fn describe(&self, entry: &Entry) -> String {
        match &entry.place {
            Place::List(list, listed) => {
                let mut text =
                    format!("{} on the {} list ({}", entry.prefix, list.name(), listed.item.origin.name());
                if let Some(reason) = &listed.item.reason {
                    text.push_str(&format!(", \"{reason}\""));
                }
                if let Some(at) = listed.item.expires_ns {
                    text.push_str(&format!(", {} more", span(at.saturating_sub(self.now_ns))));
                }
                text + ")"
            }
            Place::File(name) => format!("{} in the list file `{name}`", entry.prefix),
        }
    }

    /// Whether a rule's verdict stands, or only observes.
    fn stands(&self, reason: Reason, class: Option<&Class>) -> bool {
        rules::stands(self.policy, reason, class)
    }

    fn class_and_limits(&self, trail: &mut Trail, packet: &Packet) -> Result<(), DatapathError> {
        let proof = self.proof(packet.source)?;
        trail.next(
            "proven",
            proof.shown(self.now_ns),
            "proven sources are served first where a total is spent",
        );
        let Some(number) = rules::class_of(self.policy, packet) else {
            return self.every_class(trail, packet, &proof);
        };
        let name = self.numbers.name(number);
        let claims = self.config.all_classes().find(|class| class.name == name);
        let found = format!("`{name}`: {}", claims.map_or_else(String::new, |class| class.claim.show()));
        trail.next("class", found, rules::class_because(self.policy, packet));
        self.signatures(trail, number, name);
        limits::judge(trail, self, packet, number, &proof)
    }

    fn signatures(&self, trail: &mut Trail, number: u8, class: &str) {
        let bits = self.policy.classes[usize::from(number) & (MAX_CLASSES - 1)].signatures;
        if bits == 0 {
            trail.next("signatures", "none", format!("class `{class}` names none"));
            return;
        }
        let named = self.config.signatures.iter().enumerate().filter(|(place, _)| bits >> place & 1 != 0);
        let names: Vec<&str> = named.map(|(_, rule)| rule.name.as_str()).collect();
        trail.depends(
            "signatures",
            names.join(", "),
            "they look at lengths, options and bytes of the packet itself",
            format!("whether it matches a signature ({})", names.join(", ")),
        );
    }

    /// Where the class is not known: what each would do.
    fn every_class(
        &self,
        trail: &mut Trail,
        packet: &Packet,
        proof: &limits::Proof,
    ) -> Result<(), DatapathError> {
        trail.depends(
            "class",
            "not known without protocol and port",
            "each class has limits of its own",
            "its class: give --protocol and --port",
        );
        for class in self.config.all_classes().filter(|class| rules::may_claim(&class.claim, packet)) {
            let Some(number) = self.numbers.number(&class.name) else { continue };
            let mut apart = Trail::default();
            let each = Packet { protocol: rules::protocol_of(&class.claim, packet), ..*packet };
            limits::judge(&mut apart, self, &each, number, proof)?;
            let found: Vec<String> =
                apart.steps.iter().map(|step| format!("{}: {}", step.step, step.found)).collect();
            let found = format!("{}; {}", class.claim.show(), found.join("; "));
            let step = format!("class {}", class.name);
            match apart.reason().or_else(|| apart.observed()) {
                Some(reason) => {
                    trail.next(step, found, format!("a packet of this class would be `{}`", reason.name()));
                }
                None => trail.next(step, found, "a packet of this class is within its limits"),
            }
        }
        Ok(())
    }

    fn proof(&self, source: IpAddr) -> Result<limits::Proof, DatapathError> {
        let source = Address::from(source);
        let level = &self.policy.levels[0];
        let cut = source.masked(if source.is_v4() { &level.mask_v4 } else { &level.mask_v6 });
        let until = self.cells.proven_until(cut)?;
        Ok(limits::Proof(until.filter(|until| *until == 0 || *until > self.now_ns)))
    }

    fn recent(&self, trail: &mut Trail) {
        let (latest, count) = &self.drops;
        let Some(last) = latest.first() else {
            trail.next(
                "recent drops",
                "none among the latest samples",
                "a sample, so that a few may be missed",
            );
            return;
        };
        let shown = latest.iter().map(|drop| {
            format!(
                "{} {} `{}` class {} port {}",
                drop.time,
                drop.verdict.name(),
                drop.reason,
                drop.class,
                drop.destination_port
            )
        });
        let found = format!("{count} sampled; {}", shown.collect::<Vec<_>>().join("; "));
        trail.next(
            "recent drops",
            found,
            format!("the latest came to {} on {}", last.destination, last.interface),
        );
    }
}

/// For people.
fn span(ns: u64) -> String {
    humantime::format_duration(Duration::from_secs(ns / 1_000_000_000)).to_string()
}
