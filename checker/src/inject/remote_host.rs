//! Hosts that only the server itself reaches: its own, those of its network and its cloud, in the notations that clients read.

use super::{Best, Class, contains};

fn add(best: &mut Best, rule: &'static str, score: u16) {
    best.add(Class::Ssrf, rule, score);
}

/// Hosts that give a cloud machine its credentials, and a cluster its secrets.
const METADATA: [&[u8]; 12] = [
    b"169.254.",
    b"169-254-169-254",
    b"metadata.google.internal",
    b"metadata.azure.internal",
    b"metadata.packet.net",
    b"100.100.100.200",
    b"192.0.0.192",
    b"instance-data",
    b"rancher-metadata",
    b"kubernetes.default.svc",
    b"169\xe3\x80\x82254",
    b"[fd00:ec2::254",
];
/// Paths of these, under the short name that some have.
const PATHS: [&[u8]; 5] =
    [b"metadata/", b"metadata:80/", b"metadata/computemetadata", b"metadata/latest", b"metadata/opc/v1"];
/// Names that stand for the machine itself.
const OWN: [&[u8]; 8] = [
    b"localhost",
    b"localhost.localdomain",
    b"localhost6",
    b"ip6-localhost",
    b"ip6-loopback",
    b"lvh.me",
    b"localtest.me",
    b"127-0-0-1.sslip.io",
];
/// Paths under which a server says what only its operator is to see.
const PROBES: [&[u8]; 18] = [
    b"admin",
    b"server-",
    b"api",
    b"console",
    b"latest",
    b"status",
    b"info",
    b"metrics",
    b"actuator",
    b"env",
    b"phpmyadmin",
    b"phpinfo",
    b"flag",
    b"secret",
    b"private",
    b"internal",
    b"manage",
    b"debug",
];
/// Ports of services that no browser asks.
const SERVICES: [&[u8]; 16] = [
    b"21", b"22", b"23", b"25", b"445", b"3306", b"5432", b"6379", b"11211", b"2375", b"9200", b"27017",
    b"10250", b"2379", b"8500", b"9000",
];

/// Whether a metadata service is what the text behind `//` names.
pub(super) fn metadata(rest: &[u8], best: &mut Best) {
    if METADATA.iter().any(|known| rest.starts_with(known)) || PATHS.iter().any(|path| rest.starts_with(path))
    {
        add(best, "ssrf-metadata", 90);
    }
}

/// What stands behind `scheme://`.
pub(super) fn judge(scheme: &[u8], rest: &[u8], best: &mut Best) {
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#' | b'\\')).unwrap_or(rest.len());
    let authority = &rest[..end];
    let host = authority.rsplit(|byte| *byte == b'@').next().unwrap_or(authority);
    metadata(host, best);
    if contains(rest, b"@169.254.") {
        add(best, "ssrf-metadata", 90);
    }
    if PATHS.iter().any(|path| rest.starts_with(path)) && scheme.starts_with(b"http") {
        add(best, "ssrf-metadata", 75);
    }
    // http://a.example#@127.0.0.1/, http://127.0.0.1?@a.example/, http://a.example &@127.0.0.1# @b.example/: clients differ in which it is.
    let behind = &rest[end..rest.len().min(end + 64)];
    let two = behind.get(1) == Some(&b'@') && !behind.starts_with(b"/")
        || contains(authority, b" &@")
        || contains(authority, b"#@");
    if two && (behind.get(1) == Some(&b'@') || authority.len() > host.len()) {
        add(best, "ssrf-authority", 65);
    }
    if let Some(inner) = host.strip_prefix(b"[") {
        bracketed(inner, best);
        return;
    }
    // 0000::1:80, which some clients take without brackets.
    if host.starts_with(b"0000::1") || host.starts_with(b"::1") {
        add(best, "ssrf-address", 75);
    }
    let (name, port) = match memchr::memchr(b':', host) {
        Some(colon) => (&host[..colon], &host[colon + 1..]),
        None => (host, &b""[..]),
    };
    let name = name.strip_suffix(b".").unwrap_or(name);
    numeric(name, best);
    if is_own(name) {
        let path = &rest[end..];
        // A page of a developer's own server, and a container's host alone, are in settings too.
        let asked = match name {
            // Alone it is an origin, as settings have it; with a path, even an empty one, something is asked for.
            b"localhost" => {
                (path.len() == 1 || path.is_empty() && (!port.is_empty() || !scheme.starts_with(b"http")))
                    && !host.ends_with(b":")
                    || PROBES.iter().any(|probe| path.get(1..).is_some_and(|path| path.starts_with(probe)))
            }
            _ => !name.ends_with(b".internal") || path.len() > 1,
        };
        let signed = authority.len() > host.len();
        // A service at its own scheme is a setting: `redis://localhost:6379`.
        let speaks = matches!(scheme, b"http" | b"https" | b"ws" | b"wss") || OTHERS.contains(&scheme);
        let setting = !speaks && !signed && name == b"localhost" && path.len() <= 1;
        if (asked || signed || SERVICES.contains(&port)) && !setting {
            own(scheme, name, port, signed, best);
        }
    }
}

/// An address that a browser never writes so: hexadecimal, octal, with fewer parts, as one number.
fn numeric(name: &[u8], best: &mut Best) {
    let parts = || name.split(|byte| *byte == b'.');
    let count = parts().take(6).count();
    let strange =
        parts().take(6).any(|part| part.starts_with(b"0x") || part.len() > 1 && part.first() == Some(&b'0'));
    let numbers = !name.is_empty() && count <= 4 && parts().all(is_number);
    if numbers && (count < 4 || strange) && (count > 1 || name.len() > 6 || name == b"0") {
        add(best, "ssrf-address", 80);
    }
    // 127。0。0。1, with the full stop of Chinese, which resolvers take for one.
    if name.starts_with(b"127\xe3\x80\x82") {
        add(best, "ssrf-address", 80);
    }
}

fn bracketed(inner: &[u8], best: &mut Best) {
    let zeros = inner.iter().take_while(|byte| matches!(byte, b'0' | b':')).count();
    let loopback = zeros > 0 && (inner[zeros..].starts_with(b"1]") || inner[zeros..].starts_with(b"]"));
    let mapped = contains(inner, b"ffff:")
        || inner.starts_with(b"64:ff9b:")
        || zeros > 2 && inner[zeros..].iter().take(12).any(|byte| *byte == b'.');
    let link = inner.starts_with(b"fe80:") || inner.starts_with(b"fd00:") || inner.starts_with(b"fc00:");
    if loopback || mapped || link {
        add(best, "ssrf-address", if mapped || link { 75 } else { 65 });
    }
}

fn is_own(name: &[u8]) -> bool {
    let parts = name.split(|byte| *byte == b'.');
    let loopback = (name.starts_with(b"127.") || name.starts_with(b"0."))
        && parts.clone().count() == 4
        && parts.clone().all(is_number);
    loopback
        || OWN.contains(&name)
        || name.ends_with(b".localtest.me")
        || name.ends_with(b".lvh.me")
        || contains(name, b"127.0.0.1.")
        || contains(name, b"127-0-0-1")
        || name.ends_with(b".internal")
}

/// The machine itself. Developers' front ends and what signs in for an application on a desktop (RFC 8252, section 7.3) are at a high port of
/// it; what has no port or a low one, or goes to a service, only a server would reach.
fn own(scheme: &[u8], name: &[u8], port: &[u8], signed: bool, best: &mut Best) {
    let web = matches!(scheme, b"http" | b"https" | b"ws" | b"wss");
    let low = port.len() <= 3 && port.iter().all(u8::is_ascii_digit);
    let plain = name == b"localhost" || name == b"127.0.0.1" || name == b"0.0.0.0";
    let service = SERVICES.contains(&port);
    let score = match () {
        () if service || !plain => 70,
        // Code repositories, databases and caches: an address of a developer's settings.
        () if !web && !signed && !OTHERS.contains(&scheme) => 40,
        () if low && (web || OTHERS.contains(&scheme)) || signed && web => 65,
        () => 40,
    };
    add(best, "ssrf-own", score);
}

/// Schemes of clients that a server's libraries speak, and no page links to.
const OTHERS: [&[u8]; 14] = [
    b"ldap", b"ldaps", b"sftp", b"telnet", b"imap", b"imaps", b"pop3", b"smtp", b"rtsp", b"svn", b"rsync",
    b"smb", b"ftp", b"ssh",
];

fn is_number(part: &[u8]) -> bool {
    match part.strip_prefix(b"0x") {
        Some(digits) => !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit),
        None => !part.is_empty() && part.iter().all(u8::is_ascii_digit),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Detector, Kind, Scratch};

    fn refused(value: &str, kind: Kind) -> bool {
        Detector::shared().judge(value, kind, &mut Scratch::default()).is_some()
    }

    #[test]
    fn hosts_that_only_a_server_reaches_are_told_from_developers_and_from_others() {
        for attack in [
            "http://127.0.0.1/",
            "https://localhost/admin",
            "http://localhost:22/",
            "http://admin@localhost/",
            "http://127.8.9.10/x",
            "http://[::1]/",
            "http://[0000::1]:80/",
            "http://[64:ff9b::10.0.0.5]/",
            "http://0000::1:80/",
            "http:///127.0.0.1/",
            "http:/127.0.0.1/x",
            "http://a.example#@127.0.0.1/",
            "http://127.0.0.1?@a.example/",
            "http://a.example/r?url=http://127.0.0.1/",
            "http://127。0。0。1/",
            "http://metadata/computeMetadata/v1/",
            "//169.254.169.254/latest/",
            "ldap://root:root@0.0.0.0/",
            "http://0177.0.0.1/",
        ] {
            assert!(refused(attack, Kind::Value), "{attack}");
        }
        for benign in [
            "http://localhost:3000/callback",
            "http://127.0.0.1:8124/",
            "https://example.com/",
            "http://192.0.2.7/a",
            "https://user@example.com/a@b",
            "https://a.example/?q=a@b",
            "https://example.com/#@anna",
            "ssh://git@localhost:3035/a.git",
            "https://metadata.example.com/",
            "redis://localhost",
            "http://localhost/about/",
            "http://host.docker.internal",
            "http://localhost:",
            "https://example.com/?next=http://example.org/",
            "https://1.example/",
            "//cdn.example.com/x.js",
        ] {
            assert!(!refused(benign, Kind::Value), "{benign}");
        }
        assert!(!refused("http://localhost/", Kind::Header), "where a page is that asks");
    }
}
