//! Shells: whether a value ends the command it is put in, and begins another.
//!
//! What decides is a separator with a program behind it. A value that begins with a program is a command line as a whole, as documentation has
//! many; it is an attack only if what it asks for is one.

use super::{Best, Class, Kind, Text, contains, is_word, places, scan::bytes};

fn add(best: &mut Best, rule: &'static str, score: u16) {
    best.add(Class::Command, rule, score);
}

pub(super) fn judge(text: &Text<'_>, best: &mut Best) {
    let lower = text.lower;
    if text.scan.byte(bytes::PAREN) && places(lower, b"()").any(|at| function_export(&lower[at + 2..])) {
        add(best, "command-shellshock", 95);
    }
    let separators = bytes::BACKSLASH
        | bytes::SEMICOLON
        | bytes::PIPE
        | bytes::AMPERSAND
        | bytes::BACKTICK
        | bytes::DOLLAR
        | bytes::CONTROL;
    if text.scan.byte(separators) && text.kind != Kind::Header {
        separated(lower, best);
    }
    if best.certain() {
        return;
    }
    if text.scan.byte(bytes::BACKTICK | bytes::DOLLAR) && text.kind != Kind::Header {
        substituted(lower, best);
    }
    // A variable that is set and run: ;a=$'id';$a
    if lower.len() <= 256
        && contains(lower, b";$")
        && (contains(lower, b"=$'") || contains(lower, b"=$\"") || contains(lower, b"=$\\'"))
    {
        add(best, "command-variable", 65);
    }
    whole(lower, best);
}

/// `() { :;};`, which bash ran from its environment (CVE-2014-6271).
fn function_export(after: &[u8]) -> bool {
    let body = super::trim_start(after);
    body.starts_with(b"{") && {
        let body = super::trim_start(&body[1..]);
        let colon = body.strip_prefix(b":").or_else(|| body.strip_prefix(b"_")).map(super::trim_start);
        colon.is_some_and(|rest| rest.starts_with(b";") || rest.starts_with(b"}"))
    }
}

/// Programs that answer an attacker's first questions, fetch and run something, or wait; and what the answer is without an argument.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    No,
    /// A word that is a program's name as well; it needs an argument that looks like one.
    Word,
    /// A name that is hardly anything else.
    Name,
}

fn program(name: &[u8]) -> Program {
    let name = name.strip_suffix(b".exe").unwrap_or(name);
    match name {
        b"id" | b"whoami" | b"uname" | b"ifconfig" | b"ipconfig" | b"netstat" | b"wget" | b"curl" | b"nc"
        | b"ncat" | b"netcat" | b"nslookup" | b"ls" | b"systeminfo" | b"tasklist" | b"powershell"
        | b"pwsh" | b"cmd" | b"certutil" | b"bitsadmin" | b"chmod" | b"chown" | b"printenv" | b"pwd"
        | b"passwd" | b"useradd" | b"phpinfo" | b"telnet" | b"tftp" | b"wmic" | b"regsvr32" | b"rundll32"
        | b"iex" | b"iwr" | b"invoke-expression" | b"invoke-webrequest" | b"nmap" | b"netsh" | b"mkfifo"
        | b"crontab" | b"xterm" | b"socat" | b"lsof" | b"ps" | b"reboot" | b"hostname" | b"sysinfo"
        | b"vssadmin" | b"icacls" | b"schtasks" | b"base64" | b"xxd" | b"busybox" | b"sudo"
        | b"traceroute" | b"tracert" | b"csh" | b"zsh" | b"ksh" | b"bash" | b"ash" | b"rm" | b"cat"
        | b"mkdir" | b"uptime" => Program::Name,
        b"dir" | b"echo" | b"ping" | b"type" | b"sleep" | b"sh" | b"dash" | b"python" | b"python3"
        | b"python2" | b"perl" | b"ruby" | b"php" | b"node" | b"net" | b"cp" | b"mv" | b"find" | b"grep"
        | b"head" | b"tail" | b"env" | b"export" | b"kill" | b"killall" | b"touch" | b"dig" | b"host"
        | b"ssh" | b"scp" | b"ftp" | b"lynx" | b"awk" | b"sed" | b"tee" | b"xargs" | b"eval" | b"exec"
        | b"mail" | b"sendmail" | b"who" | b"df" | b"du" | b"shutdown" | b"halt" | b"systemctl"
        | b"mysql" | b"psql" | b"docker" | b"which" | b"whereis" | b"locate" | b"tar" | b"zip" | b"del"
        | b"reg" | b"timeout" | b"nohup" | b"dd" | b"mount" | b"arp" | b"finger" | b"su" | b"nl" | b"tac"
        | b"od" | b"strings" | b"rev" | b"wc" | b"system" | b"get-content" | b"gc" | b"get-process"
        | b"ver" | b"vol" | b"attrib" | b"printf" => Program::Word,
        _ => Program::No,
    }
}

/// A command's first word with its quotes, backslashes, empty expansions and folder taken off, and what follows it.
fn first_word<'t>(text: &'t [u8], plain: &mut [u8; 48]) -> (usize, &'t [u8]) {
    let (mut length, mut at) = (0, 0);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\\' if matches!(text.get(at + 1), Some(b'n' | b'r')) && at + 2 >= text.len() => break,
            b'\'' | b'"' | b'\\' | b'^' | b'{' | b'(' | b'!' | b'@'
                if length == 0 || byte == b'\'' || byte == b'"' || byte == b'\\' || byte == b'^' =>
            {
                at += 1;
            }
            b'$' if matches!(text.get(at + 1), Some(b'@' | b'*' | b'1'..=b'9')) && length > 0 => at += 2,
            b'/' => {
                length = 0;
                at += 1;
            }
            _ if is_word(byte) || matches!(byte, b'-' | b'.' | b'?' | b'*' | b'[' | b']') => {
                if length == plain.len() {
                    return (0, &text[at..]);
                }
                plain[length] = byte;
                length += 1;
                at += 1;
            }
            _ => break,
        }
    }
    (length, &text[at..])
}

/// How clearly a command begins here.
pub(super) fn command(text: &[u8]) -> u16 {
    let text = super::trim_start(&text[..text.len().min(256)]);
    let text = super::trim_start(text.strip_prefix(b"+").unwrap_or(text));
    let mut plain = [0; 48];
    let (length, rest) = first_word(text, &mut plain);
    let name = &plain[..length];
    if name.is_empty() {
        return 0;
    }
    let known = program(name);
    let absolute = text.starts_with(b"/bin/")
        || text.starts_with(b"/usr/")
        || text.starts_with(b"/sbin/")
        || text.starts_with(b"./");
    let path = &text[..text.iter().position(|byte| *byte <= b' ').unwrap_or(text.len())];
    let named =
        path.iter().all(|byte| is_word(*byte) || matches!(byte, b'/' | b'?' | b'*' | b'[' | b']' | b'-'));
    let glob = named
        && text.starts_with(b"/")
        && !text.starts_with(b"/*")
        && text[..text.len().min(24)].iter().filter(|byte| matches!(byte, b'?' | b'*')).count() >= 2;
    if glob || (absolute && known != Program::No) {
        return 90;
    }
    if known == Program::No {
        return 0;
    }
    let obscured =
        text[..text.len() - rest.len()].iter().any(|byte| matches!(byte, b'\'' | b'"' | b'\\' | b'$'));
    let ended = rest.is_empty()
        || matches!(
            rest[0],
            b';' | b'|'
                | b'&'
                | b'`'
                | b')'
                | b'\n'
                | b'\r'
                | b'#'
                | b'\\'
                | b'<'
                | b'>'
                | 0
                | b'}'
                | b','
                | b'"'
                | b'\''
        );
    let argument = argument(rest, matches!(name, b"sleep" | b"ping" | b"timeout" | b"kill"));
    match known {
        Program::Name if argument || obscured => 90,
        Program::Name if ended => 80,
        Program::Word if argument => 75,
        Program::Word if ended && obscured => 65,
        Program::Word if ended => 55,
        _ => 0,
    }
}

/// Whether what follows a program is an argument, and not the next word of a sentence: an option, a path, an address, a number, a variable.
fn argument(rest: &[u8], numbers: bool) -> bool {
    let separated = rest.first().is_some_and(|byte| {
        matches!(
            byte,
            b' ' | b'\t' | b'+' | b'<' | b'>' | b'$' | b'%' | b'\'' | b'"' | b'(' | b'{' | b'[' | b',' | b'`'
        )
    });
    if !separated {
        return false;
    }
    let ifs = rest.starts_with(b"$ifs")
        || rest.starts_with(b"${ifs")
        || rest.starts_with(b"<")
        || rest.starts_with(b"$9");
    let start = super::trim_start(rest);
    let start = start.strip_prefix(b"+").unwrap_or(start);
    if ifs {
        return true;
    }
    let word_length = start
        .iter()
        .take_while(|byte| !matches!(**byte, 0..=b' ' | b';' | b'|' | b'&' | b')' | b'`'))
        .count();
    let word = &start[..word_length];
    match word.first() {
        Some(b'-') => word.len() > 1 && (word[1].is_ascii_alphanumeric() || word[1] == b'-'),
        Some(b'/' | b'$' | b'%' | b'~' | b'*' | b'\'' | b'"' | b'>' | b'<' | b'`' | b'\\') => true,
        Some(b'(') => rest.starts_with(b"('") || rest.starts_with(b"(\"") || rest.starts_with(b"(`"),
        Some(b'.') => word.len() == 1 || word.starts_with(b"..") || word.starts_with(b"./"),
        Some(b'0'..=b'9') if numbers => true,
        Some(_) => {
            contains(word, b"://")
                || contains(word, b":\\")
                || contains(word, b":/")
                || word.contains(&b'=')
                || word.contains(&b'/')
                || word.contains(&b'\\')
                || (contains(word, b".") && !word.ends_with(b"."))
                || matches!(
                    word,
                    b"user"
                        | b"users"
                        | b"view"
                        | b"root"
                        | b"administrator"
                        | b"localgroup"
                        | b"share"
                        | b"accounts"
                        | b"firewall"
                        | b"advfirewall"
                        | b"add"
                        | b"query"
                )
        }
        None => false,
    }
}

/// A separator and a command behind it.
fn separated(text: &[u8], best: &mut Best) {
    // A line that begins with a program is a command line: what it joins is its own.
    let own = is_command_line(text);
    let lines = text.iter().filter(|byte| **byte == b'\n').count();
    // A line end that is written out, before a command.
    let start = text.iter().position(|byte| !matches!(byte, b'"' | b'\'' | b' ')).unwrap_or(text.len());
    if let Some(rest) = text[start..].strip_prefix(b"\\n").or_else(|| text[start..].strip_prefix(b"\\r\\n")) {
        let score = command(rest);
        add(best, "command-separated", if score >= 55 { score.max(65) } else { 0 });
    }
    let blank = text.len() - super::trim_start(text).len();
    for (at, &byte) in text.iter().enumerate() {
        let double = text.get(at + 1) == Some(&byte);
        let step = match byte {
            b';' | b'|' | b'&' if double => continue,
            b';' | b'|' | b'&' => 1,
            b'\n' | b'\r' if lines <= 2 => 1,
            _ => continue,
        };
        // The parameters of a closure: (|id| id.name)
        if byte == b'|' && matches!(text[..at].trim_ascii_end().last(), Some(b'(' | b',' | b'=')) {
            continue;
        }
        // The semicolon of an entity, and the ampersand of one.
        if text[at + 1..].starts_with(b"lt;") || text[at + 1..].starts_with(b"base64,") {
            continue;
        }
        let score = command(&text[at + step..]);
        if score == 0 {
            continue;
        }
        let before = &text[blank.min(at)..at];
        let first = before.iter().all(|byte| {
            matches!(byte, b'|' | b'&' | b';' | b'\'' | b'"' | b')' | b'$' | b' ' | b'+' | b'`' | b'\\')
        });
        let long = at > 200 || lines > 2 || text.len() > 1024;
        // `a | b` in tables and sentences: only what begins the value, or is asked of a short one, is left of a command.
        let score = match byte {
            _ if first && matches!(byte, b'\n' | b'\r') => score.saturating_sub(15),
            _ if first => score.max(if score >= 55 { 65 } else { score }),
            _ if own || long => 0,
            b'\n' | b'\r' => score.saturating_sub(40),
            b'&' if text.get(at.wrapping_sub(1)) != Some(&b'&')
                && text.get(at + 1).is_some_and(|byte| is_word(*byte))
                && text[at..].iter().take(32).any(|byte| *byte == b'=') =>
            {
                score.saturating_sub(30)
            }
            _ => score,
        };
        add(best, "command-separated", score);
        if best.certain() {
            return;
        }
    }
}

fn is_command_line(text: &[u8]) -> bool {
    let text = super::trim_start(text);
    let text = text
        .strip_prefix(b"$ ")
        .or_else(|| text.strip_prefix(b"# "))
        .or_else(|| text.strip_prefix(b"> "))
        .unwrap_or(text);
    let mut plain = [0; 48];
    let (length, rest) = first_word(text, &mut plain);
    let name = &plain[..length];
    let tool = matches!(
        name,
        b"npm"
            | b"npx"
            | b"yarn"
            | b"pnpm"
            | b"git"
            | b"cargo"
            | b"go"
            | b"cd"
            | b"pip"
            | b"pip3"
            | b"apt"
            | b"apt-get"
            | b"brew"
            | b"make"
            | b"cmake"
            | b"tsc"
            | b"eslint"
            | b"jest"
            | b"mocha"
            | b"rollup"
            | b"webpack"
            | b"babel"
            | b"rimraf"
            | b"cross-env"
            | b"standard"
            | b"tape"
            | b"nyc"
            | b"c8"
            | b"tap"
            | b"ava"
            | b"vite"
            | b"run-s"
            | b"prettier"
            | b"lerna"
            | b"bun"
            | b"deno"
            | b"gulp"
            | b"grunt"
            | b"xo"
            | b"vitest"
            | b"tsup"
            | b"ncc"
    );
    (tool || program(name) != Program::No) && rest.first() == Some(&b' ')
}

/// `$(…)` and backticks with a command within.
fn substituted(text: &[u8], best: &mut Best) {
    let short = text.len() <= 512 && text.iter().filter(|byte| **byte == b'\n').count() <= 1;
    for at in places(text, b"$(").take(64) {
        let inside = &text[at + 2..];
        // jQuery's $("…") and make's $(NAME).
        if inside.starts_with(b"\"")
            || inside.starts_with(b"'") && contains(&inside[..inside.len().min(64)], b"').")
            || inside.starts_with(b"document")
            || inside.starts_with(b"this")
        {
            continue;
        }
        if inside.starts_with(b"(") && inside.get(1).is_some_and(u8::is_ascii_digit) && short {
            add(best, "command-substituted", 60);
        }
        let score = command(inside);
        let line = is_command_line(text);
        let end = memchr::memchr(b')', inside).unwrap_or(inside.len());
        let around =
            text[..at].iter().chain(&inside[end..]).filter(|byte| byte.is_ascii_alphabetic()).count();
        let short = short && around <= 24;
        add(
            best,
            "command-substituted",
            if line {
                score.saturating_sub(40)
            } else if short {
                score
            } else {
                score.saturating_sub(35)
            },
        );
    }
    let Some(open) = memchr::memchr(b'`', text) else { return };
    // Markdown quotes commands so: only where nothing of a sentence stands around it.
    let inside = &text[open + 1..];
    let close = memchr::memchr(b'`', inside).unwrap_or(inside.len());
    let around = text[..open]
        .iter()
        .chain(inside.get(close + 1..).unwrap_or_default())
        .filter(|byte| byte.is_ascii_alphabetic())
        .count();
    if around <= 8 && short {
        let score = command(&inside[..close]);
        add(best, "command-substituted", if score >= 75 { score } else { 0 });
    }
}

/// A value that is a command line as a whole.
fn whole(text: &[u8], best: &mut Best) {
    if text.len() > 512 || text.iter().filter(|byte| **byte == b'\n').count() > 2 {
        return;
    }
    let start = super::trim_start(text);
    if command(start) == 0 {
        return;
    }
    let asks = [
        &b"/etc/passwd"[..],
        b"/etc/shadow",
        b"/etc/group",
        b"/etc/hosts",
        b"/dev/tcp/",
        b"/bin/sh",
        b"/bin/bash",
        b"boot.ini",
        b"win.ini",
        b"repair\\sa",
        b"/etc/issue",
        b"/proc/",
        b"system32",
        b" -e /bin",
        b"net user",
        b"net localgroup",
    ];
    if asks.iter().any(|what| contains(text, what)) {
        add(best, "command-whole", 75);
    }
    let path = start.starts_with(b"/bin/") || start.starts_with(b"/usr/bin/") || start.starts_with(b"/sbin/");
    let asked =
        [&b"/id"[..], b"/whoami", b"/uname", b"/nc", b"/cat", b"/wget", b"/curl"].iter().any(|name| {
            places(start, name).any(|at| start.get(at + name.len()).is_none_or(|byte| !is_word(*byte)))
        });
    if path && start.len() < 200 && (asked || start.contains(&b' ') && contains(start, b" -")) {
        add(best, "command-path", 70);
    }
    let piped = contains(text, b"| sh")
        || contains(text, b"|sh")
        || contains(text, b"| bash")
        || contains(text, b"|bash");
    if piped && (start.starts_with(b"echo") || start.starts_with(b"base64")) {
        add(best, "command-whole", 70);
    }
    let exact = start.trim_ascii_end();
    if matches!(
        exact,
        b"uname -a"
            | b"ls -la"
            | b"ls -l"
            | b"cat /etc/passwd"
            | b"netstat -an"
            | b"netstat -a"
            | b"ipconfig /all"
            | b"id;"
            | b"ls -la /"
            | b"whoami"
            | b"net view"
            | b"net user"
    ) {
        add(best, "command-asked", 62);
    }
    let listed = [
        &b"ls -l /etc"[..],
        b"ls -l /home",
        b"ls -l /var",
        b"ls -la /tmp",
        b"ls -la /etc",
        b"ls -la /home",
        b"ls -la /var",
        b"net user ",
        b"perl -e '",
    ]
    .iter()
    .any(|line| start.starts_with(line));
    if listed && start.len() < 200 {
        add(best, "command-asked", 62);
    }
    if start.starts_with(b"ping") && contains(start, b"127.0.0.1") && start.len() < 64 {
        add(best, "command-wait", 65);
    }
}
