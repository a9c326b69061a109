//! Any bytes as a list file, in any format: what is taken is sorted, has no prefix twice and none with bits beyond its
//! length, and reads the same when it is written as a plain list.
#![no_main]

use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use stopbank::{
    config::{ListAction, ListFile},
    lists::feeds::{Bits, Filed, Format, PrefixSet, Wanted, parse},
};

fn wanted(chooses: bool) -> Wanted {
    let list = ListFile {
        name: "fuzz".to_owned(),
        path: "/nowhere".into(),
        format: Format::Auto,
        action: ListAction::Deny,
        countries: if chooses { vec!["NZ".to_owned()] } else { Vec::new() },
        asns: if chooses { vec![1, 64_500] } else { Vec::new() },
    };
    let written = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30);
    Wanted::by(&list, written, written + Duration::from_secs(60))
}

fn check<A: Bits>(all: &[Filed<A>]) -> String {
    assert!(
        all.is_sorted()
            && all.windows(2).all(|two| (two[0].address, two[0].bits) != (two[1].address, two[1].bits))
    );
    all.iter()
        .map(|one| {
            assert!(one.bits <= A::LENGTH && one.contains(one));
            format!("{}/{}\n", one.address.ip(), one.bits)
        })
        .collect()
}

fn written(set: &PrefixSet) -> String {
    check(set.v4()) + &check(set.v6())
}

fuzz_target!(|bytes: &[u8]| {
    let [choice, bytes @ ..] = bytes else { return };
    let (_, format) = Format::NAMES[usize::from(*choice) % Format::NAMES.len()];
    for chooses in [false, true] {
        let Ok((parsed, _)) = parse(bytes, format, &wanted(chooses)) else { continue };
        let text = written(&parsed.set);
        let (again, _) =
            parse(text.as_bytes(), Format::Plain, &wanted(false)).expect("what was taken can be read");
        assert_eq!(again.set, parsed.set);
    }
});
