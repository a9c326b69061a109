//! A request that is only asked about: it is judged here, and whoever asks passes it on.

use std::{rc::Rc, sync::Arc};

use bytes::Bytes;
use stopbank_checker::{Request, Verdict, forward, policy::Rules, security_headers::Change};

use super::Exchange;
use crate::proxy::{problem::Refusal, shared::Peer};

/// What whoever passes a request on is to change of it and of its answer.
#[derive(Default, Debug)]
pub(crate) struct Changes {
    /// Headers of the request, in place of the client's.
    pub(crate) set: Vec<(String, String)>,
    /// Names of the client's headers that stay.
    pub(crate) removed: Vec<String>,
    /// Headers of the answer.
    pub(crate) answer: Vec<(String, String, Beside)>,
}

/// What becomes of headers of the same name that the answer has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Beside {
    /// They go.
    Replaced,
    /// They stay beside it.
    Kept,
    /// They stay, and it is left out.
    Preferred,
}

impl Exchange {
    /// Whose request it is, where that is not who has connected; `peer` gets the number of the listener.
    pub(crate) fn comes_from(&mut self, peer: impl FnOnce(usize) -> Peer) {
        let peer = peer(self.peer.listener);
        self.client = peer.address.ip().to_canonical();
        self.secure = peer.tls;
        self.peer = Rc::new(peer);
    }

    /// Judges a request that is asked about, and whose body nobody shows.
    pub(crate) async fn allows(&mut self, request: &Request<'_>) -> Result<(), Refusal> {
        self.unseen = true;
        let live = Arc::clone(&self.live);
        let head = self.judge(&live, request).await?;
        // An id that must be the identity's own, and is in a body that nobody shows, is not its own.
        let bound = live.judge.rules(head.route()).access.needs_body();
        let verdict = match request.method {
            // Most have none, and their query may be what others have in it (GraphQL).
            b"GET" | b"HEAD" => live.judge.body(head, request, &Bytes::new(), &self.client(false)).await,
            _ if bound => live.judge.body(head, request, &Bytes::new(), &self.client(false)).await,
            _ => head.allow(),
        };
        self.decided(verdict)
    }

    /// Judges a request that is asked about, and whose body is shown: all of it, which `request` has as well.
    pub(crate) async fn allows_whole(&mut self, request: &Request<'_>, body: &Bytes) -> Result<(), Refusal> {
        let live = Arc::clone(&self.live);
        let head = self.judge(&live, request).await?;
        let verdict = live.judge.body(head, request, body, &self.client(false)).await;
        self.decided(verdict)
    }

    /// Notes the verdict, beyond which nobody says what becomes of the request.
    pub(super) fn decided(&mut self, verdict: Verdict) -> Result<(), Refusal> {
        let refusal = (!verdict.is_allowed()).then(|| Refusal::from(&verdict));
        self.note(verdict);
        if let Some(attempt) = self.attempt.take() {
            self.live.judge.answered(&attempt, None);
        }
        refusal.map_or(Ok(()), Err)
    }

    /// What is to become of a request that is allowed, so that the server behind gets it as if it had come through here.
    pub(crate) fn changes(&self, request: &Request<'_>) -> Changes {
        let rules = self.live.judge.rules(self.route);
        let source = self.source();
        let mut set = vec![("x-request-id".to_owned(), self.id.clone())];
        if let Some(hops) = forward::hops_behind(request, &source) {
            set.push(("x-forwarded-for".to_owned(), hops));
        }
        set.extend(self.told());
        let mut removed = forward::held_back(request, &source, &rules.kept_back());
        removed.retain(|name| !set.iter().any(|(other, _)| other == name));
        Changes { set, removed, answer: self.of_answer(rules) }
    }

    fn of_answer(&self, rules: &Rules) -> Vec<(String, String, Beside)> {
        let given = self.headers.iter().map(|(name, value)| {
            let stays = forward::BESIDE.contains(&name.as_str());
            (name.clone(), value.clone(), if stays { Beside::Kept } else { Beside::Replaced })
        });
        let replaced: Vec<_> = rules.headers.changes(self.secure, |_| true).collect();
        let set = rules.headers.changes(self.secure, |_| false).filter_map(|change| match change {
            Change::Set(name, value) => {
                let beside = if replaced.contains(&change) { Beside::Replaced } else { Beside::Preferred };
                Some((name.to_owned(), value.to_owned(), beside))
            }
            // Whoever asks cannot be told to take headers out.
            Change::Remove(_) => None,
        });
        given.chain(set).collect()
    }
}
