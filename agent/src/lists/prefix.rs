//! How people write addresses and prefixes, and what stopbank takes of it.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

/// Why a text is not a prefix that the lists can hold.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PrefixError {
    /// Neither an address nor a prefix.
    #[error("`{0}` is neither an IP address nor a prefix such as 192.0.2.0/24 or 2001:db8::/32")]
    NotAPrefix(String),
    /// The length after the slash is out of range.
    #[error("`{text}`: a prefix length of {family} is 0 to {longest}")]
    Length {
        /// As written.
        text: String,
        /// IPv4 or IPv6.
        family: &'static str,
        /// 32 or 128.
        longest: u8,
    },
    /// Bits are set beyond the prefix length.
    #[error("`{text}` has bits set beyond its prefix length; the network is `{network}`")]
    HostBits {
        /// As written.
        text: String,
        /// What was probably meant.
        network: IpNet,
    },
    /// An IPv6 prefix that would take in all of IPv4, which the kernel holds as `::ffff:0:0/96`.
    #[error("`{0}` would take in IPv4 as well; for all public IPv6 addresses write `2000::/3`")]
    BothFamilies(String),
}

/// Longest text that is looked at: no address is longer, and what is longer is not echoed in full.
const LONGEST_TEXT: usize = 64;

/// Reads an address (`192.0.2.7`, a prefix of one) or a prefix (`192.0.2.0/24`). IPv4-mapped IPv6 becomes IPv4.
///
/// # Errors
///
/// [`PrefixError`], among others when bits beyond the prefix length are set: a typing error there would otherwise ban
/// or allow other addresses than those meant.
pub fn parse_prefix(text: &str) -> Result<IpNet, PrefixError> {
    let text = text.trim();
    let shown = || printable(text, LONGEST_TEXT);
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| PrefixError::NotAPrefix(shown()))?;
    let (family, longest) = match address {
        IpAddr::V4(_) => ("IPv4", 32),
        IpAddr::V6(_) => ("IPv6", 128),
    };
    let length = match length {
        None => longest,
        Some(digits) if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            return Err(PrefixError::NotAPrefix(shown()));
        }
        Some(digits) => match digits.parse::<u8>() {
            Ok(length) if length <= longest => length,
            _ => return Err(PrefixError::Length { text: shown(), family, longest }),
        },
    };
    let net = IpNet::new(address, length).map_err(|_| PrefixError::NotAPrefix(shown()))?;
    if net.trunc() != net {
        return Err(PrefixError::HostBits { text: shown(), network: net.trunc() });
    }
    canonical(net).ok_or_else(|| PrefixError::BothFamilies(shown()))
}

/// IPv4-mapped prefixes as IPv4; `None` for an IPv6 prefix that contains all of them.
fn canonical(net: IpNet) -> Option<IpNet> {
    let IpNet::V6(v6) = net else { return Some(net) };
    let mapped = Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0);
    if v6.prefix_len() >= 96
        && let Some(v4) = v6.addr().to_ipv4_mapped()
    {
        return Ipv4Net::new(v4, v6.prefix_len() - 96).ok().map(IpNet::V4);
    }
    (!v6.contains(&mapped)).then_some(net)
}

/// The text with control characters escaped, so that nothing a file or a peer says reaches a terminal raw, and cut to
/// `longest` characters.
pub fn printable(text: &str, longest: usize) -> String {
    let mut shown: String = text.chars().take(longest).flat_map(escape).collect();
    if text.chars().nth(longest).is_some() {
        shown.push('…');
    }
    shown
}

fn escape(c: char) -> impl Iterator<Item = char> {
    // Bidirectional overrides are no control characters to `char`, but they reorder what a terminal shows.
    let hidden = c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    let escaped = hidden.then(|| c.escape_unicode());
    let plain = (!hidden).then_some(c);
    escaped.into_iter().flatten().chain(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse_prefix(text).unwrap_err().to_string()
    }

    #[test]
    fn addresses_and_prefixes_are_read() {
        for (text, expected) in [
            ("192.0.2.7", "192.0.2.7/32"),
            (" 192.0.2.0/24 ", "192.0.2.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("2000::/3", "2000::/3"),
            ("::1", "::1/128"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
        ] {
            assert_eq!(parse_prefix(text).unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn host_bits_name_the_network_meant() {
        assert_eq!(
            error("192.0.2.1/24"),
            "`192.0.2.1/24` has bits set beyond its prefix length; the network is `192.0.2.0/24`"
        );
        assert!(error("2001:db8::1/32").contains("`2001:db8::/32`"));
    }

    #[test]
    fn what_is_no_prefix_says_so() {
        for text in
            ["", "/", "300.1.1.1", "1.2.3.4/", "1.2.3.4/+8", "1.2.3.4/-1", "1.2.3", "host", "1.2.3.4/24/3"]
        {
            assert!(error(text).contains("neither an IP address nor a prefix"), "{text}: {}", error(text));
        }
        assert!(error("1.2.3.4/33").contains("0 to 32"));
        assert!(error("::/129").contains("0 to 128"));
        assert!(error("::/999999").contains("0 to 128"));
    }

    #[test]
    fn ipv6_prefixes_never_take_in_ipv4() {
        for text in ["::/0", "::/80", "::/64", "::/1"] {
            assert!(error(text).contains("2000::/3"), "{text}");
        }
        // Past bit 80 the all-ones of the mapped form are left behind.
        parse_prefix("::/81").unwrap();
    }

    #[test]
    fn nothing_reaches_a_terminal_raw() {
        assert_eq!(printable("a\u{1b}[31mb", 10), "a\\u{1b}[31mb");
        assert_eq!(printable("abc\u{202e}d", 10), "abc\\u{202e}d");
        assert_eq!(printable("abcdef", 3), "abc…");
        assert!(!error("\u{1b}]0;x\u{7}").contains('\u{1b}'));
    }
}
