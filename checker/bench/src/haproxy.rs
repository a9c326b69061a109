//! What it adds to HAProxy to ask the checker: HAProxy in front of the upstream as the documentation has it, and the same one without its questions.

use std::{net::SocketAddr, path::Path};

use anyhow::Result;

use crate::front::{Asked, Front, pasted, without};

/// What they are called in results.
pub(crate) const ASKS: &str = "haproxy+spoe";
pub(crate) const ALONE: &str = "haproxy";

/// Debian's users do not have /usr/sbin in their PATH.
const PROGRAM: &str = "/usr/sbin/haproxy";
/// What of its configuration asks. Without that it is a proxy that adds the same headers.
const QUESTIONS: [&str; 4] =
    ["filter spoe", "send-spoe-group", "var(txn.stopbank", "backend stopbank-checker"];

/// In front of `upstream`; with a checker it asks.
pub(crate) fn start(name: &str, asked: Option<Asked<'_>>, upstream: SocketAddr, cpu: usize) -> Result<Front> {
    let mut front = Front::new(name, cpu)?;
    let agent = asked.map(|asked| front.start_checker(asked, "spoe")).transpose()?;
    let questions = front.write("stopbank.conf", &pasted("    [stopbank]\n")?)?;
    let file = front.write("haproxy.cfg", &configuration(front.address, upstream, agent, &questions)?)?;
    let program = if Path::new(PROGRAM).exists() { PROGRAM } else { "haproxy" };
    front.run(Path::new(program), &["-db", "-f"], &file, front.address)?;
    Ok(front)
}

fn configuration(
    address: SocketAddr,
    upstream: SocketAddr,
    agent: Option<SocketAddr>,
    questions: &Path,
) -> Result<String> {
    let mut text = pasted("    frontend www\n")?
        .replace("bind :80", &format!("bind {address}"))
        .replace("/etc/haproxy/stopbank.conf", &questions.display().to_string())
        .replace("127.0.0.1:8080", &upstream.to_string());
    match agent {
        Some(agent) => text = text.replace("127.0.0.1:9192", &agent.to_string()),
        None => QUESTIONS.iter().for_each(|what| text = without(&text, what)),
    }
    Ok(format!("global\n    nbthread 1\n{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_asks_or_is_the_same_without_questions() {
        let [address, upstream, agent] =
            ["127.0.0.1:1001", "127.0.0.1:1002", "127.0.0.1:1003"].map(|text| text.parse().unwrap());
        let asks = configuration(address, upstream, Some(agent), Path::new("/x/y.conf")).unwrap();
        for part in [
            "bind 127.0.0.1:1001\n",
            "server application 127.0.0.1:1002\n",
            "server checker 127.0.0.1:1003 check",
            "config /x/y.conf\n",
        ] {
            assert!(asks.contains(part), "{part}: {asks}");
        }
        let alone = configuration(address, upstream, None, Path::new("/x/y.conf")).unwrap();
        assert!(!["spo", "txn.", "9192"].iter().any(|part| alone.contains(part)), "{alone}");
        assert!(
            alone.lines().all(|line| asks.contains(line)) && alone.contains("x-forwarded-proto"),
            "{alone}"
        );
    }
}
