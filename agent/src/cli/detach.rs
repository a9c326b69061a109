//! `stopbank detach`: the one thing that ends protection.

use std::path::{Path, PathBuf};

use clap::Args;
use hyper::Method;

use super::{Global, output::Output};
use crate::{
    control::{
        api::{DetachRequest, Detached},
        client::{Client, ClientError},
    },
    daemon::configuration_at,
    datapath::detach_all,
    failure::{Code, Failure},
    lock::{AgentLock, LockError, holder},
};

/// End protection: take the XDP program off, with everything that was pinned
///
/// Nothing else ends it; the agent may stop, crash or be upgraded. A running agent is told to detach and stops then; where
/// none runs, the pins are removed directly. Counters and rate state are gone afterwards; bans and allow entries are kept on the
/// disk, and back in force when an agent starts again. Given interfaces are detached alone,
/// by the running agent, which goes on with the others.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stopbank detach                    end it altogether; a running agent stops
  stopbank detach eth1               of one interface only")]
pub(super) struct Detach {
    /// Interfaces; none: all
    #[arg(value_name = "INTERFACE")]
    interfaces: Vec<String>,
    /// Configuration that names the agent's socket, and the pin directory where no agent runs [default: /etc/stopbank/stopbank.toml]
    #[arg(short, long, value_name = "FILE", env = "STOPBANK_CONFIG")]
    config: Option<PathBuf>,
    /// Pin directory, where no agent runs, instead of the configuration's
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "config")]
    pin_dir: Option<PathBuf>,
}

impl Detach {
    /// Speaks to the agent of the configuration that was named.
    pub(super) fn client(&self, global: &Global) -> Client {
        self.config.as_deref().map_or_else(|| global.client(), |file| global.client_of(file))
    }

    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        let request = DetachRequest { interfaces: self.interfaces.clone() };
        let detached: Detached = match client.send(Method::POST, "/v1/detach", &request).await {
            Ok(detached) => {
                if self.interfaces.is_empty() {
                    wait_for_end(client.socket()).await?;
                }
                detached
            }
            Err(ClientError::Unreachable { .. }) if self.interfaces.is_empty() => {
                self.without_agent(client.socket())?
            }
            Err(error) => return Err(error.into()),
        };
        output.print(&detached, |detached| match detached.interfaces.as_slice() {
            [] => "nothing was protected\n".to_owned(),
            interfaces => {
                let stops = if detached.stopping { "; the agent has stopped" } else { "" };
                format!("no longer protected: {}{stops}\n", interfaces.join(", "))
            }
        })
    }

    fn without_agent(&self, socket: &Path) -> Result<Detached, Failure> {
        let pins = match &self.pin_dir {
            Some(pins) => pins.clone(),
            None => configuration_at(self.config.as_deref())?.agent.pin_dir,
        };
        // An agent that does not answer, or has another socket, must not lose its pins behind its back.
        let _lock = AgentLock::take(socket, &pins).map_err(|error| match error {
            LockError::Held { .. } => Failure::new(Code::Failed, format!("{error}, and does not answer"))
                .hint(
                    "name its socket with --socket, or stop it (its interfaces stay protected) and try again",
                ),
            LockError::Io { ref source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                Failure::new(Code::Permission, error.to_string()).hint("run it as root")
            }
            LockError::Io { .. } => Failure::new(Code::Failed, error.to_string()),
        })?;
        refuse_links(&pins)?;
        let interfaces = detach_all(&pins)?;
        Ok(Detached { interfaces, stopping: false })
    }
}

/// Pins may belong to another user, whom the agent runs as, and a BPF filesystem has symbolic links: whoever runs this as root must
/// not be led to remove what one points to.
fn refuse_links(pins: &Path) -> Result<(), Failure> {
    for entry in std::fs::read_dir(pins).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
            let link = entry.path();
            let message = format!("{} is a link, which no agent makes; nothing was removed", link.display());
            return Err(Failure::new(Code::Failed, message)
                .hint("see who made it and where it leads, remove it, and try again"));
        }
    }
    Ok(())
}

/// An agent holds its links until it has ended.
async fn wait_for_end(socket: &Path) -> Result<(), Failure> {
    for _ in 0..200 {
        if holder(socket).is_none() {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Err(Failure::new(
        Code::Failed,
        "every pin is removed, but the agent has not stopped within 10 s; its interfaces are protected until it does",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_among_the_pins_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let pins = directory.path().join("pins");
        refuse_links(&pins).unwrap();
        std::fs::create_dir_all(pins.join("v1")).unwrap();
        refuse_links(&pins).unwrap();
        std::os::unix::fs::symlink("/etc", pins.join("v2")).unwrap();
        let refused = refuse_links(&pins).unwrap_err().to_string();
        assert!(refused.contains("v2 is a link"), "{refused}");
    }
}
