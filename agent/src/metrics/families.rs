//! Every metric of stopbank's own, from what was measured.

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus::proto::{Metric, MetricFamily, MetricType};
use stopbank_common::{ABI_VERSION, Reason};

use super::encode::{counter, counter_metric, family, flag, gauge, gauge_metric, gauges};
use crate::{
    config::{Mode, dimension_name},
    control::api::Verdict,
    engine::{Measured, MeasuredFile},
};

/// All of them.
pub(super) fn of(measured: &Measured) -> Vec<MetricFamily> {
    let mut all = packets(measured);
    all.extend(protection(measured));
    all.extend(lists(measured));
    all.extend(limits(measured));
    all.extend(maps(measured));
    all.extend(agent(measured));
    all
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn packets(measured: &Measured) -> Vec<MetricFamily> {
    let (packets, bytes) = traffic(measured);
    let (matched_packets, matched_bytes) = signatures(measured);
    let counters = |name, help, rows| family(name, help, MetricType::COUNTER, rows);
    vec![
        counters("packets_total", "Packets by interface, class, reason and verdict.", packets),
        counters("bytes_total", "Bytes of those packets' frames.", bytes),
        counters(
            "signature_packets_total",
            "Packets that each signature has matched, by what became of them.",
            matched_packets,
        ),
        counters("signature_bytes_total", "Bytes of those packets' frames.", matched_bytes),
    ]
}

fn protection(measured: &Measured) -> Vec<MetricFamily> {
    let modes =
        [Mode::Observe, Mode::Enforce].map(|mode| flag(&[("mode", mode.name())], mode == measured.mode));
    let attached = measured
        .interfaces
        .iter()
        .map(|one| flag(&[("interface", &one.name), ("mode", one.mode)], one.attached));
    let cookies = &measured.syn_cookies;
    let active =
        cookies.configured.iter().map(|class| flag(&[("class", class)], cookies.active.contains(class)));
    vec![
        gauges("mode", "1 for the mode in force.", modes),
        gauges(
            "interface_attached",
            "1 if the program is attached to the interface, as the kernel says; 0 if it should be and is not.",
            attached,
        ),
        gauges(
            "syn_cookies_active",
            "1 while SYNs of the class are answered with cookies; for classes that are to send them.",
            active,
        ),
    ]
}

fn lists(measured: &Measured) -> Vec<MetricFamily> {
    let files = |name, help, value: &dyn Fn(&MeasuredFile) -> f64| {
        gauges(
            name,
            help,
            measured.files.iter().map(|file| gauge_metric(&[("list", &file.name)], value(file))),
        )
    };
    let yes = |yes: bool| f64::from(u8::from(yes));
    vec![
        gauges(
            "list_entries",
            "Entries by list.",
            measured.lists.iter().map(|(list, count)| gauge_metric(&[("list", list)], *count as f64)),
        ),
        gauge(
            "state_last_write_successful",
            "1 if bans and allow entries are kept for a reboot; 0: nothing can be written below state_dir.",
            yes(measured.state.error.is_none()),
        ),
        gauge(
            "state_pending_changes",
            "Changes to bans and allow entries that are not on the disk yet.",
            measured.state.pending as f64,
        ),
        gauge(
            "state_damaged_files",
            "Files of bans and allow entries that were found damaged when the agent started, and set aside.",
            measured.state.damaged.len() as f64,
        ),
        files("list_file_entries", "Prefixes in force by list file.", &|file| file.prefixes as f64),
        files(
            "list_file_last_read_successful",
            "1 if the list file as it is now could be read; if not, what it said before is in force.",
            &|file| yes(file.good),
        ),
        files(
            "list_file_last_read_success_timestamp_seconds",
            "When what is in force of a list file was read; 0 for never.",
            &|file| file.read.map_or(0.0, seconds),
        ),
        files(
            "list_file_copy_in_use",
            "1 if the list file was bad when the agent started, and what an earlier agent has kept of it is in force.",
            &|file| yes(file.from_copy),
        ),
        files(
            "list_file_copy_kept",
            "1 if a copy of what is in force of the list file is kept for a start with a bad one.",
            &|file| yes(file.kept),
        ),
    ]
}

/// What the classes allow, for lines beside the rates in a graph.
fn limits(measured: &Measured) -> Vec<MetricFamily> {
    let of = |counts: &'static str, help: &str| {
        let rows = measured.limits.iter().flat_map(|class| {
            let limits =
                class.limits.iter().filter(|limit| limit.counts == counts && limit.scope != "per_prefix");
            limits.map(|limit| {
                gauge_metric(&[("class", &class.name), ("scope", &limit.scope)], limit.per_second)
            })
        });
        gauges(&format!("limit_{counts}_per_second"), help, rows)
    };
    vec![
        of("packets", "Packets a second that a class allows each source, or all together (total)."),
        of("bytes", "Bytes a second that a class allows each source, or all together (total)."),
        of(
            "connections",
            "New TCP connections a second that a class allows each source, or all together (total).",
        ),
    ]
}

fn maps(measured: &Measured) -> Vec<MetricFamily> {
    let of_maps = |value: fn(&crate::datapath::MapUse) -> u64| {
        measured.maps.iter().map(move |one| gauge_metric(&[("map", one.map)], value(one) as f64))
    };
    let memory = measured.map_memory.iter().map(|(map, bytes)| gauge_metric(&[("map", map)], *bytes as f64));
    let busy = measured
        .busy_cells
        .iter()
        .map(|(dimension, part)| gauge_metric(&[("counts", dimension_name(*dimension))], *part));
    let full = measured.flows.iter().map(|flows| gauge_metric(&[], flows.full_per_mille as f64 / 1000.0));
    vec![
        gauges(
            "map_entries",
            "Entries of maps that can fill up; flows are estimated from a sample.",
            of_maps(|one| one.entries),
        ),
        gauges("map_capacity", "Entries that those maps have room for.", of_maps(|one| one.capacity)),
        gauges("map_memory_bytes", "Kernel memory by map, as the kernel accounts it.", memory),
        gauges(
            "source_table_busy_ratio",
            "Part of the table of sources that is in use, 0 to 1, by what is counted; estimated from a sample.",
            busy,
        ),
        gauges(
            "flow_table_full_ratio",
            "Part of a gateway's table of flows, 0 to 1, that has no room: what belongs to no flow passes there.",
            full,
        ),
    ]
}

fn agent(measured: &Measured) -> Vec<MetricFamily> {
    let abi = ABI_VERSION.to_string();
    vec![
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
        gauge("events_buffer_bytes", "Size of that ring buffer.", measured.events_capacity as f64),
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
        gauge(
            "config_pending_seconds",
            "Time until the configuration in force is taken back unless it is confirmed; 0 if none is on trial.",
            measured.pending_seconds.unwrap_or(0.0),
        ),
        counter(
            "config_rollbacks_total",
            "Configurations taken back since the agent started.",
            measured.rollbacks,
        ),
        gauges(
            "build_info",
            "1, with the agent's version, and that of the layout of its maps (abi).",
            [gauge_metric(&[("version", env!("CARGO_PKG_VERSION")), ("abi", &abi)], 1.0)],
        ),
    ]
}

/// Packets and bytes. Series that never counted anything are left out, but for what a dashboard sums up and a rate must
/// find from its first moment: `passed` and the reasons of the default class.
fn traffic(measured: &Measured) -> (Vec<Metric>, Vec<Metric>) {
    let mut series: BTreeMap<_, (u64, u64)> = BTreeMap::new();
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
            (counter_metric(&labels, packets as f64), counter_metric(&labels, bytes as f64))
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
        (counter_metric(&labels, matched.packets as f64), counter_metric(&labels, matched.bytes as f64))
    })
    .unzip()
}
