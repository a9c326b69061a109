//! Prometheus metrics, read from the kernel's maps when they are asked for, and the health check.
//!
//! Labels come from closed sets: interfaces, classes, signatures and lists of the configuration, reasons, verdicts. An
//! address is never one.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus::{
    Encoder as _, TextEncoder,
    proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType},
};
use stopbank_common::{Reason, gcra::Line};
use tokio::net::TcpListener;

use crate::{
    config::Mode,
    control::api::Verdict,
    datapath::FlowUsage,
    engine::{Engine, Measured, MeasuredFile},
    listener::Bounded,
};

/// Connections at once.
const CONNECTIONS: usize = 32;

/// Serves `/metrics` and `/healthz` until `stop` is ready.
///
/// # Errors
///
/// What the system says of the listener.
pub async fn serve(
    listener: TcpListener,
    engine: Arc<Engine>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router =
        Router::new().route("/metrics", get(metrics)).route("/healthz", get(health)).with_state(engine);
    axum::serve(Bounded::new(listener, CONNECTIONS), router).with_graceful_shutdown(stop).await
}

async fn metrics(State(engine): State<Arc<Engine>>) -> Response {
    let measured = match tokio::task::spawn_blocking(move || engine.measure()).await {
        Ok(Ok(measured)) => measured,
        Ok(Err(refused)) => return (StatusCode::INTERNAL_SERVER_ERROR, refused.body.error).into_response(),
        Err(error) => return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    };
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    // A family without a row, such as that of list files where there are none, is an error to the encoder.
    let mut families = families(&measured);
    families.retain(|family| !family.get_metric().is_empty());
    match encoder.encode(&families, &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn health(State(engine): State<Arc<Engine>>) -> Response {
    match tokio::task::spawn_blocking(move || engine.healthy()).await {
        Ok(true) => "ok\n".into_response(),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "no interface is protected\n").into_response(),
    }
}

/// Every metric.
fn families(measured: &Measured) -> Vec<MetricFamily> {
    let (packets, bytes) = traffic(measured);
    let (matched_packets, matched_bytes) = signatures(measured);
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let labelled = |pairs: &[(&str, &str)], value: f64| gauge_metric(pairs, value);
    let cookies = &measured.syn_cookies;
    let files = |name, help, value: &dyn Fn(&MeasuredFile) -> f64| {
        let rows = measured.files.iter().map(|file| labelled(&[("list", &file.name)], value(file)));
        family(name, help, MetricType::GAUGE, rows.collect())
    };
    vec![
        family(
            "packets_total",
            "Packets by interface, class, reason and verdict.",
            MetricType::COUNTER,
            packets,
        ),
        family("bytes_total", "Bytes of those packets' frames.", MetricType::COUNTER, bytes),
        family(
            "signature_packets_total",
            "Packets that each signature has matched, by what became of them.",
            MetricType::COUNTER,
            matched_packets,
        ),
        family(
            "signature_bytes_total",
            "Bytes of those packets' frames.",
            MetricType::COUNTER,
            matched_bytes,
        ),
        counter(
            "events_received_total",
            "Sampled drops read since the agent started.",
            measured.events_received,
        ),
        counter(
            "events_lost_total",
            "Sampled drops lost because the ring buffer was full.",
            measured.events_lost,
        ),
        family(
            "list_entries",
            "Entries by list.",
            MetricType::GAUGE,
            measured.lists.iter().map(|(list, count)| labelled(&[("list", list)], *count as f64)).collect(),
        ),
        files("list_file_entries", "Prefixes in force by list file.", &|file| file.prefixes as f64),
        files(
            "list_file_last_read_successful",
            "1 if the list file as it is now could be read; if not, what it said before is in force.",
            &|file| f64::from(u8::from(file.good)),
        ),
        files(
            "list_file_last_read_success_timestamp_seconds",
            "When what is in force of a list file was read; 0 for never.",
            &|file| file.read.map_or(0.0, seconds),
        ),
        files(
            "list_file_copy_in_use",
            "1 if the list file was bad when the agent started, and what an earlier agent has kept of it is in force.",
            &|file| f64::from(u8::from(file.from_copy)),
        ),
        files(
            "list_file_copy_kept",
            "1 if a copy of what is in force of the list file is kept for a start with a bad one.",
            &|file| f64::from(u8::from(file.kept)),
        ),
        family(
            "syn_cookies_active",
            "1 while SYNs of the class are answered with cookies; for classes that are to send them.",
            MetricType::GAUGE,
            cookies
                .configured
                .iter()
                .map(|class| {
                    labelled(&[("class", class)], f64::from(u8::from(cookies.active.contains(class))))
                })
                .collect(),
        ),
        family(
            "mode",
            "1 for the mode in force.",
            MetricType::GAUGE,
            [Mode::Observe, Mode::Enforce]
                .iter()
                .map(|&mode| labelled(&[("mode", mode.name())], f64::from(u8::from(mode == measured.mode))))
                .collect(),
        ),
        family(
            "interface_attached",
            "1 for every protected interface, with how the program is attached.",
            MetricType::GAUGE,
            measured
                .interfaces
                .iter()
                .map(|(name, mode)| labelled(&[("interface", name), ("mode", mode)], 1.0))
                .collect(),
        ),
        gauge("proven_sources", "Sources that are proven now.", measured.proven as f64),
        gauge(
            "proven_sources_capacity",
            "Sources that can be proven at a time.",
            f64::from(stopbank_common::policy::MAX_PROVEN),
        ),
        gauge(
            "source_state_bytes",
            "Memory for the rates of all sources, fixed at load.",
            (u64::from(crate::config::source_lines(measured.source_lines)) * size_of::<Line>() as u64) as f64,
        ),
        flow_gauge(measured, "flow_table_capacity", "Flows that a gateway's table has room for.", |flows| {
            flows.capacity as f64
        }),
        flow_gauge(
            measured,
            "flow_table_flows",
            "Flows in a gateway's table, estimated from a sample.",
            |flows| flows.flows as f64,
        ),
        flow_gauge(
            measured,
            "flow_table_full_ratio",
            "Part of that table, 0 to 1, that has no room: what belongs to no flow passes there.",
            |flows| flows.full_per_mille as f64 / 1000.0,
        ),
        gauge(
            "config_last_reload_successful",
            "1 if the last attempt to read the configuration succeeded.",
            f64::from(u8::from(measured.reload_succeeded)),
        ),
        gauge(
            "config_last_reload_success_timestamp_seconds",
            "When the configuration in force was read.",
            seconds(measured.loaded),
        ),
        family(
            "build_info",
            "1, with the version as a label.",
            MetricType::GAUGE,
            vec![labelled(&[("version", env!("CARGO_PKG_VERSION"))], 1.0)],
        ),
    ]
}

/// Packets and bytes. Series that never counted anything are left out, but for what a dashboard sums up and a rate must
/// find from its first moment: `passed` and the reasons of the default class.
fn traffic(measured: &Measured) -> (Vec<Metric>, Vec<Metric>) {
    let mut series: std::collections::BTreeMap<_, (u64, u64)> = std::collections::BTreeMap::new();
    for interface in measured.slots.iter().filter(|(slot, _)| **slot != 0).map(|(_, name)| name) {
        for class in measured.classes.values().filter(|class| class.as_str() != "none") {
            series
                .entry((interface.as_str(), class.as_str(), Reason::Passed.name(), Verdict::Pass))
                .or_default();
        }
        for reason in [Reason::SourcePackets, Reason::Banned, Reason::Denied] {
            let class = if reason == Reason::SourcePackets { "default" } else { "none" };
            series.entry((interface.as_str(), class, reason.name(), Verdict::Drop)).or_default();
        }
    }
    for (key, tally) in measured.snapshot.iter() {
        let Some(reason) = Reason::from_number(key.reason) else { continue };
        let interface = measured.slots.get(&key.slot).map_or("other", String::as_str);
        let class = measured.classes.get(&key.class).map_or("gone", String::as_str);
        let sum = series.entry((interface, class, reason.name(), key.verdict)).or_default();
        sum.0 += tally.packets;
        sum.1 += tally.bytes;
    }
    series
        .into_iter()
        .map(|((interface, class, reason, verdict), (packets, bytes))| {
            let labels =
                [("interface", interface), ("class", class), ("reason", reason), ("verdict", verdict.name())];
            (counter_metric(&labels, packets), counter_metric(&labels, bytes))
        })
        .unzip()
}

/// Packets and bytes of each signature of the configuration, dropped and observed.
fn signatures(measured: &Measured) -> (Vec<Metric>, Vec<Metric>) {
    let both = measured.signatures.iter().flat_map(|signature| {
        [(Verdict::Drop, signature.dropped), (Verdict::Observed, signature.observed)]
            .map(|(verdict, matched)| (signature.name.as_str(), verdict, matched))
    });
    both.map(|(name, verdict, matched)| {
        let labels = [("signature", name), ("verdict", verdict.name())];
        (counter_metric(&labels, matched.packets), counter_metric(&labels, matched.bytes))
    })
    .unzip()
}

fn counter(name: &str, help: &str, value: u64) -> MetricFamily {
    family(name, help, MetricType::COUNTER, vec![counter_metric(&[], value)])
}

fn gauge(name: &str, help: &str, value: f64) -> MetricFamily {
    family(name, help, MetricType::GAUGE, vec![gauge_metric(&[], value)])
}

/// One for gateways only.
fn flow_gauge(
    measured: &Measured,
    name: &str,
    help: &str,
    value: impl Fn(&FlowUsage) -> f64,
) -> MetricFamily {
    let metrics = measured.flows.iter().map(|flows| gauge_metric(&[], value(flows))).collect();
    family(name, help, MetricType::GAUGE, metrics)
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(format!("stopbank_{name}"));
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn counter_metric(labels: &[(&str, &str)], value: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value as f64);
    let mut metric = labels_of(labels);
    metric.set_counter(counter);
    metric
}

fn gauge_metric(labels: &[(&str, &str)], value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = labels_of(labels);
    metric.set_gauge(gauge);
    metric
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::api::{CookieStatus, Matched, SignatureStatus};
    use crate::rates::Snapshot;
    use stopbank_common::counters::{Counters, Tally};

    #[test]
    fn the_text_is_what_prometheus_expects() {
        let mut counters = Counters::default();
        counters.judged[Reason::Banned as usize] = Tally { packets: 3, bytes: 300 };
        counters.observed[Reason::Land as usize] = Tally { packets: 1, bytes: 64 };
        let mut snapshot = Snapshot::default();
        snapshot.add(1, 0, &counters);
        let measured = Measured {
            snapshot,
            slots: [(0, "other".to_owned()), (1, "eth0".to_owned())].into(),
            classes: [(0, "none".to_owned()), (1, "default".to_owned())].into(),
            interfaces: vec![("eth0".to_owned(), "native")],
            mode: Mode::Enforce,
            lists: vec![("allow", 1), ("deny", 0), ("ban", 2)],
            files: vec![MeasuredFile {
                name: "drop".to_owned(),
                prefixes: 7,
                read: Some(UNIX_EPOCH + std::time::Duration::from_secs(9)),
                good: false,
                from_copy: true,
                kept: true,
            }],
            events_received: 5,
            events_lost: 0,
            loaded: UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000),
            reload_succeeded: true,
            source_lines: 1 << 18,
            syn_cookies: CookieStatus {
                configured: vec!["web".to_owned(), "ssh".to_owned()],
                active: vec!["web".to_owned()],
                obstacle: None,
            },
            proven: 3,
            signatures: vec![SignatureStatus {
                name: "monlist".to_owned(),
                observe: false,
                classes: Vec::new(),
                dropped: Matched { packets: 4, bytes: 400 },
                observed: Matched { packets: 1, bytes: 60 },
            }],
            flows: Some(FlowUsage { capacity: 524_288, flows: 1_000, full_per_mille: 2 }),
        };
        let mut text = Vec::new();
        TextEncoder::new().encode(&families(&measured), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        for line in [
            "stopbank_packets_total{interface=\"eth0\",class=\"none\",reason=\"ban\",verdict=\"drop\"} 3",
            "stopbank_bytes_total{interface=\"eth0\",class=\"none\",reason=\"ban\",verdict=\"drop\"} 300",
            "stopbank_packets_total{interface=\"eth0\",class=\"none\",reason=\"land\",verdict=\"observed\"} 1",
            "stopbank_packets_total{interface=\"eth0\",class=\"default\",reason=\"passed\",verdict=\"pass\"} 0",
            "stopbank_signature_packets_total{signature=\"monlist\",verdict=\"drop\"} 4",
            "stopbank_signature_bytes_total{signature=\"monlist\",verdict=\"observed\"} 60",
            "stopbank_list_entries{list=\"ban\"} 2",
            "stopbank_syn_cookies_active{class=\"web\"} 1",
            "stopbank_syn_cookies_active{class=\"ssh\"} 0",
            "stopbank_list_file_entries{list=\"drop\"} 7",
            "stopbank_list_file_last_read_successful{list=\"drop\"} 0",
            "stopbank_list_file_last_read_success_timestamp_seconds{list=\"drop\"} 9",
            "stopbank_list_file_copy_in_use{list=\"drop\"} 1",
            "stopbank_list_file_copy_kept{list=\"drop\"} 1",
            "stopbank_mode{mode=\"enforce\"} 1",
            "stopbank_mode{mode=\"observe\"} 0",
            "stopbank_interface_attached{interface=\"eth0\",mode=\"native\"} 1",
            "stopbank_events_lost_total 0",
            "stopbank_source_state_bytes 20971520",
            "stopbank_config_last_reload_success_timestamp_seconds 1700000000",
            "stopbank_flow_table_capacity 524288",
            "stopbank_flow_table_flows 1000",
            "stopbank_proven_sources 3",
            "stopbank_proven_sources_capacity 65536",
            "stopbank_flow_table_full_ratio 0.002",
            "# TYPE stopbank_packets_total counter",
        ] {
            assert!(text.lines().any(|candidate| candidate == line), "{line}\n---\n{text}");
        }
        assert!(!text.contains("source-bytes"), "series that are zero are left out");
    }
}
