//! The categories that come with the checker. They find what is written plainly, by its syntax: they are for policies of APIs whose values have
//! no reason to contain it, and are off or observed where people write what they like; injection detection is for those.

use super::{Pattern, Where};

/// A category of patterns.
#[derive(Clone, Copy, Debug)]
pub struct Category {
    /// What policies call it.
    pub name: &'static str,
    /// What it finds, for people.
    pub description: &'static str,
    /// Whether it is for responses; else it is for requests.
    pub response: bool,
    /// Names and expressions. `{s}` in these is white space or comments of SQL, `{o}` the same or nothing.
    patterns: &'static [(&'static str, &'static str)],
}

const SPACE: &str = r"(?:[\s+]|/\*[\w!]*\*/)";

/// Every category.
pub const fn categories() -> &'static [Category] {
    CATEGORIES
}

/// The patterns of a category; `None` if there is none of that name.
pub fn shipped(category: &str) -> Option<Vec<Pattern>> {
    let category = CATEGORIES.iter().find(|known| known.name == category)?;
    let places = if category.response { vec![Where::Response] } else { Vec::new() };
    let pattern = |(name, expression): &(&str, &str)| Pattern {
        name: format!("{}/{name}", category.name),
        category: category.name.to_owned(),
        expression: expression.replace("{s}", &format!("{SPACE}+")).replace("{o}", &format!("{SPACE}*")),
        places: places.clone(),
    };
    Some(category.patterns.iter().map(pattern).collect())
}

const CATEGORIES: &[Category] = &[
    Category {
        name: "sql-injection",
        description: "A value that leaves a string or number of SQL and goes on in SQL.",
        response: false,
        patterns: &[
            (
                "tautology",
                r#"(?i)['")]{o}(?:or|and|xor|\|\||&&){o}\(*{o}(?:'\w*'?|"\w*"?|\d+|true|null){o}(?:[=<>]|like\b|in{o}\(|between\b|is{s})"#,
            ),
            (
                "numeric-tautology",
                r"(?i)^{o}-?\d+{o}(?:or|and|xor|\|\||&&){o}\(*{o}(?:'?\d+'?{o}[=<>]|true\b|not{s})",
            ),
            ("union-select", r"(?i)\bunion{s}(?:all{s}|distinct{s})?\(*{o}select\b"),
            (
                "schema",
                r"(?i)\bfrom{s}(?:information_schema|mysql|performance_schema|pg_catalog)\.[a-z]|\b(?:sysobjects|syscolumns|sqlite_master|all_tables|pg_shadow)\b",
            ),
            (
                "stacked",
                r"(?i);{o}(?:(?:drop|truncate|alter|create){s}(?:table|database|schema|view|user|procedure|index)\b|shutdown\b|exec(?:ute)?{s}[a-z(]|declare{s}@|insert{s}into\b|delete{s}from\b|update{s}\w+{s}set\b)",
            ),
            (
                "delay",
                r#"(?i)\b(?:pg_sleep|benchmark|dbms_pipe\.receive_message|dbms_lock\.sleep){o}\(|\bwaitfor{s}(?:delay|time){s}['"]|(?:\b(?:and|or|select|then){s}|[(,=|&]{o})sleep{o}\({o}\d"#,
            ),
            ("comment-out", r#"(?i)[\w)]['"]\)*{o}(?:;{o})?(?:--[\s+-]*$|#\s*$|/\*)"#),
            (
                "procedure",
                r"(?i)\b(?:xp_(?:cmdshell|dirtree|regread)|sp_(?:executesql|oacreate|password)\b|into{s}(?:out|dump)file{s}|(?:extractvalue|updatexml|load_file|group_concat){o}\()",
            ),
            ("order-by", r#"(?i)['")]{s}(?:order|group){s}by{s}\d+"#),
        ],
    },
    Category {
        name: "nosql-injection",
        description: "Operators of document stores where a value is expected.",
        response: false,
        patterns: &[
            (
                "operator",
                r#"(?:^|[\[{,."'\s])\$(?:where|ne|gte?|lte?|n?in|eq|regex|exists|expr|function|accumulator|elemMatch|not|n?or|and)(?:\]|["']?\s*:|$)"#,
            ),
            (
                "javascript",
                r"(?i)\bthis\.\w+\s*(?:[=!]==?|\.match\()|['\x22]\s*(?:\|\||&&)\s*['\x22]?\w*['\x22]?\s*={2,3}|\bdb\.\w+\.(?:find|insert|drop|remove|update)\w*\(",
            ),
        ],
    },
    Category {
        name: "server-side-include",
        description: "Directives that a web server carries out in what it serves.",
        response: false,
        patterns: &[
            ("directive", r"(?i)<!--#\s*(?:include|exec|echo|config|printenv|set|if|elif|fsize|flastmod)\b"),
            ("edge", r"(?i)<(?:esi:(?:include|inline|vars|remove)|!--esi)[\s>/]"),
        ],
    },
    Category {
        name: "xpath-abbreviated",
        description: "XPath in its short form.",
        response: false,
        patterns: &[
            ("path", r#"(?:^|[\s'"(|\[=,])//(?:\*|@\*|[A-Za-z_][\w.:-]*(?:\[|/@|/text\())"#),
            (
                "attribute",
                r#"(?:^|[\s'"(|\[=,/])(?:\*|\.\.?|[A-Za-z_][\w.-]*)\[\s*(?:@[\w:-]+|position\(\)|last\(\)|text\(\)|not\()\s*[\]=<>!']"#,
            ),
            (
                "predicate",
                r#"(?i)['"]\s*\]?\s*(?:or|and|\|)\s+(?:count|name|local-name|position|string-length|substring|text|contains|starts-with|doc|not)\s*\("#,
            ),
        ],
    },
    Category {
        name: "xpath-expanded",
        description: "XPath with its axes written out.",
        response: false,
        patterns: &[
            (
                "axis",
                r"(?:^|[^\w$\\:>])(?:ancestor(?:-or-self)?|descendant(?:-or-self)?|following(?:-sibling)?|preceding(?:-sibling)?)::(?:\*|[A-Za-z_])",
            ),
            (
                "node",
                r"(?:^|[^\w$\\:>])(?:attribute|child|namespace|parent|self)::(?:\*|(?:node|text|comment|processing-instruction)\()",
            ),
            ("step", r"/(?:attribute|child|namespace|parent|self)::[A-Za-z_]"),
        ],
    },
    Category {
        name: "script-tag",
        description: "Script in HTML: elements that run it, and links that are it.",
        response: false,
        patterns: &[
            ("script", r"(?i)<\s*/?\s*script[\s/>]|<\s*script\s*$"),
            ("element", r"(?i)<\s*(?:iframe|object|embed|applet|base|frame|frameset|portal)[\s/>]"),
            (
                "link",
                r#"(?i)\b(?:href|src|action|formaction|data|background|poster)\s*=\s*["']?\s*(?:java|vb|live)script:|^\s*(?:java|vb)script:\S|\bdata:\s*(?:text/html|image/svg\+xml)[;,]"#,
            ),
            ("style", r"(?i)\bstyle\s*=[^>]*(?:expression\s*\(|-moz-binding|behavior\s*:)"),
        ],
    },
    Category {
        name: "event-handler",
        description: "Attributes of HTML that run script.",
        response: false,
        patterns: &[
            ("attribute", r#"(?i)<[a-z][^>]*[\s/"'`]on[a-z]+\s*="#),
            (
                "break-out",
                r#"(?i)["']\s*/?\s*on(?:abort|begin|blur|change|click|copy|cut|drag\w*|error|focus\w*|hashchange|input|key\w+|load\w*|mouse\w+|paste|pointer\w+|resize|scroll\w*|select\w*|submit|toggle|touch\w+|unload|wheel)\s*="#,
            ),
        ],
    },
    Category {
        name: "ldap-injection",
        description: "A value that leaves a filter of LDAP and goes on in it.",
        response: false,
        patterns: &[
            ("break-out", r"\)\s*\(\s*[|&!]\s*\(|\*?\)\s*\(\s*[|&]?\(?[A-Za-z][\w;.-]*[~<>]?=\s*[^=\s]"),
            ("everything", r"^\s*\*\)|\(\s*objectclass\s*=\s*\*\s*\)?"),
        ],
    },
    Category {
        name: "command-injection",
        description: "A value that goes on as another command of a shell.",
        response: false,
        patterns: &[
            (
                "chained",
                r#"(?i)(?:[;|&`\n]|\$\()\s*(?:/(?:usr/)?(?:local/)?s?bin/)?(?:cat|ls|whoami|uname|wget|curl|ncat|nc|netcat|bash|zsh|python[23]?|perl|ruby|ping|nslookup|dig|ifconfig|ipconfig|netstat|rm|chmod|chown|sleep|mkfifo|telnet|tftp)(?:\s+[-/~$"'.<>]|\s+\w+[./:]|\s+\d+|\s*(?:[;|&`)#]|$)|\$\{?IFS|<)"#,
            ),
            (
                "identity",
                r"(?i)(?:;|&&|\|\||`|\$\()\s*(?:/usr/bin/)?(?:id|pwd|env|whoami|hostname|ps|set|dir|type)\s*(?:[;|&`)#]|$)",
            ),
            ("absolute", r"(?:[;|&`\n]|\$\()\s*/(?:usr/)?(?:local/)?s?bin/[a-z]"),
            ("device", r"/dev/(?:tcp|udp)/|\$\{?IFS\b|\b(?:ba|z|k)?sh\s+-[ci]\b"),
            (
                "windows",
                r"(?i)\bcmd(?:\.exe)?\s*/[ckr]\s?\w|\bpowershell(?:\.exe)?\s+-(?:e|enc|encodedcommand|c|command|nop|noprofile|w|windowstyle)\b|\bcertutil\s+-urlcache",
            ),
            ("function", r"\(\)\s*\{\s*:?\s*;?\s*\}\s*;"),
        ],
    },
    Category {
        name: "path-traversal",
        description: "A path that climbs, or names what no application serves.",
        response: false,
        patterns: &[
            (
                "climb",
                r"(?:\.\.[/\\]+)(?:\.\.[/\\]+)(?:\.\.[/\\]+)|(?:^|[/\\=])\.\.[/\\]+(?:\.\.[/\\]+)?(?:etc|proc|windows|winnt|boot|root|var/(?:log|www)|usr)\b",
            ),
            (
                "encoded",
                r"(?i)%(?:25)*2e(?:%(?:25)*2e|\.)(?:%(?:25)*(?:2f|5c)|[/\\])|\.(?:%(?:25)*2e)(?:%(?:25)*(?:2f|5c)|[/\\])|\.\.%(?:(?:25)*(?:2f|5c)|c0%af|c1%9c|u221[56])",
            ),
            ("variant", r"\.{4,}[/\\]{2}|\.\.;/|\.\.\x00"),
            (
                "file",
                r"(?i)/etc/(?:passwd|shadow|group|hosts|issue|sudoers|crontab)\b|/proc/(?:self|\d+)/(?:environ|cmdline|maps|fd)|\b[a-z]:[/\\]+(?:windows|winnt|boot\.ini)|\b(?:boot|win)\.ini\b|/\.(?:htaccess|htpasswd|git/config|ssh/|aws/credentials)|\bWEB-INF/",
            ),
        ],
    },
    Category {
        name: "php-code",
        description: "PHP, its wrappers and its serialised objects.",
        response: false,
        patterns: &[
            ("tag", r"(?i)<\?(?:php\b|=)"),
            ("variable", r"\$_(?:GET|POST|REQUEST|COOKIE|SERVER|FILES|SESSION|ENV)\s*[\[{]"),
            (
                "call",
                r#"(?i)\b(?:system|shell_exec|passthru|proc_open|popen|assert|eval|exec)\s*\(\s*(?:\$\w|base64_decode|gzinflate|str_rot13|chr\()|\b(?:phpinfo|php_uname|get_defined_vars)\s*\(\s*\)"#,
            ),
            (
                "wrapper",
                r"(?i)\b(?:php://(?:input|filter|memory|temp|stdin|fd)|phar://|expect://|compress\.(?:zlib|bzip2)://|ogg://)",
            ),
            ("object", r#"(?:^|[;{:])[OC]:\+?\d+:"[A-Za-z_\\]"#),
        ],
    },
    Category {
        name: "asp-code",
        description: "Code of ASP and of Windows Script.",
        response: false,
        patterns: &[
            (
                "tag",
                r"(?i)<%[@=]?\s*(?:page|import|include|response|server|execute|eval|request|runtime|dim|language)\b",
            ),
            (
                "object",
                r"(?i)\b(?:server\.createobject|response\.write|wscript\.shell|scripting\.filesystemobject|createobject\s*\()",
            ),
        ],
    },
    Category {
        name: "template-expression",
        description: "Expressions that a template engine evaluates.",
        response: false,
        patterns: &[
            ("arithmetic", r#"(?:\{\{|\$\{|#\{|\*\{|<%=|@\()\s*['"]?\d+['"]?\s*[*+]\s*['"]?\d"#),
            (
                "reflection",
                r"__(?:class|mro|subclasses|globals|builtins|import|init|base)__|(?i)\bT\(\s*java\.|\.getClass\(\)|\bfreemarker\.template\.utility|\bgetRuntime\(\)|java\.lang\.(?:Runtime|ProcessBuilder|Class)\b",
            ),
            (
                "object",
                r#"(?i)\{\{[^}]*\b(?:config\b|self\.|request\.|cycler\.|lipsum\.|_self\.|constructor\b)|\{\{[^}]*\|\s*(?:attr|map|filter|system|exec)\s*\("#,
            ),
            (
                "statement",
                r"(?i)\{%-?\s*(?:import|include|extends|for|if|set|debug)\b[^%]*%\}|<#(?:assign|list|include)\s",
            ),
        ],
    },
    Category {
        name: "lookup",
        description: "Look-ups that a logging library carries out (JNDI).",
        response: false,
        patterns: &[
            ("jndi", r"(?i)\$\{\s*jndi\s*:|\bjndi\s*:\s*(?:ldaps?|rmi|dns|iiop|corba|nis|nds|https?)\s*:"),
            ("nested", r"(?i)\$\{[^}]*\$\{\s*(?:lower|upper|env|sys|date|base64|::|[a-z]*:[^}]*:?-)"),
            (
                "source",
                r"(?i)\$\{\s*(?:env|sys|java|ctx|lower|upper|main|docker|k8s|spring|web|bundle|log4j|sd|map|marker)\s*:[^}\s]",
            ),
        ],
    },
    Category {
        name: "xml-entity",
        description: "Document types and entities of XML in a value.",
        response: false,
        patterns: &[
            ("declaration", r"<!ENTITY[\s%]|<!DOCTYPE[^>]*[\s\]](?:SYSTEM|PUBLIC|\[)|<!DOCTYPE[^>]*\["),
            ("inclusion", r"(?i)<xi:include[\s/>]|\bhttp://www\.w3\.org/(?:1999|2001)/XInclude\b"),
        ],
    },
    Category {
        name: "server-request",
        description: "Addresses that a server has no reason to be sent to.",
        response: false,
        patterns: &[
            ("scheme", r"(?i)^\s*(?:gopher|dict|file|ftp|ldaps?|tftp|jar|netdoc|sftp|smb)://"),
            (
                "internal",
                r"(?i)://(?:[^/?#@]*@)?(?:169\.254\.\d+\.\d+|metadata\.google\.internal|100\.100\.100\.200|0x7f[0-9a-f]{6}|2130706433|127\.\d+(?:\.\d+\.\d+)?|0|localhost|0\.0\.0\.0|\[::(?:1|ffff:[\d.:a-f]+)?\])(?:[:/?#]|$)",
            ),
        ],
    },
    Category {
        name: "header-injection",
        description: "Line ends with which a value goes on as another header, of mail or of a response.",
        response: false,
        patterns: &[
            (
                "mail",
                r"(?i)(?:\r|\n|%0[ad])\s*(?:b?cc|mime-version|content-transfer-encoding|reply-to)\s*:\s*\S",
            ),
            (
                "response",
                r"(?i)(?:\r|\n|%0[ad])\s*(?:set-cookie|location|content-length|content-type|transfer-encoding)\s*:|(?:\r|\n|%0[ad])HTTP/\d\.\d\s",
            ),
        ],
    },
    Category {
        name: "prototype-pollution",
        description: "Names that reach what all objects of JavaScript have.",
        response: false,
        patterns: &[(
            "prototype",
            r#"(?:^|[\[.{,"'\s])__proto__(?:$|[\].:"'\s])|\bconstructor["'\]]*\s*(?:\.|\[\s*["']?|:\s*\{\s*["']?)prototype\b"#,
        )],
    },
    Category {
        name: "exception-text",
        description: "What applications say when they fail: stack traces and messages of databases.",
        response: true,
        patterns: &[
            (
                "java",
                r#"\bException in thread "|(?:[a-z][\w$]*\.)+[A-Z]\w*(?:Exception|Error)(?::\s|\r?\n\s+at\s)|\bat\s+[\w$.<>]+\([\w$]+\.java:\d+\)|\bCaused by: (?:[a-z][\w$]*\.)+[A-Z]"#,
            ),
            ("python", r#"Traceback \(most recent call last\):|\bFile "[^"]+\.py", line \d+, in "#),
            (
                "php",
                r"(?i)\b(?:fatal error|warning|parse error|notice)(?:</b>)?:\s[^\n]* in (?:<b>)?[^\s:]+\.php",
            ),
            (
                "dotnet",
                r"Server Error in '[^']*' Application|\bSystem\.(?:\w+\.)*\w+Exception: |\bat [\w.<>`]+\([^)]*\) in [^\n]+:line \d+",
            ),
            ("javascript", r"\bat [\w.<>$ \[\]]+ \((?:file://)?/[^)\s]+\.[cm]?[jt]s:\d+:\d+\)"),
            (
                "database",
                r"You have an error in your SQL syntax|\bORA-\d{5}: |\bSQLSTATE\[|PG::\w+Error|Unclosed quotation mark after the character string|\bSQLite3?::\w+Exception|\bERROR:\s+syntax error at or near",
            ),
        ],
    },
];

#[cfg(test)]
#[path = "shipped_tests.rs"]
mod tests;
