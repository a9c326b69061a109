//! The part of a stream that is looked at.

use std::io::{self, Read};

use super::CaptureError;

/// Bytes that are asked for at a time.
const CHUNK: usize = 1 << 18;

/// A stream, and what was read of it but not yet used.
pub(super) struct Window<R> {
    reader: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    offset: u64,
    ended: bool,
}

impl<R: Read> Window<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), start: 0, end: 0, offset: 0, ended: false }
    }

    /// Byte of the stream at which the window begins.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// What is there: at least `wanted` bytes, unless the stream ends before. Grows by what really comes, so that a length
    /// field alone takes no memory.
    pub(super) fn fill(&mut self, wanted: usize) -> Result<&[u8], CaptureError> {
        while self.end - self.start < wanted && !self.ended {
            if self.start > 0 && self.buffer.len() - self.end < CHUNK {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            if self.buffer.len() - self.end < CHUNK {
                self.buffer.resize(self.end + CHUNK, 0);
            }
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(bytes) => self.end += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A gzip'd file that was cut off.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.ended = true,
                Err(source) => {
                    let offset = self.offset + (self.end - self.start) as u64;
                    return Err(CaptureError::Unreadable { offset, source });
                }
            }
        }
        Ok(&self.buffer[self.start..self.end])
    }

    /// Goes on by `bytes` of what [`Self::fill`] gave.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        self.offset += bytes as u64;
    }

    /// Goes on by any number of bytes; whether there were so many.
    pub(super) fn skip(&mut self, mut bytes: u64) -> Result<bool, CaptureError> {
        while bytes > 0 {
            let there = self.fill(1)?.len();
            if there == 0 {
                return Ok(false);
            }
            let step = usize::try_from(bytes).unwrap_or(usize::MAX).min(there);
            self.consume(step);
            bytes -= step as u64;
        }
        Ok(true)
    }

    /// The stream from where the window begins.
    pub(super) fn into_reader(mut self) -> impl Read {
        self.buffer.truncate(self.end);
        let mut unread = io::Cursor::new(self.buffer);
        unread.set_position(self.start as u64);
        unread.chain(self.reader)
    }
}
