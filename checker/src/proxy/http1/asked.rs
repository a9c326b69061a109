//! What is answered where a server only asks whether a request may pass.

use std::sync::Arc;

use stopbank_checker::{Check, Reason, Request, http1::Framing};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Connection, Next};
use crate::proxy::{
    auth_request::AuthRequest,
    exchange::Exchange,
    problem::{self, Refusal},
    shared::Peer,
};

/// How it is asked.
#[derive(Clone, Copy)]
struct Question<'q> {
    by: &'q AuthRequest,
    /// Whether another one may follow.
    keep: bool,
    /// Whether the answer has no body, whatever was asked about.
    is_head: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Judges what is asked about: 204, or why not.
    pub(super) async fn asked(
        &mut self,
        mut exchange: Exchange,
        question: &Request<'_>,
        framing: Framing,
        by: &AuthRequest,
    ) -> Next {
        // A body here would be one that nobody judges, and its sender another's next question.
        let bare = framing == Framing::Length(0);
        let how = Question { by, keep: bare && self.keeps(question), is_head: question.method == b"HEAD" };
        let request = match by.original(question) {
            Ok(request) if bare => request,
            _ => return self.refused(exchange, Refusal::new(Check::Connection, Reason::FrontEnd), how).await,
        };
        let live = Arc::clone(&exchange.live);
        if !self.peer.still_holds(&live) {
            let refusal = Refusal::new(Check::Connection, Reason::CertificateRefused);
            return self.refused(exchange, refusal, how).await;
        }
        // The connection is the asking server's, and so are its certificate and its TLS: they say nothing of the client.
        let address = self.peer.address;
        exchange.comes_from(|listener| Peer { address, tls: false, listener, chain: None, held: None });
        exchange.is_about(&request);
        // It cannot be taken out from here, and nothing says that nginx does.
        if exchange.says_who_asks(&request) {
            let refusal = Refusal::new(Check::Connection, Reason::IdentityClaimed);
            return self.refused(exchange, refusal, how).await;
        }
        if let Err(refusal) = exchange.allows(&request).await {
            return self.refused(exchange, refusal, how).await;
        }
        let identity = exchange.identity_header().unwrap_or_default();
        let out = format!("HTTP/1.1 204 No Content\r\n{identity}{}\r\n", last(&exchange, how));
        let live = Arc::clone(&exchange.live);
        let written = self.write(out.as_bytes(), &live).await;
        exchange.end(204, None);
        if written && how.keep { Next::Request } else { Next::Close }
    }

    /// Refuses a head that cannot be read.
    pub(super) async fn unread(&mut self, exchange: Exchange, refusal: Refusal) -> Next {
        let live = Arc::clone(&exchange.live);
        match live.asked(self.peer.listener) {
            Some(by) => {
                let how = Question { by, keep: false, is_head: false };
                self.refused(exchange, refusal, how).await
            }
            None => self.refuse(exchange, refusal, false).await,
        }
    }

    /// Says why not: in headers, since nginx looks at nothing else, and as a problem for who does.
    async fn refused(&mut self, exchange: Exchange, refusal: Refusal, how: Question<'_>) -> Next {
        let live = Arc::clone(&exchange.live);
        let problem = problem::body(&refusal, &exchange.id, live.config.refusals.reason);
        let status = how.by.status(refusal.status);
        let own = exchange.own_headers(&refusal);
        let own: String = own.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let mut out = format!(
            "HTTP/1.1 {status} {}\r\n{own}content-length: {}\r\nx-stopbank-status: {}\r\nx-stopbank-reason: {}\r\n{}",
            problem::phrase(status),
            problem.len(),
            refusal.status,
            refusal.reason.name(),
            last(&exchange, how),
        )
        .into_bytes();
        // JSON without a line end.
        for part in [b"x-stopbank-problem: ", &problem[..], b"\r\n\r\n"] {
            out.extend_from_slice(part);
        }
        if !how.is_head {
            out.extend_from_slice(&problem);
        }
        let written = self.write(&out, &live).await;
        exchange.end(refusal.status, Some(&refusal));
        match (written, how.keep) {
            (false, _) => Next::Close,
            (true, true) => Next::Request,
            (true, false) => Next::Linger,
        }
    }
}

/// Headers of every answer.
fn last(exchange: &Exchange, how: Question<'_>) -> String {
    let close = if how.keep { "" } else { "connection: close\r\n" };
    format!("x-request-id: {}\r\n{close}", exchange.id)
}
