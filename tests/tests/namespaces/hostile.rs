//! A real agent's control socket under ten thousand hostile requests, and configurations that are damaged at random: it goes on,
//! answers quickly, and has changed nothing that it did not say it has changed.
//!
//! The seed is printed; `STOPBANK_SEED=N` takes another one.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use libtest_mimic::Trial;
use serde_json::{Value, json};
use stopbank::lists::parse_prefix;
use stopbank_tests::{
    agent::{Agent, Site},
    topology::Topology,
};

use crate::rig::{enforcing, eventually, site, succeed, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("ten thousand hostile requests: no crash, no hang, no partial change", hostile_requests),
        trial("connections that say nothing do not keep the others out", silent_connections),
        trial(
            "hundreds of damaged configurations, reloaded: each in force as a whole or not at all",
            reloads,
        ),
    ]
}

const REQUESTS: u32 = 10_000;
const RELOADS: u32 = 400;
const POLICY: &str = "[lists]\nallow = [\"192.0.2.0/24\"]\ndeny = [\"203.0.113.0/24\"]\n\
    [[class]]\nname = \"web\"\nprotocol = \"tcp\"\nports = [80, 443]\n\
    [class.per_source]\npackets = \"2000/s\"\nconnections = { rate = \"50/s\", burst = 100 }\n\
    [class.total]\nconnections = \"5000/s\"\n\
    [[class]]\nname = \"dns\"\nprotocol = \"udp\"\nports = [53]\n[class.per_source]\npackets = \"20/s\"\n";

/// splitmix64 (Steele, Lea and Flood, OOPSLA 2014).
struct Random(u64);

impl Random {
    fn seeded() -> Self {
        let seed = std::env::var("STOPBANK_SEED").ok().map_or(0x5b5b, |text| text.parse().unwrap());
        println!("STOPBANK_SEED={seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// Changes, takes out or puts in a few bytes.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            match self.below(5) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 if at < bytes.len() => drop(bytes.remove(at)),
                2 => bytes.insert(at, self.next() as u8),
                3 => {
                    let (from, length) = (self.below(bytes.len() + 1), self.below(24));
                    let copied = bytes[from..(from + length).min(bytes.len())].to_vec();
                    bytes.splice(at..at, copied);
                }
                _ => {
                    let end = (at + self.below(12)).min(bytes.len());
                    bytes.drain(at..end);
                }
            }
        }
    }
}

/// What the agent must hold: what it had, and what it said it has changed.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Held {
    allow: BTreeSet<String>,
    ban: BTreeSet<String>,
    proven: BTreeSet<String>,
    mode: String,
    /// Everything that no request is to change: configuration, limits, list files, signatures, and the interfaces.
    rest: Value,
}

impl Held {
    fn read(site: &Site<'_>) -> Self {
        let of = |path: &str, rows: &str, key: &str| -> BTreeSet<String> {
            let report = get(site, path);
            report[rows].as_array().unwrap().iter().map(|row| row[key].as_str().unwrap().to_owned()).collect()
        };
        let mut rest = Vec::new();
        for path in ["/v1/config", "/v1/limits", "/v1/list-files", "/v1/lists/deny"] {
            rest.push(get(site, path));
        }
        // The mode is told apart.
        if let Some(Value::String(effective)) = rest[0].get_mut("effective") {
            *effective = effective.split_once('\n').unwrap().1.to_owned();
        }
        let status = get(site, "/v1/status");
        rest.push(json!([status["pid"], status["interfaces"][0]["name"], status["interfaces"][0]["attach"]]));
        Self {
            allow: of("/v1/lists/allow", "entries", "prefix"),
            ban: of("/v1/lists/ban", "entries", "prefix"),
            proven: of("/v1/proven", "sources", "source"),
            mode: get(site, "/v1/mode")["mode"].as_str().unwrap().to_owned(),
            rest: Value::Array(rest),
        }
    }

    /// Takes in what a request did that was answered with 200.
    fn follow(&mut self, request: &Request) {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let texts = |key: &str| -> Vec<String> {
            let listed = body[key].as_array().cloned().unwrap_or_default();
            listed.iter().map(|text| text.as_str().unwrap().to_owned()).collect()
        };
        let prefixes = || texts("prefixes").into_iter().map(|text| parse_prefix(&text).unwrap().to_string());
        let path = request.path.split('?').next().unwrap_or_default();
        match (request.method.as_str(), path) {
            ("POST", "/v1/lists/ban") => self.ban.extend(prefixes()),
            ("POST", "/v1/lists/allow") => self.allow.extend(prefixes()),
            ("DELETE", "/v1/lists/ban") => {
                self.ban.retain(|listed| !prefixes().any(|prefix| prefix == *listed));
            }
            ("DELETE", "/v1/lists/allow") => {
                self.allow.retain(|listed| !prefixes().any(|prefix| prefix == *listed));
            }
            ("PUT", "/v1/mode") => body["mode"].as_str().unwrap().clone_into(&mut self.mode),
            // Puts the configured mode back.
            ("POST", "/v1/reload") => "enforce".clone_into(&mut self.mode),
            ("GET" | "HEAD", _) => {}
            (method, path) => panic!("what has {method} {path} done?"),
        }
    }
}

struct Request {
    method: String,
    path: String,
    body: Vec<u8>,
}

impl Request {
    fn bytes(&self, headers: &str) -> Vec<u8> {
        let mut bytes =
            format!("{} {} HTTP/1.1\r\nhost: x\r\n{headers}", self.method, self.path).into_bytes();
        bytes.extend(format!("content-length: {}\r\n\r\n", self.body.len()).as_bytes());
        bytes.extend(&self.body);
        bytes
    }
}

const PATHS: [&str; 16] = [
    "/v1/status",
    "/v1/drops?by=all",
    "/v1/top?limit=3",
    "/v1/events?limit=18446744073709551615",
    "/v1/lists/ban",
    "/v1/lists/allow",
    "/v1/lists/deny",
    "/v1/lists/%00",
    "/v1/proven",
    "/v1/limits",
    "/v1/mode",
    "/v1/config",
    "/v1/signatures",
    "/v1/list-files",
    "/v1/../../etc/passwd",
    "*",
];

/// A request that is right, or nearly so.
fn plausible(random: &mut Random) -> Request {
    let address = format!(
        "{}.{}.{}.{}",
        20 + random.below(80),
        random.below(256),
        random.below(256),
        random.below(300)
    );
    let prefix = match random.below(4) {
        0 => format!("{address}/{}", 16 + random.below(20)),
        1 => format!("2001:db8:{:x}::/{}", random.below(70_000), 32 + random.below(100)),
        _ => address,
    };
    let numbers =
        ["-1", "0", "1e400", "1e-400", "3600", "86400.5", "18446744073709551616", "null", "\"1\"", "NaN"];
    let seconds = random.of(&numbers);
    let (method, path, body) = match random.below(9) {
        0 | 1 => {
            ("POST", "/v1/lists/ban", format!("{{\"prefixes\":[\"{prefix}\"],\"for_seconds\":{seconds}}}"))
        }
        2 => (
            "POST",
            "/v1/lists/allow",
            format!("{{\"prefixes\":[\"{prefix}\",\"{prefix}\",\"x\"],\"force\":true}}"),
        ),
        3 => ("POST", "/v1/lists/allow", format!("{{\"prefixes\":[\"{prefix}\"],\"reason\":\"a\\u0000b\"}}")),
        4 => ("DELETE", "/v1/lists/ban", format!("{{\"prefixes\":[\"{prefix}\"]}}")),
        5 => (
            "PUT",
            "/v1/mode",
            format!("{{\"mode\":\"{}\"}}", random.of(&["observe", "enforce", "off", "ENFORCE"])),
        ),
        6 => ("POST", "/v1/detach", "{\"interfaces\":[\"eth99\",\"\"]}".to_owned()),
        7 => (
            "POST",
            "/v1/proven",
            format!("{{\"sources\":[\"{prefix}\"],\"for_seconds\":{seconds},\"more\":1}}"),
        ),
        _ => (
            "POST",
            "/v1/lists/ban",
            format!("{{\"prefixes\":[{}]}}", vec![format!("\"{prefix}\""); 300].join(",")),
        ),
    };
    Request { method: method.to_owned(), path: path.to_owned(), body: body.into_bytes() }
}

/// What is sent, and the request whose effect counts, if what is sent is one that can be read.
fn hostile(random: &mut Random) -> (Vec<u8>, Option<Request>) {
    let mut request = plausible(random);
    match random.below(14) {
        // Whatever it is.
        0 => ((0..random.below(2_000)).map(|_| random.next() as u8).collect(), None),
        // Cut short.
        1 => {
            let mut bytes = request.bytes("");
            bytes.truncate(random.below(bytes.len()));
            (bytes, None)
        }
        // A head that is too large, or has too many lines.
        2 => (request.bytes(&format!("x: {}\r\n", "y".repeat(1 << random.below(22)))), Some(request)),
        3 => (request.bytes(&"x: y\r\n".repeat(1 << random.below(12))), Some(request)),
        // Not UTF-8.
        4 => {
            request.path = "/v1/lists/%ff%fe".to_owned();
            request.body.splice(0..0, [0xff, 0xc0, 0x80]);
            (request.bytes(""), None)
        }
        // JSON within JSON.
        5 => {
            let depth = 1 << random.below(18);
            request.body = [vec![b'['; depth], vec![b']'; random.below(2) * depth]].concat();
            (request.bytes(""), None)
        }
        // Lengths that lie; both kinds of length.
        6 => {
            let lie = random.of(&["-1", "999999999999999999999", "1, 2", "0x10", "67108865", ""]);
            let head = format!("POST /v1/lists/ban HTTP/1.1\r\nhost: x\r\ncontent-length: {lie}\r\n");
            let both = random.of(&["", "transfer-encoding: chunked\r\n"]);
            (format!("{head}{both}\r\n{{\"prefixes\":[\"20.0.0.1\"]}}").into_bytes(), None)
        }
        7 => {
            let size = random.of(&["g", "ffffffffffffffffff", "-1", "1;x=y", "5", ""]);
            let head = "POST /v1/lists/ban HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
            (format!("{head}{size}\r\n{{\"pre\r\n").into_bytes(), None)
        }
        // Another method, another path, another version.
        8 => {
            request.method = random
                .of(&["BREW", "CONNECT", "TRACE", "OPTIONS", "PATCH", "PUT", "HEAD", "GET", "get"])
                .to_owned();
            request.path = random.of(&PATHS).to_owned();
            (request.bytes(""), Some(request))
        }
        9 => {
            let version = random.of(&["HTTP/0.9", "HTTP/1.0", "HTTP/2.0", "HTTP/9.9", "ICY", ""]);
            (format!("GET {} {version}\r\n\r\n", random.of(&PATHS)).into_bytes(), None)
        }
        10 => {
            request.path = format!("/v1/{}", "a/".repeat(1 << random.below(15)));
            (request.bytes(""), Some(request))
        }
        // Damaged in its body, where the length still tells where it ends.
        11 | 12 if !request.path.ends_with("detach") => {
            random.damage(&mut request.body);
            (request.bytes("connection: close\r\n"), Some(request))
        }
        _ => (request.bytes("connection: close\r\n"), Some(request)),
    }
}

/// Sends bytes and gives the status of the first answer, if there is one. Never waits long.
fn send(socket: &Path, bytes: &[u8]) -> Option<u16> {
    let answer = exchange(socket, bytes);
    let text = String::from_utf8_lossy(&answer);
    text.strip_prefix("HTTP/1.1 ").or_else(|| text.strip_prefix("HTTP/1.0 "))?.get(..3)?.parse().ok()
}

/// What the agent has at a path.
fn get(site: &Site<'_>, path: &str) -> Value {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let answer = exchange(&site.socket(), request.as_bytes());
    let text = String::from_utf8(answer).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {text}");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
}

/// Sends bytes, ends, and reads until the agent ends too.
fn exchange(socket: &Path, bytes: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(8))).unwrap();
    // The agent may have heard enough before all is sent.
    let _refused = stream.write_all(bytes);
    let _gone = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let mut buffer = [0; 16_384];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => answer.extend(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => {
                panic!("the agent neither answers nor ends: {error}: {}", String::from_utf8_lossy(bytes))
            }
        }
    }
    answer
}

/// Open sockets, and resident memory in KiB. (An index of the lists has a descriptor for each of its pieces.)
fn use_of(agent: &Agent) -> (usize, u64) {
    let process = format!("/proc/{}", agent.id());
    let status = fs::read_to_string(format!("{process}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib = resident.trim().trim_end_matches(" kB").parse().unwrap();
    let descriptors = fs::read_dir(format!("{process}/fd")).unwrap().flatten();
    let targets = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
    (targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count(), kib)
}

fn assert_quick(site: &Site<'_>) {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let begin = Instant::now();
        assert_eq!(
            send(&site.socket(), b"GET /v1/status HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
            Some(200)
        );
        best = best.min(begin.elapsed());
    }
    assert!(best < Duration::from_millis(100), "{best:?}");
}

fn hostile_requests(topology: &Topology) {
    let mut random = Random::seeded();
    let site = site(topology, &enforcing(POLICY));
    let agent = site.start().unwrap();
    // So many that they have an index: what comes on top of them takes next to no memory.
    for number in 0..100 {
        succeed(&site, &["ban", "add", &format!("100.64.{number}.7")]);
    }
    let mut held = Held::read(&site);
    let before = use_of(&agent);
    let (mut answered, mut changed, mut half_open) = (0, 0, Vec::new());
    for number in 0..REQUESTS {
        let (mut bytes, request) = hostile(&mut random);
        if number % 97 == 0 {
            // Begins and says no more; some beside the others all the time.
            let mut stream = UnixStream::connect(site.socket()).unwrap();
            bytes.truncate(bytes.len() / 2);
            let _refused = stream.write_all(&bytes);
            half_open.push(stream);
            if half_open.len() > 20 {
                half_open.remove(0);
            }
            continue;
        }
        if number % 50 == 7 {
            // Many at once: a few that are right before it.
            bytes.splice(0..0, b"GET /v1/mode HTTP/1.1\r\nhost: x\r\n\r\n".repeat(random.below(40)));
            send(&site.socket(), &bytes);
            if let Some(request) = request.filter(|request| request.method != "GET") {
                // Whether the last one was heard cannot be told from the first answer.
                held = recount(&site, &held, &request);
            }
            continue;
        }
        let status = send(&site.socket(), &bytes);
        answered += u32::from(status.is_some());
        if let (Some(200), Some(request)) = (status, &request) {
            held.follow(request);
            changed += u32::from(request.method != "GET");
        }
        assert_ne!(status, Some(500), "{}", String::from_utf8_lossy(&bytes));
        if number % 500 == 0 {
            assert_eq!(Held::read(&site), held, "after {number} requests");
        }
    }
    drop(half_open);
    println!("{REQUESTS} requests, {answered} answered, {changed} of them changed something");
    assert!(answered > REQUESTS / 3 && changed > 100);
    assert_eq!(Held::read(&site), held);
    assert_quick(&site);
    // What those connections held is given back at once.
    assert!(eventually(Duration::from_secs(15), || use_of(&agent).0 <= before.0 + 2), "{:?}", use_of(&agent));
    let after = use_of(&agent);
    println!("sockets {} -> {}, resident {} -> {} KiB", before.0, after.0, before.1, after.1);
    assert!(after.1 < before.1 + 24 * 1024, "{before:?} {after:?}");
    assert!(!agent.log().contains("panicked"), "{}", agent.log());
}

/// What is held after a request that may or may not have been heard: one of the two.
fn recount(site: &Site<'_>, before: &Held, request: &Request) -> Held {
    let now = Held::read(site);
    if now != *before {
        let mut after = before.clone();
        after.follow(request);
        assert_eq!(now, after, "neither done nor left: {} {}", request.method, request.path);
    }
    now
}

fn silent_connections(topology: &Topology) {
    use stopbank::control::connections::{HEAD, MOST};
    let site = site(topology, &enforcing(POLICY));
    let agent = site.start().unwrap();
    let before = use_of(&agent).0;
    // More than there is room for: some say nothing, others half a line, a byte a second.
    let mut silent: Vec<UnixStream> =
        (0..3 * MOST).map(|_| UnixStream::connect(site.socket()).unwrap()).collect();
    let begin = Instant::now();
    let mut answered = None;
    while begin.elapsed() < 4 * HEAD && answered.is_none() {
        for stream in silent.iter_mut().step_by(2) {
            let _closed = stream.write_all(b"G");
        }
        let held = use_of(&agent).0 - before;
        assert!(held <= MOST + 2, "{held} sockets for connections");
        let mut stream = UnixStream::connect(site.socket()).unwrap();
        stream.write_all(b"GET /v1/mode HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut byte = [0];
        if stream.read(&mut byte).is_ok_and(|read| read == 1) {
            answered = Some(begin.elapsed());
        }
        silent.push(stream);
    }
    println!("answered after {answered:?} beside {} silent connections", 3 * MOST);
    assert!(answered.is_some(), "nobody is heard any more");
    drop(silent);
    assert!(eventually(Duration::from_secs(5), || use_of(&agent).0 <= before + 2));
    assert_quick(&site);
}

fn reloads(topology: &Topology) {
    let mut random = Random::seeded();
    let site = site(topology, &enforcing(POLICY));
    let agent = site.start().unwrap();
    let good = fs::read_to_string(site.configuration()).unwrap();
    let reload = || send(&site.socket(), b"POST /v1/reload HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    // Interface, pins and socket stay: what comes before the policy is left whole.
    let policy_at = good.find("[lists]").unwrap();
    let before = use_of(&agent);
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..RELOADS {
        let held = Held::read(&site);
        let mut policy = good.as_bytes()[policy_at..].to_vec();
        random.damage(&mut policy);
        let text = [&good.as_bytes()[..policy_at], &policy].concat();
        fs::write(site.configuration(), &text).unwrap();
        match reload() {
            Some(200) => {
                taken += 1;
                let shown = get(&site, "/v1/config");
                assert_eq!(shown["text"], String::from_utf8(text).unwrap(), "in force is what was said");
            }
            Some(409 | 422) => {
                refused += 1;
                assert_eq!(
                    Held::read(&site),
                    held,
                    "refused, and changed: {}",
                    String::from_utf8_lossy(&text)
                );
            }
            other => panic!("{other:?}: {}", String::from_utf8_lossy(&text)),
        }
    }
    println!("{RELOADS} damaged configurations: {taken} taken, {refused} refused");
    assert!(taken > 10 && refused > 100);
    fs::write(site.configuration(), &good).unwrap();
    assert_eq!(reload(), Some(200));
    assert_quick(&site);
    let after = use_of(&agent);
    assert!(after.0 <= before.0 + 2 && after.1 < before.1 + 24 * 1024, "{before:?} {after:?}");
}
