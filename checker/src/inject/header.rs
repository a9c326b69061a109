//! Line ends that begin another header, of mail or of HTTP, another command of a mail server, another request or answer, or another record of a log.

use super::{
    Best, Class, Text, contains,
    header_line::{begins_request, ends_request, is_answer, is_command, is_record, is_request, is_session},
    header_name::{
        begins_any, begins_header, begins_header_gapped, begins_registered, begins_word, colon_name,
        hyphened, is_train, is_typed_word,
    },
    places,
    scan::bytes,
    scan::words,
};

pub(super) fn judge(text: &Text<'_>, best: &mut Best) {
    let wide = text.scan.byte(bytes::HIGH) && text.scan.byte(bytes::COLON);
    if !text.scan.word(words::HEADER) && !text.scan.byte(bytes::CONTROL) && !wide {
        return;
    }
    let lower = text.lower;
    if wide || text.scan.byte(bytes::CONTROL) {
        other_ends(lower, best);
    }
    arguments(lower, best);
    let first_end = line_end(lower).map_or(lower.len(), |(at, _)| at);
    let first = First::of(text, &lower[..first_end]);
    // A request as a whole begins with its line, perhaps behind the `\` by which a program continues one of its own.
    let opened = lower.strip_prefix(b"\\\n").unwrap_or(lower);
    let opened = &opened[..line_end(opened).map_or(opened.len(), |(at, _)| at)];
    let request = opened.first().is_some_and(u8::is_ascii_lowercase)
        && !first.splits
        && (contains(opened, b" http/1.")
            || opened.starts_with(b"http/1.") && opened.len() < lower.len() && text.layer == 0);
    let mut at = 0;
    let mut lines = 0;
    let mut part = false;
    while let Some((end, length)) = line_end(&lower[at..]) {
        // The parts of a message in several parts begin with a line of their own (RFC 2046, section 5.1.1).
        part |=
            lower[at..at + end].starts_with(b"--") && end > 4 && (lines == 0 || !first.word && !first.mail);
        let pair = lower[at + end..].starts_with(b"\r\n");
        at += end + length;
        lines += 1;
        let line = Line { lower: &lower[at..], raw: &text.raw[at..], number: lines, pair, layer: text.layer };
        let header = line.is_header(&first);
        let command = line.is_command(&first);
        let response = is_answer(line.lower) || lines <= 2 && is_request(line.lower);
        if (header || command || response) && (lines <= 3 || text.layer > 0) {
            let strong = !request
                && (text.layer > 0 && lower.len() < 2048 || !first.message && !part && lower.len() < 512);
            best.add(
                Class::Header,
                if command { "header-mail-command" } else { "header-line" },
                if strong { if lines <= 2 || text.layer > 0 { 80 } else { 55 } } else { 30 },
            );
        }
        if lines <= 2 && !request && lower.len() < 512 && line.is_other(&first) {
            best.add(Class::Header, "header-record", 70);
        }
        if lines > 64 || best.certain() {
            return;
        }
    }
}

/// What the first line is, behind which others begin.
struct First<'t> {
    line: &'t [u8],
    /// A message as a whole, or a log of one, has a header in its first line.
    message: bool,
    /// A word alone, as a parameter holds that is copied to a header.
    word: bool,
    /// An address of mail, perhaps with its owner's name.
    mail: bool,
    /// Such a word, an address of a page or a short list, without white space.
    field: bool,
    /// What ends the request that it is put into.
    splits: bool,
}

impl<'t> First<'t> {
    fn of(text: &Text<'_>, line: &'t [u8]) -> Self {
        let splits = line.len() < text.lower.len() && ends_request(line);
        let message = !splits
            && (begins_header(line)
                || line.starts_with(b"http/")
                || contains(line, b" http/1")
                || colon_name(line)
                || begins_request(line) && is_request(line)
                || line.len() > 120);
        let word = is_one_word(line);
        let mail = line.len() <= 96
            && line
                .iter()
                .position(|byte| *byte == b'@')
                .is_some_and(|at| at > 0 && line[at..].contains(&b'.'))
            && line.iter().filter(|byte| **byte == b' ').count() <= 3;
        let field = line.len() <= 96
            && !line.iter().any(|byte| *byte <= b' ' || matches!(byte, b'(' | b'{' | b'`'))
            && !line.ends_with(b":");
        Self { line, message, word, mail, field, splits }
    }
}

/// A line behind the first.
struct Line<'t> {
    lower: &'t [u8],
    raw: &'t [u8],
    /// Of how many line ends it is behind.
    number: usize,
    /// CR and LF stand before it.
    pair: bool,
    layer: usize,
}

impl Line<'_> {
    fn is_header(&self, first: &First<'_>) -> bool {
        let decoded = self.layer > 0;
        // Behind one word, or behind nothing: `en\r\nX-Name: value`.
        let bare = self.number == 1 && first.word;
        let held = bare || self.number == 1 && (first.field || first.mail);
        // White space before a name makes it a part of the line before, for those who read it so (RFC 9112, section 5.2).
        let folded = self.lower.iter().take(4).take_while(|byte| matches!(**byte, b' ' | b'\t')).count();
        let line = if held { &self.lower[folded..] } else { self.lower };
        let known = begins_header(line) || held && begins_header_gapped(line);
        // Names that lists of settings have as well.
        let common = [&b"to"[..], b"from", b"host", b"subject", b"link", b"location"].iter().any(|name| {
            line.strip_prefix(*name).is_some_and(|rest| matches!(rest.first(), Some(b':' | b' ' | b'\t')))
        });
        let known = known && (!common || decoded || first.line.contains(&b'@'));
        let behind_word = bare && (line.starts_with(b"x-") || common) && colon_name(line);
        let empty = first.line.is_empty();
        let behind_nothing = empty && hyphened(line) && colon_name(line);
        known
            || behind_nothing
            || behind_word && !matches!(line.first(), Some(b't' | b'f' | b's' | b'h'))
            || first.splits && begins_any(line)
            || bare && (is_typed_word(line) || is_train(self.raw))
            || held && begins_registered(line)
            || (first.mail || decoded && held) && self.number == 1 && begins_word(line)
            || decoded
                && held
                && begins_any(line)
                && (hyphened(line) || self.pair && bare && colon_name(line))
    }

    fn is_command(&self, first: &First<'_>) -> bool {
        self.number <= 2 && is_command(self.lower, self.raw, self.layer > 0)
            || (self.number == 1 || self.layer > 0)
                && (first.field || first.mail || first.line.ends_with(b"\"") || first.line.ends_with(b"]"))
                && is_session(self.raw)
    }

    /// A record of a log behind a name, the end of a message (RFC 5321, section 4.1.1.4), or of a card or a calendar's entry that the value did not begin.
    fn is_other(&self, first: &First<'_>) -> bool {
        let end = [&b"end:vcard"[..], b"end:vevent", b"end:vcalendar", b"end:vtodo"]
            .iter()
            .any(|end| self.lower.starts_with(end));
        first.word
            && first.line.len() <= 32
            && !first.line.is_empty()
            && self.number == 1
            && is_record(self.raw, self.layer > 0)
            || end && contains(self.lower, b"begin:v")
            || first.mail && (self.lower == b"." || self.lower.starts_with(b".\r\n"))
    }
}

/// Line ends that only some programs read as such, or that become one where characters are cut to bytes (U+560A and U+560D, U+010A and U+010D, …).
fn other_ends(lower: &[u8], best: &mut Best) {
    for (at, &byte) in lower.iter().enumerate() {
        let (code, length) = match byte {
            0x0b | 0x0c => (u32::from(byte), 1),
            0xc4..0xe0 | 0xc2 => (two(lower, at), 2),
            0xe0..0xf0 => (three(lower, at), 3),
            _ => continue,
        };
        let ends = matches!(code, 0x0b | 0x0c | 0x85 | 0x2028 | 0x2029)
            || matches!(code & 0xff, 0x0a | 0x0d) && code > 0xff;
        if !ends {
            continue;
        }
        let line = &lower[at + length..];
        if begins_header(line) || line.starts_with(b"x-") && begins_any(line) {
            best.add(Class::Header, "header-wide-line-end", 85);
            return;
        }
    }
}

fn two(text: &[u8], at: usize) -> u32 {
    match text.get(at..at + 2) {
        Some(&[first, second]) => u32::from(first & 0x1f) << 6 | u32::from(second & 0x3f),
        _ => 0,
    }
}

fn three(text: &[u8], at: usize) -> u32 {
    match text.get(at..at + 3) {
        Some(&[first, second, third]) => {
            u32::from(first & 0x0f) << 12 | u32::from(second & 0x3f) << 6 | u32::from(third & 0x3f)
        }
        _ => 0,
    }
}

/// Arguments for the program that sends mail, in what is to be an address, expansions of Exim's, and a line end within an encoded word (RFC 2047).
fn arguments(lower: &[u8], best: &mut Best) {
    if lower.len() > 512 {
        return;
    }
    let queue = contains(lower, b"-oqueuedirectory=") || contains(lower, b" -oq/");
    let written = contains(lower, b" -x/") || contains(lower, b" -c/") || contains(lower, b" -x ");
    let expanded = [&b"${run{"[..], b"${readfile{", b"${perl{", b"${readsocket{"]
        .iter()
        .any(|item| contains(lower, item));
    let word = contains(lower, b"=?")
        && contains(lower, b"?q?")
        && [&b"=0a"[..], b"=0d"]
            .iter()
            .any(|end| places(lower, end).any(|at| begins_header(&lower[at + 3..])));
    if queue && (written || lower.contains(&b'@')) || expanded || word {
        best.add(Class::Header, "header-mail-argument", 80);
    }
}

/// Where the first line ends, and how long its end is; written out as `\r\n` as well.
pub(super) fn line_end(text: &[u8]) -> Option<(usize, usize)> {
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
