//! Progress of what takes long; on a terminal only, and never in the way of what is piped on.

use std::{borrow::Cow, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

/// Shows that something goes on, and for how long, until it is dropped.
pub(super) struct Waiting(ProgressBar);

impl Waiting {
    /// For this.
    pub(super) fn new(what: impl Into<Cow<'static, str>>) -> Self {
        // It draws to stderr, and nothing where that is no terminal.
        let bar = ProgressBar::new_spinner().with_message(what);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A bar for so many bytes.
pub(super) fn bytes(length: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(length).with_message(what);
    match ProgressStyle::with_template("{msg} [{wide_bar}] {bytes}/{total_bytes}") {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}
