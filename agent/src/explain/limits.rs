//! How much of each limit is left, and whether the packet fits: as ebpf/src/limits.rs asks, without charging anything.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;
use stopbank_common::{
    Address, Reason,
    gcra::{
        Dimension, GUARD_RATE_CELL, GUARD_UNTIL_CELL, INCREMENT_FRACTION, Limit, Line, TICKS_PER_NS,
        TICKS_PER_SECOND, Ticks,
    },
    hash::source_hash,
    policy::{CLASS_CLOSED, Class, GUARD_ALWAYS, GUARD_OFF, MAX_CLASSES, MAX_LEVELS, MODE_ENFORCE, Policy},
};

use super::{Packet, Situation, span, trail::Trail};
use crate::{config::dimension_name, control::explain::Transport, datapath::DatapathError};

/// Until when the source is proven, if it is; 0: until it is taken back.
pub(super) struct Proof(pub(super) Option<u64>);

impl Proof {
    pub(super) fn shown(&self, now_ns: u64) -> String {
        match self.0 {
            None => "no".to_owned(),
            Some(0) => "yes, until it is taken back".to_owned(),
            Some(until) => format!("yes, for {} more", span(until.saturating_sub(now_ns))),
        }
    }
}

/// One limit and its cell.
#[derive(Clone, Copy)]
pub(super) struct Budget<'l> {
    pub(super) limit: &'l Limit,
    pub(super) arrival: Ticks,
    pub(super) now: Ticks,
    pub(super) dimension: Dimension,
}

impl Budget<'_> {
    fn fits(&self, units: u32) -> bool {
        self.limit.after(self.arrival, self.now, units).is_some()
    }

    fn units(&self, ticks: Ticks) -> u64 {
        let units = (u128::from(ticks) << INCREMENT_FRACTION) / u128::from(self.limit.increment.max(1));
        u64::try_from(units).unwrap_or(u64::MAX)
    }

    /// Units that would be admitted now.
    fn left(&self) -> u64 {
        let ahead = self.arrival.saturating_sub(self.now);
        self.units(self.limit.tolerance.saturating_sub(ahead))
    }

    /// After which time so many units fit again.
    fn wait(&self, units: u32) -> Duration {
        let needed = self.arrival.max(self.now) + self.limit.cost(units);
        let ticks = needed.saturating_sub(self.limit.tolerance).saturating_sub(self.now);
        Duration::from_millis(ticks / TICKS_PER_NS / 1_000_000)
    }

    pub(super) fn shown(&self) -> String {
        let (left, burst) = (self.left(), self.units(self.limit.tolerance));
        format!("{left} of {burst} {} left at once, {}", dimension_name(self.dimension), self.rate())
    }

    /// Per second, or by the longest period that makes it one at least.
    fn rate(&self) -> String {
        let exact = (TICKS_PER_SECOND as f64) * f64::from(1_u32 << INCREMENT_FRACTION)
            / self.limit.increment.max(1) as f64;
        let periods = [(1.0, "s"), (60.0, "m"), (3_600.0, "h"), (86_400.0, "d")];
        let (seconds, letter) =
            periods.into_iter().find(|(seconds, _)| exact * seconds >= 0.999).unwrap_or(periods[3]);
        let rate = exact * seconds;
        let digits = usize::from((rate - rate.round()).abs() > rate * 0.001);
        format!("{rate:.digits$}/{letter}")
    }
}

/// Everything about limits, in the program's order: closed, totals, sources, prefixes, cookies.
pub(super) fn judge(
    trail: &mut Trail,
    situation: &Situation<'_>,
    packet: &Packet,
    number: u8,
    proof: &Proof,
) -> Result<(), DatapathError> {
    let class = &situation.policy.classes[usize::from(number) & (MAX_CLASSES - 1)];
    if class.flags & CLASS_CLOSED != 0 {
        let stands = situation.stands(Reason::ClassClosed, Some(class));
        let because = format!("class `{}` is closed", situation.numbers.name(number));
        trail.decide("closed", "all of it is dropped", Reason::ClassClosed, stands, because);
    }
    let judge = Judge { situation, packet, class, proof, now: situation.now_ns * TICKS_PER_NS };
    let totals = situation.cells.totals(number)?;
    let guarded = judge.guarded(&totals);
    judge.totals(trail, &totals, guarded);
    for level in 0..MAX_LEVELS {
        judge.level(trail, level)?;
    }
    judge.cookies(trail, &totals, guarded);
    Ok(())
}

struct Judge<'j> {
    situation: &'j Situation<'j>,
    packet: &'j Packet,
    class: &'j Class,
    proof: &'j Proof,
    now: Ticks,
}

impl Judge<'_> {
    /// What the packet costs; 0 where it does not count.
    fn units(&self, dimension: Dimension) -> u32 {
        match dimension {
            Dimension::Packets => 1,
            Dimension::Bytes => self.packet.length(),
            Dimension::Connections => u32::from(self.packet.is(Transport::Tcp)),
        }
    }

    fn budget<'l>(&self, limit: &'l Limit, arrival: Ticks, dimension: Dimension) -> Budget<'l> {
        Budget { limit, arrival, now: self.now, dimension }
    }

    fn totals(&self, trail: &mut Trail, totals: &Line, guarded: bool) {
        for dimension in Dimension::ALL {
            let (limit, units) = (&self.class.total[dimension as usize], self.units(dimension));
            if !limit.is_set() || units == 0 {
                continue;
            }
            let step = format!("total {}", dimension_name(dimension));
            let open = self.budget(limit, totals.cells[dimension.total_cell()], dimension);
            if guarded {
                trail.next(step, open.shown(), "what is answered with a SYN cookie costs no total");
                continue;
            }
            let reserve = &self.class.reserve[dimension as usize];
            let reserved = self.budget(reserve, totals.cells[dimension.reserve_cell()], dimension);
            let mut found = open.shown();
            if reserve.is_set() {
                found = format!("{found}; reserve for proven sources: {}", reserved.shown());
            }
            if open.fits(units) {
                trail.next(step, found, "of all sources together it fits");
                continue;
            }
            // What none of the proven asks for, anybody may have, down to half of the reserve's burst.
            let half = reserve.halved();
            let fits_reserve = reserve.is_set()
                && (Budget { limit: &half, ..reserved }.fits(units)
                    || self.proof.0.is_some() && reserved.fits(units));
            if fits_reserve {
                trail.next(step, found, "the open part is spent; the reserve has enough for it");
                continue;
            }
            let (reason, wait) = (over_total(dimension), open.wait(units));
            let because = format!(
                "the class's total of {} is spent by all sources together, for {}",
                dimension_name(dimension),
                shown(wait)
            );
            trail.decide(step, found, reason, self.situation.stands(reason, Some(self.class)), because);
        }
    }

    /// The source itself (level 0), or a prefix that it is in.
    fn level(&self, trail: &mut Trail, level: usize) -> Result<(), DatapathError> {
        let source = Address::from(self.packet.source);
        let levels = if source.is_v4() { self.class.levels } else { self.class.levels >> 8 };
        if levels >> level & 1 == 0 {
            return Ok(());
        }
        let (line, hash) = self.line(source, level)?;
        let prefix = prefix_at(self.situation.policy, self.packet.source, level);
        for dimension in Dimension::ALL {
            let (limit, units) = (&self.class.per_source[level][dimension as usize], self.units(dimension));
            if !limit.is_set() || units == 0 {
                continue;
            }
            let budget = self.budget(limit, line.cells[dimension.cell(hash)], dimension);
            let scope = if level == 0 { "per-source" } else { "per-prefix" };
            let step = format!("{scope} {}", dimension_name(dimension));
            let found = format!("{prefix}: at least {}", budget.shown());
            if budget.fits(units) {
                let because = "it fits; others share the cell, so that it may have used less";
                trail.next(step, found, because);
            } else if level > 0 && self.proof.0.is_some() {
                trail.next(step, found, "spent, but a proven source is not held to what its neighbours do");
            } else {
                let reason = if level == 0 { over_source(dimension) } else { over_prefix(dimension) };
                let because = format!(
                    "{prefix} has used its {} up, for {} (or who shares its cell has)",
                    dimension_name(dimension),
                    shown(budget.wait(units))
                );
                trail.decide(step, found, reason, self.situation.stands(reason, Some(self.class)), because);
            }
        }
        Ok(())
    }

    /// The line of cells, and the hash that picks them: as `hash_at` of ebpf/src/limits.rs.
    fn line(&self, source: Address, level: usize) -> Result<(Line, u64), DatapathError> {
        let hash = hash_at(self.situation.policy, self.class, source, level);
        let region = &self.class.regions[usize::from(level > 0)];
        Ok((self.situation.cells.source(region.line(hash))?, hash))
    }

    /// Whether it would be answered with a cookie, within its source's limits.
    fn guarded(&self, totals: &Line) -> bool {
        let guard = &self.class.guard;
        let by_rate = || {
            guard.rate.after(totals.cells[GUARD_RATE_CELL], self.now, 1).is_none()
                || totals.cells[GUARD_UNTIL_CELL] > self.now
        };
        guard.mode != GUARD_OFF
            && self.packet.is(Transport::Tcp)
            && (guard.mode == GUARD_ALWAYS || by_rate())
            && self.situation.policy.mode == MODE_ENFORCE
            && self.situation.stands(Reason::SynCookie, Some(self.class))
    }

    fn cookies(&self, trail: &mut Trail, totals: &Line, guarded: bool) {
        const STEP: &str = "syn-cookies";
        if self.class.guard.mode == GUARD_OFF || !self.packet.is(Transport::Tcp) {
            return;
        }
        if guarded {
            let left = totals.cells[GUARD_UNTIL_CELL].saturating_sub(self.now) / TICKS_PER_NS;
            let found = match self.class.guard.mode {
                GUARD_ALWAYS => "always".to_owned(),
                _ => format!("active, for {} more", span(left)),
            };
            let because = "SYNs of its class are answered from XDP (but one a second, which is the kernel's)";
            trail.decide(STEP, found, Reason::SynCookie, true, because);
        } else {
            trail.next(
                STEP,
                "not active",
                "the class's SYNs are below the rate from which they are answered",
            );
        }
    }
}

/// As the program picks the cells of a source or prefix for a class.
pub(super) fn hash_at(policy: &Policy, class: &Class, source: Address, level: usize) -> u64 {
    let masks = &policy.levels[level];
    let mask = if source.is_v4() { &masks.mask_v4 } else { &masks.mask_v6 };
    let salt = class.salt.wrapping_add((level as u32).wrapping_mul(0x9e37_79b9));
    source_hash(&policy.key, &source.masked(mask), salt)
}

/// The prefix that an address is in at a level.
pub(super) fn prefix_at(policy: &Policy, source: IpAddr, level: usize) -> IpNet {
    let masks = &policy.levels[level];
    let bits = |mask: &Address| mask.to_bytes().iter().map(|byte| byte.count_ones()).sum::<u32>() as u8;
    let bits = if source.is_ipv4() { bits(&masks.mask_v4).saturating_sub(96) } else { bits(&masks.mask_v6) };
    IpNet::new(source, bits).map_or_else(|_| source.into(), |net| net.trunc())
}

fn shown(wait: Duration) -> String {
    humantime::format_duration(wait.max(Duration::from_millis(1))).to_string()
}

const fn over_total(dimension: Dimension) -> Reason {
    match dimension {
        Dimension::Packets => Reason::TotalPackets,
        Dimension::Bytes => Reason::TotalBytes,
        Dimension::Connections => Reason::TotalConnections,
    }
}

const fn over_source(dimension: Dimension) -> Reason {
    match dimension {
        Dimension::Packets => Reason::SourcePackets,
        Dimension::Bytes => Reason::SourceBytes,
        Dimension::Connections => Reason::SourceConnections,
    }
}

const fn over_prefix(dimension: Dimension) -> Reason {
    match dimension {
        Dimension::Packets => Reason::PrefixPackets,
        Dimension::Bytes => Reason::PrefixBytes,
        Dimension::Connections => Reason::PrefixConnections,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_and_how_long_it_takes_agree_with_the_limiter() {
        let limit = Limit::new(10, 1_000_000_000, 20, 1).unwrap();
        let now = 1_000 * TICKS_PER_SECOND;
        let budget = |arrival| Budget { limit: &limit, arrival, now, dimension: Dimension::Packets };
        assert_eq!(budget(0).left(), 20);
        assert!(budget(0).shown().contains("20 of 20 packets left at once, 10/s"), "{}", budget(0).shown());
        let spent = budget(now + 2 * TICKS_PER_SECOND);
        assert_eq!((spent.left(), spent.fits(1)), (0, false));
        assert_eq!(spent.wait(1), Duration::from_millis(100));
        assert_eq!(budget(now + TICKS_PER_SECOND).left(), 10);
        let slow = Limit::new(12, 60_000_000_000, 1, 1).unwrap();
        let slow = Budget { limit: &slow, arrival: 0, now, dimension: Dimension::Packets };
        assert_eq!(slow.rate(), "12/m");
    }
}
