//! `[tunnels]`: of which ones what they carry is judged too.

use std::fmt::Write as _;

use stopbank_common::{
    parse::Tunnel,
    policy::{MAX_VXLAN_PORTS, Policy, TUNNEL_GRE, TUNNEL_IPIP, TUNNEL_VXLAN},
};

use super::{
    document::{Diagnostics, Table, Value},
    model::Tunnels,
};

/// The IANA's port, and what stands for none in the policy.
const VXLAN_PORT: u16 = 4789;
const NO_PORT: u16 = 0;

pub(super) const KEYS: [&str; 2] = ["inspect", "vxlan_ports"];
pub(super) const KINDS: [(&str, Tunnel); 3] =
    [("gre", Tunnel::Gre), ("ipip", Tunnel::Ipip), ("vxlan", Tunnel::Vxlan)];

impl Default for Tunnels {
    fn default() -> Self {
        Self { inspect: Vec::new(), vxlan_ports: vec![VXLAN_PORT] }
    }
}

/// The name of a kind in the configuration and the CLI.
pub const fn tunnel_name(tunnel: Tunnel) -> &'static str {
    match tunnel {
        Tunnel::Gre => "gre",
        Tunnel::Ipip => "ipip",
        Tunnel::Vxlan => "vxlan",
    }
}

pub(super) fn read(value: &Value<'_>, tunnels: &mut Tunnels, diagnostics: &mut Diagnostics) {
    let Some(table) = Table::of("[tunnels]", value, &KEYS, diagnostics) else { return };
    if let Some(value) = table.get("inspect") {
        let help = "an array of kinds of tunnels: inspect = [\"gre\", \"ipip\", \"vxlan\"]";
        let mut kinds = Vec::new();
        for item in diagnostics.array("inspect", value, help) {
            let Some(kind) = diagnostics.choice("inspect", item, &KINDS) else { continue };
            if kinds.contains(&kind) {
                let message = format!("`inspect` names \"{}\" twice", tunnel_name(kind));
                diagnostics.push(item.span(), message, "name each kind once");
                continue;
            }
            kinds.push(kind);
        }
        tunnels.inspect = kinds;
    }
    if let Some(value) = table.get("vxlan_ports") {
        let help = format!(
            "allowed: one to {MAX_VXLAN_PORTS} UDP ports, such as vxlan_ports = [{VXLAN_PORT}, 8472]"
        );
        let errors = diagnostics.count();
        let items = diagnostics.array("vxlan_ports", value, &help);
        let ports: Vec<u16> = items
            .iter()
            .filter_map(|item| diagnostics.integer("vxlan_ports", item, 1..=65_535, &help))
            .filter_map(|port| u16::try_from(port).ok())
            .collect();
        if diagnostics.count() == errors && !(1..=MAX_VXLAN_PORTS).contains(&ports.len()) {
            let message = format!("`vxlan_ports` has {} ports", ports.len());
            diagnostics.push(value.span(), message, help);
        }
        tunnels.vxlan_ports = ports;
    }
}

/// As `stopbank config show` writes it.
pub(super) fn show(out: &mut String, tunnels: &Tunnels) {
    let kinds: Vec<String> =
        tunnels.inspect.iter().map(|kind| format!("\"{}\"", tunnel_name(*kind))).collect();
    let _ = writeln!(out, "\n[tunnels]\ninspect = [{}]", kinds.join(", "));
    let _ = writeln!(out, "vxlan_ports = {:?}", tunnels.vxlan_ports);
}

pub(super) fn compile(policy: &mut Policy, tunnels: &Tunnels) {
    policy.tunnels = tunnels.inspect.iter().fold(0, |bits, kind| {
        bits | match kind {
            Tunnel::Gre => TUNNEL_GRE,
            Tunnel::Ipip => TUNNEL_IPIP,
            Tunnel::Vxlan => TUNNEL_VXLAN,
        }
    });
    policy.vxlan_ports = [NO_PORT; MAX_VXLAN_PORTS];
    for (place, port) in policy.vxlan_ports.iter_mut().zip(&tunnels.vxlan_ports) {
        *place = *port;
    }
}

#[cfg(test)]
mod tests {
    use stopbank_common::policy::Kept;

    use super::*;
    use crate::config::{Config, Host, parse};

    fn policy(text: &str) -> Box<Policy> {
        let config = parse("test", text).unwrap();
        crate::config::compile(&config, &Kept::default(), &Host::default()).unwrap().policy
    }

    #[test]
    fn nothing_is_looked_into_unless_it_is_named() {
        assert_eq!(Config::builtin().tunnels, Tunnels { inspect: Vec::new(), vxlan_ports: vec![4789] });
        for text in ["", "[tunnels]", "[tunnels]\nvxlan_ports = [8472]\n", "tunnels = { inspect = [] }"] {
            assert_eq!(policy(text).tunnels, 0, "{text}");
        }
    }

    #[test]
    fn kinds_and_ports_reach_the_policy() {
        let all = policy("[tunnels]\ninspect = [\"vxlan\", \"gre\", \"ipip\"]\nvxlan_ports = [8472, 1]\n");
        assert_eq!(all.tunnels, TUNNEL_GRE | TUNNEL_IPIP | TUNNEL_VXLAN);
        assert_eq!(all.vxlan_ports, [8472, 1, 0, 0]);
        assert_eq!(policy("[tunnels]\ninspect = [\"ipip\"]\n").tunnels, TUNNEL_IPIP);
    }
}
