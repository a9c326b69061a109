//! A connection that was there before its client's certificate was revoked.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use crate::{
    identity::by_certificate,
    servers::{Certificates, Proxy, Recorder, good, text, wait_until},
};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("a certificate that is revoked says nothing any more on connections that are open", revoked),
    ("the certificate of a server that asks is none of its clients'", of_asker),
    ("who was in front of a login by certificate before is known there", known),
];

/// A client with a certificate whose connection stays.
struct Session {
    process: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Session {
    fn start(proxy: &Proxy, files: &Certificates) -> Self {
        let mut process = Command::new("openssl")
            .args(["s_client", "-quiet", "-connect", &format!("127.0.0.1:{}", proxy.port)])
            .args(["-servername", "localhost", "-CAfile", &files.path("ca.pem")])
            .args(["-cert", &files.path("client.pem"), "-key", &files.path("client.key")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let output = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let input = process.stdin.take().unwrap();
        Self { process, input, lines }
    }

    /// The status of the answer.
    fn ask(&mut self, request: &str) -> String {
        self.input.write_all(request.as_bytes()).unwrap();
        self.input.flush().unwrap();
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(20)).expect("an answer");
            if let Some(rest) = line.split_once("HTTP/1.1 ") {
                return rest.1[..3].to_owned();
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const GET: &str = "GET /7 HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn revoked() {
    let files = Certificates::new();
    files.revoke(None);
    let recorder = Recorder::start(|_| good("ok"));
    let proxy = by_certificate(&files, "", recorder.port).start();
    let mut session = Session::start(&proxy, &files);
    assert_eq!((session.ask(GET), session.ask(GET)), ("200".to_owned(), "200".to_owned()));
    // A reload by which nothing changes costs nobody its connection.
    proxy.process.signal("HUP");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(session.ask(GET), "200");
    files.revoke(Some("client"));
    proxy.process.signal("HUP");
    let mut last = String::new();
    wait_until("the certificate to be refused", || {
        last = session.ask(GET);
        last != "200"
    });
    assert_eq!(last, "403");
}

fn of_asker() {
    let files = Certificates::new();
    files.revoke(None);
    let recorder = Recorder::start(|_| good("ok"));
    let mut setup = by_certificate(&files, "", recorder.port);
    setup.listen.push_str("\nauth_request = { trusted = [\"127.0.0.1/32\"] }");
    let proxy = setup.start();
    let (authority, certificate, key) =
        (files.path("ca.pem"), files.path("client.pem"), files.path("client.key"));
    let said = proxy.curl(
        &[
            &["--http1.1", "--cacert", &authority, "--cert", &certificate, "--key", &key, "-D", "-"][..],
            &["-H", "X-Original-Method: GET", "-H", "X-Original-URI: /", "-H", "X-Original-Host: a"],
            &["-H", "X-Forwarded-For: 192.0.2.1", "-H", "X-Forwarded-Proto: http"],
        ]
        .concat(),
        "/",
    );
    let said = text(&said);
    assert!(
        said.starts_with("HTTP/1.1 403 ") && said.contains("x-stopbank-reason: certificate-missing\r\n"),
        "{said}"
    );
}

/// The brake counts attempts of a body, by the certificate that came with the head.
fn known() {
    let files = Certificates::new();
    files.revoke(None);
    let recorder = Recorder::start(|request| {
        let right = request.ends_with(b"right");
        if right {
            good("ok")
        } else {
            (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_vec(), false)
        }
    });
    let mut setup = by_certificate(&files, "", recorder.port);
    setup.policy = Some(
        "undeclared = \"allow\"\n[[brake]]\nname = \"login\"\nroutes = [\"/login\"]\naccount = \"form:user\"\norigin = \"certificate\"\n\
         shared_free = 3\n[[route]]\npath = \"/login\"\nmethods = [\"POST\"]\n"
            .to_owned(),
    );
    let proxy = setup.start();
    let login = |password: &str| {
        let body = format!("user=alice&password={password}");
        let length = body.len();
        format!(
            "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    };
    let mut owner = Session::start(&proxy, &files);
    assert_eq!(owner.ask(&login("right")), "200");
    // Strangers, who have no certificate.
    for turn in 0..8 {
        let arguments = [
            "--cacert",
            &files.path("ca.pem"),
            "-o",
            "/dev/null",
            "-d",
            &format!("user=alice&password={turn}"),
        ];
        proxy.curl(&arguments, "/login");
    }
    assert_eq!(owner.ask(&login("right")), "200", "whoever was in before is delayed by nobody else");
}
