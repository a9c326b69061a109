//! Answers of the proxy itself: `application/problem+json` (RFC 9457), with the request's id.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, json};
use stopbank_checker::{Check, Reason};

/// The media type.
pub(crate) const TYPE: &str = "application/problem+json";

/// Why a request is not answered by the upstream.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) check: Check,
    pub(crate) reason: Reason,
    /// What was found, masked; for the log alone.
    pub(crate) evidence: Option<serde_json::Value>,
    /// Headers of the answer beside those of every answer.
    pub(crate) headers: Vec<(String, String)>,
}

impl Refusal {
    pub(crate) const fn new(check: Check, reason: Reason) -> Self {
        Self { status: reason.status(), check, reason, evidence: None, headers: Vec::new() }
    }
}

/// The body of the answer. `told`: whether the client learns the reason.
pub(crate) fn body(refusal: &Refusal, id: &str, told: bool) -> Vec<u8> {
    let mut members = Map::new();
    members.insert("type".to_owned(), json!("about:blank"));
    members.insert("title".to_owned(), json!(phrase(refusal.status)));
    members.insert("status".to_owned(), json!(refusal.status));
    if told {
        members.insert("detail".to_owned(), json!(refusal.reason.description()));
        members.insert("reason".to_owned(), json!(refusal.reason.name()));
    }
    members.insert("request_id".to_owned(), json!(id));
    serde_json::to_vec(&members).unwrap_or_default()
}

/// The phrase of a status.
pub(crate) fn phrase(status: u16) -> &'static str {
    hyper::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Unknown")
}

/// Ids of requests: 32 hexadecimal digits, none twice, and no one learns from one how many there were.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    next: AtomicU64,
    keys: [RandomState; 2],
}

impl Ids {
    pub(crate) fn next(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let halves = self.keys.each_ref().map(|key| key.hash_one(number));
        // The formatter takes ten times as long, for each request.
        let digits = halves.iter().flat_map(|half| (0..16).rev().map(move |place| half >> (4 * place) & 15));
        let mut id = String::with_capacity(32);
        id.extend(digits.map(|digit| char::from(b"0123456789abcdef"[digit as usize])));
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_tells_the_reason_only_where_it_may() {
        let refusal = Refusal::new(Check::Json, Reason::JsonDepth);
        let told = String::from_utf8(body(&refusal, "12", true)).unwrap();
        let secret = String::from_utf8(body(&refusal, "12", false)).unwrap();
        assert!(told.contains("json-depth") && told.contains("nested"), "{told}");
        assert!(!secret.contains("json") && secret.contains("\"request_id\":\"12\""), "{secret}");
        assert!(secret.contains("\"title\":\"Bad Request\""), "{secret}");
    }

    #[test]
    fn ids_have_32_digits_and_none_comes_twice() {
        let ids = Ids::default();
        let all: std::collections::HashSet<String> = (0..1000).map(|_| ids.next()).collect();
        assert!(all.len() == 1000 && all.iter().all(|id| id.len() == 32));
    }
}
