//! `stopbank iface`.

use clap::Subcommand;
use hyper::Method;

use super::{output::Output, table::Table};
use crate::{
    control::{
        api::{DetachRequest, Detached},
        client::Client,
        interfaces::{AttachRequest, InterfaceReport, InterfacesReport, Standing},
    },
    failure::Failure,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  stopbank iface ls                      what is protected, what is absent, and why something could not be attached
  stopbank iface ls --all -o json        every interface of the host
  stopbank iface attach eth1             until the next reload, or for good if the configuration names it
  stopbank iface attach br0 --generic    behind the driver, at about a third of the speed
  stopbank iface detach eth1             until the next reload, where the configuration names it

Interfaces that the configuration names, by name, pattern (\"eth*\") or \"default-route\", are protected as soon as they appear.";

#[derive(Subcommand, Debug)]
pub(super) enum InterfaceCommand {
    /// Show the interfaces that are protected, or are to be
    #[command(alias = "list")]
    Ls {
        /// Every interface, those that nothing names too
        #[arg(short, long)]
        all: bool,
    },
    /// Protect an interface that is there; lasts until the next reload unless the configuration names it
    Attach {
        /// The interface
        #[arg(value_name = "INTERFACE")]
        name: String,
        /// Behind the driver, at about a third of the speed; where the driver has no native XDP
        #[arg(long)]
        generic: bool,
    },
    /// End protection of interfaces; lasts until the next reload where the configuration names them
    Detach {
        /// The interfaces
        #[arg(required = true, value_name = "INTERFACE")]
        names: Vec<String>,
    },
}

const PATH: &str = "/v1/interfaces";

impl InterfaceCommand {
    pub(super) async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        match self {
            Self::Ls { all } => {
                let mut report: InterfacesReport = client.get(PATH).await?;
                if !all {
                    report.interfaces.retain(|interface| interface.state != Standing::Unprotected);
                }
                output.print(&report, table)
            }
            Self::Attach { name, generic } => {
                let request = AttachRequest { name, generic };
                let report: InterfaceReport = client.send(Method::POST, PATH, &request).await?;
                output.print(&report, |report| {
                    let how = report.attach.map_or("", |attach| attach.name());
                    format!(
                        "{} is protected ({how}), until the next reload unless the configuration names it\n",
                        report.name
                    )
                })
            }
            Self::Detach { names } => {
                let request = DetachRequest { interfaces: names };
                let detached: Detached = client.send(Method::DELETE, PATH, &request).await?;
                output.print(&detached, |detached| {
                    format!(
                        "no longer protected: {}, until the next reload if the configuration names it\n",
                        detached.interfaces.join(", ")
                    )
                })
            }
        }
    }
}

fn table(report: &InterfacesReport) -> String {
    let mut text = String::new();
    if report.interfaces.is_empty() {
        text.push_str("nothing is protected\n");
    } else {
        let mut table = Table::new(&[
            "INTERFACE",
            "STATE",
            "ATTACHED",
            "KIND",
            "DRIVER",
            ">MTU",
            ">QUEUES",
            "NAMED BY",
            "REMARKS",
        ]);
        report.interfaces.iter().for_each(|interface| table.row(row(interface)));
        text.push_str(&table.show());
    }
    for interface in &report.interfaces {
        if let Some(error) = &interface.error {
            text.push_str(&format!("{}: {}\n", interface.name, crate::lists::printable(error, 1_000)));
        }
    }
    for name in &report.unmatched {
        text.push_str(&format!("no interface matches {name:?} at the moment\n"));
    }
    text
}

fn row(interface: &InterfaceReport) -> [String; 9] {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let attached = interface.attach.filter(|_| interface.state == Standing::Attached);
    [
        interface.name.clone(),
        interface.state.name().to_owned(),
        or_none(attached.map(|attach| attach.name().to_owned())),
        or_none(interface.kind.clone()),
        or_none(interface.driver.clone()),
        or_none(interface.mtu.map(|mtu| mtu.to_string())),
        or_none(interface.queues.map(|queues| queues.to_string())),
        or_none(interface.selected_by.clone()),
        remarks(interface),
    ]
}

fn remarks(interface: &InterfaceReport) -> String {
    let mut remarks = Vec::new();
    if interface.index.is_some() && !interface.up {
        remarks.push("down".to_owned());
    }
    if let Some(program) = interface.program.as_ref().filter(|program| !program.ours) {
        let name = program.name.as_ref().map_or_else(String::new, |name| format!(" {name:?}"));
        remarks.push(format!("another's program {}{name}", program.id));
    }
    if interface.counted_as.as_ref().is_some_and(|counted_as| *counted_as != interface.name) {
        remarks.push("counted as \"other\"".to_owned());
    }
    if interface.state == Standing::Attached && interface.selected_by.is_none() {
        remarks.push("not in the configuration".to_owned());
    }
    remarks.extend(interface.on.iter().map(|on| format!("on {on}")));
    remarks.extend(interface.part_of.iter().map(|part_of| format!("part of {part_of}")));
    if !interface.members.is_empty() {
        remarks.push(format!("over {}", interface.members.join(", ")));
    }
    remarks.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Attach, control::interfaces::ProgramReport};

    #[test]
    fn the_table_says_what_is_wrong_and_what_is_missing() {
        let report = InterfacesReport {
            interfaces: vec![
                InterfaceReport {
                    name: "eth0".to_owned(),
                    index: Some(2),
                    attach: Some(Attach::Generic),
                    up: true,
                    selected_by: Some("eth*".to_owned()),
                    counted_as: Some("other".to_owned()),
                    ..InterfaceReport::default()
                },
                InterfaceReport {
                    name: "eth1".to_owned(),
                    index: Some(3),
                    state: Standing::Failed,
                    attach: Some(Attach::Native),
                    error: Some("another's".to_owned()),
                    program: Some(ProgramReport {
                        id: 9,
                        name: Some("xdp_pass".to_owned()),
                        ..Default::default()
                    }),
                    ..InterfaceReport::default()
                },
            ],
            unmatched: vec!["default-route".to_owned()],
        };
        let text = table(&report);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[1].starts_with("eth0") && lines[1].contains("generic") && lines[1].contains("counted as"),
            "{text}"
        );
        assert!(
            lines[2].contains("failed") && lines[2].contains("down; another's program 9 \"xdp_pass\""),
            "{text}"
        );
        assert_eq!(lines[3..], ["eth1: another's", "no interface matches \"default-route\" at the moment"]);
    }
}
