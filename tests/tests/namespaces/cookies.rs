//! SYN cookies between a real client and a real server, with a flood of SYNs beside them.

use std::{os::fd::AsRawFd, thread, time::Duration};

use libtest_mimic::Trial;
use stopbank_tests::{
    agent::{Settings, Site},
    client::Client,
    nginx::Nginx,
    process,
    topology::{Topology, server_address},
};

use crate::{
    clients::{Download, Kept},
    rig::{eventually, flood, site, succeed, trial},
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "SYN cookies: a connection keeps segment size, window scale, selective acknowledgements, timestamps",
            options,
        ),
        trial("SYN cookies: automatic ones come with a flood and go after it", automatic),
        trial("SYN cookies: an ACK flood with wrong cookies is dropped", wrong),
        trial("SYN cookies: none are sent that the kernel would not take", settings),
        trial("SYN cookies: doctor says what stands in the way, and the agent sets it", managed),
    ]
}

pub(crate) fn configured(cookies: &str, manage: bool) -> Settings {
    let policy = format!(
        "manage_sysctls = {manage}\n[[class]]\nname = \"web\"\nprotocol = \"tcp\"\nports = [80]\nsyn_cookies = {cookies}\n"
    );
    Settings { role: "host", policy, ..Settings::default() }
}

pub(crate) fn set(topology: &Topology, syncookies: &str, timestamps: &str) -> impl Sized {
    topology.server.sysctl("ipv4/tcp_syncookies", syncookies).unwrap();
    topology.server.sysctl("ipv4/tcp_timestamps", timestamps).unwrap();
    topology.take_replies().unwrap()
}

/// A counter of the server's kernel.
pub(crate) fn tcp_ext(topology: &Topology, name: &str) -> u64 {
    let text = || std::fs::read_to_string("/proc/thread-self/net/netstat");
    let text = topology.server.run(text).unwrap().unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let column = names.split_whitespace().position(|column| column == name).unwrap();
    values.split_whitespace().nth(column).unwrap().parse().unwrap()
}

/// What a new connection's ends agreed on.
#[derive(PartialEq, Debug)]
struct Agreed {
    /// The client's `TCPI_OPT_…` bits, both window scales, sent and received, and the largest segment that it may send.
    client: (u8, u8, u8, u32),
    /// What `ss` shows of the server's end: timestamps, selective acknowledgements, window scales, sizes of segments.
    server: Vec<String>,
}

impl Agreed {
    fn nothing(&self) -> bool {
        let (options, sent, received, _) = self.client;
        let server = ["ts", "sack", "wscale"];
        (options, sent, received) == (0, 0, 0)
            && !self.server.iter().any(|word| server.iter().any(|name| word.starts_with(name)))
    }
}

fn agreed(topology: &Topology, v6: bool) -> Agreed {
    let mut kept = Kept::open(topology, v6);
    kept.ask();
    // SAFETY: an all-zero tcp_info is one, and the kernel writes no more than its size.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut size = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: as above.
    let failed = unsafe {
        libc::getsockopt(
            kept.0.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut size,
        )
    };
    assert_eq!(failed, 0);
    let scales = info.tcpi_snd_rcv_wscale;
    let client = (info.tcpi_options & 7, scales & 15, scales >> 4, info.tcpi_snd_mss);
    let port = format!("( dport = :{} )", kept.0.local_addr().unwrap().port());
    let mut ss = topology.server.command("ss");
    ss.args(["--tcp", "--info", "--options", "--numeric", "--no-header", "state", "established", &port]);
    let said = process::run(&mut ss).unwrap();
    let names = ["wscale:", "mss:", "advmss:", "pmtu:"];
    let wanted =
        |word: &&str| ["ts", "sack"].contains(word) || names.iter().any(|name| word.starts_with(name));
    let server: Vec<String> = said.split_whitespace().filter(wanted).map(str::to_owned).collect();
    assert!(server.len() >= 3, "ss shows no connection: {said}");
    Agreed { client, server }
}

fn options(topology: &Topology) {
    let _replies = set(topology, "2", "2");
    let nginx = Nginx::start(&topology.server).unwrap();
    let digest = nginx.fill().unwrap();
    for v6 in [false, true] {
        let site = site(topology, &configured("\"off\"", false));
        let agent = site.start().unwrap();
        let kernels = agreed(topology, v6);
        assert_eq!(kernels.client.0, 7, "timestamps, selective acknowledgements, window scale");
        let largest = if v6 { "mss:1428" } else { "mss:1448" };
        for word in ["ts", "sack", "wscale:", largest] {
            assert!(kernels.server.iter().any(|one| one.starts_with(word)), "no {word}: {kernels:?}");
        }
        site.configure(&configured("\"always\"", false)).unwrap();
        succeed(&site, &["reload"]);
        // The first may be the kernel's own.
        let before = site.counts().unwrap();
        for _ in 0..5 {
            assert_eq!(agreed(topology, v6), kernels);
        }
        let answered = site.counts().unwrap().since(&before).reason("syn-cookie");
        assert!((4..=5).contains(&answered), "{answered} answered");
        // With secret offsets, a timestamp of ours would say anything: there is none then.
        topology.server.sysctl("ipv4/tcp_timestamps", "1").unwrap();
        // Answers that were on their way before the agent saw it promise what the kernel does not keep any more.
        let follows = || agent.log().contains("SYN cookies follow");
        assert!(eventually(Duration::from_secs(5), follows), "{}", agent.log());
        // Now and then one is left to the kernel, lest its listener forgets that it is to expect cookies.
        let plain = (0..3).any(|_| agreed(topology, v6).nothing());
        assert!(plain, "{:?} {}", site.counts(), agent.log());
        Download::start(topology, server_address(v6), "10G").succeeds(&digest);
        topology.server.sysctl("ipv4/tcp_timestamps", "2").unwrap();
        drop(agent);
        site.detach().unwrap();
    }
}

pub(crate) fn active(site: &Site<'_>) -> Vec<String> {
    let status = site.ask(&["status"]).unwrap();
    let classes = status["syn_cookies"]["active"].as_array().unwrap();
    classes.iter().map(|class| class.as_str().unwrap().to_owned()).collect()
}

fn automatic(topology: &Topology) {
    let _replies = set(topology, "2", "2");
    let _nginx = Nginx::start(&topology.server).unwrap();
    let site = site(topology, &configured("{ above = \"200/s\", hold = \"2s\" }", false));
    let _agent = site.start().unwrap();
    let before = site.counts().unwrap();
    let client =
        Client { server: (server_address(false), 80).into(), rate: 60, timeout: Duration::from_secs(3) };
    let calm = client.start(&topology.client).unwrap();
    thread::sleep(Duration::from_secs(2));
    assert_eq!(calm.stop().unwrap().success(), 1.0);
    assert_eq!(site.counts().unwrap().since(&before).reason("syn-cookie"), 0);
    assert_eq!(active(&site), Vec::<String>::new());
    let syn = Topology::frame("11.0.0.1").tcp(1, 80);
    let offered = flood(topology, syn, 0, 50_000, Duration::from_secs(2));
    assert_eq!(active(&site), ["web"]);
    let counts = site.counts().unwrap().since(&before);
    let (answered, bogons) = (counts.reason("syn-cookie"), counts.reason("bogon-source"));
    assert!(answered > (offered - bogons) * 9 / 10, "of {offered}: {counts:?}");
    assert!(succeed(&site, &["status"]).contains("now: web"));
    assert!(eventually(Duration::from_secs(8), || active(&site).is_empty()), "still active");
}

fn wrong(topology: &Topology) {
    let _replies = set(topology, "2", "2");
    let _nginx = Nginx::start(&topology.server).unwrap();
    let site = site(topology, &configured("\"always\"", false));
    let _agent = site.start().unwrap();
    for v6 in [false, true] {
        let before = site.counts().unwrap();
        let ack = Topology::frame(if v6 { "fd98:0:1::1" } else { "11.0.0.1" }).tcp(1, 80).flags(0x10);
        let offered = flood(topology, ack, 0, 50_000, Duration::from_secs(2));
        let counts = site.counts().unwrap().since(&before);
        // Some of the random sources are none.
        assert_eq!(counts.reason("bad-cookie") + counts.reason("bogon-source"), offered, "{counts:?}");
        assert_eq!(tcp_ext(topology, "SyncookiesFailed"), 0, "the kernel saw some");
    }
}

fn settings(topology: &Topology) {
    let _replies = set(topology, "1", "1");
    let _nginx = Nginx::start(&topology.server).unwrap();
    let site = site(topology, &configured("\"always\"", false));
    let agent = site.start().unwrap();
    let before = site.counts().unwrap();
    drop(Kept::open(topology, false));
    assert_eq!(site.counts().unwrap().since(&before).reason("syn-cookie"), 0);
    assert!(agent.log().contains("net.ipv4.tcp_syncookies is not 2"), "{}", agent.log());
    let status = succeed(&site, &["status"]);
    assert!(status.contains("NOT SENT") && status.contains("net.ipv4.tcp_syncookies"), "{status}");
    // What stood in the way is seen to go, and to come back.
    for (value, wanted) in [("2", true), ("1", false)] {
        topology.server.sysctl("ipv4/tcp_syncookies", value).unwrap();
        let answers = || {
            let before = site.counts().unwrap();
            drop([Kept::open(topology, false), Kept::open(topology, false)]);
            site.counts().unwrap().since(&before).reason("syn-cookie") > 0
        };
        assert!(eventually(Duration::from_secs(5), || answers() == wanted), "tcp_syncookies={value}");
    }
}

/// What doctor finds of a setting, with the site's configuration.
fn diagnosis(site: &Site<'_>, setting: &str) -> (String, String) {
    let configuration = site.configuration().display().to_string();
    let output = site.cli(&["doctor", "--config", &configuration, "-o", "json"]).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["check"] == setting).unwrap();
    (finding["state"].as_str().unwrap().to_owned(), finding.to_string())
}

fn managed(topology: &Topology) {
    const NAMES: [&str; 2] = ["net.ipv4.tcp_syncookies", "net.ipv4.tcp_timestamps"];
    let _replies = set(topology, "1", "1");
    let site = site(topology, &configured("\"always\"", true));
    for name in NAMES {
        let (state, text) = diagnosis(&site, name);
        let fix = format!("sysctl -w {name}=2, or manage_sysctls = true");
        assert!(state == "warn" && text.contains(&fix), "{text}");
    }
    let agent = site.start().unwrap();
    for name in NAMES {
        let (state, text) = diagnosis(&site, name);
        assert_eq!(state, "ok", "{text}");
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        let value = topology.server.run(|| std::fs::read_to_string(&path)).unwrap().unwrap();
        assert_eq!(value.trim(), "2", "{name}");
        let told = format!("{name} was 1 and is 2 now");
        assert!(agent.log().contains(&told), "no {told:?}: {}", agent.log());
    }
    // Where no class answers, the usual values are in nobody's way.
    topology.server.sysctl("ipv4/tcp_syncookies", "1").unwrap();
    site.configure(&configured("\"off\"", true)).unwrap();
    assert_eq!(diagnosis(&site, NAMES[0]).0, "ok");
    succeed(&site, &["reload"]);
    assert_eq!(diagnosis(&site, NAMES[0]).0, "ok");
}
