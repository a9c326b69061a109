//! Reload, drain, the service manager.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::servers::{
    CHECKER, Certificates, Process, Recorder, Setup, free_port, good, text, upstream, wait_until,
};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("certificates are read again, and a bad one changes nothing", certificates),
    ("the configuration is read again as a whole or not at all", configuration),
    ("a request under way comes to its end, and then the proxy does", drain),
    ("a client of HTTP/2 that reads slowly has all of its answer when the proxy ends", slow_reader),
    ("the end does not wait for longer than its deadline", deadline),
    ("what is wrong is said before anything is opened", wrong),
];

/// The highest exposure that `systemd-analyze security` may find, in tenths.
const EXPOSURE: &str = "20";

fn certificates() {
    let files = Certificates::new();
    let recorder = Recorder::start(|_| good("ok"));
    let mut setup = Setup::new(upstream("a", recorder.port, ""));
    let (certificate, key) = (files.path("server.pem"), files.path("server.key"));
    setup.listen = format!("tls = {{ certificate = \"{certificate}\", key = \"{key}\" }}");
    let proxy = setup.start();
    let served = || {
        let said = Command::new("openssl")
            .args(["s_client", "-connect", &format!("127.0.0.1:{}", proxy.port)])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        let begin = text.find("-----BEGIN").unwrap();
        text[begin..text.find("-----END").unwrap()].replace('\n', "")
    };
    let first = served();
    files.issue("server");
    proxy.process.signal("HUP");
    wait_until("the new certificate", || served() != first);
    let second = served();
    fs::write(&certificate, "nonsense").unwrap();
    proxy.process.signal("HUP");
    wait_until("the complaint", || proxy.said().contains("what was in force stays in force"));
    assert_eq!(served(), second);
    assert!(proxy.admin("/metrics").contains("stopbank_checker_reload_successful 0\n"));
    let authority = files.path("ca.pem");
    assert_eq!(text(&proxy.curl(&["--cacert", &authority], "/")), "ok");
}

fn configuration() {
    let (one, other) = (Recorder::start(|_| good("one")), Recorder::start(|_| good("other")));
    let proxy = Setup::new(upstream("a", one.port, "")).start();
    let file = proxy.directory.file("proxy.toml");
    let audit = proxy.directory.file("audit");
    assert_eq!(text(&proxy.curl(&[], "/")), "one");
    let before = fs::read_to_string(&file).unwrap();
    fs::write(&file, before.replace("[admin]", "[adnim]")).unwrap();
    proxy.process.signal("HUP");
    wait_until("the complaint", || proxy.said().contains("unknown field `adnim`"));
    assert_eq!(text(&proxy.curl(&[], "/")), "one");
    // The audit log is moved away, and another begun.
    fs::rename(&audit, proxy.directory.file("audit.1")).unwrap();
    fs::write(&file, before.replace(&one.port.to_string(), &other.port.to_string())).unwrap();
    proxy.process.signal("HUP");
    wait_until("the other upstream", || text(&proxy.curl(&[], "/")) == "other");
    wait_until("the other log", || audit.exists());
    text(&proxy.curl(&["--path-as-is"], "/../a"));
    wait_until("a line in it", || fs::read_to_string(&audit).unwrap().contains("path-traversal"));
}

fn drain() {
    let recorder = Recorder::start(|_| {
        thread::sleep(Duration::from_secs(1));
        good("late")
    });
    let mut proxy = Setup::new(upstream("a", recorder.port, "")).start();
    let mut idle = proxy.connect();
    let mut stream = proxy.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!({
        thread::sleep(Duration::from_millis(300));
        true
    });
    proxy.process.signal("TERM");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("late"), "{answer}");
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    assert_eq!(proxy.process.ends(), Some(0), "{}", proxy.said());
    assert!(std::net::TcpStream::connect(("127.0.0.1", proxy.port)).is_err());
}

/// It sends updates of its windows long after the proxy has written the last byte: to a socket that is closed by then, it would lose the rest.
fn slow_reader() {
    const LENGTH: usize = 100 << 20;
    let answer = "x".repeat(LENGTH);
    let recorder = Recorder::start(move |_| good(&answer));
    let files = Certificates::new();
    let mut setup = Setup::new(upstream("a", recorder.port, ""));
    let (certificate, key) = (files.path("server.pem"), files.path("server.key"));
    setup.listen = format!("tls = {{ certificate = \"{certificate}\", key = \"{key}\" }}");
    let mut proxy = setup.start();
    let url = format!("https://127.0.0.1:{}/", proxy.port);
    let mut curl = Command::new("curl");
    curl.args(["-sSk", "-m", "30", "--http2", "--limit-rate", "25M", "-o", "/dev/null"]);
    curl.args(["-w", "%{http_version} %{http_code} %{size_download}", &url]).stdout(Stdio::piped());
    let reader = curl.stderr(Stdio::piped()).spawn().unwrap();
    thread::sleep(Duration::from_millis(500));
    proxy.process.signal("TERM");
    assert_eq!(text(&reader.wait_with_output().unwrap()), format!("2 200 {LENGTH}"));
    assert_eq!(proxy.process.ends(), Some(0), "{}", proxy.said());
}

fn deadline() {
    let recorder = Recorder::start(|_| {
        thread::sleep(Duration::from_secs(30));
        good("never")
    });
    let mut proxy = Setup::new(upstream("a", recorder.port, "") + "[limits]\ndrain = \"1s\"\n").start();
    let mut stream = proxy.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(recorder.connections.load(std::sync::atomic::Ordering::Relaxed) <= 1);
    thread::sleep(Duration::from_millis(300));
    let began = Instant::now();
    proxy.process.signal("TERM");
    assert_eq!(proxy.process.ends(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

fn wrong() {
    let proxy = |arguments: &[&str]| {
        let said = Command::new(CHECKER).arg("proxy").args(arguments).output().unwrap();
        (said.status.code(), String::from_utf8_lossy(&said.stderr).into_owned())
    };
    let port = free_port().to_string();
    let listen = format!("127.0.0.1:{port}");
    for (arguments, part) in [
        (&[][..], "nothing to listen on"),
        (&["--listen", &listen], "no upstream"),
        (&["--listen", "nowhere", "--upstream", "http://a"], "neither ADDRESS:PORT nor `systemd`"),
        (&["--listen", &listen, "--upstream", "ftp://a"], "no http:// or https://"),
        (&["--listen", "systemd", "--upstream", "http://a"], "passes no TCP socket on"),
        (
            &[
                "--listen",
                &listen,
                "--upstream",
                "http://a",
                "--tls-certificate",
                "/nonexistent",
                "--tls-key",
                "/x",
            ],
            "/nonexistent",
        ),
        (&["--config", "/nonexistent"], "cannot read /nonexistent"),
    ] {
        let (code, said) = proxy(arguments);
        assert!(said.contains(part), "{arguments:?}: {said}");
        // Another start may find the socket there; the rest stays wrong, and is found without a start as well.
        let passing = part == "passes no TCP socket on";
        assert_eq!(code, Some(if passing { 1 } else { 78 }), "{arguments:?}");
        let (code, said) = proxy(&[arguments, &["--check"]].concat());
        assert_eq!(code, Some(if passing { 0 } else { 78 }), "{arguments:?}: {said}");
    }
    let taken = std::net::TcpListener::bind(&listen).unwrap();
    let (code, said) = proxy(&["--listen", &listen, "--upstream", "http://a", "--check"]);
    assert_eq!(
        (code, said.contains("good: 1 listeners, 1 upstreams, policy generic")),
        (Some(0), true),
        "{said}"
    );
    assert_eq!(proxy(&["--listen", &listen, "--upstream", "http://a"]).0, Some(1));
    drop(taken);
}

pub(crate) fn activation() {
    let recorder = Recorder::start(|_| good("ok"));
    let port = free_port();
    let child = Command::new("systemd-socket-activate")
        .args(["-l", &format!("127.0.0.1:{port}"), CHECKER, "proxy", "--listen", "systemd", "--upstream"])
        .arg(format!("http://127.0.0.1:{}", recorder.port))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _process = Process(child);
    wait_until("the proxy behind the socket", || {
        let said = crate::servers::curl(&[&format!("http://127.0.0.1:{port}/")]);
        said.stdout == b"ok"
    });
}

pub(crate) fn unit() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd/stopbank-checker.service");
    let said = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", "--threshold", EXPOSURE])
        .arg(unit)
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&said.stdout);
    println!("{}", shown.trim().lines().last().unwrap_or_default());
    assert!(said.status.success(), "{shown}{}", String::from_utf8_lossy(&said.stderr));
}
