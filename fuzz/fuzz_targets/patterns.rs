//! The shipped patterns on any bytes, where all are found that one alone finds; and any text as a pattern: it is compiled or refused, within
//! its limits.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use stopbank_fuzz::{LITTLE, bounded};
use stopbank_checker::patterns::{At, Limits, Pattern, Patterns, Where, categories, shipped};

static ALL: LazyLock<Patterns> = LazyLock::new(|| compile(categories().iter().map(|category| category.name)));
static EACH: LazyLock<Vec<Patterns>> =
    LazyLock::new(|| categories().iter().map(|category| compile([category.name].into_iter())).collect());

fn compile<'c>(categories: impl Iterator<Item = &'c str>) -> Patterns {
    let patterns = categories.filter_map(shipped).flatten().collect();
    Patterns::compile(patterns, &Limits::default()).expect("what is shipped can be compiled")
}

// Compiled before the first input, whose time it is not.
fuzz_target!(init: { LazyLock::force(&ALL); LazyLock::force(&EACH); }, |bytes: &[u8]| {
    let found = |patterns: &Patterns| {
        let mut found = Vec::new();
        for at in [At::Body, At::Response] {
            patterns.search(&at, bytes, &mut |pattern, _| found.push(pattern.name.clone()));
        }
        found.sort_unstable();
        found
    };
    let mut one_by_one: Vec<String> = EACH.iter().flat_map(found).collect();
    one_by_one.sort_unstable();
    let all = &*ALL;
    assert_eq!(bounded(bytes.len(), LITTLE, || found(all)), one_by_one);

    let Ok(text) = str::from_utf8(bytes) else { return };
    let (place, expression) = text.split_once('\n').unwrap_or(("body", text));
    let Ok(place) = Where::parse(place) else { return };
    let own = Pattern {
        name: "own".to_owned(),
        category: "own".to_owned(),
        expression: expression.to_owned(),
        places: vec![place],
    };
    let limits = Limits { table: 64 << 10, ..Limits::default() };
    if let Ok(patterns) = Patterns::compile(vec![own], &limits) {
        assert!(patterns.size().1 <= 2 * limits.table);
        patterns.search(&At::Body, bytes, &mut |_, _| {});
        patterns.search(&At::Body, b"", &mut |_, _| panic!("the empty text is found"));
    }
});
