//! How a listener is asked by HAProxy.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use ipnet::IpNet;
use serde::Deserialize;

/// Bounds of `frame_size`, in bytes. The lower one is what a request's head needs; the upper one is far above any buffer of HAProxy's.
const FRAME_SIZES: std::ops::RangeInclusive<u32> = 4_096..=16 << 20;

/// What the configuration says of it.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spoe {
    /// Who may ask.
    pub(crate) trusted: Vec<IpNet>,
    /// Most bytes of a frame. HAProxy's own limit is `tune.bufsize` less 4, unless `max-frame-size` says less; the lower one counts.
    #[serde(default = "frame_size")]
    pub(crate) frame_size: u32,
}

const fn frame_size() -> u32 {
    1 << 20
}

impl Spoe {
    /// What must hold beyond the types.
    pub(crate) fn validate(&self) -> Result<()> {
        ensure!(!self.trusted.is_empty(), "spoe: `trusted` names nobody who may ask");
        let (least, most) = (FRAME_SIZES.start(), FRAME_SIZES.end());
        ensure!(FRAME_SIZES.contains(&self.frame_size), "spoe: `frame_size` is not from {least} to {most}");
        Ok(())
    }
}

/// Whether an address is one of those that may ask.
pub(crate) fn is_among(trusted: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|net| net.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_trusts_someone_and_takes_frames_of_some_length() {
        let read = |text: &str| toml::from_str::<Spoe>(text).unwrap();
        read("trusted = [\"::1/128\"]").validate().unwrap();
        for text in ["trusted = []", "trusted = [\"::1/128\"]\nframe_size = 256"] {
            read(text).validate().expect_err(text);
        }
        let one = read("trusted = [\"127.0.0.0/8\"]");
        assert!(is_among(&one.trusted, "::ffff:127.0.0.1".parse().unwrap()));
        assert!(!is_among(&one.trusted, "192.0.2.1".parse().unwrap()));
    }
}
