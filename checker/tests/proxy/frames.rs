//! HTTP/2 as bytes (RFC 9113): a client that sends what no library would. Headers are literals without index and without Huffman coding
//! (RFC 7541, section 6.2.2), so that every byte of a name and a value stands as it is.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const WINDOW_UPDATE: u8 = 8;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// A frame (section 4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block of literals.
pub(crate) fn block(fields: &[(String, String)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            length(&mut bytes, text.len());
            bytes.extend(text.bytes());
        }
    }
    bytes
}

/// An integer with a prefix of seven bits (RFC 7541, section 5.1).
fn length(bytes: &mut Vec<u8>, length: usize) {
    if length < 127 {
        bytes.push(u8::try_from(length).unwrap());
        return;
    }
    bytes.push(127);
    let mut left = length - 127;
    while left >= 128 {
        bytes.push(u8::try_from(left % 128).unwrap() | 128);
        left /= 128;
    }
    bytes.push(u8::try_from(left).unwrap());
}

/// How a stream has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// With an answer, whose body this is.
    Answered(Vec<u8>),
    Reset,
    /// With the connection.
    Closed,
}

/// A connection.
pub(crate) struct Client {
    stream: TcpStream,
    next: u32,
}

impl Client {
    /// With the preface and empty settings.
    pub(crate) fn connect(stream: TcpStream) -> Self {
        let mut client = Self { stream, next: 1 };
        client.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
        client
    }

    /// Sends bytes; whether the other side still takes them.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// A request on the next stream.
    pub(crate) fn request(
        &mut self,
        fields: &[(String, String)],
        body: &[u8],
        trailers: &[(String, String)],
    ) {
        let (stream, end) = (self.next, |last: bool| if last { END_STREAM } else { 0 });
        self.next += 2;
        let mut bytes =
            frame(HEADERS, END_HEADERS | end(body.is_empty() && trailers.is_empty()), stream, &block(fields));
        if !body.is_empty() {
            bytes.extend(frame(DATA, end(trailers.is_empty()), stream, body));
        }
        if !trailers.is_empty() {
            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(trailers)));
        }
        self.send(&bytes);
    }

    /// The next frame: its type, flags, stream and payload. `None` at the end of the connection.
    pub(crate) fn frame(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.stream.read_exact(&mut payload).ok()?;
        match kind {
            SETTINGS if flags & ACK == 0 => drop(self.send(&frame(SETTINGS, ACK, 0, &[]))),
            PING if flags & ACK == 0 => drop(self.send(&frame(PING, ACK, 0, &payload))),
            _ => {}
        }
        Some((kind, flags, u32::from_be_bytes(stream), payload))
    }

    /// Reads until a stream ends.
    pub(crate) fn ended(&mut self, wanted: u32) -> Ended {
        let mut body = Vec::new();
        loop {
            let Some((kind, flags, stream, payload)) = self.frame() else { return Ended::Closed };
            if stream != wanted {
                continue;
            }
            match kind {
                DATA => body.extend(payload),
                RST_STREAM => return Ended::Reset,
                _ => {}
            }
            if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
                return Ended::Answered(body);
            }
        }
    }
}
