//! `websocket`: where a connection may become a WebSocket (RFC 6455), and for pages of which sites.
//!
//! A browser sends cookies with the request for a WebSocket whatever page asks for it, and no same-origin policy keeps that page from reading what comes: only
//! `Origin` tells (RFC 6455, section 10.2; CWE-1385).

use std::fmt::Write as _;

use super::{
    document::{Diagnostics, Table, Value},
    render::strings,
};
use crate::{Reason, Request, fields, text::printable};

pub(super) const KEYS: [&str; 1] = ["origins"];

const HELP: &str = "websocket = true, or { origins = [\"https://app.example.org\"] }; \"*\" is any";

/// For pages of which sites, beside those of the host itself, a connection may become a WebSocket.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct WebSocket {
    /// Scheme, host and port, in lower case; `*` is any.
    origins: Vec<String>,
}

/// Whether a request for a WebSocket is allowed where this is what the policy says.
///
/// # Errors
///
/// [`Reason::Upgrade`] where none is; [`Reason::WebSocketOrigin`] for a page of another site, or of none that is known.
pub(crate) fn check(websocket: Option<&WebSocket>, request: &Request<'_>) -> Result<(), Reason> {
    let websocket = websocket.ok_or(Reason::Upgrade)?;
    let mut origins = request.values("origin");
    match (origins.next(), origins.next()) {
        // No browser: who has no page has no other's cookies.
        (None, _) => Ok(()),
        (Some(origin), None) if websocket.allows(origin, request) => Ok(()),
        _ => Err(Reason::WebSocketOrigin),
    }
}

impl WebSocket {
    fn allows(&self, origin: &[u8], request: &Request<'_>) -> bool {
        let listed = |one: &String| one == "*" || one.as_bytes().eq_ignore_ascii_case(origin);
        self.origins.iter().any(listed) || is_of(origin, request.values("host").next().unwrap_or_default())
    }
}

/// Whether an origin is of a host, each with its port or that of its scheme.
fn is_of(origin: &[u8], host: &[u8]) -> bool {
    let of_scheme = |scheme: &[u8]| {
        let (start, rest) = origin.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    let (authority, port) = match (of_scheme(b"https://"), of_scheme(b"http://")) {
        (Some(rest), _) => (rest, &b":443"[..]),
        (_, Some(rest)) => (rest, &b":80"[..]),
        (None, None) => return false,
    };
    let plain = |authority: &[u8]| authority.strip_suffix(port).unwrap_or(authority).to_ascii_lowercase();
    !authority.is_empty() && plain(authority) == plain(host)
}

/// `true`, `false` or a table.
pub(super) fn read(value: &Value<'_>, websocket: &mut Option<WebSocket>, diagnostics: &mut Diagnostics) {
    if let Some(flag) = value.get_ref().as_bool() {
        *websocket = flag.then(WebSocket::default);
        return;
    }
    if !value.get_ref().is_table() {
        diagnostics.wrong_type("websocket", value, "true, false or a table", HELP);
        return;
    }
    let Some(table) = Table::of("websocket", value, &KEYS, diagnostics) else { return };
    let mut origins = Vec::new();
    for item in
        table.get("origins").map(|value| diagnostics.array("origins", value, HELP)).unwrap_or_default()
    {
        let Some(text) = diagnostics.string("origins", item, HELP) else { continue };
        let lower = text.to_ascii_lowercase();
        let authority = lower.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"));
        let good = authority.is_some_and(|(_, authority)| fields::is_authority(authority.as_bytes()));
        if good || text == "*" {
            origins.push(lower);
        } else {
            diagnostics.push(item.span(), format!("\"{}\" is no origin", printable(text, 60)), HELP);
        }
    }
    *websocket = Some(WebSocket { origins });
}

/// As a policy has it; nothing where it is the same as `default`.
pub(super) fn render(text: &mut String, websocket: Option<&WebSocket>, default: Option<Option<&WebSocket>>) {
    if default == Some(websocket) {
        return;
    }
    let _ = match websocket {
        None => writeln!(text, "websocket = false"),
        Some(WebSocket { origins }) if origins.is_empty() => writeln!(text, "websocket = true"),
        Some(WebSocket { origins }) => {
            writeln!(text, "websocket = {{ origins = {} }}", strings(origins.iter().map(String::as_str)))
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{self, Limits};

    #[test]
    fn a_page_of_another_site_gets_no_websocket_unless_it_is_listed() {
        let with =
            |origins: &[&str]| WebSocket { origins: origins.iter().map(|one| (*one).to_owned()).collect() };
        let judged = |websocket: Option<&WebSocket>, headers: &str| {
            let text = format!("GET /live HTTP/1.1\r\nHost: App.example\r\n{headers}\r\n");
            check(websocket, &http1::head(text.as_bytes(), &Limits::default()).unwrap().0)
        };
        let (own, listed, any) = (with(&[]), with(&["https://other.example:8443"]), with(&["*"]));
        assert_eq!(judged(None, ""), Err(Reason::Upgrade));
        for headers in [
            "",
            "Origin: https://app.example\r\n",
            "Origin: https://APP.example:443\r\n",
            "Origin: http://app.example\r\n",
        ] {
            assert_eq!(judged(Some(&own), headers), Ok(()), "{headers}");
        }
        for headers in [
            "Origin: https://other.example\r\n",
            "Origin: https://app.example:8443\r\n",
            "Origin: https://app.example.evil\r\n",
            "Origin: https://evil.example/app.example\r\n",
            "Origin: null\r\n",
            "Origin: \r\n",
            "Origin: app.example\r\n",
            "Origin: https://\r\n",
            "Origin: https://app.example\r\nOrigin: https://evil.example\r\n",
        ] {
            assert_eq!(judged(Some(&own), headers), Err(Reason::WebSocketOrigin), "{headers}");
        }
        assert_eq!(judged(Some(&listed), "Origin: https://Other.example:8443\r\n"), Ok(()));
        assert_eq!(judged(Some(&listed), "Origin: https://other.example\r\n"), Err(Reason::WebSocketOrigin));
        assert_eq!(judged(Some(&any), "Origin: null\r\n"), Ok(()));
    }
}
