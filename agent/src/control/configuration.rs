//! Changes of the configuration: what goes over the socket, and its paths.

use std::net::IpAddr;

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    response::Response,
    routing::post,
};
use serde::{Deserialize, Serialize};

use super::server::{Agent, Body, answer, read};
use crate::config::LARGEST;

/// Largest request, in bytes: a configuration with every character escaped.
const LARGEST_REQUEST: usize = 6 * LARGEST as usize + (64 << 10);
/// Port of SSH, where a request names none.
const SSH: u16 = 22;

/// An operator's session: it comes from an address, and goes to a TCP port of this host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Session {
    /// The operator's address.
    pub address: IpAddr,
    /// This host's port.
    pub port: u16,
}

/// `POST /v1/reload` and `POST /v1/config/rollback`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeRequest {
    /// The address that the operator's session comes from: a change that would drop it needs `force`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<IpAddr>,
    /// The port of this host that the session goes to; left out: 22.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_port: Option<u16>,
    /// Do it all the same.
    #[serde(default)]
    pub force: bool,
}

/// `POST /v1/config/diff`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiffRequest {
    /// What would stand in the place of the configuration's file; left out: what stands there now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What messages call that text; left out: the configuration's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Answer to [`DiffRequest`].
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DiffReport {
    /// By key.
    pub changes: Vec<Change>,
}

/// A key that would be another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Change {
    /// With the tables and blocks that it stands in: `class.web.per_source.packets`.
    pub key: String,
    /// What is in force, as TOML; of an array each element by itself. Left out: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What would be. Left out: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// It takes a restart of the agent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_restart: bool,
}

/// `POST /v1/config/apply`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// What is to stand in the place of the configuration's file; left out: what stands there now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What messages call that text; left out: the configuration's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Time to confirm it; left out: two minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_seconds: Option<f64>,
    /// As in [`ChangeRequest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<IpAddr>,
    /// As in [`ChangeRequest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_port: Option<u16>,
    /// As in [`ChangeRequest`].
    #[serde(default)]
    pub force: bool,
}

/// Answer to [`ApplyRequest`].
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Applied {
    /// Until when it has to be confirmed.
    pub pending: Pending,
    /// What has changed.
    pub changes: Vec<Change>,
    /// What the operator should know: keys that need a restart, for instance.
    pub notes: Vec<String>,
}

/// A configuration that is taken back unless it is confirmed.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Pending {
    /// When.
    pub until: String,
    /// In how long.
    pub seconds_left: f64,
}

/// Answer to `POST /v1/config/confirm`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Confirmed {
    /// Files that were written.
    pub written: Vec<String>,
    /// What the operator should know.
    pub notes: Vec<String>,
}

/// Answer to `POST /v1/config/rollback`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RolledBack {
    /// Files that were written.
    pub written: Vec<String>,
    /// What the operator should know.
    pub notes: Vec<String>,
}

impl ChangeRequest {
    /// Whose session must not be dropped; `None` where it does not matter.
    pub fn session(&self) -> Option<Session> {
        session(self.operator, self.operator_port, self.force)
    }
}

impl ApplyRequest {
    /// As [`ChangeRequest::session`].
    pub fn session(&self) -> Option<Session> {
        session(self.operator, self.operator_port, self.force)
    }
}

fn session(operator: Option<IpAddr>, port: Option<u16>, force: bool) -> Option<Session> {
    let address = operator.filter(|_| !force)?.to_canonical();
    Some(Session { address, port: port.unwrap_or(SSH) })
}

/// The paths.
pub(super) fn routes() -> Router<Agent> {
    Router::new()
        .route("/v1/reload", post(reload))
        .route("/v1/config/diff", post(diff))
        .route("/v1/config/apply", post(apply))
        .route("/v1/config/confirm", post(confirm))
        .route("/v1/config/rollback", post(roll_back))
        .layer(DefaultBodyLimit::max(LARGEST_REQUEST))
}

async fn reload(State(agent): State<Agent>, body: Body) -> Response {
    answer(move || agent.reload(&read(body)?)).await
}

async fn diff(State(agent): State<Agent>, body: Body) -> Response {
    answer(move || agent.diff(&read(body)?)).await
}

async fn apply(State(agent): State<Agent>, body: Body) -> Response {
    answer(move || agent.apply(&read(body)?)).await
}

async fn confirm(State(agent): State<Agent>) -> Response {
    answer(move || agent.confirm()).await
}

async fn roll_back(State(agent): State<Agent>, body: Body) -> Response {
    answer(move || agent.roll_back(&read(body)?)).await
}
