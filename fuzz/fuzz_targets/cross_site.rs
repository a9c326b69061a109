//! Any headers of a browser or of whoever says to be one: nothing panics, no stranger passes, and CORS grants no more than its policy.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::{arbitrary, arbitrary::Arbitrary, fuzz_target};
use stopbank_checker::{
    Field, Request, Version,
    cross_site::{
        Asked, Origin, SiteRule, changes,
        cors::{Answer, Cors, CorsRule},
        double_submit::Signer,
    },
    keys,
};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    method: u8,
    origin: Option<&'a str>,
    referer: Option<&'a str>,
    site: Option<u8>,
    mode: u8,
    headers: &'a str,
    token: &'a [u8],
}

const SITES: [&str; 5] = ["same-origin", "same-site", "cross-site", "none", "else"];

fuzz_target!(|input: Input<'_>| {
    let own: Origin = "https://api.example.org".parse().unwrap();
    let friend: Origin = "https://app.example".parse().unwrap();
    let method = ["GET", "POST", "OPTIONS", "DELETE"][usize::from(input.method % 4)];
    let site = input.site.map(|site| SITES[usize::from(site % 5)]);
    let mode = ["navigate", "cors", "no-cors"][usize::from(input.mode % 3)];
    let headers: Vec<(&str, &str)> = [
        input.origin.map(|value| ("origin", value)),
        input.referer.map(|value| ("referer", value)),
        site.map(|value| ("sec-fetch-site", value)),
        Some(("sec-fetch-mode", mode)),
        Some(("access-control-request-method", "PUT")),
        Some(("access-control-request-headers", input.headers)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let fields =
        headers.iter().map(|(name, value)| Field { name: name.as_bytes(), value: value.as_bytes() }).collect();
    let request =
        Request { method: method.as_bytes(), target: b"/", version: Version::Http11, headers: fields, body: (&b""[..]).into() };
    let known = |origin: &str| origin == own.as_str() || origin == friend.as_str();

    let rule = SiteRule { origins: vec![friend.clone()], ..SiteRule::default() };
    let owns = [own.clone()];
    let asked = Asked { own: &owns, ambient: true, changes: changes(&request, &[]) };
    if rule.judge(&request, &asked).is_ok() && matches!(method, "POST" | "DELETE") {
        assert!(input.origin.is_none_or(known), "a stranger's origin");
        assert!(input.origin.is_some() || input.referer.is_some() || matches!(site, Some("same-origin" | "none")));
    }
    for text in [input.origin, input.referer].into_iter().flatten() {
        if let Ok(origin) = text.parse::<Origin>() {
            assert_eq!(origin.as_str(), text);
        }
    }

    let cors = CorsRule {
        origins: vec![friend.clone()],
        methods: vec!["PUT".to_owned()],
        headers: vec!["x-trace".to_owned()],
        credentials: true,
        ..CorsRule::default()
    };
    let answer = Cors::new(cors).unwrap().answer(&request);
    let granted = matches!(answer, Answer::Granted(_));
    let (Answer::Request(headers) | Answer::Granted(headers) | Answer::Refused(_, headers)) = answer;
    assert!(!granted || input.origin == Some(friend.as_str()));
    for (name, value) in headers {
        assert!(!value.contains(['\r', '\n']) && (name != "access-control-allow-origin" || value == friend.as_str()));
    }

    let signer = Signer::new(&[&[7; 32]]).unwrap();
    assert!(signer.verify(input.token, input.token, b"session", Duration::ZERO, Duration::MAX).is_err());
    if let Some(parts) = keys::parse(input.token) {
        assert!(keys::is_prefix(parts.prefix) && keys::is_id(parts.id));
    }
});
