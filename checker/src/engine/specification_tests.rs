//! Requests and answers against the specification that `api.toml` is tried with.

use super::{Answer, Context, check_bytes, check_head};
use crate::{Check, Field, Finding, Policy, Verdict, http1};

const SPECIFICATION: &str = include_str!("../../policies/openapi.yaml");
const ACCOUNT: &str = "/v1/accounts/6f1c1a52-0d3c-4f0e-9d6a-0a6f2f6b7c11";
const NO_INJECTION: &str = "checks.injection = \"off\"\n";

fn policy(text: &str) -> Policy {
    let mut load = |name: &str| {
        assert_eq!(name, "openapi.yaml");
        Ok(SPECIFICATION.to_owned())
    };
    let text = format!("openapi = \"openapi.yaml\"\n{text}");
    Policy::read("policy", &text, &mut load).unwrap_or_else(|errors| panic!("{errors}"))
}

fn judged(policy: &Policy, head: &str, body: &str) -> Verdict {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let request = format!("{head}\r\nHost: api.example.org\r\n{length}\r\n{body}");
    check_bytes(request.as_bytes(), &Context::default(), policy)
}

/// Reason, place and keyword; the operation's name where it is allowed.
fn said(policy: &Policy, head: &str, body: &str) -> String {
    let verdict = judged(policy, head, body);
    let operation =
        verdict.operation.map(|number| policy.openapi().unwrap().specification().operations()[number].name());
    match (&verdict.reason, &verdict.evidence) {
        (None, _) => operation.unwrap_or_else(|| "none".to_owned()),
        (Some(reason), None) => reason.name().to_owned(),
        (Some(reason), Some(evidence)) => {
            assert_eq!((verdict.check, evidence.text.as_str()), (Some(Check::Schema), ""));
            format!("{} {} {}", reason.name(), evidence.place, evidence.rule)
        }
    }
}

fn payment(more: &str) -> String {
    format!(
        "POST {ACCOUNT}/payments HTTP/1.1\r\nIdempotency-Key: 12345678\r\nContent-Type: application/json{more}"
    )
}

const GOOD: &str = r#"{"to":"DE12","amount":5,"currency":"EUR"}"#;

#[test]
fn operations_are_routes_and_their_parameters_and_bodies_are_as_declared() {
    let policy = policy("");
    let good = GOOD.replace("DE12", "GB33BUKB20201555555555");
    for (head, body, says) in [
        ("GET /v1/accounts HTTP/1.1", "", "listAccounts"),
        ("HEAD /v1/accounts HTTP/1.1", "", "listAccounts"),
        ("GET /v1/accounts?limit=100&state=open HTTP/1.1", "", "listAccounts"),
        ("GET /v1/accounts?limit=101 HTTP/1.1", "", "schema-parameter query limit maximum"),
        ("GET /v1/accounts?debug=1 HTTP/1.1", "", "schema-undeclared-parameter query debug undeclared"),
        ("GET /v1/accounts/7 HTTP/1.1", "", "schema-parameter path account format"),
        ("GET /v1/receipts/77.pdf HTTP/1.1", "", "getReceipt"),
        ("GET /v1/receipts/x.pdf HTTP/1.1", "", "schema-parameter path payment pattern"),
        ("GET /v1/receipts/77.txt HTTP/1.1", "", "route-undeclared"),
        ("GET /accounts HTTP/1.1", "", "route-undeclared"),
        ("DELETE /v1/accounts HTTP/1.1", "", "method-undeclared"),
        ("GET /v1/accounts HTTP/1.1", "{}", "schema-body body undeclared"),
        (&payment(""), &good, "pay"),
        (&payment(""), GOOD, "schema-body body /to minLength"),
        (&payment("; charset=utf-8"), &good.replace('5', "-5"), "schema-body body /amount minimum"),
        (&payment(""), &good.replace("}", ",\"id\":1}"), "schema-body body /id readOnly"),
        (&payment(""), "", "schema-body body json-syntax"),
        (&payment("").replace("application/json", "text/plain"), "x", "schema-content-type body content"),
        (&payment("").replace("12345678", "1"), &good, "schema-parameter header Idempotency-Key minLength"),
    ] {
        assert_eq!(said(&policy, head, body), says, "{head}\n{body}");
    }
    let routes: Vec<(&str, String)> =
        policy.routes().iter().map(|route| (route.path(), route.methods().join(" "))).collect();
    assert_eq!(routes[0], ("/v1/accounts", "GET HEAD".to_owned()));
    assert_eq!(routes[2], ("/v1/accounts/{account}/payments", "POST".to_owned()));
}

#[test]
fn a_route_of_the_policy_stands_over_an_operation() {
    let policy = policy(
        "[[route]]\npath = \"/v1/accounts\"\nmethods = [\"GET\"]\nchecks.schema = \"observe\"\n\
         [[route]]\npath = \"/healthz\"\nmethods = [\"GET\"]\nchecks.schema = \"off\"\n\
         [[route]]\npath = \"/other\"\nmethods = [\"GET\"]\n",
    );
    let verdict = judged(&policy, "GET /v1/accounts?limit=0 HTTP/1.1", "");
    assert!(verdict.is_allowed());
    assert_eq!((verdict.route, verdict.operation), (Some(0), Some(0)));
    assert_eq!(verdict.observed.len(), 1);
    assert_eq!(verdict.observed[0].reason.name(), "schema-parameter");
    // The methods that it has not are those of the specification.
    assert_eq!(
        said(&policy, "HEAD /v1/accounts?limit=0 HTTP/1.1", ""),
        "schema-parameter query limit minimum"
    );
    assert_eq!(said(&policy, "GET /healthz HTTP/1.1", ""), "none");
    assert_eq!(said(&policy, "GET /other HTTP/1.1", ""), "schema-undeclared-path path undeclared");
}

#[test]
fn where_undeclared_requests_are_allowed_the_specification_does_not_refuse_them() {
    let policy = policy("undeclared = \"allow\"\n");
    assert_eq!(said(&policy, "GET /other HTTP/1.1", ""), "none");
    assert_eq!(
        said(&policy, "GET /v1/accounts?limit=0 HTTP/1.1", ""),
        "schema-parameter query limit minimum"
    );
}

#[test]
fn a_body_that_cannot_be_decoded_is_held_against_nothing_and_refused() {
    let policy = policy(&format!("checks.coding = \"observe\"\n{NO_INJECTION}"));
    assert_eq!(said(&policy, &payment("\r\nContent-Encoding: gzip"), GOOD), "body-unread");
    let off = self::policy(&format!("checks.coding = \"off\"\nchecks.schema = \"off\"\n{NO_INJECTION}"));
    assert!(judged(&off, &payment("\r\nContent-Encoding: x"), GOOD).is_allowed());
}

#[test]
fn a_check_of_json_that_does_not_refuse_keeps_the_specification_from_nothing() {
    let policy = policy("checks.json = \"off\"\nlimits.json.values = 1\n");
    let bad = GOOD.replace("DE12", "GB33BUKB20201555555555").replace("EUR", "E");
    assert_eq!(said(&policy, &payment(""), &bad), "schema-body body /currency pattern");
}

#[test]
fn the_specification_alone_needs_the_body() {
    let text = "[checks]\ncoding = \"off\"\ncontent = \"off\"\njson = \"off\"\nxml = \"off\"\ngraphql = \"off\"\nform = \"off\"\nmultipart = \"off\"\ninjection = \"off\"\n";
    let head = b"POST /v1/accounts/6f1c1a52-0d3c-4f0e-9d6a-0a6f2f6b7c11/payments HTTP/1.1\r\nHost: a\r\nIdempotency-Key: 12345678\r\nContent-Length: 2\r\n\r\n{}";
    let request = http1::read(head, &http1::Limits::default()).unwrap();
    let on = policy(text);
    assert!(check_head(&request, &Context::default(), &on).unwrap().needs_body());
    let off = Policy::parse("policy", &format!("undeclared = \"allow\"\n{text}")).unwrap();
    assert!(!check_head(&request, &Context::default(), &off).unwrap().needs_body());
}

fn answered(
    policy: &Policy,
    request: &str,
    status: u16,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Vec<String> {
    let verdict = judged(policy, request, "");
    assert!(verdict.is_allowed(), "{request}");
    let headers: Vec<Field<'_>> = headers
        .iter()
        .map(|(name, value)| Field { name: name.as_bytes(), value: value.as_bytes() })
        .collect();
    let answer = Answer { status, headers: &headers, body };
    let findings = policy.judge_response(verdict.route, verdict.operation, &answer);
    assert!(findings.is_empty() || policy.judges_response(verdict.route, verdict.operation));
    findings
        .into_iter()
        .map(|Finding { check, reason, evidence }| {
            let evidence = evidence.unwrap();
            format!("{} {} {} {}", check.name(), reason.name(), evidence.place, evidence.rule)
        })
        .collect()
}

#[test]
fn answers_are_observed() {
    let policy =
        policy("[[route]]\npath = \"/v1/receipts/77.pdf\"\nmethods = [\"GET\"]\nresponses = \"off\"\n");
    let json = [("Content-Type", "application/json")];
    let account = r#"{"id":"6f1c1a52-0d3c-4f0e-9d6a-0a6f2f6b7c11","owner":"x","state":"open"}"#;
    let list = format!("[{account}]");
    let get = "GET /v1/accounts HTTP/1.1";
    let wrong = |what: &str| vec![format!("schema schema-response response{what}")];
    for (status, headers, body, says) in [
        (200, &json[..], Some(list.as_bytes()), Vec::new()),
        (200, &json, Some(account.as_bytes()), wrong(" type")),
        (200, &json, Some(&list.as_bytes()[1..]), wrong(" json-syntax")),
        (200, &json, Some(b""), Vec::new()),
        (200, &json, None, Vec::new()),
        (200, &[("content-type", "text/html")], None, wrong(" content")),
        (200, &[("content-type", "text/html")], Some(b"x"), wrong(" content")),
        (500, &json, Some(b"{}"), wrong(" status")),
        (200, &[json[0], ("content-encoding", "gzip")], Some(list.as_bytes()), wrong(" coding-broken")),
    ] {
        assert_eq!(answered(&policy, get, status, headers, body), says, "{status} {headers:?} {body:?}");
    }
    let missing = list.replace("open", "lost");
    assert_eq!(answered(&policy, get, 200, &json, Some(missing.as_bytes())), wrong(" /0/state enum"));
    // Nothing is said where it is off, nor of what no operation is called for.
    assert!(answered(&policy, "GET /v1/receipts/77.pdf HTTP/1.1", 500, &json, Some(b"{}")).is_empty());
    assert!(!policy.judges_response(None, None));
    let generic = Policy::shipped("generic").unwrap();
    assert!(answered(&generic, get, 500, &json, Some(b"{}")).is_empty());
}
