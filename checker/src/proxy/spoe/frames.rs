//! Frames out of a stream of bytes: no longer than what was agreed, no slower than the limits, and in memory only as far as they have come.

use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::{Instant, timeout_at},
};

use super::frame::End;
use crate::proxy::{config::Limits, shared::Shared};

/// Bytes that are read at once.
const STEP: usize = 16 << 10;
/// Bytes of a frame's length.
const LENGTH: usize = size_of::<u32>();

/// Bytes that count as held in memory until this is dropped.
pub(super) struct Held {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Held {
    fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), bytes: 0 }
    }

    /// Takes more, unless all together would have more than `most`.
    fn grow(&mut self, bytes: usize, most: usize) -> bool {
        let fits = self.shared.buffered.take(bytes, most);
        self.bytes += if fits { bytes } else { 0 };
        fits
    }

    /// So many of them apart.
    fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { shared: Arc::clone(&self.shared), bytes }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shared.buffered.give(self.bytes);
    }
}

/// What comes of a connection.
pub(super) struct Frames<R> {
    io: R,
    buffer: BytesMut,
    held: Held,
    /// Most bytes of a frame.
    pub(super) most: u32,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(super) fn new(io: R, shared: &Arc<Shared>, most: u32) -> Self {
        Self { io, buffer: BytesMut::new(), held: Held::new(shared), most }
    }

    /// The next frame, without its length; `None` where the connection ends.
    ///
    /// # Errors
    ///
    /// How it is to end.
    pub(super) async fn next(&mut self, limits: &Limits) -> Result<Option<(Bytes, Held)>, End> {
        let idle = Instant::now() + limits.idle_timeout;
        let mut deadline = None;
        loop {
            if let Some(frame) = self.whole()? {
                return Ok(Some(frame));
            }
            if deadline.is_none() && !self.buffer.is_empty() {
                deadline = Some(Instant::now() + limits.head_timeout);
            }
            self.buffer.reserve(STEP);
            match timeout_at(deadline.unwrap_or(idle), self.io.read_buf(&mut self.buffer)).await {
                Err(_) => return Err(End::Timeout),
                Ok(Ok(0) | Err(_)) => return Ok(None),
                Ok(Ok(read)) if !self.held.grow(read, limits.buffered) => return Err(End::Resources),
                Ok(Ok(_)) => {}
            }
        }
    }

    /// A frame that has come already.
    pub(super) fn whole(&mut self) -> Result<Option<(Bytes, Held)>, End> {
        let Some(&length) = self.buffer.first_chunk::<LENGTH>() else { return Ok(None) };
        let length = u32::from_be_bytes(length);
        if length > self.most {
            return Err(End::TooBig);
        }
        let all = usize::try_from(length).map_err(|_| End::TooBig)? + LENGTH;
        if self.buffer.len() < all {
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(all);
        frame.advance(LENGTH);
        Ok(Some((frame.freeze(), self.held.split(all))))
    }

    /// Reads and throws away what still comes, so that the other side reads what it was told before the connection is reset.
    pub(super) async fn linger(&mut self) {
        loop {
            self.buffer.clear();
            self.buffer.reserve(STEP);
            if !matches!(self.io.read_buf(&mut self.buffer).await, Ok(1..)) {
                return;
            }
        }
    }
}
