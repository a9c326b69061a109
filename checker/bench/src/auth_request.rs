//! What it adds to nginx to ask the checker by `auth_request`: nginx in front of the upstream as the documentation has it, and the same one without its
//! questions.

use std::{net::SocketAddr, path::Path};

use anyhow::Result;

use crate::front::{Asked, Front, pasted, without};

/// What they are called in results.
pub(crate) const ASKS: &str = "nginx+auth_request";
pub(crate) const ALONE: &str = "nginx-alone";

/// Debian's users do not have /usr/sbin in their PATH.
const PROGRAM: &str = "/usr/sbin/nginx";

/// In front of `upstream`; with a checker it asks.
pub(crate) fn start(name: &str, asked: Option<Asked<'_>>, upstream: SocketAddr, cpu: usize) -> Result<Front> {
    let mut front = Front::new(name, cpu)?;
    let checker = asked.map(|asked| front.start_checker(asked, "auth_request")).transpose()?;
    let text = configuration(front.directory(), front.address, upstream, checker)?;
    let file = front.write("nginx.conf", &text)?;
    let program = if Path::new(PROGRAM).exists() { PROGRAM } else { "nginx" };
    front.run(Path::new(program), &["-c"], &file, front.address)?;
    Ok(front)
}

/// With connections to the upstream that are kept, which the documentation leaves to the operator.
fn configuration(
    directory: &Path,
    address: SocketAddr,
    upstream: SocketAddr,
    checker: Option<SocketAddr>,
) -> Result<String> {
    let kept = "proxy_pass http://application; proxy_http_version 1.1; proxy_set_header Connection \"\";";
    let mut text = pasted("    upstream stopbank_checker {\n")?
        .replace("listen 80;", &format!("listen {address};"))
        .replace("proxy_pass http://application;", kept);
    match checker {
        Some(checker) => text = text.replace("127.0.0.1:9191", &checker.to_string()),
        None => ["auth_request", "stopbank"].iter().for_each(|what| text = without(&text, what)),
    }
    let directory = directory.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {directory}/{kind};\n"))
        .concat();
    Ok(format!(
        "daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
access_log off;
keepalive_requests 1000000000;
{temporary}upstream application {{ server {upstream}; keepalive 64; keepalive_requests 1000000000; }}
{text}}}
"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_asks_or_is_the_same_without_questions() {
        let [address, upstream, checker] =
            ["127.0.0.1:1001", "127.0.0.1:1002", "127.0.0.1:1003"].map(|text| text.parse().unwrap());
        let asks = configuration(Path::new("/x"), address, upstream, Some(checker)).unwrap();
        for part in [
            "listen 127.0.0.1:1001;",
            "upstream application { server 127.0.0.1:1002; keepalive",
            "server 127.0.0.1:1003;\n",
            "auth_request /_stopbank;",
            "proxy_http_version 1.1; proxy_set_header Connection",
        ] {
            assert!(asks.contains(part), "{part}: {asks}");
        }
        let alone = configuration(Path::new("/x"), address, upstream, None).unwrap();
        assert!(!["stopbank", "auth_request", "9191"].iter().any(|part| alone.contains(part)), "{alone}");
        assert!(alone.contains("location / {") && alone.contains("proxy_set_header Host"), "{alone}");
        assert_eq!(alone.matches('{').count(), alone.matches('}').count(), "{alone}");
    }
}
