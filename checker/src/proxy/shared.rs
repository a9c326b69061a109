//! What threads have in common, and what each has of its own.

use std::{
    cell::Cell,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, OnceLock, PoisonError, RwLock, atomic::AtomicU64},
};

use ipnet::IpNet;
use stopbank_checker::state::Seed;
use tokio::sync::watch;
use tokio_rustls::rustls::{ServerConfig, pki_types::CertificateDer, server::danger::ClientCertVerifier};

use super::{
    audit::Audit,
    auth_request::AuthRequest,
    bounds::{Buffered, Connections},
    config::Config,
    ext_authz::ExtAuthz,
    fetch::Fetcher,
    holding::Held,
    judge::Judge,
    metrics::Metrics,
    problem::Ids,
    spoe::Spoe,
    tls::Revoked,
    upstream::{Pool, Upstream},
};

/// What a reload replaces.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) config: Config,
    pub(crate) judge: Arc<Judge>,
    /// For each listener.
    pub(crate) tls: Vec<Option<Arc<ServerConfig>>>,
    /// The same, who verifies certificates of clients.
    pub(crate) verifiers: Vec<Option<Arc<dyn ClientCertVerifier>>>,
    /// The lists of revoked certificates that count for clients.
    pub(crate) revoked: Vec<Revoked>,
    pub(crate) upstreams: Vec<Arc<Upstream>>,
}

impl Live {
    /// How a listener is asked, if it is by nginx.
    pub(crate) fn asked(&self, listener: usize) -> Option<&AuthRequest> {
        self.config.listen.get(listener)?.auth_request.as_ref()
    }

    /// The same by HAProxy.
    pub(crate) fn spoe(&self, listener: usize) -> Option<&Spoe> {
        self.config.listen.get(listener)?.spoe.as_ref()
    }

    /// The same by Envoy.
    pub(crate) fn asked_by_envoy(&self, listener: usize) -> Option<&ExtAuthz> {
        self.config.listen.get(listener)?.ext_authz.as_ref()
    }

    /// Who may ask at a listener that is asked.
    pub(crate) fn askers(&self, listener: usize) -> Option<&[IpNet]> {
        let nginx = self.asked(listener).map(|asked| &*asked.trusted);
        let haproxy = || self.spoe(listener).map(|asked| &*asked.trusted);
        let envoy = || self.asked_by_envoy(listener).map(|asked| &*asked.trusted);
        nginx.or_else(haproxy).or_else(envoy)
    }
}

/// What all threads have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    live: RwLock<Arc<Live>>,
    /// Of this process.
    pub(crate) seed: Seed,
    /// Counts what was fetched: who waits for it is told.
    pub(crate) fetched: watch::Sender<u64>,
    /// Who fetches, as soon as there is a reactor for it.
    pub(crate) fetcher: OnceLock<Fetcher>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) audit: Option<Audit>,
    pub(crate) connections: Arc<Connections>,
    /// Requests under way over HTTP/2, of which one connection may have many.
    pub(crate) streams: Arc<Connections>,
    pub(crate) buffered: Buffered,
    pub(crate) ids: Ids,
    /// For each thread a number that grows while it is alive.
    pub(crate) beats: Vec<AtomicU64>,
}

impl Shared {
    pub(crate) fn new(
        live: Live,
        seed: Seed,
        metrics: Arc<Metrics>,
        audit: Option<Audit>,
        threads: usize,
    ) -> Self {
        Self {
            live: RwLock::new(Arc::new(live)),
            seed,
            fetched: watch::Sender::new(0),
            fetcher: OnceLock::new(),
            metrics,
            audit,
            connections: Arc::default(),
            streams: Arc::default(),
            buffered: Buffered::default(),
            ids: Ids::default(),
            beats: (0..threads).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// What is in force.
    pub(crate) fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn replace(&self, live: Live) {
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(live);
    }
}

/// One thread.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pool: Rc<Pool>,
    /// Whether the proxy is on its way out.
    pub(crate) draining: watch::Receiver<bool>,
    /// Connections of clients.
    pub(crate) open: Cell<usize>,
}

/// Who has connected.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) tls: bool,
    /// Which listener it has connected to.
    pub(crate) listener: usize,
    /// The certificates that it has shown, verified, its own first.
    pub(crate) chain: Option<Rc<[CertificateDer<'static>]>>,
    /// When that was, where it was here.
    pub(crate) held: Option<Rc<Held>>,
}
