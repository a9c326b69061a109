//! What was done is on the disk when the keeper has ended, whatever went wrong in between.

use std::{collections::BTreeMap, fs, thread};

use super::*;
use crate::lists::{ListName, Origin};

/// Lists that nobody but these tests has.
#[derive(Default)]
struct Lists(Mutex<BTreeMap<IpNet, Kept>>);

impl Source for Lists {
    fn entries(&self, after: Option<IpNet>) -> Option<Portion<Kept>> {
        let lists = self.0.lock().unwrap();
        let next = lists.iter().find(|(prefix, _)| after.is_none_or(|after| **prefix > after))?;
        Some((vec![(ListName::Ban, *next.0, next.1.clone())], *next.0))
    }

    fn events(&self) -> Vec<Event> {
        Vec::new()
    }
}

impl Lists {
    /// Adds a ban as the engine does: in the lists first, then to be kept, and nobody else in between.
    fn add(&self, keeper: &Keeper, number: u32) -> Ticket {
        let mut lists = self.0.lock().unwrap();
        let kept = Kept {
            added: None,
            until: None,
            reason: Some(format!("no. {number}")),
            origin: Origin::Operator,
        };
        lists.insert(prefix(number), kept.clone());
        keeper.push([Line::Add { list: ListName::Ban, entry: kept, prefixes: vec![prefix(number)] }])
    }

    fn remove(&self, keeper: &Keeper, number: u32) -> Ticket {
        let mut lists = self.0.lock().unwrap();
        lists.remove(&prefix(number));
        keeper.push([Line::Remove { list: ListName::Ban, prefixes: vec![prefix(number)] }])
    }

    fn are_kept_below(&self, state: &Path) {
        let loaded = Directory::below(state).load();
        assert!(loaded.damaged.is_empty(), "{:?}", loaded.damaged);
        let entries = loaded.contents.entries.into_iter();
        let kept: BTreeMap<IpNet, Kept> = entries.map(|((_, prefix), kept)| (prefix, kept)).collect();
        assert_eq!(kept, *self.0.lock().unwrap());
    }
}

fn prefix(number: u32) -> IpNet {
    std::net::IpAddr::from((0x0a00_0000 + number).to_be_bytes()).into()
}

/// Runs a keeper's threads while `work` does.
fn keeping(keeper: &Keeper, lists: &Lists, lock: Option<File>, work: impl FnOnce()) {
    thread::scope(|scope| {
        scope.spawn(|| keeper.write(lists, lock));
        scope.spawn(|| keeper.synchronise());
        work();
        keeper.finish(Duration::from_secs(30));
        // Both threads end, or this would hang.
    });
}

fn eventually(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_is_done_is_kept_and_what_was_kept_goes_on() {
    let state = tempfile::tempdir().unwrap();
    let lists = Lists::default();
    for round in 0..3 {
        let (keeper, contents, lock) = Keeper::open(state.path());
        assert_eq!(contents.entries.len(), lists.0.lock().unwrap().len());
        keeping(&keeper, &lists, lock, || {
            for number in 0..50 {
                lists.add(&keeper, round * 50 + number);
            }
            let ticket = lists.remove(&keeper, round * 50);
            eventually(|| keeper.wait(ticket) == Outcome::Written);
        });
        assert_eq!(keeper.status().pending, 0);
        lists.are_kept_below(state.path());
    }
}

#[test]
fn a_long_journal_becomes_a_snapshot_and_nothing_is_lost_meanwhile() {
    let state = tempfile::tempdir().unwrap();
    let lists = Lists::default();
    let (keeper, _, lock) = Keeper::open(state.path());
    keeping(&keeper, &lists, lock, || {
        // Each line has some 110 bytes.
        for number in 0..30_000 {
            lists.add(&keeper, number % 7_000);
            if number % 3 == 0 {
                lists.remove(&keeper, number % 5_000);
            }
        }
    });
    lists.are_kept_below(state.path());
    let length =
        |name: &str| fs::metadata(state.path().join("lists").join(name)).map_or(0, |file| file.len());
    assert!(
        length("snapshot") > 100_000 && length("journal") < 4 << 20,
        "{} {}",
        length("snapshot"),
        length("journal")
    );
}

#[test]
fn where_nothing_can_be_written_it_is_said_at_once_and_written_later() {
    let state = tempfile::tempdir().unwrap();
    // A file where the directory should be: not even root can write below it.
    let obstacle = state.path().join("state");
    fs::write(&obstacle, "").unwrap();
    let lists = Lists::default();
    let (keeper, _, lock) = Keeper::open(&obstacle);
    assert!(lock.is_none());
    keeping(&keeper, &lists, lock, || {
        let begin = Instant::now();
        for number in 0..1000 {
            let ticket = lists.add(&keeper, number);
            let Outcome::Failed(why) = keeper.wait(ticket) else { panic!("it cannot be written") };
            assert!(why.contains(&obstacle.display().to_string()), "{why}");
        }
        assert!(begin.elapsed() < Duration::from_secs(5), "nobody waits for what has failed");
        assert!(keeper.lock().queue.is_empty(), "and nothing piles up");
        fs::remove_file(&obstacle).unwrap();
        eventually(|| keeper.status().trouble.is_none());
        lists.are_kept_below(&obstacle);
        let ticket = lists.add(&keeper, 5_000);
        eventually(|| keeper.wait(ticket) == Outcome::Written);
        // Somebody tidies up.
        fs::remove_dir_all(&obstacle).unwrap();
        lists.add(&keeper, 5_001);
        eventually(|| obstacle.join("lists/snapshot").exists() && keeper.status().trouble.is_none());
    });
    lists.are_kept_below(&obstacle);
}

#[test]
fn another_agents_lists_are_neither_read_nor_written() {
    let state = tempfile::tempdir().unwrap();
    let lists = Lists::default();
    let (first, _, lock) = Keeper::open(state.path());
    keeping(&first, &lists, lock, || {
        lists.add(&first, 1);
        let (second, contents, lock) = Keeper::open(state.path());
        assert!(contents.entries.is_empty() && lock.is_none());
        let other = Lists::default();
        keeping(&second, &other, lock, || {
            other.add(&second, 2);
        });
        assert!(second.status().trouble.unwrap().0.contains("another agent"));
    });
    lists.are_kept_below(state.path());
}
