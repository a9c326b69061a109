//! Paths: out of the folder that a name is put behind, or to files that are the same everywhere.

use super::{Best, Class, Kind, Text, contains, places, scan::bytes, scan::words};

fn add(best: &mut Best, rule: &'static str, score: u16) {
    best.add(Class::Traversal, rule, score);
}

/// What is asked for once a way out is found: files that systems have in the same place.
const TARGETS: [&[u8]; 27] = [
    b"etc/passwd",
    b"etc/shadow",
    b"etc/group",
    b"etc/hosts",
    b"etc/issue",
    b"etc/motd",
    b"proc/self/",
    b"boot.ini",
    b"win.ini",
    b"system.ini",
    b"windows/system32",
    b"windows/repair",
    b"winnt/",
    b"web-inf/",
    b".ssh/id_",
    b".bash_history",
    b"global.asa",
    b"etc/apache",
    b"etc/php",
    b"etc/mysql",
    b"proc/version",
    b"autoexec.bat",
    b"php.ini",
    b"httpd.conf",
    b"my.cnf",
    b".htpasswd",
    b".htaccess",
];

/// Files that only a server's own programs read.
const SECRETS: [&[u8]; 28] = [
    b"/etc/passwd",
    b"/etc/shadow",
    b"/etc/group",
    b"/etc/master.passwd",
    b"/etc/security/",
    b"/proc/self/environ",
    b"/proc/self/cmdline",
    b"/proc/self/fd/",
    b"/proc/self/maps",
    b"/proc/self/stat",
    b"/proc/self/cwd",
    b"/proc/self/root",
    b"/boot.ini",
    b"/win.ini",
    b"/web-inf/web.xml",
    b"access.log",
    b"access_log",
    b"error.log",
    b"error_log",
    b"/php.ini",
    b"/my.cnf",
    b"/my.ini",
    b"/httpd.conf",
    b"/.htpasswd",
    b"/windows/repair/sam",
    b"/config/sam",
    b"/id_rsa",
    b"/.bash_history",
];

pub(super) fn judge(text: &Text<'_>, best: &mut Best) {
    let nul = text.scan.byte(bytes::CONTROL) && text.lower.contains(&0);
    // A pattern that is anchored at both ends is no path: `^.*\\..*\\..*$`.
    let trimmed = text.lower.trim_ascii();
    // Of a URL, only what is named in it can be a file's.
    let url = text.lower.starts_with(b"http") && !text.scan.byte(bytes::PERCENT);
    let marked = text.scan.word(words::FILE) || text.scan.word(words::ROOT) && !url || nul;
    if !marked || trimmed.starts_with(b"^") && trimmed.ends_with(b"$") {
        return;
    }
    let path = canonical(text.lower);
    let ways = Ways::read(&path, text.lower);
    let spaced = text.lower.iter().any(|byte| matches!(byte, b' ' | b'\n' | b'"' | b'\'' | b'<' | b'('));
    let target = (ways.up > 0 || ways.here > 0) && TARGETS.iter().any(|target| contains(&path, target));
    if ways.up > 0 && target {
        add(best, "path-target", if spaced && path.len() > 512 { 50 } else { 95 });
        return;
    }
    whole(text, &path, spaced, best);
    if !spaced && disguised(text.lower) {
        add(best, "path-disguised", 75);
    }
    if best.certain() {
        return;
    }
    if ways.up == 0 {
        if ways.here >= 4 || (ways.here >= 1 && target && !spaced) {
            add(best, "path-dots", 65);
        }
        return;
    }
    let mut score = match (ways.longest, spaced) {
        (6.., false) => 75,
        (3.., false) => 65,
        (3.., true) => 40,
        (2, false) => 50,
        (2, true) => 20,
        (_, false) => 35,
        (_, true) => 10,
    };
    let most = if is_source(text.lower) { 10 } else { 6 };
    if ordinary(text.lower, &ways) && ways.longest < most {
        score = score.min(45);
    }
    if !spaced || ways.longest > 1 {
        score += 40 * u16::from(text.layer > 0 && !spaced)
            + 30 * u16::from(ways.odd)
            + 20 * u16::from(ways.rooted);
        score += 40 * u16::from(matches!(text.kind, Kind::Path | Kind::FileName));
    }
    if text.lower.contains(&0) {
        score += 40;
    }
    add(best, "path-up", score.min(95));
}

/// A relative path as programs and pages have it among their own files: forward slashes, nothing encoded, and a file of theirs at its end.
fn ordinary(text: &[u8], ways: &Ways) -> bool {
    let names = text.split(|byte| *byte == b'/').filter(|name| !name.iter().all(|byte| *byte == b'.'));
    let plain = |name: &&[u8]| {
        name.iter()
            .all(|byte| super::is_word(*byte) || matches!(byte, b'.' | b'-' | b'@' | b'#' | b'?' | b'='))
    };
    let (mut count, mut all) = (0, true);
    for name in names {
        let system = count == 0
            && matches!(
                name,
                b"etc"
                    | b"var"
                    | b"usr"
                    | b"proc"
                    | b"home"
                    | b"root"
                    | b"windows"
                    | b"winnt"
                    | b"boot"
                    | b"tmp"
                    | b"opt"
                    | b"apache"
            );
        all &= plain(&name) && !system;
        count += 1;
    }
    !ways.odd && !ways.rooted && all && count > 0
}

/// Whether a path ends in a file of source code, which a module names however deep it stands itself.
fn is_source(text: &[u8]) -> bool {
    let extension = text.rsplit(|byte| matches!(byte, b'.' | b'/')).next().unwrap_or_default();
    matches!(
        extension,
        b"js" | b"mjs" | b"cjs" | b"ts" | b"tsx" | b"jsx" | b"css" | b"scss" | b"less" | b"vue" | b"svelte"
    )
}

/// A value that is a path as a whole.
fn whole(text: &Text<'_>, path: &[u8], spaced: bool, best: &mut Best) {
    if spaced && !contains(path, b"program files") && !contains(path, b"documents and") {
        return;
    }
    let start = path.strip_prefix(b"file:").unwrap_or(path);
    let drive = start.get(1) == Some(&b':') && start.get(2) == Some(&b'/');
    let rooted = start.first() == Some(&b'/') || drive;
    let secret = rooted && SECRETS.iter().any(|file| contains(start, file));
    if secret {
        add(best, "path-secret", 70);
    }
    if (text.lower.contains(&0) || path.ends_with(b"%00"))
        && (rooted || path.contains(&b'.'))
        && path.contains(&b'/')
    {
        add(best, "path-nul", 75);
    }
    let bare = [
        &b"web-inf/"[..],
        b"boot.ini",
        b"/etc/passwd",
        b"etc/passwd",
        b"proc/self/environ",
        b"win.ini",
        b".htaccess",
        b".htpasswd",
        b"\\boot.ini",
    ];
    if bare
        .iter()
        .any(|file| start == *file || (start.len() < 64 && start.starts_with(file) && file.contains(&b'/')))
    {
        add(best, "path-secret", 62);
    }
    if path.starts_with(b"file:/") && (secret || TARGETS.iter().any(|target| contains(path, target))) {
        add(best, "path-file-url", 80);
    }
    if is_kept(start) && path.len() < 200 {
        add(best, "path-kept", 60);
    }
    // Globs that avoid the name: /etc/pas?wd, /???/??t
    if start.starts_with(b"/etc/")
        && start.iter().any(|byte| matches!(byte, b'?' | b'*' | b'['))
        && !contains(start, b".")
    {
        add(best, "path-glob", 60);
    }
}

/// Folders of servers that systems keep in one place: below them there is nothing that a page or a program of another's asks for.
const FOLDERS: [&[u8]; 15] = [
    b"/var/mail/",
    b"c:/windows/",
    b"c:/winnt/",
    b"c:/xampp/",
    b"/xampp/",
    b"c:/users/administrator",
    b"/opt/lampp/",
    b"/usr/local/apache",
    b"/usr/local/php",
    b"c:/inetpub/",
    b"c:/php",
    b"c:/apache",
    b"/apache",
    b"c:/system32",
    b"/root/.",
];
/// What of `/etc` says who may come in, which system this is, and how its servers are set up.
const SETTINGS: [&[u8]; 46] = [
    b"apache",
    b"httpd",
    b"nginx",
    b"lighttpd",
    b"php",
    b"mysql",
    b"my.cnf",
    b"ssh",
    b"samba",
    b"vsftpd",
    b"proftp",
    b"pure-ftpd",
    b"ftpd",
    b"ftpaccess",
    b"ftpchroot",
    b"wu-ftpd",
    b"chrootusers",
    b"muddleftpd",
    b"passwd",
    b"shadow",
    b"gshadow",
    b"group",
    b"hosts.",
    b"issue",
    b"motd",
    b"fstab",
    b"crontab",
    b"cron.",
    b"sudoers",
    b"redhat-release",
    b"debian_version",
    b"inetd.conf",
    b"exports",
    b"mtab",
    b"network/",
    b"networks",
    b"sysconfig/network",
    b"logrotate",
    b"snmp",
    b"openldap",
    b"ldap",
    b"postgresql",
    b"tomcat",
    b"squid",
    b"security/",
    b"webmin",
];

/// Logs that systems and their servers write.
const LOGS: [&[u8]; 19] = [
    b"access",
    b"auth",
    b"boot",
    b"btmp",
    b"cron",
    b"daemon",
    b"dmesg",
    b"error",
    b"exim",
    b"faillog",
    b"ftp",
    b"kern",
    b"lastlog",
    b"mail",
    b"messages",
    b"secure",
    b"syslog",
    b"wtmp",
    b"xferlog",
];

/// Whether a path is one of those that are the same on every system, and worth reading to who should not.
fn is_kept(path: &[u8]) -> bool {
    if FOLDERS.iter().any(|folder| path.starts_with(folder)) {
        return true;
    }
    let below = |folder: &[u8]| path.strip_prefix(folder);
    let etc = below(b"/etc/").or_else(|| below(b"/usr/local/etc/"));
    if let Some(name) = etc {
        // A folder alone, where setup programs look and write, shows nothing.
        let folder = name.strip_suffix(b"/").unwrap_or(name);
        if !folder.contains(&b'/')
            && (folder.ends_with(b".d")
                || matches!(folder, b"nginx" | b"apache2" | b"httpd" | b"ssh" | b"ssl" | b"mysql" | b"php"))
        {
            return false;
        }
        return SETTINGS.iter().any(|known| name.starts_with(known));
    }
    if let Some(name) = below(b"/proc/") {
        let process = name.iter().take_while(|byte| byte.is_ascii_digit()).count();
        return process > 0
            || [
                &b"version"[..],
                b"cmdline",
                b"net/",
                b"mounts",
                b"cpuinfo",
                b"sched_debug",
                b"devices",
                b"config",
            ]
            .iter()
            .any(|known| name == *known || name.starts_with(known) && known.ends_with(b"/"));
    }
    if let Some(name) = below(b"/var/log/") {
        return SETTINGS.iter().any(|known| name.starts_with(known))
            || LOGS.iter().any(|known| name.starts_with(known));
    }
    ["/var/spool/", "/var/run/", "/var/lib/"].iter().filter_map(|folder| below(folder.as_bytes())).any(
        |name| {
            [
                &b"cron"[..],
                b"mail",
                b"utmp",
                b"secrets/",
                b"mlocate",
                b"php",
                b"mysql",
                b"pgsql",
                b"postgresql",
            ]
            .iter()
            .any(|known| name.starts_with(known))
        },
    )
}

/// A file that every system has, behind separators that no one reads as such, and something before it that is no name.
fn disguised(text: &[u8]) -> bool {
    let before = |at: usize| {
        let lead = &text[..at];
        [&b"%"[..], b"..", b".?", b"?.", b"??", b"0x", b"./", b".\\"]
            .iter()
            .any(|piece| contains(&lead[..lead.len().min(64)], piece))
    };
    let behind = |at: usize, names: &[&[u8]]| {
        names.iter().any(|name| contains(&text[at..text.len().min(at + 32)], name))
    };
    places(text, b"etc")
        .take(8)
        .any(|at| before(at) && behind(at, &[b"passwd", b"issue", b"shadow", b"hosts"]))
        || places(text, b"boot.ini").take(8).any(before)
        || places(text, b"windows").take(8).any(|at| before(at) && behind(at, &[b"system32", b"win.ini"]))
}

/// With one slash for each run of slashes and backslashes, however they are written.
fn canonical(text: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let rest = &text[at..];
        let (byte, length) = if rest.starts_with(b"0x2f") || rest.starts_with(b"0x5c") {
            (b'/', 4)
        } else if rest.starts_with(b"0x2e") {
            (b'.', 4)
        } else if byte == b'\\' {
            (b'/', 1)
        } else {
            (byte, 1)
        };
        if byte != b'/' || path.last() != Some(&b'/') {
            path.push(byte);
        }
        at += length;
    }
    path
}

/// The segments of a path that lead up, or nowhere.
#[derive(Default)]
struct Ways {
    up: usize,
    /// The longest run of segments that lead up.
    longest: usize,
    /// Segments that lead nowhere, in a run.
    here: usize,
    /// Written as no program writes it: backslashes and slashes mixed, three dots and more, `..;`.
    odd: bool,
    /// A segment that leads up from the root, or from a file.
    rooted: bool,
}

impl Ways {
    fn read(path: &[u8], text: &[u8]) -> Self {
        let mut ways = Self::default();
        let (mut run, mut here, mut start) = (0_usize, 0_usize, 0);
        for end in memchr::memchr_iter(b'/', path) {
            let segment = &path[start..end];
            let dots = segment.iter().rev().take_while(|byte| **byte == b'.').count();
            let junk =
                segment.iter().all(|byte| matches!(byte, b'.' | b';' | b' ' | b'%' | 0 | b'+' | b'?' | b'*'));
            // One ellipsis stands for what is left out.
            let ellipsis = matches!(segment, b"..." | b"....")
                && start > 1
                && ways.up == 0
                && !contains(&path[end..], b".../");
            if ellipsis {
                run = 0;
                here = 0;
            } else if junk && segment.iter().filter(|byte| **byte == b'.').count() >= 2
                || dots >= 2 && start == 0
                || dots == 2 && !junk && !segment.ends_with(b"...")
            {
                // `a..`/ is not a way up, but `=../` and `"../` are.
                let before = segment.len().checked_sub(dots + 1).map(|at| segment[at]);
                if before.is_none_or(|byte| !byte.is_ascii_alphanumeric()) {
                    run += 1;
                    ways.up += 1;
                    ways.odd |= segment.len() > 2 && junk;
                    ways.rooted |= start == 1 && before.is_none();
                } else {
                    run = 0;
                }
                here = 0;
            } else if segment == b"." {
                here += 1;
            } else {
                run = 0;
                here = 0;
            }
            ways.longest = ways.longest.max(run);
            ways.here = ways.here.max(here);
            start = end + 1;
        }
        let mixed = text.contains(&b'\\') && text.contains(&b'/');
        ways.odd |= ways.up > 0
            && (mixed
                || contains(text, b"..//")
                || contains(text, b"..\\\\")
                || contains(text, b"0x2f")
                || contains(text, b"0x5c")
                || contains(text, b"..\\"));
        ways
    }
}
