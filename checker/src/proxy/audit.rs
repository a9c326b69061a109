//! The audit log: a line of JSON for each request that is refused, observed or failed, and where that is wanted for each. No values of
//! headers, queries or bodies are in it, but for evidence that is masked.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde::Serialize;
use stopbank_checker::sensitive::{self, WINDOW};

use crate::proxy::say;

/// Lines that wait for the disk. What comes beyond is lost, and counted: a full disk stops no request.
const WAITING: usize = 8192;
/// Longest path and method that a line has, in bytes.
const LONGEST: usize = 512;

/// A line.
#[derive(Serialize)]
pub(crate) struct Record<'r> {
    pub(crate) time: String,
    pub(crate) request_id: &'r str,
    pub(crate) client: String,
    /// Whether the client has shown a certificate that holds.
    pub(crate) certificate: bool,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) action: &'static str,
    pub(crate) check: Option<&'static str>,
    pub(crate) reason: Option<&'static str>,
    pub(crate) evidence: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) observed: Vec<serde_json::Value>,
    /// What was to be masked in the answer: how many, by kind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) masked: BTreeMap<&'static str, u64>,
    /// Who asks: by what that was proven, who has vouched for it, and the subject. Never the credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) identity: Option<serde_json::Value>,
    /// What of the request nobody has shown, so that the checks of it have passed nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unseen: Option<&'static str>,
    pub(crate) route: Option<&'r str>,
    pub(crate) upstream: Option<&'r str>,
    pub(crate) duration_us: u64,
}

/// What a line has of bytes that a client sent: readable, masked, and not too many.
pub(crate) fn shortened(bytes: &[u8]) -> String {
    let beginning = &bytes[..bytes.len().min(LONGEST + WINDOW)];
    sensitive::masked(&String::from_utf8_lossy(beginning), LONGEST)
}

/// A target without its query, in which secrets are passed. Where one shows only when the path is decoded, that is what stands there.
pub(crate) fn path(target: &[u8]) -> String {
    let path = target.split(|&byte| byte == b'?' || byte == b'#').next().unwrap_or_default();
    let decoded = decoded(&path[..path.len().min(LONGEST + WINDOW)]);
    let masked = shortened(&decoded);
    if String::from_utf8_lossy(&decoded).starts_with(&masked) { shortened(path) } else { masked }
}

fn decoded(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|two| str::from_utf8(two).ok()).filter(|_| byte == b'%');
        let octet = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(octet.unwrap_or(byte));
        rest = if octet.is_some() { &after[2..] } else { after };
    }
    decoded
}

enum Message {
    Line(Vec<u8>),
    Reopen,
    End,
}

/// Writes the log in a thread of its own.
#[derive(Debug)]
pub(crate) struct Audit {
    sender: SyncSender<Message>,
    /// Whether requests that are allowed have a line.
    pub(crate) allowed: bool,
}

impl Audit {
    /// Opens the log. The thread ends, and the log is complete, after [`Audit::end`].
    pub(crate) fn open(file: &Path, allowed: bool) -> Result<(Self, JoinHandle<()>)> {
        let output = open(file)?;
        let (sender, receiver) = sync_channel(WAITING);
        let file = file.to_owned();
        let writer = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write(&file, output, &receiver))?;
        Ok((Self { sender, allowed }, writer))
    }

    /// Adds a line; `false` where it is lost.
    pub(crate) fn add(&self, record: &Record<'_>) -> bool {
        let Ok(mut line) = serde_json::to_vec(record) else { return false };
        line.push(b'\n');
        self.sender.try_send(Message::Line(line)).is_ok()
    }

    /// The file has been moved away: begin another.
    pub(crate) fn reopen(&self) {
        let _ = self.sender.try_send(Message::Reopen);
    }

    /// What waits is written, and then no more.
    pub(crate) fn end(&self) {
        let _ = self.sender.send(Message::End);
    }
}

type Output = BufWriter<Box<dyn Write + Send>>;

fn open(file: &Path) -> Result<Output> {
    if file == Path::new("-") {
        return Ok(BufWriter::new(Box::new(io::stdout())));
    }
    let opened: io::Result<File> = OpenOptions::new().append(true).create(true).mode(0o600).open(file);
    Ok(BufWriter::new(Box::new(
        opened.with_context(|| format!("cannot open the audit log {}", file.display()))?,
    )))
}

fn write(file: &Path, mut output: Output, receiver: &Receiver<Message>) {
    let mut failed = false;
    loop {
        // Written when there is nothing more to write, so that a line is never late by more than this.
        let message = match receiver.try_recv() {
            Ok(message) => message,
            Err(_) => {
                let flushed = output.flush();
                if flushed.is_err() && !failed {
                    say(&format!("the audit log {} cannot be written: {flushed:?}", file.display()));
                }
                failed = flushed.is_err();
                match receiver.recv_timeout(Duration::from_secs(60)) {
                    Ok(message) => message,
                    Err(RecvTimeoutError::Timeout) => continue,
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        };
        match message {
            Message::Line(line) => drop(output.write_all(&line)),
            Message::Reopen => match open(file) {
                // The old one is flushed when it is dropped.
                Ok(new) => output = new,
                Err(error) => say(&format!("{error:#}; the old file goes on")),
            },
            Message::End => {
                let _ = output.flush();
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_no_query_and_is_bounded() {
        assert_eq!(path(b"/a/b?token=secret"), "/a/b");
        assert_eq!(path(&[b'a'; 10_000]).len(), LONGEST);
        assert_eq!(path(b"/\xff"), "/\u{fffd}");
        assert_eq!(path(b"/cards/4111111111111111/x"), "/cards/XXXXXXXXXXXX1111/x");
        assert_eq!(path(b"/pay%204111111111111111%2"), "/pay XXXXXXXXXXXX1111%2");
        assert_eq!(path(b"/a%20b"), "/a%20b");
    }
}
