//! HTML: tags that run something, attributes that do, and values that leave an attribute.

use super::{
    Best, Class, Kind, Text, contains,
    css::{sheet, style},
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
    let marked =
        text.scan.byte(bytes::QUOTE | bytes::BACKTICK | bytes::SLASH) || text.scan.word(words::SCRIPT);
    if text.scan.byte(bytes::EQUALS) && marked && text.kind != Kind::Header {
        broken_out(lower, best);
    }
    if text.scan.word(words::SCRIPT)
        && text.scan.byte(bytes::EQUALS)
        && lower.len() <= 512
        && contains(lower, b"style")
        && contains(&without_noise(lower), b":expression(")
    {
        add(best, "xss-style", 70);
    }
    if text.scan.word(words::SCRIPT) && contains(lower, b"+adw-") {
        add(best, "xss-utf7", 80);
    }
}

/// Elements that run or load something by being there.
fn element(name: &[u8]) -> u16 {
    match name {
        b"script" => 90,
        b"iframe" | b"frame" | b"frameset" | b"object" | b"embed" | b"applet" | b"isindex" | b"bgsound"
        | b"layer" | b"ilayer" | b"xss" | b"vmlframe" | b"noembed" | b"listing" | b"plaintext" | b"xmp"
        | b"portal" | b"import" | b"handler" | b"listener" | b"base" | b"meta" | b"link" | b"animate"
        | b"set" | b"animatetransform" | b"foreignobject" | b"annotation-xml" | b"maction" | b"keygen"
        | b"noscript" | b"rdf" | b"animatemotion" | b"feimage" | b"xml" => 40,
        _ => 0,
    }
}

/// Whether HTML has an element of this name that documents and comments hold.
fn ordinary(name: &[u8]) -> bool {
    matches!(
        name,
        b"a" | b"abbr"
            | b"address"
            | b"article"
            | b"aside"
            | b"audio"
            | b"b"
            | b"blockquote"
            | b"body"
            | b"br"
            | b"button"
            | b"canvas"
            | b"caption"
            | b"center"
            | b"cite"
            | b"code"
            | b"col"
            | b"dd"
            | b"del"
            | b"details"
            | b"div"
            | b"dl"
            | b"dt"
            | b"em"
            | b"figure"
            | b"font"
            | b"footer"
            | b"form"
            | b"h1"
            | b"h2"
            | b"h3"
            | b"h4"
            | b"h5"
            | b"h6"
            | b"head"
            | b"header"
            | b"hr"
            | b"html"
            | b"i"
            | b"img"
            | b"input"
            | b"kbd"
            | b"label"
            | b"li"
            | b"main"
            | b"mark"
            | b"nav"
            | b"ol"
            | b"option"
            | b"p"
            | b"path"
            | b"picture"
            | b"pre"
            | b"q"
            | b"s"
            | b"section"
            | b"select"
            | b"small"
            | b"source"
            | b"span"
            | b"strong"
            | b"style"
            | b"sub"
            | b"summary"
            | b"sup"
            | b"svg"
            | b"table"
            | b"tbody"
            | b"td"
            | b"template"
            | b"textarea"
            | b"th"
            | b"thead"
            | b"time"
            | b"title"
            | b"tr"
            | b"u"
            | b"ul"
            | b"video"
    )
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
            && known.iter().any(|name| after.starts_with(name))
            && contains(&rest[1..rest.len().min(200)], b"<")
        {
            add(best, "xss-closed-element", 60);
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
    // Control characters between '<' and the name are dropped by some readers.
    let blank = rest.iter().take(4).take_while(|byte| **byte < b' ').count();
    let name_length = rest[blank..]
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(**byte, b'-' | b':' | b'_'))
        .count();
    if name_length == 0 || !rest[blank].is_ascii_alphabetic() {
        return 1;
    }
    let full = &rest[blank..blank + name_length];
    let name = full.rsplit(|byte| *byte == b':').next().unwrap_or(full);
    let mut at = blank + name_length;
    let base = element(name);
    // A name with control characters in it, which some readers drop.
    if rest.get(at) == Some(&0) && contains(&without_noise(&rest[..rest.len().min(24)]), b"script>") {
        add(best, "xss-script", 85);
    }
    if name == b"script" {
        // A word of a sentence about scripts: "the <script> tag".
        let body = &rest[at..];
        let sentence = body.starts_with(b"> tag")
            || body.starts_with(b"> element")
            || body.starts_with(b">` ")
            || (body.starts_with(b">") && body.len() <= 2);
        // A type argument: parse::<Script>()
        let generic = start > 0
            && (super::is_word(text.lower[start - 1]) || text.lower[start - 1] == b':')
            && matches!(body, [b'>', b'(' | b',' | b'>' | b' ' | b';' | b')', ..]);
        // Words of a sentence behind it, and nothing that a script would have.
        let body = &body[..body.len().min(160)];
        let code = body.len() <= 2
            || body.iter().any(|byte| matches!(byte, b'(' | b'=' | b'`' | b';' | b'[' | b'{' | b'+'))
            || contains(body, b"</")
            || !contains(body, b" ");
        add(best, "xss-script", if sentence || generic || !code { 50 } else { base });
        return at + 1;
    }
    let mut tag = Tag { name, base, ordinary: ordinary(name), length: 0 };
    // Up to the end of the tag, or where another begins that is not within quotes.
    while let Some(step) = attribute(&rest[at..], &mut tag, best) {
        at += step;
    }
    if name == b"style" {
        sheet(&rest[at..], best);
    }
    if base > 0 && tag.length == 0 && matches!(name, b"plaintext" | b"isindex" | b"xss" | b"frameset") {
        add(best, "xss-element", 60);
    }
    at + 1
}

/// What of a tag was read.
pub(super) struct Tag<'t> {
    pub(super) name: &'t [u8],
    base: u16,
    pub(super) ordinary: bool,
    /// Attributes.
    length: usize,
}

fn declaration(rest: &[u8], best: &mut Best) {
    if rest.starts_with(b"?xml-stylesheet")
        && (contains(rest, b"script:") || contains(rest, b"data:") || contains(rest, b"href"))
    {
        add(best, "xss-stylesheet", 70);
    }
    if rest.starts_with(b"?import") || (rest.starts_with(b"!--[if") && contains(rest, b"<script")) {
        add(best, "xss-import", 80);
    }
    if rest.starts_with(b"![cdata[<]]") {
        add(best, "xss-cdata", 70);
    }
}

/// One attribute; `None` at the end of the tag.
fn attribute(text: &[u8], tag: &mut Tag<'_>, best: &mut Best) -> Option<usize> {
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
    let slash = usize::from(name.starts_with(b"on") && text[at..].starts_with(b"/="));
    let gap = slash + text[at + slash..].iter().take_while(|byte| **byte <= b' ' || **byte >= 0x7f).count();
    // A name that is followed by escapes of white space, as in onerror\x0b=…
    let escaped = name
        .iter()
        .position(|byte| matches!(byte, b'\\' | b'!' | b'#' | b'$' | b'%' | b'&' | b'('))
        .unwrap_or(name.len());
    tag.length += 1;
    if text.get(at + gap) != Some(&b'=') {
        return Some(at);
    }
    at += gap + 1;
    at += text[at..].iter().take_while(|byte| **byte <= b' ').count();
    let (value, length) = value(&text[at..]);
    judge_attribute(&name[..escaped], value, tag, best);
    Some(at + length)
}

fn value(text: &[u8]) -> (&[u8], usize) {
    match text.first() {
        Some(&quote @ (b'"' | b'\'' | b'`')) => {
            let length = memchr::memchr(quote, &text[1..]).unwrap_or(text.len() - 1);
            (&text[1..=length], (length + 2).min(text.len()))
        }
        _ => {
            let length =
                text.iter().take_while(|byte| !matches!(**byte, b' ' | b'\t' | b'\n' | b'\r' | b'>')).count();
            (&text[..length], length)
        }
    }
}

fn judge_attribute(name: &[u8], value: &[u8], tag: &Tag<'_>, best: &mut Best) {
    if is_handler(name) && !value.is_empty() {
        // React's and its like: {handler} without a call is code of a page, and no page runs it.
        let bound = value.starts_with(b"{")
            && !value.iter().take_while(|byte| **byte != b'}').any(|byte| matches!(byte, b'(' | b'`' | b'='));
        let arrow = value.starts_with(b"{(") || value.starts_with(b"{e") || value.starts_with(b"{()");
        add(best, "xss-handler", if bound || arrow { 50 } else { 90 });
        return;
    }
    if value.starts_with(b"&{") {
        add(best, "xss-url", 70);
    }
    let local = name.rsplit(|byte| *byte == b':').next().unwrap_or(name);
    match local {
        b"srcdoc" => add(best, "xss-frame", 85),
        b"style" => style(value, tag, best),
        b"href" | b"src" | b"action" | b"formaction" | b"data" | b"background" | b"poster" | b"dynsrc"
        | b"lowsrc" | b"values" | b"to" | b"from" | b"code" | b"codebase" | b"content" | b"value"
        | b"handler" | b"folder" | b"implementation" | b"attributename" | b"url" | b"cite" | b"archive"
        | b"classid" | b"longdesc" | b"profile" | b"usemap" | b"manifest" | b"xmlns" | b"begin" | b"by"
        | b"allowscriptaccess" | b"longdescription" => {
            if runs(value) || (local == b"content" && contains(value, b"script:")) {
                add(best, "xss-url", 95);
            } else if local == b"attributename"
                && (value.starts_with(b"on")
                    || value.starts_with(b"innerhtml")
                    || value.starts_with(b"href")
                    || value.starts_with(b"xlink"))
            {
                add(best, "xss-animation", 80);
            } else if tag.base > 0 {
                loaded(local, value, tag, best);
            }
        }
        b"type" if tag.name == b"style" && contains(value, b"script") => add(best, "xss-style", 70),
        b"http-equiv" if matches!(value.trim_ascii(), b"refresh" | b"set-cookie" | b"link") => {
            add(best, "xss-meta", 65);
        }
        b"charset" if tag.name == b"meta" && contains(value, b"utf-7") => add(best, "xss-meta", 80),
        b"datasrc" | b"dataformatas" | b"seeksegmenttime" => add(best, "xss-binding", 70),
        b"event" | b"observer" if name.starts_with(b"ev:") || tag.name == b"listener" => {
            add(best, "xss-handler", 80);
        }
        _ => {}
    }
}

/// What elements load that run what they load.
fn loaded(name: &[u8], value: &[u8], tag: &Tag<'_>, best: &mut Best) {
    let remote = contains(value, b"//") || value.starts_with(b"data:");
    match (tag.name, name) {
        (b"iframe" | b"frame", b"src") => {
            // Players that documents embed.
            let player = [
                &b"youtube"[..],
                b"vimeo.com",
                b"google.com/maps",
                b"spotify.com",
                b"codepen.io",
                b"codesandbox",
            ];
            let known = player.iter().any(|host| contains(value, host));
            add(best, "xss-frame", if known { 40 } else { 65 });
        }
        (b"object" | b"embed" | b"applet" | b"bgsound" | b"portal" | b"layer" | b"ilayer" | b"import", _) => {
            add(best, "xss-object", 70);
        }
        (b"base", b"href") if remote => add(best, "xss-base", 80),
        (b"link", b"href") if remote && !contains(value, b"fonts.g") => add(best, "xss-link", 62),
        (b"xml", b"src")
        | (b"set" | b"animate" | b"animatetransform" | b"handler" | b"listener" | b"feimage", _) => {
            add(best, "xss-animation", 60);
        }
        _ => {}
    }
}

/// Without comments, backslashes and white space, which styles and URLs may have within words.
pub(super) fn without_noise(value: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(value.len());
    let mut at = 0;
    while let Some(&byte) = value.get(at) {
        if value[at..].starts_with(b"/*") {
            at += 2 + memchr::memmem::find(&value[at + 2..], b"*/").map_or(0, |length| length + 2);
        } else {
            if byte > b' ' && byte != b'\\' && byte != 0x7f {
                plain.push(byte);
            }
            at += 1;
        }
    }
    plain
}

/// Whether a URL runs a script: `javascript:` and its like, with whatever readers drop from it.
pub(super) fn runs(value: &[u8]) -> bool {
    let mut scheme = [0_u8; 24];
    let mut length = 0;
    for &byte in value.iter().take(96) {
        if byte <= b' ' || byte >= 0x7f || matches!(byte, b'\\' | b'"' | b'\'' | b'`') {
            continue;
        }
        if length == scheme.len() {
            break;
        }
        scheme[length] = byte;
        length += 1;
    }
    let scheme = &scheme[..length];
    let scheme = scheme
        .strip_prefix(b"url(")
        .or_else(|| scheme.strip_prefix(b"view-source:"))
        .or_else(|| scheme.strip_prefix(b"feed:"))
        .unwrap_or(scheme);
    [
        &b"javascript:"[..],
        b"vbscript:",
        b"livescript:",
        b"mocha:",
        b"jscript:",
        b"data:text/html",
        b"data:text/javascript",
        b"data:text/xml",
        b"data:image/svg+xml",
        b"data:application/x",
        b"data:,",
        b"data:;",
        b"data:xml",
        b"javascript&",
    ]
    .iter()
    .any(|known| scheme.starts_with(known))
}

/// Whether an attribute's name is that of a handler: `on` and letters.
pub(super) fn is_handler(name: &[u8]) -> bool {
    let name = name.strip_prefix(b"svg").or_else(|| name.strip_prefix(b"xlink")).unwrap_or(name);
    (5..=32).contains(&name.len())
        && name.starts_with(b"on")
        && name[2..].iter().all(u8::is_ascii_alphanumeric)
}

/// A handler behind a quote: the value left the attribute that it stood in.
fn broken_out(text: &[u8], best: &mut Best) {
    for equals in memchr::memchr_iter(b'=', text) {
        // The name before it, and what stands before that, within a few bytes.
        let before = &text[equals.saturating_sub(40)..equals];
        let before = &before[..before.len() - before.iter().rev().take_while(|byte| **byte <= b' ').count()];
        let name_length = before.iter().rev().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        let (lead, name) = before.split_at(before.len() - name_length);
        if !is_handler(name) || text.get(equals + 1) == Some(&b'=') {
            continue;
        }
        let gap = lead.iter().rev().take_while(|byte| **byte <= b' ' || **byte == b'/').count();
        let quote = matches!(lead.get(lead.len().wrapping_sub(gap + 1)), Some(b'"' | b'\'' | b'`'));
        let after = &text[equals + 1..text.len().min(equals + 80)];
        let call = after.iter().any(|byte| matches!(byte, b'(' | b'`' | b'['))
            || contains(after, b"script:")
            || contains(after, b"location");
        let first = super::trim_start(&text[..equals]).len() == name_length;
        if quote && call {
            add(best, "xss-attribute", 85);
        } else if (first || gap > 0)
            && call
            && [&b"alert"[..], b"\"alert", b"'alert", b"prompt(", b"confirm(", b"eval(", b"javascript:"]
                .iter()
                .any(|name| after.starts_with(name))
        {
            add(best, "xss-attribute", 70);
        }
        if best.certain() {
            return;
        }
    }
}
