//! Tokens and keys, told by how they begin, their alphabet and length. What follows of the alphabet belongs to them, however long.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};

use super::{
    Kind,
    scan::{Around, Match, Span},
};

/// What goes on until a byte that does not belong to it, over the ends of pieces of a text.
#[derive(Clone, Copy, Debug)]
pub(super) enum Run {
    /// Bytes of an alphabet.
    Alphabet(Alphabet),
    /// The body of a key in PEM: hyphens in a row so far, and whether a backslash stands before.
    Pem { hyphens: u8, escaped: bool },
}

/// Of what a token consists.
#[derive(Clone, Copy, Debug)]
pub(super) enum Alphabet {
    /// Capital letters and digits.
    Capitals,
    /// Letters and digits.
    Alphanumeric,
    /// Those of `base64url`, and underscores.
    Url,
    /// Those, and full stops.
    Dotted,
    /// `token68` (RFC 9110, section 11.2).
    Token68,
}

impl Alphabet {
    const fn has(self, byte: u8) -> bool {
        match self {
            Self::Capitals => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Alphanumeric => byte.is_ascii_alphanumeric(),
            Self::Url => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'),
            Self::Dotted => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'),
            Self::Token68 => {
                byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
            }
        }
    }

    fn length(self, text: &[u8]) -> usize {
        text.iter().position(|&byte| !self.has(byte)).unwrap_or(text.len())
    }
}

impl Run {
    /// Goes on from `at`, and says where it ends: at the end of the text it may go on.
    pub(super) fn go_on(&mut self, text: &[u8], at: usize, spans: &mut Vec<Span>) -> usize {
        let rest = text.get(at..).unwrap_or_default();
        match self {
            Self::Alphabet(alphabet) => {
                let end = at + alphabet.length(rest);
                spans.push(Span { start: at, end, with: b'X', whole: false });
                end
            }
            Self::Pem { hyphens, escaped } => Self::pem(hyphens, escaped, text, at, spans),
        }
    }

    /// Letters and digits up to five hyphens in a row, which begin the end's marker, or to what no key has in it. The letter of an escape sequence
    /// (`\n` in a string of JSON) stays.
    fn pem(hyphens: &mut u8, escaped: &mut bool, text: &[u8], at: usize, spans: &mut Vec<Span>) -> usize {
        let mut start = at;
        let mut end = text.len();
        for (place, &byte) in text.iter().enumerate().skip(at) {
            let was_escaped = std::mem::replace(escaped, byte == b'\\' && !*escaped);
            *hyphens = if byte == b'-' { *hyphens + 1 } else { 0 };
            let belongs = byte.is_ascii_alphanumeric()
                || matches!(byte, b'+' | b'/' | b'=' | b'-' | b':' | b',' | b'\\')
                || byte.is_ascii_whitespace();
            if *hyphens == 5 || !belongs {
                end = place;
                break;
            }
            if was_escaped {
                spans.push(Span { start, end: place, with: b'X', whole: false });
                start = place + 1;
            }
        }
        if end > start {
            spans.push(Span { start, end, with: b'X', whole: false });
        }
        end
    }
}

/// A key that is told by its prefix.
struct Prefix {
    prefix: &'static [u8],
    alphabet: Alphabet,
    /// Bytes behind the prefix: as many or more.
    length: usize,
    /// These, and no more.
    exact: bool,
    /// Whether words may begin and go on so: a digit tells them apart.
    words: bool,
}

const fn key(prefix: &'static [u8], alphabet: Alphabet, length: usize) -> Prefix {
    Prefix { prefix, alphabet, length, exact: false, words: false }
}

/// One that words may begin like.
const fn word(prefix: &'static [u8], alphabet: Alphabet, length: usize) -> Prefix {
    Prefix { words: true, ..key(prefix, alphabet, length) }
}

const fn exact(prefix: &'static [u8], alphabet: Alphabet, length: usize) -> Prefix {
    Prefix { exact: true, ..key(prefix, alphabet, length) }
}

/// As those who issue them document their form.
const PREFIXES: [Prefix; 27] = [
    exact(b"AKIA", Alphabet::Capitals, 16), // AWS
    exact(b"ASIA", Alphabet::Capitals, 16),
    exact(b"AIza", Alphabet::Url, 35), // Google
    exact(b"GOCSPX-", Alphabet::Url, 28),
    key(b"ghp_", Alphabet::Alphanumeric, 36), // GitHub
    key(b"gho_", Alphabet::Alphanumeric, 36),
    key(b"ghu_", Alphabet::Alphanumeric, 36),
    key(b"ghs_", Alphabet::Alphanumeric, 36),
    key(b"ghr_", Alphabet::Alphanumeric, 36),
    key(b"github_pat_", Alphabet::Url, 22),
    word(b"glpat-", Alphabet::Url, 20), // GitLab
    word(b"xoxa-", Alphabet::Url, 10),  // Slack
    word(b"xoxb-", Alphabet::Url, 10),
    word(b"xoxe-", Alphabet::Url, 10),
    word(b"xoxo-", Alphabet::Url, 10),
    word(b"xoxp-", Alphabet::Url, 10),
    word(b"xoxr-", Alphabet::Url, 10),
    word(b"xoxs-", Alphabet::Url, 10),
    word(b"xapp-", Alphabet::Url, 10),
    key(b"sk_live_", Alphabet::Alphanumeric, 16), // Stripe
    key(b"rk_live_", Alphabet::Alphanumeric, 16),
    key(b"sk_test_", Alphabet::Alphanumeric, 16),
    key(b"rk_test_", Alphabet::Alphanumeric, 16),
    word(b"whsec_", Alphabet::Alphanumeric, 24),
    word(b"npm_", Alphabet::Alphanumeric, 36),
    word(b"pypi-", Alphabet::Url, 64),
    word(b"SG.", Alphabet::Dotted, 60), // SendGrid
];

/// Bytes of a key that are looked at.
const LONGEST_KEY: usize = 80;
/// Bytes of a token's first part that are looked at.
const LONGEST_HEADER: usize = 1_024;
/// Fewest bytes of the parts of a token, and of what follows `Bearer`.
const SHORTEST_PART: usize = 8;
const SHORTEST_BEARER: usize = 16;

/// A token or key that begins here.
pub(super) fn find(text: &[u8]) -> Option<Match> {
    match text.first()? {
        b'e' => jwt(text),
        b'B' | b'b' => authorization(text).or_else(|| service_key(text)),
        b'A' | b'G' | b'S' | b'g' | b'n' | b'p' | b'r' | b's' | b'w' | b'x' => service_key(text),
        _ => None,
    }
}

fn token(kind: Kind, keep: usize, decided: usize, alphabet: Alphabet) -> Match {
    Match {
        kind,
        hide: (keep, decided),
        with: b'X',
        whole: false,
        end: decided,
        run: Some(Run::Alphabet(alphabet)),
    }
}

fn service_key(text: &[u8]) -> Option<Match> {
    PREFIXES.iter().find_map(|key| {
        let rest = text.strip_prefix(key.prefix)?;
        let rest = rest.get(..LONGEST_KEY).unwrap_or(rest);
        let length = key.alphabet.length(rest);
        let goes_on = rest.get(length).is_some_and(u8::is_ascii_alphanumeric);
        let fits = if key.exact { length == key.length && !goes_on } else { length >= key.length };
        let is_key = !key.words || rest.get(..length)?.iter().any(u8::is_ascii_digit);
        (fits && is_key)
            .then(|| token(Kind::ServiceKey, key.prefix.len(), key.prefix.len() + key.length, key.alphabet))
    })
}

/// A header that is an object of JSON, a full stop, and the beginning of the next part (which of a JWE may be empty).
fn jwt(text: &[u8]) -> Option<Match> {
    let rest = text.strip_prefix(b"eyJ")?;
    let header = Alphabet::Url.length(rest.get(..LONGEST_HEADER).unwrap_or(rest));
    let next = rest.get(header..)?.strip_prefix(b".")?;
    let encrypted = next.first() == Some(&b'.');
    let next = if encrypted { next.get(1..)? } else { next };
    let part = Alphabet::Url.length(next.get(..SHORTEST_PART).unwrap_or(next));
    (header >= SHORTEST_PART && part == SHORTEST_PART)
        .then(|| token(Kind::Jwt, 0, 3 + header + 1 + usize::from(encrypted) + part, Alphabet::Dotted))
}

/// Credentials with the scheme's name before them.
fn authorization(text: &[u8]) -> Option<Match> {
    let scheme = |name: &[u8]| {
        let (head, rest) = text.split_at_checked(name.len())?;
        head.eq_ignore_ascii_case(name).then_some((name.len(), rest))
    };
    if let Some((keep, rest)) = scheme(b"bearer ") {
        // Words of that length have no digits.
        let start = rest.get(..SHORTEST_BEARER)?;
        let fits = Alphabet::Token68.length(start) == start.len() && start.iter().any(u8::is_ascii_digit);
        return fits.then(|| token(Kind::Authorization, keep, keep + start.len(), Alphabet::Token68));
    }
    let (keep, rest) = scheme(b"basic ")?;
    let rest = rest.get(..256).unwrap_or(rest);
    let length = rest.iter().position(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'+' | b'/'));
    let length = length.unwrap_or(rest.len());
    let decoded = STANDARD_NO_PAD.decode(rest.get(..length)?).ok()?;
    let printable = decoded.iter().all(|byte| !byte.is_ascii_control());
    (length >= 4 && printable && decoded.contains(&b':'))
        .then(|| token(Kind::Authorization, keep, keep + length, Alphabet::Token68))
}

/// `-----BEGIN … PRIVATE KEY-----`: the marker stays, the body goes.
pub(super) fn private_key(around: Around<'_>) -> Option<Match> {
    const LONGEST_LABEL: usize = 64;
    let label = around.text.strip_prefix(b"-----BEGIN ")?;
    let label = label.get(..LONGEST_LABEL).unwrap_or(label);
    let length =
        label.iter().position(|byte| !byte.is_ascii_uppercase() && !matches!(byte, b' ' | b'0'..=b'9'))?;
    let (label, after) = label.split_at_checked(length)?;
    if !label.ends_with(b"PRIVATE KEY") && !label.ends_with(b"PRIVATE KEY BLOCK")
        || !after.starts_with(b"-----")
    {
        return None;
    }
    let end = b"-----BEGIN ".len() + length + 5;
    Some(Match {
        kind: Kind::PrivateKey,
        hide: (end, end),
        with: b'X',
        whole: false,
        end,
        run: Some(Run::Pem { hyphens: 0, escaped: false }),
    })
}

/// `+`, a country's code and 8 to 15 digits in all (E.164), with up to two separators between. The last two stay.
pub(super) fn phone(around: Around<'_>) -> Option<Match> {
    const LONGEST: usize = 32;
    let text = around.text.get(..LONGEST).unwrap_or(around.text);
    let (mut digits, mut end, mut hide, mut last) = (0, 0, 0, 0);
    let mut separators = 2;
    for (place, byte) in text.iter().enumerate().skip(1) {
        match byte {
            b'1'..=b'9' => separators = 0,
            b'0' if digits > 0 => separators = 0,
            b' ' | b'-' | b'.' | b'(' | b')' | b'/' if separators < 2 => {
                separators += 1;
                continue;
            }
            _ => break,
        }
        digits += 1;
        (hide, last) = (last, place);
        end = place + 1;
    }
    let goes_on = text.get(end).is_some_and(u8::is_ascii_alphanumeric);
    ((8..=15).contains(&digits) && !goes_on).then_some(Match {
        kind: Kind::Phone,
        hide: (1, hide),
        with: b'X',
        whole: false,
        end,
        run: None,
    })
}

/// A local part, `@`, and a domain with a full stop in it (RFC 5321, section 4.1.2, without quoting). The domain stays.
pub(super) fn email(around: Around<'_>) -> Option<Match> {
    let is_local =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-');
    if (is_local(around.before) && around.before_that != b'\\') || around.before == b'@' {
        return None;
    }
    let local = around.text.iter().take(65).position(|&byte| !is_local(byte))?;
    let domain = around.text.get(local..)?.strip_prefix(b"@")?;
    let domain = domain.get(..255).unwrap_or(domain);
    let length = domain
        .iter()
        .position(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'.' | b'-'))
        .unwrap_or(domain.len());
    let dot = domain.get(..length)?.iter().skip(1).position(|&byte| byte == b'.')?;
    // More than the full stop that ends a sentence.
    let follows = domain.get(dot + 2..length)?.first()?.is_ascii_alphanumeric();
    (local > 0 && follows).then_some(Match {
        kind: Kind::Email,
        hide: (0, local),
        with: b'X',
        whole: false,
        end: local + 1,
        run: None,
    })
}
