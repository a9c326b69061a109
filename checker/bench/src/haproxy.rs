//! What it adds to HAProxy to ask the checker: HAProxy in front of the upstream as the documentation has it, and the same one without its questions.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{self, Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use stopbank_score::nginx;

/// What they are called in results.
pub(crate) const ASKS: &str = "haproxy+spoe";
pub(crate) const ALONE: &str = "haproxy";

/// How long one may take to start.
const PATIENCE: Duration = Duration::from_secs(10);
/// Debian's users do not have /usr/sbin in their PATH.
const PROGRAM: &str = "/usr/sbin/haproxy";

/// HAProxy, and the checker where that is asked. They end when this is dropped.
pub(crate) struct Haproxy {
    pub(crate) address: SocketAddr,
    processes: Vec<Child>,
    directory: PathBuf,
}

/// A part of the documentation, from a line to the next empty one.
fn pasted(first: &str) -> Result<String> {
    let documentation = include_str!("../../../docs/checker.md");
    let block = documentation.find(first).and_then(|start| documentation.get(start..));
    let block =
        block.and_then(|block| block.split("\n\n").next()).context("the documentation has no HAProxy")?;
    Ok(format!("{}\n", block.replace("\n    ", "\n").trim_start()))
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

impl Haproxy {
    /// In front of `upstream`, on the processor `cpu`; with a checker and its policy, on the same one, it asks.
    pub(crate) fn start(checker: Option<(&Path, &Path)>, upstream: SocketAddr, cpu: usize) -> Result<Self> {
        let directory =
            env::temp_dir().join(format!("stopbank-bench-{}-{}", process::id(), checker.is_some()));
        fs::create_dir_all(&directory)?;
        let (address, agent) = (free_address()?, free_address()?);
        let mut started = Self { address, processes: Vec::new(), directory };
        if let Some((program, policy)) = checker {
            let configuration = format!(
                "policy = \"{}\"\nthreads = 1\n[[listen]]\naddress = \"{agent}\"\nspoe = {{ trusted = [\"127.0.0.1/32\"] }}\n",
                policy.display()
            );
            let file = started.write("proxy.toml", &configuration)?;
            started.run(program, &["proxy", "--config"], &file, agent, cpu)?;
        }
        let questions = started.write("stopbank.conf", &pasted("    [stopbank]\n")?)?;
        let whole = pasted("    frontend www\n")?
            .replace("bind :80", &format!("bind {address}"))
            .replace("/etc/haproxy/stopbank.conf", &questions.display().to_string())
            .replace("127.0.0.1:8080", &upstream.to_string())
            .replace("127.0.0.1:9192", &agent.to_string());
        // Without its questions it is a proxy that adds the same headers.
        let kept = |line: &&str| {
            let asks = ["filter spoe", "send-spoe-group", "var(txn.stopbank", "spop-check"];
            checker.is_some() || !asks.iter().any(|part| line.contains(part))
        };
        let lines: Vec<&str> = whole.lines().filter(kept).collect();
        let file =
            started.write("haproxy.cfg", &format!("global\n    nbthread 1\n{}\n", lines.join("\n")))?;
        let program = if Path::new(PROGRAM).exists() { PROGRAM } else { "haproxy" };
        started.run(Path::new(program), &["-db", "-f"], &file, address, cpu)?;
        Ok(started)
    }

    /// Processes whose time is that of the proxy.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.processes.iter().map(Child::id).collect()
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let file = self.directory.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }

    fn run(
        &mut self,
        program: &Path,
        arguments: &[&str],
        file: &Path,
        address: SocketAddr,
        cpu: usize,
    ) -> Result<()> {
        let mut command = nginx::on(Some(cpu), program);
        command.args(arguments).arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if begun.elapsed() > PATIENCE || child.try_wait()?.is_some() {
                bail!("{} does not start", program.display());
            }
            thread::sleep(Duration::from_millis(20));
        }
        self.processes.push(child);
        Ok(())
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().rev() {
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}
