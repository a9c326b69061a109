//! A real HAProxy that asks the checker, with the configuration that docs/checker.md has.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::Command,
    time::Duration,
};

use serde_json::Value;

use crate::servers::{
    Certificates, Directory, Process, Proxy, Setup, curl, free_port, is_open, text, wait_until,
};

/// Debian's users do not have /usr/sbin in their PATH.
pub(crate) fn haproxy_program() -> &'static str {
    let debian = "/usr/sbin/haproxy";
    if Path::new(debian).exists() { debian } else { "haproxy" }
}

/// What an operator pastes, out of the documentation, from a line on.
fn pasted(first: &str) -> String {
    let documentation = include_str!("../../../../docs/checker.md");
    let start = documentation.find(first).unwrap();
    let block = &documentation[start..];
    let end = block.find("\n\n").unwrap();
    format!("{}\n", block[..end].replace("\n    ", "\n").trim_start())
}

/// What a listener has that HAProxy asks.
pub(super) const ASKED: &str = "spoe = { trusted = [\"127.0.0.1/32\"] }\n";

/// HAProxy between clients and an application.
pub(super) struct Front {
    pub(super) checker: Proxy,
    /// HTTP/1.1, and HTTP/2 from the first byte on.
    pub(super) port: u16,
    pub(super) http2: u16,
    pub(super) tls: u16,
    _haproxy: Process,
    _directory: Directory,
}

/// What a configuration has beside the documentation's.
#[derive(Default)]
pub(super) struct Beside<'b> {
    /// HAProxy's `global`.
    pub(super) global: &'b str,
    /// The agent's.
    pub(super) agent: &'b str,
    /// A line that is taken out, or another one in its place.
    pub(super) replaced: Option<(&'b str, &'b str)>,
    /// The same of what is asked.
    pub(super) asked: Option<(&'b str, &'b str)>,
    pub(super) certificates: Option<&'b Certificates>,
}

impl Front {
    /// With a policy, in front of an application on that port.
    pub(super) fn start(policy: Option<&str>, application: u16) -> Self {
        Self::with(setup(policy), application, &Beside::default())
    }

    pub(super) fn with(setup: Setup, application: u16, beside: &Beside<'_>) -> Self {
        let checker = setup.start();
        let directory = Directory::new();
        let [port, http2, tls] = [0; 3].map(|_| free_port());
        let mut binds = format!("bind 127.0.0.1:{port}\n    bind 127.0.0.1:{http2} proto h2");
        if let Some(files) = beside.certificates {
            let [certificate, key] =
                ["server.pem", "server.key"].map(|name| fs::read(files.path(name)).unwrap());
            let both = directory.file("both.pem");
            fs::write(&both, [certificate, key].concat()).unwrap();
            binds.push_str(&format!(
                "\n    bind 127.0.0.1:{tls} ssl crt {} alpn h2,http/1.1 verify optional ca-file {} crt-ignore-err all ca-ignore-err all",
                both.display(),
                files.path("ca.pem")
            ));
        }
        let agent_file = directory.file("stopbank.conf");
        let main = pasted("    frontend www\n")
            .replace("bind :80", &binds)
            .replace("/etc/haproxy/stopbank.conf", &agent_file.display().to_string())
            .replace("127.0.0.1:8080", &format!("127.0.0.1:{application}"))
            .replace("127.0.0.1:9192", &format!("127.0.0.1:{}", checker.port));
        let main = replaced(main, beside.replaced);
        let agent =
            pasted("    [stopbank]\n").replace("    groups", &format!("    {}\n    groups", beside.agent));
        fs::write(&agent_file, replaced(agent, beside.asked)).unwrap();
        let file = directory.file("haproxy.cfg");
        fs::write(&file, format!("global\n    maxconn 2000\n    {}\n{main}", beside.global)).unwrap();
        let log = File::create(directory.file("log")).unwrap();
        let child = Command::new(haproxy_program())
            .args(["-db", "-f"])
            .arg(&file)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut haproxy = Process(child);
        wait_until("HAProxy", || {
            let said = || fs::read_to_string(directory.file("log")).unwrap();
            assert!(haproxy.0.try_wait().unwrap().is_none(), "{}", said());
            is_open(port)
        });
        Self { checker, port, http2, tls, _haproxy: haproxy, _directory: directory }
    }

    /// The answer's status, its head and its body.
    pub(super) fn ask(&self, arguments: &[&str], path: &str) -> (u16, String, String) {
        let http2 = arguments.contains(&"--http2-prior-knowledge");
        let port = if http2 { self.http2 } else { self.port };
        answered(arguments, &format!("http://127.0.0.1:{port}{path}"))
    }

    pub(super) fn status(&self, arguments: &[&str], path: &str) -> u16 {
        self.ask(arguments, path).0
    }

    /// The last line of the audit log, when so many requests are in it.
    pub(super) fn audited(&self, requests: usize) -> Value {
        let read = || fs::read_to_string(self.checker.directory.file("audit")).unwrap_or_default();
        wait_until("the audit log", || read().lines().count() >= requests && read().ends_with('\n'));
        serde_json::from_str(read().lines().last().unwrap()).unwrap()
    }

    /// All that is answered to some bytes, until the connection is closed.
    pub(super) fn answers(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

fn replaced(text: String, parts: Option<(&str, &str)>) -> String {
    let Some((part, other)) = parts else { return text };
    assert!(text.contains(part), "{text}");
    text.replace(part, other)
}

/// The answer's status, its head and its body, of a URL.
pub(super) fn answered(arguments: &[&str], url: &str) -> (u16, String, String) {
    let format = ["-w", "\n%{http_code}", "--path-as-is", "-D", "-"];
    let said = text(&curl(&[&format[..], arguments, &[url]].concat()));
    let (said, status) = said.rsplit_once('\n').unwrap();
    let (head, body) = said.split_once("\r\n\r\n").unwrap_or((said, ""));
    (status.parse().unwrap(), head.to_lowercase(), body.to_owned())
}

/// A checker that HAProxy asks, and that logs everything.
pub(super) fn setup(policy: Option<&str>) -> Setup {
    let mut setup = Setup::new("[refusals]\nreason = true\n".to_owned());
    setup.listen = ASKED.to_owned();
    setup.policy = policy.map(str::to_owned);
    setup.audits_all = true;
    setup
}

/// A client that keeps its connection.
pub(super) struct Client(BufReader<TcpStream>);

impl Client {
    pub(super) fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    /// The status of the answer, which is read to its end.
    pub(super) fn status(&mut self, request: &str) -> u16 {
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            let line = line.trim_end().to_lowercase();
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest[..3].parse().unwrap();
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        std::io::copy(&mut self.0.by_ref().take(length), &mut std::io::sink()).unwrap();
        status
    }
}
