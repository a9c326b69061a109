//! What no honest sender sends.

use crate::{Packet, verdict};
use stopbank_common::{
    Address, Reason,
    parse::{Facts, Fragment, protocol, tcp_flags},
    policy::FRAGMENTS_DROP,
};

/// The reason for which the packet can only be an attack or an accident, if there is one. See [`verdict`].
#[inline(always)]
pub(crate) fn judge_legitimacy(packet: &Packet, fragments: u32) -> u32 {
    verdict::of(reason(&packet.facts, fragments))
}

#[inline(always)]
fn reason(facts: &Facts, fragments: u32) -> Option<Reason> {
    if facts.source == facts.destination {
        return Some(Reason::Land);
    }
    if is_bogon(&facts.source) {
        return Some(Reason::BogonSource);
    }
    if facts.fragment != Fragment::Whole && fragments == FRAGMENTS_DROP {
        return Some(Reason::Fragment);
    }
    if facts.has_ports() && (facts.source_port == 0 || facts.destination_port == 0) {
        return Some(Reason::PortZero);
    }
    if facts.protocol == protocol::TCP
        && facts.fragment != Fragment::Later
        && !plausible_flags(facts.tcp_flags)
    {
        return Some(Reason::TcpFlags);
    }
    None
}

/// Source addresses that no packet from the network can have: 0.0.0.0/8, 127.0.0.0/8, 224.0.0.0/4 and 240.0.0.0/4
/// (RFC 6890); `::`, `::1` and ff00::/8 (RFC 4291). Private space is left alone: edge hosts live in it.
///
/// An IPv6 source may be `::` in duplicate address detection and MLD (RFC 4862, RFC 3590): neighbour discovery has
/// passed before, and MLD reports concern switches, not hosts.
#[inline(always)]
fn is_bogon(source: &Address) -> bool {
    if source.is_v4() {
        let first = source.words[3].to_ne_bytes()[0];
        return first == 0 || first == 127 || first >= 224;
    }
    if source.words[0].to_ne_bytes()[0] == 0xff {
        return true;
    }
    let last = u32::from_be(source.words[3]);
    source.words[0] | source.words[1] | source.words[2] == 0 && last <= 1
}

/// RFC 9293 section 3.10.7: apart from the first SYN and a bare RST, every segment carries ACK; SYN never comes with
/// FIN or RST.
#[inline(always)]
const fn plausible_flags(flags: u8) -> bool {
    let (syn, fin, rst, ack) = (
        flags & tcp_flags::SYN != 0,
        flags & tcp_flags::FIN != 0,
        flags & tcp_flags::RST != 0,
        flags & tcp_flags::ACK != 0,
    );
    if syn { !fin && !rst } else { ack || (rst && !fin) }
}
