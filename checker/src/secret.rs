//! Secrets: wiped when they are dropped, never shown, and compared in a time that does not tell how much was right.

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Something that must not be seen. It has neither `Debug` nor `Display`, and cannot be copied.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes: no other copy of them should stay behind.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Takes what a file holds, without the line feed that editors end it with.
    pub fn of_file(mut bytes: Vec<u8>) -> Self {
        while let Some(b'\n' | b'\r') = bytes.last() {
            bytes.pop();
        }
        Self::new(bytes)
    }

    /// Whether these are the same bytes. Takes as long whatever they are; their number is not hidden.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        self.0.ct_eq(bytes).into()
    }

    /// The bytes, for what needs them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_matches_itself_only() {
        let secret = Secret::of_file(b"hunter2\r\n".to_vec());
        assert_eq!(secret.expose(), b"hunter2");
        assert!(secret.matches(b"hunter2"));
        for other in [&b"hunter"[..], b"hunter3", b"hunter2\n", b""] {
            assert!(!secret.matches(other));
        }
        assert!(Secret::of_file(b"\n".to_vec()).is_empty());
    }
}
