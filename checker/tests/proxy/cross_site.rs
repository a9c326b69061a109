//! Browsers' requests through the proxy: preflights that it answers itself, CORS of its own in place of the upstream's, and requests of other sites that do
//! not arrive.

use std::fs;

use crate::servers::{Certificates, Proxy, Recorder, Setup, text, upstream, wait_until};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("a preflight as browsers send it is answered and not forwarded", preflight),
    ("CORS of the policy stands in place of the upstream's", replaced),
    ("a request of another site does not arrive, and the log says whose page it was", forged),
];

const POLICY: &str = r#"
[cross-site]
[[route]]
path = "/shared/{rest*}"
methods = ["GET", "PUT", "POST"]
cors = { origins = ["https://app.example"], methods = ["GET", "PUT"], headers = ["content-type", "authorization"], credentials = true, max_age = 300 }
checks.cross-site = "off"

[[route]]
path = "/{rest*}"
methods = "any"
"#;

fn start(files: Option<&Certificates>) -> (Proxy, Recorder) {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\n\
        Access-Control-Expose-Headers: *\r\nVary: Accept\r\n\r\nok";
    let recorder = Recorder::start(move |_| (answer.as_bytes().to_vec(), false));
    let mut setup = Setup::new(upstream("a", recorder.port, "") + "[refusals]\nreason = true\n");
    setup.policy = Some(POLICY.to_owned());
    if let Some(files) = files {
        let (certificate, key) = (files.path("server.pem"), files.path("server.key"));
        setup.listen = format!("tls = {{ certificate = \"{certificate}\", key = \"{key}\" }}");
    }
    (setup.start(), recorder)
}

/// As Chromium sends it for `fetch(…, { method: "PUT", credentials: "include", headers: { "content-type": "application/json" } })`.
const PREFLIGHT: [&str; 20] = [
    "-XOPTIONS",
    "-HAccept: */*",
    "-HAccess-Control-Request-Method: PUT",
    "-HAccess-Control-Request-Headers: authorization,content-type",
    "-HOrigin: https://app.example",
    "-HReferer: https://app.example/",
    "-HSec-Fetch-Mode: cors",
    "-HSec-Fetch-Site: cross-site",
    "-HSec-Fetch-Dest: empty",
    "-HSec-CH-UA-Platform: \"Linux\"",
    "-HUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "-HAccept-Encoding: gzip, deflate, br, zstd",
    "-HAccept-Language: en-US,en;q=0.9",
    "-HPriority: u=1, i",
    "-HCache-Control: no-cache",
    "-HPragma: no-cache",
    "-i",
    "-o",
    "-",
    "-sS",
];

fn preflight() {
    let files = Certificates::new();
    let authority = files.path("ca.pem");
    let (secure, _recorder) = start(Some(&files));
    for version in ["--http1.1", "--http2"] {
        let version = [version, "--cacert", &authority];
        let said = text(&secure.curl(&[&PREFLIGHT[..], &version].concat(), "/shared/a")).to_lowercase();
        assert!(said.lines().next().unwrap().contains(" 204"), "{said}");
        for expected in [
            "access-control-allow-origin: https://app.example\r\n",
            "access-control-allow-credentials: true\r\n",
            "access-control-allow-methods: get, put\r\n",
            "access-control-allow-headers: content-type, authorization\r\n",
            "access-control-max-age: 300\r\n",
            "vary: origin, access-control-request-method",
        ] {
            assert!(said.contains(expected), "{expected}: {said}");
        }
        for other in ["content-length", "content-type", "connection: close", "cache-control"] {
            assert!(!said.contains(&format!("\r\n{other}")), "{other}: {said}");
        }
        assert!(said.ends_with("\r\n\r\n"), "{said}");
        let mut evil = PREFLIGHT.to_vec();
        evil[4] = "-HOrigin: https://app.example.evil.example";
        let said = text(&secure.curl(&[&evil[..], &version].concat(), "/shared/a"));
        let granted = said.to_lowercase().contains("access-control-allow");
        assert!(said.contains("\"cors-origin\"") && !granted, "{said}");
    }
    let (proxy, recorder) = start(None);
    // The connection stays, and what follows on it is another request.
    let requests = "OPTIONS /shared/a HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example\r\nAccess-Control-Request-Method: GET\r\n\r\n\
        GET /shared/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let said = proxy.answers(requests.as_bytes());
    assert!(said.starts_with("HTTP/1.1 204 ") && said.contains("\r\n\r\nHTTP/1.1 200 "), "{said}");
    assert!(recorder.request().unwrap().starts_with(b"GET /shared/a "));
    assert!(recorder.another().is_none());
    let metrics = proxy.admin("/metrics");
    let answered = "requests_total{action=\"answer\",check=\"cross-site\",reason=\"\"} 1";
    assert!(metrics.contains(answered), "{metrics}");
}

fn replaced() {
    let (proxy, _recorder) = start(None);
    let get = |origin: &str, path: &str| {
        let origin = format!("Origin: {origin}");
        text(&proxy.curl(&["-i", "-H", &origin, "-H", "Sec-Fetch-Site: cross-site"], path)).to_lowercase()
    };
    let said = get("https://app.example", "/shared/a");
    assert_eq!(said.matches("access-control-allow-origin").count(), 1, "{said}");
    assert!(said.contains("access-control-allow-origin: https://app.example\r\n"), "{said}");
    assert!(said.contains("vary: accept\r\n") && said.contains("vary: origin\r\n"), "{said}");
    assert!(!said.contains("expose-headers"), "{said}");
    let said = get("https://evil.example", "/shared/a");
    assert!(said.ends_with("ok") && !said.contains("access-control"), "{said}");
    assert!(said.contains("vary: origin\r\n"), "{said}");
    // Where the policy says nothing of CORS, the upstream does.
    assert!(get("https://evil.example", "/other").contains("access-control-allow-origin: *"));
    // A page that may read answers may read a refusal, too.
    let said = get("https://app.example", "/shared/a?q=%27+or+1=1--");
    assert!(said.starts_with("http/1.1 403 "), "{said}");
    assert!(said.contains("access-control-allow-origin: https://app.example\r\n"), "{said}");
}

fn forged() {
    let (proxy, recorder) = start(None);
    let post = |headers: &str| {
        proxy.answers(
            format!("POST /transfer HTTP/1.1\r\nHost: bank.example\r\nConnection: close\r\nCookie: session=1\r\n{headers}Content-Length: 0\r\n\r\n")
                .as_bytes(),
        )
    };
    for headers in [
        "Origin: https://evil.example\r\nContent-Type: text/plain\r\n",
        "Origin: http://bank.example:8080\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n",
        "",
    ] {
        let said = post(headers);
        assert!(said.starts_with("HTTP/1.1 403 ") && said.contains("\"cross-site"), "{headers}: {said}");
    }
    assert!(recorder.another().is_none());
    // Over plain HTTP the own origin is plain, or that of a page over TLS: whoever is in front may have ended that.
    assert!(post("Origin: https://bank.example\r\n").starts_with("HTTP/1.1 200 "));
    assert!(post("Origin: http://bank.example\r\n").starts_with("HTTP/1.1 200 "));
    assert!(post("Sec-Fetch-Site: same-origin\r\n").starts_with("HTTP/1.1 200 "));
    let audit = proxy.directory.file("audit");
    wait_until("the audit log", || fs::read_to_string(&audit).unwrap().lines().count() >= 5);
    let log = fs::read_to_string(&audit).unwrap();
    let line = log.lines().next().unwrap();
    assert!(
        line.contains("\"reason\":\"cross-site-origin\"") && line.contains("\"place\":\"header origin\"")
    );
    assert!(line.contains("https://evil.example") && !log.contains("session"), "{log}");
}
