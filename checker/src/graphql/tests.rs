use super::*;

fn limits() -> Limits {
    Limits { introspection: true, subscriptions: true, ..Limits::default() }
}

fn posted(body: &str, limits: &Limits) -> Result<(), Reason> {
    let carrier = Carrier { method: b"POST", query: &[], content: Content::Json, body: body.as_bytes() };
    check(&carrier, limits, &json::Limits::default(), &mut |_, _| Ok(()))
}

fn read(document: &str, limits: &Limits) -> Result<Vec<String>, Reason> {
    let mut shown = Vec::new();
    let carrier =
        Carrier { method: b"POST", query: &[], content: Content::GraphQl, body: document.as_bytes() };
    check(&carrier, limits, &json::Limits::default(), &mut |argument, string| {
        shown.push(format!("{argument}={string}"));
        Ok(())
    })?;
    Ok(shown)
}

/// What an operation costs: the least limit that it keeps.
fn cost(document: &str) -> usize {
    let limits = Limits { cost: usize::MAX, ..limits() };
    super::document(document, &Variables::new(), true, &limits, &mut |_, _| Ok(())).unwrap()
}

#[test]
fn documents_are_read_and_their_strings_shown_with_the_argument() {
    let document = r#"
        # A comment, which is nobody's
        "described" query Q($a: [[Int!]!]! = [[1]], "of one" $b: I = {x: "in\u0041", y: {z: "\u{1F600}"}} @d(e: "f")) @g {
          user(id: "1", name: """ x \""" y """, tags: ["t", ENUM, -1.5e+3, null, true, $a]) { ...F @skip(if: $b), ... on User { id } ... { x } }
          n: name
        }
        fragment F on User @a { friends(first: 3) { name } }
        subscription S { s }"#;
    assert_eq!(
        read(document, &limits()).unwrap(),
        ["x=inA", "z=\u{1f600}", "e=f", "id=1", "name= x \"\"\" y ", "tags=t"]
    );
}

#[test]
fn what_is_no_document_is_refused() {
    for document in [
        "",
        " ",
        "{",
        "}",
        "{}",
        "{a",
        "{a{}}",
        "{a}}",
        "{a b:}",
        "{a:}",
        "{a()}",
        "{a(b)}",
        "{a(b:)}",
        "{a(b:1",
        "{a(b:[}",
        "{a(b:{c})}",
        "{a(b:1 b:2)}",
        "{a(b:{c:1 c:2})}",
        "{a(b:01)}",
        "{a(b:1.)}",
        "{a(b:1.e1)}",
        "{a(b:1.2.3)}",
        "{a(b:0xF1)}",
        "{a(b:-)}",
        "{a(b:1a)}",
        "{a(b:\"c)}",
        "{a(b:\"\n\")}",
        "{a(b:\"\\x\")}",
        "{a(b:\"\\ud800\")}",
        "{a(b:\"\\u{110000}\")}",
        "{a(b:\"\\u{}\")}",
        "{a(b:\"\"\"c\"\")}",
        "{a(b:$)}",
        "{a..b}",
        "{...}",
        "{... on}",
        "{...on User}",
        "{a @}",
        "query Q",
        "query Q()",
        "query Q($a:[Int){a}",
        "query Q($a:Int=){a}",
        "query Q($a){a}",
        "query Q($a:Int $a:Int){a}",
        "{a} {b}",
        "{a} query Q{b}",
        "query Q{a} query Q{b}",
        "fragment F on U {a}",
        "{...F} fragment F {a}",
        "{...F} fragment on on U {a}",
        "{...F} fragment F on U {a} fragment F on U {b}",
        "type T { a: Int }",
        "{a} extend type T { a: Int }",
        "{é}",
        "{a(b:é)}",
        "{a?}",
        "\"described\" {a}",
        "{a # \u{1}\n}",
        "{a(b:\"\u{1}\")}",
        "{a\u{feff}}",
        "{\"a\": 1}",
        "{\"query\": \"{a}\"}",
    ] {
        assert_eq!(read(document, &limits()), Err(Reason::GraphQlSyntax), "{document:?}");
    }
    for document in [
        "\u{feff}{a}",
        "{a#}\n}",
        "{a(b:\"\")}",
        "{a(b:\"é\\\"\")}",
        "{a(b:[])}",
        "{a(b:{})}",
        "{a,,b}",
        "{on(fragment:on){query}}",
    ] {
        assert!(read(document, &limits()).is_ok(), "{document:?}");
    }
}

#[test]
fn each_limit_holds_at_its_value_and_not_one_beyond() {
    let limits = Limits {
        depth: 3,
        fields: 6,
        root_fields: 3,
        aliases: 2,
        directives: 2,
        tokens: 30,
        variables: 1,
        operations: 2,
        cost: 20,
        ..Limits::default()
    };
    for (within, beyond, reason) in [
        ("{a{b{c}}}", "{a{b{c{d}}}}", Reason::GraphQlDepth),
        ("{a{...F}} fragment F on T{b{c}}", "{a{b{...F}}} fragment F on T{b{c}}", Reason::GraphQlDepth),
        ("{a{b c d e f}}", "{a{b c d e f g}}", Reason::GraphQlFields),
        (
            "{a{...F ...F}} fragment F on T{b c}",
            "{a{...F ...F ...F}} fragment F on T{b c}",
            Reason::GraphQlFields,
        ),
        ("{a b c}", "{a b ...{c d}}", Reason::GraphQlRootFields),
        ("{a ...F} fragment F on Q{b c}", "{a ...F} fragment F on Q{b c d}", Reason::GraphQlRootFields),
        ("{a:x b:x}", "{a:x b:x c:x}", Reason::GraphQlAliases),
        ("{a:x ...F} fragment F on Q{b:x}", "{a:x ...F ...F} fragment F on Q{b:x}", Reason::GraphQlAliases),
        ("{a@x@y}", "{a@x@y@z}", Reason::GraphQlDirectives),
        ("query($a:A){a}", "query($a:A $b:B){a}", Reason::GraphQlVariables),
        ("query A{a}query B{a}", "query A{a}query B{a}query C{a}", Reason::GraphQlOperations),
        ("{a(first:19){b}}", "{a(first:20){b}}", Reason::GraphQlCost),
    ] {
        assert!(read(within, &limits).is_ok(), "{within}: {:?}", read(within, &limits));
        assert_eq!(read(beyond, &limits), Err(reason), "{beyond}");
    }
    assert!(read(&format!("{{a(b:[{}])}}", "1 ".repeat(21)), &limits).is_ok());
    assert_eq!(read(&format!("{{a(b:[{}])}}", "1 ".repeat(22)), &limits), Err(Reason::GraphQlTokens));
    assert_eq!(read(&format!("{{a(b:{})}}", "[".repeat(40)), &Limits::default()), Err(Reason::GraphQlDepth));
}

#[test]
fn fragments_that_contain_themselves_or_are_unknown_are_refused() {
    for document in [
        "{...F} fragment F on Q{...F}",
        "{a} fragment F on Q{a{...G}} fragment G on Q{...H} fragment H on Q{b{c{...F}}}",
        "{...F}",
        "{a} fragment F on Q{...G}",
    ] {
        assert_eq!(read(document, &limits()), Err(Reason::GraphQlFragment), "{document}");
    }
    assert!(
        read("{...F ...G} fragment F on Q{...H} fragment G on Q{...H ...F} fragment H on Q{a}", &limits())
            .is_ok()
    );
}

#[test]
fn fragments_that_multiply_are_measured_and_not_expanded() {
    let mut document = "{...F0}".to_owned();
    for number in 0..200 {
        document += &format!("fragment F{number} on Q{{...F{0} ...F{0} ...F{0}}}", number + 1);
    }
    document += "fragment F200 on Q{a}";
    assert_eq!(read(&document, &limits()), Err(Reason::GraphQlFields));
    let mut chain = "{...F0}".to_owned();
    for number in 0..20_000 {
        chain += &format!("fragment F{number} on Q{{...F{}}}", number + 1);
    }
    chain += "fragment F20000 on Q{a}";
    assert!(read(&chain, &Limits { tokens: usize::MAX, ..limits() }).is_ok());
}

#[test]
fn cost_is_fields_times_the_elements_that_lists_ask_for() {
    for (document, expected) in [
        ("{a}", 1),
        ("{a{b c}}", 3),
        ("{a(first:10){b c}}", 21),
        ("{a(first:10){b(last:5){c d} e}}", 1 + 10 + 100 + 10),
        ("{a(first:10 last:20){b}}", 21),
        ("{a(filter:{limit:10}){b}}", 11),
        ("{a(first:-5){b}}", 2),
        ("{a(first:99999999999999999999){b}}", usize::MAX),
        ("{a(first:10){...F}} fragment F on T{b c(first:2){d}}", 1 + 10 * (1 + 1 + 2)),
        ("query($n:Int=10){a(first:$n){b}}", 11),
        ("fragment F on Q{a(first:$n){b}} query($n:Int=10){...F}", 11),
        ("query($i:I={first:10}){a(input:$i){b}}", 11),
        ("query($n:Int){a(first:$n){b}}", 2),
        ("query($n:Int=10){a(after:$n){b}}", 2),
        ("query A{a} query B{a b c}", 3),
    ] {
        assert_eq!(cost(document), expected, "{document}");
    }
    let limits = Limits { weights: vec![("b".to_owned(), 5)], cost: 51, ..Limits::default() };
    assert!(read("{a(first:10){x:b}}", &limits).is_ok());
    assert_eq!(read("{a(first:11){x:b}}", &limits), Err(Reason::GraphQlCost));
}

#[test]
fn a_list_of_which_nothing_is_said_is_as_long_as_it_is_taken_to_be() {
    let limits = Limits {
        lists: vec![("a".to_owned(), 20)],
        multipliers: vec!["size".to_owned()],
        weights: vec![("free".to_owned(), 0)],
        cost: 21,
        ..Limits::default()
    };
    for (document, allowed) in [
        ("{a{b}}", true),
        ("{x:a{b}}", true),
        ("{a{b c}}", false),
        ("{a{free b}}", true),
        ("{a(size:1){b c d}}", true),
        ("{a(size:20){b}}", true),
        ("{a(size:21){b}}", false),
        // What says nothing is as if it were not there.
        ("{a(size:null){b c}}", false),
        ("query($n:Int){a(size:$n){b c}}", false),
        ("query($n:Int=2){a(size:$n){b c}}", true),
        ("{a(first:1){b c}}", false),
        ("{c{b d e f g h}}", true),
        ("{a{...F}} fragment F on T{b c}", false),
    ] {
        assert_eq!(read(document, &limits).is_ok(), allowed, "{document}");
    }
    for (variables, allowed) in [(r#"{"n":2}"#, true), (r#"{"n":null}"#, false), (r#"{"n":"2"}"#, false)] {
        let body = format!(r#"{{"query":"query($n:Int){{a(size:$n){{b c}}}}","variables":{variables}}}"#);
        assert_eq!(posted(&body, &limits).is_ok(), allowed, "{body}");
    }
}

#[test]
fn variables_of_the_request_count_too() {
    let limits = Limits { cost: 11, ..Limits::default() };
    for (variables, allowed) in [
        (r#"{"n":10}"#, true),
        (r#"{"n":11}"#, false),
        (r#"{"n":1e9}"#, false),
        (r#"{"i":{"first":10}}"#, true),
        (r#"{"i":{"x":[{"first":11}]}}"#, false),
        (r#"{"i":{"after":11}}"#, true),
        ("null", true),
    ] {
        let body = format!(
            r#"{{"query":"query($n:Int $i:I){{a(first:$n input:$i){{b}}}}","variables":{variables}}}"#
        );
        assert_eq!(posted(&body, &limits).is_ok(), allowed, "{body}");
    }
    let both = r#"[{"query":"{a b c d e f}"},{"query":"{a b c d e f}"}]"#;
    assert_eq!(posted(both, &limits), Err(Reason::GraphQlCost));
}

#[test]
fn a_request_carries_its_documents_in_one_place() {
    let limits = Limits::default();
    for (body, refused) in [
        (r#"{"query":"{a}"}"#, None),
        (r#"{"query":"{a}","operationName":null,"variables":{},"extensions":{"x":[1]}}"#, None),
        (r#"[{"query":"{a}"},{"query":"mutation{a}"}]"#, None),
        (r#"[{"query":"{a}"},{"query":"{"}]"#, Some(Reason::GraphQlSyntax)),
        ("{}", Some(Reason::GraphQlRequest)),
        ("[]", Some(Reason::GraphQlRequest)),
        ("1", Some(Reason::GraphQlRequest)),
        (r#"[[{"query":"{a}"}]]"#, Some(Reason::GraphQlRequest)),
        (r#"{"query":1}"#, Some(Reason::GraphQlRequest)),
        (r#"{"query":{"query":"{a}"}}"#, Some(Reason::GraphQlRequest)),
        (r#"{"query":"{a}","Query":"{b}"}"#, Some(Reason::GraphQlRequest)),
        (r#"{"QUERY":"{a}"}"#, Some(Reason::GraphQlRequest)),
        (r#"{"query":"{a}","variables":"{\"n\":1}"}"#, Some(Reason::GraphQlRequest)),
        (r#"{"query":"{a}","variables":[1]}"#, Some(Reason::GraphQlRequest)),
        (r#"{"extensions":{"persistedQuery":{"sha256Hash":"00"}}}"#, Some(Reason::GraphQlRequest)),
        (r#"[{},{"query":"{a}"}]"#, Some(Reason::GraphQlRequest)),
        (r#"[{"query":"{a}"},{"id":1}]"#, Some(Reason::GraphQlRequest)),
        (r#"[1,{"query":"{a}"}]"#, Some(Reason::GraphQlRequest)),
        (
            r#"[{"query":"{a}"},{"query":"{a}"},{"query":"{a}"},{"query":"{a}"},{"query":"{a}"},{"query":"{a}"}]"#,
            Some(Reason::GraphQlBatch),
        ),
        (r#"{"query":"{__schema{types{name}}}"}"#, Some(Reason::GraphQlIntrospection)),
        (
            r#"{"query":"{a ...F} fragment F on Q{x:__type(name:\"A\"){name}}"}"#,
            Some(Reason::GraphQlIntrospection),
        ),
        (r#"{"query":"{a{__typename}}"}"#, None),
        (r#"{"query":"subscription{a}"}"#, Some(Reason::GraphQlKind)),
    ] {
        assert_eq!(posted(body, &limits).err(), refused, "{body}");
    }
    let read_only = Limits { mutations: false, ..Limits::default() };
    assert_eq!(posted(r#"{"query":"mutation{a}"}"#, &read_only), Err(Reason::GraphQlKind));
}

#[test]
fn a_target_carries_a_document_if_nothing_else_does_and_never_a_mutation_by_get() {
    let carried = |method: &str, query: &[(&str, &str)], content: Content, body: &str| {
        let query: Vec<_> = query.iter().map(|&(name, value)| (Cow::from(name), Cow::from(value))).collect();
        let carrier = Carrier { method: method.as_bytes(), query: &query, content, body: body.as_bytes() };
        check(&carrier, &Limits::default(), &json::Limits::default(), &mut |_, _| Ok(())).err()
    };
    let (empty, json) = (Content::Empty, Content::Json);
    let large = r#"{"n":100000}"#;
    for (method, query, content, body, refused) in [
        ("GET", &[("query", "{a}"), ("tracking", "1")][..], empty, "", None),
        ("GET", &[("query", "{a}"), ("variables", "{\"n\":1}"), ("operationName", "Q")], empty, "", None),
        (
            "GET",
            &[("query", "query($n:Int){a(first:$n){b}}"), ("variables", large)],
            empty,
            "",
            Some(Reason::GraphQlCost),
        ),
        ("GET", &[("query", "mutation{a}")], empty, "", Some(Reason::GraphQlKind)),
        (
            "GET",
            &[("query", "query A{a} mutation B{a}"), ("operationName", "A")],
            empty,
            "",
            Some(Reason::GraphQlKind),
        ),
        ("POST", &[("query", "mutation{a}")], empty, "", None),
        ("GET", &[("query", "{a}"), ("query", "{b}")], empty, "", Some(Reason::GraphQlRequest)),
        ("GET", &[("query", "{a}"), ("Query", "{b}")], empty, "", Some(Reason::GraphQlRequest)),
        ("GET", &[("query", "{a}"), ("variables", "{")], empty, "", Some(Reason::JsonSyntax)),
        ("GET", &[], empty, "", Some(Reason::GraphQlRequest)),
        ("GET", &[], json, r#"{"query":"{a}"}"#, Some(Reason::GraphQlRequest)),
        ("POST", &[("query", "{a}")], json, r#"{"query":"{a}"}"#, Some(Reason::GraphQlRequest)),
        ("POST", &[("tracking", "1")], json, r#"{"query":"{a}"}"#, None),
        ("POST", &[], Content::Form, "query={a}", Some(Reason::GraphQlRequest)),
        ("PUT", &[], json, r#"{"query":"{a}"}"#, Some(Reason::GraphQlRequest)),
        ("OPTIONS", &[], empty, "", None),
    ] {
        assert_eq!(carried(method, query, content, body), refused, "{method} {query:?} {body}");
    }
}
