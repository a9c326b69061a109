//! `websocket`: where a connection may become a WebSocket (RFC 6455), and for pages of which sites.
//!
//! A browser sends cookies with the request for a WebSocket whatever page asks for it, and no same-origin policy keeps that page from reading what comes: only
//! `Origin` tells (RFC 6455, section 10.2; CWE-1385).

use std::fmt::Write as _;

use super::{
    document::{Diagnostics, Table, Value},
    render::strings,
};
use crate::{Reason, Request, cross_site::Origin, text::printable};

pub(super) const KEYS: [&str; 1] = ["origins"];

const HELP: &str = "websocket = true, or { origins = [\"https://app.example.org\"] }; \"*\" is any";

/// For pages of which sites, beside those of the host itself, a connection may become a WebSocket.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct WebSocket {
    origins: Vec<Origin>,
    any: bool,
}

/// Whether a request for a WebSocket is allowed where this is what the policy says. `secure`: whether it came over TLS.
///
/// # Errors
///
/// [`Reason::Upgrade`] where none is; [`Reason::WebSocketOrigin`] for a page of another site, or of none that is known.
pub(crate) fn check(
    websocket: Option<&WebSocket>,
    request: &Request<'_>,
    secure: bool,
) -> Result<(), Reason> {
    let websocket = websocket.ok_or(Reason::Upgrade)?;
    let mut origins = request.values("origin");
    match (origins.next(), origins.next()) {
        // No browser: who has no page has no other's cookies.
        (None, _) => Ok(()),
        (Some(origin), None) if websocket.any || websocket.allows(origin, request, secure) => Ok(()),
        _ => Err(Reason::WebSocketOrigin),
    }
}

impl WebSocket {
    fn allows(&self, origin: &[u8], request: &Request<'_>, secure: bool) -> bool {
        // What is no browser may write it in another case, or with the port that goes without saying.
        let Some((scheme, authority)) =
            str::from_utf8(origin).ok().and_then(|origin| origin.split_once("://"))
        else {
            return false;
        };
        let scheme = scheme.to_ascii_lowercase();
        let Some(origin) = Origin::of_host(&scheme, authority.as_bytes()) else { return false };
        let host = request.values("host").next().unwrap_or_default();
        let own = !secure || scheme == "https";
        self.origins.contains(&origin) || (own && Origin::of_host(&scheme, host).as_ref() == Some(&origin))
    }
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
    let mut made = WebSocket::default();
    for item in
        table.get("origins").map(|value| diagnostics.array("origins", value, HELP)).unwrap_or_default()
    {
        let Some(text) = diagnostics.string("origins", item, HELP) else { continue };
        if text == "*" {
            made.any = true;
            continue;
        }
        match text.to_ascii_lowercase().parse::<Origin>() {
            Ok(origin) => made.origins.push(origin),
            Err(error) => diagnostics.push(item.span(), printable(&error.to_string(), 300), HELP),
        }
    }
    *websocket = Some(made);
}

/// As a policy has it; nothing where it is the same as `default`.
pub(super) fn render(text: &mut String, websocket: Option<&WebSocket>, default: Option<Option<&WebSocket>>) {
    if default == Some(websocket) {
        return;
    }
    let _ = match websocket {
        None => writeln!(text, "websocket = false"),
        Some(WebSocket { origins, any: false }) if origins.is_empty() => writeln!(text, "websocket = true"),
        Some(WebSocket { origins, any }) => {
            let any = any.then_some("*");
            let origins = strings(origins.iter().map(Origin::as_str).chain(any));
            writeln!(text, "websocket = {{ origins = {origins} }}")
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{self, Limits};

    #[test]
    fn a_page_of_another_site_gets_no_websocket_unless_it_is_listed() {
        let with = |origins: &[&str]| WebSocket {
            origins: origins.iter().map(|one| one.parse().unwrap()).collect(),
            any: false,
        };
        let judge = |websocket: Option<&WebSocket>, headers: &str, secure| {
            let text = format!("GET /live HTTP/1.1\r\nHost: App.example\r\n{headers}\r\n");
            check(websocket, &http1::head(text.as_bytes(), &Limits::default()).unwrap().0, secure)
        };
        let judged = |websocket, headers: &str| judge(websocket, headers, false);
        let (own, listed) = (with(&[]), with(&["https://other.example:8443"]));
        let any = WebSocket { any: true, ..WebSocket::default() };
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
        let plain = "Origin: http://app.example\r\n";
        assert_eq!(judge(Some(&own), plain, false), Ok(()));
        assert_eq!(
            judge(Some(&own), plain, true),
            Err(Reason::WebSocketOrigin),
            "a page that anyone on the way may write"
        );
    }
}
