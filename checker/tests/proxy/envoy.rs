//! A real Envoy in front of a checker, with the configuration that docs/checker.md has.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::servers::{
    Directory, Process, Proxy, Setup, curl, envoy_program, free_port, is_open, text, wait_until,
};

/// What an operator pastes, out of the documentation.
fn pasted() -> String {
    let documentation = include_str!("../../../docs/checker.md");
    let start = documentation.find("    static_resources:\n").unwrap();
    let block = &documentation[start..];
    let end = block.find("\n\n").unwrap();
    block[4..end].replace("\n    ", "\n")
}

/// An Envoy that asks the checker, and has an application behind.
pub(crate) struct Front {
    pub(crate) checker: Proxy,
    pub(crate) port: u16,
    _envoy: Process,
    _directory: Directory,
}

/// What is different from the documentation.
#[derive(Clone, Copy, Default)]
pub(crate) struct Given<'g> {
    /// Of the listener that is asked, beside who may ask.
    pub(crate) asked: &'g str,
    pub(crate) policy: Option<&'g str>,
    /// Beside the policy.
    pub(crate) files: &'g [(&'g str, &'g [u8])],
    /// Tables of the checker's configuration.
    pub(crate) rest: &'g str,
    /// What is replaced in Envoy's configuration, and by what.
    pub(crate) envoy: &'g [(&'g str, &'g str)],
}

impl Front {
    pub(crate) fn start(application: u16, given: &Given<'_>) -> Self {
        let mut setup = Setup::new(format!("[refusals]\nreason = true\n{}", given.rest));
        setup.listen = format!("ext_authz = {{ trusted = [\"127.0.0.1/32\"] {} }}\n", given.asked);
        setup.policy = given.policy.map(str::to_owned);
        setup.audits_all = true;
        for (name, bytes) in given.files {
            let file = setup.directory.file(name);
            fs::write(&file, bytes).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let checker = setup.start();
        let (directory, port) = (Directory::new(), free_port());
        let place = |from: u16| format!("port_value: {from} }}");
        let mut configuration = pasted()
            .replace("address: 0.0.0.0", "address: 127.0.0.1")
            // Otherwise two of them could listen on one port, and take requests by turns.
            .replace("filter_chains:", "enable_reuse_port: false\n    filter_chains:")
            .replace(&place(80), &place(port))
            .replace(&place(9191), &place(checker.port))
            .replace(&place(8080), &place(application));
        for (from, to) in given.envoy {
            // What follows a line stands as deep as it does.
            let before = configuration.find(from).map(|place| &configuration[..place]).unwrap();
            let depth = before.len() - before.rfind('\n').unwrap() - 1;
            configuration =
                configuration.replace(from, &to.replace('\n', &format!("\n{}", " ".repeat(depth))));
        }
        let process = envoy(&directory, &configuration);
        wait_until("Envoy", || is_open(port));
        Self { checker, port, _envoy: process, _directory: directory }
    }

    /// The answer with its head, in lower case.
    pub(crate) fn answer(&self, arguments: &[&str], path: &str) -> String {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        text(&curl(&[&["-i", "--path-as-is"], arguments, &[&url]].concat())).to_lowercase()
    }

    /// The answer's status, type and body.
    pub(crate) fn ask(&self, arguments: &[&str], path: &str) -> (u16, String, String) {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let format = ["-w", "\n%{http_code} %{content_type}", "--path-as-is"];
        let said = text(&curl(&[&format[..], arguments, &[&url]].concat()));
        let (body, last) = said.rsplit_once('\n').unwrap();
        let (status, kind) = last.split_once(' ').unwrap();
        (status.parse().unwrap(), kind.to_owned(), body.to_owned())
    }

    /// The last line of the audit log, when so many requests are in it.
    pub(crate) fn audited(&self, requests: usize) -> Value {
        let read = || fs::read_to_string(self.checker.directory.file("audit")).unwrap_or_default();
        wait_until("the audit log", || read().lines().count() >= requests && read().ends_with('\n'));
        serde_json::from_str(read().lines().last().unwrap()).unwrap()
    }
}

/// An Envoy of that configuration, which logs into the directory.
fn envoy(directory: &Directory, configuration: &str) -> Process {
    let (file, log) = (directory.file("envoy.yaml"), File::create(directory.file("log")).unwrap());
    fs::write(&file, configuration).unwrap();
    let child = Command::new(envoy_program())
        .args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warn", "--config-path"])
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    Process(child)
}
