//! The two files: read when the agent starts, set aside where they are damaged, appended to, and written anew.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, BufReader, BufWriter, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use stopbank_common::list::LIST_CAPACITY;

use super::{
    Found, History, Kept, Line, encode,
    line::{MAGIC, PREFIXES},
    read,
};
use crate::lists::ListName;

/// Where the files are, below the state directory.
const DIRECTORY: &str = "lists";
const SNAPSHOT: &str = "snapshot";
const FRESH: &str = ".snapshot.new";
const JOURNAL: &str = "journal";
/// Largest file that is read: a million entries that are all different take a fifth of it.
const LARGEST: u64 = 1 << 30;

/// What the files say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Contents {
    /// Entries by list and prefix.
    pub entries: BTreeMap<(ListName, IpNet), Kept>,
    /// What was done.
    pub history: History,
    /// The number of the last line.
    pub last: u64,
}

impl Contents {
    /// Does what a line says. More entries than the kernel takes are left out.
    fn take(&mut self, line: Line) {
        match line {
            Line::Add { list, entry, prefixes } => {
                for prefix in prefixes {
                    if self.entries.len() < 2 * LIST_CAPACITY as usize {
                        self.entries.insert((list, prefix), entry.clone());
                    }
                }
            }
            Line::Remove { list, prefixes } => prefixes.into_iter().for_each(|prefix| {
                self.entries.remove(&(list, prefix));
            }),
            Line::Event(event) => self.history.push(event),
            Line::End { .. } => {}
        }
    }
}

/// What came of reading the files.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Loaded {
    /// What they say, as far as they can be read.
    pub contents: Contents,
    /// What is wrong with them, and where they are now: a sentence each.
    pub damaged: Vec<String>,
    /// A snapshot is due: something was damaged, or the journal ends in the middle of a line.
    pub untidy: bool,
}

/// The directory of the two files.
#[derive(Clone, Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// Below a state directory, which need not exist.
    pub fn below(state: &Path) -> Self {
        Self(state.join(DIRECTORY))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it, where it is not there, and keeps other agents out for as long as the result lives.
    ///
    /// # Errors
    ///
    /// What the system says, and when another agent has it.
    pub fn lock(&self) -> io::Result<File> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let directory = File::open(&self.0)?;
        match directory.try_lock() {
            Ok(()) => Ok(directory),
            Err(TryLockError::WouldBlock) => Err(io::Error::other(
                "another agent keeps its lists there: give each a [agent] state_dir of its own",
            )),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Reads the files. What is damaged is renamed, and what of it is as it was written counts all the same.
    pub fn load(&self) -> Loaded {
        let mut loaded = Loaded::default();
        self.load_file(SNAPSHOT, &mut loaded, |found| found.whole, None);
        let covered = loaded.contents.last;
        self.load_file(JOURNAL, &mut loaded, |found| found.bad == 0, Some(covered));
        loaded
    }

    fn load_file(
        &self,
        name: &str,
        loaded: &mut Loaded,
        good: impl Fn(&Found) -> bool,
        covered: Option<u64>,
    ) {
        let path = self.0.join(name);
        let Loaded { contents, damaged, untidy } = loaded;
        let found = open(&path).and_then(|file| {
            let Some(file) = file else { return Ok(None) };
            let take = |number, line| {
                if covered.is_none_or(|covered| number > covered) {
                    contents.take(line);
                }
            };
            read(&mut BufReader::with_capacity(1 << 16, file), take).map(Some)
        });
        match found {
            Ok(None) => {}
            Ok(Some(found)) => {
                contents.last = contents.last.max(found.last);
                *untidy |= found.cut;
                if found.foreign {
                    damaged.push(set_aside(
                        &path,
                        "other-version",
                        "was written by another version of stopbank",
                    ));
                    *untidy = true;
                } else if !good(&found) {
                    damaged.push(set_aside(&path, "damaged", &what_is_wrong(&found)));
                    *untidy = true;
                }
            }
            Err(error) => {
                damaged.push(set_aside(&path, "damaged", &format!("cannot be used: {error}")));
                *untidy = true;
            }
        }
    }

    /// Opens the journal to be appended to.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn journal(&self) -> io::Result<Journal> {
        let path = self.0.join(JOURNAL);
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let file = options.open(&path)?;
        let mut journal = Journal { length: file.metadata()?.len(), file };
        if journal.length == 0 {
            journal.append(MAGIC)?;
        }
        File::open(&self.0)?.sync_all()?;
        Ok(journal)
    }

    /// Writes a snapshot that covers all lines up to a number, in the place of the one before, and gives its length. `next` gives
    /// its lines in portions, and nothing in the end. When this returns it is on the disk.
    ///
    /// # Errors
    ///
    /// What the system says; the snapshot before is still there then.
    pub fn write_snapshot(
        &self,
        number: u64,
        mut next: impl FnMut() -> Option<Vec<Line>>,
    ) -> io::Result<u64> {
        let fresh = self.0.join(FRESH);
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        let written = (|| {
            let mut out = BufWriter::with_capacity(1 << 16, &file);
            out.write_all(MAGIC)?;
            let (mut lines, mut text) = (0, Vec::new());
            while let Some(portion) = next() {
                text.clear();
                portion.iter().for_each(|line| encode(&mut text, number, line));
                lines += portion.len() as u64;
                out.write_all(&text)?;
            }
            text.clear();
            encode(&mut text, number, &Line::End { lines });
            out.write_all(&text)?;
            out.flush()?;
            drop(out);
            file.sync_all()?;
            fs::rename(&fresh, self.0.join(SNAPSHOT))?;
            File::open(&self.0)?.sync_all()?;
            Ok(file.metadata()?.len())
        })();
        if written.is_err() {
            // It would only take up room; the error is the one above.
            let _ = fs::remove_file(&fresh);
        }
        written
    }
}

/// The journal, open.
#[derive(Debug)]
pub struct Journal {
    file: File,
    length: u64,
}

impl Journal {
    /// Appends whole lines, or nothing. They outlive this process when this returns, and a power cut once they are synchronised.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.file.metadata()?.nlink() == 0 {
            return Err(io::Error::other("the journal has been removed"));
        }
        if let Err(error) = (&self.file).write_all(lines) {
            // Half a line would hide what comes after it. Where not even this works, a snapshot comes next.
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        self.length += lines.len() as u64;
        Ok(())
    }

    /// Forgets all lines: a snapshot covers them.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn empty(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.length = 0;
        self.append(MAGIC)
    }

    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// The file, for synchronising it.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

/// Puts entries that are alike into one line, as far as they are beside each other.
pub fn grouped(entries: impl IntoIterator<Item = (ListName, IpNet, Kept)>) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for (list, prefix, kept) in entries {
        match lines.last_mut() {
            Some(Line::Add { list: of, entry, prefixes })
                if *of == list && *entry == kept && prefixes.len() < PREFIXES =>
            {
                prefixes.push(prefix);
            }
            _ => lines.push(Line::Add { list, entry: kept, prefixes: vec![prefix] }),
        }
    }
    lines
}

/// Opens a file to read it, if it is there. Neither waits for the writer of a FIFO nor leaves the directory by a link.
fn open(path: &Path) -> io::Result<Option<File>> {
    let wrong = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return wrong("it is a symbolic link"),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return wrong("it is not a regular file");
    }
    if metadata.len() > LARGEST {
        return wrong("it is larger than any that stopbank writes");
    }
    Ok(Some(file))
}

fn what_is_wrong(found: &Found) -> String {
    let good = found.good;
    match (found.bad, found.first_bad) {
        (0, _) | (_, None) => {
            format!("is damaged (its end is missing; {good} lines of it are good and count)")
        }
        (bad, Some(first)) => {
            format!(
                "is damaged ({bad} lines, the first of them line {first}; {good} lines are good and count)"
            )
        }
    }
}

/// Renames what cannot be used, so that it is there to be looked at and never read again, and says so.
fn set_aside(path: &Path, suffix: &str, why: &str) -> String {
    let mut name = OsString::from(path);
    name.push(".");
    name.push(suffix);
    let file = path.display();
    match fs::rename(path, &name) {
        Ok(()) => format!("{file} {why}; it was set aside as {}", Path::new(&name).display()),
        Err(error) => format!("{file} {why}, and cannot be set aside: {error}"),
    }
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
