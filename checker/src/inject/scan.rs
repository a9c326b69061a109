//! One pass over a value that says which languages it can be written in at all: the kinds of bytes in it, and words that stand in few others.

use super::{object_word, scan_table::Table, store_word};

/// Kinds of bytes.
pub(super) mod bytes {
    pub(in super::super) const QUOTE: u32 = 1;
    pub(in super::super) const LESS: u32 = 1 << 1;
    pub(in super::super) const AMPERSAND: u32 = 1 << 2;
    pub(in super::super) const SEMICOLON: u32 = 1 << 3;
    pub(in super::super) const PIPE: u32 = 1 << 4;
    pub(in super::super) const DOLLAR: u32 = 1 << 5;
    pub(in super::super) const BACKSLASH: u32 = 1 << 6;
    pub(in super::super) const SLASH: u32 = 1 << 7;
    pub(in super::super) const PAREN: u32 = 1 << 8;
    pub(in super::super) const EQUALS: u32 = 1 << 9;
    pub(in super::super) const HASH: u32 = 1 << 10;
    pub(in super::super) const BRACE: u32 = 1 << 11;
    pub(in super::super) const BACKTICK: u32 = 1 << 12;
    pub(in super::super) const STAR: u32 = 1 << 13;
    pub(in super::super) const COLON: u32 = 1 << 14;
    pub(in super::super) const CONTROL: u32 = 1 << 15;
    pub(in super::super) const SPACE: u32 = 1 << 16;
    pub(in super::super) const HIGH: u32 = 1 << 17;
    pub(in super::super) const OTHER: u32 = 1 << 18;
    pub(in super::super) const GREATER: u32 = 1 << 19;
    pub(in super::super) const DOT: u32 = 1 << 20;
    pub(in super::super) const BRACKET: u32 = 1 << 21;
    pub(in super::super) const AT: u32 = 1 << 22;
    pub(in super::super) const PERCENT: u32 = 1 << 23;
    pub(in super::super) const PLUS: u32 = 1 << 24;
}

const KINDS: [u32; 256] = kinds();

const fn kinds() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => 0,
            b'\'' | b'"' => bytes::QUOTE,
            b'<' => bytes::LESS,
            b'>' => bytes::GREATER,
            b'&' => bytes::AMPERSAND,
            b';' => bytes::SEMICOLON,
            b'|' => bytes::PIPE,
            b'$' => bytes::DOLLAR,
            b'\\' => bytes::BACKSLASH,
            b'/' => bytes::SLASH,
            b'(' | b')' => bytes::PAREN,
            b'=' => bytes::EQUALS,
            b'#' => bytes::HASH,
            b'{' | b'}' => bytes::BRACE,
            b'[' | b']' => bytes::BRACKET,
            b'`' => bytes::BACKTICK,
            b'*' => bytes::STAR,
            b':' => bytes::COLON,
            b'.' => bytes::DOT,
            b'@' => bytes::AT,
            b'%' => bytes::PERCENT,
            b'+' => bytes::PLUS,
            b' ' | b'\t' => bytes::SPACE,
            0..b' ' | 0x7f => bytes::CONTROL,
            0x80.. => bytes::HIGH,
            _ => bytes::OTHER,
        };
        byte += 1;
    }
    table
}

/// Groups of words.
pub(super) mod words {
    pub(in super::super) const SQL: u32 = 1;
    pub(in super::super) const FILE: u32 = 1 << 1;
    pub(in super::super) const SCRIPT: u32 = 1 << 2;
    pub(in super::super) const MARKUP: u32 = 1 << 3;
    pub(in super::super) const TEMPLATE: u32 = 1 << 4;
    pub(in super::super) const CODE: u32 = 1 << 5;
    pub(in super::super) const REMOTE: u32 = 1 << 6;
    pub(in super::super) const DOCUMENT: u32 = 1 << 7;
    pub(in super::super) const HEADER: u32 = 1 << 8;
    pub(in super::super) const OBJECT: u32 = 1 << 9;
    /// Names of gadgets and tags that make objects, which stand in no other text.
    pub(in super::super) const GADGET: u32 = 1 << 10;
    /// Entries that name a class.
    pub(in super::super) const TYPED: u32 = 1 << 11;
    pub(in super::super) const PROTOTYPE: u32 = 1 << 12;
    /// Of command lines as a whole. No judge asks for it: it only makes the value worth a look.
    pub(in super::super) const COMMAND: u32 = 1 << 13;
    /// Of stores other than SQL's and their languages.
    pub(in super::super) const STORE: u32 = 1 << 14;
    /// Of what such a store keeps about itself, and of functions that only its conditions have.
    pub(in super::super) const CATALOGUE: u32 = 1 << 15;
    /// A colon and a slash, as drives and URLs have them.
    pub(in super::super) const ROOT: u32 = 1 << 16;
}

/// Words, in lower case, and the groups they make worth a look. Those of serialised objects and of stores are in their own files.
const WORDS: &[(&str, u32)] = &[
    ("union", words::SQL),
    ("select", words::SQL),
    ("waitfor", words::SQL),
    ("having", words::SQL),
    ("order by", words::SQL),
    ("order\t", words::SQL),
    ("order\n", words::SQL),
    ("order\r", words::SQL),
    ("order/", words::SQL),
    ("order  ", words::SQL),
    ("order+", words::SQL),
    ("procedure", words::SQL),
    ("exec", words::SQL),
    ("shutdown", words::SQL),
    (" not like", words::SQL),
    ("sounds like", words::SQL),
    ("rlike", words::SQL),
    ("regexp", words::SQL),
    ("declare", words::SQL),
    ("--", words::SQL),
    ("@@", words::SQL),
    ("not null", words::SQL),
    ("is null", words::SQL),
    ("or ~", words::SQL),
    ("or @", words::SQL),
    ("or true", words::SQL),
    ("and true", words::SQL),
    ("between 0", words::SQL),
    ("between 1", words::SQL),
    ("tion_sch", words::SQL),
    ("1.e.", words::SQL),
    ("..", words::FILE),
    ("/etc", words::FILE),
    ("etc/", words::FILE),
    ("etc\\", words::FILE),
    ("passwd", words::FILE),
    ("/proc/", words::FILE),
    ("/var/", words::FILE),
    ("/usr/", words::FILE),
    ("/home/", words::FILE),
    ("/root/", words::FILE),
    (".ini", words::FILE),
    (".htaccess", words::FILE),
    ("web-inf", words::FILE),
    ("win.", words::FILE),
    ("windows", words::FILE),
    ("winnt", words::FILE),
    ("boot.", words::FILE),
    (":\\", words::FILE),
    (":/", words::ROOT | words::REMOTE),
    ("file:", words::FILE | words::REMOTE),
    (".\\", words::FILE),
    ("./", words::FILE),
    ("/.", words::FILE),
    ("\\.", words::FILE),
    ("0x2f", words::FILE),
    ("0x2e", words::FILE),
    ("127.0.0.1", words::REMOTE),
    ("0x5c", words::FILE),
    (".log", words::FILE),
    (".conf", words::FILE),
    (".ssh", words::FILE),
    (".env", words::FILE),
    (".git", words::FILE),
    ("drivers", words::FILE),
    ("etc%", words::FILE),
    ("etc0x", words::FILE),
    ("script", words::SCRIPT),
    ("alert", words::SCRIPT),
    ("prompt", words::SCRIPT),
    ("confirm", words::SCRIPT),
    ("document", words::SCRIPT),
    ("eval", words::SCRIPT | words::CODE),
    ("fromcharcode", words::SCRIPT),
    ("cookie", words::SCRIPT),
    ("constructor", words::SCRIPT | words::PROTOTYPE | words::TEMPLATE),
    ("location", words::SCRIPT),
    ("settimeout", words::SCRIPT),
    ("xmlhttprequest", words::SCRIPT),
    ("serviceworker", words::SCRIPT),
    ("onerror", words::SCRIPT),
    ("expression", words::SCRIPT),
    ("-moz-binding", words::SCRIPT),
    ("components.", words::SCRIPT),
    ("activex", words::SCRIPT),
    (".call`", words::SCRIPT),
    ("data:", words::SCRIPT | words::REMOTE),
    ("function", words::SCRIPT | words::CODE | words::DOCUMENT),
    // `http-equiv`, and `script` letter by letter.
    ("tp-eq", words::SCRIPT),
    ("i p t", words::SCRIPT),
    ("<!--#", words::MARKUP),
    ("<!entity", words::MARKUP),
    ("<!doctype", words::MARKUP),
    ("<?xml", words::MARKUP),
    ("<![cdata", words::MARKUP),
    ("xinclude", words::MARKUP),
    ("<xsl:", words::MARKUP),
    ("{{", words::TEMPLATE),
    ("%{", words::TEMPLATE),
    ("${", words::TEMPLATE),
    ("#{", words::TEMPLATE),
    ("<%", words::TEMPLATE),
    ("{%", words::TEMPLATE),
    ("*{", words::TEMPLATE),
    ("@{", words::TEMPLATE),
    ("@(", words::TEMPLATE),
    ("~{", words::TEMPLATE),
    ("[=", words::TEMPLATE),
    ("@system.", words::TEMPLATE),
    ("@using", words::TEMPLATE),
    ("#evaluate(", words::TEMPLATE),
    ("{php", words::TEMPLATE),
    ("@php", words::TEMPLATE),
    ("[#assign", words::TEMPLATE),
    ("$class.inspect", words::TEMPLATE),
    ("mainmodule", words::TEMPLATE | words::CODE),
    ("{self::", words::TEMPLATE),
    ("{fetch", words::TEMPLATE),
    ("{smarty_", words::TEMPLATE),
    ("#set", words::TEMPLATE),
    ("[[", words::TEMPLATE),
    ("{$", words::TEMPLATE),
    ("<#", words::TEMPLATE),
    ("<?", words::CODE | words::MARKUP),
    ("system", words::CODE),
    ("phpinfo", words::CODE),
    ("assert", words::CODE),
    ("base64_", words::CODE),
    ("php://", words::CODE | words::REMOTE),
    ("passthru", words::CODE),
    ("shell_exec", words::CODE),
    ("popen", words::CODE),
    ("$_", words::CODE),
    ("require", words::CODE),
    ("include", words::CODE),
    ("process", words::CODE),
    ("__import__", words::CODE),
    ("globals", words::CODE),
    ("open(", words::CODE),
    ("exec(", words::CODE),
    ("print", words::CODE),
    ("java", words::CODE),
    ("getruntime", words::CODE),
    ("__proto__", words::PROTOTYPE),
    ("prototype", words::PROTOTYPE),
    ("classloader", words::PROTOTYPE),
    ("__globals__", words::PROTOTYPE),
    ("__lookup", words::PROTOTYPE),
    ("__define", words::PROTOTYPE),
    ("__class__", words::PROTOTYPE),
    ("localhost", words::REMOTE),
    ("//instance-data", words::REMOTE),
    ("unix:", words::REMOTE),
    ("//169.", words::REMOTE),
    ("http:", words::REMOTE),
    ("169.254", words::REMOTE),
    ("metadata", words::REMOTE),
    ("gopher", words::REMOTE),
    ("dict:", words::REMOTE),
    ("\\r", words::HEADER),
    ("\\n", words::HEADER),
    ("http/", words::HEADER),
    ("\u{560a}", words::HEADER),
    ("\u{560d}", words::HEADER),
    ("\u{10d}\u{10a}", words::HEADER),
    ("\u{2028}", words::HEADER),
    ("queuedirectory", words::HEADER),
    (" -oq", words::HEADER),
    ("${run{", words::HEADER),
    ("${read", words::HEADER),
    ("${perl{", words::HEADER),
    ("?q?", words::HEADER),
    ("xsl:", words::MARKUP),
    ("powershell", words::COMMAND),
    ("pwsh", words::COMMAND),
    ("schtasks", words::COMMAND),
    ("busybox", words::COMMAND),
    (" nc ", words::COMMAND),
    ("nc -", words::COMMAND),
    ("sh -c", words::COMMAND),
    ("%comspec", words::COMMAND),
    ("cmd /", words::COMMAND),
    ("cmd.exe", words::COMMAND),
    ("certutil", words::COMMAND),
    ("mshta", words::COMMAND),
    ("regsvr32", words::COMMAND),
    ("bitsadmin", words::COMMAND),
    ("rundll32", words::COMMAND),
    ("wmic", words::COMMAND),
    ("vssadmin", words::COMMAND),
    ("net user", words::COMMAND),
    ("net localgroup", words::COMMAND),
    ("start-process", words::COMMAND),
    ("get-content", words::COMMAND),
    (" exist ", words::COMMAND),
    (" defined ", words::COMMAND),
    ("errorlevel", words::COMMAND),
    (" equ ", words::COMMAND),
    (" neq ", words::COMMAND),
    (" leq ", words::COMMAND),
    (" geq ", words::COMMAND),
    (" gtr ", words::COMMAND),
    (" lss ", words::COMMAND),
    (" in (", words::COMMAND),
    ("xterm -", words::COMMAND),
    ("socat", words::COMMAND),
    ("telnet", words::COMMAND),
    ("ping -", words::COMMAND),
    ("proxycommand", words::COMMAND),
    ("--checkpoint", words::COMMAND),
    ("wget ", words::COMMAND),
    ("curl ", words::COMMAND),
    ("bin/", words::COMMAND),
    ("python", words::COMMAND),
    ("perl ", words::COMMAND),
    ("ruby -", words::COMMAND),
    ("ifconfig", words::COMMAND),
    ("net view", words::COMMAND),
    ("uname", words::COMMAND),
    ("whoami", words::COMMAND),
    ("/dev/", words::COMMAND),
];

/// All words, those of serialised objects and of stores too.
pub(super) fn all_words() -> impl Iterator<Item = &'static (&'static str, u32)> {
    WORDS.iter().chain(object_word::WORDS).chain(store_word::WORDS)
}

/// What a value has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scan {
    bytes: u32,
    words: u32,
}

impl Scan {
    /// Of the bytes alone, as if there were no words.
    #[cfg(test)]
    pub(super) fn of_bytes(text: &[u8]) -> Self {
        Self { bytes: text.iter().fold(0, |kinds, &byte| kinds | KINDS[usize::from(byte)]), words: 0 }
    }

    /// Whether it has a byte of these kinds.
    pub(super) const fn byte(self, kinds: u32) -> bool {
        self.bytes & kinds != 0
    }

    /// Whether it has a word of these groups.
    pub(super) const fn word(self, groups: u32) -> bool {
        self.words & groups != 0
    }

    /// Nothing but letters, digits, hyphens, dots and spaces, and no word of any group.
    pub(super) const fn plain(self) -> bool {
        self.words == 0
            && self.bytes
                & !(bytes::SPACE
                    | bytes::HIGH
                    | bytes::OTHER
                    | bytes::PERCENT
                    | bytes::PLUS
                    | bytes::DOT
                    | bytes::COLON
                    | bytes::SLASH
                    | bytes::AT)
                == 0
    }
}

/// Finds words and kinds of bytes.
pub(super) struct Scanner {
    words: Option<Table>,
}

impl Scanner {
    pub(super) fn new() -> Self {
        // A few hundred fixed words always fit; did they not, every value would be looked at by every judge.
        Self { words: Table::new() }
    }

    /// Goes over the bytes once.
    pub(super) fn scan(&self, text: &[u8]) -> Scan {
        let Some(words) = &self.words else { return Scan { bytes: u32::MAX, words: u32::MAX } };
        let (mut bytes, mut groups, mut row) = (0, 0, Table::START);
        for &byte in text {
            bytes |= KINDS[usize::from(byte)];
            row = words.next(row, byte);
            groups |= words.groups(row);
        }
        Scan { bytes, words: groups }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_values_are_plain_and_those_with_marks_are_not() {
        let scanner = Scanner::new();
        assert!(scanner.words.is_some());
        for plain in [
            "",
            "Anna-Maria van der Berg",
            "2024-05-01T12:00:00Z",
            "a@example.com",
            "50%",
            "Zürich, 3rd floor",
        ] {
            assert!(scanner.scan(plain.as_bytes()).plain(), "{plain:?}");
        }
        for marked in ["1 UNION 2", "a'b", "../x", "__proto__", "<b>", "a;b", "1=1", "localhost"] {
            assert!(!scanner.scan(marked.as_bytes()).plain(), "{marked:?}");
        }
    }
}
