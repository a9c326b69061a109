//! From what an earlier agent pinned with another layout to this one's pins, with no moment in which nothing protects.
//!
//! Everything new is made in a directory that nobody uses yet, `new_v<ABI>`. Maps that mean now what they meant then are pinned
//! there as they are: bans, proofs, counters and rates go on, whichever program writes them. The others are made anew and
//! filled from the configuration. Only then is the directory renamed to `v<ABI>`. Each link's pin is moved into it and the
//! link's program replaced, atomically both, and the directory of before goes when it has no link any more.
//!
//! Whatever ends an agent in between, the next one finds one of these, and knows what to do:
//!
//! - `new_v…`: nobody uses it. It is removed, and the upgrade begins anew.
//! - `v<ABI>` without a link, beside another directory that has one: the same.
//! - `v<ABI>` with a link, beside another directory: the links that are left there are moved, their programs replaced when the
//!   agent attaches.
//! - `old_…`: all of it has been moved. It is removed.
//!
//! Within one ABI version a map may have another size (`[source] lines`, `[flows]`); its directory is `before_v<ABI>` then.

use std::{
    fs, io,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use aya::maps::MapData;
use aya_obj::Object;
use stopbank_common::{ABI_VERSION, names};

use super::{
    Datapath, DatapathError, Options, flows, link,
    lists::sys,
    maps,
    pins::{self, Pins, is_link},
};
use crate::{config::source_lines, object};

/// The oldest ABI version whose pins can be taken over.
const OLDEST: u32 = 4;

/// What is taken over as it is, and the ABI version since which it has had the layout and the meaning that it has now. Whoever
/// changes one of these raises its number with [`ABI_VERSION`], and bans, proofs and counters are lost in that upgrade
/// unless they are converted here. What is not named is made anew from the configuration and the list files.
const TAKEN_OVER: [(&str, u32); 12] = [
    (names::LISTS, 4),
    (names::SOURCES, 4),
    (names::FLOWS, 4),
    (names::FLOWS_STATE, 4),
    (names::TOTALS, 4),
    (names::PROVEN, 4),
    (names::COUNTERS, 4),
    (names::SIGNATURES, 4),
    (names::EVENTS, 4),
    (names::EVENT_BUDGET, 4),
    (names::DHCP_BUDGET, 4),
    (names::EVENTS_LOST, 4),
];

/// An upgrade under way.
pub(super) struct Upgrade {
    root: PathBuf,
    /// The pins of before.
    from: Pins,
    step: Step,
    moved: Vec<Moved>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// What is new is in a directory that nobody uses.
    Staged,
    /// It is in this version's, and links are moved to it.
    Moving,
    /// Done, or taken back.
    Over,
}

/// A pin that was moved. If it is that of a link of ours, also the interface and the program that it had.
struct Moved {
    from: PathBuf,
    to: PathBuf,
    had: Option<Had>,
}

struct Had {
    interface: u32,
    id: u32,
    /// `None` where this process may not have it.
    program: Option<OwnedFd>,
}

impl Moved {
    /// Puts the program back, then the pin.
    fn take_back(&self) -> Result<(), DatapathError> {
        // Detached meanwhile, since its interface is gone.
        if !self.to.exists() {
            return Ok(());
        }
        if let Some(Had { interface, id, program }) = &self.had
            && link::query(*interface).ok().and_then(|link| link.program).is_none_or(|now| now.id != *id)
        {
            let put_back = match program {
                Some(program) => {
                    sys::open_pin(&self.to).and_then(|link| sys::update_link(link.as_fd(), program.as_fd()))
                }
                None => Err(io::Error::from_raw_os_error(libc::EPERM)),
            };
            put_back.map_err(|error| {
                DatapathError::kernel(
                    format!("put the program of before back on {}", self.to.display()),
                    &error,
                )
            })?;
        }
        rename(&self.to, &self.from)
    }
}

impl Upgrade {
    /// The directory to pin in, and the upgrade if there is one. Puts in order first what an agent left that was ended in the
    /// middle of one.
    pub(super) fn begin(root: &Path, options: &Options) -> Result<(Pins, Option<Self>), DatapathError> {
        pins::mount(root)?;
        remove_waste(root)?;
        refuse_newer(root)?;
        let own = Pins::at(root);
        let layouts = Layouts::wanted(options)?;
        let from = match settle_on_one(root)? {
            None => None,
            Some(found) if found.directory() == own.directory() && layouts.all_fit(&own)? => None,
            other => other,
        };
        let Some(from) = from else {
            own.prepare()?;
            return Ok((own, None));
        };
        let staging = Pins::named(root, format!("new_v{ABI_VERSION}"));
        staging.prepare()?;
        let upgrade = Self { root: root.to_owned(), from, step: Step::Staged, moved: Vec::new() };
        layouts.carry(&upgrade.from, &staging)?;
        Ok((staging, Some(upgrade)))
    }

    /// Whether nothing that was in force before has been touched yet.
    const fn is_staged(&self) -> bool {
        matches!(self.step, Step::Staged)
    }

    /// Makes what is new this version's.
    fn commit(&mut self, pins: &mut Pins) -> Result<(), DatapathError> {
        if !self.is_staged() {
            return Ok(());
        }
        let own = Pins::at(&self.root);
        if self.from.directory() == own.directory() {
            let aside = Pins::named(&self.root, format!("before_v{ABI_VERSION}"));
            rename(own.directory(), aside.directory())?;
            self.from = aside;
        }
        rename(pins.directory(), own.directory())?;
        *pins = own;
        self.step = Step::Moving;
        Ok(())
    }

    /// Moves the pins of an interface.
    fn adopt(&mut self, pins: &Pins, interface: &str, index: u32) -> Result<(), DatapathError> {
        for (from, to) in self.from.links_of(interface).into_iter().zip(pins.links_of(interface)) {
            if from.exists() {
                let had = (from == self.from.link(interface)).then(|| self.program_on(index)).flatten();
                rename(&from, &to)?;
                self.moved.push(Moved { from, to, had });
            }
        }
        Ok(())
    }

    /// The program that an interface has, to go back to: the pinned one, or else by its number, which takes CAP_SYS_ADMIN.
    fn program_on(&self, interface: u32) -> Option<Had> {
        let id = link::query(interface).ok()?.program?.id;
        let pinned = sys::open_pin(&self.from.path(names::PINNED_PROGRAM)).ok();
        let program = pinned
            .filter(|program| sys::program_id(program.as_fd()).is_ok_and(|pinned| pinned == id))
            .or_else(|| sys::program_by_id(id).ok());
        Some(Had { interface, id, program })
    }

    /// Goes back to what was before.
    fn take_back(&mut self, pins: &mut Pins) -> Result<(), DatapathError> {
        if self.step == Step::Over {
            return Ok(());
        }
        let aside = self.step == Step::Moving && self.from.is_named("before_");
        self.step = Step::Over;
        let mut outcome = Ok(());
        for moved in self.moved.drain(..).rev() {
            // One that cannot go back is no reason for the others to stay.
            outcome = outcome.and(moved.take_back());
        }
        outcome?;
        pins.remove_all()?;
        if aside {
            rename(self.from.directory(), pins.directory())?;
        }
        Ok(())
    }

    /// Gives up what was before.
    fn finish(&mut self, pins: &mut Pins) -> Result<(), DatapathError> {
        if self.step == Step::Over {
            return Ok(());
        }
        self.commit(pins)?;
        // Links of interfaces that are not there now.
        move_links(&self.from, pins)?;
        self.step = Step::Over;
        retire(&self.root, &self.from)?;
        tracing::info!(
            "what {} held is taken over; protection went on meanwhile",
            self.from.directory().display()
        );
        Ok(())
    }
}

impl Drop for Upgrade {
    fn drop(&mut self) {
        if self.is_staged() {
            // Nobody uses it; should this fail, the next start removes it.
            let _ = Pins::named(&self.root, format!("new_v{ABI_VERSION}")).remove_all();
        }
    }
}

impl Datapath {
    /// Whether another layout's pins are in force, and are to be followed by this one's when those are complete: lists and
    /// policy are to be put in force first then, and what is in force before all is attached stays as it was.
    pub fn follows_another_layout(&self) -> bool {
        self.upgrade.as_ref().is_some_and(Upgrade::is_staged)
    }

    /// Moves what is pinned for an interface from where it was before an upgrade.
    pub(super) fn adopt(&mut self, interface: &str, index: u32) -> Result<(), DatapathError> {
        let (Some(upgrade), Some(pins)) = (&mut self.upgrade, &mut self.pins) else { return Ok(()) };
        if !upgrade.from.links_of(interface).iter().any(|pin| pin.exists()) {
            return Ok(());
        }
        upgrade.commit(pins)?;
        upgrade.adopt(pins, interface, index)
    }

    /// Where what is in force was pinned before an upgrade.
    pub(super) fn pins_before(&self) -> Option<&Pins> {
        self.upgrade.as_ref().map(|upgrade| &upgrade.from)
    }

    /// Whether something is pinned for an interface, before or after an upgrade.
    pub fn holds(&self, interface: &str) -> bool {
        let pinned = |pins: &Pins| pins.link(interface).exists();
        self.pins.as_ref().is_some_and(pinned)
            || self.upgrade.as_ref().is_some_and(|upgrade| pinned(&upgrade.from))
    }

    /// To be called when everything is in force: gives up what was before an upgrade, and leaves the program to the next agent,
    /// which goes back to it should it fail.
    ///
    /// # Errors
    ///
    /// [`DatapathError`]. What is in force stays so, and the next start tries again.
    pub fn finish(&mut self) -> Result<(), DatapathError> {
        if let (Some(upgrade), Some(pins)) = (&mut self.upgrade, &mut self.pins) {
            upgrade.finish(pins)?;
        }
        let Some(pins) = &self.pins else { return Ok(()) };
        let (fresh, path) = (pins.path("new_program"), pins.path(names::PINNED_PROGRAM));
        if fresh.exists() {
            pins.remove("new_program")?;
        }
        self.program()?.pin(&fresh).map_err(|error| DatapathError::kernel("pin the XDP program", &error))?;
        rename(&fresh, &path)
    }

    /// Goes back to what was before an upgrade, as far as it has come.
    ///
    /// # Errors
    ///
    /// [`DatapathError`]: some interface has the new program then, and the next start goes on from there.
    pub fn take_upgrade_back(&mut self) -> Result<(), DatapathError> {
        match (&mut self.upgrade, &mut self.pins) {
            (Some(upgrade), Some(pins)) => upgrade.take_back(pins),
            _ => Ok(()),
        }
    }
}

/// Type, key size, value size and entries of a map.
type Layout = (u32, u32, u32, u32);

/// What the program wants of each pinned map.
struct Layouts(Vec<(&'static str, Layout)>);

impl Layouts {
    fn wanted(options: &Options) -> Result<Self, DatapathError> {
        let failed =
            |error: &(dyn std::error::Error + 'static)| DatapathError::kernel("read the BPF object", error);
        let object = Object::parse(object::OBJECT).map_err(|error| failed(&error))?;
        let mut layouts = Vec::new();
        for name in names::PINNED_MAPS {
            let map = object.maps.get(name).ok_or_else(|| super::missing(name))?;
            let entries = match name {
                names::SOURCES => source_lines(options.source_lines),
                names::FLOWS => flows::lines(options.flows),
                _ => map.max_entries(),
            };
            layouts.push((name, (map.map_type(), map.key_size(), map.value_size(), entries)));
        }
        Ok(Self(layouts))
    }

    /// Whether each map that is pinned here is as it should be.
    fn all_fit(&self, pins: &Pins) -> Result<bool, DatapathError> {
        for (name, wanted) in &self.0 {
            if pins.exists(name) && layout_of(&open(pins, name)?)? != *wanted {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Pins in another place what means there what it means here.
    fn carry(&self, from: &Pins, to: &Pins) -> Result<(), DatapathError> {
        let version = from.version();
        maps::copy_kept(&from.path(names::KEPT), to)?;
        let mut anew = Vec::new();
        for (name, wanted) in &self.0 {
            let Some((_, since)) = TAKEN_OVER.iter().find(|(taken, _)| taken == name) else { continue };
            // How large the table is goes with the table.
            let goes_with = if *name == names::FLOWS_STATE { names::FLOWS } else { name };
            let fits = from.exists(name) && version >= *since && {
                let map = open(from, name)?;
                layout_of(&map)? == *wanted && !anew.contains(&goes_with) && {
                    map.pin(to.path(name))
                        .map_err(|error| DatapathError::kernel(format!("pin map {name}"), &error))?;
                    true
                }
            };
            if !fits {
                anew.push(*name);
            }
        }
        tracing::info!("taking over what is pinned in {}", from.directory().display());
        for name in anew {
            tracing::warn!("{name} begins anew: its layout or its size has changed ({})", meaning(name));
        }
        Ok(())
    }
}

/// What is lost with a map.
fn meaning(name: &str) -> &'static str {
    match name {
        names::LISTS => "bans and other entries by command",
        names::PROVEN => "proven sources",
        names::COUNTERS | names::SIGNATURES | names::EVENTS_LOST => "counts",
        names::SOURCES | names::TOTALS => "rates: every source has its burst again",
        names::FLOWS | names::FLOWS_STATE => "flows: learned again, as configured",
        _ => "a moment's samples",
    }
}

fn open(pins: &Pins, name: &str) -> Result<MapData, DatapathError> {
    MapData::from_pin(pins.path(name))
        .map_err(|error| DatapathError::kernel(format!("open the pinned map {name}"), &error))
}

fn layout_of(map: &MapData) -> Result<Layout, DatapathError> {
    let failed = |error| DatapathError::kernel("ask what a pinned map is", &error);
    let info = map.info().map_err(failed)?;
    let kind = info.map_type().map_err(failed)? as u32;
    Ok((kind, info.key_size(), info.value_size(), info.max_entries()))
}

/// The directory that is in force. Where an upgrade was ended half way there are several: the links of the others are moved to it,
/// whose programs hold their maps without them, and the others removed.
fn settle_on_one(root: &Path) -> Result<Option<Pins>, DatapathError> {
    let mut found = Vec::new();
    for pins in Pins::all(root)? {
        // What has no KEPT was never in force.
        if pins.exists(names::KEPT) && pins.version() <= ABI_VERSION {
            found.push((pins.has_links()?, pins.version(), !pins.is_named("before_"), pins));
        }
    }
    found.sort_by_key(|(has_links, version, whole, _)| std::cmp::Reverse((*has_links, *version, *whole)));
    let mut found = found.into_iter().map(|(.., pins)| pins);
    let Some(chosen) = found.next() else { return Ok(None) };
    if chosen.version() < OLDEST {
        return Err(DatapathError::OtherLayout {
            directory: chosen.directory().to_owned(),
            age: "an older",
            version: chosen.version(),
            interfaces: chosen.linked_interfaces()?,
        });
    }
    for other in found {
        move_links(&other, &chosen)?;
        retire(root, &other)?;
    }
    Ok(Some(chosen))
}

/// A newer version's pins are left alone. If they protect nothing, and this version's do, an upgrade to it came to nothing.
fn refuse_newer(root: &Path) -> Result<(), DatapathError> {
    let own = Pins::at(root).has_links()?;
    for pins in Pins::all(root)? {
        if pins.version() > ABI_VERSION && pins.exists(names::KEPT) && (pins.has_links()? || !own) {
            return Err(DatapathError::OtherLayout {
                directory: pins.directory().to_owned(),
                age: "a newer",
                version: pins.version(),
                interfaces: pins.linked_interfaces()?,
            });
        }
    }
    Ok(())
}

fn remove_waste(root: &Path) -> Result<(), DatapathError> {
    for waste in Pins::waste(root)? {
        waste.remove_all()?;
    }
    Ok(())
}

fn move_links(from: &Pins, to: &Pins) -> Result<(), DatapathError> {
    for name in from.names()?.iter().filter(|name| is_link(name)) {
        if to.exists(name) {
            // The interface was attached anew.
            from.remove(name)?;
        } else {
            rename(&from.path(name), &to.path(name))?;
        }
    }
    Ok(())
}

/// Removes a directory of pins whose links are elsewhere now. Its name says so first, lest it be taken for one in use.
fn retire(root: &Path, pins: &Pins) -> Result<(), DatapathError> {
    let name = pins.directory().file_name().unwrap_or_default().to_string_lossy();
    let old = Pins::named(root, format!("old_{name}"));
    rename(pins.directory(), old.directory())?;
    old.remove_all()
}

/// Within the BPF filesystem a name is moved atomically, and takes the place of another.
fn rename(from: &Path, to: &Path) -> Result<(), DatapathError> {
    fs::rename(from, to).map_err(|error: io::Error| DatapathError::pin("move to its new place", from, error))
}
