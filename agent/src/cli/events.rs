//! `stopbank events`.

use std::{
    io::{self, Write as _},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use clap::Args;

use super::{
    output::{Output, print, span},
    table::Table,
};
use crate::{
    control::{
        api::{EventsReport, SampledDrop},
        client::{Client, ClientError},
        follow::Missed,
        lines::Lines,
    },
    failure::Failure,
};

/// The latest drops, as the kernel samples them, or with --follow those that come
///
/// A sample of all drops, at most as many a second as the configuration has under `[events]`. What --follow could not be told
/// of, because the agent was restarted or events came faster than they were read, is said on stderr.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stopbank events --limit 100                           the latest, newest first
  stopbank events --follow                              as they come, until Ctrl-C; goes on when the agent is restarted
  stopbank events --follow -o jsonl | tee drops.jsonl   one JSON object a line
  stopbank events --source 198.51.100.0/24 --reason source-packets
  stopbank events --follow --class web

With -o json there is one object with all of them; --follow gives one a line there, too.")]
pub(super) struct Events {
    /// How many at most [default: 20]
    #[arg(long, conflicts_with = "follow", value_name = "N")]
    limit: Option<usize>,
    /// Tell of drops as they come
    #[arg(short, long)]
    follow: bool,
    /// Only those from this address or prefix
    #[arg(long, value_name = "PREFIX")]
    source: Option<String>,
    /// Only those for this reason, as `stopbank drops` names it
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Only those of this class
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,
}

/// How often an agent that has gone is looked for.
const AGAIN: Duration = Duration::from_millis(500);

impl Events {
    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        if self.follow {
            return self.follow(client, output).await;
        }
        let limit = self.limit.map(|limit| ("limit", limit.to_string()));
        let report: EventsReport = client.get(&self.path("/v1/events", limit)).await?;
        if output == Output::Jsonl {
            return report.events.iter().try_for_each(|event| output.print(event, |_| String::new()));
        }
        output.print(&report, |report| table(&report.events))
    }

    fn path(&self, path: &str, limit: Option<(&str, String)>) -> String {
        let filters = [("source", &self.source), ("reason", &self.reason), ("class", &self.class)];
        let filters = filters.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
        let query: Vec<String> = limit
            .into_iter()
            .chain(filters)
            .map(|(name, value)| format!("{name}={}", encoded(&value)))
            .collect();
        if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
    }

    /// An agent that is not there at first is an error; one that goes later is waited for.
    async fn follow(&self, client: &Client, output: Output) -> Result<(), Failure> {
        let path = self.path("/v1/events/stream", None);
        let mut lines = client.lines(&path).await?;
        if output == Output::Table {
            print(&headings())?;
        }
        loop {
            let why = tell(&mut lines, output).await?;
            let since = Instant::now();
            note(&format!("the agent at {} has gone ({why}); waiting for it", client.socket().display()));
            lines = loop {
                tokio::time::sleep(AGAIN).await;
                match client.lines(&path).await {
                    Ok(lines) => break lines,
                    Err(ClientError::Unreachable { .. } | ClientError::Broken { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            };
            let gone = span(since.elapsed().as_secs_f64());
            note(&format!("the agent answers again, after {gone}; what was dropped meanwhile is not told"));
        }
    }
}

/// Prints what comes until it ends, and says why that was.
async fn tell(lines: &mut Lines, output: Output) -> Result<String, Failure> {
    loop {
        let line = match lines.next().await {
            Ok(Some(line)) => line,
            Ok(None) => return Ok("it has stopped".to_owned()),
            Err(error) => return Ok(error.to_string()),
        };
        if let Ok(Missed { missed }) = serde_json::from_slice(&line) {
            note(&format!("{missed} events came faster than they were read, and are not told"));
            continue;
        }
        match output {
            Output::Table => {
                if let Ok(event) = serde_json::from_slice::<SampledDrop>(&line) {
                    print(&row(&event))?;
                }
            }
            // As the agent wrote it, keys that this version does not know included.
            Output::Json | Output::Jsonl => print(&format!("{}\n", String::from_utf8_lossy(&line)))?,
        }
    }
}

fn note(text: &str) {
    // Nobody who would read it may be there.
    let _ = writeln!(io::stderr(), "stopbank: {text}");
}

fn table(events: &[SampledDrop]) -> String {
    if events.is_empty() {
        return "no drops were sampled\n".to_owned();
    }
    let mut table = Table::new(&[
        "TIME",
        "INTERFACE",
        "SOURCE",
        "DESTINATION",
        ">PROTO",
        ">BYTES",
        "CLASS",
        "REASON",
        "VERDICT",
    ]);
    for event in events {
        table.row([
            event.time.clone(),
            event.interface.clone(),
            end(&event.source, event.source_port),
            end(&event.destination, event.destination_port),
            event.protocol.to_string(),
            event.length.to_string(),
            event.class.clone(),
            event.reason.clone(),
            event.verdict.name().to_owned(),
        ]);
    }
    table.show()
}

fn headings() -> String {
    line(["TIME", "VERDICT", "REASON", "CLASS", "IN BY", "PROTO", "BYTES", "SOURCE", "DESTINATION"])
}

fn row(event: &SampledDrop) -> String {
    line([
        // The day is the one before the operator's eyes.
        event.time.split(['T', 'Z']).nth(1).unwrap_or(&event.time),
        event.verdict.name(),
        &event.reason,
        &event.class,
        &event.interface,
        &event.protocol.to_string(),
        &event.length.to_string(),
        &end(&event.source, event.source_port),
        &end(&event.destination, event.destination_port),
    ])
}

/// Columns of a width that suits most: what is still to come cannot be measured.
fn line(cells: [&str; 9]) -> String {
    let [time, verdict, reason, class, interface, protocol, bytes, source, destination] = cells;
    format!(
        "{time:<8} {verdict:<8} {reason:<18} {class:<10} {interface:<9} {protocol:>5} {bytes:>5} {source} > {destination}\n"
    )
}

fn end(address: &IpAddr, port: u16) -> String {
    match port {
        0 => address.to_string(),
        port => SocketAddr::new(*address, port).to_string(),
    }
}

/// For a query: everything but letters, digits and what stands in names and prefixes as bytes in hexadecimal (RFC 3986).
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_one_value_of_the_query() {
        let mut events = Events {
            limit: None,
            follow: true,
            source: Some("2001:db8::/32".into()),
            reason: None,
            class: None,
        };
        assert_eq!(events.path("/v1/events", None), "/v1/events?source=2001:db8::/32");
        events.class = Some("a&limit=1 ü".into());
        events.source = None;
        assert_eq!(events.path("/e", Some(("limit", "5".into()))), "/e?limit=5&class=a%26limit%3D1%20%C3%BC");
    }
}
