//! Envoy asks: a real one, with the configuration that docs/checker.md has, and a real nginx or a recorder behind.

use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use stopbank_checker::tokens::{Algorithm, Expected, Key, KeySet, Profile, verify};

use crate::{
    envoy::{Front, Given},
    issuer::token,
    servers::{Certificates, Nginx, Recorder, curl, good, is_open, text, wait_until},
    sign::Signer,
};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("Envoy asks, passes on what is allowed, and the client learns why something is not", asks),
    ("Envoy shows bodies: they are judged whole, or refused", bodies),
    ("an Envoy that does not show what is to be judged gets nothing through", unseen),
    ("a client's own words to Envoy and the checker count for nothing", smuggling),
    ("what is told and taken away of who asks goes by Envoy", identity),
    ("rates, CORS and headers of answers go by Envoy", answers),
    ("a certificate that Envoy has verified says who asks", certificates),
    ("an Envoy without its checker lets nobody through", down),
    ("a reload and an end are not noticed by Envoy's clients", life),
    ("who may not ask as Envoy does, and what is no question, gets nothing", calls),
];

/// What has come to an application, in lower case.
fn passed(application: &Recorder) -> String {
    String::from_utf8(application.request().unwrap()).unwrap().to_lowercase()
}

const JSON: &str = "Content-Type: application/json";
const ATTACK: &str = r#"{"q":"1' OR '1'='1"}"#;

fn asks() {
    let nginx = Nginx::start(None);
    let front = Front::start(nginx.port, &Given::default());
    assert_eq!(front.ask(&[], "/items?page=2").2, "GET /items?page=2");
    let (_, _, seen) =
        front.ask(&["-H", "X-Real-IP: 192.0.2.9", "-H", "X-Forwarded-For: 192.0.2.9"], "/headers");
    let line = front.audited(2);
    assert_eq!(
        (line["client"].as_str(), line["path"].as_str()),
        (Some("127.0.0.1"), Some("/headers")),
        "{line}"
    );
    assert!(seen.starts_with(&format!("127.0.0.1|{}|http|", line["request_id"].as_str().unwrap())), "{seen}");
    for more in [
        &["-H", JSON, "-d", r#"{"q":"a"}"#][..],
        &["-H", JSON, "-H", "Transfer-Encoding: chunked", "-d", r#"{"q":"a"}"#],
    ] {
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let (status, _, body) = front.ask(&[&[version], more].concat(), "/items");
            assert_eq!((status, &*body), (200, "POST /items"), "{more:?}");
        }
    }
    let before = 6;
    let attacks: [(&[&str], &str, u16); 7] = [
        (&[], "/a/%2e%2e/b", 400),
        (&[], "/items?q=1'%20OR%20'1'='1", 403),
        (&["-H", "X-Search: <script>alert(1)</script>"], "/items", 403),
        (&["-H", JSON, "-d", ATTACK], "/items", 403),
        (&["-H", JSON, "-H", "Transfer-Encoding: chunked", "-d", ATTACK], "/items", 403),
        (&["-H", JSON, "-d", r#"{"q":1,"q":2}"#], "/items", 400),
        (&["-X", "DELETE"], "/items?q=%3Cscript%3Ealert(1)%3C/script%3E", 403),
    ];
    let versions = ["--http1.1", "--http2-prior-knowledge"];
    for (number, (version, (arguments, path, expected))) in
        versions.iter().flat_map(|version| attacks.map(|attack| (*version, attack))).enumerate()
    {
        let (status, kind, body) = front.ask(&[&[version], arguments].concat(), path);
        let problem: Value =
            serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {status} {body}"));
        println!("{version} {path}: {status} {problem}");
        assert_eq!((status, kind.as_str()), (expected, "application/problem+json"), "{path} {problem}");
        let line = front.audited(before + number + 1);
        assert_eq!(
            (&line["reason"], &line["request_id"]),
            (&problem["reason"], &problem["request_id"]),
            "{line}"
        );
    }
    let metrics = front.checker.admin("/metrics");
    assert!(metrics.contains("requests_total{action=\"allow\",check=\"\",reason=\"\"} 6\n"), "{metrics}");
}

fn bodies() {
    let application = Recorder::start(|_| good("ok"));
    let policy = "undeclared = \"allow\"\n[limits.request]\nbody = \"1 KiB\"\n";
    let large = format!("{{\"q\":\"{}\"}}", "a".repeat(2000));
    // The policy's limit, and below it Envoy's own.
    let front = Front::start(application.port, &Given { policy: Some(policy), ..Given::default() });
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let (status, kind, body) = front.ask(&[version, "-H", JSON, "-d", &large], "/items");
        assert_eq!((status, &*kind), (413, "application/problem+json"), "{body}");
        assert!(body.contains("\"body-length\""), "{body}");
    }
    let small = [("max_request_bytes: 1048576", "max_request_bytes: 16")];
    let front = Front::start(application.port, &Given { envoy: &small, ..Given::default() });
    assert_eq!(front.ask(&["-H", JSON, "-d", &large], "/items").0, 413);
    // Only the beginning is shown, in which nothing is.
    let partial = [("max_request_bytes: 1048576", "max_request_bytes: 16, allow_partial_message: true")];
    let front = Front::start(application.port, &Given { envoy: &partial, ..Given::default() });
    let late = format!("a{}<script>alert(1)</script>", " ".repeat(40));
    for more in [
        &[][..],
        &["-H", "Transfer-Encoding: chunked"],
        &["--http2-prior-knowledge"],
        &["-H", "X-Envoy-Auth-Partial-Body: false"],
    ] {
        let (status, _, body) =
            front.ask(&[more, &["-H", "Content-Type: text/plain", "-d", &late]].concat(), "/items");
        assert!(status == 413 && body.contains("\"body-partial\""), "{more:?}: {status} {body}");
    }
    assert_eq!(front.audited(4)["reason"], "body-partial");
    assert_eq!(front.audited(4)["path"], "/items");
    assert!(application.another().is_none(), "what is refused has been passed on");
    assert_eq!(front.ask(&["-H", "Content-Type: text/plain", "-d", "all of it"], "/items").0, 200);
    // A body may be as long as Envoy and the policy allow, in many pieces of HTTP/2.
    let front =
        Front::start(application.port, &Given { policy: Some("undeclared = \"allow\""), ..Given::default() });
    let file = front.checker.directory.file("body");
    fs::write(&file, format!("[\"{}\"]", "abc ".repeat(200_000))).unwrap();
    let name = format!("@{}", file.display());
    let (status, _, body) = front.ask(&["-H", JSON, "-H", "Expect:", "--data-binary", &name], "/items");
    assert_eq!(status, 400, "a string of 800,000 bytes: {body}");
    fs::write(&file, format!("[{}\"a\"]", "\"abc \",".repeat(9_000))).unwrap();
    let (status, _, body) = front.ask(&["-H", JSON, "-H", "Expect:", "--data-binary", &name], "/items");
    assert_eq!(status, 200, "{body}");
}

fn unseen() {
    let application = Recorder::start(|_| good("ok"));
    let shown = "with_request_body: { max_request_bytes: 1048576, pack_as_bytes: true }";
    let attack = ["-H", JSON, "-d", ATTACK];
    let refused = |asked: &str, envoy: &[(&str, &str)], rule: &str| {
        let front = Front::start(application.port, &Given { asked, envoy, ..Given::default() });
        let (status, _, body) = front.ask(&attack, "/items");
        let line = front.audited(1);
        assert!(status == 500 && body.contains("\"front-end\""), "{rule}: {status} {body}");
        assert_eq!(line["evidence"]["rule"], rule, "{line}");
        let metrics = front.checker.admin("/metrics");
        assert!(
            metrics.contains("action=\"refuse\",check=\"connection\",reason=\"front-end\"} 1\n"),
            "{metrics}"
        );
    };
    refused("", &[(shown, "")], "unseen-body");
    refused("", &[("pack_as_bytes: true", "pack_as_bytes: false")], "text");
    refused("", &[("encode_raw_headers: true", "encode_raw_headers: false")], "text");
    let few = "encode_raw_headers: true\nallowed_headers: { patterns: [{ exact: content-type }] }";
    refused("", &[("encode_raw_headers: true", few)], "headers");
    assert!(application.another().is_none(), "what is refused has been passed on");
    // Where it is said that there are no bodies, that stands in the log.
    let heads = Front::start(
        application.port,
        &Given { asked: ", bodies = false", envoy: &[(shown, "")], ..Given::default() },
    );
    assert_eq!(heads.ask(&attack, "/items").0, 200);
    assert_eq!(heads.audited(1)["unseen"], "body");
    assert!(
        heads.checker.said().contains("no bodies come along with `ext_authz`"),
        "{}",
        heads.checker.said()
    );
    // As older Envoys ask.
    let old = [
        ("encode_raw_headers: true", "encode_raw_headers: false"),
        ("pack_as_bytes: true", "pack_as_bytes: false"),
    ];
    let old =
        Front::start(application.port, &Given { asked: ", text = true", envoy: &old, ..Given::default() });
    assert_eq!(old.ask(&["-H", JSON, "-d", r#"{"q":"a"}"#], "/items").0, 200);
    assert_eq!(old.ask(&attack, "/items").0, 403);
    let twice = [
        "-H",
        "Authorization: Bearer a",
        "-H",
        "Authorization: Bearer b",
        "-H",
        "Content-Type: text/plain",
        "-H",
        "Content-Type: application/json",
        "-d",
        "a",
    ];
    assert_eq!(old.ask(&twice, "/items").0, 400);
}

fn smuggling() {
    let application = Recorder::start(|_| good("ok"));
    let upgrade = "stat_prefix: ingress\nupgrade_configs: [{ upgrade_type: websocket }]";
    let front = Front::start(
        application.port,
        &Given { envoy: &[("stat_prefix: ingress", upgrade)], ..Given::default() },
    );
    let lies = [
        "-H",
        "X-Envoy-Auth-Partial-Body: false",
        "-H",
        "X-Stopbank-Identity: admin",
        "-H",
        "Forwarded: for=192.0.2.9",
        "-H",
        "X-Forwarded-Host: evil.example",
        "-H",
        "X-Request-Id: mine",
        "-H",
        "CF-Connecting-IP: 192.0.2.9",
    ];
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        assert_eq!(front.ask(&[&[version], &lies[..]].concat(), "/items").0, 200);
        let seen = passed(&application);
        for lie in ["identity", "192.0.2.9", "evil", "mine", "forwarded: for", "cf-conn"] {
            assert!(!seen.contains(lie), "{lie}: {seen}");
        }
        assert!(seen.contains("\r\nx-forwarded-for: 127.0.0.1\r\n"), "{seen}");
        let attack = [version, "-H", "X-Envoy-Auth-Partial-Body: false", "-H", JSON, "-d", ATTACK];
        assert_eq!(front.ask(&attack, "/items").0, 403);
    }
    for twice in [
        &["-H", "Cookie: a=1", "-H", "Cookie: a=2"][..],
        &["--http2-prior-knowledge", "-H", "Cookie: a=1", "-H", "Cookie: a=2"],
        &["-H", "Content-Type: application/json", "-H", "Content-Type: text/plain", "-d", "a"],
        &["-H", "X_Stopbank_Identity: admin"],
    ] {
        let (status, _, body) = front.ask(twice, "/items");
        assert_eq!(status, 400, "{twice:?} {body}");
    }
    let socket = [
        "-H",
        "Connection: Upgrade",
        "-H",
        "Upgrade: websocket",
        "-H",
        "Sec-WebSocket-Version: 13",
        "-H",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    ];
    let (status, _, body) = front.ask(&socket, "/live");
    assert!(status == 403 && body.contains("\"upgrade\""), "{status} {body}");
    assert!(application.another().is_none(), "what is refused has been passed on");
    // Proxies in front of Envoy that are trusted name the client.
    let rest = "[forwarded]\ntrusted = [\"127.0.0.1/32\"]\n";
    // It does not write down who has connected, which for loopback would be its own address.
    let envoy = [("use_remote_address: true", "use_remote_address: false")];
    let front = Front::start(application.port, &Given { rest, envoy: &envoy, ..Given::default() });
    assert_eq!(front.ask(&["-H", "X-Forwarded-For: 192.0.2.9, 198.51.100.7"], "/items").0, 200);
    let seen = passed(&application);
    assert!(seen.contains("\r\nx-forwarded-for: 192.0.2.9, 198.51.100.7, 127.0.0.1\r\n"), "{seen}");
    assert_eq!(front.audited(1)["client"], "198.51.100.7");
}

const ISSUER: &str = "undeclared = \"allow\"\nidentity = [\"main\"]\nidentity_header = { secret = \"header\" }\n[[issuer]]\nname = \"main\"\n\
    issuer = \"https://issuer.example\"\naudiences = [\"https://api.example\"]\nkeys = { file = \"keys.json\" }\n\
    [[route]]\npath = \"/admin\"\nmethods = [\"GET\"]\nscopes = [\"admin\"]\n";

fn identity() {
    let application = Recorder::start(|_| good("ok"));
    let signer = Signer::new(Algorithm::Es256, "k-1");
    let keys = json!({ "keys": [signer.jwk()] }).to_string();
    let files: [(&str, &[u8]); 2] = [("keys.json", keys.as_bytes()), ("header", &[b'h'; 32])];
    let front =
        Front::start(application.port, &Given { policy: Some(ISSUER), files: &files, ..Given::default() });
    let bearer = format!("Authorization: Bearer {}", token(&signer, &json!({})));
    let forged =
        format!("Authorization: Bearer {}", token(&Signer::new(Algorithm::Es256, "k-1"), &json!({})));
    for (arguments, path, status, said) in [
        (&[][..], "/items", 401, "www-authenticate: bearer realm=\"api\""),
        (&["-H", &forged], "/items", 401, "error=\"invalid_token\""),
        (&["-H", &bearer], "/admin", 403, "error=\"insufficient_scope\""),
        (&["-H", &bearer, "-H", &bearer], "/items", 400, "credential-form"),
        (&["-H", &bearer], "/items?access_token=a", 400, "credential-form"),
        (&["-H", "X-Stopbank-Identity: {\"sub\":\"admin\"}"], "/items", 401, "identity-missing"),
    ] {
        let answer = front.answer(arguments, path);
        assert!(
            answer.starts_with(&format!("http/1.1 {status} ")) && answer.contains(said),
            "{arguments:?} {answer}"
        );
    }
    assert!(application.another().is_none(), "what is refused has been passed on");
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let lies =
            [version, "-H", &bearer, "-H", "X-Stopbank-Identity: admin", "-H", "X-STOPBANK-Identity: admin"];
        assert_eq!(front.ask(&lies, "/items").0, 200);
        let seen = String::from_utf8(application.request().unwrap()).unwrap();
        let told: Vec<&str> =
            seen.lines().filter_map(|line| line.strip_prefix("x-stopbank-identity: ")).collect();
        assert!(
            told.len() == 1 && !seen.contains("admin") && !seen.to_lowercase().contains("authorization"),
            "{seen}"
        );
        let keys = KeySet::of(vec![Key::secret(None, Algorithm::Hs256, &[b'h'; 32]).unwrap()]);
        let expected = Expected {
            issuer: "stopbank".to_owned(),
            audiences: vec!["api".to_owned()],
            profile: Profile::Jwt,
            leeway: 5,
            longest_life: Some(60),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(verify(told[0], &keys, &expected, now).unwrap().subject.as_deref(), Some("alice"));
    }
    assert_eq!(front.audited(8)["identity"]["subject"], "alice");
}

fn answers() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAccess-Control-Allow-Origin: *\r\nVary: Accept\r\nX-Frame-Options: SAMEORIGIN\r\n\r\nok";
    let application = Recorder::start(move |_| (answer.as_bytes().to_vec(), false));
    let policy = "undeclared = \"allow\"\n[cors]\norigins = [\"https://app.example\"]\nmethods = [\"GET\", \"PUT\"]\nheaders = [\"content-type\"]\n\
        [[rate]]\nname = \"all\"\nby = \"address\"\nspike = \"1/m\"\nburst = 3\n";
    let front = Front::start(application.port, &Given { policy: Some(policy), ..Given::default() });
    let origin = ["-H", "Origin: https://app.example"];
    let preflight = [&origin[..], &["-X", "OPTIONS", "-H", "Access-Control-Request-Method: PUT"]].concat();
    let answered = front.answer(&preflight, "/items");
    assert!(answered.starts_with("http/1.1 204 "), "{answered}");
    assert!(
        answered.contains("access-control-allow-methods: get, put\r\n") && !answered.contains("problem"),
        "{answered}"
    );
    assert_eq!(front.audited(1)["action"], "answer");
    assert!(application.another().is_none(), "a preflight has been passed on");
    let allowed = front.answer(&origin, "/items");
    assert!(
        allowed.contains("access-control-allow-origin: https://app.example\r\n") && !allowed.contains(": *"),
        "{allowed}"
    );
    assert!(allowed.contains("vary: accept,origin\r\n"), "{allowed}");
    assert!(allowed.contains("x-content-type-options: nosniff\r\n"), "{allowed}");
    let refused = (0..5)
        .map(|_| front.answer(&origin, "/items"))
        .find(|answer| answer.starts_with("http/1.1 429 "))
        .unwrap();
    let retry = refused.lines().find_map(|line| line.strip_prefix("retry-after: ")).unwrap();
    assert!((1..=60).contains(&retry.trim().parse::<u32>().unwrap()), "{refused}");
    assert!(
        refused.contains("\r\nratelimit: ")
            && refused.contains("access-control-allow-origin: https://app.example\r\n"),
        "{refused}"
    );
}

fn certificates() {
    let files = Certificates::new();
    let application = Recorder::start(|_| good("ok"));
    let policy = "undeclared = \"allow\"\nidentity = [\"certificate\"]\nidentity_header = true\n[certificates]\nnames = [\"dns\"]\n";
    let tls = format!(
        "- transport_socket:\n    name: envoy.transport_sockets.tls\n    typed_config:\n      \
         \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext\n      \
         common_tls_context:\n        tls_certificates: [{{ certificate_chain: {{ filename: {} }}, private_key: {{ filename: {} }} }}]\n        \
         validation_context: {{ trusted_ca: {{ filename: {} }} }}\n  filters:",
        files.path("server.pem"),
        files.path("server.key"),
        files.path("ca.pem")
    );
    let envoy = [
        ("- filters:", tls.as_str()),
        ("encode_raw_headers: true", "encode_raw_headers: true\ninclude_peer_certificate: true"),
    ];
    let (authority, certificate, key) =
        (files.path("ca.pem"), files.path("client.pem"), files.path("client.key"));
    let asked = |front: &Front, more: &[&str]| {
        let url = format!("https://localhost:{}/items", front.port);
        let said = curl(
            &[&["-4", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", &authority], more, &[&url]]
                .concat(),
        );
        String::from_utf8(said.stdout).unwrap()
    };
    let shown: &[&str] = &["--cert", &certificate, "--key", &key];
    let given =
        Given { asked: ", certificates = true", policy: Some(policy), envoy: &envoy, ..Given::default() };
    let front = Front::start(application.port, &given);
    assert_eq!((&*asked(&front, &[]), &*asked(&front, shown)), ("403", "200"));
    let seen = passed(&application);
    assert!(
        seen.contains("x-stopbank-identity: {\"id\"") || seen.contains("\"kind\":\"certificate\""),
        "{seen}"
    );
    assert_eq!(front.audited(2)["certificate"], true);
    // It is not said that Envoy verifies them.
    let front = Front::start(application.port, &Given { asked: "", ..given });
    assert_eq!(asked(&front, shown), "403");
    assert_eq!(front.audited(1)["reason"], "certificate-missing");
}

fn down() {
    let application = Recorder::start(|_| good("ok"));
    let front = Front::start(application.port, &Given::default());
    assert_eq!(front.ask(&[], "/items").0, 200);
    assert!(application.request().is_some());
    front.checker.process.signal("KILL");
    wait_until("the checker's end", || !is_open(front.checker.port));
    for path in ["/items", "/others"] {
        assert_eq!(front.ask(&[], path).0, 403);
    }
    assert!(application.another().is_none(), "what nobody has judged has been passed on");
}

fn life() {
    let application = Recorder::start(|_| good("ok"));
    let mut front =
        Front::start(application.port, &Given { policy: Some("undeclared = \"allow\""), ..Given::default() });
    assert_eq!(front.ask(&[], "/items").0, 200);
    let policy = "undeclared = \"allow\"\n[[route]]\npath = \"/items\"\nmethods = [\"PUT\"]\n[[route]]\npath = \"/{rest*}\"\nmethods = [\"PUT\"]\n";
    fs::write(front.checker.directory.file("policy.toml"), policy.replace("\"allow\"", "\"refuse\""))
        .unwrap();
    front.checker.process.signal("HUP");
    wait_until("the new policy", || front.ask(&[], "/items").0 == 405);
    fs::write(front.checker.directory.file("policy.toml"), "undeclared = \"allow\"").unwrap();
    front.checker.process.signal("HUP");
    wait_until("the old policy", || front.ask(&[], "/items").0 == 200);
    front.checker.process.signal("TERM");
    assert_eq!(front.checker.process.ends(), Some(0));
}

fn calls() {
    let application = Recorder::start(|_| good("ok"));
    let front = Front::start(application.port, &Given::default());
    let place = format!("http://127.0.0.1:{}", front.checker.port);
    let url = format!("{place}/envoy.service.auth.v3.Authorization/Check");
    let call = |more: &[&str], url: &str| {
        let file = front.checker.directory.file("call");
        let name = format!("@{}", file.display());
        let fixed =
            ["-i", "--http2-prior-knowledge", "-H", "Content-Type: application/grpc", "--data-binary", &name];
        let said = curl(&[&fixed[..], more, &[url]].concat());
        (said.status.success(), String::from_utf8_lossy(&said.stdout).into_owned())
    };
    let write = |bytes: &[u8]| fs::write(front.checker.directory.file("call"), bytes).unwrap();
    for bytes in [
        &b""[..],
        b"\0\0\0\0\x01",
        b"\0\0\0\0\0",
        b"\x01\0\0\0\0",
        b"\0\0\0\0\x02\x0a\xff",
        b"\0\0\0\0\0\0\0\0\0\0",
        b"\0\0\0\0\x02\x0a\0",
    ] {
        write(bytes);
        let (_, answer) = call(&[], &url);
        assert!(
            answer.starts_with("HTTP/2 200 ")
                && answer.contains("front-end")
                && answer.contains("grpc-status: 0"),
            "{bytes:?} {answer}"
        );
    }
    let zeros = vec![0; 3 << 20];
    write(&[&[0, 0, 0x30, 0, 0][..], &zeros].concat());
    let (_, answer) = call(&[], &url);
    assert!(answer.contains("body-length"), "{answer}");
    let (_, answer) = call(&[], &format!("{place}/grpc.health.v1.Health/Check"));
    assert!(answer.contains("\r\ngrpc-status: 12\r\n"), "{answer}");
    let plain =
        text(&curl(&["-i", "--http2-prior-knowledge", "-H", "Content-Type: text/plain", "-d", "a", &url]));
    assert!(plain.starts_with("HTTP/2 415 "), "{plain}");
    // HTTP/1, and from another address than Envoy's.
    let (good, answer) = call(&["--http1.1"], &url);
    assert!(!good && answer.is_empty(), "{answer}");
    let (good, answer) = call(&["--interface", "127.0.0.3"], &url);
    assert!(!good && answer.is_empty(), "{answer}");
    assert!(front.checker.admin("/metrics").contains("outcome=\"untrusted\"} 1\n"));
}
