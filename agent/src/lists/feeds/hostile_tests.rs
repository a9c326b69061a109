//! Files as somebody would make them who wants the agent to fail: each is an error that says why, at once, and what was good
//! before stays in force.

use std::{
    fs::{self, File},
    io::{self, Read, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{FileExt as _, symlink},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use super::{files::whole, *};

fn list(path: &Path, format: Format, countries: &[&str]) -> ListFile {
    ListFile {
        name: "test".to_owned(),
        path: path.to_owned(),
        format,
        action: ListAction::Deny,
        countries: countries.iter().map(|&code| code.to_owned()).collect(),
        asns: Vec::new(),
    }
}

/// Puts something at a path.
type Maker<'m> = &'m dyn Fn(&Path);

/// Puts something where a good file was: how it is refused, and within what time.
fn refused(hostile: impl Fn(&Path)) -> (String, Duration) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("list");
    let copies = Copies::below(directory.path());
    let configured = [list(&path, Format::Auto, &[])];
    fs::write(&path, "192.0.2.1\n2001:db8::/32\n").unwrap();
    let good = Files::read(&configured, &Files::default(), &copies, SystemTime::now());
    fs::remove_file(&path).unwrap();
    hostile(&path);
    let begin = Instant::now();
    let bad = Files::read(&configured, &good, &copies, SystemTime::now());
    let time = begin.elapsed();
    assert!(bad.same_prefixes(&good) && bad.merged().len() == 2, "what was good stays");
    let error = bad.iter().next().unwrap().error.clone().unwrap();
    assert!(!error.chars().any(char::is_control), "{error:?}");
    let error = error.strip_prefix(&format!("{}: ", path.display())).expect("it names the file").to_owned();
    (error, time)
}

#[test]
fn what_is_no_file_is_refused_at_once() {
    let fifo = |path: &Path| {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    };
    let (directory, nothing) = (|path: &Path| fs::create_dir(path).unwrap(), |_: &Path| {});
    let round = |path: &Path| symlink(path, path).unwrap();
    let device = |path: &Path| symlink("/dev/zero", path).unwrap();
    let hostile: [(&str, Maker<'_>); 5] = [
        ("it is not a regular file", &fifo),
        ("it is not a regular file", &directory),
        ("it is not a regular file", &device),
        ("cannot read it: Too many levels of symbolic links (os error 40)", &round),
        ("cannot read it: No such file or directory (os error 2)", &nothing),
    ];
    for (expected, make) in hostile {
        let (error, time) = refused(make);
        assert_eq!(error, expected);
        assert!(time < Duration::from_secs(1), "{error}: {time:?}");
    }
}

#[test]
fn ten_gibibytes_of_nothing_are_not_read() {
    let (error, time) = refused(|path| File::create(path).unwrap().set_len(10 << 30).unwrap());
    assert_eq!(error, "it is larger than 256 MiB");
    assert!(time < Duration::from_secs(1), "{time:?}");
    let (error, _) = refused(|path| File::create(path).unwrap().set_len(32 << 20).unwrap());
    assert_eq!(error, "line 1: it is longer than 4096 bytes");
}

#[test]
fn lines_that_no_list_has_are_named_and_shown_without_harm() {
    let long = "1".repeat(8 << 20);
    for (line, expected) in [
        (&b"192.0.2.1\0\n"[..], "line 2: "),
        (b"\0\n", "line 2: "),
        (b"\xff\xfe1\0\n", "line 2: it is not UTF-8"),
        (b"\x1b[2J\x07192.0.2.1\n", "line 2: "),
        (long.as_bytes(), "line 2: it is longer than 4096 bytes"),
        (b"192.0.2.1,,,,,,,,,,,,,,,,,,,,,,,\n", "line 2: "),
        ("１９２.0.2.1\n".as_bytes(), "line 2: "),
        (b"192.0.2.1/24/24\n", "line 2: "),
        (b"192.0.2.1 192.0.2.2\n", "line 2: "),
    ] {
        let (error, _) = refused(|path| fs::write(path, [b"198.51.100.1\n", line].concat()).unwrap());
        assert!(error.starts_with(expected), "{error}");
        assert!(error.len() < 300, "{error}");
    }
}

#[test]
fn values_nested_without_end_are_refused() {
    for text in [
        "[".repeat(1 << 20),
        format!("{{\"cidr\":{}", "[".repeat(4_000)),
        format!("[{}", "{\"value\":".repeat(1 << 18)),
        format!("[{{\"value\":\"{}\"}}]", "1".repeat(1 << 20)),
    ] {
        let (error, time) = refused(|path| fs::write(path, &text).unwrap());
        assert!(error.len() < 400, "{error}");
        assert!(time < Duration::from_secs(5), "{error}: {time:?}");
    }
}

/// Reads a file by pieces, and after so many of them has somebody write to it.
struct Meddled<'f> {
    file: &'f File,
    pieces: usize,
    meddle: &'f dyn Fn(),
}

impl Read for Meddled<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.pieces == 0 {
            (self.meddle)();
        }
        self.pieces = self.pieces.wrapping_sub(1);
        let length = buffer.len().min(1_000);
        let mut file = self.file;
        file.read(&mut buffer[..length])
    }
}

/// Whenever a write falls between the first piece and the end of the file, and whatever it does to its length.
#[test]
fn a_file_that_is_written_to_while_it_is_read_is_not_taken() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("list");
    let text = "192.0.2.1\n".repeat(1_000);
    let read = |pieces: usize, meddle: &dyn Fn(&File)| {
        fs::write(&path, &text).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        // Kernels before 6.13 tell times apart by the tick: what was written long ago is told from what is written now.
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let metadata = file.metadata().unwrap();
        let outcome = whole(&file, &metadata, Meddled { file: &file, pieces, meddle: &|| meddle(&file) });
        outcome.map_err(|error| error.to_string())
    };
    // Ten pieces, and the one that finds the end.
    for pieces in 0..=10 {
        let meddlers: [&dyn Fn(&File); 5] = [
            &|file: &File| file.write_all_at(b"192.0.2.2", 0).unwrap(),
            &|file: &File| file.write_all_at(b"192.0.2.2", 9_990).unwrap(),
            &|file: &File| file.write_all_at(b"192.0.2.2\n", 10_000).unwrap(),
            &|file: &File| file.set_len(5_000).unwrap(),
            &|file: &File| file.set_len(0).unwrap(),
        ];
        for meddle in meddlers {
            assert_eq!(read(pieces, meddle), Err("it changed while it was read".to_owned()), "{pieces}");
        }
    }
    assert_eq!(read(usize::MAX, &|_| ()), Ok(text.into_bytes()));
}

/// A real writer all the time. (When exactly it writes cannot be known from outside: that is the test before this one.)
#[test]
fn a_file_that_changes_all_the_time_is_not_taken_until_that_ends() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("list");
    fs::write(&path, "192.0.2.1\n".repeat(3 << 20)).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut file = File::options().write(true).open(&path).unwrap();
            while !stop.load(Ordering::Relaxed) {
                file.seek(SeekFrom::Start(0)).unwrap();
                for _ in 0..1_000 {
                    file.write_all(b"192.0.2.2\n").unwrap();
                }
            }
        });
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let begin = Instant::now();
            let mut refused = 0;
            while refused < 5 {
                match read(&list(&path, Format::Plain, &[]), SystemTime::now()) {
                    Err(ReadError::NotAList(why)) if why == "it changed while it was read" => refused += 1,
                    // The writer had to wait.
                    Ok(_) => assert!(begin.elapsed() < Duration::from_secs(60), "{refused} times refused"),
                    other => panic!("{other:?}"),
                }
            }
        }));
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        outcome.unwrap_or_else(|panic| resume_unwind(panic));
    });
    assert_eq!(read(&list(&path, Format::Plain, &[]), SystemTime::now()).unwrap().0.set.len(), 2);
}

/// A database with this tree (records of 32 bits) over these data.
fn database(nodes: &[[u32; 2]], data: &[u8], ip_version: u8) -> Vec<u8> {
    let mut out: Vec<u8> = nodes.iter().flatten().flat_map(|record| record.to_be_bytes()).collect();
    out.extend([0; 16]);
    out.extend(data);
    out.extend(b"\xab\xcd\xefMaxMind.com\xe3");
    let text = |text: &str| [&[0x40 | text.len() as u8][..], text.as_bytes()].concat();
    out.extend([text("node_count"), vec![0xc4], (nodes.len() as u32).to_be_bytes().to_vec()].concat());
    out.extend([text("record_size"), vec![0xa1, 32]].concat());
    out.extend([text("ip_version"), vec![0xa1, ip_version]].concat());
    out
}

/// Sizes that are less than they say once they are multiplied.
#[test]
fn a_tree_of_more_nodes_than_there_can_be_is_refused() {
    let whole = database(&[[1, 1]], &[], 4);
    let at = whole.windows(10).position(|text| text == b"node_count").unwrap() + 10;
    for nodes in [0x0aaa_aaaa_aaaa_aaab_u64, 0x1000_0000_0000_0001, u64::from(u32::MAX) + 1, u64::MAX] {
        let mut bytes = whole[..at].to_vec();
        // An unsigned number of eight bytes: an extended type.
        bytes.extend([0x08, 0x02]);
        bytes.extend(nodes.to_be_bytes());
        bytes.extend(&whole[at + 5..]);
        let error = of_database(&bytes).unwrap_err();
        assert!(error.contains("more nodes than there can be"), "{error}");
    }
}

fn of_database(bytes: &[u8]) -> Result<Parsed, String> {
    let now = SystemTime::now();
    let wanted = Wanted::by(&list(Path::new("/nowhere"), Format::Mmdb, &["NZ"]), now, now);
    parse(bytes, Format::Mmdb, &wanted).map(|(parsed, _)| parsed).map_err(|error| error.to_string())
}

#[test]
fn trees_that_go_round_in_circles_are_refused() {
    let circle = Err("it is no database that can be read: its tree goes round in a circle".to_owned());
    for ip_version in [4, 6] {
        assert_eq!(of_database(&database(&[[0, 0]], &[], ip_version)), circle);
        assert_eq!(of_database(&database(&[[1, 3], [2, 3], [3, 0]], &[], ip_version)), circle);
        assert_eq!(of_database(&database(&[[3, 1], [3, 2], [1, 3]], &[], ip_version)), circle);
    }
    // Aliases are none: both sides of the first node lead to the same one, which is walked once.
    let nz = b"\xe1\x47country\x42NZ";
    let alias = database(&[[1, 1], [2 + 16, 2]], nz, 6);
    assert_eq!(
        of_database(&alias).map(|parsed| parsed.set.len()),
        Err("::/2 is most of the internet, which no list of sources is".to_owned())
    );
    let mut deep: Vec<[u32; 2]> = (0..40).map(|i| [i + 1, 41]).collect();
    deep.push([41, 41]);
    let error = of_database(&database(&deep, &[], 4)).unwrap_err();
    assert!(error.contains("deeper than an address"), "{error}");
}

/// Every network has a record of its own, and all of these are read through the same long array.
#[test]
fn records_that_lie_over_each_other_are_refused_in_time() {
    const RECORDS: u32 = 1 << 13;
    // Maps with one key, which is everything that follows: the next map, and the next.
    let mut data: Vec<u8> = Vec::new();
    for _ in 0..RECORDS {
        data.extend([0xfd, 200]);
    }
    data.extend([0x41, b'x'].repeat(1 << 18));
    let nodes = RECORDS - 1;
    // A whole binary tree, the leaves of which are records of their own.
    let tree: Vec<[u32; 2]> = (0..nodes)
        .map(|node| {
            [2 * node + 1, 2 * node + 2]
                .map(|next| if next < nodes { next } else { nodes + 16 + 2 * (next - nodes) })
        })
        .collect();
    let begin = Instant::now();
    let outcome = of_database(&database(&tree, &data, 4));
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    println!("{outcome:?} after {:?}", begin.elapsed());
}

#[test]
fn a_start_waits_until_a_file_is_written_to_its_end_but_not_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("list");
    let configured = [list(&path, Format::Auto, &[])];
    let moment = Duration::from_millis(400);
    let wait = |at_most| {
        let begin = Instant::now();
        wait_until_steady(&configured, moment, at_most);
        begin.elapsed()
    };
    assert!(wait(moment * 9) < moment, "there is no file to wait for");
    let writes = AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = File::create(&path).unwrap();
            for last in 0..20 {
                writeln!(file, "192.0.2.{last}").unwrap();
                std::thread::sleep(moment / 8);
            }
            writes.store(false, Ordering::SeqCst);
            // One that never ends.
            std::thread::sleep(3 * moment);
            while !writes.swap(false, Ordering::SeqCst) {
                writeln!(file, "192.0.2.99").unwrap();
                std::thread::sleep(moment / 8);
            }
        });
        std::thread::sleep(moment / 4);
        wait(moment * 40);
        assert!(!writes.load(Ordering::SeqCst), "it was read half written");
        let (parsed, ..) = read(&configured[0], SystemTime::now()).unwrap();
        assert_eq!(parsed.set.v4().len(), 20);
        assert!(wait(moment * 9) < moment, "it has been steady");
        std::thread::sleep(3 * moment);
        let waited = wait(moment * 2);
        assert!(moment * 2 <= waited && waited < moment * 8, "{waited:?}");
        writes.store(true, Ordering::SeqCst);
    });
}
