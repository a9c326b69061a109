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

use serde::Deserialize;

use crate::Request;
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

impl SiteRule {
    /// Judges a request. `own` is the origin that it is for ([`Origin::of_host`]); `ambient` whether its credential is one that browsers send by
    /// themselves: a cookie, Basic, a client certificate.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    pub fn judge(&self, request: &Request<'_>, own: &Origin, ambient: bool) -> Result<(), Forged> {
        let site = single(request, "sec-fetch-site")?;
        let named = self.named(request, own)?;
        // Names of methods are told apart by case; what is not one of these changes something.
        let safe = matches!(request.method, b"GET" | b"HEAD" | b"OPTIONS");
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
    fn named(&self, request: &Request<'_>, own: &Origin) -> Result<Named, Forged> {
        let (origin, referer) = (single(request, "origin")?, single(request, "referer")?);
        let found = match (origin, referer) {
            (Some(b"null"), _) if self.null => return Ok(Named::Allowed),
            (Some(value), _) => Origin::of_header(value),
            (None, Some(value)) => Origin::of_referer(value),
            (None, None) => return Ok(Named::Nobody),
        };
        Ok(match found {
            Some(origin) if origin == *own || self.origins.contains(&origin) => Named::Allowed,
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
