//! The control API over a real socket, with the real lists behind it but without a kernel.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::IpAddr,
    os::unix::{fs::PermissionsExt as _, net::UnixStream, process::CommandExt as _},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use hyper::Method;
use ipnet::IpNet;
use proptest::prelude::*;
use serde_json::{Value, json};
use stopbank::{
    config::{Config, Mode},
    control::{
        Control, Refused, Why,
        api::{
            AddRequest, Added, ClassLimits, ConfigReport, DetachRequest, Detached, DropsBy, DropsReport,
            EventsReport, FileReport, HistoryReport, ImportRequest, Imported, LimitsReport, ListReport,
            ModeReport, ProveRequest, Proved, ProvenReport, Reloaded, RemoveRequest, Removed, SampledDrop,
            SignaturesReport, Status, TopReport, UnproveRequest, Unproved, Verdict,
        },
        client::{Client, ClientError},
        configuration::{
            Applied, ApplyRequest, Change, ChangeRequest, Confirmed, DiffReport, DiffRequest, RolledBack,
        },
        explain::{ExplainQuery, Explanation},
        import::import,
        interfaces::{AttachRequest, InterfaceReport, InterfacesReport},
        limits::SetLimits,
        lists::{self, Done, Who},
        server,
    },
    lists::{ListName, Store},
    state::{Event, History, Line},
};
use stopbank_common::event::Event as Sample;
use tokio::{
    runtime::Runtime,
    sync::{Notify, broadcast},
};

/// What stands behind the API here: lists that no kernel follows.
struct Desk {
    lists: Mutex<Store>,
    history: Mutex<History>,
    mode: Mutex<Mode>,
    events: broadcast::Sender<Sample>,
}

/// Events that followers have in common here.
const RING: usize = 64;

fn sampled(event: &Sample) -> SampledDrop {
    SampledDrop {
        time: "2026-01-01T00:00:00Z".to_owned(),
        interface: "eth0".to_owned(),
        source: event.source.into(),
        source_port: event.source_port,
        destination: event.destination.into(),
        destination_port: event.destination_port,
        protocol: event.protocol,
        length: event.length,
        class: if event.class == 0 { "default" } else { "none" }.to_owned(),
        reason: "ban".to_owned(),
        verdict: Verdict::Drop,
    }
}

impl Desk {
    fn remember<T>(&self, done: Done<T>) -> T {
        for line in done.lines {
            if let Line::Event(event) = line {
                self.history.lock().unwrap().push(event);
            }
        }
        done.answer
    }
}

const NOW_NS: u64 = 1_000_000_000;
/// Prefixes that the lists take here.
const CAPACITY: usize = 10_000;

fn absent<T>() -> Result<T, Refused> {
    Err(Refused::new(Why::Failed, "there is no kernel here"))
}

impl Control for Desk {
    fn status(&self) -> Result<Status, Refused> {
        absent()
    }
    fn drops(&self, _: DropsBy) -> Result<DropsReport, Refused> {
        panic!("a handler that panics")
    }
    fn signatures(&self) -> Result<SignaturesReport, Refused> {
        Ok(SignaturesReport::default())
    }
    fn top(&self, _: usize) -> Result<TopReport, Refused> {
        absent()
    }
    fn proven(&self) -> ProvenReport {
        ProvenReport { capacity: 0, sources: Vec::new() }
    }
    fn prove(&self, _: &ProveRequest) -> Result<Proved, Refused> {
        absent()
    }
    fn unprove(&self, _: &UnproveRequest) -> Result<Unproved, Refused> {
        absent()
    }
    fn events(&self, _: usize) -> EventsReport {
        let source =
            |last: u8| Sample { source: IpAddr::from([192, 0, 2, last]).into(), ..Sample::default() };
        EventsReport { events: (0..50).map(|last| sampled(&source(last))).collect() }
    }
    fn follow(&self) -> broadcast::Receiver<Sample> {
        self.events.subscribe()
    }
    fn describe(&self, events: &[Sample]) -> Vec<SampledDrop> {
        events.iter().map(sampled).collect()
    }
    fn list(&self, list: ListName) -> ListReport {
        let lists = self.lists.lock().unwrap();
        ListReport { entries: lists.list(list).map(|listed| lists::list_entry(listed, NOW_NS)).collect() }
    }
    fn add(&self, list: ListName, request: &AddRequest, who: Who) -> Result<Added, Refused> {
        let done = lists::add(&mut self.lists.lock().unwrap(), list, request, who, NOW_NS)?;
        Ok(self.remember(done))
    }
    fn remove(&self, list: ListName, request: &RemoveRequest, who: Who) -> Result<Removed, Refused> {
        let done = lists::remove(&mut self.lists.lock().unwrap(), list, request, who, NOW_NS)?;
        Ok(self.remember(done))
    }
    fn import(&self, list: ListName, request: &ImportRequest, who: Who) -> Result<Imported, Refused> {
        let done = import(&mut self.lists.lock().unwrap(), list, request, who, NOW_NS)?;
        Ok(self.remember(done))
    }
    fn history(&self, list: ListName, limit: usize, prefix: Option<IpNet>) -> HistoryReport {
        let history = self.history.lock().unwrap();
        let wanted = |event: &&Event| event.list == list && prefix.is_none_or(|one| event.concerns(&one));
        HistoryReport { events: history.iter().rev().filter(wanted).take(limit).map(Into::into).collect() }
    }
    fn list_files(&self) -> FileReport {
        FileReport::default()
    }

    fn limits(&self) -> LimitsReport {
        let class = |name: &str| ClassLimits {
            name: name.to_owned(),
            claims: String::new(),
            closed: false,
            limits: Vec::new(),
            configured: None,
        };
        LimitsReport { classes: vec![class("default")] }
    }
    fn set_limits(&self, _: &str, _: &SetLimits) -> Result<LimitsReport, Refused> {
        absent()
    }
    fn reset_limits(&self, _: Option<&str>) -> Result<LimitsReport, Refused> {
        absent()
    }
    fn explain(&self, _: &ExplainQuery) -> Result<Explanation, Refused> {
        absent()
    }
    fn mode(&self) -> ModeReport {
        ModeReport { mode: *self.mode.lock().unwrap(), configured: Mode::Enforce }
    }
    fn set_mode(&self, mode: Mode) -> Result<ModeReport, Refused> {
        *self.mode.lock().unwrap() = mode;
        Ok(self.mode())
    }
    fn config(&self) -> ConfigReport {
        ConfigReport {
            file: String::new(),
            text: String::new(),
            drop_ins: Vec::new(),
            pending: None,
            effective: String::new(),
        }
    }
    fn reload(&self, _: &ChangeRequest) -> Result<Reloaded, Refused> {
        Err(Refused::new(Why::Configuration, "stopbank.toml:1:1: wrong").hint("mend it"))
    }
    fn diff(&self, request: &DiffRequest) -> Result<DiffReport, Refused> {
        let after = request.text.clone();
        let change = Change { key: "text".to_owned(), before: None, after, needs_restart: false };
        Ok(DiffReport { changes: vec![change] })
    }
    fn apply(&self, _: &ApplyRequest) -> Result<Applied, Refused> {
        absent()
    }
    fn confirm(&self) -> Result<Confirmed, Refused> {
        absent()
    }
    fn roll_back(&self, _: &ChangeRequest) -> Result<RolledBack, Refused> {
        absent()
    }
    fn interfaces(&self) -> Result<InterfacesReport, Refused> {
        Ok(InterfacesReport::default())
    }
    fn attach(&self, _: &AttachRequest) -> Result<InterfaceReport, Refused> {
        absent()
    }
    fn detach(&self, _: &DetachRequest) -> Result<Detached, Refused> {
        absent()
    }
}

/// A server on a socket of its own.
struct Served {
    runtime: Runtime,
    socket: PathBuf,
    events: broadcast::Sender<Sample>,
    stop: Arc<Notify>,
    _directory: tempfile::TempDir,
}

impl Served {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("run/control.sock");
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut store = Store::with_capacity(CAPACITY);
        let mut configured = Config::builtin().lists;
        configured.allow = vec!["192.0.2.0/24".parse().unwrap()];
        store.configure(&configured);
        let events = broadcast::Sender::new(RING);
        let desk = Desk {
            lists: Mutex::new(store),
            history: Mutex::default(),
            mode: Mutex::new(Mode::Enforce),
            events: events.clone(),
        };
        let listener = runtime.block_on(async { server::bind(&socket).unwrap() });
        let stop = Arc::new(Notify::new());
        let stopped = stop.clone();
        runtime.spawn(server::serve(listener, Arc::new(desk), async move { stopped.notified().await }));
        Self { runtime, socket, events, stop, _directory: directory }
    }

    fn send(&self, method: Method, path: &str, body: &Value) -> Result<Value, Refused> {
        let outcome = self.runtime.block_on(Client::new(&self.socket).send(method, path, body));
        outcome.map_err(|error| match error {
            ClientError::Refused(refused) => refused,
            other => panic!("{other}"),
        })
    }

    fn get(&self, path: &str) -> Result<Value, Refused> {
        self.send(Method::GET, path, &json!({}))
    }

    fn add(&self, body: &Value) -> Result<Value, Refused> {
        self.send(Method::POST, "/v1/lists/ban", body)
    }

    fn bans(&self) -> Vec<String> {
        let report = self.get("/v1/lists/ban").unwrap();
        let prefix = |entry: &Value| entry["prefix"].as_str().unwrap().to_owned();
        report["entries"].as_array().unwrap().iter().map(prefix).collect()
    }

    /// Sends bytes as they are, and gives what comes back before the connection ends. What is no whole request is followed
    /// by the end of what we send.
    fn raw(&self, bytes: &[u8], whole: bool) -> String {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        // The server may have answered and hung up before it has read everything.
        let _ = stream.write_all(bytes);
        if !whole {
            let _ = stream.shutdown(std::net::Shutdown::Write);
        }
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or(answer)
}

#[test]
fn entries_are_added_listed_and_removed() {
    let served = Served::start();
    let added = served
        .add(&json!({ "prefixes": ["198.51.100.7", "2001:db8:1::/48"], "for_seconds": 600, "reason": "login flood" }))
        .unwrap();
    assert_eq!(added, json!({ "added": 2, "replaced": 0, "notes": [] }));
    let report = served.get("/v1/lists/ban").unwrap();
    let entry = &report["entries"][0];
    assert_eq!(entry["prefix"], "198.51.100.7/32");
    assert_eq!(entry["reason"], "login flood");
    assert_eq!(entry["origin"], "operator");
    assert_eq!(entry["expires_in_seconds"], 600.0);
    let again = served.add(&json!({ "prefixes": ["198.51.100.7"] })).unwrap();
    assert_eq!(again["replaced"], 1);
    assert_eq!(served.get("/v1/lists/ban").unwrap()["entries"][0].get("expires"), None);
    let removed =
        served.send(Method::DELETE, "/v1/lists/ban", &json!({ "prefixes": ["198.51.100.7/32"] })).unwrap();
    assert_eq!(removed["removed"][0]["prefix"], "198.51.100.7/32");
    assert_eq!(served.bans(), ["2001:db8:1::/48"]);
}

#[test]
fn a_request_with_anything_wrong_changes_nothing_and_names_all_of_it() {
    let served = Served::start();
    let refused = served
        .add(&json!({ "prefixes": ["198.51.100.7", "bogus", "198.51.100.1/24", "198.51.100.8"] }))
        .unwrap_err();
    assert_eq!(refused.why, Why::BadRequest);
    let indices: Vec<usize> = refused.body.items.iter().map(|item| item.index).collect();
    assert_eq!(indices, [1, 2]);
    assert!(refused.body.items[1].error.contains("`198.51.100.0/24`"));
    for (body, why) in [
        (json!({ "prefixes": [] }), "no prefixes"),
        (json!({ "prefixes": ["198.51.100.7"], "for_seconds": 0 }), "more than nothing"),
        (json!({ "prefixes": ["198.51.100.7"], "for_seconds": -5 }), "more than nothing"),
        (json!({ "prefixes": ["198.51.100.7"], "for_seconds": 1e300 }), "ten years"),
        (json!({ "prefixes": ["198.51.100.7"], "reason": "two\nlines" }), "one line"),
        (json!({ "prefixes": ["198.51.100.7"], "reason": "x".repeat(201) }), "200 characters"),
        (json!({ "prefixes": ["198.51.100.7"], "fro_seconds": 5 }), "unknown field"),
        (json!({ "prefixes": "198.51.100.7" }), "invalid type"),
        (json!({}), "missing field `prefixes`"),
    ] {
        let refused = served.add(&body).unwrap_err();
        assert!(refused.body.error.contains(why), "{body}: {}", refused.body.error);
        assert_eq!(refused.why, Why::BadRequest);
    }
    assert!(served.bans().is_empty());

    served.add(&json!({ "prefixes": ["198.51.100.0/24"] })).unwrap();
    let refused = served
        .send(
            Method::DELETE,
            "/v1/lists/ban",
            &json!({ "prefixes": ["198.51.100.0/24", "198.51.100.7", "203.0.113.1"] }),
        )
        .unwrap_err();
    assert_eq!(refused.why, Why::NotFound);
    assert!(refused.body.items[0].error.contains("only as part of 198.51.100.0/24"));
    assert_eq!(served.bans(), ["198.51.100.0/24"]);
}

#[test]
fn what_looks_like_a_slip_needs_force() {
    let served = Served::start();
    for prefix in ["0.0.0.0/0", "127.0.0.1", "2000::/3", "198.51.100.0/24"] {
        let body = json!({ "prefixes": ["203.0.113.1", prefix], "operator": "198.51.100.9" });
        let refused = served.add(&body).unwrap_err();
        assert_eq!((refused.why, refused.body.items[0].index), (Why::Conflict, 1), "{prefix}");
    }
    assert!(served.bans().is_empty());
    served.add(&json!({ "prefixes": ["0.0.0.0/0"], "force": true })).unwrap();
    assert_eq!(served.bans(), ["0.0.0.0/0"]);
}

#[test]
fn what_has_no_effect_is_said() {
    let served = Served::start();
    let added = served.add(&json!({ "prefixes": ["192.0.2.0/24"] })).unwrap();
    assert_eq!(added["notes"][0], "192.0.2.0/24 has no effect while the allow list has the same prefix");
    let refused =
        served.send(Method::DELETE, "/v1/lists/allow", &json!({ "prefixes": ["192.0.2.0/24"] })).unwrap_err();
    assert_eq!(refused.why, Why::Conflict);
    assert!(refused.body.hint.unwrap().contains("configuration"));
    served.add(&json!({ "prefixes": ["192.0.2.7"] })).unwrap();
    let removed =
        served.send(Method::DELETE, "/v1/lists/ban", &json!({ "prefixes": ["192.0.2.7"] })).unwrap();
    assert_eq!(removed["notes"][0], "192.0.2.7/32 is still on the ban list as part of 192.0.2.0/24");
}

#[test]
fn the_lists_do_not_grow_beyond_what_the_kernel_takes() {
    let served = Served::start();
    let prefixes = |first: u32, count: u32| -> Vec<String> {
        (0..count).map(|i| std::net::Ipv4Addr::from((first << 24) | i).to_string()).collect()
    };
    served.add(&json!({ "prefixes": prefixes(11, CAPACITY as u32 - 11) })).unwrap();
    // One place is the configuration's.
    let refused = served.add(&json!({ "prefixes": prefixes(12, 11) })).unwrap_err();
    assert_eq!(refused.why, Why::Conflict);
    assert!(refused.body.error.contains("room for 10 more prefixes, not for 11"), "{}", refused.body.error);
    served.add(&json!({ "prefixes": prefixes(12, 10) })).unwrap();
    // What is there already takes no room.
    served.add(&json!({ "prefixes": prefixes(12, 10) })).unwrap();
}

#[test]
fn every_wrong_turn_gets_json_that_says_so() {
    let served = Served::start();
    let why = |outcome: Result<Value, Refused>| outcome.unwrap_err().why;
    assert_eq!(why(served.get("/v1/lists/grey")), Why::NotFound);
    assert_eq!(why(served.get("/v2/status")), Why::NotFound);
    assert_eq!(why(served.get("/v1/drops?by=colour")), Why::BadRequest);
    assert_eq!(why(served.get("/v1/top?limit=-1")), Why::BadRequest);
    assert_eq!(
        why(served.send(Method::POST, "/v1/lists/deny", &json!({ "prefixes": ["192.0.2.1"] }))),
        Why::BadRequest
    );
    assert_eq!(why(served.send(Method::PUT, "/v1/mode", &json!({ "mode": "panic" }))), Why::BadRequest);
    assert_eq!(why(served.send(Method::POST, "/v1/reload", &json!({}))), Why::Configuration);
    for path in ["reload", "config/diff", "config/apply", "config/rollback"] {
        let path = format!("/v1/{path}");
        for wrong in
            [json!({ "texts": "" }), json!({ "text": 1 }), json!({ "operator": "nobody", "force": 1 })]
        {
            assert_eq!(why(served.send(Method::POST, &path, &wrong)), Why::BadRequest, "{path} {wrong}");
        }
        assert_eq!(
            why(served.send(Method::POST, &path, &json!({ "text": "#".repeat(7 << 20) }))),
            Why::TooLarge
        );
    }
    // The largest configuration that there can be, of characters that are written as six.
    let text = "\u{1}".repeat(1 << 20);
    let answered = served.send(Method::POST, "/v1/config/diff", &json!({ "text": text })).unwrap();
    assert_eq!(answered["changes"][0]["after"], text);
    // A handler that panics takes neither the server nor the answer with it.
    let refused = served.get("/v1/drops").unwrap_err();
    assert!(refused.body.error.contains("unexpectedly"));
    assert_eq!(
        served.send(Method::PUT, "/v1/mode", &json!({ "mode": "observe" })).unwrap()["mode"],
        "observe"
    );

    let request = |line: &str, body: &str| {
        let length = body.len();
        served.raw(
            format!(
                "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
            )
            .as_bytes(),
            true,
        )
    };
    assert_eq!(status(&request("PATCH /v1/mode", "")), "405");
    assert_eq!(status(&request("POST /v1/lists/ban", "{\"prefixes\": [")), "400");
    assert_eq!(status(&request("POST /v1/lists/ban", "\u{0}\u{ff}")), "400");
    assert_eq!(status(&request("PUT /v1/mode", &" ".repeat(70_000))), "413");
    let cut = served
        .raw(b"POST /v1/lists/ban HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"prefixes\":", false);
    assert!(cut.is_empty() || status(&cut) == "400", "{cut}");
    assert!(served.bans().is_empty());
}

#[test]
fn the_socket_is_its_owners_alone_and_a_dead_ones_is_replaced() {
    let served = Served::start();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&served.socket), 0o600);
    assert_eq!(mode(served.socket.parent().unwrap()) & 0o022, 0);
    served.runtime.block_on(async {
        drop(server::bind(&served.socket).unwrap());
    });
    let file = served.socket.with_file_name("no-socket");
    fs::write(&file, "").unwrap();
    let error = served.runtime.block_on(async { server::bind(&file) }).unwrap_err();
    assert!(error.to_string().contains("no socket"));
}

#[test]
fn another_user_is_refused_even_where_the_socket_is_open() {
    if !rustix::process::geteuid().is_root() {
        println!(
            "SKIPPED another_user_is_refused_even_where_the_socket_is_open: only root can become another user"
        );
        return;
    }
    let served = Served::start();
    let directory = served.socket.ancestors().nth(2).unwrap();
    let binary = directory.join("stopbank");
    fs::copy(env!("CARGO_BIN_EXE_stopbank"), &binary).unwrap();
    for (path, mode) in [(directory, 0o755), (&*binary, 0o755), (&*served.socket, 0o666)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let mode = |uid: u32| {
        let mut command = std::process::Command::new(&binary);
        command.args(["mode", "get", "--socket"]).arg(&served.socket).current_dir("/").uid(uid).gid(uid);
        command.output().unwrap()
    };
    assert_eq!(mode(0).status.code(), Some(0));
    let refused = mode(65_534);
    assert_eq!(refused.status.code(), Some(77), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("only root and the user"));
    // Without the right to the socket, the connection itself fails, with the same exit code.
    fs::set_permissions(&served.socket, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(mode(65_534).status.code(), Some(77));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_on_the_socket_hurt_it(
        method in "(GET|POST|PUT|DELETE|[A-Z]{1,9})",
        path in "/v1/(lists/(ban|allow|deny|%00|\\PC{0,5})|mode|events|\\PC{0,12})(\\?\\PC{0,12})?",
        body in prop::collection::vec(any::<u8>(), 0..200),
        length in prop::option::of(0..400_usize),
        garbage in prop::option::of(prop::collection::vec(any::<u8>(), 0..200)),
    ) {
        // One server for all cases: what hurts it shows in the next.
        static SERVED: std::sync::OnceLock<Served> = std::sync::OnceLock::new();
        let served = SERVED.get_or_init(Served::start);
        if let Some(garbage) = garbage {
            served.raw(&garbage, false);
        }
        let length = length.unwrap_or(body.len());
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n").into_bytes();
        request.extend(body);
        served.raw(&request, false);
        prop_assert!(served.get("/v1/mode").is_ok());
    }
}

#[test]
fn what_is_exported_is_imported_with_every_reason_and_time() {
    let (here, there) = (Served::start(), Served::start());
    here.add(&json!({ "prefixes": ["198.51.100.7", "2001:db8::/32"], "for_seconds": 600.5, "reason": "login flood" }))
        .unwrap();
    here.add(&json!({ "prefixes": ["198.51.100.8"] })).unwrap();
    let entries = |served: &Served| {
        let mut report = served.get("/v1/lists/ban").unwrap();
        for entry in report["entries"].as_array_mut().unwrap() {
            let fields = entry.as_object_mut().unwrap();
            fields.remove("expires_in_seconds");
            fields.remove("origin");
        }
        report["entries"].clone()
    };
    let import = |served: &Served, body: &Value| served.send(Method::POST, "/v1/lists/ban/import", body);
    let exported = entries(&here);
    let answer = import(&there, &json!({ "entries": exported })).unwrap();
    assert_eq!(answer, json!({ "added": 3, "replaced": 0, "expired": 0, "notes": [] }));
    assert_eq!(entries(&there), exported);
    let again = import(&there, &json!({ "entries": exported })).unwrap();
    assert_eq!((&again["added"], &again["replaced"]), (&json!(0), &json!(3)));
    let over = json!({ "entries": [{ "prefix": "192.0.2.1", "expires": "2020-01-01T00:00:00Z" }] });
    assert_eq!(import(&there, &over).unwrap()["expired"], 1);

    let before = entries(&there);
    for (wrong, why) in [
        (json!({ "prefix": "bogus" }), "`bogus`"),
        (json!({ "prefix": "192.0.2.1", "expires": "tomorrow" }), "`tomorrow` in expires"),
        (json!({ "prefix": "192.0.2.1", "expires": "2999-01-01T00:00:00Z" }), "ten years"),
        (json!({ "prefix": "192.0.2.1", "reason": "x".repeat(201) }), "200 characters"),
    ] {
        let body = json!({ "entries": [{ "prefix": "203.0.113.1" }, wrong] });
        let refused = import(&there, &body).unwrap_err();
        assert_eq!((refused.why, refused.body.items[0].index), (Why::BadRequest, 1));
        assert!(refused.body.items[0].error.contains(why), "{}", refused.body.items[0].error);
    }
    for body in
        [json!({ "entries": [] }), json!({}), json!({ "entries": [{ "prefix": "192.0.2.1", "x": 1 }] })]
    {
        assert_eq!(import(&there, &body).unwrap_err().why, Why::BadRequest, "{body}");
    }
    let wide = import(&there, &json!({ "entries": [{ "prefix": "0.0.0.0/0" }] })).unwrap_err();
    assert_eq!(wide.why, Why::Conflict);
    let denied =
        there.send(Method::POST, "/v1/lists/deny/import", &json!({ "entries": exported })).unwrap_err();
    assert_eq!(denied.why, Why::BadRequest);
    assert_eq!(entries(&there), before, "all or none");
}

#[test]
fn the_history_says_who_did_what_and_why() {
    let served = Served::start();
    served
        .add(&json!({ "prefixes": ["198.51.100.7"], "for_seconds": 600, "reason": "flood", "operator": "203.0.113.9" }))
        .unwrap();
    served.add(&json!({ "prefixes": ["192.0.2.7"] })).unwrap();
    served.send(Method::DELETE, "/v1/lists/ban", &json!({ "prefixes": ["198.51.100.7"] })).unwrap();
    served.add(&json!({ "prefixes": ["bogus"] })).unwrap_err();
    let events = |path: &str| served.get(path).unwrap()["events"].as_array().unwrap().clone();
    let all = events("/v1/lists/ban/history");
    let actions: Vec<&str> = all.iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["remove", "add", "add"], "the newest first, and nothing that was refused");
    let first = &all[2];
    assert_eq!(first["uid"], rustix::process::geteuid().as_raw());
    assert_eq!((&first["session"], &first["reason"]), (&json!("203.0.113.9"), &json!("flood")));
    assert_eq!((&first["count"], &first["prefixes"]), (&json!(1), &json!(["198.51.100.7/32"])));
    assert!(first["expires"].is_string() && all[1].get("expires").is_none());
    assert_eq!(events("/v1/lists/ban/history?limit=1").len(), 1);
    assert_eq!(events("/v1/lists/ban/history?prefix=198.51.0.0/16").len(), 2);
    assert_eq!(events("/v1/lists/ban/history?prefix=192.0.2.7").len(), 1);
    assert!(events("/v1/lists/allow/history").is_empty());
    assert_eq!(served.get("/v1/lists/ban/history?prefix=bogus").unwrap_err().why, Why::BadRequest);
    assert_eq!(served.get("/v1/lists/ban/history?limit=x").unwrap_err().why, Why::BadRequest);
}

/// A follower that has asked, and reads nothing yet.
fn follow(served: &Served, query: &str) -> std::io::BufReader<UnixStream> {
    let before = served.events.receiver_count();
    let mut stream = UnixStream::connect(&served.socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    write!(stream, "GET /v1/events/stream{query} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    for _ in 0..500 {
        if served.events.receiver_count() > before {
            return std::io::BufReader::new(stream);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the agent has not taken the follower");
}

fn event(last: u8, class: u8) -> Sample {
    Sample { source: IpAddr::from([192, 0, 2, last]).into(), class, ..Sample::default() }
}

/// Lines of an answer that are JSON, until one satisfies `last`.
fn read_until(follower: &mut impl std::io::BufRead, last: impl Fn(&Value) -> bool) -> Vec<Value> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        assert!(follower.read_line(&mut line).unwrap() > 0, "the stream has ended: {lines:?}");
        if line.starts_with('{') {
            lines.push(serde_json::from_str(&line).unwrap());
            if last(lines.last().unwrap()) {
                return lines;
            }
        }
    }
}

#[test]
fn events_are_filtered_and_a_filter_that_takes_nothing_ever_is_an_error() {
    let served = Served::start();
    let sources =
        |query: &str| served.get(&format!("/v1/events{query}")).unwrap()["events"].as_array().unwrap().len();
    assert_eq!(sources(""), 20);
    assert_eq!(sources("?limit=1000"), 50);
    assert_eq!(sources("?limit=1000&source=192.0.2.0/29&reason=ban&class=default"), 8);
    assert_eq!(sources("?source=192.0.2.7"), 1);
    assert_eq!(sources("?class=none"), 0);
    for path in ["/v1/events", "/v1/events/stream"] {
        for (query, why, told) in [
            ("?reason=bann", Why::NotFound, "there is no reason `bann`"),
            ("?class=web", Why::NotFound, "there is no class `web`"),
            ("?source=192.0.2.1/24", Why::BadRequest, "bits set beyond"),
            ("?colour=red", Why::BadRequest, "not understood"),
        ] {
            let refused = served.get(&format!("{path}{query}")).unwrap_err();
            assert_eq!(refused.why, why, "{path}{query}");
            assert!(refused.body.error.contains(told), "{path}{query}: {}", refused.body.error);
        }
    }
}

#[test]
fn followers_hear_what_comes_and_end_with_the_agent() {
    let served = Served::start();
    let mut all = follow(&served, "");
    let mut some = follow(&served, "?source=192.0.2.0/30&class=none");
    for last in 0..10 {
        served.events.send(event(last, last % 2)).unwrap();
    }
    let sources = |lines: &[Value]| -> Vec<String> {
        lines.iter().map(|line| line["source"].as_str().unwrap().to_owned()).collect()
    };
    let heard = read_until(&mut all, |line| line["source"] == "192.0.2.9");
    assert_eq!(heard.len(), 10);
    assert_eq!(
        sources(&read_until(&mut some, |line| line["source"] == "192.0.2.3")),
        ["192.0.2.1", "192.0.2.3"]
    );
    // The agent stops: a stream that never ends would keep it waiting.
    served.stop.notify_one();
    let mut rest = String::new();
    all.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("0\r\n\r\n"), "{rest:?}");
    assert!(
        UnixStream::connect(&served.socket)
            .and_then(|mut stream| {
                stream.set_read_timeout(Some(Duration::from_secs(2)))?;
                stream.write_all(b"GET /v1/mode HTTP/1.1\r\nHost: x\r\n\r\n")?;
                stream.read(&mut [0; 1])
            })
            .map_or(true, |read| read == 0),
        "it still answers"
    );
}

#[test]
fn a_follower_that_does_not_read_misses_events_and_is_told_how_many() {
    let served = Served::start();
    let mut slow = follow(&served, "");
    let mut quick = follow(&served, "");
    let heard =
        std::thread::spawn(move || read_until(&mut quick, |line| line["source"] == "192.0.2.99").len());
    // Far more than its connection holds.
    let events = 200_000_u64;
    for i in 0..events {
        served.events.send(event((i % 50) as u8, 0)).unwrap();
        if i % RING as u64 == 0 {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
    served.events.send(event(99, 0)).unwrap();
    assert!(heard.join().unwrap() > 0);
    let lines = read_until(&mut slow, |line| line["source"] == "192.0.2.99");
    let missed: u64 = lines.iter().filter_map(|line| line["missed"].as_u64()).sum();
    let told = lines.iter().filter(|line| line.get("missed").is_none()).count() as u64;
    assert!(missed > events / 2, "it missed {missed} of {events}");
    assert_eq!(missed + told, events + 1, "every event is told or counted");
}

#[test]
fn there_is_a_most_of_followers() {
    let served = Served::start();
    let followers: Vec<_> = (0..stopbank::control::follow::FOLLOWERS).map(|_| follow(&served, "")).collect();
    let refused = served.get("/v1/events/stream").unwrap_err();
    assert_eq!(refused.why, Why::Conflict);
    drop(followers);
    // Their places are free as soon as the agent has noticed, which is when it tells them the next thing.
    for _ in 0..500 {
        if served.events.receiver_count() == 0 {
            return drop(follow(&served, ""));
        }
        let _ = served.events.send(event(1, 0));
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("followers that have gone keep their places");
}
