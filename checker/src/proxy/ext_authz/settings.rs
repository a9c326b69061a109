//! How Envoy asks.

use anyhow::{Result, ensure};
use ipnet::IpNet;
use serde::Deserialize;

/// `[[listen]] ext_authz = { … }`.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExtAuthz {
    /// Who may ask.
    pub(crate) trusted: Vec<IpNet>,
    /// Whether requests come with their bodies. Without them they are judged by their heads, and that is said.
    #[serde(default = "yes")]
    pub(crate) bodies: bool,
    /// Whether certificates of clients come along, and Envoy has verified them.
    #[serde(default)]
    pub(crate) certificates: bool,
    /// Whether headers and bodies may come as text, as Envoys send them that do not know `encode_raw_headers` and `pack_as_bytes`: headers of one name
    /// are joined there, and an exclamation mark may be any byte that is no UTF-8.
    #[serde(default)]
    pub(crate) text: bool,
}

const fn yes() -> bool {
    true
}

impl ExtAuthz {
    /// What must hold beyond the types.
    pub(crate) fn validate(&self) -> Result<()> {
        ensure!(!self.trusted.is_empty(), "ext_authz: `trusted` names nobody who may ask");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_to_come_and_nothing_else_is_believed_unless_it_is_said() {
        let read = |text: &str| toml::from_str::<ExtAuthz>(text).unwrap();
        let plain = read("trusted = [\"127.0.0.1/32\"]");
        plain.validate().unwrap();
        assert_eq!((plain.bodies, plain.certificates, plain.text), (true, false, false));
        read("trusted = []").validate().expect_err("nobody may ask");
    }
}
