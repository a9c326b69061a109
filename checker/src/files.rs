//! The files that a policy names beside itself: read when they have changed.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use stopbank_checker::{secret::Secret, state::Files};

use crate::secrets;

/// Largest file, in bytes: that of a list of API keys.
const LARGEST: u64 = stopbank_checker::keys::LARGEST as u64;

/// What tells one state of a file from another: device, inode, size, and the time of its last change.
type Mark = (u64, u64, u64, i64, i64);

/// Files in a policy's folder.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
    seen: HashMap<String, Mark>,
}

impl Disk {
    /// Beside a policy, none of them read yet.
    pub(crate) fn beside(policy: &Path) -> Self {
        Self { folder: policy.parent().unwrap_or(Path::new("")).to_owned(), seen: HashMap::new() }
    }

    /// Where a file is that the policy names.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        let named = Path::new(name);
        if secrets::is_credential(named) { named.to_owned() } else { self.folder.join(named) }
    }
}

impl Files for Disk {
    fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>, String> {
        let place = self.place(name);
        let cannot = |error: std::io::Error| format!("cannot read {}: {error}", place.display());
        let mark =
            |about: &fs::Metadata| (about.dev(), about.ino(), about.len(), about.mtime(), about.mtime_nsec());
        if self.seen.get(name) == Some(&mark(&fs::metadata(&place).map_err(cannot)?)) {
            return Ok(None);
        }
        let file = File::open(&place).map_err(cannot)?;
        // Of what is open: another file may have that name by now.
        let about = file.metadata().map_err(cannot)?;
        let mut bytes = Vec::new();
        file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(cannot)?;
        if bytes.len() as u64 > LARGEST {
            return Err(format!("{} is larger than {} MiB", place.display(), LARGEST >> 20));
        }
        self.seen.insert(name.to_owned(), mark(&about));
        Ok(Some(bytes))
    }

    fn secret(&mut self, name: &str) -> Result<Secret, String> {
        let secret = secrets::read(&self.place(name)).map_err(|error| format!("{error:#}"))?;
        Ok(Secret::of_file(secret.expose().to_vec()))
    }
}
