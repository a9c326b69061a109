//! Whether `htu` is the URI of a request (RFC 9449, section 4.3, step 9), without query and fragment, and normalised (RFC 3986, sections 6.2.2 and 6.2.3).

use super::proof::Target;

/// Longest URI that is looked at, in bytes.
const LONGEST: usize = 4 << 10;

/// Whether it is the URI of this request.
pub(super) fn is_of(uri: &str, target: &Target<'_>) -> bool {
    let whole = format!("{}://{}{}", target.scheme, target.authority, target.path);
    normalised(uri).is_some_and(|uri| normalised(&whole).is_some_and(|whole| uri == whole))
}

/// Scheme, authority and path, or nothing where these are not those of an HTTP URI, or anything in it could be read in two ways.
fn normalised(uri: &str) -> Option<(String, String, String)> {
    // Neither user information nor what some readers take for a slash, a space or an end.
    let plain = uri
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>' | b'^' | b'`'));
    if uri.len() > LONGEST || !plain {
        return None;
    }
    let uri = uri.split(['?', '#']).next()?;
    let (scheme, rest) = uri.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default = match &*scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    if authority.is_empty() || authority.contains(['@', '%']) {
        return None;
    }
    let authority = authority.to_ascii_lowercase();
    let authority =
        authority.strip_suffix(default).or_else(|| authority.strip_suffix(':')).unwrap_or(&authority);
    Some((scheme, authority.to_owned(), without_dots(&escapes(path)?)))
}

/// Escapes of unreserved characters are undone, the others written in upper case.
fn escapes(path: &str) -> Option<String> {
    let mut out = String::with_capacity(path.len());
    let mut pieces = path.split('%');
    out.push_str(pieces.next()?);
    for piece in pieces {
        let byte = u8::from_str_radix(
            piece.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?,
            16,
        )
        .ok()?;
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out.push_str(piece.get(2..)?);
    }
    Some(out)
}

/// RFC 3986, section 5.2.4. An empty path is `/`.
fn without_dots(path: &str) -> String {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let (mut kept, last) = (Vec::new(), segments.len().saturating_sub(1));
    for (at, segment) in segments.into_iter().enumerate() {
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if at == last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_compared_normalised_and_without_its_query() {
        let target = Target { method: "GET", scheme: "https", authority: "api.example", path: "/a/b%2fc" };
        for same in [
            "https://api.example/a/b%2Fc",
            "HTTPS://API.example:443/a/b%2fc?x=1#y",
            "https://api.example:/%61/./d/../b%2fc",
        ] {
            assert!(is_of(same, &target), "{same}");
        }
        for other in [
            "http://api.example/a/b%2Fc",
            "https://api.example:8443/a/b%2Fc",
            "https://api.example/a/b/c",
            "https://api.example/A/b%2Fc",
            "https://api.example/a/b%2Fc/",
            "https://api.example.attacker.example/a/b%2Fc",
            "https://api.example@attacker.example/a/b%2Fc",
            "https://x@api.example/a/b%2Fc",
            "https://api.example\\a\\b%2Fc",
            "//api.example/a/b%2Fc",
            "/a/b%2Fc",
            "https:///a/b%2Fc",
            "https://api.example/a/b%2",
            "https://api.example/a/b%2fc ",
            "",
        ] {
            assert!(!is_of(other, &target), "{other}");
        }
        let root = Target { path: "/", ..target };
        assert!(is_of("https://api.example", &root) && is_of("https://api.example/../..", &root));
    }
}
