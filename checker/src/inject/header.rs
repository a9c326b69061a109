//! Line ends that begin another header, of mail or of HTTP, or another command of a mail server.

use super::{Best, Class, Text, contains, places, scan::bytes, scan::words};

/// Headers that are worth injecting.
const HEADERS: [&[u8]; 22] = [
    b"set-cookie:",
    b"content-type:",
    b"content-length:",
    b"contenttype:",
    b"contentlength:",
    b"location:",
    b"bcc:",
    b"cc:",
    b"to:",
    b"from:",
    b"subject:",
    b"reply-to:",
    b"mime-version:",
    b"transfer-encoding:",
    b"host:",
    b"x-forwarded-",
    b"refresh:",
    b"access-control-",
    b"content-disposition:",
    b"link:",
    b"x-xss-protection:",
    b"content-transfer-encoding:",
];

/// Commands of SMTP, IMAP and POP3.
const COMMANDS: [&[u8]; 12] = [
    b"ehlo ",
    b"helo ",
    b"mail from:",
    b"rcpt to:",
    b"data\r\n",
    b"auth ",
    b"quit",
    b"expn ",
    b"vrfy ",
    b"retr ",
    b"a001 ",
    b"starttls",
];

pub(super) fn judge(text: &Text<'_>, best: &mut Best) {
    if !text.scan.word(words::HEADER) && !text.scan.byte(bytes::CONTROL) {
        return;
    }
    let lower = text.lower;
    // U+560A and U+560D, whose low bytes are a line end: what cuts characters to bytes reads one.
    for at in places(lower, "\u{560a}".as_bytes()).chain(places(lower, "\u{560d}".as_bytes())).take(8) {
        let rest = &lower[at + 3..];
        if HEADERS.iter().any(|name| rest.starts_with(name)) || rest.starts_with(b"x-") {
            best.add(Class::Header, "header-wide-line-end", 85);
        }
    }
    let first_end = line_end(lower).map_or(lower.len(), |(at, _)| at);
    let first = &lower[..first_end];
    // A request as a whole begins with its line, perhaps behind the `\` by which a program continues one of its own.
    let opened = lower.strip_prefix(b"\\\n").unwrap_or(lower);
    let opened = &opened[..line_end(opened).map_or(opened.len(), |(at, _)| at)];
    let request = opened.first().is_some_and(u8::is_ascii_lowercase)
        && (contains(opened, b" http/1.")
            || opened.starts_with(b"http/1.") && opened.len() < lower.len() && text.layer == 0);
    // A message as a whole, or a log of one, has a header in its first line.
    let message = begins_header(first)
        || first.starts_with(b"http/")
        || contains(first, b" http/1")
        || colon_name(first)
        || first.len() > 120;
    let mut at = 0;
    let mut lines = 0;
    let mut part = false;
    while let Some((end, length)) = line_end(&lower[at..]) {
        // The parts of a message in several parts begin with a line of their own (RFC 2046, section 5.1.1).
        part |= lower[at..at + end].starts_with(b"--") && end > 4;
        at += end + length;
        lines += 1;
        let line = &lower[at..];
        let header = begins_header(line);
        // Names that lists of settings have as well.
        let common = [&b"to:"[..], b"from:", b"host:", b"subject:", b"link:", b"location:"]
            .iter()
            .any(|name| line.starts_with(name));
        let header = header && (!common || text.layer > 0 || first.contains(&b'@'));
        // Behind one word, or behind nothing: `en\r\nX-Name: value`.
        let bare = lines == 1 && is_one_word(first);
        let hyphen = line.iter().take_while(|byte| **byte != b':').any(|byte| *byte == b'-');
        let header = header
            || first.is_empty() && hyphen && colon_name(line)
            || bare
                && (line.starts_with(b"x-") || line.starts_with(b"location:") || line.starts_with(b"link:"))
                && colon_name(line);
        let raw = &text.raw[at..];
        let command = lines <= 2
            && COMMANDS
                .iter()
                .any(|name| line.strip_prefix(*name).is_some_and(|rest| is_addressed(name, rest)))
            && (text.layer > 0
                || raw.first().is_some_and(u8::is_ascii_uppercase)
                    && raw.get(2).is_some_and(|byte| !byte.is_ascii_lowercase()));
        let response = line.starts_with(b"http/1.")
            || (lines <= 2
                && (line.starts_with(b"get ") || line.starts_with(b"post "))
                && contains(&line[..line.len().min(200)], b" http/1"));
        if (header || command || response) && (lines <= 3 || text.layer > 0) {
            let strong =
                !request && (text.layer > 0 && lower.len() < 2048 || !message && !part && lower.len() < 512);
            best.add(
                Class::Header,
                if command { "header-mail-command" } else { "header-line" },
                if strong { if lines <= 2 || text.layer > 0 { 80 } else { 55 } } else { 30 },
            );
        }
        if lines > 64 || best.certain() {
            return;
        }
    }
}

/// Whether what follows a command is what it takes: an address behind `MAIL FROM:`, the line's end behind `QUIT`. A sentence has words there.
fn is_addressed(command: &[u8], rest: &[u8]) -> bool {
    match command {
        b"mail from:" | b"rcpt to:" => rest.trim_ascii_start().starts_with(b"<"),
        b"quit" | b"starttls" => line_end(rest).map_or(rest.len(), |(at, _)| at) == 0,
        _ => true,
    }
}

/// Whether a line is one of the headers: its name, the colon, and no second one (`host::name` is a name of a program's).
fn begins_header(line: &[u8]) -> bool {
    HEADERS.iter().any(|name| match line.strip_prefix(*name) {
        Some(rest) if name.ends_with(b":") => !rest.starts_with(b":"),
        Some(rest) => {
            let end = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-').count();
            rest[end..].starts_with(b":")
        }
        None => false,
    })
}

/// Where the first line ends, and how long its end is; written out as `\r\n` as well.
fn line_end(text: &[u8]) -> Option<(usize, usize)> {
    let at = text.iter().enumerate().position(|(at, &byte)| {
        matches!(byte, b'\r' | b'\n') || (byte == b'\\' && matches!(text.get(at + 1), Some(b'r' | b'n')))
    })?;
    let mut length = 0;
    while let Some(&byte) = text.get(at + length) {
        match byte {
            b'\r' | b'\n' => length += 1,
            b'\\' if matches!(text.get(at + length + 1), Some(b'r' | b'n')) => length += 2,
            _ => break,
        }
    }
    Some((at, length))
}

/// A word alone, as a parameter holds that is copied to a header.
fn is_one_word(line: &[u8]) -> bool {
    line.len() <= 64
        && line.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/' | b'.'))
}

/// `Name: value`, as each line of a list of settings has it.
fn colon_name(line: &[u8]) -> bool {
    let name =
        line.iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(**byte, b'-' | b'_')).count();
    name > 0 && line[name..].starts_with(b": ")
}
