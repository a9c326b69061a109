//! `stopbank explain`.

use std::{fmt::Write as _, net::IpAddr};

use clap::Args;

use super::output::Output;
use crate::{
    control::{
        client::Client,
        explain::{Explanation, StepVerdict, Transport},
    },
    failure::{Code, Failure},
    lists::{parse_prefix, printable},
};

/// Tell what becomes of an address, and why: every list, ban, limit, proof and recent verdict that concerns it
///
/// In the order in which its next packet meets them. Nothing is sent and nothing is charged: it is told from the lists, the
/// policy and the kernel's rate state as they are now. Of a prefix, what is around it and inside it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stopbank explain 198.51.100.7                               why is it dropped? all classes
  stopbank explain 198.51.100.7 --port 443                    a new TCP connection to port 443
  stopbank explain 2001:db8::7 --port 53 --protocol udp --from-port 53
  stopbank explain 198.51.100.0/24                            what is listed around and inside it
  stopbank explain 198.51.100.7 --port 443 -o json | jq -r .verdict

What is left of a source's limits is a lower bound: a few sources share each cell of the kernel's table, and what one has used
is not told from what the others have.")]
pub(super) struct Explain {
    /// The source: an address or a prefix
    #[arg(value_name = "ADDRESS|PREFIX")]
    subject: String,
    /// Its packet's destination port; without --protocol, TCP
    #[arg(long, value_name = "N")]
    port: Option<u16>,
    /// Its packet's protocol; of TCP, a new connection's SYN
    #[arg(long, value_enum)]
    protocol: Option<Transport>,
    /// Its packet's source port: what comes from a port of amplifiers (53, 123, …) is judged otherwise
    #[arg(long, value_name = "N")]
    from_port: Option<u16>,
    /// Its packet's destination, one of this host's addresses [default: any]
    #[arg(long, value_name = "ADDRESS")]
    to: Option<IpAddr>,
}

impl Explain {
    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        // Nothing but what an address is written with goes into the query.
        let subject =
            parse_prefix(&self.subject).map_err(|error| Failure::new(Code::Usage, error.to_string()))?;
        let mut path = format!("/v1/explain?subject={subject}");
        if let Some(port) = self.port {
            let _ = write!(path, "&port={port}");
        }
        if let Some(protocol) = self.protocol {
            let _ = write!(path, "&protocol={}", protocol.name());
        }
        if let Some(port) = self.from_port {
            let _ = write!(path, "&from_port={port}");
        }
        if let Some(to) = self.to {
            let _ = write!(path, "&to={to}");
        }
        let explanation: Explanation = client.get(&path).await?;
        output.print(&explanation, text)
    }
}

/// What is shown of a part of a step, in characters.
const LONGEST: usize = 1_000;

/// A block for each step; those that the packet does not come to are marked.
fn text(explanation: &Explanation) -> String {
    let Explanation { subject, packet, mode, .. } = explanation;
    let mut text = format!("{subject}: {packet}; mode {}\n\n", mode.name());
    let widest = explanation.steps.iter().map(|step| step.step.len()).max().unwrap_or(0);
    for step in &explanation.steps {
        let mark = match step.verdict {
            _ if !step.reached => "·",
            StepVerdict::Next => " ",
            StepVerdict::Pass | StepVerdict::Reply => "+",
            StepVerdict::Drop => "x",
            StepVerdict::Observed => "o",
            StepVerdict::Depends => "?",
        };
        let verdict = match &step.reason {
            Some(reason) => format!("{} ({reason}): ", step.verdict.name()),
            None if step.verdict == StepVerdict::Depends => "depends: ".to_owned(),
            None => String::new(),
        };
        let (found, because) = (printable(&step.found, LONGEST), printable(&step.because, LONGEST));
        let _ = writeln!(text, "{mark} {:<widest$}  {found}", step.step);
        let _ = writeln!(text, "  {:<widest$}    {verdict}{because}", "");
    }
    if explanation.steps.iter().any(|step| !step.reached) {
        text.push_str("\n· its packet does not come so far\n");
    }
    let _ = write!(text, "\n{}\n", printable(&explanation.conclusion, LONGEST));
    text
}
