//! Attaches to interfaces while the agent runs, as soon as they appear: without the rest of the datapath, which may be
//! busy for a while, and without aya, whose programs are one borrower's at a time.
//!
//! A pin is named after its interface. An interface that is renamed takes its pins along ([`Attacher::put_in_order`]); of
//! one that is gone, the link is dead and its pin is removed.

use std::{
    collections::BTreeMap,
    fs, io,
    os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd},
    os::unix::ffi::OsStrExt as _,
    path::Path,
    sync::Arc,
};

use aya::maps::{Map, MapData, PerCpuArray, PerCpuValues};
use stopbank_common::{
    counters::{Counters, slot},
    names,
    policy::MAX_CLASSES,
};

use super::{
    AttachMode, Datapath, DatapathError,
    attach::{program_name, refused},
    link::{self, Link, Links},
    lists::sys::bpf,
    maps::{self, Shared},
    pins::Pins,
};

// Commands of bpf(2), `BPF_XDP`, `XDP_FLAGS_…` (include/uapi/linux/{bpf,if_link}.h).
const OBJ_PIN: libc::c_long = 6;
const OBJ_GET: libc::c_long = 7;
const LINK_CREATE: libc::c_long = 28;
const LINK_DETACH: libc::c_long = 34;
const XDP: u32 = 37;
const GENERIC: u32 = 1 << 1;
const NATIVE: u32 = 1 << 2;

/// The beginning of `union bpf_attr` for `BPF_LINK_CREATE`.
#[repr(C)]
#[derive(Default)]
struct Create {
    program: u32,
    interface: u32,
    attach_type: u32,
    flags: u32,
}

/// For `BPF_OBJ_PIN` and `BPF_OBJ_GET`.
#[repr(C)]
#[derive(Default)]
struct Pin {
    path: u64,
    object: u32,
    flags: u32,
}

/// Attaches one program. Clones attach the same one.
#[derive(Clone)]
pub struct Attacher {
    program: Arc<OwnedFd>,
    id: u32,
    pins: Arc<Pins>,
}

impl Datapath {
    /// Begins the counters of an interface slot anew: it is another interface's now.
    ///
    /// # Errors
    ///
    /// [`DatapathError`].
    pub fn reset_counters(&mut self, interface_slot: u32) -> Result<(), DatapathError> {
        const TRIED: &str = "reset the counters of an interface";
        let failed = |error| DatapathError::kernel(TRIED, &error);
        // Metrics may be reading by the handle that there is: another one writes.
        let Some(pins) = &self.pins else { return Ok(()) };
        let pinned = MapData::from_pin(pins.path(names::COUNTERS)).and_then(Map::from_map_data);
        let mut counters: PerCpuArray<MapData, Shared<Counters>> =
            maps::typed(pinned.map_err(failed)?, names::COUNTERS)?;
        for class in 0..MAX_CLASSES {
            let place = slot(interface_slot, class as u8);
            let cpus = counters.get(&place, 0).map_err(failed)?.len();
            let zeroes = PerCpuValues::try_from(vec![Shared(Counters::default()); cpus])
                .map_err(|error| DatapathError::kernel(TRIED, &error))?;
            counters.set(place, zeroes, 0).map_err(failed)?;
        }
        Ok(())
    }

    /// What attaches this datapath's program without it; `None` where nothing is pinned.
    ///
    /// # Errors
    ///
    /// [`DatapathError`].
    pub fn attacher(&mut self) -> Result<Option<Attacher>, DatapathError> {
        let failed =
            |error: &(dyn std::error::Error + 'static)| DatapathError::kernel("use the XDP program", error);
        let Some(pins) = self.pins.clone() else { return Ok(None) };
        let program = self.program()?;
        let id = program.info().map_err(|error| failed(&error))?.id();
        let program = program.fd().and_then(|fd| Ok(fd.try_clone()?)).map_err(|error| failed(&error))?;
        let program = program.as_fd().try_clone_to_owned().map_err(|error| failed(&error))?;
        Ok(Some(Attacher { program: Arc::new(program), id, pins: Arc::new(pins) }))
    }
}

/// Lets the calling thread run before others that are not as urgent (`SCHED_RR`, at the lowest of its priorities), on a host
/// whose CPUs are all busy: it takes CAP_SYS_NICE, and without it nothing changes. Whether it does.
pub fn hurry() -> bool {
    let lowest = libc::sched_param { sched_priority: 1 };
    // SAFETY: 0 is the calling thread, and the parameter lives across the call.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, &raw const lowest) == 0 }
}

impl Attacher {
    /// The same, with its links pinned beside those of a datapath, which an upgrade pins elsewhere when it is done.
    pub fn beside(mut self, datapath: &Datapath) -> Self {
        if let Some(pins) = &datapath.pins {
            self.pins = Arc::new(pins.clone());
        }
        self
    }

    /// Whether the program on an interface is this one.
    pub fn is_on(&self, link: &Link) -> bool {
        link.program.is_some_and(|program| program.id == self.id)
    }

    /// Attaches to an interface, if that is not done already, and pins the link; whether it was not.
    ///
    /// # Errors
    ///
    /// [`DatapathError`], naming what stands in the way; nothing is attached then.
    pub fn attach(&self, link: &mut Link, mode: AttachMode) -> Result<bool, DatapathError> {
        if self.is_on(link) {
            return Ok(false);
        }
        if !link.is_ethernet() {
            return Err(DatapathError::NotEthernet { name: link.name.clone(), link_type: link.link_type });
        }
        let created = match self.create(link.index, mode) {
            Ok(created) => created,
            Err(error) => {
                // What is known of the interface may be older than what is in the way; which may be this very program.
                match link::query(link.index) {
                    Ok(now) => *link = now,
                    // The news of that are on their way.
                    Err(gone) if gone.raw_os_error() == Some(libc::ENODEV) => return Ok(false),
                    Err(_) => {}
                }
                return if self.is_on(link) { Ok(true) } else { Err(refused(link, mode, &error)) };
            }
        };
        let pin = self.pins.link(&link.name);
        // One that is there belongs to an interface that had this name and is gone, or is in another namespace now.
        match fs::remove_file(&pin) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(DatapathError::pin("remove", pin, error));
            }
            _ => {}
        }
        let pinned = on_object(OBJ_PIN, created.as_raw_fd().cast_unsigned(), &pin);
        pinned.map_err(|error| DatapathError::pin("pin the link at", pin, error))?;
        link.program = Some(link::AttachedProgram { id: self.id, native: mode == AttachMode::Native });
        Ok(true)
    }

    fn create(&self, index: u32, mode: AttachMode) -> io::Result<OwnedFd> {
        let flags = match mode {
            AttachMode::Native => NATIVE,
            AttachMode::Generic => GENERIC,
        };
        let program = self.program.as_raw_fd().cast_unsigned();
        let mut create = Create { program, interface: index, attach_type: XDP, flags };
        let created = bpf(LINK_CREATE, &mut create)?;
        // SAFETY: the kernel has just given this descriptor to us.
        Ok(unsafe { OwnedFd::from_raw_fd(created as i32) })
    }

    /// Brings the pins in line with the interfaces that there are: those of an interface that was renamed get its new name,
    /// those whose link is dead, because its interface is gone, are removed.
    ///
    /// # Errors
    ///
    /// [`DatapathError`] when the directory cannot be read or a pin not renamed; the other pins are in order then.
    pub fn put_in_order(&self, links: &Links) -> Result<(), DatapathError> {
        put_in_order(&self.pins, links)
    }
}

pub(super) fn put_in_order(pins: &Pins, links: &Links) -> Result<(), DatapathError> {
    let mut renamed = BTreeMap::new();
    for name in pins.linked_interfaces()? {
        match index_of_pinned(&pins.link(&name)) {
            Ok(0) => {
                tracing::debug!("{name} is gone; its link is removed");
                pins.remove_interface(&name)?;
            }
            // Of an interface that is in another namespace now, nothing is known here: what is attached to it stays so.
            Ok(index) => match links.get(&index) {
                Some(link) if link.name != name => drop(renamed.insert(name, link.name.clone())),
                _ => {}
            },
            Err(error) => tracing::warn!("cannot tell which interface the link of {name:?} is for: {error}"),
        }
    }
    if renamed.is_empty() {
        return Ok(());
    }
    // Names may have been exchanged: first out of the way, then to where they belong.
    for from in renamed.keys() {
        pins.rename_interface(from, &format!("{from}=new"))?;
    }
    for (from, to) in &renamed {
        tracing::debug!("{from} is called {to} now: its pins are renamed");
        pins.rename_interface(&format!("{from}=new"), to)?;
    }
    Ok(())
}

/// Index of the interface that a pinned link is for; 0 where that is gone.
fn index_of_pinned(pin: &Path) -> io::Result<u32> {
    let link = on_object(OBJ_GET, 0, pin)?;
    // SAFETY: the kernel has just given this descriptor to us.
    let link = unsafe { OwnedFd::from_raw_fd(link as i32) };
    let information = fs::read_to_string(format!("/proc/thread-self/fdinfo/{}", link.as_raw_fd()))?;
    number_in(&information, "ifindex:").ok_or_else(|| io::Error::other("it is no link of an interface's"))
}

/// Takes the program of a pinned link off at once, if it has the name that is given. Without its pin the link would go too, but when the
/// kernel has time.
pub(super) fn detach_pinned(pin: &Path, program: Option<&str>) -> io::Result<()> {
    let link = on_object(OBJ_GET, 0, pin)?;
    // SAFETY: the kernel has just given this descriptor to us.
    let link = unsafe { OwnedFd::from_raw_fd(link as i32) };
    if let Some(name) = program {
        // Of the link that has been opened, and not by its path, which may lead elsewhere by now.
        let information = fs::read_to_string(format!("/proc/thread-self/fdinfo/{}", link.as_raw_fd()))?;
        let id = number_in(&information, "prog_id:");
        if id.and_then(program_name).is_none_or(|found| found != name) {
            return Err(io::Error::other("it holds another program"));
        }
    }
    bpf(LINK_DETACH, &mut link.as_raw_fd().cast_unsigned()).map(|_| ())
}

/// A number of what the kernel writes of a link (`bpf_link_show_fdinfo` in kernel/bpf/syscall.c, `bpf_xdp_link_show_fdinfo` in net/core/dev.c).
fn number_in(information: &str, name: &str) -> Option<u32> {
    information.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
}

/// `BPF_OBJ_PIN` or `BPF_OBJ_GET`.
fn on_object(command: libc::c_long, object: u32, path: &Path) -> io::Result<libc::c_long> {
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    let mut pin = Pin { path: path.as_ptr().expose_provenance() as u64, object, flags: 0 };
    bpf(command, &mut pin)
}

#[cfg(test)]
mod tests {
    use super::number_in;

    #[test]
    fn the_interface_of_a_link_is_read() {
        let text = "pos:\t0\nflags:\t02000000\nlink_type:\txdp\nlink_id:\t7\nprog_id:\t9\nifindex:\t42\n";
        assert_eq!(number_in(text, "ifindex:"), Some(42));
        assert_eq!(number_in(text, "prog_id:"), Some(9));
        assert_eq!(number_in(&text.replace("42", "0"), "ifindex:"), Some(0));
        assert_eq!(number_in("pos:\t0\n", "ifindex:"), None);
    }
}
