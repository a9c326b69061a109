//! Rates and brakes as a policy has them judged.

use std::{net::IpAddr, sync::Arc, time::Duration};

use serde_json::json;

use super::{Context, Judge, check_bytes};
use crate::{
    Field, Identity, IdentityKind, Policy, Request, State, Verdict, Version,
    rates::Time,
    state::{NoFiles, Seed},
};

fn policy(text: &str) -> Policy {
    Policy::parse("policy", text).unwrap_or_else(|errors| panic!("{errors}"))
}

fn seed() -> Seed {
    Seed::new(&[7; 32])
}

fn state(policy: &Policy) -> State {
    State::new(policy, &seed(), None, &mut NoFiles, 0).unwrap()
}

fn at(milliseconds: u64) -> Time {
    let monotonic = Duration::from_millis(milliseconds);
    Time { monotonic, wall: monotonic + Duration::from_secs(1_700_000_000) }
}

/// A client's request.
fn ask(policy: &Policy, state: &State, client: &str, when: u64, request: &str) -> Verdict {
    let context = Context {
        client: Some(client.parse().unwrap()),
        time: Some(at(when)),
        state: Some(state),
        ..Context::default()
    };
    check_bytes(request.as_bytes(), &context, policy)
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n")
}

fn said(verdict: &Verdict) -> &'static str {
    verdict.reason.map_or("allow", crate::Reason::name)
}

fn header<'v>(verdict: &'v Verdict, name: &str) -> Option<&'v str> {
    verdict.headers.iter().find(|header| header.0 == name).map(|header| header.1.as_str())
}

const SPIKE: &str = "undeclared = \"allow\"\n[[rate]]\nname = \"a\"\nby = \"address\"\nspike = \"5/s\"\n";

#[test]
fn five_a_second_is_one_every_200_ms_and_answers_say_when_to_come_back() {
    let policy = policy(SPIKE);
    let state = state(&policy);
    let ask = |when| ask(&policy, &state, "192.0.2.1", when, &get("/", ""));
    for turn in 0..20 {
        let good = ask(turn * 200);
        assert_eq!((said(&good), good.headers.len()), ("allow", 0));
        let early = ask(turn * 200 + 199);
        assert_eq!((said(&early), early.status), ("rate-spike", 429));
        assert_eq!(header(&early, "retry-after"), Some("1"));
        assert_eq!(header(&early, "ratelimit"), Some("\"a\";r=0;t=1"));
        assert_eq!(header(&early, "ratelimit-policy"), Some("\"a\";q=5;w=1"));
        let evidence = early.evidence.unwrap();
        assert_eq!((&*evidence.rule, &*evidence.place, &*evidence.text), ("a", "address", "192.0.2.1/32"));
    }
}

#[test]
fn a_quota_is_told_where_the_policy_wishes_and_weights_count() {
    let policy = policy(
        "undeclared = \"allow\"\n[[rate]]\nname = \"q\"\nby = \"address\"\nquota = \"5/h\"\nwindow = \"flexible\"\nheaders = true\n\
         weights = { POST = 3 }\n",
    );
    let state = state(&policy);
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    let ask = |when, request: &str| ask(&policy, &state, "192.0.2.1", when, request);
    assert_eq!(header(&ask(0, &get("/", "")), "ratelimit"), Some("\"q\";r=4;t=3600"));
    assert_eq!(header(&ask(1_000, post), "ratelimit"), Some("\"q\";r=1;t=3599"));
    let refused = ask(2_000, post);
    assert_eq!((said(&refused), header(&refused, "retry-after")), ("rate-quota", Some("3598")));
    assert_eq!(header(&ask(3_000, &get("/", "")), "ratelimit"), Some("\"q\";r=0;t=3597"));
    assert_eq!(said(&ask(3_600_000, post)), "allow");
}

/// What is asked of rules by one who was identified.
fn judged(
    policy: &Policy,
    state: &State,
    identity: Option<Identity>,
    cookie: &str,
    certificates: &[&[u8]],
) -> String {
    let headers = [("host", "a"), ("cookie", cookie)];
    let headers = headers.iter().filter(|(_, value)| !value.is_empty());
    let headers = headers.map(|(name, value)| Field { name: name.as_bytes(), value: value.as_bytes() });
    let request = Request {
        method: b"GET",
        target: b"/",
        version: Version::Http11,
        headers: headers.collect(),
        body: (&b""[..]).into(),
    };
    let client: IpAddr = "192.0.2.1".parse().unwrap();
    let context = Context {
        client: Some(client),
        time: Some(at(0)),
        state: Some(state),
        certificates,
        ..Context::default()
    };
    let mut judge = Judge::new(policy.default_rules(), &context);
    let before = judge.rates_before(&request);
    judge.identity = identity.map(Box::new);
    match before.and_then(|()| judge.rates_after(&request)) {
        Ok(()) => "allow".to_owned(),
        Err(finding) => {
            let evidence = finding.evidence.unwrap();
            format!("{} {}", evidence.place, evidence.text)
        }
    }
}

fn identity(kind: IdentityKind, subject: &str, id: &str) -> Identity {
    let claims = json!({ "sub": subject, "tenant": "blue", "level": 3 });
    Identity {
        kind,
        issuer: Arc::from("https://issuer.example"),
        subject: Some(subject.to_owned()),
        id: Some(id.to_owned()),
        hash: [id.len() as u8; 32],
        class: (subject == "gold").then(|| "gold".to_owned()),
        claims: Arc::new(claims.as_object().unwrap().clone()),
    }
}

/// Twice the same: the second time is refused where both have the same allowance.
fn same(by: &str, first: Option<Identity>, second: Option<Identity>, cookies: [&str; 2]) -> String {
    let policy = policy(&format!("[[rate]]\nname = \"a\"\nby = {by}\nquota = \"1/d\"\nidentities = 64"));
    let state = state(&policy);
    assert_eq!(judged(&policy, &state, first, cookies[0], &[]), "allow");
    judged(&policy, &state, second, cookies[1], &[])
}

#[test]
fn each_kind_of_identity_has_an_allowance_of_its_own() {
    use IdentityKind::{Certificate, Key, Token};
    let who = |kind, subject, id| Some(identity(kind, subject, id));
    let none = ["", ""];
    for (by, first, second, expected) in [
        ("\"token\"", who(Token, "s", "one"), who(Token, "s", "one"), "token #"),
        ("\"token\"", who(Token, "s", "one"), who(Token, "s", "other"), "allow"),
        ("\"token\"", who(Key, "s", "one"), who(Key, "s", "one"), "allow"),
        ("\"key\"", who(Key, "s", "one"), who(Key, "s", "one"), "key one"),
        ("\"key\"", who(Key, "s", "one"), who(Key, "s", "two"), "allow"),
        ("\"subject\"", who(Key, "s", "one"), who(Token, "s", "two"), "subject s"),
        ("\"subject\"", who(Key, "s", "one"), who(Key, "t", "one"), "allow"),
        ("{ claim = \"tenant\" }", who(Token, "s", "one"), who(Token, "t", "two"), "claim tenant blue"),
        ("{ claim = \"level\" }", who(Token, "s", "one"), who(Token, "t", "two"), "claim level 3"),
        ("{ claim = \"other\" }", who(Token, "s", "one"), who(Token, "s", "one"), "allow"),
        ("\"certificate\"", who(Certificate, "s", "one"), who(Certificate, "s", "one"), "allow"),
        ("\"route\"", None, who(Token, "s", "one"), "route undeclared"),
        ("\"address\"", None, who(Token, "s", "one"), "address 192.0.2.1/32"),
        ("\"subject\"", None, None, "allow"),
    ] {
        let said = same(by, first, second, none);
        assert!(said == expected || (expected.ends_with('#') && said.starts_with(expected)), "{by}: {said}");
        assert!(!said.contains("one") || by == "\"key\"", "{said}");
    }
    // Another issuer's subject of that name is somebody else.
    let mut other = identity(Token, "s", "two");
    other.issuer = Arc::from("https://other.example");
    assert_eq!(same("\"subject\"", who(Token, "s", "one"), Some(other), none), "allow");
}

#[test]
fn sessions_and_certificates_are_known_by_what_came_with_the_request() {
    let session = "{ session = \"sid\" }";
    for (cookies, expected) in [
        (["sid=secret-1", "sid=secret-1"], "session sid #"),
        (["sid=secret-1; a=b", "c=d; sid=secret-1"], "session sid #"),
        (["sid=secret-1", "sid=secret-2"], "allow"),
        (["a=b", "a=b"], "allow"),
        // Another one before or behind it makes nobody somebody else.
        (["sid=secret-1", "sid=x; sid=secret-1"], "session sid #"),
        (["sid=secret-1", "sid=secret-1; sid=x"], "session sid #"),
    ] {
        let said = same(session, None, None, cookies);
        assert!(
            said == expected || (expected.ends_with('#') && said.starts_with(expected)),
            "{cookies:?}: {said}"
        );
        assert!(!said.contains("secret"), "{said}");
    }
    let policy = policy("[[rate]]\nname = \"a\"\nby = \"certificate\"\nspike = \"1/h\"");
    let state = state(&policy);
    assert_eq!(judged(&policy, &state, None, "", &[b"one"]), "allow");
    assert_eq!(judged(&policy, &state, None, "", &[b"two"]), "allow");
    assert!(judged(&policy, &state, None, "", &[b"one", b"two"]).starts_with("certificate #"));
}

#[test]
fn classes_have_allowances_of_their_own() {
    let policy = policy(
        "[[rate]]\nname = \"a\"\nby = \"subject\"\nquota = \"1/d\"\nclasses = { gold = \"3/d\" }\nidentities = 64",
    );
    let state = state(&policy);
    let passed = |subject: &str| {
        let ask = || judged(&policy, &state, Some(identity(IdentityKind::Key, subject, "id")), "", &[]);
        (0..5).filter(|_| ask() == "allow").count()
    };
    assert_eq!((passed("gold"), passed("tin")), (3, 1));
}

#[test]
fn addresses_count_as_their_network() {
    let text = |more: &str| format!("{SPIKE}{more}");
    for (more, first, second, refused) in [
        ("", "192.0.2.1", "192.0.2.2", false),
        ("", "::ffff:192.0.2.1", "192.0.2.1", true),
        ("", "2001:db8::1", "2001:db8::ffff:2", true),
        ("", "2001:db8::1", "2001:db8:0:1::1", false),
        ("ipv4_prefix = 24\n", "192.0.2.1", "192.0.2.2", true),
        ("ipv6_prefix = 48\n", "2001:db8::1", "2001:db8:0:1::1", true),
        ("ipv6_prefix = 128\n", "2001:db8::1", "2001:db8::2", false),
    ] {
        let policy = policy(&text(more));
        let state = state(&policy);
        assert_eq!(said(&ask(&policy, &state, first, 0, &get("/", ""))), "allow");
        let second = ask(&policy, &state, second, 0, &get("/", ""));
        assert_eq!(said(&second) == "rate-spike", refused, "{more} {first}");
    }
}

#[test]
fn a_rule_holds_for_the_routes_that_it_names() {
    let policy = policy(
        "[[rate]]\nname = \"a\"\nby = \"route\"\nquota = \"1/d\"\nroutes = [\"/slow/{id}\"]\n\
         [[route]]\npath = \"/slow/{id}\"\nmethods = \"any\"\n[[route]]\npath = \"/fast\"\nmethods = \"any\"",
    );
    let state = state(&policy);
    let ask = |client: &str, path: &str| said(&ask(&policy, &state, client, 0, &get(path, "")));
    assert_eq!((ask("192.0.2.1", "/fast"), ask("192.0.2.1", "/fast")), ("allow", "allow"));
    assert_eq!((ask("192.0.2.1", "/slow/1"), ask("192.0.2.2", "/slow/2")), ("allow", "rate-quota"));
    assert_eq!(said(&self::ask(&policy, &state, "192.0.2.1", 0, &get("/else", ""))), "route-undeclared");
}

#[test]
fn what_is_refused_uses_up_nothing_else_and_what_is_observed_refuses_nothing() {
    let policy = policy(
        "undeclared = \"allow\"\n[[rate]]\nname = \"all\"\nby = \"route\"\nquota = \"3/d\"\n\
         [[rate]]\nname = \"one\"\nby = { session = \"sid\" }\nquota = \"1/d\"\n\
         [[rate]]\nname = \"watched\"\nby = \"address\"\nquota = \"1/d\"\nmode = \"observe\"\n\
         [[rate]]\nname = \"off\"\nby = \"address\"\nquota = \"1/d\"\nmode = \"off\"\n",
    );
    let state = state(&policy);
    let ask =
        |session: u32| ask(&policy, &state, "192.0.2.1", 0, &get("/", &format!("Cookie: sid={session}\r\n")));
    assert!(ask(1).observed.is_empty());
    for _ in 0..10 {
        let refused = ask(1);
        assert_eq!((said(&refused), &*refused.evidence.unwrap().rule), ("rate-quota", "one"));
    }
    let second = ask(2);
    assert_eq!(said(&second), "allow");
    let finding = &second.observed[0];
    assert_eq!((finding.reason.name(), &*finding.evidence.as_ref().unwrap().rule), ("rate-quota", "watched"));
    assert_eq!(said(&ask(3)), "allow");
    assert_eq!(&*ask(4).evidence.unwrap().rule, "all");
    let health: Vec<_> = state.health(at(0)).map(|(_, rule, health)| (rule.to_owned(), health)).collect();
    let of = |rule: &str| health.iter().find(|(name, _)| name == rule).unwrap().1;
    assert_eq!((of("all").admitted, of("one").admitted, of("one").refused), (3, 3, 10));
    assert_eq!((of("one").occupied, of("one").memory), (3, 32 * of("one").room));
}

#[test]
fn who_is_only_asked_about_uses_up_nothing_and_is_counted_once() {
    let policy = policy(SPIKE);
    let state = state(&policy);
    let context = |looks_only, again| Context {
        client: Some("192.0.2.1".parse().unwrap()),
        time: Some(at(0)),
        state: Some(&state),
        looks_only,
        again,
        ..Context::default()
    };
    let ask =
        |looks_only, again| said(&check_bytes(get("/", "").as_bytes(), &context(looks_only, again), &policy));
    assert_eq!((ask(true, false), ask(true, false)), ("allow", "allow"));
    assert_eq!((ask(false, false), ask(false, true), ask(true, false)), ("allow", "allow", "rate-spike"));
    // Without a memory or a clock nothing can be said, and that is no leave.
    let nothing = Context { state: None, ..context(false, false) };
    assert_eq!(said(&check_bytes(get("/", "").as_bytes(), &nothing, &policy)), "rate-unknown");
    let open = self::policy(&format!("fail = \"open\"\n{SPIKE}"));
    let verdict = check_bytes(get("/", "").as_bytes(), &nothing, &open);
    assert_eq!((said(&verdict), verdict.observed[0].reason.name()), ("allow", "rate-unknown"));
}

#[test]
fn what_a_rule_knows_outlives_a_reload_that_leaves_it_as_it_is() {
    let before = policy(&format!("{SPIKE}[[rate]]\nname = \"b\"\nby = \"route\"\nquota = \"1/d\"\n"));
    let first = state(&before);
    assert_eq!(said(&ask(&before, &first, "192.0.2.1", 0, &get("/", ""))), "allow");
    let with = |text: &str| {
        let policy = policy(text);
        let state = State::new(&policy, &seed(), Some(&first), &mut NoFiles, 0).unwrap();
        said(&ask(&policy, &state, "192.0.2.1", 1, &get("/", "")))
    };
    assert_eq!(with(SPIKE), "rate-spike");
    // Where it stands, whom else it concerns and what it costs are no part of what it knows.
    let moved = format!("{SPIKE}headers = true\nweight = 1\n[checks]\njson = \"off\"\n");
    assert_eq!(with(&moved), "rate-spike");
    assert_eq!(with(&SPIKE.replace("5/s", "6/s")), "allow");
    assert_eq!(with(&SPIKE.replace("\"a\"", "\"c\"")), "allow");
    assert_eq!(with(&format!("{SPIKE}ipv4_prefix = 24\n")), "allow");
}

#[test]
fn ten_threads_together_get_no_more_than_one() {
    let policy = policy(
        "undeclared = \"allow\"\n[[rate]]\nname = \"a\"\nby = \"route\"\nquota = \"500/d\"\n\
         [[rate]]\nname = \"b\"\nby = \"address\"\nspike = \"1/h\"\nburst = 400\n",
    );
    let state = state(&policy);
    let passed: usize = std::thread::scope(|scope| {
        let work = || {
            (0..100).filter(|_| said(&ask(&policy, &state, "192.0.2.1", 0, &get("/", ""))) == "allow").count()
        };
        let threads: Vec<_> = (0..10).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(passed, 400);
}

const BRAKE: &str = "\
[[brake]]
name = \"login\"
routes = [\"/login\"]
account = [\"form:user\", \"json:/login/name\", \"basic\"]
credential = \"form:password\"
free = 2

[[route]]
path = \"/login\"
methods = [\"POST\", \"GET\"]

[[route]]
path = \"/other\"
methods = [\"POST\"]
";

fn login(content_type: &str, body: &str) -> String {
    format!(
        "POST /login HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn form(body: &str) -> String {
    login("application/x-www-form-urlencoded", body)
}

#[test]
fn whoever_guesses_waits_and_whoever_was_in_before_does_not() {
    let policy = policy(BRAKE);
    let state = state(&policy);
    // The password is right where it is `right`.
    let attempt = |client: &str, when: u64, request: &str| {
        let verdict = ask(&policy, &state, client, when, request);
        if let Some(attempt) = &verdict.attempt {
            let status = if request.contains("right") { 200 } else { 401 };
            state.answered(attempt, Some(status), at(when));
        }
        verdict
    };
    let owner = "2001:db8::1";
    assert_eq!(said(&attempt(owner, 0, &form("user=alice&password=right"))), "allow");
    for turn in 0..3 {
        let verdict = attempt("192.0.2.1", 1_000 + turn, &form(&format!("user=alice&password={turn}")));
        assert_eq!(said(&verdict), "allow");
    }
    let delayed = attempt("192.0.2.1", 1_010, &form("user=+ALICE&password=3"));
    assert_eq!(
        (said(&delayed), delayed.status, header(&delayed, "retry-after")),
        ("brake-delay", 429, Some("1"))
    );
    let evidence = delayed.evidence.unwrap();
    assert_eq!((&*evidence.rule, &*evidence.text), ("login", " ALICE"));
    // Strangers from everywhere are held together, and then each must wait, right or wrong.
    let mut passed = 0;
    for number in 0..200 {
        let client = format!("198.51.100.{number}");
        let verdict = attempt(&client, 2_000 + number, &form(&format!("user=alice&password=g{number}")));
        passed += usize::from(said(&verdict) == "allow");
    }
    assert!(passed < 20, "{passed}");
    assert_eq!(said(&attempt("203.0.113.1", 2_300, &form("user=alice&password=right"))), "brake-delay");
    assert_eq!(said(&attempt(owner, 2_301, &form("user=alice&password=right"))), "allow");
    // Another account is not concerned, unless it is tried with the same password.
    assert_eq!(said(&attempt("203.0.113.1", 2_302, &form("user=bob&password=right"))), "allow");
}

#[test]
fn accounts_are_named_where_the_policy_says_and_once() {
    let policy = policy(BRAKE);
    let state = state(&policy);
    let json = r#"{"login":{"name":"alice"},"name":"bob"}"#;
    let parts = "--b\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\nalice\r\n--b--\r\n";
    let basic = "GET /login HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YWxpY2U6c2VjcmV0\r\n\r\n";
    let requests = [
        form("user=alice"),
        login("application/json", json),
        login("multipart/form-data; boundary=b", parts),
        basic.to_owned(),
    ];
    // Three attempts in three ways, and the fourth is one too many.
    let said: Vec<_> = requests.iter().map(|one| said(&ask(&policy, &state, "192.0.2.1", 0, one))).collect();
    assert_eq!(said, ["allow", "allow", "allow", "brake-delay"]);
    let ask = |request: &str| ask(&policy, &state, "192.0.2.9", 0, request);
    let twice = self::policy(&format!("limits.form.repeated = true\n{BRAKE}"));
    let context = Context { time: Some(at(0)), state: Some(&state), ..Context::default() };
    let verdict = check_bytes(form("user=alice&user=bob").as_bytes(), &context, &twice);
    assert_eq!(self::said(&verdict), "brake-account");
    assert!(ask(&form("other=alice")).attempt.is_none());
    assert!(ask("POST /other HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").attempt.is_none());
}

#[test]
fn what_the_upstream_did_not_judge_is_no_failure() {
    let policy = policy(BRAKE);
    let state = state(&policy);
    for turn in 0..20 {
        let verdict = ask(&policy, &state, "192.0.2.1", turn, &form("user=alice&password=a"));
        assert_eq!(said(&verdict), "allow", "{turn}");
        let status = [None, Some(503), Some(429), Some(200)][turn as usize % 4];
        state.answered(&verdict.attempt.unwrap(), status, at(turn));
    }
    let watched = self::policy(&BRAKE.replace("free = 2", "free = 0\nmode = \"observe\""));
    let state = self::state(&watched);
    for turn in 0..5 {
        let verdict = ask(&watched, &state, "192.0.2.1", turn, &form("user=alice&password=a"));
        assert_eq!((said(&verdict), verdict.observed.is_empty()), ("allow", turn == 0));
    }
}
