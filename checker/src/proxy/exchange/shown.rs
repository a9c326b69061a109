//! A request that is asked about, and whose body is shown as far as whoever asks has it.

use std::sync::Arc;

use bytes::Bytes;
use stopbank_checker::{Check, Headers, Reason, Request, forward};

use super::Exchange;
use crate::proxy::{problem::Refusal, spoe::Shown};

impl Exchange {
    /// Judges it. `body` is what `request` has: all of it, or nothing.
    pub(crate) async fn allows_shown(
        &mut self,
        request: &Request<'_>,
        body: &Bytes,
        shown: Shown,
    ) -> Result<(), Refusal> {
        let live = Arc::clone(&self.live);
        let wishes = forward::wishes(request).map_err(|reason| Refusal::new(Check::Connection, reason))?;
        // It goes on, and behind an answer to it nothing that is asked would be judged (`h2c`). WebSockets are the policy's.
        if request.values("upgrade").next().is_some() && !wishes.websocket || request.method == b"CONNECT" {
            return Err(Refusal::new(Check::Connection, Reason::Upgrade));
        }
        // Whoever asks is to have taken out by now what only it may say: otherwise a client's would go on.
        if self.says_who_asks(request) {
            return Err(Refusal::new(Check::Connection, Reason::FrontEnd));
        }
        let head = self.judge(&live, request).await?;
        let missing = match shown {
            Shown::Whole => None,
            Shown::Trailers => Some(Reason::Trailer),
            Shown::PartOfLength if !head.needs_body() => {
                self.unseen = true;
                self.note(head.allow());
                return Ok(());
            }
            Shown::Part | Shown::PartOfLength => Some(Reason::BodyPartial),
        };
        if let Some(reason) = missing {
            self.note(head.allow());
            return Err(Refusal::new(Check::Framing, reason));
        }
        let verdict = live.judge.body(head, request, body, &self.client(false)).await;
        self.decided(verdict)
    }

    /// Whether the request has a header that only this server's word may be in.
    pub(crate) fn says_who_asks(&self, request: &Request<'_>) -> bool {
        let own = self.live.judge.policy().default_rules().identity_headers();
        own.iter().any(|name| request.values(name).next().is_some())
    }

    /// The header that says who asks, as a line.
    pub(crate) fn identity_header(&self) -> Option<String> {
        self.told().map(|(name, value)| format!("{name}: {value}\r\n"))
    }

    /// The value of the header that says who asks.
    pub(crate) fn identity_told(&self) -> Option<String> {
        self.told().map(|(_, value)| value)
    }

    /// Names of the client's headers that do not go on.
    pub(crate) fn kept_back(&self) -> Vec<&str> {
        self.live.judge.rules(self.route).kept_back()
    }

    /// Headers that the answer gets beside its own.
    pub(crate) const fn given_headers(&self) -> &Headers {
        &self.headers
    }
}
