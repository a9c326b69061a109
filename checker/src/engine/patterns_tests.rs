//! Patterns of a policy, in requests and answers.

use super::{Answer, Context, check_bytes, check_head};
use crate::{Check, Field, Policy, Reason, Verdict, http1};

fn policy(text: &str) -> Policy {
    let text = format!("undeclared = \"allow\"\nchecks.injection = \"off\"\n{text}");
    Policy::parse("policy", &text).unwrap_or_else(|errors| panic!("{errors}"))
}

fn judged(policy: &Policy, head: &str, body: &str) -> Verdict {
    let request = format!("{head}\r\nHost: api.example.org\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    check_bytes(request.as_bytes(), &Context::default(), policy)
}

/// Place, pattern and text of a refusal; empty where it is allowed.
fn said(policy: &Policy, head: &str, body: &str) -> String {
    let verdict = judged(policy, head, body);
    let Some(evidence) = verdict.evidence else {
        return verdict.reason.map_or("", Reason::name).to_owned();
    };
    assert_eq!((verdict.check, verdict.status), (Some(Check::Patterns), 403));
    assert_eq!(verdict.reason.map(Reason::name), Some("pattern"));
    format!("{} {} {}", evidence.place, evidence.rule, evidence.text)
}

const JSON: &str = "POST /a HTTP/1.1\r\nContent-Type: application/json";
const XML: &str = "POST /a HTTP/1.1\r\nContent-Type: application/xml";
const FORM: &str = "POST /a HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded";
const PARTS: &str = "POST /a HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b";

#[test]
fn a_pattern_is_looked_for_in_the_places_that_it_names() {
    let parts = "--b\r\nContent-Disposition: form-data; name=\"n\"; filename=\"EVIL.txt\"\r\n\r\n1\r\n--b--";
    for (place, head, body, says) in [
        ("path", "GET /x/ev%69l HTTP/1.1", "", "path 2 p evil"),
        ("query", "GET /x?evil HTTP/1.1", "", "query name p evil"),
        ("query:q", "GET /x?r=evil&q=%65vil HTTP/1.1", "", "query q p evil"),
        ("query:q", "GET /x?r=evil HTTP/1.1", "", ""),
        ("header:x-name", "GET /x HTTP/1.1\r\nX-Name: is evil", "", "header x-name p is evil"),
        ("header:x-name", "GET /x HTTP/1.1\r\nX-Other: is evil", "", ""),
        ("cookie:a", "GET /x HTTP/1.1\r\nCookie: b=evil; a=evil", "", "cookie a p "),
        ("form:f", FORM, "g=evil&f=evil", "form f p evil"),
        ("form:n", PARTS, parts, "file name p EVIL.txt"),
        ("form:m", PARTS, parts, ""),
        ("json:$.a[1]", JSON, r#"{"a":["evil","evil"]}"#, "json /a/1 p evil"),
        ("json:$..c", JSON, r#"{"a":["evil",{"c":{"d":"\u0065vil"}}]}"#, "json /a/1/c/d p evil"),
        ("json:$.b", JSON, r#"{"a":["evil"]}"#, ""),
        ("json:$.password", JSON, r#"{"password":"evil"}"#, "json /password p "),
        ("xml:/a/b", XML, "<a><b>ev<!-- -->il</b></a>", "xml b p evil"),
        ("xml://b/@c", XML, "<a>evil<b c='evil'/></a>", "xml attribute c p evil"),
        ("xml:/b", XML, "<a><b>evil</b></a>", ""),
        ("body", "POST /a HTTP/1.1\r\nContent-Type: text/plain", "evil", "body p evil"),
        ("body", JSON, "\"evil\"", ""),
    ] {
        let policy = policy(&format!(
            "[[pattern]]\nname = \"p\"\nexpression = '(?i)\\bevil\\b'\nplaces = [\"{place}\"]\n"
        ));
        assert_eq!(said(&policy, head, body), says, "{place}: {head} {body}");
    }
    let query = "limits.graphql.endpoint = true\n[[pattern]]\nname = \"p\"\nexpression = 'evil'\nplaces = [\"graphql:name\"]\n";
    let body = r#"{"query":"{ user(name: \"evil\") { id } }"}"#;
    assert_eq!(said(&policy(query), JSON, body), "graphql name p evil");
}

#[test]
fn numbers_of_json_are_looked_into_as_they_are_written() {
    let text = |place: &str| {
        format!("[[pattern]]\nname = \"p\"\nexpression = '666|1e9|true'\nplaces = [\"{place}\"]\n")
    };
    for (place, body, says) in [
        ("json", r#"{"a":1,"b":1666.0}"#, "json /b p 1666.0"),
        ("json:$..b", r#"{"a":[666,{"b":-1e9}]}"#, "json /a/1/b p -1e9"),
        ("json:$.b", r#"{"a":666}"#, ""),
        ("json:$.pin", r#"{"pin":666}"#, "json /pin p "),
        ("json", "666", "json  p 666"),
        ("json", r#"{"a":[true,null],"b":4111111111111111}"#, ""),
    ] {
        assert_eq!(said(&policy(&text(place)), JSON, body), says, "{place}: {body}");
    }
    // What is in a number is in no language that could go on: the detector of injection is not asked.
    let policy = Policy::parse("policy", "undeclared = \"allow\"").unwrap();
    assert_eq!(said(&policy, JSON, r#"{"url":2852039166}"#), "");
}

#[test]
fn a_category_is_looked_for_by_its_own_patterns() {
    let policy = policy("[[pattern]]\ncategory = \"script-tag\"\n");
    assert!(said(&policy, "GET /x?q=%3CScript%3E HTTP/1.1", "").starts_with("query q script-tag/"));
    assert_eq!(said(&policy, "GET /x?q=script HTTP/1.1", ""), "");
    let named = self::policy("[[pattern]]\nname = \"own\"\ncategory = \"script-tag\"\nplaces = [\"json\"]\n");
    assert!(said(&named, JSON, r#""<script>""#).starts_with("json  own/"));
    assert_eq!(said(&named, "GET /x?q=%3Cscript%3E HTTP/1.1", ""), "");
}

#[test]
fn a_route_looks_for_those_that_it_names_and_observes_where_it_says() {
    let policy = policy(
        "patterns = [\"a\"]\n[[pattern]]\nname = \"a\"\nexpression = 'aaa'\n[[pattern]]\nname = \"b\"\nexpression = 'bbb'\n\
         [[route]]\npath = \"/b\"\nmethods = \"any\"\npatterns = [\"b\"]\n\
         [[route]]\npath = \"/none\"\nmethods = \"any\"\npatterns = []\n\
         [[route]]\npath = \"/both\"\nmethods = \"any\"\npatterns = [\"b\", \"a\"]\nchecks.patterns = \"observe\"\n",
    );
    for (path, says) in [
        ("/x?q=bbb", ""),
        ("/x?q=aaa", "query q a aaa"),
        ("/b?q=aaa", ""),
        ("/b?q=bbb", "query q b bbb"),
        ("/none?q=aaabbb", ""),
        ("/both?q=aaabbb", ""),
    ] {
        assert_eq!(said(&policy, &format!("GET {path} HTTP/1.1"), ""), says, "{path}");
    }
    let observed = judged(&policy, "GET /both?q=aaabbb HTTP/1.1", "").observed;
    let rules: Vec<&str> = observed
        .iter()
        .filter_map(|finding| finding.evidence.as_ref())
        .map(|one| one.rule.as_str())
        .collect();
    assert_eq!(rules, ["a", "b"]);
    let written = policy.render();
    assert_eq!(Policy::parse("again", &written).unwrap().render(), written);
}

#[test]
fn evidence_shows_what_was_found_masked_and_cut() {
    let policy = policy("[[pattern]]\nname = \"p\"\nexpression = 'evil'\n");
    let long =
        format!("{} 4111 1111 1111 1111 {}evil{}", "x".repeat(5_000), "y".repeat(60), "z".repeat(5_000));
    let says = said(&policy, JSON, &format!("\"{long}\""));
    assert!(says.contains(&format!("XXXX XXXX XXXX 1111 {}evilzz", "y".repeat(60))), "{says}");
    assert!(says.len() < 160 && !says.contains("4111"), "{says}");
}

#[test]
fn without_anything_to_look_for_nothing_is_held_back() {
    let off = "[checks]\ncoding = \"off\"\ncontent = \"off\"\njson = \"off\"\nxml = \"off\"\ngraphql = \"off\"\nform = \"off\"\nmultipart = \"off\"\ninjection = \"off\"\n";
    let pattern = "[[pattern]]\nname = \"p\"\nexpression = 'evil'\n";
    let request = b"POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}";
    let request = http1::read(request, &http1::Limits::default()).unwrap();
    let route = "[[route]]\npath = \"/none\"\nmethods = \"any\"\npatterns = []\n";
    for (text, needs) in [
        (off.to_owned(), false),
        (format!("{off}{pattern}"), true),
        (format!("{off}{pattern}places = [\"response\"]\n"), false),
        (format!("{off}{pattern}{route}"), false),
    ] {
        let policy = Policy::parse("policy", &format!("undeclared = \"allow\"\n{text}")).unwrap();
        let head = check_head(&request, &Context::default(), &policy).unwrap();
        assert_eq!(head.needs_body(), needs, "{text}");
    }
}

#[test]
fn answers_are_looked_into_and_never_refused() {
    let found = |policy: &Policy, body: Option<&[u8]>, coding: &'static str| -> Vec<String> {
        let headers = [Field { name: b"Content-Encoding", value: coding.as_bytes() }];
        policy
            .judge_response(None, None, &Answer { status: 500, headers: &headers, body })
            .into_iter()
            .map(|finding| {
                let evidence = finding.evidence.unwrap();
                format!("{} {} {} {}", finding.reason.name(), evidence.place, evidence.rule, evidence.text)
            })
            .collect()
    };
    let trace = b"java.lang.NullPointerException: x\n\tat org.example.Main.run(Main.java:7)\n";
    let text = "[[pattern]]\ncategory = \"exception-text\"\n";
    let policy = policy(text);
    assert!(policy.judges_response(None, None));
    let says = found(&policy, Some(trace), "identity");
    assert!(
        says.iter().any(|one| one.starts_with("pattern-response response exception-text/java")),
        "{says:?}"
    );
    assert!(says.iter().all(|one| one.ends_with(' ')), "answers are not shown: {says:?}");
    assert!(found(&policy, Some(b"all is well"), "identity").is_empty());
    assert!(found(&policy, Some(trace), "gzip").is_empty() && found(&policy, None, "identity").is_empty());
    // Requests are no matter of it.
    assert_eq!(said(&policy, JSON, "\"java.lang.NullPointerException: x\""), "");
    for off in ["responses = \"off\"\n", "checks.patterns = \"off\"\n", "patterns = []\n"] {
        let policy = self::policy(&format!("{off}{text}"));
        assert!(!policy.judges_response(None, None), "{off}");
        assert!(found(&policy, Some(trace), "identity").is_empty(), "{off}");
    }
}
