//! Which format a file has.

use super::{FeedError, lines};

/// How a file is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// As its beginning looks.
    Auto,
    /// An address or prefix a line; what follows `#` or `;` is a comment. FireHOL's .ipset and .netset, AbuseIPDB's plain
    /// list, Spamhaus's DROP as text.
    Plain,
    /// Spamhaus's DROP as JSON: an object a line with `cidr`.
    SpamhausJson,
    /// `cscli decisions list -o json`, or what its API gives.
    CrowdsecJson,
    /// `cscli decisions list -o raw`.
    CrowdsecCsv,
    /// iptoasn.com's tables: first and last address, number, country and name, between tabs.
    IpToAsn,
    /// A database in MaxMind's format, of countries or of autonomous systems.
    Mmdb,
}

/// Precedes the metadata at the end of a MaxMind database.
pub(super) const MMDB_MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// The metadata are in the last so many bytes.
pub(super) const MMDB_TAIL: usize = 128 << 10;

impl Format {
    /// Every format, with the name that it has in the configuration.
    pub const NAMES: [(&'static str, Self); 7] = [
        ("auto", Self::Auto),
        ("plain", Self::Plain),
        ("spamhaus-json", Self::SpamhausJson),
        ("crowdsec-json", Self::CrowdsecJson),
        ("crowdsec-csv", Self::CrowdsecCsv),
        ("iptoasn", Self::IpToAsn),
        ("mmdb", Self::Mmdb),
    ];

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, format)| *format == self).map_or("auto", |(name, _)| name)
    }

    /// Whether countries or autonomous systems are chosen from it.
    pub const fn chooses(self) -> bool {
        matches!(self, Self::IpToAsn | Self::Mmdb)
    }

    /// By the file's beginning, or its end.
    pub(super) fn detect(bytes: &[u8]) -> Result<Self, FeedError> {
        let tail = &bytes[bytes.len().saturating_sub(MMDB_TAIL)..];
        if tail.windows(MMDB_MARKER.len()).any(|window| window == MMDB_MARKER) {
            return Ok(Self::Mmdb);
        }
        // A JSON array may be one line, of any length.
        let begin = bytes.trim_ascii_start();
        if begin.starts_with(b"[") || begin == b"null" || begin == b"null\n" {
            return Ok(Self::CrowdsecJson);
        }
        for line in lines(bytes) {
            let (_, line) = line?;
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            let columns = || line.split(',').map(str::trim);
            return Ok(if line.starts_with('{') {
                Self::SpamhausJson
            } else if columns().any(|name| name == "value" || name == "ip") && columns().count() > 2 {
                Self::CrowdsecCsv
            } else if line.split('\t').count() >= 5 {
                Self::IpToAsn
            } else {
                Self::Plain
            });
        }
        Ok(Self::Plain)
    }
}
