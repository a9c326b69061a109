//! Attacks, and what stands closest to them in documents, manifests and settings.

use super::*;

fn found(value: &str) -> Option<Class> {
    let finding = Detector::shared().judge(value, Kind::Value, &mut Scratch::default());
    finding.map(|finding| finding.class)
}

/// The first are found, under their class; the second pass.
fn told_apart(class: Class, attacks: &[&str], neighbours: &[&str]) {
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
        ],
        &[
            "husky && node ./scripts/platform.js",
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
        ],
        &[
            "/etc/localtime",
            "/etc/my-pkg/conf.toml",
            "/var/lib/foo/bar",
            "/var/log/happy",
            "/proc/self/mounts",
            "../../../../../../internal/server.js",
            "https://.../report",
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
        ],
        &["', send(1), '", "parse::<Script>()", "data: none", "\"); send(1);"],
    );
}

#[test]
fn addresses_are_told_from_schemes_alone_and_look_ups_from_names() {
    told_apart(Class::Ssrf, &["file:/etc/x", "http://[::1]/"], &["file://", "file://${path}", "data://"]);
    told_apart(Class::Lookup, &["${hostName}"], &["${hostname}:${port}", "${sys:java.io.tmpdir}"]);
}
