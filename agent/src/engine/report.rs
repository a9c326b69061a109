//! What the engine tells for the API.

use std::{
    net::IpAddr,
    time::{Duration, Instant, SystemTime},
};

use stopbank_common::{Reason, event::Event};

use super::{Engine, Protected, State};
use crate::{
    config::{self, Config},
    control::{
        Refused,
        api::{
            ConfigurationStatus, DropsBy, DropsReport, DropsRow, EventsReport, InterfaceStatus, ListSizes,
            PolicyStatus, SampledDrop, Status, TopReport, TopSource, Verdict,
        },
    },
    datapath::monotonic_ns,
    lists::{ListName, printable},
    rates::Key,
    top::HALF_LIFE,
};

impl Engine {
    /// What is wrong with protection: nothing is protected, an interface is there and not protected, or is not there and must
    /// be. Empty: all is well.
    pub fn troubles(&self) -> Vec<String> {
        let state = self.lock();
        let mut troubles: Vec<String> = state.interfaces.iter().filter_map(Protected::trouble).collect();
        if !state.interfaces.iter().any(Protected::is_attached) {
            troubles.insert(0, "no interface is protected".to_owned());
        }
        troubles
    }

    pub(super) fn report_status(&self) -> Result<Status, Refused> {
        let state = self.lock();
        let traffic = state.rates.traffic(Instant::now(), &state.snapshot()?);
        let interfaces = state.interfaces.iter().map(|interface| InterfaceStatus {
            name: interface.name.clone(),
            index: interface.index,
            attach: interface.attach,
            configured: interface.configured,
            taken_over: interface.taken_over,
            required: interface.required,
            state: interface.standing,
            error: interface.error.clone(),
        });
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: time(self.started.1),
            uptime_seconds: self.started.0.elapsed().as_secs_f64(),
            mode: state.mode,
            configured_mode: state.config.mode,
            interfaces: interfaces.collect(),
            traffic,
            lists: ListSizes {
                allow: state.lists.count(ListName::Allow),
                deny: state.lists.count(ListName::Deny),
                ban: state.lists.count(ListName::Ban),
            },
            state: self.state_status(),
            files: state.files_summary(),
            flows: state.datapath.flow_usage()?,
            proven: state.proofs.count(),
            syn_cookies: state.cookie_status()?,
            policy: PolicyStatus {
                classes: state.config.all_classes().map(|class| class.name.clone()).collect(),
                ipv4_prefix: state.config.source.ipv4_prefix,
                ipv6_prefix: state.config.source.ipv6_prefix,
                lines: state.config.source.lines,
            },
            events: self.events.status(state.datapath.events_lost()?),
            configuration: ConfigurationStatus {
                file: printable(&self.origin.file.display().to_string(), 4096),
                loaded: time(state.loaded),
                reload_error: state.reload_error.clone(),
                pending: state.pending(),
                rejected_on_disk: state.history.rejected.is_some(),
            },
            metrics: self.metrics.map(|address| address.to_string()),
        })
    }

    pub(super) fn report_drops(&self, by: DropsBy) -> Result<DropsReport, Refused> {
        let state = self.lock();
        let (now, snapshot) = (Instant::now(), state.snapshot()?);
        let (interfaces, classes) = match by {
            DropsBy::Reason => (false, false),
            DropsBy::Class => (false, true),
            DropsBy::Interface => (true, false),
            DropsBy::All => (true, true),
        };
        let group = |key: Key| {
            (interfaces.then_some(key.slot), classes.then_some(key.class), key.verdict, key.reason)
        };
        let flows = state.rates.flows(now, &snapshot, group);
        let rows = flows.into_iter().filter_map(|((slot, class, verdict, reason), flow)| {
            let reason = Reason::from_number(reason)?;
            Some(DropsRow {
                interface: slot.map(|slot| state.slot_name(slot).to_owned()),
                class: class.map(|class| state.numbers.name(class).to_owned()),
                reason: reason.name().to_owned(),
                verdict,
                description: reason.description().trim().to_owned(),
                flow,
            })
        });
        Ok(DropsReport {
            mode: state.mode,
            traffic: state.rates.traffic(now, &snapshot),
            rows: rows.collect(),
        })
    }

    pub(super) fn report_top(&self, limit: usize) -> Result<TopReport, Refused> {
        let sources = self.events.sources(limit);
        let state = self.lock();
        let traffic = state.rates.traffic(Instant::now(), &state.snapshot()?);
        let dropping = traffic.dropped.packets_per_second + traffic.observed.packets_per_second;
        let now = monotonic_ns();
        let sources = sources.into_iter().map(|(source, share, event)| TopSource {
            source,
            share,
            packets_per_second: share * dropping,
            reason: reason_name(event.reason),
            class: state.numbers.name(event.class).to_owned(),
            interface: state.interface_name(event.interface).to_owned(),
            last_seen_seconds: Duration::from_nanos(now.saturating_sub(event.time_ns)).as_secs_f64(),
        });
        Ok(TopReport { traffic, half_life_seconds: HALF_LIFE.as_secs_f64(), sources: sources.collect() })
    }

    pub(super) fn report_events(&self, limit: usize) -> EventsReport {
        EventsReport { events: self.describe_events(&self.events.latest(limit)) }
    }

    pub(super) fn describe_events(&self, events: &[Event]) -> Vec<SampledDrop> {
        let state = self.lock();
        let (clock, now) = (SystemTime::now(), monotonic_ns());
        events.iter().map(|event| state.sampled(event, clock, now)).collect()
    }
}

impl State {
    pub(super) fn sampled(&self, event: &Event, clock: SystemTime, now_ns: u64) -> SampledDrop {
        let age = Duration::from_nanos(now_ns.saturating_sub(event.time_ns));
        SampledDrop {
            time: time(clock - age),
            interface: self.interface_name(event.interface).to_owned(),
            source: IpAddr::from(event.source),
            source_port: event.source_port,
            destination: IpAddr::from(event.destination),
            destination_port: event.destination_port,
            protocol: event.protocol,
            length: event.length,
            class: self.numbers.name(event.class).to_owned(),
            reason: reason_name(event.reason),
            verdict: if event.dropped == 1 { Verdict::Drop } else { Verdict::Observed },
        }
    }
}

fn reason_name(number: u8) -> String {
    Reason::from_number(number).map_or_else(|| format!("reason {number}"), |reason| reason.name().to_owned())
}

/// RFC 3339, UTC, to the second.
pub(super) fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// The configuration in force as text.
pub(super) fn effective(config: &Config) -> String {
    config::render(config)
}
