//! Routes: which paths a policy declares, and which of its routes a request is for.
//!
//! The routes of a host are a tree of segments. Where several fit, the one decides that is more exact at the first segment in which they
//! differ: a literal before `{id}` before `{rest*}`; of segments that are placeholders in part, which only specifications have, the more
//! literal one. A route without the request's method is passed over. Each node of the tree is entered
//! at most once for a request, however its path is made, so that the time is bounded by the policy's size and the path's length.

use std::{borrow::Cow, cmp::Reverse, collections::BTreeMap};

use crate::schema::paths::Pattern;

/// A part of a template.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// This segment.
    Literal(String),
    /// `{name}.txt`: one segment that is so in part, and the names in it.
    Mixed(Pattern, Vec<String>),
    /// `{id}`: one segment that is not empty.
    One(String),
    /// `{rest*}`: any number of segments, none included, to the end of the path.
    Rest(String),
}

impl Part {
    /// The placeholders in it.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let names = match self {
            Self::Literal(_) => &[][..],
            Self::Mixed(_, names) => names,
            Self::One(name) | Self::Rest(name) => std::slice::from_ref(name),
        };
        names.iter().map(String::as_str)
    }
}

/// Most segments of a template.
const MOST_SEGMENTS: usize = 64;
/// Longest name of a placeholder, in bytes.
const LONGEST_NAME: usize = 64;

/// Reads a template: `/accounts/{id}/files/{rest*}`, its literals as they are decoded.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn template(text: &str) -> Result<Vec<Part>, String> {
    let Some(path) = text.strip_prefix('/') else { return Err("does not begin with a slash".to_owned()) };
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let segments: Vec<&str> = path.split('/').collect();
    if segments.len() > MOST_SEGMENTS {
        return Err(format!("has more than {MOST_SEGMENTS} segments"));
    }
    let mut parts: Vec<Part> = Vec::new();
    for (number, segment) in segments.iter().enumerate() {
        let last = number + 1 == segments.len();
        let part = part(segment, last)?;
        let same = |other: &Part| match (other, &part) {
            (Part::Literal(_) | Part::Mixed(..), _) | (_, Part::Literal(_) | Part::Mixed(..)) => false,
            (Part::One(one) | Part::Rest(one), Part::One(other) | Part::Rest(other)) => one == other,
        };
        if parts.iter().any(same) {
            return Err(format!("has {segment} twice"));
        }
        parts.push(part);
    }
    Ok(parts)
}

fn part(segment: &str, last: bool) -> Result<Part, String> {
    if let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        let (name, rest) = name.strip_suffix('*').map_or((name, false), |name| (name, true));
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(letter) {
            return Err("has a placeholder whose name is not letters, digits, hyphens, dots and underscores"
                .to_owned());
        }
        return match (rest, last) {
            (false, _) => Ok(Part::One(name.to_owned())),
            (true, true) => Ok(Part::Rest(name.to_owned())),
            (true, false) => Err(format!("has something behind {segment}, which takes all that is left")),
        };
    }
    if segment.contains(['{', '}', '*']) {
        return Err("has braces or a star within a segment: a placeholder is a whole segment".to_owned());
    }
    if segment.is_empty() && !last {
        return Err("has two slashes in a row, which no request may have".to_owned());
    }
    if matches!(segment, "." | "..")
        || segment.contains(['?', '#', '\\'])
        || segment.chars().any(char::is_control)
    {
        return Err("has a segment that no request may have".to_owned());
    }
    if segment.contains('%') {
        return Err("has a percent sign: segments stand here as they are decoded".to_owned());
    }
    Ok(Part::Literal(segment.to_owned()))
}

/// The parts of a path that a specification has, behind the segments of its base.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn of_specification(base: &[String], template: &str) -> Result<Vec<Part>, String> {
    let mut parts: Vec<Part> = base.iter().cloned().map(Part::Literal).collect();
    let path = template.strip_prefix('/').unwrap_or(template);
    let mut seen = Vec::new();
    for segment in path.split('/').filter(|_| !path.is_empty()) {
        let before = seen.len();
        parts.push(if segment.contains(['{', '}']) {
            let pattern = Pattern::read(segment, &mut seen)?;
            match seen.get(before..).unwrap_or_default() {
                [name] if pattern.weight() == 0 => Part::One(name.clone()),
                names => Part::Mixed(pattern, names.to_vec()),
            }
        } else {
            Part::Literal(segment.to_owned())
        });
    }
    Ok(parts)
}

/// Reads a host: a name or address in lower case without port, `*.example.org` for all names below one, `*` for every host.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn host(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    if text == "*" {
        return Ok(text.to_owned());
    }
    // With a port an address in brackets does not end with its bracket, and a name has a colon.
    let port = if name.starts_with('[') { !name.ends_with(']') } else { name.contains(':') };
    if port || !crate::fields::is_authority(name.as_bytes()) {
        return Err("is no name, address, `*.name` or `*`; ports have no place in it".to_owned());
    }
    Ok(text.trim_end_matches('.').to_ascii_lowercase())
}

/// Which methods a route takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Methods {
    /// Every one.
    Any,
    /// These.
    These(Vec<String>),
}

impl Methods {
    fn has(&self, method: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::These(methods) => methods.iter().any(|one| one.as_bytes() == method),
        }
    }

    fn overlap(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::These(methods), Self::These(_)) => {
                methods.iter().any(|method| other.has(method.as_bytes()))
            }
            (Self::Any, _) | (_, Self::Any) => true,
        }
    }
}

/// A place in the tree of segments.
#[derive(Clone, Default, Debug)]
struct Node {
    literals: BTreeMap<String, Node>,
    /// The more of it is literal, the earlier.
    mixed: Vec<(Pattern, Node)>,
    one: Option<Box<Node>>,
    rest: Vec<(Methods, usize)>,
    here: Vec<(Methods, usize)>,
}

/// All routes of a policy.
#[derive(Clone, Default, Debug)]
pub(super) struct Router {
    hosts: BTreeMap<String, Node>,
}

/// What a search has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// This route.
    Route(usize),
    /// Routes have the path, but not the method.
    OtherMethods,
    /// No route has the path.
    Nothing,
}

impl Router {
    /// Adds a route.
    ///
    /// # Errors
    ///
    /// The route that is there already for the same path and one of the methods.
    pub(super) fn add(
        &mut self,
        host: &str,
        parts: &[Part],
        methods: Methods,
        route: usize,
    ) -> Result<(), usize> {
        let mut node = self.hosts.entry(host.to_owned()).or_default();
        let mut to_the_end = false;
        for part in parts {
            match part {
                Part::Literal(segment) => node = node.literals.entry(segment.clone()).or_default(),
                Part::Mixed(pattern, _) => node = node.mixed(pattern),
                Part::One(_) => node = node.one.get_or_insert_default(),
                Part::Rest(_) => to_the_end = true,
            }
        }
        let leaves = if to_the_end { &mut node.rest } else { &mut node.here };
        if let Some((_, other)) = leaves.iter().find(|(others, _)| others.overlap(&methods)) {
            return Err(*other);
        }
        leaves.push((methods, route));
        Ok(())
    }

    /// The route for a request. `authority` is the value of Host; the routes of the host that is named most exactly are asked first, and
    /// those of the others only where it has none for the path.
    pub(super) fn find(&self, authority: &[u8], segments: &[Cow<'_, str>], method: &[u8]) -> Found {
        let mut found = Found::Nothing;
        let name = host_name(authority);
        let suffixes = name.match_indices('.').map(|(at, _)| format!("*{}", &name[at..]));
        for host in std::iter::once(name.clone()).chain(suffixes).chain(["*".to_owned()]) {
            let Some(node) = self.hosts.get(&host) else { continue };
            match node.find(segments, method) {
                Found::Route(route) => return Found::Route(route),
                Found::OtherMethods => found = Found::OtherMethods,
                Found::Nothing => {}
            }
        }
        found
    }
}

/// The host without port and last dot, in lower case.
fn host_name(authority: &[u8]) -> String {
    let text = String::from_utf8_lossy(authority).to_ascii_lowercase();
    let end = match text.rfind(']') {
        Some(bracket) => bracket + 1,
        None => text.find(':').unwrap_or(text.len()),
    };
    text[..end].trim_end_matches('.').to_owned()
}

impl Node {
    /// The node behind a segment that is a placeholder in part.
    fn mixed(&mut self, pattern: &Pattern) -> &mut Self {
        let place = self.mixed.iter().position(|(other, _)| other == pattern).unwrap_or_else(|| {
            let weight = |(other, _): &(Pattern, Self)| Reverse(other.weight());
            let place = self.mixed.partition_point(|other| weight(other) <= Reverse(pattern.weight()));
            self.mixed.insert(place, (pattern.clone(), Self::default()));
            place
        });
        &mut self.mixed[place].1
    }

    /// No recursion: what is less exact waits on a stack, which is no longer than the path.
    fn find(&self, segments: &[Cow<'_, str>], method: &[u8]) -> Found {
        let mut found = Found::Nothing;
        let mut leaf = |leaves: &[(Methods, usize)]| {
            let route = leaves.iter().find(|(methods, _)| methods.has(method)).map(|(_, route)| *route);
            if route.is_none() && !leaves.is_empty() {
                found = Found::OtherMethods;
            }
            route
        };
        let mut waiting = vec![Step::Enter(self, 0)];
        while let Some(step) = waiting.pop() {
            let (node, depth) = match step {
                Step::Enter(node, depth) => (node, depth),
                Step::Rest(node) => match leaf(&node.rest) {
                    Some(route) => return Found::Route(route),
                    None => continue,
                },
            };
            waiting.push(Step::Rest(node));
            let Some(segment) = segments.get(depth) else {
                if let Some(route) = leaf(&node.here) {
                    return Found::Route(route);
                }
                continue;
            };
            if let Some(one) = &node.one
                && !segment.is_empty()
            {
                waiting.push(Step::Enter(one, depth + 1));
            }
            let fitting = |(pattern, _): &&(Pattern, Self)| pattern.fits(segment, &mut Vec::new());
            waiting.extend(
                node.mixed.iter().rev().filter(fitting).map(|(_, node)| Step::Enter(node, depth + 1)),
            );
            if let Some(literal) = node.literals.get(segment.as_ref()) {
                waiting.push(Step::Enter(literal, depth + 1));
            }
        }
        found
    }
}

/// What is still to be tried.
enum Step<'n> {
    /// A node, for the segment of this number.
    Enter(&'n Node, usize),
    /// The routes of a node that take all that is left.
    Rest(&'n Node),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(routes: &[(&str, &str, &[&str])]) -> Router {
        let mut router = Router::default();
        for (number, (host, path, methods)) in routes.iter().enumerate() {
            let methods = match methods {
                [] => Methods::Any,
                these => Methods::These(these.iter().map(|&method| method.to_owned()).collect()),
            };
            router.add(host, &template(path).unwrap(), methods, number).unwrap();
        }
        router
    }

    fn find(router: &Router, host: &str, path: &str, method: &str) -> Found {
        let limits = crate::target::Limits::default();
        let target = crate::target::Target::read(b"GET", path.as_bytes(), &limits).unwrap();
        router.find(host.as_bytes(), &target.segments, method.as_bytes())
    }

    #[test]
    fn the_more_exact_route_decides_at_the_first_difference() {
        let router = router(&[
            ("*", "/users/{id}", &["GET", "DELETE"]),
            ("*", "/users/me", &["GET"]),
            ("*", "/users/{rest*}", &["PUT"]),
            ("*", "/{kind}/me/x", &[]),
            ("*", "/", &["GET"]),
            ("*", "/files/{rest*}", &["GET"]),
            ("*", "/files/a/", &["GET"]),
        ]);
        for (path, method, found) in [
            ("/users/7", "GET", Found::Route(0)),
            ("/users/me", "GET", Found::Route(1)),
            ("/users/%6de", "GET", Found::Route(1)),
            ("/users/me", "DELETE", Found::Route(0)),
            ("/users/me", "PUT", Found::Route(2)),
            ("/users/me", "PATCH", Found::OtherMethods),
            ("/users/7", "get", Found::OtherMethods),
            ("/users/me/x", "GET", Found::Route(3)),
            ("/users/me/y", "PUT", Found::Route(2)),
            ("/users/", "GET", Found::OtherMethods),
            ("/users", "PUT", Found::Route(2)),
            ("/users/7/", "GET", Found::OtherMethods),
            ("/Users/7", "GET", Found::Nothing),
            ("/", "GET", Found::Route(4)),
            ("/files/a/b/c", "GET", Found::Route(5)),
            ("/files", "GET", Found::Route(5)),
            ("/files/a/", "GET", Found::Route(6)),
            ("/other", "GET", Found::Nothing),
        ] {
            assert_eq!(find(&router, "a.example", path, method), found, "{method} {path}");
        }
    }

    #[test]
    fn of_segments_that_are_placeholders_in_part_the_more_literal_one_is_taken() {
        let mut router = Router::default();
        for (number, path) in
            ["/f/{id}", "/f/{a}.txt", "/f/{a}-{b}.txt", "/f/x.txt", "/f/{a}.txt/{b}"].iter().enumerate()
        {
            router
                .add("*", &of_specification(&["v1".to_owned()], path).unwrap(), Methods::Any, number)
                .unwrap();
        }
        for (path, route) in [
            ("/v1/f/7", Found::Route(0)),
            ("/v1/f/.txt", Found::Route(0)),
            ("/v1/f/7.txt", Found::Route(1)),
            ("/v1/f/7-8.txt", Found::Route(2)),
            ("/v1/f/x.txt", Found::Route(3)),
            ("/v1/f/x-y.txt/z", Found::Route(4)),
            ("/f/7", Found::Nothing),
        ] {
            assert_eq!(find(&router, "a", path, "GET"), route, "{path}");
        }
    }

    #[test]
    fn the_more_exact_host_is_asked_first() {
        let router = router(&[
            ("*", "/a", &[]),
            ("*.example.org", "/a", &[]),
            ("api.example.org", "/a", &["GET"]),
            ("[2001:db8::1]", "/a", &[]),
        ]);
        for (host, method, route) in [
            ("api.example.org", "GET", 2),
            ("API.Example.org.:8443", "GET", 2),
            ("api.example.org", "POST", 1),
            ("x.y.example.org", "GET", 1),
            ("example.org", "GET", 0),
            ("[2001:DB8::1]:443", "GET", 3),
            ("", "GET", 0),
        ] {
            assert_eq!(find(&router, host, "/a", method), Found::Route(route), "{host} {method}");
        }
    }

    #[test]
    fn two_routes_for_one_request_are_told_apart_or_refused() {
        let mut router = router(&[("*", "/a/{id}", &["GET"])]);
        let other = template("/a/{name}").unwrap();
        assert_eq!(router.add("*", &other, Methods::These(vec!["GET".to_owned()]), 1), Err(0));
        assert_eq!(router.add("*", &other, Methods::Any, 1), Err(0));
        assert_eq!(router.add("*", &other, Methods::These(vec!["PUT".to_owned()]), 1), Ok(()));
    }

    #[test]
    fn templates_and_hosts_say_what_is_wrong_with_them() {
        for (text, wrong) in [
            ("a", "slash"),
            ("/a//b", "two slashes"),
            ("/a/../b", "no request may have"),
            ("/a%20b", "decoded"),
            ("/a{id}", "whole segment"),
            ("/{a*}/b", "all that is left"),
            ("/{a}/{a}", "twice"),
            ("/{}", "placeholder"),
            ("/{a b}", "placeholder"),
        ] {
            assert!(template(text).unwrap_err().contains(wrong), "{text}");
        }
        for good in ["*", "a.example", "*.example.org", "192.0.2.1", "[::1]"] {
            assert!(host(good).is_ok(), "{good}");
        }
        for bad in ["", "a:80", "[::1]:80", "*.*.a", "a/b", "*.", "é"] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_tree_in_which_every_turn_is_wrong_is_walked_once() {
        // Each segment is a literal and a placeholder, and no path ends: two to the power of 24 ways, were they not one tree of 48 nodes.
        let paths: Vec<String> =
            (0..24).map(|at| format!("{}/{{x}}{}/end", "/a".repeat(at), "/a".repeat(23 - at))).collect();
        let routes: Vec<(&str, &str, &[&str])> =
            paths.iter().map(|path| ("*", path.as_str(), &[][..])).collect();
        let router = router(&routes);
        let started = std::time::Instant::now();
        assert_eq!(find(&router, "a", &"/a".repeat(25), "GET"), Found::Nothing);
        assert!(started.elapsed().as_millis() < 100);
    }
}
