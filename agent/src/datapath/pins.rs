//! The pin directory in the BPF filesystem.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use stopbank_common::ABI_VERSION;

use super::DatapathError;

/// `BPF_FS_MAGIC` (include/uapi/linux/magic.h).
const BPF_FS_MAGIC: i64 = 0xcafe_4a11;
const DEFAULT_BPFFS: &str = "/sys/fs/bpf";
const LINK_PREFIX: &str = "link_";
/// Of a TCX link.
pub(super) const EGRESS_LINK: &str = "egress_";
/// Of a program whose filter is in a clsact qdisc.
pub(super) const EGRESS_FILTER: &str = "filter_";
/// Of everything that is pinned for an interface.
const INTERFACE_PREFIXES: [&str; 3] = [LINK_PREFIX, EGRESS_LINK, EGRESS_FILTER];

/// Whether a pin of this name protects an interface.
pub(super) fn is_link(name: &str) -> bool {
    INTERFACE_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// A directory of pins: `<pin directory>/v<ABI version>`, and others while an upgrade is under way ([`super::upgrade`]).
#[derive(Clone)]
pub(super) struct Pins {
    directory: PathBuf,
}

impl Pins {
    /// Where the pins of this version are, whether or not they exist.
    pub(super) fn at(root: &Path) -> Self {
        Self { directory: root.join(format!("v{ABI_VERSION}")) }
    }

    /// One with another name.
    pub(super) fn named(root: &Path, name: impl AsRef<Path>) -> Self {
        Self { directory: root.join(name) }
    }

    /// Those of every version that are there, in no order.
    pub(super) fn all(root: &Path) -> Result<Vec<Self>, DatapathError> {
        Self::matching(root, |name| {
            let number = name.strip_prefix("before_").unwrap_or(name).strip_prefix('v');
            number.is_some_and(|number| number.parse::<u32>().is_ok())
        })
    }

    /// Those that an upgrade has left, and that nobody uses.
    pub(super) fn waste(root: &Path) -> Result<Vec<Self>, DatapathError> {
        Self::matching(root, |name| name.starts_with("new_v") || name.starts_with("old_"))
    }

    fn matching(root: &Path, is: impl Fn(&str) -> bool) -> Result<Vec<Self>, DatapathError> {
        let names = Self { directory: root.to_owned() }.names()?;
        Ok(names.into_iter().filter(|name| is(name)).map(|name| Self::named(root, name)).collect())
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether the directory's name begins so.
    pub(super) fn is_named(&self, prefix: &str) -> bool {
        self.directory.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
    }

    /// The ABI version in the directory's name; 0 if there is none.
    pub(super) fn version(&self) -> u32 {
        let name = self.directory.file_name().unwrap_or_default().to_string_lossy();
        name.rsplit_once('v').and_then(|(_, number)| number.parse().ok()).unwrap_or(0)
    }

    /// Makes the directory (its owner's alone).
    pub(super) fn prepare(&self) -> Result<(), DatapathError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)
            .map_err(|error| DatapathError::pin("make", &self.directory, error))?;
        in_bpf_filesystem("pin below", &self.directory)
    }

    /// Those of every version, and what upgrades have left: all that ends with protection.
    ///
    /// Names in them are to be removed, which must be no other's files: refuses where one is not in a BPF filesystem.
    pub(super) fn to_remove(root: &Path) -> Result<Vec<Self>, DatapathError> {
        if !root.exists() {
            return Ok(Vec::new());
        }
        let mut all = Self::all(root)?;
        all.extend(Self::waste(root)?);
        let directories = all.iter().map(Self::directory).chain([root]);
        directories
            .into_iter()
            .try_for_each(|directory| in_bpf_filesystem("remove pins below", directory))?;
        Ok(all)
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

    /// Where the link of an interface is pinned. Names in a BPF filesystem have no dot, interface names may.
    pub(super) fn link(&self, interface: &str) -> PathBuf {
        self.for_interface(LINK_PREFIX, interface)
    }

    /// Where something of an interface's is pinned.
    pub(super) fn for_interface(&self, prefix: &str, interface: &str) -> PathBuf {
        self.path(&format!("{prefix}{}", interface.replace('=', "=3d").replace('.', "=2e")))
    }

    /// Where whatever protects an interface is pinned.
    pub(super) fn links_of(&self, interface: &str) -> [PathBuf; 3] {
        INTERFACE_PREFIXES.map(|prefix| self.for_interface(prefix, interface))
    }

    /// Whether any interface is protected from here.
    pub(super) fn has_links(&self) -> Result<bool, DatapathError> {
        Ok(self.names()?.iter().any(|name| is_link(name)))
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

    /// Removes what is pinned for an interface.
    pub(super) fn remove_interface(&self, interface: &str) -> Result<(), DatapathError> {
        for pin in self.links_of(interface) {
            match fs::remove_file(&pin) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(DatapathError::pin("remove", pin, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Gives what is pinned for an interface to another name.
    pub(super) fn rename_interface(&self, from: &str, to: &str) -> Result<(), DatapathError> {
        for (old, new) in self.links_of(from).into_iter().zip(self.links_of(to)) {
            match fs::rename(&old, new) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(DatapathError::pin("rename", old, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes every pin and the directory, links first: protection ends before the state does.
    pub(super) fn remove_all(&self) -> Result<(), DatapathError> {
        let mut names = self.names()?;
        names.sort_by_key(|name| !is_link(name));
        for name in names {
            self.remove(&name)?;
        }
        remove_empty(&self.directory)
    }

    pub(super) fn names(&self) -> Result<Vec<String>, DatapathError> {
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

fn in_bpf_filesystem(what: &'static str, directory: &Path) -> Result<(), DatapathError> {
    if is_bpf_filesystem(directory) {
        return Ok(());
    }
    let error = io::Error::other("it is not in a BPF filesystem; pin_dir belongs below /sys/fs/bpf");
    Err(DatapathError::pin(what, directory, error))
}

/// Whether the path is in a BPF filesystem.
pub fn is_bpf_filesystem(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|filesystem| filesystem.f_type == BPF_FS_MAGIC)
}

/// Mounts the BPF filesystem at its usual place, if pins are to be there and nobody has. A unit may show its agent the directory
/// without the filesystem around it.
pub(super) fn mount(root: &Path) -> Result<(), DatapathError> {
    let mounted = [root, Path::new(DEFAULT_BPFFS)].into_iter().any(is_bpf_filesystem);
    if root.starts_with(DEFAULT_BPFFS) && !mounted {
        mount_bpffs()?;
    }
    Ok(())
}

/// Removes a directory, if there is nothing in it.
pub(super) fn remove_empty(directory: &Path) -> Result<(), DatapathError> {
    match fs::remove_dir(directory) {
        Err(error) if !stays(&error) => Err(DatapathError::pin("remove", directory, error)),
        _ => Ok(()),
    }
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

#[cfg(test)]
mod tests {
    use super::super::detach_all;

    #[test]
    fn files_that_are_no_pins_are_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let refused = || {
            let refused = detach_all(root).unwrap_err().to_string();
            assert!(refused.contains("it is not in a BPF filesystem"), "{refused}");
        };
        refused();
        for version in [stopbank_common::ABI_VERSION, 0] {
            let file = root.join(format!("v{version}/link_eth0"));
            std::fs::create_dir(file.parent().unwrap()).unwrap();
            std::fs::write(&file, "kept").unwrap();
            refused();
            assert!(file.exists());
        }
        assert!(detach_all(&root.join("gone")).unwrap().is_empty());
    }
}
