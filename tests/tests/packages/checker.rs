//! The whole life of the checker's package on a host with a real server behind: installed, started, reloaded, killed, stopped and upgraded while a
//! request is under way, on a port below 1024, beside the agent's package and without it, removed and purged.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use libtest_mimic::Trial;
use serde_json::Value;
use stopbank_tests::{
    netns::Namespace,
    nginx::{BODY, LARGE, Nginx},
    process, skip,
    topology::server_address,
};

use crate::{container::Container, no_host, no_program, packages, root, wait_until};

const UNIT: &str = "stopbank-checker.service";
const SOCKET: &str = "stopbank-checker.socket";
const FOLDER: &str = "/etc/stopbank-checker";
const AUDIT: &str = "/var/log/stopbank-checker/audit.ndjson";
/// Where the proxy serves by itself, and through the socket unit.
const PLAIN: &str = "http://127.0.0.1:8080";
const SECURE: &str = "https://127.0.0.1";
/// A request that is under way for so long: longer than the watchdog of the test waits.
const SLOW: Duration = Duration::from_secs(4);
/// Clients that ask as fast as they are served.
const CLIENTS: usize = 3;
const ATTACK: &str = "/?id=1%27%20union%20select%20password%20from%20users--";
const POLICY: &str = "undeclared = \"allow\"\n";

pub(crate) fn trials() -> Vec<Trial> {
    vec![skip::trial(
        "packages: the checker serves a host without any capability, from its package's installation through reloads and an upgrade to its removal",
        || no_host().or_else(|| no_program("curl", "curl")).or_else(|| no_program("openssl", "openssl")),
        life,
    )]
}

fn life() {
    let network = Namespace::new().unwrap();
    network.ip(&[&format!("addr add {}/32 dev lo", server_address(false))]).unwrap();
    let _nginx = Nginx::start(&network).unwrap();
    let container = Container::boot(&network, &root(), &packages()).unwrap();
    let host = Host { container, network: &network };

    host.install();
    host.wrong();
    host.start();
    host.serves();
    host.reload();
    host.comes_back();
    host.drains();
    host.socket();
    host.upgrade();
    host.beside_the_agent();
    host.removal();
}

/// The configuration of the test.
fn configuration(listen: &str) -> String {
    format!(
        "policy = \"{FOLDER}/policy.toml\"
[[listen]]\n{listen}
[[upstream]]\nname = \"api\"\naddresses = [\"http://localhost\"]
[audit]\nfile = \"{AUDIT}\"
[admin]\nlisten = \"127.0.0.1:9414\"\n"
    )
}

/// Says that it is over when it is dropped.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Host<'n> {
    container: Container,
    network: &'n Namespace,
}

impl Host<'_> {
    fn succeed(&self, words: &[&str]) -> String {
        self.container.succeed(words).unwrap()
    }

    fn fails(&self, words: &[&str]) -> bool {
        !self.container.run(words).unwrap().status.success()
    }

    fn property(&self, unit: &str, property: &str) -> String {
        let property = format!("--property={property}");
        self.succeed(&["systemctl", "show", "--value", &property, unit]).trim().to_owned()
    }

    fn unit(&self, property: &str) -> String {
        self.property(UNIT, property)
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.container.path(file), text).unwrap();
    }

    /// A drop-in for a unit, as `systemctl edit` makes it.
    fn edit(&self, unit: &str, text: &str) {
        let folder = format!("/etc/systemd/system/{unit}.d");
        self.succeed(&["mkdir", "-p", &folder]);
        self.write(&format!("{folder}/override.conf"), text);
        self.succeed(&["systemctl", "daemon-reload"]);
    }

    /// curl, beside the host. Its certificate is not what is tested.
    fn curl(&self, more: &[&str], url: &str) -> Command {
        let mut curl = self.network.command("curl");
        curl.args(["--silent", "--show-error", "--insecure", "--max-time", "60"]).args(more).arg(url);
        curl
    }

    /// Status and body of an answer; 0 where there is none.
    fn get(&self, url: &str) -> (u16, String) {
        let said = process::output(&mut self.curl(&["--write-out", "\n%{http_code}"], url), "").unwrap();
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    /// Does `act` while a request is under way that takes long. It must be served to its end.
    fn while_under_way(&self, url: &str, act: impl FnOnce()) {
        let rate = (LARGE.1 / SLOW.as_secs()).to_string();
        let url = format!("{url}{}", LARGE.0);
        let more =
            ["--limit-rate", &rate, "--output", "/dev/null", "--write-out", "%{http_code} %{size_download}"];
        let mut curl = self.curl(&more, &url);
        let served = thread::spawn(move || process::run(&mut curl));
        thread::sleep(Duration::from_millis(500));
        assert!(!served.is_finished(), "it was to take longer");
        act();
        assert_eq!(served.join().unwrap().unwrap(), format!("200 {}", LARGE.1));
    }

    /// Does `act` while clients ask on new connections: none of them may be refused.
    fn while_asked(&self, act: impl FnOnce()) {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        assert_eq!(self.get(&format!("{SECURE}/")), (200, BODY.to_owned()));
                    }
                });
            }
            // Also where `act` fails: the scope waits for the clients.
            let _done = Done(&done);
            thread::sleep(Duration::from_millis(200));
            act();
        });
    }

    /// Installed, it neither runs nor is it enabled; started as it comes, it serves on loopback.
    fn install(&self) {
        self.succeed(&["dpkg", "--install", "/packages/stopbank-checker/old.deb"]);
        for unit in [UNIT, SOCKET] {
            assert_eq!(
                (self.property(unit, "ActiveState"), self.property(unit, "UnitFileState")),
                ("inactive".into(), "disabled".into())
            );
            let file = format!("/usr/lib/systemd/system/{unit}");
            let verified = self.container.run(&["systemd-analyze", "verify", "--man=no", &file]).unwrap();
            let said = String::from_utf8_lossy(&verified.stderr);
            assert!(verified.status.success() && said.is_empty(), "{said}");
        }
        self.succeed(&["systemctl", "start", UNIT]);
        let (status, body) = self.get(&format!("{PLAIN}/"));
        assert!([502, 503].contains(&status), "nobody is behind: {body}");
        self.succeed(&["systemctl", "stop", UNIT]);
        assert_eq!(self.unit("Result"), "success");
    }

    /// What is wrong is told, and not tried again and again.
    fn wrong(&self) {
        self.write(&format!("{FOLDER}/policy.toml"), "undeclared = \"allways\"\n");
        self.write(&format!("{FOLDER}/proxy.toml"), &configuration("address = \"127.0.0.1:8080\""));
        assert!(self.fails(&["systemctl", "start", UNIT]));
        assert_eq!((self.unit("ExecMainStatus"), self.unit("NRestarts")), ("78".into(), "0".into()));
        let journal = self.succeed(&["journalctl", "--no-pager", "--unit", UNIT]);
        assert!(journal.contains("policy.toml:1:"), "{journal}");
    }

    fn start(&self) {
        self.write(&format!("{FOLDER}/policy.toml"), POLICY);
        // The container has none, and the upstream is to be looked up.
        self.write("/etc/hosts", "127.0.0.1 localhost\n");
        self.succeed(&["systemctl", "enable", "--now", UNIT]);
        assert_eq!(self.unit("ActiveState"), "active");
        let said = self.unit("StatusText");
        assert!(said.starts_with("Serving on 127.0.0.1:8080"), "it has told that it is ready: {said}");
        let process = self.unit("MainPID");
        let status = fs::read_to_string(self.container.path(&format!("/proc/{process}/status"))).unwrap();
        let value = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            line.unwrap_or_default().split_whitespace().next().unwrap_or_default().to_owned()
        };
        // systemd's range for dynamic users.
        let user: u32 = value("Uid").parse().unwrap();
        assert!((61_184..=65_519).contains(&user), "{user}");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(u64::from_str_radix(&value(set), 16).unwrap(), 0, "{set}");
        }
        assert_eq!((value("NoNewPrivs"), value("Seccomp")), ("1".into(), "2".into()));
        self.writes_in_its_own_places_alone(&process, user);
    }

    /// As the proxy sees the host.
    fn writes_in_its_own_places_alone(&self, process: &str, user: u32) {
        let (enter, user) = (format!("--target={process}"), user.to_string());
        let (user, group) = (format!("--reuid={user}"), format!("--regid={user}"));
        let touches = |directory: &str| {
            let within = ["nsenter", &enter, "--mount", "setpriv", &user, &group, "--clear-groups"];
            let file = format!("{directory}/written");
            let touched = !self.fails(&[&within[..], &["touch", &file]].concat());
            if touched {
                self.succeed(&[&within[..], &["rm", &file]].concat());
            }
            touched
        };
        for own in ["/var/log/stopbank-checker", "/run/stopbank-checker", "/tmp"] {
            assert!(touches(own), "it may not write to {own}");
        }
        for other in [FOLDER, "/etc", "/usr/bin", "/var/lib", "/var/log", "/run", "/dev/shm"] {
            assert!(!touches(other), "it may write to {other}");
        }
    }

    /// A good request is served and an attack refused, which can be looked up.
    fn serves(&self) {
        assert_eq!(self.get(&format!("{PLAIN}/")), (200, BODY.to_owned()));
        let attack = format!("{PLAIN}{ATTACK}");
        let head = process::run(&mut self.curl(&["--head", "--request", "GET"], &attack)).unwrap();
        assert!(head.to_lowercase().contains("content-type: application/problem+json"), "{head}");
        let (status, body) = self.get(&attack);
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, problem["status"].as_u64()), (403, Some(403)), "{body}");
        let id = problem["request_id"].as_str().unwrap();
        let explain = ["stopbank-checker", "explain", id, "--audit", AUDIT];
        wait_until("the audit log has it", || !self.fails(&explain));
        let explained = self.succeed(&explain);
        assert!(explained.contains("injection-sql"), "{explained}");
        let log = fs::metadata(self.container.path(&AUDIT.replace("/log/", "/log/private/"))).unwrap();
        assert_eq!(log.permissions().mode() & 0o777, 0o600);
        assert!(log.uid() >= 61_184);
        // As logrotate does it.
        let moved = format!("{AUDIT}.1");
        self.succeed(&["mv", AUDIT, &moved]);
        self.succeed(&["systemctl", "kill", "--kill-who=main", "--signal=HUP", UNIT]);
        wait_until("another log is begun", || !self.fails(&["test", "-f", AUDIT]));
    }

    fn reload(&self) {
        let declared = "[[route]]\npath = \"/declared\"\nmethods = [\"GET\"]\n";
        self.write(&format!("{FOLDER}/policy.toml"), declared);
        self.succeed(&["systemctl", "reload", UNIT]);
        let status = |path: &str| self.get(&format!("{PLAIN}{path}")).0;
        assert_eq!((status("/"), status("/declared")), (404, 200));
        // One that is broken fails the reload, and the old one stays.
        let process = self.unit("MainPID");
        self.write(&format!("{FOLDER}/policy.toml"), "[[route]]\npath = \"/declared\"\n");
        assert!(self.fails(&["systemctl", "reload", UNIT]));
        assert_eq!((status("/"), status("/declared")), (404, 200));
        // So does what a reload cannot change, which is told where somebody looks.
        self.write(&format!("{FOLDER}/policy.toml"), POLICY);
        self.write(&format!("{FOLDER}/proxy.toml"), &configuration("address = \"127.0.0.1:8082\""));
        assert!(self.fails(&["systemctl", "reload", UNIT]));
        wait_until("the state says so", || self.unit("StatusText").contains("see the journal"));
        assert_eq!((status("/"), status("/declared")), (404, 200));
        self.write(&format!("{FOLDER}/proxy.toml"), &configuration("address = \"127.0.0.1:8080\""));
        self.succeed(&["systemctl", "reload", UNIT]);
        assert_eq!(status("/"), 200);
        wait_until("the state says so no more", || !self.unit("StatusText").contains("see the journal"));
        assert_eq!((self.unit("MainPID"), self.unit("ActiveState")), (process, "active".into()));
    }

    /// What ends it, systemd makes up for.
    fn comes_back(&self) {
        let before = self.unit("MainPID");
        self.succeed(&["systemctl", "kill", "--signal=SIGKILL", UNIT]);
        self.another_runs(&before);
        // A hang: none of its threads gives a sign of life.
        self.edit(UNIT, "[Service]\nWatchdogSec=2s\n");
        self.succeed(&["systemctl", "restart", UNIT]);
        let before = self.unit("MainPID");
        thread::sleep(Duration::from_secs(3));
        assert_eq!(self.unit("MainPID"), before, "as long as it gives signs of life, it is left alone");
        self.succeed(&["systemctl", "kill", "--signal=SIGSTOP", UNIT]);
        self.another_runs(&before);
        assert_eq!(self.get(&format!("{PLAIN}/")).0, 200);
    }

    /// A stop lets what is under way end, watchdog or not, and takes nothing new.
    fn drains(&self) {
        self.while_under_way(PLAIN, || {
            self.succeed(&["systemctl", "stop", "--no-block", UNIT]);
            wait_until("it is on its way out", || self.unit("ActiveState") == "deactivating");
            wait_until("nothing new is taken", || self.get(&format!("{PLAIN}/")).0 == 0);
            assert_eq!(self.unit("ActiveState"), "deactivating");
        });
        wait_until("it has ended", || self.unit("ActiveState") == "inactive");
        assert_eq!((self.unit("Result"), self.unit("ExecMainStatus")), ("success".into(), "0".into()));
    }

    /// Port 443 by the socket unit, with a key that root alone may read, while the proxy may neither.
    fn socket(&self) {
        let (key, certificate) = (format!("{FOLDER}/key.pem"), format!("{FOLDER}/certificate.pem"));
        let mut openssl = Command::new("openssl");
        openssl.args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "1",
        ]);
        openssl.args(["-subj", "/CN=stopbank", "-keyout"]).arg(self.container.path(&key));
        process::run(openssl.arg("-out").arg(self.container.path(&certificate))).unwrap();
        assert_eq!(fs::metadata(self.container.path(&key)).unwrap().permissions().mode() & 0o777, 0o600);
        let listen = format!(
            "address = \"systemd\"\ntls = {{ certificate = \"{certificate}\", key = \"credential:key.pem\" }}"
        );
        self.write(&format!("{FOLDER}/proxy.toml"), &configuration(&listen));
        self.edit(UNIT, &format!("[Service]\nLoadCredential=key.pem:{key}\n"));
        self.succeed(&["systemctl", "enable", "--now", SOCKET]);
        assert_eq!(self.unit("ActiveState"), "inactive");
        // The first connection starts it.
        assert_eq!(self.get(&format!("{SECURE}/")), (200, BODY.to_owned()));
        assert_eq!(self.unit("ActiveState"), "active");
        assert_eq!(self.get(&format!("{SECURE}{ATTACK}")).0, 403);
        let h2 =
            self.curl(&["--output", "/dev/null", "--write-out", "%{http_version}"], &format!("{SECURE}/"));
        assert_eq!(process::run(&mut { h2 }).unwrap(), "2");
        // So is the key, once more.
        self.succeed(&["systemctl", "reload", UNIT]);
        let before = self.unit("MainPID");
        self.while_asked(|| drop(self.succeed(&["systemctl", "restart", UNIT])));
        assert_ne!(self.unit("MainPID"), before);
    }

    /// An upgrade restarts it; what is under way ends, what comes meanwhile waits, and what was configured stays.
    fn upgrade(&self) {
        let before = self.unit("MainPID");
        let file = format!("{FOLDER}/proxy.toml");
        let configured = self.succeed(&["cat", &file]);
        self.while_under_way(SECURE, || {
            self.while_asked(|| {
                self.succeed(&["dpkg", "--install", "/packages/stopbank-checker/new.deb"]);
            });
        });
        assert_ne!(self.unit("MainPID"), before, "the new one runs");
        assert_eq!((self.unit("ActiveState"), self.unit("Result")), ("active".into(), "success".into()));
        let version = self.succeed(&["dpkg-query", "--show", "--showformat=${Version}", "stopbank-checker"]);
        assert!(version.ends_with("-2"), "{version}");
        assert_eq!(self.succeed(&["cat", &file]), configured);
    }

    /// The agent's package comes and goes, and the checker takes no notice.
    fn beside_the_agent(&self) {
        let before = self.unit("MainPID");
        self.succeed(&["dpkg", "--install", "/packages/stopbank/old.deb"]);
        self.succeed(&["dpkg", "--purge", "stopbank"]);
        assert_eq!((self.unit("MainPID"), self.unit("ActiveState")), (before, "active".into()));
        assert_eq!(self.get(&format!("{SECURE}/")), (200, BODY.to_owned()));
    }

    fn removal(&self) {
        self.succeed(&["dpkg", "--remove", "stopbank-checker"]);
        assert_eq!(self.get(&format!("{SECURE}/")).0, 0, "the socket is closed");
        for kept in [&format!("{FOLDER}/proxy.toml"), AUDIT] {
            assert!(!self.fails(&["test", "-f", kept]), "{kept} is gone");
        }
        self.succeed(&["dpkg", "--purge", "stopbank-checker"]);
        let find =
            ["find", "/", "/run", "/var", "/tmp", "/dev/shm", "-xdev", "-name", "*stopbank*", "-print"];
        let left = self.succeed(&find);
        // The test's own: drop-ins, which no package has put there; and how the container is named.
        let drop_ins = format!("/etc/systemd/system/{UNIT}.d");
        let left: Vec<&str> =
            left.lines().filter(|path| *path != drop_ins && !path.contains("stopbank-test-")).collect();
        assert!(left.is_empty(), "left by a purge: {left:?}");
    }

    /// Waits until systemd has put another one in the place of `before`, and that serves.
    fn another_runs(&self, before: &str) {
        wait_until("another one runs", || {
            self.unit("ActiveState") == "active" && !["0", before].contains(&self.unit("MainPID").as_str())
        });
    }
}
