//! Headers and parameters by which servers behind take another method, or another path, than those that are judged.
//!
//! What they would do then is another route's matter. Where it is the same route's, nothing is gained by it.

use std::borrow::Cow;

use super::Limits;
use crate::{
    Place, Policy, Reason, Request,
    content::Content,
    cross_site::{OVERRIDE, OVERRIDES},
    names::is_same_parameter,
    target::{self, Target},
    values,
};

/// Headers that stand for the target (IIS, Symfony, Zend). A proxy in front that says what it has asked for says the same as the target.
const TARGETS: [&str; 2] = ["x-original-url", "x-rewrite-url"];

/// Holds what stands in for the method or the path against the route that the request is for.
///
/// # Errors
///
/// [`Reason::Override`].
pub(super) fn check(
    request: &Request<'_>,
    target: &Target<'_>,
    policy: &Policy,
    route: Option<usize>,
) -> Result<(), Reason> {
    let mut targets = TARGETS.iter().flat_map(|name| request.values(name));
    if targets.any(|said| said != request.target) {
        return Err(Reason::Override);
    }
    let headers = OVERRIDES.iter().flat_map(|name| request.values(name)).map(String::from_utf8_lossy);
    let query = target.query.iter().filter(|(name, _)| is_same_parameter(name, OVERRIDE));
    let query = query.map(|(_, method)| Cow::Borrowed(&**method));
    within(headers.chain(query), request, target, policy, route)
}

/// The same of a form. One that cannot be read is its own check's matter.
///
/// # Errors
///
/// [`Reason::Override`].
pub(super) fn check_form(
    request: &Request<'_>,
    content: Content,
    body: &[u8],
    policy: &Policy,
    route: Option<usize>,
) -> Result<(), Reason> {
    // Of most bodies nothing is to be made ready.
    if !matches!(content, Content::Form | Content::Multipart) {
        return Ok(());
    }
    let mut methods = Vec::new();
    let mut show = |place: &Place<'_>, text: &str| {
        if matches!(place, Place::Form(name) | Place::Part(name) if is_same_parameter(name, OVERRIDE)) {
            methods.push(Cow::Owned(text.to_owned()));
        }
        Ok(())
    };
    let (content_type, limits) = (request.values("content-type").next(), Limits::widest());
    let _ = match content {
        Content::Form => values::of_form(body, &limits.form, &mut show),
        _ => values::of_parts(content_type.unwrap_or_default(), body, &limits.multipart, &mut show),
    };
    if methods.is_empty() {
        return Ok(());
    }
    // The head was judged already.
    let target = Target::read(request.method, request.target, &target::Limits::WIDEST)?;
    within(methods.into_iter(), request, &target, policy, route)
}

/// Methods of requests for the same path must be of the same route.
fn within<'m>(
    mut methods: impl Iterator<Item = Cow<'m, str>>,
    request: &Request<'_>,
    target: &Target<'_>,
    policy: &Policy,
    route: Option<usize>,
) -> Result<(), Reason> {
    let host = request.values("host").next().unwrap_or_default();
    let same = |method: Cow<'_, str>| {
        let method = method.trim().to_ascii_uppercase();
        method.is_empty() || policy.route(host, &target.segments, method.as_bytes()).ok() == route
    };
    if methods.all(same) { Ok(()) } else { Err(Reason::Override) }
}
