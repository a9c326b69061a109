//! One agent at a time: for a control socket, and for a pin directory.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// Why the lock cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another agent holds it.
    #[error("another agent is running{}, on {}", .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(), .on.display())]
    Held {
        /// Its process, if it said.
        pid: Option<u32>,
        /// The socket or the pin directory.
        on: PathBuf,
    },
    /// The lock file cannot be used.
    #[error("cannot lock {}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Held until it is dropped, or the process ends in whatever way. The files stay: removing them would let two agents
/// lock two files of the same name.
#[derive(Debug)]
pub struct AgentLock {
    _socket: File,
    pins: Option<File>,
}

impl AgentLock {
    /// Takes the lock beside the socket (`<socket>.lock`, which holds the process's number), and one on the pin directory
    /// itself: a second agent with another socket would still fight this one over the pins.
    ///
    /// # Errors
    ///
    /// [`LockError`].
    pub fn take(socket: &Path, pins: &Path) -> Result<Self, LockError> {
        let path = lock_path(socket);
        let io = |source| LockError::Io { path: path.clone(), source };
        if let Some(directory) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(directory).map_err(io)?;
        }
        let mut file = open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held { pid: read_pid(&mut file), on: socket.to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let locked = lock_pins(pins)?;
        let pid = format!("{}\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(pid.as_bytes()))
            .map_err(io)?;
        Ok(Self { _socket: file, pins: locked })
    }

    /// Locks the pin directory too, once it has been made.
    ///
    /// # Errors
    ///
    /// [`LockError`] when another agent was faster.
    pub fn take_pins(&mut self, pins: &Path) -> Result<(), LockError> {
        if self.pins.is_none() {
            self.pins = lock_pins(pins)?;
        }
        Ok(())
    }
}

/// Opens the lock file, or makes it. Its directory may belong to the user whom the agent runs as: root, who takes the lock for
/// `stopbank detach`, must not be led to write into another file.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .map_err(
            |error| if error.raw_os_error() == Some(libc::ELOOP) { not_a_lock("a link") } else { error },
        )?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(not_a_lock("no regular file"));
    }
    if metadata.nlink() != 1 {
        return Err(not_a_lock("a file that has another name as well"));
    }
    Ok(file)
}

fn not_a_lock(is: &str) -> io::Error {
    io::Error::other(format!("it is {is}, which no agent makes; see who made it, and remove it"))
}

/// Whether an agent holds the lock of a socket, and its process.
pub fn holder(socket: &Path) -> Option<Option<u32>> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(lock_path(socket)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(read_pid(&mut file)),
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}

fn lock_path(socket: &Path) -> PathBuf {
    let mut name = socket.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// Where the directory does not exist, nothing is pinned there yet; [`AgentLock::take_pins`] follows when it does.
fn lock_pins(pins: &Path) -> Result<Option<File>, LockError> {
    let Ok(directory) = File::open(pins) else { return Ok(None) };
    match directory.try_lock() {
        Ok(()) => Ok(Some(directory)),
        Err(TryLockError::WouldBlock) => Err(LockError::Held { pid: None, on: pins.to_owned() }),
        Err(TryLockError::Error(source)) => Err(LockError::Io { path: pins.to_owned(), source }),
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_refused_and_told_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let (socket, pins) = (directory.path().join("run/control.sock"), directory.path().join("pins"));
        assert_eq!(holder(&socket), None);
        let lock = AgentLock::take(&socket, &pins).unwrap();
        assert_eq!(holder(&socket), Some(Some(std::process::id())));
        let error = AgentLock::take(&socket, &pins).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(lock);
        assert_eq!(holder(&socket), None);
        AgentLock::take(&socket, &pins).unwrap();
    }

    #[test]
    fn nothing_but_a_lock_file_is_written_to() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let other = at("other");
        std::fs::write(&other, "kept").unwrap();
        let refused = |socket: &str| {
            let error = AgentLock::take(&at(socket), &at("pins")).unwrap_err().to_string();
            assert!(error.contains(&format!("{socket}.lock")) && error.contains("no agent makes"), "{error}");
            assert_eq!(std::fs::read_to_string(&other).unwrap(), "kept");
        };
        std::os::unix::fs::symlink(&other, at("a.lock")).unwrap();
        refused("a");
        std::fs::hard_link(&other, at("b.lock")).unwrap();
        refused("b");
        rustix::fs::mknodat(rustix::fs::CWD, at("c.lock"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .unwrap();
        refused("c");
        assert_eq!(holder(&at("c")), None);
    }

    #[test]
    fn the_same_pins_under_another_socket_are_refused_too() {
        let directory = tempfile::tempdir().unwrap();
        let pins = directory.path().join("pins");
        std::fs::create_dir(&pins).unwrap();
        let _first = AgentLock::take(&directory.path().join("a.sock"), &pins).unwrap();
        let error = AgentLock::take(&directory.path().join("b.sock"), &pins).unwrap_err();
        assert!(matches!(error, LockError::Held { on, .. } if on == pins));
    }

    #[test]
    fn pins_that_are_made_later_are_locked_then() {
        let directory = tempfile::tempdir().unwrap();
        let pins = directory.path().join("pins");
        let mut first = AgentLock::take(&directory.path().join("a.sock"), &pins).unwrap();
        std::fs::create_dir(&pins).unwrap();
        first.take_pins(&pins).unwrap();
        AgentLock::take(&directory.path().join("b.sock"), &pins).unwrap_err();
    }
}
