//! The token of forms as people meet it: a client with a cookie jar that goes from the login to a form, and a real browser with the page of the reference in it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::servers::{Certificates, Directory, Proxy, Recorder, Setup, text, upstream, wait_until};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("a form is sent with the token of its session, and no other way", jar),
    ("the token of a form outlives a reload, and comes again where it is gone", kept),
];

pub(crate) const BROWSER: (&str, fn()) =
    ("a browser sends its own page's form, and not another site's", browser);

/// That of the reference.
fn policy() -> String {
    let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/checker.md");
    let reference = fs::read_to_string(reference).unwrap();
    let examples = reference.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut examples = examples.filter(|example| example.contains("csrf.key"));
    let (first, second) = (examples.next(), examples.next());
    assert!(second.is_none(), "one example of it");
    first.unwrap().to_owned()
}

/// The script of the reference's page.
fn script() -> String {
    let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/checker.md");
    let reference = fs::read_to_string(reference).unwrap();
    let example = reference.split("```html\n").nth(1).unwrap().split("```").next().unwrap();
    example.to_owned()
}

/// The application behind: whoever logs in gets a session that even other sites' pages send, as old applications have them.
fn application(request: &[u8]) -> (Vec<u8>, bool) {
    let request = String::from_utf8_lossy(request);
    let path = request.split(' ').nth(1).unwrap_or_default();
    let (more, body) = match path {
        "/login" => {
            let session = &format!("{:?}", Instant::now()).replace(|c: char| !c.is_ascii_digit(), "");
            let cookie = format!(
                "Set-Cookie: sid={session}; Path=/; Secure; HttpOnly; SameSite=None; Max-Age=600\r\n"
            );
            (cookie, "<script>location = '/account'</script>".to_owned())
        }
        "/account" => {
            // The title says what becomes of a request without the token, and then of the form.
            let run = "<script>
                const plain = window.fetch;
                window.fetch = async (...asked) => {
                    const answer = await plain(...asked);
                    document.title += `, with ${answer.status}`;
                };
                plain('/transfer', { method: 'POST' }).then(answer => {
                    document.title = `without ${answer.status}`;
                    document.querySelector('form').requestSubmit();
                });
            </script>";
            (String::new(), format!("{}{run}", script()))
        }
        _ => (String::new(), "done".to_owned()),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{more}Content-Length: {length}\r\n\r\n");
    ((head + &body).into_bytes(), false)
}

fn start(files: &Certificates) -> (Proxy, Recorder) {
    let recorder = Recorder::start(application);
    let mut setup = Setup::new(upstream("a", recorder.port, "") + "[refusals]\nreason = true\n");
    let key = setup.directory.file("csrf.key");
    let made = Command::new("openssl").args(["rand", "-hex", "32"]).output().unwrap();
    fs::write(&key, made.stdout).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    setup.policy = Some(policy());
    let (certificate, key) = (files.path("server.pem"), files.path("server.key"));
    setup.listen = format!("tls = {{ certificate = \"{certificate}\", key = \"{key}\" }}");
    (setup.start(), recorder)
}

/// A client that keeps its cookies in a file, as browsers do, and says where its requests come from.
struct Client<'p> {
    proxy: &'p Proxy,
    authority: String,
    jar: String,
}

impl<'p> Client<'p> {
    fn new(proxy: &'p Proxy, files: &Certificates, name: &str) -> Self {
        let jar = proxy.directory.file(name).display().to_string();
        Self { proxy, authority: files.path("ca.pem"), jar }
    }

    fn ask(&self, method: &str, path: &str, site: &str, headers: &[&str]) -> String {
        let origin = match site {
            "same-origin" => format!("Origin: https://localhost:{}", self.proxy.port),
            _ => "Origin: https://evil.example".to_owned(),
        };
        let site = format!("Sec-Fetch-Site: {site}");
        let mut arguments =
            vec!["-i", "--http2", "--cacert", &self.authority, "-b", &self.jar, "-c", &self.jar];
        arguments.extend(["-X", method, "-H", &origin, "-H", &site, "-H", "Sec-Fetch-Mode: cors"]);
        if method == "POST" {
            arguments.extend(["--data", "to=bob&amount=1"]);
        }
        headers.iter().for_each(|header| arguments.extend(["-H", header]));
        text(&self.proxy.curl(&arguments, path))
    }

    fn posts(&self, site: &str, headers: &[&str]) -> (u16, String) {
        let said = self.ask("POST", "/transfer", site, headers);
        let status = said.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        (status, said)
    }

    /// What a script of the page reads in `document.cookie`: no cookie that is `HttpOnly`.
    fn token(&self) -> Option<String> {
        let jar = fs::read_to_string(&self.jar).unwrap_or_default();
        let mut lines = jar.lines().filter(|line| !line.starts_with("#HttpOnly"));
        let line = lines.find(|line| line.contains("\t__Host-csrf\t"))?;
        line.rsplit('\t').next().map(str::to_owned)
    }

    fn header(&self) -> String {
        format!("X-CSRF-Token: {}", self.token().unwrap())
    }
}

fn jar() {
    let files = Certificates::new();
    let (proxy, recorder) = start(&files);
    let alice = Client::new(&proxy, &files, "alice");
    // A login has no session yet, so that no token is demanded and none is set.
    assert!(alice.ask("POST", "/login", "same-origin", &[]).contains(" 200"));
    assert_eq!(alice.token(), None);
    let page = alice.ask("GET", "/account", "same-origin", &[]);
    let cookie =
        page.lines().find(|line| line.to_lowercase().starts_with("set-cookie: __host-csrf=")).unwrap();
    assert!(cookie.ends_with("; Path=/; SameSite=Lax; Secure"), "{cookie}");
    assert!(!alice.ask("GET", "/account", "same-origin", &[]).to_lowercase().contains("set-cookie"), "once");
    let arrived =
        || std::iter::from_fn(|| recorder.another()).filter(|one| one.starts_with(b"POST /transfer")).count();
    assert_eq!(arrived(), 0);
    let refused = |said: (u16, String), reason: &str| {
        assert!(said.0 == 403 && said.1.contains(&format!("\"{reason}\"")), "{reason}: {}", said.1);
        assert_eq!(arrived(), 0, "{reason}");
    };
    // Without it, with another, and from another site's page, which has the cookies sent and guesses the header.
    refused(alice.posts("same-origin", &[]), "cross-site-token");
    refused(alice.posts("same-origin", &["X-CSRF-Token: x"]), "cross-site-token");
    refused(alice.posts("cross-site", &[]), "cross-site-origin");
    assert_eq!(alice.posts("same-origin", &[&alice.header()]).0, 200);
    assert_eq!(arrived(), 1);
    // Twice is none: which one counts, only the server behind knows.
    refused(alice.posts("same-origin", &[&alice.header(), &alice.header()]), "cross-site-token");
    // A token that was given to another, put where this one's is, as a neighbouring subdomain can.
    let mallory = Client::new(&proxy, &files, "mallory");
    mallory.ask("POST", "/login", "same-origin", &[]);
    mallory.ask("GET", "/account", "same-origin", &[]);
    let (own, other) = (alice.token().unwrap(), mallory.token().unwrap());
    let jar = fs::read_to_string(&alice.jar).unwrap();
    fs::write(&alice.jar, jar.replace(&own, &other)).unwrap();
    refused(alice.posts("same-origin", &[&alice.header()]), "cross-site-token");
    // It was told a good one with the refusal.
    assert_ne!(alice.token().unwrap(), other);
    assert_eq!(alice.posts("same-origin", &[&alice.header()]).0, 200);
    // Of the reference: what has no session's cookie needs none.
    let key = Client::new(&proxy, &files, "none");
    assert_eq!(key.posts("same-origin", &[]).0, 200);
    let audit = fs::read_to_string(proxy.directory.file("audit")).unwrap();
    assert!(
        audit.contains("\"cross-site-token\"") && !audit.contains(&own) && !audit.contains(&other),
        "{audit}"
    );
    let metrics = proxy.admin("/metrics");
    assert!(metrics.contains("reason=\"cross-site-token\""), "{metrics}");
}

fn kept() {
    let files = Certificates::new();
    let (proxy, _recorder) = start(&files);
    let alice = Client::new(&proxy, &files, "alice");
    alice.ask("POST", "/login", "same-origin", &[]);
    alice.ask("GET", "/account", "same-origin", &[]);
    let before = alice.header();
    proxy.process.signal("HUP");
    wait_until("the reload", || proxy.said().contains("are read again"));
    assert_eq!(alice.posts("same-origin", &[&before]).0, 200);
    // Another secret: what was signed with the old one is none, and a new one comes along.
    let made = Command::new("openssl").args(["rand", "-hex", "32"]).output().unwrap();
    fs::write(proxy.directory.file("csrf.key"), made.stdout).unwrap();
    proxy.process.signal("HUP");
    wait_until("the reload", || proxy.said().matches("are read again").count() > 1);
    assert_eq!(alice.posts("same-origin", &[&before]).0, 403);
    assert_eq!(alice.posts("same-origin", &[&alice.header()]).0, 200);
}

/// A page as Chromium leaves it when its scripts are done.
fn browse(profile: &Directory, url: &str) -> String {
    let mut child = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args(["--ignore-certificate-errors", "--virtual-time-budget=8000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.0.display()))
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned()
}

fn browser() {
    let files = Certificates::new();
    let (proxy, recorder) = start(&files);
    let profile = Directory::new();
    let seen = browse(&profile, &format!("https://localhost:{}/login", proxy.port));
    assert!(seen.contains("<title>without 403, with 200</title>"), "{seen}");
    let requests: Vec<String> = std::iter::from_fn(|| recorder.another())
        .map(|request| String::from_utf8_lossy(&request).into_owned())
        .collect();
    let sent: Vec<&String> =
        requests.iter().filter(|request| request.starts_with("POST /transfer")).collect();
    assert_eq!(sent.len(), 1, "{requests:?}");
    assert!(sent[0].contains("x-csrf-token: ") && sent[0].contains("sid="), "{}", sent[0]);
    // A page of another site has the browser send the form with the session's cookie, and tries a request with a header of its own.
    let target = format!("https://localhost:{}/transfer", proxy.port);
    let evil = Recorder::start(move |request| {
        let page = if request.starts_with(b"GET /form ") {
            format!(
                "<form method=post action='{target}'><input name=to value=mallory></form>
                 <script>document.querySelector('form').submit()</script>"
            )
        } else {
            format!(
                "<script>
                    fetch('{target}', {{ method: 'POST', credentials: 'include', headers: {{ 'x-csrf-token': 'x' }} }})
                        .then(() => document.title = 'sent', () => document.title = 'not sent');
                 </script>"
            )
        };
        let length = page.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n");
        ((head + &page).into_bytes(), false)
    });
    let seen = browse(&profile, &format!("http://127.0.0.1:{}/form", evil.port));
    assert!(seen.contains("\"cross-site-origin\"") || seen.contains("\"cross-site\""), "{seen}");
    let seen = browse(&profile, &format!("http://127.0.0.1:{}/fetch", evil.port));
    assert!(seen.contains("<title>not sent</title>"), "{seen}");
    let arrived: Vec<_> = std::iter::from_fn(|| recorder.another()).collect();
    assert!(!arrived.iter().any(|request| request.starts_with(b"POST")), "{arrived:?}");
}
