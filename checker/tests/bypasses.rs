//! The corpus of bypasses through the engine. (`tests/proxy/bypasses.rs` has it through the proxy.)
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod corpus;

use std::collections::BTreeSet;

use stopbank_checker::{
    Reason, Verdict,
    engine::{Context, check, check_bytes},
    http1::Limits,
    response::{self, Ending},
    stream::{Chunks, HeadScan},
};

fn said(verdict: &Verdict) -> &'static str {
    verdict.reason.map_or("allow", Reason::name)
}

#[test]
fn every_bypass_of_http1_is_refused_for_its_reason_or_harmless() {
    let (generic, api) = (corpus::policy("generic"), corpus::policy("api"));
    let mut wrong = Vec::new();
    for case in corpus::requests() {
        let bytes = case.bytes();
        let policy = if case.policy == "api" { &api } else { &generic };
        let said = said(&check_bytes(&bytes, &Context::default(), policy));
        if said != case.verdict {
            wrong.push(format!("{}: {said}\n{}", case.name, String::from_utf8_lossy(&bytes)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_bypass_of_http2_is_refused_for_its_reason_or_harmless() {
    let policy = corpus::policy("generic");
    let mut wrong = Vec::new();
    for case in corpus::http2() {
        let Some(expected) = &case.verdict else { continue };
        let said = said(&check(&case.request(), &Context::default(), &policy));
        if said != expected {
            wrong.push(format!("{}: {said}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Reads an answer as the proxy does, with the same parsers: its body, or what is wrong with it.
fn read(mut bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
    // As many informational answers as the proxy takes.
    for _ in 0..8 {
        let endless = if bytes.len() > 64 << 10 { "header-length" } else { "upstream-broken" };
        let end = HeadScan::default().end(bytes).ok_or(endless)?;
        let (head, rest) = bytes.split_at(end);
        let head = response::head(head, &Limits::default()).map_err(Reason::name)?;
        bytes = rest;
        match head.status {
            101 => return Err("upstream-switched"),
            100..=199 => continue,
            _ => {}
        }
        return match response::ending(b"GET", &head).map_err(Reason::name)? {
            Ending::Empty => Ok(Vec::new()),
            Ending::Close => Ok(bytes.to_vec()),
            Ending::Length(length) => bytes.get(..length).map(<[u8]>::to_vec).ok_or("cut"),
            Ending::Chunked => {
                let (mut chunks, mut body) = (Chunks::of_response(), Vec::new());
                let done = chunks.feed(bytes, &mut body, 1 << 20).is_ok() && chunks.is_done();
                if done { Ok(body) } else { Err("cut") }
            }
        };
    }
    Err("upstream-broken")
}

#[test]
fn every_answer_of_a_hostile_server_is_refused_or_ends_in_one_place() {
    for case in corpus::answers() {
        match read(&case.bytes()) {
            Ok(body) => {
                assert_eq!((case.verdict.as_str(), case.body.as_bytes()), ("allow", &*body), "{}", case.name);
            }
            Err(said) => assert_eq!(case.verdict, said, "{}", case.name),
        }
    }
}

#[test]
fn every_case_has_a_name_of_its_own_and_its_reason() {
    let (mut names, mut classes) = (BTreeSet::new(), BTreeSet::new());
    let requests = corpus::requests().into_iter().map(|case| (case.class, case.name, case.why));
    let http2 = corpus::http2().into_iter().map(|case| (case.class, case.name, case.why));
    let answers = corpus::answers().into_iter().map(|case| (case.class, case.name, case.why));
    for (class, name, why) in requests.chain(http2).chain(answers) {
        assert!(why.ends_with('.'), "{name}: no reason is written down");
        assert!(names.insert(name.clone()), "{name} stands twice");
        classes.insert(class);
    }
    assert!(names.len() >= 300 && classes.len() >= 11, "{} {classes:?}", names.len());
}
