//! Any ids asked for by any of three, at any times: nothing panics, memory stays as it is, a question counts nothing, whoever comes back when told passes, and in no
//! window are many more given than allowed.
#![no_main]

use std::{collections::BTreeSet, time::Duration};

use libfuzzer_sys::{arbitrary, arbitrary::Arbitrary, fuzz_target};
use stopbank_checker::rates::{Enumeration, EnumerationRule, Key, TooMuch};

#[derive(Arbitrary, Debug)]
struct Input {
    key: [u8; 16],
    distinct: Option<u8>,
    walk: Option<u8>,
    step: u8,
    window: u16,
    identities: u8,
    asks: Vec<Ask>,
}

#[derive(Arbitrary, Debug)]
struct Ask {
    who: u8,
    id: Id,
    /// Seconds since the last.
    gap: u8,
}

#[derive(Arbitrary, Debug)]
enum Id {
    Text(String),
    /// This far from the last number.
    Step(i8),
}

fuzz_target!(|input: Input| {
    let rule = EnumerationRule {
        distinct: input.distinct.map(|most| u32::from(most).max(1)),
        walk: input.walk.map(|most| u32::from(most).max(1)),
        step: u32::from(input.step).max(1),
        window: u64::from(input.window).max(2),
        identities: usize::from(input.identities).max(1),
    };
    let known = Enumeration::new(rule.clone(), Key(input.key));
    let memory = known.memory();
    assert_eq!(memory, rule.memory());
    let (mut now, mut number) = (0_u64, 1_000_i64);
    // What was given to the first, who is alone where there is a set for three.
    let mut given: Vec<(u64, String)> = Vec::new();
    for ask in &input.asks {
        now += u64::from(ask.gap);
        let id = match &ask.id {
            Id::Text(text) => text.clone(),
            Id::Step(step) => {
                number += i64::from(*step);
                number.to_string()
            }
        };
        let who = [ask.who % 3];
        let time = Duration::from_secs(now);
        let looked = known.look(&who, &id, time);
        assert_eq!(known.look(&who, &id, time), looked);
        let asked = known.ask(&who, &id, time);
        assert_eq!(asked, looked);
        match asked {
            Ok(()) if who == [0] => given.push((now, id)),
            Ok(()) => {}
            Err(refused) => {
                assert!(refused.retry >= Duration::from_secs(1));
                assert!(refused.retry <= Duration::from_secs(2 * rule.window + 2), "{refused:?}");
                let later = known.look(&who, &id, time + refused.retry);
                assert_ne!(later.map_err(|one| one.what), Err(refused.what), "{refused:?}");
                assert!(match refused.what {
                    TooMuch::Distinct => rule.distinct.is_some(),
                    TooMuch::Walk => rule.walk.is_some(),
                });
            }
        }
        assert_eq!(known.memory(), memory);
        if let Some(most) = rule.distinct {
            let inside = given.iter().filter(|(when, _)| when + rule.window > now).map(|(_, id)| id);
            let inside = inside.collect::<BTreeSet<_>>().len();
            // Six standard errors, and whoever is at the limit goes on with what he has.
            assert!(inside as f64 <= f64::from(most) * 1.45 + 20.0, "{inside} of {most}");
        }
    }
});
