use std::time::{Duration, UNIX_EPOCH};

use stopbank_common::{
    Reason,
    counters::{Counters, Tally},
    gcra::Dimension,
};

use super::*;
use crate::{
    config::Mode,
    control::api::{ClassLimits, CookieStatus, LimitRow, Matched, SignatureStatus, StateStatus},
    datapath::{FlowUsage, MapUse},
    engine::{Measured, MeasuredFile, MeasuredInterface},
    rates::Snapshot,
};

fn measured() -> Measured {
    let mut counters = Counters::default();
    counters.judged[Reason::Banned as usize] = Tally { packets: 3, bytes: 300 };
    counters.observed[Reason::Land as usize] = Tally { packets: 1, bytes: 64 };
    let mut snapshot = Snapshot::default();
    snapshot.add(1, 0, &counters);
    let interface = |name: &str, mode, attached| MeasuredInterface { name: name.to_owned(), mode, attached };
    let limit = |scope: &str, counts: &str, per_second| LimitRow {
        scope: scope.to_owned(),
        ipv4_prefix: None,
        ipv6_prefix: None,
        counts: counts.to_owned(),
        rate: String::new(),
        per_second,
        burst: 1,
        proven_percent: None,
    };
    Measured {
        snapshot,
        slots: [(0, "other".to_owned()), (1, "eth0".to_owned())].into(),
        classes: [(0, "none".to_owned()), (1, "default".to_owned())].into(),
        interfaces: vec![interface("eth0", "native", true), interface("eth1", "generic", false)],
        mode: Mode::Enforce,
        lists: vec![("allow", 1), ("deny", 0), ("ban", 2)],
        files: vec![MeasuredFile {
            name: "drop".to_owned(),
            prefixes: 7,
            read: Some(UNIX_EPOCH + Duration::from_secs(9)),
            good: false,
            from_copy: true,
            kept: true,
        }],
        limits: vec![ClassLimits {
            name: "web".to_owned(),
            claims: String::new(),
            closed: false,
            limits: vec![limit("per_source", "packets", 0.2), limit("total", "connections", 5000.0)],
            configured: None,
        }],
        events_received: 5,
        events_lost: 0,
        events_capacity: 262_144,
        started: UNIX_EPOCH + Duration::from_secs(1_600_000_000),
        loaded: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        reload_succeeded: true,
        pending_seconds: Some(7.5),
        rollbacks: 2,
        syn_cookies: CookieStatus {
            configured: vec!["web".to_owned(), "ssh".to_owned()],
            active: vec!["web".to_owned()],
            obstacle: None,
        },
        maps: vec![MapUse { map: "proven", entries: 3, capacity: 65_536 }],
        map_memory: vec![("sources", 1 << 20)],
        busy_cells: [(Dimension::Packets, 0.25), (Dimension::Bytes, 0.0), (Dimension::Connections, 0.0)],
        signatures: vec![SignatureStatus {
            name: "monlist".to_owned(),
            observe: false,
            classes: Vec::new(),
            dropped: Matched { packets: 4, bytes: 400 },
            observed: Matched { packets: 1, bytes: 60 },
        }],
        flows: Some(FlowUsage { capacity: 524_288, flows: 1_000, full_per_mille: 2 }),
        state: StateStatus { pending: 2, damaged: vec!["a file".to_owned()], ..StateStatus::default() },
    }
}

#[test]
fn the_text_is_what_prometheus_expects() {
    let text = String::from_utf8(encode(families::of(&measured())).unwrap()).unwrap();
    for line in [
        "stopbank_packets_total{interface=\"eth0\",class=\"none\",reason=\"ban\",verdict=\"drop\"} 3",
        "stopbank_bytes_total{interface=\"eth0\",class=\"none\",reason=\"ban\",verdict=\"drop\"} 300",
        "stopbank_packets_total{interface=\"eth0\",class=\"none\",reason=\"land\",verdict=\"observed\"} 1",
        "stopbank_packets_total{interface=\"eth0\",class=\"default\",reason=\"passed\",verdict=\"pass\"} 0",
        "stopbank_signature_packets_total{signature=\"monlist\",verdict=\"drop\"} 4",
        "stopbank_signature_bytes_total{signature=\"monlist\",verdict=\"observed\"} 60",
        "stopbank_list_entries{list=\"ban\"} 2",
        "stopbank_state_last_write_successful 1",
        "stopbank_state_pending_changes 2",
        "stopbank_state_damaged_files 1",
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
        "stopbank_interface_attached{interface=\"eth1\",mode=\"generic\"} 0",
        "stopbank_limit_packets_per_second{class=\"web\",scope=\"per_source\"} 0.2",
        "stopbank_limit_connections_per_second{class=\"web\",scope=\"total\"} 5000",
        "stopbank_events_lost_total 0",
        "stopbank_events_buffer_bytes 262144",
        "stopbank_config_last_reload_success_timestamp_seconds 1700000000",
        "stopbank_config_pending_seconds 7.5",
        "stopbank_config_rollbacks_total 2",
        "stopbank_map_entries{map=\"proven\"} 3",
        "stopbank_map_capacity{map=\"proven\"} 65536",
        "stopbank_map_memory_bytes{map=\"sources\"} 1048576",
        "stopbank_source_table_busy_ratio{counts=\"packets\"} 0.25",
        "stopbank_flow_table_full_ratio 0.002",
        "# TYPE stopbank_packets_total counter",
    ] {
        assert!(text.lines().any(|candidate| candidate == line), "{line}\n---\n{text}");
    }
    assert!(!text.contains("source-bytes"), "series that are zero are left out");
}

#[test]
fn families_without_a_row_are_left_out() {
    let bare = Measured { files: Vec::new(), signatures: Vec::new(), flows: None, ..measured() };
    let text = String::from_utf8(encode(families::of(&bare)).unwrap()).unwrap();
    assert!(!text.contains("list_file") && !text.contains("flow_table"), "{text}");
}
