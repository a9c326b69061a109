//! `GET /v1/explain`: what is asked, and what is told.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::config::Mode;

/// The query of `GET /v1/explain`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainQuery {
    /// An address or a prefix.
    pub subject: String,
    /// What its packet is; left out: `tcp` where there is a port, or else anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Transport>,
    /// Destination port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Source port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_port: Option<u16>,
    /// Destination address; left out: any of this host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<IpAddr>,
}

/// What carries the packet's content.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// A new connection: a segment with SYN and without ACK.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP, or ICMPv6.
    Icmp,
}

impl Transport {
    /// Its name in the API and the CLI.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        }
    }
}

/// What a step does with the packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepVerdict {
    /// It leaves the packet to the next one.
    Next,
    /// The packet passes at once.
    Pass,
    /// It is dropped.
    Drop,
    /// It would be dropped, did the rule not only observe; it goes on.
    Observed,
    /// It is answered with a SYN cookie.
    Reply,
    /// That depends on what is not known of the packet.
    Depends,
}

impl StepVerdict {
    /// Its name in the API and the CLI.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Pass => "pass",
            Self::Drop => "drop",
            Self::Observed => "observed",
            Self::Reply => "reply",
            Self::Depends => "depends",
        }
    }
}

/// One step of the packet's way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// Which: `lists`, `sockets`, `per-source packets`, …
    pub step: String,
    /// What is there.
    pub found: String,
    /// What it does with the packet.
    pub verdict: StepVerdict,
    /// Why.
    pub because: String,
    /// The reason that such a packet is counted under, where the step decides or would decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether the packet comes so far: no, where an earlier step has decided.
    pub reached: bool,
}

/// Answer to `GET /v1/explain`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// The address or prefix.
    pub subject: String,
    /// What was taken its next packet to be.
    pub packet: String,
    /// The mode in force.
    pub mode: Mode,
    /// In the order in which the packet meets them.
    pub steps: Vec<Step>,
    /// What becomes of the packet: `pass`, `drop`, `observed` (it passes, and is counted as what would be dropped), `reply` or
    /// `depends`.
    pub verdict: StepVerdict,
    /// The reason that it is counted under, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The same in a sentence.
    pub conclusion: String,
}
