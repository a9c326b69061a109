//! `/metrics` and `/healthz`, on a listener of their own.

use std::{convert::Infallible, fmt::Write as _, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    time::timeout,
};

use super::{judge::now, shared::Shared};

/// Connections at once.
const CONNECTIONS: usize = 32;
/// How long one may stay.
const LONGEST: Duration = Duration::from_secs(60);

/// Serves until the task is dropped.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>, draining: watch::Receiver<bool>) {
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (shared, draining) = (Arc::clone(&shared), draining.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answer = answer(&request, &shared, *draining.borrow());
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
            let _ = timeout(LONGEST, builder.serve_connection(TokioIo::new(stream), service)).await;
            drop(permit);
        });
    }
}

fn answer(request: &Request<Incoming>, shared: &Shared, draining: bool) -> Response<Full<Bytes>> {
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => metrics(shared),
        (&Method::GET | &Method::HEAD, "/healthz") => health(shared, draining),
        (_, "/metrics" | "/healthz") => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", Vec::new()),
        _ => (StatusCode::NOT_FOUND, "text/plain", Vec::new()),
    };
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

type Answer = (StatusCode, &'static str, Vec<u8>);

fn metrics(shared: &Shared) -> Answer {
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    shared.metrics.connections.set(count(shared.connections.count()));
    shared.metrics.buffered.set(count(shared.buffered.count()));
    // One at a time: what is counted anew must not be read in between. The control thread serves all of these.
    let live = shared.live();
    shared.metrics.revoked(&live.revoked);
    shared.metrics.count(live.judge.state().health(now()));
    match shared.metrics.text() {
        Ok(mut text) => {
            identities(&mut text, shared);
            (StatusCode::OK, "text/plain; version=0.0.4", text)
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, "text/plain", error.to_string().into_bytes()),
    }
}

/// What was counted of those who may vouch for clients. Their names are the policy's, of letters, digits, `.`, `_` and `-`.
fn identities(text: &mut Vec<u8>, shared: &Shared) {
    let live = shared.live();
    let state = live.judge.state();
    let mut lines = String::new();
    let _ = writeln!(
        lines,
        "# HELP stopbank_checker_identities_total Credentials and fetches by who may vouch, and what became of them.\n\
         # TYPE stopbank_checker_identities_total counter"
    );
    for (name, outcome, count) in state.counts() {
        let _ = writeln!(
            lines,
            "stopbank_checker_identities_total{{prover=\"{name}\",outcome=\"{outcome}\"}} {count}"
        );
    }
    let _ = writeln!(
        lines,
        "# HELP stopbank_checker_tokens_remembered Tokens that are remembered.\n\
         # TYPE stopbank_checker_tokens_remembered gauge"
    );
    let remembered = state.remembered();
    for (name, tokens, _) in &remembered {
        let _ = writeln!(lines, "stopbank_checker_tokens_remembered{{issuer=\"{name}\"}} {tokens}");
    }
    let _ = writeln!(
        lines,
        "# HELP stopbank_checker_tokens_remembered_bytes Bytes that they take.\n\
         # TYPE stopbank_checker_tokens_remembered_bytes gauge"
    );
    for (name, _, bytes) in &remembered {
        let _ = writeln!(lines, "stopbank_checker_tokens_remembered_bytes{{issuer=\"{name}\"}} {bytes}");
    }
    text.extend_from_slice(lines.as_bytes());
}

/// Good while requests are taken and each upstream has an address that answers.
fn health(shared: &Shared, draining: bool) -> Answer {
    let live = shared.live();
    let down: Vec<&str> = live
        .upstreams
        .iter()
        .filter(|upstream| !upstream.is_up())
        .map(|upstream| upstream.config.name.as_str())
        .collect();
    let body = |text: String| text.into_bytes();
    match (draining, down.is_empty()) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "text/plain", body("draining\n".to_owned())),
        (_, false) => {
            (StatusCode::SERVICE_UNAVAILABLE, "text/plain", body(format!("down: {}\n", down.join(", "))))
        }
        _ => (StatusCode::OK, "text/plain", body("ok\n".to_owned())),
    }
}
