//! The policy that stopbank is measured under: such as an edge host has, and such that every packet goes the whole way.

use std::fmt;

use anyhow::{Context, Result};
use clap::ValueEnum;
use stopbank::datapath::{Datapath, Entry};
use stopbank_common::{
    Address,
    gcra::{Dimension, Limit, MAX_UNITS},
    hash::class_salt,
    list::{VERDICT_ALLOW, VERDICT_BAN, VERDICT_DENY},
    policy::{CLASS_DEFAULT, Class, MODE_ENFORCE, Policy},
};

/// Interface index of the loopback device, from which test runs seem to come.
const LOOPBACK: u32 = 1;
/// Counters' slot of that interface.
pub(crate) const SLOT: u32 = 1;

const WEB: u8 = 2;
const DNS: u8 = 3;

const SECOND_NS: u64 = 1_000_000_000;
/// For one source: far above what each of many random ones sends, far below what a single one does.
const PER_SOURCE: u64 = 1000;
const PER_SOURCE_BYTES: u64 = 10_000_000;
/// For all sources together: more than one CPU can reach.
const TOTAL: u64 = 1_000_000_000;

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

/// Puts policy and lists in place.
pub(crate) fn install(datapath: &mut Datapath, parts: &[Part]) -> Result<()> {
    // SAFETY: a Policy is `Plain`: all zeroes are a valid one.
    let mut policy = unsafe { Box::<Policy>::new_zeroed().assume_init() };
    policy.mode = MODE_ENFORCE;
    policy.mask_v4 = Address::mask(128);
    policy.mask_v6 = Address::mask(64);
    policy.key = datapath.kept()?.key;
    policy.events = limit(200, 1)?;
    policy.interfaces[SLOT as usize] = LOOPBACK;
    for (number, name) in [(CLASS_DEFAULT, "default"), (WEB, "web"), (DNS, "dns")] {
        policy.classes[usize::from(number)] = class(name, parts)?;
    }
    policy.by_protocol.fill(CLASS_DEFAULT);
    policy.by_tcp_port.fill(CLASS_DEFAULT);
    policy.by_udp_port.fill(CLASS_DEFAULT);
    policy.by_tcp_port[80] = WEB;
    policy.by_tcp_port[443] = WEB;
    policy.by_udp_port[443] = WEB;
    policy.by_udp_port[53] = DNS;
    policy.by_tcp_port[53] = DNS;
    datapath.install(&policy)?;
    list(datapath)
}

fn class(name: &str, parts: &[Part]) -> Result<Class> {
    let mut class = Class { salt: class_salt(name), ..Class::default() };
    for part in parts {
        match part {
            Part::Packets => class.per_source[Dimension::Packets as usize] = limit(PER_SOURCE, 1)?,
            Part::Bytes => class.per_source[Dimension::Bytes as usize] = limit(PER_SOURCE_BYTES, MAX_UNITS)?,
            Part::Connections => class.per_source[Dimension::Connections as usize] = limit(PER_SOURCE, 1)?,
            Part::Total => class.total[Dimension::Packets as usize] = limit(TOTAL, 1)?,
            Part::None => {}
        }
    }
    Ok(class)
}

/// So many units a second, and one second's worth at once.
fn limit(a_second: u64, largest: u32) -> Result<Limit> {
    match Limit::new(a_second, SECOND_NS, a_second, largest) {
        Ok(limit) => Ok(limit),
        Err(error) => anyhow::bail!("{a_second} a second is no limit: {error:?}"),
    }
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
