//! The whole life of the package on a host under a flood: installed, started, restarted, killed, reloaded, hung, failing to start,
//! upgraded, detached, removed and purged.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    thread,
    time::Duration,
};

use aya::maps::{Array, MapData};
use libtest_mimic::Trial;
use stopbank_tests::{
    cpu::{self, Role},
    generator, process, skip,
    topology::{INTERFACE, Topology},
};

use crate::{
    attack::{Attack, BURST, PORT, RATE},
    container::Container,
    no_host, packages, root, wait_until,
};

/// The interface that somebody else's program is on, and where others have pinned.
const OTHER: &str = "other0";
/// An interface that is made later.
const LATER: &str = "later0";
const OTHERS: [&str; 2] = ["/sys/fs/bpf/others", "/sys/fs/bpf/others/map"];
const PINS: &str = "/sys/fs/bpf/stopbank";

pub(crate) fn trials() -> Vec<Trial> {
    vec![skip::trial(
        "packages: a host under a flood is protected while its package is installed, restarted, killed, upgraded, and until it is removed",
        no_host,
        life,
    )]
}

fn life() {
    cpu::assign(0, Role::Other).unwrap();
    let topology = Topology::new().unwrap();
    let container = Container::boot(&topology.server, &root(), &packages()).unwrap();
    let others = others(&topology, &container);
    let host = Host { container, topology: &topology };

    host.install();
    host.start();
    let attack = Attack::begin(&topology);
    host.goes_on(&attack);
    host.comes_back(&attack);
    host.upgrade(&attack);
    host.detach(&attack);
    host.removal(&attack);
    attack.end();

    // Nothing else was touched.
    for other in OTHERS {
        assert!(host.container.path(other).exists(), "{other} is gone");
    }
    assert!(has_program(&topology, OTHER), "the program on {OTHER} is gone");
    drop(others);
}

/// A program on another interface, and a map and a directory that others have pinned.
fn others(topology: &Topology, container: &Container) -> aya::Ebpf {
    topology
        .server
        .ip(&[&format!("link add {OTHER} type veth peer name other1"), "link set other0 up"])
        .unwrap();
    let program = topology.server.run(|| generator::take_replies(OTHER)).unwrap().unwrap();
    assert!(has_program(topology, OTHER));
    fs::create_dir(container.path(OTHERS[0])).unwrap();
    let map = Array::<MapData, u32>::create(1, 0).unwrap();
    map.pin(container.path(OTHERS[1])).unwrap();
    program
}

fn has_program(topology: &Topology, interface: &str) -> bool {
    let mut show = topology.server.command("ip");
    process::run(show.args(["-d", "link", "show", "dev", interface])).unwrap().contains("xdp")
}

/// The configuration of the test; `more` says what changes with a reload.
fn configuration(more: &str) -> String {
    format!(
        "manage_sysctls = true\n{more}
[[interface]]\nname = \"{INTERFACE}\"
[[class]]\nname = \"flood\"\nprotocol = \"udp\"\nports = [{PORT}]
per_source = {{ packets = {{ rate = \"{RATE}/s\", burst = {BURST} }} }}
[[class]]\nname = \"web\"\nprotocol = \"tcp\"\nports = [80]\nsyn_cookies = \"auto\"\n"
    )
}

struct Host<'t> {
    container: Container,
    topology: &'t Topology,
}

impl Host<'_> {
    fn succeed(&self, words: &[&str]) -> String {
        self.container.succeed(words).unwrap()
    }

    fn fails(&self, words: &[&str]) -> bool {
        !self.container.run(words).unwrap().status.success()
    }

    /// A property of the unit.
    fn unit(&self, property: &str) -> String {
        self.succeed(&["systemctl", "show", "--value", &format!("--property={property}"), "stopbank"])
            .trim()
            .to_owned()
    }

    fn configure(&self, text: &str) {
        fs::write(self.container.path("/etc/stopbank/stopbank.toml"), text).unwrap();
    }

    /// Installed, it neither runs nor is it enabled: it does not guess what to protect.
    fn install(&self) {
        self.succeed(&["dpkg", "--install", "/packages/stopbank/old.deb"]);
        assert_eq!(
            (self.unit("ActiveState"), self.unit("UnitFileState")),
            ("inactive".into(), "disabled".into())
        );
        self.succeed(&["getent", "passwd", "stopbank"]);
        for unit in ["stopbank.service", "stopbank-pins.service"] {
            let verified = self.container.run(&[
                "systemd-analyze",
                "verify",
                "--man=no",
                &format!("/usr/lib/systemd/system/{unit}"),
            ]);
            let verified = verified.unwrap();
            assert!(
                verified.status.success() && verified.stderr.is_empty(),
                "{}",
                String::from_utf8_lossy(&verified.stderr)
            );
        }
        // As it comes, the configuration names no interface: that is told, and not tried again and again.
        assert!(self.fails(&["systemctl", "start", "stopbank"]));
        assert_eq!((self.unit("ExecMainStatus"), self.unit("NRestarts")), ("78".into(), "0".into()));
        assert!(!self.container.path(PINS).join("v1").exists());
        assert!(!has_program(self.topology, INTERFACE));
    }

    fn start(&self) {
        self.configure(&configuration(""));
        self.succeed(&["systemctl", "enable", "--now", "stopbank"]);
        assert_eq!(self.unit("ActiveState"), "active");
        assert!(has_program(self.topology, INTERFACE));
        let process = self.unit("MainPID");
        let user: u32 = self.succeed(&["id", "-u", "stopbank"]).trim().parse().unwrap();
        let status = fs::read_to_string(self.container.path(&format!("/proc/{process}/status"))).unwrap();
        let value = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            line.unwrap_or_default().split_whitespace().next().unwrap_or_default().to_owned()
        };
        assert_eq!(value("Uid"), user.to_string());
        // CAP_NET_ADMIN (12), CAP_PERFMON (38) and CAP_BPF (39), and no more.
        let capabilities = (1_u64 << 12) | (1 << 38) | (1 << 39);
        for set in ["CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(u64::from_str_radix(&value(set), 16).unwrap(), capabilities, "{set}");
        }
        assert_eq!((value("NoNewPrivs"), value("Seccomp")), ("1".into(), "2".into()));
        let pins = fs::metadata(self.container.path(PINS)).unwrap();
        assert_eq!((pins.uid(), pins.permissions().mode() & 0o777), (user, 0o700));
        // As the agent sees the host, it may write in its own places alone; sticky or not, /tmp is its own.
        let enter = format!("--target={process}");
        let touches = |directory: &str| {
            let file = format!("{directory}/written");
            let within = [
                "nsenter",
                &enter,
                "--mount",
                "setpriv",
                "--reuid=stopbank",
                "--regid=stopbank",
                "--clear-groups",
            ];
            let touched = !self.fails(&[&within[..], &["touch", &file]].concat());
            if touched {
                self.succeed(&[&within[..], &["rm", &file]].concat());
            }
            touched
        };
        for own in ["/etc/stopbank", "/var/lib/stopbank", "/run/stopbank", "/tmp"] {
            assert!(touches(own), "it may not write to {own}");
        }
        for other in ["/etc", "/usr/bin", "/var/lib", "/run", "/sys/fs/bpf"] {
            assert!(!touches(other), "it may write to {other}");
        }
        // What the unit must let through for `manage_sysctls`.
        let cookies = self.succeed(&["cat", "/proc/sys/net/ipv4/tcp_syncookies"]);
        assert_eq!(cookies.trim(), "2");
        self.succeed(&["stopbank", "status"]);
        self.succeed(&["stopbank", "ban", "add", "203.0.113.7", "--for", "1h"]);
    }

    /// What ends the agent, and what replaces it.
    fn goes_on(&self, attack: &Attack<'_>) {
        attack.during("nothing", || thread::sleep(Duration::from_secs(1)));
        attack.during("restart", || drop(self.succeed(&["systemctl", "restart", "stopbank"])));
        attack.during("kill -9", || {
            let before = self.unit("MainPID");
            self.succeed(&["systemctl", "kill", "--signal=SIGKILL", "stopbank"]);
            self.another_runs(&before);
        });
        attack.during("a hang, seen by the watchdog", || {
            self.succeed(&["mkdir", "-p", "/run/systemd/system/stopbank.service.d"]);
            let drop_in = self.container.path("/run/systemd/system/stopbank.service.d/test.conf");
            fs::write(drop_in, "[Service]\nWatchdogSec=2s\n").unwrap();
            self.succeed(&["systemctl", "daemon-reload"]);
            self.succeed(&["systemctl", "restart", "stopbank"]);
            let before = self.unit("MainPID");
            // As long as it gives signs of life, it is left alone.
            thread::sleep(Duration::from_secs(4));
            assert_eq!(self.unit("MainPID"), before);
            self.succeed(&["systemctl", "kill", "--signal=SIGSTOP", "stopbank"]);
            self.another_runs(&before);
        });
        assert_eq!(self.unit("NRestarts"), "1", "the count begins anew with `systemctl restart`");
        self.banned();
    }

    /// Reloads, a start that fails, and an agent that is stopped.
    fn comes_back(&self, attack: &Attack<'_>) {
        attack.during("reload", || {
            self.configure(&configuration("observe = [\"amplification\"]\n"));
            self.succeed(&["systemctl", "reload", "stopbank"]);
        });
        attack.during("a configuration on trial, confirmed", || {
            fs::write(self.container.path("/root/new.toml"), configuration("fragments = \"drop\"\n"))
                .unwrap();
            self.succeed(&["stopbank", "config", "apply", "/root/new.toml", "--confirm", "1m"]);
            self.succeed(&["stopbank", "config", "confirm"]);
            // The agent, which is not root, has written it.
            let written = self.succeed(&["cat", "/etc/stopbank/stopbank.toml"]);
            assert!(written.contains("fragments"), "{written}");
        });
        attack.during("a configuration on trial, rolled back", || {
            let before = self.on_trial();
            self.succeed(&["stopbank", "config", "rollback"]);
            assert_eq!(self.succeed(&["cat", "/etc/stopbank/stopbank.toml"]), before);
            assert!(!self.in_force().contains("tried"));
        });
        attack.during("a configuration on trial, and the agent killed", || {
            let (before, process) = (self.on_trial(), self.unit("MainPID"));
            self.succeed(&["systemctl", "kill", "--signal=SIGKILL", "stopbank"]);
            self.another_runs(&process);
            assert_eq!(self.succeed(&["cat", "/etc/stopbank/stopbank.toml"]), before);
            assert!(!self.in_force().contains("tried"));
        });
        attack.during("reload of a configuration with errors", || {
            self.configure("packest = 1\n");
            assert!(self.fails(&["systemctl", "reload", "stopbank"]));
            assert_eq!(self.unit("ActiveState"), "active");
        });
        attack.during("a start that fails", || {
            assert!(self.fails(&["systemctl", "restart", "stopbank"]));
            assert_eq!(
                (self.unit("ActiveState"), self.unit("ExecMainStatus")),
                ("failed".into(), "78".into())
            );
        });
        self.configure(&configuration(""));
        attack.during("start again", || drop(self.succeed(&["systemctl", "start", "stopbank"])));
        attack.during("an interface that is yet to come", || self.waits());
        attack.during("stop", || {
            self.succeed(&["systemctl", "stop", "stopbank"]);
            assert_eq!(self.unit("Result"), "success");
            assert!(has_program(self.topology, INTERFACE), "protection does not end with the agent");
        });
        attack.during("start after a stop", || drop(self.succeed(&["systemctl", "start", "stopbank"])));
        self.banned();
    }

    /// Puts a configuration with another class on trial; what the file says before.
    fn on_trial(&self) -> String {
        let before = self.succeed(&["cat", "/etc/stopbank/stopbank.toml"]);
        let more = "[[class]]\nname = \"tried\"\nprotocol = \"udp\"\nports = [4]\n";
        fs::write(self.container.path("/root/new.toml"), format!("{before}{more}")).unwrap();
        self.succeed(&["stopbank", "config", "apply", "/root/new.toml", "--confirm", "1m"]);
        assert!(self.in_force().contains("tried"));
        before
    }

    fn in_force(&self) -> String {
        self.succeed(&["stopbank", "limit", "ls"])
    }

    /// An agent that cannot start is started again and again: more often than systemd's usual limit of five times in ten seconds.
    fn waits(&self) {
        let more = format!("[[interface]]\nname = \"{LATER}\"\nattach = \"generic\"\n");
        self.configure(&format!("{}{more}", configuration("")));
        assert!(self.fails(&["systemctl", "restart", "stopbank"]));
        wait_until("eight more attempts", || self.unit("NRestarts").parse::<u32>().unwrap() >= 8);
        assert_ne!(self.unit("ActiveState"), "failed");
        self.topology.server.ip(&[&format!("link add {LATER} type veth peer name later1")]).unwrap();
        wait_until("an agent runs", || self.unit("ActiveState") == "active");
        assert!(has_program(self.topology, LATER));
        self.configure(&configuration(""));
        self.succeed(&["systemctl", "restart", "stopbank"]);
        self.succeed(&["stopbank", "detach", LATER]);
    }

    fn upgrade(&self, attack: &Attack<'_>) {
        let before = self.unit("MainPID");
        let configured = self.succeed(&["cat", "/etc/stopbank/stopbank.toml"]);
        attack.during("upgrade", || drop(self.succeed(&["dpkg", "--install", "/packages/stopbank/new.deb"])));
        assert_ne!(self.unit("MainPID"), before, "the new agent runs");
        assert_eq!(self.unit("ActiveState"), "active");
        let version = self.succeed(&["dpkg-query", "--show", "--showformat=${Version}", "stopbank"]);
        assert!(version.ends_with("-2"), "{version}");
        assert_eq!(self.succeed(&["cat", "/etc/stopbank/stopbank.toml"]), configured);
        self.banned();
    }

    /// `stopbank detach` ends protection, and systemd starts no other agent.
    fn detach(&self, attack: &Attack<'_>) {
        self.succeed(&["stopbank", "detach"]);
        wait_until("the unit is inactive", || self.unit("ActiveState") == "inactive");
        assert!(!has_program(self.topology, INTERFACE));
        assert!(attack.comes_through(), "nothing protects the host now");
        self.succeed(&["systemctl", "start", "stopbank"]);
        assert!(has_program(self.topology, INTERFACE));
        attack.use_up_burst();
    }

    fn removal(&self, attack: &Attack<'_>) {
        self.succeed(&["dpkg", "--remove", "stopbank"]);
        assert!(!has_program(self.topology, INTERFACE));
        assert!(attack.comes_through(), "nothing protects the host now");
        assert!(!self.container.path(PINS).exists());
        assert!(self.container.path("/etc/stopbank/stopbank.toml").exists(), "what was configured is kept");
        self.succeed(&["dpkg", "--purge", "stopbank"]);
        assert!(
            self.fails(&["getent", "passwd", "stopbank"]) && self.fails(&["getent", "group", "stopbank"])
        );
        let find = ["find", "/", "/run", "/var", "/tmp", "/dev/shm", "/sys/fs/bpf", "-xdev"];
        let left = self.succeed(&[&find[..], &["-name", "*stopbank*", "-print"]].concat());
        // The test's own: a drop-in, which no package has put there; and how the container is named.
        let left: Vec<&str> = left
            .lines()
            .filter(|path| !path.starts_with("/run/systemd/") && !path.contains("stopbank-test-"))
            .collect();
        assert!(left.is_empty(), "left by a purge: {left:?}");
        // It fails where it finds none.
        let units =
            self.container.run(&["systemctl", "list-unit-files", "--no-legend", "stopbank*"]).unwrap();
        assert!(units.stdout.is_empty(), "{units:?}");
    }

    /// Waits until systemd has put another agent in the place of `before`, and that is at work.
    fn another_runs(&self, before: &str) {
        wait_until("another agent runs", || {
            self.unit("ActiveState") == "active" && !["0", before].contains(&self.unit("MainPID").as_str())
        });
    }

    /// What was banned by the first agent still is.
    fn banned(&self) {
        let bans = self.succeed(&["stopbank", "ban", "ls"]);
        assert!(bans.contains("203.0.113.7"), "{bans}");
    }
}
