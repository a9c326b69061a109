//! The way of a request, top to bottom: the first check that refuses it decides.

use crate::{
    Check, Reason, Request, Verdict, coding,
    content::{self, Content},
    fields, http1, json, multipart,
    target::{self, Target},
};

/// What a request may be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// The request as a whole.
    pub request: http1::Limits,
    /// Its target.
    pub target: target::Limits,
    /// What its body may become by decoding.
    pub coding: coding::Limits,
    /// JSON.
    pub json: json::Limits,
    /// Forms of parts.
    pub multipart: multipart::Limits,
}

/// Judges a request that is all of `bytes`, as HTTP/1 sends it.
pub fn check_bytes(bytes: &[u8], limits: &Limits) -> Verdict {
    match http1::read(bytes, &limits.request) {
        Ok(request) => check(&request, limits),
        Err(reason) => Verdict::refused(Check::Framing, reason),
    }
}

/// Judges a request.
pub fn check(request: &Request<'_>, limits: &Limits) -> Verdict {
    match judge(request, limits) {
        Ok(()) => Verdict::ALLOWED,
        Err((check, reason)) => Verdict::refused(check, reason),
    }
}

fn judge(request: &Request<'_>, limits: &Limits) -> Result<(), (Check, Reason)> {
    let framing = |reason| (Check::Framing, reason);
    http1::framing(request.version, &request.headers).map_err(framing)?;
    fields::check(request).map_err(framing)?;
    Target::read(request.method, request.target, &limits.target).map_err(|reason| (Check::Target, reason))?;
    let body = coding::decode(&request.body, request.values("content-encoding"), &limits.coding)
        .map_err(|reason| (Check::Coding, reason))?;
    let content_type = request.values("content-type").next();
    let content = content::of(content_type, &body).map_err(|reason| (Check::Content, reason))?;
    match content {
        Content::Json => {
            json::read(&body, &limits.json, &mut |_, _| {}).map_err(|reason| (Check::Json, reason))
        }
        Content::Form => {
            target::form(&body, &limits.target).map(drop).map_err(|reason| (Check::Form, reason))
        }
        Content::Multipart => multipart::read(content_type.unwrap_or_default(), &body, &limits.multipart)
            .map(drop)
            .map_err(|reason| (Check::Multipart, reason)),
        Content::Empty | Content::Opaque => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(head: &str, body: &str) -> Verdict {
        let request = format!("{head}\r\nHost: a.example\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        check_bytes(request.as_bytes(), &Limits::default())
    }

    #[test]
    fn each_check_refuses_with_its_own_reason() {
        let json = "Content-Type: application/json";
        let form = "Content-Type: application/x-www-form-urlencoded";
        for (head, body, check, reason) in [
            ("GET /\tHTTP/1.1".to_owned(), "", Check::Framing, Reason::RequestLine),
            ("GET / HTTP/1.1\r\nX_Y: a".to_owned(), "", Check::Framing, Reason::HeaderUnderscore),
            ("GET /../a HTTP/1.1".to_owned(), "", Check::Target, Reason::PathTraversal),
            (
                "POST / HTTP/1.1\r\nContent-Encoding: gzip".to_owned(),
                "abc",
                Check::Coding,
                Reason::CodingBroken,
            ),
            (
                "POST / HTTP/1.1\r\nContent-Type: text/plain".to_owned(),
                "{}",
                Check::Content,
                Reason::ContentMismatch,
            ),
            (format!("POST / HTTP/1.1\r\n{json}"), "{\"a\":1,\"a\":2}", Check::Json, Reason::JsonRepeated),
            (format!("POST / HTTP/1.1\r\n{form}"), "a=%zz", Check::Form, Reason::PercentEncoding),
        ] {
            assert_eq!(verdict(&head, body), Verdict::refused(check, reason), "{head:?} {body:?}");
        }
        let good = verdict(&format!("POST /a/b?c=d HTTP/1.1\r\n{json}"), "{\"a\":[1,\"O'Neil\"]}");
        assert_eq!(good, Verdict::ALLOWED);
        assert_eq!(verdict(&format!("POST / HTTP/1.1\r\n{form}"), "a=b+c&d=%26"), Verdict::ALLOWED);
    }
}
