//! A real nginx in a namespace.

use std::{
    fs::{self, File},
    io::{self, Read},
    net::TcpStream,
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    netns::Namespace,
    process::{self, Background},
    scratch::Scratch,
    topology::server_address,
};

/// What it answers to every request but for [`LARGE`] and [`PAGE`].
pub const BODY: &str = "stopbank";
/// Where it has 100 MiB: zeroes, or [`Nginx::fill`].
pub const LARGE: (&str, u64) = ("/large", 100 << 20);
/// A page that has so many scripts to load, each of which counts itself in the page's title.
pub const PAGE: (&str, usize) = ("/page", 12);

/// nginx on port 80 of every address of its namespace; it ends when this is dropped.
#[derive(Debug)]
pub struct Nginx {
    // Dropped first: the process writes there.
    _process: Background,
    scratch: Scratch,
}

impl Nginx {
    /// Starts one with a configuration and directories of its own, and waits until it accepts connections.
    ///
    /// # Errors
    ///
    /// When nginx is not installed (Debian: nginx-light) or does not start.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        Self::listen(namespace, Scratch::new()?, "")
    }

    /// The same, and HTTPS on port 443 with a certificate that nobody knows (ECDSA, P-256).
    ///
    /// # Errors
    ///
    /// As those of [`Self::start`], and when there is no openssl to make the certificate.
    pub fn start_tls(namespace: &Namespace) -> Result<Self> {
        let scratch = Scratch::new()?;
        let (key, certificate) = (scratch.file("key.pem"), scratch.file("certificate.pem"));
        let mut openssl = Command::new("openssl");
        openssl
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
            .args(["-days", "1", "-subj", "/CN=stopbank", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate);
        process::run(&mut openssl).context("no certificate")?;
        let listen = format!(
            "listen 443 ssl;\n        listen [::]:443 ssl;\n        ssl_certificate {};\n        \
             ssl_certificate_key {};",
            certificate.display(),
            key.display()
        );
        Self::listen(namespace, scratch, &listen)
    }

    /// Makes random bytes of [`LARGE`], so that whatever is lost or changed of them shows, and returns their SHA-256 in
    /// hexadecimal.
    ///
    /// # Errors
    ///
    /// When the file cannot be written, or there is no sha256sum.
    pub fn fill(&self) -> Result<String> {
        let path = self.scratch.file("large");
        let mut random = File::open("/dev/urandom")?.take(LARGE.1);
        io::copy(&mut random, &mut File::create(&path)?)?;
        let said = process::run(Command::new("sha256sum").arg(&path))?;
        said.split_whitespace().next().map(str::to_owned).context("sha256sum says nothing")
    }

    /// `more`: directives of its server.
    fn listen(namespace: &Namespace, scratch: Scratch, more: &str) -> Result<Self> {
        let configuration = scratch.file("nginx.conf");
        fs::write(&configuration, configuration_text(scratch.path(), more))?;
        File::create(scratch.file("large"))?.set_len(LARGE.1)?;
        let mut command = namespace.command(binary());
        command.arg("-p").arg(scratch.path()).arg("-c").arg(&configuration);
        let mut process = Background::start(command, &scratch.file("nginx.log"))
            .context("no nginx? Debian has it in nginx-light")?;
        let address = (server_address(false), 80).into();
        process.wait_until(Duration::from_secs(10), || {
            let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(100)).is_ok();
            namespace.run(connect).unwrap_or(false)
        })?;
        Ok(Self { _process: process, scratch })
    }
}

/// Debian's users do not have /usr/sbin in their PATH.
fn binary() -> &'static Path {
    let debian = Path::new("/usr/sbin/nginx");
    if debian.exists() { debian } else { Path::new("nginx") }
}

/// One process, which ends at once when it is killed (a master would leave its workers), in the foreground, nothing written outside `directory`, and otherwise nginx's defaults.
fn configuration_text(directory: &Path, more: &str) -> String {
    let directory = directory.display();
    let scripts: String =
        (0..PAGE.1).map(|number| format!("<script src=/script/{number}></script>")).collect();
    format!(
        "daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    # The client's connections are to live as long as it wants.
    keepalive_requests 1000000;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 80;
        listen [::]:80;
        {more}
        location = {} {{ root {directory}; }}
        location = {} {{
            default_type text/html;
            return 200 \"<!doctype html><title>0</title>{scripts}\";
        }}
        location /script/ {{
            default_type text/javascript;
            return 200 \"document.title = Number(document.title) + 1\";
        }}
        location / {{ return 200 \"{BODY}\"; }}
    }}
}}
",
        LARGE.0, PAGE.0
    )
}
