//! What the demo has measured, as `--json` prints it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::client::Served;

/// The whole demo.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Frames a second that each flood was asked for.
    pub rate: u64,
    /// The client without any flood, unprotected.
    pub baseline: Legit,
    /// Each flood, unprotected and then protected.
    pub phases: Vec<Phase>,
    /// What it comes to.
    pub summary: Summary,
}

/// One flood.
#[derive(Clone, Debug, Serialize)]
pub struct Phase {
    /// The attack, and whether it met the agent: `udp-one/protected`.
    pub name: String,
    /// Whether the agent protected the interface.
    pub protected: bool,
    /// The attack: `udp-one`.
    pub attack: String,
    /// How many sources sent it; 2^32 for random ones.
    pub sources: u64,
    /// How long it took.
    pub seconds: f64,
    /// The flood's packets.
    pub flood: Flood,
    /// The client's requests.
    pub legit: Legit,
    /// How the agent's program was attached; `none` when unprotected.
    pub attach_mode: String,
    /// What the agent dropped, the client's packets included if there were any.
    pub drops_by_reason: BTreeMap<String, u64>,
    /// Packets of this flood that the policy lets through at most; 0 when unprotected.
    pub within_limits: u64,
    /// The part of the packets beyond that which was dropped, 0 to 1; 0 when unprotected.
    pub beyond_limits_dropped: f64,
    /// What the interface counted as received, the client's packets included. Protected, the agent must have judged as many.
    pub received: u64,
    /// What the agent counted, under whatever reason; 0 when unprotected.
    pub judged: u64,
}

/// A flood's packets.
#[derive(Clone, Copy, Default, Debug, Serialize)]
pub struct Flood {
    /// Frames that the generator sent, counted by its program.
    pub sent: u64,
    /// Those that found the interface's receive queue full, counted by the interface: lost before anybody could judge them.
    pub lost: u64,
    /// Those that came in: sent and not lost.
    pub offered: u64,
    /// Those that the agent dropped, by its own counters.
    pub dropped: u64,
    /// Those that went on to the host: offered and not dropped.
    pub passed: u64,
}

/// A client's requests.
#[derive(Clone, Copy, Default, Debug, Serialize)]
pub struct Legit {
    /// How many it made.
    pub attempted: u64,
    /// How many were answered in time.
    pub succeeded: u64,
    /// Milliseconds that half of them took at most; one that failed took as long as the client waited.
    pub p50_ms: f64,
    /// Milliseconds that 99 in 100 took at most.
    pub p99_ms: f64,
}

/// What the demo comes to.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Summary {
    /// Without the agent.
    pub unprotected: Side,
    /// With it.
    pub protected: Side,
    /// The least part of the packets beyond the limits that was dropped in any protected phase, 0 to 1.
    pub beyond_limits_dropped: f64,
    /// Whether at least 99 % of them were, in every protected phase, and at least 99.5 % of the client's requests succeeded.
    pub held: bool,
}

/// All phases with the agent, or all without.
#[derive(Clone, Copy, Default, Debug, Serialize)]
pub struct Side {
    /// The floods' packets.
    pub flood: Flood,
    /// Requests made.
    pub attempted: u64,
    /// Requests answered in time.
    pub succeeded: u64,
    /// The part of them that was, 0 to 1.
    pub success: f64,
    /// The least such part in any phase.
    pub worst_success: f64,
    /// The highest p99 of any phase, in milliseconds.
    pub worst_p99_ms: f64,
}

/// What "held" asks of each protected phase.
const LEAST_DROPPED: f64 = 0.99;
const LEAST_SUCCESS: f64 = 0.995;

impl Legit {
    /// The part of the requests that succeeded, 0 to 1.
    pub fn success(&self) -> f64 {
        if self.attempted == 0 { 1.0 } else { self.succeeded as f64 / self.attempted as f64 }
    }
}

impl From<&Served> for Legit {
    fn from(served: &Served) -> Self {
        let quantile = |part| served.quantile(part).map_or(0.0, |ms| (ms * 1000.0).round() / 1000.0);
        Self {
            attempted: served.attempted,
            succeeded: served.succeeded,
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
        }
    }
}

impl Summary {
    /// Of these phases.
    pub fn of(phases: &[Phase]) -> Self {
        let protected = || phases.iter().filter(|phase| phase.protected);
        Self {
            unprotected: Side::of(phases.iter().filter(|phase| !phase.protected)),
            protected: Side::of(protected()),
            beyond_limits_dropped: protected().map(|phase| phase.beyond_limits_dropped).fold(1.0, f64::min),
            held: protected().all(|phase| {
                phase.beyond_limits_dropped >= LEAST_DROPPED && phase.legit.success() >= LEAST_SUCCESS
            }),
        }
    }
}

impl Side {
    fn of<'p>(phases: impl Iterator<Item = &'p Phase>) -> Self {
        let mut side = Self { worst_success: 1.0, ..Self::default() };
        for Phase { flood, legit, .. } in phases {
            side.flood.sent += flood.sent;
            side.flood.lost += flood.lost;
            side.flood.offered += flood.offered;
            side.flood.dropped += flood.dropped;
            side.flood.passed += flood.passed;
            side.attempted += legit.attempted;
            side.succeeded += legit.succeeded;
            side.worst_success = side.worst_success.min(legit.success());
            side.worst_p99_ms = side.worst_p99_ms.max(legit.p99_ms);
        }
        side.success = if side.attempted == 0 { 1.0 } else { side.succeeded as f64 / side.attempted as f64 };
        side
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(protected: bool, succeeded: u64, beyond_limits_dropped: f64) -> Phase {
        Phase {
            name: String::new(),
            protected,
            attack: String::new(),
            sources: 1,
            seconds: 1.0,
            flood: Flood { sent: 10, lost: 1, offered: 9, dropped: 8, passed: 1 },
            legit: Legit { attempted: 1000, succeeded, p50_ms: 1.0, p99_ms: 2.0 },
            attach_mode: String::new(),
            drops_by_reason: BTreeMap::new(),
            within_limits: 0,
            beyond_limits_dropped,
            received: 0,
            judged: 0,
        }
    }

    #[test]
    fn one_bad_protected_phase_is_one_too_many() {
        let held = |phases: &[Phase]| Summary::of(phases).held;
        assert!(held(&[phase(false, 0, 0.0), phase(true, 995, 0.99)]));
        assert!(!held(&[phase(true, 1000, 1.0), phase(true, 994, 1.0)]));
        assert!(!held(&[phase(true, 1000, 1.0), phase(true, 1000, 0.98)]));
    }

    #[test]
    fn sides_add_up() {
        let summary = Summary::of(&[phase(false, 500, 0.0), phase(false, 0, 0.0), phase(true, 1000, 1.0)]);
        assert_eq!((summary.unprotected.flood.sent, summary.protected.flood.sent), (20, 10));
        assert_eq!((summary.unprotected.success, summary.unprotected.worst_success), (0.25, 0.0));
    }
}
