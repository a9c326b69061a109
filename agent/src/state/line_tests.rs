//! Lines are read as they were written, or not at all, and one that is damaged costs no other.

use proptest::prelude::*;

use super::*;
use crate::state::Action;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn lines() -> Vec<Line> {
    let entry = |reason: Option<&str>, until| Kept {
        added: Some(1_790_000_000_123),
        until,
        reason: reason.map(str::to_owned),
        origin: Origin::Operator,
    };
    let event = Event {
        at: 1_790_000_000_123,
        uid: Some(0),
        ..Event::new(Action::Add, ListName::Ban, &[net("192.0.2.7/32")])
    };
    vec![
        Line::Add {
            list: ListName::Ban,
            entry: entry(Some("login \"flood\" ü\\"), Some(1_790_000_600_123)),
            prefixes: vec![net("192.0.2.7/32"), net("2001:db8::/32")],
        },
        Line::Event(event),
        Line::Remove { list: ListName::Ban, prefixes: vec![net("192.0.2.7/32")] },
        Line::Add { list: ListName::Allow, entry: entry(None, None), prefixes: vec![net("198.51.100.0/24")] },
    ]
}

/// A whole snapshot.
fn text() -> Vec<u8> {
    let mut text = MAGIC.to_vec();
    for (line, number) in lines().iter().zip(1..) {
        encode(&mut text, number, line);
    }
    encode(&mut text, 9, &Line::End { lines: lines().len() as u64 });
    text
}

fn taken(mut bytes: &[u8]) -> (Found, Vec<Line>) {
    let mut taken = Vec::new();
    let found = read(&mut bytes, |_, line| taken.push(line)).unwrap();
    (found, taken)
}

#[test]
fn what_is_written_is_read() {
    let (found, taken) = taken(&text());
    assert_eq!(taken, lines());
    assert_eq!(found, Found { good: 5, last: 9, whole: true, ..Found::default() });
}

#[test]
fn a_file_that_is_cut_anywhere_gives_what_came_before_and_is_not_whole() {
    let (whole, all) = (text(), lines());
    for length in 0..whole.len() {
        let (found, taken) = taken(&whole[..length]);
        assert!(!found.whole, "{length}");
        assert_eq!(taken, all[..taken.len()], "{length}");
        let complete = whole[..length].iter().filter(|&&byte| byte == b'\n').count().saturating_sub(1);
        assert_eq!(taken.len(), complete.min(all.len()), "{length}");
        let in_a_line = length > 0 && whole[length - 1] != b'\n';
        assert_eq!(found.cut, in_a_line, "{length}");
    }
}

#[test]
fn any_bit_that_is_flipped_costs_the_line_it_is_in_and_is_seen() {
    let (whole, all) = (text(), lines());
    for at in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[at / 8] ^= 1 << (at % 8);
        let (found, taken) = taken(&bytes);
        assert!(!found.whole || found.foreign, "bit {at}");
        if found.foreign {
            assert!(at / 8 < MAGIC.len() && taken.is_empty(), "bit {at}");
            continue;
        }
        // A line's end that is gone, or comes early, costs two.
        assert!(taken.len() + 2 >= all.len(), "bit {at}: {taken:?}");
        assert!(taken.iter().all(|line| all.contains(line)), "bit {at}: {taken:?}");
        assert!(found.bad > 0 || found.cut, "bit {at}");
    }
}

#[test]
fn lengths_and_numbers_that_are_too_large_do_no_harm() {
    let long = [MAGIC, &vec![b'x'; 3 << 20], b"\n", &text()[MAGIC.len()..]].concat();
    let (found, after) = taken(&long);
    assert_eq!((found.bad, found.first_bad, after), (1, Some(2), lines()));
    let endless = [MAGIC, &vec![0; 3 << 20]].concat();
    let (found, _) = taken(&endless);
    assert!(found.cut && found.bad == 0, "a tail of zeroes, as a crash may leave it: {found:?}");
    for json in [
        r#"[18446744073709551615,{"end":{"lines":0}}]"#.to_owned(),
        r#"[1,{"end":{"lines":-1}}]"#.to_owned(),
        r#"[1,{"end":{"lines":0}}] "x""#.to_owned(),
        r#"[1,{"remove":{"list":"deny","prefixes":["192.0.2.7/32"]}}]"#.to_owned(),
        r#"[1,{"remove":{"list":"ban","prefixes":["192.0.2.7/24"]}}]"#.to_owned(),
        r#"[1,{"remove":{"list":"ban","prefixes":["::/0"]}}]"#.to_owned(),
        r#"[1,{"remove":{"list":"ban","prefixes":["192.0.2.7/32"],"more":1}}]"#.to_owned(),
        r#"[1,{"add":{"list":"ban","entry":{"origin":"configuration"},"prefixes":[]}}]"#.to_owned(),
        r#"[1,{"add":{"list":"ban","entry":{"origin":"operator","until":99999999999999999},"prefixes":[]}}]"#
            .to_owned(),
        r#"[1,{"add":{"list":"ban","entry":{"origin":"operator","reason":"a\nb"},"prefixes":[]}}]"#
            .to_owned(),
        format!(
            r#"[1,{{"remove":{{"list":"ban","prefixes":[{}]}}}}]"#,
            vec!["\"192.0.2.7/32\""; 300].join(",")
        ),
        "[".repeat(100_000),
    ] {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).bytes());
        let (found, taken) = taken(&bytes);
        assert_eq!((found.bad, taken.len(), found.last), (1, 0, 0), "{}", &json[..json.len().min(100)]);
    }
}

#[test]
fn another_version_is_left_alone() {
    let (found, taken) = taken(&[b"stopbank lists 2\n", &text()[MAGIC.len()..]].concat());
    assert!(found.foreign && taken.is_empty());
}

#[test]
fn the_time_of_an_entry_goes_by_the_wall_clock_and_never_grows() {
    let now = time_of(1_790_000_000_000);
    let kept = |added, until| Kept { added, until, reason: None, origin: Origin::Operator };
    let left = |kept: Kept| kept.item(now, 1_000).expires_ns.map(|at| (at - 1_000) / 1_000_000);
    assert_eq!(left(kept(Some(1_789_999_000_000), Some(1_790_000_060_000))), Some(60_000));
    assert_eq!(left(kept(Some(1_789_999_000_000), Some(1_789_999_999_000))), Some(0), "its time is over");
    assert_eq!(left(kept(None, None)), None);
    // The host's clock says that the ban was made in the far future: it lasts as long as it was to last, no longer.
    assert_eq!(left(kept(Some(1_890_000_000_000), Some(1_890_000_060_000))), Some(60_000));
    assert_eq!(left(kept(None, Some(LAST))), Some(LONGEST_TIME.as_millis() as u64));
    let item = kept(Some(1_789_999_000_000), Some(1_790_000_060_000)).item(now, 1_000);
    assert_eq!(Kept::of(&item), kept(Some(1_789_999_000_000), Some(1_790_000_060_000)), "to the millisecond");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_do_harm_and_what_is_taken_can_be_written(
        garbage in prop::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
        replace in any::<bool>(),
    ) {
        let mut bytes = text();
        let at = at.index(bytes.len());
        let end = if replace { (at + garbage.len()).min(bytes.len()) } else { at };
        bytes.splice(at..end, garbage);
        let (found, lines) = taken(&bytes);
        let mut again = MAGIC.to_vec();
        lines.iter().for_each(|line| encode(&mut again, 1, line));
        prop_assert_eq!(taken(&again).1, lines);
        prop_assert!(found.last <= HIGHEST);
    }
}
