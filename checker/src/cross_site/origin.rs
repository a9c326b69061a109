//! Origins (RFC 6454), as browsers write them.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use serde::Deserialize;

use crate::{fields::is_authority, text::printable};

const HELP: &str = "an origin is a scheme, a host and perhaps a port: \"https://app.example.org\", \"http://localhost:3000\"; \
    other letters than ASCII as browsers send them: \"https://xn--bcher-kva.example\"";
/// Longest origin, in bytes.
const LONGEST: usize = 300;

/// A scheme, a host and a port. Two are the same if all of it is: another port, a subdomain or a dot behind the name make another one.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Origin(String);

/// Why a text is no origin: in a sentence, with what is allowed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("\"{text}\" is no origin: {wrong}; {HELP}")]
pub struct OriginError {
    text: String,
    wrong: &'static str,
}

impl Origin {
    /// As it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Of a request to this server: by its scheme, and its Host with or without a port. `None` where that is no host.
    pub fn of_host(scheme: &str, host: &[u8]) -> Option<Self> {
        let host = str::from_utf8(host).ok()?.to_ascii_lowercase();
        let port = default_port(scheme)?;
        // A client may write the port that goes without saying.
        let host = host.strip_suffix(&format!(":{port}")).unwrap_or(&host);
        format!("{scheme}://{host}").parse().ok()
    }

    /// Of an `Origin` header.
    pub(super) fn of_header(value: &[u8]) -> Option<Self> {
        str::from_utf8(value).ok()?.parse().ok()
    }

    /// Of a `Referer` header: the URL's, which has no user in it.
    pub(super) fn of_referer(value: &[u8]) -> Option<Self> {
        let (scheme, rest) = str::from_utf8(value).ok()?.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        format!("{scheme}://{}", &rest[..end]).parse().ok()
    }
}

const fn default_port(scheme: &str) -> Option<&'static str> {
    match scheme.as_bytes() {
        b"http" => Some("80"),
        b"https" => Some("443"),
        _ => None,
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Origin {
    type Error = OriginError;

    fn try_from(text: String) -> Result<Self, OriginError> {
        text.parse()
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    /// Only the form in which browsers send it: what is written in another way comes from none.
    fn from_str(text: &str) -> Result<Self, OriginError> {
        read(text).map_err(|wrong| OriginError { text: printable(text, 80), wrong })?;
        Ok(Self(text.to_owned()))
    }
}

fn read(text: &str) -> Result<(), &'static str> {
    if text.len() > LONGEST {
        return Err("it is too long");
    }
    if !text.is_ascii() {
        return Err("it has letters beyond ASCII");
    }
    let (scheme, authority) = text.split_once("://").ok_or("it has no scheme")?;
    let port = default_port(scheme).ok_or("its scheme is neither http nor https, in lower case")?;
    if authority.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("it has upper case");
    }
    if !is_authority(authority.as_bytes()) {
        return Err("what follows its scheme is no host, or more than one");
    }
    let (host, own) = match authority.rsplit_once(':') {
        Some((host, own)) if !own.ends_with(']') => (host, Some(own)),
        _ => (authority, None),
    };
    if own.is_some_and(|own| own == port || own == "0" || own.starts_with('0')) {
        return Err("its port goes without saying, or begins with a zero");
    }
    if let Some(literal) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let shortest = literal.parse::<std::net::Ipv6Addr>().map(|address| address.to_string());
        return if shortest.as_deref() == Ok(literal) {
            Ok(())
        } else {
            Err("its address has a shorter form")
        };
    }
    name(host)
}

fn name(host: &str) -> Result<(), &'static str> {
    let labels = host.strip_suffix('.').unwrap_or(host);
    if labels.split('.').any(|label| label.is_empty() || label.len() > 63) {
        return Err("a part of its name is empty or longer than 63");
    }
    // What ends with a number, browsers read as an address (URL Standard, section 3.5).
    let last = labels.rsplit('.').next().unwrap_or_default();
    let number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    if number && host.parse::<Ipv4Addr>().is_err() {
        return Err("its address is not written as four numbers");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for good in [
            "https://a.example",
            "https://a.example:8443",
            "http://localhost:3000",
            "http://192.0.2.1",
            "https://[2001:db8::1]:8443",
            "https://xn--bcher-kva.example",
            "https://a.example.",
        ] {
            assert_eq!(good.parse::<Origin>().unwrap().as_str(), good);
        }
        for (bad, why) in [
            ("null", "no scheme"),
            ("*", "no scheme"),
            ("//a.example", "no scheme"),
            ("ftp://a.example", "neither http nor https"),
            ("HTTPS://a.example", "neither http nor https"),
            ("https://A.example", "upper case"),
            ("https://bücher.example", "beyond ASCII"),
            ("https://a.example:443", "goes without saying"),
            ("http://a.example:080", "begins with a zero"),
            ("https://a.example/", "no host"),
            ("https://u@a.example", "no host"),
            ("https://a.example, https://b.example", "no host"),
            ("https://a.example https://b.example", "no host"),
            ("https://a..example", "empty"),
            ("https://..", "empty"),
            ("https://0x7f.1", "four numbers"),
            ("https://127.1", "four numbers"),
            ("https://[2001:DB8::1]", "upper case"),
            ("https://[2001:db8:0::1]", "shorter form"),
        ] {
            let error = bad.parse::<Origin>().unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("http://localhost:3000"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_host_and_a_referer_have_origins() {
        let host = |scheme, host: &str| Origin::of_host(scheme, host.as_bytes()).map(|origin| origin.0);
        assert_eq!(host("https", "A.example:443").as_deref(), Some("https://a.example"));
        assert_eq!(host("http", "a.example:443").as_deref(), Some("http://a.example:443"));
        assert_eq!(host("https", "a b"), None);
        let referer = |text: &str| Origin::of_referer(text.as_bytes()).map(|origin| origin.0);
        assert_eq!(referer("https://a.example/b?c#d").as_deref(), Some("https://a.example"));
        assert_eq!(referer("https://a.example?https://b.example").as_deref(), Some("https://a.example"));
        for none in ["https://a.example@b.example/", "https:/a.example", "a.example/", "about:blank", ""] {
            assert_eq!(referer(none), None, "{none}");
        }
    }
}
