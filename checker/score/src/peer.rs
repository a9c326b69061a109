//! The peer: nginx with ModSecurity and the OWASP Core Rule Set, as Debian has them, at paranoia level 1, blocking.

use std::{
    fs,
    io::{self, Read as _, Write as _},
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
/// How long an answer is waited for. Requests that end too early are given up by nginx before.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether the peer refuses each of `requests`: an answer of 400 and above, or none at all.
pub(crate) fn judge(requests: &[&[u8]]) -> Result<Vec<bool>> {
    for file in [MODULE, RULES, SETUP] {
        if !Path::new(file).exists() {
            bail!(
                "{file} is missing: the packages libnginx-mod-http-modsecurity and modsecurity-crs have it"
            );
        }
    }
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let share = requests.len().div_ceil(processors).max(1);
    thread::scope(|scope| {
        let running: Vec<_> = requests
            .chunks(share)
            .map(|part| {
                scope.spawn(move || {
                    let server = Server::start()?;
                    part.iter().map(|request| server.refuses(request)).collect::<Result<Vec<bool>>>()
                })
            })
            .collect();
        let mut refused = Vec::with_capacity(requests.len());
        for server in running {
            refused.extend(server.join().ok().context("a thread that asks the peer has panicked")??);
        }
        Ok(refused)
    })
}

/// One nginx, of one process. It ends, and its directory goes, when this is dropped.
struct Server {
    process: Child,
    directory: PathBuf,
    address: SocketAddr,
}

impl Server {
    fn start() -> Result<Self> {
        // Two free ports: the server's own, and its upstream's. Held until both are known, so that they differ.
        let (front, back) =
            (TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
        let (address, upstream) = (front.local_addr()?, back.local_addr()?);
        drop((front, back));
        let directory =
            std::env::temp_dir().join(format!("stopbank-score-{}-{}", std::process::id(), address.port()));
        fs::create_dir(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        fs::write(directory.join("modsecurity.conf"), rules(&directory))?;
        fs::write(directory.join("nginx.conf"), configuration(&directory, address, upstream))?;
        let mut command =
            Command::new(if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" });
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

    fn refuses(&self, request: &[u8]) -> Result<bool> {
        let mut stream = TcpStream::connect(self.address).context("the peer takes no connection")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // It may have answered, and closed, before it has read everything.
        let _ = stream.write_all(request);
        let mut answer = [0; 12];
        match stream.read_exact(&mut answer) {
            Ok(()) => Ok(status(&answer).is_none_or(|status| status >= 400)),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                bail!("the peer does not answer within {} s", PATIENCE.as_secs())
            }
            Err(_) => Ok(true),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The status of an answer that begins so.
fn status(answer: &[u8; 12]) -> Option<u16> {
    str::from_utf8(answer).ok()?.strip_prefix("HTTP/1.")?.get(2..)?.parse().ok()
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

fn configuration(directory: &Path, address: SocketAddr, upstream: SocketAddr) -> String {
    let directory = directory.display();
    format!(
        "load_module {MODULE};
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log /dev/null crit;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_header_timeout 2s;
    client_body_timeout 2s;
    client_max_body_size 16m;
    client_body_buffer_size 1m;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{ listen {upstream}; location / {{ return 200 \"upstream\"; }} }}
    server {{
        listen {address};
        modsecurity on;
        modsecurity_rules_file {directory}/modsecurity.conf;
        location / {{ proxy_pass http://{upstream}; }}
    }}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status_or_counts_as_none() {
        assert_eq!(status(b"HTTP/1.1 403"), Some(403));
        assert_eq!(status(b"HTTP/1.0 200"), Some(200));
        assert_eq!(status(b"<html><head>"), None);
    }
}
