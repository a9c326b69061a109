//! Captures of what comes in during floods, and on an ordinary day: what a configuration is tried on with
//! `stopbank simulate`. They are the same whenever they are made.

mod benign;
mod floods;

pub use benign::benign;
pub use floods::floods;

use crate::pcap::Pcap;

/// The host that everything is sent to.
const HOST: &str = "198.51.100.1";
/// The same host's IPv6 address.
const HOST6: &str = "2001:db8:ffff::1";
/// A second, in nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// A capture with a name.
pub struct Scenario {
    /// In a few words, without spaces: a file name.
    pub name: &'static str,
    /// Makes the capture.
    pub make: fn() -> Pcap,
}

/// Where packets come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sources {
    /// One address.
    One,
    /// So many addresses next to each other (IPv6: /64s).
    Many(u32),
    /// Any address that a host may have.
    Any,
    /// Any address of one IPv6 /64.
    One64,
}

/// A small generator of random numbers (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u32) -> u32 {
        (self.next() % u64::from(bound)) as u32
    }

    /// A source address, in a frame without VLAN tags.
    fn source(&mut self, sources: Sources, frame: &mut [u8]) {
        let v6 = frame[12..14] == [0x86, 0xdd];
        let any = self.next();
        match (sources, v6) {
            (Sources::One, _) => {}
            (Sources::Many(count), false) => {
                let address = (11 << 24 | self.below(count)).to_be_bytes();
                frame[26..30].copy_from_slice(&address);
            }
            // 1 to 126: neither this network, loopback nor multicast.
            (Sources::Any | Sources::One64, false) => {
                let host = (any as u32).to_be_bytes();
                frame[26..30].copy_from_slice(&[(any >> 32) as u8 % 126 + 1, host[1], host[2], host[3]]);
            }
            (Sources::Many(count), true) => {
                let network = self.below(count).to_be_bytes();
                frame[26..30].copy_from_slice(&network);
                frame[30..38].copy_from_slice(&any.to_be_bytes());
            }
            (Sources::Any, true) => {
                frame[22] = 0x20 | frame[22] & 0x0f;
                frame[23..30].copy_from_slice(&any.to_be_bytes()[1..]);
            }
            (Sources::One64, true) => frame[30..38].copy_from_slice(&any.to_be_bytes()),
        }
    }

    /// A port above 1023, at this place of a frame.
    fn port(&mut self, frame: &mut [u8], at: usize) {
        let port = (1_024 + self.below(64_512)) as u16;
        frame[at..at + 2].copy_from_slice(&port.to_be_bytes());
    }
}
