//! What is allowed reaches a real nginx, and its answers come back; what is not is refused, logged and explained.

use std::process::Command;

use crate::servers::{CHECKER, Certificates, Nginx, Proxy, Setup, text, upstream};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("what is allowed reaches nginx, and its answer comes back", plain),
    ("HTTP/2 over TLS is served, and clients without a certificate are not where one is wanted", tls),
    ("an upstream is asked over TLS with a certificate", upstream_tls),
    ("a refusal is a problem that the audit log explains and metrics count", refusal),
    ("large answers come whole, whatever the version", large),
];

fn plain() {
    let nginx = Nginx::start(None);
    let proxy = Proxy::in_front_of(nginx.port);
    let answer = text(&proxy.curl(&["-i"], "/a/b?c=d"));
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("GET /a/b?c=d"), "{answer}");
    assert!(!answer.to_lowercase().contains("server:"), "{answer}");
    let headers =
        text(&proxy.curl(&["-H", "X-Forwarded-For: 192.0.2.1", "-H", "X-Request-Id: mine"], "/headers"));
    let parts: Vec<&str> = headers.split('|').collect();
    assert_eq!(
        (parts[0], parts[1].len(), parts[2], parts[3]),
        ("127.0.0.1", 32, "http", "1.1 stopbank"),
        "{headers}"
    );
    let posted = text(&proxy.curl(&["--json", "{\"a\":[1,2,\"O'Neil\"]}"], "/post"));
    assert_eq!(posted, "POST /post");
    assert_eq!(text(&proxy.curl(&["-I", "-w", "%{http_code}", "-o", "/dev/null"], "/a")), "200");
    assert_eq!(text(&proxy.curl(&["--http1.0"], "/old")), "GET /old");
    assert!(proxy.admin("/healthz").ends_with("200"));
}

fn tls() {
    let certificates = Certificates::new();
    let nginx = Nginx::start(None);
    let mut setup = Setup::new(upstream("a", nginx.port, ""));
    let (certificate, key) = (certificates.path("server.pem"), certificates.path("server.key"));
    let authority = certificates.path("ca.pem");
    setup.listen =
        format!("tls = {{ certificate = \"{certificate}\", key = \"{key}\", client_ca = \"{authority}\" }}");
    let proxy = setup.start();
    let (client, client_key) = (certificates.path("client.pem"), certificates.path("client.key"));
    let with = ["--cacert", &authority, "--cert", &client, "--key", &client_key];
    for (version, shown) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let said = text(&proxy.curl(&[&with[..], &[version, "-w", " %{http_version}"]].concat(), "/a"));
        assert_eq!(said, format!("GET /a {shown}"));
        let posted = text(
            &proxy
                .curl(&[&with[..], &[version, "--json", "{\"a\":1}", "-w", " %{http_code}"]].concat(), "/b"),
        );
        assert_eq!(posted, "POST /b 200");
        let refused =
            text(&proxy.curl(&[&with[..], &[version, "--json", "{\"a\":1,\"a\":2}"]].concat(), "/b"));
        assert!(refused.contains("\"status\":400"), "{refused}");
    }
    let headers = text(&proxy.curl(&[&with[..], &["--http2", "-H", "cookie: a=1"]].concat(), "/headers"));
    assert!(headers.contains("|https|2 stopbank|localhost:"), "{headers}");
    let without = proxy.curl(&["--cacert", &authority], "/a");
    assert!(
        !without.status.success(),
        "no certificate was shown: {}",
        String::from_utf8_lossy(&without.stdout)
    );
    for version in ["--tlsv1.3", "--tls-max"] {
        let version: &[&str] = if version == "--tls-max" { &["--tls-max", "1.2"] } else { &["--tlsv1.3"] };
        assert_eq!(text(&proxy.curl(&[&with[..], version].concat(), "/a")), "GET /a");
    }
    assert!(!proxy.curl(&[&with[..], &["--tls-max", "1.1"]].concat(), "/a").status.success());
}

fn upstream_tls() {
    let certificates = Certificates::new();
    let nginx = Nginx::start(Some(&certificates));
    let (authority, client, key) =
        (certificates.path("ca.pem"), certificates.path("client.pem"), certificates.path("client.key"));
    let with = |tls: String| {
        Setup::new(format!(
            "[[upstream]]\nname = \"a\"\naddresses = [\"https://127.0.0.1:{}\"]\ntls = {{ {tls} }}\n",
            nginx.tls_port
        ))
        .start()
    };
    let good = with(format!("ca = \"{authority}\", certificate = \"{client}\", key = \"{key}\""));
    for _ in 0..3 {
        assert_eq!(text(&good.curl(&[], "/certificate")), "CN=client");
    }
    // An authority that has not signed nginx's certificate.
    let other = Certificates::new();
    let bad = with(format!("ca = \"{}\", certificate = \"{client}\", key = \"{key}\"", other.path("ca.pem")));
    assert_eq!(text(&bad.curl(&["-w", "%{http_code}", "-o", "/dev/null"], "/certificate")), "503");
}

fn refusal() {
    let nginx = Nginx::start(None);
    let proxy = Proxy::in_front_of(nginx.port);
    let answer = text(
        &proxy.curl(&["-i", "--path-as-is", "-H", "Authorization: Bearer secret"], "/a/../b?token=secret"),
    );
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(
        answer.contains("content-type: application/problem+json") && !answer.contains("traversal"),
        "{answer}"
    );
    let problem: serde_json::Value = serde_json::from_str(answer.rsplit("\r\n\r\n").next().unwrap()).unwrap();
    let id = problem["request_id"].as_str().unwrap().to_owned();
    let audit = proxy.directory.file("audit");
    crate::servers::wait_until("the audit log", || std::fs::read_to_string(&audit).unwrap().contains(&id));
    let line = std::fs::read_to_string(&audit).unwrap();
    assert!(!line.contains("secret"), "{line}");
    let explain =
        |id: &str| Command::new(CHECKER).args(["explain", id, "--audit"]).arg(&audit).output().unwrap();
    let said = text(&explain(&id));
    for part in ["path-traversal", "target", "/a/../b", "127.0.0.1", "A segment of the path, decoded"] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(explain("0123").status.code(), Some(3));
    let metrics = proxy.admin("/metrics");
    let counted =
        "stopbank_checker_requests_total{action=\"refuse\",check=\"target\",reason=\"path-traversal\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
    for name in ["request_duration_seconds_bucket", "connections ", "build_info{version=", "buffered_bytes 0"]
    {
        assert!(metrics.contains(&format!("stopbank_checker_{name}")), "{name}: {metrics}");
    }
}

fn large() {
    let certificates = Certificates::new();
    let nginx = Nginx::start(None);
    let mut setup = Setup::new(upstream("a", nginx.port, ""));
    let (certificate, key) = (certificates.path("server.pem"), certificates.path("server.key"));
    setup.listen = format!("tls = {{ certificate = \"{certificate}\", key = \"{key}\" }}");
    let secure = setup.start();
    let plain = Proxy::in_front_of(nginx.port);
    let authority = certificates.path("ca.pem");
    let expected = vec![b'x'; 3 << 20];
    for (proxy, arguments) in [
        (&plain, &["--http1.1"][..]),
        (&plain, &["--http1.0"]),
        (&secure, &["--http1.1", "--cacert", &authority]),
        (&secure, &["--http2", "--cacert", &authority]),
    ] {
        let said = proxy.curl(arguments, "/large");
        assert!(
            said.status.success() && said.stdout == expected,
            "{arguments:?}: {} bytes",
            said.stdout.len()
        );
    }
}
