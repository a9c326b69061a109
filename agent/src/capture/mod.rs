//! Captures: pcap and pcapng files, gzip'd or not, read as a stream.
//!
//! What the formats' headers say is read by the crate pcap-parser; framing, and what is made of it, is here: no record is
//! held in memory but the one at hand, whatever stands in a file's length fields, and an error names the byte at which
//! it begins. A capture is an attacker's work as much as a packet is.
//!
//! Formats: [draft-ietf-opsawg-pcap](https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcap/) and
//! [draft-ietf-opsawg-pcapng](https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcapng/).

mod classic;
mod link;
mod next_generation;
#[cfg(test)]
mod tests;
mod window;

use std::io::{self, Read};

pub use link::{Link, Shape};

use classic::Classic;
use next_generation::NextGeneration;
use window::Window;

/// Longest record or block of packets that is read, in bytes: far above any packet.
const LONGEST_RECORD: usize = 16 << 20;

/// A packet of a capture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// When it was captured, in nanoseconds since 1970; nothing where the format tells no time (pcapng's simple packets).
    pub time_ns: Option<i64>,
    /// What it begins with.
    pub link: Link,
    /// What was captured of it.
    pub data: &'a [u8],
    /// How long it was, in bytes; never less than `data`.
    pub original: u32,
    /// Whether the capture says that the host itself sent it.
    pub outgoing: bool,
}

/// Why a capture cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// It begins like no capture.
    #[error("this is no capture: it begins with neither pcap's nor pcapng's magic number{hint}")]
    NotACapture {
        /// What it looks like instead.
        hint: &'static str,
    },
    /// It ends before its first record could begin.
    #[error("this is no capture: it ends after {bytes} bytes")]
    TooShort {
        /// Its length.
        bytes: u64,
    },
    /// Something in it contradicts itself.
    #[error("the capture is corrupt at byte {offset}: {why}")]
    Corrupt {
        /// Where the record or block begins; in a gzip'd file, of what it holds.
        offset: u64,
        /// What is wrong.
        why: String,
    },
    /// Packets that begin with something else.
    #[error(
        "the capture's link type is {number}, which cannot be judged here; what can: {}",
        Link::SUPPORTED
    )]
    Link {
        /// `LINKTYPE_` number.
        number: u32,
    },
    /// The system cannot read it.
    #[error("cannot read the capture at byte {offset}: {source}")]
    Unreadable {
        /// How far it could be read.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
}

/// A capture that is being read.
pub struct Capture<'r> {
    window: Window<Box<dyn Read + Send + 'r>>,
    format: Format,
    /// Bytes of the record that was handed out last.
    pending: usize,
    truncated: Option<u64>,
}

enum Format {
    Classic(Classic),
    NextGeneration(NextGeneration),
}

/// What stands at the window's beginning.
enum Found<'a> {
    /// A packet in a record of so many bytes.
    Packet(usize, Record<'a>),
    /// Nothing more.
    End,
    /// A record that begins at this byte, but not the whole of it.
    Truncated(u64),
}

impl<'r> Capture<'r> {
    /// Reads a capture's beginning.
    ///
    /// # Errors
    ///
    /// [`CaptureError`], when it is none.
    pub fn open(reader: impl Read + Send + 'r) -> Result<Self, CaptureError> {
        let reader: Box<dyn Read + Send + 'r> = Box::new(reader);
        let mut window = Window::new(reader);
        if window.fill(2)?.starts_with(&[0x1f, 0x8b]) {
            window = Window::new(Box::new(flate2::read::MultiGzDecoder::new(window.into_reader())));
        }
        let format = match Classic::open(&mut window)? {
            Some(classic) => Format::Classic(classic),
            None => Format::NextGeneration(NextGeneration::open(&mut window)?),
        };
        Ok(Self { window, format, pending: 0, truncated: None })
    }

    /// The next packet, if there is one.
    ///
    /// # Errors
    ///
    /// [`CaptureError`]. There is no reading on after one.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, CaptureError> {
        self.window.consume(std::mem::take(&mut self.pending));
        let found = match &mut self.format {
            Format::Classic(classic) => classic.next(&mut self.window)?,
            Format::NextGeneration(ng) => ng.next(&mut self.window)?,
        };
        match found {
            Found::Packet(bytes, record) => {
                self.pending = bytes;
                Ok(Some(record))
            }
            Found::End => Ok(None),
            Found::Truncated(offset) => {
                self.truncated = Some(offset);
                Ok(None)
            }
        }
    }

    /// Where the capture ends in the middle of a record, if it does: it was copied while it was written.
    pub const fn truncated(&self) -> Option<u64> {
        self.truncated
    }

    /// Packets that an obsolete kind of pcapng block held, which is not read.
    pub const fn obsolete(&self) -> u64 {
        match &self.format {
            Format::Classic(_) => 0,
            Format::NextGeneration(ng) => ng.obsolete(),
        }
    }
}

fn corrupt(offset: u64, why: impl Into<String>) -> CaptureError {
    CaptureError::Corrupt { offset, why: why.into() }
}
