//! Forward authentication: a real nginx that asks with `auth_request`, with the configuration that docs/checker.md has.

use std::fs;

use serde_json::Value;
use stopbank_checker::tokens::Algorithm;

use crate::{
    identity::{by_file, key},
    servers::{
        Directory, Process, Proxy, Recorder, Setup, curl, free_port, good, is_open, nginx, text, wait_until,
    },
    sign::Signer,
};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("nginx asks, passes on what is allowed, and tells the client why something is not", asks),
    ("what a client says of the request itself counts for nothing", forged),
    ("who asks is told by the checker alone, and a client that says so itself is refused", smuggling),
    ("bodies are not seen, and the log, the metrics and the start say so", bodies),
    ("the client's address is nginx's word", addresses),
    ("nobody else may ask, and an incomplete question is refused", questions),
    ("a question uses nothing up where it is told so", looks),
    ("who asks too often is told by nginx when to come back", often),
    ("WebSockets that nginx passes on are judged", websockets),
    ("who goes through objects is stopped where nginx asks", objects),
];

/// What an operator pastes, out of the documentation.
fn pasted() -> String {
    let documentation = include_str!("../../../docs/checker.md");
    let start = documentation.find("    upstream stopbank_checker {").unwrap();
    let block = &documentation[start..];
    let end = block.find("\n\n").unwrap();
    block[..end].replace("\n    ", "\n")
}

/// An nginx that asks the checker, and has an application behind.
struct Front {
    checker: Proxy,
    application: Recorder,
    port: u16,
    _nginx: Process,
    _directory: Directory,
}

impl Front {
    fn start(listen: &str, policy: Option<&str>) -> Self {
        let mut setup = Setup::new(String::new());
        setup.policy = policy.map(str::to_owned);
        Self::with(listen, setup, Recorder::start(|_| good("ok")))
    }

    fn with(listen: &str, mut setup: Setup, application: Recorder) -> Self {
        setup.rest.push_str("[refusals]\nreason = true\n");
        let more = std::mem::take(&mut setup.listen);
        setup.listen = format!("auth_request = {{ trusted = [\"127.0.0.1/32\"]{more} }}\n{listen}");
        setup.audits_all = true;
        let checker = setup.start();
        let directory = Directory::new();
        let (place, port) = (directory.0.display().to_string(), free_port());
        let pasted = pasted()
            .replace("127.0.0.1:9191", &format!("127.0.0.1:{}", checker.port))
            .replace("listen 80;", &format!("listen 127.0.0.1:{port};"))
            .replace("http://application", &format!("http://127.0.0.1:{}", application.port));
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {place}/{kind};\n"))
            .concat();
        let configuration = format!(
            "daemon off; master_process off; pid {place}/pid; error_log stderr warn;
             events {{}}
             http {{ access_log off; {temporary} {pasted} }}"
        );
        let process = nginx(&directory, &configuration);
        wait_until("nginx", || is_open(port));
        Self { checker, application, port, _nginx: process, _directory: directory }
    }

    /// The answer's status, type and body.
    fn ask(&self, arguments: &[&str], path: &str) -> (u16, String, String) {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let format = ["-w", "\n%{http_code} %{content_type}", "--path-as-is"];
        let said = text(&curl(&[&format[..], arguments, &[&url]].concat()));
        let (body, last) = said.rsplit_once('\n').unwrap();
        let (status, kind) = last.split_once(' ').unwrap();
        (status.parse().unwrap(), kind.to_owned(), body.to_owned())
    }

    /// The last line of the audit log, when so many requests are in it.
    fn audited(&self, requests: usize) -> Value {
        let read = || fs::read_to_string(self.checker.directory.file("audit")).unwrap_or_default();
        wait_until("the audit log", || read().lines().count() >= requests && read().ends_with('\n'));
        serde_json::from_str(read().lines().last().unwrap()).unwrap()
    }
}

fn asks() {
    let front = Front::start("", None);
    let (status, _, body) = front.ask(&[], "/items?page=2");
    assert_eq!((status, body.as_str()), (200, "ok"));
    let passed = String::from_utf8(front.application.request().unwrap()).unwrap();
    assert!(passed.starts_with("GET /items?page=2 "), "{passed}");
    let line = front.audited(1);
    let id = line["request_id"].as_str().unwrap();
    assert!(passed.to_lowercase().contains(&format!("x-request-id: {id}")), "{passed} {line}");
    assert_eq!((line["method"].as_str(), line["path"].as_str()), (Some("GET"), Some("/items")));
    for (number, (arguments, path, expected)) in [
        (&[][..], "/a/%2e%2e/b", 400),
        (&[], "/items?q=1'%20OR%20'1'='1", 403),
        (&["-X", "DELETE"], "/items?q=%3Cscript%3Ealert(1)%3C/script%3E", 403),
    ]
    .into_iter()
    .enumerate()
    {
        let (status, kind, body) = front.ask(arguments, path);
        let problem: Value =
            serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {status} {body}"));
        println!("{path}: {status} {problem}");
        assert_eq!((status, kind.as_str()), (expected, "application/problem+json"), "{path} {problem}");
        let line = front.audited(number + 2);
        assert_eq!(line["reason"], problem["reason"], "{line}");
        assert_eq!(line["request_id"], problem["request_id"]);
    }
    assert!(front.application.another().is_none(), "what is refused has been passed on");
}

fn forged() {
    let front = Front::start("", None);
    let lies = [
        "-H",
        "X-Original-URI: /harmless",
        "-H",
        "X-Original-Method: GET",
        "-H",
        "X-Original-Host: other.example",
        "-H",
        "X-Stopbank-Status: 204",
        "-H",
        "Content-Length: 0",
    ];
    let (status, ..) = front.ask(&lies, "/items?q=1'%20OR%20'1'='1");
    assert_eq!(status, 403);
    let line = front.audited(1);
    assert_eq!(line["path"], "/items");
    // The place where it is asked is nobody's business.
    assert_eq!(front.ask(&lies, "/_stopbank").0, 404);
}

fn smuggling() {
    let (application, signer) = (Recorder::start(|_| good("ok")), Signer::new(Algorithm::Es256, "k-1"));
    let setup = by_file(&signer, "identity_header = true", application.port);
    let front = Front::with("", setup, application);
    let key = format!("X-Api-Key: {}", key(&front.checker));
    assert_eq!(front.ask(&["-H", &key], "/").0, 200);
    let passed = String::from_utf8(front.application.request().unwrap()).unwrap().to_lowercase();
    let told = "x-stopbank-identity: {\"class\":";
    assert!(passed.contains(told) || passed.contains("x-stopbank-identity: {\"id\":"), "{passed}");
    assert!(passed.contains("\"sub\":\"billing\""), "{passed}");
    for claim in
        ["X-Stopbank-Identity: {\"sub\":\"admin\"}", "x-STOPBANK-identity: a", "X-Stopbank-Identity;"]
    {
        let (status, _, body) = front.ask(&["-H", &key, "-H", claim], "/");
        assert_eq!(status, 400, "{claim} {body}");
        assert!(body.contains("identity-claimed"), "{body}");
    }
    assert!(front.application.another().is_none(), "a client's word has been passed on");
}

fn bodies() {
    let front = Front::start("", None);
    let attack = ["-H", "Content-Type: application/json", "-d", r#"{"q":"1' OR '1'='1"}"#];
    assert_eq!(front.ask(&attack, "/items").0, 200);
    let passed = String::from_utf8(front.application.request().unwrap()).unwrap();
    assert!(passed.ends_with(r#"{"q":"1' OR '1'='1"}"#), "{passed}");
    let line = front.audited(1);
    assert_eq!((line["action"].as_str(), line["unseen"].as_str()), (Some("allow"), Some("body")), "{line}");
    let metrics = front.checker.admin("/metrics");
    assert!(metrics.contains("stopbank_checker_unseen_bodies_total 1\n"), "{metrics}");
    let said = front.checker.said();
    assert!(said.contains("no bodies come along with `auth_request`") && said.contains("json, "), "{said}");
}

fn addresses() {
    let front = Front::start("", None);
    let lies =
        ["--interface", "127.0.0.3", "-H", "X-Forwarded-For: 192.0.2.66", "-H", "X-Real-IP: 192.0.2.66"];
    assert_eq!(front.ask(&lies, "/items").0, 200);
    assert_eq!(front.audited(1)["client"], "127.0.0.3");
}

fn questions() {
    let front = Front::start("", None);
    let ask = |more: &str| {
        let question = format!(
            "GET /_stopbank HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Original-Method: GET\r\nX-Original-Host: a\r\n\
             X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\n{more}\r\n"
        );
        front.checker.answers(question.as_bytes())
    };
    assert!(ask("X-Original-URI: /\r\n").starts_with("HTTP/1.1 204 "));
    for more in [
        "",
        "X-Original-URI: \r\n",
        "X-Original-URI: /\r\nX-Original-URI: /\r\n",
        "X-Original-URI: /\r\nContent-Length: 1\r\n\r\na",
    ] {
        let answer = ask(more);
        assert!(
            answer.starts_with("HTTP/1.1 500 ") && answer.contains("x-stopbank-reason: front-end\r\n"),
            "{answer}"
        );
    }
    // From another address than nginx's.
    let url = format!("http://127.0.0.1:{}/", front.checker.port);
    let said = curl(&["--interface", "127.0.0.3", "-H", "X-Original-URI: /", &url]);
    assert!(!said.status.success() && said.stdout.is_empty(), "{}", text(&said));
    assert!(front.checker.admin("/metrics").contains("outcome=\"untrusted\"} 1\n"));
}

fn looks() {
    let mut setup = Setup::new(String::new());
    setup.policy = Some(
        "undeclared = \"allow\"\n[[rate]]\nname = \"all\"\nby = \"address\"\nspike = \"1/m\"\n".to_owned(),
    );
    setup.listen = ", uses_up = false".to_owned();
    let front = Front::with("", setup, Recorder::start(|_| good("ok")));
    assert_eq!([(); 3].map(|()| front.ask(&[], "/items").0), [200; 3]);
}

fn often() {
    let policy = "undeclared = \"allow\"\n[[rate]]\nname = \"all\"\nby = \"address\"\nspike = \"1/m\"\n";
    let front = Front::start("", Some(policy));
    assert_eq!(front.ask(&[], "/items").0, 200);
    let (status, kind, problem) = front.ask(&["-D", "-"], "/items");
    assert_eq!((status, kind.as_str()), (429, "application/problem+json"), "{problem}");
    let retry =
        problem.to_lowercase().lines().find_map(|line| Some(line.strip_prefix("retry-after: ")?.to_owned()));
    assert!(retry.is_some_and(|retry| (1..=60).contains(&retry.trim().parse::<u32>().unwrap())), "{problem}");
}

fn objects() {
    let policy = "undeclared = \"allow\"
[[enumeration]]
name = \"items\"
routes = [\"/items/{id}\"]
id = \"path:id\"
walk = 5
[[enumeration]]
name = \"orders\"
routes = [\"/orders\"]
id = \"body:/id\"
distinct = 5
[[route]]
path = \"/items/{id}\"
methods = [\"GET\"]
[[route]]
path = \"/orders\"
methods = [\"POST\"]
";
    let front = Front::start("", Some(policy));
    let passed = (1..30).take_while(|id| front.ask(&[], &format!("/items/{id}")).0 == 200).count();
    assert_eq!(passed, 6);
    let (status, _, problem) = front.ask(&[], "/items/9");
    assert!(status == 429 && problem.contains("object-walk"), "{status}: {problem}");
    // What nobody shows is not counted, and that is said.
    let said = front.checker.said();
    assert!(said.contains("enumeration orders") && !said.contains("enumeration items"), "{said}");
}

fn websockets() {
    let front = Front::start("", None);
    let asked = ["-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13"];
    let (status, _, body) = front.ask(&asked, "/live");
    assert_eq!(status, 403, "{body}");
    assert_eq!(front.audited(1)["reason"], "upgrade");
}
