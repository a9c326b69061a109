//! Shells: whether a value ends the command it is put in, and begins another.
//!
//! What decides is a separator with a program behind it. A value that begins with a program is a command line as a whole, as documentation has
//! many; it is an attack only if what it asks for is one.

use std::cell::LazyCell;

use super::{
    Best, Class, Kind, Text, contains, is_word, places,
    scan::bytes,
    shell_line,
    shell_word::{Program, command, first_word, program},
};

fn add(best: &mut Best, rule: &'static str, score: u16) {
    best.add(Class::Command, rule, score);
}

pub(super) fn judge(text: &Text<'_>, best: &mut Best) {
    let lower = text.lower;
    if text.scan.byte(bytes::PAREN) && places(lower, b"()").any(|at| function_export(&lower[at + 2..])) {
        add(best, "command-shellshock", 95);
    }
    if lower.starts_with(b"()") && exported(lower) {
        add(best, "command-shellshock", 90);
    }
    let separators = bytes::BACKSLASH
        | bytes::SEMICOLON
        | bytes::PIPE
        | bytes::AMPERSAND
        | bytes::BACKTICK
        | bytes::DOLLAR
        | bytes::CONTROL;
    if text.scan.byte(separators) && text.kind != Kind::Header {
        separated(text, best);
    }
    if best.certain() {
        return;
    }
    if text.scan.byte(bytes::BACKTICK | bytes::DOLLAR) && text.kind != Kind::Header {
        substituted(lower, best);
    }
    let angled = text.scan.byte(bytes::PAREN) && text.scan.byte(bytes::LESS | bytes::GREATER);
    if angled && lower.len() <= 256 && text.kind != Kind::Header {
        // <(…) and >(…)
        let files = places(lower, b"<(").chain(places(lower, b">("));
        let generic = |at: usize| at > 0 && (is_word(lower[at - 1]) || lower[at - 1] == b':');
        if files.take(8).any(|at| !generic(at) && command(&lower[at + 2..]) >= 75) {
            add(best, "command-substituted", 70);
        }
    }
    // A variable that is set and run: ;a=$'id';$a
    if lower.len() <= 256
        && text.scan.byte(bytes::DOLLAR)
        && contains(lower, b";$")
        && (contains(lower, b"=$'") || contains(lower, b"=$\"") || contains(lower, b"=$\\'"))
    {
        add(best, "command-variable", 65);
    }
    if lower.len() <= 256 && text.scan.byte(bytes::DOLLAR) && runs_variable(lower) {
        add(best, "command-variable", 75);
    }
    shell_line::judge(text, best);
}

/// `a=c;b=at;$a$b x`: a variable is set without a `$`, as shells do, and run.
fn runs_variable(text: &[u8]) -> bool {
    let separator = |byte: &u8| matches!(byte, b';' | b'&' | b'|' | b'\n');
    memchr::memchr_iter(b'$', text).take(16).any(|at| {
        let before = text[..at].trim_ascii_end();
        let length = text[at + 1..].iter().take(16).take_while(|byte| is_word(**byte)).count();
        let name = &text[at + 1..at + 1 + length];
        before.last().is_some_and(separator)
            && length > 0
            && text[at + 1 + length..].first() != Some(&b'=')
            && places(before, name).any(|set| {
                before[set + length..].starts_with(b"=")
                    && set.checked_sub(1).is_none_or(|left| {
                        separator(&before[left]) || matches!(before[left], b' ' | b'\'' | b'"')
                    })
            })
    })
}

/// `() { :;};`, which bash ran from its environment (CVE-2014-6271).
fn function_export(after: &[u8]) -> bool {
    let body = super::trim_start(after);
    body.starts_with(b"{") && {
        let body = super::trim_start(&body[1..]);
        let colon = body.strip_prefix(b":").or_else(|| body.strip_prefix(b"_")).map(super::trim_start);
        colon.is_some_and(|rest| rest.starts_with(b";") || rest.starts_with(b"}"))
    }
}

/// `() { any; }; id` as a value's beginning: a function without a name, and a command behind it.
fn exported(text: &[u8]) -> bool {
    let Some(body) = text.strip_prefix(b"()").map(super::trim_start).filter(|body| body.starts_with(b"{"))
    else {
        return false;
    };
    let end = memchr::memchr(b'}', &body[..body.len().min(96)]);
    end.is_some_and(|end| {
        super::trim_start(&body[end + 1..]).strip_prefix(b";").is_some_and(|rest| command(rest) > 0)
    })
}

/// A separator and a command behind it.
fn separated(value: &Text<'_>, best: &mut Best) {
    let text = value.lower;
    // A line end that is written out, before a command.
    if value.scan.byte(bytes::BACKSLASH) {
        let start = text.iter().position(|byte| !matches!(byte, b'"' | b'\'' | b' ')).unwrap_or(text.len());
        let end = text[start..].strip_prefix(b"\\n").or_else(|| text[start..].strip_prefix(b"\\r\\n"));
        let score = end.map_or(0, command);
        if score >= 55 {
            add(best, "command-separated", score.max(65));
        }
    }
    // Line ends of every kind: what stands behind each is read, of so many only.
    let ends = |from: &[u8]| {
        memchr::memchr2_iter(b'\n', b'\r', from)
            .filter(|at| from[*at] == b'\n' || from.get(at + 1) != Some(&b'\n'))
            .take(4)
            .count()
    };
    let lines = if value.scan.byte(bytes::CONTROL) { ends(text) } else { 0 };
    let blank = text.len() - super::trim_start(text).len();
    // How many signs the value begins with: what stands behind nothing else is the first command of it.
    let sign = |byte: &&u8| {
        matches!(**byte, b'|' | b'&' | b';' | b'\'' | b'"' | b')' | b'$' | b' ' | b'+' | b'`' | b'\\')
    };
    let signs = text[blank..].iter().take_while(sign).count();
    // A line that begins with a program is a command line: what it joins is its own. Few values have a command behind a separator and are asked.
    let own = LazyCell::new(|| {
        is_command_line(text) || has_options(text) || has_arguments(text) || is_script(text)
    });
    let mut from = 0;
    while let Some(step) = text[from..].iter().position(|byte| SEPARATES[usize::from(*byte)]) {
        let at = from + step;
        let byte = text[at];
        from = at + 1;
        let double = text.get(at + 1) == Some(&byte);
        let step = match byte {
            b';' | b'|' | b'&' if double => continue,
            b';' | b'|' | b'&' => 1,
            _ if lines <= 2 => 1,
            _ => continue,
        };
        let score = command(&text[at + step..]);
        if score == 0 || is_operator(text, at) || joins_literals(text, at) {
            continue;
        }
        let before = &text[blank.min(at)..at];
        let first = at - blank.min(at) <= signs;
        let score = if names_column(&text[at + step..], before, byte) { score.min(50) } else { score };
        let long = at > 200 || lines > 2 || text.len() > 1024;
        // `a | b` in tables and sentences: only what begins the value, or is asked of a short one, is left of a command.
        let score = match byte {
            _ if first && matches!(byte, b'\n' | b'\r') => score.saturating_sub(15),
            _ if first => score.max(if score >= 55 { 65 } else { score }),
            _ if long || *own => asked_for(&text[at + step..], !long),
            // A line end that was escaped, or behind one word, is less of a list or a letter.
            b'\n' | b'\r' if value.layer > 0 && lines <= 1 => score.saturating_sub(10),
            b'\n' | b'\r' if score >= 75 && lines <= 1 && is_one_word(before) => {
                let ended = command_ends(&text[at + step..]);
                score.saturating_sub(if ended { 40 } else { 15 })
            }
            b'\n' | b'\r' => score.saturating_sub(40),
            b'&' if text.get(at.wrapping_sub(1)) != Some(&b'&')
                && text.get(at + 1).is_some_and(|byte| is_word(*byte))
                && text[at..].iter().take(32).any(|byte| *byte == b'=') =>
            {
                score.saturating_sub(30)
            }
            _ => score,
        };
        add(best, "command-separated", score);
        if best.certain() {
            return;
        }
    }
}

/// What separates one command from the next.
const SEPARATES: [bool; 256] = {
    let mut table = [false; 256];
    let mut signs: &[u8] = b";|&\n\r";
    while let [sign, rest @ ..] = signs {
        table[*sign as usize] = true;
        signs = rest;
    }
    table
};

/// What a command behind a line of the value's own, or in a long text, is worth: who knows that these pass writes one of them before his. Only what
/// no script and no documentation has there counts.
fn asked_for(command: &[u8], in_line: bool) -> u16 {
    // There may be a separator at each byte: what is read behind one does not grow with the value.
    let command = &command[..command.len().min(512)];
    let end = command.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(command.len());
    let command = command[..end].trim_ascii();
    // In a line of its own it is a whole command, and what is fetched there is not for a reader to run.
    let alone =
        in_line && (matches!(command, b"id" | b"whoami" | b"uname -a") || shell_line::fetched(command));
    if alone || shell_line::BREAKS_IN.iter().any(|what| contains(command, what)) { 70 } else { 0 }
}

/// Whether a sign belongs to code or an entity: the parameters of a closure (`(|id| id.name)`), a reference (`f(&cmd, x)`), a data URL's encoding.
fn is_operator(text: &[u8], at: usize) -> bool {
    let before = text[..at].trim_ascii_end().last();
    let behind = &text[at + 1..];
    match text[at] {
        b'|' => matches!(before, Some(b'(' | b',' | b'=')),
        b'&' => {
            matches!(before, Some(b'(' | b',' | b':'))
                || behind.starts_with(b"lt;")
                || behind.starts_with(b"reg;")
        }
        b';' => {
            let encoding = behind.strip_prefix(b"base64");
            encoding.is_some_and(|rest| rest.is_empty() || rest.starts_with(b","))
                || behind.starts_with(b"lt;")
        }
        _ => false,
    }
}

/// Whether a sign stands between two strings of a program: `'scroll' | 'system'`, `x != null && 'id' in value`.
fn joins_literals(text: &[u8], at: usize) -> bool {
    let behind = super::trim_start(&text[at + 1..]);
    let Some((&quote, inner)) = behind.split_first().filter(|(quote, _)| matches!(quote, b'\'' | b'"'))
    else {
        return false;
    };
    let length = inner.iter().take(32).take_while(|byte| is_word(**byte)).count();
    let Some(rest) = inner[length..].strip_prefix(&[quote]) else { return false };
    let before = text[..at].trim_ascii_end();
    let paired = before.split_last().is_some_and(|(last, before)| {
        *last == quote && before.iter().rev().take(40).any(|byte| *byte == quote)
    });
    text[at] == b'|' && paired || text[at] == b'&' && rest.starts_with(b" in ")
}

/// `name|id`, `type;hostname`: columns, of which some are called as programs are.
fn names_column(behind: &[u8], before: &[u8], separator: u8) -> bool {
    let length = behind.iter().take_while(|byte| is_word(**byte)).count();
    let column =
        matches!(&behind[..length], b"id" | b"hostname" | b"uptime" | b"passwd" | b"ps" | b"cmd" | b"pwd");
    let next = behind.get(length);
    let word = before.iter().rev().take_while(|byte| is_word(**byte)).count();
    let single = before.len() - word;
    // `<name|id>` is how usage is written.
    let usage = before[..single].last() == Some(&b'<') && next == Some(&b'>');
    column
        && word >= 2
        && (usage
            || next.is_none_or(|byte| *byte == separator)
                && before[..single].last().is_none_or(|byte| *byte == separator))
        && before[before.len() - word..].iter().any(u8::is_ascii_alphabetic)
}

fn is_one_word(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    text.len() <= 64
        && !text.is_empty()
        && text.iter().all(|byte| is_word(*byte) || matches!(byte, b'.' | b'-'))
}

/// Whether a command is one word alone.
fn command_ends(text: &[u8]) -> bool {
    !text.trim_ascii().contains(&b' ')
}

fn is_command_line(text: &[u8]) -> bool {
    let text = super::trim_start(text);
    let text = text
        .strip_prefix(b"$ ")
        .or_else(|| text.strip_prefix(b"# "))
        .or_else(|| text.strip_prefix(b"> "))
        .unwrap_or(text);
    let mut plain = [0; 48];
    let (length, rest) = first_word(text, &mut plain);
    let name = &plain[..length];
    let tool = matches!(
        name,
        b"npm"
            | b"npx"
            | b"yarn"
            | b"pnpm"
            | b"git"
            | b"cargo"
            | b"go"
            | b"cd"
            | b"pip"
            | b"pip3"
            | b"apt"
            | b"apt-get"
            | b"brew"
            | b"make"
            | b"cmake"
            | b"tsc"
            | b"eslint"
            | b"jest"
            | b"mocha"
            | b"rollup"
            | b"webpack"
            | b"babel"
            | b"rimraf"
            | b"cross-env"
            | b"standard"
            | b"tape"
            | b"nyc"
            | b"c8"
            | b"tap"
            | b"ava"
            | b"vite"
            | b"run-s"
            | b"prettier"
            | b"lerna"
            | b"bun"
            | b"deno"
            | b"gulp"
            | b"grunt"
            | b"xo"
            | b"vitest"
            | b"tsup"
            | b"ncc"
    );
    (tool || program(name) != Program::No) && rest.first() == Some(&b' ')
}

/// Whether a value begins with a program and arguments for it, and ` && ` behind that: a script of a manifest too (`shx mv dist/a b && …`).
fn has_arguments(text: &[u8]) -> bool {
    let text = super::trim_start(text);
    let end = text
        .iter()
        .position(|byte| matches!(byte, b';' | b'|' | b'&' | b'\n' | b'\'' | b'"'))
        .unwrap_or(text.len());
    let joined = text[end..].starts_with(b"&& ") && text[..end].ends_with(b" ");
    let mut words = text[..end].split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let named =
        words.next().is_some_and(|name| name.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'-'));
    let path = |word: &[u8]| {
        word.contains(&b'/')
            && word.iter().all(|byte| is_word(*byte) || matches!(byte, b'.' | b'-' | b'/' | b'*'))
    };
    joined && named && words.any(path)
}

/// Whether a value begins as lines of a shell's script do, by its grammar: `if [ … ]`, `for a in …`, `#!/bin/sh`, `name=$(…)`, `f() {`.
fn is_script(text: &[u8]) -> bool {
    let text = super::trim_start(text);
    let begins =
        [&b"#!/"[..], b"if [ ", b"if ! ", b"elif [ ", b"elif ! ", b"while [ ", b"while read ", b"case \"$"];
    if begins.iter().any(|start| text.starts_with(start)) {
        return true;
    }
    let name = |text: &[u8]| text.iter().take(32).take_while(|byte| is_word(**byte)).count();
    if let Some(rest) = text.strip_prefix(b"for ") {
        let length = name(rest);
        return length > 0 && rest[length..].starts_with(b" in ");
    }
    let length = name(text);
    let rest = &text[length..];
    let set = rest.strip_prefix(b"=").map(|value| value.strip_prefix(b"\"").unwrap_or(value));
    length > 1
        && (rest.starts_with(b"() {")
            || set.is_some_and(|value| value.starts_with(b"$(") || value.starts_with(b"`")))
}

/// Whether a value begins with a word and options for it, before the first separator: a script of a manifest (`esbuild a.js --bundle && …`).
fn has_options(text: &[u8]) -> bool {
    let text = super::trim_start(text);
    let end = text.iter().position(|byte| matches!(byte, b';' | b'|' | b'&' | b'\n')).unwrap_or(text.len());
    let mut words = text[..end].split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    words.next().is_some_and(|name| {
        name.first().is_some_and(u8::is_ascii_alphabetic)
            && name.iter().all(|byte| is_word(*byte) || matches!(byte, b'-' | b'.'))
    }) && words.any(|word| word.starts_with(b"--") && word.get(2).is_some_and(u8::is_ascii_alphabetic))
}

/// `$(…)`, `<(…)` and backticks with a command within.
fn substituted(text: &[u8], best: &mut Best) {
    let short = text.len() <= 512 && text.iter().filter(|byte| **byte == b'\n').count() <= 1;
    for at in places(text, b"$(").take(64) {
        let inside = &text[at + 2..];
        // jQuery's $("…") and make's $(NAME).
        if inside.starts_with(b"\"")
            || inside.starts_with(b"'") && contains(&inside[..inside.len().min(64)], b"').")
            || inside.starts_with(b"document")
            || inside.starts_with(b"this")
        {
            continue;
        }
        if inside.starts_with(b"(") && inside.get(1).is_some_and(u8::is_ascii_digit) && short {
            add(best, "command-substituted", 60);
        }
        let score = command(inside);
        let line = is_command_line(text);
        let end = memchr::memchr(b')', inside).unwrap_or(inside.len());
        let around =
            text[..at].iter().chain(&inside[end..]).filter(|byte| byte.is_ascii_alphabetic()).count();
        let short = short && around <= 24;
        add(
            best,
            "command-substituted",
            if line {
                score.saturating_sub(40)
            } else if short {
                score
            } else {
                score.saturating_sub(35)
            },
        );
    }
    let Some(open) = memchr::memchr(b'`', text) else { return };
    // Markdown quotes commands so: only where nothing of a sentence stands around it.
    let inside = &text[open + 1..];
    let close = memchr::memchr(b'`', inside).unwrap_or(inside.len());
    let around = text[..open]
        .iter()
        .chain(inside.get(close + 1..).unwrap_or_default())
        .filter(|byte| byte.is_ascii_alphabetic())
        .count();
    // "Run `ls -la`" quotes; what is a part of a value stands directly behind it.
    let lead = &text[..open];
    let quoted = lead.ends_with(b" ")
        && lead.iter().any(u8::is_ascii_alphabetic)
        && !lead.iter().any(|byte| matches!(byte, b';' | b'|' | b'&'));
    if around <= 8 && short && !quoted {
        let score = command(&inside[..close]);
        add(best, "command-substituted", if score >= 75 { score } else { 0 });
    }
}
