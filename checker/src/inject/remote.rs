//! Addresses that make a server fetch what only it can reach: link-local metadata, itself, and schemes that reach beyond HTTP.

use super::{Best, Class, Text, contains, places, scan::words};

fn add(best: &mut Best, rule: &'static str, score: u16) {
    best.add(Class::Ssrf, rule, score);
}

/// Hosts that give a cloud machine its credentials.
const METADATA: [&[u8]; 10] = [
    b"169.254.169.254",
    b"169.254.170.2",
    b"metadata.google.internal",
    b"metadata.packet.net",
    b"100.100.100.200",
    b"192.0.0.192",
    b"instance-data",
    b"fd00:ec2::254",
    b"169.254.",
    b"rancher-metadata",
];

/// Schemes that no page links to, and that clients on servers know.
const SCHEMES: [&[u8]; 14] = [
    b"gopher://",
    b"dict://",
    b"jar:http",
    b"netdoc://",
    b"expect://",
    b"phar://",
    b"php://",
    b"zip://",
    b"zlib://",
    b"glob://",
    b"ogg://",
    b"rar://",
    b"tftp://",
    b"ssh2.",
];

pub(super) fn judge(text: &Text<'_>, best: &mut Best) {
    if !text.scan.word(words::REMOTE) {
        return;
    }
    let lower = text.lower;
    let start = super::trim_start(lower);
    let start = start.strip_prefix(b"url:").or_else(|| start.strip_prefix(b"=")).unwrap_or(start);
    for scheme in SCHEMES.into_iter().filter(|scheme| known(lower, scheme)) {
        for at in places(lower, scheme).take(8) {
            let begins = at == 0 || !super::is_word(lower[at - 1]);
            let alone = !lower.iter().any(|byte| *byte <= b' ');
            if begins {
                add(
                    best,
                    "ssrf-scheme",
                    if alone || scheme.starts_with(b"php") && contains(lower, b"php://filter") {
                        85
                    } else {
                        45
                    },
                );
            }
        }
    }
    if start.starts_with(b"file:/") && !contains(start, b" ") {
        add(
            best,
            "ssrf-file",
            if start.starts_with(b"file:///") && !contains(start, b"etc/") { 45 } else { 62 },
        );
    }
    if start.starts_with(b"data:text/plain;base64") || start.starts_with(b"data://") {
        add(best, "ssrf-data", 65);
    }
    if let Some(at) = memchr::memmem::find(start, b"://")
        && at <= 12
        && at > 1
        && start[..at].iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'+')
    {
        host(&start[at + 3..], best);
    } else if let Some(rest) =
        start.strip_prefix(b"http:").filter(|rest| rest.len() >= 8 && rest.iter().all(u8::is_ascii_digit))
    {
        host(rest, best);
    }
}

/// Whether a scheme can stand in the text: what ends with `://` is looked for from there, which there are few of.
fn known(text: &[u8], scheme: &[u8]) -> bool {
    match scheme.strip_suffix(b"://") {
        Some(name) => places(text, b"://").any(|at| text[..at].ends_with(name)),
        None => contains(text, scheme),
    }
}

/// The host of a URL: a metadata service, or an address written so that no one reads it.
fn host(rest: &[u8], best: &mut Best) {
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#' | b'\\')).unwrap_or(rest.len());
    let authority = &rest[..end];
    let host = authority.rsplit(|byte| *byte == b'@').next().unwrap_or(authority);
    if METADATA.iter().any(|known| host.starts_with(known)) || contains(rest, b"@169.254.") {
        add(best, "ssrf-metadata", 90);
        return;
    }
    if let Some(inner) = host.strip_prefix(b"[") {
        let loopback = inner.starts_with(b"::1]")
            || inner.starts_with(b"::]")
            || inner.starts_with(b"0:0:0:0:0:0:0:1]")
            || inner.starts_with(b"0000:");
        let mapped = contains(inner, b"ffff:");
        let link = inner.starts_with(b"fe80:") || inner.starts_with(b"fd00:");
        if loopback || mapped || link {
            add(best, "ssrf-address", if mapped || link { 75 } else { 65 });
        }
        return;
    }
    let (name, port) = match memchr::memchr(b':', host) {
        Some(colon) => (&host[..colon], &host[colon + 1..]),
        None => (host, &b""[..]),
    };
    let parts: Vec<&[u8]> = name.split(|byte| *byte == b'.').take(6).collect();
    let numeric = !name.is_empty() && parts.iter().all(|part| is_number(part));
    let odd = numeric
        && (parts.len() < 4
            || parts.iter().any(|part| part.starts_with(b"0x") || part.len() > 1 && part[0] == b'0'));
    if odd && (parts.len() > 1 || name.len() > 6 || name == b"0") {
        add(best, "ssrf-address", 80);
    }
    let own = numeric && matches!(parts.first(), Some(&b"127" | &b"0")) && parts.len() == 4
        || name == b"localhost"
        || name.ends_with(b".localtest.me")
        || name == b"lvh.me"
        || name == b"localtest.me"
        || name.ends_with(b".nip.io") && contains(name, b"127.0.0.1");
    // Developers' addresses are everywhere; those of services that no browser asks are not.
    let service = matches!(
        port,
        b"22"
            | b"25"
            | b"3306"
            | b"5432"
            | b"6379"
            | b"11211"
            | b"2375"
            | b"9200"
            | b"27017"
            | b"10250"
            | b"2379"
            | b"8500"
    );
    if own {
        let plain = name == b"localhost" || name == b"127.0.0.1" || name == b"0.0.0.0";
        add(best, "ssrf-own", if service || !plain { 65 } else { 40 });
    }
    let trick = authority.len() > host.len() && (contains(authority, b" &@") || contains(authority, b"#@"));
    if trick {
        add(best, "ssrf-authority", 65);
    }
}

fn is_number(part: &[u8]) -> bool {
    match part.strip_prefix(b"0x") {
        Some(digits) => !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit),
        None => !part.is_empty() && part.iter().all(u8::is_ascii_digit),
    }
}
