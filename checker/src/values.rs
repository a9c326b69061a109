//! Every value of a request, decoded once, with its place: what checks of values judge. Nothing of a request that a server behind may read
//! as a value is left out; credentials, and headers that say nothing but how the request is framed, are.

use std::borrow::Cow;

use crate::{
    Place, Reason, Request,
    cookies::Cookie,
    json::{self, Event, Scalar},
    multipart,
    target::{self, Target},
    xml::{self, Node},
};

/// Headers whose values are no matter of values: the framing has judged them, or they are credentials, which other checks judge.
/// Cookies are shown one by one.
const PASSED_OVER: [&str; 9] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "cookie",
    "host",
    "proxy-authorization",
    "te",
    "transfer-encoding",
];

/// Whether the values of a header are shown to nobody.
pub(crate) fn is_passed_over(header: &str) -> bool {
    PASSED_OVER.iter().any(|name| name.eq_ignore_ascii_case(header))
}

/// To whom values are shown. `E` ends it.
pub(crate) type Show<'s, E> = dyn FnMut(&Place<'_>, &str) -> Result<(), E> + 's;

/// Segments of the path, and names and values of the query.
pub(crate) fn of_target<E>(target: &Target<'_>, show: &mut Show<'_, E>) -> Result<(), E> {
    for (segment, number) in target.segments.iter().zip(1..) {
        show(&Place::Path(number), segment)?;
    }
    for (name, value) in &target.query {
        show(&Place::QueryName, name)?;
        show(&Place::Query(name), value)?;
    }
    Ok(())
}

/// Values of headers, and cookies.
pub(crate) fn of_headers<E>(
    request: &Request<'_>,
    cookies: &[Cookie<'_>],
    show: &mut Show<'_, E>,
) -> Result<(), E> {
    for field in &request.headers {
        if !PASSED_OVER.iter().any(|name| field.is(name)) {
            show(&Place::Header(field.name), &text_of(field.value))?;
        }
    }
    for (name, value) in cookies {
        show(&Place::Cookie(name), value)?;
    }
    Ok(())
}

/// Bytes that are no UTF-8 are ISO 8859-1, as headers once were (RFC 9110, section 5.5).
fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().copied().map(char::from).collect()),
    }
}

/// Names of entries, strings, and numbers as they are written. `true`, `false` and `null` say nothing of their own.
pub(crate) fn of_json(body: &[u8], limits: &json::Limits, show: &mut Show<'_, Reason>) -> Result<(), Reason> {
    json::events(body, limits, &mut |steps, event, _| match event {
        Event::Name => match steps.last() {
            Some(json::Step::Name(name)) => show(&Place::JsonName(steps), name),
            _ => Ok(()),
        },
        Event::Scalar(Scalar::String(text)) => show(&Place::Json(steps), text),
        Event::Scalar(Scalar::Number(number)) => show(&Place::JsonNumber(steps), number),
        Event::Scalar(Scalar::Null | Scalar::Boolean(_)) | Event::Open { .. } | Event::Close => Ok(()),
    })
}

/// Texts and attributes. Names are of a grammar that has room for nothing else, and comments and instructions are no values.
pub(crate) fn of_xml(body: &[u8], limits: &xml::Limits, show: &mut Show<'_, Reason>) -> Result<(), Reason> {
    xml::read(body, limits, &mut |open, node| match node {
        Node::Text(text) => show(&Place::XmlText(open), text),
        Node::Attribute(name, value) => show(&Place::XmlAttribute(open, *name), value),
        Node::Element | Node::Comment(_) | Node::Instruction(..) => Ok(()),
    })
}

/// Names and values of fields.
pub(crate) fn of_form(
    body: &[u8],
    limits: &target::Limits,
    show: &mut Show<'_, Reason>,
) -> Result<(), Reason> {
    let fields = target::form(body, limits)?;
    for (name, value) in &fields {
        show(&Place::FormName, name)?;
        show(&Place::Form(name), value)?;
    }
    Ok(())
}

/// Names of parts and of files, and texts.
pub(crate) fn of_parts(
    content_type: &[u8],
    body: &[u8],
    limits: &multipart::Limits,
    show: &mut Show<'_, Reason>,
) -> Result<(), Reason> {
    for part in multipart::read(content_type, body, limits)? {
        show(&Place::FormName, part.name)?;
        if let Some(file) = part.file {
            show(&Place::PartFile(part.name), file)?;
        }
        for text in texts(part.body) {
            show(&Place::Part(part.name), text)?;
        }
    }
    Ok(())
}

/// A body without structure.
pub(crate) fn of_text<E>(body: &[u8], show: &mut Show<'_, E>) -> Result<(), E> {
    texts(body).try_for_each(|text| show(&Place::Body, text))
}

/// Shortest text between bytes that are none which is worth a look.
const SHORTEST: usize = 8;

/// All of it where it is text. Where it is not, what there is of text in it: one byte that is none hides nothing.
fn texts(bytes: &[u8]) -> impl Iterator<Item = &str> {
    let whole = str::from_utf8(bytes).ok();
    let runs = if whole.is_some() { &b""[..] } else { bytes };
    let long = |run: &&str| run.len() >= SHORTEST;
    whole
        .into_iter()
        .filter(|text| !text.is_empty())
        .chain(runs.utf8_chunks().map(|chunk| chunk.valid()).filter(long))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::{cookies, http1};

    #[test]
    fn every_value_of_a_head_is_shown_with_its_place() {
        let request = http1::read(
            b"GET /a/b%20c/?q=1+2&x%5B%5D= HTTP/1.1\r\nHost: h\r\nUser-Agent: u\r\nAuthorization: Bearer t\r\nX: \xe9\r\nCookie: c=d; e=f\r\n\r\n",
            &http1::Limits::default(),
        )
        .unwrap();
        let target = Target::read(request.method, request.target, &target::Limits::default()).unwrap();
        let cookies = cookies::read(request.version, &request.headers, &cookies::Limits::default()).unwrap();
        let mut shown = String::new();
        let mut show = |place: &Place<'_>, text: &str| writeln!(shown, "{place}: {text}");
        of_target(&target, &mut show).unwrap();
        of_headers(&request, &cookies, &mut show).unwrap();
        assert_eq!(
            shown,
            "path 1: a\npath 2: b c\npath 3: \nquery name: q\nquery q: 1 2\nquery name: x[]\nquery x[]: \nheader user-agent: u\nheader x: é\ncookie c: d\ncookie e: f\n"
        );
    }

    #[test]
    fn every_value_of_a_body_is_shown_with_its_place() {
        let mut shown = String::new();
        let mut show = |place: &Place<'_>, text: &str| {
            let _ = writeln!(shown, "{place}: {text}");
            Ok(())
        };
        of_json(br#"{"$a":[1,"b",{"c":{"d":"\u0065"}}],"f":{}}"#, &json::Limits::default(), &mut show)
            .unwrap();
        of_form(b"a=b+c&%64", &target::Limits::default(), &mut show).unwrap();
        let body = b"--b\r\nContent-Disposition: form-data; name=\"n\"; filename=\"x.txt\"\r\n\r\nshort\xffnot so short\xff\r\n--b--";
        of_parts(b"multipart/form-data; boundary=b", body, &multipart::Limits::default(), &mut show).unwrap();
        of_text(b"plain", &mut show).unwrap();
        assert_eq!(
            shown,
            "json name /$a: $a\njson /$a/0: 1\njson /$a/1: b\njson name /$a/2/c: c\njson name /$a/2/c/d: d\njson /$a/2/c/d: e\njson name /f: f\nform name: a\nform a: b c\nform name: d\nform d: \nform name: n\nfile name: x.txt\npart n: not so short\nbody: plain\n"
        );
    }

    #[test]
    fn of_xml_there_are_texts_and_attributes() {
        let mut shown = Vec::new();
        let body = b"<p:a xmlns:p='u' p:b='1'>2<!--3--><c/>&lt;</p:a>";
        let mut show = |place: &Place<'_>, text: &str| {
            shown.push(format!("{place}={text}"));
            Ok(())
        };
        of_xml(body, &xml::Limits::default(), &mut show).unwrap();
        assert_eq!(shown, ["xml attribute p=u", "xml attribute b=1", "xml a=2", "xml a=<"]);
    }

    #[test]
    fn showing_ends_where_it_is_told_to() {
        let mut shown = 0;
        let mut show = |_: &Place<'_>, _: &str| {
            shown += 1;
            if shown == 3 { Err(Reason::BodyUnread) } else { Ok(()) }
        };
        let read = of_json(br#"{"a":"b","c":"d","#, &json::Limits::default(), &mut show);
        assert_eq!((read, shown), (Err(Reason::BodyUnread), 3));
    }
}
