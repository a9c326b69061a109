//! The policies that stopbank is measured under: such as an edge host has, and such that every packet goes the whole way.

use std::{
    fmt::{self, Write as _},
    sync::Arc,
};

use anyhow::{Context, Result};
use clap::ValueEnum;
use stopbank::{
    config::{self, Host},
    datapath::{Datapath, Entry, Generation},
    lists::feeds::PrefixSet,
};
use stopbank_common::{
    gcra::Limit,
    list::{VERDICT_ALLOW, VERDICT_BAN, VERDICT_DENY},
    policy::{HANDSHAKE_SACK, HANDSHAKE_SCALING, HANDSHAKE_TIMESTAMPS, Handshake, MAX_INTERFACES},
};

/// What answers to SYNs say: everything.
const HANDSHAKE: Handshake = Handshake {
    mss_v4: 1_460,
    mss_v6: 1_440,
    window: 65_535,
    scale: 7,
    flags: HANDSHAKE_SACK | HANDSHAKE_SCALING | HANDSHAKE_TIMESTAMPS,
    hop_limit: 64,
    reserved: [0; 7],
};

/// Interface index of the loopback device, from which test runs seem to come.
const LOOPBACK: u32 = 1;
/// Counters' slot of that interface.
pub(crate) const SLOT: u32 = 1;

/// Classes that packets of the benchmark fall into: name, protocol, ports.
const CLASSES: [(&str, &str, &str); 3] =
    [("web", "tcp", "[80, 443]"), ("quic", "udp", "[443]"), ("dns", "udp", "[53]")];
/// Classes that a configuration can have beside the default one.
const MOST_CLASSES: usize = 62;

/// What stopbank is asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Config {
    /// What most will set: a few list entries, four classes, limits on packets and connections of each source, a total.
    Default,
    /// Everything: a list of 1.2 million prefixes, 63 classes, limits per source and at each wider prefix, a total with
    /// a part reserved for proven sources.
    Full,
}

impl Config {
    pub(crate) const ALL: [Self; 2] = [Self::Default, Self::Full];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Full => "full",
        }
    }

    pub(crate) const fn features(self) -> Features {
        match self {
            Self::Default => Features::DEFAULT,
            Self::Full => Features::FULL,
        }
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is on the lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lists {
    Empty,
    /// Six entries, none of which is in the benchmark's way.
    Few,
    /// Those, and what [`crate::feed`] has.
    Million,
}

/// What a packet is held against, each thing on or off, so that its cost can be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Features {
    pub(crate) lists: Lists,
    /// Beside the default one; three at least.
    pub(crate) classes: usize,
    /// Packets of each source.
    pub(crate) packets: bool,
    /// New TCP connections of each source.
    pub(crate) connections: bool,
    /// Packets of all sources together.
    pub(crate) total: bool,
    /// Half of that for proven sources first.
    pub(crate) reserve: bool,
    /// IPv4 /24, IPv6 /64, /56 and /48 beside single addresses.
    pub(crate) levels: bool,
    /// What is asked beside the policy: with `host` the host's sockets, with `gateway` the flow table, with `any` nothing.
    pub(crate) role: &'static str,
    /// SYNs are answered with cookies.
    pub(crate) cookies: bool,
    /// A sample of what is dropped goes to user space.
    pub(crate) events: bool,
}

impl Features {
    /// Nothing but what every packet goes through: parser, class, counters.
    pub(crate) const BARE: Self = Self {
        lists: Lists::Empty,
        classes: CLASSES.len(),
        packets: false,
        connections: false,
        total: false,
        reserve: false,
        levels: false,
        role: "any",
        cookies: false,
        events: true,
    };
    const DEFAULT: Self =
        Self { lists: Lists::Few, packets: true, connections: true, total: true, ..Self::BARE };
    const FULL: Self =
        Self { lists: Lists::Million, classes: MOST_CLASSES, reserve: true, levels: true, ..Self::DEFAULT };

    /// The configuration, without interfaces: for the agent and for [`Self::install`]. What is `role` is left to the caller.
    pub(crate) fn text(self, rates: Rates) -> String {
        let mut text = String::new();
        if self.levels {
            text += "[source]\nipv6_prefix = 128\n";
        }
        let _ = write!(text, "[default]\n{}", self.limits("default", true, rates));
        let others = (0..self.classes.saturating_sub(CLASSES.len()))
            .map(|i| (format!("service-{i}"), "tcp", format!("[{}]", 10_000 + i)));
        let known = CLASSES
            .iter()
            .map(|(name, protocol, ports)| ((*name).to_owned(), *protocol, (*ports).to_owned()));
        for (name, protocol, ports) in known.chain(others) {
            let _ = write!(
                text,
                "[[class]]\nname = {name:?}\nprotocol = {protocol:?}\nports = {ports}\n{}{}",
                if self.cookies && protocol == "tcp" { "syn_cookies = \"always\"\n" } else { "" },
                self.limits("class", protocol == "tcp", rates)
            );
        }
        text
    }

    /// Limits are said even where they are empty: what is left out has the built-in ones.
    fn limits(self, place: &str, tcp: bool, rates: Rates) -> String {
        let (mut per_source, mut total) = (Vec::new(), Vec::new());
        if self.packets {
            per_source.push(format!("packets = {}", rates.source));
        }
        if let Some(bytes) = rates.bytes {
            per_source.push(format!("bytes = {bytes}"));
        }
        if self.connections && tcp {
            per_source.push(format!("connections = {}", rates.source));
        }
        if self.total {
            total.push(format!("packets = {}", rates.total));
        }
        if self.total && self.reserve {
            total.push("proven = \"50%\"".to_owned());
        }
        let mut text =
            format!("per_source = {{ {} }}\ntotal = {{ {} }}\n", per_source.join(", "), total.join(", "));
        if self.levels {
            for lengths in ["ipv4 = 24\nipv6 = 64", "ipv6 = 56", "ipv6 = 48"] {
                let _ = write!(text, "[[{place}.per_prefix]]\n{lengths}\npackets = {}\n", rates.prefix);
            }
        }
        text
    }

    /// Puts policy and lists in place. `feed` is what [`Lists::Million`] is, `lines` what the table of sources was made with.
    pub(crate) fn install(self, datapath: &mut Datapath, feed: &Arc<PrefixSet>, lines: u32) -> Result<()> {
        let text = format!(
            "role = {:?}
{}",
            self.role,
            self.text(Rates::UNREACHED)
        );
        let mut config = config::parse("the benchmark's policy", &text)?;
        config.source.lines = lines;
        let mut interfaces = [0; MAX_INTERFACES];
        interfaces[SLOT as usize] = LOOPBACK;
        let handshake = self.cookies.then_some(HANDSHAKE);
        let host = Host { interfaces, handshake, ..Host::default() };
        let mut compiled = match config::compile(&config, &datapath.kept()?, &host) {
            Ok(compiled) => compiled,
            Err(error) => anyhow::bail!("the benchmark's policy does not compile: {error:?}"),
        };
        if !self.events {
            // A configuration cannot say so.
            compiled.policy.events = Limit::default();
        }
        datapath.install(&mut compiled.policy)?;
        self.lists.install(datapath, feed)
    }
}

impl Lists {
    /// Takes away what was there before.
    pub(crate) fn install(self, datapath: &mut Datapath, feed: &Arc<PrefixSet>) -> Result<()> {
        for (prefix, _) in datapath.list_entries()? {
            datapath.list_remove(prefix)?;
        }
        let large = self == Self::Million;
        datapath.install_lists(if large { Some(Generation::build(feed.clone())?) } else { None })?;
        if self != Self::Empty {
            for (prefix, verdict) in FEW {
                let prefix = prefix.parse().context("a list entry")?;
                datapath.list_insert(prefix, Entry { verdict, expires_ns: 0 })?;
            }
        }
        datapath.settle_lists()?;
        Ok(())
    }
}

/// None of them is in the way of the benchmark's sources.
const FEW: [(&str, u8); 6] = [
    ("192.0.2.0/24", VERDICT_ALLOW),
    ("198.51.100.0/24", VERDICT_DENY),
    ("203.0.113.7/32", VERDICT_BAN),
    ("2001:db9::/32", VERDICT_ALLOW),
    ("2001:dba:7::/48", VERDICT_DENY),
    ("2001:dbb::7/128", VERDICT_BAN),
];

/// What the limits are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    source: &'static str,
    /// Bytes of each source, beside.
    bytes: Option<&'static str>,
    prefix: &'static str,
    total: &'static str,
}

impl Rates {
    /// For one source far above what each of many random ones sends and far below what a single one does; for all
    /// together, or for a prefix, more than one CPU can reach.
    pub(crate) const UNREACHED: Self =
        Self { source: "\"1000/s\"", bytes: None, prefix: "\"1G/s\"", total: "\"1G/s\"" };
    /// A total that a flood is far above: what is left of it is dropped.
    pub(crate) const TOTAL: Self =
        Self { source: "\"1000/s\"", bytes: None, prefix: "\"1G/s\"", total: "\"10k/s\"" };
    /// So few bytes for each source that the table of sources alone turns random ones away, some seconds into a flood.
    pub(crate) const SOURCES: Self = Self {
        source: "\"1000/s\"",
        bytes: Some("{ rate = \"20B/s\", burst = \"1514B\" }"),
        prefix: "\"1G/s\"",
        total: "\"1G/s\"",
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_configurations_are_what_they_say() {
        for (config, classes, levels) in [(Config::Default, 3, 0), (Config::Full, MOST_CLASSES, 3)] {
            for rates in [Rates::UNREACHED, Rates::TOTAL, Rates::SOURCES] {
                let read = config::parse("test", &config.features().text(rates)).unwrap();
                assert_eq!(read.classes.len(), classes);
                for class in read.all_classes() {
                    assert!(class.per_source.packets.is_some(), "{}", class.name);
                    assert!(class.total.packets.is_some(), "{}", class.name);
                    assert_eq!(class.per_prefix.len(), levels, "{}", class.name);
                }
            }
        }
    }

    #[test]
    fn what_is_off_has_no_limit() {
        let read = config::parse("test", &Features::BARE.text(Rates::UNREACHED)).unwrap();
        for class in read.all_classes() {
            assert!(class.per_source.is_empty() && class.total.is_empty(), "{}", class.name);
        }
    }
}
