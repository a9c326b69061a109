//! Files are read as they were written; what is damaged is set aside, and what of it is good counts.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::{
    lists::Origin,
    state::{Action, Event},
};

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn kept(reason: &str) -> Kept {
    Kept { added: Some(5), until: None, reason: Some(reason.to_owned()), origin: Origin::Operator }
}

fn add(prefix: &str, reason: &str) -> Line {
    Line::Add { list: ListName::Ban, entry: kept(reason), prefixes: vec![net(prefix)] }
}

fn remove(prefix: &str) -> Line {
    Line::Remove { list: ListName::Ban, prefixes: vec![net(prefix)] }
}

fn snapshot(directory: &Directory, number: u64, lines: &[Line]) {
    let mut portions = lines.chunks(2);
    directory.write_snapshot(number, || portions.next().map(<[Line]>::to_vec)).unwrap();
}

fn append(directory: &Directory, first: u64, lines: &[Line]) {
    let mut text = Vec::new();
    lines.iter().zip(first..).for_each(|(line, number)| encode(&mut text, number, line));
    directory.journal().unwrap().append(&text).unwrap();
}

fn bans(loaded: &Loaded) -> Vec<(String, String)> {
    let entries = loaded.contents.entries.iter();
    entries.map(|((_, prefix), kept)| (prefix.to_string(), kept.reason.clone().unwrap())).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(prefix, reason)| ((*prefix).to_owned(), (*reason).to_owned())).collect()
}

fn made() -> (tempfile::TempDir, Directory) {
    let state = tempfile::tempdir().unwrap();
    let directory = Directory::below(&state.path().join("not/there/yet"));
    drop(directory.lock().unwrap());
    (state, directory)
}

#[test]
fn the_journal_is_read_after_the_snapshot_and_only_what_that_does_not_cover() {
    let (_state, directory) = made();
    assert_eq!(directory.load(), Loaded::default(), "nothing is there yet");
    append(&directory, 1, &[add("192.0.2.1/32", "a"), add("192.0.2.2/32", "b")]);
    assert_eq!(bans(&directory.load()), pairs(&[("192.0.2.1/32", "a"), ("192.0.2.2/32", "b")]));
    // A crash came between the snapshot and the emptying of the journal.
    snapshot(&directory, 3, &[add("192.0.2.2/32", "newer")]);
    assert_eq!(bans(&directory.load()), pairs(&[("192.0.2.2/32", "newer")]));
    append(&directory, 4, &[add("192.0.2.3/32", "c"), remove("192.0.2.2/32")]);
    let loaded = directory.load();
    assert_eq!(bans(&loaded), pairs(&[("192.0.2.3/32", "c")]));
    assert_eq!((loaded.contents.last, loaded.untidy, loaded.damaged.len()), (5, false, 0));
    for (name, mode) in [("", 0o700), ("snapshot", 0o600), ("journal", 0o600)] {
        let path = directory.path().join(name);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode, "{name}");
    }
}

#[test]
fn half_a_line_at_the_end_of_the_journal_is_a_crash_and_no_damage() {
    let (_state, directory) = made();
    append(&directory, 1, &[add("192.0.2.1/32", "a"), add("192.0.2.2/32", "b")]);
    let path = directory.path().join(JOURNAL);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 5]).unwrap();
    let loaded = directory.load();
    assert_eq!(bans(&loaded), pairs(&[("192.0.2.1/32", "a")]));
    assert!(loaded.untidy && loaded.damaged.is_empty(), "{loaded:?}");
}

#[test]
fn a_damaged_file_is_set_aside_and_named_and_costs_only_its_bad_lines() {
    for (name, expected) in [
        (SNAPSHOT, [("192.0.2.2/32", "b"), ("192.0.2.3/32", "c")]),
        (JOURNAL, [("192.0.2.1/32", "a"), ("192.0.2.2/32", "b")]),
    ] {
        let (_state, directory) = made();
        snapshot(&directory, 7, &[add("192.0.2.1/32", "a"), add("192.0.2.2/32", "b")]);
        append(&directory, 8, &[add("192.0.2.3/32", "c")]);
        let path = directory.path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        bytes[MAGIC.len() + 30] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let loaded = directory.load();
        assert_eq!(bans(&loaded), pairs(&expected), "{name}");
        assert!(loaded.untidy);
        let aside = directory.path().join(format!("{name}.damaged"));
        let said = &loaded.damaged[0];
        assert!(
            said.contains(&path.display().to_string()) && said.contains(&aside.display().to_string()),
            "{said}"
        );
        assert!(said.contains("line 2"), "{said}");
        assert!(!path.exists() && fs::read(&aside).unwrap() == bytes);
    }
}

#[test]
fn what_is_no_file_of_ours_is_set_aside_unread() {
    let (_state, directory) = made();
    append(&directory, 1, &[add("192.0.2.1/32", "a")]);
    let path = directory.path().join(SNAPSHOT);
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    assert!(directory.load().damaged[0].contains("symbolic link"));
    fs::remove_file(directory.path().join("snapshot.damaged")).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(directory.load().damaged[0].contains("not a regular file"));
    fs::remove_dir(directory.path().join("snapshot.damaged")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    assert!(directory.load().damaged[0].contains("not a regular file"), "and nobody waits for its writer");
    File::create(&path).unwrap().set_len(LARGEST + 1).unwrap();
    assert!(directory.load().damaged[0].contains("larger than any"));
    fs::write(&path, "stopbank lists 2\nof the future\n").unwrap();
    let loaded = directory.load();
    assert!(loaded.damaged[0].contains("another version") && loaded.damaged[0].contains(".other-version"));
    assert_eq!(bans(&loaded), pairs(&[("192.0.2.1/32", "a")]), "the journal counts");
}

#[test]
fn entries_that_are_alike_share_a_line() {
    let entries = (0..600_u32).map(|i| {
        let reason = if i < 300 { "a" } else { "b" };
        (ListName::Ban, IpNet::from(std::net::IpAddr::from(i.to_be_bytes())), kept(reason))
    });
    let lengths = grouped(entries).into_iter().map(|line| match line {
        Line::Add { prefixes, .. } => prefixes.len(),
        _ => 0,
    });
    assert_eq!(lengths.collect::<Vec<_>>(), [256, 44, 256, 44]);
}

#[test]
fn another_agent_is_kept_out() {
    let (_state, directory) = made();
    let lock = directory.lock().unwrap();
    assert!(directory.lock().unwrap_err().to_string().contains("another agent"));
    drop(lock);
    directory.lock().unwrap();
}

#[test]
fn events_are_remembered() {
    let (_state, directory) = made();
    let event = Event::new(Action::Remove, ListName::Ban, &[net("192.0.2.1/32")]);
    snapshot(&directory, 1, &[Line::Event(event.clone())]);
    append(&directory, 2, &[Line::Event(event.clone())]);
    assert_eq!(directory.load().contents.history.iter().collect::<Vec<_>>(), [&event, &event]);
}
