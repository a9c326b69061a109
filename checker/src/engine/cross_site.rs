//! Requests that another site made a browser send, and CORS.

use std::{sync::Arc, time::Duration};

use super::{
    Judge, Judged,
    rates::{are_cookies_read, sessions},
};
use crate::{
    Action, Check, Evidence, Headers, Place, Policy, Reason, Request, Verdict,
    cross_site::{
        Asked, Forged, Origin, changes,
        cors::{Answer, asked_method},
        is_ambient,
    },
    policy::{FormToken, Mode, Rules},
    target::Target,
};

/// The answer to a preflight of CORS, where the policy has one. It is for the route that the method which is asked for will have.
pub(super) fn preflight(request: &Request<'_>, target: &Target<'_>, policy: &Policy) -> Option<Verdict> {
    let method = asked_method(request)?;
    let host = request.values("host").next().unwrap_or_default();
    let route = policy.route(host, &target.segments, method).ok();
    if request.target == b"*" || (route.is_none() && policy.undeclared() == Mode::Enforce) {
        return None;
    }
    let (verdict, headers) = match policy.rules(route).cors.as_ref()?.answer(request) {
        Answer::Request(_) => return None,
        Answer::Granted(headers) => {
            let check = Some(Check::CrossSite);
            (Verdict { action: Action::Answer, status: 204, check, ..Verdict::ALLOWED }, headers)
        }
        Answer::Refused(denied, headers) => (Verdict::refused(Check::CrossSite, denied.reason()), headers),
    };
    Some(Verdict { route, headers, ..verdict })
}

/// What CORS adds to the answer to a request, refused or not.
pub(super) fn headers(request: &Request<'_>, rules: &Rules) -> Headers {
    match rules.cors.as_ref().map(|cors| cors.answer(request)) {
        Some(Answer::Request(headers)) => headers,
        _ => Headers::new(),
    }
}

impl Judge<'_> {
    /// Whether a page of another site made the browser send it.
    pub(super) fn cross_site(&mut self, request: &Request<'_>, target: &Target<'_>) -> Judged {
        if !self.runs(Check::CrossSite)? {
            return Ok(());
        }
        let sites = Arc::clone(&self.rules.sites);
        let ambient = !self.context.certificates.is_empty() || is_ambient(request);
        if !ambient && !sites.anonymous {
            return Ok(());
        }
        let of_host = if sites.own.is_empty() { self.own(request) } else { Vec::new() };
        let own = if sites.own.is_empty() { &of_host } else { &sites.own };
        let asked = Asked { own, ambient, changes: changes(request, &target.query) };
        if let Err(forged) = sites.rule.judge(request, &asked) {
            self.found(Check::CrossSite, forged.reason(), evidence(request, forged))?;
        }
        sites.token.as_deref().map_or(Ok(()), |token| self.form_token(request, token, asked.changes))
    }

    /// Whether a request of a session that changes something has the session's token; and a new one, where the session has none or an old one.
    fn form_token(&mut self, request: &Request<'_>, token: &FormToken, changes: bool) -> Judged {
        let own = sessions(request, &token.session);
        let Some(session) = own.first() else {
            // What cannot be read here may be a session to a server that is less strict.
            let unread = changes && !are_cookies_read(request);
            return if unread { self.found(Check::CrossSite, Reason::CrossSiteToken, None) } else { Ok(()) };
        };
        let (Some(state), Some(time)) = (self.context.state, self.context.time) else {
            return if changes { self.failed(Check::CrossSite, Reason::CrossSiteToken) } else { Ok(()) };
        };
        let cookies = sessions(request, &token.cookie);
        let cookie = cookies.first().map(Vec::as_slice).unwrap_or_default();
        let beside = request.values(&token.header).next().unwrap_or_default();
        let age = Duration::from_secs(token.max_age.into());
        let verify = |beside: &[u8], age| token.signer.verify(cookie, beside, session, time.wall, age);
        // Which of two counts, only the server behind knows.
        let alone = own.len() == 1 && cookies.len() <= 1 && request.values(&token.header).count() <= 1;
        let good = alone && verify(beside, age).is_ok();
        if alone && verify(cookie, age / 2).is_err() {
            let issued = token.signer.issue(session, state.random(), time.wall);
            let secure = if self.context.secure { "; Secure" } else { "" };
            let value = format!("{}={issued}; Path=/; SameSite=Lax{secure}", token.cookie);
            self.headers.push(("set-cookie".to_owned(), value));
        }
        if changes && !good { self.found(Check::CrossSite, Reason::CrossSiteToken, None) } else { Ok(()) }
    }

    /// The origins that a request is for, by its `Host`. Where it came in the clear a page over TLS may ask as well: whoever is in front may have ended
    /// that. Never the other way round: a page in the clear may be anyone's on the way.
    fn own(&self, request: &Request<'_>) -> Vec<Origin> {
        let host = request.values("host").next().unwrap_or_default();
        let schemes: &[&str] = if self.context.secure { &["https"] } else { &["https", "http"] };
        schemes.iter().filter_map(|scheme| Origin::of_host(scheme, host)).collect()
    }
}

/// Who is said to ask.
fn evidence(request: &Request<'_>, forged: Forged) -> Option<Box<Evidence>> {
    let header = match forged {
        Forged::Origin | Forged::NoOrigin if request.values("origin").next().is_some() => "origin",
        Forged::Origin | Forged::NoOrigin => "referer",
        Forged::CrossSite | Forged::Framed => "sec-fetch-site",
        Forged::NoSign | Forged::Repeated => return None,
    };
    let value = String::from_utf8_lossy(request.values(header).next()?).into_owned();
    // Of a URL, what stands behind its host is nobody's matter.
    let host = value.find("://").map_or(0, |at| at + 3);
    let end =
        value.get(host..).and_then(|rest| rest.find(['/', '?', '#'])).map_or(value.len(), |at| host + at);
    let shown = value.get(..end).unwrap_or_default();
    Some(Evidence::new(&Place::Header(header.as_bytes()), "", 0, shown))
}
