//! Requests that another site made a browser send, and which sites may ask.
//!
//! Three signs are read. *Fetch Metadata* (W3C, `Sec-Fetch-Site` and its like) says what the browser knows of who asks; *Origin*, or else *Referer*, says who; a
//! *token* that only pages of one's own can read proves it ([`double_submit`]). No page can set or leave out the first two. Browsers that are too old for
//! the first send the second; what is no browser sends neither, and no other site can make it send anything.

pub mod cors;
pub mod double_submit;
mod origin;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde::Deserialize;

use crate::{Reason, Request, names::is_same_parameter};
pub use origin::{Origin, OriginError};

/// Which requests of other sites may pass.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SiteRule {
    /// Origins beside one's own whose pages may send anything.
    pub origins: Vec<Origin>,
    /// Whether `Origin: null` counts as allowed: documents without one, such as sandboxed frames, which any site can make.
    pub null: bool,
    /// Whether sites of the same registrable domain may send anything (`app.example.org` to `api.example.org`).
    pub same_site: bool,
    /// Whether links of other sites may not lead here: a top-level GET from elsewhere is refused too.
    pub no_links: bool,
    /// Whether other sites may show pages in frames.
    pub frames: bool,
}

/// What a request is to this server.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The origins that it may be for: those of its host ([`Origin::of_host`]).
    pub own: &'a [Origin],
    /// Whether its credential is one that browsers send by themselves: a cookie, Basic, a client certificate.
    pub ambient: bool,
    /// Whether it may change something ([`changes`]).
    pub changes: bool,
}

/// Headers by which frameworks take another method for that of the request.
pub(crate) const OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];
/// The parameter of the query that does the same.
pub(crate) const OVERRIDE: &str = "_method";

/// Whether a request may change something: by its method, or by what stands in for one behind.
pub fn changes(request: &Request<'_>, query: &[(Cow<'_, str>, Cow<'_, str>)]) -> bool {
    // Names of methods are told apart by case; what is not one of these changes something.
    !matches!(request.method, b"GET" | b"HEAD" | b"OPTIONS")
        || request.headers.iter().any(|field| OVERRIDES.iter().any(|name| field.is(name)))
        || query.iter().any(|(name, _)| is_same_parameter(name, OVERRIDE))
}

/// Schemes of `Authorization` that browsers answer by themselves, with what was typed or signed in with before.
const AMBIENT: [&str; 4] = ["basic", "digest", "negotiate", "ntlm"];

/// Whether a request has a header with a credential that browsers send by themselves.
pub fn is_ambient(request: &Request<'_>) -> bool {
    let scheme = |value: &[u8]| {
        let end = value.iter().position(|&byte| byte == b' ' || byte == b'\t').unwrap_or(value.len());
        let scheme = value.get(..end).unwrap_or_default();
        AMBIENT.iter().any(|one| one.as_bytes().eq_ignore_ascii_case(scheme))
    };
    request.values("cookie").next().is_some() || request.values("authorization").any(scheme)
}

/// Why a request is taken for one that another site made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Forged {
    /// `Sec-Fetch-Site` says that another site asks, and neither Origin nor Referer names one that may.
    #[error("another site asks, and none that may")]
    CrossSite,
    /// Another site shows it in a frame, an object or an embed.
    #[error("another site shows it in a frame")]
    Framed,
    /// Origin or Referer names another origin that is not allowed.
    #[error("its origin is not allowed")]
    Origin,
    /// Its origin is `null`, or one that browsers do not write so.
    #[error("its origin is null or no origin")]
    NoOrigin,
    /// A browser's credential comes with it, and no sign of who asks.
    #[error("it has a browser's credential and no sign of who asks")]
    NoSign,
    /// One of the headers stands twice.
    #[error("a header that says who asks stands twice")]
    Repeated,
}

impl Forged {
    /// As verdicts have it.
    pub const fn reason(self) -> Reason {
        match self {
            Self::CrossSite => Reason::CrossSite,
            Self::Framed => Reason::CrossSiteFramed,
            Self::Origin => Reason::CrossSiteOrigin,
            Self::NoOrigin => Reason::CrossSiteNoOrigin,
            Self::NoSign => Reason::CrossSiteUnsigned,
            Self::Repeated => Reason::CrossSiteRepeated,
        }
    }
}

impl SiteRule {
    /// Judges a request.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    pub fn judge(&self, request: &Request<'_>, asked: &Asked<'_>) -> Result<(), Forged> {
        let site = single(request, "sec-fetch-site")?;
        let named = self.named(request, asked.own)?;
        let safe = !asked.changes;
        let ambient = asked.ambient;
        match (site, named) {
            // A reader's own pages name themselves; one that is named and not allowed is none of them, whatever else is said.
            (_, Named::Other(wrong)) if !safe => Err(wrong),
            (Some(b"same-origin" | b"none"), _) | (_, Named::Allowed) => Ok(()),
            (Some(b"same-site"), _) if self.same_site => Ok(()),
            (Some(_), named) if safe => self.link(request, named),
            (Some(_), _) => Err(Forged::CrossSite),
            (None, Named::Nobody) if ambient && !safe => Err(Forged::NoSign),
            (None, _) => Ok(()),
        }
    }

    /// A request of another site, by a method that changes nothing: a link to a page is one that a reader has followed.
    fn link(&self, request: &Request<'_>, named: Named) -> Result<(), Forged> {
        let wrong = if let Named::Other(wrong) = named { wrong } else { Forged::CrossSite };
        if self.no_links
            || single(request, "sec-fetch-mode")? != Some(b"navigate")
            || request.method == b"OPTIONS"
        {
            return Err(wrong);
        }
        match single(request, "sec-fetch-dest")? {
            Some(b"document") => Ok(()),
            Some(b"iframe" | b"frame") if self.frames => Ok(()),
            _ => Err(Forged::Framed),
        }
    }

    /// Whom Origin names, or Referer where there is none.
    fn named(&self, request: &Request<'_>, own: &[Origin]) -> Result<Named, Forged> {
        let (origin, referer) = (single(request, "origin")?, single(request, "referer")?);
        let found = match (origin, referer) {
            (Some(b"null"), _) if self.null => return Ok(Named::Allowed),
            (Some(value), _) => Origin::of_header(value),
            (None, Some(value)) => Origin::of_referer(value),
            (None, None) => return Ok(Named::Nobody),
        };
        Ok(match found {
            Some(origin) if own.contains(&origin) || self.origins.contains(&origin) => Named::Allowed,
            Some(_) => Named::Other(Forged::Origin),
            None => Named::Other(Forged::NoOrigin),
        })
    }
}

#[derive(Clone, Copy)]
enum Named {
    Nobody,
    Allowed,
    Other(Forged),
}

/// The value of a header that stands at most once.
fn single<'s>(request: &'s Request<'_>, name: &'s str) -> Result<Option<&'s [u8]>, Forged> {
    let mut values = request.values(name);
    let first = values.next();
    if values.next().is_some() { Err(Forged::Repeated) } else { Ok(first) }
}
