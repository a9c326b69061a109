//! base64url as JOSE has it (RFC 7515, section 2): no padding, no other character, no line break, and no bits left over that are not zero.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// The bytes, if the text is the one way to write them.
pub(super) fn decode(text: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_way_to_write_bytes() {
        assert_eq!(decode("-_8").as_deref(), Some(&[0xfb, 0xff][..]));
        assert_eq!(encode([0xfb, 0xff]), "-_8");
        // Standard alphabet, padding, left-over bits, white space, an impossible length.
        for other in ["+/8", "-_8=", "-_9", "-_8\n", " -_8", "-_ 8", "-_8-_"] {
            assert_eq!(decode(other), None, "{other:?}");
        }
    }
}
