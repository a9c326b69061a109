//! Sampled drops by what they are about, and `GET /v1/events/stream`: as they come, an object a line.
//!
//! Followers share one ring of events. One that reads too slowly misses the oldest of it, is told how many, and costs no
//! memory beyond its connection's buffers; there are at most [`FOLLOWERS`].

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{Extension, Query, State, rejection::QueryRejection},
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use stopbank_common::{Reason, event::Event};
use tokio::{
    sync::{
        OwnedSemaphorePermit, Semaphore,
        broadcast::{
            Receiver,
            error::{RecvError, TryRecvError},
        },
        watch,
    },
    time::timeout,
};

use super::{Control, Refused, Why, api::SampledDrop};
use crate::lists::parse_prefix;

/// Most followers at a time.
pub const FOLLOWERS: usize = 16;
/// Events that are described and sent together at most.
const BATCH: usize = 64;
/// After so long without an event, an empty line is sent: it finds connections whose other end has gone.
const PULSE: Duration = Duration::from_secs(15);

/// Query of `GET /v1/events` and `GET /v1/events/stream`.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventQuery {
    /// Most events; not for the stream.
    pub limit: Option<usize>,
    /// Only from this address or prefix.
    pub source: Option<String>,
    /// Only for this reason.
    pub reason: Option<String>,
    /// Only of this class.
    pub class: Option<String>,
}

/// Which events are wanted.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct EventFilter {
    source: Option<IpNet>,
    reason: Option<String>,
    class: Option<String>,
}

impl EventFilter {
    /// What a query asks for.
    ///
    /// # Errors
    ///
    /// [`Refused`] when the source is no prefix, or there is no such reason or class: nothing would ever come.
    pub fn new(query: &EventQuery, agent: &dyn Control) -> Result<Self, Refused> {
        let source = query.source.as_deref().map(parse_prefix).transpose();
        let source = source.map_err(|error| Refused::new(Why::BadRequest, error.to_string()))?;
        if let Some(reason) = &query.reason {
            let known: Vec<String> = Reason::ALL.iter().map(|reason| reason.name().to_owned()).collect();
            known_or(reason, "reason", &known)?;
        }
        if let Some(class) = &query.class {
            let configured = agent.limits().classes.into_iter().map(|class| class.name);
            let known: Vec<String> = configured.chain(["none".to_owned()]).collect();
            known_or(class, "class", &known)?;
        }
        Ok(Self { source, reason: query.reason.clone(), class: query.class.clone() })
    }

    /// Whether it takes an event.
    pub fn takes(&self, event: &SampledDrop) -> bool {
        self.source.is_none_or(|prefix| prefix.contains(&event.source.to_canonical()))
            && self.reason.as_ref().is_none_or(|reason| *reason == event.reason)
            && self.class.as_ref().is_none_or(|class| *class == event.class)
    }
}

fn known_or(name: &str, what: &str, known: &[String]) -> Result<(), Refused> {
    if known.iter().any(|one| one == name) {
        return Ok(());
    }
    let name = crate::lists::printable(name, 64);
    Err(Refused::new(Why::NotFound, format!("there is no {what} `{name}`"))
        .hint(format!("there are: {}", known.join(", "))))
}

/// What a line of the stream is, beside a [`SampledDrop`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Missed {
    /// Events, of any kind, that came faster than this follower has read, and are not in the stream.
    pub missed: u64,
}

/// What the handler shares with the server.
#[derive(Clone)]
pub(super) struct Streams {
    /// Becomes true when the agent stops: streams never end by themselves.
    pub(super) stopping: watch::Receiver<bool>,
    /// A place for each follower.
    pub(super) places: Arc<Semaphore>,
}

/// The handler.
pub(super) async fn stream(
    State(agent): State<Arc<dyn Control>>,
    Extension(streams): Extension<Streams>,
    query: Result<Query<EventQuery>, QueryRejection>,
) -> Response {
    let Ok(Query(query)) = query else { return bad_query() };
    if query.limit.is_some() {
        return bad_query();
    }
    let filter = match EventFilter::new(&query, &*agent) {
        Ok(filter) => filter,
        Err(refused) => return refused.into_response(),
    };
    let Ok(place) = streams.places.try_acquire_owned() else {
        return Refused::new(Why::Conflict, format!("{FOLLOWERS} followers are there already"))
            .hint("end one of them")
            .into_response();
    };
    let events = agent.follow();
    let follower = Follower { agent, events, filter, stopping: streams.stopping, _place: place };
    let lines = futures_util::stream::unfold(follower, Follower::lines);
    ([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

fn bad_query() -> Response {
    Refused::new(Why::BadRequest, "the query is not understood")
        .hint("allowed: source=PREFIX, reason=NAME and class=NAME")
        .into_response()
}

/// One follower.
struct Follower {
    agent: Arc<dyn Control>,
    events: Receiver<Event>,
    filter: EventFilter,
    stopping: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    /// The next lines, as soon as there are any; `None` when the agent stops.
    async fn lines(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        loop {
            let (mut batch, mut missed) = (Vec::new(), 0);
            let first = tokio::select! {
                // An error means that the server is gone, which is a stop as well.
                _ = self.stopping.wait_for(|stopping| *stopping) => Err(RecvError::Closed),
                event = timeout(PULSE, self.events.recv()) => match event {
                    Ok(event) => event,
                    Err(_) => Err(RecvError::Lagged(0)),
                },
            };
            match first {
                Ok(event) => batch.push(event),
                Err(RecvError::Lagged(0)) => return Some((Ok(Bytes::from_static(b"\n")), self)),
                Err(RecvError::Lagged(events)) => missed += events,
                Err(RecvError::Closed) => return None,
            }
            while batch.len() < BATCH {
                match self.events.try_recv() {
                    Ok(event) => batch.push(event),
                    Err(TryRecvError::Lagged(events)) => missed += events,
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                }
            }
            // To name classes and interfaces may have to wait for a change to the lists.
            let agent = self.agent.clone();
            let described = tokio::task::spawn_blocking(move || agent.describe(&batch)).await.ok()?;
            let mut text = Vec::new();
            if missed > 0 {
                line(&mut text, &Missed { missed });
            }
            described
                .iter()
                .filter(|event| self.filter.takes(event))
                .for_each(|event| line(&mut text, event));
            if !text.is_empty() {
                return Some((Ok(text.into()), self));
            }
        }
    }
}

fn line(text: &mut Vec<u8>, value: &impl Serialize) {
    // Numbers, names and addresses: there is nothing in them that is no JSON.
    if serde_json::to_writer(&mut *text, value).is_ok() {
        text.push(b'\n');
    }
}
