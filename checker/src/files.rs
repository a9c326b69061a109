//! The files that a policy names beside itself: read when they have changed.

use std::{
    collections::HashMap,
    fs,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use stopbank_checker::{secret::Secret, state::Files};

use crate::secrets;

/// Largest file, in bytes: that of a list of API keys.
const LARGEST: u64 = stopbank_checker::keys::LARGEST as u64;

/// What tells one state of a file from another: device, inode, size, and when its bytes and the rest of it were changed last. The first of these times can be set
/// by whoever copies a file, the other cannot.
type Mark = (u64, u64, u64, [i64; 4]);

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
        let mark = |about: &fs::Metadata| {
            let times = [about.mtime(), about.mtime_nsec(), about.ctime(), about.ctime_nsec()];
            (about.dev(), about.ino(), about.len(), times)
        };
        if self.seen.get(name) == Some(&mark(&fs::metadata(&place).map_err(cannot)?)) {
            return Ok(None);
        }
        let (file, about) = secrets::open(&place).map_err(cannot)?;
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

#[cfg(test)]
mod tests {
    use std::{process::Command, sync::mpsc, time::Duration};

    use super::*;

    #[test]
    fn what_is_no_regular_file_is_an_error_and_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let made = Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap();
        assert!(made.success());
        fs::create_dir(folder.path().join("folder")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", folder.path().join("device")).unwrap();
        let (sender, receiver) = mpsc::channel();
        let policy = folder.path().join("policy.toml");
        std::thread::spawn(move || {
            let mut disk = Disk::beside(&policy);
            for name in ["pipe", "folder", "device"] {
                let _ = sender.send((disk.read(name), disk.secret(name).err()));
            }
        });
        for name in ["pipe", "folder", "device"] {
            let (read, secret) = receiver.recv_timeout(Duration::from_secs(10)).unwrap();
            let wrong = read.unwrap_err();
            assert!(wrong.contains(name) && wrong.contains("no regular file"), "{wrong}");
            let wrong = secret.unwrap();
            assert!(wrong.contains(name) && wrong.contains("no regular file"), "{wrong}");
        }
    }

    #[test]
    fn a_file_is_read_again_when_it_has_changed_and_a_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        fs::write(&file, "one").unwrap();
        std::os::unix::fs::symlink("a", folder.path().join("b")).unwrap();
        let mut disk = Disk::beside(&folder.path().join("policy.toml"));
        assert_eq!(disk.read("b"), Ok(Some(b"one".to_vec())));
        assert_eq!(disk.read("b"), Ok(None));
        fs::write(&file, "three").unwrap();
        assert_eq!(disk.read("b"), Ok(Some(b"three".to_vec())));
        // Of the same length, and made to look as old.
        let before = fs::metadata(&file).unwrap().modified().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        fs::write(&file, "seven").unwrap();
        fs::File::options().write(true).open(&file).unwrap().set_modified(before).unwrap();
        assert_eq!(disk.read("b"), Ok(Some(b"seven".to_vec())));
        fs::remove_file(&file).unwrap();
        assert!(disk.read("b").is_err());
    }
}
