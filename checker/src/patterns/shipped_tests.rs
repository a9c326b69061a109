use super::*;
use crate::patterns::{At, Limits, Patterns};

/// A pattern's name, what it is to find, and what comes near and is not to be found by any pattern of its category.
type Case = (&'static str, &'static [&'static str], &'static [&'static str]);

const CASES: &[Case] = &[
    (
        "sql-injection/tautology",
        &["x' or '1'='1", "\") OR 1=1", "a'/**/or/**/1<2"],
        &["O'Brien or O'Neil", "it's this 'or' that", "(2) or 3 of them"],
    ),
    (
        "sql-injection/numeric-tautology",
        &["1 or 1=1", "-1 AND not 2", "7||'1'='1'"],
        &["1 or 2", "3 and 4 are 7", "12 or truest"],
    ),
    (
        "sql-injection/union-select",
        &["1 union select 2", "1 UNION/**/ALL/**/SELECT(2)", "union+select"],
        &["a union selects", "the union will select", "union selection"],
    ),
    (
        "sql-injection/schema",
        &["x from information_schema.tables", "sqlite_master"],
        &["from mysql to postgres", "an information schema"],
    ),
    (
        "sql-injection/stacked",
        &["1; drop table users", "1;exec xp", "; update a set b=1"],
        &["wait; drop it", "then; update me", "drop table legs"],
    ),
    (
        "sql-injection/delay",
        &["1 and sleep(5)", "pg_sleep (1)", "waitfor delay '0:0:5'"],
        &["time.sleep(5)", "sleep (at night)", "wait for delay"],
    ),
    (
        "sql-injection/comment-out",
        &["admin'--", "admin\") #", "a'/*"],
        &["it's -- well", "'quoted' -- and more", "don't#3"],
    ),
    (
        "sql-injection/procedure",
        &["exec xp_cmdshell 'dir'", "into outfile '/tmp/a'", "load_file('a')"],
        &["into the outfile", "load file (a)", "sp_executes"],
    ),
    ("sql-injection/order-by", &["1' order by 10", "\") GROUP BY 1"], &["'order by phone'", "order by 10"]),
    (
        "nosql-injection/operator",
        &["$ne", "[$gt]", "{\"$where\": 1}", "a[$regex]"],
        &["$need", "costs $in total", "US$ne"],
    ),
    (
        "nosql-injection/javascript",
        &["this.password == 1", "' || 'a'=='a", "db.users.drop()"],
        &["this.is fine", "db.users", "a || b"],
    ),
    (
        "server-side-include/directive",
        &["<!--#exec cmd=\"ls\"-->", "<!--# ECHO var=a -->"],
        &["<!-- #1 -->", "<!--#including-->", "<!-- exec -->"],
    ),
    (
        "server-side-include/edge",
        &["<esi:include src=a/>", "<!--esi <a/>-->"],
        &["esi:include", "<!-- esi -->"],
    ),
    (
        "xpath-abbreviated/path",
        &["//*", "//user[1]", "' | //a/@b"],
        &["https://a.example/b[1]", "// a comment", "a//b"],
    ),
    (
        "xpath-abbreviated/attribute",
        &["user[@id='1']", "*[position()=1]", "a/b[last()]"],
        &["list[0]", "mail[at]example", "a[@]"],
    ),
    ("xpath-abbreviated/predicate", &["' or count(/*)", "'] | name("], &["'a' or 'b'", "' and so (on)"]),
    (
        "xpath-expanded/axis",
        &["ancestor-or-self::node()", "/descendant::user"],
        &["my::descendants::x", "an ancestor: me"],
    ),
    (
        "xpath-expanded/node",
        &["child::*", "(parent::node())"],
        &["parent::__construct()", "self::TEXT", "tokio::child::*"],
    ),
    ("xpath-expanded/step", &["/child::user"], &["child::user", "/child: user"]),
    (
        "script-tag/script",
        &["<script>", "</ScRiPt >", "< script src=a", "<script/x"],
        &["<scripture>", "script>", "a <scripts> b"],
    ),
    ("script-tag/element", &["<iframe src=a>", "<OBJECT/data=a>"], &["<objective>", "iframe", "<em bed>"]),
    (
        "script-tag/link",
        &["<a href='javascript:x'>", " javascript:alert(1)", "data:text/html,x"],
        &["JavaScript: the good parts", "about javascript:x", "data: text"],
    ),
    (
        "script-tag/style",
        &["<p style=\"width: expression(1)\">"],
        &["style: an expression (of love)", "<p style=\"width:1px\">"],
    ),
    (
        "event-handler/attribute",
        &["<img src=x onerror=a>", "<svg/ONLOAD = a>"],
        &["<b>on=1</b>", "<p class=on>", "a < b on=c"],
    ),
    ("event-handler/break-out", &["\" onfocus=a", "'/onmouseover ="], &["\"online\"=1", "'on sale' ="]),
    (
        "ldap-injection/break-out",
        &["*)(uid=*", "a)(|(b=c", "x)(&(y)"],
        &["(a*)(b)", "f(x)(y)", "(a)(b == c)"],
    ),
    ("ldap-injection/everything", &["*)", "(objectclass=*)"], &["a *) b", "objectclass"]),
    (
        "command-injection/chained",
        &["a; cat /etc/issue", "$(curl a.example)", "x | nc -l", "`whoami`", "a\nls"],
        &["dogs; cats", "a & bash it", "this; ls of lists"],
    ),
    (
        "command-injection/identity",
        &["a; id", "&& pwd;", "`id`"],
        &["the id; idea", "| id | name |", "a; identity"],
    ),
    ("command-injection/absolute", &["a;/bin/ls", "$(/usr/bin/x"], &["a /bin/ls", "a; /binary"]),
    (
        "command-injection/device",
        &["/dev/tcp/192.0.2.1/1", "cat${IFS}a", "sh -c a"],
        &["/dev/tcpdump", "fresh -c", "dash -i"],
    ),
    (
        "command-injection/windows",
        &["cmd.exe /c dir", "powershell -enc AAAA", "certutil -urlcache"],
        &["cmd / ctrl", "powershell is -", "the cmd"],
    ),
    ("command-injection/function", &["() { :;}; echo"], &["f() { return; }", "() {}"]),
    (
        "path-traversal/climb",
        &["../../../a", "..\\..\\..\\a", "../etc/x", "a=../../windows"],
        &["../../lib/a.js", "a...b/../c", "../etcetera"],
    ),
    (
        "path-traversal/encoded",
        &["%2e%2e/", "..%2f", "%252e%252e%252f", "..%c0%af"],
        &["%2e", "100%25", "a.%20./"],
    ),
    ("path-traversal/variant", &["....//", "..;/"], &["...", "..; then", "wait....\\"]),
    (
        "path-traversal/file",
        &["/etc/passwd", "C:\\Windows\\a", "/proc/self/environ", "/.git/config"],
        &["/etc/passwords", "c:\\users", "/git/config"],
    ),
    ("php-code/tag", &["<?php a", "<?= 1"], &["<?xml ?>", "<?phpx"]),
    ("php-code/variable", &["$_GET['a']", "$_SERVER {x"], &["$_GETS", "$_GET"]),
    (
        "php-code/call",
        &["system($a", "eval(base64_decode(", "phpinfo()"],
        &["the system (see", "exec(a)", "eval('x')"],
    ),
    ("php-code/wrapper", &["php://input", "phar://a"], &["php: //", "https://php.example"]),
    ("php-code/object", &["O:8:\"stdClass\":0:{}", "a:1:{i:0;O:1:\"A\""], &["O:8", "INFO:1:\"a\"", "a:1:{}"]),
    ("asp-code/tag", &["<%@ page import=a %>", "<% Response.Write"], &["<% of people", "<%= name %>"]),
    ("asp-code/object", &["Server.CreateObject", "wscript.shell"], &["response writes", "create object"]),
    (
        "template-expression/arithmetic",
        &["{{7*7}}", "${ 7*7 }", "<%= 7 * '7' %>", "#{1+1"],
        &["{{ name }}", "${7}", "{7*7}"],
    ),
    (
        "template-expression/reflection",
        &["''.__class__.__mro__", "T(java.lang", "x.getClass()"],
        &["__main__", "class", "java.util.List"],
    ),
    (
        "template-expression/object",
        &["{{config}}", "{{ a|attr('b') }}", "{{constructor"],
        &["{{ configure }}", "{{ user.name|upper }}", "config"],
    ),
    (
        "template-expression/statement",
        &["{% import a %}", "<#assign x=1>"],
        &["{% complete", "100% {", "<#tag>"],
    ),
    (
        "lookup/jndi",
        &["${jndi:ldap://a", "${ JNDI :x", "jndi:rmi://"],
        &["${name}", "jndi", "about jndi: ldap"],
    ),
    ("lookup/nested", &["${${lower:j}ndi:x}", "${a${::-j}}", "${${env:X:-j}"], &["${a}${b}", "${${name}}"]),
    ("lookup/source", &["${env:HOME}", "${java:version}"], &["${env}", "$env:HOME", "${a:b}"]),
    (
        "xml-entity/declaration",
        &["<!ENTITY a 'b'>", "<!DOCTYPE a SYSTEM 'b'>", "<!DOCTYPE a ["],
        &["<!DOCTYPE html>", "an ENTITY"],
    ),
    ("xml-entity/inclusion", &["<xi:include href='a'/>"], &["xi:include", "<xi:includes>"]),
    (
        "server-request/scheme",
        &["gopher://a", " FILE:///a"],
        &["https://a.example", "profile://", "see file://a"],
    ),
    (
        "server-request/internal",
        &["http://169.254.169.254/", "http://a@localhost:80", "http://[::1]", "http://127.1/"],
        &["http://127.example/", "http://localhost.example/", "localhost", "http://0.example"],
    ),
    ("header-injection/mail", &["a\r\nBcc: b", "a%0acc:b"], &["a\nback: b", "cc: b", "a\nBcc:"]),
    (
        "header-injection/response",
        &["a\r\nSet-Cookie: b", "%0d%0aLocation: /", "\nHTTP/1.1 200"],
        &["a\nlocations: b", "location: b", "\nHTTP/2"],
    ),
    (
        "prototype-pollution/prototype",
        &["__proto__", "a[__proto__][b]", "constructor.prototype", "constructor[prototype]"],
        &["proto", "a__proto__b", "the constructor of prototypes"],
    ),
    (
        "exception-text/java",
        &["Exception in thread \"main\"", "java.lang.NullPointerException: x", "\tat a.B.c(B.java:1)"],
        &["An exception in the thread", "NullPointerException", "see B.java"],
    ),
    (
        "exception-text/python",
        &["Traceback (most recent call last):", "File \"/a/b.py\", line 1, in x"],
        &["Traceback", "File \"b.py\""],
    ),
    (
        "exception-text/php",
        &["Warning: a() in /x/y.php on line 1", "<b>Fatal error</b>: x in <b>/a.php"],
        &["Warning: hot", "notice: see a.php"],
    ),
    (
        "exception-text/dotnet",
        &[
            "Server Error in '/' Application",
            "System.IO.IOException: x",
            "at A.B(String c) in C:\\d.cs:line 1",
        ],
        &["Server Error", "System.IO.Stream"],
    ),
    ("exception-text/javascript", &["at f (/srv/a.js:1:2)"], &["at home (see a.js)", "at f (a.js:1:2)"]),
    (
        "exception-text/database",
        &["You have an error in your SQL syntax", "ORA-00933: x", "SQLSTATE[42000]"],
        &["an error in your syntax", "ORA-1", "SQLSTATE"],
    ),
];

#[test]
fn each_pattern_finds_what_it_is_for_and_its_category_nothing_that_comes_near() {
    let mut wrong = Vec::new();
    for category in categories() {
        let patterns = Patterns::compile(shipped(category.name).unwrap(), &Limits::default()).unwrap();
        let at = if category.response { At::Response } else { At::Query("q") };
        let found = |value: &str| {
            let mut found = Vec::new();
            patterns.search(&at, value.as_bytes(), &mut |pattern, _| found.push(pattern.name.clone()));
            found
        };
        for (name, _) in category.patterns {
            let name = format!("{}/{name}", category.name);
            let (_, finds, passes) = CASES.iter().find(|case| case.0 == name).expect(&name);
            let missed = finds.iter().filter(|value| !found(value).contains(&name));
            wrong.extend(
                missed.map(|value| format!("{name} is not found in {value:?}, but {:?}", found(value))),
            );
            let near = passes.iter().filter(|value| !found(value).is_empty());
            wrong.extend(near.map(|value| format!("{:?} in {value:?}", found(value))));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let all: usize = categories().iter().map(|category| category.patterns.len()).sum();
    assert_eq!(all, CASES.len(), "each pattern has its cases");
}
