//! The flow table of a gateway, and the tc program that fills it from what goes out.
//!
//! From Linux 6.6 on the program is attached by a link (TCX), which is pinned. Before, it is a filter of the interface's
//! clsact qdisc; what is pinned then is the program, so that the next agent, and `stopbank detach`, know of the filter. The
//! qdisc stays, because others may have filters of their own in it.

use std::{fs, io, path::Path};

use aya::{
    maps::{Array, Map, MapData},
    programs::{
        ProgramError, ProgramFd, SchedClassifier, TcAttachType, TestRun as _, TestRunOptions,
        links::{FdLink, LinkOrder, PinnedLink},
        tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle, qdisc_add_clsact},
    },
    util::KernelVersion,
};
use serde::{Deserialize, Serialize};
use stopbank_common::{
    flow::{CELLS, FlowLine, FlowState, units},
    names,
};

use super::{
    Datapath, DatapathError,
    error::errno,
    maps::{self, Shared},
    missing, monotonic_ns,
    pins::{EGRESS_FILTER as FILTER, EGRESS_LINK as LINK, Pins},
};
use crate::config::Flows;

/// Where our filter stands among others in a clsact qdisc: rather late; a number that is hardly anybody's by chance.
const PRIORITY: u16 = 0x5b0f;
const HANDLE: TcHandle = TcHandle::new(0, 1);

/// Lines that [`Datapath::flow_usage`] looks at, out of all, evenly spaced.
const SAMPLED: u32 = 1024;

/// How full a gateway's table is, estimated from a sample of its lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FlowUsage {
    /// Flows that it has room for.
    pub capacity: u64,
    /// Flows in it.
    pub flows: u64,
    /// Lines without room for another, in thousandths of all: at these places what belongs to no flow passes.
    pub full_per_mille: u64,
}

impl FlowUsage {
    /// So full that a good part of what belongs to no flow passes: the table should be larger.
    pub const fn is_short(&self) -> bool {
        self.full_per_mille >= 10
    }
}

/// The table, as far as the agent knows it.
pub(super) struct FlowTable {
    settings: Option<Flows>,
    state: Array<MapData, Shared<FlowState>>,
}

/// Entries of the map.
pub(super) const fn lines(flows: Option<Flows>) -> u32 {
    match flows {
        Some(flows) => flows.lines,
        None => 1,
    }
}

impl FlowTable {
    pub(super) fn open(state: Map, settings: Option<Flows>) -> Result<Self, DatapathError> {
        let mut table = Self { settings, state: maps::typed(state, names::FLOWS_STATE)? };
        let found = table.read()?;
        table.write(FlowState { mask: lines(settings) - 1, ..found })?;
        Ok(table)
    }

    fn read(&self) -> Result<FlowState, DatapathError> {
        let state = self.state.get(&0, 0);
        Ok(state.map_err(|error| DatapathError::kernel("read FLOWS_STATE", &error))?.0)
    }

    fn write(&mut self, state: FlowState) -> Result<(), DatapathError> {
        let written = self.state.set(0, Shared(state), 0);
        written.map_err(|error| DatapathError::kernel("write FLOWS_STATE", &error))
    }

    /// Lets what belongs to no flow pass for a while.
    fn learn(&mut self, flows: Flows) -> Result<(), DatapathError> {
        let until = monotonic_ns().saturating_add(u64::try_from(flows.learn.as_nanos()).unwrap_or(u64::MAX));
        let state = self.read()?;
        self.write(FlowState { learning_until_ns: until, ..state })
    }
}

impl Datapath {
    pub(super) fn load_egress(&mut self) -> Result<(), DatapathError> {
        if self.flows.settings.is_none() {
            return Ok(());
        }
        let loaded = self.egress()?.load();
        loaded.map_err(|error| DatapathError::kernel("load the tc program of a gateway", &error))
    }

    fn egress(&mut self) -> Result<&mut SchedClassifier, DatapathError> {
        let program = self.ebpf.program_mut(names::EGRESS).ok_or_else(|| missing(names::EGRESS))?;
        program.try_into().map_err(|error| DatapathError::kernel("use the tc program", &error))
    }

    /// Attaches the tc program of a gateway, in the place of an earlier agent's; where this host is none, an earlier agent's is
    /// taken off. `learn`: what belongs to no flow passes for a while, if the program was not there, because there are
    /// connections whose packets it has not seen. An interface that has just appeared has none.
    ///
    /// # Errors
    ///
    /// [`DatapathError`].
    pub fn attach_egress(&mut self, interface: &str, learn: bool) -> Result<(), DatapathError> {
        let pins = |prefix: &str| self.pins.as_ref().map(|pins| pins.for_interface(prefix, interface));
        let (Some(link), Some(filter)) = (pins(LINK), pins(FILTER)) else { return Ok(()) };
        let Some(flows) = self.flows.settings else {
            return self.pins.as_ref().map_or(Ok(()), |pins| detach_egress(pins, interface));
        };
        if !take_over(self.egress()?, interface, &link, &filter)? {
            attach_anew(self.egress()?, interface, &link, &filter)?;
            if learn {
                self.flows.learn(flows)?;
            }
        } else if self.flows.read()?.learning_until_ns == 0 {
            // The table is new, though the program is not.
            self.flows.learn(flows)?;
        }
        Ok(())
    }

    /// How full the flow table is; `None` where this host is no gateway.
    ///
    /// # Errors
    ///
    /// [`DatapathError`] when the kernel does not say.
    pub fn flow_usage(&self) -> Result<Option<FlowUsage>, DatapathError> {
        let Some(settings) = self.flows.settings else { return Ok(None) };
        let map = self.ebpf.map(names::FLOWS).ok_or_else(|| missing(names::FLOWS))?;
        let table: Array<&MapData, Shared<FlowLine>> =
            map.try_into().map_err(|error| DatapathError::kernel("read FLOWS", &error))?;
        let sampled = settings.lines.min(SAMPLED);
        let now = units(monotonic_ns());
        let (mut flows, mut full) = (0, 0);
        for i in 0..sampled {
            let line = table.get(&(i * (settings.lines / sampled)), 0);
            let live = line.map_err(|error| DatapathError::kernel("read FLOWS", &error))?.0.live(now);
            flows += live as u64;
            full += u64::from(live == CELLS);
        }
        let (lines, sampled) = (u64::from(settings.lines), u64::from(sampled));
        Ok(Some(FlowUsage {
            capacity: lines * CELLS as u64,
            flows: flows * lines / sampled,
            full_per_mille: full * 1000 / sampled,
        }))
    }

    /// Runs a frame through the tc program, as if it went out; for tests and benchmarks.
    ///
    /// # Errors
    ///
    /// [`DatapathError`]; the program is only loaded for a gateway.
    pub fn send(&mut self, frame: &[u8]) -> Result<(), DatapathError> {
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.repeat = 1;
        let run = self.egress()?.test_run(options);
        run.map(|_| ()).map_err(|error| DatapathError::kernel("run a frame through the tc program", &error))
    }

    /// Descriptor of the tc program, for benchmarks that call it from another one.
    ///
    /// # Errors
    ///
    /// [`DatapathError`]; the program is only loaded for a gateway.
    pub fn egress_fd(&mut self) -> Result<ProgramFd, DatapathError> {
        let fd = self.egress()?.fd().and_then(|fd| Ok(fd.try_clone()?));
        fd.map_err(|error| DatapathError::kernel("use the tc program", &error))
    }

    /// [`Self::send`] at `now_ns` of a simulation's clock.
    ///
    /// # Errors
    ///
    /// As those of [`Self::send`]; the program was not loaded for a simulation.
    pub fn simulate_send(&mut self, frame: &[u8], now_ns: u64) -> Result<(), DatapathError> {
        self.exchange.as_mut().ok_or_else(|| missing(names::SIMULATED_NOW))?.set_clock(now_ns);
        self.send(frame)
    }
}

fn failed(interface: &str, error: &(dyn std::error::Error + 'static)) -> DatapathError {
    DatapathError::kernel(format!("attach the tc program of a gateway to {interface:?}"), error)
}

/// Replaces an earlier agent's program. False if there is none, or if what it was attached to is gone.
fn take_over(
    program: &mut SchedClassifier,
    interface: &str,
    link: &Path,
    filter: &Path,
) -> Result<bool, DatapathError> {
    if link.exists() {
        let pinned = PinnedLink::from_pin(link).map_err(|error| failed(interface, &error))?;
        let old =
            SchedClassifierLink::try_from(FdLink::from(pinned)).map_err(|error| failed(interface, &error))?;
        match program.attach_to_link(old) {
            Ok(id) => {
                // The pin holds the link; this descriptor is not needed.
                drop(program.take_link(id).map_err(|error| failed(interface, &error))?);
                return Ok(true);
            }
            Err(error) if errno(&error) == Some(libc::ENOLINK) => remove(link)?,
            Err(error) => return Err(failed(interface, &error)),
        }
    }
    if filter.exists() {
        let old = SchedClassifierLink::attached(interface, TcAttachType::Egress, PRIORITY, HANDLE, None)
            .map_err(|error| failed(interface, &error))?;
        let replaced = program.attach_to_link(old);
        remove(filter)?;
        if let Ok(id) = replaced {
            keep_filter(program, id, filter).map_err(|error| failed(interface, &error))?;
            return Ok(true);
        }
    }
    Ok(false)
}

fn attach_anew(
    program: &mut SchedClassifier,
    interface: &str,
    link: &Path,
    filter: &Path,
) -> Result<(), DatapathError> {
    let failed = |error: &(dyn std::error::Error + 'static)| failed(interface, error);
    if KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(6, 6, 0)) {
        let order = TcAttachOptions::TcxOrder(LinkOrder::default());
        let id = program
            .attach_with_options(interface, TcAttachType::Egress, order)
            .map_err(|error| failed(&error))?;
        let attached = program.take_link(id).map_err(|error| failed(&error))?;
        let attached = FdLink::try_from(attached).map_err(|error| failed(&error))?;
        return attached.pin(link).map(|_| ()).map_err(|error| failed(&error));
    }
    match qdisc_add_clsact(interface) {
        Err(error) if !is_there_already(&error) => return Err(failed(&error)),
        _ => {}
    }
    let options = NlOptions { priority: PRIORITY, handle: HANDLE, classid: None };
    let id = program
        .attach_with_options(interface, TcAttachType::Egress, TcAttachOptions::Netlink(options))
        .map_err(|error| failed(&error))?;
    keep_filter(program, id, filter).map_err(|error| failed(&error))
}

fn is_there_already(error: &TcError) -> bool {
    matches!(error, TcError::AlreadyAttached) || errno(error) == Some(libc::EEXIST)
}

/// A filter outlives whoever made it, if nobody takes it off.
fn keep_filter(
    program: &mut SchedClassifier,
    id: aya::programs::tc::SchedClassifierLinkId,
    filter: &Path,
) -> Result<(), ProgramError> {
    std::mem::forget(program.take_link(id)?);
    program.pin(filter).map_err(|error| ProgramError::IOError(io::Error::other(error.to_string())))
}

/// Whether an agent that pins here has attached the tc program to an interface.
pub fn notes_flows(pins: &Path, interface: &str) -> bool {
    let noted =
        |pins: Pins| [LINK, FILTER].iter().any(|prefix| pins.for_interface(prefix, interface).exists());
    Pins::all(pins).is_ok_and(|all| all.into_iter().any(noted))
}

/// Takes the tc program off an interface, if it is there.
pub(super) fn detach_egress(pins: &Pins, interface: &str) -> Result<(), DatapathError> {
    let (link, filter) = (pins.for_interface(LINK, interface), pins.for_interface(FILTER, interface));
    if link.exists() {
        remove(&link)?;
    }
    if filter.exists() {
        // An interface that is gone has taken its filter with it.
        if let Ok(old) =
            SchedClassifierLink::attached(interface, TcAttachType::Egress, PRIORITY, HANDLE, None)
            && let Err(error) = aya::programs::links::Link::detach(old)
        {
            tracing::warn!("the tc filter of {interface} cannot be removed: {error}");
        }
        remove(&filter)?;
    }
    Ok(())
}

/// Takes the tc program off every interface.
pub(super) fn detach_every_egress(pins: &Pins) -> Result<(), DatapathError> {
    for prefix in [LINK, FILTER] {
        for interface in pins.interfaces_with(prefix)? {
            detach_egress(pins, &interface)?;
        }
    }
    Ok(())
}

fn remove(pin: &Path) -> Result<(), DatapathError> {
    fs::remove_file(pin).map_err(|error| DatapathError::pin("remove", pin, error))
}
