//! What can be asked of interfaces, and done to them by a command.

use super::{Plan, Protected, locked, picture};
use crate::{
    config::{Attach, Interface},
    control::{
        Refused, Why,
        api::ItemError,
        interfaces::{AttachRequest, InterfaceReport, InterfacesReport, ProgramReport, Standing},
    },
    datapath::{
        DatapathError, Kind, device, kinds,
        link::{self, Link, Links},
        program_name,
    },
    engine::{Engine, State},
    lists::printable,
};

impl Engine {
    /// Every interface: those that are protected or to be, then the others.
    pub(in crate::engine) fn report_interfaces(&self) -> Result<InterfacesReport, Refused> {
        let links = links()?;
        let state = self.lock();
        let plan = locked(&state.plan);
        let mut interfaces: Vec<InterfaceReport> =
            state.interfaces.iter().map(|interface| known(interface, &plan, &links)).collect();
        let others =
            links.values().filter(|link| !state.interfaces.iter().any(|known| known.index == link.index));
        interfaces.extend(others.map(|link| {
            let state =
                if plan.off.contains(&link.name) { Standing::Detached } else { Standing::Unprotected };
            describe(
                InterfaceReport { name: link.name.clone(), state, ..InterfaceReport::default() },
                link,
                &links,
            )
        }));
        let unmatched = plan.waiting(&links).map(|interface| interface.name.clone()).collect();
        Ok(InterfacesReport { interfaces, unmatched })
    }

    /// Protects an interface until the next reload, or longer if the file names it.
    pub(in crate::engine) fn attach_interface(
        &self,
        request: &AttachRequest,
    ) -> Result<InterfaceReport, Refused> {
        let name = &request.name;
        let links = links()?;
        let Some(link) = links.values().find(|link| link.name == *name) else {
            let there: Vec<&str> = links.values().map(|link| link.name.as_str()).collect();
            let error = format!("there is no interface {}", printable(name, 40));
            return Err(Refused::new(Why::NotFound, error).hint(format!("there are: {}", there.join(", "))));
        };
        let attach = if request.generic { Attach::Generic } else { Attach::Native };
        let mut state = self.lock();
        let shared = state.plan.clone();
        let mut interfaces = {
            let mut plan = locked(&shared);
            state.datapath.attach(name, attach.into()).map_err(|error| refuse(&error))?;
            plan.off.remove(name);
            plan.by_hand.retain(|interface| interface.name != *name);
            plan.by_hand.push(Interface { name: name.clone(), attach, required: false });
            picture(&state.interfaces, &plan, &links)
        };
        if let Some(interface) = interfaces.iter_mut().find(|interface| interface.index == link.index) {
            interface.attach = attach;
            interface.stands(Standing::Attached, None);
            interface.log_attached();
        }
        state.take_interfaces(interfaces)?;
        tracing::warn!(
            "{name} was attached on request, until the next reload unless the configuration names it"
        );
        drop(state);
        self.wake_follower();
        let report = self.report_interfaces()?.interfaces.into_iter().find(|report| report.name == *name);
        report.ok_or_else(|| Refused::new(Why::Failed, format!("{name} has just gone")))
    }

    pub(in crate::engine) fn wake_follower(&self) {
        self.waker.wake();
    }
}

impl State {
    /// Ends protection of some interfaces, until the next reload where the configuration names them.
    pub(in crate::engine) fn detach_interfaces(&mut self, names: &[String]) -> Result<(), Refused> {
        let attached = self.datapath.attached_interfaces()?;
        let is_known = |name: &String| {
            attached.contains(name) || self.interfaces.iter().any(|interface| interface.name == *name)
        };
        let unknown = names.iter().enumerate().filter(|(_, name)| !is_known(name));
        let unknown: Vec<ItemError> = unknown
            .map(|(index, name)| ItemError {
                index,
                error: format!("{} is not protected", printable(name, 40)),
            })
            .collect();
        if !unknown.is_empty() {
            return Err(Refused::new(Why::NotFound, "nothing was detached")
                .hint(format!("protected are: {}", attached.join(", ")))
                .items(unknown));
        }
        let shared = self.plan.clone();
        for name in names {
            let mut plan = locked(&shared);
            // First, so that nobody attaches it again.
            plan.off.insert(name.clone());
            plan.by_hand.retain(|interface| interface.name != *name);
            self.datapath.detach(name)?;
            self.interfaces.retain(|interface| interface.name != *name);
            tracing::warn!("{name} is protected no longer, on request");
        }
        Ok(())
    }
}

fn links() -> Result<Links, Refused> {
    Ok(link::all().map_err(|error| DatapathError::netlink("ask for the interfaces", &error))?)
}

/// What stands in the way is a matter of the interface, and not of the agent.
fn refuse(error: &DatapathError) -> Refused {
    let why = match error.kind() {
        Kind::NoSuchInterface => Why::NotFound,
        Kind::NoNativeSupport | Kind::OtherProgram => Why::Conflict,
        Kind::Permission | Kind::NoObject | Kind::Kernel => Why::Failed,
    };
    Refused::new(why, error.to_string())
}

fn known(interface: &Protected, plan: &Plan, links: &Links) -> InterfaceReport {
    let link = links.get(&interface.index);
    let selected_by = match link {
        Some(link) => plan.selects(link).map(|selector| selector.name.clone()),
        None => interface.configured.then(|| interface.name.clone()),
    };
    let counted_as = if interface.slot == 0 { "other" } else { &interface.name };
    let report = InterfaceReport {
        name: interface.name.clone(),
        state: interface.standing,
        attach: Some(interface.attach),
        error: interface.error.clone(),
        selected_by,
        counted_as: Some(counted_as.to_owned()),
        ..InterfaceReport::default()
    };
    match link {
        Some(link) => describe(report, link, links),
        None => report,
    }
}

/// Adds what the kernel and the driver say.
fn describe(report: InterfaceReport, link: &Link, links: &Links) -> InterfaceReport {
    let name_of = |index: Option<u32>| Some(links.get(&index?)?.name.clone());
    let kind = match &link.kind {
        Some(kind) => kind.clone(),
        None if link.loopback => "loopback".to_owned(),
        None if link.is_ethernet() => "ethernet".to_owned(),
        None => format!("link type {}", link.link_type),
    };
    let ours = report.state == Standing::Attached;
    InterfaceReport {
        index: Some(link.index),
        up: link.up,
        // The other end of a veth is beside it, not below.
        on: if kind == "veth" { None } else { name_of(link.lower) },
        kind: Some(kind),
        driver: device::driver(&link.name),
        mtu: Some(link.mtu),
        queues: device::queues(&link.name).map(|queues| queues.now).or(Some(link.receive_queues)),
        part_of: name_of(link.master),
        members: kinds::members(link, links).into_iter().map(str::to_owned).collect(),
        program: link.program.map(|program| ProgramReport {
            id: program.id,
            name: program_name(program.id),
            native: program.native,
            ours,
        }),
        ..report
    }
}
