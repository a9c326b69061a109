//! The peer: nginx with ModSecurity and the OWASP Core Rule Set.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use stopbank_score::nginx::{Nginx, Role};

/// How long an answer is waited for. Requests that end too early are given up by nginx before.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether the peer refuses each of `requests`: an answer of 400 and above, or none at all.
pub(crate) fn judge(requests: &[&[u8]]) -> Result<Vec<bool>> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let share = requests.len().div_ceil(processors).max(1);
    let upstream = Nginx::start(Role::Upstream, None)?;
    let role = Role::Guarded(upstream.address());
    thread::scope(|scope| {
        let running: Vec<_> = requests
            .chunks(share)
            .map(|part| {
                scope.spawn(move || {
                    let server = Nginx::start(role, None)?;
                    part.iter().map(|request| refuses(&server, request)).collect::<Result<Vec<bool>>>()
                })
            })
            .collect();
        let mut refused = Vec::with_capacity(requests.len());
        for server in running {
            refused.extend(server.join().ok().context("a thread that asks the peer has panicked")??);
        }
        Ok(refused)
    })
}

fn refuses(server: &Nginx, request: &[u8]) -> Result<bool> {
    let mut stream = TcpStream::connect(server.address()).context("the peer takes no connection")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // It may have answered, and closed, before it has read everything.
    let _ = stream.write_all(request);
    let mut answer = [0; 12];
    match stream.read_exact(&mut answer) {
        Ok(()) => Ok(status(&answer).is_none_or(|status| status >= 400)),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            bail!("the peer does not answer within {} s", PATIENCE.as_secs())
        }
        Err(_) => Ok(true),
    }
}

/// The status of an answer that begins so.
fn status(answer: &[u8; 12]) -> Option<u16> {
    str::from_utf8(answer).ok()?.strip_prefix("HTTP/1.")?.get(2..)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status_or_counts_as_none() {
        assert_eq!(status(b"HTTP/1.1 403"), Some(403));
        assert_eq!(status(b"HTTP/1.0 200"), Some(200));
        assert_eq!(status(b"<html><head>"), None);
    }
}
