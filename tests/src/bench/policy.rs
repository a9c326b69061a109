//! The policy that stopbank is measured under: such as an edge host has, and such that every packet goes the whole way.

use std::fmt::{self, Write as _};

use anyhow::{Context, Result};
use clap::ValueEnum;
use stopbank::{
    config::{self, Host},
    datapath::{Datapath, Entry},
};
use stopbank_common::{
    list::{VERDICT_ALLOW, VERDICT_BAN, VERDICT_DENY},
    policy::MAX_INTERFACES,
};

/// Interface index of the loopback device, from which test runs seem to come.
const LOOPBACK: u32 = 1;
/// Counters' slot of that interface.
pub(crate) const SLOT: u32 = 1;

/// Classes beside the default one: name, protocol, ports.
const CLASSES: [(&str, &str, &str); 3] =
    [("web", "tcp", "[80, 443]"), ("quic", "udp", "[443]"), ("dns", "udp", "[53]")];

/// A part of the limits, so that each one's cost can be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Part {
    /// Packets of each source.
    Packets,
    /// Bytes of each source.
    Bytes,
    /// New TCP connections of each source.
    Connections,
    /// Packets of the class.
    Total,
    /// No limit at all.
    None,
}

impl Part {
    /// What most will set.
    pub(crate) const USUAL: [Self; 3] = [Self::Packets, Self::Connections, Self::Total];
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Packets => "packets",
            Self::Bytes => "bytes",
            Self::Connections => "connections",
            Self::Total => "total",
            Self::None => "none",
        })
    }
}

/// The built-in configuration with these limits, for every class the same.
fn text(parts: &[Part]) -> String {
    let mut text = format!("role = \"any\"\n[default]\n{}", limits(parts, true));
    for (name, protocol, ports) in CLASSES {
        let _ = write!(
            text,
            "[[class]]\nname = {name:?}\nprotocol = {protocol:?}\nports = {ports}\n{}",
            limits(parts, protocol == "tcp")
        );
    }
    text
}

/// For one source far above what each of many random ones sends and far below what a single one does; for all together
/// more than one CPU can reach.
fn limits(parts: &[Part], tcp: bool) -> String {
    let (mut per_source, mut total) = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            Part::Packets => per_source.push(r#"packets = "1000/s""#),
            Part::Bytes => per_source.push(r#"bytes = "10MB/s""#),
            Part::Connections if tcp => per_source.push(r#"connections = "1000/s""#),
            Part::Total => total.push(r#"packets = "1G/s""#),
            Part::Connections | Part::None => {}
        }
    }
    // Said even when empty: what is left out has the built-in limits.
    format!("per_source = {{ {} }}\ntotal = {{ {} }}\n", per_source.join(", "), total.join(", "))
}

/// Puts policy and lists in place.
pub(crate) fn install(datapath: &mut Datapath, parts: &[Part]) -> Result<()> {
    let config = config::parse("the benchmark's policy", &text(parts))?;
    let mut interfaces = [0; MAX_INTERFACES];
    interfaces[SLOT as usize] = LOOPBACK;
    let mut compiled =
        match config::compile(&config, &datapath.kept()?, &Host { interfaces, ..Host::default() }) {
            Ok(compiled) => compiled,
            Err(error) => anyhow::bail!("the benchmark's policy does not compile: {error:?}"),
        };
    datapath.install(&mut compiled.policy)?;
    list(datapath)
}

/// A few entries, none of which is in the way of the benchmark's sources.
fn list(datapath: &mut Datapath) -> Result<()> {
    for (prefix, verdict) in [
        ("192.0.2.0/24", VERDICT_ALLOW),
        ("198.51.100.0/24", VERDICT_DENY),
        ("203.0.113.7/32", VERDICT_BAN),
        ("2001:db9::/32", VERDICT_ALLOW),
        ("2001:dba:7::/48", VERDICT_DENY),
        ("2001:dbb::7/128", VERDICT_BAN),
    ] {
        let prefix = prefix.parse().context("a list entry")?;
        datapath.list_insert(prefix, Entry { verdict, expires_ns: 0 })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_makes_a_configuration() {
        for parts in [&Part::USUAL[..], &[Part::None], &[Part::Bytes], &[Part::Total]] {
            let config = config::parse("test", &text(parts)).unwrap();
            assert_eq!(config.classes.len(), 3);
            for class in config.all_classes() {
                assert_eq!(
                    class.per_source.packets.is_some(),
                    parts.contains(&Part::Packets),
                    "{}",
                    class.name
                );
                assert_eq!(class.per_source.bytes.is_some(), parts.contains(&Part::Bytes), "{}", class.name);
                assert_eq!(class.total.packets.is_some(), parts.contains(&Part::Total), "{}", class.name);
            }
        }
    }
}
