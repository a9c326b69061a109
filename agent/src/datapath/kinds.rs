//! Interfaces that are on top of others: which of them to protect, in words that name the command or the configuration.

use super::link::{Link, Links};

/// `BOND_MODE_…`, by number (include/uapi/linux/if_bonding.h).
const BOND_MODES: [&str; 7] =
    ["balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"];
/// Those in which a bond passes native XDP on to its members (`bond_xdp_check`, drivers/net/bonding/bond_main.c).
const BOND_MODES_WITH_XDP: [u8; 4] = [0, 1, 2, 4];

/// What to protect in the place of an interface that has no native XDP of its own, because of what it is; `None` for a
/// network card, and whatever else has a driver of its own.
pub fn instead(link: &Link, links: &Links) -> Option<String> {
    let name = &link.name;
    let lower = || link.lower.and_then(|index| links.get(&index)).map(|lower| lower.name.as_str());
    let kind = link.kind.as_deref()?;
    Some(match kind {
        "vlan" => match lower() {
            Some(lower) => format!(
                "{name} is a VLAN device of {lower}: protect {lower} (name = \"{lower}\"); tags are parsed, and what the VLAN carries is judged there"
            ),
            None => format!(
                "{name} is a VLAN device: protect the interface that its frames come in on, where tags are parsed"
            ),
        },
        "macvlan" | "macvtap" | "ipvlan" | "ipvtap" => match lower() {
            Some(lower) => format!(
                "{name} is a {kind} device of {lower}: protect {lower} (name = \"{lower}\"), where its frames come in"
            ),
            None => format!(
                "{name} is a {kind} device of an interface in another network namespace: protect that one, there"
            ),
        },
        "bridge" | "team" => over(link, kind, &members(link, links)),
        "bond" => bond(link, &members(link, links)),
        "vxlan" | "geneve" | "gretap" | "ip6gretap" | "erspan" | "ip6erspan" => format!(
            "{name} is a tunnel's end: protect the interface that the tunnel's packets come in on, and have it look into them ([tunnels] inspect)"
        ),
        "dummy" | "ifb" | "nlmon" => {
            format!("{name} ({kind}) has no driver: nothing comes in on it from outside")
        }
        _ => return None,
    })
}

fn over(link: &Link, kind: &str, members: &[&str]) -> String {
    let name = &link.name;
    match members {
        [] => format!("{name} is a {kind} without ports: protect those that it gets"),
        [one] => format!("{name} is a {kind} over {one}: protect {one} (name = \"{one}\")"),
        several => {
            format!("{name} is a {kind} over {}: protect these, each an [[interface]]", several.join(", "))
        }
    }
}

fn bond(link: &Link, members: &[&str]) -> String {
    let name = &link.name;
    let mode = link
        .bond_mode
        .map_or("unknown", |mode| BOND_MODES.get(usize::from(mode)).copied().unwrap_or("unknown"));
    let these = if members.is_empty() { "none yet".to_owned() } else { members.join(", ") };
    if link.bond_mode.is_some_and(|mode| !BOND_MODES_WITH_XDP.contains(&mode)) {
        return format!(
            "{name} is a bond in mode {mode}, in which it has no native XDP (balance-rr, active-backup, balance-xor and 802.3ad have): protect its members instead ({these}), each an [[interface]]"
        );
    }
    format!(
        "{name} is a bond (mode {mode}), which has native XDP where every member has: see what `stopbank doctor {}` says of them, or name those that have it, each an [[interface]], instead of the bond",
        members.join(" ")
    )
}

/// Names of the interfaces that are part of this one.
pub fn members<'l>(link: &Link, links: &'l Links) -> Vec<&'l str> {
    let part = |other: &&Link| other.master == Some(link.index);
    links.values().filter(part).map(|other| other.name.as_str()).collect()
}

/// The interface on top of this one that has a program, because of which this one can have none
/// (`dev_xdp_attach`, net/core/dev.c): the bond or bridge that it is part of, or a VLAN's device.
pub fn occupied_above<'l>(link: &Link, links: &'l Links) -> Option<&'l Link> {
    links.values().find(|other| {
        let above = link.master == Some(other.index)
            || (other.lower == Some(link.index) && other.kind.as_deref() != Some("veth"));
        above && other.program.is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datapath::link::AttachedProgram;

    fn link(index: u32, name: &str, kind: Option<&str>) -> Link {
        Link { index, name: name.to_owned(), kind: kind.map(str::to_owned), ..Link::default() }
    }

    fn links(several: &[Link]) -> Links {
        several.iter().map(|link| (link.index, link.clone())).collect()
    }

    #[test]
    fn an_interface_on_top_of_others_names_them() {
        let eth0 = Link { master: Some(5), ..link(1, "eth0", None) };
        let eth1 = Link { master: Some(5), ..link(2, "eth1", None) };
        let vlan = Link { lower: Some(1), ..link(3, "eth0.5", Some("vlan")) };
        let macvlan = Link { lower: Some(9), ..link(4, "mv0", Some("macvlan")) };
        let bridge = link(5, "br0", Some("bridge"));
        let all = links(&[eth0.clone(), eth1, vlan.clone(), macvlan.clone(), bridge.clone()]);
        let said = |link: &Link| instead(link, &all).unwrap();
        assert!(said(&vlan).contains("VLAN device of eth0: protect eth0 (name = \"eth0\"); tags are parsed"));
        assert!(said(&macvlan).contains("another network namespace"), "{}", said(&macvlan));
        assert!(said(&bridge).contains("a bridge over eth0, eth1: protect these"), "{}", said(&bridge));
        assert_eq!(instead(&eth0, &all), None);
        assert_eq!(instead(&link(6, "v0", Some("veth")), &all), None);
        let alone = links(std::slice::from_ref(&bridge));
        assert!(instead(&bridge, &alone).unwrap().contains("without ports"));
    }

    #[test]
    fn a_bond_is_told_by_its_mode() {
        let member = Link { master: Some(7), ..link(1, "eth0", None) };
        for (mode, part) in [
            (1, "every member"),
            (4, "802.3ad"),
            (5, "mode balance-tlb, in which it has no"),
            (99, "unknown"),
        ] {
            let bond = Link { bond_mode: Some(mode), ..link(7, "bond0", Some("bond")) };
            let said = instead(&bond, &links(&[member.clone(), bond.clone()])).unwrap();
            assert!(said.contains(part) && said.contains("eth0"), "{said}");
        }
    }

    #[test]
    fn a_program_above_is_found_and_one_beside_is_not() {
        let program = Some(AttachedProgram { id: 3, native: true });
        let eth0 = Link { master: Some(7), ..link(1, "eth0", None) };
        let bond = Link { program, ..link(7, "bond0", Some("bond")) };
        let peer = Link { program, lower: Some(1), ..link(8, "v1", Some("veth")) };
        assert_eq!(occupied_above(&eth0, &links(&[bond.clone(), eth0.clone()])), Some(&bond));
        assert_eq!(occupied_above(&eth0, &links(&[peer, eth0.clone()])), None);
    }
}
