//! What Prometheus is told. Labels come from closed sets: actions, checks, reasons, upstreams of the configuration.

use prometheus::{
    Encoder as _, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

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
    /// By outcome: `accepted`, `full`, `address-full`, `handshake-failed`.
    pub(crate) accepted: IntCounterVec,
    /// By upstream and reason.
    pub(crate) upstream_errors: IntCounterVec,
    /// What was found in answers, by kind: masked, or only counted.
    pub(crate) masked: IntCounterVec,
    /// What is wrong with answers that are passed on all the same, by reason.
    pub(crate) response_findings: IntCounterVec,
    /// By upstream and address.
    pub(crate) upstream_up: IntGaugeVec,
    pub(crate) buffered: IntGauge,
    pub(crate) audit_lost: IntCounter,
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
        let reload_time =
            Gauge::new("reload_timestamp_seconds", "When configuration and policy were last read.")?;
        registry.register(Box::new(reload_time.clone()))?;
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
            upstream_up,
            buffered: gauge("buffered_bytes", "Bytes of bodies in memory.")?,
            audit_lost,
            reload_good: gauge(
                "reload_successful",
                "Whether configuration and policy in force are the files'.",
            )?,
            reload_time,
            registry,
        })
    }

    /// All of it as text.
    pub(crate) fn text(&self) -> prometheus::Result<Vec<u8>> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}
