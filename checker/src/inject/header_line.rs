//! Lines other than headers that a line end in a value can begin: commands of servers of mail and files, requests and answers, and records of a log.

use super::{contains, header::line_end};

/// Commands of SMTP, IMAP and POP3 that are known by their beginning.
const COMMANDS: [&[u8]; 13] = [
    b"ehlo ",
    b"helo ",
    b"mail from:",
    b"rcpt to:",
    b"data\r\n",
    b"data\n",
    b"auth ",
    b"quit",
    b"expn ",
    b"vrfy ",
    b"retr ",
    b"a001 ",
    b"starttls",
];

/// Whether a line is a command of a mail server's; `raw` is it as it was written.
pub(super) fn is_command(line: &[u8], raw: &[u8], decoded: bool) -> bool {
    COMMANDS.iter().any(|name| line.strip_prefix(*name).is_some_and(|rest| is_addressed(name, rest)))
        && (decoded
            || raw.first().is_some_and(u8::is_ascii_uppercase)
                && raw.get(2).is_some_and(|byte| !byte.is_ascii_lowercase()))
}

/// Whether what follows a command is what it takes: an address behind `MAIL FROM:`, the line's end behind `QUIT`. A sentence has words there.
fn is_addressed(command: &[u8], rest: &[u8]) -> bool {
    let end = || line_end(rest).map_or(rest.len(), |(at, _)| at);
    match command {
        b"mail from:" | b"rcpt to:" => {
            let address = rest[..end()].trim_ascii();
            address.starts_with(b"<") || address.contains(&b'@') && !address.contains(&b' ')
        }
        b"quit" | b"starttls" => end() == 0,
        _ => true,
    }
}

/// Commands of IMAP (RFC 9051, section 6), behind a tag.
const TAGGED: [&[u8]; 22] = [
    b"LOGIN",
    b"LOGOUT",
    b"CAPABILITY",
    b"NOOP",
    b"SELECT",
    b"EXAMINE",
    b"CREATE",
    b"DELETE",
    b"RENAME",
    b"SUBSCRIBE",
    b"LIST",
    b"LSUB",
    b"STATUS",
    b"APPEND",
    b"FETCH",
    b"STORE",
    b"COPY",
    b"SEARCH",
    b"EXPUNGE",
    b"UID",
    b"AUTHENTICATE",
    b"CLOSE",
];

/// A command of IMAP's behind its tag (`A1 LOGIN`), or of POP3 and FTP with what they take, in capitals.
pub(super) fn is_session(raw: &[u8]) -> bool {
    let line = &raw[..line_end(raw).map_or(raw.len(), |(at, _)| at)];
    let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let tag = first.len() <= 6 && first.iter().all(u8::is_ascii_alphanumeric);
    let numbered = first.len() == 1 || first.iter().any(u8::is_ascii_digit);
    if tag && numbered && TAGGED.contains(&second) {
        return true;
    }
    let number = !second.is_empty() && second.iter().all(u8::is_ascii_digit);
    match first {
        b"USER" | b"PASS" | b"ACCT" | b"STOR" | b"CWD" | b"RNFR" | b"RNTO" | b"MKD" | b"RMD" | b"APOP" => {
            !second.is_empty() && words.next().is_none()
        }
        b"RETR" | b"DELE" | b"TOP" | b"UIDL" => number,
        b"PORT" => memchr::memchr_iter(b',', second).count() == 5,
        b"SITE" => second == b"EXEC" || second == b"CHMOD",
        _ => false,
    }
}

/// Methods of HTTP, SIP and RTSP that requests are made with.
const METHODS: [&[u8]; 16] = [
    b"get ",
    b"post ",
    b"put ",
    b"delete ",
    b"patch ",
    b"head ",
    b"options ",
    b"trace ",
    b"connect ",
    b"invite ",
    b"register ",
    b"bye ",
    b"message ",
    b"describe ",
    b"setup ",
    b"propfind ",
];

/// Whether a line begins as a request does, with its method.
pub(super) fn begins_request(line: &[u8]) -> bool {
    METHODS.iter().any(|method| line.starts_with(method))
}

/// The line of a request, with its method and version.
pub(super) fn is_request(line: &[u8]) -> bool {
    let line = &line[..line.len().min(200)];
    begins_request(line)
        && [&b" http/1"[..], b" sip/2.0", b" rtsp/1.0"].iter().any(|version| contains(line, version))
}

/// The line of an answer, with its version and status.
pub(super) fn is_answer(line: &[u8]) -> bool {
    line.starts_with(b"http/1.")
        || [&b"rtsp/1.0 "[..], b"sip/2.0 ", b"icap/1.0 "].iter().any(|version| {
            line.strip_prefix(*version)
                .and_then(|rest| rest.get(..3))
                .is_some_and(|status| status.iter().all(u8::is_ascii_digit))
        })
}

/// What ends the request that a value is put into, and is none: `x HTTP/1.1`, behind which headers follow.
pub(super) fn ends_request(first: &[u8]) -> bool {
    let ends = [&b" http/1.1"[..], b" http/1.0", b" http/2", b"\thttp/1.1"]
        .iter()
        .any(|version| first.ends_with(version));
    ends && first.len() <= 200
        && !METHODS.iter().any(|method| contains(first, method))
        && first.iter().filter(|byte| **byte == b' ').count() <= 2
}

const LEVELS: [&[u8]; 10] =
    [b"INFO", b"WARN", b"WARNING", b"ERROR", b"DEBUG", b"FATAL", b"CRITICAL", b"NOTICE", b"TRACE", b"SEVERE"];

/// A record as logs have them: with its time, its level, or its format's first word. `decoded`: its line end was written in some other way.
pub(super) fn is_record(raw: &[u8], decoded: bool) -> bool {
    let line = &raw[..line_end(raw).map_or(raw.len(), |(at, _)| at)];
    let open = line.strip_prefix(b"[").unwrap_or(line);
    if shaped(open, b"9999-99-99?99:99")
        || shaped(open, b"9999/99/99?99:99")
        || shaped(open, b"aaa ?9 99:99:99 ")
    {
        return true;
    }
    // Syslog's priority (RFC 5424).
    let priority = line
        .strip_prefix(b"<")
        .map_or(0, |rest| rest.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count());
    if priority > 0
        && (line[priority + 1..].starts_with(b">1 ") || shaped(&line[priority + 1..], b">aaa ?9 99:"))
    {
        return true;
    }
    // The common log format.
    let address = line
        .iter()
        .take(40)
        .take_while(|byte| byte.is_ascii_hexdigit() || matches!(**byte, b'.' | b':'))
        .count();
    if address >= 3 && line[address..].starts_with(b" - ") && contains(line, b" [") {
        return true;
    }
    let formats = [
        &b"CEF:0|"[..],
        b"LEEF:1",
        b"LEEF:2",
        b"{\"level\":",
        b"{\"time\":",
        b"{\"ts\":",
        b"{\"timestamp\":",
    ];
    if formats.iter().any(|format| line.starts_with(format)) || contains(line, b"msg=audit(") {
        return true;
    }
    let level = open.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    let behind = &open[level..];
    LEVELS.contains(&&open[..level])
        && if open.len() < line.len() {
            behind.starts_with(b"] ")
        } else {
            (behind.starts_with(b": ") || decoded && behind.starts_with(b" ") || behind.starts_with(b"  ["))
                && behind.len() > 4
        }
}

/// Whether a text begins in a shape: `9` is a digit, `a` a letter, `?` anything.
fn shaped(text: &[u8], shape: &[u8]) -> bool {
    text.len() >= shape.len()
        && text.iter().zip(shape).all(|(byte, sign)| match sign {
            b'9' => byte.is_ascii_digit(),
            b'a' => byte.is_ascii_alphabetic(),
            b'?' => true,
            sign => byte == sign,
        })
}
