//! What the agent itself uses, from /proc.
//!
//! Names and units are those of Prometheus' client libraries. The collector that comes with the prometheus crate is not used:
//! it counts whole seconds of processor time, and does not tell memory of the agent's own from maps that it has mapped.

use std::{
    fs, io,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus::proto::{MetricFamily, MetricType};
use rustix::{
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
};

use super::encode::{counter_metric, family_of, gauge_metric};

/// What /proc says of this process.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Process {
    /// User and system time, in seconds.
    cpu_seconds: f64,
    threads: u64,
    virtual_bytes: u64,
    /// Resident memory, mapped maps included.
    resident_bytes: u64,
    /// Resident memory that the agent has allocated itself.
    own_bytes: u64,
    open_fds: u64,
    /// `None`: no limit.
    max_fds: Option<u64>,
}

impl Process {
    fn read() -> io::Result<Self> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        let status = fs::read_to_string("/proc/self/status")?;
        let Self { cpu_seconds, threads, virtual_bytes, resident_bytes, own_bytes, .. } =
            parse(&stat, &status).ok_or_else(|| io::Error::other("/proc/self/stat is not understood"))?;
        // One of them is the directory that is being read.
        let open_fds = (fs::read_dir("/proc/self/fd")?.count() as u64).saturating_sub(1);
        let max_fds = getrlimit(Resource::Nofile).current;
        Ok(Self { cpu_seconds, threads, virtual_bytes, resident_bytes, own_bytes, open_fds, max_fds })
    }
}

/// What /proc/self/stat and /proc/self/status say (proc(5)); descriptors are not in them.
fn parse(stat: &str, status: &str) -> Option<Process> {
    // "id (name) state …": the name may hold anything, and the third field is the first one behind it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let own = status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.split_whitespace().next());
    Some(Process {
        cpu_seconds: (field(14)? + field(15)?) as f64 / clock_ticks_per_second() as f64,
        threads: field(20)?,
        virtual_bytes: field(23)?,
        resident_bytes: field(24)? * page_size() as u64,
        own_bytes: own?.parse::<u64>().ok()? * 1024,
        open_fds: 0,
        max_fds: None,
    })
}

/// The agent as a process that began at a time; nothing where /proc does not say.
pub(super) fn families(started: SystemTime) -> Vec<MetricFamily> {
    let process = match Process::read() {
        Ok(process) => process,
        Err(error) => {
            tracing::debug!("no metrics of the process: {error}");
            return Vec::new();
        }
    };
    let gauge =
        |name, help, value: f64| family_of(name, help, MetricType::GAUGE, vec![gauge_metric(&[], value)]);
    let mut families = vec![
        family_of(
            "process_cpu_seconds_total",
            "Processor time of the agent, user and system. What its program costs in the kernel is not in it.",
            MetricType::COUNTER,
            vec![counter_metric(&[], process.cpu_seconds)],
        ),
        gauge(
            "process_start_time_seconds",
            "When the agent started, since 1970.",
            started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
        ),
        gauge(
            "process_resident_memory_bytes",
            "Resident memory of the agent, with those maps of the kernel that it has mapped.",
            process.resident_bytes as f64,
        ),
        gauge(
            "stopbank_agent_memory_bytes",
            "Resident memory that the agent has allocated itself: without code and mapped maps.",
            process.own_bytes as f64,
        ),
        gauge("process_virtual_memory_bytes", "Address space of the agent.", process.virtual_bytes as f64),
        gauge("process_threads", "Threads of the agent.", process.threads as f64),
        gauge("process_open_fds", "File descriptors that the agent has open.", process.open_fds as f64),
    ];
    if let Some(most) = process.max_fds {
        families.push(gauge(
            "process_max_fds",
            "File descriptors that the agent may have open.",
            most as f64,
        ));
    }
    families
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_a_name_that_looks_like_fields() {
        let stat = "7 (a) S 1 (b) R 1 7 7 0 -1 4194560 9 9 9 9 250 150 0 0 20 0 5 0 1234 8192 3 18446744073709551615";
        let status = "Name:\ta\nVmRSS:\t 99 kB\nRssAnon:\t      12 kB\nRssFile:\t 87 kB\n";
        let process = parse(stat, status).unwrap();
        assert_eq!(process.cpu_seconds, 400.0 / clock_ticks_per_second() as f64);
        assert_eq!((process.threads, process.virtual_bytes), (5, 8192));
        assert_eq!((process.resident_bytes, process.own_bytes), (3 * page_size() as u64, 12 * 1024));
        assert_eq!(parse("7 (a) S 1", status), None);
        assert_eq!(parse(stat, "Name:\ta\n"), None);
    }

    #[test]
    fn this_process_is_found() {
        let process = Process::read().unwrap();
        assert!(process.threads >= 1 && process.open_fds >= 3, "{process:?}");
        assert!(process.own_bytes > 0 && process.own_bytes <= process.resident_bytes, "{process:?}");
    }
}
