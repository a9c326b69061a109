//! HTTP/1 as it comes out of a connection, little by little: where a head ends, and what is in chunks. Each byte is looked at once.

use crate::Reason;

/// Most digits of a chunk's size: eight are 4 GiB.
const CHUNK_DIGITS: u8 = 8;
/// Most bytes of trailers that are skipped.
const TRAILERS: usize = 8 << 10;

/// Where a head ends.
#[derive(Clone, Copy, Default, Debug)]
pub struct HeadScan {
    /// Bytes that have been looked at.
    seen: usize,
    /// Where the line begins that has not ended yet.
    line: usize,
}

impl HeadScan {
    /// The length of the head that `bytes` begin with, its empty line included; `None` while that has not come. `bytes` are all that have
    /// come since the head's first one. A line that ends with LF alone ends the head as well: whoever reads that head refuses it.
    pub fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        while let Some(found) = memchr::memchr(b'\n', bytes.get(self.seen..)?) {
            let at = self.seen + found;
            let line = bytes.get(self.line..at)?;
            if line == b"\r" || line.last() != Some(&b'\r') {
                return Some(at + 1);
            }
            self.seen = at + 1;
            self.line = at + 1;
        }
        self.seen = bytes.len();
        None
    }
}

/// A chunked body (RFC 9112, section 7.1). No extensions: hardly anyone sends them, and servers read them in many ways.
#[derive(Clone, Copy, Debug)]
pub struct Chunks {
    state: State,
    trailers: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Size {
        digits: u8,
        size: usize,
    },
    SizeLineFeed {
        size: usize,
    },
    Data {
        left: usize,
    },
    DataCarriageReturn,
    DataLineFeed,
    /// At the beginning of a line behind the last chunk.
    Last {
        skipped: usize,
    },
    LastLineFeed,
    Trailer {
        skipped: usize,
        after_carriage_return: bool,
    },
    Done,
}

impl Chunks {
    /// Of a request: trailers are refused, few servers expect them.
    pub const fn of_request() -> Self {
        Self { state: State::Size { digits: 0, size: 0 }, trailers: false }
    }

    /// Of an answer: trailers are skipped.
    pub const fn of_response() -> Self {
        Self { trailers: true, ..Self::of_request() }
    }

    /// Whether the last chunk has come. Nothing more is taken then.
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Appends what `input` has of the body to `body`, which may become `most` bytes long, and returns how many bytes of `input` were
    /// taken: all of them, or all up to the body's end.
    ///
    /// # Errors
    ///
    /// [`Reason::Chunk`], [`Reason::Trailer`], [`Reason::BodyLength`], [`Reason::BareLineFeed`] or [`Reason::BareCarriageReturn`].
    pub fn feed(&mut self, input: &[u8], body: &mut Vec<u8>, most: usize) -> Result<usize, Reason> {
        let mut rest = input;
        while let Some((&byte, after)) = rest.split_first() {
            match self.state {
                State::Done => break,
                State::Data { left } => {
                    let (data, after) = rest.split_at(left.min(rest.len()));
                    body.extend_from_slice(data);
                    rest = after;
                    let left = left - data.len();
                    self.state = if left == 0 { State::DataCarriageReturn } else { State::Data { left } };
                }
                state => {
                    self.state = self.step(state, byte)?;
                    rest = after;
                    if let State::Data { left } = self.state
                        && body.len().saturating_add(left) > most
                    {
                        return Err(Reason::BodyLength);
                    }
                }
            }
        }
        Ok(input.len() - rest.len())
    }

    fn step(&self, state: State, byte: u8) -> Result<State, Reason> {
        Ok(match (state, byte) {
            (State::Size { digits: 1.., size }, b'\r') => State::SizeLineFeed { size },
            (State::Size { .. }, b'\n') => return Err(Reason::BareLineFeed),
            (State::Size { digits, size }, _) => {
                let digit = char::from(byte).to_digit(16).filter(|_| digits < CHUNK_DIGITS);
                State::Size { digits: digits + 1, size: size * 16 + digit.ok_or(Reason::Chunk)? as usize }
            }
            (State::SizeLineFeed { size: 0 }, b'\n') => State::Last { skipped: 0 },
            (State::SizeLineFeed { size }, b'\n') => State::Data { left: size },
            (State::DataCarriageReturn, b'\r') => State::DataLineFeed,
            (State::DataLineFeed, b'\n') => State::Size { digits: 0, size: 0 },
            (State::DataCarriageReturn | State::DataLineFeed, _) => return Err(Reason::Chunk),
            (State::Last { .. }, b'\r') => State::LastLineFeed,
            (State::LastLineFeed, b'\n') => State::Done,
            (State::SizeLineFeed { .. } | State::LastLineFeed, _) => return Err(Reason::BareCarriageReturn),
            (State::Last { .. } | State::Trailer { .. }, _) if !self.trailers => return Err(Reason::Trailer),
            (State::Last { skipped } | State::Trailer { skipped, .. }, _) if skipped >= TRAILERS => {
                return Err(Reason::Trailer);
            }
            (State::Trailer { skipped, after_carriage_return: true }, b'\n') => {
                State::Last { skipped: skipped + 1 }
            }
            (State::Last { .. } | State::Trailer { .. }, b'\n') => return Err(Reason::BareLineFeed),
            (State::Trailer { after_carriage_return: true, .. }, _) => {
                return Err(Reason::BareCarriageReturn);
            }
            (State::Last { skipped } | State::Trailer { skipped, .. }, _) => {
                State::Trailer { skipped: skipped + 1, after_carriage_return: byte == b'\r' }
            }
            (State::Data { .. } | State::Done, _) => state,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_at_its_empty_line_however_it_is_cut() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut scan = HeadScan::default();
        for end in 0..head.len() {
            assert_eq!(scan.end(&head[..end]), None, "{end}");
        }
        assert_eq!(scan.end(head), Some(head.len()));
        let more = [&head[..], b"GET"].concat();
        assert_eq!(HeadScan::default().end(&more), Some(head.len()));
        assert_eq!(HeadScan::default().end(b"GET / HTTP/1.1\r\nHost: a\n\n"), Some(24));
        assert_eq!(HeadScan::default().end(b"\r\nGET"), Some(2));
    }

    #[test]
    fn chunks_are_the_same_however_they_are_cut() {
        let whole = b"3\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\n";
        for cut in 0..=whole.len() {
            let (mut chunks, mut body) = (Chunks::of_request(), Vec::new());
            assert_eq!(chunks.feed(&whole[..cut], &mut body, 13), Ok(cut));
            assert_eq!(chunks.is_done(), cut == whole.len());
            assert_eq!(chunks.feed(&whole[cut..], &mut body, 13), Ok(whole.len() - cut));
            assert!(chunks.is_done() && body == b"abc0123456789", "{cut}");
        }
        assert_eq!(Chunks::of_request().feed(whole, &mut Vec::new(), 12), Err(Reason::BodyLength));
    }

    #[test]
    fn nothing_is_taken_behind_the_last_chunk() {
        let mut chunks = Chunks::of_request();
        assert_eq!(chunks.feed(b"0\r\n\r\nGET", &mut Vec::new(), 0), Ok(5));
        assert_eq!(chunks.feed(b"GET", &mut Vec::new(), 0), Ok(0));
    }

    #[test]
    fn an_answers_trailers_are_skipped_and_bounded() {
        let feed = |bytes: &[u8]| {
            let (mut chunks, mut body) = (Chunks::of_response(), Vec::new());
            chunks.feed(bytes, &mut body, 9).map(|_| (chunks.is_done(), body))
        };
        assert_eq!(feed(b"1\r\na\r\n0\r\nX: y\r\nZ: 1\r\n\r\n"), Ok((true, b"a".to_vec())));
        assert_eq!(feed(b"0\r\nX: y\n\r\n"), Err(Reason::BareLineFeed));
        assert_eq!(feed(b"0\r\nX: \ry\r\n\r\n"), Err(Reason::BareCarriageReturn));
        let long = [&b"0\r\nX: "[..], &[b'a'; TRAILERS], b"\r\n\r\n"].concat();
        assert_eq!(feed(&long), Err(Reason::Trailer));
    }
}
