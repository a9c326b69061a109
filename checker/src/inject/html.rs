//! HTML: tags that run something, attributes that do, and values that leave an attribute.

use super::{
    Best, Class, Kind, Text, contains,
    css::{self, sheet},
    html_attribute::{is_handler, judge_attribute, without_noise},
    html_element::{declaration, element, ordinary},
    html_fragment::{self, glued, parted, spelled, stands_alone},
    is_word,
    scan::{bytes, words},
};

pub(super) fn add(best: &mut Best, rule: &'static str, score: u16) {
    best.add(Class::Xss, rule, score);
}

pub(super) fn judge(text: &Text<'_>, best: &mut Best) {
    let lower = text.lower;
    if text.scan.byte(bytes::LESS) {
        // A quote in a tag may hide the tags behind it, or may not: what a tag holds is read once more for tags, but so much of it only.
        let (mut at, mut again) = (0, 4 * lower.len());
        while let Some(step) = memchr::memchr(b'<', &lower[at..]) {
            let start = at + step;
            let length = tag(text, start, best).max(1);
            at = if length <= again { start + 1 } else { start + length };
            again = again.saturating_sub(length);
            if best.0.is_some_and(|hit| hit.score >= 80) {
                return;
            }
        }
    }
    let marked = text.scan.byte(bytes::QUOTE | bytes::BACKTICK | bytes::SLASH)
        || text.scan.word(words::SCRIPT)
        // `onload=print()`.
        || text.scan.byte(bytes::PAREN) && text.scan.word(words::CODE);
    if text.scan.byte(bytes::EQUALS) && marked && text.kind != Kind::Header {
        broken_out(lower, best);
    }
    if !best.certain() && linked_formula(text) {
        add(best, "xss-url", 65);
    }
    if !best.certain()
        && (text.scan.byte(bytes::PAREN)
            || text.scan.byte(bytes::COLON)
                && (text.scan.byte(bytes::BACKSLASH) || text.scan.word(words::SCRIPT)))
        && lower.len() <= 512
    {
        css::loose(text, best);
    }
    if text.scan.word(words::SCRIPT) {
        if contains(lower, b"+adw-") {
            add(best, "xss-utf7", 80);
        }
        if !best.certain() && lower.len() <= 512 && text.kind != Kind::Header {
            html_fragment::judge(text, best);
        }
    }
}

/// A link to elsewhere within a formula: in MathML, anything can be a link, and pages seldom filter it.
fn linked_formula(text: &Text<'_>) -> bool {
    text.scan.byte(bytes::LESS)
        && super::find(text.lower, b"<math").is_some_and(|at| {
            let rest = &text.lower[at..];
            [&b"xlink:href=\"//"[..], b"xlink:href=\"http", b"xlink:href=//", b"xlink:href='"]
                .iter()
                .any(|link| contains(rest, link))
        })
}

/// What a link can be (HTML, section 4.6.7, and what pages have beside it) without loading a style, a script or a page.
const NAMED: [&[u8]; 24] = [
    b"alternate",
    b"amphtml",
    b"apple-touch-icon",
    b"apple-touch-icon-precomposed",
    b"author",
    b"bookmark",
    b"canonical",
    b"dns-prefetch",
    b"edit",
    b"first",
    b"help",
    b"hub",
    b"icon",
    b"last",
    b"license",
    b"manifest",
    b"mask-icon",
    b"next",
    b"pingback",
    b"preconnect",
    b"prev",
    b"search",
    b"self",
    b"shortcut",
];

/// Whether a link only says where something is, and loads no style and no script: by the first `rel`, which is the one that counts.
fn only_names(text: &[u8]) -> bool {
    let text = &text[..text.len().min(512)];
    let text = &text[..memchr::memchr2(b'>', b'<', text).unwrap_or(text.len())];
    let Some(at) = super::find(text, b"rel=") else { return false };
    let value = &text[at + 4..];
    let end = match value.first() {
        Some(&quote @ (b'"' | b'\'')) => value[1..].iter().position(|byte| *byte == quote).map(|end| end + 1),
        _ => value.iter().position(|byte| *byte <= b' '),
    };
    let value = &value[..end.unwrap_or(value.len())];
    let mut names =
        value.split(|byte| matches!(byte, b' ' | b'"' | b'\'')).filter(|name| !name.is_empty()).peekable();
    matches!(text.get(at.wrapping_sub(1)), Some(0..=b' '))
        && names.peek().is_some()
        && names.all(|name| NAMED.contains(&name))
}

/// A tag from its `<`. Returns how far it was read.
fn tag(text: &Text<'_>, start: usize, best: &mut Best) -> usize {
    let rest = &text.lower[start + 1..];
    let Some(&first) = rest.first() else { return 1 };
    if first == b'/' {
        let after = super::trim_start(&rest[1..]);
        let known =
            [&b"script"[..], b"style", b"textarea", b"title", b"noscript", b"iframe", b"xmp", b"plaintext"];
        if start < 24
            && !text.lower[..start].contains(&b'<')
            && known.iter().any(|name| after.starts_with(name))
            && memchr::memchr(b'<', &rest[1..rest.len().min(200)])
                .is_some_and(|at| rest.get(at + 2).is_some_and(u8::is_ascii_alphabetic))
        {
            add(best, "xss-closed-element", 60);
        }
        // Some readers take attributes of an end for those of an element.
        let end = memchr::memchr(b'>', &rest[..rest.len().min(256)]).unwrap_or(0);
        if contains(&rest[..end], b"=") {
            let mut tag = Tag { name: b"", base: 0, ordinary: true, length: 0, content: false };
            let mut at = 1 + rest[1..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
            while let Some(step) = attribute(&rest[at..end], &mut tag, best) {
                at += step;
            }
        }
        return 2;
    }
    if contains(&rest[..rest.len().min(256)], b"]]><![cdata[")
        || contains(&rest[..rest.len().min(256)], b"javas<!--")
    {
        add(best, "xss-cdata", 70);
    }
    if first == b'!' || first == b'?' {
        declaration(rest, best);
        return 2;
    }
    // Control characters between '<' and the name are dropped by some readers, and so is '%'.
    let blank = rest.iter().take(4).take_while(|byte| **byte <= b' ' || **byte == b'%').count();
    let name_length = rest[blank..]
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(**byte, b'-' | b':' | b'_'))
        .count();
    if name_length == 0 || !rest[blank].is_ascii_alphabetic() {
        return 1;
    }
    // What filters write that part `<` from what follows: `< iframe src=…`. So do programs and sentences that compare.
    if rest[..blank].contains(&b' ') && !parted(&rest[blank..], name_length) {
        return 1;
    }
    if name_length == 1 && spelled(&rest[blank..]) {
        add(best, "xss-element", 70);
    }
    let full = &rest[blank..blank + name_length];
    let name = full.rsplit(|byte| *byte == b':').next().unwrap_or(full);
    if matches!(full, b"xsl:stylesheet" | b"xsl:transform" | b"xsl:script") && text.lower.len() <= 256 {
        add(best, "xss-stylesheet", 60);
    }
    let mut at = blank + name_length;
    let base = if name == b"link" && only_names(&rest[at..]) { 0 } else { element(name) };
    // A name with control characters in it, which some readers drop.
    if rest.get(at).is_some_and(|byte| *byte < b' ')
        && without_noise(&rest[..rest.len().min(24)]).starts_with(b"script>")
        && name != b"script"
    {
        add(best, "xss-script", 85);
    }
    if name == b"script" {
        // A word of a sentence about scripts: "the <script> tag".
        let body = &rest[at..];
        let left = start <= 24 && leaves(&text.lower[..start]);
        let sentence = !left
            && (body.starts_with(b"> tag")
                || body.starts_with(b"> element")
                || body.starts_with(b">` ")
                || (body.starts_with(b">") && body.len() <= 2));
        // A type argument: parse::<Script>()
        let generic = start > 0
            && (is_word(text.lower[start - 1]) || text.lower[start - 1] == b':')
            && matches!(body, [b'>', b'(' | b',' | b'>' | b' ' | b';' | b')', ..])
            && !contains(&body[..body.len().min(160)], b"</script");
        // A pattern that looks for scripts: `<script>.*</script>`. What has no letter and no bracket runs nothing.
        let end = super::find(&body[..body.len().min(32)], b"</script").unwrap_or(0);
        let pattern = end > 1 && body[1..end].iter().all(|byte| matches!(byte, b'.' | b'*' | b'?'));
        // Words of a sentence behind it, and nothing that a script would have.
        let body = &body[..body.len().min(160)];
        let code = left
            || body.len() <= 2
            || body.iter().any(|byte| matches!(byte, b'(' | b'=' | b'`' | b';' | b'[' | b'{' | b'+'))
            || contains(body, b"</")
            || !contains(body, b" ");
        add(best, "xss-script", if sentence || generic || pattern || !code { 50 } else { base });
        return at + 1;
    }
    if rest.get(at) == Some(&b'=') && glued(name) {
        add(best, "xss-cut", 65);
    }
    if name.starts_with(b"script")
        && name.len() > 6
        && matches!(rest.get(at), Some(b'(' | b'.' | b'`'))
        && contains(&rest[at..rest.len().min(at + 160)], b"</script")
    {
        add(best, "xss-script", 75);
    }
    // <button.onclick=…: the name ends at what no name has.
    if rest[at..].starts_with(b".on") {
        at += 1;
    }
    let mut tag = Tag { name, base, ordinary: ordinary(name), length: 0, content: false };
    // Up to the end of the tag, or where another begins that is not within quotes.
    while let Some(step) = attribute(&rest[at..], &mut tag, best) {
        at += step;
    }
    if name == b"style" {
        sheet(&rest[at..], best);
    }
    if base > 0
        && tag.length == 0
        && (name == b"xss" || start <= 4)
        && matches!(name, b"plaintext" | b"isindex" | b"xss" | b"frameset")
    {
        add(best, "xss-element", 60);
    }
    at + 1
}

/// Whether what stands before a tag leaves an attribute and its tag, and is nothing else: `">`, `'/>`.
fn leaves(before: &[u8]) -> bool {
    let before = before.trim_ascii();
    let before =
        before.strip_suffix(b">").map_or(before, |before| before.strip_suffix(b"/").unwrap_or(before));
    matches!(before.trim_ascii_end().last(), Some(b'"' | b'\'')) && !contains(before, b" ")
}

/// What of a tag was read.
pub(super) struct Tag<'t> {
    pub(super) name: &'t [u8],
    pub(super) base: u16,
    pub(super) ordinary: bool,
    /// Attributes.
    pub(super) length: usize,
    /// Whether one of them is `content`.
    pub(super) content: bool,
}

/// One attribute; `None` at the end of the tag.
pub(super) fn attribute(text: &[u8], tag: &mut Tag<'_>, best: &mut Best) -> Option<usize> {
    let is_blank = |byte: &u8| *byte <= b' ' || matches!(*byte, b'/' | b'"' | b'\'' | b'`' | b'+' | 0x7f..);
    let start = text.iter().take_while(|byte| is_blank(byte)).count();
    let first = *text.get(start)?;
    if first == b'>' || first == b'<' {
        return None;
    }
    let name_length = text[start..]
        .iter()
        .take_while(|byte| {
            **byte > b' ' && !matches!(**byte, b'=' | b'>' | b'/' | b'<' | b'"' | b'\'' | 0x7f..)
        })
        .count()
        .max(1);
    let name = &text[start..start + name_length];
    let mut at = start + name_length;
    let slashed = name.starts_with(b"on") || tag.base > 0;
    let blanks = text[at..].iter().take(8).take_while(|byte| **byte <= b' ').count();
    let slash = if slashed && text[at + blanks..].starts_with(b"/=") {
        blanks + 1
    } else if tag.base > 0 && text[at + blanks..].starts_with(b"/ =") {
        blanks + 2
    } else {
        0
    };
    let gap = slash + text[at + slash..].iter().take_while(|byte| **byte <= b' ' || **byte >= 0x7f).count();
    // A name that is followed by escapes of white space, as in onerror\x0b=…
    let escaped = name
        .iter()
        .position(|byte| matches!(byte, b'\\' | b'!' | b'#' | b'$' | b'%' | b'&' | b'(' | b'['))
        .unwrap_or(name.len());
    tag.length += 1;
    if text.get(at + gap) != Some(&b'=') {
        // What separated it from what it runs is gone.
        let joined = name.len() > 10
            && [&b"alert("[..], b"confirm(", b"prompt(", b"eval("].iter().any(|call| contains(name, call))
            && COMMON_HANDLERS.iter().any(|handler| name.starts_with(handler));
        if joined {
            add(best, "xss-handler", 75);
        }
        // Cut off: what is put behind the value gives it one.
        let cut = at + gap == text.len() && COMMON_HANDLERS.contains(&&name[..escaped]);
        if cut || is_handler(&name[..escaped]) && called_later(&text[at..]) {
            add(best, "xss-handler", 80);
        }
        return Some(at);
    }
    at += gap + 1;
    at += text[at..].iter().take_while(|byte| **byte <= b' ').count();
    if at == text.len() && is_handler(name) {
        add(best, "xss-handler", 80);
    }
    // An element that loads what its attribute says, cut off before it.
    if at == text.len()
        && tag.base > 0
        && matches!(name, b"href" | b"src" | b"data" | b"implementation" | b"code" | b"classid")
    {
        add(best, "xss-cut", 65);
    }
    let (value, length) = value(&text[at..]);
    tag.content |= name == b"content";
    judge_attribute(&name[..escaped], value, &text[at + length..], tag, best);
    Some(at + length)
}

/// Whether an attribute that is not given a value gets one behind other signs: onload!#$%/|=alert(1).
fn called_later(text: &[u8]) -> bool {
    let text = &text[..text.len().min(64)];
    let text = &text[..memchr::memchr(b'>', text).unwrap_or(text.len())];
    let shown = [&b"alert("[..], b"prompt(", b"confirm(", b"eval(", b"alert`"];
    contains(text, b"=") && shown.iter().any(|call| contains(text, call))
}

fn value(text: &[u8]) -> (&[u8], usize) {
    match text.first() {
        // Quotes that are doubled, as within a string of SQL's or a field of CSV's.
        Some(&quote @ (b'"' | b'\''))
            if text.get(1) == Some(&quote)
                && text.get(2).is_some_and(|byte| is_word(*byte) || matches!(byte, b'&' | b'(')) =>
        {
            let length = memchr::memchr(quote, &text[2..]).unwrap_or(text.len() - 2);
            (&text[2..2 + length], (length + 4).min(text.len()))
        }
        // As in a string of a program.
        Some(b'\\') if matches!(text.get(1), Some(b'"' | b'\'')) => {
            let length = memchr::memchr(text[1], &text[2..]).unwrap_or(text.len() - 2);
            let value = &text[2..2 + length];
            (value.strip_suffix(b"\\").unwrap_or(value), (length + 3).min(text.len()))
        }
        Some(&quote @ (b'"' | b'\'' | b'`')) => {
            let length = memchr::memchr(quote, &text[1..]).unwrap_or(text.len() - 1);
            (&text[1..=length], (length + 2).min(text.len()))
        }
        _ => {
            let length = text
                .iter()
                .take_while(|byte| !matches!(**byte, b' ' | b'\t' | b'\n' | 0xb | 0xc | b'\r' | b'>'))
                .count();
            (&text[..length], length)
        }
    }
}

/// A handler behind a quote: the value left the attribute that it stood in.
fn broken_out(text: &[u8], best: &mut Best) {
    let begins = matches!(super::trim_start(text).first(), Some(b'"' | b'\'' | b'`'));
    // What a value begins and ends with that is no text, measured once for all handlers.
    let (blank, end) = (text.len() - super::trim_start(text).len(), text.trim_ascii_end().len());
    for equals in memchr::memchr_iter(b'=', text) {
        // The name before it, and what stands before that, within a few bytes.
        let before = &text[equals.saturating_sub(40)..equals];
        let spaces = before.iter().rev().take_while(|byte| **byte <= b' ').count();
        let before = &before[..before.len() - spaces];
        let name_length = before.iter().rev().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        let (lead, name) = before.split_at(before.len() - name_length);
        if !is_handler(name) || text.get(equals + 1) == Some(&b'=') {
            continue;
        }
        let gap = lead.iter().rev().take_while(|byte| **byte <= b' ' || **byte == b'/').count();
        let quote = matches!(lead.get(lead.len().wrapping_sub(gap + 1)), Some(b'"' | b'\'' | b'`'));
        let after = super::trim_start(&text[equals + 1..text.len().min(equals + 80)]);
        let signs =
            after.iter().take(4).take_while(|byte| matches!(byte, b'!' | b'-' | b'+' | b'~' | b'(')).count();
        let called = &after[signs..];
        let call = after.iter().any(|byte| matches!(byte, b'(' | b'`' | b'['))
            || contains(after, b"script:")
            || contains(after, b"location");
        let first = (equals - spaces).saturating_sub(blank) == name_length;
        // A value that begins with the quote it leaves by needs no call behind a handler of a known name.
        let known = begins && text.len() <= 256 && gap > 0 && COMMON_HANDLERS.contains(&name);
        // Cut off, so that what stands behind the value becomes the handler.
        let cut = begins && quote && after.is_empty() && equals + 1 >= end;
        if quote && call || known || cut {
            add(best, "xss-attribute", 85);
        } else if call
            && COMMON_HANDLERS.contains(&name)
            && stands_alone(&text[..equals - spaces - name_length], after)
        {
            add(best, "xss-attribute", 65);
        } else if (first || gap > 0)
            && call
            && [
                &b"alert"[..],
                b"\"alert",
                b"'alert",
                b"prompt(",
                b"confirm(",
                b"eval(",
                b"print()",
                b"javascript:",
            ]
            .iter()
            .any(|name| called.starts_with(name))
        {
            add(best, "xss-attribute", 70);
        }
        if best.certain() {
            return;
        }
    }
}

/// Handlers that need nobody to do anything, or hardly anything.
pub(super) const COMMON_HANDLERS: [&[u8]; 17] = [
    b"onerror",
    b"onload",
    b"onfocus",
    b"onclick",
    b"onmouseover",
    b"onmousemove",
    b"onmouseenter",
    b"ontoggle",
    b"onstart",
    b"onbegin",
    b"onblur",
    b"onchange",
    b"onkeydown",
    b"onpointerover",
    b"onfocusin",
    b"onpageshow",
    b"onanimationend",
];
