//! What an expression between the brackets of a template is, and what stands closest to it.

use super::*;

fn rule(inner: &str, open: &str) -> Option<&'static str> {
    Expression::read(inner.as_bytes(), open.as_bytes()).judge().map(|(rule, _)| rule)
}

#[test]
fn sums_of_literals_are_told_from_dates_and_from_sums_of_names() {
    for sum in ["6*6", "6 * '6'", "(1+2)*3", "3**3", "'a'~2", "9/3", "6*6|int"] {
        assert_eq!(rule(sum, "{{"), Some("template-computes"), "{sum}");
    }
    for other in
        ["2024-01-01", "01/02/2024", "loop.index + 1", "a*b", "-1", "'a' + 'b'", "5", "1.2.3", "x|add:1"]
    {
        assert_eq!(rule(other, "{{"), None, "{other}");
    }
}

#[test]
fn walks_to_a_class_a_module_or_a_process_are_told_from_members() {
    for (open, walk) in [
        ("{{", "''.__class__.__base__"),
        ("{{", "a['__cl'+'ass__']"),
        ("{{", "a|attr(b)"),
        ("{{", "x.gi_frame"),
        ("{{", "config.items()"),
        ("${", "a.getclass().forname('x')"),
        ("${", "t(java.lang.math).random()"),
        ("${", "@java.lang.runtime@getruntime()"),
        ("${", "new javax.script.scriptenginemanager()"),
        ("${", "'x'?new()"),
        ("${", ".data_model"),
        ("%{", "(#a=1)"),
        ("${", "a.constructor.constructor('x')()"),
        ("{{", "a.constructor('x')()"),
        ("${", "process.mainmodule"),
        ("{{", "lookup a \"constructor\""),
        ("{{", ".exec \"id\""),
        ("{{", "['id']|map('system')"),
        ("{{", "a|exec"),
        ("<%", "io.popen('id')"),
        ("<%", "file.open('/etc/passwd')"),
        ("#{", "system('id')"),
        ("{%", "import os"),
        ("${", "\"id\".execute()"),
        ("{", "if system('id')"),
    ] {
        assert_eq!(rule(walk, open), Some("template-reach"), "{open} {walk}");
    }
    for (open, plain) in [
        ("{{", "user.name | upper"),
        ("{{", "__('save')"),
        ("{{", "x.__class__.__name__"),
        ("{{", "list | map('upper')"),
        ("{{", "user.getclass().getsimplename()"),
        ("{{", "app.request.query.get('page')"),
        ("{{", ".values.image.tag"),
        ("{{", "import 'forms.html' as forms"),
        ("${", "this.constructor.name"),
        ("${", "regex.exec(x)[1]"),
        ("${", "java.io.tmpdir"),
        ("${", "new date().getfullyear()"),
        ("${", "a ?? api.host"),
        ("${", "process.env.node_env"),
        ("${", "#strings.isempty(name)"),
        ("#{", "file.join(a, 'b')"),
        ("<%", "process.env.base_url"),
        ("{", "\"a\": 1, \"b\": (2)"),
    ] {
        assert_eq!(rule(plain, open), None, "{open} {plain}");
    }
}
