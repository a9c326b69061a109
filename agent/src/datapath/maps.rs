//! Typed access to maps.

use std::{
    os::fd::{AsFd, BorrowedFd},
    path::Path,
};

use aya::{
    Ebpf, Pod,
    maps::{Array, Map, MapData, MapError, RingBuf},
};
use stopbank_common::{Plain, event::Event, names, policy::Kept};

use super::{DatapathError, missing, pins::Pins};

/// A shared type, as aya wants it.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Shared<T: Plain>(pub(super) T);

// SAFETY: transparent over a type that promises the same (`Plain`).
unsafe impl<T: Plain> Pod for Shared<T> {}

impl<T: Plain> Shared<T> {
    pub(super) fn from_ref(value: &T) -> &Self {
        // SAFETY: `Shared` is transparent over T.
        unsafe { &*std::ptr::from_ref(value).cast::<Self>() }
    }
}

pub(super) fn take(ebpf: &mut Ebpf, name: &str) -> Result<Map, DatapathError> {
    ebpf.take_map(name).ok_or_else(|| missing(name))
}

pub(super) fn typed<M: TryFrom<Map, Error = MapError>>(map: Map, name: &str) -> Result<M, DatapathError> {
    M::try_from(map).map_err(|error| DatapathError::kernel(format!("use map {name}"), &error))
}

/// Opens (or makes, with a fresh key) the map that the kernel never reads.
pub(super) fn open_kept(pins: Option<&Pins>) -> Result<Array<MapData, Shared<Kept>>, DatapathError> {
    let failed = |error: MapError| DatapathError::kernel("use map KEPT", &error);
    if let Some(pins) = pins
        && pins.exists(names::KEPT)
    {
        let data = MapData::from_pin(pins.path(names::KEPT)).map_err(failed)?;
        return typed(Map::from_map_data(data).map_err(failed)?, names::KEPT);
    }
    let mut map = Array::<MapData, Shared<Kept>>::create(1, 0).map_err(failed)?;
    let mut kept = Kept::default();
    for word in &mut kept.key.words {
        *word = random()?;
    }
    map.set(0, Shared(kept), 0).map_err(failed)?;
    let Some(pins) = pins else { return Ok(map) };
    map.pin(pins.path(names::KEPT)).map_err(|error| DatapathError::kernel("pin map KEPT", &error))?;
    let data = MapData::from_pin(pins.path(names::KEPT)).map_err(failed)?;
    typed(Map::from_map_data(data).map_err(failed)?, names::KEPT)
}

/// Leaves what an earlier agent must find again in a map of its own, so that what is written there later is not known
/// where it came from.
pub(super) fn copy_kept(from: &Path, to: &Pins) -> Result<(), DatapathError> {
    let failed = |error: MapError| DatapathError::kernel("copy map KEPT", &error);
    let data = MapData::from_pin(from).map_err(failed)?;
    let info = data.info().map_err(failed)?;
    if (info.key_size(), info.value_size()) != (4, size_of::<Kept>() as u32) {
        return Err(DatapathError::Kernel {
            tried: format!("take over {}", from.display()),
            why: format!("it holds {} bytes, and not the {} of a KEPT", info.value_size(), size_of::<Kept>()),
        });
    }
    let before: Array<MapData, Shared<Kept>> = typed(Map::from_map_data(data).map_err(failed)?, names::KEPT)?;
    let mut copy = Array::<MapData, Shared<Kept>>::create(1, 0).map_err(failed)?;
    copy.set(0, before.get(&0, 0).map_err(failed)?, 0).map_err(failed)?;
    copy.pin(to.path(names::KEPT)).map_err(|error| DatapathError::kernel("pin map KEPT", &error))
}

fn random() -> Result<u64, DatapathError> {
    let mut bytes = [0u8; 8];
    // SAFETY: the pointer and length are those of a live array.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if got == 8 {
        Ok(u64::from_ne_bytes(bytes))
    } else {
        Err(DatapathError::kernel("draw a random hash key", &std::io::Error::last_os_error()))
    }
}

/// Reads sampled drops. Poll the descriptor; then call [`EventReader::next_event`] until it has no more.
pub struct EventReader(RingBuf<MapData>);

impl EventReader {
    pub(super) const fn new(ring: RingBuf<MapData>) -> Self {
        Self(ring)
    }

    /// The next event, if there is one.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            let item = self.0.next()?;
            if item.len() == size_of::<Event>() {
                // SAFETY: as many bytes as an Event has, and every bit pattern is one (`Plain`).
                return Some(unsafe { item.as_ptr().cast::<Event>().read_unaligned() });
            }
        }
    }
}

impl AsFd for EventReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl std::os::fd::AsRawFd for EventReader {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.as_raw_fd()
    }
}
