//! Pieces of statements, and what stands closest to them in code and texts.

use super::super::{Class, neighbours::told_apart};

#[test]
fn pieces_of_statements_are_told_from_code_and_comments() {
    told_apart(
        Class::Sql,
        &[
            ";desc users",
            ";select a",
            "1 union all",
            "1 rlike round(5)",
            "1 like md5(1) or '1",
            ") like (",
            "(case(",
            "having a=",
            "from information_schema.tables",
            "union all select from",
            "union a select b from c",
            "information_schema.tables",
            "match(a) against (",
            "div(23,-2)",
            "rlike sleep(5)",
            "execute immediate 'x'",
            "exec master..x",
            "if(1=",
            "merge into a using (",
            "create function f () -",
            "create function f returns string soname 'a.so'",
            "select char(",
            "select a from b --",
            "/*!50000 a*/",
            "a/*!or*/b",
            "a.b@c.example';",
            "foo\";",
            "1;drop a",
            "a'; delete b",
            "; if(1",
            "a' as x from y",
            "a' select x from y",
            "a' exec master..x",
            "' a and 1+2=3+4",
            "') select sleep (20 % 7)",
            "aa' regexp+'0",
            "aa' like md5(1) or '1",
            "1) is not (select a from b)#",
            "1/*! a */",
            "select if(a",
            "' regexp a",
            "` regexp ",
            "' union all a",
            "'; a: goto b",
        ],
        &[
            ";; delete this",
            "; select the device from all of them",
            "a'; delete b.c[d].e",
            "1 union all over",
            "5 is like round(5)",
            "(like (this))",
            "case(1)",
            "having = 1",
            "from the information_schema",
            "select from a union",
            "the information_schema of it",
            "match(a)",
            "math.div(23,2)",
            "execute immediately",
            "exec master",
            "if(1==",
            "create function f() - x",
            "select chart(",
            "select one --",
            "/*! a.js v1.2 */",
            "- Inner documentation blocks `/*! a */`.",
            "a.b@c.example",
            "import a from './b';",
            "\"union all\"",
            "the users' select boxes from here",
            "' a and b",
            "the users' exec master plan",
            "'; a: go to b",
        ],
    );
}

#[test]
fn ends_of_queries_are_told_from_enumerations() {
    told_apart(
        Class::Sql,
        &[
            ",3,4,5--",
            "1,version(),user(),3",
            ",(1),a from mysql.user",
            ",a,b from c/*",
            "delay '0:0:5'--",
            "( 'a' or 1 ) ) --",
            "or json_keys(5)#",
        ],
        &[
            "1, 2, and more --",
            "a, b, c --",
            "version(), twice",
            "a, b from c",
            "delay 5 --",
            "( 'a' or 1 )",
            "1,2,3",
        ],
    );
}

#[test]
fn operators_on_json_are_told_from_places_that_a_program_fills_in() {
    told_apart(
        Class::Sql,
        &[
            "'{\"a\":1}' @> '{\"a\":1}'",
            "1 or '{\"a\":1}' ? 'a'",
            "x' or '[1,2]' @> '1",
            "or json_valid('[1]')",
            "or a->>'b' = 'c'",
            "x' or a->>'$.b'='d",
            "{\"a\":1}' @> '{\"a\":1}",
        ],
        &["'{name}' -> '{other}'", "'{\"a\":1}' | jq .", "[\"{a}\", '?']", "or $a->b", "'[a-z]' -> 'x'"],
    );
}
