//! List files: read when the agent starts, with the configuration, and whenever they change.

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use super::{Engine, State, report::time};
use crate::{
    config::Config,
    control::api::{FileReport, FileStatus, FilesSummary},
    datapath::{DatapathError, Generation},
    lists::feeds::{Copies, Files, Loaded, Stamp, wait_until_steady},
};

/// How often files are looked at. One must look the same twice before it is read: what is still being written waits.
const LOOK: Duration = Duration::from_millis(500);

/// How long a start or a reload waits for a file that is being written.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Files that were read, and what the kernel is to hold of them.
pub(super) struct Prepared {
    pub(super) files: Files,
    /// `None`: as it is.
    pub(super) generation: Option<Option<Generation>>,
}

impl Prepared {
    /// Reads the files of a configuration, and makes an index of them off to the side.
    pub(super) fn read(
        config: &Config,
        before: Option<&Files>,
        copies: &Copies,
    ) -> Result<Self, DatapathError> {
        wait_until_steady(&config.list_files, LOOK, LONGEST_WAIT);
        let begin = Instant::now();
        let none = Files::default();
        let files = Files::read(&config.list_files, before.unwrap_or(&none), copies, SystemTime::now());
        files.iter().for_each(log);
        if before.is_some_and(|before| before.same_prefixes(&files)) {
            return Ok(Self { files, generation: None });
        }
        let generation = build(&files)?;
        if !config.list_files.is_empty() {
            tracing::info!(milliseconds = begin.elapsed().as_millis() as u64, "list files read");
        }
        Ok(Self { files, generation: Some(generation) })
    }
}

fn build(files: &Files) -> Result<Option<Generation>, DatapathError> {
    let merged = files.merged();
    (!merged.is_empty()).then(|| Generation::build(merged)).transpose()
}

fn log(loaded: &Loaded) {
    let Loaded { list, set, skipped, .. } = loaded;
    match &loaded.error {
        None => tracing::info!(v4 = set.v4().len(), v6 = set.v6().len(), skipped, "list {}", list.name),
        Some(error) if loaded.copy_since.is_some() => {
            let (v4, v6, read) = (set.v4().len(), set.v6().len(), loaded.read.map(time));
            tracing::error!(
                v4,
                v6,
                "list {}: what an earlier agent read at {} is in force, from its kept copy: {error}",
                list.name,
                read.unwrap_or_default(),
            );
        }
        Some(error) if loaded.read.is_some() => {
            tracing::error!("list {}: what it said before stays in force: {error}", list.name);
        }
        Some(error) => tracing::error!("list {} is empty: {error}", list.name),
    }
}

impl Engine {
    /// Looks at the list files again and again, for as long as the task lives, and puts in force what has changed.
    pub async fn watch_files(self: Arc<Self>) {
        let mut steady = Vec::new();
        loop {
            tokio::time::sleep(LOOK).await;
            let (engine, before) = (self.clone(), steady);
            match tokio::task::spawn_blocking(move || engine.look_at_files(&before)).await {
                Ok(stamps) => steady = stamps,
                Err(panicked) => {
                    tracing::error!("list files could not be looked at: {panicked}");
                    steady = Vec::new();
                }
            }
        }
    }

    fn look_at_files(&self, steady: &[Option<Stamp>]) -> Vec<Option<Stamp>> {
        // A reload reads files, too: one after the other.
        let _alone = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        self.reread_files(steady)
    }

    /// Keeps copies of what is in force of the list files, for as long as the task lives.
    pub async fn keep_files(self: Arc<Self>) {
        loop {
            let engine = self.clone();
            // The outcome is logged where it is made.
            let _ = tokio::task::spawn_blocking(move || engine.keep_copies()).await;
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Keeps a copy of what is in force of each list file, if there is none yet. Neither the state nor the reading of files
    /// waits for it: a disk that others keep busy may take a minute to synchronise.
    pub(crate) fn keep_copies(&self) {
        let _alone = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        let now = SystemTime::now();
        let (before, copies) = {
            let state = self.lock();
            (state.files.unkept(now), Copies::below(&state.config.agent.state_dir))
        };
        if before.is_empty() {
            return;
        }
        let begin = Instant::now();
        let mut kept = before.clone();
        Files::keep(&mut kept, &copies, now);
        for (kept, before) in kept.iter().zip(&before) {
            match &kept.copy_error {
                Some(error) if before.copy_error.as_ref() != Some(error) => tracing::warn!(
                    "list {}: no copy is kept for a start with a bad file: {error}",
                    kept.list.name
                ),
                _ => {}
            }
        }
        self.lock().files.note_kept(&kept);
        tracing::debug!(milliseconds = begin.elapsed().as_millis() as u64, "copies of list files kept");
    }

    fn reread_files(&self, steady: &[Option<Stamp>]) -> Vec<Option<Stamp>> {
        let before = self.lock().files.clone();
        let stamps = before.stamps();
        let Some(mut new) = before.reread(steady, SystemTime::now()) else { return stamps };
        let changed = new.iter().zip(before.iter()).filter(|(new, old)| !new.is_same_version(old));
        changed.for_each(|(new, _)| log(new));
        if !new.same_prefixes(&before)
            && let Err(error) = self.put_in_force(&new)
        {
            tracing::error!("the lists before stay in force: {error}");
            new.take_back(&before, &error.to_string());
        }
        self.lock().files = new;
        stamps
    }

    fn put_in_force(&self, files: &Files) -> Result<(), DatapathError> {
        let begin = Instant::now();
        let generation = build(files)?;
        let mut state = self.lock();
        state.datapath.install_lists(generation)?;
        let milliseconds = begin.elapsed().as_millis() as u64;
        tracing::info!(milliseconds, "list files are in force");
        state.settle_lists();
        Ok(())
    }

    pub(super) fn report_files(&self) -> FileReport {
        FileReport { lists: self.lock().files.iter().map(status).collect() }
    }
}

impl State {
    /// Gives up the generation before. What stays of it costs memory until the next one comes, and nothing else.
    pub(super) fn settle_lists(&mut self) {
        if let Err(error) = self.datapath.settle_lists() {
            tracing::warn!("{error}");
        }
    }

    pub(super) fn files_summary(&self) -> FilesSummary {
        let all = || self.files.iter();
        FilesSummary {
            lists: all().count(),
            prefixes: all().map(|loaded| loaded.set.len()).sum(),
            errors: all()
                .filter_map(|loaded| Some(format!("{}: {}", loaded.list.name, trouble(loaded)?)))
                .collect(),
        }
    }
}

/// What is wrong with a list file, and what is in force instead.
fn trouble(loaded: &Loaded) -> Option<String> {
    let error = loaded.error.as_ref()?;
    Some(match (loaded.copy_since, loaded.read) {
        (Some(_), Some(read)) => format!("its kept copy of {} is in force: {error}", time(read)),
        _ => error.clone(),
    })
}

fn status(loaded: &Loaded) -> FileStatus {
    FileStatus {
        name: loaded.list.name.clone(),
        path: loaded.list.path.display().to_string(),
        action: loaded.list.action,
        format: loaded.format.unwrap_or(loaded.list.format).name().to_owned(),
        ipv4: loaded.set.v4().len(),
        ipv6: loaded.set.v6().len(),
        skipped: loaded.skipped,
        read: loaded.read.map(time),
        error: loaded.error.clone(),
        copy_in_use_since: loaded.copy_since.map(time),
        copy_error: loaded.copy_error.clone(),
    }
}
