//! What all clients together may take: connections, memory for bodies, and turns.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Connections of clients, in all and by address.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    all: AtomicUsize,
    by_address: Mutex<HashMap<u128, usize>>,
}

/// Why a connection is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Full {
    All,
    Address,
}

/// A connection that counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    connections: Arc<Connections>,
    key: u128,
}

/// One IPv4 address, or an IPv6 /64: whoever has one address of that has all of them.
fn key(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits() & !u128::from(u64::MAX) | 1 << 63,
    }
}

impl Connections {
    /// Counts a connection, unless it is one too many.
    pub(crate) fn admit(
        self: &Arc<Self>,
        address: IpAddr,
        all: usize,
        each: usize,
    ) -> Result<Admitted, Full> {
        if self.all.fetch_add(1, Ordering::Relaxed) >= all {
            self.all.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::All);
        }
        let key = key(address);
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_address.entry(key).or_default();
        if *count >= each {
            if *count == 0 {
                by_address.remove(&key);
            }
            self.all.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::Address);
        }
        *count += 1;
        Ok(Admitted { connections: Arc::clone(self), key })
    }

    /// Connections at the moment.
    pub(crate) fn count(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.connections.all.fetch_sub(1, Ordering::Relaxed);
        let mut by_address = self.connections.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_address.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.key);
            }
        }
    }
}

/// Bytes that one connection passes on before others have their turn. Where both sides are quick, nothing else would make it wait.
const TURN: usize = 64 << 10;

/// What one connection has passed on since others had their turn.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    passed: usize,
}

impl Turn {
    /// So many bytes more; lets others do something where that is enough.
    pub(crate) async fn passes(&mut self, bytes: usize) {
        self.passed += bytes;
        if self.passed >= TURN {
            self.passed = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// Bytes of bodies in memory.
#[derive(Debug, Default)]
pub(crate) struct Buffered {
    bytes: AtomicUsize,
}

/// Bytes that one body has; they are given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Share<'b> {
    of: &'b Buffered,
    most: usize,
    bytes: usize,
}

impl Buffered {
    /// The share of a new body, with nothing in it; all together may have `most` bytes.
    pub(crate) const fn share(&self, most: usize) -> Share<'_> {
        Share { of: self, most, bytes: 0 }
    }

    /// Takes so many, unless they are too many; whoever takes them gives them back.
    pub(crate) fn take(&self, bytes: usize, most: usize) -> bool {
        let fits = self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= most;
        if !fits {
            self.give(bytes);
        }
        fits
    }

    /// Gives them back.
    pub(crate) fn give(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes at the moment.
    pub(crate) fn count(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Share<'_> {
    /// Takes more; `false` where there is none left.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        self.of.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= self.most
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.of.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_bounded_in_all_and_by_address_and_end() {
        let connections = Arc::new(Connections::default());
        let [a, b, c] = ["192.0.2.1", "2001:db8::1", "2001:db8::2"].map(|text| text.parse().unwrap());
        let first = connections.admit(a, 3, 2).unwrap();
        let _second = connections.admit(a, 3, 2).unwrap();
        assert_eq!(connections.admit(a, 3, 2).unwrap_err(), Full::Address);
        let _third = connections.admit(b, 3, 1).unwrap();
        assert_eq!(connections.admit(c, 3, 2).unwrap_err(), Full::All);
        assert_eq!(connections.admit(c, 4, 1).unwrap_err(), Full::Address);
        drop(first);
        assert_eq!(connections.count(), 2);
        assert!(connections.admit(a, 3, 2).is_ok());
        assert_eq!(connections.by_address.lock().unwrap().len(), 2);
    }

    #[test]
    fn what_a_body_took_is_given_back() {
        let buffered = Buffered::default();
        let mut one = buffered.share(10);
        assert!(one.grow(6));
        let mut other = buffered.share(10);
        assert!(!other.grow(6));
        drop(other);
        assert!(one.grow(4));
        drop(one);
        assert_eq!(buffered.count(), 0);
    }
}
