use std::time::{Duration, Instant};

use super::*;
use crate::{json, xml::Name};

fn pattern(name: &str, expression: &str, places: &[&str]) -> Pattern {
    Pattern {
        name: name.to_owned(),
        category: "own".to_owned(),
        expression: expression.to_owned(),
        places: places.iter().map(|place| Where::parse(place).unwrap()).collect(),
    }
}

fn compile(expression: &str) -> Option<Error> {
    Patterns::compile(vec![pattern("p", expression, &[])], &Limits::default()).err()
}

/// Whether a pattern that is looked for in `place` is looked for there.
fn looked_for(place: &str, at: At<'_>) -> bool {
    let patterns = Patterns::compile(vec![pattern("p", "x", &[place])], &Limits::default()).unwrap();
    let mut found = false;
    patterns.search(&at, b"x", &mut |_, _| found = true);
    found
}

#[test]
fn errors_name_the_pattern_and_the_place_in_it() {
    let error = compile("ab\n(c").unwrap();
    assert!(matches!(&error, Error::Syntax { name, line: 2, column: 1, .. } if name == "p"), "{error:?}");
    assert_eq!(error.to_string(), "pattern `p`, line 2, column 1: unclosed group");
    assert!(matches!(compile(r"a(?=b)"), Some(Error::Syntax { .. })));
    assert!(matches!(compile(r"(a)\1"), Some(Error::Syntax { .. })));
    assert!(matches!(compile(r"(?u)\bselect\b"), Some(Error::UnicodeBoundary { .. })));
    assert!(matches!(compile(r"a(?u:b\B)c"), Some(Error::UnicodeBoundary { .. })));
    for good in [r"\bselect\b", r"(?-u:\b)a", r"(?u:\w)a", "\\xff", "é"] {
        assert_eq!(compile(good), None, "{good}");
    }
    for empty in ["", "a*", "^", "(?:|a)", "^$", r"\b"] {
        assert!(matches!(compile(empty), Some(Error::Empty { .. })), "{empty}");
    }
    assert!(matches!(compile(&"a".repeat(5_000)), Some(Error::TooLarge { compiled: false, .. })));
    assert!(matches!(compile("a.{1000}b"), Some(Error::TooLarge { compiled: true, .. })));
    assert!(matches!(compile("(?:a{100}){100}{100}"), Some(Error::TooLarge { compiled: true, .. })));
    for (place, at) in [
        ("queries", 0),
        ("query:", 6),
        ("path:a", 4),
        ("json:a", 5),
        ("json:$a", 6),
        ("json:$.a.", 8),
        ("json:$.a-b", 6),
        ("json:$[a]", 6),
        ("json:$[-1]", 6),
        ("json:$['a\\'b']", 6),
        ("json:$[?@.a]", 6),
        ("xml:a", 4),
        ("xml:/a/", 6),
        ("xml:/a[1]", 4),
        ("xml:/@a/b", 7),
        ("xml:/child::a(", 4),
    ] {
        assert_eq!(Where::parse(place).unwrap_err().at, at, "{place}");
    }
}

#[test]
fn a_pattern_is_looked_for_where_it_says() {
    let every = [
        At::Path,
        At::Query("a"),
        At::QueryName,
        At::Header(b"A"),
        At::Cookie("a"),
        At::Form("a"),
        At::FormName,
        At::Json(&[]),
        At::XmlText(&[]),
        At::GraphQl("a"),
        At::Body,
        At::Response,
    ];
    let everywhere = Patterns::compile(vec![pattern("p", "x", &[])], &Limits::default()).unwrap();
    for at in every {
        let mut found = false;
        everywhere.search(&at, b"x", &mut |_, _| found = true);
        assert_eq!(found, at != At::Response, "{at:?}");
    }
    for (place, wanted) in [
        ("path", &[0][..]),
        ("query", &[1, 2]),
        ("query:a", &[1]),
        ("query:b", &[]),
        ("header:a", &[3]),
        ("cookie:a", &[4]),
        ("form", &[5, 6]),
        ("json", &[7]),
        ("xml", &[8]),
        ("graphql:a", &[9]),
        ("body", &[10]),
        ("response", &[11]),
    ] {
        let covered: Vec<usize> = every
            .iter()
            .enumerate()
            .filter(|(_, at)| looked_for(place, **at))
            .map(|(number, _)| number)
            .collect();
        assert_eq!(covered, wanted, "{place}");
    }
}

#[test]
fn a_json_path_selects_a_value_and_all_that_is_in_it() {
    let mut seen = Vec::new();
    let body = br#"{"a":{"b":[1,{"c d":2}]},"b":3}"#;
    json::read(body, &json::Limits::default(), &mut |path, scalar| {
        seen.push((path.to_vec(), scalar.clone()));
    })
    .unwrap();
    for (place, selected) in [
        ("json:$", "123"),
        ("json:$.a", "12"),
        ("json:$['a'].b", "12"),
        ("json:$.a.b[0]", "1"),
        ("json:$.a.b[*]", "12"),
        ("json:$.*.b", "12"),
        ("json:$..b", "123"),
        ("json:$..b[1]", "2"),
        ("json:$..[\"c d\"]", "2"),
        ("json:$..['c d']", "2"),
        ("json:$..*", "123"),
        ("json:$.b.b", ""),
        ("json:$.c", ""),
    ] {
        let found: String = seen
            .iter()
            .filter(|(path, _)| looked_for(place, At::Json(path)))
            .map(|(_, scalar)| if let json::Scalar::Number(number) = scalar { *number } else { "" })
            .collect();
        assert_eq!(found, selected, "{place}");
    }
}

#[test]
fn an_x_path_selects_elements_or_attributes() {
    let name = |text: &'static str| match text.split_once(':') {
        Some((prefix, local)) => Name { prefix, local },
        None => Name { prefix: "", local: text },
    };
    let open = ["a", "p:b", "c"].map(name);
    for (place, text, attribute) in [
        ("xml:/a", true, true),
        ("xml:/a/b/c", true, true),
        ("xml:/a/p:b/c", true, true),
        ("xml:/a/q:b/c", false, false),
        ("xml://c", true, true),
        ("xml:/a//c", true, true),
        ("xml:/c", false, false),
        ("xml:/*/*/*", true, true),
        ("xml:/*/*/*/*", false, false),
        ("xml://c/@d", false, true),
        ("xml://@d", false, true),
        ("xml://@*", false, true),
        ("xml://@e", false, false),
        ("xml:/a/@d", false, false),
        ("xml://d", false, false),
    ] {
        assert_eq!(looked_for(place, At::XmlText(&open)), text, "{place}");
        assert_eq!(looked_for(place, At::XmlAttribute(&open, name("d"))), attribute, "{place}");
    }
}

#[test]
fn every_pattern_that_is_in_a_value_is_found_however_many_tables_there_are() {
    let patterns: Vec<Pattern> = (0..40)
        .map(|number| pattern(&format!("{number}"), &format!("a{number}x.*b{number}x"), &[]))
        .collect();
    let patterns = Patterns::compile(patterns, &Limits { table: 64 << 10, ..Limits::default() }).unwrap();
    assert!(patterns.size().0 > 1, "{:?}", patterns.size());
    let value: String =
        (0..40).map(|n| format!("a{n}x")).chain((0..40).step_by(2).map(|n| format!("b{n}x"))).collect();
    let mut found = Vec::new();
    patterns.search(&At::Body, value.as_bytes(), &mut |pattern, _| {
        found.push(pattern.name.parse::<usize>().unwrap());
    });
    found.sort_unstable();
    assert_eq!(found, (0..40).step_by(2).collect::<Vec<_>>());
    let few = Limits { table: 64 << 10, tables: 2, ..Limits::default() };
    let patterns = (0..40).map(|number| pattern("p", &format!("a{number}x.*b{number}x"), &[])).collect();
    assert!(matches!(Patterns::compile(patterns, &few).err(), Some(Error::TooMany { limit: 2 })));
}

fn all_shipped() -> Patterns {
    let patterns = categories().iter().filter_map(|category| shipped(category.name)).flatten().collect();
    Patterns::compile(patterns, &Limits::default()).unwrap()
}

/// The least time that a search takes, out of several.
fn time(patterns: &Patterns, value: &[u8]) -> Duration {
    let once = || {
        let start = Instant::now();
        patterns.search(&At::Body, value, &mut |_, _| {});
        start.elapsed()
    };
    (0..5).map(|_| once()).min().unwrap()
}

/// An engine that gives up its fast way at the first byte beyond ASCII, because a boundary of words in Unicode may depend on it, is hundreds of
/// times slower then. What is compared here is two searches of one run, of texts of one length.
#[test]
fn a_character_beyond_ascii_makes_no_shipped_pattern_slower() {
    let patterns = all_shipped();
    let plain = "The quick brown fox or 1 selects a union from (the) lazy dog's table. ".repeat(500);
    let mut accented = plain.clone();
    accented.replace_range(10..12, "é");
    assert_eq!(plain.len(), accented.len());
    let foreign = "Größe über ñandú 東京 ".repeat(plain.len() / 28);
    let reference = time(&patterns, plain.as_bytes());
    for value in [&accented, &foreign] {
        let taken = time(&patterns, value.as_bytes());
        assert!(taken < reference * 8, "{taken:?} with one, {reference:?} without");
    }
}

#[test]
fn what_is_made_to_be_slow_is_searched_in_time_that_grows_with_its_length_alone() {
    let patterns = all_shipped();
    let reference = time(&patterns, "a plain text without anything in it, ".repeat(2_000).as_bytes());
    for piece in
        ["' or '", "<a ", "{{", "${${", "../", "union/*", "a.b.c.d.", "//a:", "((((", "\u{e9}'\"<${{%2e"]
    {
        let value = piece.repeat(74_000 / piece.len());
        let taken = time(&patterns, value.as_bytes());
        assert!(taken < reference * 20, "{piece:?}: {taken:?}, and plain text {reference:?}");
    }
}
