//! HAProxy's stream processing offload engine: a real HAProxy that asks, and peers that speak its protocol wrongly.

mod front;
mod hostile;

use std::{fs, thread, time::Duration};

use serde_json::{Value, json};
use stopbank_checker::tokens::Algorithm;

use self::front::{Beside, Client, Front, answered, setup};
use crate::{
    identity::{bearer, by_file},
    issuer::token,
    servers::{Certificates, Nginx, Recorder, good, wait_until},
    sign::Signer,
};

pub(crate) use front::haproxy_program;
pub(crate) use hostile::TESTS as HOSTILE;

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("HAProxy asks, passes on what is allowed, and tells the client why something is not", asks),
    ("a body is judged, and a part of one is refused", bodies),
    ("what no check needs may be larger than HAProxy's buffer", unjudged),
    ("requests over HTTP/2 are judged as they go on", http2),
    ("nothing becomes another protocol but what the policy lets become a WebSocket", upgrades),
    ("what only HAProxy may say stays out, and who asks is told", identity),
    ("a configuration that lets a client say who asks passes nothing", misconfigured),
    ("a client certificate counts where HAProxy has verified it", certificates),
    ("questions come over TLS, from a HAProxy that shows a certificate", over_tls),
    ("the client's address is HAProxy's word", addresses),
    ("preflights are answered, and headers of answers come along", headers),
    ("without the checker nobody gets through", killed),
    ("some thousand requests at once are each answered for themselves", load),
    ("a reload is in force for the next request, and at the end what has been asked is answered", reload),
];

const ATTACK: &str = "/items?q=1'%20OR%20'1'='1";

fn asks() {
    let application = Recorder::start(|_| good("ok"));
    let front = Front::start(None, application.port);
    let (status, head, body) = front.ask(&[], "/items?page=2");
    assert_eq!((status, body.as_str()), (200, "ok"), "{head}");
    let passed = String::from_utf8(application.request().unwrap()).unwrap();
    assert!(passed.starts_with("GET /items?page=2 "), "{passed}");
    let line = front.audited(1);
    let id = line["request_id"].as_str().unwrap();
    assert!(passed.contains(&format!("x-request-id: {id}")), "{passed} {line}");
    assert!(head.contains(&format!("x-request-id: {id}")), "{head}");
    assert_eq!((line["method"].as_str(), line["path"].as_str()), (Some("GET"), Some("/items")));
    let json = ["-H", "Content-Type: application/json", "-d", r#"{"q":"1' OR '1'='1"}"#];
    for (number, (arguments, path, expected)) in [
        (&[][..], "/a/%2e%2e/b", 400),
        (&[], ATTACK, 403),
        (&["-H", "X-Search: 1' OR '1'='1"], "/items", 403),
        (&["-X", "DELETE"], "/items?q=%3Cscript%3Ealert(1)%3C/script%3E", 403),
        (&json, "/items", 403),
        (&["-H", "Transfer-Encoding: chunked", json[0], json[1], json[2], json[3]], "/items", 403),
        (&["-H", "Connection: close, X-A", "-H", "X-A: 1"], "/items", 400),
    ]
    .into_iter()
    .enumerate()
    {
        let (status, head, body) = front.ask(arguments, path);
        let problem: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {head} {body}"));
        println!("{path}: {status} {problem}");
        assert_eq!(status, expected, "{path} {problem}");
        assert!(head.contains("content-type: application/problem+json"), "{head}");
        let line = front.audited(number + 2);
        assert_eq!(
            (&line["reason"], &line["request_id"]),
            (&problem["reason"], &problem["request_id"]),
            "{line}"
        );
    }
    assert!(application.another().is_none(), "what is refused has been passed on");
}

/// A body of JSON that is so long, without or with an attack at its end.
fn document(length: usize, end: &str) -> String {
    let frame = json!({ "text": "", "end": end }).to_string().len();
    json!({ "text": "a".repeat(length - frame), "end": end }).to_string()
}

/// Requests by POST that have gone on. (The recorder takes a chunked body for another request.)
fn posted(application: &Recorder) -> usize {
    std::iter::from_fn(|| application.another()).filter(|request| request.starts_with(b"POST ")).count()
}

fn bodies() {
    let application = Recorder::start(|_| good("ok"));
    let front = Front::start(None, application.port);
    let typed = ["-H", "Content-Type: application/json"];
    let post = |body: &str, more: &[&str]| {
        let file = front.checker.directory.file("body");
        fs::write(&file, body).unwrap();
        let data = format!("@{}", file.display());
        front.ask(&[&typed[..], more, &["--data-binary", &data]].concat(), "/items")
    };
    let chunked = ["-H", "Transfer-Encoding: chunked"];
    for more in [&[][..], &chunked] {
        assert_eq!(post(&document(12_000, "x"), more).0, 200);
        assert_eq!(post(&document(12_000, "1' OR '1'='1"), more).0, 403);
        let (status, _, problem) = post(&document(40_000, "1' OR '1'='1"), more);
        assert!(status == 413 && problem.contains("body-partial"), "{status} {problem}");
        let (status, _, problem) = post(&document(40_000, "x"), more);
        assert!(status == 413 && problem.contains("body-partial"), "{status} {problem}");
    }
    assert_eq!(front.audited(8)["reason"], "body-partial");
    assert_eq!(posted(&application), 2);
    // Trailers, which nobody has shown; and none.
    let head = "POST /items HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n";
    let said = front.answers(format!("{head}X-Stopbank-Identity: admin\r\n\r\n").as_bytes());
    assert!(said.starts_with("HTTP/1.1 400 ") && said.contains("\"trailer\""), "{said}");
    assert_eq!(posted(&application), 0);
    let said = front.answers(format!("{head}\r\n").as_bytes());
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    // A request whose head is shown and whose body stays away is HAProxy's to refuse.
    let said = front.answers(b"POST /items HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    drop(front);
    // With a frame that is smaller than the buffer, and with a larger buffer.
    let small = Beside { agent: "max-frame-size 4096", ..Beside::default() };
    let front = Front::with(setup(None), application.port, &small);
    let plain = |length: usize| format!("a={}", "b".repeat(length - 2));
    assert_eq!(front.status(&["-d", &plain(2_000)], "/items"), 200);
    assert_eq!(front.status(&["-d", &plain(6_000)], "/items"), 413);
    drop(front);
    let large = Beside { global: "tune.bufsize 131072", ..Beside::default() };
    let front = Front::with(setup(None), application.port, &large);
    let file = front.checker.directory.file("body");
    for (length, end, expected) in [(100_000, "x", 200), (100_000, "1' OR '1'='1", 403), (140_000, "x", 413)]
    {
        fs::write(&file, document(length, end)).unwrap();
        let data = format!("@{}", file.display());
        assert_eq!(
            front.status(&[&typed[..], &["--data-binary", &data]].concat(), "/items"),
            expected,
            "{length}"
        );
    }
}

fn unjudged() {
    let policy = "undeclared = \"allow\"\n[[route]]\npath = \"/up\"\nmethods = [\"POST\"]\nlimits.request.body = \"64 KiB\"\n\
        checks = { coding = \"off\", content = \"off\", json = \"off\", xml = \"off\", graphql = \"off\", form = \"off\", multipart = \"off\", injection = \"off\" }\n";
    let application = Recorder::start(|_| good("ok"));
    let front = Front::start(Some(policy), application.port);
    let file = front.checker.directory.file("body");
    let data = format!("@{}", file.display());
    fs::write(&file, "x".repeat(50_000)).unwrap();
    assert_eq!(front.status(&["--data-binary", &data], "/up"), 200);
    assert_eq!(application.request().map(|request| request.len() > 50_000), Some(true));
    let line = front.audited(1);
    assert_eq!((&line["unseen"], &line["action"]), (&json!("body"), &json!("allow")), "{line}");
    // No length tells where these end, and this one ends too late.
    assert_eq!(front.status(&["--data-binary", &data, "-H", "Transfer-Encoding: chunked"], "/up"), 413);
    fs::write(&file, "x".repeat(70_000)).unwrap();
    assert_eq!(front.status(&["--data-binary", &data], "/up"), 413);
    assert_eq!(front.audited(3)["reason"], "body-length");
    assert!(application.another().is_none());
}

fn http2() {
    let application = Recorder::start(|_| good("ok"));
    let front = Front::start(None, application.port);
    let h2 = "--http2-prior-knowledge";
    assert_eq!(front.status(&[h2, "-H", "Cookie: a=b", "-H", "Cookie: c=d"], "/items?page=2"), 200);
    let passed = String::from_utf8(application.request().unwrap()).unwrap();
    assert!(passed.starts_with("GET /items?page=2 HTTP/1.1\r\n"), "{passed}");
    assert_eq!(front.audited(1)["path"], "/items");
    assert_eq!(front.status(&[h2], ATTACK), 403);
    let typed = ["-H", "Content-Type: application/json", h2];
    assert_eq!(front.status(&[&typed[..], &["-d", r#"{"q":"1' OR '1'='1"}"#]].concat(), "/items"), 403);
    assert_eq!(front.status(&[&typed[..], &["-d", r#"{"q":"x"}"#]].concat(), "/items"), 200);
    assert!(application.request().is_some());
    let file = front.checker.directory.file("body");
    fs::write(&file, document(40_000, "x")).unwrap();
    let data = format!("@{}", file.display());
    assert_eq!(front.status(&[&typed[..], &["--data-binary", &data]].concat(), "/items"), 413);
    // What has no length ends where HAProxy has seen the end.
    fs::write(&file, r#"{"q":"1' OR '1'='1"}"#).unwrap();
    let upload = ["-X", "POST", "-T", "-"];
    let (url, whole) = (format!("http://127.0.0.1:{}/items", front.http2), [&typed[..], &upload].concat());
    let sent = |body: &str| {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "printf %s \"$0\" | curl -sS -m 20 -o /dev/null -w '%{http_code}' \"$@\"", body]);
        let said = shell.args(&whole).arg(&url).output().unwrap();
        (String::from_utf8(said.stdout).unwrap(), String::from_utf8(said.stderr).unwrap())
    };
    assert_eq!(sent(r#"{"q":"1' OR '1'='1"}"#).0, "403");
    assert!(application.another().is_none());
    assert_eq!(sent(r#"{"q":"x"}"#).0, "200");
    // HAProxy answers before it has all of it, and cancels the stream: a curl that sees both at once, on a busy machine, tells of the latter alone.
    let cancelled = |(status, said): &(String, String)| status == "000" && said.contains("CANCEL");
    let answered = (0..20).map(|_| sent(&document(40_000, "x"))).find(|answer| !cancelled(answer));
    assert_eq!(answered.unwrap().0, "413");
}

fn upgrades() {
    let application = Recorder::start(|_| {
        let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        (switched.as_bytes().to_vec(), true)
    });
    let policy =
        "undeclared = \"allow\"\n[[route]]\npath = \"/live\"\nmethods = [\"GET\"]\nwebsocket = true\n";
    let front = Front::start(Some(policy), application.port);
    let websocket =
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let ask = |line: &str, upgrade: &str| {
        let request = format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n{upgrade}\r\n");
        Client::connect(front.port).status(&request)
    };
    let h2c = "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n";
    for (line, upgrade, status) in [
        ("GET /items", websocket, 403),
        ("GET /live", h2c, 403),
        ("GET /live", "Upgrade: h2c\r\n", 403),
        ("POST /live", &format!("{websocket}Content-Length: 0\r\n"), 403),
        ("CONNECT a:80", "", 403),
    ] {
        assert_eq!(ask(line, upgrade), status, "{line} {upgrade}");
    }
    assert!(application.another().is_none());
    assert_eq!(ask("GET /live", websocket), 101);
}

fn identity() {
    let application = Recorder::start(|_| good("ok"));
    let signer = Signer::new(Algorithm::Es256, "k-1");
    let mut setup = by_file(&signer, "identity_header = true", application.port);
    setup.listen = front::ASKED.to_owned();
    let front = Front::with(setup, application.port, &Beside::default());
    let one = token(&signer, &json!({}));
    let credential = bearer(&one).trim().to_owned();
    let lie = ["-H", "X-Stopbank-Identity: {\"sub\":\"admin\"}"];
    let (status, head, _) = front.ask(&lie, "/items");
    assert!(status == 401 && head.contains("www-authenticate: bearer realm=\"api\""), "{head}");
    assert!(head.contains("apikey"), "{head}");
    assert_eq!(front.status(&["-H", &credential, "-H", &credential], "/items"), 400);
    assert_eq!(front.status(&["-H", &credential, "-H", "X_Stopbank_Identity: admin"], "/items"), 400);
    assert!(application.another().is_none());
    assert_eq!(front.status(&[&lie[..], &["-H", &credential]].concat(), "/items"), 200);
    let passed = String::from_utf8(application.request().unwrap()).unwrap();
    assert!(
        !passed.contains("admin") && !passed.contains(&one) && !passed.contains("uthorization"),
        "{passed}"
    );
    let told: Vec<&str> =
        passed.lines().filter_map(|line| line.strip_prefix("x-stopbank-identity: ")).collect();
    let who: Value = serde_json::from_str(told[0]).unwrap();
    assert_eq!((told.len(), who["sub"].as_str()), (1, Some("alice")), "{passed}");
    let key = fs::read_to_string(front.checker.directory.file("key")).unwrap();
    assert_eq!(front.status(&["-H", &format!("X-Api-Key: {}", key.trim())], "/items"), 200);
    let passed = String::from_utf8(application.request().unwrap()).unwrap();
    assert!(!passed.contains(key.trim()) && passed.contains("billing"), "{passed}");
}

fn misconfigured() {
    let application = Recorder::start(|_| good("ok"));
    let without = Some(("    http-request del-header x-stopbank-identity\n", ""));
    let front =
        Front::with(setup(None), application.port, &Beside { replaced: without, ..Beside::default() });
    assert_eq!(front.status(&[], "/items"), 200);
    let (status, _, problem) = front.ask(&["-H", "X-Stopbank-Identity: admin"], "/items");
    assert!(status == 500 && problem.contains("front-end"), "{status} {problem}");
    drop(front);
    assert!(application.request().is_some() && application.another().is_none());
    // An argument that is missing, one of another type, and another message.
    for replaced in [
        (" whole=internal.htx.has_eom", ""),
        ("src=src", "src=str(127.0.0.1)"),
        (" body=req.body", " body=req.body body=req.body"),
    ] {
        let front = Front::with(
            setup(None),
            application.port,
            &Beside { asked: Some(replaced), ..Beside::default() },
        );
        let (status, _, problem) = front.ask(&[], "/items");
        assert!(status == 500 && problem.contains("front-end"), "{replaced:?} {status} {problem}");
    }
    assert!(application.another().is_none());
}

fn certificates() {
    let files = Certificates::new();
    let application = Recorder::start(|_| good("ok"));
    let policy = format!(
        "undeclared = \"allow\"\nidentity = [\"certificate\"]\nidentity_header = true\n[certificates]\nnames = [\"dns\"]\nca = \"{}\"\n",
        files.path("ca.pem")
    );
    let beside = Beside { certificates: Some(&files), ..Beside::default() };
    let front = Front::with(setup(Some(&policy)), application.port, &beside);
    let (authority, others) = (files.path("ca.pem"), Certificates::new());
    let ask = |files: Option<&Certificates>| {
        let shown = files.map(|files| [files.path("client.pem"), files.path("client.key")]);
        let shown = shown.as_ref().map_or_else(Vec::new, |[one, key]| vec!["--cert", one, "--key", key]);
        answered(
            &[&["--cacert", &authority][..], &shown].concat(),
            &format!("https://localhost:{}/7", front.tls),
        )
        .0
    };
    assert_eq!((ask(None), ask(Some(&files))), (403, 200));
    let passed = String::from_utf8(application.request().unwrap()).unwrap();
    assert!(
        passed.contains("x-stopbank-identity: ") && passed.contains("x-forwarded-proto: https"),
        "{passed}"
    );
    assert_eq!(front.audited(2)["certificate"], true);
    // Of an authority that HAProxy does not know, which is told to let it pass.
    assert_eq!(ask(Some(&others)), 403);
    assert!(application.another().is_none());
}

fn over_tls() {
    let (files, application) = (Certificates::new(), Recorder::start(|_| good("ok")));
    let [certificate, key, authority] = ["server.pem", "server.key", "ca.pem"].map(|name| files.path(name));
    let shown = files.path("shown.pem");
    let both = [files.path("client.pem"), files.path("client.key")].map(|file| fs::read(file).unwrap());
    fs::write(&shown, both.concat()).unwrap();
    for (with, status) in [(format!(" crt {shown}"), 200), (String::new(), 503)] {
        let mut setup = setup(None);
        setup.listen.push_str(&format!(
            "tls = {{ certificate = \"{certificate}\", key = \"{key}\", client_ca = \"{authority}\" }}\n"
        ));
        // Its own health checks have nothing to say here: a server that is down would be refused, too.
        let line = format!(" ssl verify required verifyhost localhost ca-file {authority}{with}\n");
        let replaced = Some((" check\n", line.as_str()));
        let front = Front::with(setup, application.port, &Beside { replaced, ..Beside::default() });
        assert_eq!(front.status(&[], "/items"), status, "{with}");
        assert_eq!(front.status(&[], ATTACK), if status == 200 { 403 } else { 503 });
    }
    assert!(application.request().is_some() && application.another().is_none());
}

fn addresses() {
    let application = Recorder::start(|_| good("ok"));
    let policy = "undeclared = \"allow\"\n[[rate]]\nname = \"all\"\nby = \"address\"\nspike = \"1/m\"\n";
    let front = Front::start(Some(policy), application.port);
    let lies =
        ["--interface", "127.0.0.3", "-H", "X-Forwarded-For: 192.0.2.66", "-H", "X-Real-IP: 192.0.2.66"];
    assert_eq!(front.status(&lies, "/items"), 200);
    assert_eq!(front.audited(1)["client"], "127.0.0.3");
    let passed = String::from_utf8(application.request().unwrap()).unwrap();
    assert!(passed.contains("x-forwarded-for: 127.0.0.3\r\n") && !passed.contains("192.0.2.66"), "{passed}");
    let (status, head, _) = front.ask(&lies, "/items");
    let retry = head.lines().find_map(|line| line.strip_prefix("retry-after: "));
    assert!(status == 429 && head.contains("ratelimit: "), "{head}");
    assert!(retry.is_some_and(|retry| (1..=60).contains(&retry.trim().parse::<u32>().unwrap())), "{head}");
    assert_eq!(front.status(&["--interface", "127.0.0.4"], "/items"), 200, "another client");
    // Behind a proxy that is trusted.
    let mut behind = setup(None);
    behind.rest.push_str("[forwarded]\ntrusted = [\"127.0.0.5/32\"]\n");
    let kept = Some(("    http-request del-header x-forwarded- -m beg\n", ""));
    let front = Front::with(behind, application.port, &Beside { replaced: kept, ..Beside::default() });
    for (number, (from, client)) in
        [("127.0.0.5", "192.0.2.66"), ("127.0.0.6", "127.0.0.6")].into_iter().enumerate()
    {
        let said = ["--interface", from, "-H", "X-Forwarded-For: 192.0.2.66"];
        assert_eq!(front.status(&said, "/items"), 200);
        assert_eq!(front.audited(number + 1)["client"], client);
    }
}

fn headers() {
    let policy = "undeclared = \"allow\"\n[cross-site]\n[[route]]\npath = \"/shared/{rest*}\"\nmethods = [\"GET\", \"PUT\"]\n\
        cors = { origins = [\"https://app.example\"], methods = [\"GET\", \"PUT\"], headers = [\"content-type\"], max_age = 300 }\n";
    let application = Recorder::start(|_| good("ok"));
    let front = Front::start(Some(policy), application.port);
    let origin = ["-H", "Origin: https://app.example"];
    let preflight = ["-X", "OPTIONS", "-H", "Access-Control-Request-Method: PUT"];
    let (status, head, body) = front.ask(&[&origin[..], &preflight].concat(), "/shared/a");
    assert_eq!((status, body.as_str()), (204, ""), "{head}");
    assert!(
        head.contains("access-control-allow-origin: https://app.example") && head.contains("max-age: 300"),
        "{head}"
    );
    assert!(application.another().is_none());
    let (status, head, _) = front.ask(&origin, "/shared/a");
    assert!(status == 200 && head.contains("access-control-allow-origin: https://app.example"), "{head}");
}

fn killed() {
    let application = Recorder::start(|_| good("ok"));
    let mut front = Front::start(None, application.port);
    assert_eq!(front.status(&[], "/items"), 200);
    assert!(application.request().is_some());
    // It does not answer any more, and then it is not there.
    front.checker.process.signal("STOP");
    let (status, head, _) = front.ask(&[], "/items");
    assert_eq!(status, 503, "{head}");
    front.checker.process.signal("CONT");
    wait_until("an answer", || front.status(&[], "/items") == 200);
    while application.another().is_some() {}
    front.checker.process.signal("KILL");
    front.checker.process.ends();
    for arguments in
        [&[][..], &["-H", "X-Stopbank-Identity: admin"], &["-d", "a=b"], &["--http2-prior-knowledge"]]
    {
        assert_eq!(front.status(arguments, "/items"), 503, "{arguments:?}");
    }
    assert!(application.another().is_none());
}

fn load() {
    let nginx = Nginx::start(None);
    let front = Front::start(None, nginx.port);
    let port = front.port;
    let clients = (0..16).map(|client| {
        thread::spawn(move || {
            let mut connection = Client::connect(port);
            for number in 0..300 {
                let (query, expected) = match (client + number) % 3 {
                    0 => ("1'%20OR%20'1'='1", 403),
                    _ => ("plain", 200),
                };
                let (body, status) = match number % 5 {
                    0 => (r#"{"a":"x; cat /etc/passwd"}"#, 403),
                    _ => (r#"{"a":"plain"}"#, expected),
                };
                let request = format!(
                    "POST /items/{client}?q={query} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                assert_eq!(connection.status(&request), status, "{request}");
            }
        })
    });
    clients.collect::<Vec<_>>().into_iter().for_each(|client| client.join().unwrap());
    let metrics = front.checker.admin("/metrics");
    let allowed = metrics.lines().find(|line| line.contains("requests_total{action=\"allow\"")).unwrap();
    let expected = 16 * 300 * 2 / 3 * 4 / 5;
    assert!(allowed.ends_with(&format!(" {expected}")), "{allowed}");
    let took = metrics.lines().find(|line| line.contains("connections_total{outcome=\"accepted\"")).unwrap();
    // They are kept, and each has many questions at once.
    let connections: usize = took.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(connections < 200, "{took}");
}

fn reload() {
    let application = Recorder::start(|_| good("ok"));
    let mut front = Front::start(Some("undeclared = \"allow\"\n"), application.port);
    let mut client = Client::connect(front.port);
    let request = "GET /items HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(client.status(request), 200);
    fs::write(front.checker.directory.file("policy.toml"), "undeclared = \"refuse\"\n").unwrap();
    front.checker.process.signal("HUP");
    wait_until("the new policy", || client.status(request) == 404);
    front.checker.process.signal("TERM");
    assert_eq!(front.checker.process.ends(), Some(0));
    thread::sleep(Duration::from_millis(100));
    assert_eq!(client.status(request), 503);
}
