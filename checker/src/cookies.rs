//! Cookies of a request (RFC 6265, section 4.2), strictly: servers differ in what separates them, what quotes mean, and which of two with one
//! name counts.

use crate::{Field, Reason, Version, request::is_token};

/// What cookies may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Cookies.
    pub count: usize,
    /// Bytes of a name.
    pub name_length: usize,
    /// Bytes of a value.
    pub value_length: usize,
    /// Whether a name may stand twice, as it does where a site and a part of it have set one each.
    pub repeated: bool,
    /// Whether values may hold spaces, commas, quotes and backslashes, which some scripts write into them.
    pub any_character: bool,
}

impl Limits {
    /// Whatever a request has room for.
    pub(crate) const WIDEST: Self = Self {
        count: usize::MAX,
        name_length: usize::MAX,
        value_length: usize::MAX,
        repeated: true,
        any_character: true,
    };
}

impl Default for Limits {
    fn default() -> Self {
        // Browsers keep at most 4096 bytes of a cookie (RFC 6265, section 6.1).
        Self { count: 64, name_length: 128, value_length: 4 << 10, repeated: false, any_character: false }
    }
}

/// Name and value, as they were sent; quotes around a value belong to it.
pub type Cookie<'r> = (&'r str, &'r str);

/// Reads the cookies of a request.
///
/// # Errors
///
/// The [`Reason`] to refuse it.
pub fn read<'r>(version: Version, headers: &[Field<'r>], limits: &Limits) -> Result<Vec<Cookie<'r>>, Reason> {
    let mut cookies = Vec::new();
    for (number, field) in headers.iter().filter(|field| field.is("cookie")).enumerate() {
        // HTTP/2 may split them so that they compress better (RFC 9113, section 8.2.3), and only HTTP/2.
        if number > 0 && version != Version::Http2 {
            return Err(Reason::CookieHeaders);
        }
        let text = str::from_utf8(field.value).map_err(|_| Reason::CookieSyntax)?;
        for pair in text.split(';') {
            if cookies.len() == limits.count {
                return Err(Reason::CookieCount);
            }
            cookies.push(cookie(pair.strip_prefix(' ').unwrap_or(pair), limits)?);
        }
    }
    if !limits.repeated && cookies.len() > 1 {
        let mut names: Vec<&str> = cookies.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        if names.windows(2).any(|two| two[0] == two[1]) {
            return Err(Reason::CookieRepeated);
        }
    }
    Ok(cookies)
}

fn cookie<'r>(pair: &'r str, limits: &Limits) -> Result<Cookie<'r>, Reason> {
    // Browsers send `=b` and `b` for a cookie without name, and what follows may be taken for a name.
    let (name, value) = pair.split_once('=').ok_or(Reason::CookieSyntax)?;
    // `$Version` and its like turn some servers to the rules of RFC 2965, by which quotes go across semicolons.
    if !is_token(name.as_bytes()) || name.starts_with('$') {
        return Err(Reason::CookieSyntax);
    }
    if name.len() > limits.name_length || value.len() > limits.value_length {
        return Err(Reason::CookieLength);
    }
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    // Beyond ASCII there is no rule, but all servers pass it on (RFC 6265 has it forbidden, browsers send it).
    let octet = |character: char| match character {
        '"' | ',' | '\\' | ' ' => limits.any_character,
        other => !other.is_control(),
    };
    if inner.chars().all(octet) { Ok((name, value)) } else { Err(Reason::CookieSyntax) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookies<'r>(values: &[&'r str], version: Version, limits: &Limits) -> Result<Vec<Cookie<'r>>, Reason> {
        let headers: Vec<Field<'r>> =
            values.iter().map(|value| Field { name: b"Cookie", value: value.as_bytes() }).collect();
        read(version, &headers, limits)
    }

    fn one(value: &str) -> Result<Vec<Cookie<'_>>, Reason> {
        cookies(&[value], Version::Http11, &Limits::default())
    }

    #[test]
    fn cookies_are_names_and_values() {
        assert_eq!(
            one("a=b; c=\"d\";e==f=; g="),
            Ok(vec![("a", "b"), ("c", "\"d\""), ("e", "=f="), ("g", "")])
        );
        assert_eq!(cookies(&[], Version::Http11, &Limits::default()), Ok(vec![]));
        let two = cookies(&["a=b", "c=d"], Version::Http2, &Limits::default());
        assert_eq!(two, Ok(vec![("a", "b"), ("c", "d")]));
    }

    #[test]
    fn what_servers_split_in_two_ways_is_refused() {
        for (value, reason) in [
            ("", Reason::CookieSyntax),
            ("a", Reason::CookieSyntax),
            ("=a", Reason::CookieSyntax),
            ("a=b;", Reason::CookieSyntax),
            ("a=b;;c=d", Reason::CookieSyntax),
            ("a=b;  c=d", Reason::CookieSyntax),
            ("a=b, c=d", Reason::CookieSyntax),
            ("a =b", Reason::CookieSyntax),
            ("a=b c", Reason::CookieSyntax),
            ("a=\"b; c=d\"", Reason::CookieSyntax),
            ("a=\"b\\\"c\"", Reason::CookieSyntax),
            ("a=b\"c", Reason::CookieSyntax),
            ("$Version=1; a=\"b\"", Reason::CookieSyntax),
            ("a=b\tc", Reason::CookieSyntax),
            ("a=1; b=2; a=3", Reason::CookieRepeated),
        ] {
            assert_eq!(one(value), Err(reason), "{value:?}");
        }
        assert_eq!(cookies(&["a=b", "c=d"], Version::Http11, &Limits::default()), Err(Reason::CookieHeaders));
        let lenient = Limits { any_character: true, repeated: true, ..Limits::default() };
        assert!(cookies(&["a={\"b\": [1,2]}; a=\\"], Version::Http11, &lenient).is_ok());
    }

    #[test]
    fn each_limit_holds() {
        let limits = Limits { count: 2, name_length: 2, value_length: 3, ..Limits::default() };
        for (value, reason) in [
            ("ab=abc; b=c", None),
            ("a=b; b=c; c=d", Some(Reason::CookieCount)),
            ("abc=d", Some(Reason::CookieLength)),
            ("a=bcde", Some(Reason::CookieLength)),
        ] {
            assert_eq!(cookies(&[value], Version::Http11, &limits).err(), reason, "{value}");
        }
    }
}
