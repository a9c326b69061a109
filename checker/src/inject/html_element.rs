//! Elements of HTML, and declarations.

use super::{Best, Class, contains, html::add, html_attribute::is_handler};

/// Elements that run or load something by being there.
pub(super) fn element(name: &[u8]) -> u16 {
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
pub(super) fn ordinary(name: &[u8]) -> bool {
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

pub(super) fn declaration(rest: &[u8], best: &mut Best) {
    // So much of it only: a text may be full of them.
    let rest = &rest[..rest.len().min(512)];
    if rest.starts_with(b"?xml-stylesheet")
        && (contains(rest, b"script:") || contains(rest, b"data:") || contains(rest, b"href"))
    {
        add(best, "xss-stylesheet", 70);
    }
    if rest.starts_with(b"?import") || (rest.starts_with(b"!--[if") && contains(rest, b"<script")) {
        add(best, "xss-import", 80);
    }
    if rest.starts_with(b"? echo") {
        best.add(Class::Code, "code-opened", 70);
    }
    // <!ATTLIST img onerror CDATA "…">: an attribute that every element of that name gets.
    let attributes =
        rest.starts_with(b"!attlist") || rest.starts_with(b"!doctype") && contains(rest, b"<!attlist");
    if attributes
        && super::places(rest, b" on").take(16).any(|at| {
            let name = rest[at + 1..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
            is_handler(&rest[at + 1..at + 1 + name])
                && super::trim_start(&rest[at + 1 + name..]).starts_with(b"cdata")
        })
    {
        add(best, "xss-handler", 80);
    }
    if rest.starts_with(b"![cdata[<]]") {
        add(best, "xss-cdata", 70);
    }
}
