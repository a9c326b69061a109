//! Which servers are measured by which requests.

use crate::{
    auth_request, envoy, haproxy,
    requests::Kind,
    subjects::{NONE, OURS, PEER, PLAIN},
};

/// Servers that are measured in one run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// The checker as a proxy, beside others.
    Proxies,
    Haproxy,
    Envoy,
    /// nginx that asks.
    Nginx,
}

/// One kind of request, and who is asked, in the order of their turns.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) kind: Kind,
    pub(crate) subjects: Vec<&'static str>,
}

impl Case {
    /// At a share of whose most requests latency is compared.
    pub(crate) fn ours(&self) -> &'static str {
        self.subjects.first().copied().unwrap_or(NONE)
    }
}

impl Part {
    pub(crate) fn cases(self) -> Vec<Case> {
        let plain = |subjects: &[&'static str]| {
            let case = |kind| Case { kind, subjects: subjects.to_vec() };
            Kind::PLAIN.map(case).to_vec()
        };
        match self {
            Self::Proxies => plain(&[OURS, PLAIN, PEER, NONE]),
            Self::Haproxy => plain(&[haproxy::ASKS, haproxy::ALONE, NONE]),
            Self::Nginx => plain(&[auth_request::ASKS, auth_request::ALONE, NONE]),
            Self::Envoy => {
                let mut cases = plain(&[envoy::ASKS, envoy::ALONE, NONE]);
                let subjects =
                    vec![envoy::ASKS_TOKENS, envoy::ASKS, envoy::JWT, envoy::JWT_CACHE, envoy::ALONE, NONE];
                cases.push(Case { kind: Kind::Token, subjects: subjects.clone() });
                cases.push(Case { kind: Kind::NewToken, subjects });
                cases
            }
        }
    }

    /// Of which subjects it is said what the one adds to the other.
    pub(crate) fn compared(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::Proxies => vec![],
            Self::Haproxy => vec![(haproxy::ASKS, haproxy::ALONE)],
            Self::Nginx => vec![(auth_request::ASKS, auth_request::ALONE)],
            Self::Envoy => vec![
                (envoy::ASKS, envoy::ALONE),
                (envoy::ASKS_TOKENS, envoy::ALONE),
                (envoy::ASKS_TOKENS, envoy::ASKS),
                (envoy::JWT, envoy::ALONE),
                (envoy::JWT_CACHE, envoy::ALONE),
            ],
        }
    }
}
