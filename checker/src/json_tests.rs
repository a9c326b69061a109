use super::*;

fn read_all(text: &[u8], limits: &Limits) -> Result<Vec<String>, Reason> {
    let mut seen = Vec::new();
    read(text, limits, &mut |path, scalar| {
        let path: String = path
            .iter()
            .map(|step| match step {
                Step::Name(name) => format!(".{name}"),
                Step::Element(number) => format!("[{number}]"),
            })
            .collect();
        seen.push(format!("{path} {scalar:?}"));
    })?;
    Ok(seen)
}

fn refused(text: &str) -> Option<Reason> {
    read_all(text.as_bytes(), &Limits::default()).err()
}

#[test]
fn every_scalar_is_shown_with_the_way_to_it() {
    let seen = read_all(
        br#" {"a":[1,-2.5e3,[],{}],"b":{"c":"x\n\u00e9\ud83d\ude00","":null},"d":true,"e":[[false]]} "#,
        &Limits::default(),
    );
    assert_eq!(
        seen.unwrap(),
        [
            ".a[0] Number(\"1\")",
            ".a[1] Number(\"-2.5e3\")",
            ".b.c String(\"x\\né😀\")",
            ".b. Null",
            ".d Boolean(true)",
            ".e[0][0] Boolean(false)",
        ]
    );
    assert_eq!(read_all(b"\"alone\"", &Limits::default()).unwrap(), [" String(\"alone\")"]);
}

#[test]
fn what_parsers_read_in_two_ways_is_refused() {
    for (text, reason) in [
        (r#"{"a":1,"a":2}"#, Reason::JsonRepeated),
        (r#"{"a":1,"\u0061":2}"#, Reason::JsonRepeated),
        (r#"["\ud800"]"#, Reason::JsonUtf8),
        (r#"["\udc00"]"#, Reason::JsonUtf8),
        (r#"["\ud800\u0041"]"#, Reason::JsonUtf8),
        ("\u{feff}{}", Reason::JsonSyntax),
        ("{} {}", Reason::JsonSyntax),
        ("[1,]", Reason::JsonSyntax),
        ("{\"a\":1,}", Reason::JsonSyntax),
        ("[1 2]", Reason::JsonSyntax),
        ("[01]", Reason::JsonSyntax),
        ("[1.]", Reason::JsonSyntax),
        ("[.5]", Reason::JsonSyntax),
        ("[+1]", Reason::JsonSyntax),
        ("[NaN]", Reason::JsonSyntax),
        ("{'a':1}", Reason::JsonSyntax),
        ("[1]//", Reason::JsonSyntax),
        ("[\"a\tb\"]", Reason::JsonSyntax),
        ("[}", Reason::JsonSyntax),
        ("{\"a\":1]", Reason::JsonSyntax),
        ("", Reason::JsonSyntax),
    ] {
        assert_eq!(refused(text), Some(reason), "{text}");
    }
    assert_eq!(read_all(b"[\"\xc0\xaf\"]", &Limits::default()), Err(Reason::JsonUtf8));
}

#[test]
fn each_limit_holds_at_its_number_and_not_before() {
    let limits = Limits {
        depth: 3,
        entries: 2,
        name_length: 3,
        elements: 2,
        string_length: 4,
        number_length: 5,
        values: 8,
        repeated_names: false,
    };
    for (good, bad, reason) in [
        ("[[[1]]]", "[[[[1]]]]", Reason::JsonDepth),
        ("[[[]]]", "[[[[]]]]", Reason::JsonDepth),
        (r#"{"a":1,"b":2}"#, r#"{"a":1,"b":2,"c":3}"#, Reason::JsonEntries),
        (r#"{"abc":1}"#, r#"{"abcd":1}"#, Reason::JsonNameLength),
        ("[1,2]", "[1,2,3]", Reason::JsonElements),
        (r#"["abcd"]"#, r#"["abcde"]"#, Reason::JsonStringLength),
        (r#"["\u00e9\u00e9"]"#, r#"["\u00e9\u00e9\u00e9"]"#, Reason::JsonStringLength),
        ("[-1e10]", "[-1e100]", Reason::JsonNumberLength),
        ("[[1,2],[1,[1]]]", "[[1,2],[1,[1,2]]]", Reason::JsonValues),
    ] {
        assert_eq!(read_all(good.as_bytes(), &limits).err(), None, "{good}");
        assert_eq!(read_all(bad.as_bytes(), &limits).err(), Some(reason), "{bad}");
    }
    let repeated = Limits { repeated_names: true, ..Limits::default() };
    assert!(read_all(br#"{"a":1,"a":2}"#, &repeated).is_ok());
}

#[test]
fn a_hundred_thousand_brackets_cost_no_stack() {
    let limits = Limits { depth: usize::MAX, values: usize::MAX, ..Limits::default() };
    let text = "[".repeat(100_000) + &"]".repeat(100_000);
    assert_eq!(read_all(text.as_bytes(), &limits), Ok(Vec::new()));
    assert_eq!(refused(&"[".repeat(100_000)), Some(Reason::JsonDepth));
}

#[test]
fn many_names_are_told_apart_as_few_are() {
    let object = |names: usize, last: &str| {
        let entries: Vec<String> = (0..names).map(|name| format!("\"n{name}\":0")).collect();
        format!("{{{},{last}}}", entries.join(","))
    };
    for names in [1, FEW - 1, FEW, FEW + 1, 500] {
        assert_eq!(refused(&object(names, "\"n0\":1")), Some(Reason::JsonRepeated), "{names}");
        assert_eq!(refused(&object(names, &format!("\"n{}\":1", names - 1))), Some(Reason::JsonRepeated));
        assert_eq!(refused(&object(names, "\"other\":1")), None, "{names}");
    }
}

#[test]
fn all_that_there_is_is_shown_in_its_order() {
    let text = br#"{"a": [1, {}], "b" :"c"}"#;
    let mut shown = String::new();
    events(text, &Limits::default(), &mut |steps, event, at| {
        let kind = match event {
            Event::Open { object: true } => "{",
            Event::Open { object: false } => "[",
            Event::Close => "end",
            Event::Name => "name",
            Event::Scalar(_) => "scalar",
        };
        shown += &format!("{kind} {} {at}; ", steps.len());
        Ok(())
    })
    .unwrap();
    assert_eq!(
        shown,
        "{ 0 0; name 1 6; [ 1 6; scalar 2 7; { 2 10; end 2 12; end 1 13; name 1 20; scalar 1 20; end 0 24; "
    );
    let stopped = events(text, &Limits::default(), &mut |steps, _, _| {
        if steps.len() == 2 { Err(Reason::BodyUnread) } else { Ok(()) }
    });
    assert_eq!(stopped, Err(Reason::BodyUnread));
}

#[test]
fn what_stands_as_it_is_ends_where_its_first_end_is() {
    // Each byte at each place of two words, with what is nearly an end before it.
    for place in 0..20 {
        for byte in 0..=u8::MAX {
            let mut text = [b'a', 0x80, b'!', 0x7f, b'[', 0xff, b'#', b']', b' ', 0xa2].repeat(2);
            text[place] = byte;
            let first = text.iter().position(|&byte| is_end(byte)).unwrap_or(text.len());
            assert_eq!(as_it_is(&text), first, "{byte:#x} at {place}");
            assert_eq!(as_it_is(&text[..=place]), first.min(place + 1), "{byte:#x} at {place}");
        }
    }
}
