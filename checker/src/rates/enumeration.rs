//! Who goes through objects: how many different ids whoever asks has asked for lately, and whether one after the other. For ids that no claim can be held against.
//!
//! Different ids are counted within an error ([`super::distinct`]). A walk grows: each of its steps is to a number that is greater than
//! all before it, or smaller, by no more than a few. What is asked for in between, what is asked for again, and what lies among the numbers that were gone through neither ends nor
//! helps it. Ids that are refused count for nothing, so that whoever goes on asking does not keep himself out.

use std::{
    hash::Hasher as _,
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use siphasher::sip::SipHasher13;

use super::{
    Health,
    distinct::Distinct,
    table::{Key, State, Table},
};

/// Ids that were asked for last: they pass even where no other does.
const RECENT: usize = 16;
/// Walks that are told apart at the same time.
const RUNS: usize = 8;
/// Digits of an id that are its number; those before them tell families of ids apart, as other characters do.
const DIGITS: usize = 18;

/// How many objects one may ask for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EnumerationRule {
    /// Different ids in a window; `None`: any number.
    pub distinct: Option<u32>,
    /// Steps in a row from an id to one close to it; `None`: any number.
    pub walk: Option<u32>,
    /// How far such a step goes at most.
    pub step: u32,
    /// Length of the window, in seconds. For as long nothing new is given to whoever has walked.
    pub window: u64,
    /// How many of those who ask are kept apart at the same time.
    pub identities: usize,
}

impl Default for EnumerationRule {
    /// Nothing is bounded yet.
    fn default() -> Self {
        Self { distinct: None, walk: None, step: 4, window: 600, identities: 1 << 13 }
    }
}

impl EnumerationRule {
    /// Bytes that its table takes, whatever is in it.
    pub fn memory(&self) -> usize {
        Table::<Asked>::memory_for(self.identities)
    }
}

/// What is too much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TooMuch {
    /// As many different ids as allowed were asked for.
    Distinct,
    /// One id after the other was.
    Walk,
}

/// An id that is not to be given, and after which time it may be asked for again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Enumerated {
    /// Why.
    pub what: TooMuch,
    /// When others will pass.
    pub retry: Duration,
}

/// Counts objects that were asked for. May be used by many threads at once.
pub struct Enumeration {
    rule: EnumerationRule,
    /// Of ids: has the key already.
    hasher: SipHasher13,
    table: Table<Asked>,
    admitted: AtomicU64,
    refused: AtomicU64,
}

/// Numbers that were gone through, in steps at either end of them.
#[derive(Clone, Copy)]
struct Run {
    low: u64,
    high: u64,
    /// Of the last step: seconds.
    when: u64,
    /// One more than the steps.
    ids: NonZeroU32,
}

/// What one has asked for.
#[derive(Clone, Default)]
struct Asked {
    distinct: Distinct,
    count: u32,
    recent: [u32; RECENT],
    next: usize,
    runs: [Option<Run>; RUNS],
    /// Until when nothing new is given, when it was asked last, and until when anything of it matters: seconds.
    walked: u64,
    last: u64,
    kept: u64,
}

impl State for Asked {
    fn rank(&self, now: u64) -> Option<(u64, u64)> {
        // Whoever has walked has asked for more than whoever has not.
        let walked = if self.walked > now { 1 << 32 } else { 0 };
        let longest = self.runs.iter().flatten().map(|run| run.ids.get()).max().unwrap_or_default();
        (self.kept > now).then_some((walked + u64::from(self.count.max(longest)), self.last))
    }
}

/// An id, hashed, and the number in it.
#[derive(Clone, Copy)]
struct Object {
    hash: u64,
    number: Option<u64>,
}

impl Asked {
    /// Forgets what is over.
    fn turn(&mut self, window: u64, now: u64) {
        if self.kept <= now {
            *self = Self::default();
        }
        if self.distinct.turn(now / Distinct::half_of(window)) {
            self.count = self.distinct.count();
        }
        for run in &mut self.runs {
            *run = run.filter(|run| now.saturating_sub(run.when) < window);
        }
    }

    fn ask(&mut self, object: Object, rule: &EnumerationRule, now: u64) -> Result<(), Enumerated> {
        self.turn(rule.window, now);
        let fingerprint = (object.hash as u32) | 1;
        if !self.recent.contains(&fingerprint) {
            if self.walked > now {
                return Err(self.refused(TooMuch::Walk, rule, now));
            }
            if rule.distinct.is_some_and(|most| self.count >= most) {
                return Err(self.refused(TooMuch::Distinct, rule, now));
            }
            if let (Some(most), Some(number)) = (rule.walk, object.number)
                && self.step(number, u64::from(rule.step), most, now).is_err()
            {
                self.walked = now.saturating_add(rule.window);
                return Err(self.refused(TooMuch::Walk, rule, now));
            }
            if let Some(place) = self.recent.get_mut(self.next % RECENT) {
                *place = fingerprint;
            }
            self.next = (self.next + 1) % RECENT;
        }
        if self.distinct.add(object.hash) {
            self.count = self.distinct.count();
        }
        self.last = now;
        self.kept = now.saturating_add(rule.window.saturating_mul(2));
        Ok(())
    }

    fn refused(&self, what: TooMuch, rule: &EnumerationRule, now: u64) -> Enumerated {
        let until = match what {
            TooMuch::Walk => self.walked,
            TooMuch::Distinct => {
                let half = Distinct::half_of(rule.window);
                let fewer =
                    |turns: &usize| rule.distinct.is_none_or(|most| self.distinct.count_after(*turns) < most);
                let turns = (1..3).find(fewer).unwrap_or(3);
                (now / half).saturating_add(turns as u64).saturating_mul(half)
            }
        };
        Enumerated { what, retry: Duration::from_secs(until.saturating_sub(now).max(1)) }
    }

    /// Notes a number.
    ///
    /// # Errors
    ///
    /// It would be a step too many.
    fn step(&mut self, number: u64, far: u64, most: u32, now: u64) -> Result<(), ()> {
        // Numbers of families are anywhere, and may go round the end.
        let beyond = |run: &Run| number.wrapping_sub(run.high).min(run.low.wrapping_sub(number));
        let goes_on = |run: &&mut Run| (1..=far).contains(&beyond(run));
        if let Some(run) = self.runs.iter_mut().flatten().filter(goes_on).max_by_key(|run| run.ids) {
            if run.ids.get() > most {
                return Err(());
            }
            if number.wrapping_sub(run.high) <= far {
                run.high = number;
            } else {
                run.low = number;
            }
            (run.ids, run.when) = (run.ids.saturating_add(1), now);
            return Ok(());
        }
        let within = |run: &Run| number.wrapping_sub(run.low) <= run.high.wrapping_sub(run.low);
        if self.runs.iter().flatten().any(within) {
            return Ok(());
        }
        // The shortest makes room, so that no walk is hidden by what is asked for in between.
        let length = |run: &&mut Option<Run>| run.map(|run| (run.ids, run.when));
        if let Some(place) = self.runs.iter_mut().min_by_key(length) {
            *place = Some(Run { low: number, high: number, when: now, ids: NonZeroU32::MIN });
        }
        Ok(())
    }
}

impl Enumeration {
    /// Takes all the memory that it will ever have. `key` is random, and secret: nobody can choose ids, or names of his own, that meet.
    pub fn new(rule: EnumerationRule, key: Key) -> Self {
        let table = Table::new(key, "enumeration", rule.identities);
        let mut hasher = SipHasher13::new_with_key(&key.0);
        hasher.write(b"id");
        Self { rule, hasher, table, admitted: AtomicU64::new(0), refused: AtomicU64::new(0) }
    }

    /// Bytes of the table, whatever is in it.
    pub fn memory(&self) -> usize {
        self.table.memory()
    }

    /// Whether `who` may ask for an object, and that it was asked for if so. `now` is by a clock that never goes back.
    ///
    /// # Errors
    ///
    /// It is too much.
    pub fn ask(&self, who: &[u8], id: &str, now: Duration) -> Result<(), Enumerated> {
        let (object, now) = (self.object(id), now.as_secs());
        let asked = self.table.with(who, now, |asked| asked.ask(object, &self.rule, now));
        let counter = if asked.is_ok() { &self.admitted } else { &self.refused };
        counter.fetch_add(1, Ordering::Relaxed);
        asked
    }

    /// The same, where it is only a question: nothing is counted.
    ///
    /// # Errors
    ///
    /// It is too much.
    pub fn look(&self, who: &[u8], id: &str, now: Duration) -> Result<(), Enumerated> {
        let now = now.as_secs();
        self.table.peek(who, now).ask(self.object(id), &self.rule, now)
    }

    /// How it is doing. Looks at every slot of the table.
    pub fn health(&self, now: Duration) -> Health {
        let table = self.table.state();
        Health {
            admitted: self.admitted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            forgotten: table.forgotten,
            occupied: self.table.occupied(now.as_secs()) as u64,
            room: table.room as u64,
            memory: table.memory as u64,
        }
    }

    /// The last digits of an id are its number. What stands around them is its family: `A-1` and `B-2` are not close to each other.
    fn object(&self, id: &str) -> Object {
        let hash = |parts: &[&str]| {
            let mut hasher = self.hasher;
            for part in parts {
                hasher.write_u64(part.len() as u64);
                hasher.write(part.as_bytes());
            }
            hasher.finish()
        };
        let is_digit = |byte: u8| byte.is_ascii_digit();
        let number = id.bytes().rposition(is_digit).and_then(|last| {
            let (head, tail) = id.split_at_checked(last + 1)?;
            let digits = head.bytes().rev().take_while(|byte| is_digit(*byte)).take(DIGITS).count();
            let (family, digits) = head.split_at_checked(head.len() - digits)?;
            Some(hash(&[family, tail]).wrapping_add(digits.parse::<u64>().ok()?))
        });
        Object { hash: hash(&[id]), number }
    }
}
