//! Requests of browsers, of other sites' pages, and of what is no browser.

use std::time::Duration;

use proptest::prelude::*;

use super::{
    cors::{Answer, Cors, CorsRule, Denied},
    double_submit::{Invalid, Signer},
    *,
};
use crate::{Field, Version};

fn request<'r>(method: &'r str, headers: &[(&'r str, &'r str)]) -> Request<'r> {
    let field =
        |&(name, value): &(&'r str, &'r str)| Field { name: name.as_bytes(), value: value.as_bytes() };
    Request {
        method: method.as_bytes(),
        target: b"/",
        version: Version::Http11,
        headers: headers.iter().map(field).collect(),
        body: (&b""[..]).into(),
    }
}

fn judged(rule: &SiteRule, method: &str, headers: &[(&str, &str)]) -> Result<(), Forged> {
    judged_as(rule, method, headers, true)
}

fn judged_as(rule: &SiteRule, method: &str, headers: &[(&str, &str)], ambient: bool) -> Result<(), Forged> {
    let (request, own) = (request(method, headers), ["https://api.example.org".parse().unwrap()]);
    rule.judge(&request, &Asked { own: &own, ambient, changes: changes(&request, &[]) })
}

const OWN: (&str, &str) = ("Origin", "https://api.example.org");
const FRIEND: (&str, &str) = ("Origin", "https://app.example");
const EVIL: (&str, &str) = ("Origin", "https://evil.example");
const CROSS: (&str, &str) = ("Sec-Fetch-Site", "cross-site");
const SAME_SITE: (&str, &str) = ("Sec-Fetch-Site", "same-site");
const SAME: (&str, &str) = ("Sec-Fetch-Site", "same-origin");
const NAVIGATE: (&str, &str) = ("Sec-Fetch-Mode", "navigate");

fn rule() -> SiteRule {
    SiteRule { origins: vec!["https://app.example".parse().unwrap()], ..SiteRule::default() }
}

#[test]
fn what_changes_something_comes_from_where_it_may() {
    for (headers, expected) in [
        (&[SAME, OWN][..], Ok(())),
        (&[SAME], Ok(())),
        (&[("Sec-Fetch-Site", "none")], Ok(())),
        (&[CROSS, FRIEND], Ok(())),
        (&[FRIEND], Ok(())),
        (&[OWN], Ok(())),
        (&[("Referer", "https://api.example.org/form")], Ok(())),
        (&[CROSS, EVIL], Err(Forged::Origin)),
        (&[CROSS], Err(Forged::CrossSite)),
        (&[CROSS, NAVIGATE, ("Sec-Fetch-Dest", "document")], Err(Forged::CrossSite)),
        (&[SAME_SITE], Err(Forged::CrossSite)),
        (&[SAME_SITE, ("Origin", "https://www.example.org")], Err(Forged::Origin)),
        (&[("Sec-Fetch-Site", "same-origin-ish")], Err(Forged::CrossSite)),
        (&[SAME, EVIL], Err(Forged::Origin)),
        (&[EVIL], Err(Forged::Origin)),
        (&[("Origin", "null")], Err(Forged::NoOrigin)),
        (&[("Referer", "https://evil.example/https://api.example.org/")], Err(Forged::Origin)),
        (&[("Referer", "https://api.example.org@evil.example/")], Err(Forged::NoOrigin)),
        (&[], Err(Forged::NoSign)),
        (&[OWN, EVIL], Err(Forged::Repeated)),
        (&[SAME, CROSS], Err(Forged::Repeated)),
    ] {
        for method in ["POST", "PUT", "DELETE", "get"] {
            assert_eq!(judged(&rule(), method, headers), expected, "{method} {headers:?}");
        }
    }
}

#[test]
fn an_origin_that_is_nearly_allowed_is_not() {
    for origin in [
        "http://app.example",
        "https://app.example:8443",
        "https://app.example:443",
        "https://app.example.",
        "https://App.example",
        "https://www.app.example",
        "https://app.example.evil.example",
        "https://app.example@evil.example",
        "https://app.example evil",
        "https://xn--app-.example",
        "https://аpp.example",
    ] {
        assert!(judged(&rule(), "POST", &[("Origin", origin)]).is_err(), "{origin}");
        assert!(judged(&rule(), "POST", &[CROSS, ("Origin", origin)]).is_err(), "{origin}");
    }
}

#[test]
fn links_of_other_sites_lead_here_and_nothing_else_of_them() {
    let dest = |name| ("Sec-Fetch-Dest", name);
    let strict = SiteRule { no_links: true, ..rule() };
    let frames = SiteRule { frames: true, ..rule() };
    assert_eq!(judged(&rule(), "GET", &[CROSS, NAVIGATE, dest("document")]), Ok(()));
    let link = [CROSS, NAVIGATE, dest("document"), ("Referer", "https://evil.example/")];
    assert_eq!(judged(&rule(), "GET", &link), Ok(()));
    assert_eq!(judged(&strict, "GET", &[CROSS, NAVIGATE, dest("document")]), Err(Forged::CrossSite));
    for embedded in ["object", "embed", "iframe", "fencedframe"] {
        assert_eq!(judged(&rule(), "GET", &[CROSS, NAVIGATE, dest(embedded)]), Err(Forged::Framed));
    }
    assert_eq!(judged(&frames, "GET", &[CROSS, NAVIGATE, dest("iframe")]), Ok(()));
    assert_eq!(judged(&frames, "GET", &[CROSS, NAVIGATE, dest("object")]), Err(Forged::Framed));
    let image = [CROSS, ("Sec-Fetch-Mode", "no-cors"), dest("image")];
    assert_eq!(judged(&rule(), "GET", &image), Err(Forged::CrossSite));
    assert_eq!(judged(&rule(), "GET", &[CROSS, ("Sec-Fetch-Mode", "cors"), EVIL]), Err(Forged::Origin));
    assert_eq!(judged(&rule(), "GET", &[CROSS, ("Sec-Fetch-Mode", "cors"), FRIEND]), Ok(()));
    assert_eq!(judged(&rule(), "GET", &[]), Ok(()));
}

#[test]
fn neighbours_null_and_programs_pass_where_that_is_said() {
    let open = SiteRule { null: true, same_site: true, ..rule() };
    assert_eq!(judged(&open, "POST", &[CROSS, ("Origin", "null")]), Ok(()));
    assert_eq!(judged(&open, "POST", &[SAME_SITE]), Ok(()));
    assert_eq!(judged_as(&rule(), "POST", &[], false), Ok(()), "no browser's credential");
}

fn signer(seeds: &[u8]) -> Signer {
    let secrets: Vec<Vec<u8>> = seeds.iter().map(|&seed| vec![seed; 32]).collect();
    Signer::new(&secrets.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap()
}

#[test]
fn a_token_counts_for_its_session_until_it_is_too_old() {
    let now = Duration::from_secs(1_700_000_000);
    let hour = Duration::from_secs(3_600);
    let token = signer(&[1]).issue(b"session", [9; 16], now);
    assert_eq!(token.len(), 75);
    let verify = |signer: &Signer, cookie: &str, beside: &str, session: &[u8], now| {
        signer.verify(cookie.as_bytes(), beside.as_bytes(), session, now, hour)
    };
    assert_eq!(verify(&signer(&[1]), &token, &token, b"session", now + hour), Ok(()));
    assert_eq!(verify(&signer(&[2, 1]), &token, &token, b"session", now), Ok(()), "after a rotation");
    assert_eq!(verify(&signer(&[2]), &token, &token, b"session", now), Err(Invalid::Signature));
    assert_eq!(verify(&signer(&[1]), &token, &token, b"another", now), Err(Invalid::Signature));
    assert_eq!(verify(&signer(&[1]), &token, "", b"session", now), Err(Invalid::Differs));
    assert_eq!(verify(&signer(&[1]), "", "", b"session", now), Err(Invalid::Differs));
    assert_eq!(verify(&signer(&[1]), "made-up", "made-up", b"session", now), Err(Invalid::Malformed));
    let second = Duration::from_secs(1);
    assert_eq!(verify(&signer(&[1]), &token, &token, b"session", now + hour + second), Err(Invalid::Age));
    assert_eq!(verify(&signer(&[1]), &token, &token, b"session", now - 61 * second), Err(Invalid::Age));
    assert!(Signer::new(&[]).is_none() && Signer::new(&[&[0; 31]]).is_none());
}

#[test]
fn a_token_that_was_changed_anywhere_is_none() {
    let now = Duration::from_secs(1_700_000_000);
    let token = signer(&[1]).issue(b"session", [9; 16], now).into_bytes();
    for place in 0..token.len() {
        for other in [b'A', b'b', b'=', b'+', 0xff] {
            let mut changed = token.clone();
            changed[place] = other;
            let verdict = signer(&[1]).verify(&changed, &changed, b"session", now, Duration::MAX);
            assert!(changed == token || verdict.is_err(), "{place}");
        }
        let cut = &token[..place];
        assert!(signer(&[1]).verify(cut, cut, b"session", now, Duration::MAX).is_err());
    }
}

fn cors() -> CorsRule {
    CorsRule {
        origins: vec!["https://app.example".parse().unwrap()],
        methods: vec!["GET".to_owned(), "PUT".to_owned()],
        headers: vec!["Authorization".to_owned(), "X-Trace".to_owned()],
        expose: vec!["ETag".to_owned()],
        credentials: true,
        max_age: 600,
        ..CorsRule::default()
    }
}

fn answer(rule: &CorsRule, method: &str, headers: &[(&str, &str)]) -> Answer {
    Cors::new(rule.clone()).unwrap().answer(&request(method, headers))
}

const PUT: (&str, &str) = ("Access-Control-Request-Method", "PUT");

#[test]
fn a_preflight_is_answered_by_the_policy() {
    let headers = ("Access-Control-Request-Headers", "authorization,x-trace");
    let Answer::Granted(granted) = answer(&cors(), "OPTIONS", &[FRIEND, PUT, headers]) else { panic!() };
    let text: Vec<String> = granted.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    assert!(text[0].starts_with("vary: Origin, Access-Control-Request-Method"));
    assert_eq!(
        text[1..],
        [
            "access-control-allow-origin: https://app.example",
            "access-control-allow-credentials: true",
            "access-control-allow-methods: GET, PUT",
            "access-control-allow-headers: authorization, x-trace",
            "access-control-max-age: 600",
        ]
    );
    let private = ("Access-Control-Request-Private-Network", "true");
    let into = CorsRule { private_network: true, ..cors() };
    let Answer::Granted(granted) = answer(&into, "OPTIONS", &[FRIEND, PUT, private]) else { panic!() };
    assert!(granted.contains(&("access-control-allow-private-network".to_owned(), "true".to_owned())));
    for (asked, why) in [
        (&[EVIL, PUT][..], Denied::Origin),
        (&[("Origin", "null"), PUT], Denied::Origin),
        (&[("Origin", "https://app.example:443"), PUT], Denied::Origin),
        (&[FRIEND, ("Access-Control-Request-Method", "DELETE")], Denied::Method),
        (&[FRIEND, ("Access-Control-Request-Method", "put")], Denied::Method),
        (&[FRIEND, PUT, ("Access-Control-Request-Headers", "x-other")], Denied::Header),
        (&[FRIEND, PUT, ("Access-Control-Request-Headers", "x-trace, *")], Denied::Header),
        (&[FRIEND, PUT, private], Denied::PrivateNetwork),
        (&[FRIEND, PUT, PUT], Denied::Repeated),
        (&[FRIEND, EVIL, PUT], Denied::Repeated),
    ] {
        let Answer::Refused(denied, headers) = answer(&cors(), "OPTIONS", asked) else { panic!("{asked:?}") };
        assert_eq!((denied, headers.len(), headers[0].0.as_str()), (why, 1, "vary"), "{asked:?}");
    }
    let many = "x-trace,".repeat(65);
    let asked = [FRIEND, PUT, ("Access-Control-Request-Headers", many.as_str())];
    assert!(matches!(answer(&cors(), "OPTIONS", &asked), Answer::Refused(Denied::Header, _)));
}

#[test]
fn answers_to_other_requests_name_the_origin_and_vary_by_it() {
    let Answer::Request(headers) = answer(&cors(), "GET", &[FRIEND]) else { panic!() };
    assert_eq!(
        headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        [
            "vary",
            "access-control-allow-origin",
            "access-control-allow-credentials",
            "access-control-expose-headers",
        ]
    );
    for none in [&[EVIL][..], &[], &[("Origin", "null")], &[FRIEND, EVIL]] {
        assert_eq!(
            answer(&cors(), "GET", none),
            Answer::Request(vec![("vary".to_owned(), "Origin".to_owned())])
        );
    }
    assert!(matches!(answer(&cors(), "OPTIONS", &[FRIEND]), Answer::Request(_)), "no preflight");
}

#[test]
fn a_rule_that_would_open_everything_is_an_error() {
    for (rule, said) in [
        (CorsRule { any: true, ..cors() }, "name `origins`"),
        (CorsRule { null: true, ..cors() }, "name `origins`"),
        (CorsRule { max_age: 86_401, ..cors() }, "0 to 86400"),
        (CorsRule { methods: vec!["*".to_owned()], ..cors() }, "`methods` has \"*\""),
        (CorsRule { headers: vec!["a\r\nb".to_owned()], ..cors() }, "`headers` has"),
    ] {
        assert!(Cors::new(rule).unwrap_err().to_string().contains(said), "{said}");
    }
    let parsed = toml::from_str::<CorsRule>("origins = [\"https://a.example/\"]").unwrap_err().to_string();
    assert!(parsed.contains("is no origin"), "{parsed}");
}

proptest! {
    #[test]
    fn credentials_never_go_with_a_star_and_no_header_is_made_by_the_client(
        origin in "(https://(app|evil)\\.example|null|\\*|[ -~]{0,20})",
        list in "[a-zA-Z, *\\-]{0,40}",
        any: bool,
        preflight: bool,
    ) {
        let rule = CorsRule { any, credentials: !any, ..cors() };
        let method = if preflight { "OPTIONS" } else { "GET" };
        let asked = [("Origin", origin.as_str()), PUT, ("Access-Control-Request-Headers", list.as_str())];
        let (Answer::Request(headers) | Answer::Granted(headers) | Answer::Refused(_, headers)) =
            answer(&rule, method, &asked);
        let of = |name: &str| headers.iter().find(|header| header.0 == name).map(|header| header.1.as_str());
        prop_assert!(of("vary").is_some_and(|vary| vary.starts_with("Origin")));
        let origin = of("access-control-allow-origin");
        prop_assert!(matches!(origin, None | Some("*" | "https://app.example")));
        prop_assert!(origin != Some("*") || of("access-control-allow-credentials").is_none());
        prop_assert!(matches!(of("access-control-allow-headers"), None | Some("authorization, x-trace")));
    }

    #[test]
    fn nothing_makes_it_panic(method in "[A-Z]{0,8}", origin in ".{0,60}", referer in ".{0,60}", site in ".{0,20}") {
        let headers = [("Origin", &*origin), ("Referer", &*referer), ("Sec-Fetch-Site", &*site)];
        let _ = judged(&rule(), &method, &headers);
    }
}
