//! Any bytes as GraphQL, on their own and in JSON: they are judged alike, and a stricter limit allows nothing that a looser one refuses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stopbank_checker::{
    content::Content,
    graphql::{Carrier, Limits, check},
    json,
};
use stopbank_fuzz::{LITTLE, bounded};

fuzz_target!(|bytes: &[u8]| {
    let judge = |limits: &Limits, content, body: &[u8]| {
        let mut length = 0;
        let carrier = Carrier { method: b"POST", query: &[], content, body };
        let result = bounded(body.len(), LITTLE, || {
            check(&carrier, limits, &json::Limits::default(), &mut |_, string| {
                length += string.len();
                Ok(())
            })
        });
        assert!(length <= body.len(), "nothing is longer decoded than written");
        result
    };
    let limits = Limits::default();
    let _ = judge(&limits, Content::Json, bytes);
    let alone = judge(&limits, Content::GraphQl, bytes);
    let Ok(text) = str::from_utf8(bytes) else {
        assert!(alone.is_err());
        return;
    };
    let mut body = String::from("{\"query\":\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => body.extend(['\\', character]),
            '\0'..=' ' => body += &format!("\\u{:04x}", u32::from(character)),
            other => body.push(other),
        }
    }
    body += "\"}";
    if text.len() < 200 << 10 {
        assert_eq!(alone, judge(&limits, Content::Json, body.as_bytes()));
    }
    let of_a = |number| vec![("a".to_owned(), number)];
    let strict =
        Limits { depth: 2, fields: 3, aliases: 1, cost: 9, tokens: 40, weights: of_a(3), lists: of_a(5), ..Limits::default() };
    if judge(&strict, Content::GraphQl, bytes).is_ok() {
        assert_eq!(alone, Ok(()));
    }
});
