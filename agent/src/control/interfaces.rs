//! Interfaces, as the control API tells of them and takes them.

use serde::{Deserialize, Serialize};

use crate::config::Attach;

/// How it stands with an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Protected.
    #[default]
    Attached,
    /// To be protected, and not there.
    Absent,
    /// To be protected and there, and the program could not be attached.
    Failed,
    /// Detached by a command, until the next reload.
    Detached,
    /// Nothing names it.
    Unprotected,
}

impl Standing {
    /// Its name in the API and the CLI.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attached => "attached",
            Self::Absent => "absent",
            Self::Failed => "failed",
            Self::Detached => "detached",
            Self::Unprotected => "unprotected",
        }
    }
}

/// `GET /v1/interfaces`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct InterfacesReport {
    /// Those that are protected or to be, then all others of the network namespace.
    pub interfaces: Vec<InterfaceReport>,
    /// Patterns of the configuration (and `default-route`) that no interface matches at the moment.
    pub unmatched: Vec<String>,
}

/// An interface.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct InterfaceReport {
    /// Its name.
    pub name: String,
    /// Its index; left out where it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// How it stands with it.
    pub state: Standing,
    /// How the program is attached, or is to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attach: Option<Attach>,
    /// Why it is not protected although it is to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What names it: the `name` of its block in the configuration, or its own by a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selected_by: Option<String>,
    /// What its packets are counted under: its name, or `other` where more are protected than are counted apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted_as: Option<String>,
    /// Whether it is set up.
    #[serde(default)]
    pub up: bool,
    /// `veth`, `bond`, `vlan`, `bridge`, …; `ethernet` for network cards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Its MTU, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Queues for what comes in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queues: Option<u32>,
    /// The interface that it is on top of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// The bond or bridge that it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<String>,
    /// The interfaces that are part of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    /// The XDP program that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<ProgramReport>,
}

/// An XDP program on an interface.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ProgramReport {
    /// Its id.
    pub id: u32,
    /// Its name, where the agent may ask for it (CAP_SYS_ADMIN); `bpftool prog show id N` tells it to root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// In the driver, and not generic.
    pub native: bool,
    /// stopbank's.
    pub ours: bool,
}

/// `POST /v1/interfaces`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachRequest {
    /// An interface that is there.
    pub name: String,
    /// In generic mode, at about a third of the speed.
    #[serde(default)]
    pub generic: bool,
}
