//! Masking of a text that comes in pieces.

use std::ops::Deref;

use super::{Counts, Sensitive, WINDOW, scan, tokens::Run};

/// Bytes before a place that say whether something begins there.
const CONTEXT: usize = 2;
/// Bytes that are looked through at once.
const PIECE: usize = 16 << 10;

/// Masks a text that comes in pieces: all that comes out is what [`Sensitive::mask`] makes of the whole.
///
/// Holds back up to two windows of text ([`WINDOW`]), and needs memory for a piece of 16 KiB beside.
#[derive(Debug)]
pub struct Stream<S> {
    sensitive: S,
    /// Some context, and what is not decided yet.
    buffer: Vec<u8>,
    /// How much of the buffer is context.
    context: usize,
    run: Option<Run>,
    counts: Counts,
}

impl<S: Deref<Target = Sensitive>> Stream<S> {
    /// Looks for what `sensitive` says.
    pub const fn new(sensitive: S) -> Self {
        Self { sensitive, buffer: Vec::new(), context: 0, run: None, counts: Counts([0; 9]) }
    }

    /// Takes a piece, and appends to `out` what is decided by it.
    pub fn push(&mut self, text: &[u8], out: &mut Vec<u8>) {
        for piece in text.chunks(PIECE) {
            self.buffer.extend_from_slice(piece);
            // Not for every few bytes: a window is looked through again each time.
            if self.buffer.len() - self.context >= 2 * WINDOW {
                self.decide(false, out);
            }
        }
    }

    /// Appends the rest, and says what was masked in all.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Counts {
        self.decide(true, out);
        self.counts
    }

    /// Appends all that is held back, as if the text ended here and another one began.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        self.decide(true, out);
        self.buffer.clear();
        (self.context, self.run) = (0, None);
    }

    /// What was masked so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    fn decide(&mut self, last: bool, out: &mut Vec<u8>) {
        let mut spans = Vec::new();
        let Self { sensitive, buffer, context, run, counts } = self;
        let decided = scan::scan(sensitive, buffer, *context, last, run, &mut spans, counts);
        let start = out.len();
        out.extend_from_slice(buffer.get(*context..decided).unwrap_or_default());
        let masked = out.get_mut(start..).unwrap_or_default();
        for span in spans {
            let moved = scan::Span { start: span.start - *context, end: span.end - *context, ..span };
            moved.paint(masked);
        }
        let keep = decided.saturating_sub(CONTEXT);
        buffer.drain(..keep);
        *context = decided - keep;
    }
}
