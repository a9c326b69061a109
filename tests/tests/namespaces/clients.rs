//! SYN cookies for real clients (curl, wrk, Chromium), through a flood of SYNs.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use libtest_mimic::Trial;
use stopbank_tests::{
    agent::Site,
    client::Client,
    generator::{Flood, Running},
    nginx::{BODY, LARGE, Nginx, PAGE},
    process::{self, Background},
    scratch::Scratch,
    skip,
    topology::{Topology, server_address},
};

use crate::{
    cookies::{active, configured, set, tcp_ext},
    rig::{eventually, site, trial, trial_if},
};

const ALWAYS: &str = "\"always\"";
const AUTO: &str = "{ above = \"200/s\", hold = \"2s\" }";
const PATIENCE: Duration = Duration::from_secs(3);

pub(crate) fn trials() -> Vec<Trial> {
    let through = "SYN cookies: connections live, and clients connect and get 100 MiB, through a SYN flood";
    vec![
        trial_if(no_wrk, &format!("{through}, always, over IPv4"), |topology| {
            survives(topology, false, ALWAYS);
        }),
        trial_if(no_wrk, &format!("{through}, always, over IPv6"), |topology| {
            survives(topology, true, ALWAYS);
        }),
        trial_if(no_wrk, &format!("{through}, auto, over IPv4"), |topology| survives(topology, false, AUTO)),
        trial_if(no_wrk, &format!("{through}, auto, over IPv6"), |topology| survives(topology, true, AUTO)),
        trial("SYN cookies: clients behind a VLAN tag connect and get 100 MiB through a SYN flood", tagged),
        trial_if(no_browser, "SYN cookies: a browser loads pages through a SYN flood", browser),
    ]
}

/// A flood of SYNs from everywhere, as far as 100,000 a second are taken.
fn attack(topology: &Topology, v6: bool) -> Running {
    let frame = Topology::frame(if v6 { "fd98:0:1::1" } else { "11.0.0.1" }).tcp(1, 80);
    Flood { frame, sources: 0, pace: Some(100_000), at_most: Duration::from_secs(60) }
        .start(&topology.switch, topology.to_server().unwrap())
        .unwrap()
}

/// Until SYNs are answered.
fn wait_for_answers(site: &Site<'_>) {
    assert!(eventually(PATIENCE, || active(site) == ["web"]), "no SYN is answered");
    thread::sleep(Duration::from_millis(500));
}

/// A connection that somebody keeps open, and asks over now and then.
pub(crate) struct Kept(pub(crate) TcpStream);

impl Kept {
    pub(crate) fn open(topology: &Topology, v6: bool) -> Self {
        let address = SocketAddr::from((server_address(v6), 80));
        let stream = topology.client.run(|| TcpStream::connect_timeout(&address, PATIENCE)).unwrap().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    /// A request and its answer.
    pub(crate) fn ask(&mut self) {
        self.0.write_all(b"GET / HTTP/1.1\r\nHost: server\r\n\r\n").unwrap();
        let (mut answer, mut some) = (Vec::new(), [0; 512]);
        while !answer.ends_with(BODY.as_bytes()) {
            let length = self.0.read(&mut some).unwrap();
            assert!(length > 0, "the server has closed a kept connection");
            answer.extend(&some[..length]);
        }
    }
}

/// curl at a download of [`LARGE`], and what its bytes add up to. Both end when this is dropped.
pub(crate) struct Download {
    curl: Child,
    digest: Child,
}

impl Download {
    /// At so many bytes a second; `10G`: as fast as it goes.
    pub(crate) fn start(topology: &Topology, from: IpAddr, rate: &str) -> Self {
        let mut curl = topology.client.command("curl");
        curl.args(["--silent", "--show-error", "--fail", "--max-time", "60", "--limit-rate", rate]);
        curl.arg(format!("http://{}{}", SocketAddr::from((from, 80)), LARGE.0));
        let mut curl = curl.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut digest = process::command("sha256sum".as_ref(), None);
        digest.stdin(curl.stdout.take().unwrap()).stdout(Stdio::piped());
        Self { curl, digest: digest.spawn().unwrap() }
    }

    /// Everything came, as it was sent.
    pub(crate) fn succeeds(mut self, digest: &str) {
        let mut said = String::new();
        self.curl.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(self.curl.wait().unwrap().success(), "{said}");
        let mut added_up = String::new();
        self.digest.stdout.take().unwrap().read_to_string(&mut added_up).unwrap();
        assert_eq!(added_up.split_whitespace().next(), Some(digest), "{said}");
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        for child in [&mut self.curl, &mut self.digest] {
            // Both fail only when it has ended and been waited for.
            let _ended = child.kill();
            let _ended = child.wait();
        }
    }
}

/// wrk for some seconds, each request over a new connection. How many were answered; none failed.
fn wrk(topology: &Topology, v6: bool) -> u64 {
    let mut wrk = topology.client.command("wrk");
    wrk.args(["--threads", "1", "--connections", "16", "--duration", "3s", "--timeout", "3s"]);
    wrk.args(["--header", "Connection: close"]);
    wrk.arg(format!("http://{}/", SocketAddr::from((server_address(v6), 80))));
    let said = process::run(&mut wrk).unwrap();
    // It says nothing of errors where there were none.
    assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
    let line = said.lines().find(|line| line.contains(" requests in ")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn survives(topology: &Topology, v6: bool, cookies: &str) {
    let _replies = set(topology, "1", "1");
    let nginx = Nginx::start(&topology.server).unwrap();
    let digest = nginx.fill().unwrap();
    let mut older_than_the_agent = Kept::open(topology, v6);
    older_than_the_agent.ask();
    // The agent makes the settings itself.
    let site = site(topology, &configured(cookies, true));
    let _agent = site.start().unwrap();
    let mut kept = [older_than_the_agent, Kept::open(topology, v6)];
    kept.iter_mut().for_each(Kept::ask);
    let before = site.counts().unwrap();
    let running = attack(topology, v6);
    wait_for_answers(&site);
    let kernel = |name| tcp_ext(topology, name);
    let returned = kernel("SyncookiesRecv");
    // Across the rest of the attack; nobody else connects meanwhile.
    let slow = Download::start(topology, server_address(v6), "14M");
    assert!(eventually(PATIENCE, || kernel("SyncookiesRecv") == returned + 1), "curl came without a cookie");
    kept.iter_mut().for_each(Kept::ask);
    let client = Client { server: (server_address(v6), 80).into(), rate: 60, timeout: PATIENCE };
    let working = client.start(&topology.client).unwrap();
    let requests = wrk(topology, v6);
    Download::start(topology, server_address(v6), "10G").succeeds(&digest);
    slow.succeeds(&digest);
    let served = working.stop().unwrap();
    kept.iter_mut().for_each(Kept::ask);
    let sent = running.stop().unwrap();
    kept.iter_mut().for_each(Kept::ask);
    let counts = site.counts().unwrap().since(&before);
    assert!(served.attempted > 200 && served.success() >= 0.995, "{served:?}");
    assert!(requests > 300, "wrk was answered {requests} requests");
    let answered = counts.reason("syn-cookie");
    assert!(answered > sent / 20 && answered > 20_000, "{answered} of {sent} answered: {counts:?}");
    // The kernel made connections of cookies, and hardly saw the flood.
    let (received, failed) = (kernel("SyncookiesRecv"), kernel("SyncookiesFailed"));
    // Not every one: a port that wrk takes again may have a connection in TIME_WAIT, whose SYN is the kernel's to judge.
    assert!(received >= requests / 2, "{received} cookies came back; wrk was answered {requests} requests");
    assert_eq!(failed, 0, "cookies that the kernel did not take");
    // What comes before the rate is above its limit is the kernel's as well.
    let by_the_kernel = kernel("SyncookiesSent");
    assert!(by_the_kernel < 500, "{by_the_kernel} SYNs were answered by the kernel");
}

fn tagged(topology: &Topology) {
    let _replies = set(topology, "2", "2");
    let _tags = topology.tag().unwrap();
    let nginx = Nginx::start(&topology.server).unwrap();
    let digest = nginx.fill().unwrap();
    let site = site(topology, &configured(ALWAYS, false));
    let _agent = site.start().unwrap();
    for v6 in [false, true] {
        let running = attack(topology, v6);
        wait_for_answers(&site);
        let before = tcp_ext(topology, "SyncookiesSent");
        let received = tcp_ext(topology, "SyncookiesRecv");
        for _ in 0..10 {
            Kept::open(topology, v6).ask();
        }
        Download::start(topology, server_address(v6), "10G").succeeds(&digest);
        running.stop().unwrap();
        // The kernel answers one SYN a second, which are the flood's: all of these were answered by the program, tag and all.
        assert_eq!(tcp_ext(topology, "SyncookiesRecv") - received, 11, "connections of cookies");
        let by_the_kernel = tcp_ext(topology, "SyncookiesSent") - before;
        assert!(by_the_kernel <= 8, "{by_the_kernel} answered by the kernel");
    }
}

/// Why a test that wants this program cannot run, if it cannot.
pub(crate) fn without(program: &str, package: &str) -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|directory| directory.join(program).exists());
    skip::no_kernel().or_else(|| (!found).then(|| format!("needs {program} (Debian's package {package})")))
}

fn no_browser() -> Option<String> {
    without("chromium", "chromium")
}

fn no_wrk() -> Option<String> {
    without("wrk", "wrk")
}

fn browser(topology: &Topology) {
    let _replies = set(topology, "2", "2");
    let _nginx = Nginx::start(&topology.server).unwrap();
    let site = site(topology, &configured(ALWAYS, false));
    let _agent = site.start().unwrap();
    for v6 in [false, true] {
        let received = tcp_ext(topology, "SyncookiesRecv");
        let running = attack(topology, v6);
        wait_for_answers(&site);
        let profile = Scratch::new().unwrap();
        let mut chromium = topology.client.command("chromium");
        chromium.env("HOME", profile.path()).args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
        ]);
        chromium.args(["--no-first-run", "--disable-background-networking", "--disable-component-update"]);
        chromium.args(["--disable-sync", "--disable-breakpad", "--disable-dev-shm-usage", "--dump-dom"]);
        chromium.arg(format!("--user-data-dir={}", profile.file("profile").display()));
        chromium.arg(format!("http://{}{}", SocketAddr::from((server_address(v6), 80)), PAGE.0));
        let mut loading = Background::start(chromium, &profile.file("chromium.log")).unwrap();
        let status = loading.wait(Duration::from_secs(60)).unwrap();
        let title = format!("<title>{}</title>", PAGE.1);
        assert!(status.success() && loading.log().contains(&title), "no {title}: {}", loading.log());
        running.stop().unwrap();
        assert!(tcp_ext(topology, "SyncookiesRecv") > received, "a browser without cookies");
    }
}
