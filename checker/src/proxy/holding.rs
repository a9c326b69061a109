//! Whether a client's certificate, which was verified when its connection began, still holds: connections outlive lists of revoked certificates and the certificates
//! themselves, and a session that is taken up again is one whose certificate nobody has looked at since.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_rustls::rustls::{
    HandshakeKind, ServerConnection,
    pki_types::{CertificateDer, UnixTime},
    server::danger::ClientCertVerifier,
};

use super::shared::{Live, Peer};

/// How long a certificate counts that was verified, where nothing else has changed.
const LASTS: Duration = Duration::from_secs(60);

/// By what, and when, a connection's certificate was verified.
#[derive(Debug)]
pub(crate) struct Held {
    by: RefCell<Arc<dyn ClientCertVerifier>>,
    /// `None`: not on this connection.
    when: Cell<Option<Instant>>,
}

impl Held {
    /// Of a connection whose handshake is done.
    pub(crate) fn begin(session: &ServerConnection, live: &Live, listener: usize) -> Option<Rc<Self>> {
        let by = live.verifiers.get(listener)?.as_ref()?;
        let whole = session.handshake_kind() != Some(HandshakeKind::Resumed);
        let when = Cell::new(whole.then(Instant::now));
        Some(Rc::new(Self { by: RefCell::new(Arc::clone(by)), when }))
    }

    fn is_recent(&self, by: &Arc<dyn ClientCertVerifier>) -> bool {
        let same = std::ptr::addr_eq(Arc::as_ptr(&self.by.borrow()), Arc::as_ptr(by));
        same && self.when.get().is_some_and(|when| when.elapsed() < LASTS)
    }

    fn is_good(
        &self,
        own: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        by: &Arc<dyn ClientCertVerifier>,
    ) -> bool {
        let good = by.verify_client_cert(own, between, UnixTime::now()).is_ok();
        if good {
            self.by.replace(Arc::clone(by));
            self.when.set(Some(Instant::now()));
        }
        good
    }
}

impl Peer {
    /// Whether the certificate that was shown, if one was, would be taken now.
    pub(crate) fn still_holds(&self, live: &Live) -> bool {
        let (Some(held), Some([own, between @ ..])) = (&self.held, self.chain.as_deref()) else {
            return true;
        };
        // A listener that asks for none any more vouches for none.
        let Some(by) = live.verifiers.get(self.listener).and_then(Option::as_ref) else { return false };
        held.is_recent(by) || held.is_good(own, between, by)
    }
}
