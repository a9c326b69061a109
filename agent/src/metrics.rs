//! Prometheus metrics, read from the kernel's maps when they are asked for, and the health check.
//!
//! Labels come from closed sets: interfaces, classes, signatures and lists of the configuration, reasons, verdicts, maps. An
//! address is never one.

mod encode;
mod families;
mod process;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus::{Encoder as _, TextEncoder, proto::MetricFamily};
use tokio::net::TcpListener;

use crate::{control::Refused, engine::Engine, listener::Bounded};

/// Connections at once.
const CONNECTIONS: usize = 32;

/// Serves `/metrics` and `/healthz` until `stop` is ready.
///
/// # Errors
///
/// What the system says of the listener.
pub async fn serve(
    listener: TcpListener,
    engine: Arc<Engine>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router =
        Router::new().route("/metrics", get(metrics)).route("/healthz", get(health)).with_state(engine);
    axum::serve(Bounded::new(listener, CONNECTIONS), router).with_graceful_shutdown(stop).await
}

async fn metrics(State(engine): State<Arc<Engine>>) -> Response {
    let failed = |why: String| (StatusCode::INTERNAL_SERVER_ERROR, why).into_response();
    match tokio::task::spawn_blocking(move || exposition(&engine)).await {
        Ok(Ok(Ok(text))) => {
            ([(header::CONTENT_TYPE, TextEncoder::new().format_type().to_owned())], text).into_response()
        }
        Ok(Ok(Err(error))) => failed(error.to_string()),
        Ok(Err(refused)) => failed(refused.body.error),
        Err(error) => failed(error.to_string()),
    }
}

/// All of it as text.
fn exposition(engine: &Engine) -> Result<prometheus::Result<Vec<u8>>, Refused> {
    let measured = engine.measure()?;
    let mut all = families::of(&measured);
    all.extend(process::families(measured.started));
    Ok(encode(all))
}

fn encode(mut families: Vec<MetricFamily>) -> prometheus::Result<Vec<u8>> {
    // A family without a row, such as that of list files where there are none, is an error to the encoder.
    families.retain(|family| !family.get_metric().is_empty());
    let mut text = Vec::new();
    TextEncoder::new().encode(&families, &mut text).map(|()| text)
}

async fn health(State(engine): State<Arc<Engine>>) -> Response {
    match tokio::task::spawn_blocking(move || engine.troubles()).await {
        Ok(troubles) if troubles.is_empty() => "ok\n".into_response(),
        Ok(troubles) => (StatusCode::SERVICE_UNAVAILABLE, troubles.join("\n") + "\n").into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests;
