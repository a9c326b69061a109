//! Pieces of HTML: the rest of a tag or of a script that a value did not begin, what is cut off, and what a filter has gone over.

use super::{
    Best, Text, contains,
    html::{COMMON_HANDLERS, Tag, add, attribute},
    html_attribute::{is_handler, runs},
    html_element::{element, ordinary},
    is_word, places,
    scan::bytes,
    script::tells,
};

/// A short value that names a script, a page's own or a call.
pub(super) fn judge(text: &Text<'_>, best: &mut Best) {
    let lower = text.lower;
    if text.scan.byte(bytes::EQUALS) && text.scan.byte(bytes::GREATER) {
        rest_of_tag(lower, best);
    }
    if text.scan.byte(bytes::EQUALS) && !text.scan.byte(bytes::LESS) && refreshes(lower) {
        add(best, "xss-meta", 65);
    }
    if text.scan.byte(bytes::BRACKET) && text.scan.byte(bytes::COLON) && linked(lower) {
        add(best, "xss-url", 70);
    }
    if text.scan.byte(bytes::CONTROL)
        && text.scan.byte(bytes::PAREN)
        && lower.len() <= 256
        && in_comment(lower)
    {
        add(best, "xss-call", 65);
    }
    if text.scan.byte(bytes::LESS) && lower.len() <= 256 && rest_of_script(lower) {
        add(best, "xss-closed-element", 65);
    }
    if text.scan.byte(bytes::GREATER)
        && text.scan.byte(bytes::PAREN)
        && lower.len() <= 256
        && rest_of_handler(lower)
    {
        add(best, "xss-closed-element", 65);
    }
}

/// The attributes of a tag whose beginning is not in the value: `x" src="javascript:f()">`. Handlers are looked for elsewhere.
fn rest_of_tag(text: &[u8], best: &mut Best) {
    let Some(end) = memchr::memchr2(b'>', b'<', text).filter(|end| text[*end] == b'>') else { return };
    // An arrow, or what is compared.
    if text[..end].ends_with(b"=") || text[end + 1..].starts_with(b"=") {
        return;
    }
    let mut found = Best::default();
    let mut tag = Tag { name: b"", base: 0, ordinary: true, length: 0, content: false };
    let mut at = 0;
    while let Some(step) = attribute(&text[at..], &mut tag, &mut found) {
        at += step;
    }
    if let Some(hit) =
        found.0.filter(|hit| matches!(hit.rule, "xss-url" | "xss-style" | "xss-frame" | "xss-binding"))
    {
        best.add(hit.class, hit.rule, hit.score.min(70));
    }
}

/// The attributes of a `meta` that goes to another page, whose tag is not in the value: `http-equiv=refresh content="0;url=//b.example"`.
fn refreshes(text: &[u8]) -> bool {
    let Some(at) = super::find(text, b"http-equiv").filter(|at| *at <= 96) else { return false };
    if !contains(text, b"url=") || contains(text, b">") && !text.trim_ascii_end().ends_with(b">") {
        return false;
    }
    // A sentence has words before it.
    let before = &text[..at];
    if at > 16 && !contains(before, b"content") || memchr::memchr_iter(b' ', before).nth(3).is_some() {
        return false;
    }
    let mut found = Best::default();
    let mut tag =
        Tag { name: b"meta", base: 40, ordinary: false, length: 0, content: contains(text, b"content=") };
    let mut at = 0;
    while let Some(step) = attribute(&text[at..], &mut tag, &mut found) {
        at += step;
    }
    found.0.is_some_and(|hit| matches!(hit.rule, "xss-meta" | "xss-url"))
}

/// A link to a script as forums and wikis write links: `[url=javascript:f(1)]b[/url]`, `[img]javascript:f(1)[/img]`, `[b](javascript:f(1))`.
fn linked(text: &[u8]) -> bool {
    let url = |from: usize| {
        let url = &text[from..];
        let url = url.strip_prefix(b"\"").or_else(|| url.strip_prefix(b"'")).unwrap_or(url);
        let called = url.iter().take(48).any(|byte| matches!(byte, b'(' | b'`' | b'<'));
        // An image that is written where it stands.
        let image =
            url.starts_with(b"data:image/svg") && !contains(url, b"script") && !contains(url, b"onload");
        called && !image && !contains(&url[..url.len().min(24)], b":void(") && runs(url)
    };
    text.contains(&b'[')
        && ([&b"[url="[..], b"[img=", b"[link=", b"[email="]
            .iter()
            .any(|name| places(text, name).take(8).any(|at| url(at + name.len())))
            || memchr::memchr_iter(b']', text).take(8).any(|at| {
                let rest = &text[at + 1..];
                url(at + 1 + usize::from(rest.first() == Some(&b'(')))
            }))
}

/// A call on a line of its own, beside lines that begin or end a comment of HTML.
fn in_comment(text: &[u8]) -> bool {
    let (mut marks, mut calls) = (0, 0);
    for line in text.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii) {
        let shown = [&b"alert("[..], b"confirm(", b"prompt("].iter().any(|call| line.starts_with(call));
        if line.starts_with(b"<!--") || line.starts_with(b"-->") {
            marks += 1;
        } else if shown && !tells(line) {
            calls += 1;
        } else if line.len() > 2 {
            return false;
        }
    }
    marks > 0 && calls > 0
}

/// Whether a name that stands apart from its `<` is an element's with attributes, or is closed at once.
pub(super) fn parted(text: &[u8], length: usize) -> bool {
    let (name, rest) = text.split_at(length);
    let blanks = rest.iter().take(4).take_while(|byte| **byte <= b' ').count();
    let known =
        element(name) > 0 || matches!(name, b"a" | b"img" | b"svg" | b"body" | b"input" | b"video" | b"math");
    let rest = &rest[blanks..];
    let attribute = rest.iter().take(24).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    known
        && if name == b"script" {
            rest.starts_with(b">") || rest.starts_with(b"src=")
        } else {
            blanks > 0
                && attribute > 1
                && rest.get(attribute) == Some(&b'=')
                && rest.get(attribute + 1) != Some(&b'=')
        }
}

/// The end of a handler, or of a URL that runs, and of its tag, which are not begun in the value: `alert(1)"></b>`.
fn rest_of_handler(text: &[u8]) -> bool {
    let Some(end) = memchr::memchr2(b'>', b'<', text).filter(|end| text[*end] == b'>') else { return false };
    let body = text[..end].trim_ascii_end();
    let body = body.strip_suffix(b"/").unwrap_or(body);
    [&b"alert("[..], b"confirm(", b"prompt(", b"eval("].iter().any(|call| {
        super::find(body, call).is_some_and(|at| {
            let word = at > 0 && is_word(body[at - 1]);
            let call = &body[at..];
            let closed = [&b")\""[..], b")'", b");\"", b");'"].iter().any(|close| contains(call, close));
            // A sentence tells of it, and code compares.
            !word && closed && !tells(call) && !contains(&body[..at], b" ")
        })
    })
}

/// The end of a script without its beginning, behind what a script has, or behind a tag that loads one: `src="b.js"></script>`, `f(1)</script>`.
fn rest_of_script(text: &[u8]) -> bool {
    let Some(end) = super::find(text, b"</script") else { return false };
    let body = text[..end].trim_ascii_end();
    let named = text.get(end + 8).is_some_and(|byte| is_word(*byte) || matches!(byte, b'.' | b'-'));
    if named || text.contains(&b'\n') || contains(body, b"<script") {
        return false;
    }
    let loads = body.ends_with(b">")
        && [&b"src="[..], b"//", b".js\">", b".js'>"].iter().any(|piece| contains(body, piece));
    let runs = body.ends_with(b"//<")
        || matches!(body.last(), Some(b';' | b')' | b'}' | b'`' | b'/'))
            && body.iter().any(|byte| matches!(byte, b'(' | b'=' | b'`'));
    loads || runs
}

/// What is left of a script when a filter took its brackets (`scriptf(1)/script`), or of a tag without its beginning (`alt=alert(1)">`): there is
/// no `<` in it, but the end of what one began.
pub(super) fn stripped(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    if text.contains(&b'<') {
        return false;
    }
    let inner = super::find(text, b"/script").and_then(|end| {
        let start = super::find(&text[..end], b"script")?;
        let before = start.checked_sub(1).map(|at| text[at]);
        let named = text.get(end + 7).is_some_and(|byte| is_word(*byte));
        (!named
            && end <= start + 96
            && !before.is_some_and(|byte| is_word(byte) || matches!(byte, b'/' | b'.' | b'-')))
        .then(|| &text[start + 6..end])
    });
    let inner = inner.filter(|inner| !inner.contains(&b' ') || text.starts_with(b"script"));
    let called = [&b"=alert("[..], b"=\"alert(", b"='alert(", b"=confirm(", b"=prompt(", b"=eval("];
    let called_only = [&b"alert("[..], b"confirm(", b"prompt("].iter().any(|call| text.starts_with(call));
    inner.is_some_and(|inner| inner.iter().any(|byte| matches!(byte, b'(' | b'=' | b'`')))
        || called_only
            && !tells(text)
            && super::find(text, b")").is_some_and(|end| {
                let rest = text[end + 1..].strip_prefix(b";").unwrap_or(&text[end + 1..]);
                rest.starts_with(b">")
            })
        || text.ends_with(b">") && called.iter().any(|call| contains(text, call))
        || places(text, b"javascript:").take(8).any(|at| {
            let (before, url) = (&text[..at], &text[at + 11..]);
            let before = before.strip_suffix(b"\"").or_else(|| before.strip_suffix(b"'")).unwrap_or(before);
            let addressed = before.strip_suffix(b"=").is_some_and(|before| {
                let name = before.iter().rev().take(16).take_while(|byte| is_word(**byte)).count();
                ADDRESSED.contains(&&before[before.len() - name..])
            });
            addressed
                && !url.starts_with(b"void(")
                && url.iter().take(40).any(|byte| matches!(byte, b'(' | b'`'))
        })
}

/// Attributes of which a browser reads a URL.
const ADDRESSED: [&[u8]; 6] = [b"src", b"href", b"action", b"formaction", b"data", b"background"];

/// Whether a handler is the whole value, or the last of attributes that are: `src=b onerror=f(1)`. `before` is what stands before its name.
pub(super) fn stands_alone(before: &[u8], after: &[u8]) -> bool {
    let attributes = before.len() <= 64
        && before.split(|byte| *byte <= b' ' || *byte == b'/').filter(|word| !word.is_empty()).all(|word| {
            word.len() == 1
                || word.contains(&b'=')
                || element(word) > 0
                || ordinary(word)
                || word == b"autofocus"
        })
        && before.last().is_none_or(|byte| *byte <= b' ' || *byte == b'/');
    // Code of a page has functions there, and a sentence goes on.
    let code = [&b"function"[..], b"{", b"async", b"(e", b"(event)=>", b"()=>"]
        .iter()
        .any(|start| after.starts_with(start));
    attributes && !code && !contains(after, b"=>") && !contains(after, b" ") && !contains(after, b"\n")
}

/// Elements of which an attribute that loads something makes an attack.
const GLUED: [&[u8]; 8] =
    [b"href", b"src", b"data", b"implementation", b"code", b"classid", b"srcdoc", b"formaction"];

/// Whether a tag's name is an element's and an attribute's, between which a filter took what separated them: `<svgonload=`, `<iframesrc=`.
pub(super) fn glued(name: &[u8]) -> bool {
    (1..name.len()).any(|at| {
        let (first, second) = name.split_at(at);
        (element(first) > 0 || ordinary(first) || first == b"script")
            && (is_handler(second) && COMMON_HANDLERS.contains(&second)
                || (element(first) > 0) && GLUED.contains(&second))
    })
}

/// Whether an element's name is written letter by letter: `<f o r m`, `<s c r i p t>`.
pub(super) fn spelled(text: &[u8]) -> bool {
    const SPELLED: [&[u8]; 12] = [
        b"script", b"iframe", b"object", b"embed", b"form", b"frame", b"style", b"link", b"meta", b"input",
        b"body", b"image",
    ];
    let mut name = [0_u8; 8];
    let mut length = 0;
    let mut at = 0;
    while let Some(&letter) = text.get(at).filter(|byte| byte.is_ascii_lowercase()) {
        if length == name.len() || text.get(at + 1).is_some_and(|byte| is_word(*byte)) {
            return false;
        }
        name[length] = letter;
        length += 1;
        at += 1;
        at += text[at..].iter().take(4).take_while(|byte| **byte <= b' ').count();
    }
    SPELLED.contains(&&name[..length])
}
