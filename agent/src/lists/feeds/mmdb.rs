//! Databases in MaxMind's format 2.0, of countries or autonomous systems.
//! <https://maxmind.github.io/MaxMind-DB/>
//!
//! Only as much of the format as a list needs: a walk over the tree, and one or two values of each record. Nothing in the
//! file is trusted: offsets are checked, depth and work are bounded by the file's own size, and a tree that goes round in
//! circles is an error.

use std::{cell::Cell, collections::HashMap, net::IpAddr};

use ipnet::IpNet;

use super::{
    FeedError, Parsed, Wanted, add,
    format::{MMDB_MARKER, MMDB_TAIL},
    sane,
};

/// Zero bytes between the tree and the data.
const SEPARATOR: usize = 16;
/// Values within values that are skipped over, at most.
const DEEPEST: usize = 32;

/// Values that may be looked at for each byte of the file. Records of real ones take about three: they share what they point
/// to. Ones that overlap could have each of them read through all of the file.
const STEPS: u64 = 16;

const POINTER: u8 = 1;
const TEXT: u8 = 2;
const MAP: u8 = 7;
const ARRAY: u8 = 11;
const BOOLEAN: u8 = 14;

pub(super) fn parse(bytes: &[u8], wanted: &Wanted) -> Result<Parsed, FeedError> {
    let bad = |what: &str| FeedError::new(format!("it is no database that can be read: {what}"));
    let tail = bytes.len().saturating_sub(MMDB_TAIL);
    let found = bytes[tail..].windows(MMDB_MARKER.len()).rposition(|window| window == MMDB_MARKER);
    let Some(found) = found else { return Err(bad("it has no metadata")) };
    let steps = STEPS * bytes.len() as u64;
    let metadata = Data::of(&bytes[tail + found + MMDB_MARKER.len()..], steps);
    let number = |key| metadata.get(0, key).and_then(|at| metadata.number(at));
    let (Some(nodes), Some(record_bits), Some(version)) =
        (number("node_count"), number("record_size"), number("ip_version"))
    else {
        return Err(bad("its metadata lack node_count, record_size or ip_version"));
    };
    if !matches!(record_bits, 24 | 28 | 32) || !matches!(version, 4 | 6) {
        return Err(bad("its records or addresses have an unknown size"));
    }
    let Ok(nodes) = u32::try_from(nodes) else { return Err(bad("it has more nodes than there can be")) };
    // Below 2^38; and with the tree within the file, what is kept of each node is bounded by the file's size.
    let tree = usize::try_from(u64::from(nodes) * record_bits / 4).ok();
    let Some(tree) = tree.filter(|tree| tree.saturating_add(SEPARATOR) <= tail + found) else {
        return Err(bad("it is cut short"));
    };
    let database = Database {
        tree: &bytes[..tree],
        nodes,
        record_bits,
        data: Data::of(&bytes[tree + SEPARATOR..tail + found], steps),
    };
    database.walk(if version == 4 { 32 } else { 128 }, wanted)
}

struct Database<'b> {
    tree: &'b [u8],
    nodes: u32,
    record_bits: u64,
    data: Data<'b>,
}

impl Database<'_> {
    /// Every network, the lowest first. A node is gone into once: whatever leads to it again is an alias of IPv4 within
    /// IPv6.
    fn walk(&self, length: u32, wanted: &Wanted) -> Result<Parsed, FeedError> {
        let mut parsed = Parsed::default();
        let mut seen = vec![false; self.nodes as usize];
        let mut known: HashMap<u32, bool> = HashMap::new();
        let bad = |what: &str| FeedError::new(format!("it is no database that can be read: {what}"));
        // The nodes that lead to the one at hand.
        let mut above: Vec<u32> = Vec::new();
        // A record, the bits that lead to it, and how many they are.
        let mut open = vec![(0_u32, 0_u128, 0_u32)];
        while let Some((record, address, depth)) = open.pop() {
            if record == self.nodes {
                continue;
            }
            if record < self.nodes {
                above.truncate(depth as usize);
                if above.contains(&record) {
                    return Err(bad("its tree goes round in a circle"));
                }
                if depth == length {
                    return Err(bad("its tree is deeper than an address"));
                }
                above.push(record);
                if !std::mem::replace(&mut seen[record as usize], true) {
                    let bit = 1_u128.checked_shl(length - 1 - depth).unwrap_or(0);
                    open.push((self.record(record, 1), address | bit, depth + 1));
                    open.push((self.record(record, 0), address, depth + 1));
                }
                continue;
            }
            let takes = *known.entry(record).or_insert_with(|| self.takes(record, wanted));
            if self.data.steps.get() == 0 {
                return Err(bad("its records lie over each other"));
            }
            if !takes {
                parsed.skipped += 1;
                continue;
            }
            let net = network(address, depth, length)
                .ok_or_else(|| FeedError::new("it has a network that is none".to_owned()))?;
            add(&mut parsed, sane(net).map_err(FeedError::new)?, wanted)?;
        }
        Ok(parsed)
    }

    fn record(&self, node: u32, side: usize) -> u32 {
        let size = self.record_bits as usize / 4;
        let Some(node) = self.tree.get(node as usize * size..).and_then(|rest| rest.get(..size)) else {
            return self.nodes;
        };
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
        match (self.record_bits, side) {
            (28, 0) => u32::from(node[3] >> 4) << 24 | number(&node[..3]),
            (28, _) => u32::from(node[3] & 15) << 24 | number(&node[4..]),
            (_, side) => number(&node[side * size / 2..][..size / 2]),
        }
    }

    fn takes(&self, record: u32, wanted: &Wanted) -> bool {
        let data = &self.data;
        let at = (record - self.nodes) as usize;
        let Some(at) = at.checked_sub(SEPARATOR) else { return false };
        let of = |keys: &[&str]| keys.iter().try_fold(at, |at, key| data.get(at, key));
        let texts = [
            &["country", "iso_code"][..],
            &["country_code"],
            &["country"],
            &["registered_country", "iso_code"],
        ];
        let country = texts.iter().find_map(|keys| data.text(of(keys)?));
        let asn = of(&["autonomous_system_number"]).or_else(|| of(&["asn"])).and_then(|at| {
            let text = || data.text(at)?.trim_start_matches("AS").parse().ok();
            data.number(at).or_else(text)
        });
        wanted.takes(country, asn.and_then(|asn| u32::try_from(asn).ok()))
    }
}

fn network(address: u128, depth: u32, length: u32) -> Option<IpNet> {
    let bits = depth as u8;
    if length == 32 {
        return IpNet::new(IpAddr::V4((address as u32).into()), bits).ok();
    }
    if address >> 32 == 0 && depth >= 96 {
        return IpNet::new(IpAddr::V4((address as u32).into()), bits - 96).ok();
    }
    IpNet::new(IpAddr::V6(address.into()), bits).ok()
}

/// A section of values that may point to each other.
struct Data<'b> {
    bytes: &'b [u8],
    /// Values that may still be looked at.
    steps: Cell<u64>,
}

impl<'b> Data<'b> {
    const fn of(bytes: &'b [u8], steps: u64) -> Self {
        Self { bytes, steps: Cell::new(steps) }
    }
}

impl Data<'_> {
    /// Kind, size (for a pointer: where to), and where the value's own bytes begin.
    fn head(&self, at: usize) -> Option<(u8, usize, usize)> {
        self.steps.set(self.steps.get().checked_sub(1)?);
        let control = *self.bytes.get(at)?;
        let mut next = at + 1;
        let mut take = |count: usize| -> Option<usize> {
            let bytes = self.bytes.get(next..next.checked_add(count)?)?;
            next += count;
            Some(bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
        };
        let mut kind = control >> 5;
        if kind == POINTER {
            let high = usize::from(control & 7);
            let to = match control >> 3 & 3 {
                0 => high << 8 | take(1)?,
                1 => (high << 16 | take(2)?) + 2048,
                2 => (high << 24 | take(3)?) + 526_336,
                _ => take(4)?,
            };
            return Some((POINTER, to, next));
        }
        if kind == 0 {
            kind = u8::try_from(take(1)?).ok()?.checked_add(7)?;
        }
        let size = match control & 31 {
            29 => 29 + take(1)?,
            30 => 285 + take(2)?,
            31 => 65_821 + take(3)?,
            size => usize::from(size),
        };
        Some((kind, size, next))
    }

    /// The same, of what a pointer points to: that is no pointer.
    fn value(&self, at: usize) -> Option<(u8, usize, usize)> {
        match self.head(at)? {
            (POINTER, to, _) => self.head(to).filter(|(kind, ..)| *kind != POINTER),
            head => Some(head),
        }
    }

    /// Where the value of a key of a map is.
    fn get(&self, at: usize, key: &str) -> Option<usize> {
        let (MAP, size, mut next) = self.value(at)? else { return None };
        for _ in 0..size {
            let value = self.skip(next, 0)?;
            if self.text(next)? == key {
                return Some(value);
            }
            next = self.skip(value, 0)?;
        }
        None
    }

    /// Where the value after this one is.
    fn skip(&self, at: usize, depth: usize) -> Option<usize> {
        let (kind, size, mut next) = self.head(at)?;
        let within = match kind {
            POINTER | BOOLEAN => return Some(next),
            MAP => size.checked_mul(2)?,
            ARRAY => size,
            _ => return next.checked_add(size),
        };
        if depth == DEEPEST {
            return None;
        }
        for _ in 0..within {
            next = self.skip(next, depth + 1)?;
        }
        Some(next)
    }

    fn text(&self, at: usize) -> Option<&str> {
        let (TEXT, size, begin) = self.value(at)? else { return None };
        std::str::from_utf8(self.bytes.get(begin..begin.checked_add(size)?)?).ok()
    }

    /// An unsigned number of up to 64 bits.
    fn number(&self, at: usize) -> Option<u64> {
        let (5 | 6 | 9, size @ 0..=8, begin) = self.value(at)? else { return None };
        let bytes = self.bytes.get(begin..begin + size)?;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}
