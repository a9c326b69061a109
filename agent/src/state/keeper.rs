//! Writes what happens to the lists, and tells how that goes.
//!
//! Two threads: one appends lines to the journal as they come, which takes microseconds and makes them outlive this process;
//! the other synchronises the journal, which takes as long as the disk does and makes them outlive a power cut. Whoever has changed
//! a list waits for the first, a moment at most.
//!
//! What cannot be written is not queued: the lists themselves are all that is needed for a snapshot, which takes the place
//! of everything that was missed, as soon as there is room.

use std::{
    fs::File,
    io,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use ipnet::IpNet;

use super::{
    Contents, Directory, Event, Kept, Line, encode,
    files::{Journal, grouped},
};
use crate::lists::Portion;

/// How long a command waits until what it did is written; it is in force meanwhile.
const PATIENCE: Duration = Duration::from_millis(500);
/// The journal is not made shorter before it has so many bytes, and twice the snapshot's.
const SHORT: u64 = 1 << 20;
/// After a failure it is tried again, after this time, then after twice of it, up to the longest.
const AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// Portions of a snapshot that are events.
const EVENTS_A_PORTION: usize = 256;

/// What a snapshot is made of.
pub trait Source {
    /// The operator's entries of some prefixes after this one, and the last of these; nothing where no prefix is left.
    fn entries(&self, after: Option<IpNet>) -> Option<Portion<Kept>>;

    /// What was done, the oldest first.
    fn events(&self) -> Vec<Event>;
}

/// Number of the last line of a change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Ticket(u64);

/// How it went with a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It outlives this process.
    Written,
    /// The disk takes its time.
    Slow,
    /// It cannot be written now.
    Failed(String),
}

/// How it goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeeperStatus {
    /// Where the files are.
    pub directory: std::path::PathBuf,
    /// Why nothing can be written, and since when.
    pub trouble: Option<(String, SystemTime)>,
    /// Lines that a power cut would take.
    pub pending: u64,
    /// Files that were found damaged.
    pub damaged: Vec<String>,
}

/// Keeps the lists.
#[derive(Debug)]
pub struct Keeper {
    directory: Directory,
    inner: Mutex<Inner>,
    /// There is something to do, or something has been done or has failed.
    changed: Condvar,
}

#[derive(Debug)]
struct Inner {
    queue: Vec<(u64, Line)>,
    /// Number of the next line.
    next: u64,
    /// All lines up to this one outlive the process.
    written: u64,
    /// All lines up to this one outlive a power cut.
    synced: u64,
    /// Lines are missing on the disk: a snapshot is due.
    behind: bool,
    trouble: Option<(String, SystemTime)>,
    /// When what failed is tried again, and the time after that.
    again: Option<(Instant, Duration)>,
    damaged: Vec<String>,
    /// What is to be synchronised.
    journal: Option<Arc<File>>,
    stopping: bool,
}

/// What the writer does next.
enum Job {
    Append(Vec<(u64, Line)>),
    Snapshot,
    Stop,
}

/// What the writer holds.
#[derive(Default)]
struct Open {
    lock: Option<File>,
    journal: Option<Journal>,
    /// Length of the snapshot in bytes, as far as it is known.
    snapshot: u64,
}

impl Keeper {
    /// For an agent with this state directory: reads what an earlier one has kept there. The lock is what [`Keeper::write`] wants.
    pub fn open(state: &Path) -> (Self, Contents, Option<File>) {
        let directory = Directory::below(state);
        let (lock, trouble) = match directory.lock() {
            Ok(lock) => (Some(lock), None),
            Err(error) => (None, Some(error)),
        };
        let others = trouble.as_ref().is_some_and(|error| error.kind() == io::ErrorKind::Other);
        // Another agent's lists are not this one's.
        let loaded = if others { super::Loaded::default() } else { directory.load() };
        for damaged in &loaded.damaged {
            tracing::error!("{damaged}");
        }
        let last = loaded.contents.last;
        let inner = Inner {
            queue: Vec::new(),
            next: last + 1,
            written: last,
            synced: last,
            behind: loaded.untidy || trouble.is_some(),
            trouble: None,
            again: None,
            damaged: loaded.damaged,
            journal: None,
            stopping: false,
        };
        let keeper = Self { directory, inner: Mutex::new(inner), changed: Condvar::new() };
        if let Some(error) = trouble {
            keeper.failed(&error);
        }
        (keeper, loaded.contents, lock)
    }

    /// Takes lines to be written. To be called while the lists are locked, after the change has been made: so lines are written in
    /// the order of the changes, and what is in the lists is never older than what is written.
    pub fn push(&self, lines: impl IntoIterator<Item = Line>) -> Ticket {
        let mut inner = self.lock();
        for line in lines {
            let number = inner.next;
            inner.next += 1;
            if !inner.behind {
                inner.queue.push((number, line));
            }
        }
        self.changed.notify_all();
        Ticket(inner.next - 1)
    }

    /// Waits a moment until a change is written.
    pub fn wait(&self, ticket: Ticket) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        let mut inner = self.lock();
        loop {
            if inner.written >= ticket.0 {
                return Outcome::Written;
            }
            if let Some((trouble, _)) = &inner.trouble {
                return Outcome::Failed(trouble.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Outcome::Slow;
            }
            inner = self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How it goes.
    pub fn status(&self) -> KeeperStatus {
        let inner = self.lock();
        KeeperStatus {
            directory: self.directory.path().to_owned(),
            trouble: inner.trouble.clone(),
            pending: inner.next - 1 - inner.synced,
            damaged: inner.damaged.clone(),
        }
    }

    /// Has both threads end once all is on the disk, or cannot get there, and waits for that.
    pub fn finish(&self, at_most: Duration) {
        let deadline = Instant::now() + at_most;
        let mut inner = self.lock();
        inner.stopping = true;
        // One more attempt, whatever was to be waited for.
        inner.again = None;
        self.changed.notify_all();
        while inner.synced + 1 < inner.next && (inner.trouble.is_none() || inner.again.is_none()) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let lines = inner.next - 1 - inner.synced;
                return tracing::warn!(lines, "the disk takes its time: not all of the lists may be on it");
            }
            inner = self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Writes what comes, until [`Keeper::finish`].
    pub fn write(&self, source: &dyn Source, lock: Option<File>) {
        let mut open = Open { lock, ..Open::default() };
        loop {
            let done = match self.job() {
                Job::Stop => return,
                Job::Append(lines) => self.append(&mut open, &lines),
                Job::Snapshot => self.snapshot(&mut open, source),
            };
            if let Err(error) = done {
                self.failed(&error);
                // Somebody may have removed the directory, or made it anew.
                open = Open::default();
            }
            self.changed.notify_all();
        }
    }

    /// Synchronises what was written, until [`Keeper::finish`].
    pub fn synchronise(&self) {
        let mut inner = self.lock();
        loop {
            if inner.synced < inner.written
                && let Some(journal) = inner.journal.clone()
            {
                let written = inner.written;
                drop(inner);
                let synced = journal.sync_data();
                inner = self.lock();
                match synced {
                    Ok(()) => inner.synced = inner.synced.max(written),
                    Err(error) => {
                        drop(inner);
                        self.failed(&error);
                        inner = self.lock();
                    }
                }
                self.changed.notify_all();
                continue;
            }
            if inner.stopping && (inner.synced + 1 >= inner.next || inner.trouble.is_some()) {
                return;
            }
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for something to do.
    fn job(&self) -> Job {
        let mut inner = self.lock();
        loop {
            let due = inner.again.is_none_or(|(at, _)| at <= Instant::now());
            if inner.behind && due {
                // What is done from here on is not in the snapshot, perhaps, and comes after it.
                inner.behind = false;
                inner.queue.clear();
                return Job::Snapshot;
            }
            if !inner.behind && !inner.queue.is_empty() {
                return Job::Append(std::mem::take(&mut inner.queue));
            }
            if inner.stopping {
                return Job::Stop;
            }
            let wait = match inner.again.filter(|_| inner.behind) {
                Some((at, _)) => at.saturating_duration_since(Instant::now()),
                None => Duration::from_secs(3_600),
            };
            inner = self.changed.wait_timeout(inner, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn append(&self, open: &mut Open, lines: &[(u64, Line)]) -> io::Result<()> {
        let journal = self.journal(open)?;
        let mut text = Vec::new();
        lines.iter().for_each(|(number, line)| encode(&mut text, *number, line));
        journal.append(&text)?;
        let long = journal.len() > SHORT.max(2 * open.snapshot);
        let mut inner = self.lock();
        inner.written = lines.last().map_or(0, |(number, _)| *number).max(inner.written);
        inner.behind |= long;
        Ok(())
    }

    /// Writes all there is, and empties the journal.
    fn snapshot(&self, open: &mut Open, source: &dyn Source) -> io::Result<()> {
        let covered = self.lock().next - 1;
        if open.lock.is_none() {
            open.lock = Some(self.directory.lock()?);
        }
        let events = source.events();
        let mut portions = events.chunks(EVENTS_A_PORTION);
        let mut after = None;
        open.snapshot = self.directory.write_snapshot(covered, || {
            if let Some(portion) = portions.next() {
                return Some(portion.iter().cloned().map(Line::Event).collect());
            }
            let (entries, last) = source.entries(after)?;
            after = Some(last);
            Some(grouped(entries))
        })?;
        self.journal(open)?.empty()?;
        let mut inner = self.lock();
        inner.written = inner.written.max(covered);
        inner.synced = inner.synced.max(covered);
        inner.again = None;
        if inner.trouble.take().is_some() {
            tracing::info!("the lists are kept again in {}", self.directory.path().display());
        }
        Ok(())
    }

    fn journal<'o>(&self, open: &'o mut Open) -> io::Result<&'o mut Journal> {
        if open.lock.is_none() {
            open.lock = Some(self.directory.lock()?);
        }
        let journal = match open.journal.take() {
            Some(journal) => journal,
            None => {
                let journal = self.directory.journal()?;
                self.lock().journal = Some(Arc::new(journal.file()?));
                journal
            }
        };
        Ok(open.journal.insert(journal))
    }

    /// Everything is to be written anew, in a while.
    fn failed(&self, error: &io::Error) {
        let what = format!("cannot write below {}: {error}", self.directory.path().display());
        let mut inner = self.lock();
        inner.behind = true;
        inner.queue.clear();
        let pause = inner.again.map_or(AGAIN.0, |(_, pause)| (pause * 2).min(AGAIN.1));
        inner.again = Some((Instant::now() + pause, pause));
        let since = match inner.trouble.take() {
            Some((before, since)) if before == what => since,
            _ => {
                tracing::error!("bans and allow entries are in force, but not kept for a reboot: {what}");
                SystemTime::now()
            }
        };
        inner.trouble = Some((what, since));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
