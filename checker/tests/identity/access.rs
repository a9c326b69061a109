//! What who asks may do: by scope, audience and claim, by how they were authenticated, and with whose objects.

use serde_json::{Value, json};
use stopbank_checker::{Policy, Reason};

use crate::{
    sign::NOW,
    world::{World, header, said},
};

fn asks(world: &World, changes: &Value, line: &str, rest: &str) -> stopbank_checker::Verdict {
    let token = world.token(changes);
    world.judge(&format!("{line} HTTP/1.1\nHost: a\nAuthorization: Bearer {token}\n{rest}"), |_| {})
}

#[test]
fn scopes_audiences_and_claims_are_demanded_and_challenges_say_which() {
    let world = World::new(
        "identity = [\"main\", \"key\"]\nscopes = [\"read\", \"write\"]\naudiences = [\"admin\"]\nclaims = { role = [\"admin\", \"7\"] }",
    );
    let good = json!({ "aud": ["https://api.example", "admin"], "role": "admin" });
    let with = |name: &str, value: Value| {
        let mut changes = good.clone();
        changes[name] = value;
        changes
    };
    for changes in [
        good.clone(),
        with("role", json!(["user", "admin"])),
        with("role", json!(7)),
        with("scope", json!("x write read")),
    ] {
        let verdict = asks(&world, &changes, "GET /7", "");
        assert!(verdict.is_allowed(), "{changes}: {verdict:?}");
    }
    for (changes, reason, rule, told) in [
        (
            with("scope", json!("read")),
            Reason::ScopeMissing,
            "scope write",
            "error=\"insufficient_scope\", scope=\"read write\"",
        ),
        (with("scope", json!("read writes")), Reason::ScopeMissing, "scope write", "insufficient_scope"),
        (with("aud", json!("https://api.example")), Reason::AudienceOther, "audiences", "invalid_token"),
        (with("role", json!("ADMIN")), Reason::ClaimOther, "claim role", ""),
        (with("role", json!({ "admin": true })), Reason::ClaimOther, "claim role", ""),
        (with("role", Value::Null), Reason::ClaimOther, "claim role", ""),
    ] {
        let verdict = asks(&world, &changes, "GET /7", "");
        assert_eq!(said(&verdict), (Some(reason), rule), "{changes}");
        let challenges = header(&verdict, "www-authenticate");
        assert!(
            if told.is_empty() { challenges.is_empty() } else { challenges[0].contains(told) },
            "{challenges:?}"
        );
        assert_eq!(
            verdict.identity.and_then(|one| one.subject).as_deref(),
            Some("alice"),
            "who it was is known"
        );
    }
    // A key has no audience.
    assert_eq!(said(&world.get(&format!("X-Api-Key: {}", world.key))).0, Some(Reason::AudienceOther));
}

#[test]
fn a_stronger_or_fresher_authentication_is_asked_for() {
    let world =
        World::new("identity = [\"main\"]\nacr = [\"gold\"]\namr = [\"pwd\", \"otp\"]\nmax_age = \"5m\"");
    let good = json!({ "acr": "gold", "amr": ["otp", "pwd"], "auth_time": NOW - 299 });
    assert!(asks(&world, &good, "GET /7", "").is_allowed());
    for (name, value) in [
        ("acr", json!("silver")),
        ("amr", json!(["pwd"])),
        ("auth_time", json!(NOW - 300)),
        ("auth_time", Value::Null),
    ] {
        let mut changes = good.clone();
        changes[name] = value;
        let verdict = asks(&world, &changes, "GET /7", "");
        assert_eq!((verdict.reason, verdict.status), (Some(Reason::AuthenticationWeak), 401));
        let challenge = header(&verdict, "www-authenticate")[0];
        assert!(
            challenge.contains("error=\"insufficient_user_authentication\"")
                && challenge.contains("acr_values=\"gold\"")
                && challenge.contains("max_age=\"300\""),
            "RFC 9470, section 3: {challenge}"
        );
    }
}

#[test]
fn an_id_in_path_query_or_body_must_be_the_identitys_own() {
    let world = World::new(
        "identity = [\"main\"]\nbind = [{ id = \"path:id\", claim = \"account\" }, { id = \"query:user\", claim = \"sub\" }, { id = \"body:/from/a~1b\", claim = \"account\" }]",
    );
    let body = |text: &str| format!("Content-Type: application/json\n\n{text}");
    let good = "{\"from\": {\"a/b\": 42}}";
    let claims = json!({ "account": ["41", 42] });
    assert!(asks(&world, &claims, "POST /42?user=alice", &body(good)).is_allowed());
    assert!(
        asks(&world, &claims, "POST /%34%32?user=%61lice", &body("{\"from\": {\"a\\/b\": \"41\"}}"))
            .is_allowed()
    );
    for (line, text) in [
        ("POST /43?user=alice", good),
        ("POST /042?user=alice", good),
        ("POST /42?user=bob", good),
        ("POST /42?user=alice&user=bob", good),
        ("POST /42?user=alice&user=alice", good),
        ("POST /42?User=alice", good),
        ("POST /42", good),
        ("POST /42?user=alice", "{\"from\": {\"a/b\": 43}}"),
        ("POST /42?user=alice", "{\"from\": {\"a/b\": 4.2e1}}"),
        ("POST /42?user=alice", "{\"from\": {\"a/b\": [42]}}"),
        ("POST /42?user=alice", "{\"from\": {\"a\": {\"b\": 42}}}"),
        ("POST /42?user=alice", "{\"to\": 42}"),
        ("POST /42?user=alice", "[]"),
    ] {
        let verdict = asks(&world, &claims, line, &body(text));
        assert_eq!((verdict.reason, verdict.status), (Some(Reason::ObjectOther), 403), "{line} {text}");
    }
    for (line, rest) in [
        ("POST /42?user=alice", "Content-Type: application/x-www-form-urlencoded\n\nfrom=42"),
        ("POST /42?user=alice", "Content-Type: text/plain\n\n42"),
        ("GET /42?user=alice", ""),
    ] {
        assert_eq!(asks(&world, &claims, line, rest).reason, Some(Reason::ObjectOther), "{rest}");
    }
    assert_eq!(
        asks(&world, &json!({}), "POST /42?user=alice", &body(good)).reason,
        Some(Reason::ObjectOther),
        "no claim"
    );
}

#[test]
fn an_id_that_some_server_reads_twice_is_not_ones_own() {
    let world = World::new(
        "identity = [\"main\"]\nbind = [{ id = \"query:user_id\", claim = \"sub\" }, { id = \"body:/from/id\", claim = \"sub\" }]",
    );
    let json = |text: &str| format!("Content-Type: application/json\n\n{text}");
    let good = "{\"from\": {\"id\": \"alice\"}}";
    assert!(asks(&world, &json!({}), "POST /1?user_id=alice", &json(good)).is_allowed());
    for (query, text) in [
        // ASP.NET, and PHP.
        ("user_id=alice&User_ID=bob", good),
        ("user_id=alice&user.id=bob", good),
        ("user_id=alice&user_id[]=bob", good),
        ("user_id=alice&user_id%00=bob", good),
        // Go's encoding/json takes the last of these, and System.Text.Json as well.
        ("user_id=alice", "{\"from\": {\"id\": \"alice\", \"ID\": \"bob\"}}"),
        ("user_id=alice", "{\"from\": {\"id\": \"alice\"}, \"From\": {\"id\": \"bob\"}}"),
        ("user_id=alice", "{\"\u{17f}\": 1, \"From\": {\"Id\": \"alice\"}}"),
    ] {
        let verdict = asks(&world, &json!({}), &format!("POST /1?{query}"), &json(text));
        assert_eq!(verdict.reason, Some(Reason::ObjectOther), "{query} {text}");
    }
    // PHP's $_REQUEST takes the form's, servlets the query's.
    let world = World::new(
        "identity = [\"main\"]\nbind = [{ id = \"query:id\", claim = \"sub\" }]\nchecks = { form = \"off\", multipart = \"off\" }",
    );
    let form = "Content-Type: application/x-www-form-urlencoded\n\n";
    let parts = "Content-Type: multipart/form-data; boundary=b\n\n--b\r\nContent-Disposition: form-data; name=\"id\"\r\n\r\nbob\r\n--b--\r\n";
    let ask = |rest: &str| asks(&world, &json!({}), "POST /1?id=alice", rest).reason;
    assert_eq!(ask(&format!("{form}other=bob")), None);
    assert_eq!(ask(&format!("{form}a=b&ID=bob")), Some(Reason::ObjectOther));
    assert_eq!(ask(parts), Some(Reason::ObjectOther));
}

#[test]
fn a_number_that_is_not_kept_as_it_is_written_is_nobodys_id() {
    let world = World::new("identity = [\"main\"]\nbind = [{ id = \"path:id\", claim = \"account\" }]");
    // 2^64 and what follows are doubles: two of them would be one.
    let claims = json!({ "account": 18_446_744_073_709_551_616_f64 });
    for id in ["18446744073709552000", "18446744073709551616", "1.8446744073709552e19"] {
        let verdict = asks(&world, &claims, &format!("GET /{id}"), "");
        assert_eq!(verdict.reason, Some(Reason::ObjectOther), "{id}");
    }
    assert!(asks(&world, &json!({ "account": u64::MAX }), "GET /18446744073709551615", "").is_allowed());
}

#[test]
fn what_a_route_demands_is_not_to_be_had_by_another_method() {
    let provers = crate::world::PROVERS;
    for undeclared in ["allow", "observe"] {
        let world = World::of(&format!(
            "undeclared = \"{undeclared}\"\n{provers}\n[[route]]\npath = \"/admin\"\nmethods = [\"GET\"]\nidentity = [\"main\"]\n\
             [[route]]\npath = \"/open\"\nmethods = [\"GET\"]\n"
        ));
        let ask = |line: &str| world.judge(&format!("{line} HTTP/1.1\nHost: a"), |_| {}).reason;
        for method in ["HEAD", "POST", "FOO", "get"] {
            assert_eq!(ask(&format!("{method} /admin")), Some(Reason::MethodUndeclared), "{method}");
        }
        // Browsers ask so before they send a credential.
        for line in ["OPTIONS /admin", "POST /open", "POST /other", "GET /open"] {
            assert_eq!(ask(line), None, "{line}");
        }
        // Frameworks that take the one for the other.
        let asked = "GET /open HTTP/1.1\nHost: a\nX-Original-URL: /admin";
        assert_eq!(world.judge(asked, |_| {}).reason, Some(Reason::Override));
        let form =
            "POST /admin/x HTTP/1.1\nHost: a\nContent-Type: application/x-www-form-urlencoded\n\n_method=GET";
        assert_eq!(world.judge(form, |_| {}).reason, None);
    }
}

#[test]
fn what_is_demanded_where_anyone_may_ask_is_an_error() {
    let provers = crate::world::PROVERS;
    let route = "[[route]]\npath = \"/a\"\nmethods = \"any\"\nidentity = []\nscopes = [\"admin\"]\n";
    let wrong = Policy::parse("test", &format!("{provers}\n{route}")).unwrap_err().to_string();
    assert!(wrong.contains("`scopes` where anyone may ask"), "{wrong}");
    let rate = "[[rate]]\nname = \"a\"\nby = \"key\"\nspike = \"5/s\"\nroutes = [\"/a\"]\n[[route]]\npath = \"/a\"\nmethods = \"any\"\nidentity = [\"main\"]\n";
    let wrong = Policy::parse("test", &format!("{provers}\n{rate}")).unwrap_err().to_string();
    assert!(wrong.contains("`a` counts by key, of which \"/a\" demands none"), "{wrong}");
    // At the top it stands for routes that say who asks.
    let top = format!(
        "identity = []\nscopes = [\"read\"]\n{provers}\n[[route]]\npath = \"/a\"\nmethods = \"any\"\nidentity = [\"main\"]\n"
    );
    let world = World::of(&top);
    assert_eq!(asks(&world, &json!({ "scope": "x" }), "GET /a", "").reason, Some(Reason::ScopeMissing));
}

#[test]
fn two_values_of_one_name_in_json_are_none_even_where_the_check_of_json_is_off() {
    let world = World::new(
        "identity = [\"main\"]\nbind = [{ id = \"body:/account\", claim = \"sub\" }]\nchecks = { json = \"off\", content = \"off\", injection = \"off\" }",
    );
    let with = |text: &str| {
        asks(&world, &json!({}), "POST /1", &format!("Content-Type: application/json\n\n{text}"))
    };
    assert!(with("{\"account\": \"alice\"}").is_allowed());
    assert_eq!(with("{\"account\": \"bob\", \"account\": \"alice\"}").reason, Some(Reason::ObjectOther));
    assert_eq!(with("{\"account\": \"alice\"} {\"account\": \"bob\"}").reason, Some(Reason::ObjectOther));
}

#[test]
fn checks_that_only_observe_let_through_and_say_so() {
    let world = World::new(
        "identity = [\"main\"]\nscopes = [\"admin\"]\nchecks = { identity = \"observe\", authorisation = \"observe\" }",
    );
    let verdict = asks(&world, &json!({}), "GET /7", "");
    let observed: Vec<Reason> = verdict.observed.iter().map(|finding| finding.reason).collect();
    assert!(
        verdict.is_allowed() && observed == [Reason::ScopeMissing] && verdict.identity.is_some(),
        "{verdict:?}"
    );
    let verdict = world.get("");
    let observed: Vec<Reason> = verdict.observed.iter().map(|finding| finding.reason).collect();
    assert!(
        verdict.is_allowed() && observed == [Reason::IdentityMissing; 2] && verdict.identity.is_none(),
        "{verdict:?}"
    );
    // What is only observed changes nothing: the server behind gets what it got before.
    let keeps = |world: &World| world.policy.rules(Some(0)).kept_back().contains(&"authorization");
    assert!(!keeps(&world) && keeps(&World::new("identity = [\"main\"]")));
    // Who is not known may not.
    let world = World::new("identity = [\"main\"]\nchecks.identity = \"off\"");
    assert_eq!(world.get("").reason, Some(Reason::IdentityMissing));
}

#[test]
fn the_policy_at_the_top_holds_for_every_route_that_says_nothing_else() {
    let provers = crate::world::PROVERS;
    let world = World::of(&format!(
        "identity = [\"main\"]\nscopes = [\"read\"]\n{provers}\n[[route]]\npath = \"/7\"\nmethods = \"any\"\n[[route]]\npath = \"/open\"\nmethods = \"any\"\nidentity = []\n[[route]]\npath = \"/write\"\nmethods = \"any\"\nscopes = [\"admin\"]"
    ));
    assert_eq!(world.get("").reason, Some(Reason::IdentityMissing));
    assert!(asks(&world, &json!({}), "GET /7", "").is_allowed());
    assert!(world.judge("GET /open HTTP/1.1\nHost: a", |_| {}).is_allowed());
    assert_eq!(asks(&world, &json!({}), "GET /write", "").reason, Some(Reason::ScopeMissing));
}
