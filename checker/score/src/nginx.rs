//! An nginx of its own: as an upstream, as a plain reverse proxy, or with ModSecurity and the OWASP Core Rule Set, as Debian has them, at
//! paranoia level 1, blocking.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// Debian's libnginx-mod-http-modsecurity.
const MODULE: &str = "/usr/lib/nginx/modules/ngx_http_modsecurity_module.so";
/// Debian's modsecurity-crs.
const RULES: &str = "/usr/share/modsecurity-crs";
const SETUP: &str = "/etc/modsecurity/crs/crs-setup.conf";
/// How long a start may take; the rules alone take a second.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the server does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Answers everything with a few bytes, and keeps every connection.
    Upstream,
    /// Passes everything on to an upstream, on connections that it keeps.
    Proxy(SocketAddr),
    /// The same behind ModSecurity and the Core Rule Set.
    Guarded(SocketAddr),
}

/// One nginx, of one process. It ends, and its directory goes, when this is dropped.
#[derive(Debug)]
pub struct Nginx {
    process: Child,
    directory: PathBuf,
    address: SocketAddr,
}

impl Nginx {
    /// Starts one, on the processor `cpu` alone if one is named.
    ///
    /// # Errors
    ///
    /// A program or a file of it is missing, and which package has it; or what nginx says.
    pub fn start(role: Role, cpu: Option<usize>) -> Result<Self> {
        let files: &[&str] = if matches!(role, Role::Guarded(_)) { &[MODULE, RULES, SETUP] } else { &[] };
        for file in files {
            if !Path::new(file).exists() {
                bail!(
                    "{file} is missing: the packages libnginx-mod-http-modsecurity and modsecurity-crs have it"
                );
            }
        }
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let name = format!("stopbank-nginx-{}-{}", std::process::id(), address.port());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        fs::write(directory.join("modsecurity.conf"), rules(&directory))?;
        fs::write(directory.join("nginx.conf"), configuration(&directory, address, role))?;
        let nginx = if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
        let mut command = on(cpu, Path::new(nginx));
        command.arg("-p").arg(&directory).arg("-c").arg(directory.join("nginx.conf"));
        let log = fs::File::create(directory.join("nginx.log"))?;
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let process = process.context("cannot start nginx; Debian has it in nginx-light")?;
        let mut server = Self { process, directory, address };
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            if started.elapsed() > PATIENCE || server.process.try_wait()?.is_some() {
                let log = fs::read_to_string(server.directory.join("nginx.log")).unwrap_or_default();
                bail!("nginx does not start: {}", log.trim());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process, which does all the work.
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A program that ends with the thread that starts it, however that ends, and runs on the processor `cpu` alone if one is named.
pub fn on(cpu: Option<usize>, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some(cpu) = cpu {
        command.args(["taskset", "--cpu-list", &cpu.to_string()]);
    }
    command.arg(program);
    command
}

/// ModSecurity as its recommended configuration has it, blocking instead of detecting only, without an audit log.
fn rules(directory: &Path) -> String {
    let directory = directory.display();
    format!(
        "SecRuleEngine On
SecRequestBodyAccess On
SecResponseBodyAccess Off
SecRequestBodyLimit 13107200
SecRequestBodyNoFilesLimit 1310720
SecRequestBodyLimitAction Reject
SecAuditEngine Off
SecTmpDir {directory}
SecDataDir {directory}
SecArgumentSeparator &
SecCookieFormat 0
SecRule REQUEST_HEADERS:Content-Type \"^(?:application(?:/soap\\+|/)|text/)xml\" \
         \"id:200000,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML\"
SecRule REQUEST_HEADERS:Content-Type \"^application/json\" \
         \"id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON\"
SecRule REQBODY_ERROR \"!@eq 0\" \"id:200002,phase:2,t:none,nolog,deny,status:400\"
SecRule MULTIPART_STRICT_ERROR \"!@eq 0\" \"id:200003,phase:2,t:none,nolog,deny,status:400\"
Include {SETUP}
Include {RULES}/rules/*.conf
"
    )
}

fn configuration(directory: &Path, address: SocketAddr, role: Role) -> String {
    let directory = directory.display();
    let module =
        if matches!(role, Role::Guarded(_)) { format!("load_module {MODULE};") } else { String::new() };
    let guard = match role {
        Role::Guarded(_) => format!("modsecurity on; modsecurity_rules_file {directory}/modsecurity.conf;"),
        Role::Upstream | Role::Proxy(_) => String::new(),
    };
    let (behind, answer) = match role {
        Role::Upstream => (String::new(), "return 200 \"upstream\";".to_owned()),
        Role::Proxy(upstream) | Role::Guarded(upstream) => (
            format!("upstream behind {{ server {upstream}; keepalive 64; keepalive_requests 1000000000; }}"),
            "proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection \"\";".to_owned(),
        ),
    };
    format!(
        "{module}
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log /dev/null crit;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_header_timeout 2s;
    client_body_timeout 2s;
    client_max_body_size 16m;
    client_body_buffer_size 1m;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    {behind}
    server {{
        listen {address};
        {guard}
        location / {{ {answer} }}
    }}
}}
"
    )
}
