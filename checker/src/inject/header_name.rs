//! Names of headers, of mail and of HTTP, that a value has no line of its own for.

/// Those that are worth injecting, and stand in few texts.
const HEADERS: [&[u8]; 22] = [
    b"set-cookie",
    b"content-type",
    b"content-length",
    b"contenttype",
    b"contentlength",
    b"location",
    b"bcc",
    b"cc",
    b"to",
    b"from",
    b"subject",
    b"reply-to",
    b"mime-version",
    b"transfer-encoding",
    b"host",
    b"x-forwarded-",
    b"refresh",
    b"access-control-",
    b"content-disposition",
    b"link",
    b"x-xss-protection",
    b"content-transfer-encoding",
];

/// Others of the registries (IANA's of HTTP and of mail), and some that servers read, whose names no prose has.
const REGISTERED: [&[u8]; 69] = [
    b"set-cookie2",
    b"cookie",
    b"referer",
    b"etag",
    b"pragma",
    b"p3p",
    b"nel",
    b"sourcemap",
    b"authorization",
    b"proxy-authorization",
    b"proxy-authenticate",
    b"proxy-connection",
    b"www-authenticate",
    b"authentication-results",
    b"cache-control",
    b"surrogate-control",
    b"clear-site-data",
    b"content-encoding",
    b"content-language",
    b"content-location",
    b"content-range",
    b"content-security-policy",
    b"content-security-policy-report-only",
    b"content-id",
    b"content-description",
    b"cross-origin-opener-policy",
    b"cross-origin-resource-policy",
    b"cross-origin-embedder-policy",
    b"permissions-policy",
    b"feature-policy",
    b"referrer-policy",
    b"report-to",
    b"reporting-endpoints",
    b"service-worker-allowed",
    b"strict-transport-security",
    b"public-key-pins",
    b"timing-allow-origin",
    b"alt-svc",
    b"last-modified",
    b"retry-after",
    b"keep-alive",
    b"if-none-match",
    b"if-modified-since",
    b"if-match",
    b"accept-encoding",
    b"accept-language",
    b"user-agent",
    b"max-forwards",
    b"http2-settings",
    b"sec-websocket-key",
    b"sec-websocket-accept",
    b"sec-websocket-protocol",
    b"true-client-ip",
    b"client-ip",
    b"forwarded",
    b"return-path",
    b"return-receipt-to",
    b"disposition-notification-to",
    b"message-id",
    b"in-reply-to",
    b"errors-to",
    b"delivered-to",
    b"envelope-to",
    b"apparently-to",
    b"mail-followup-to",
    b"mail-reply-to",
    b"dkim-signature",
    b"auto-submitted",
    b"thread-topic",
];
/// Of those, each with any name behind it.
const FAMILIES: [&[u8]; 6] = [b"resent-", b"list-", b"sec-fetch-", b"arc-", b"x-", b"received-"];

/// Names that are words as well: of mail, and of HTTP.
const WORDS: [&[u8]; 26] = [
    b"sender",
    b"date",
    b"received",
    b"references",
    b"importance",
    b"priority",
    b"precedence",
    b"organization",
    b"comments",
    b"keywords",
    b"connection",
    b"upgrade",
    b"origin",
    b"expires",
    b"status",
    b"proxy",
    b"server",
    b"vary",
    b"via",
    b"age",
    b"allow",
    b"warning",
    b"trailer",
    b"range",
    b"accept",
    b"contact",
];

/// The length of the name that a line begins with, if a colon follows, and no second one: `host::name` is a name of a program's.
fn named(line: &[u8]) -> Option<usize> {
    let name = line
        .iter()
        .take(64)
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(**byte, b'-' | b'_'))
        .count();
    let rest = line[name..].strip_prefix(b":")?;
    (name > 0 && !rest.starts_with(b":")).then_some(name)
}

/// As [`begins_header`], with white space before the colon, which is not as it should be, and read by some.
pub(super) fn begins_header_gapped(line: &[u8]) -> bool {
    let name = line.iter().take(64).take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-').count();
    let gap = line[name..].iter().take(4).take_while(|byte| matches!(**byte, b' ' | b'\t')).count();
    gap > 0 && line[name + gap..].starts_with(b":") && HEADERS.contains(&&line[..name])
}

/// Whether a line begins with a header that is worth injecting.
pub(super) fn begins_header(line: &[u8]) -> bool {
    let Some(length) = named(line) else { return false };
    let name = &line[..length];
    HEADERS.iter().any(|known| if known.ends_with(b"-") { name.starts_with(known) } else { name == *known })
}

/// Whether a line begins with another header of the registries'.
pub(super) fn begins_registered(line: &[u8]) -> bool {
    named(line).is_some_and(|length| {
        let name = &line[..length];
        REGISTERED.contains(&name) || FAMILIES.iter().any(|family| name.starts_with(family))
    })
}

/// Whether a line begins with a header whose name is a word.
pub(super) fn begins_word(line: &[u8]) -> bool {
    named(line).is_some_and(|length| WORDS.contains(&&line[..length]))
}

/// Whether a line is a header whose name is a word, with what such a header takes: `connection: close`, `status: 302`.
pub(super) fn is_typed_word(line: &[u8]) -> bool {
    let Some(length) = named(line) else { return false };
    let value = super::trim_start(&line[length + 1..]);
    let address = || {
        let end = value.iter().position(|byte| *byte <= b' ').unwrap_or(value.len());
        let value = &value[..end];
        value.contains(&b'.')
            && value.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':'))
            || value.starts_with(b"localhost")
    };
    let starts = |begins: &[&[u8]]| begins.iter().any(|begin| value.starts_with(begin));
    match &line[..length] {
        b"connection" => starts(&[b"close", b"keep-alive", b"upgrade"]),
        b"upgrade" => starts(&[b"websocket", b"h2c", b"tls/"]),
        b"origin" | b"proxy" => starts(&[b"http://", b"https://", b"null"]),
        b"status" => value.get(..3).is_some_and(|code| code.iter().all(u8::is_ascii_digit)),
        b"expires" => {
            starts(&[b"0", b"-1", b"mon, ", b"tue, ", b"wed, ", b"thu, ", b"fri, ", b"sat, ", b"sun, "])
        }
        b"contact" => starts(&[b"<sip:", b"sip:", b"<mailto:", b"mailto:"]),
        b"attendee" | b"organizer" => starts(&[b"mailto:"]),
        b"via" => starts(&[b"sip/", b"1.1 ", b"1.0 "]),
        b"trailer" | b"vary" => starts(&[b"x-", b"accept", b"*"]),
        b"host" => address(),
        _ => false,
    }
}

/// `Injected-Header: value`, each part of the name with a capital: `raw` is as it was written.
pub(super) fn is_train(raw: &[u8]) -> bool {
    let Some(length) = named(raw) else { return false };
    hyphened(raw)
        && raw[length..].starts_with(b": ")
        && raw[..length]
            .split(|byte| *byte == b'-')
            .all(|part| part.first().is_some_and(u8::is_ascii_uppercase))
}

/// `Name: value` or `Name:value`, whatever the name.
pub(super) fn begins_any(line: &[u8]) -> bool {
    named(line).is_some_and(|length| {
        length > 1 && line[0].is_ascii_alphabetic() && !line[length..].starts_with(b"://")
    })
}

/// `Name: value`, as each line of a list of settings has it.
pub(super) fn colon_name(line: &[u8]) -> bool {
    let name =
        line.iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(**byte, b'-' | b'_')).count();
    name > 0 && line[name..].starts_with(b": ")
}

/// A name with a hyphen in it.
pub(super) fn hyphened(line: &[u8]) -> bool {
    line.iter().take(64).take_while(|byte| **byte != b':').any(|byte| *byte == b'-')
}
