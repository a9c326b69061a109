//! Secrets out of files, or of the service manager's credentials (systemd.exec(5), `LoadCredential=`). Others on the host must not be able to
//! read them, and what is read is wiped when it has been used.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use rustix::fs::OFlags;
use stopbank_checker::secret::Secret;
use zeroize::Zeroizing;

/// What a path begins with that names a credential.
const CREDENTIAL: &str = "credential:";
/// Largest file, in bytes.
const LARGEST: u64 = 1 << 20;
/// Permissions of anyone who is neither the owner nor of the group.
const OTHERS: u32 = 0o007;

/// Whether a path names a credential, which the service manager makes.
pub(crate) fn is_credential(named: &Path) -> bool {
    named.to_str().is_some_and(|named| named.starts_with(CREDENTIAL))
}

/// Where a file is: as it is named, or `credential:NAME` in the directory that the service manager tells.
pub(crate) fn place(named: &Path) -> Result<PathBuf> {
    locate(named, std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from))
}

fn locate(named: &Path, directory: Option<PathBuf>) -> Result<PathBuf> {
    let Some(name) = named.to_str().and_then(|named| named.strip_prefix(CREDENTIAL)) else {
        return Ok(named.to_owned());
    };
    let mut parts = Path::new(name).components();
    let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name);
    ensure!(plain, "`{}`: behind `{CREDENTIAL}` stands the name of a credential", named.display());
    let directory = directory.with_context(|| {
        format!("{CREDENTIAL}{name}: the service manager passes no credentials on (LoadCredential={name}:FILE in the unit)")
    })?;
    Ok(directory.join(name))
}

/// Reads one.
///
/// # Errors
///
/// It cannot be read, is too large or no file, or others than its owner and group may read or write it.
pub(crate) fn read(named: &Path) -> Result<Secret> {
    let path = place(named)?;
    let name = path.display();
    let (mut file, about) = open(&path).with_context(|| format!("cannot open {name}"))?;
    ensure!(
        about.mode() & OTHERS == 0,
        "{name} is a secret, and everyone on this host may read or write it (mode {:04o}): chmod o= {name}",
        about.mode() & 0o7777
    );
    ensure!(about.len() <= LARGEST, "{name} is larger than {} KiB", LARGEST >> 10);
    // Of its size at once: a buffer that grows leaves copies of what was in it behind.
    let size = usize::try_from(about.len()).unwrap_or_default();
    let mut bytes = Zeroizing::new(vec![0; size + 1]);
    let mut length = 0;
    while length < bytes.len() {
        match file.read(&mut bytes[length..]).with_context(|| format!("cannot read {name}"))? {
            0 => break,
            more => length += more,
        }
    }
    ensure!(length <= size, "{name} has grown while it was read");
    bytes.truncate(length);
    Ok(Secret::new(std::mem::take(&mut *bytes)))
}

/// Opens a regular file to be read, and says what it is. It never waits, as it would for somebody who writes to a named pipe.
///
/// # Errors
///
/// It cannot be opened, or is something else.
pub(crate) fn open(path: &Path) -> io::Result<(File, fs::Metadata)> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::options().read(true).custom_flags(flags.bits() as i32).open(path)?;
    // Of what is open: another file may have that name by now.
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    Ok((file, about))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_credential_is_in_the_directory_that_is_told_and_nowhere_else() {
        let told = || Some(PathBuf::from("/run/credentials/a.service"));
        let at =
            |named: &str, directory| locate(Path::new(named), directory).map_err(|error| error.to_string());
        assert_eq!(at("key.pem", told()), Ok("key.pem".into()));
        assert_eq!(at("credential:key.pem", told()), Ok("/run/credentials/a.service/key.pem".into()));
        for named in [
            "credential:../key",
            "credential:a/b",
            "credential:/etc/key",
            "credential:",
            "credential:.",
            "credential:a/",
        ] {
            assert!(at(named, told()).unwrap_err().contains("the name of a credential"), "{named}");
        }
        assert!(at("credential:key.pem", None).unwrap_err().contains("LoadCredential=key.pem:FILE"));
    }

    #[test]
    fn what_everyone_may_read_is_no_secret() {
        let path = std::env::temp_dir().join(format!("stopbank-secret-{}", std::process::id()));
        fs::write(&path, "hunter2\n").unwrap();
        let with = |mode| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            read(&path).map(|secret| secret.expose().to_vec()).map_err(|error| error.to_string())
        };
        for mode in [0o644, 0o604, 0o602, 0o666] {
            let said = with(mode).unwrap_err();
            assert!(said.contains("everyone on this host") && said.contains("chmod"), "{said}");
        }
        for mode in [0o600, 0o640, 0o400] {
            assert_eq!(with(mode), Ok(b"hunter2\n".to_vec()), "{mode:o}");
        }
        fs::remove_file(&path).unwrap();
        assert!(
            read(&std::env::temp_dir()).is_err_and(|error| format!("{error:#}").contains("no regular file"))
        );
    }
}
