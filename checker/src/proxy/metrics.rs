//! What Prometheus is told. Labels come from closed sets: actions, checks, reasons, upstreams of the configuration.

use prometheus::{
    Encoder as _, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use stopbank_checker::rates::Health;

use super::tls::Revoked;

/// Buckets of request durations, in seconds.
const BUCKETS: [f64; 14] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// All of them.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    /// By action, check and reason.
    pub(crate) requests: IntCounterVec,
    /// The requests that are allowed and have no finding: nearly all of them, so they are not looked up by their labels.
    pub(crate) allowed: IntCounter,
    pub(crate) duration: Histogram,
    pub(crate) connections: IntGauge,
    /// By outcome: `accepted`, `full`, `address-full`, `untrusted`, `handshake-failed`.
    pub(crate) accepted: IntCounterVec,
    /// Connections of HAProxy's that were ended here, by why.
    pub(crate) spoe_ends: IntCounterVec,
    /// By upstream and reason.
    pub(crate) upstream_errors: IntCounterVec,
    /// What was found in answers, by kind: masked, or only counted.
    pub(crate) masked: IntCounterVec,
    /// What is wrong with answers that are passed on all the same, by reason.
    pub(crate) response_findings: IntCounterVec,
    /// Requests that were allowed though their bodies were not seen.
    pub(crate) unseen_bodies: IntCounter,
    /// By upstream and address.
    pub(crate) upstream_up: IntGaugeVec,
    pub(crate) buffered: IntGauge,
    pub(crate) audit_lost: IntCounter,
    /// Of rates, brakes and enumerations, by kind and name, and for requests by outcome.
    counted: Counted,
    /// Of lists of revoked certificates, by file.
    crl_issued: IntGaugeVec,
    crl_next: IntGaugeVec,
    pub(crate) reload_good: IntGauge,
    pub(crate) reload_time: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new_custom(Some("stopbank_checker".to_owned()), None)?;
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let made = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(made.clone()))?;
            prometheus::Result::Ok(made)
        };
        let gauge = |name: &str, help: &str| {
            let made = IntGauge::new(name, help)?;
            registry.register(Box::new(made.clone()))?;
            prometheus::Result::Ok(made)
        };
        let requests = counters(
            "requests_total",
            "Requests by what became of them, and the check and reason that decided it.",
            &["action", "check", "reason"],
        )?;
        let duration = Histogram::with_opts(
            HistogramOpts::new("request_duration_seconds", "From a request's head to the end of its answer.")
                .buckets(BUCKETS.to_vec()),
        )?;
        registry.register(Box::new(duration.clone()))?;
        let upstream_up = IntGaugeVec::new(
            Opts::new("upstream_up", "Whether an upstream's address gets requests."),
            &["upstream", "address"],
        )?;
        registry.register(Box::new(upstream_up.clone()))?;
        let audit_lost =
            IntCounter::new("audit_lost_total", "Lines that the audit log could not keep up with.")?;
        registry.register(Box::new(audit_lost.clone()))?;
        let unseen_bodies = IntCounter::new(
            "unseen_bodies_total",
            "Requests that were allowed by their heads alone, because whoever asks shows no bodies.",
        )?;
        registry.register(Box::new(unseen_bodies.clone()))?;
        let reload_time =
            Gauge::new("reload_timestamp_seconds", "When configuration and policy were last read.")?;
        registry.register(Box::new(reload_time.clone()))?;
        let counted = Counted::new(&registry)?;
        let of_lists = |name: &str, help: &str| {
            let made = IntGaugeVec::new(Opts::new(name, help), &["file"])?;
            registry.register(Box::new(made.clone()))?;
            prometheus::Result::Ok(made)
        };
        let built = IntGaugeVec::new(Opts::new("build_info", "The version; always 1."), &["version"])?;
        built.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(built))?;
        Ok(Self {
            allowed: requests.with_label_values(&["allow", "", ""]),
            requests,
            duration,
            connections: gauge("connections", "Connections of clients.")?,
            accepted: counters(
                "connections_total",
                "Connections of clients by what became of them.",
                &["outcome"],
            )?,
            spoe_ends: counters(
                "spoe_disconnects_total",
                "Connections of HAProxy's that were ended here, by why.",
                &["why"],
            )?,
            upstream_errors: counters(
                "upstream_errors_total",
                "Requests that an upstream did not answer, or not in one way only.",
                &["upstream", "reason"],
            )?,
            masked: counters(
                "masked_total",
                "What was to be masked in answers, by kind; observed or masked, as the policy has it.",
                &["kind"],
            )?,
            response_findings: counters(
                "response_findings_total",
                "What is wrong with answers that were passed on all the same.",
                &["reason"],
            )?,
            unseen_bodies,
            upstream_up,
            buffered: gauge("buffered_bytes", "Bytes of bodies in memory.")?,
            audit_lost,
            counted,
            crl_issued: of_lists(
                "client_crl_issued_timestamp_seconds",
                "When a list of revoked certificates was issued.",
            )?,
            crl_next: of_lists(
                "client_crl_next_timestamp_seconds",
                "Until when a list of revoked certificates is to be followed by another.",
            )?,
            reload_good: gauge(
                "reload_successful",
                "Whether configuration and policy in force are the files'.",
            )?,
            reload_time,
            registry,
        })
    }

    /// The lists of revoked certificates that are in force. Of several in a file the times of the oldest, and of the one whose time is over first.
    pub(crate) fn revoked(&self, lists: &[Revoked]) {
        let gauges = [&self.crl_issued, &self.crl_next];
        gauges.into_iter().for_each(IntGaugeVec::reset);
        for list in lists {
            let of_file = lists.iter().filter(|other| other.file == list.file);
            let (issued, next) =
                (of_file.clone().map(|list| list.issued).min(), of_file.map(|list| list.next).min());
            for (gauge, time) in gauges.into_iter().zip([issued, next]) {
                let time = i64::try_from(time.unwrap_or_default()).unwrap_or(i64::MAX);
                gauge.with_label_values(&[&list.file]).set(time);
            }
        }
    }

    /// What rates, brakes and enumerations have counted by now, in place of what was known before.
    pub(crate) fn count<'h>(&self, health: impl Iterator<Item = (&'static str, &'h str, Health)>) {
        self.counted.set(health);
    }

    /// All of it as text.
    pub(crate) fn text(&self) -> prometheus::Result<Vec<u8>> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

/// Of rates, brakes and enumerations. What they count they count themselves; it is asked for when somebody looks.
#[derive(Debug)]
struct Counted {
    requests: IntCounterVec,
    forgotten: IntCounterVec,
    identities: IntGaugeVec,
    room: IntGaugeVec,
    memory: IntGaugeVec,
}

impl Counted {
    fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let made = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(made.clone()))?;
            prometheus::Result::Ok(made)
        };
        let gauges = |name: &str, help: &str| {
            let made = IntGaugeVec::new(Opts::new(name, help), &["kind", "rule"])?;
            registry.register(Box::new(made.clone()))?;
            prometheus::Result::Ok(made)
        };
        Ok(Self {
            requests: counters(
                "rate_requests_total",
                "Requests, attempts at logins, and objects asked for, by what a rate, brake or enumeration has said.",
                &["kind", "rule", "outcome"],
            )?,
            forgotten: counters(
                "rate_forgotten_total",
                "Identities that were forgotten for others before their time.",
                &["kind", "rule"],
            )?,
            identities: gauges("rate_identities", "Identities that something is known of.")?,
            room: gauges("rate_identities_room", "Identities that there is room for.")?,
            memory: gauges("rate_memory_bytes", "Bytes of tables, whatever is in them.")?,
        })
    }

    fn set<'h>(&self, health: impl Iterator<Item = (&'static str, &'h str, Health)>) {
        for of_rules in [&self.identities, &self.room, &self.memory] {
            of_rules.reset();
        }
        self.requests.reset();
        self.forgotten.reset();
        let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        for (kind, rule, health) in health {
            let labels = [kind, rule];
            self.requests.with_label_values(&[kind, rule, "admitted"]).inc_by(health.admitted);
            self.requests.with_label_values(&[kind, rule, "refused"]).inc_by(health.refused);
            self.forgotten.with_label_values(&labels).inc_by(health.forgotten);
            self.identities.with_label_values(&labels).set(gauge(health.occupied));
            self.room.with_label_values(&labels).set(gauge(health.room));
            self.memory.with_label_values(&labels).set(gauge(health.memory));
        }
    }
}
