//! Real servers on loopback, on ports of their own: the proxy, nginx, and one that writes down what it is asked.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// The program under test.
pub(crate) const CHECKER: &str = env!("CARGO_BIN_EXE_stopbank-checker");
const PATIENCE: Duration = Duration::from_secs(20);

/// A directory that is removed when this is dropped.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("stopbank-proxy-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A port that nobody listens on at the moment, and no other test has been given.
pub(crate) fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if GIVEN.lock().unwrap().insert(port) {
            return port;
        }
    }
}

pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn is_open(port: u16) -> bool {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
}

/// A process that is killed when this is dropped.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn signal(&self, name: &str) {
        let sent =
            Command::new("kill").arg(format!("-{name}")).arg(self.0.id().to_string()).status().unwrap();
        assert!(sent.success());
    }

    /// Its exit code, once it has ended.
    pub(crate) fn ends(&mut self) -> Option<i32> {
        wait_until("the end of a process", || self.0.try_wait().unwrap().is_some());
        self.0.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The proxy.
pub(crate) struct Proxy {
    pub(crate) process: Process,
    pub(crate) port: u16,
    pub(crate) admin: u16,
    pub(crate) directory: Directory,
}

/// What a configuration has beside its listener.
pub(crate) struct Setup {
    pub(crate) directory: Directory,
    /// Of the listener, after its address.
    pub(crate) listen: String,
    /// Tables of the rest.
    pub(crate) rest: String,
    /// The text of the policy, where it is not the default.
    pub(crate) policy: Option<String>,
    /// Whether requests that are allowed are logged, too.
    pub(crate) audits_all: bool,
    /// Where the service manager's credentials are.
    pub(crate) credentials: Option<String>,
}

impl Setup {
    pub(crate) fn new(rest: String) -> Self {
        Self {
            directory: Directory::new(),
            listen: String::new(),
            rest,
            policy: None,
            audits_all: false,
            credentials: None,
        }
    }

    pub(crate) fn start(self) -> Proxy {
        let (port, admin) = (free_port(), free_port());
        let policy = self.policy.map_or_else(String::new, |policy| {
            let file = self.directory.file("policy.toml");
            fs::write(&file, policy).unwrap();
            format!("policy = \"{}\"\n", file.display())
        });
        let text = format!(
            "{policy}threads = 2\n[[listen]]\naddress = \"127.0.0.1:{port}\"\n{}\n[admin]\nlisten = \"127.0.0.1:{admin}\"\n\
             [audit]\nfile = \"{}\"\nallowed = {}\n{}\n",
            self.listen,
            self.directory.file("audit").display(),
            self.audits_all,
            self.rest
        );
        let file = self.directory.file("proxy.toml");
        fs::write(&file, text).unwrap();
        let said = File::create(self.directory.file("said")).unwrap();
        let child = Command::new(CHECKER)
            .args(["proxy", "--config"])
            .arg(&file)
            .envs(self.credentials.map(|directory| ("CREDENTIALS_DIRECTORY", directory)))
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        let mut proxy = Proxy { process: Process(child), port, admin, directory: self.directory };
        wait_until("the proxy", || {
            assert!(proxy.process.0.try_wait().unwrap().is_none(), "{}", proxy.said());
            is_open(port) && is_open(admin)
        });
        proxy
    }
}

/// An upstream on a port of loopback, with default limits.
pub(crate) fn upstream(name: &str, port: u16, more: &str) -> String {
    format!("[[upstream]]\nname = \"{name}\"\naddresses = [\"http://127.0.0.1:{port}\"]\n{more}\n")
}

impl Proxy {
    pub(crate) fn in_front_of(port: u16) -> Self {
        Setup::new(upstream("a", port, "")).start()
    }

    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.directory.file("said")).unwrap()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// All that it answers to some bytes, until it closes.
    pub(crate) fn answers(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // It may have closed before it has read everything.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub(crate) fn curl(&self, arguments: &[&str], path: &str) -> Output {
        let scheme = if arguments.contains(&"--cacert") { "https" } else { "http" };
        let url = format!("{scheme}://localhost:{}{path}", self.port);
        curl(&[arguments, &["-4", &url]].concat())
    }

    pub(crate) fn admin(&self, path: &str) -> String {
        let said = curl(&["-w", "%{http_code}", &format!("http://127.0.0.1:{}{path}", self.admin)]);
        String::from_utf8(said.stdout).unwrap()
    }
}

pub(crate) fn curl(arguments: &[&str]) -> Output {
    Command::new("curl").args(["-sS", "-m", "20"]).args(arguments).output().unwrap()
}

pub(crate) fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A real nginx.
pub(crate) struct Nginx {
    _process: Process,
    pub(crate) port: u16,
    /// TLS that wants a client's certificate, where there are certificates.
    pub(crate) tls_port: u16,
    _directory: Directory,
}

impl Nginx {
    pub(crate) fn start(certificates: Option<&Certificates>) -> Self {
        let directory = Directory::new();
        let (port, tls_port) = (free_port(), free_port());
        let tls = certificates.map_or_else(String::new, |files| {
            format!(
                "listen 127.0.0.1:{tls_port} ssl; ssl_certificate {}; ssl_certificate_key {}; ssl_verify_client on; \
                 ssl_client_certificate {};",
                files.path("server.pem"),
                files.path("server.key"),
                files.path("ca.pem")
            )
        });
        let place = directory.0.display();
        fs::write(directory.file("large"), vec![b'x'; 3 << 20]).unwrap();
        let configuration = format!(
            "daemon off; master_process off; pid {place}/pid; error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 100000; client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
    server {{
        listen 127.0.0.1:{port}; {tls}
        location = /large {{ root {place}; }}
        location /headers {{ return 200 \"$http_x_forwarded_for|$http_x_request_id|$http_x_forwarded_proto|$http_via|$http_host\"; }}
        location /certificate {{ return 200 \"$ssl_client_s_dn\"; }}
        location / {{ return 200 \"$request_method $request_uri\"; }}
    }}
}}"
        );
        let process = nginx(&directory, &configuration);
        wait_until("nginx", || is_open(port));
        Self { _process: process, port, tls_port, _directory: directory }
    }
}

/// An nginx of that configuration, which logs into the directory.
pub(crate) fn nginx(directory: &Directory, configuration: &str) -> Process {
    fs::write(directory.file("nginx.conf"), configuration).unwrap();
    let log = File::create(directory.file("log")).unwrap();
    let child = Command::new(nginx_program())
        .arg("-p")
        .arg(&directory.0)
        .arg("-c")
        .arg(directory.file("nginx.conf"))
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    Process(child)
}

/// Debian's users do not have /usr/sbin in their PATH.
pub(crate) fn nginx_program() -> &'static str {
    let debian = "/usr/sbin/nginx";
    if Path::new(debian).exists() { debian } else { "nginx" }
}

/// The Envoy that `cargo xtask test` has downloaded, or the machine's own.
pub(crate) fn envoy_program() -> OsString {
    std::env::var_os("STOPBANK_ENVOY").unwrap_or_else(|| "envoy".into())
}

/// An authority, a server's certificate and a client's.
pub(crate) struct Certificates(Directory);

impl Certificates {
    pub(crate) fn new() -> Self {
        let made = Self(Directory::new());
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        made.openssl(
            &[
                &[
                    "req",
                    "-x509",
                    "-subj",
                    "/CN=authority",
                    "-days",
                    "2",
                    "-keyout",
                    "ca.key",
                    "-out",
                    "ca.pem",
                ],
                &curve[..],
            ]
            .concat(),
        );
        made.issue("server");
        made.issue("client");
        made
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.file(name).display().to_string()
    }

    /// Makes a certificate for a name, or another one that takes its place.
    pub(crate) fn issue(&self, name: &str) {
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let (key, request, subject) = (format!("{name}.key"), format!("{name}.csr"), format!("/CN={name}"));
        self.openssl(&[&["req", "-subj", &subject, "-keyout", &key, "-out", &request], &curve[..]].concat());
        fs::write(self.0.file("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-out",
            &format!("{name}.pem"),
            "-extfile",
            "names",
        ]);
    }

    /// Writes the authority's list of revoked certificates, `crl.pem`, with one more in it.
    pub(crate) fn revoke(&self, name: Option<&str>) {
        let configuration = "[ca]\ndefault_ca = a\n[a]\ndatabase = index\ncrlnumber = number\ndefault_md = sha256\ndefault_crl_days = 2\nunique_subject = no\n";
        for (file, text) in [("index", ""), ("number", "01\n"), ("revoking", configuration)] {
            if !self.0.file(file).exists() {
                fs::write(self.0.file(file), text).unwrap();
            }
        }
        let authority = ["ca", "-config", "revoking", "-keyfile", "ca.key", "-cert", "ca.pem"];
        if let Some(name) = name {
            self.openssl(&[&authority[..], &["-revoke", &format!("{name}.pem")]].concat());
        }
        self.openssl(&[&authority[..], &["-gencrl", "-out", "crl.pem"]].concat());
    }

    /// Writes that list anew, to be followed by another in so many seconds.
    pub(crate) fn list_for(&self, seconds: u32) {
        let authority = ["ca", "-config", "revoking", "-keyfile", "ca.key", "-cert", "ca.pem"];
        let seconds = seconds.to_string();
        self.openssl(&[&authority[..], &["-gencrl", "-crlsec", &seconds, "-out", "crl.pem"]].concat());
    }

    /// Writes what the authority answers about one of its certificates (OCSP), `NAME.ocsp`, good for as long as `times` say.
    pub(crate) fn answer(&self, name: &str, times: &[&str]) {
        self.revoke(None);
        let (certificate, question) = (format!("{name}.pem"), format!("{name}.question"));
        let authority = ["ca", "-config", "revoking", "-keyfile", "ca.key", "-cert", "ca.pem"];
        let known = fs::read_to_string(self.0.file("index")).unwrap();
        if !known.contains(&format!("\t{}\t", self.serial(name))) {
            self.openssl(&[&authority[..], &["-valid", &certificate]].concat());
        }
        let asked = ["-issuer", "ca.pem", "-cert", &certificate, "-no_nonce", "-reqout", &question];
        self.openssl(&[&["ocsp"], &asked[..]].concat());
        let signer = ["-index", "index", "-CA", "ca.pem", "-rsigner", "ca.pem", "-rkey", "ca.key"];
        let answered = ["-reqin", &question, "-respout", &format!("{name}.ocsp")];
        self.openssl(&[&["ocsp"], &signer[..], &answered, times].concat());
    }

    /// In hexadecimal digits.
    fn serial(&self, name: &str) -> String {
        let arguments = ["x509", "-noout", "-serial", "-in", &format!("{name}.pem")];
        let said = text(&Command::new("openssl").args(arguments).current_dir(&self.0.0).output().unwrap());
        said.trim().trim_start_matches("serial=").to_owned()
    }

    fn openssl(&self, arguments: &[&str]) {
        let said = Command::new("openssl").args(arguments).current_dir(&self.0.0).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }
}

/// A server that answers what it is told to, and writes down what it was asked. It serves each connection in a thread.
pub(crate) struct Recorder {
    pub(crate) port: u16,
    /// Every request, as its bytes came.
    pub(crate) requests: Arc<Mutex<mpsc::Receiver<Vec<u8>>>>,
    /// Connections so far.
    pub(crate) connections: Arc<AtomicU32>,
}

impl Recorder {
    /// `answer`: the bytes for a request; the connection is closed behind them where they are to end it.
    pub(crate) fn start(answer: impl Fn(&[u8]) -> (Vec<u8>, bool) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, receiver) = mpsc::channel();
        let connections = Arc::new(AtomicU32::new(0));
        let (answer, counted) = (Arc::new(answer), Arc::clone(&connections));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                counted.fetch_add(1, Ordering::Relaxed);
                let (answer, sender) = (Arc::clone(&answer), sender.clone());
                thread::spawn(move || record(stream, &*answer, &sender));
            }
        });
        Self { port, requests: Arc::new(Mutex::new(receiver)), connections }
    }

    pub(crate) fn request(&self) -> Option<Vec<u8>> {
        self.requests.lock().unwrap().recv_timeout(Duration::from_secs(5)).ok()
    }

    /// A request that has come already.
    pub(crate) fn another(&self) -> Option<Vec<u8>> {
        self.requests.lock().unwrap().recv_timeout(Duration::from_millis(100)).ok()
    }
}

/// Reads requests as plainly as a server can: a head up to its empty line, and the body by Content-Length alone.
fn record(mut stream: TcpStream, answer: impl Fn(&[u8]) -> (Vec<u8>, bool), sender: &mpsc::Sender<Vec<u8>>) {
    let mut read = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            let mut step = [0; 4096];
            match stream.read(&mut step) {
                Ok(more @ 1..) => read.extend_from_slice(&step[..more]),
                _ => return,
            }
        };
        let head = String::from_utf8_lossy(&read[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.trim().parse::<usize>().unwrap());
        while read.len() < end + length {
            let mut step = [0; 4096];
            match stream.read(&mut step) {
                Ok(more @ 1..) => read.extend_from_slice(&step[..more]),
                _ => return,
            }
        }
        let rest = read.split_off(end + length);
        let (bytes, last) = answer(&read);
        let _ = sender.send(std::mem::replace(&mut read, rest));
        if stream.write_all(&bytes).is_err() || last {
            return;
        }
    }
}

/// An answer with a body.
pub(crate) fn good(body: &str) -> (Vec<u8>, bool) {
    (format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes(), false)
}
