//! An answer's body on its way to the client: as it comes, and where the policy says so masked. Lengths hold, so that what its head says stays true.

use std::{cell::Cell, rc::Rc, sync::Arc};

use bytes::Bytes;
use stopbank_checker::{
    Reason,
    policy::{Masking, Mode, Reading},
    sensitive::{Counts, Sensitive, Stream},
};

use super::{
    kept::Keeping,
    upstream::{Body, Io},
};

/// How many things were found in an answer, for whoever looks when it is over.
pub(crate) type Found = Rc<Cell<Counts>>;

/// What an answer's body is looked through for.
#[derive(Debug)]
pub(crate) struct Mask {
    stream: Stream<Arc<Sensitive>>,
    found: Found,
    /// Whether it is masked, or only counted.
    replaces: bool,
    /// Whether it is a stream of events, none of which may wait for the next one, and the last bytes of it.
    events: Option<[u8; 3]>,
}

impl Mask {
    /// For an answer that is read so; `None` where there is nothing to do.
    pub(crate) fn new(masking: &Masking, reading: Reading) -> Option<(Self, Found)> {
        let events = match reading {
            Reading::Not | Reading::Unreadable => return None,
            Reading::Text => None,
            Reading::Events => Some([0; 3]),
        };
        let found = Found::default();
        let stream = Stream::new(Arc::clone(masking.sensitive()));
        let replaces = masking.mode == Mode::Enforce;
        Some((Self { stream, found: Rc::clone(&found), replaces, events }, found))
    }

    fn push(&mut self, piece: &Bytes, last: bool) -> Bytes {
        let mut out = Vec::with_capacity(piece.len());
        self.stream.push(piece, &mut out);
        if last || self.ends_event(piece) {
            self.stream.flush(&mut out);
        }
        self.found.set(self.stream.counts());
        if self.replaces { out.into() } else { piece.clone() }
    }

    /// Whether an event ends with this piece: with an empty line (HTML, section 9.2.5).
    fn ends_event(&mut self, piece: &[u8]) -> bool {
        let Some(before) = &mut self.events else { return false };
        // No more of it than decides that.
        let end = &piece[piece.len().saturating_sub(before.len())..];
        let tail = [&before[..], end].concat();
        let kept = tail.len() - before.len();
        before.copy_from_slice(&tail[kept..]);
        [&b"\n\n"[..], b"\r\r", b"\n\r\n"].iter().any(|end| tail.ends_with(end))
    }
}

/// A body as the client gets it.
#[derive(Debug)]
pub(crate) struct Passing {
    body: Body,
    mask: Option<Mask>,
    kept: Option<Keeping>,
}

impl Passing {
    /// `mask`: what is masked on the way; `kept`: where it is kept as the upstream sent it.
    pub(crate) const fn new(body: Body, mask: Option<Mask>, kept: Option<Keeping>) -> Self {
        Self { body, mask, kept }
    }

    /// The next piece, `None` at the end.
    ///
    /// # Errors
    ///
    /// Where it does not end as it is to.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Reason> {
        loop {
            if let Some(piece) = self.buffered()? {
                return Ok(Some(piece));
            }
            if self.is_done() {
                return Ok(None);
            }
            let piece = self.body.next().await?;
            if let Some(piece) = self.through(piece) {
                return Ok(Some(piece));
            }
        }
    }

    /// The next piece, if it is there already.
    pub(crate) fn buffered(&mut self) -> Result<Option<Bytes>, Reason> {
        let piece = self.body.buffered()?;
        Ok(self.through(piece))
    }

    fn through(&mut self, piece: Option<Bytes>) -> Option<Bytes> {
        let last = self.body.is_done();
        if let Some(kept) = &self.kept {
            let mut kept = kept.borrow_mut();
            kept.whole = last;
            if let Some(piece) = &piece {
                kept.add(piece);
            }
        }
        let Some(mask) = &mut self.mask else { return piece };
        let passed = match piece {
            None if !last => None,
            piece => Some(mask.push(&piece.unwrap_or_default(), last)),
        };
        if last {
            self.mask = None;
        }
        passed.filter(|passed| !passed.is_empty())
    }

    /// Whether all of it has been taken.
    pub(crate) const fn is_done(&self) -> bool {
        self.body.is_done() && self.mask.is_none()
    }

    /// The connection itself with what was read of it, where it has become a WebSocket.
    pub(crate) fn into_io(self) -> Option<(Io, Bytes)> {
        self.body.into_io()
    }
}
