//! What a run leaves in file systems: named by process, removed at its end, and by the next run if it was killed.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::{Context, Result};

/// Where pins live.
const BPF_FILE_SYSTEM: &str = "/sys/fs/bpf";
/// Every name begins so, and goes on `<process id>-<number>`.
const PREFIX: &str = "stopbank-test-";

/// Everything that is there at the moment, for [`remove_all`].
static PRESENT: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A directory of this run's own, which is removed with all that is in it when this is dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// In the directory for temporary files, readable for all: nginx's workers are other users.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn new() -> Result<Self> {
        let scratch = Self(unique(&std::env::temp_dir()));
        fs::create_dir(&scratch.0).with_context(|| format!("cannot make {}", scratch.0.display()))?;
        register(&scratch.0);
        fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o755))?;
        Ok(scratch)
    }

    /// A name for a directory of pins, which whoever pins makes.
    pub fn pins() -> Self {
        let scratch = Self(unique(Path::new(BPF_FILE_SYSTEM)));
        register(&scratch.0);
        scratch
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.0);
        PRESENT.lock().unwrap_or_else(PoisonError::into_inner).retain(|path| *path != self.0);
    }
}

/// Removes what every [`Scratch`] of this process holds: for an end that runs no destructors.
pub fn remove_all() {
    for path in PRESENT.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        remove(&path);
    }
}

/// Removes what processes that are no more have left. Removing pins ends what they held in the kernel.
pub fn sweep() {
    for directory in [std::env::temp_dir(), BPF_FILE_SYSTEM.into()] {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let owner = entry.file_name().to_str().and_then(owner);
            if owner.is_some_and(|process| !Path::new("/proc").join(process.to_string()).exists()) {
                remove(&entry.path());
            }
        }
    }
}

/// The process that a name belongs to, if it is one of ours.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

fn unique(directory: &Path) -> PathBuf {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    // No dot: the BPF file system takes none.
    directory.join(format!("{PREFIX}{}-{number}", std::process::id()))
}

fn register(path: &Path) {
    PRESENT.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        eprintln!("cannot remove {}: {error}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_have_an_owner() {
        assert_eq!(owner("stopbank-test-17-3"), Some(17));
        for other in ["stopbank", "stopbank-test-", "stopbank-test-x-1", "stopbank-test-17"] {
            assert_eq!(owner(other), None, "{other}");
        }
    }

    #[test]
    fn a_scratch_directory_goes_with_its_owner() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().to_owned();
        fs::write(scratch.file("within"), "").unwrap();
        sweep();
        assert!(path.exists(), "the owner is alive");
        drop(scratch);
        assert!(!path.exists());
    }
}
