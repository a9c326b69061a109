use std::borrow::Cow;

use super::*;
use crate::Action;

fn policy(text: &str) -> Policy {
    Policy::parse("policy", text).unwrap_or_else(|errors| panic!("{errors}"))
}

fn generic() -> Policy {
    Policy::shipped("generic").unwrap()
}

fn request(head: &str, body: &str) -> Vec<u8> {
    format!("{head}\r\nHost: a.example\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Judges it whole, and its head first: both must say the same.
fn judged(policy: &Policy, head: &str, body: &str) -> Verdict {
    let bytes = request(head, body);
    let context = Context::default();
    let whole = check_bytes(&bytes, &context, policy);
    if let Ok(request) = http1::read(&bytes, policy.request_limits()) {
        let empty = Request { body: Cow::Borrowed(b""), ..request.clone() };
        match check_head(&empty, &context, policy) {
            Ok(head) if head.needs_body() => assert_eq!(head.check_body(&request, &context), whole),
            Ok(head) => assert_eq!(
                (head.clone().allow(), request.body.len() <= head.body_limit()),
                (whole.clone(), true)
            ),
            Err(refused) => assert_eq!(refused, whole),
        }
    }
    whole
}

fn said(verdict: &Verdict) -> (Option<Check>, Option<Reason>) {
    (verdict.check, verdict.reason)
}

#[test]
fn each_check_refuses_with_its_own_reason() {
    let json = "Content-Type: application/json";
    let form = "Content-Type: application/x-www-form-urlencoded";
    for (head, body, check, reason) in [
        ("GET /\tHTTP/1.1".to_owned(), "", Check::Framing, Reason::RequestLine),
        ("GET / HTTP/1.1\r\nX_Y: a".to_owned(), "", Check::Framing, Reason::HeaderUnderscore),
        (
            format!("GET / HTTP/1.1\r\nAccept-Encoding: {}", "gzip, ".repeat(100)),
            "",
            Check::Framing,
            Reason::HeaderValueLength,
        ),
        ("GET /../a HTTP/1.1".to_owned(), "", Check::Target, Reason::PathTraversal),
        ("GET / HTTP/1.1\r\nCookie: a=1; a=2".to_owned(), "", Check::Cookies, Reason::CookieRepeated),
        ("POST / HTTP/1.1\r\nContent-Encoding: gzip".to_owned(), "abc", Check::Coding, Reason::CodingBroken),
        (
            "POST / HTTP/1.1\r\nContent-Type: text/plain".to_owned(),
            "{}",
            Check::Content,
            Reason::ContentMismatch,
        ),
        (format!("POST / HTTP/1.1\r\n{json}"), "{\"a\":1,\"a\":2}", Check::Json, Reason::JsonRepeated),
        (
            "POST / HTTP/1.1\r\nContent-Type: text/xml".to_owned(),
            "<!DOCTYPE a><a/>",
            Check::Xml,
            Reason::XmlDtd,
        ),
        (
            "POST / HTTP/1.1\r\nContent-Type: application/graphql".to_owned(),
            "{\"query\": \"{a}\"}",
            Check::GraphQl,
            Reason::GraphQlSyntax,
        ),
        (format!("POST / HTTP/1.1\r\n{form}"), "a=%zz", Check::Form, Reason::PercentEncoding),
    ] {
        let verdict = judged(&generic(), &head, body);
        assert_eq!(verdict, Verdict::refused(check, reason), "{head:?} {body:?}");
    }
    for (head, body) in [
        (format!("POST /a/b?c=d HTTP/1.1\r\n{json}"), "{\"a\":[1,\"O'Neil\"]}"),
        (format!("POST / HTTP/1.1\r\n{form}"), "a=b+c&d=%26"),
        ("GET / HTTP/1.1\r\nCookie: a=1; b=2".to_owned(), ""),
        ("POST / HTTP/1.1\r\nContent-Type: application/xml".to_owned(), "<a b='c'>d</a>"),
        ("POST /?query=a HTTP/1.1\r\nContent-Type: application/graphql".to_owned(), "{ a }"),
    ] {
        assert_eq!(judged(&generic(), &head, body), Verdict::ALLOWED, "{head:?} {body:?}");
    }
}

#[test]
fn a_route_has_its_own_checks_and_limits() {
    let policy = policy(
        "limits.query.repeated = false
        [[route]]
        path = \"/a/{id}\"
        methods = [\"POST\"]
        checks = { json = \"observe\", query = \"off\" }
        [[route]]
        path = \"/b\"
        methods = [\"POST\"]
        limits.json.depth = 1
        limits.request.body = 8",
    );
    let json = "HTTP/1.1\r\nContent-Type: application/json";
    let verdict = judged(&policy, &format!("POST /a/7?x=1&x=2 {json}"), "{\"a\":1,\"a\":2}");
    assert_eq!((verdict.action, verdict.route), (Action::Allow, Some(0)));
    assert_eq!(
        verdict.observed,
        [Finding { check: Check::Json, reason: Reason::JsonRepeated, evidence: None }]
    );
    let said = |target: &str, body: &str| said(&judged(&policy, &format!("POST {target} {json}"), body));
    assert_eq!(said("/b", "[[1]]"), (Some(Check::Json), Some(Reason::JsonDepth)));
    assert_eq!(said("/b", "[1]"), (None, None));
    assert_eq!(said("/b", "[1, 2, 3]"), (Some(Check::Framing), Some(Reason::BodyLength)));
    assert_eq!(said("/b?x=1&x=2", "1"), (Some(Check::Query), Some(Reason::QueryRepeated)));
    assert_eq!(said("/c", "1"), (Some(Check::Route), Some(Reason::RouteUndeclared)));
    let verdict = judged(&policy, "GET /b HTTP/1.1", "");
    assert_eq!((verdict.reason, verdict.status), (Some(Reason::MethodUndeclared), 405));
    assert_eq!(judged(&policy, "OPTIONS * HTTP/1.1", "").reason, Some(Reason::RouteUndeclared));
}

#[test]
fn undeclared_requests_may_be_observed_or_allowed() {
    let observe = judged(&policy("undeclared = \"observe\""), "GET /a HTTP/1.1", "");
    assert_eq!(observe.action, Action::Allow);
    assert_eq!(
        observe.observed,
        [Finding { check: Check::Route, reason: Reason::RouteUndeclared, evidence: None }]
    );
    assert_eq!(judged(&policy("undeclared = \"allow\""), "GET /a HTTP/1.1", ""), Verdict::ALLOWED);
    // What has no route can be framed wrongly all the same.
    let framing = judged(&policy("undeclared = \"allow\""), "GET /a HTTP/1.1\r\nX_Y: a", "");
    assert_eq!(framing.reason, Some(Reason::HeaderUnderscore));
}

/// A policy in which nothing that needs the body is on.
fn bodies_off() -> String {
    let off = |check: &&Check| matches!(check.kind(), Kind::Body | Kind::Values);
    let lines = Check::ALL.iter().filter(off).map(|check| format!("checks.{} = \"off\"\n", check.name()));
    format!("undeclared = \"allow\"\nlimits.request.body = 10\n{}", lines.collect::<String>())
}

#[test]
fn a_body_that_no_check_needs_is_not_read_but_has_its_limit() {
    let policy = policy(&bodies_off());
    let json = "POST / HTTP/1.1\r\nContent-Type: application/json";
    assert_eq!(judged(&policy, json, "{{{{{"), Verdict::ALLOWED);
    assert_eq!(judged(&policy, json, "01234567890").reason, Some(Reason::BodyLength));
    let bytes = request(json, "01234567890");
    let wide = http1::read(&bytes, &http1::Limits::default()).unwrap();
    let refused = check_head(&wide, &Context::default(), &policy).unwrap_err();
    assert_eq!(refused.reason, Some(Reason::BodyLength));
    assert!(check_head(&wide, &Context::default(), &generic()).unwrap().needs_body());
}

#[test]
fn a_check_beyond_its_deadline_fails_as_the_policy_says() {
    let late: &dyn Fn() -> Duration = &|| Duration::from_millis(6);
    let bytes = request("POST / HTTP/1.1\r\nContent-Type: application/json", "{\"a\":1,\"a\":2}");
    let judged = |text: &str, elapsed| {
        check_bytes(
            &bytes,
            &Context { elapsed, ..Context::default() },
            &policy(&format!("undeclared = \"allow\"\n{text}")),
        )
    };
    let deadline = |fail: &str| format!("checks.json = {{ deadline = \"5ms\", fail = \"{fail}\" }}");
    let closed = judged(&deadline("closed"), Some(late));
    assert_eq!((closed.reason, closed.status), (Some(Reason::CheckDeadline), 503));
    let open = judged(&deadline("open"), Some(late));
    assert!(open.is_allowed());
    assert_eq!(
        open.observed,
        [Finding { check: Check::Json, reason: Reason::CheckDeadline, evidence: None }]
    );
    assert_eq!(judged(&deadline("open"), None).reason, Some(Reason::JsonRepeated));
    assert_eq!(judged("deadline = \"7ms\"", Some(late)).reason, Some(Reason::JsonRepeated));
}

#[test]
fn a_deadline_among_values_is_noticed_within_a_few_kibibytes_of_them() {
    let policy = policy("undeclared = \"allow\"\nchecks.injection.deadline = \"12ms\"");
    let judged = |values: usize| {
        let value = format!("\"{}\"", "a".repeat(1 << 10));
        let bytes = request(
            "POST / HTTP/1.1\r\nContent-Type: application/json",
            &format!("[{}]", vec![value; values].join(",")),
        );
        // Every look takes a millisecond.
        let looks = std::cell::Cell::new(0);
        let elapsed: &dyn Fn() -> Duration = &|| {
            looks.set(looks.get() + 1);
            Duration::from_millis(looks.get())
        };
        check_bytes(&bytes, &Context { elapsed: Some(elapsed), ..Context::default() }, &policy).reason
    };
    assert_eq!(judged(4), None);
    assert_eq!(judged(64), Some(Reason::CheckDeadline));
}

#[test]
fn a_request_that_another_part_has_read_has_the_same_limits() {
    let bytes = request("GET /aaaa HTTP/1.1\r\nX: 1234567890123456789012345678901234567890", "");
    let read = http1::read(&bytes, &http1::Limits::default()).unwrap();
    for (limit, reason) in [
        ("target = 16", None),
        ("headers = 2", Some(Reason::HeaderCount)),
        ("head = 64", Some(Reason::HeaderLength)),
    ] {
        let policy = policy(&format!("undeclared = \"allow\"\nlimits.request.{limit}"));
        assert_eq!(check(&read, &Context::default(), &policy).reason, reason, "{limit}");
    }
}

#[test]
fn an_endpoint_of_graphql_takes_graphql_alone() {
    let policy = policy(
        "[[route]]
        path = \"/graphql\"
        methods = \"any\"
        limits.graphql.endpoint = true
        limits.graphql.depth = 3",
    );
    let json = "POST /graphql HTTP/1.1\r\nContent-Type: application/json";
    for (head, body, reason) in [
        (json, r#"{"query":"{a{b{c}}}"}"#, None),
        (json, r#"{"query":"{a{b{c{d}}}}"}"#, Some(Reason::GraphQlDepth)),
        (json, r#"{"a":1}"#, Some(Reason::GraphQlRequest)),
        ("POST /graphql HTTP/1.1\r\nContent-Type: application/graphql", "{a}", None),
        (
            "POST /graphql?query={b} HTTP/1.1\r\nContent-Type: application/graphql",
            "{a}",
            Some(Reason::GraphQlRequest),
        ),
        ("POST /graphql HTTP/1.1\r\nContent-Type: text/plain", "query a", Some(Reason::GraphQlRequest)),
        ("GET /graphql?query={a} HTTP/1.1", "", None),
        ("GET /graphql?query=mutation{a} HTTP/1.1", "", Some(Reason::GraphQlKind)),
        ("GET /graphql HTTP/1.1", "", Some(Reason::GraphQlRequest)),
    ] {
        let verdict = judged(&policy, head, body);
        assert_eq!(verdict.reason, reason, "{head:?} {body:?}");
        assert_eq!(verdict.check, reason.map(|_| Check::GraphQl));
    }
}

#[test]
fn limits_by_name_add_to_those_above_and_lists_of_names_replace_them() {
    let policy = policy(
        "undeclared = \"allow\"\n\
         [limits.headers]\nvalue_length = 20\nvalue_lengths = { x-id = 4, accept-language = 30 }\n\
         [limits.graphql]\nendpoint = true\ncost = 20\nweights = { a = 10, b = 15 }\nmultipliers = [\"size\"]\n\
         [[route]]\npath = \"/more\"\nmethods = [\"POST\"]\nlimits.graphql = { weights = { b = 1 }, lists = { c = 5 } }\n",
    );
    for (header, reason) in [
        ("X-ID: 1234", None),
        ("X-ID: 12345", Some(Reason::HeaderValueLength)),
        ("X-Other: 12345678901234567890", None),
        ("X-Other: 123456789012345678901", Some(Reason::HeaderValueLength)),
        ("Accept-Language: en-GB,en;q=0.5,de;q=0.4", None),
        ("Accept-Language: en-GB,en;q=0.5,de;q=0.4,fr;q=0.3", Some(Reason::HeaderValueLength)),
        // As it was.
        ("Accept-Encoding: gzip, deflate, br, zstd", None),
    ] {
        let head = format!("OPTIONS / HTTP/1.1\r\n{header}");
        assert_eq!(judged(&policy, &head, "").reason, reason, "{head}");
    }
    for (path, document, allowed) in [
        ("/a", "{a b}", false),
        ("/a", "{a c d}", true),
        ("/a", "{c(size:20){d}}", false),
        ("/a", "{c(first:20){d}}", true),
        ("/more", "{a b}", true),
        ("/more", "{a x: a}", true),
        ("/more", "{a x: a b}", false),
        ("/more", "{c{d e f g}}", false),
        ("/more", "{c(size:2){d e f g}}", true),
    ] {
        let head = format!("POST {path} HTTP/1.1\r\nContent-Type: application/graphql");
        let reason = judged(&policy, &head, document).reason;
        assert_eq!(reason, (!allowed).then_some(Reason::GraphQlCost), "{path} {document}");
    }
}
