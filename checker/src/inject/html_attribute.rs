//! Attributes of HTML: those that run or load something.

use super::{
    Best, Class, contains,
    css::style,
    html::{Tag, add},
    script_value,
};

/// `behind` is what follows the attribute.
pub(super) fn judge_attribute(name: &[u8], value: &[u8], behind: &[u8], tag: &Tag<'_>, best: &mut Best) {
    let local = name.rsplit(|byte| *byte == b':').next().unwrap_or(name);
    if (is_handler(name) || is_handler(local)) && !value.is_empty() {
        // React's and its like: {handler} without a call is code of a page, and no page runs it.
        let bound = value.starts_with(b"{")
            && !value.iter().take_while(|byte| **byte != b'}').any(|byte| matches!(byte, b'(' | b'`' | b'='));
        let arrow = value.starts_with(b"{(") || value.starts_with(b"{e") || value.starts_with(b"{()");
        add(best, "xss-handler", if bound || arrow { 50 } else { 90 });
        return;
    }
    // What libraries run that find handlers of their own in a page: Vue, Alpine, htmx, Angular.
    let bound = name.starts_with(b"@")
        || [&b"v-"[..], b"x-", b"hx-on", b"ng-", b"data-ng-", b"on:"].iter().any(|own| name.starts_with(own));
    if bound && script_value::shown(value) {
        add(best, "xss-handler", 70);
    }
    if value.starts_with(b"&{") {
        add(best, "xss-url", 70);
    }
    match local {
        b"srcdoc" => add(best, "xss-frame", 85),
        // Where a form is sent, or who is told that a link was followed, at another host.
        b"formaction" | b"ping" if is_remote(value) => add(best, "xss-form", 65),
        b"schemalocation" if is_elsewhere(value) => best.add(Class::Xxe, "xxe-schema", 65),
        b"style" => style(value, tag, best),
        b"href" | b"src" | b"action" | b"formaction" | b"data" | b"background" | b"poster" | b"dynsrc"
        | b"lowsrc" | b"values" | b"to" | b"from" | b"code" | b"codebase" | b"content" | b"value"
        | b"handler" | b"folder" | b"implementation" | b"attributename" | b"url" | b"cite" | b"archive"
        | b"classid" | b"longdesc" | b"profile" | b"usemap" | b"manifest" | b"xmlns" | b"begin" | b"by"
        | b"allowscriptaccess" | b"longdescription" => {
            if runs(value)
                || behind.is_empty() && begun(value)
                || (local == b"content" && contains(value, b"script:"))
                || runs_later(value)
            {
                add(best, "xss-url", 95);
            } else if [&b"alert("[..], b"confirm(", b"prompt("].iter().any(|call| value.starts_with(call)) {
                add(best, "xss-url", 65);
            } else if local == b"href" && hides_host(value) {
                add(best, "xss-host", 70);
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
        b"type"
            if tag.name == b"style" && contains(value, b"script")
                || tag.name == b"link" && contains(value, b"javascript") =>
        {
            add(best, "xss-style", 70);
        }
        // Without the other half, that says where to and when, it is named and not used.
        b"http-equiv"
            if matches!(value.trim_ascii(), b"refresh" | b"set-cookie" | b"link")
                && (tag.content || behind.is_empty() || has_content(behind)) =>
        {
            add(best, "xss-meta", 65);
        }
        b"charset" if tag.name == b"meta" && ODD_CHARSETS.iter().any(|name| contains(value, name)) => {
            add(best, "xss-meta", 80);
        }
        b"expr" if contains(value, b"alert(") || contains(value, b"activexobject") => {
            add(best, "xss-handler", 80);
        }
        b"datasrc" | b"dataformatas" | b"seeksegmenttime" => add(best, "xss-binding", 70),
        b"event" | b"observer" if name.starts_with(b"ev:") || tag.name == b"listener" => {
            add(best, "xss-handler", 80);
        }
        // Nobody but an attacker has a script's URL in any other.
        b"title" | b"alt" | b"placeholder" | b"label" | b"name" | b"summary" => {}
        _ if value.len() > 11 && runs(value) && !value.starts_with(b"data:") => add(best, "xss-url", 80),
        _ => {}
    }
}

/// Whether a URL has a host of its own.
fn is_remote(value: &[u8]) -> bool {
    let rest = value.strip_prefix(b"https:").or_else(|| value.strip_prefix(b"http:")).unwrap_or(value);
    rest.strip_prefix(b"//").is_some_and(|host| host.first().is_some_and(u8::is_ascii_alphanumeric))
}

/// Whether a schema is at another host than the names that it describes (XML Schema 1.1, part 1, section 4.3.2): reading the document fetches it.
fn is_elsewhere(value: &[u8]) -> bool {
    let host = |url: &'_ [u8]| -> Option<Vec<u8>> {
        let rest = url.strip_prefix(b"http://").or_else(|| url.strip_prefix(b"https://"))?;
        let end =
            rest.iter().position(|byte| matches!(byte, b'/' | b':' | b'?' | b'#')).unwrap_or(rest.len());
        // The last two names of it.
        let dots = memchr::memrchr_iter(b'.', &rest[..end]).nth(1).map_or(0, |dot| dot + 1);
        Some(rest[dots..end].to_vec())
    };
    let mut words = value.split(|byte| *byte <= b' ').filter(|word| !word.is_empty());
    match (words.next(), words.next(), words.next()) {
        (Some(name), Some(place), None) => match (host(name), host(place)) {
            (Some(name), Some(place)) => name != place,
            _ => false,
        },
        _ => false,
    }
}

/// Whether the rest of a tag has an attribute `content`.
fn has_content(behind: &[u8]) -> bool {
    let behind = &behind[..behind.len().min(128)];
    let end = behind.iter().position(|byte| matches!(byte, b'>' | b'<')).unwrap_or(behind.len());
    contains(&behind[..end], b"content")
}

/// Encodings in which other bytes than ASCII's write `<`.
const ODD_CHARSETS: [&[u8]; 6] = [b"utf-7", b"utf7", b"x-mac", b"mac-", b"hz-gb", b"iso-2022"];

/// A URL with a script's URL in it, behind what readers drop: CDATA marks, or letters that were meant to be dropped.
fn runs_later(value: &[u8]) -> bool {
    let called = |from: usize| contains(&value[from..value.len().min(from + 64)], b"(");
    !value.starts_with(b"http") && super::places(value, b"javascript:").take(4).any(called)
        || contains(value, b"javas]]") && contains(value, b"cript:")
        || contains(value, b"javas<!") && contains(value, b"cript:")
}

/// Whether a URL writes its host so that nobody reads it: as one number, with octal or hexadecimal parts, or escaped.
fn hides_host(value: &[u8]) -> bool {
    let Some(start) = super::find(value, b"//").filter(|start| *start <= 8) else { return false };
    let host = &value[start + 2..value.len().min(start + 66)];
    let end = host.iter().position(|byte| matches!(byte, b'/' | b':' | b'?' | b'#')).unwrap_or(host.len());
    let host: Vec<u8> = host[..end].iter().copied().filter(|byte| *byte > b' ').collect();
    let escaped = host.windows(3).any(|part| {
        part[0] == b'%'
            && part[1].is_ascii_hexdigit()
            && part[2].is_ascii_hexdigit()
            && !part[1..].contains(&b'(')
    });
    let parts = || host.split(|byte| *byte == b'.');
    let number = |part: &[u8]| {
        part.first().is_some_and(u8::is_ascii_digit)
            && part.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'x')
    };
    let odd = |part: &[u8]| part.len() > 1 && part[0] == b'0' || part.len() >= 7;
    escaped || !host.is_empty() && parts().all(number) && parts().any(odd)
}

/// What elements load that run what they load.
fn loaded(name: &[u8], value: &[u8], tag: &Tag<'_>, best: &mut Best) {
    let remote = contains(value, b"//") || value.starts_with(b"data:");
    match (tag.name, name) {
        (b"iframe" | b"frame", b"src") if value.iter().any(u8::is_ascii_alphanumeric) => {
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
        (
            b"vmlframe" | b"object" | b"embed" | b"applet" | b"bgsound" | b"portal" | b"layer" | b"ilayer"
            | b"import",
            _,
        ) => {
            add(best, "xss-object", 70);
        }
        (b"base", b"href") if remote => add(best, "xss-base", 80),
        (b"link", b"href") if remote && !is_shared_style(value) => add(best, "xss-link", 62),
        (b"xml", b"src")
        | (b"set" | b"animate" | b"animatetransform" | b"handler" | b"listener" | b"feimage", _) => {
            add(best, "xss-animation", 60);
        }
        _ => {}
    }
}

/// Hosts of what registries of packages and of fonts hold, by which pages of documentation load their styles.
const SHARED: [&[u8]; 8] = [
    b"cdn.jsdelivr.net/",
    b"cdnjs.cloudflare.com/",
    b"code.jquery.com/",
    b"fonts.googleapis.com/",
    b"fonts.gstatic.com/",
    b"maxcdn.bootstrapcdn.com/",
    b"stackpath.bootstrapcdn.com/",
    b"unpkg.com/",
];

/// Whether a link is to a style, or a font, that such a host has.
fn is_shared_style(value: &[u8]) -> bool {
    let rest = value.strip_prefix(b"https:").or_else(|| value.strip_prefix(b"http:")).unwrap_or(value);
    rest.strip_prefix(b"//").is_some_and(|host| SHARED.iter().any(|shared| host.starts_with(shared)))
}

/// Without comments, backslashes and white space, which styles and URLs may have within words.
pub(super) fn without_noise(value: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(value.len());
    let (mut at, mut closed) = (0, true);
    while let Some(&byte) = value.get(at) {
        if value[at..].starts_with(b"/*") {
            // What is not closed once is not closed further on.
            let end = if closed { super::find(&value[at + 2..], b"*/") } else { None };
            closed = end.is_some();
            at += 2 + end.map_or(0, |length| length + 2);
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
        b"data:application/javascript",
        b"data:application/ecmascript",
        b"data:,",
        b"data:;",
        b"data:xml",
        b"javascript&",
    ]
    .iter()
    .any(|known| scheme.starts_with(known))
        // Of what a filter that takes `script` away once makes `javascript:`.
        || scheme.first() == Some(&b'j')
            && super::find(scheme, b"script").is_some_and(|at| {
                let (first, rest) = (&scheme[..at], &scheme[at + 6..]);
                b"javascript:".strip_prefix(first).is_some_and(|left| rest.starts_with(left))
            })
}

/// Whether a URL is cut off within the scheme of a script's.
fn begun(value: &[u8]) -> bool {
    let plain = without_noise(&value[..value.len().min(24)]);
    plain.len() >= 6 && (b"javascript:".starts_with(&plain) || b"vbscript:".starts_with(&plain))
}

/// Whether an attribute's name is that of a handler: `on` and letters.
pub(super) fn is_handler(name: &[u8]) -> bool {
    let name = name.strip_prefix(b"svg").or_else(|| name.strip_prefix(b"xlink")).unwrap_or(name);
    (5..=32).contains(&name.len())
        && name.starts_with(b"on")
        && name[2..].iter().all(u8::is_ascii_alphanumeric)
}
