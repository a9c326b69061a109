//! `PUT` and `DELETE /v1/limits`: limits that hold until the next reload.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// `PUT /v1/limits/{class}`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetLimits {
    /// `per_source.packets=500/s`, `burst=1000` (of the limit before it), `total.bytes=none`, …
    pub set: Vec<String>,
    /// Take what would otherwise be refused as a probable slip.
    #[serde(default)]
    pub force: bool,
    /// The address that the operator's session comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<IpAddr>,
    /// The port of this host that the session goes to; left out: 22.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_port: Option<u16>,
}
