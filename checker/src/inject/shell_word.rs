//! Words of a shell: names of programs, however they are written, and what tells an argument from the next word of a sentence.

use super::{contains, is_word, places, shell_glob};

/// Programs that answer an attacker's first questions, fetch and run something, or wait; and what the answer is without an argument.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    No,
    /// A word that is a program's name as well; it needs an argument that looks like one.
    Word,
    /// A name that is hardly anything else, of a program that does nothing without an argument.
    Name,
    /// Such a name, of a program that answers without an argument.
    Bare,
}

pub(super) fn program(name: &[u8]) -> Program {
    let name = name.strip_suffix(b".exe").unwrap_or(name);
    match name {
        b"id" | b"whoami" | b"uname" | b"ifconfig" | b"ipconfig" | b"netstat" | b"ls" | b"systeminfo"
        | b"tasklist" | b"powershell" | b"pwsh" | b"cmd" | b"printenv" | b"pwd" | b"passwd" | b"phpinfo"
        | b"lsof" | b"ps" | b"reboot" | b"hostname" | b"sysinfo" | b"bash" | b"zsh" | b"ksh" | b"csh"
        | b"uptime" | b"lastlog" | b"htop" | b"visudo" | b"iptables" | b"netsat" | b"quser" | b"qwinsta"
        | b"%comspec%" | b"vmstat" => Program::Bare,
        b"wget" | b"curl" | b"nc" | b"ncat" | b"netcat" | b"nslookup" | b"certutil" | b"bitsadmin"
        | b"chmod" | b"chown" | b"useradd" | b"adduser" | b"usermod" | b"userdel" | b"telnet" | b"tftp"
        | b"wmic" | b"regsvr32" | b"rundll32" | b"iex" | b"iwr" | b"invoke-expression"
        | b"invoke-webrequest" | b"nmap" | b"netsh" | b"mkfifo" | b"crontab" | b"xterm" | b"socat"
        | b"vssadmin" | b"icacls" | b"schtasks" | b"base64" | b"xxd" | b"busybox" | b"sudo"
        | b"traceroute" | b"tracert" | b"ash" | b"rm" | b"cat" | b"mkdir" | b"mshta" | b"cscript"
        | b"wscript" | b"msiexec" | b"aptitude" | b"apt-get" | b"dpkg" | b"openssl" | b"gdb" | b"strace"
        | b"lua" | b"nltest" | b"tcpdump" | b"zcat" | b"bzcat" | b"xzcat" | b"zstdcat" | b"gunzip"
        | b"whois" | b"lastlogin" | b"wevtutil" | b"installutil" | b"psexec" | b"getent" | b"rlwrap"
        | b"journalctl" | b"hexdump" | b"rsync" | b"cpan" | b"gawk" | b"mawk" | b"nawk" | b"tclsh"
        | b"expect" | b"shuf" | b"start-process" | b"get-childitem" | b"new-object" | b"invoke-command"
        | b"bsdtar" | b"ldapsearch" | b"smbclient" | b"c89" | b"c99" | b"gcc" | b"rmdir" | b"killall"
        | b"pkill" => Program::Name,
        b"dir" | b"echo" | b"ping" | b"ping6" | b"type" | b"sleep" | b"sh" | b"dash" | b"python"
        | b"python3" | b"python2" | b"perl" | b"ruby" | b"php" | b"node" | b"net" | b"cp" | b"mv"
        | b"find" | b"grep" | b"egrep" | b"fgrep" | b"head" | b"tail" | b"env" | b"export" | b"kill"
        | b"touch" | b"dig" | b"host" | b"ssh" | b"scp" | b"sftp" | b"ftp" | b"lynx" | b"awk" | b"sed"
        | b"tee" | b"xargs" | b"eval" | b"exec" | b"mail" | b"sendmail" | b"who" | b"df" | b"du"
        | b"shutdown" | b"halt" | b"systemctl" | b"mysql" | b"psql" | b"docker" | b"which" | b"whereis"
        | b"locate" | b"tar" | b"zip" | b"unzip" | b"del" | b"reg" | b"timeout" | b"nohup" | b"dd"
        | b"mount" | b"umount" | b"arp" | b"finger" | b"su" | b"nl" | b"tac" | b"od" | b"strings"
        | b"rev" | b"wc" | b"system" | b"get-content" | b"gc" | b"get-process" | b"ver" | b"vol"
        | b"attrib" | b"printf" | b"cut" | b"vi" | b"vim" | b"nano" | b"ip" | b"ss" | b"ln" | b"trap"
        | b"nice" | b"builtin" | b"setsid" | b"apt" | b"yum" | b"dnf" | b"pip" | b"gem" | b"npm" => {
            Program::Word
        }
        _ => Program::No,
    }
}

/// What runs the program that is its argument.
fn runs_another(name: &[u8]) -> bool {
    matches!(
        name,
        b"time"
            | b"nohup"
            | b"sudo"
            | b"env"
            | b"exec"
            | b"command"
            | b"builtin"
            | b"nice"
            | b"busybox"
            | b"xargs"
            | b"eval"
            | b"setsid"
            | b"watch"
            | b"then"
            | b"do"
            | b"else"
            | b"su"
    )
}

/// A command's first word with its quotes, backslashes, empty expansions and folder taken off, and what follows it.
pub(super) fn first_word<'t>(text: &'t [u8], plain: &mut [u8; 48]) -> (usize, &'t [u8]) {
    let (mut length, mut at) = (0, 0);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\\' if matches!(text.get(at + 1), Some(b'n' | b'r')) && at + 2 >= text.len() => break,
            b'\\' if matches!(text.get(at + 1), Some(b'\n')) => at += 2,
            b'\'' | b'"' | b'\\' | b'^' | b'{' | b'(' | b'!' | b'@'
                if length == 0 || byte == b'\'' || byte == b'"' || byte == b'\\' || byte == b'^' =>
            {
                at += 1;
            }
            b'$' if matches!(text.get(at + 1), Some(b'@' | b'*' | b'1'..=b'9')) && length > 0 => at += 2,
            b'$' | b'`' if length > 0 && empty_expansion(&text[at..]) > 0 => {
                at += empty_expansion(&text[at..]);
            }
            b'/' => {
                length = 0;
                at += 1;
            }
            _ if is_word(byte)
                || matches!(byte, b'-' | b'.' | b'?' | b'*' | b'[' | b']')
                || byte == b'%' && (length == 0 || plain[0] == b'%') =>
            {
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

/// The length of an expansion within a word that stands for nothing: `$()`, two backticks, `${u}` of a variable that is not set.
fn empty_expansion(text: &[u8]) -> usize {
    if text.starts_with(b"$()") {
        return 3;
    }
    if text.starts_with(b"``") {
        return 2;
    }
    let Some(name) = text.strip_prefix(b"${") else { return 0 };
    let length = name.iter().take(8).take_while(|byte| is_word(**byte)).count();
    let closed = name.get(length) == Some(&b'}') && name.get(length + 1).is_some_and(|byte| is_word(*byte));
    if closed && !name.starts_with(b"ifs") { length + 3 } else { 0 }
}

/// How clearly a command begins here.
pub(super) fn command(text: &[u8]) -> u16 {
    let text = super::trim_start(&text[..text.len().min(256)]);
    let mut text = super::trim_start(text.strip_prefix(b"+").unwrap_or(text));
    let mut best = 0;
    // `time nohup sh -c id`
    for _ in 0..4 {
        let mut plain = [0; 48];
        let (length, rest) = first_word(text, &mut plain);
        let name = &plain[..length];
        best = best.max(if name.is_empty() { expanded(text) } else { one(text, name, rest) });
        if !runs_another(name) || !rest.starts_with(b" ") {
            break;
        }
        text = super::trim_start(rest);
    }
    best
}

/// A command of which nothing is left of the name as it is written: `$'\x69\x64'`, `${HOME:0:1}bin`, `$0<<<id`, `$(…)`.
fn expanded(text: &[u8]) -> u16 {
    if text.starts_with(b"$'\\") || text.starts_with(b"$0<<<") {
        return 85;
    }
    if let Some(name) = text.strip_prefix(b"${") {
        let length = name.iter().take(16).take_while(|byte| is_word(**byte)).count();
        return if name[length..].starts_with(b":0") || name[length..].starts_with(b":1") { 85 } else { 0 };
    }
    0
}

fn one(text: &[u8], name: &[u8], rest: &[u8]) -> u16 {
    let known = program(name);
    let absolute =
        [&b"/bin/"[..], b"/usr/", b"/sbin/", b"./", b"bin/"].iter().any(|folder| text.starts_with(folder));
    let path = &text[..text.iter().position(|byte| *byte <= b' ').unwrap_or(text.len())];
    let named =
        path.iter().all(|byte| is_word(*byte) || matches!(byte, b'/' | b'?' | b'*' | b'[' | b']' | b'-'));
    let glob = named
        && text.starts_with(b"/")
        && !text.starts_with(b"/*")
        && text[..text.len().min(24)].iter().filter(|byte| matches!(byte, b'?' | b'*')).count() >= 2;
    if glob || shell_glob::stands_for(path) || (absolute && known != Program::No) {
        return 90;
    }
    // `"id": …` is a key with its value.
    if known == Program::No || rest.starts_with(b":") {
        return 0;
    }
    // A `^` at the beginning is a pattern's; within a word it is cmd.exe's escape.
    let written =
        text[..text.len() - rest.len()].strip_prefix(b"^").unwrap_or(&text[..text.len() - rest.len()]);
    let obscured = written.iter().any(|byte| matches!(byte, b'\'' | b'"' | b'\\' | b'$' | b'^' | b'`'));
    if runs_own_file(name, rest) {
        return 45;
    }
    let ended = ended(rest);
    let argument = argument(rest, matches!(name, b"sleep" | b"ping" | b"timeout" | b"kill" | b"chmod"));
    match known {
        Program::Name | Program::Bare if argument || obscured => 90,
        Program::Bare if ended => 80,
        Program::Word if argument => 75,
        // `\d\d` are digits of a pattern.
        Program::Word if ended && obscured && name != b"dd" => 65,
        Program::Word | Program::Name if ended => 55,
        _ => 0,
    }
}

/// Whether an interpreter is given a script of the folder that it is called in: `node scripts/build.js`, `sh ./x.sh`. That is what manifests
/// say; whoever only reaches the command line has no such file.
fn runs_own_file(name: &[u8], rest: &[u8]) -> bool {
    let known = matches!(
        name,
        b"node"
            | b"python"
            | b"python2"
            | b"python3"
            | b"php"
            | b"ruby"
            | b"perl"
            | b"sh"
            | b"bash"
            | b"dash"
    );
    let Some(rest) = rest.strip_prefix(b" ").filter(|_| known) else { return false };
    let end = rest.iter().position(|byte| !is_word(*byte) && !matches!(byte, b'/' | b'.' | b'-'));
    let file = &rest[..end.unwrap_or(rest.len())];
    let extension = file.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    // What a package's own folder of programs has goes by no extension: `dist/bin/rollup`.
    let program = contains(file, b"/bin/") && !file.starts_with(b"/");
    file.first().is_some_and(|byte| is_word(*byte) || *byte == b'.')
        && !contains(file, b"..")
        && (program
            || matches!(extension, b"js" | b"mjs" | b"cjs" | b"ts" | b"py" | b"php" | b"rb" | b"pl" | b"sh"))
        && rest
            .get(file.len())
            .is_none_or(|byte| matches!(byte, b' ' | b'\n' | b'`' | b'"' | b')' | b';' | b'&'))
}

/// Whether nothing of a sentence follows a program: the end, or what ends a command.
fn ended(rest: &[u8]) -> bool {
    let tail = rest.trim_ascii();
    tail.len() <= 4 && !tail.iter().any(u8::is_ascii_alphanumeric)
        || rest.first().is_none_or(|byte| {
            matches!(
                byte,
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
            )
        })
        || tail.starts_with(b"#")
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
    if ifs || redirected(start) {
        return true;
    }
    let word_length = start
        .iter()
        .take_while(|byte| !matches!(**byte, 0..=b' ' | b';' | b'|' | b'&' | b')' | b'`' | b'#'))
        .count();
    let word = &start[..word_length];
    // A `$` right behind a name ends a pattern.
    if rest.starts_with(b"$") {
        return false;
    }
    match word.first() {
        Some(b'-') => word.len() > 1 && (word[1].is_ascii_alphanumeric() || word[1] == b'-'),
        Some(b'/' | b'$' | b'%' | b'~' | b'*' | b'\'' | b'"' | b'>' | b'<' | b'`' | b'\\') => true,
        Some(b'(') => rest.starts_with(b"('") || rest.starts_with(b"(\"") || rest.starts_with(b"(`"),
        Some(b'.') => word.len() == 1 || word.starts_with(b"..") || word.starts_with(b"./"),
        Some(b'0'..=b'9') if numbers => true,
        // An assignment, or a comparison.
        Some(b'=') => false,
        Some(_) => {
            contains(word, b"://")
                || contains(word, b":\\")
                || contains(word, b":/")
                || contains(word, b"script:")
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
                        | b"aux"
                        | b"process"
                )
        }
        None => false,
    }
}

/// Output that goes to a file, before the command ends: ` > /tmp/x`, ` >& /dev/tcp`.
fn redirected(rest: &[u8]) -> bool {
    let end = rest
        .iter()
        .take(64)
        .position(|byte| matches!(byte, b';' | b'|' | b'\n'))
        .unwrap_or(rest.len().min(64));
    let command = &rest[..end];
    places(command, b" >").any(|at| {
        let target = command[at + 2..].strip_prefix(b">").unwrap_or(&command[at + 2..]);
        matches!(super::trim_start(target).first(), Some(b'/' | b'&'))
    })
}
