//! A router that runs the agent on its outside interface, for a host behind it.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use libtest_mimic::Trial;
use stopbank_tests::{
    agent::{Settings, Site},
    frames::{FrameBuilder, Mac},
    generator::Flood,
    netns::Namespace,
};

use crate::rig::{bare_trial, eventually};

const ROUTER_MAC: Mac = [2, 0x5b, 0, 0, 1, 1];
const OUTSIDE: &str = "outside0";
const INSIDE: &str = "inside0";
/// Of the host behind the router, and of the one in front of it: IPv4, IPv6.
const HOST: [&str; 2] = ["10.97.1.2", "fd97:1::2"];
const PEER: [&str; 2] = ["10.97.2.2", "fd97:2::2"];
const LEARN: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(3);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        bare_trial("a gateway passes what belongs to flows, and drops floods that do not", gateway),
        bare_trial("a gateway's tc program comes with the role and goes with it", comes_and_goes),
    ]
}

struct Network {
    host: Namespace,
    router: Namespace,
    peer: Namespace,
}

impl Network {
    fn new() -> Self {
        let network = Self {
            host: Namespace::new().unwrap(),
            router: Namespace::new().unwrap(),
            peer: Namespace::new().unwrap(),
        };
        let Self { host, router, peer } = &network;
        let mac = ROUTER_MAC.map(|byte| format!("{byte:02x}")).join(":");
        router
            .ip(&[
                &format!("link add {INSIDE} type veth peer name eth0 netns {}", host.path()),
                &format!("link add {OUTSIDE} address {mac} type veth peer name eth0 netns {}", peer.path()),
                &format!("link set {INSIDE} up"),
                &format!("link set {OUTSIDE} up"),
                &format!("addr add 10.97.1.1/24 dev {INSIDE}"),
                &format!("addr add 10.97.2.1/24 dev {OUTSIDE}"),
                &format!("addr add fd97:1::1/64 dev {INSIDE} nodad"),
                &format!("addr add fd97:2::1/64 dev {OUTSIDE} nodad"),
                &format!("route add default via {} dev {OUTSIDE}", PEER[0]),
            ])
            .unwrap();
        router.sysctl("ipv4/ip_forward", "1").unwrap();
        router.sysctl("ipv6/conf/all/forwarding", "1").unwrap();
        for interface in ["all", OUTSIDE] {
            router.sysctl(&format!("ipv4/conf/{interface}/rp_filter"), "0").unwrap();
        }
        for (namespace, [v4, v6], side) in [(host, HOST, 1), (peer, PEER, 2)] {
            namespace
                .ip(&[
                    &format!("addr add {v4}/24 dev eth0"),
                    &format!("addr add {v6}/64 dev eth0 nodad"),
                    "link set eth0 up",
                    &format!("route add default via 10.97.{side}.1 dev eth0"),
                    &format!("route add default via fd97:{side}::1 dev eth0"),
                ])
                .unwrap();
        }
        let reached = |address: &str| {
            let to = SocketAddr::new(ip(address), 1);
            let knocked = host.run(|| TcpStream::connect_timeout(&to, Duration::from_millis(300))).unwrap();
            matches!(knocked, Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused)
        };
        assert!(PEER.iter().all(|address| eventually(Duration::from_secs(10), || reached(address))));
        network
    }

    fn settings(role: &'static str) -> Settings {
        let policy = format!("[flows]\nlines = 4096\nlearn = \"{}s\"\n[default]\n", LEARN.as_secs());
        Settings { role, interface: OUTSIDE.to_owned(), policy, ..Settings::default() }
    }

    fn site(&self, role: &'static str) -> Site<'_> {
        let site = Site::new(&self.router).unwrap();
        site.configure(&Self::settings(role)).unwrap();
        site
    }

    /// A connection, from whoever opens it and whoever accepts it.
    fn connect(from: &Namespace, to: &Namespace, address: &str) -> (TcpStream, TcpStream) {
        let listener = to.run(|| TcpListener::bind((ip(address), 0))).unwrap().unwrap();
        let at = listener.local_addr().unwrap();
        let opened = from.run(|| TcpStream::connect_timeout(&at, PATIENCE)).unwrap().unwrap();
        let (accepted, _) = listener.accept().unwrap();
        for stream in [&opened, &accepted] {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.set_nodelay(true).unwrap();
        }
        (opened, accepted)
    }

    /// Sends a flood at the host for a time; how many packets were sent, and the counts since.
    fn flood(&self, site: &Site<'_>, frame: FrameBuilder, sources: u32, reason: &str) -> (u64, u64) {
        let before = site.counts().unwrap();
        let at_most = Duration::from_secs(10);
        let flood = Flood { frame, sources, pace: Some(20_000), at_most };
        let running = flood.start(&self.peer, self.peer.interface_index("eth0").unwrap()).unwrap();
        thread::sleep(Duration::from_secs(1));
        let sent = running.stop().unwrap();
        thread::sleep(Duration::from_millis(200));
        (sent, site.counts().unwrap().since(&before).reason(reason))
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A frame from outside for the host.
fn frame() -> FrameBuilder {
    FrameBuilder::new("11.0.0.1", HOST[0]).macs([2, 0x5b, 0, 0, 0, 0xff], ROUTER_MAC)
}

/// Both ends of a connection hear each other.
fn talk((one, other): &mut (TcpStream, TcpStream)) {
    let mut heard = [0; 4];
    one.write_all(b"ping").unwrap();
    other.read_exact(&mut heard).unwrap();
    other.write_all(b"pong").unwrap();
    one.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"pong");
}

fn download((mut to, mut from): (TcpStream, TcpStream)) {
    const BYTES: usize = 16 << 20;
    let sender = thread::spawn(move || from.write_all(&vec![7; BYTES]).unwrap());
    let mut read = Vec::new();
    to.read_to_end(&mut read).unwrap();
    sender.join().unwrap();
    assert_eq!(read.len(), BYTES);
}

fn gateway() {
    let network = Network::new();
    let Network { host, peer, .. } = &network;
    let mut old = Network::connect(peer, host, HOST[0]);
    let site = network.site("gateway");
    let agent = site.start().unwrap();
    // The outside speaks first, of a connection that the table has not seen.
    talk(&mut old);
    assert!(site.counts().unwrap().reason("no-connection") > 0, "observed while it learns");
    thread::sleep(LEARN);
    talk(&mut old);
    for v6 in [0, 1] {
        download(Network::connect(peer, host, HOST[v6]));
        download(Network::connect(host, peer, PEER[v6]));
        queries(&network, &site, v6);
    }
    let mut inward = Network::connect(peer, host, HOST[0]);
    let mut outward = Network::connect(host, peer, PEER[1]);
    for (name, frame) in
        [("ACK", frame().tcp(1, 80).flags(0x10)), ("SYN-ACK", frame().tcp(443, 1_000).flags(0x12))]
    {
        let (sent, dropped) = network.flood(&site, frame, 5_000, "no-connection");
        assert!(sent > 5_000 && dropped >= sent * 95 / 100, "{name}: {dropped} of {sent}");
    }
    // SYNs from anywhere, each of which a listener answers: the table takes note of every answer.
    let listener = host.run(|| TcpListener::bind((ip(HOST[0]), 80))).unwrap().unwrap();
    let (sent, _) = network.flood(&site, frame().tcp(1, 80), 0, "passed");
    assert!(sent > 5_000);
    drop(listener);
    for connection in [&mut old, &mut inward, &mut outward] {
        talk(connection);
    }

    assert_eq!(agent.stop().unwrap(), 0);
    for connection in [&mut old, &mut inward, &mut outward] {
        talk(connection);
    }
    let agent = site.start().unwrap();
    let (sent, dropped) = network.flood(&site, frame().tcp(1, 80).flags(0x10), 5_000, "no-connection");
    assert!(dropped >= sent * 95 / 100, "a restart learns nothing anew: {dropped} of {sent}");
    for connection in [&mut old, &mut inward, &mut outward] {
        talk(connection);
    }
    assert_eq!(agent.stop().unwrap(), 0);
}

/// The host's own query is answered; an answer that it did not ask for is dropped.
fn queries(network: &Network, site: &Site<'_>, v6: usize) {
    let resolver = network.peer.run(|| UdpSocket::bind((ip(PEER[v6]), 53))).unwrap().unwrap();
    let client = network.host.run(|| UdpSocket::bind((ip(HOST[v6]), 0))).unwrap().unwrap();
    let victim = network.host.run(|| UdpSocket::bind((ip(HOST[v6]), 0))).unwrap().unwrap();
    for socket in [&resolver, &client] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    victim.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    client.send_to(b"query", (ip(PEER[v6]), 53)).unwrap();
    let mut buffer = [0; 64];
    let (_, asker) = resolver.recv_from(&mut buffer).unwrap();
    resolver.send_to(b"answer", asker).unwrap();
    assert_eq!(client.recv_from(&mut buffer).unwrap().0, 6);
    let before = site.counts().unwrap();
    resolver.send_to(b"reflected", victim.local_addr().unwrap()).unwrap();
    assert!(victim.recv_from(&mut buffer).is_err(), "nobody asked for it");
    assert_eq!(site.counts().unwrap().since(&before).reason("amplification"), 1);
}

/// What of the tc program is pinned.
fn pinned(site: &Site<'_>) -> usize {
    let mut found = 0;
    for version in std::fs::read_dir(site.pins()).into_iter().flatten().flatten() {
        for pin in std::fs::read_dir(version.path()).unwrap().flatten() {
            let name = pin.file_name().to_string_lossy().into_owned();
            found += usize::from(name.starts_with("egress_") || name.starts_with("filter_"));
        }
    }
    found
}

fn comes_and_goes() {
    let network = Network::new();
    let site = network.site("any");
    for (role, expected) in [("any", 0), ("gateway", 1), ("gateway", 1), ("any", 0), ("gateway", 1)] {
        site.configure(&Network::settings(role)).unwrap();
        let agent = site.start().unwrap();
        assert_eq!(pinned(&site), expected, "{role}");
        talk(&mut Network::connect(&network.peer, &network.host, HOST[0]));
        assert_eq!(agent.stop().unwrap(), 0);
        assert_eq!(pinned(&site), expected, "{role}");
    }
    site.detach().unwrap();
    assert_eq!(pinned(&site), 0);
    assert!(!site.pinned());
    let mut tc = network.router.command("tc");
    let filters =
        stopbank_tests::process::run(tc.args(["filter", "show", "dev", OUTSIDE, "egress"])).unwrap();
    assert!(!filters.contains("stopbank"), "{filters}");
    talk(&mut Network::connect(&network.host, &network.peer, PEER[0]));
}
