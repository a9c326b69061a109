//! The interfaces that are, or would be, protected.

use std::{collections::BTreeSet, fs};

use super::{Finding, Subject, kernel_version};
use crate::{
    config::{DEFAULT_ROUTE, Interface, Selector},
    datapath::{
        device, kinds,
        link::{self, Link, Links},
        notes_flows, program_name, protected,
    },
};

/// Drivers that have native XDP in Linux 6.1, by the names they give themselves.
const NATIVE: [&str; 27] = [
    "atlantic",
    "bnxt_en",
    "cpsw-switch",
    "dpaa2_eth",
    "ena",
    "fsl_dpaa",
    "fsl_enetc",
    "gve",
    "hv_netvsc",
    "i40e",
    "iavf",
    "ice",
    "igb",
    "igc",
    "ixgbe",
    "ixgbevf",
    "mlx4_en",
    "mlx5_core",
    "mvneta",
    "mvpp2",
    "nfp",
    "qede",
    "sfc",
    "stmmac",
    "tun",
    "veth",
    "virtio_net",
];

pub(super) fn findings(subject: &Subject) -> Vec<Finding> {
    let links = match link::all() {
        Ok(links) => links,
        Err(error) => {
            let found = format!("the kernel does not say which there are: {error}");
            return vec![Finding::warn(
                "interfaces",
                found,
                "run it as root, in the host's network namespace",
            )];
        }
    };
    let mut blocks = subject.interfaces.clone();
    if blocks.is_empty() {
        if through_default_route(&links).is_empty() {
            return vec![Finding::warn(
                "interfaces",
                "none is configured, and there is no default route",
                "add an [[interface]] to the configuration",
            )];
        }
        blocks.push(Interface::named(DEFAULT_ROUTE.to_owned()));
    }
    // Without the right to read the pins, every program counts as another's.
    let ours = protected(&subject.pins).unwrap_or_default();
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for block in &blocks {
        let found = selected(block, &links);
        if found.is_empty() {
            findings.push(missing(block, &links));
        }
        for link in found.into_iter().filter(|link| seen.insert(link.index)) {
            findings.extend(interface(link, &links, ours.contains(&link.name)));
            // Only where the agent is, or has been: before, there is nothing to miss.
            if subject.gateway && ours.contains(&link.name) {
                findings.push(egress(&link.name, notes_flows(&subject.pins, &link.name)));
            }
        }
    }
    findings
}

fn through_default_route(links: &Links) -> Vec<&Link> {
    let through = link::default_routes().unwrap_or_default();
    links.values().filter(|link| !link.loopback && through.contains(&link.index)).collect()
}

/// The interfaces that an `[[interface]]` is for.
fn selected<'l>(block: &Interface, links: &'l Links) -> Vec<&'l Link> {
    match block.selector() {
        Selector::DefaultRoute => through_default_route(links),
        Selector::Name(name) => links.values().filter(|link| link.name == name).collect(),
        Selector::Pattern(pattern) => {
            links.values().filter(|link| !link.loopback && pattern.matches(&link.name)).collect()
        }
    }
}

fn missing(block: &Interface, links: &Links) -> Finding {
    let name = &block.name;
    let check = format!("interface {name}: state");
    let there: Vec<&str> = links.values().map(|link| link.name.as_str()).collect();
    if !block.required {
        let fix = format!("nothing, if it is to come later; there are: {}", there.join(", "));
        return Finding::warn(check, "nothing that is there matches", fix);
    }
    let fix = format!(
        "correct the [[interface]] of the configuration (there are: {}), or give it required = false if it is to come later",
        there.join(", ")
    );
    Finding::fail(check, "does not exist", fix)
}

fn interface(link: &Link, links: &Links, ours: bool) -> Vec<Finding> {
    let name = link.name.as_str();
    let check = |what: &str| format!("interface {name}: {what}");
    let driver = device::driver(name);
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut findings = vec![
        frames(check("frames"), link),
        native(check("driver"), driver.as_deref(), kinds::instead(link, links)),
        mtu(check("MTU"), name, driver.as_deref(), link.mtu, kernel_version(&release)),
        lro(check("LRO"), name, device::lro(name)),
        program(check("program"), link.program, ours),
    ];
    findings.extend(
        device::queues(name).map(|queues| receive_queues(check("queues"), name, queues, link.kind.is_some())),
    );
    if link.kind.as_deref() == Some("bond") {
        findings.extend(kinds::members(link, links).into_iter().map(|member| {
            native(format!("interface {name}: member {member}"), device::driver(member).as_deref(), None)
        }));
    }
    if let Some(above) = kinds::occupied_above(link, links) {
        let found =
            format!("{} on top of it has an XDP program, and the kernel takes one of both only", above.name);
        let fix = format!("protect {} instead, or take its program off", above.name);
        findings.push(Finding::fail(check("above"), found, fix));
    }
    findings
}

fn frames(check: String, link: &Link) -> Finding {
    if link.is_ethernet() {
        return Finding::ok(check, "Ethernet");
    }
    Finding::fail(
        check,
        format!(
            "no Ethernet header (link type {}): the program could judge none of its packets",
            link.link_type
        ),
        "protect the interface that they come in on; for tunnels see [tunnels] inspect",
    )
}

fn native(check: String, driver: Option<&str>, instead: Option<String>) -> Finding {
    match (driver, instead) {
        (driver, Some(instead)) => Finding::warn(
            check,
            format!("{}: on top of others, or without a driver of its own", driver.unwrap_or("none")),
            format!("{instead}; or set attach = \"generic\" for it, at a third of the speed"),
        ),
        (Some(driver), None) if NATIVE.contains(&driver) => {
            Finding::ok(check, format!("{driver}: has native XDP"))
        }
        (driver, None) => Finding::warn(
            check,
            format!("{}: not known to have native XDP", driver.unwrap_or("none")),
            "try it: `stopbank run` says if it has not; then set attach = \"generic\" for it, at a third of the speed",
        ),
    }
}

/// What comes in on one queue is judged on one CPU. Those that somebody has `made`, such as the ends of a veth, have as many
/// as he wanted.
fn receive_queues(check: String, name: &str, queues: device::Queues, made: bool) -> Finding {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u32;
    let device::Queues { now, most } = queues;
    let possible = most.min(cpus);
    if now < possible && !made {
        let found = format!("{now} of {most}, and {cpus} CPUs: a flood is judged on {now} of them");
        return Finding::warn(check, found, format!("ethtool -L {name} combined {possible}"));
    }
    Finding::ok(check, format!("{now} of {most}"))
}

fn mtu(check: String, name: &str, driver: Option<&str>, mtu: u32, kernel: Option<(u32, u32)>) -> Finding {
    let driver = driver.unwrap_or_default();
    if driver == "virtio_net" && mtu > device::VIRTIO_MTU && kernel < Some((6, 3)) {
        return Finding::fail(check, mtu.to_string(), device::advice(name, driver, mtu, libc::EINVAL));
    }
    if mtu > 3_000 && driver != "veth" && driver != "virtio_net" {
        let fix =
            format!("if `stopbank run` says that the driver refuses it: ip link set dev {name} mtu 1500");
        return Finding::warn(check, format!("{mtu}: not every driver has native XDP for it"), fix);
    }
    Finding::ok(check, mtu.to_string())
}

fn lro(check: String, name: &str, lro: Option<bool>) -> Finding {
    match lro {
        Some(true) => {
            Finding::fail(check, "on, which native XDP excludes", format!("ethtool -K {name} lro off"))
        }
        _ => Finding::ok(check, "off"),
    }
}

fn program(check: String, program: Option<link::AttachedProgram>, ours: bool) -> Finding {
    match program {
        None => Finding::ok(check, "none attached"),
        Some(program) => {
            let known_as = program_name(program.id).map_or_else(String::new, |name| format!(" {name:?}"));
            let found = format!("program {}{known_as} ({})", program.id, program.mode());
            if ours {
                return Finding::ok(check, format!("stopbank's {found}"));
            }
            let fix = format!(
                "see it with `bpftool prog show id {}`; remove it with the tool that attached it; stopbank does not replace what is not its own",
                program.id
            );
            Finding::fail(check, format!("another's {found}"), fix)
        }
    }
}

fn egress(name: &str, noted: bool) -> Finding {
    let check = format!("interface {name}: flows");
    if noted {
        return Finding::ok(check, "stopbank's tc program notes what goes out");
    }
    Finding::fail(
        check,
        "no tc program notes what goes out, so that answers belong to no flow",
        "restart the agent, whose journal says why it could not attach it",
    )
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn what_excludes_native_xdp_fails_and_says_the_command() {
        let name = || "interface e: x".to_owned();
        let jumbo = |kernel| mtu(name(), "e", Some("virtio_net"), 9_000, Some(kernel));
        assert_eq!((jumbo((6, 1)).state, jumbo((6, 12)).state), (State::Fail, State::Ok));
        assert_eq!(mtu(name(), "e", Some("veth"), 9_000, Some((6, 1))).state, State::Ok);
        assert_eq!(mtu(name(), "e", Some("ixgbe"), 9_000, Some((6, 1))).state, State::Warn);
        let on = lro(name(), "e", Some(true));
        assert_eq!((on.state, on.fix.as_deref()), (State::Fail, Some("ethtool -K e lro off")));
        assert_eq!(lro(name(), "e", None).state, State::Ok);
        assert_eq!(native(name(), Some("veth"), None).state, State::Ok);
        assert_eq!(native(name(), None, None).state, State::Warn);
        let vlan = native(name(), Some("802.1Q VLAN Support"), Some("protect eth0".to_owned()));
        assert_eq!(vlan.state, State::Warn);
        assert!(vlan.fix.unwrap().starts_with("protect eth0; or"));
        let tunnel = Link { link_type: 65_534, ..Link::default() };
        assert_eq!(frames(name(), &tunnel).state, State::Fail);
        let few = receive_queues(name(), "nosuch0", device::Queues { now: 0, most: 8 }, false);
        assert!(few.fix.unwrap().starts_with("ethtool -L nosuch0 combined "));
        let attached = Some(link::AttachedProgram { id: 7, native: true });
        assert_eq!(program(name(), attached, false).state, State::Fail);
        assert_eq!(program(name(), attached, true).state, State::Ok);
        assert_eq!(program(name(), None, false).state, State::Ok);
    }
}
