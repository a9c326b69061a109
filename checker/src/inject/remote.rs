//! Addresses that make a server fetch what only it can reach: link-local metadata, itself, and schemes that reach beyond HTTP.

use super::{Best, Class, Kind, Text, contains, places, remote_host, scan::words};

fn add(best: &mut Best, rule: &'static str, score: u16) {
    best.add(Class::Ssrf, rule, score);
}

/// Schemes that no page links to, and that clients on servers know.
const SCHEMES: [&[u8]; 20] = [
    b"gopher",
    b"dict",
    b"jar:http",
    b"jar:https",
    b"netdoc",
    b"expect",
    b"phar",
    b"php",
    b"zip",
    b"zlib",
    b"glob",
    b"ogg",
    b"rar",
    b"tftp",
    b"ssh2.shell",
    b"ssh2.exec",
    b"ssh2.tunnel",
    b"ssh2.sftp",
    b"ssh2.scp",
    b"unix",
];

pub(super) fn judge(text: &Text<'_>, best: &mut Best) {
    if !text.scan.word(words::REMOTE) {
        return;
    }
    let lower = text.lower;
    let start = super::trim_start(lower);
    let start = start.strip_prefix(b"url:").or_else(|| start.strip_prefix(b"=")).unwrap_or(start);
    // Others may stand before it, as many as one likes.
    for at in places(lower, b"://").filter(|at| reaches_beyond(lower, *at)).take(8) {
        let alone = !lower.iter().any(|byte| *byte <= b' ');
        let filter = lower[..at].ends_with(b"php") && lower[at + 3..].starts_with(b"filter");
        add(best, "ssrf-scheme", if alone || filter { 85 } else { 45 });
        if best.certain() {
            return;
        }
    }
    // Behind the scheme alone, and behind a placeholder, nothing is asked for.
    let named = |rest: &[u8]| rest.first().is_some_and(|byte| !matches!(byte, b'$' | b'{' | b'<' | b'%'));
    if start.strip_prefix(b"file:/").is_some_and(|rest| named(rest.strip_prefix(b"/").unwrap_or(rest)))
        && !contains(start, b" ")
        && !contains(start, b"/usr/share/")
        && start != b"file://localhost/"
        && !is_beside(start)
    {
        add(
            best,
            "ssrf-file",
            if start.starts_with(b"file:///") && !contains(start, b"etc/") { 45 } else { 62 },
        );
    }
    if start.starts_with(b"data:text/plain;base64") || start.strip_prefix(b"data://").is_some_and(named) {
        add(best, "ssrf-data", 65);
    }
    if text.kind == Kind::Header {
        // Where a request comes from and goes to, it says itself.
        return;
    }
    if let Some(at) = super::find(start, b"://")
        && at <= 12
        && at > 1
        && start[..at].iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'+')
    {
        let rest = &start[at + 3..];
        // `http:///127.0.0.1`, which clients read as they read two slashes.
        let rest = rest.strip_prefix(b"/").filter(|_| start.starts_with(b"http")).unwrap_or(rest);
        remote_host::judge(&start[..at], rest, best);
        within(rest, best);
    } else if let Some(rest) = start.strip_prefix(b"http:").or_else(|| start.strip_prefix(b"https:")) {
        let rest = rest.strip_prefix(b"/").unwrap_or(rest);
        if rest.len() >= 8 && rest[0].is_ascii_digit() {
            remote_host::judge(b"http", rest, best);
        }
    } else if let Some(rest) = start.strip_prefix(b"//") {
        remote_host::metadata(rest, best);
    }
}

/// `file://mappings.json`, by which tools are given a file beside them: there is a host, and no path.
fn is_beside(start: &[u8]) -> bool {
    start.strip_prefix(b"file://").is_some_and(|rest| {
        rest.contains(&b'.')
            && rest.iter().all(|byte| super::is_word(*byte) || matches!(byte, b'.' | b'-'))
            && rest.first().is_some_and(u8::is_ascii_alphabetic)
    })
}

/// Whether such a scheme stands before the `://` at `at`. That of sockets has another slash behind it: `unix://` is a name of one's own too.
fn reaches_beyond(text: &[u8], at: usize) -> bool {
    let ends = |scheme: &&&[u8]| {
        let before = text[..at].strip_suffix(**scheme);
        before.is_some_and(|before| before.last().is_none_or(|byte| !super::is_word(*byte)))
    };
    SCHEMES.iter().find(ends).is_some_and(|scheme| {
        *scheme != b"unix" || text[at + 3..].starts_with(b"/") || text[..at].ends_with(b"http+unix")
    })
}

/// Bytes of a query that is looked through for another URL.
const QUERY: usize = 512;

/// A URL in the query of another, as what redirects has it: only to hosts that no redirect goes to.
fn within(rest: &[u8], best: &mut Best) {
    let Some(query) = memchr::memchr(b'?', rest) else { return };
    let query = &rest[query..rest.len().min(query + QUERY)];
    for at in places(query, b"=http://").take(4) {
        remote_host::judge(b"http", &query[at + 8..], best);
    }
}
