//! What an agent starts with, going by what an earlier one has kept: a configuration on trial, or one that was taken back,
//! is passed over, though the files say it, or say what nobody can read.

use std::path::{Path, PathBuf};

use super::{
    Origin, Start,
    trial::{ROLLED_BACK, wait_for_absent},
};
use crate::{
    config::{self, Config, ConfigError, History, Sources},
    failure::Failure,
};

/// What to start with where the files have errors, and an earlier agent has left a configuration on trial: the one before
/// that. [`resume`] looks at it again with the lock held.
///
/// # Errors
///
/// `failure`, which is what is wrong with the files, where nothing was on trial.
pub fn without_files(origin: Origin, kernel_log: u8, failure: Failure) -> Result<Start, Failure> {
    let on_disk = config::read_sources_if_any(&origin.file).ok();
    let directory = on_disk
        .as_ref()
        .and_then(Sources::state_directory)
        .unwrap_or_else(|| Config::builtin().agent.state_dir);
    let Ok(Some(history)) = History::load(&directory) else { return Err(failure) };
    if history.file != absolute(&origin.file) || !goes_back(&history, on_disk.as_ref(), false) {
        return Err(failure);
    }
    match good(&history, &origin) {
        Ok(config) if config.agent.state_dir == directory => Ok(Start {
            config,
            sources: on_disk.unwrap_or_default(),
            history: History::default(),
            protected: None,
            origin,
            metrics: None,
            kernel_log,
            unusable: Some(failure),
        }),
        _ => Err(failure),
    }
}

/// What an agent is to start with: where a configuration was on trial, the one before it. What the files say instead is taken
/// if it is neither, for then somebody has mended them.
/// To be called with the lock held that says that no other agent runs.
///
/// # Errors
///
/// What is wrong with the files, where there is nothing to go back to. Where they are good, what cannot be read of the history
/// is named in the log, and they are used.
pub fn resume(mut start: Start) -> Result<Start, Failure> {
    let file = absolute(&start.origin.file);
    let kept = History::load(&start.config.agent.state_dir).unwrap_or_else(|error| {
        tracing::warn!("what earlier agents had in force is not known: {error}");
        None
    });
    let fresh = || History { file: file.clone(), good: start.sources.clone(), ..History::default() };
    let mut history = kept.filter(|history| history.file == file).unwrap_or_else(fresh);
    let unusable = start.unusable.take();
    if goes_back(&history, read(&start.sources), unusable.is_none()) {
        go_back(&mut start, &mut history, unusable)?;
    } else if let Some(failure) = unusable {
        return Err(failure);
    } else if let Some(trial) = history.trial.take() {
        tracing::warn!(
            "the configuration on trial was not confirmed before the agent ended; the file says another one by now, which is in force"
        );
        start.protected = Some(trial.protected);
    }
    if !history.good.same_texts(&start.sources) {
        history.before = Some(std::mem::replace(&mut history.good, start.sources.clone()));
        history.rejected = None;
    }
    start.history = history;
    Ok(start)
}

/// What could be read of the files: nothing has no name.
fn read(sources: &Sources) -> Option<&Sources> {
    Some(sources).filter(|sources| !sources.file.is_empty())
}

/// Whether what an earlier agent has kept comes before what the files say: that was on trial, or taken back; or it is of no use
/// while something was on trial.
fn goes_back(history: &History, on_disk: Option<&Sources>, usable: bool) -> bool {
    let says = |sources: &Sources| on_disk.is_some_and(|on_disk| on_disk.same_texts(sources));
    history.rejected.as_ref().is_some_and(says)
        || history.trial.as_ref().is_some_and(|trial| !usable || says(&trial.tried) || says(&history.good))
}

fn go_back(start: &mut Start, history: &mut History, unusable: Option<Failure>) -> Result<(), Failure> {
    let trial = history.trial.take();
    let mut config = match good(history, &start.origin) {
        Ok(config) => config,
        Err(error) => {
            tracing::error!("the configuration before the one on trial is of no use: {error}");
            return unusable.map_or(Ok(()), Err);
        }
    };
    if trial.is_some() {
        tracing::warn!(
            "the configuration on trial was not confirmed before the agent ended; the one before is in force"
        );
    } else {
        tracing::warn!(
            "the file says what was taken back; what was in force then is in force (`stopbank reload` takes the file all the same)"
        );
    }
    if let Some(failure) = unusable {
        // Somebody is at work on it.
        tracing::error!("the file is of no use and stays as it is: {}", failure.message);
        history.rejected = read(&start.sources).cloned();
    } else if !history.good.same_texts(&start.sources) {
        history.rejected = match config::install(&start.origin.file, &history.good, ROLLED_BACK) {
            Ok(_) => None,
            Err(error) => {
                tracing::warn!("the file says what was taken back still: {error}");
                Some(start.sources.clone())
            }
        };
    }
    wait_for_absent(&mut config);
    start.config = config;
    start.sources = history.good.clone();
    start.protected = trial.map(|trial| trial.protected);
    Ok(())
}

/// The configuration that was good last.
fn good(history: &History, origin: &Origin) -> Result<Config, ConfigError> {
    let mut config = config::parse_sources(&history.good)?;
    if let Some(socket) = &origin.socket {
        config.agent.socket.clone_from(socket);
    }
    Ok(config)
}

fn absolute(file: &Path) -> PathBuf {
    std::path::absolute(file).unwrap_or_else(|_| file.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Trial, failure::Code};

    /// An agent's file and state, with a trial that its end has left.
    struct Left {
        directory: tempfile::TempDir,
        good: String,
        tried: String,
    }

    impl Left {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let text = |mode: &str| {
                format!(
                    "mode = \"{mode}\"\n[agent]\nstate_dir = \"{}\"\n[[interface]]\nname = \"lo\"\n",
                    directory.path().join("state").display()
                )
            };
            let left = Self { good: text("enforce"), tried: text("observe"), directory };
            let sources = |text: &str| Sources::single(left.file().display().to_string(), text);
            let (good, tried) = (sources(&left.good), sources(&left.tried));
            let trial = Some(Trial { until: 1, protected: Vec::new(), tried });
            let history = History { file: left.file(), good, trial, ..History::default() };
            history.save(&left.directory.path().join("state")).unwrap();
            left
        }

        fn file(&self) -> PathBuf {
            self.directory.path().join("main.toml")
        }

        /// What an agent starts with where the file says this; what the file says then.
        fn starts(&self, says: &[u8]) -> (Result<Start, Failure>, Vec<u8>) {
            std::fs::write(self.file(), says).unwrap();
            let origin = Origin { file: self.file(), socket: None };
            let failure = Failure::new(Code::Configuration, "of no use");
            let start = match config::load(&self.file()) {
                Err(_) => without_files(origin, 0, failure),
                Ok(config) => Ok(Start {
                    config,
                    sources: config::read_sources(&self.file()).unwrap(),
                    history: History::default(),
                    protected: None,
                    origin,
                    metrics: None,
                    kernel_log: 0,
                    unusable: None,
                }),
            };
            (start.and_then(resume), std::fs::read(self.file()).unwrap())
        }
    }

    #[test]
    fn what_was_on_trial_is_taken_back_and_the_file_says_so() {
        let left = Left::new();
        for says in [&left.tried, &left.good] {
            let (start, file) = left.starts(says.as_bytes());
            let start = start.unwrap();
            assert_eq!((start.sources.text, start.protected), (left.good.clone(), Some(Vec::new())));
            assert!(start.history.trial.is_none() && start.history.rejected.is_none());
            assert_eq!(file, left.good.as_bytes());
        }
    }

    #[test]
    fn what_was_mended_since_is_taken() {
        let left = Left::new();
        let mended = format!("# mended\n{}", left.good);
        let (start, file) = left.starts(mended.as_bytes());
        let start = start.unwrap();
        assert_eq!((&start.sources.text, start.protected), (&mended, Some(Vec::new())));
        assert_eq!(
            (start.history.good.text, start.history.before.unwrap().text),
            (mended.clone(), left.good)
        );
        assert!(start.history.trial.is_none());
        assert_eq!(file, mended.as_bytes());
    }

    #[test]
    fn a_file_of_no_use_is_passed_over_after_a_trial_and_left_alone() {
        let left = Left::new();
        // Saved in half, somewhere; the first says where state is kept.
        let half = format!("{}[[class]\n", left.tried);
        for says in [half.as_bytes(), &[half.as_bytes(), b"\xff"].concat()] {
            let (start, file) = left.starts(says);
            match std::str::from_utf8(says) {
                Ok(text) => {
                    let start = start.unwrap();
                    assert_eq!(start.sources.text, left.good);
                    assert_eq!(start.history.rejected.as_ref().unwrap().text, text);
                    // The next one finds no trial, but what was passed over.
                    start.history.save(&left.directory.path().join("state")).unwrap();
                    assert_eq!(left.starts(says).0.unwrap().sources.text, left.good);
                    let other = format!("{text}# more\n");
                    assert_eq!(left.starts(other.as_bytes()).0.unwrap_err().message, "of no use");
                }
                // Where state is kept is not known.
                Err(_) => assert_eq!(start.unwrap_err().message, "of no use"),
            }
            assert_eq!(file, says);
        }
    }
}
