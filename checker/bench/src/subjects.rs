//! What is measured: servers that have a processor of their own.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    ops::Sub,
    path::Path,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use stopbank_score::nginx::{self, Nginx, Role};

use crate::{
    auth_request, envoy,
    envoy::Filter,
    front::{Asked, Front},
    haproxy,
    tokens::Tokens,
    tried::Refuses,
};

/// How long the proxy may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the checker is called in results.
pub(crate) const OURS: &str = "stopbank-checker";
/// Plain proxying.
pub(crate) const PLAIN: &str = "nginx";
/// The peer.
pub(crate) const PEER: &str = "nginx+modsecurity+crs";
/// No proxy at all: what load and upstream can do at the most, on one processor together.
pub(crate) const NONE: &str = "upstream-alone";

/// A server under load.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) refuses: Refuses,
    /// Its processes, whose time is that of the proxy.
    ids: Vec<u32>,
    /// Which of them is the checker, where that is asked.
    asked: Option<u32>,
    _server: Server,
}

#[expect(dead_code, reason = "they are kept for their end")]
enum Server {
    Ours(Checker),
    Nginx(Nginx),
    Front(Front),
    /// Another's.
    Borrowed,
}

/// The proxy and its peers in front of `upstream`, on the processor `cpu`.
pub(crate) fn proxies(asked: Asked<'_>, upstream: &Nginx, cpu: usize) -> Result<Vec<Subject>> {
    let behind = upstream.address();
    let ours = Checker::start(asked.program, asked.policy, behind, cpu)?;
    let mut subjects = vec![Subject {
        name: OURS,
        address: ours.address,
        refuses: Refuses::ATTACKS,
        ids: vec![ours.process.id()],
        asked: None,
        _server: Server::Ours(ours),
    }];
    for (name, role, refuses) in
        [(PLAIN, Role::Proxy(behind), Refuses::NOTHING), (PEER, Role::Guarded(behind), Refuses::ATTACKS)]
    {
        let nginx = Nginx::start(role, Some(cpu))?;
        subjects.push(Subject {
            name,
            address: nginx.address(),
            refuses,
            ids: vec![nginx.id()],
            asked: None,
            _server: Server::Nginx(nginx),
        });
    }
    subjects.push(alone(upstream));
    Ok(subjects)
}

/// HAProxy that asks, and that does not.
pub(crate) fn haproxies(asked: Asked<'_>, upstream: &Nginx, cpu: usize) -> Result<Vec<Subject>> {
    let start = |name, asked| haproxy::start(name, asked, upstream.address(), cpu);
    Ok(vec![
        front(haproxy::ASKS, Refuses::ATTACKS, start(haproxy::ASKS, Some(asked))?),
        front(haproxy::ALONE, Refuses::NOTHING, start(haproxy::ALONE, None)?),
        alone(upstream),
    ])
}

/// nginx that asks, and that does not. It shows no bodies.
pub(crate) fn nginxes(asked: Asked<'_>, upstream: &Nginx, cpu: usize) -> Result<Vec<Subject>> {
    let start = |name, asked| auth_request::start(name, asked, upstream.address(), cpu);
    Ok(vec![
        front(auth_request::ASKS, Refuses::HEADS, start(auth_request::ASKS, Some(asked))?),
        front(auth_request::ALONE, Refuses::NOTHING, start(auth_request::ALONE, None)?),
        alone(upstream),
    ])
}

/// Envoy that asks, that asks where tokens are demanded, that verifies these itself, with and without a memory, and that does nothing of it.
pub(crate) fn envoys(
    asked: Asked<'_>,
    tokens: &Tokens,
    upstream: &Nginx,
    cpu: usize,
) -> Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    for (name, refuses, filter) in [
        (envoy::ASKS, Refuses::ATTACKS, Filter::Asks(asked)),
        (envoy::ASKS_TOKENS, Refuses::ALL, Filter::AsksTokens(asked.program, &tokens.keys)),
        (envoy::JWT, Refuses::TOKENS, Filter::Jwt(&tokens.keys, false)),
        (envoy::JWT_CACHE, Refuses::TOKENS, Filter::Jwt(&tokens.keys, true)),
        (envoy::ALONE, Refuses::NOTHING, Filter::None),
    ] {
        subjects.push(front(name, refuses, envoy::start(name, filter, upstream.address(), cpu)?));
    }
    subjects.push(alone(upstream));
    Ok(subjects)
}

fn front(name: &'static str, refuses: Refuses, front: Front) -> Subject {
    let (address, ids, asked) = (front.address, front.ids(), front.checker());
    Subject { name, address, refuses, ids, asked, _server: Server::Front(front) }
}

fn alone(upstream: &Nginx) -> Subject {
    Subject {
        name: NONE,
        address: upstream.address(),
        refuses: Refuses::NOTHING,
        ids: vec![upstream.id()],
        asked: None,
        _server: Server::Borrowed,
    }
}

impl Subject {
    /// Time that its processes have taken so far, and the checker that is asked among them.
    pub(crate) fn cpu(&self) -> Result<Spent> {
        let all = self.ids.iter().map(|id| spent(*id)).sum::<Result<_>>()?;
        Ok(Spent { all, asked: self.asked.map(spent).transpose()?.unwrap_or_default() })
    }
}

/// Processor time.
#[derive(Clone, Copy, Default)]
pub(crate) struct Spent {
    pub(crate) all: Duration,
    /// Of that, the checker's that is asked.
    pub(crate) asked: Duration,
}

impl Sub for Spent {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { all: self.all - before.all, asked: self.asked - before.asked }
    }
}

/// Time of a process, all of its threads, in user space and in the kernel (proc(5): the fields `utime` and `stime`).
fn spent(id: u32) -> Result<Duration> {
    let file = format!("/proc/{id}/stat");
    let stat = fs::read_to_string(&file).with_context(|| format!("reading {file}: is it still there?"))?;
    // Behind the name, which may hold anything.
    let fields = stat.rsplit_once(')').context("a line of /proc/ID/stat")?.1.split_ascii_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_micros(ticks * 1_000_000 / rustix::param::clock_ticks_per_second()))
}

/// Our proxy. It ends when this is dropped.
struct Checker {
    process: Child,
    address: SocketAddr,
}

impl Checker {
    fn start(program: &Path, policy: &Path, upstream: SocketAddr, cpu: usize) -> Result<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = nginx::on(Some(cpu), program);
        command.arg("proxy").arg("--policy").arg(policy).args(["--listen", &address.to_string()]);
        command
            .args(["--upstream", &format!("http://{upstream}")])
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        let process = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let mut checker = Self { process, address };
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            if started.elapsed() > PATIENCE || checker.process.try_wait()?.is_some() {
                bail!("{} does not start", program.display());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(checker)
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
