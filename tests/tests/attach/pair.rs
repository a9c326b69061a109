//! Two hosts and a wire.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use stopbank_tests::netns::Namespace;

use crate::{ALLOWED, DENIED, SERVER};

/// The protected host's interface, whatever its driver.
pub(crate) const INTERFACE: &str = "shield0";
/// The peer's.
const PEER: &str = "peer0";

/// The protected host and its peer; cards go back where they came from when it is dropped.
pub(crate) struct Pair {
    pub(crate) server: Namespace,
    pub(crate) peer: Namespace,
    /// Cards by the names that they are given back.
    cards: Vec<(&'static str, String)>,
}

impl Pair {
    /// Two ends of a veth pair.
    pub(crate) fn veth(mtu: u32) -> Result<Self> {
        let pair = Self { server: Namespace::new()?, peer: Namespace::new()?, cards: Vec::new() };
        pair.peer.ip(&[&format!(
            "link add {PEER} type veth peer name {INTERFACE} netns {}",
            pair.server.path()
        )])?;
        pair.set_up(mtu)
    }

    /// Two cards of this machine's that are on one wire.
    pub(crate) fn cards(one: &str, other: &str, mtu: u32) -> Result<Self> {
        let (server, peer) = (Namespace::new()?, Namespace::new()?);
        for (card, namespace, name) in [(one, &server, INTERFACE), (other, &peer, PEER)] {
            wait_for(card)?;
            let path = namespace.path();
            ip(&["link", "set", "dev", card, "down"])?;
            ip(&["link", "set", "dev", card, "name", name, "netns", &path])?;
        }
        let cards = vec![(INTERFACE, one.to_owned()), (PEER, other.to_owned())];
        Self { server, peer, cards }.set_up(mtu)
    }

    fn set_up(self, mtu: u32) -> Result<Self> {
        self.server.ip(&[
            &format!("addr add {SERVER}/24 dev {INTERFACE}"),
            &format!("link set {INTERFACE} mtu {mtu} up"),
        ])?;
        self.peer.ip(&[
            &format!("addr add {ALLOWED}/24 dev {PEER}"),
            &format!("addr add {DENIED}/24 dev {PEER}"),
            &format!("link set {PEER} mtu {mtu} up"),
        ])?;
        Ok(self)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        // To the namespace of process 1, under the old name; a card that stays behind goes there by itself, nameless to us.
        for (name, card) in &self.cards {
            let namespace = if *name == INTERFACE { &self.server } else { &self.peer };
            let _back = namespace.ip(&[
                &format!("link set dev {name} down"),
                &format!("link set dev {name} mtu 1500"),
                &format!("link set dev {name} name {card} netns 1"),
            ]);
        }
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let mut command = stopbank_tests::process::command("ip".as_ref(), None);
    stopbank_tests::process::run(command.args(arguments)).map(drop)
}

/// A namespace that ended gives its cards back a little later.
fn wait_for(card: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(5);
    while ip(&["link", "show", "dev", card]).is_err() {
        if Instant::now() > deadline {
            bail!("there is no card {card}");
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
