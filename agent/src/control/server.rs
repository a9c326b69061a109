//! The control API's end in the agent.

use std::{
    convert::Infallible,
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{
        ConnectInfo, DefaultBodyLimit, Extension, FromRequest, Path as UrlPath, Query, Request, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    net::UnixListener,
    sync::{Semaphore, watch},
};

use super::{
    Control, Refused, Why,
    api::{DetachRequest, DropsBy, SetMode},
    configuration,
    connections::{self, BODY, Peer},
    explain::ExplainQuery,
    follow::{self, EventFilter, EventQuery, FOLLOWERS, Streams},
    interfaces::AttachRequest,
    limits::SetLimits,
};
use crate::lists::{ListName, parse_prefix};

/// Largest request that changes a list, in bytes: room for a million prefixes.
const LARGEST_LIST: usize = 64 << 20;
/// Largest request that imports entries: a million of them, with their reasons.
const LARGEST_IMPORT: usize = 256 << 20;
/// Largest request of any other kind.
const LARGEST: usize = 64 << 10;
/// Entries that `top` and `events` give when not asked for another number.
const DEFAULT_LIMIT: usize = 20;

pub(super) type Agent = Arc<dyn Control>;

/// Makes the socket at `path`, with the directory it lies in (0755) where that does not exist, open to its owner alone
/// (0600). A socket that a dead agent left is replaced; the caller holds the lock that says it is dead.
///
/// # Errors
///
/// What the system says, and when something other than a socket has the name.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
    }
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => fs::remove_file(path)?,
        Ok(_) => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "something that is no socket has this name",
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // Nobody else can connect between bind and chmod: the peer's credentials are checked with every request as well.
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves the API until `stop` is ready; requests under way are finished.
///
/// # Errors
///
/// What the system says of the listener.
pub async fn serve(
    listener: UnixListener,
    agent: Agent,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (tell, stopping) = watch::channel(false);
    let streams = Streams { stopping, places: Arc::new(Semaphore::new(FOLLOWERS)) };
    let stop = async move {
        stop.await;
        tell.send_replace(true);
    };
    connections::serve(listener, router(agent, streams), stop).await;
    Ok(())
}

fn router(agent: Agent, streams: Streams) -> Router {
    let lists = Router::new()
        .route("/v1/lists/{list}", get(list).post(add).delete(remove))
        .route("/v1/lists/{list}/import", post(import).layer(DefaultBodyLimit::max(LARGEST_IMPORT)))
        .route("/v1/proven", get(proven).post(prove).delete(unprove))
        .layer(DefaultBodyLimit::max(LARGEST_LIST));
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/drops", get(drops))
        .route("/v1/signatures", get(signatures))
        .route("/v1/top", get(top))
        .route("/v1/events", get(events))
        .route("/v1/lists/{list}/history", get(history))
        .route("/v1/events/stream", get(follow::stream).layer(Extension(streams)))
        .route("/v1/list-files", get(list_files))
        .route("/v1/limits", get(limits).delete(reset_limits))
        .route("/v1/limits/{class}", put(set_limits).delete(reset_class_limits))
        .route("/v1/explain", get(explain))
        .route("/v1/mode", get(mode).put(set_mode))
        .route("/v1/config", get(config))
        .route("/v1/detach", post(detach))
        .route("/v1/interfaces", get(interfaces).post(attach).delete(detach_some))
        .layer(DefaultBodyLimit::max(LARGEST))
        .merge(lists)
        .merge(configuration::routes())
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn(only_owners))
        .with_state(agent)
}

/// Root and the agent's own user may ask; nobody else, whatever the socket's mode has become.
async fn only_owners(ConnectInfo(peer): ConnectInfo<Peer>, request: Request, next: Next) -> Response {
    let own = rustix::process::geteuid().as_raw();
    match peer.uid {
        Some(uid) if uid == 0 || uid == own => next.run(request).await,
        _ => Refused::new(Why::Forbidden, "only root and the user that the agent runs as may speak to it")
            .hint("run the command with sudo")
            .into_response(),
    }
}

async fn status(State(agent): State<Agent>) -> Response {
    answer(move || agent.status()).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct By {
    #[serde(default)]
    by: DropsBy,
}

async fn drops(State(agent): State<Agent>, query: Result<Query<By>, QueryRejection>) -> Response {
    match query {
        Ok(Query(By { by })) => answer(move || agent.drops(by)).await,
        Err(_) => bad_query("by=reason, class, interface or all"),
    }
}

async fn signatures(State(agent): State<Agent>) -> Response {
    answer(move || agent.signatures()).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    limit: Option<usize>,
}

async fn top(State(agent): State<Agent>, query: Result<Query<Limit>, QueryRejection>) -> Response {
    match query {
        Ok(Query(Limit { limit })) => answer(move || agent.top(limit.unwrap_or(DEFAULT_LIMIT))).await,
        Err(_) => bad_query("limit=N"),
    }
}

async fn events(State(agent): State<Agent>, query: Result<Query<EventQuery>, QueryRejection>) -> Response {
    let Ok(Query(query)) = query else {
        return bad_query("limit=N, source=PREFIX, reason=NAME and class=NAME");
    };
    answer(move || {
        let filter = EventFilter::new(&query, &*agent)?;
        let mut report = agent.events(usize::MAX);
        report.events.retain(|event| filter.takes(event));
        report.events.truncate(query.limit.unwrap_or(DEFAULT_LIMIT));
        Ok(report)
    })
    .await
}

type ListPath = Result<UrlPath<ListName>, PathRejection>;
type FromPeer = ConnectInfo<Peer>;

/// A request's body, or why there is none.
pub(super) struct Body(Result<Bytes, Refused>);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Infallible;

    async fn from_request(request: Request, state: &S) -> Result<Self, Infallible> {
        let read = tokio::time::timeout(BODY, Bytes::from_request(request, state)).await;
        Ok(Self(match read {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(Refused::new(Why::TooLarge, "the request is too large").hint("send it in parts"))
            }
            Ok(Err(_)) => Err(Refused::new(Why::BadRequest, "the request was cut short")),
            Err(_) => Err(Refused::new(
                Why::BadRequest,
                format!("the request has not come within {} s", BODY.as_secs()),
            )),
        }))
    }
}

async fn list(State(agent): State<Agent>, list: ListPath) -> Response {
    match list {
        Ok(UrlPath(list)) => answer(move || Ok(agent.list(list))).await,
        Err(_) => no_such_list(),
    }
}

async fn add(State(agent): State<Agent>, peer: FromPeer, list: ListPath, body: Body) -> Response {
    let Ok(UrlPath(list)) = list else { return no_such_list() };
    answer(move || agent.add(writable(list)?, &read(body)?, peer.0.who())).await
}

async fn remove(State(agent): State<Agent>, peer: FromPeer, list: ListPath, body: Body) -> Response {
    let Ok(UrlPath(list)) = list else { return no_such_list() };
    answer(move || agent.remove(writable(list)?, &read(body)?, peer.0.who())).await
}

async fn import(State(agent): State<Agent>, peer: FromPeer, list: ListPath, body: Body) -> Response {
    let Ok(UrlPath(list)) = list else { return no_such_list() };
    answer(move || agent.import(writable(list)?, &read(body)?, peer.0.who())).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    limit: Option<usize>,
    prefix: Option<String>,
}

async fn history(
    State(agent): State<Agent>,
    list: ListPath,
    query: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let Ok(UrlPath(list)) = list else { return no_such_list() };
    let Ok(Query(Asked { limit, prefix })) = query else { return bad_query("limit=N, prefix=CIDR") };
    answer(move || {
        let prefix = prefix.map(|text| parse_prefix(&text)).transpose();
        let prefix = prefix.map_err(|error| Refused::new(Why::BadRequest, error.to_string()))?;
        Ok(agent.history(list, limit.unwrap_or(DEFAULT_LIMIT), prefix))
    })
    .await
}

async fn list_files(State(agent): State<Agent>) -> Response {
    answer(move || Ok(agent.list_files())).await
}

async fn proven(State(agent): State<Agent>) -> Response {
    answer(move || Ok(agent.proven())).await
}

async fn prove(State(agent): State<Agent>, body: Body) -> Response {
    answer(move || agent.prove(&read(body)?)).await
}

async fn unprove(State(agent): State<Agent>, body: Body) -> Response {
    answer(move || agent.unprove(&read(body)?)).await
}

async fn limits(State(agent): State<Agent>) -> Response {
    answer(move || Ok(agent.limits())).await
}

type ClassPath = Result<UrlPath<String>, PathRejection>;

async fn set_limits(State(agent): State<Agent>, class: ClassPath, body: Body) -> Response {
    let Ok(UrlPath(class)) = class else { return no_such_path().await };
    answer(move || agent.set_limits(&class, &read::<SetLimits>(body)?)).await
}

async fn reset_limits(State(agent): State<Agent>) -> Response {
    answer(move || agent.reset_limits(None)).await
}

async fn reset_class_limits(State(agent): State<Agent>, class: ClassPath) -> Response {
    let Ok(UrlPath(class)) = class else { return no_such_path().await };
    answer(move || agent.reset_limits(Some(&class))).await
}

async fn explain(State(agent): State<Agent>, query: Result<Query<ExplainQuery>, QueryRejection>) -> Response {
    match query {
        Ok(Query(query)) => answer(move || agent.explain(&query)).await,
        Err(_) => bad_query(
            "subject=ADDRESS or PREFIX; of an address also protocol=tcp, udp or icmp, port=N, from_port=N and to=ADDRESS",
        ),
    }
}

async fn mode(State(agent): State<Agent>) -> Response {
    answer(move || Ok(agent.mode())).await
}

async fn set_mode(State(agent): State<Agent>, body: Body) -> Response {
    answer(move || agent.set_mode(read::<SetMode>(body)?.mode)).await
}

async fn config(State(agent): State<Agent>) -> Response {
    answer(move || Ok(agent.config())).await
}

async fn detach(State(agent): State<Agent>, body: Body) -> Response {
    answer(move || agent.detach(&read::<DetachRequest>(body)?)).await
}

async fn interfaces(State(agent): State<Agent>) -> Response {
    answer(move || agent.interfaces()).await
}

async fn attach(State(agent): State<Agent>, body: Body) -> Response {
    answer(move || agent.attach(&read::<AttachRequest>(body)?)).await
}

async fn detach_some(State(agent): State<Agent>, body: Body) -> Response {
    let some = |request: DetachRequest| match request.interfaces.as_slice() {
        [] => Err(Refused::new(Why::BadRequest, "no interfaces were given")
            .hint("POST /v1/detach ends protection of all")),
        _ => Ok(request),
    };
    answer(move || agent.detach(&some(read(body)?)?)).await
}

async fn no_such_path() -> Response {
    Refused::new(Why::NotFound, "there is nothing at this path")
        .hint("docs/control-api.md lists the paths")
        .into_response()
}

async fn no_such_method() -> Response {
    let body = Refused::new(Why::BadRequest, "this path does not take this method")
        .hint("docs/control-api.md lists them");
    (StatusCode::METHOD_NOT_ALLOWED, Json(body.body)).into_response()
}

fn no_such_list() -> Response {
    Refused::new(Why::NotFound, "there is no such list").hint("allow, deny and ban").into_response()
}

fn bad_query(allowed: &str) -> Response {
    Refused::new(Why::BadRequest, "the query is not understood")
        .hint(format!("allowed: {allowed}"))
        .into_response()
}

fn writable(list: ListName) -> Result<ListName, Refused> {
    if list == ListName::Deny {
        return Err(Refused::new(Why::BadRequest, "the deny list is the configuration's alone")
            .hint("ban instead, or change [lists] deny in the configuration and reload it"));
    }
    Ok(list)
}

/// A request's body; an empty one counts as `{}`.
pub(super) fn read<T: DeserializeOwned>(Body(body): Body) -> Result<T, Refused> {
    let body = body?;
    let text: &[u8] = if body.is_empty() { b"{}" } else { &body };
    // serde would take `[]` for an object without keys, and `POST /v1/detach` would end protection.
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refused::new(Why::BadRequest, "the request is not a JSON object"));
    }
    serde_json::from_slice(text).map_err(|error| {
        Refused::new(Why::BadRequest, format!("the request's JSON is not understood: {error}"))
    })
}

/// Runs what may have to wait for the kernel off the reactor, and turns what it gives into an answer.
pub(super) async fn answer<T: Serialize + Send + 'static>(
    work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Response {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(value)) => Json(value).into_response(),
        Ok(Err(refused)) => refused.into_response(),
        Err(panicked) => {
            tracing::error!("a control request failed unexpectedly: {panicked}");
            Refused::new(Why::Failed, "this failed unexpectedly; the agent's log says more").into_response()
        }
    }
}

impl Why {
    const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Configuration => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// From the status of an answer.
    pub(super) fn from_status(status: StatusCode) -> Self {
        [
            Self::BadRequest,
            Self::Forbidden,
            Self::NotFound,
            Self::Conflict,
            Self::TooLarge,
            Self::Configuration,
        ]
        .into_iter()
        .find(|why| why.status() == status)
        .unwrap_or(Self::Failed)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.why.status(), Json(self.body)).into_response()
    }
}
