//! The packets, and how many senders they come from.

use std::fmt;

use clap::ValueEnum;
use stopbank_tests::frames::{FrameBuilder, SHORTEST};

use crate::feed::ONE_SOURCE;

/// A packet, 60 bytes (64 with the FCS) but for TCP over IPv6, which has 74. Its source is rewritten before each run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Packet {
    /// UDP over IPv4, as to a DNS server.
    #[value(name = "udp4")]
    Udp4,
    /// A TCP SYN over IPv4, as to an HTTPS server.
    #[value(name = "tcp4syn")]
    Tcp4Syn,
    /// UDP over IPv6.
    #[value(name = "udp6")]
    Udp6,
    /// A TCP SYN over IPv6.
    #[value(name = "tcp6syn")]
    Tcp6Syn,
}

impl Packet {
    pub(crate) const ALL: [Self; 4] = [Self::Udp4, Self::Tcp4Syn, Self::Udp6, Self::Tcp6Syn];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Udp4 => "udp4",
            Self::Tcp4Syn => "tcp4syn",
            Self::Udp6 => "udp6",
            Self::Tcp6Syn => "tcp6syn",
        }
    }

    pub(crate) const fn is_v4(self) -> bool {
        matches!(self, Self::Udp4 | Self::Tcp4Syn)
    }

    pub(crate) fn frame(self) -> Vec<u8> {
        let addresses = if self.is_v4() {
            FrameBuilder::new(ONE_SOURCE, "198.18.0.1")
        } else {
            FrameBuilder::new("2001:db8::1", "2001:db8:ffff::1")
        };
        let transport = match self {
            Self::Udp4 | Self::Udp6 => addresses.udp(40_000, 53),
            Self::Tcp4Syn | Self::Tcp6Syn => addresses.tcp(40_000, 443),
        };
        transport.build().padded(SHORTEST).bytes
    }
}

/// A SYN with everything that Linux offers, 74 bytes over IPv4 and 94 over IPv6: as long as the answer to it.
pub(crate) fn syn_with_options(v4: bool) -> Vec<u8> {
    const OPTIONS: [u8; 20] = [2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7];
    let addresses = if v4 {
        FrameBuilder::new(ONE_SOURCE, "198.18.0.1")
    } else {
        FrameBuilder::new("2001:db8::1", "2001:db8:ffff::1")
    };
    addresses.tcp(40_000, 443).tcp_options(&OPTIONS).build().bytes
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How many sources send.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Sources {
    /// One.
    #[value(name = "1")]
    One,
    /// 2^16: as many as fit the caches' reach, in turns.
    #[value(name = "65536")]
    Many,
    /// 2^24.
    #[value(name = "16777216")]
    Millions,
    /// 2^32: every IPv4 address that can be anybody's, or as many /64s.
    #[value(name = "4294967296")]
    All,
}

impl Sources {
    pub(crate) const ALL: [Self; 4] = [Self::One, Self::Many, Self::Millions, Self::All];

    /// Which bits of the source are random.
    pub(crate) const fn bits(self) -> u32 {
        (self.count() - 1) as u32
    }

    pub(crate) const fn count(self) -> u64 {
        match self {
            Self::One => 1,
            Self::Many => 1 << 16,
            Self::Millions => 1 << 24,
            Self::All => 1 << 32,
        }
    }

    pub(crate) const fn short(self) -> &'static str {
        match self {
            Self::One => "1",
            Self::Many => "2^16",
            Self::Millions => "2^24",
            Self::All => "2^32",
        }
    }
}

impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.count())
    }
}
