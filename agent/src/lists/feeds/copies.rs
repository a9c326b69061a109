//! The last good content of each list file, kept in the agent's state directory: what an agent that starts with a bad file
//! holds on to.
//!
//! A copy is what was compiled of the file, not the file: it is small, and no parser meets it. One file for each list:
//! a line that says what it is, a line of JSON ([`Head`]), the prefixes (little endian; address, length, verdict) in their
//! order, and the CRC-32 of all of that. It is written beside and renamed, so that a crash leaves the old one or the new
//! one, and believed only if every byte of it is as it must be.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufRead as _, BufReader, BufWriter, Read, Write},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crc32fast::Hasher;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use stopbank_common::list::{VERDICT_ALLOW, VERDICT_DENY};

use super::{Format, MOST, PrefixSet, sane};
use crate::config::{ListAction, ListFile};

/// Where copies are, below the state directory.
const DIRECTORY: &str = "list-copies";
/// The first line, with the version of all that follows.
const MAGIC: &[u8] = b"stopbank list copy 1\n";
/// What that line begins with in any version.
const MAGIC_OF_ANY: &[u8] = b"stopbank list copy ";
/// Longest line of JSON: thousands of countries and numbers fit.
const LONGEST_HEAD: u64 = 1 << 20;
/// Bytes of an entry, IPv4 and IPv6.
const ENTRY: (u64, u64) = (6, 18);

/// What was kept of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Content {
    /// Its prefixes.
    pub set: PrefixSet,
    /// How the file was written.
    pub format: Format,
    /// Entries that were left out.
    pub skipped: usize,
    /// When the file was read.
    pub read: SystemTime,
}

/// Why there is a copy that is not used.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The system refused.
    #[error("its kept copy {} cannot be read: {source}", path.display())]
    Io {
        /// The copy.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is of a list that was configured otherwise, or by another version.
    #[error("its kept copy {} is not used: {why}", path.display())]
    Foreign {
        /// The copy.
        path: PathBuf,
        /// In what it differs.
        why: String,
    },
    /// It is not as it was written.
    #[error("its kept copy is damaged ({why}); {aside}")]
    Damaged {
        /// What is wrong.
        why: String,
        /// Where it is now.
        aside: String,
    },
}

/// The second line.
#[derive(Serialize, Deserialize)]
struct Head {
    name: String,
    path: PathBuf,
    configured_format: String,
    action: ListAction,
    countries: Vec<String>,
    asns: Vec<u32>,
    format: String,
    skipped: usize,
    /// Seconds since 1970.
    read: u64,
    ipv4: usize,
    ipv6: usize,
}

/// The copies of all lists.
#[derive(Clone, Debug)]
pub struct Copies {
    directory: PathBuf,
}

impl Copies {
    /// Below a state directory, which need not exist.
    pub fn below(state: &Path) -> Self {
        Self { directory: state.join(DIRECTORY) }
    }

    /// Where a list's copy is.
    pub fn path(&self, list: &ListFile) -> PathBuf {
        // A name is a few letters, digits, `-` and `_`.
        self.directory.join(format!("{}.copy", list.name))
    }

    /// Keeps the content of a list in the place of what was kept of it before. When this returns it is on the disk.
    ///
    /// # Errors
    ///
    /// What the system says; what was kept before is still there then.
    pub fn save(&self, list: &ListFile, content: &ContentRef<'_>) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let fresh = self.directory.join(format!(".{}.new", list.name));
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        let written = write(BufWriter::with_capacity(1 << 16, &file), &Head::of(list, content), content.set)
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&fresh, self.path(list)))
            .and_then(|()| File::open(&self.directory)?.sync_all());
        if written.is_err() {
            // It would only take up room; the error is the one above.
            let _ = fs::remove_file(&fresh);
        }
        written
    }

    /// What was kept of a list; `None` if nothing was. A copy that is damaged is renamed, so that it is there to be looked at
    /// and never read again.
    ///
    /// # Errors
    ///
    /// [`CopyError`].
    pub fn load(&self, list: &ListFile) -> Result<Option<Content>, CopyError> {
        let path = self.path(list);
        // Neither waits for the writer of a FIFO nor leaves the directory by a link.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                return Err(set_aside(&path, "it is a symbolic link"));
            }
            Err(source) => return Err(CopyError::Io { path, source }),
        };
        match read(&file, list) {
            Ok(content) => Ok(Some(content)),
            Err(Bad::Io(source)) => Err(CopyError::Io { path, source }),
            Err(Bad::Foreign(why)) => Err(CopyError::Foreign { path, why }),
            Err(Bad::Damaged(why)) => Err(set_aside(&path, why)),
        }
    }
}

/// A list's content, to be kept.
#[derive(Clone, Copy, Debug)]
pub struct ContentRef<'c> {
    /// Its prefixes.
    pub set: &'c PrefixSet,
    /// How the file was written.
    pub format: Format,
    /// Entries that were left out.
    pub skipped: usize,
    /// When the file was read.
    pub read: SystemTime,
}

impl Head {
    fn of(list: &ListFile, content: &ContentRef<'_>) -> Self {
        Self {
            name: list.name.clone(),
            path: list.path.clone(),
            configured_format: list.format.name().to_owned(),
            action: list.action,
            countries: list.countries.clone(),
            asns: list.asns.clone(),
            format: content.format.name().to_owned(),
            skipped: content.skipped,
            read: content.read.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            ipv4: content.set.v4().len(),
            ipv6: content.set.v6().len(),
        }
    }

    /// In what the list was another one; with the other action, for one, its sources would pass that are to be dropped.
    fn differs(&self, list: &ListFile) -> Option<&'static str> {
        [
            (self.name != list.name, "name"),
            (self.path != list.path, "path"),
            (self.configured_format != list.format.name(), "format"),
            (self.action != list.action, "action"),
            (self.countries != list.countries, "countries"),
            (self.asns != list.asns, "asns"),
        ]
        .into_iter()
        .find_map(|(differs, key)| differs.then_some(key))
    }
}

fn write(out: impl Write, head: &Head, set: &PrefixSet) -> io::Result<()> {
    let mut out = Summed { inner: out, sum: Hasher::new() };
    out.write_all(MAGIC)?;
    serde_json::to_writer(&mut out, head)?;
    out.write_all(b"\n")?;
    for one in set.v4() {
        let [a, b, c, d] = one.address.to_le_bytes();
        out.write_all(&[a, b, c, d, one.bits, one.verdict])?;
    }
    for one in set.v6() {
        let mut entry = [0; ENTRY.1 as usize];
        entry[..16].copy_from_slice(&one.address.to_le_bytes());
        entry[16..].copy_from_slice(&[one.bits, one.verdict]);
        out.write_all(&entry)?;
    }
    let sum = out.sum.clone().finalize();
    out.inner.write_all(&sum.to_le_bytes())?;
    out.inner.flush()
}

/// Why bytes are no copy of a list.
enum Bad {
    Io(io::Error),
    Foreign(String),
    Damaged(&'static str),
}

impl From<io::Error> for Bad {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Self::Damaged("it is cut short")
        } else {
            Self::Io(error)
        }
    }
}

fn read(file: &File, list: &ListFile) -> Result<Content, Bad> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(Bad::Damaged("it is not a regular file"));
    }
    let mut input = Summed { inner: BufReader::with_capacity(1 << 16, file), sum: Hasher::new() };
    let mut magic = [0; MAGIC.len()];
    input.read_exact(&mut magic)?;
    if magic != MAGIC {
        return Err(if magic.starts_with(MAGIC_OF_ANY) {
            Bad::Foreign("another version of stopbank wrote it".to_owned())
        } else {
            Bad::Damaged("it does not begin like one")
        });
    }
    let mut line = Vec::new();
    (&mut input.inner).take(LONGEST_HEAD).read_until(b'\n', &mut line)?;
    input.sum.update(&line);
    let Ok(head) = serde_json::from_slice::<Head>(&line) else {
        return Err(Bad::Damaged("its second line cannot be read"));
    };
    let (v4, v6) = (head.ipv4 as u64, head.ipv6 as u64);
    let too_many = v4.saturating_add(v6) > MOST as u64;
    let length = || (MAGIC.len() + line.len()) as u64 + ENTRY.0 * v4 + ENTRY.1 * v6 + 4;
    if too_many || metadata.len() != length() {
        return Err(Bad::Damaged("it has not the length that it says"));
    }
    let set = prefixes(&mut input, &head)?;
    let expected = input.sum.clone().finalize();
    let mut sum = [0; 4];
    input.inner.read_exact(&mut sum)?;
    if u32::from_le_bytes(sum) != expected {
        return Err(Bad::Damaged("its checksum is wrong"));
    }
    let Some(set) = set else { return Err(Bad::Damaged("it has prefixes that no list has")) };
    // Only now is it known that this is what was written.
    if let Some(key) = head.differs(list) {
        return Err(Bad::Foreign(format!("the list had another `{key}` then")));
    }
    let Some((_, format)) = Format::NAMES.into_iter().find(|(name, _)| *name == head.format) else {
        return Err(Bad::Foreign("it is of a format that this version does not know".to_owned()));
    };
    let read = UNIX_EPOCH.checked_add(Duration::from_secs(head.read)).unwrap_or(UNIX_EPOCH);
    Ok(Content { set, format, skipped: head.skipped, read })
}

/// All of them, in their order; `None` if there is one that a list file could not have.
fn prefixes(input: &mut impl Read, head: &Head) -> io::Result<Option<PrefixSet>> {
    let verdict = match head.action {
        ListAction::Allow => VERDICT_ALLOW,
        ListAction::Deny => VERDICT_DENY,
    };
    let mut set = PrefixSet::with_capacity(head.ipv4, head.ipv6);
    let mut good = true;
    let mut take = |net: Result<IpNet, ipnet::PrefixLenError>, given: u8| match net {
        Ok(net) if given == verdict && net.trunc() == net && sane(net) == Ok(net) => set.push(net, given),
        _ => good = false,
    };
    for _ in 0..head.ipv4 {
        let mut entry = [0; ENTRY.0 as usize];
        input.read_exact(&mut entry)?;
        let [a, b, c, d, bits, given] = entry;
        let address = std::net::Ipv4Addr::from(u32::from_le_bytes([a, b, c, d]));
        take(IpNet::new(address.into(), bits), given);
    }
    for _ in 0..head.ipv6 {
        let (mut address, mut rest) = ([0; 16], [0; 2]);
        input.read_exact(&mut address)?;
        input.read_exact(&mut rest)?;
        let address = std::net::Ipv6Addr::from(u128::from_le_bytes(address));
        take(IpNet::new(address.into(), rest[0]), rest[1]);
    }
    let whole = set.len();
    set.finish();
    Ok((good && set.len() == whole).then_some(set))
}

/// Renames what is damaged.
fn set_aside(path: &Path, why: &str) -> CopyError {
    let mut name = OsString::from(path);
    name.push(".damaged");
    let aside = match fs::rename(path, &name) {
        Ok(()) => format!("it was set aside as {}", Path::new(&name).display()),
        Err(error) => format!("{} cannot be set aside: {error}", path.display()),
    };
    CopyError::Damaged { why: why.to_owned(), aside }
}

/// Sums up what goes through.
struct Summed<T> {
    inner: T,
    sum: Hasher,
}

impl<T: Write> Write for Summed<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Summed<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.sum.update(&bytes[..read]);
        Ok(read)
    }
}

#[cfg(test)]
#[path = "copies_tests.rs"]
mod tests;
