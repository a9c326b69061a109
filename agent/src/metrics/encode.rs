//! Families of metrics from values that are at hand.

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

/// One counter without labels.
pub(super) fn counter(name: &str, help: &str, value: u64) -> MetricFamily {
    family(name, help, MetricType::COUNTER, vec![counter_metric(&[], value as f64)])
}

/// One gauge without labels.
pub(super) fn gauge(name: &str, help: &str, value: f64) -> MetricFamily {
    family(name, help, MetricType::GAUGE, vec![gauge_metric(&[], value)])
}

/// Gauges.
pub(super) fn gauges(name: &str, help: &str, metrics: impl IntoIterator<Item = Metric>) -> MetricFamily {
    family(name, help, MetricType::GAUGE, metrics.into_iter().collect())
}

/// A family of stopbank's own: its name begins with `stopbank_`.
pub(super) fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    family_of(&format!("stopbank_{name}"), help, kind, metrics)
}

/// A family of any name.
pub(super) fn family_of(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

/// A counter with labels.
pub(super) fn counter_metric(labels: &[(&str, &str)], value: f64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value);
    let mut metric = labels_of(labels);
    metric.set_counter(counter);
    metric
}

/// A gauge with labels.
pub(super) fn gauge_metric(labels: &[(&str, &str)], value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = labels_of(labels);
    metric.set_gauge(gauge);
    metric
}

/// A gauge with labels that says yes or no.
pub(super) fn flag(labels: &[(&str, &str)], yes: bool) -> Metric {
    gauge_metric(labels, f64::from(u8::from(yes)))
}

fn labels_of(labels: &[(&str, &str)]) -> Metric {
    let pairs = labels.iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    });
    let mut metric = Metric::default();
    metric.set_label(pairs.collect());
    metric
}
