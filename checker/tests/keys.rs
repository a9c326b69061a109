//! `stopbank-checker keys`, run as a user runs it.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{
    collections::HashSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use stopbank_checker::{
    keys::{Hasher, Keys, Refused},
    secret::Secret,
};

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("keys.toml")
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stopbank-checker"));
        command.args(["keys", arguments[0], "--file"]).arg(self.file()).args(&arguments[1..]);
        command.output().unwrap()
    }

    /// What a command that succeeds prints.
    fn said(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn key(&self, arguments: &[&str]) -> String {
        self.said(arguments).trim_end().to_owned()
    }

    /// As a front end finds it.
    fn find(&self, key: &str, later: Duration) -> Result<String, Refused> {
        let keys = Keys::parse(&fs::read_to_string(self.file()).unwrap()).unwrap();
        let secret = fs::read(self.0.path().join("keys.toml.secret")).unwrap();
        let now = (SystemTime::now() + later).duration_since(UNIX_EPOCH).unwrap().as_secs();
        keys.find(&Hasher::new(&secret).unwrap(), key.as_bytes(), now).map(|entry| entry.name.clone())
    }
}

const NOW: Duration = Duration::ZERO;

#[test]
fn a_line_feed_at_the_end_is_no_part_of_the_secret() {
    let place = Place::new();
    let file = place.0.path().join("keys.toml.secret");
    fs::write(&file, format!("{}\n", "s".repeat(32))).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let key = place.key(&["add", "--name", "alice"]);
    let keys = Keys::parse(&fs::read_to_string(place.file()).unwrap()).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(keys.find(&Hasher::new(&[b's'; 32]).unwrap(), key.as_bytes(), now).is_ok());
    // One that is made here has none, whatever it is.
    let other = Place::new();
    other.key(&["add", "--name", "alice"]);
    let made = fs::read(other.0.path().join("keys.toml.secret")).unwrap();
    assert!(made.is_ascii() && Secret::of_file(made.clone()).matches(&made));
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_key_is_shown_once_and_kept_as_a_hash_that_only_its_owner_reads() {
    let place = Place::new();
    let key = place.key(&["add", "--name", "alice", "--prefix", "acme", "--class", "gold"]);
    assert!(key.starts_with("acme_") && key.len() == 52, "{key}");
    assert_eq!(place.find(&key, NOW).as_deref(), Ok("alice"));
    for entry in fs::read_dir(place.0.path()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{path:?}");
        let bytes = fs::read(&path).unwrap();
        // Its id is kept, nothing behind it.
        assert!(!bytes.windows(8).any(|window| window == &key.as_bytes()[14..22]), "{path:?}");
    }
    assert!(!place.said(&["ls"]).contains(&key[14..]));
    // A file that others could read is one no longer.
    fs::set_permissions(place.file(), fs::Permissions::from_mode(0o644)).unwrap();
    place.key(&["add", "--name", "bob"]);
    assert_eq!(mode(&place.file()), 0o600);
}

#[test]
fn keys_are_listed_for_people_and_for_programs() {
    let place = Place::new();
    assert_eq!(place.said(&["ls"]), "");
    let key = place.key(&["add", "--name", "alice", "--class", "gold", "--expires", "90d"]);
    place.key(&["add", "--name", "bob"]);
    let text = place.said(&["ls"]);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with(&key[4..12]) && lines[0].contains("good until 20"), "{text}");
    assert!(lines[1].contains("bob") && lines[1].ends_with("good for ever"), "{text}");
    let json = place.said(&["ls", "--json"]);
    let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!((first["name"].as_str(), first["class"].as_str()), (Some("alice"), Some("gold")));
    let expires = first["expires"].as_u64().unwrap() - first["created"].as_u64().unwrap();
    assert_eq!((expires, first["good"].as_bool()), (90 * 86_400, Some(true)));
    assert_eq!(place.find(&key, Duration::from_secs(90 * 86_400 + 60)), Err(Refused::Expired));
}

#[test]
fn a_rotated_key_goes_on_for_the_overlap_and_a_revoked_one_not_at_all() {
    let place = Place::new();
    let old = place.key(&["add", "--name", "alice", "--class", "gold"]);
    let new = place.key(&["rotate", "alice", "--overlap", "1h"]);
    assert_ne!(old, new);
    let (within, beyond) = (Duration::from_secs(3_500), Duration::from_secs(3_700));
    assert_eq!(place.find(&old, within).as_deref(), Ok("alice"));
    assert_eq!(place.find(&old, beyond), Err(Refused::Expired));
    assert_eq!(place.find(&new, beyond).as_deref(), Ok("alice"));
    assert!(fs::read_to_string(place.file()).unwrap().matches("class = \"gold\"").count() == 2);
    // By id that one, by name all.
    let id = &new[4..12];
    assert_eq!(place.said(&["rm", id]), format!("revoked {id} alice\n"));
    assert_eq!(place.find(&new, NOW), Err(Refused::Unknown));
    assert_eq!(place.find(&old, NOW).as_deref(), Ok("alice"));
    place.key(&["add", "--name", "alice"]);
    assert_eq!(place.said(&["rm", "alice"]).lines().count(), 2);
    assert_eq!(place.find(&old, NOW), Err(Refused::Unknown));
    for arguments in [["rm", "alice"], ["rotate", "alice"]] {
        assert_eq!(place.run(&arguments).status.code(), Some(3));
    }
}

#[test]
fn what_cannot_be_done_is_said_and_changes_nothing() {
    let place = Place::new();
    for (arguments, said) in [
        (&["add", "--name", "a b"][..], "--name is to have"),
        (&["add", "--name", "a", "--class", "\""], "--class is to have"),
        (&["add", "--name", "a", "--prefix", "A_"], "--prefix is to have"),
    ] {
        let output = place.run(arguments);
        assert!(output.stdout.is_empty() && output.status.code() == Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains(said), "{arguments:?}");
    }
    assert!(!place.file().exists());
    place.key(&["add", "--name", "a"]);
    let before = fs::read(place.file()).unwrap();
    // Without their secret, no key that is made would be of one list with those there are.
    fs::remove_file(place.0.path().join("keys.toml.secret")).unwrap();
    let output = place.run(&["add", "--name", "b"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("the secret of these keys"));
    assert!(!output.status.success() && output.stdout.is_empty());
    let secret = place.0.path().join("keys.toml.secret");
    fs::write(&secret, b"short").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    let said = String::from_utf8_lossy(&place.run(&["add", "--name", "b"]).stderr).into_owned();
    assert!(said.contains("everyone on this host"), "{said}");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(String::from_utf8_lossy(&place.run(&["add", "--name", "b"]).stderr).contains("shorter than 32"));
    assert_eq!(fs::read(place.file()).unwrap(), before);
    fs::write(place.file(), b"[[key]]\nid = 5").unwrap();
    let output = place.run(&["ls"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("line 2"), "{output:?}");
}

#[test]
fn many_at_once_lose_no_key() {
    let place = Place::new();
    place.key(&["add", "--name", "first"]);
    std::thread::scope(|scope| {
        for number in 0..16 {
            let place = &place;
            scope.spawn(move || place.key(&["add", "--name", &format!("user{number}")]));
        }
    });
    let text = place.said(&["ls"]);
    let names: HashSet<_> = text.lines().map(|line| line.split_ascii_whitespace().nth(1).unwrap()).collect();
    assert_eq!(names.len(), 17, "{text}");
}
