//! The interfaces that are, or would be, protected.

use std::{collections::BTreeSet, ffi::CString, fs};

use super::{Finding, Subject, kernel_version};
use crate::datapath::{device, link, notes_flows, protected};

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
    let mut names = subject.interfaces.clone();
    if names.is_empty() {
        names = default_routes().into_iter().collect();
    }
    if names.is_empty() {
        return vec![Finding::warn(
            "interfaces",
            "none is configured, and there is no default route",
            "add an [[interface]] to the configuration",
        )];
    }
    // Without the right to read the pins, every program counts as another's.
    let ours = protected(&subject.pins).unwrap_or_default();
    let mut findings: Vec<Finding> =
        names.iter().flat_map(|name| interface(name, ours.contains(name))).collect();
    if subject.gateway {
        // Only where the agent is, or has been: before, there is nothing to miss.
        let noted = |name: &&String| ours.contains(*name);
        findings
            .extend(names.iter().filter(noted).map(|name| egress(name, notes_flows(&subject.pins, name))));
    }
    findings
}

fn interface(name: &str, ours: bool) -> Vec<Finding> {
    let check = |what: &str| format!("interface {name}: {what}");
    let found = index(name).map(link::query);
    let link = match found {
        Some(Ok(link)) => link,
        Some(Err(error)) => {
            let found = format!("the kernel does not say: {error}");
            return vec![Finding::warn(check("state"), found, "run it in the interface's network namespace")];
        }
        None => {
            let fix = "correct the [[interface]] of the configuration, or make the interface";
            return vec![Finding::fail(check("state"), "does not exist", fix)];
        }
    };
    let driver = device::driver(name);
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    vec![
        native(check("driver"), driver.as_deref()),
        mtu(check("MTU"), name, driver.as_deref(), link.mtu, kernel_version(&release)),
        lro(check("LRO"), name, device::lro(name)),
        program(check("program"), link.program, ours),
    ]
}

fn native(check: String, driver: Option<&str>) -> Finding {
    match driver {
        Some(driver) if NATIVE.contains(&driver) => Finding::ok(check, format!("{driver}: has native XDP")),
        driver => Finding::warn(
            check,
            format!("{}: not known to have native XDP", driver.unwrap_or("none")),
            "try it: `stopbank run` says if it has not; then set attach = \"generic\" for it, at a third of the speed",
        ),
    }
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
            let how = if program.native { "native" } else { "generic" };
            let found = format!("program {} ({how})", program.id);
            if ours {
                return Finding::ok(check, format!("stopbank's {found}"));
            }
            let fix =
                "remove it with the tool that attached it; stopbank does not replace what is not its own";
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

fn index(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    crate::datapath::interface_index(&name)
}

/// Interfaces that packets without a nearer route leave through.
fn default_routes() -> BTreeSet<String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mut names = default_v4(&read("/proc/net/route"));
    names.extend(default_v6(&read("/proc/net/ipv6_route")));
    names
}

/// Lines of `interface destination gateway flags … mask …`.
fn default_v4(table: &str) -> BTreeSet<String> {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.get(1) == Some(&"00000000") && fields.get(7) == Some(&"00000000"))
            .then(|| fields[0].to_owned())
    };
    table.lines().filter_map(line).collect()
}

/// Lines of `destination length … interface`.
fn default_v6(table: &str) -> BTreeSet<String> {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let all = fields.first()?.bytes().all(|digit| digit == b'0') && fields.get(1) == Some(&"00");
        // The kernel's own entry that rejects what has no route is on the loopback device.
        let name = fields.get(9)?;
        (all && *name != "lo").then(|| (*name).to_owned())
    };
    table.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn default_routes_are_told_from_others() {
        let v4 = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
                  eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                  eth1\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        assert_eq!(default_v4(v4), ["eth0".to_owned()].into());
        let zero = "0".repeat(32);
        let v6 = format!(
            "{zero} 00 {zero} 00 fe80 00000400 1 0 00000003 eth2\n{zero} 00 {zero} 00 {zero} ffffffff 1 0 00200200 lo\n\
             fe80{zero} 40 {zero} 00 {zero} 00000100 1 0 00000001 eth3\n"
        );
        assert_eq!(default_v6(&v6), ["eth2".to_owned()].into());
    }

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
        assert_eq!(native(name(), Some("veth")).state, State::Ok);
        assert_eq!(native(name(), None).state, State::Warn);
        let attached = Some(link::AttachedProgram { id: 7, native: true });
        assert_eq!(program(name(), attached, false).state, State::Fail);
        assert_eq!(program(name(), attached, true).state, State::Ok);
        assert_eq!(program(name(), None, false).state, State::Ok);
    }
}
