//! Puts the program on interfaces, and takes it off.

use std::{fs, io, path::Path};

use aya::programs::{
    Xdp, XdpMode,
    links::{FdLink, PinnedLink},
    loaded_programs,
    xdp::{XdpLink, XdpLinkId},
};

use super::{
    Datapath, DatapathError, device,
    error::errno,
    flows, hotplug, kinds,
    link::{self, AttachedProgram, Link, Links},
    pins::{self, Pins},
};

/// What the program is called in the object, and the kernel calls it.
const PROGRAM: &str = "stopbank";

/// How to attach.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttachMode {
    /// In the driver, before the kernel has spent anything on the packet.
    Native,
    /// In the network stack: works everywhere, at about a third of the speed.
    Generic,
}

impl AttachMode {
    /// As in the configuration and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// An interface that is protected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attached {
    /// Its name.
    pub interface: String,
    /// Its index.
    pub index: u32,
    /// How.
    pub mode: AttachMode,
    /// Whether an earlier agent's program was replaced, without a gap.
    pub replaced: bool,
}

impl Datapath {
    /// Attaches the program to an interface. Where an earlier agent's link is pinned, its program is replaced atomically
    /// through that link; where somebody else's program is, this refuses.
    ///
    /// # Errors
    ///
    /// [`DatapathError`], naming what stands in the way.
    pub fn attach(&mut self, interface: &str, mode: AttachMode) -> Result<Attached, DatapathError> {
        let index = index_of(interface)?;
        self.adopt(interface, index)?;
        // First, so that what is judged by flows is also noted.
        self.attach_egress(interface, true)?;
        let pin = self.pins.as_ref().map(|pins| pins.link(interface));
        let program = self.program()?;
        let attached = |replaced| Attached { interface: interface.to_owned(), index, mode, replaced };
        if let Some(pin) = pin.as_deref().filter(|pin| pin.exists())
            && take_over(program, pin, interface, index, mode)?
        {
            return Ok(attached(true));
        }
        let id = attach_anew(program, interface, index, mode)?;
        if let Some(pin) = pin {
            let failed = |error: &(dyn std::error::Error + 'static)| {
                DatapathError::kernel(format!("pin the link of {interface:?}"), error)
            };
            let link = program.take_link(id).map_err(|error| failed(&error))?;
            // Not a link but the old netlink way: it would end with this process, or never.
            let link = FdLink::try_from(link).map_err(|error| failed(&error))?;
            link.pin(pin).map_err(|error| failed(&error))?;
        }
        Ok(attached(false))
    }

    /// Takes the program off an interface; whether it was there.
    ///
    /// # Errors
    ///
    /// [`DatapathError`].
    pub fn detach(&mut self, interface: &str) -> Result<bool, DatapathError> {
        let Some(pins) = &self.pins else { return Ok(false) };
        let pin = pins.link(interface);
        flows::detach_egress(pins, interface)?;
        // Where it fails, because the interface is gone for instance, the rest does it.
        let _ = hotplug::detach_pinned(&pin, None);
        match fs::remove_file(&pin) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(DatapathError::pin("remove", pin, error)),
        }
    }

    /// Brings what is pinned, by an earlier version too, in line with the interfaces that there are, after some were renamed
    /// or went.
    ///
    /// # Errors
    ///
    /// As those of [`super::Attacher::put_in_order`].
    pub fn put_in_order(&self, links: &Links) -> Result<(), DatapathError> {
        self.pins_before()
            .into_iter()
            .chain(&self.pins)
            .try_for_each(|pins| hotplug::put_in_order(pins, links))
    }

    /// Interfaces that are protected now, by this agent or an earlier one.
    ///
    /// # Errors
    ///
    /// [`DatapathError`].
    pub fn attached_interfaces(&self) -> Result<Vec<String>, DatapathError> {
        let Some(pins) = &self.pins else { return Ok(Vec::new()) };
        let mut interfaces = pins.linked_interfaces()?;
        if let Some(before) = self.pins_before() {
            interfaces.extend(before.linked_interfaces()?);
        }
        interfaces.sort();
        interfaces.dedup();
        Ok(interfaces)
    }
}

/// Ends protection: removes every pin below `pins`, those of other versions included. Needs no agent and loads nothing. Returns the interfaces that were
/// protected.
///
/// # Errors
///
/// [`DatapathError`] when a pin cannot be removed, or what is there is not in a BPF filesystem.
pub fn detach_all(pins: &Path) -> Result<Vec<String>, DatapathError> {
    let all = Pins::to_remove(pins)?;
    let interfaces = protected(pins)?;
    for directory in all {
        for interface in directory.linked_interfaces()? {
            // The agent's user may write here and this may be root: a name that leads to another's link ends nothing but itself. Where it
            // fails, because the interface is gone for instance, the rest does it.
            let _ = hotplug::detach_pinned(&directory.link(&interface), Some(PROGRAM));
        }
        flows::detach_every_egress(&directory)?;
        directory.remove_all()?;
    }
    pins::remove_empty(pins)?;
    Ok(interfaces)
}

/// The interfaces whose links are pinned below `pins`, by whatever version: those that stopbank protects, whether or not an
/// agent runs.
///
/// # Errors
///
/// [`DatapathError`] when the directory cannot be read.
pub fn protected(pins: &Path) -> Result<Vec<String>, DatapathError> {
    let mut interfaces = Vec::new();
    for directory in Pins::all(pins)? {
        interfaces.extend(directory.linked_interfaces()?);
    }
    interfaces.sort();
    interfaces.dedup();
    Ok(interfaces)
}

/// An interface whose link is pinned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PinnedProgram {
    /// Its name.
    pub interface: String,
    /// The id of the program that the pinned link holds.
    pub pinned: u32,
    /// The program that the kernel says is on the interface; `None`: none, or there is no such interface.
    pub attached: Option<AttachedProgram>,
}

/// For each interface whose link is pinned below `pins`: the program that it holds, and the one that is attached. Changes nothing.
///
/// # Errors
///
/// [`DatapathError`] when a pin cannot be read.
pub fn pinned_programs(pins: &Path) -> Result<Vec<PinnedProgram>, DatapathError> {
    let pins = Pins::at(pins);
    let look = |interface: String| {
        let failed = |error: &(dyn std::error::Error + 'static)| {
            DatapathError::kernel(format!("open the pinned link of {interface:?}"), error)
        };
        let pinned = PinnedLink::from_pin(pins.link(&interface)).map_err(|error| failed(&error))?;
        let pinned = FdLink::from(pinned).info().map_err(|error| failed(&error))?.program_id();
        let attached = index_of(&interface).ok().and_then(|index| link::query(index).ok()?.program);
        Ok(PinnedProgram { interface, pinned, attached })
    };
    pins.linked_interfaces()?.into_iter().map(look).collect()
}

/// Replaces the program of a pinned link. False if the link is of no use any more and its pin is gone.
fn take_over(
    program: &mut Xdp,
    pin: &Path,
    interface: &str,
    index: u32,
    mode: AttachMode,
) -> Result<bool, DatapathError> {
    let failed = |error: &(dyn std::error::Error + 'static)| {
        DatapathError::kernel(format!("take over the pinned link of {interface:?}"), error)
    };
    let attached = link::query(index).map_err(|error| failed(&error))?.program;
    let same_mode = attached.is_some_and(|program| program.native == (mode == AttachMode::Native));
    if same_mode {
        let pinned = PinnedLink::from_pin(pin).map_err(|error| failed(&error))?;
        let link = XdpLink::try_from(FdLink::from(pinned)).map_err(|error| failed(&error))?;
        match program.attach_to_link(link) {
            Ok(id) => {
                // The pin holds the link; this descriptor is not needed.
                drop(program.take_link(id).map_err(|error| failed(&error))?);
                return Ok(true);
            }
            // The interface that the link belonged to is gone; this is another one of the same name.
            Err(error) if errno(&error) == Some(libc::ENOLINK) => {}
            Err(error) => return Err(failed(&error)),
        }
    }
    fs::remove_file(pin).map_err(|error| DatapathError::pin("remove", pin, error))?;
    Ok(false)
}

fn attach_anew(
    program: &mut Xdp,
    interface: &str,
    index: u32,
    mode: AttachMode,
) -> Result<XdpLinkId, DatapathError> {
    let found = link::query(index)
        .map_err(|error| DatapathError::kernel(format!("ask the kernel about {interface:?}"), &error))?;
    if !found.is_ethernet() {
        return Err(DatapathError::NotEthernet { name: interface.to_owned(), link_type: found.link_type });
    }
    if let Some(other) = found.program {
        return Err(other_program(interface, other));
    }
    let how = match mode {
        AttachMode::Native => XdpMode::Driver,
        AttachMode::Generic => XdpMode::Skb,
    };
    program.attach_to_if_index(index, how).map_err(|error| match errno(&error) {
        Some(code) => refused(&found, mode, &io::Error::from_raw_os_error(code)),
        None => DatapathError::kernel(format!("attach to {interface:?}"), &error),
    })
}

/// Somebody else's program, by its name if this process may ask for it.
pub(super) fn other_program(interface: &str, program: AttachedProgram) -> DatapathError {
    DatapathError::OtherProgram {
        name: interface.to_owned(),
        program: program.id,
        known_as: program_name(program.id),
        mode: program.mode(),
    }
}

/// The name of a program, which the kernel tells those with CAP_SYS_ADMIN.
pub fn program_name(id: u32) -> Option<String> {
    let found = loaded_programs().map_while(Result::ok).find(|program| program.id() == id)?;
    found.name_as_str().filter(|name| !name.is_empty()).map(str::to_owned)
}

/// What a refusal to attach is due to, and what to do about it.
pub(super) fn refused(link: &Link, mode: AttachMode, error: &io::Error) -> DatapathError {
    let name = link.name.clone();
    let source = |code| io::Error::from_raw_os_error(code);
    if let Some(other) = link.program {
        return other_program(&name, other);
    }
    match error.raw_os_error() {
        Some(code @ libc::EOPNOTSUPP) => {
            let links = link::all().unwrap_or_default();
            let generic =
                "To protect it all the same, at a third of the speed, set attach = \"generic\" for it";
            let advice = match kinds::instead(link, &links) {
                Some(instead) => format!("{instead}. {generic}"),
                None => generic.to_owned(),
            };
            DatapathError::NoNativeSupport { name, advice, source: source(code) }
        }
        Some(libc::EBUSY | libc::EEXIST) => {
            let links = link::all().unwrap_or_default();
            match kinds::occupied_above(link, &links) {
                Some(above) => DatapathError::OccupiedAbove {
                    name,
                    above: above.name.clone(),
                    program: above.program.unwrap_or_default().id,
                },
                None => other_program(&name, AttachedProgram::default()),
            }
        }
        Some(code @ (libc::EINVAL | libc::ERANGE | libc::ENOSPC | libc::E2BIG))
            if mode == AttachMode::Native =>
        {
            let driver = device::driver(&name).unwrap_or_else(|| "unknown".to_owned());
            let advice = device::advice(&name, &driver, link.mtu, code);
            DatapathError::DriverRefused { name, driver, advice, source: source(code) }
        }
        Some(libc::ENODEV) => DatapathError::NoSuchInterface { name, existing: existing() },
        _ => DatapathError::kernel(format!("attach to {name:?}"), error),
    }
}

fn index_of(interface: &str) -> Result<u32, DatapathError> {
    let missing = || DatapathError::NoSuchInterface { name: interface.to_owned(), existing: existing() };
    let name = std::ffi::CString::new(interface).map_err(|_| missing())?;
    interface_index(&name).ok_or_else(missing)
}

/// The index of an interface of this network namespace.
pub fn interface_index(name: &std::ffi::CStr) -> Option<u32> {
    // SAFETY: `name` is a C string that lives through the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => None,
        index => Some(index),
    }
}

/// Names of the interfaces of this network namespace (/sys/class/net may show another's).
fn existing() -> Vec<String> {
    link::all().unwrap_or_default().into_values().map(|link| link.name).collect()
}
