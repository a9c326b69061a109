//! A real nginx in a namespace.

use std::{fs, net::TcpStream, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result};

use crate::{
    netns::Namespace,
    process::{self, Background},
    scratch::Scratch,
    topology::server_address,
};

/// What it answers to every request but for [`LARGE`].
pub const BODY: &str = "stopbank";
/// Where it has 100 MiB of zeroes.
pub const LARGE: (&str, u64) = ("/large", 100 << 20);

/// nginx on port 80 of every address of its namespace; it ends when this is dropped.
#[derive(Debug)]
pub struct Nginx {
    // Dropped first: the process writes there.
    _process: Background,
    _scratch: Scratch,
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

    /// `more`: directives of its server.
    fn listen(namespace: &Namespace, scratch: Scratch, more: &str) -> Result<Self> {
        let configuration = scratch.file("nginx.conf");
        fs::write(&configuration, configuration_text(scratch.path(), more))?;
        fs::File::create(scratch.file("large"))?.set_len(LARGE.1)?;
        let mut command = namespace.command(binary());
        command.arg("-p").arg(scratch.path()).arg("-c").arg(&configuration);
        let mut process = Background::start(command, &scratch.file("nginx.log"))
            .context("no nginx? Debian has it in nginx-light")?;
        let address = (server_address(false), 80).into();
        process.wait_until(Duration::from_secs(10), || {
            let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(100)).is_ok();
            namespace.run(connect).unwrap_or(false)
        })?;
        Ok(Self { _process: process, _scratch: scratch })
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
        location / {{ return 200 \"{BODY}\"; }}
    }}
}}
",
        LARGE.0
    )
}
