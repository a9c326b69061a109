//! Health checks: an address that fails some in a row gets no more requests until it has passed some in a row.

use std::sync::{Arc, atomic::Ordering};

use stopbank_checker::{http1, response, stream::HeadScan};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinSet,
    time::{MissedTickBehavior, timeout},
};

use super::{
    config::Health,
    metrics::Metrics,
    say,
    upstream::{Address, Upstream},
};

/// Watches all addresses whose health is to be checked, until the set is dropped.
pub(crate) fn watch(upstreams: &[Arc<Upstream>], metrics: &Arc<Metrics>) -> JoinSet<()> {
    let mut watching = JoinSet::new();
    metrics.upstream_up.reset();
    for upstream in upstreams {
        for address in &upstream.addresses {
            let up =
                metrics.upstream_up.with_label_values(&[&upstream.config.name, &address.url.to_string()]);
            match upstream.config.health.clone() {
                Some(health) => {
                    let (upstream, address) = (Arc::clone(upstream), Arc::clone(address));
                    up.set(i64::from(address.up.load(Ordering::Relaxed)));
                    watching.spawn(async move { check(&upstream, &address, &health, &up).await });
                }
                // Nobody would find out that it is back.
                None => {
                    address.up.store(true, Ordering::Relaxed);
                    up.set(1);
                }
            }
        }
    }
    watching
}

async fn check(upstream: &Upstream, address: &Address, health: &Health, up: &prometheus::IntGauge) {
    let mut tick = tokio::time::interval(health.interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut in_a_row = 0;
    loop {
        tick.tick().await;
        let good = timeout(health.timeout, answers(upstream, address, health)).await.unwrap_or(false);
        let was = address.up.load(Ordering::Relaxed);
        in_a_row = if good == was { 0 } else { in_a_row + 1 };
        if in_a_row > 0 && in_a_row >= if good { health.rise } else { health.fall } {
            address.up.store(good, Ordering::Relaxed);
            up.set(i64::from(good));
            in_a_row = 0;
            let state = if good { "up" } else { "down" };
            say(&format!("upstream {}: {} is {state}", upstream.config.name, address.url));
        }
    }
}

/// Whether a connection, and where a path is to be asked for the answer, is good.
async fn answers(upstream: &Upstream, address: &Address, health: &Health) -> bool {
    let Ok(mut io) = upstream.connect(address).await else { return false };
    let Some(path) = &health.path else { return true };
    let (host, port) = (&address.url.host, address.url.port);
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: close\r\n\r\n");
    if io.write_all(request.as_bytes()).await.is_err() || io.flush().await.is_err() {
        return false;
    }
    let (mut read, mut scan, limits) = (Vec::new(), HeadScan::default(), http1::Limits::default());
    while read.len() <= limits.head {
        if let Some(length) = scan.end(&read) {
            return response::head(&read[..length], &limits).is_ok_and(|response| response.status < 400);
        }
        if !io.read_buf(&mut read).await.is_ok_and(|more| more > 0) {
            return false;
        }
    }
    false
}
