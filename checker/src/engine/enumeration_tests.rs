//! Enumerations as a policy has them judged.

use std::time::Duration;

use serde_json::json;

use super::{Context, Judge, check_bytes};
use crate::{
    Identity, IdentityKind, Policy, Reason, State, Verdict,
    content::Content,
    rates::Time,
    state::{NoFiles, Seed},
};

const POLICY: &str = "
[[enumeration]]
name = \"documents\"
routes = [\"/documents/{number}\", \"/documents/{number}/pdf\"]
id = \"path:number\"
distinct = 40
walk = 10
window = \"10m\"

[[enumeration]]
name = \"users\"
routes = [\"/users\"]
id = \"query:id\"
distinct = 5
mode = \"observe\"

[[enumeration]]
name = \"orders\"
routes = [\"/orders\"]
id = \"body:/order/id\"
distinct = 5

[[enumeration]]
name = \"files\"
routes = [\"/files/{rest*}\"]
id = \"path:rest\"
distinct = 5

[[route]]
path = \"/documents/{number}\"
methods = [\"GET\"]

[[route]]
path = \"/documents/{number}/pdf\"
methods = [\"GET\"]

[[route]]
path = \"/users\"
methods = [\"GET\"]

[[route]]
path = \"/orders\"
methods = [\"POST\"]

[[route]]
path = \"/files/{rest*}\"
methods = [\"GET\"]
";

struct World {
    policy: Policy,
    state: State,
}

impl World {
    fn new(text: &str) -> Self {
        let policy = Policy::parse("policy", text).unwrap_or_else(|errors| panic!("{errors}"));
        let state = State::new(&policy, &Seed::new(&[7; 32]), None, &mut NoFiles, 0).unwrap();
        Self { policy, state }
    }

    fn context(&self, client: Option<&str>) -> Context<'_> {
        let monotonic = Duration::from_secs(100);
        Context {
            client: client.map(|client| client.parse().unwrap()),
            time: Some(Time { monotonic, wall: monotonic }),
            state: Some(&self.state),
            ..Context::default()
        }
    }

    fn get(&self, client: &str, path: &str) -> Verdict {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        check_bytes(request.as_bytes(), &self.context(Some(client)), &self.policy)
    }

    fn post(&self, path: &str, content_type: &str, body: &str) -> Verdict {
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        check_bytes(request.as_bytes(), &self.context(Some("192.0.2.1")), &self.policy)
    }
}

fn said(verdict: &Verdict) -> &'static str {
    verdict.reason.map_or("allow", Reason::name)
}

#[test]
fn an_address_that_goes_through_objects_is_refused_with_its_reason_and_others_are_not() {
    let world = World::new(POLICY);
    let given = (1..100).take_while(|id| world.get("192.0.2.1", &format!("/documents/{id}")).is_allowed());
    assert_eq!(given.count(), 11);
    // Another route of the same objects, and another way to write the address.
    let refused = world.get("::ffff:192.0.2.1", "/documents/12/pdf");
    assert_eq!((said(&refused), refused.status), ("object-walk", 429));
    assert_eq!(refused.headers, [("retry-after".to_owned(), "600".to_owned())]);
    let evidence = refused.evidence.unwrap();
    let shown = (&*evidence.rule, &*evidence.place, &*evidence.text);
    assert_eq!(shown, ("documents", "path:number", "192.0.2.1/32"));
    assert_eq!(said(&world.get("192.0.2.2", "/documents/12")), "allow");
    let random = (0..100).map(|id| format!("/documents/{}", id * 1_000));
    let given = random.take_while(|path| world.get("2001:db8::1", path).is_allowed()).count();
    assert!((33..=47).contains(&given), "{given}");
    // Whoever has an IPv6 network has all addresses of it.
    assert_eq!(said(&world.get("2001:db8::2", "/documents/7777777")), "object-count");
}

#[test]
fn each_value_of_a_parameter_counts_and_what_observes_refuses_nothing() {
    let world = World::new(POLICY);
    let many = world.get("192.0.2.1", "/users?id=1&id=100&id=200&id=300&id=400");
    assert!(many.is_allowed() && many.observed.is_empty());
    let more = world.get("192.0.2.1", "/users?id=900");
    assert!(more.is_allowed() && more.headers.is_empty());
    let noted: Vec<_> = more.observed.iter().map(|finding| finding.reason.name()).collect();
    assert_eq!(noted, ["object-count"]);
    assert!(world.get("192.0.2.1", "/users").observed.is_empty());
}

#[test]
fn ids_in_bodies_count_and_a_body_that_cannot_be_read_does_not_pass() {
    let world = World::new(POLICY);
    let json = "application/json";
    for id in 0..5 {
        let body = format!("{{\"order\":{{\"id\":{}}}}}", id * 1_000);
        assert_eq!(said(&world.post("/orders", json, &body)), "allow");
    }
    assert_eq!(said(&world.post("/orders", json, "{\"order\":{\"id\":\"x\"}}")), "object-count");
    assert_eq!(said(&world.post("/orders", json, "{\"order\":{}}")), "allow");
    assert_eq!(said(&world.post("/orders", "text/plain", "order=7")), "body-unread");
    let lax = World::new(&format!("checks.json = \"off\"\n{POLICY}"));
    assert_eq!(said(&lax.post("/orders", json, "{\"order\":{\"id\":1,\"id\":2}}")), "body-unread");
    // Nothing else needs the body.
    assert!(lax.policy.routes().iter().any(|route| route.path() == "/orders" && route.rules().needs_body()));
}

#[test]
fn all_that_the_rest_of_a_path_stands_for_is_the_id() {
    let world = World::new(POLICY);
    let given = (0..100).take_while(|id| world.get("192.0.2.1", &format!("/files/a/{id}x")).is_allowed());
    assert_eq!(given.count(), 5);
}

#[test]
fn whoever_is_known_is_counted_by_subject_whatever_the_credential_and_the_address() {
    let world = World::new(POLICY);
    let identity = |kind, subject: Option<&str>, id: &str, hash| Identity {
        kind,
        issuer: "main".into(),
        subject: subject.map(str::to_owned),
        id: Some(id.to_owned()).filter(|id| !id.is_empty()),
        hash: [hash; 32],
        class: None,
        claims: std::sync::Arc::new(json!({}).as_object().unwrap().clone()),
    };
    let context = world.context(Some("192.0.2.1"));
    let rules = world.policy.routes().iter().find(|route| route.path() == "/orders").unwrap().rules();
    let ask = |identity: Option<Identity>, id: u32| {
        let mut judge = Judge::new(rules, &context);
        judge.identity = identity.map(Box::new);
        let body = format!("{{\"order\":{{\"id\":{}}}}}", id * 1_000);
        judge.enumeration_of_body(Content::Json, body.as_bytes()).is_ok()
    };
    let token = |subject, hash| identity(IdentityKind::Token, subject, "", hash);
    for id in 0..5 {
        assert!(ask(Some(token(Some("alice"), id)), id.into()), "{id}");
    }
    assert!(!ask(Some(token(Some("alice"), 9)), 6));
    let certificate = |subject| identity(IdentityKind::Certificate, subject, "thumbprint", 9);
    for other in [
        Some(token(Some("bob"), 9)),
        Some(token(None, 9)),
        Some(certificate(Some("alice"))),
        Some(certificate(None)),
        None,
    ] {
        assert!(ask(other, 6));
    }
}

#[test]
fn without_memory_a_clock_or_anyone_to_count_it_fails_as_the_policy_says() {
    let request = b"GET /documents/1 HTTP/1.1\r\nHost: a\r\n\r\n";
    for (open, expected) in [("", "rate-unknown"), ("fail = \"open\"\n", "allow")] {
        let world = World::new(&format!("{open}{POLICY}"));
        for broken in [
            world.context(None),
            Context { state: None, ..world.context(Some("192.0.2.1")) },
            Context { time: None, ..world.context(Some("192.0.2.1")) },
        ] {
            assert_eq!(said(&check_bytes(request, &broken, &world.policy)), expected);
        }
    }
    let off = World::new(&format!("checks.authorisation = \"off\"\n{POLICY}"));
    assert_eq!(said(&check_bytes(request, &off.context(None), &off.policy)), "allow");
}

#[test]
fn a_question_counts_nothing_and_a_reload_forgets_nothing() {
    let world = World::new(POLICY);
    let request = |id: u32| format!("GET /documents/{id} HTTP/1.1\r\nHost: a\r\n\r\n");
    for id in 0..100 {
        let context = Context { looks_only: true, ..world.context(Some("192.0.2.1")) };
        assert!(check_bytes(request(id).as_bytes(), &context, &world.policy).is_allowed());
    }
    let given = (1..100).take_while(|id| world.get("192.0.2.1", &format!("/documents/{id}")).is_allowed());
    assert_eq!(given.count(), 11);
    let of = |policy: &Policy| {
        State::new(policy, &Seed::new(&[7; 32]), Some(&world.state), &mut NoFiles, 0).unwrap()
    };
    let ask = |text: &str| {
        let policy = Policy::parse("policy", text).unwrap();
        let state = of(&policy);
        let context = Context { state: Some(&state), ..world.context(Some("192.0.2.1")) };
        said(&check_bytes(request(12).as_bytes(), &context, &policy))
    };
    assert_eq!(ask(&POLICY.replace("distinct = 5", "distinct = 6")), "object-walk");
    assert_eq!(ask(&POLICY.replace("walk = 10", "walk = 11")), "allow");
}

#[test]
fn a_policy_is_shown_as_it_is_read_and_its_memory_is_told() {
    let policy = World::new(POLICY).policy;
    let shown = policy.render();
    assert_eq!(Policy::parse("shown", &shown).unwrap().enumerations(), policy.enumerations());
    assert_eq!(policy.memory(), policy.enumerations().iter().map(|one| one.rule.memory()).sum::<usize>());
    assert!(policy.memory() >> 20 < 40, "{}", policy.memory());
}
