//! The pin directory in the BPF filesystem.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use aya::maps::MapData;
use stopbank_common::ABI_VERSION;

use super::DatapathError;

/// `BPF_FS_MAGIC` (include/uapi/linux/magic.h).
const BPF_FS_MAGIC: i64 = 0xcafe_4a11;
const DEFAULT_BPFFS: &str = "/sys/fs/bpf";
const LINK_PREFIX: &str = "link_";

/// `<pin directory>/v<ABI version>`.
pub(super) struct Pins {
    directory: PathBuf,
}

impl Pins {
    /// Where the pins of this version are, whether or not they exist.
    pub(super) fn at(root: &Path) -> Self {
        Self { directory: root.join(format!("v{ABI_VERSION}")) }
    }

    /// Makes the directory (its owner's alone), mounting the BPF filesystem at its usual place if nobody has. A unit may show
    /// its agent the directory without the filesystem around it.
    pub(super) fn prepare(root: &Path) -> Result<Self, DatapathError> {
        let mounted = [root, Path::new(DEFAULT_BPFFS)].into_iter().any(is_bpf_filesystem);
        if root.starts_with(DEFAULT_BPFFS) && !mounted {
            mount_bpffs()?;
        }
        let pins = Self::at(root);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&pins.directory)
            .map_err(|error| DatapathError::pin("make", &pins.directory, error))?;
        if !is_bpf_filesystem(&pins.directory) {
            let error = io::Error::other("it is not in a BPF filesystem; pin_dir belongs below /sys/fs/bpf");
            return Err(DatapathError::pin("pin below", &pins.directory, error));
        }
        Ok(pins)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(super) fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), DatapathError> {
        let path = self.path(name);
        fs::remove_file(&path).map_err(|error| DatapathError::pin("remove", path, error))
    }

    /// `max_entries` of a pinned map, if it is there.
    pub(super) fn entries_of(&self, name: &str) -> Result<Option<u32>, DatapathError> {
        if !self.exists(name) {
            return Ok(None);
        }
        let info = MapData::from_pin(self.path(name)).and_then(|map| map.info());
        info.map(|info| Some(info.max_entries()))
            .map_err(|error| DatapathError::kernel(format!("open the pinned map {name}"), &error))
    }

    /// Where the link of an interface is pinned. Names in a BPF filesystem have no dot, interface names may.
    pub(super) fn link(&self, interface: &str) -> PathBuf {
        self.for_interface(LINK_PREFIX, interface)
    }

    /// Where something of an interface's is pinned.
    pub(super) fn for_interface(&self, prefix: &str, interface: &str) -> PathBuf {
        self.path(&format!("{prefix}{}", interface.replace('=', "=3d").replace('.', "=2e")))
    }

    /// Interfaces whose links are pinned.
    pub(super) fn linked_interfaces(&self) -> Result<Vec<String>, DatapathError> {
        self.interfaces_with(LINK_PREFIX)
    }

    /// Interfaces of which something is pinned with this prefix.
    pub(super) fn interfaces_with(&self, prefix: &str) -> Result<Vec<String>, DatapathError> {
        let mut interfaces = Vec::new();
        for name in self.names()? {
            if let Some(escaped) = name.strip_prefix(prefix) {
                interfaces.push(escaped.replace("=2e", ".").replace("=3d", "="));
            }
        }
        interfaces.sort();
        Ok(interfaces)
    }

    /// Removes every pin and the directory, links first: protection ends before the state does.
    pub(super) fn remove_all(&self, root: &Path) -> Result<(), DatapathError> {
        let mut names = self.names()?;
        names.sort_by_key(|name| !name.starts_with(LINK_PREFIX));
        for name in names {
            self.remove(&name)?;
        }
        for directory in [self.directory.as_path(), root] {
            match fs::remove_dir(directory) {
                Err(error) if !stays(&error) => {
                    return Err(DatapathError::pin("remove", directory, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn names(&self) -> Result<Vec<String>, DatapathError> {
        let failed = |error| DatapathError::pin("list", &self.directory, error);
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        entries.map(|entry| Ok(entry.map_err(failed)?.file_name().to_string_lossy().into_owned())).collect()
    }
}

/// Whether a directory may stay: it is gone, in use, or, for an agent that is not root, somebody else's to remove. Empty, it protects
/// nothing.
fn stays(error: &io::Error) -> bool {
    const REASONS: [i32; 6] =
        [libc::ENOENT, libc::ENOTEMPTY, libc::EBUSY, libc::EROFS, libc::EACCES, libc::EPERM];
    error.raw_os_error().is_some_and(|code| REASONS.contains(&code))
}

/// Whether the path is in a BPF filesystem.
pub fn is_bpf_filesystem(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|filesystem| filesystem.f_type == BPF_FS_MAGIC)
}

fn mount_bpffs() -> Result<(), DatapathError> {
    // SAFETY: all pointers are to literals that end in NUL; data may be null.
    let result = unsafe {
        libc::mount(c"bpf".as_ptr(), c"/sys/fs/bpf".as_ptr(), c"bpf".as_ptr(), 0, std::ptr::null())
    };
    if result == 0 {
        return Ok(());
    }
    Err(DatapathError::pin("mount the BPF filesystem at", DEFAULT_BPFFS, io::Error::last_os_error()))
}
