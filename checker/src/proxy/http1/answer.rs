//! An answer as a client of HTTP/1 gets it: its head, and where its body ends (RFC 9112, section 6).

use stopbank_checker::response::Ending;

use crate::proxy::{exchange::Arrived, problem};

/// How the client sees where an answer ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Framed {
    /// No body; a length may be told all the same, of what GET would give.
    Empty,
    Length(usize),
    Chunked,
    Close,
    /// It is none any more.
    Switched,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shape {
    pub(super) framing: Framed,
    /// Whether the connection stays.
    pub(super) keep: bool,
    /// Whether the client speaks HTTP/1.0, which wants to be told that it does.
    old: bool,
}

impl Shape {
    pub(super) const fn of(ending: Ending, old: bool, keep: bool, switched: bool) -> Self {
        let framing = match ending {
            _ if switched => Framed::Switched,
            Ending::Empty => Framed::Empty,
            Ending::Length(length) => Framed::Length(length),
            Ending::Chunked | Ending::Close if !old => Framed::Chunked,
            Ending::Chunked | Ending::Close => Framed::Close,
        };
        Self { framing, keep: keep && !matches!(framing, Framed::Close), old }
    }

    pub(super) fn append(self, out: &mut Vec<u8>, piece: &[u8]) {
        if piece.is_empty() {
            // A chunk of nothing would be the last one.
        } else if self.framing == Framed::Chunked {
            out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            out.extend_from_slice(piece);
            out.extend_from_slice(b"\r\n");
        } else {
            out.extend_from_slice(piece);
        }
    }

    pub(super) fn finish(self, out: &mut Vec<u8>) {
        if self.framing == Framed::Chunked {
            out.extend_from_slice(b"0\r\n\r\n");
        }
    }
}

pub(super) fn write_head(out: &mut Vec<u8>, arrived: &Arrived<'_>, shape: Shape, id: &str) {
    let response = arrived.response;
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(response.status.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(problem::phrase(response.status).as_bytes());
    out.extend_from_slice(b"\r\n");
    for field in &arrived.fields {
        for part in [field.name, b": ", field.value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    match shape.framing {
        Framed::Length(length) => out.extend_from_slice(format!("content-length: {length}\r\n").as_bytes()),
        Framed::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Framed::Empty if response.status >= 200 && response.status != 204 => {
            for field in response.headers.iter().filter(|field| field.is("content-length")) {
                out.extend_from_slice(b"content-length: ");
                out.extend_from_slice(field.value);
                out.extend_from_slice(b"\r\n");
            }
        }
        Framed::Switched => out.extend_from_slice(b"connection: upgrade\r\nupgrade: websocket\r\n"),
        Framed::Empty | Framed::Close => {}
    }
    out.extend_from_slice(b"x-request-id: ");
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(b"\r\n");
    match (shape.keep, shape.old) {
        _ if shape.framing == Framed::Switched => {}
        (false, _) => out.extend_from_slice(b"connection: close\r\n"),
        (true, true) => out.extend_from_slice(b"connection: keep-alive\r\n"),
        (true, false) => {}
    }
    out.extend_from_slice(b"\r\n");
}
