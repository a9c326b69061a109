//! A packet and its verdict, on a line.

use std::fmt::Write as _;

use serde::Serialize;
use stopbank_common::{
    Address,
    parse::{
        Cursor, Facts, Fragment, Layout, Network, parse, parse_inner, parse_layout, parse_tunnel, protocol,
        tcp_flags, tunnel_of,
    },
};

use super::{Inspected, Judged};
use crate::config::tunnel_name;

/// One packet, as `stopbank simulate --explain` tells of it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Explained<'a> {
    /// Its place in the capture, from 1.
    pub packet: u64,
    /// When it came, in seconds since the first.
    pub at: f64,
    /// When it was captured (RFC 3339), if the capture says so.
    pub time: Option<String>,
    /// Source address, as far as the packet could be read.
    pub source: Option<String>,
    /// TCP or UDP source port.
    pub source_port: Option<u16>,
    /// Destination address.
    pub destination: Option<String>,
    /// TCP or UDP destination port.
    pub destination_port: Option<u16>,
    /// `tcp`, `udp`, `icmp`, `icmpv6`, `arp`, the IP protocol's number, or the EtherType in hexadecimal.
    pub protocol: String,
    /// TCP flags by their first letters (`S`, `SA`), ICMP type and code (`8/0`), or which fragment it is.
    pub detail: Option<String>,
    /// Bytes of the frame.
    pub length: u64,
    /// Its class.
    pub class: &'a str,
    /// `pass`, `drop` or `observed`.
    pub verdict: &'static str,
    /// Why.
    pub reason: &'static str,
    /// The packet in it that decided, where it is a tunnel that is looked into.
    pub within: Option<Within>,
}

/// A packet that a tunnel carries.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Within {
    /// `gre`, `ipip` or `vxlan`.
    pub tunnel: &'static str,
    /// Source address.
    pub source: String,
    /// TCP or UDP source port.
    pub source_port: Option<u16>,
    /// Destination address.
    pub destination: String,
    /// TCP or UDP destination port.
    pub destination_port: Option<u16>,
    /// As of any packet.
    pub protocol: String,
    /// As of any packet.
    pub detail: Option<String>,
}

impl Within {
    /// Reads it as the program did.
    fn of(frame: &[u8], inspected: Inspected) -> Option<Self> {
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        let (mut facts, mut layout) = (Facts::default(), Layout::default());
        parse_layout(Cursor::new(frame), length, &mut facts, &mut layout).ok()?;
        let tunnel = tunnel_of(&facts, inspected.kinds, &inspected.vxlan_ports)?;
        let inner = parse_tunnel(Cursor::new(frame), tunnel, &facts, &layout).ok()??;
        let (mut facts, mut layout) = (Facts::default(), Layout::default());
        let network = parse_inner(Cursor::new(frame), inner, &mut facts, &mut layout).ok()?;
        let address = |address: Address| std::net::IpAddr::from(address).to_string();
        Some(Self {
            tunnel: tunnel_name(tunnel),
            source: address(facts.source),
            source_port: facts.has_ports().then_some(facts.source_port),
            destination: address(facts.destination),
            destination_port: facts.has_ports().then_some(facts.destination_port),
            protocol: protocol_name(Some(&network), &facts, frame),
            detail: detail(&facts),
        })
    }

    /// What stands behind the reason.
    fn line(&self) -> String {
        let source = end(Some(&self.source), self.source_port);
        let destination = end(Some(&self.destination), self.destination_port);
        let Self { tunnel, protocol, .. } = self;
        let detail = self.detail.as_ref().map_or_else(String::new, |detail| format!(" {detail}"));
        format!("  (in {tunnel}: {source} to {destination}, {protocol}{detail})")
    }
}

/// An address with its port.
fn end(address: Option<&str>, port: Option<u16>) -> String {
    match (address, port) {
        (Some(address), Some(port)) if address.contains(':') => format!("[{address}]:{port}"),
        (Some(address), Some(port)) => format!("{address}:{port}"),
        (Some(address), None) => address.to_owned(),
        (None, _) => "-".to_owned(),
    }
}

impl<'a> Explained<'a> {
    /// Reads a packet as the program did.
    pub fn of(judged: &Judged<'a>) -> Self {
        let mut facts = Facts::default();
        let length = u32::try_from(judged.frame.len()).unwrap_or(u32::MAX);
        let parsed = parse(Cursor::new(judged.frame), length, &mut facts);
        let ip = !matches!(parsed, Ok(Network::Arp | Network::Other));
        // What is malformed may have been read up to its addresses.
        let address = |address: Address| {
            (ip && address != Address::default()).then(|| std::net::IpAddr::from(address).to_string())
        };
        let ports = matches!(parsed, Ok(Network::Ip)) && facts.has_ports();
        Self {
            packet: judged.number,
            at: judged.at_ns as f64 / 1e9,
            time: judged.time_ns.and_then(rfc3339),
            source: address(facts.source),
            source_port: ports.then_some(facts.source_port),
            destination: address(facts.destination),
            destination_port: ports.then_some(facts.destination_port),
            protocol: protocol_name(parsed.as_ref().ok(), &facts, judged.frame),
            detail: matches!(parsed, Ok(Network::Ip)).then(|| detail(&facts)).flatten(),
            length: judged.length,
            class: judged.class,
            verdict: judged.verdict.name(),
            reason: judged.reason.name(),
            within: judged.within.and_then(|inspected| Within::of(judged.frame, inspected)),
        }
    }

    /// One line for people; the columns of packets of the same kind stand below each other.
    pub fn line(&self) -> String {
        let source = end(self.source.as_deref(), self.source_port);
        let destination = end(self.destination.as_deref(), self.destination_port);
        let within = self.within.as_ref().map_or_else(String::new, Within::line);
        let mut protocol = self.protocol.clone();
        if let Some(detail) = &self.detail {
            let _ = write!(protocol, " {detail}");
        }
        let Self { packet, at, length, class, verdict, reason, .. } = self;
        format!(
            "{packet:>8}  {at:>13.6}  {source:<21}  {destination:<21}  {protocol:<10}  {length:>6}  {class:<12}  {verdict:<8}  {reason}{within}\n"
        )
    }

    /// What stands above [`Self::line`].
    pub fn headings() -> String {
        format!(
            "{:>8}  {:>13}  {:<21}  {:<21}  {:<10}  {:>6}  {:<12}  {:<8}  {}\n",
            "PACKET", "SECONDS", "SOURCE", "DESTINATION", "PROTOCOL", "BYTES", "CLASS", "VERDICT", "REASON"
        )
    }
}

fn protocol_name(network: Option<&Network>, facts: &Facts, frame: &[u8]) -> String {
    match network {
        Some(Network::Arp) => "arp".to_owned(),
        Some(Network::Other) => {
            let ethertype = frame.get(12..14).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
            format!("{ethertype:#06x}")
        }
        None if facts.source == Address::default() => "-".to_owned(),
        Some(Network::Ip) | None => match facts.protocol {
            protocol::TCP => "tcp".to_owned(),
            protocol::UDP => "udp".to_owned(),
            protocol::ICMP => "icmp".to_owned(),
            protocol::ICMPV6 => "icmpv6".to_owned(),
            other => other.to_string(),
        },
    }
}

fn detail(facts: &Facts) -> Option<String> {
    if facts.fragment == Fragment::Later {
        return Some("later fragment".to_owned());
    }
    let first = if facts.fragment == Fragment::First { " first fragment" } else { "" };
    let own = match facts.protocol {
        protocol::TCP => {
            let letters = [
                (tcp_flags::FIN, 'F'),
                (tcp_flags::SYN, 'S'),
                (tcp_flags::RST, 'R'),
                (0x08, 'P'),
                (tcp_flags::ACK, 'A'),
                (0x20, 'U'),
            ];
            letters
                .iter()
                .filter(|(flag, _)| facts.tcp_flags & flag != 0)
                .map(|(_, letter)| *letter)
                .collect()
        }
        protocol::ICMP | protocol::ICMPV6 => format!("{}/{}", facts.icmp_type, facts.icmp_code),
        _ => String::new(),
    };
    let text = format!("{own}{first}").trim().to_owned();
    (!text.is_empty()).then_some(text)
}

fn rfc3339(time_ns: i64) -> Option<String> {
    let since = std::time::Duration::from_nanos(u64::try_from(time_ns).ok()?);
    Some(humantime::format_rfc3339_nanos(std::time::UNIX_EPOCH + since).to_string())
}
