//! API keys as they are written: `PREFIX_`, an id, what is secret, and a checksum.

use zeroize::Zeroizing;

/// Characters of 5 bits each: those of Crockford's base 32 in lower case, which has neither i, l, o nor u.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters of an id, which is no secret.
const ID: usize = 8;
/// Characters that are secret: 160 bits.
const SECRET: usize = 32;
/// Characters of the checksum: CRC-32.
const CHECKSUM: usize = 7;
/// Longest prefix, in bytes.
const LONGEST_PREFIX: usize = 16;

/// Random bytes that a key is made of.
pub const RANDOM: usize = ID + SECRET;

/// What a key that is sound says without a look at any list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parts<'k> {
    /// What stands before the underscore.
    pub prefix: &'k str,
    /// Which key it is.
    pub id: &'k str,
}

/// Whether a text may be a prefix: 1 to 16 of a-z and 0-9.
pub fn is_prefix(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=LONGEST_PREFIX).contains(&text.len()) && text.bytes().all(allowed)
}

/// Whether a text may be an id.
pub fn is_id(text: &str) -> bool {
    text.len() == ID && text.bytes().all(|byte| ALPHABET.contains(&byte))
}

/// A key of random bytes. `None` if the prefix is none.
pub fn generate(prefix: &str, random: &[u8; RANDOM]) -> Option<Zeroizing<String>> {
    if !is_prefix(prefix) {
        return None;
    }
    let mut key = Zeroizing::new(String::with_capacity(prefix.len() + 1 + RANDOM + CHECKSUM));
    key.push_str(prefix);
    key.push('_');
    random.iter().for_each(|&byte| key.push(character(byte.into())));
    let checksum = checksum(&key);
    checksum.iter().for_each(|&byte| key.push(byte.into()));
    Some(key)
}

/// Reads a key. `None` if it is none: most that are mistyped or made up are told by their checksum alone.
pub fn parse(key: &[u8]) -> Option<Parts<'_>> {
    let key = str::from_utf8(key).ok()?;
    let (prefix, rest) = key.split_once('_')?;
    if !is_prefix(prefix)
        || rest.len() != RANDOM + CHECKSUM
        || !rest.bytes().all(|byte| ALPHABET.contains(&byte))
    {
        return None;
    }
    let (body, sum) = key.split_at_checked(key.len() - CHECKSUM)?;
    // No secret: whoever knows the rest can compute it.
    (checksum(body) == sum.as_bytes()).then(|| Parts { prefix, id: rest.get(..ID).unwrap_or_default() })
}

fn checksum(text: &str) -> [u8; CHECKSUM] {
    let mut sum = crc32fast::hash(text.as_bytes());
    let mut characters = [0; CHECKSUM];
    for place in characters.iter_mut().rev() {
        *place = character(sum) as u8;
        sum >>= 5;
    }
    characters
}

/// The character for the lowest five bits.
const fn character(bits: u32) -> char {
    ALPHABET[(bits & 31) as usize] as char
}
