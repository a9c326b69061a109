//! Copies are read as they were written, or not at all.

use super::*;

fn list(action: ListAction) -> ListFile {
    ListFile {
        name: "drop".to_owned(),
        path: "/lists/drop".into(),
        format: Format::Auto,
        action,
        countries: vec!["NZ".to_owned()],
        asns: vec![64_500],
    }
}

fn set(prefixes: &[&str], verdict: u8) -> PrefixSet {
    let mut set = PrefixSet::default();
    prefixes.iter().for_each(|prefix| set.push(prefix.parse().unwrap(), verdict));
    set.finish();
    set
}

fn content(set: &PrefixSet) -> ContentRef<'_> {
    let read = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    ContentRef { set, format: Format::Mmdb, skipped: 5, read }
}

const PREFIXES: [&str; 4] = ["192.0.2.0/24", "192.0.2.0/25", "198.51.100.7/32", "2001:db8::/32"];

#[test]
fn what_is_saved_is_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let copies = Copies::below(&directory.path().join("not/there/yet"));
    for (action, verdict) in [(ListAction::Deny, VERDICT_DENY), (ListAction::Allow, VERDICT_ALLOW)] {
        let list = ListFile { name: action.name().to_owned(), ..list(action) };
        assert_eq!(copies.load(&list).unwrap(), None);
        for prefixes in [&PREFIXES[..], &PREFIXES[..1], &PREFIXES[3..], &[]] {
            let set = set(prefixes, verdict);
            copies.save(&list, &content(&set)).unwrap();
            let loaded = copies.load(&list).unwrap().unwrap();
            assert_eq!((&loaded.set, loaded.format, loaded.skipped), (&set, Format::Mmdb, 5));
            assert_eq!(loaded.read, content(&set).read);
        }
    }
    let mut names: Vec<_> =
        fs::read_dir(&copies.directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["allow.copy", "deny.copy"], "nothing else is left");
}

#[test]
fn a_copy_of_another_list_is_not_used_and_stays() {
    let directory = tempfile::tempdir().unwrap();
    let copies = Copies::below(directory.path());
    let original = list(ListAction::Deny);
    let denied = set(&PREFIXES, VERDICT_DENY);
    copies.save(&original, &content(&denied)).unwrap();
    for (key, other) in [
        ("path", ListFile { path: "/lists/other".into(), ..original.clone() }),
        ("format", ListFile { format: Format::Mmdb, ..original.clone() }),
        ("action", ListFile { action: ListAction::Allow, ..original.clone() }),
        ("countries", ListFile { countries: Vec::new(), ..original.clone() }),
        ("asns", ListFile { asns: vec![1], ..original.clone() }),
    ] {
        let error = copies.load(&other).unwrap_err();
        assert!(error.to_string().contains(&format!("another `{key}`")), "{error}");
    }
    assert!(copies.load(&original).unwrap().is_some());
    let path = copies.path(&original);
    let newer = fs::read(&path).unwrap();
    fs::write(&path, [b"stopbank list copy 2\n", &newer[MAGIC.len()..]].concat()).unwrap();
    let error = copies.load(&original).unwrap_err();
    assert!(error.to_string().contains("another version of stopbank"), "{error}");
    assert!(path.exists());
}

#[test]
fn a_copy_with_any_bit_wrong_or_cut_anywhere_is_set_aside() {
    let directory = tempfile::tempdir().unwrap();
    let copies = Copies::below(directory.path());
    let (list, denied) = (list(ListAction::Deny), set(&PREFIXES, VERDICT_DENY));
    copies.save(&list, &content(&denied)).unwrap();
    let path = copies.path(&list);
    let aside = path.with_extension("copy.damaged");
    let good = fs::read(&path).unwrap();
    let version = MAGIC_OF_ANY.len()..MAGIC.len();
    let flipped = (0..good.len()).filter(|at| !version.contains(at)).map(|at| {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        bytes
    });
    let cut = (0..good.len()).map(|length| good[..length].to_vec());
    let longer = [[good.as_slice(), b"\0"].concat()];
    let mut damaged = 0;
    for bytes in flipped.chain(cut).chain(longer) {
        fs::write(&path, &bytes).unwrap();
        let error = copies.load(&list).unwrap_err();
        let CopyError::Damaged { aside: said, .. } = &error else { panic!("{error}") };
        assert!(said.contains(&*aside.to_string_lossy()), "{error}");
        assert!(!path.exists() && fs::read(&aside).unwrap() == bytes);
        assert!(copies.load(&list).unwrap().is_none(), "it is not read again");
        damaged += 1;
    }
    assert!(damaged > 2 * good.len() - 10);
    copies.save(&list, &content(&denied)).unwrap();
    assert_eq!(copies.load(&list).unwrap().unwrap().set, denied);
}

/// The checksum tells damage, not malice; what would harm the index is refused all the same.
#[test]
fn prefixes_that_no_list_file_could_have_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let copies = Copies::below(directory.path());
    let list = list(ListAction::Deny);
    for wrong in [
        set(&["192.0.2.0/24"], VERDICT_ALLOW),
        set(&["192.0.2.0/24"], 77),
        set(&["0.0.0.0/0"], VERDICT_DENY),
        set(&["::/0"], VERDICT_DENY),
        set(&["::ffff:192.0.2.0/120"], VERDICT_DENY),
    ] {
        copies.save(&list, &content(&wrong)).unwrap();
        let error = copies.load(&list).unwrap_err();
        assert!(error.to_string().contains("prefixes that no list has"), "{error}: {wrong:?}");
    }
    // More of them than there can be, in a head that says so: nothing is taken from the heap for them.
    copies.save(&list, &content(&set(&PREFIXES, VERDICT_DENY))).unwrap();
    let text = fs::read(copies.path(&list)).unwrap();
    let text =
        String::from_utf8_lossy(&text[..text.len() - 40]).replace("\"ipv4\":3", "\"ipv4\":99999999999999");
    fs::write(copies.path(&list), text).unwrap();
    assert!(copies.load(&list).unwrap_err().to_string().contains("length"));
}

#[test]
fn what_is_no_file_is_set_aside_without_waiting_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let copies = Copies::below(directory.path());
    let list = list(ListAction::Deny);
    let path = copies.path(&list);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let fifo = || {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    };
    let (folder, link) =
        (|| fs::create_dir(&path).unwrap(), || std::os::unix::fs::symlink("/dev/zero", &path).unwrap());
    let make: [(&str, &dyn Fn()); 3] =
        [("regular file", &folder), ("symbolic link", &link), ("regular file", &fifo)];
    for (said, make) in make {
        make();
        let error = copies.load(&list).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
        assert!(fs::symlink_metadata(&path).is_err(), "{error}");
        let aside = path.with_extension("copy.damaged");
        if fs::remove_file(&aside).is_err() {
            fs::remove_dir(&aside).unwrap();
        }
    }
    // What stands in the way of a new copy is no reason to lose the old one.
    let denied = set(&PREFIXES, VERDICT_DENY);
    copies.save(&list, &content(&denied)).unwrap();
    fs::create_dir(copies.directory.join(".drop.new")).unwrap();
    copies.save(&list, &content(&PrefixSet::default())).unwrap_err();
    assert_eq!(copies.load(&list).unwrap().unwrap().set, denied);
}
