//! A legitimate HTTPS client: curl, a new connection for each request.
//!
//! The load is open, as [`crate::client`]'s is: a request begins when it is due, whatever became of those before it.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::{interrupt, netns::Namespace, process};

/// What the client does.
#[derive(Clone, Debug)]
pub struct Curl {
    /// What it asks for.
    pub url: String,
    /// Requests a second.
    pub rate: u32,
    /// For how long requests begin.
    pub time: Duration,
    /// How long a request may take, the connection included; after that it has failed.
    pub timeout: Duration,
}

/// What became of the requests.
#[derive(Clone, Default, Debug)]
pub struct Requests {
    /// Milliseconds of those that were answered with status 200, sorted.
    succeeded: Vec<f64>,
    /// Milliseconds that the others took to fail.
    failed: Vec<f64>,
}

impl Curl {
    /// Works until the last request has ended.
    ///
    /// # Errors
    ///
    /// Where there is no curl.
    pub fn work(&self, namespace: &Namespace) -> Result<Requests> {
        let begin = Instant::now();
        let interval = Duration::from_secs(1) / self.rate.max(1);
        let mut under_way = Vec::new();
        let mut due = begin;
        while due < begin + self.time {
            interrupt::sleep_until(due)?;
            let mut command = namespace.command("curl");
            self.arguments(&mut command);
            under_way.push(thread::spawn(move || process::output(&mut command, "")));
            due += interval;
        }
        let mut requests = Requests::default();
        for request in under_way {
            let output = request.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            requests.count(&String::from_utf8_lossy(&output.stdout), self.timeout)?;
        }
        requests.succeeded.sort_by(f64::total_cmp);
        Ok(requests)
    }

    fn arguments(&self, command: &mut Command) {
        command
            .args(["--silent", "--insecure", "--http1.1", "--output", "/dev/null"])
            .args(["--write-out", "%{http_code} %{time_total}"])
            .args(["--max-time", &format!("{:.3}", self.timeout.as_secs_f64())])
            .arg(&self.url);
    }
}

impl Requests {
    /// One request, by what curl wrote of it.
    fn count(&mut self, written: &str, timeout: Duration) -> Result<()> {
        let mut fields = written.split_whitespace();
        let (Some(status), Some(Ok(seconds))) = (fields.next(), fields.next().map(str::parse::<f64>)) else {
            bail!("curl wrote `{written}`");
        };
        let milliseconds = seconds.min(timeout.as_secs_f64()) * 1e3;
        if status == "200" { &mut self.succeeded } else { &mut self.failed }.push(milliseconds);
        Ok(())
    }

    /// How many there were.
    pub fn attempted(&self) -> usize {
        self.succeeded.len() + self.failed.len()
    }

    /// The part that succeeded, 0 to 1; 0 if there were none.
    pub fn success(&self) -> f64 {
        if self.attempted() == 0 { 0.0 } else { self.succeeded.len() as f64 / self.attempted() as f64 }
    }

    /// How many milliseconds the given part (0 to 1) of the requests took at most. One that failed counts as longer than
    /// any that succeeded. `None` where so many failed.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let at = (part * self.attempted() as f64).ceil() as usize;
        self.succeeded.get(at.saturating_sub(1)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_counts_as_slower_than_all_else() {
        let mut requests = Requests::default();
        for i in 1..=98 {
            requests.count(&format!("200 0.{i:03}"), Duration::from_secs(3)).unwrap();
        }
        requests.count("000 3.001", Duration::from_secs(3)).unwrap();
        requests.count("502 0.001", Duration::from_secs(3)).unwrap();
        assert_eq!((requests.attempted(), requests.success()), (100, 0.98));
        assert_eq!(requests.quantile(0.5), Some(50.0));
        assert_eq!(requests.quantile(0.98), Some(98.0));
        assert_eq!(requests.quantile(0.99), None);
        assert!(requests.count("", Duration::from_secs(3)).is_err());
    }
}
