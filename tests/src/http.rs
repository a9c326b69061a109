//! A GET and nothing more, for what listens on loopback in a namespace.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::netns::Namespace;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks for a path and returns the status and the body, decoded as UTF-8. HTTP/1.0, which nobody answers in chunks.
///
/// # Errors
///
/// When nobody listens there, or the answer is no HTTP.
pub fn get(namespace: &Namespace, server: SocketAddr, path: &str) -> Result<(u16, String)> {
    namespace.run(|| {
        let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        read(&String::from_utf8(answer)?)
    })?
}

fn read(answer: &str) -> Result<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a header")?;
    let Some(Ok(status)) = head.split_whitespace().nth(1).map(str::parse) else {
        bail!("an answer without a status: {head}");
    };
    Ok((status, body.to_owned()))
}

/// As part of a query: everything but letters, digits and a few signs as %XX.
pub fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => escaped.push(byte.into()),
            _ => escaped += &format!("%{byte:02X}"),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_and_a_body_are_read() {
        assert_eq!(
            read("HTTP/1.0 404 Not Found\r\nA: b\r\n\r\nno\r\n\r\n").unwrap(),
            (404, "no\r\n\r\n".to_owned())
        );
        assert!(read("HTTP/1.0 200 OK\r\n").is_err() && read("x\r\n\r\n").is_err());
        assert_eq!(escape("a{b=\"c d\"}"), "a%7Bb%3D%22c%20d%22%7D");
    }
}
