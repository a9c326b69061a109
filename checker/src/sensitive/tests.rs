use proptest::{collection::vec, prelude::*};

use super::*;

fn masked(text: &str) -> String {
    String::from_utf8(Sensitive::default().mask(text.as_bytes(), &mut Counts::default()).into_owned())
        .unwrap()
}

/// Everything that is built in.
fn all() -> Sensitive {
    Sensitive::new(&Kind::ALL, &[]).unwrap()
}

/// The first kind that is found in a text.
fn kind(text: &str) -> Option<Kind> {
    let mut counts = Counts::default();
    all().mask(text.as_bytes(), &mut counts);
    Kind::ALL.into_iter().find(|kind| counts.of(*kind) > 0)
}

#[test]
fn card_numbers_are_masked_but_for_their_last_four_digits() {
    for (text, after) in [
        // The numbers that schemes and processors publish for tests.
        ("pay 4111111111111111 now", "pay XXXXXXXXXXXX1111 now"),
        ("4111 1111 1111 1111", "XXXX XXXX XXXX 1111"),
        ("4111-1111-1111-1111.", "XXXX-XXXX-XXXX-1111."),
        ("378282246310005", "XXXXXXXXXXX0005"),
        ("3782 822463 10005", "XXXX XXXXXX X0005"),
        ("4222222222222", "XXXXXXXXX2222"),
        ("30569309025904", "XXXXXXXXXX5904"),
        ("6011111111111117", "XXXXXXXXXXXX1117"),
        ("3530111333300000", "XXXXXXXXXXXX0000"),
        ("2223003122003222", "XXXXXXXXXXXX3222"),
        ("6200000000000005", "XXXXXXXXXXXX0005"),
        ("\"5555555555554444\"", "\"XXXXXXXXXXXX4444\""),
        ("{\"n\":5555555555554444,", "{\"n\":9999999999999999,"),
        ("[5555555555554444, 1]", "[9999999999999999, 1]"),
        ("{\"n\": 5555555555554444}", "{\"n\": 9999999999999999}"),
        ("{\"n\":\"\\n5555555555554444\"}", "{\"n\":\"\\nXXXXXXXXXXXX4444\"}"),
        ("5555555555554444 4111111111111111", "XXXXXXXXXXXX4444 XXXXXXXXXXXX1111"),
        ("5555 5555 5555 4444 4111 1111 1111 1111", "XXXX XXXX XXXX 4444 XXXX XXXX XXXX 1111"),
    ] {
        assert_eq!(masked(text), after, "{text}");
    }
}

#[test]
fn numbers_that_are_no_cards_stay() {
    for text in [
        "4111111111111112",                      // fails Luhn
        "4111 1111 1111 1112",                   // so does this
        "0.4111111111111111",                    // a fraction
        "4111111111111111.5",                    // an amount
        "41111111111111111",                     // 17 digits: no Visa
        "1700000000000",                         // a time in milliseconds
        "2026-11-28T01:02:03.4111111111111111Z", // nobody's card
        "411111111111111111111",                 // 21 digits
        "a4111111111111111",
        "4111111111111111a",
        "9999999999999995",         // no issuer
        "4111 11111111 1111",       // no grouping that anybody prints
        "4111-1111-1111-1111-1111", // more groups than a card has
        "550e8400-e29b-41d4-a716-446655440000",
        "12345678-4111-1111-1111-111111111111",
        "+++",
    ] {
        let mut counts = Counts::default();
        let after = Sensitive::default().mask(text.as_bytes(), &mut counts).into_owned();
        assert_eq!((String::from_utf8(after).unwrap(), counts.total()), (text.to_owned(), 0));
    }
}

#[test]
fn account_numbers_are_masked_by_country_length_and_check_digits() {
    for (text, after) in [
        // The registry's own examples.
        ("DE89370400440532013000", "DEXXXXXXXXXXXXXXXX3000"),
        ("DE89 3704 0044 0532 0130 00", "DEXX XXXX XXXX XXXX XX30 00"),
        ("GB29NWBK60161331926819,", "GBXXXXXXXXXXXXXXXX6819,"),
        ("NO9386011117947", "NOXXXXXXXXX7947"),
        ("MT84MALT011000012345MTLCAST001S", "MTXXXXXXXXXXXXXXXXXXXXXXXXX001S"),
        ("FR1420041010050500013M02606", "FRXXXXXXXXXXXXXXXXXXXXX2606"),
    ] {
        assert_eq!(masked(text), after, "{text}");
    }
    for text in [
        "DE89370400440532013001",
        "DE8937040044053201300",
        "DE893704004405320130000",
        "XX89370400440532013000",
        "ADE89370400440532013000",
        "DE89 370400440532013000",
    ] {
        assert_eq!(masked(text), text);
    }
}

/// Written so that no scanner takes them for somebody's.
fn example(prefix: &str, rest: &str) -> String {
    format!("{prefix}{rest}")
}

#[test]
fn tokens_and_keys_are_masked_whole() {
    let alphabet = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    for (text, found) in [
        (example("eyJhbGciOiJIUzI1NiJ9", ".eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl"), Kind::Jwt),
        (example("eyJhbGciOiJkaXIifQ", "..aXYtMTIzNDU2Nzg5MA.Y2lwaGVy.dGFn"), Kind::Jwt),
        (example("Bearer ", "0123456789abcdefXYZ~+/=="), Kind::Authorization),
        (example("Authorization: bearer ", "mF_9.B5f-4.1JqMabcdef"), Kind::Authorization),
        (example("Basic ", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), Kind::Authorization),
        (example("AKIA", "IOSFODNN7EXAMPLE"), Kind::ServiceKey),
        (example("AIza", &alphabet[..35]), Kind::ServiceKey),
        (example("ghp_", &alphabet[..36]), Kind::ServiceKey),
        (example("github_pat_", &alphabet[..60]), Kind::ServiceKey),
        (example("xoxb-", "123456789012-abcdefghijkl"), Kind::ServiceKey),
        (example("sk_live_", &alphabet[20..50]), Kind::ServiceKey),
    ] {
        assert_eq!(kind(&text), Some(found), "{text}");
        let after = masked(&text);
        let hidden = &text[text.len() - 4..];
        assert!(!after.contains(hidden) || hidden.contains('='), "{after}");
        assert!(after.ends_with('X') || after.ends_with('='), "{after}");
    }
    for text in [
        "eyJhbGciOiJIUzI1NiJ9 and eyJ",
        "the bearer of this letter of internationalisation",
        "basic functionality",
        "Basic QUJDREVG",
        "AKIA is a prefix, AKIATHISISAWORDXX too",
        "AKIAIOSFODNN7EXAMPLEAKIAIOSFODNN7EXAMPLE",
        "ghp_short1",
        "npm_config_registry_of_a_long_name_without_any_digit",
        "task_live_0123456789abcdef0123",
    ] {
        assert_eq!(masked(text), text);
    }
}

#[test]
fn a_private_key_goes_up_to_its_end_marker() {
    let marker = |what: &str| format!("-----{what} RSA PRIVATE KEY-----");
    let (begin, end) = (marker("BEGIN"), marker("END"));
    let text = format!("a {begin}\nMIIB+/c=\nDEK-Info: AES-128\n{end} rest");
    assert_eq!(masked(&text), format!("a {begin}\nXXXX+/X=\nXXX-XXXX: XXX-XXX\n{end} rest"));
    let text = format!("{{\"key\":\"{begin}\\nMIInB\\r\\nn2=\\n{end}\\n\",\"a\":1}}");
    assert_eq!(masked(&text), format!("{{\"key\":\"{begin}\\nXXXXX\\r\\nXX=\\n{end}\\n\",\"a\":1}}"));
    // One that is cut short ends with the string that it stands in.
    assert_eq!(masked(&format!("\"{begin}MII\",\"abc\"")), format!("\"{begin}XXX\",\"abc\""));
    let public = "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----";
    assert_eq!(masked(public), public);
}

#[test]
fn addresses_and_telephone_numbers_are_masked_where_they_are_asked_for() {
    for (text, after) in [
        ("mail j.doe+x@example.org!", "mail X.XXX+X@example.org!"),
        ("<a@b.co>", "<X@b.co>"),
        ("a@localhost, @example.org, x@y. Then", "a@localhost, @example.org, x@y. Then"),
        ("call +49 30 1234567-8.", "call +XX XX XXXXXX7-8."),
        ("+1 (555) 010-9999", "+X (XXX) XXX-XX99"),
        ("1+12345678", "1+12345678"),
        ("+1 555 and +12345678901234567", "+1 555 and +12345678901234567"),
    ] {
        let found = all().mask(text.as_bytes(), &mut Counts::default()).into_owned();
        assert_eq!(String::from_utf8(found).unwrap(), after);
        assert_eq!(masked(text), text);
    }
}

#[test]
fn patterns_of_ones_own_are_bounded_and_linear() {
    let own = |pattern: &str| Sensitive::new(&[], &[("staff".to_owned(), pattern.to_owned())]);
    let mut counts = Counts::default();
    let staff = own(r"\bEMP-[0-9]{6}\b").unwrap();
    assert_eq!(&*staff.mask(b"x EMP-123456, EMP-1234567", &mut counts), b"x XXXXXXXXXX, EMP-1234567");
    assert_eq!((counts.of(Kind::Own), counts.total()), (1, 1));
    for (pattern, why) in [
        ("a*", "nothing"),
        ("a+", "upper bound"),
        ("[a-z]{1,600}", "upper bound"),
        ("^abc", "begins or ends"),
        ("(", "unclosed group"),
        (r"(a)\1", "backreferences"),
    ] {
        let error = own(pattern).unwrap_err().to_string();
        assert!(error.contains(why) && error.contains("staff"), "{error}");
    }
}

#[test]
fn evidence_is_one_short_line_without_secrets() {
    assert_eq!(evidence_text("a\r\n\"b\"\\\u{202e}é\u{7f}"), "a\\r\\n\"b\"\\\\\\u{202e}é\\u{7f}");
    assert_eq!(evidence_text("' OR card=4111111111111111 --"), "' OR card=XXXXXXXXXXXX1111 --");
    assert_eq!(evidence_text(&"a".repeat(128)), "a".repeat(128));
    assert_eq!(evidence_text(&"a".repeat(129)), format!("{}…", "a".repeat(125)));
    let token = example("Bearer ", &"0a".repeat(5_000));
    assert_eq!(evidence_text(&token), format!("Bearer {}…", "X".repeat(118)));
    let long = evidence_text(&"\u{1}é€\u{1f600}".repeat(50));
    assert!(long.len() <= 128 && long.ends_with('…'), "{long}");
}

/// Text in which there is much to be found.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("4111111111111111"),
        Just("5555 5555 5555 4444"),
        Just("3782-822463-10005"),
        Just("DE89370400440532013000"),
        Just("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2ln"),
        Just("Bearer 0123456789abcdefXYZ"),
        Just("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        Just(concat!("AKIA", "0123456789ABCDEF")),
        Just(concat!("xoxb-", "123456789012-abcdefghijkl")),
        Just("-----BEGIN PRIVATE KEY-----"),
        Just("-----END PRIVATE KEY-----"),
        Just("+49 30 1234567"),
        Just("j.doe@example.org"),
        Just(" "),
        Just("-"),
        Just("\\n"),
        Just(","),
        Just(":"),
        Just("."),
        Just("_"),
        Just("\""),
        Just("4111 1111"),
        Just("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
    ]
    .prop_map(|piece| piece.as_bytes().to_vec());
    vec(prop_oneof![9 => piece, 1 => vec(any::<u8>(), 0..20)], 0..150).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn masking_keeps_the_length_and_masks_no_more_a_second_time(text in text()) {
        let numbers = Sensitive::new(&[Kind::Card, Kind::Iban], &[]).unwrap();
        for sensitive in [Sensitive::default(), numbers] {
            let once = sensitive.mask(&text, &mut Counts::default()).into_owned();
            prop_assert_eq!(once.len(), text.len());
            let twice = sensitive.mask(&once, &mut Counts::default()).into_owned();
            prop_assert_eq!(String::from_utf8_lossy(&once), String::from_utf8_lossy(&twice));
        }
    }

    #[test]
    fn it_does_not_matter_how_a_text_is_cut(text in text(), cuts in vec(1_usize..4_000, 1..20)) {
        let own = [("a".to_owned(), r"\b[a-f0-9]{3,90}\b".to_owned())];
        let sensitive = Sensitive::new(&Kind::ALL, &own).unwrap();
        let mut counts = Counts::default();
        let whole = sensitive.mask(&text, &mut counts).into_owned();
        let mut stream = sensitive.stream();
        let (mut out, mut rest) = (Vec::new(), &text[..]);
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            stream.push(piece, &mut out);
            rest = after;
        }
        prop_assert_eq!(stream.finish(&mut out), counts);
        prop_assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&whole));
    }
}
