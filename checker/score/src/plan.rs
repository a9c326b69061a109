//! Which requests are judged, and under which set each counts.

use std::collections::BTreeMap;

use crate::{
    case::{Case, Label, Split, digest},
    render::{self, Context, Wrap},
    table::{self, Key},
};

/// So many attacks of a class are put into each of the contexts besides the query.
const PER_CONTEXT: usize = 1_000;

/// A request to judge.
pub(crate) struct Trial {
    /// Where it counts.
    pub(crate) key: Key,
    /// What was put into it, where it is not a whole request of the set.
    pub(crate) value: Option<String>,
    /// As it goes over the wire.
    pub(crate) request: Vec<u8>,
}

/// The requests of one half, of the sets whose name begins with `set`.
///
/// A value is judged in a query; an attack also in base64 and escaped twice (`SET+base64`, `SET+double-url`), benign values also in JSON
/// (`benign-values+json`). Of the attacks of each class a sample is put into the other contexts (`attacks+form`, `attacks+json`, …).
pub(crate) fn trials(cases: &[Case], split: Split, set: Option<&str>) -> Vec<Trial> {
    let mut trials = Vec::new();
    let mut sample: BTreeMap<&str, BTreeMap<[u8; 32], &str>> = BTreeMap::new();
    for case in cases.iter().filter(|case| case.split == split) {
        let key = |suffix: &str| (format!("{}{suffix}", case.set), case.class.clone(), case.label);
        let Some(value) = &case.value else {
            if let Some(request) = case.request() {
                trials.push(Trial { key: key(""), value: None, request });
            }
            continue;
        };
        let wraps = if case.label == Label::Attack { &Wrap::ALL[..] } else { &Wrap::ALL[..1] };
        for wrap in wraps {
            push(&mut trials, key(wrap.suffix()), Context::Query, &wrap.apply(value));
        }
        if case.label == Label::Attack && table::VALUES.contains(&case.set.as_str()) {
            sample.entry(&case.class).or_default().insert(digest(value.as_bytes()), value);
        }
        if case.set == "benign-values" {
            push(&mut trials, key("+json"), Context::Json, value);
        }
    }
    for (class, values) in sample {
        for value in values.into_values().take(PER_CONTEXT) {
            for context in Context::OTHERS {
                let set = format!("attacks+{}", context.name());
                push(&mut trials, (set, class.to_owned(), Label::Attack), context, value);
            }
        }
    }
    trials.retain(|trial| set.is_none_or(|set| trial.key.0.starts_with(set)));
    trials
}

fn push(trials: &mut Vec<Trial>, key: Key, context: Context, value: &str) {
    if let Some(request) = render::request(context, value) {
        trials.push(Trial { key, value: Some(value.to_owned()), request });
    }
}

/// The places of at most `most` trials of each row, the same ones each time.
pub(crate) fn sample(trials: &[Trial], most: usize) -> Vec<usize> {
    let mut rows: BTreeMap<&Key, BTreeMap<[u8; 32], usize>> = BTreeMap::new();
    for (index, trial) in trials.iter().enumerate() {
        rows.entry(&trial.key).or_default().insert(digest(&trial.request), index);
    }
    rows.into_values().flat_map(|row| row.into_values().take(most)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(set: &str, label: Label, split: Split, value: &str) -> Case {
        Case::value(set, "sqli", label, split, value.to_owned())
    }

    #[test]
    fn an_attack_is_judged_in_every_wrapping_and_context_and_the_other_half_is_not() {
        let cases = [
            case("fuzzdb", Label::Attack, Split::Report, "' or 1=1"),
            case("fuzzdb", Label::Attack, Split::Tune, "' or 2=2"),
            case("benign-values", Label::Benign, Split::Report, "two or one"),
        ];
        let sets: Vec<String> =
            trials(&cases, Split::Report, None).iter().map(|trial| trial.key.0.clone()).collect();
        let expected = [
            "fuzzdb",
            "fuzzdb+base64",
            "fuzzdb+double-url",
            "benign-values",
            "benign-values+json",
            "attacks+form",
            "attacks+json",
            "attacks+header",
            "attacks+cookie",
            "attacks+path",
        ];
        assert_eq!(sets, expected);
        assert_eq!(trials(&cases, Split::Report, Some("benign")).len(), 2);
        assert!(
            trials(&cases, Split::Report, None)
                .iter()
                .all(|trial| !trial.request.windows(3).any(|part| part == b"2=2"))
        );
    }

    #[test]
    fn a_sample_has_some_of_every_row() {
        let cases: Vec<Case> = (0..50)
            .map(|number| {
                case(
                    if number < 9 { "fuzzdb" } else { "payloads" },
                    Label::Benign,
                    Split::Tune,
                    &format!("v {number}"),
                )
            })
            .collect();
        let trials = trials(&cases, Split::Tune, None);
        assert_eq!(sample(&trials, 5).len(), 10);
        assert_eq!(sample(&trials, 20).len(), 29);
        assert_eq!(sample(&trials, 5), sample(&trials, 5));
    }
}
