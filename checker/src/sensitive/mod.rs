//! What must not be read by those who may read a response or a log: found by its structure, and masked byte for byte, so that lengths hold.
//!
//! One pass finds everything. A match is decided within a window of fixed size ([`WINDOW`]); what may be longer (tokens, keys) goes on as a run of its
//! alphabet. So a [`Stream`] that holds a window of text back masks just what [`Sensitive::mask`] does of the whole, however it is cut.

mod card;
mod evidence;
mod iban;
mod own;
mod scan;
mod stream;
#[cfg(test)]
mod tests;
mod tokens;

use std::borrow::Cow;

pub use evidence::{around as evidence_around, masked, text as evidence_text};
pub use own::{LONGEST_PATTERN, MOST_PATTERNS, PatternError};
pub use stream::Stream;

/// Bytes from its start within which a match is decided.
pub const WINDOW: usize = 1_280;

/// What kind of thing is masked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// The number of a payment card (ISO/IEC 7812): an issuer's range and length, and the Luhn digit.
    Card,
    /// An account's number (ISO 13616): a country's length, and its check digits.
    Iban,
    /// A token of JOSE (RFC 7515, RFC 7516, RFC 7519) in its compact form.
    Jwt,
    /// What follows `Bearer` (RFC 6750), or `Basic` (RFC 7617) where it decodes to a name and a password.
    Authorization,
    /// A private key in PEM (RFC 7468, RFC 1421): its markers stay.
    PrivateKey,
    /// A key of a service, told by its prefix, alphabet and length.
    ServiceKey,
    /// The local part of an e-mail address (RFC 5321).
    Email,
    /// A telephone number in international form (E.164).
    Phone,
    /// One of the operator's own patterns.
    Own,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Card,
        Self::Iban,
        Self::Jwt,
        Self::Authorization,
        Self::PrivateKey,
        Self::ServiceKey,
        Self::Email,
        Self::Phone,
        Self::Own,
    ];

    /// Every kind that is built in.
    pub const BUILT_IN: [Self; 8] = [
        Self::Card,
        Self::Iban,
        Self::Jwt,
        Self::Authorization,
        Self::PrivateKey,
        Self::ServiceKey,
        Self::Email,
        Self::Phone,
    ];

    /// As the policy, logs and metrics have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::Iban => "iban",
            Self::Jwt => "jwt",
            Self::Authorization => "authorization",
            Self::PrivateKey => "private-key",
            Self::ServiceKey => "service-key",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Own => "own",
        }
    }

    /// The kind of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// How much was masked, by kind.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts([u64; Kind::ALL.len()]);

impl Counts {
    /// Matches of a kind.
    pub fn of(&self, kind: Kind) -> u64 {
        self.0.get(kind as usize).copied().unwrap_or_default()
    }

    /// Matches of all kinds.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    fn add(&mut self, kind: Kind) {
        if let Some(count) = self.0.get_mut(kind as usize) {
            *count += 1;
        }
    }
}

/// What is looked for. Made once.
#[derive(Clone, Debug)]
pub struct Sensitive {
    kinds: u16,
    own: own::Patterns,
}

impl Default for Sensitive {
    /// Every kind but addresses, telephone numbers and patterns of one's own: what is hardly ever meant to be shown.
    fn default() -> Self {
        Self {
            kinds: Self::KINDS.iter().fold(0, |bits, kind| bits | kind.bit()),
            own: own::Patterns::default(),
        }
    }
}

impl Sensitive {
    /// The kinds of the default.
    pub const KINDS: [Kind; 6] =
        [Kind::Card, Kind::Iban, Kind::Jwt, Kind::Authorization, Kind::PrivateKey, Kind::ServiceKey];

    /// Looks for these kinds, and for what matches `patterns`: regular expressions over bytes, each with its name.
    ///
    /// # Errors
    ///
    /// A pattern that is none, may match nothing or more than [`LONGEST_PATTERN`] bytes, looks at where the text begins or ends, or one too many.
    pub fn new(kinds: &[Kind], patterns: &[(String, String)]) -> Result<Self, PatternError> {
        let kinds = kinds.iter().fold(0, |bits, kind| bits | kind.bit());
        Ok(Self { kinds, own: own::Patterns::new(patterns)? })
    }

    /// The text with what is sensitive replaced, of equal length; as it is where nothing is. What was found is added to `counts`.
    ///
    /// Letters and digits become `X`, and the digits of a number that stands bare in JSON nines; what stands between them stays. A card's number
    /// keeps its last four digits, unless it is such a number.
    ///
    /// Time is linear in the text, for each pattern of one's own. Masking twice masks no more than once of what [`Sensitive::default`] looks for; what is
    /// masked may look like a part of an address, a telephone number or a pattern of one's own.
    pub fn mask<'t>(&self, text: &'t [u8], counts: &mut Counts) -> Cow<'t, [u8]> {
        let mut spans = Vec::new();
        let mut run = None;
        scan::scan(self, text, 0, true, &mut run, &mut spans, counts);
        if spans.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut masked = text.to_vec();
        for span in &spans {
            span.paint(&mut masked);
        }
        Cow::Owned(masked)
    }

    /// Masks a text that comes in pieces.
    pub const fn stream(&self) -> Stream<&Self> {
        Stream::new(self)
    }

    const fn looks_for(&self, kind: Kind) -> bool {
        self.kinds & kind.bit() != 0
    }
}
