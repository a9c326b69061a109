//! What the proxy is to do: a TOML file, the command line, or both. Whatever is unknown in it is an error.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

use super::{auth_request::AuthRequest, ext_authz::ExtAuthz, spoe::Spoe};

/// The whole file.
#[derive(Clone, Default, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The policy: a file, or the name of a shipped one.
    pub(crate) policy: Option<String>,
    /// Threads that serve; 0 is one for each CPU.
    pub(crate) threads: usize,
    pub(crate) listen: Vec<Listen>,
    pub(crate) admin: Option<Admin>,
    pub(crate) upstream: Vec<Upstream>,
    pub(crate) limits: Limits,
    pub(crate) http2: Http2,
    pub(crate) audit: Audit,
    pub(crate) forwarded: Forwarded,
    pub(crate) refusals: Refusals,
}

/// Where clients connect.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listen {
    /// An address with a port, or `systemd` for the sockets of a socket unit.
    pub(crate) address: String,
    #[serde(default)]
    pub(crate) tls: Option<ServerTls>,
    /// Whether HTTP/2 is taken without TLS from clients that begin with it.
    #[serde(default)]
    pub(crate) h2c: bool,
    /// It is not passed through, but asked by a server that is.
    #[serde(default)]
    pub(crate) auth_request: Option<AuthRequest>,
    /// The same, by HAProxy over SPOP.
    #[serde(default)]
    pub(crate) spoe: Option<Spoe>,
    /// The same, by Envoy over gRPC.
    #[serde(default)]
    pub(crate) ext_authz: Option<ExtAuthz>,
}

/// TLS to clients. Paths are of PEM files.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerTls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// An answer about the certificate (OCSP, DER) that is sent along with it.
    #[serde(default)]
    pub(crate) ocsp: Option<PathBuf>,
    /// Authorities that client certificates come from. Without them no client is asked for one.
    pub(crate) client_ca: Option<PathBuf>,
    /// What these authorities have revoked. With them, there must be a list of every authority in a client's chain.
    #[serde(default)]
    pub(crate) client_crl: Vec<PathBuf>,
    /// What becomes of clients where such a list should have been followed by another.
    #[serde(default)]
    pub(crate) client_crl_expired: Expired,
    /// Whether a client may come without a certificate.
    #[serde(default)]
    pub(crate) client_certificate_optional: bool,
    #[serde(default)]
    pub(crate) minimum_version: TlsVersion,
}

/// What a list of revoked certificates is worth when its time is over.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Expired {
    /// Nothing: whoever it would be for is refused.
    #[default]
    Refuse,
    /// As much as before.
    Accept,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Deserialize)]
pub(crate) enum TlsVersion {
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Admin {
    /// Where `/metrics` and `/healthz` are served.
    pub(crate) listen: SocketAddr,
}

/// Servers behind. The first one whose hosts and paths fit serves a request.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Upstream {
    pub(crate) name: String,
    /// `http://host:port` or `https://host:port`.
    pub(crate) addresses: Vec<Url>,
    /// Hosts that it is for; all where there is none.
    #[serde(default)]
    pub(crate) hosts: Vec<String>,
    /// Beginnings of paths, of whole segments, that it is for; all where there is none.
    #[serde(default)]
    pub(crate) paths: Vec<String>,
    /// It stands in the policy now.
    #[serde(default)]
    pub(crate) websocket: Option<toml::Value>,
    #[serde(default)]
    pub(crate) tls: ClientTls,
    #[serde(default)]
    pub(crate) health: Option<Health>,
    #[serde(default = "seconds::<2>", deserialize_with = "duration")]
    pub(crate) connect_timeout: Duration,
    /// From the end of the request to the answer's head.
    #[serde(default = "seconds::<30>", deserialize_with = "duration")]
    pub(crate) first_byte_timeout: Duration,
    /// Between two pieces of an answer, and of a WebSocket in both directions.
    #[serde(default = "seconds::<60>", deserialize_with = "duration")]
    pub(crate) idle_timeout: Duration,
    /// How long a connection is kept that nothing is asked on. Shorter than the server's own limit.
    #[serde(default = "seconds::<30>", deserialize_with = "duration")]
    pub(crate) keep_alive: Duration,
    /// Connections that are kept for each address by each thread.
    #[serde(default = "idle_connections")]
    pub(crate) idle_connections: usize,
}

/// TLS to an upstream.
#[derive(Clone, Default, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ClientTls {
    /// Authorities that the server's certificate comes from; the system's where it is missing.
    pub(crate) ca: Option<PathBuf>,
    /// The certificate that is shown to the server, and its key.
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    /// The name that the server's certificate is to have, where it is not the address's host.
    pub(crate) name: Option<String>,
}

/// Active health checks.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Health {
    /// What is asked for (`GET`); a status below 400 is good. Where it is missing, a connection is enough.
    pub(crate) path: Option<String>,
    #[serde(default = "seconds::<2>", deserialize_with = "duration")]
    pub(crate) interval: Duration,
    #[serde(default = "seconds::<2>", deserialize_with = "duration")]
    pub(crate) timeout: Duration,
    /// Failures in a row after which an address gets no more requests.
    #[serde(default = "two")]
    pub(crate) fall: u32,
    /// Successes in a row after which it gets them again.
    #[serde(default = "two")]
    pub(crate) rise: u32,
}

/// What clients may take of the proxy.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Connections at once, and as many requests under way over HTTP/2; what comes beyond is closed, or refused.
    pub(crate) connections: usize,
    /// Of one address, or of one /64 of IPv6.
    pub(crate) connections_per_address: usize,
    /// For the TLS handshake, and for a request's head from its first byte on.
    #[serde(deserialize_with = "duration")]
    pub(crate) head_timeout: Duration,
    /// For a connection that nothing is asked on.
    #[serde(deserialize_with = "duration")]
    pub(crate) idle_timeout: Duration,
    /// For a piece of an answer that the client does not take.
    #[serde(deserialize_with = "duration")]
    pub(crate) write_timeout: Duration,
    /// What a body may take to come whatever its rate …
    #[serde(deserialize_with = "duration")]
    pub(crate) body_grace: Duration,
    /// … and bytes a second that it must come with beyond.
    pub(crate) body_rate: u64,
    /// Bytes of bodies that are held in memory at once, of all connections.
    pub(crate) buffered: usize,
    /// How long what is under way may take at the end.
    #[serde(deserialize_with = "duration")]
    pub(crate) drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            connections_per_address: 1_000,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            body_grace: Duration::from_secs(10),
            body_rate: 1_024,
            buffered: 256 << 20,
            drain: Duration::from_secs(30),
        }
    }
}

/// HTTP/2's own limits.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Http2 {
    /// Streams of a connection at once.
    pub(crate) streams: u32,
    /// Bytes of a request's headers.
    pub(crate) header_list: u32,
    /// Streams that may be reset before they are looked at (rapid reset).
    pub(crate) resets: usize,
    /// How often a connection with streams is asked whether it is there, and how long its answer may take.
    #[serde(deserialize_with = "duration")]
    pub(crate) ping_interval: Duration,
    #[serde(deserialize_with = "duration")]
    pub(crate) ping_timeout: Duration,
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            streams: 100,
            header_list: 32 << 10,
            resets: 20,
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(10),
        }
    }
}

#[derive(Clone, Default, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Audit {
    /// Where the log is written, a line of JSON for each refusal; `-` is standard output.
    pub(crate) file: Option<PathBuf>,
    /// Whether requests that are allowed have a line as well.
    pub(crate) allowed: bool,
}

#[derive(Clone, Default, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Forwarded {
    /// Proxies in front whose X-Forwarded-For is believed. Anyone else's is removed.
    pub(crate) trusted: Vec<IpNet>,
}

#[derive(Clone, Default, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Refusals {
    /// Whether clients are told the reason. Without it they learn the request's id, which `explain` looks up.
    pub(crate) reason: bool,
}

/// An upstream's address.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Url {
    pub(crate) tls: bool,
    /// A name or an address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl TryFrom<String> for Url {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self> {
        let (tls, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => bail!("`{text}` is no http:// or https:// address"),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        ensure!(
            stopbank_checker::fields::is_authority(authority.as_bytes()),
            "`{text}`: behind the scheme stand a host and a port, and nothing else"
        );
        let named = authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        let (host, port) = match named {
            Some((host, port)) => (host, port.parse().with_context(|| format!("`{text}`: the port"))?),
            None => (authority, if tls { 443 } else { 80 }),
        };
        Ok(Self { tls, host: host.trim_matches(['[', ']']).to_owned(), port })
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{scheme}://{open}{}{close}:{}", self.host, self.port)
    }
}

impl Listen {
    /// Whether it is asked by a server that passes requests on, and passes none itself.
    pub(crate) const fn is_asked(&self) -> bool {
        self.auth_request.is_some() || self.spoe.is_some() || self.ext_authz.is_some()
    }
}

impl Config {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let name = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
        toml::from_str(&text).with_context(|| format!("{name} is wrong"))
    }

    /// What must hold beyond the types.
    pub(crate) fn validate(&self) -> Result<()> {
        ensure!(!self.listen.is_empty(), "nothing to listen on: --listen ADDRESS, or [[listen]] in the file");
        let passes = self.listen.iter().any(|listen| !listen.is_asked());
        ensure!(
            !passes || !self.upstream.is_empty(),
            "no upstream: --upstream URL, or [[upstream]] in the file"
        );
        for listen in &self.listen {
            let known = listen.address == "systemd" || listen.address.parse::<SocketAddr>().is_ok();
            ensure!(known, "listen address `{}` is neither ADDRESS:PORT nor `systemd`", listen.address);
            ensure!(!(listen.h2c && listen.tls.is_some()), "`h2c` is HTTP/2 without TLS: not both");
            if let Some(asked) = &listen.auth_request {
                asked.validate()?;
                ensure!(!listen.h2c, "auth_request: nginx asks over HTTP/1, without `h2c`");
            }
            if let Some(asked) = &listen.spoe {
                asked.validate()?;
                ensure!(!listen.h2c, "spoe: HAProxy asks over SPOP, without `h2c`");
            }
            if let Some(asked) = &listen.ext_authz {
                asked.validate()?;
                ensure!(!listen.h2c, "ext_authz: Envoy asks over HTTP/2 anyway, without `h2c`");
            }
            let ways = [listen.auth_request.is_some(), listen.spoe.is_some(), listen.ext_authz.is_some()];
            ensure!(
                ways.iter().filter(|way| **way).count() < 2,
                "a listener has one of `auth_request`, `spoe` and `ext_authz`"
            );
        }
        let mut names = std::collections::BTreeSet::new();
        for upstream in &self.upstream {
            let name = &upstream.name;
            ensure!(names.insert(name), "two upstreams are called `{name}`");
            ensure!(!upstream.addresses.is_empty(), "upstream `{name}` has no addresses");
            ensure!(
                upstream.websocket.is_none(),
                "upstream `{name}`: where connections may become WebSockets is said in the policy: `websocket = true` in a [[route]]"
            );
            for path in &upstream.paths {
                ensure!(
                    path.starts_with('/'),
                    "upstream `{name}`: path `{path}` does not begin with a slash"
                );
            }
            ensure!(
                upstream.tls.certificate.is_some() == upstream.tls.key.is_some(),
                "upstream `{name}`: a certificate needs its key, and a key its certificate"
            );
            if let Some(health) = &upstream.health {
                let path = health.path.as_deref().unwrap_or("/");
                let plain = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
                ensure!(plain, "upstream `{name}`: health path `{path}` is no path");
                ensure!(
                    health.interval >= Duration::from_millis(10),
                    "upstream `{name}`: health interval below 10ms"
                );
            }
        }
        ensure!(self.limits.body_rate > 0, "limits.body_rate is 0");
        ensure!(self.threads <= 1024, "threads is above 1024");
        Ok(())
    }
}

impl Upstream {
    /// One of a command line, with default limits.
    pub(crate) fn of_urls(addresses: Vec<Url>) -> Self {
        Self {
            name: "default".to_owned(),
            addresses,
            hosts: Vec::new(),
            paths: Vec::new(),
            websocket: None,
            tls: ClientTls::default(),
            health: None,
            connect_timeout: seconds::<2>(),
            first_byte_timeout: seconds::<30>(),
            idle_timeout: seconds::<60>(),
            keep_alive: seconds::<30>(),
            idle_connections: idle_connections(),
        }
    }

    /// Whether it serves a host (with its port, as the header has it) and a path, decoded and without a query.
    pub(crate) fn serves(&self, host: &[u8], path: &[u8]) -> bool {
        let name = match host.iter().rposition(|&byte| byte == b':') {
            Some(colon) if !host.ends_with(b"]") => &host[..colon],
            _ => host,
        };
        // The same host (RFC 3986, section 3.2.2), and the same route.
        let name = name.strip_suffix(b".").unwrap_or(name);
        let hosts = self.hosts.is_empty()
            || self.hosts.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name));
        hosts && (self.paths.is_empty() || self.paths.iter().any(|beginning| begins_with(beginning, path)))
    }
}

/// Whether a decoded path begins with this one, segment by segment.
fn begins_with(beginning: &str, path: &[u8]) -> bool {
    let rest = path.strip_prefix(beginning.trim_end_matches('/').as_bytes());
    rest.is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}

const fn seconds<const N: u64>() -> Duration {
    Duration::from_secs(N)
}

const fn idle_connections() -> usize {
    64
}

const fn two() -> u32 {
    2
}

/// `10s`, `1m 30s`, `250ms`.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let found = humantime::parse_duration(&text).map_err(|error| {
        serde::de::Error::custom(format!("`{text}` is no time like 10s or 250ms: {error}"))
    })?;
    if found.is_zero() { Err(serde::de::Error::custom("a time of 0")) } else { Ok(found) }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
