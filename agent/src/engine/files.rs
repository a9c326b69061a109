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
    lists::feeds::{Files, Loaded, Stamp},
};

/// How often files are looked at. One must look the same twice before it is read: what is still being written waits.
const LOOK: Duration = Duration::from_millis(500);

/// Files that were read, and what the kernel is to hold of them.
pub(super) struct Prepared {
    pub(super) files: Files,
    /// `None`: as it is.
    pub(super) generation: Option<Option<Generation>>,
}

impl Prepared {
    /// Reads the files of a configuration, and makes an index of them off to the side.
    pub(super) fn read(config: &Config, before: Option<&Files>) -> Result<Self, DatapathError> {
        let begin = Instant::now();
        let none = Files::default();
        let files = Files::read(&config.list_files, before.unwrap_or(&none), SystemTime::now());
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
                .filter_map(|loaded| Some(format!("{}: {}", loaded.list.name, loaded.error.as_ref()?)))
                .collect(),
        }
    }
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
    }
}
