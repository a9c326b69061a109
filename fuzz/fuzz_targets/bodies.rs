//! Any bytes as each kind of body, target and cookie: no reader panics or takes more than its length allows, none shows more than is there, and
//! what decodes is not to be led astray by what follows. The first byte says which reader, what follows to the end of the line what it is declared as.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stopbank_checker::{
    Field, Version, coding, content, cookies, json, multipart, patterns,
    target::{self, Target},
};
use stopbank_fuzz::{LITTLE, bounded};

/// What windows of decoders take, beside what comes out.
const DECODERS: usize = 48 << 20;

fuzz_target!(|input: &[u8]| {
    let Some((&which, rest)) = input.split_first() else { return };
    let Some(end) = rest.iter().position(|&byte| byte == b'\n') else { return };
    let (declared, bytes) = (&rest[..end], &rest[end + 1..]);
    let length = declared.len() + bytes.len();
    match which % 6 {
        0 => bounded(length, LITTLE, || json(bytes)),
        1 => bounded(length, LITTLE, || parts(declared, bytes)),
        2 => bounded(length, LITTLE, || target(bytes)),
        3 => bounded(length, LITTLE, || cookie(bytes)),
        4 => bounded(length, DECODERS, || coded(declared, bytes)),
        _ => bounded(length, LITTLE, || {
            let _ = content::of(Some(declared), bytes);
            let _ = content::of(None, bytes);
            if let Ok(text) = str::from_utf8(declared) {
                let _ = patterns::Where::parse(text);
            }
        }),
    }
});

fn json(bytes: &[u8]) {
    let limits = json::Limits::default();
    if json::read(bytes, &limits, &mut |_, _| ()).is_ok() {
        assert!(serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok(), "another parser refuses it");
        let longer = [bytes, b"1"].concat();
        // A number goes on, everything else has ended.
        let number = bytes.trim_ascii().last().is_some_and(u8::is_ascii_digit);
        assert!(number || json::read(&longer, &limits, &mut |_, _| ()).is_err(), "something follows it");
    }
}

fn parts(declared: &[u8], bytes: &[u8]) {
    let limits = multipart::Limits::default();
    for content_type in [declared, b"multipart/form-data; boundary=b"] {
        if let Ok(parts) = multipart::read(content_type, bytes, &limits) {
            let shown: usize = parts.iter().map(|part| part.name.len() + part.body.len()).sum();
            assert!(shown <= bytes.len(), "parts overlap");
            let longer = [bytes, b"\r\n--b--\r\n"].concat();
            assert!(multipart::read(content_type, &longer, &limits).is_err(), "something follows it");
        }
    }
}

fn target(bytes: &[u8]) {
    let limits = target::Limits::default();
    if let Ok(read) = Target::read(b"GET", bytes, &limits) {
        for segment in &read.segments {
            assert!(!matches!(&**segment, "." | "..") && !segment.contains(['/', '\\', '\0', '\r', '\n', ';']));
        }
        // The path by which an upstream is chosen is the one by which a route is.
        let path = format!("/{}", read.segments.join("/"));
        assert_eq!(&*target::path(bytes), path.as_bytes());
    }
    if let Ok(fields) = target::form(bytes, &limits) {
        let shown: usize = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!(shown <= bytes.len() && fields.len() <= limits.parameters);
    }
}

fn cookie(bytes: &[u8]) {
    let headers = [Field { name: b"cookie", value: bytes }];
    if let Ok(cookies) = cookies::read(Version::Http11, &headers, &cookies::Limits::default()) {
        let written: Vec<Vec<u8>> = cookies.iter().map(|one| [one.0.as_bytes(), b"=", one.1.as_bytes()].concat()).collect();
        assert!(written.join(&b"; "[..]).len() <= bytes.len() + 2 * cookies.len());
    }
}

fn coded(declared: &[u8], bytes: &[u8]) {
    let limits = coding::Limits::default();
    for coding in [declared, b"gzip", b"deflate", b"br", b"zstd", b"gzip, br"] {
        if let Ok(body) = coding::decode(bytes, std::iter::once(coding), &limits) {
            assert!(body.len() <= limits.body.max(bytes.len()), "beyond its limit");
        }
    }
}
