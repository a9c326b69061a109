//! What is measured: servers that have a processor of their own.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use stopbank_score::nginx::{self, Nginx, Role};

use crate::haproxy::{ALONE, ASKS, Haproxy};

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
    /// Its processes, whose time is that of the proxy.
    ids: Vec<u32>,
    _server: Server,
}

#[expect(dead_code, reason = "they are kept for their end")]
enum Server {
    Ours(Checker),
    Nginx(Nginx),
    Haproxy(Haproxy),
    /// Another's.
    Borrowed,
}

/// All of them in front of `upstream`, on the processor `cpu`.
pub(crate) fn start(checker: &Path, policy: &Path, upstream: &Nginx, cpu: usize) -> Result<Vec<Subject>> {
    let behind = upstream.address();
    let ours = Checker::start(checker, policy, behind, cpu)?;
    let mut subjects = vec![Subject {
        name: OURS,
        address: ours.address,
        ids: vec![ours.process.id()],
        _server: Server::Ours(ours),
    }];
    for (name, role) in [(PLAIN, Role::Proxy(behind)), (PEER, Role::Guarded(behind))] {
        let nginx = Nginx::start(role, Some(cpu))?;
        subjects.push(Subject {
            name,
            address: nginx.address(),
            ids: vec![nginx.id()],
            _server: Server::Nginx(nginx),
        });
    }
    subjects.push(alone(upstream));
    Ok(subjects)
}

/// HAProxy that asks, and that does not.
pub(crate) fn haproxies(checker: &Path, policy: &Path, upstream: &Nginx, cpu: usize) -> Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    for (name, asked) in [(ASKS, Some((checker, policy))), (ALONE, None)] {
        let haproxy = Haproxy::start(asked, upstream.address(), cpu)?;
        subjects.push(Subject {
            name,
            address: haproxy.address,
            ids: haproxy.ids(),
            _server: Server::Haproxy(haproxy),
        });
    }
    subjects.push(alone(upstream));
    Ok(subjects)
}

fn alone(upstream: &Nginx) -> Subject {
    Subject { name: NONE, address: upstream.address(), ids: vec![upstream.id()], _server: Server::Borrowed }
}

impl Subject {
    /// Time that its processes have taken so far, all of their threads, in user space and in the kernel (proc(5): the fields `utime` and `stime`).
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let mut ticks = 0;
        for id in &self.ids {
            let file = format!("/proc/{id}/stat");
            let stat =
                fs::read_to_string(&file).with_context(|| format!("reading {file}: is it still there?"))?;
            // Behind the name, which may hold anything.
            let fields = stat.rsplit_once(')').context("a line of /proc/ID/stat")?.1.split_ascii_whitespace();
            ticks += fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
        }
        Ok(Duration::from_micros(ticks * 1_000_000 / rustix::param::clock_ticks_per_second()))
    }
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
