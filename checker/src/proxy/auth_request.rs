//! A listener that is asked whether a request may pass, and does not see it pass: forward authentication, as nginx's `auth_request` has it.
//!
//! What the client asked for stands in headers that the asking server sets. A body never comes along. Whoever could ask as that server could
//! have anything judged in place of what is done, so others are not listened to.

use anyhow::{Result, ensure};
use ipnet::IpNet;
use serde::Deserialize;
use stopbank_checker::{Field, Reason, Request, Version};

/// What the asking server says of the client.
const FORWARDED: [&str; 2] = ["x-forwarded-for", "x-forwarded-proto"];
/// What the question has for its own connection. `upgrade` is the client's, since nginx passes it on only where it is told to.
const OF_THE_QUESTION: [&str; 4] = ["connection", "content-length", "host", "transfer-encoding"];

/// How a listener is asked.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthRequest {
    /// Who may ask, and proxies in front of it whose X-Forwarded-For is believed.
    pub(crate) trusted: Vec<IpNet>,
    /// Headers that have the request's method, its target as it came, and its host.
    #[serde(default = "method")]
    pub(crate) method: String,
    #[serde(default = "target")]
    pub(crate) target: String,
    #[serde(default = "host")]
    pub(crate) host: String,
    #[serde(default)]
    pub(crate) statuses: Statuses,
    /// Whether a question uses up what the request will: proofs (DPoP), rates and allowances of ids. Where each request may be asked about several times, and what is behind counts
    /// them, it does not (RFC 9449, section 11.1).
    #[serde(default = "yes")]
    pub(crate) uses_up: bool,
}

const fn yes() -> bool {
    true
}

/// Statuses of refusals that whoever asks can pass on.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Statuses {
    /// 401 and 403: nginx answers 500 to others. What the status is stands in a header.
    #[default]
    Nginx,
    /// All.
    All,
}

fn method() -> String {
    "x-original-method".to_owned()
}

fn target() -> String {
    "x-original-uri".to_owned()
}

fn host() -> String {
    "x-original-host".to_owned()
}

impl AuthRequest {
    /// What must hold beyond the types.
    pub(crate) fn validate(&self) -> Result<()> {
        ensure!(!self.trusted.is_empty(), "auth_request: `trusted` names nobody who may ask");
        let names = self.names();
        for name in names {
            let plain = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
            ensure!(
                plain && name.starts_with("x-") && !FORWARDED.contains(&name),
                "auth_request: `{name}` is no header's name in lower case that begins with `x-` and has no other use"
            );
        }
        let [method, target, host] = names;
        ensure!(
            method != target && target != host && host != method,
            "auth_request: method, target and host stand in three headers"
        );
        Ok(())
    }

    fn names(&self) -> [&str; 3] {
        [&self.method, &self.target, &self.host]
    }

    /// The request that is asked about, without its body.
    ///
    /// # Errors
    ///
    /// [`Reason::FrontEnd`] where one of the headers that the asking server sets is missing, or not the only one of its name: what a client
    /// has sent in its place is not to be taken for it.
    pub(crate) fn original<'r>(&self, question: &Request<'r>) -> Result<Request<'r>, Reason> {
        let one = |name: &str| {
            let mut named = question.headers.iter().filter(|field| field.is(name));
            match (named.next(), named.next()) {
                (Some(field), None) if !field.value.is_empty() => Ok(field.value),
                _ => Err(Reason::FrontEnd),
            }
        };
        let [method, target, host] = self.names().map(one);
        let (method, target, host) = (method?, target?, host?);
        for name in FORWARDED {
            one(name)?;
        }
        let mut headers = Vec::with_capacity(question.headers.len());
        headers.push(Field { name: b"host", value: host });
        if question.values("upgrade").next().is_some() {
            headers.push(Field { name: b"connection", value: b"upgrade" });
        }
        let ours =
            |field: &&Field<'_>| OF_THE_QUESTION.iter().chain(&self.names()).any(|name| field.is(name));
        headers.extend(question.headers.iter().filter(|field| !ours(field)));
        Ok(Request { method, target, version: Version::Http11, headers, body: (&[][..]).into() })
    }

    /// The status that the asking server gets for one.
    pub(crate) const fn status(&self, status: u16) -> u16 {
        match self.statuses {
            // Those above are errors of the server, and are to look like it.
            Statuses::Nginx if status < 500 && status != 401 => 403,
            // An answer of the policy's own, to a preflight, is no leave to go on.
            Statuses::All if status < 400 => 403,
            _ => status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "x-original-method: POST\r\nx-original-uri: /a?b=1\r\nx-original-host: h\r\n\
                        x-forwarded-for: 192.0.2.1\r\nx-forwarded-proto: https\r\n";

    fn asked() -> AuthRequest {
        toml::from_str("trusted = [\"127.0.0.1/32\"]").unwrap()
    }

    fn original(headers: &str) -> Result<String, Reason> {
        let bytes = format!("GET /_auth HTTP/1.1\r\nHost: checker\r\nConnection: close\r\n{headers}\r\n");
        let question =
            stopbank_checker::http1::read(bytes.as_bytes(), &stopbank_checker::http1::Limits::default());
        let asked = asked();
        let request = asked.original(question.as_ref().unwrap())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers =
            request.headers.iter().map(|field| format!("{}={};", text(field.name), text(field.value)));
        Ok(format!("{} {} {}", text(request.method), text(request.target), headers.collect::<String>()))
    }

    #[test]
    fn the_request_is_what_the_asking_server_says() {
        let found = original(&format!("{GOOD}Cookie: a=b\r\n")).unwrap();
        let expected = "POST /a?b=1 host=h;x-forwarded-for=192.0.2.1;x-forwarded-proto=https;Cookie=a=b;";
        assert_eq!(found, expected);
        let found = original(&format!("{GOOD}Upgrade: websocket\r\n")).unwrap();
        assert!(found.contains("connection=upgrade;") && found.ends_with("Upgrade=websocket;"), "{found}");
    }

    #[test]
    fn what_is_missing_empty_or_there_twice_is_not_guessed() {
        for line in GOOD.lines() {
            let without = GOOD.replace(&format!("{line}\r\n"), "");
            assert_eq!(original(&without), Err(Reason::FrontEnd), "{line}");
            assert_eq!(
                original(&format!("{GOOD}{}\r\n", line.to_uppercase())),
                Err(Reason::FrontEnd),
                "{line}"
            );
            let (name, _) = line.split_once(':').unwrap();
            assert_eq!(original(&format!("{without}{name}: \r\n")), Err(Reason::FrontEnd), "{line}");
        }
    }

    #[test]
    fn nginx_gets_the_statuses_that_it_passes_on() {
        let mut asked = asked();
        let statuses =
            |asked: &AuthRequest| [400, 401, 403, 429, 500, 503].map(|status| asked.status(status));
        assert_eq!(statuses(&asked), [403, 401, 403, 403, 500, 503]);
        asked.statuses = Statuses::All;
        assert_eq!(statuses(&asked), [400, 401, 403, 429, 500, 503]);
    }

    #[test]
    fn what_the_policy_answers_itself_is_no_leave() {
        let mut asked = asked();
        for statuses in [Statuses::Nginx, Statuses::All] {
            asked.statuses = statuses;
            assert_eq!(asked.status(204), 403);
        }
    }

    #[test]
    fn a_configuration_that_trusts_nobody_or_names_headers_twice_is_wrong() {
        asked().validate().unwrap();
        for text in [
            "trusted = []",
            "trusted = [\"::1/128\"]\nmethod = \"cookie\"",
            "trusted = [\"::1/128\"]\nmethod = \"X-Method\"",
            "trusted = [\"::1/128\"]\nhost = \"x-forwarded-for\"",
            "trusted = [\"::1/128\"]\nhost = \"x-original-uri\"",
        ] {
            toml::from_str::<AuthRequest>(text).unwrap().validate().expect_err(text);
        }
    }
}
