//! `stopbank status`.

mod check;

use std::fmt::Write as _;

use clap::Args;
use stopbank_common::gcra::Line;

use super::output::{Output, bits, bytes, short, span};
use crate::{
    control::{
        api::{self, Flow},
        client::Client,
        interfaces::Standing,
        problems::problems,
    },
    failure::Failure,
    lists::printable,
};

/// What is protected and how, what happens to packets, and what is not as it should be
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stopbank status                    for people
  stopbank status --check            for monitoring: each problem on a line, and an exit code
  stopbank status --check -o json    {state, problems: [{level, about, found, fix}]}
  stopbank status --nagios           one line and the exit codes of monitoring plugins

--check: a line with `fail` is what is not as the configuration has it, one with `warn` what wants looking at.
Exit codes of --check: 0 protected as configured, with warnings or without; 1 not; 4 no agent answers (what it protected
stays protected). Of --nagios: 0 OK, 1 WARNING, 2 CRITICAL (no agent, too), 3 UNKNOWN.")]
pub(super) struct Status {
    /// Only what is not as it should be, with an exit code
    #[arg(long)]
    check: bool,
    /// The same in one line, with the exit codes of Nagios' plugins
    #[arg(long, conflicts_with = "output")]
    nagios: bool,
}

impl Status {
    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        if self.nagios {
            return check::nagios(client).await;
        }
        let status: api::Status = client.get("/v1/status").await?;
        if self.check { check::check(&status, output) } else { output.print(&status, table) }
    }
}

fn table(status: &api::Status) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<14}{value}");
    };
    line(
        "stopbank",
        format!("{}, process {}, up {}", status.version, status.pid, span(status.uptime_seconds)),
    );
    let configured = if status.mode == status.configured_mode {
        String::new()
    } else {
        format!(" (the configuration says {})", status.configured_mode.name())
    };
    line("mode", format!("{}{configured}", status.mode.name()));
    if status.interfaces.is_empty() {
        line("protected", "nothing".to_owned());
    }
    for interface in &status.interfaces {
        if interface.state != Standing::Attached {
            let why = interface
                .error
                .as_deref()
                .map_or_else(String::new, |error| format!(": {}", printable(error, 200)));
            line("NOT PROTECTED", format!("{} ({}{why})", interface.name, interface.state.name()));
            continue;
        }
        let mut how = interface.attach.name().to_owned();
        if interface.taken_over {
            how.push_str(", taken over from an earlier agent");
        }
        if !interface.configured {
            how.push_str(", not in the configuration");
        }
        line("protected", format!("{} ({how})", interface.name));
    }
    line("passed", flow(&status.traffic.passed));
    line("dropped", flow(&status.traffic.dropped));
    line("observed", flow(&status.traffic.observed));
    line("answered", flow(&status.traffic.replied));
    let lists = status.lists;
    line("lists", format!("{} allow, {} deny, {} banned", lists.allow, lists.deny, lists.ban));
    let state = &status.state;
    if let Some(error) = &state.error {
        let since = state.error_since.as_deref().unwrap_or("?");
        line(
            "NOT KEPT",
            format!("a reboot would undo changes to the lists: {} (since {since})", printable(error, 200)),
        );
    }
    for damaged in &state.damaged {
        line("damaged", printable(damaged, 300));
    }
    let files = &status.files;
    if files.lists > 0 {
        let bad = match files.errors.len() {
            0 => String::new(),
            some => format!("; {some} with errors"),
        };
        line("list files", format!("{} with {} prefixes{bad}", files.lists, files.prefixes));
    }
    if let Some(text) = cookies(&status.syn_cookies) {
        line("SYN cookies", text);
    }
    if status.proven > 0 {
        line("proven", format!("{} of {} sources", status.proven, stopbank_common::policy::MAX_PROVEN));
    }
    if let Some(flows) = &status.flows {
        let short = if flows.is_short() { "; TOO SMALL: raise `lines` in [flows]" } else { "" };
        let (known, room) = (flows.flows, flows.capacity);
        let full = flows.full_per_mille as f64 / 10.0;
        line("flows", format!("about {known} of {room}; {full:.1} % of the lines full{short}"));
    }
    line("classes", status.policy.classes.join(", "));
    let policy = &status.policy;
    let memory = f64::from(policy.lines) * size_of::<Line>() as f64;
    line(
        "sources",
        format!("IPv4 /{}, IPv6 /{}; state {}, fixed", policy.ipv4_prefix, policy.ipv6_prefix, bytes(memory)),
    );
    line("events", format!("{} sampled drops read, {} lost", status.events.received, status.events.lost));
    line(
        "metrics",
        status
            .metrics
            .as_ref()
            .map_or_else(|| "off".to_owned(), |address| format!("http://{address}/metrics")),
    );
    line("configuration", format!("{}, read {}", status.configuration.file, status.configuration.loaded));
    for problem in problems(status) {
        line(problem.level.name(), printable(&problem.to_string(), 200));
    }
    text
}

/// What there is to say of SYN cookies; nothing where none are configured.
fn cookies(cookies: &api::CookieStatus) -> Option<String> {
    if let Some(obstacle) = &cookies.obstacle {
        return Some(format!("NOT SENT: {}", printable(obstacle, 200)));
    }
    if cookies.configured.is_empty() {
        return None;
    }
    let active = &cookies.active;
    let now = if active.is_empty() { "none now".to_owned() } else { format!("now: {}", active.join(", ")) };
    Some(format!("configured: {}; {now}", cookies.configured.join(", ")))
}

fn flow(flow: &Flow) -> String {
    format!("{} packets, {}/s, {}", flow.packets, short(flow.packets_per_second), bits(flow.bytes_per_second))
}
