//! Who asks, through the proxy: keys that are fetched and rotate, an issuer that is down, certificates that are revoked, and what is tried to pass
//! for somebody else.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use stopbank_checker::tokens::{Algorithm, Expected, Key, KeySet, Profile, verify};

use crate::{
    issuer::{Issuer, claims, ok, token},
    servers::{CHECKER, Certificates, Proxy, Recorder, Setup, good, text, upstream, wait_until},
    sign::Signer,
};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("keys are fetched, rotate, and are used while the issuer is down", rotation),
    ("an issuer is asked about opaque tokens over TLS", introspection),
    ("neither keys nor tokens are exchanged with who shows another authority's certificate", impostor),
    ("nobody passes for another by headers", smuggling),
    ("what the server behind is told is signed, and the credential stays here", told),
    ("revoked tokens and keys are refused within seconds, without a reload", revocation),
    ("a client certificate says who asks, until it is revoked", certificates),
    ("a list of revoked certificates whose time is over lets nobody in, unless that is wanted", expired_list),
    ("a named pipe in the place of a list holds nothing up", pipe),
    ("who goes through objects is stopped, and who pages through a list is not", enumeration),
];

/// Files that a policy names, beside it.
pub(crate) fn setup(policy: String, port: u16, files: &[(&str, &[u8])]) -> Setup {
    let mut setup = Setup::new(upstream("a", port, ""));
    for (name, bytes) in files {
        let file = setup.directory.file(name);
        fs::write(&file, bytes).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    setup.policy = Some(policy);
    setup
}

pub(crate) fn by_url(issuer: &Issuer, files: &Certificates, more: &str) -> String {
    format!(
        "undeclared = \"allow\"\nidentity = [\"main\"]\n[[issuer]]\nname = \"main\"\nissuer = \"https://issuer.example\"\naudiences = [\"https://api.example\"]\n\
         keys = {{ url = \"{}\", ca = \"{}\", refresh = \"10s\", cool_down = \"3s\", retry = \"1s\"{more} }}\n",
        issuer.url("/keys"),
        files.path("ca.pem")
    )
}

/// The status of an answer, and the head.
pub(crate) fn get(proxy: &Proxy, headers: &str) -> (u16, String) {
    let answer =
        proxy.answers(format!("GET /7 HTTP/1.1\r\nHost: a\r\n{headers}Connection: close\r\n\r\n").as_bytes());
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    (status, answer)
}

pub(crate) fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn rotation() {
    let files = Certificates::new();
    let (issuer, recorder) = (Issuer::start(&files), Recorder::start(|_| good("ok")));
    let (old, new) = (Signer::new(Algorithm::Es256, "k-1"), Signer::new(Algorithm::Es256, "k-2"));
    // It is down when the proxy starts.
    let proxy = setup(by_url(&issuer, &files, ""), recorder.port, &[]).start();
    let by_old = token(&old, &json!({}));
    assert_eq!(get(&proxy, &bearer(&by_old)).0, 503);
    issuer.publishes(&[&old]);
    wait_until("the first keys", || get(&proxy, &bearer(&by_old)).0 == 200);
    // A new key is known to the first one who comes with it, who waits for the fetch.
    std::thread::sleep(Duration::from_secs(3));
    issuer.publishes(&[&old, &new]);
    let by_new = token(&new, &json!({}));
    assert_eq!(get(&proxy, &bearer(&by_new)).0, 200);
    // Down for longer than the keys are fresh, and back without the old one.
    issuer.answers(|_| None);
    let until = Instant::now() + Duration::from_secs(12);
    while Instant::now() < until {
        assert_eq!((get(&proxy, &bearer(&by_new)).0, get(&proxy, &bearer(&by_old)).0), (200, 200));
        std::thread::sleep(Duration::from_millis(300));
    }
    assert!(proxy.said().contains("issuer `main`: cannot ask https://localhost:"), "{}", proxy.said());
    issuer.publishes(&[&new]);
    wait_until("the end of the old key", || get(&proxy, &bearer(&by_old)).0 == 401);
    assert_eq!(get(&proxy, &bearer(&by_new)).0, 200);
    let metrics = proxy.admin("/metrics");
    for line in [
        "identities_total{prover=\"main\",outcome=\"good\"}",
        "outcome=\"keys-fetched\"}",
        "outcome=\"keys-not-fetched\"}",
        "tokens_remembered{issuer=\"main\"}",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

fn introspection() {
    let files = Certificates::new();
    let (issuer, recorder) = (Issuer::start(&files), Recorder::start(|_| good("ok")));
    issuer.answers(|request| {
        let active = request.ends_with("token=opaque-1")
            && request.contains("\r\nauthorization: Basic Y2hlY2tlcjpzZWNyZXQtc2VjcmV0\r\n");
        let answer = if active { claims(&json!({ "active": true })) } else { json!({ "active": false }) };
        Some(ok(&answer.to_string()))
    });
    let policy = format!(
        "undeclared = \"allow\"\nidentity = [\"main\"]\n[[issuer]]\nname = \"main\"\nissuer = \"https://issuer.example\"\naudiences = [\"https://api.example\"]\n\
         introspection = {{ url = \"{}\", ca = \"{}\", client = \"checker\", secret = \"asked\" }}\n",
        issuer.url("/introspect"),
        files.path("ca.pem")
    );
    let proxy = setup(policy, recorder.port, &[("asked", b"secret-secret")]).start();
    for _ in 0..3 {
        assert_eq!(get(&proxy, &bearer("opaque-1")).0, 200);
        assert_eq!(get(&proxy, &bearer("opaque-2")).0, 401);
    }
    assert_eq!(issuer.count(), 2, "each token once");
    assert!(!fs::read_to_string(proxy.directory.file("audit")).unwrap().contains("opaque"));
}

/// RFC 7662, section 4, and RFC 9068, section 4: over TLS, and the certificate is verified.
fn impostor() {
    let (files, others) = (Certificates::new(), Certificates::new());
    let (issuer, recorder) = (Issuer::start(&others), Recorder::start(|_| good("ok")));
    let signer = Signer::new(Algorithm::Es256, "k-1");
    issuer.publishes(&[&signer]);
    let proxy = setup(by_url(&issuer, &files, ""), recorder.port, &[]).start();
    wait_until("the complaint", || proxy.said().contains("issuer `main`: cannot ask https://localhost:"));
    assert_eq!(get(&proxy, &bearer(&token(&signer, &json!({})))).0, 503);
    let asked = format!(
        "undeclared = \"allow\"\nidentity = [\"main\"]\n[[issuer]]\nname = \"main\"\nissuer = \"https://issuer.example\"\naudiences = [\"https://api.example\"]\n\
         introspection = {{ url = \"{}\", ca = \"{}\", client = \"checker\", secret = \"asked\" }}\n",
        issuer.url("/introspect"),
        files.path("ca.pem")
    );
    let proxy = setup(asked, recorder.port, &[("asked", b"secret-secret")]).start();
    assert_eq!(get(&proxy, &bearer("opaque")).0, 503);
    assert_eq!(issuer.count(), 0, "it has heard nothing: neither token nor secret");
}

/// One issuer whose key is in a file, and API keys.
pub(crate) fn by_file(signer: &Signer, more: &str, port: u16) -> Setup {
    by_file_of(&json!({ "keys": [signer.jwk()] }).to_string(), more, port)
}

/// The same with a whole set of keys.
pub(crate) fn by_file_of(keys: &str, more: &str, port: u16) -> Setup {
    let policy = format!(
        "undeclared = \"allow\"\nidentity = [\"main\", \"key\"]\n{more}\n[keys]\nfile = \"keys.toml\"\n\
         [[issuer]]\nname = \"main\"\nissuer = \"https://issuer.example\"\naudiences = [\"https://api.example\"]\nkeys = {{ file = \"jwks.json\" }}\nrevoked = \"revoked.toml\"\n"
    );
    let setup = setup(
        policy,
        port,
        &[("jwks.json", keys.as_bytes()), ("revoked.toml", b""), ("header", &[b'h'; 32])],
    );
    // The list is made as a user makes it.
    let made = Command::new(CHECKER)
        .args(["keys", "add", "--name", "billing", "--file"])
        .arg(setup.directory.file("keys.toml"))
        .output();
    fs::write(setup.directory.file("key"), made.unwrap().stdout).unwrap();
    setup
}

pub(crate) fn key(proxy: &Proxy) -> String {
    fs::read_to_string(proxy.directory.file("key")).unwrap().trim().to_owned()
}

fn smuggling() {
    let recorder = Recorder::start(|_| good("ok"));
    let signer = Signer::new(Algorithm::Es256, "k-1");
    let proxy = by_file(&signer, "identity_header = true", recorder.port).start();
    let (one, key) = (token(&signer, &json!({})), key(&proxy));
    let none = {
        let (_, rest) = one.split_once('.').unwrap();
        let payload = rest.split('.').next().unwrap();
        format!("{}.{payload}.", crate::sign::encode(r#"{"alg":"nOnE","typ":"at+jwt"}"#))
    };
    for (headers, status) in [
        (String::new(), 401),
        ("X-Stopbank-Identity: {\"sub\":\"admin\"}\r\n".to_owned(), 401),
        (format!("{}X_Stopbank_Identity: admin\r\n", bearer(&one)), 400),
        (format!("{}X-Stopbank-Identity : admin\r\n", bearer(&one)), 400),
        (format!("{}X-Other: a\r\n X-Stopbank-Identity: admin\r\n", bearer(&one)), 400),
        (format!("{}Connection: X-Stopbank-Identity\r\n", bearer(&one)), 400),
        (format!("{}{}", bearer(&one), bearer(&one)), 400),
        (format!("{}AUTHORIZATION: Basic YWRtaW46YWRtaW4=\r\n", bearer(&one)), 400),
        (format!("{}X-Api-Key: {key}\r\n", bearer(&one)), 400),
        (format!("Authorization: Bearer {one}, Basic YWRtaW46YWRtaW4=\r\n"), 400),
        (format!("Authorization: Bearer {one} {one}\r\n"), 400),
        (format!("Authorization: Bearer\t{one}\r\n"), 400),
        (format!("Authorization: Bearer\u{a0}{one}\r\n"), 400),
        (format!("Authorization: \"Bearer {one}\"\r\n"), 401),
        (format!("Authorization: Bearer={one}\r\n"), 400),
        (format!("Authorization: {one}\r\n"), 400),
        (bearer(&none), 401),
        (bearer(&format!("{one}=")), 401),
        (bearer(&one.to_uppercase()), 401),
        (bearer(&format!("{one}.{one}")), 401),
        (format!("Proxy-Authorization: Bearer {one}\r\n"), 401),
        (format!("Cookie: access_token={one}\r\n"), 401),
        (format!("X-Api-Key: {}\r\n", key.to_uppercase()), 401),
        (format!("X-Api-Key: {key},{key}\r\n"), 401),
    ] {
        let (found, answer) = get(&proxy, &headers);
        assert_eq!(found, status, "{headers}\n{answer}");
        if status == 401 {
            assert!(
                answer.contains("\r\nwww-authenticate: Bearer realm=\"api\"")
                    && answer.contains("\r\nwww-authenticate: ApiKey "),
                "{answer}"
            );
        }
    }
    assert!(recorder.another().is_none(), "nothing of it goes on");
    for headers in
        [bearer(&one), format!("aUTHORIZATION:  bEARER   {one} \r\n"), format!("X-API-KEY: {key}\r\n")]
    {
        let sent =
            format!("{headers}x-STOPBANK-identity: {{\"sub\":\"admin\"}}\r\nX-Stopbank-Identity: admin\r\n");
        assert_eq!(get(&proxy, &sent).0, 200, "{headers}");
        let seen = String::from_utf8(recorder.request().unwrap()).unwrap();
        assert!(
            !seen.contains("admin") && !seen.to_lowercase().contains("uthorization") && !seen.contains(&key),
            "{seen}"
        );
        let told: Vec<&str> =
            seen.lines().filter_map(|line| line.strip_prefix("x-stopbank-identity: ")).collect();
        let told: Value = serde_json::from_str(told[0]).unwrap();
        assert!(matches!(told["sub"].as_str(), Some("alice" | "billing")), "{told}");
    }
    let audit = fs::read_to_string(proxy.directory.file("audit")).unwrap();
    assert!(
        !audit.contains(&one) && !audit.contains(&key) && !audit.contains("YWRtaW4"),
        "a credential in the log"
    );
}

fn told() {
    let recorder = Recorder::start(|_| good("ok"));
    let signer = Signer::new(Algorithm::Es256, "k-1");
    let proxy = by_file(
        &signer,
        "identity_header = { name = \"x-who\", secret = \"header\" }\nforward_credential = true",
        recorder.port,
    )
    .start();
    let one = token(&signer, &json!({ "sub": "aliçe\n漢" }));
    assert_eq!(get(&proxy, &format!("{}X-Who: x\r\nX-Stopbank-Identity: x\r\n", bearer(&one))).0, 200);
    let seen = String::from_utf8(recorder.request().unwrap()).unwrap();
    assert!(seen.contains(&bearer(&one)) && !seen.to_lowercase().contains("x-stopbank-identity"), "{seen}");
    let told: Vec<&str> = seen.lines().filter_map(|line| line.strip_prefix("x-who: ")).collect();
    // As a server behind verifies it, here with the library's own verifier.
    let keys = KeySet::of(vec![Key::secret(None, Algorithm::Hs256, &[b'h'; 32]).unwrap()]);
    let expected = Expected {
        issuer: "stopbank".to_owned(),
        audiences: vec!["api".to_owned()],
        profile: Profile::Jwt,
        leeway: 5,
        longest_life: Some(60),
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let verified = verify(told[0], &keys, &expected, now).unwrap();
    assert_eq!(verified.subject.as_deref(), Some("aliçe\n漢"));
    assert_eq!(
        (verified.claims["issuer"].as_str(), verified.claims["scope"].as_str()),
        (Some("main"), Some("read write"))
    );
    assert_eq!(told.len(), 1);
}

fn enumeration() {
    const POLICY: &str = "
[[enumeration]]
name = \"documents\"
routes = [\"/documents/{number}\"]
id = \"path:number\"
distinct = 60
walk = 20

[[enumeration]]
name = \"open\"
routes = [\"/open/{number}\"]
id = \"path:number\"
distinct = 10
mode = \"observe\"

[[route]]
path = \"/documents/{number}\"
methods = [\"GET\"]

[[route]]
path = \"/documents\"
methods = [\"GET\"]

[[route]]
path = \"/open/{number}\"
methods = [\"GET\"]
identity = []
";
    let recorder = Recorder::start(|_| good("ok"));
    let signer = Signer::new(Algorithm::Es256, "k-1");
    let mut setup = by_file(&signer, "", recorder.port);
    setup.policy = setup.policy.map(|policy| policy + POLICY);
    setup.rest.push_str("[refusals]\nreason = true\n");
    let proxy = setup.start();
    let of = |subject: &str| bearer(&token(&signer, &json!({ "sub": subject })));
    let ask = |path: &str, headers: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{headers}Connection: close\r\n\r\n");
        proxy.answers(request.as_bytes())
    };
    let passes = |path: &str, headers: &str| ask(path, headers).starts_with("HTTP/1.1 200 ");
    // Each request with a token of its own: the subject counts. Some at once.
    let passed: Vec<usize> = std::thread::scope(|scope| {
        let own = || (0..200).filter(|id| passes(&format!("/documents/{id}"), &of("walker"))).count();
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(own)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    // Both together were given 21, and may each have been given those again.
    assert!((21..=42).contains(&passed.iter().sum::<usize>()), "{passed:?}");
    let refused = ask("/documents/150", &of("walker"));
    assert!(refused.starts_with("HTTP/1.1 429 ") && refused.contains("\"object-walk\""), "{refused}");
    assert!(refused.to_lowercase().contains("retry-after: "), "{refused}");
    let picked = (0..200).filter(|id| passes(&format!("/documents/{}", id * 1_000), &of("picker"))).count();
    assert!((45..=75).contains(&picked), "{picked}");
    assert!(ask("/documents/7777777", &of("picker")).contains("\"object-count\""));
    // Pages of a list, and of each page some documents, here and there: ids lie among those of others.
    for page in 1..=40 {
        assert!(passes(&format!("/documents?page={page}"), &of("reader")));
        let id = 90_000 - page * 37;
        assert!(
            passes(&format!("/documents/{id}"), &of("reader"))
                && passes(&format!("/documents/{id}"), &of("reader"))
        );
    }
    let key = format!("X-Api-Key: {}\r\n", key(&proxy));
    assert!(passes("/documents/150", &key), "another identity");
    assert!((0..30).all(|id| passes(&format!("/open/{id}"), "")), "it only observes");
    let audit = fs::read_to_string(proxy.directory.file("audit")).unwrap();
    for said in [
        "\"object-walk\"",
        "\"object-count\"",
        "\"rule\":\"documents\"",
        "\"rule\":\"open\"",
        "\"walker\"",
        "127.0.0.1/32",
    ] {
        assert!(audit.contains(said), "{said}: {audit}");
    }
    let metrics = proxy.admin("/metrics");
    for line in [
        "rate_requests_total{kind=\"enumeration\",outcome=\"refused\",rule=\"documents\"} ",
        "rate_requests_total{kind=\"enumeration\",outcome=\"refused\",rule=\"open\"} ",
        "rate_identities{kind=\"enumeration\",rule=\"documents\"} 4",
        "reason=\"object-walk\"",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

fn revocation() {
    let recorder = Recorder::start(|_| good("ok"));
    let signer = Signer::new(Algorithm::Es256, "k-1");
    let mut setup = by_file(&signer, "", recorder.port);
    setup.rest.push_str("[refusals]\nreason = true\n");
    let proxy = setup.start();
    let (one, key) = (token(&signer, &json!({ "jti": "t-1" })), format!("X-Api-Key: {}\r\n", key(&proxy)));
    assert_eq!((get(&proxy, &bearer(&one)).0, get(&proxy, &key).0), (200, 200));
    let began = Instant::now();
    fs::write(proxy.directory.file("revoked.toml"), "tokens = [\"t-1\"]\n").unwrap();
    let removed = Command::new(CHECKER)
        .args(["keys", "rm", "billing", "--file"])
        .arg(proxy.directory.file("keys.toml"))
        .output()
        .unwrap();
    assert!(removed.status.success());
    wait_until("both to be revoked", || get(&proxy, &bearer(&one)).0 == 401 && get(&proxy, &key).0 == 401);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let (_, answer) = get(&proxy, &bearer(&one));
    assert!(
        answer.contains("error=\"invalid_token\"") && answer.contains("\"reason\":\"token-refused\""),
        "{answer}"
    );
    let id = answer.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap().to_owned();
    let explain = || {
        let audit = proxy.directory.file("audit");
        Command::new(CHECKER).args(["explain", &id, "--audit"]).arg(audit).output().unwrap()
    };
    wait_until("the line in the log", || explain().status.success());
    let said = text(&explain());
    assert!(said.contains("\"rule\":\"revoked\"") && said.contains("\"place\":\"token main\""), "{said}");
    // A list that cannot be used changes nothing.
    fs::write(proxy.directory.file("revoked.toml"), "tokens = [").unwrap();
    wait_until("the complaint", || proxy.said().contains("revoked.toml: "));
    assert_eq!(get(&proxy, &bearer(&one)).0, 401);
}

/// A policy that wants certificates, and a listener that asks for them.
pub(crate) fn by_certificate(files: &Certificates, more: &str, port: u16) -> Setup {
    let mut setup = setup(
        "undeclared = \"allow\"\nidentity = [\"certificate\"]\n[certificates]\nnames = [\"dns\"]\n"
            .to_owned(),
        port,
        &[],
    );
    setup.listen = format!(
        "tls = {{ certificate = \"{}\", key = \"{}\", client_ca = \"{}\", client_crl = [\"{}\"], client_certificate_optional = true{more} }}",
        files.path("server.pem"),
        files.path("server.key"),
        files.path("ca.pem"),
        files.path("crl.pem")
    );
    setup
}

/// The status of an answer to a client, with its certificate or without; `000` where there is no connection.
fn asked(proxy: &Proxy, files: &Certificates, shown: bool) -> String {
    let (authority, certificate, key) =
        (files.path("ca.pem"), files.path("client.pem"), files.path("client.key"));
    let mut arguments = vec!["--cacert", &authority, "-o", "/dev/null", "-w", "%{http_code}"];
    if shown {
        arguments.extend(["--cert", &certificate, "--key", &key]);
    }
    String::from_utf8(proxy.curl(&arguments, "/7").stdout).unwrap()
}

fn certificates() {
    let files = Certificates::new();
    files.revoke(None);
    let recorder = Recorder::start(|_| good("ok"));
    let proxy = by_certificate(&files, "", recorder.port).start();
    let asked = |shown| asked(&proxy, &files, shown);
    assert_eq!((asked(false).as_str(), asked(true).as_str()), ("403", "200"));
    files.revoke(Some("client"));
    proxy.process.signal("HUP");
    wait_until("the certificate to be refused", || asked(true) == "000");
    assert_eq!(asked(false), "403");
}

fn expired_list() {
    let files = Certificates::new();
    files.revoke(None);
    files.list_for(5);
    let recorder = Recorder::start(|_| good("ok"));
    let strict = by_certificate(&files, "", recorder.port).start();
    let lax = by_certificate(&files, ", client_crl_expired = \"accept\"", recorder.port).start();
    assert_eq!((asked(&strict, &files, true).as_str(), asked(&lax, &files, true).as_str()), ("200", "200"));
    let gauge = |proxy: &Proxy, name: &str| {
        let metrics = proxy.admin("/metrics");
        let line = metrics.lines().find(|line| {
            line.starts_with(&format!("stopbank_checker_client_crl_{name}_timestamp_seconds{{file="))
        });
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap()
    };
    assert_eq!(gauge(&strict, "next"), gauge(&strict, "issued") + 5);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(gauge(&strict, "issued").abs_diff(now) < 60);
    wait_until("the end of the list", || asked(&strict, &files, true) == "000");
    for proxy in [&strict, &lax] {
        wait_until("a word of it", || proxy.said().contains("should have been followed by another since"));
        assert_eq!(proxy.said().matches("should have been followed").count(), 1, "{}", proxy.said());
    }
    assert_eq!((asked(&strict, &files, false).as_str(), asked(&lax, &files, true).as_str()), ("403", "200"));
    files.revoke(None);
    strict.process.signal("HUP");
    wait_until("another list", || asked(&strict, &files, true) == "200");
    assert!(gauge(&strict, "next") > now + 86_400);
}

fn pipe() {
    let recorder = Recorder::start(|_| good("ok"));
    let signer = Signer::new(Algorithm::Es256, "k-1");
    let proxy = by_file(&signer, "", recorder.port).start();
    let one = token(&signer, &json!({ "jti": "t-1" }));
    assert_eq!(get(&proxy, &bearer(&one)).0, 200);
    let list = proxy.directory.file("revoked.toml");
    fs::remove_file(&list).unwrap();
    assert!(Command::new("mkfifo").arg(&list).status().unwrap().success());
    wait_until("a word of it", || proxy.said().contains("no regular file"));
    assert_eq!(get(&proxy, &bearer(&one)).0, 200);
    // Whoever looks at the files goes on, and sees what is there next.
    fs::remove_file(&list).unwrap();
    fs::write(&list, "tokens = [\"t-1\"]\n").unwrap();
    wait_until("the token to be refused", || get(&proxy, &bearer(&one)).0 == 401);
    assert_eq!(proxy.said().matches("no regular file").count(), 1, "{}", proxy.said());
}
