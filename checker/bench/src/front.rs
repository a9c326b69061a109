//! Front ends that ask the checker, as the documentation has them, and the same ones without their questions: what they have in common.

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

/// How long one may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// The checker that is asked, and by which policy it judges: a file, or the name of one that comes with it.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) program: &'a Path,
    pub(crate) policy: &'a Path,
}

/// A proxy, and the checker where that is asked, on one processor. They end when this is dropped.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    cpu: usize,
    processes: Vec<Child>,
    /// The checker's process.
    checker: Option<u32>,
    directory: PathBuf,
}

/// A part of the documentation, from a line to the next empty one.
pub(crate) fn pasted(first: &str) -> Result<String> {
    let documentation = include_str!("../../../docs/checker.md");
    let block = documentation.find(first).and_then(|start| documentation.get(start..));
    let block = block.and_then(|block| block.split("\n\n").next());
    let block = block.with_context(|| format!("the documentation has no `{}`", first.trim()))?;
    let lines: Vec<&str> = block.lines().map(|line| line.strip_prefix("    ").unwrap_or(line)).collect();
    Ok(lines.join("\n") + "\n")
}

/// `text` without each block whose first line has `what`: that line, those that stand deeper, and a brace that closes them.
pub(crate) fn without(text: &str, what: &str) -> String {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let mut left_out = None;
    let kept = text.lines().filter(|line| {
        if let Some(start) = left_out {
            if depth(line) > start {
                return false;
            }
            left_out = None;
            if depth(line) == start && line.trim() == "}" {
                return false;
            }
        }
        if line.contains(what) {
            left_out = Some(depth(line));
        }
        left_out.is_none()
    });
    kept.map(|line| format!("{line}\n")).collect()
}

pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// The checker's configuration, asked in the way `how`.
fn checker(policy: &Path, address: SocketAddr, how: &str) -> String {
    format!(
        "policy = \"{}\"\nthreads = 1\n[[listen]]\naddress = \"{address}\"\n{how} = {{ trusted = [\"127.0.0.1/32\"] }}\n",
        policy.display()
    )
}

impl Front {
    /// Nothing yet, with a place for files, and an address to listen on.
    pub(crate) fn new(name: &str, cpu: usize) -> Result<Self> {
        let directory = env::temp_dir().join(format!("stopbank-bench-{}-{name}", process::id()));
        fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(Self { address: free_address()?, cpu, processes: Vec::new(), checker: None, directory })
    }

    /// Starts the checker, which is asked in the way `how` (the key of its listener). Where it listens.
    pub(crate) fn start_checker(&mut self, asked: Asked<'_>, how: &str) -> Result<SocketAddr> {
        let address = free_address()?;
        let file = self.write("proxy.toml", &checker(asked.policy, address, how))?;
        self.run(asked.program, &["proxy", "--config"], &file, address)?;
        self.checker = self.processes.last().map(Child::id);
        Ok(address)
    }

    /// Processes whose time is that of the proxy.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.processes.iter().map(Child::id).collect()
    }

    /// That of the checker.
    pub(crate) const fn checker(&self) -> Option<u32> {
        self.checker
    }

    /// Where its files are.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let file = self.directory.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }

    /// Runs a program until it listens on `address`; its configuration is the last argument.
    pub(crate) fn run(
        &mut self,
        program: &Path,
        arguments: &[&str],
        file: &Path,
        address: SocketAddr,
    ) -> Result<()> {
        let mut command = nginx::on(Some(self.cpu), program);
        let log = self.directory.join("log");
        command.args(arguments).arg(file).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(fs::File::create(&log)?);
        let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if begun.elapsed() > PATIENCE || child.try_wait()?.is_some() {
                let _ = child.kill();
                let _ = child.wait();
                let said = fs::read_to_string(&log).unwrap_or_default();
                bail!("{} does not start: {}", program.display(), said.trim());
            }
            thread::sleep(Duration::from_millis(20));
        }
        self.processes.push(child);
        Ok(())
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().rev() {
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_goes_with_all_that_is_in_it_and_nothing_else() {
        let yaml = "a:\n- name: x\n  b:\n    c\n- name: y\n  d\n";
        assert_eq!(without(yaml, "name: x"), "a:\n- name: y\n  d\n");
        let nginx = "s {\n  ask x;\n  l {\n    p x;\n  }\n  m x {\n    q;\n  }\n}\n";
        assert_eq!(without(nginx, "x"), "s {\n  l {\n  }\n}\n");
    }

    #[test]
    fn what_the_documentation_does_not_have_is_missed() {
        pasted("    no such line\n").unwrap_err();
        assert!(pasted("    frontend www\n").unwrap().starts_with("frontend www\n    mode http\n"));
    }
}
