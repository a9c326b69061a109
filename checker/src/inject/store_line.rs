//! Commands of stores that read lines: Redis's, whole or as arrays of its protocol, and memcached's. A line end in a key or a value begins another.

use super::{Best, Class, Text, contains, header::line_end, is_word, scan::words};

pub(super) fn judge(text: &Text<'_>, best: &mut Best) {
    let raw = text.raw;
    if text.scan.word(words::STORE) && raw.len() <= 512 {
        let start = super::trim_start(text.lower);
        if whole(raw.trim_ascii(), start) {
            best.add(Class::NoSql, "nosql-command", 75);
            return;
        }
    }
    // A text of more lines is read by people.
    if raw.len() > 1024 {
        return;
    }
    let (mut at, mut lines) = (0, 0);
    let mut begun = false;
    while let Some((end, length)) = line_end(&text.lower[at..]) {
        if lines == 0 {
            begun = is_key(raw[..end].trim_ascii_end());
        }
        at += end + length;
        lines += 1;
        if lines > 8 {
            return;
        }
        let line = &raw[at..];
        let next = line_end(line);
        let line = &line[..next.map_or(line.len(), |(end, _)| end)];
        let behind = next.map_or(&b""[..], |(end, length)| &raw[at + end + length..]);
        let known = (begun || text.layer > 0) && (memcached(line) || redis(line, begun))
            // An array of bulk strings: `*1`, `$8`, `flushall`.
            || counted(line, b'*') && counted(&behind[..line_end(behind).map_or(behind.len(), |(end, _)| end)], b'$');
        if known {
            best.add(Class::NoSql, "nosql-line", 80);
            return;
        }
    }
}

/// What a key, or the argument of a command, looks like: no white space, or a few words of the protocol behind it.
fn is_key(line: &[u8]) -> bool {
    line.len() <= 64
        && line.split(|byte| *byte == b' ').count() <= 4
        && line.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
        && (!line.contains(&b' ')
            || line
                .rsplit(|byte| *byte == b' ')
                .next()
                .is_some_and(|last| last == b"noreply" || last.iter().all(u8::is_ascii_digit)))
        && !line.iter().any(|byte| matches!(byte, b'{' | b'}' | b'(' | b';' | b'<' | b'`'))
        && !line.ends_with(b":")
}

/// `*3`, `$8`.
fn counted(line: &[u8], sign: u8) -> bool {
    line.first() == Some(&sign)
        && line.len() > 1
        && line.len() <= 8
        && line[1..].iter().all(u8::is_ascii_digit)
}

/// The words of a line, at most ten.
fn parts(line: &[u8]) -> ([&[u8]; 10], usize) {
    let mut parts = [&b""[..]; 10];
    let mut count = 0;
    for part in line.split(|byte| *byte == b' ').filter(|part| !part.is_empty()) {
        if count == parts.len() {
            break;
        }
        parts[count] = part;
        count += 1;
    }
    (parts, count)
}

fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// A command of memcached's text protocol (its protocol.txt), with what it takes.
fn memcached(line: &[u8]) -> bool {
    let (parts, count) = parts(line);
    let rest = &parts[1.min(count)..count];
    match parts[0] {
        b"set" | b"add" | b"replace" | b"append" | b"prepend" | b"cas" => {
            count >= 5 && rest[1..4].iter().all(|part| is_number(part))
        }
        b"get" | b"gets" | b"delete" => {
            count == 2
                && rest[0].iter().any(|byte| matches!(byte, b'_' | b':' | b'.') || byte.is_ascii_digit())
        }
        b"incr" | b"decr" | b"touch" => count >= 3 && is_number(rest[1]),
        b"stats" => {
            count <= 4
                && rest.first().is_none_or(|part| {
                    matches!(
                        *part,
                        b"items" | b"slabs" | b"sizes" | b"cachedump" | b"settings" | b"conns" | b"detail"
                    )
                })
        }
        b"flush_all" => rest.first().is_none_or(|part| is_number(part) || *part == b"noreply"),
        b"lru_crawler" | b"shutdown" | b"verbosity" => count == 2,
        _ => false,
    }
}

/// Commands of Redis that take nothing, one word, or more: from, and to how many.
const COMMANDS: [(&[u8], usize, usize); 36] = [
    (b"FLUSHALL", 0, 1),
    (b"FLUSHDB", 0, 1),
    (b"SAVE", 0, 0),
    (b"BGSAVE", 0, 1),
    (b"SHUTDOWN", 0, 1),
    (b"DBSIZE", 0, 0),
    (b"MONITOR", 0, 0),
    (b"KEYS", 1, 1),
    (b"GET", 1, 1),
    (b"DEL", 1, 6),
    (b"UNLINK", 1, 6),
    (b"SET", 2, 6),
    (b"GETSET", 2, 2),
    (b"MSET", 2, 7),
    (b"HSET", 3, 7),
    (b"HGETALL", 1, 1),
    (b"HGET", 2, 2),
    (b"LPUSH", 2, 7),
    (b"RPUSH", 2, 7),
    (b"LRANGE", 3, 3),
    (b"SADD", 2, 7),
    (b"ZADD", 3, 7),
    (b"INCRBY", 2, 2),
    (b"EXPIRE", 2, 2),
    (b"RENAME", 2, 2),
    (b"SELECT", 1, 1),
    (b"AUTH", 1, 2),
    (b"INFO", 0, 1),
    (b"CONFIG", 2, 4),
    (b"SLAVEOF", 2, 2),
    (b"REPLICAOF", 2, 2),
    (b"EVAL", 2, 7),
    (b"MODULE", 1, 4),
    (b"SCRIPT", 1, 7),
    (b"MIGRATE", 4, 8),
    (b"PUBLISH", 2, 7),
];

/// A command of Redis's with as many words as it takes. It reads any case, but clients and attackers write capitals.
fn redis(line: &[u8], begun: bool) -> bool {
    let (parts, count) = parts(line);
    if count == 0 {
        return false;
    }
    let capitals = parts[0].iter().all(u8::is_ascii_uppercase);
    let command = COMMANDS.iter().find(|(name, _, _)| parts[0].eq_ignore_ascii_case(name));
    let Some((name, least, most)) = command else { return false };
    let fits = (*least..=*most).contains(&(count - 1)) && count < parts.len();
    match *name {
        b"FLUSHALL" | b"FLUSHDB" | b"SLAVEOF" | b"REPLICAOF" => fits,
        b"SELECT" => fits && capitals && is_number(parts[1]),
        b"CONFIG" => fits && matches!(parts[1].to_ascii_lowercase().as_slice(), b"set" | b"get"),
        b"MODULE" => fits && parts[1].eq_ignore_ascii_case(b"load"),
        b"SCRIPT" => parts[1].eq_ignore_ascii_case(b"load") || parts[1].eq_ignore_ascii_case(b"flush"),
        b"EVAL" => capitals && (contains(line, b"redis.") || contains(line, b"return")),
        // Statements of HTTP have a path and a version.
        b"GET" => fits && capitals && !parts[1].starts_with(b"/"),
        b"SET" => capitals && begun && count >= 3,
        _ => fits && capitals,
    }
}

/// A value that is one command of those that only an attacker has in a value, or a script of Redis's.
fn whole(raw: &[u8], lower: &[u8]) -> bool {
    let line = &raw[..line_end(raw).map_or(raw.len(), |(end, _)| end)];
    let (parts, count) = parts(line);
    let is = |at: usize, name: &[u8]| parts[at].eq_ignore_ascii_case(name);
    if count == 1 && matches!(parts[0], b"FLUSHALL" | b"FLUSHDB") {
        return true;
    }
    let settings = [
        &b"dir"[..],
        b"dbfilename",
        b"requirepass",
        b"slave-read-only",
        b"rdbcompression",
        b"*",
        b"unixsocket",
        b"logfile",
        b"save",
        b"protected-mode",
    ];
    if (3..=4).contains(&count) && is(0, b"config") && (is(1, b"set") || is(1, b"get")) {
        return settings.iter().any(|name| is(2, name));
    }
    let master = is(0, b"slaveof") || is(0, b"replicaof");
    if master && count == 3 {
        return is_number(parts[2]) || is(1, b"no");
    }
    if is(0, b"module") && is(1, b"load") && count >= 3 {
        return parts[2].starts_with(b"/") || parts[2].ends_with(b".so");
    }
    let called = contains(lower, b"redis.call(") || contains(lower, b"redis.pcall(");
    let script = [&b"eval \""[..], b"eval '", b"script load", b"return redis.", b"local "];
    // A script of a program's own goes over many lines, and takes its keys as arguments.
    called
        && lower.len() <= 256
        && !contains(lower, b"keys[")
        && (script.iter().any(|begin| lower.starts_with(begin)) && !lower.contains(&b'\n')
            || super::store_code::left(lower).is_some_and(|left| left.closed && left.tail.starts_with(b";")))
        || (lower.starts_with(b"eval \"") || lower.starts_with(b"eval '")) && contains(lower, b"loadlib(")
        || called && is_word(lower[0]) && contains(lower, b"'flushall'")
}
