//! The command line of `proxy` and `explain`.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use serde_json::Value;
use stopbank_checker::Reason;

use super::{
    config::{Admin, Config, Expired, Listen, ServerTls, TlsVersion, Upstream, Url},
    run,
};

/// Exit code where there is no such request.
const NOT_FOUND: u8 = 3;

/// Stand in front of an API as a reverse proxy, and let pass what the policy allows
///
/// What is inspected is byte for byte what is forwarded. SIGTERM lets what is under way end; SIGHUP reads configuration, policy and certificates
/// again (where one of them is wrong, all stays as it is) and begins a new audit log.
#[derive(clap::Args, Clone)]
#[command(after_help = "\
Examples:
  stopbank-checker proxy --policy generic --listen 127.0.0.1:8080 --upstream http://127.0.0.1:8081
  stopbank-checker proxy --config /etc/stopbank-checker/proxy.toml --check
  stopbank-checker proxy --config /etc/stopbank-checker/proxy.toml

Exit codes: 0 it was told to end, or what was checked is good; 1 something failed; 78 the configuration, the policy or a file that it names is wrong.")]
pub(crate) struct ProxyCommand {
    /// Configuration: listeners, TLS, upstreams, limits; what is given beside it takes the place of what it says
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The policy: a file, or the name of a shipped one
    #[arg(long, value_name = "FILE|NAME")]
    policy: Option<String>,
    /// Where clients connect: ADDRESS:PORT, or `systemd` for the sockets that it passes on; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// A server behind, http://HOST:PORT or https://HOST:PORT; where it is repeated they are asked in turn
    #[arg(long, value_name = "URL")]
    upstream: Vec<String>,
    /// Certificates that clients see, with those between and the authority (PEM): makes every --listen one of TLS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Authorities whose certificates clients have to show (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_client_ca: Option<PathBuf>,
    /// Where /metrics and /healthz are served
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// Where the audit log is written; `-` is standard output
    #[arg(long, value_name = "FILE")]
    audit: Option<PathBuf>,
    /// Threads that serve; 0 is one for each CPU
    #[arg(long, value_name = "NUMBER")]
    threads: Option<usize>,
    /// Read configuration, policy, certificates and keys, say whether they are good, and end
    #[arg(long)]
    check: bool,
}

impl ProxyCommand {
    /// What the file and the command line come to.
    pub(super) fn config(&self) -> Result<Config> {
        let mut config = match &self.config {
            Some(file) => Config::read(file)?,
            None => Config::default(),
        };
        let tls =
            self.tls_certificate.clone().zip(self.tls_key.clone()).map(|(certificate, key)| ServerTls {
                certificate,
                key,
                ocsp: None,
                client_ca: self.tls_client_ca.clone(),
                client_crl: Vec::new(),
                client_crl_expired: Expired::default(),
                client_certificate_optional: false,
                minimum_version: TlsVersion::default(),
            });
        if !self.listen.is_empty() {
            let listen = |address: &String| Listen {
                address: address.clone(),
                tls: tls.clone(),
                h2c: false,
                auth_request: None,
                spoe: None,
                ext_authz: None,
            };
            config.listen = self.listen.iter().map(listen).collect();
        }
        if !self.upstream.is_empty() {
            let urls: Result<Vec<Url>> = self.upstream.iter().map(|url| Url::try_from(url.clone())).collect();
            config.upstream = vec![Upstream::of_urls(urls?)];
        }
        if let Some(policy) = &self.policy {
            config.policy = Some(policy.clone());
        }
        if let Some(listen) = self.admin {
            config.admin = Some(Admin { listen });
        }
        if let Some(file) = &self.audit {
            config.audit.file = Some(file.clone());
        }
        config.threads = self.threads.unwrap_or(config.threads);
        config.validate()?;
        Ok(config)
    }

    /// Runs until it is told to end, or checks.
    pub(crate) fn run(&self) -> Result<()> {
        if self.check { run::check(self) } else { run::run(self) }
    }
}

/// Say why a request was refused, by the id that its answer had
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  stopbank-checker explain 0123456789abcdef0123456789abcdef --audit /var/log/stopbank-checker/audit.ndjson")]
pub(crate) struct ExplainCommand {
    /// The id: `request_id` of the answer, or its header `x-request-id`
    id: String,
    /// The audit log
    #[arg(long, value_name = "FILE")]
    audit: PathBuf,
}

impl ExplainCommand {
    /// Prints the request's line, and what its reason means.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let name = self.audit.display();
        let mut log = BufReader::new(File::open(&self.audit).with_context(|| format!("cannot open {name}"))?);
        let mut line = Vec::new();
        while log.read_until(b'\n', &mut line).with_context(|| format!("cannot read {name}"))? > 0 {
            let here = memchr::memmem::find(&line, self.id.as_bytes()).is_some();
            let record = here.then(|| serde_json::from_slice::<Value>(&line).ok()).flatten();
            if let Some(record) = record.filter(|record| record["request_id"].as_str() == Some(&self.id)) {
                print(&record)?;
                return Ok(ExitCode::SUCCESS);
            }
            line.clear();
        }
        super::say(&format!("{name} has no request {}: perhaps an older file has", self.id));
        Ok(ExitCode::from(NOT_FOUND))
    }
}

fn print(record: &Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for (name, value) in record.as_object().into_iter().flatten() {
        match value {
            Value::Null => {}
            Value::String(text) => writeln!(out, "{name:<12} {}", text.escape_debug())?,
            Value::Array(all) => {
                for one in all {
                    writeln!(out, "{name:<12} {one}")?;
                }
            }
            other => writeln!(out, "{name:<12} {other}")?,
        }
    }
    let reason = record["reason"].as_str();
    if let Some(reason) = Reason::ALL.iter().find(|known| Some(known.name()) == reason) {
        writeln!(out, "{:<12} {}", "meaning", reason.description())?;
    }
    Ok(())
}
