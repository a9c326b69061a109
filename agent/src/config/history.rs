//! What an agent keeps of its configurations below its state directory: the one that was good last, the one before that,
//! and whether one is on trial.
//!
//! One file, so that it goes from one state to the next as a whole: a line that says what it is, a line of JSON, and the
//! CRC-32 of all before it. It is written beside and renamed, and believed only if every byte of it is as it was written.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    directory::LARGEST,
    sources::{DropIn, Sources},
};

/// Its name below the state directory.
const NAME: &str = "configuration";
/// The first line, with the version of all that follows.
const MAGIC: &str = "stopbank configuration 1\n";
/// Largest file that is read: as many configurations, each character escaped.
const LARGEST_FILE: u64 = 4 * 6 * LARGEST + (1 << 16);

/// The configurations that an agent has had.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct History {
    /// The file that they are read from.
    pub file: PathBuf,
    /// In force, or what comes back if the one on trial is not confirmed.
    pub good: Sources,
    /// In force before that.
    #[serde(default)]
    pub before: Option<Sources>,
    /// What is on trial.
    #[serde(default)]
    pub trial: Option<Trial>,
    /// What was taken back and stands on the disk still, because it could not be replaced there.
    #[serde(default)]
    pub rejected: Option<Sources>,
}

/// A configuration that is in force until somebody confirms it, or its time is over.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Trial {
    /// The time, in seconds since 1970.
    pub until: u64,
    /// Interfaces that were protected before it.
    pub protected: Vec<String>,
    /// What it says: files that say something else by then are not replaced.
    #[serde(default)]
    pub tried: Sources,
}

/// Why there is a history that is not used.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The system refused.
    #[error("{} cannot be read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not as it was written.
    #[error("{} is damaged ({why}); {aside}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
        /// Where it is now.
        aside: String,
    },
}

impl History {
    /// Reads what an earlier agent has kept; `None` if nothing is there. What is damaged is renamed, so that it can be looked
    /// at and is never read again.
    ///
    /// # Errors
    ///
    /// [`HistoryError`].
    pub fn load(state: &Path) -> Result<Option<Self>, HistoryError> {
        let path = state.join(NAME);
        // Neither waits for the writer of a FIFO nor leaves the directory by a link.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                return Err(set_aside(path, "it is a symbolic link"));
            }
            Err(source) => return Err(HistoryError::Io { path, source }),
        };
        let mut bytes = Vec::new();
        let read = file.metadata().and_then(|metadata| {
            if metadata.is_file() {
                file.take(LARGEST_FILE).read_to_end(&mut bytes).map(|_| true)
            } else {
                Ok(false)
            }
        });
        match read {
            Err(source) => Err(HistoryError::Io { path, source }),
            Ok(false) => Err(set_aside(path, "it is not a regular file")),
            Ok(true) => decode(&bytes).map(Some).map_err(|why| set_aside(path, why)),
        }
    }

    /// Keeps it in the place of what was kept before. When this returns it is on the disk.
    ///
    /// # Errors
    ///
    /// What the system says, with the file; what was kept before is still there then.
    pub fn save(&self, state: &Path) -> io::Result<()> {
        let (path, fresh) = (state.join(NAME), state.join(format!(".{NAME}.new")));
        let written = DirBuilder::new().recursive(true).mode(0o700).create(state).and_then(|()| {
            match fs::remove_file(&fresh) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
            file.write_all(&encode(self)?)?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            File::open(state)?.sync_all()
        });
        if written.is_err() {
            // It would only take up room; the error is the one above.
            let _ = fs::remove_file(&fresh);
        }
        written.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }

    /// Every configuration in it.
    fn all(&self) -> impl Iterator<Item = &Sources> {
        let tried = self.trial.as_ref().map(|trial| &trial.tried);
        std::iter::once(&self.good).chain(&self.before).chain(tried).chain(&self.rejected)
    }

    /// Forgets what is kept: for a disk that takes nothing new.
    ///
    /// # Errors
    ///
    /// What the system says, with the file.
    pub fn forget(state: &Path) -> io::Result<()> {
        let path = state.join(NAME);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io::Error::new(error.kind(), format!("{}: {error}", path.display())))
            }
            _ => Ok(()),
        }
    }
}

fn encode(history: &History) -> io::Result<Vec<u8>> {
    let mut bytes = MAGIC.as_bytes().to_vec();
    serde_json::to_writer(&mut bytes, history)?;
    bytes.push(b'\n');
    let sum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(format!("{sum:08x}\n").as_bytes());
    Ok(bytes)
}

fn decode(bytes: &[u8]) -> Result<History, &'static str> {
    // Eight digits and the end of their line.
    let Some((said, sum)) = bytes.split_last_chunk::<9>() else { return Err("it is cut short") };
    if !said.starts_with(MAGIC.as_bytes()) {
        return Err("it does not begin like one that this version writes");
    }
    if format!("{:08x}\n", crc32fast::hash(said)).as_bytes() != sum {
        return Err("its checksum is wrong");
    }
    let history: History =
        serde_json::from_slice(&said[MAGIC.len()..]).map_err(|_| "it cannot be understood")?;
    // Files are written by these names.
    if history.all().flat_map(|sources| &sources.drop_ins).all(DropIn::is_plain) {
        Ok(history)
    } else {
        Err("it names a file that is not in conf.d")
    }
}

/// Renames what is damaged.
fn set_aside(path: PathBuf, why: &'static str) -> HistoryError {
    let mut name = OsString::from(&path);
    name.push(".damaged");
    let aside = match fs::rename(&path, &name) {
        Ok(()) => format!("it was set aside as {}", Path::new(&name).display()),
        Err(error) => format!("it cannot be set aside: {error}"),
    };
    HistoryError::Damaged { path, why, aside }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history() -> History {
        let drop_ins = vec![DropIn { name: "a.toml".to_owned(), text: "# é\n".to_owned() }];
        History {
            file: "/etc/s/main.toml".into(),
            good: Sources { drop_ins, ..Sources::single("/etc/s/main.toml", "mode = \"observe\"\n") },
            before: Some(Sources::single("/etc/s/main.toml", "")),
            trial: Some(Trial {
                until: 9,
                protected: vec!["eth0".to_owned()],
                tried: Sources::single("/etc/s/main.toml", "# tried\n"),
            }),
            rejected: None,
        }
    }

    #[test]
    fn what_is_kept_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        assert_eq!(History::load(&state).unwrap(), None);
        history().save(&state).unwrap();
        assert_eq!(History::load(&state).unwrap(), Some(history()));
        History::default().save(&state).unwrap();
        assert_eq!(History::load(&state).unwrap(), Some(History::default()));
        History::forget(&state).unwrap();
        History::forget(&state).unwrap();
        assert_eq!(History::load(&state).unwrap(), None);
        assert_eq!(fs::read_dir(&state).unwrap().count(), 0);
    }

    #[test]
    fn no_name_leads_out_of_its_directory() {
        for name in ["../a.toml", "/etc/a.toml", "b/a.toml", ".a.toml", "a", "a.toml\0", "", "..", ".toml"] {
            let drop_in = DropIn { name: name.to_owned(), text: String::new() };
            let bad = Sources { drop_ins: vec![drop_in], ..Sources::single("/etc/s/main.toml", "") };
            for history in [
                History { good: bad.clone(), ..history() },
                History { before: Some(bad.clone()), ..history() },
                History { rejected: Some(bad.clone()), ..history() },
            ] {
                assert_eq!(
                    decode(&encode(&history).unwrap()),
                    Err("it names a file that is not in conf.d"),
                    "{name:?}"
                );
            }
        }
    }

    #[test]
    fn any_other_byte_and_any_other_length_is_damage_that_is_set_aside() {
        let whole = encode(&history()).unwrap();
        assert_eq!(decode(&whole), Ok(history()));
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x20;
            decode(&bytes).unwrap_err();
            decode(&whole[..at]).unwrap_err();
        }
        let directory = tempfile::tempdir().unwrap();
        let (path, aside) = (directory.path().join(NAME), directory.path().join("configuration.damaged"));
        let error = || History::load(directory.path()).unwrap_err().to_string();
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(error().contains("configuration.damaged"));
        assert!(aside.exists() && !path.exists());
        std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
        assert!(error().contains("symbolic link"));
        fs::create_dir(&path).unwrap();
        assert!(error().contains("not a regular file"), "{}", error());
    }
}
