//! Requests that other sites make browsers send, and preflights, as a policy has them judged.

use std::time::Duration;

use super::{Context, check_bytes};
use crate::{
    Action, Policy, State, Verdict,
    rates::Time,
    state::{NoFiles, Seed},
};

const POLICY: &str = "\
[cross-site]
origins = [\"https://app.example\"]

[[route]]
path = \"/v1/{rest*}\"
methods = [\"GET\", \"POST\", \"PUT\", \"DELETE\", \"OPTIONS\"]

[[route]]
path = \"/watched\"
methods = \"any\"
checks.cross-site = \"observe\"

[[route]]
path = \"/open\"
methods = \"any\"
checks.cross-site = \"off\"

[[route]]
path = \"/login\"
methods = \"any\"
cross-site = { anonymous = true, same_site = true, origins = [] }

[[route]]
path = \"/shared\"
methods = [\"GET\", \"PUT\"]
cors = { origins = [\"https://app.example\"], methods = [\"GET\", \"PUT\"], headers = [\"X-Trace\"], credentials = true }
";

fn policy(text: &str) -> Policy {
    Policy::parse("policy", text).unwrap_or_else(|errors| panic!("{errors}"))
}

fn judged_by(policy: &Policy, context: &Context<'_>, line: &str, headers: &str) -> Verdict {
    let request = format!("{line} HTTP/1.1\r\nHost: api.example.org\r\n{headers}\r\n");
    check_bytes(request.as_bytes(), context, policy)
}

/// The reason, or the action.
fn said(verdict: &Verdict) -> &'static str {
    verdict.reason.map_or(verdict.action.name(), crate::Reason::name)
}

fn tls() -> Context<'static> {
    Context { secure: true, ..Context::default() }
}

fn judged(line: &str, headers: &str) -> &'static str {
    said(&judged_by(&policy(POLICY), &tls(), line, headers))
}

/// With a session's cookie.
fn with_cookie(line: &str, headers: &str) -> &'static str {
    judged(line, &format!("Cookie: session=1\r\n{headers}"))
}

#[test]
fn each_reason_has_a_request() {
    for (line, headers, expected) in [
        ("POST /v1/a", "Origin: https://api.example.org\r\n", "allow"),
        ("POST /v1/a", "Origin: https://app.example\r\nSec-Fetch-Site: cross-site\r\n", "allow"),
        ("POST /v1/a", "Sec-Fetch-Site: same-origin\r\n", "allow"),
        ("POST /v1/a", "Sec-Fetch-Site: cross-site\r\n", "cross-site"),
        ("POST /v1/a", "Origin: https://evil.example\r\n", "cross-site-origin"),
        ("POST /v1/a", "Referer: https://evil.example/?https://api.example.org\r\n", "cross-site-origin"),
        ("POST /v1/a", "Origin: null\r\n", "cross-site-no-origin"),
        ("POST /v1/a", "", "cross-site-unsigned"),
        ("POST /v1/a", "Sec-Fetch-Site: none\r\nSec-Fetch-Site: none\r\n", "cross-site-repeated"),
        (
            "GET /v1/a",
            "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n",
            "cross-site-framed",
        ),
        (
            "GET /v1/a",
            "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n",
            "allow",
        ),
        ("POST /watched", "Origin: https://evil.example\r\n", "allow"),
        ("POST /open", "Origin: https://evil.example\r\n", "allow"),
        (
            "POST /login",
            "Origin: https://www.example.org\r\nSec-Fetch-Site: same-site\r\n",
            "cross-site-origin",
        ),
        ("POST /login", "Sec-Fetch-Site: same-site\r\n", "allow"),
        ("POST /login", "Origin: https://app.example\r\n", "cross-site-origin"),
    ] {
        assert_eq!(with_cookie(line, headers), expected, "{line} {headers}");
    }
}

#[test]
fn ways_around_lead_nowhere() {
    let own = "Origin: https://api.example.org\r\n";
    for (line, headers) in [
        // Another port, another scheme, a name that looks like it, a subdomain, a dot, a user, another case.
        ("POST /v1/a", "Origin: https://api.example.org:8443\r\n"),
        ("POST /v1/a", "Origin: https://api.example.org:443\r\n"),
        ("POST /v1/a", "Origin: http://api.example.org\r\n"),
        ("POST /v1/a", "Origin: https://api.example.org.evil.example\r\n"),
        ("POST /v1/a", "Origin: https://evil-api.example.org\r\n"),
        ("POST /v1/a", "Origin: https://apixexample.org\r\n"),
        ("POST /v1/a", "Origin: https://api.example.org.\r\n"),
        ("POST /v1/a", "Origin: https://api.example.org@evil.example\r\n"),
        ("POST /v1/a", "Origin: https://evil.example#api.example.org\r\n"),
        ("POST /v1/a", "Origin: https://evil.example/api.example.org\r\n"),
        ("POST /v1/a", "Origin: https://API.example.org\r\n"),
        ("POST /v1/a", "Origin: api.example.org\r\n"),
        ("POST /v1/a", "Origin: \r\n"),
        ("POST /v1/a", "Origin: https://api.example.org https://evil.example\r\n"),
        ("POST /v1/a", "Origin: https://api.example.org, https://evil.example\r\n"),
        // Twice, in either order; beside a Referer that is good.
        ("POST /v1/a", "Origin: https://api.example.org\r\nOrigin: https://evil.example\r\n"),
        ("POST /v1/a", "Origin: https://evil.example\r\norigin: https://api.example.org\r\n"),
        ("POST /v1/a", "Origin: null\r\nReferer: https://api.example.org/\r\n"),
        ("POST /v1/a", "Origin: https://evil.example\r\nSec-Fetch-Site: same-origin\r\n"),
        ("POST /v1/a", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Site: same-origin\r\n"),
        // No Referer (`Referrer-Policy: no-referrer` on the attacker's page), and one without a host.
        ("POST /v1/a", ""),
        ("POST /v1/a", "Referer: about:blank\r\n"),
        ("POST /v1/a", "Referer: https://api.example.org@evil.example/\r\n"),
        // Content types that need no preflight.
        ("POST /v1/a", "Content-Type: text/plain\r\nOrigin: https://evil.example\r\n"),
        (
            "POST /v1/a",
            "Content-Type: application/x-www-form-urlencoded\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n",
        ),
        // A method that changes nothing, and another one behind.
        (
            "GET /v1/a",
            "X-HTTP-Method-Override: DELETE\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n",
        ),
        ("GET /v1/a", "X-Method-Override: PUT\r\n"),
        ("GET /v1/a", "x-http-method: PUT\r\n"),
        ("GET /v1/a?_method=DELETE", ""),
        (
            "GET /v1/a?%5fmethod=DELETE",
            "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n",
        ),
        ("GET /v1/a", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n"),
        // What is no preflight is judged as any other request.
        ("OPTIONS /v1/a", "Origin: https://evil.example\r\nSec-Fetch-Site: cross-site\r\n"),
    ] {
        let said = with_cookie(line, headers);
        // Of headers that may stand once, the framing takes no second one.
        assert!(said.starts_with("cross-site") || said == "header-repeated", "{line} {headers}: {said}");
        let basic = judged(line, &format!("Authorization: bAsIc YTpi\r\n{headers}"));
        assert_eq!(basic, said, "{line} {headers}");
    }
    assert_eq!(with_cookie("POST /v1/a", own), "allow");
    assert_eq!(with_cookie("DELETE /v1/a", own), "allow");
}

#[test]
fn requests_are_judged_by_what_browsers_send_by_themselves() {
    let evil = "Origin: https://evil.example\r\n";
    for (headers, expected) in [
        ("", "allow"),
        ("Authorization: Bearer abc\r\n", "allow"),
        ("Cookie: a=b\r\n", "cross-site-origin"),
        ("Authorization: Basic YTpi\r\n", "cross-site-origin"),
        ("Authorization: Negotiate YTpi\r\n", "cross-site-origin"),
        ("Authorization: Bearer abc\r\nCookie: a=b\r\n", "cross-site-origin"),
    ] {
        assert_eq!(judged("POST /v1/a", &format!("{headers}{evil}")), expected, "{headers}");
    }
    let certificate = Context { certificates: &[b"one"], ..tls() };
    assert_eq!(said(&judged_by(&policy(POLICY), &certificate, "POST /v1/a", evil)), "cross-site-origin");
    // A login has no credential yet.
    assert_eq!(judged("POST /login", evil), "cross-site-origin");
    assert_eq!(judged("POST /login", ""), "allow");
}

#[test]
fn ones_own_origin_is_that_of_the_host_unless_it_is_listed() {
    let ask = |text: &str, secure, origin: &str| {
        let headers = format!("Cookie: a=b\r\nOrigin: {origin}\r\n");
        said(&judged_by(&policy(text), &Context { secure, ..tls() }, "POST /", &headers))
    };
    let any = "undeclared = \"allow\"\n[cross-site]\n";
    for (secure, origin, expected) in [
        (true, "https://api.example.org", "allow"),
        (true, "http://api.example.org", "cross-site-origin"),
        (false, "http://api.example.org", "allow"),
        (false, "https://api.example.org", "allow"),
        (false, "https://example.org", "cross-site-origin"),
    ] {
        assert_eq!(ask(any, secure, origin), expected, "{secure} {origin}");
    }
    let listed = format!("{any}own = [\"https://www.example\"]\n");
    assert_eq!(ask(&listed, false, "https://www.example"), "allow");
    assert_eq!(ask(&listed, true, "https://api.example.org"), "cross-site-origin");
}

#[test]
fn what_is_observed_and_refused_says_who_asks_and_no_more() {
    let headers = "Cookie: a=b\r\nReferer: https://evil.example/reset?token=secret\r\n";
    let verdict = judged_by(&policy(POLICY), &tls(), "POST /watched", headers);
    let finding = &verdict.observed[0];
    assert_eq!((verdict.action, finding.reason.name()), (Action::Allow, "cross-site-origin"));
    let evidence = finding.evidence.as_ref().unwrap();
    assert_eq!((&*evidence.place, &*evidence.text), ("header referer", "https://evil.example"));
}

#[test]
fn a_preflight_is_answered_for_the_route_of_the_method_that_it_asks_for() {
    let preflight = |path: &str, origin: &str, method: &str, more: &str| {
        let headers = format!("Origin: {origin}\r\nAccess-Control-Request-Method: {method}\r\n{more}");
        judged_by(&policy(POLICY), &tls(), &format!("OPTIONS {path}"), &headers)
    };
    let app = "https://app.example";
    let verdict = preflight("/shared", app, "PUT", "Access-Control-Request-Headers: x-trace\r\n");
    assert_eq!((verdict.action, verdict.status, verdict.route), (Action::Answer, 204, Some(4)));
    let has = |name: &str| verdict.headers.iter().find(|header| header.0 == name).map(|header| &*header.1);
    assert_eq!(has("access-control-allow-origin"), Some(app));
    assert_eq!(has("access-control-allow-methods"), Some("GET, PUT"));
    assert!(has("vary").unwrap().starts_with("Origin"));
    for (path, origin, method, more, reason) in [
        ("/shared", "https://evil.example", "PUT", "", "cors-origin"),
        ("/shared", app, "PUT", "Access-Control-Request-Headers: x-other\r\n", "cors-header"),
        ("/shared", app, "PUT", "Access-Control-Request-Private-Network: true\r\n", "cors-private-network"),
        ("/shared", app, "PUT", "Access-Control-Request-Method: GET\r\n", "cors-repeated"),
        // A method that no route has: there is nothing to grant.
        ("/shared", app, "DELETE", "", "method-undeclared"),
        ("/nowhere", app, "GET", "", "route-undeclared"),
        // Routes without CORS: as any request.
        ("/v1/a", app, "PUT", "", "allow"),
    ] {
        let verdict = preflight(path, origin, method, more);
        assert_eq!(said(&verdict), reason, "{path} {origin} {method} {more}");
        let grants = verdict.headers.iter().any(|(name, _)| name.starts_with("access-control"));
        assert!(!grants, "{:?}", verdict.headers);
    }
    let narrow = POLICY.replace("methods = [\"GET\", \"PUT\"], headers", "methods = [\"GET\"], headers");
    let headers = "Origin: https://app.example\r\nAccess-Control-Request-Method: PUT\r\n";
    assert_eq!(said(&judged_by(&policy(&narrow), &tls(), "OPTIONS /shared", headers)), "cors-method");
}

#[test]
fn answers_that_a_page_may_read_say_so_refused_or_not() {
    let headers = |line: &str, headers: &str| judged_by(&policy(POLICY), &tls(), line, headers).headers;
    let granted = ("access-control-allow-origin".to_owned(), "https://app.example".to_owned());
    let good = headers("GET /shared", "Origin: https://app.example\r\n");
    assert!(good.contains(&granted) && good.contains(&("vary".to_owned(), "Origin".to_owned())));
    let refused = headers("GET /shared?q=%27+or+1=1--", "Origin: https://app.example\r\n");
    assert!(refused.contains(&granted));
    assert_eq!(
        headers("GET /shared", "Origin: https://evil.example\r\n"),
        [("vary".to_owned(), "Origin".to_owned())]
    );
    assert_eq!(headers("GET /v1/a", "Origin: https://app.example\r\n"), []);
}

#[test]
fn a_route_may_be_without_what_stands_at_the_top() {
    let text = "undeclared = \"allow\"\n[cors]\norigins = [\"https://app.example\"]\nmax_age = 60\n[[route]]\npath = \"/a\"\nmethods = \"any\"\ncors = false\n\
        [[route]]\npath = \"/b\"\nmethods = \"any\"\ncors.methods = [\"PATCH\"]\n";
    let ask = |path: &str, method: &str| {
        let headers = format!("Origin: https://app.example\r\nAccess-Control-Request-Method: {method}\r\n");
        said(&judged_by(&policy(text), &tls(), &format!("OPTIONS {path}"), &headers))
    };
    assert_eq!((ask("/", "POST"), ask("/", "PATCH")), ("answer", "cors-method"));
    assert_eq!((ask("/b", "POST"), ask("/b", "PATCH")), ("cors-method", "answer"));
    assert_eq!(ask("/a", "POST"), "allow");
    assert_eq!(policy(&policy(text).render()).render(), policy(text).render());
}

const TOKEN: &str = "undeclared = \"allow\"\n[cross-site]\ntoken = { secret = \"csrf.key\", session = \"sid\", max_age = 3600 }\n";

/// A policy with a secret beside it.
fn policy_of(text: &str) -> Policy {
    let policy = Policy::read("policy", text, &mut |name| {
        assert_eq!(name, "secret:csrf.key");
        Ok("0123456789abcdef0123456789abcdef\n".to_owned())
    });
    policy.unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn a_session_gets_a_token_and_changes_nothing_without_it() {
    let policy = policy_of(TOKEN);
    let state = State::new(&policy, &Seed::new(&[1; 32]), None, &mut NoFiles, 0).unwrap();
    let ask = |method: &str, second: u64, headers: &str| {
        let wall = Duration::from_secs(1_700_000_000 + second);
        let time = Some(Time { monotonic: wall, wall });
        let context = Context { time, state: Some(&state), ..tls() };
        let own = "Origin: https://api.example.org\r\n";
        judged_by(&policy, &context, &format!("{method} /"), &format!("{own}{headers}"))
    };
    let issued = |verdict: &Verdict| {
        let cookie = verdict.headers.iter().find(|header| header.0 == "set-cookie").map(|header| &*header.1);
        let token = cookie.and_then(|cookie| cookie.strip_prefix("__Host-csrf="));
        token.and_then(|token| token.strip_suffix("; Path=/; SameSite=Lax; Secure")).map(str::to_owned)
    };
    // Who has no session has nothing that could be used.
    assert_eq!(said(&ask("POST", 0, "")), "allow");
    assert_eq!(issued(&ask("GET", 0, "Cookie: a=b\r\n")), None);
    let page = ask("GET", 0, "Cookie: sid=one\r\n");
    assert_eq!(said(&page), "allow");
    let token = issued(&page).unwrap();
    let with = |session: &str, cookie: &str, beside: &str| {
        format!("Cookie: sid={session}; __Host-csrf={cookie}\r\nX-CSRF-Token: {beside}\r\n")
    };
    let good = ask("POST", 10, &with("one", &token, &token));
    assert_eq!((said(&good), issued(&good)), ("allow", None));
    let other = issued(&ask("GET", 0, "Cookie: sid=two\r\n")).unwrap();
    assert_ne!(token, other);
    for headers in [
        "Cookie: sid=one\r\n".to_owned(),
        format!("Cookie: sid=one; __Host-csrf={token}\r\n"),
        format!("Cookie: sid=one\r\nX-CSRF-Token: {token}\r\n"),
        with("one", &token, &other),
        // A neighbour's token, put into the cookie by a subdomain.
        with("one", &other, &other),
        with("two", &token, &token),
        with("one", "made-up", "made-up"),
        format!("{}X-CSRF-Token: {token}\r\n", with("one", &token, &token)),
    ] {
        assert_eq!(said(&ask("POST", 10, &headers)), "cross-site-token", "{headers}");
    }
    // An old one is replaced before it counts no more, and by the refusal itself.
    let middle = ask("POST", 2_000, &with("one", &token, &token));
    assert!(said(&middle) == "allow" && issued(&middle).is_some());
    let late = ask("POST", 3_601, &with("one", &token, &token));
    assert_eq!(said(&late), "cross-site-token");
    let fresh = issued(&late).unwrap();
    assert_eq!(said(&ask("POST", 3_602, &with("one", &fresh, &fresh))), "allow");
    // Cookies that cannot be read here, and that the application reads: a neighbour has set one of them.
    let unread = policy_of(&TOKEN.replace("[cross-site]", "checks.cookies = \"off\"\n[cross-site]"));
    for cookies in
        ["Cookie: sid=one; \u{e9}=1\r\n", "Cookie: sid=one; a b=1\r\n", "Cookie: sid=one\r\nCookie: a=b\r\n"]
    {
        let context = Context {
            time: Some(Time { monotonic: Duration::ZERO, wall: Duration::ZERO }),
            state: Some(&state),
            ..tls()
        };
        let said = said(&judged_by(
            &unread,
            &context,
            "POST /",
            &format!("Origin: https://api.example.org\r\n{cookies}"),
        ));
        assert!(said == "cross-site-token" || said == "header-value", "{cookies} {said}");
    }
    // Without a clock nothing that changes something passes.
    let headers = format!("Origin: https://api.example.org\r\n{}", with("one", &token, &token));
    assert_eq!(said(&judged_by(&policy, &tls(), "POST /", &headers)), "cross-site-token");
}
