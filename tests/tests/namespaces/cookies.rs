//! SYN cookies between a real client and a real server, with a flood of SYNs beside them.

use std::{
    net::{SocketAddr, TcpStream},
    os::fd::AsRawFd,
    process::Child,
    thread,
    time::Duration,
};

use libtest_mimic::Trial;
use stopbank_tests::{
    agent::{Settings, Site},
    client::Client,
    generator::Flood,
    nginx::{LARGE, Nginx},
    topology::{Topology, server_address},
};

use crate::rig::{eventually, flood, site, succeed, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("SYN cookies: clients connect and 100 MiB come through a SYN flood over IPv4", |topology| {
            survives(topology, false);
        }),
        trial("SYN cookies: clients connect and 100 MiB come through a SYN flood over IPv6", |topology| {
            survives(topology, true);
        }),
        trial(
            "SYN cookies: a connection keeps window scale, selective acknowledgements, timestamps",
            options,
        ),
        trial("SYN cookies: automatic ones come with a flood and go after it", automatic),
        trial("SYN cookies: an ACK flood with wrong cookies is dropped", wrong),
        trial("SYN cookies: none are sent that the kernel would not take", settings),
    ]
}

fn configured(cookies: &str, manage: bool) -> Settings {
    let policy = format!(
        "manage_sysctls = {manage}\n[[class]]\nname = \"web\"\nprotocol = \"tcp\"\nports = [80]\nsyn_cookies = {cookies}\n"
    );
    Settings { role: "host", policy, ..Settings::default() }
}

fn set(topology: &Topology, syncookies: &str, timestamps: &str) -> impl Sized {
    topology.server.sysctl("ipv4/tcp_syncookies", syncookies).unwrap();
    topology.server.sysctl("ipv4/tcp_timestamps", timestamps).unwrap();
    topology.take_replies().unwrap()
}

/// A download of 100 MiB, at this many bytes a second.
fn download(topology: &Topology, v6: bool, rate: &str) -> Child {
    let address = SocketAddr::from((server_address(v6), 80));
    let mut command = topology.client.command("curl");
    command.args(["--silent", "--show-error", "--fail", "--max-time", "60", "--limit-rate", rate]);
    command.args(["--output", "/dev/null", "--write-out", "%{size_download}"]);
    command.arg(format!("http://{address}{}", LARGE.0));
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
}

fn downloaded(download: Child) {
    let output = download.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), LARGE.1.to_string(), "{said}");
}

fn survives(topology: &Topology, v6: bool) {
    let _replies = set(topology, "1", "1");
    let _nginx = Nginx::start(&topology.server).unwrap();
    // The agent makes the settings itself.
    let site = site(topology, &configured("\"always\"", true));
    let _agent = site.start().unwrap();
    let before = site.counts().unwrap();
    let frame = Topology::frame(if v6 { "fd98:0:1::1" } else { "11.0.0.1" }).tcp(1, 80);
    let running = Flood { frame, sources: 0, pace: Some(100_000), at_most: Duration::from_secs(60) }
        .start(&topology.switch, topology.to_server().unwrap())
        .unwrap();
    thread::sleep(Duration::from_millis(500));
    // Across the whole attack, and as fast as it goes.
    let slow = download(topology, v6, "12M");
    let client =
        Client { server: (server_address(v6), 80).into(), rate: 60, timeout: Duration::from_secs(3) };
    let working = client.start(&topology.client).unwrap();
    downloaded(download(topology, v6, "10G"));
    downloaded(slow);
    let served = working.stop().unwrap();
    let sent = running.stop().unwrap();
    let counts = site.counts().unwrap().since(&before);
    assert!(served.attempted > 200 && served.success() >= 0.995, "{served:?}");
    let answered = counts.reason("syn-cookie");
    assert!(answered > sent / 20 && answered > 20_000, "{answered} of {sent} answered: {counts:?}");
    // The kernel made connections of cookies, and hardly saw the flood.
    let kernel = |name| tcp_ext(topology, name);
    let (received, failed) = (kernel("SyncookiesRecv"), kernel("SyncookiesFailed"));
    assert!(received >= served.succeeded / 2, "{received} cookies came back, {served:?}");
    assert_eq!(failed, 0, "cookies that the kernel did not take");
    assert!(kernel("SyncookiesSent") < 200, "the kernel had more than its trickle");
}

/// A counter of the server's kernel.
fn tcp_ext(topology: &Topology, name: &str) -> u64 {
    let text = || std::fs::read_to_string("/proc/thread-self/net/netstat");
    let text = topology.server.run(text).unwrap().unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let column = names.split_whitespace().position(|column| column == name).unwrap();
    values.split_whitespace().nth(column).unwrap().parse().unwrap()
}

/// What a new connection's ends agreed on: `TCPI_OPT_…` bits, and both window scales, sent and received.
fn agreed(topology: &Topology, v6: bool) -> (u8, u8, u8) {
    let connect = || {
        let stream = TcpStream::connect_timeout(&(server_address(v6), 80).into(), Duration::from_secs(3));
        let stream = stream.unwrap();
        // SAFETY: an all-zero tcp_info is one, and the kernel writes no more than its size.
        let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
        let mut size = size_of::<libc::tcp_info>() as libc::socklen_t;
        // SAFETY: as above.
        let failed = unsafe {
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                (&raw mut info).cast(),
                &raw mut size,
            )
        };
        assert_eq!(failed, 0);
        let scales = info.tcpi_snd_rcv_wscale;
        (info.tcpi_options & 7, scales & 15, scales >> 4)
    };
    topology.client.run(connect).unwrap()
}

fn options(topology: &Topology) {
    let _replies = set(topology, "2", "2");
    let _nginx = Nginx::start(&topology.server).unwrap();
    for v6 in [false, true] {
        let site = site(topology, &configured("\"off\"", false));
        let agent = site.start().unwrap();
        let kernels = agreed(topology, v6);
        assert_eq!(kernels.0, 7, "timestamps, selective acknowledgements, window scale");
        site.configure(&configured("\"always\"", false)).unwrap();
        succeed(&site, &["reload"]);
        // The first may be the kernel's own.
        let before = site.counts().unwrap();
        let all: Vec<_> = (0..5).map(|_| agreed(topology, v6)).collect();
        assert_eq!(all, vec![kernels; 5]);
        let answered = site.counts().unwrap().since(&before).reason("syn-cookie");
        assert!((4..=5).contains(&answered), "{answered} answered");
        // With secret offsets, a timestamp of ours would say anything: there is none then.
        topology.server.sysctl("ipv4/tcp_timestamps", "1").unwrap();
        let plain = || agreed(topology, v6) == (0, 0, 0);
        let lost = eventually(Duration::from_secs(5), plain);
        assert!(lost, "{:?} {:?} {}", agreed(topology, v6), site.counts(), agent.log());
        downloaded(download(topology, v6, "10G"));
        topology.server.sysctl("ipv4/tcp_timestamps", "2").unwrap();
        drop(agent);
        site.detach().unwrap();
    }
}

fn active(site: &Site<'_>) -> Vec<String> {
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
    agreed(topology, false);
    assert_eq!(site.counts().unwrap().since(&before).reason("syn-cookie"), 0);
    assert!(agent.log().contains("net.ipv4.tcp_syncookies is not 2"), "{}", agent.log());
    let status = succeed(&site, &["status"]);
    assert!(status.contains("NOT SENT") && status.contains("net.ipv4.tcp_syncookies"), "{status}");
    // What stood in the way is seen to go, and to come back.
    for (value, wanted) in [("2", true), ("1", false)] {
        topology.server.sysctl("ipv4/tcp_syncookies", value).unwrap();
        let answers = || {
            let before = site.counts().unwrap();
            agreed(topology, false);
            agreed(topology, false);
            site.counts().unwrap().since(&before).reason("syn-cookie") > 0
        };
        assert!(eventually(Duration::from_secs(5), || answers() == wanted), "tcp_syncookies={value}");
    }
}
