//! Patterns that stand for a program or for a file that every system has: `/bin/c?t`, `/etc/pas[s]wd`, `/???/b*h`.

/// Folders, and what is in them, that such patterns are written for.
const FOLDERS: [&[u8]; 8] = [b"bin", b"sbin", b"usr", b"etc", b"var", b"tmp", b"proc", b"dev"];
const FILES: [&[u8]; 25] = [
    b"passwd", b"shadow", b"group", b"hosts", b"issue", b"bash", b"cat", b"curl", b"dash", b"head", b"id",
    b"ls", b"nc", b"ncat", b"netcat", b"nl", b"perl", b"ping", b"python3", b"sh", b"tail", b"uname", b"wget",
    b"whoami", b"zsh",
];
/// Bytes of a pattern, at most: a program's path is short.
const LONGEST: usize = 64;

/// Whether a path is a pattern for such a file. `*.conf`, `/usr/*/lib` and `/posts/[slug]` are none: what stands for any name stands for no
/// certain one.
pub(super) fn stands_for(path: &[u8]) -> bool {
    if path.len() > LONGEST
        || path.first() != Some(&b'/')
        || !path.iter().any(|byte| matches!(byte, b'?' | b'[' | b'*'))
    {
        return false;
    }
    let parts = || path.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
    let Some(first) = parts().next() else { return false };
    let Some(last) = parts().next_back().filter(|_| parts().count() >= 2) else { return false };
    let certain = |part: &[u8]| {
        part.iter().any(u8::is_ascii_alphanumeric) || part.iter().filter(|byte| **byte == b'?').count() >= 2
    };
    let patterns = parts().filter(|part| within(part)).count();
    patterns > 0
        && certain(last)
        && certain(first)
        && FOLDERS.iter().any(|name| matches(first, name))
        && FILES.iter().any(|name| matches(last, name))
}

/// Whether a part has a pattern within it, and is not one as a whole, or at its end only.
fn within(part: &[u8]) -> bool {
    let inner = part.strip_suffix(b"*").unwrap_or(part);
    let whole = part.first() == Some(&b'[') && part.last() == Some(&b']');
    !whole && inner.iter().any(|byte| matches!(byte, b'?' | b'[' | b'*'))
}

/// Whether a pattern stands for a name, as glob(7) says. Both are short.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut of, mut star) = (0, 0, None);
    while of < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, of));
                at += 1;
                continue;
            }
            Some(b'[') => {
                if let Some((length, holds)) = set(&pattern[at..], name[of])
                    && holds
                {
                    at += length;
                    of += 1;
                    continue;
                }
            }
            Some(byte) if *byte == b'?' || *byte == name[of] => {
                at += 1;
                of += 1;
                continue;
            }
            _ => {}
        }
        let Some((from, upto)) = star else { return false };
        at = from + 1;
        of = upto + 1;
        star = Some((from, of));
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// How long a set in brackets is, and whether `byte` is in it.
fn set(pattern: &[u8], byte: u8) -> Option<(usize, bool)> {
    let end = pattern.iter().skip(2).position(|byte| *byte == b']')? + 2;
    let inside = &pattern[1..end];
    let (not, inside) = match inside.first() {
        Some(b'!' | b'^') => (true, &inside[1..]),
        _ => (false, inside),
    };
    let mut holds = false;
    let mut at = 0;
    while let Some(&first) = inside.get(at) {
        match (inside.get(at + 1), inside.get(at + 2)) {
            (Some(b'-'), Some(&last)) => {
                holds |= (first..=last).contains(&byte);
                at += 3;
            }
            _ => {
                holds |= first == byte;
                at += 1;
            }
        }
    }
    Some((end + 1, holds != not))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_for_programs_are_told_from_those_for_any_file() {
        for path in [
            "/bin/c?t",
            "/etc/pas[s]wd",
            "/etc/[!q]asswd",
            "/etc/[m-z]asswd",
            "/bi[n]/bash",
            "/???/??t",
            "/e*c/p*d",
            "/usr/bin/i?",
            "/[?]tc/pa[?]swd",
        ] {
            let expected = path != "/[?]tc/pa[?]swd";
            assert_eq!(stands_for(path.as_bytes()), expected, "{path}");
        }
        for path in [
            "/etc/*.conf",
            "/usr/*/bin/*",
            "/posts/[slug]",
            "/bin/*",
            "/app/[id]/page",
            "/usr/bin/*",
            "/*",
            "/etc/passwd",
            "/?a=b",
            "/bin/[",
            "/var/[id]",
            "/*/*",
        ] {
            assert!(!stands_for(path.as_bytes()), "{path}");
        }
    }
}
