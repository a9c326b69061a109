//! The list files of a configuration: what of each is in force, and what is wrong with it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use super::{ContentRef, Copies, FeedError, Format, LARGEST, Parsed, PrefixSet, Wanted, parse};
use crate::config::ListFile;

/// After how long a copy that could not be written is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// What tells one version of a file from another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    /// Of the file that has this name now; `None` if there is none.
    pub fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|metadata| Self::from(&metadata))
    }
}

impl From<&fs::Metadata> for Stamp {
    fn from(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// Why a list file is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system refused.
    #[error("cannot read it: {0}")]
    Io(#[from] io::Error),
    /// It is no regular file, or too large.
    #[error("{0}")]
    NotAList(String),
    /// What it says is not understood.
    #[error(transparent)]
    Feed(#[from] FeedError),
}

/// Reads a list file.
///
/// # Errors
///
/// [`ReadError`].
pub fn read(list: &ListFile, now: SystemTime) -> Result<(Parsed, Format, Stamp), ReadError> {
    // Looked at before it is opened, which may do something to a device; and what it is by then is opened without waiting,
    // as for a FIFO's writer.
    let regular = |metadata: &fs::Metadata| {
        if !metadata.is_file() {
            return Err(ReadError::NotAList("it is not a regular file".to_owned()));
        }
        if metadata.len() > LARGEST {
            return Err(ReadError::NotAList(format!("it is larger than {} MiB", LARGEST >> 20)));
        }
        Ok(())
    };
    regular(&fs::metadata(&list.path)?)?;
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&list.path)?;
    let metadata = file.metadata()?;
    regular(&metadata)?;
    let bytes = whole(&file, &metadata, &file)?;
    let written = metadata.modified().unwrap_or(now);
    let (parsed, format) = parse(&bytes, list.format, &Wanted::by(list, written, now))?;
    Ok((parsed, format, Stamp::from(&metadata)))
}

/// All that `content` has of a file, if nobody writes to the file meanwhile. `metadata`: of before.
pub(super) fn whole(file: &File, metadata: &fs::Metadata, content: impl Read) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::with_capacity(metadata.len() as usize + 1);
    content.take(LARGEST + 1).read_to_end(&mut bytes)?;
    // Half of the old and half of the new may look like a good list.
    if Stamp::from(metadata) != Stamp::from(&file.metadata()?) || bytes.len() as u64 != metadata.len() {
        return Err(ReadError::NotAList("it changed while it was read".to_owned()));
    }
    Ok(bytes)
}

/// A list file, and what of it is in force.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the configuration says.
    pub list: ListFile,
    /// How it is written, where that is known.
    pub format: Option<Format>,
    /// Its prefixes.
    pub set: Arc<PrefixSet>,
    /// Entries that were left out.
    pub skipped: usize,
    /// When that was read; `None`: never.
    pub read: Option<SystemTime>,
    /// What is wrong with the file as it is now; what stood in it before holds.
    pub error: Option<String>,
    /// Since when what is in force is the kept copy of what an earlier agent has read, because the file was bad when this one
    /// began; `None`: it is not.
    pub copy_since: Option<SystemTime>,
    /// Why what is in force is not safe from the next start with a bad file.
    pub copy_error: Option<String>,
    /// Of which reading a copy was made, or tried to be, and when.
    kept: Option<(SystemTime, SystemTime)>,
    /// The version that was looked at last, good or bad.
    seen: Option<Stamp>,
    /// When the first of its entries expires.
    expires: Option<SystemTime>,
}

impl Loaded {
    fn new(list: ListFile) -> Self {
        Self {
            list,
            format: None,
            set: Arc::default(),
            skipped: 0,
            read: None,
            error: None,
            copy_since: None,
            copy_error: None,
            kept: None,
            seen: None,
            expires: None,
        }
    }

    /// Reads the file again.
    fn refresh(&mut self, now: SystemTime) {
        self.seen = Stamp::of(&self.list.path);
        match read(&self.list, now) {
            Ok((parsed, format, stamp)) => {
                self.set = Arc::new(parsed.set);
                self.format = Some(format);
                self.skipped = parsed.skipped;
                self.expires = parsed.expires;
                self.read = Some(now);
                self.seen = Some(stamp);
                self.error = None;
                self.copy_since = None;
            }
            Err(error) => {
                self.expires = None;
                self.error = Some(format!("{}: {error}", self.list.path.display()));
            }
        }
    }

    /// Takes what an earlier agent has kept of a file that this one has never read.
    fn recall(&mut self, copies: &Copies, now: SystemTime) {
        match copies.load(&self.list) {
            Ok(Some(content)) => {
                self.set = Arc::new(content.set);
                self.format = Some(content.format);
                self.skipped = content.skipped;
                self.read = Some(content.read);
                self.kept = Some((content.read, now));
                self.copy_since = Some(now);
            }
            Ok(None) => {}
            Err(error) => {
                let file = self.error.take().unwrap_or_default();
                self.error = Some(format!("{file}; {error}"));
            }
        }
    }

    /// Whether a copy is to be made; one that failed is tried again after a while.
    fn is_unkept(&self, now: SystemTime) -> bool {
        let Some(read) = self.read else { return false };
        let waited = |at| now.duration_since(at).map_or(true, |waited| waited >= RETRY);
        match self.kept {
            Some((of, at)) if of == read => self.copy_error.is_some() && waited(at),
            _ => true,
        }
    }

    /// Whether a copy of what is in force is on the disk.
    pub fn is_kept(&self) -> bool {
        self.copy_error.is_none() && self.read.is_some() && self.kept.map(|(of, _)| of) == self.read
    }

    /// Keeps a copy of what is in force.
    fn keep(&mut self, copies: &Copies, now: SystemTime) {
        let (Some(read), Some(format)) = (self.read, self.format) else { return };
        let content = ContentRef { set: &self.set, format, skipped: self.skipped, read };
        let outcome = copies.save(&self.list, &content);
        self.copy_error =
            outcome.err().map(|error| format!("cannot write {}: {error}", copies.path(&self.list).display()));
        self.kept = Some((read, now));
    }

    /// Whether what is in force is what stands in the file now.
    pub fn is_current(&self) -> bool {
        self.error.is_none() && self.seen.is_some() && self.seen == Stamp::of(&self.list.path)
    }

    /// Whether this is of the same version of the file.
    pub fn is_same_version(&self, other: &Self) -> bool {
        self.seen == other.seen && self.read == other.read
    }

    fn is_due(&self, now: SystemTime) -> bool {
        self.seen != Stamp::of(&self.list.path) || self.expires.is_some_and(|end| end <= now)
    }
}

/// All list files.
#[derive(Clone, Debug, Default)]
pub struct Files {
    all: Vec<Loaded>,
}

/// Waits while one of the files is being written: until none has changed for a `moment`, but `at_most` so long. A file that its
/// writer has only begun may look like a good, short list.
pub fn wait_until_steady(lists: &[ListFile], moment: Duration, at_most: Duration) {
    let begin = Instant::now();
    let fresh = |list: &&ListFile| {
        let modified = fs::metadata(&list.path).and_then(|metadata| metadata.modified());
        // A time that is still to come says nothing.
        modified.is_ok_and(|at| at.elapsed().is_ok_and(|ago| ago < moment))
    };
    while let Some(list) = lists.iter().find(fresh) {
        if begin.elapsed() >= at_most {
            tracing::warn!("list {}: {} is still being written", list.name, list.path.display());
            return;
        }
        std::thread::sleep(moment / 10);
    }
}

impl Files {
    /// Reads the files of a configuration. Of one that is bad, what `before` had of it stays in force, or else what was kept
    /// of it in `copies`.
    #[must_use]
    pub fn read(lists: &[ListFile], before: &Self, copies: &Copies, now: SystemTime) -> Self {
        let all = lists.iter().map(|list| {
            let same = |old: &&Loaded| old.list == *list;
            let mut loaded =
                before.all.iter().find(same).cloned().unwrap_or_else(|| Loaded::new(list.clone()));
            loaded.refresh(now);
            if loaded.read.is_none() {
                loaded.recall(copies, now);
            }
            loaded
        });
        Self { all: all.collect() }
    }

    /// Reads those that have changed, or of which something expired; `None` if there are none. A file that is still being
    /// written (it has changed since `steady` was taken) is left for the next time.
    #[must_use]
    pub fn reread(&self, steady: &[Option<Stamp>], now: SystemTime) -> Option<Self> {
        let mut new = self.clone();
        let mut any = false;
        for (loaded, steady) in new.all.iter_mut().zip(steady) {
            if loaded.is_due(now) && Stamp::of(&loaded.list.path) == *steady {
                loaded.refresh(now);
                any = true;
            }
        }
        any.then_some(new)
    }

    /// Puts back what the kernel did not take, and says why.
    pub fn take_back(&mut self, before: &Self, why: &str) {
        for (new, old) in self.all.iter_mut().zip(&before.all) {
            if !Arc::ptr_eq(&new.set, &old.set) {
                let (seen, list) = (new.seen, new.list.clone());
                *new = Loaded { seen, list, error: Some(why.to_owned()), ..old.clone() };
            }
        }
    }

    /// Those of which no copy was made yet.
    pub fn unkept(&self, now: SystemTime) -> Vec<Loaded> {
        self.all.iter().filter(|loaded| loaded.is_unkept(now)).cloned().collect()
    }

    /// Makes copies of what is in force of these; to be told to [`Files::note_kept`].
    pub fn keep(unkept: &mut [Loaded], copies: &Copies, now: SystemTime) {
        unkept.iter_mut().for_each(|loaded| loaded.keep(copies, now));
    }

    /// Takes note of the copies that were made.
    pub fn note_kept(&mut self, kept: &[Loaded]) {
        for done in kept {
            for loaded in self.all.iter_mut().filter(|loaded| loaded.list == done.list) {
                loaded.kept = done.kept;
                loaded.copy_error.clone_from(&done.copy_error);
            }
        }
    }

    /// What the files look like now.
    pub fn stamps(&self) -> Vec<Option<Stamp>> {
        self.all.iter().map(|loaded| Stamp::of(&loaded.list.path)).collect()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Loaded> {
        self.all.iter()
    }

    /// Whether two have the same prefixes in force.
    pub fn same_prefixes(&self, other: &Self) -> bool {
        self.all.len() == other.all.len()
            && self
                .all
                .iter()
                .zip(&other.all)
                .all(|(one, other)| Arc::ptr_eq(&one.set, &other.set) || one.set == other.set)
    }

    /// What is in force of all of them together.
    pub fn merged(&self) -> Arc<PrefixSet> {
        match self.all.as_slice() {
            [] => Arc::default(),
            [one] => one.set.clone(),
            all => Arc::new(PrefixSet::merge(all.iter().map(|loaded| &*loaded.set))),
        }
    }
}
