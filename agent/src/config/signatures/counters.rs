//! Where the matches of signatures are counted. A counter stays with its signature's name: through reloads and restarts, and
//! wherever the signature stands in the file, whose order is that in which signatures are asked.

use stopbank_common::{
    hash::class_salt,
    policy::{Kept, MAX_SIGNATURES},
};

use super::super::model::SignatureRule;

/// The counters of a policy's signatures.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SignatureCounters {
    /// By name, in the order of the configuration.
    names: Vec<(u32, String)>,
    /// Those that another signature had, of which nothing is asked any more: what they hold is not the new one's.
    reused: Vec<u32>,
}

impl SignatureCounters {
    /// Every signature's counter and name, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        self.names.iter().map(|(counter, name)| (*counter, name.as_str()))
    }

    /// Counters that must begin anew once the policy is in force.
    pub fn reused(&self) -> &[u32] {
        &self.reused
    }
}

/// Gives every signature its counter: the one that it had, else one that was never given, else one whose signature is gone.
pub(in crate::config) fn number(rules: &[SignatureRule], kept: &mut Kept) -> SignatureCounters {
    let wanted: Vec<u32> = rules.iter().map(|rule| class_salt(&rule.name)).collect();
    let mut counters = SignatureCounters::default();
    for (rule, &salt) in rules.iter().zip(&wanted) {
        let find = |is: &dyn Fn(u32) -> bool| (0..MAX_SIGNATURES).find(|&at| is(kept.signatures[at]));
        let own = find(&|kept| kept == salt).or_else(|| find(&|kept| kept == 0));
        let at = own.or_else(|| find(&|kept| !wanted.contains(&kept)));
        // The configuration holds no more signatures than there are counters.
        let Some(at) = at else { continue };
        kept.signatures[at] = salt;
        if own.is_none() {
            counters.reused.push(at as u32);
        }
        counters.names.push((at as u32, rule.name.clone()));
    }
    counters
}

#[cfg(test)]
mod tests {
    use super::*;
    use stopbank_common::signature::Signature;

    fn rules(names: impl IntoIterator<Item = String>) -> Vec<SignatureRule> {
        names.into_iter().map(|name| SignatureRule { name, matches: Signature::default() }).collect()
    }

    fn counter(counters: &SignatureCounters, name: &str) -> Option<u32> {
        counters.iter().find(|(_, other)| *other == name).map(|(counter, _)| counter)
    }

    #[test]
    fn a_counter_stays_with_its_name() {
        let mut kept = Kept::default();
        let named = |names: &[&str]| rules(names.iter().map(|&name| name.to_owned()));
        let first = number(&named(&["a", "b", "c"]), &mut kept);
        let second = number(&named(&["c", "d", "a"]), &mut kept);
        for name in ["a", "c"] {
            assert_eq!(counter(&first, name), counter(&second, name), "{name}");
        }
        assert_eq!(counter(&second, "d"), Some(3), "b's is not taken while others were never given");
        let third = number(&named(&["b"]), &mut kept);
        assert_eq!(counter(&third, "b"), counter(&first, "b"), "b finds its own again");
        assert!(first.reused().is_empty() && second.reused().is_empty() && third.reused().is_empty());
    }

    #[test]
    fn a_counter_that_was_anothers_begins_anew() {
        let mut kept = Kept::default();
        let of = |range: std::ops::Range<usize>| rules(range.map(|i| format!("s{i}")));
        number(&of(0..MAX_SIGNATURES), &mut kept);
        let next = number(&of(1..MAX_SIGNATURES + 1), &mut kept);
        assert_eq!(counter(&next, "s1"), Some(1));
        assert_eq!((counter(&next, &format!("s{MAX_SIGNATURES}")), next.reused()), (Some(0), &[0][..]));
        let all = number(&of(100..100 + MAX_SIGNATURES), &mut kept);
        let mut counters: Vec<u32> = all.iter().map(|(counter, _)| counter).collect();
        counters.sort_unstable();
        assert_eq!(counters, (0..MAX_SIGNATURES as u32).collect::<Vec<_>>());
        assert_eq!(all.reused().len(), MAX_SIGNATURES);
    }
}
