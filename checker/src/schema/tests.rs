use std::fmt::Write as _;

use super::*;
use crate::{http1, request::Request};

/// A shop for pets, with something of everything.
const PETS: &str = include_str!("tests/pets.yaml");

fn pets() -> Specification {
    Specification::read(PETS, &Options::default()).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// What is said of a request: the operation's name, or reason, place and keyword.
fn judge(specification: &Specification, head: &str, body: &str) -> String {
    let mut text = head.replace('\n', "\r\n");
    let length = if body.is_empty() { String::new() } else { format!("\r\nContent-Length: {}", body.len()) };
    let _ = write!(text, "\r\nHost: a.example{length}\r\n\r\n{body}");
    let limits = crate::engine::Limits::default();
    let request: Request<'_> = http1::read(text.as_bytes(), &limits.request).unwrap();
    let read = target::Target::read(request.method, request.target, &limits.target).unwrap();
    let call = Call {
        method: request.method,
        segments: &read.segments,
        query: &read.query,
        headers: &request.headers,
        body: &request.body,
        limits: &limits.json,
        form: &limits.target,
        multipart: &limits.multipart,
    };
    match specification.check_request(&call) {
        Ok(number) => specification.operations()[number].name(),
        Err(violation) => format!("{} {} {}", violation.reason.name(), violation.place, violation.keyword),
    }
}

fn json(head: &str) -> String {
    format!("{head} HTTP/1.1\nContent-Type: application/json; charset=utf-8")
}

#[test]
fn paths_methods_and_parameters_are_as_declared() {
    let specification = pets();
    for (target, says) in [
        ("GET /v1/pets", "listPets"),
        ("HEAD /v1/pets", "listPets"),
        ("GET /v1/pets?limit=10", "listPets"),
        ("GET /v1/pets?limit=100", "listPets"),
        ("GET /v1/pets?limit=101", "schema-parameter query limit maximum"),
        ("GET /v1/pets?limit=1e1", "schema-parameter query limit type"),
        ("GET /v1/pets?limit=010", "schema-parameter query limit type"),
        ("GET /v1/pets?limit=%2B1", "schema-parameter query limit type"),
        ("GET /v1/pets?limit=", "schema-parameter query limit type"),
        ("GET /v1/pets?limit=1&limit=2", "schema-parameter query limit type"),
        ("GET /v1/pets?tags=a&tags=b", "listPets"),
        ("GET /v1/pets?tags=a&tags=a", "schema-parameter query tags uniqueItems"),
        ("GET /v1/pets?tags=a&tags=B", "schema-parameter query tags pattern"),
        ("GET /v1/pets?ids=1|2|3", "listPets"),
        ("GET /v1/pets?ids=1|x", "schema-parameter query ids type"),
        ("GET /v1/pets?sizes=1%202", "listPets"),
        ("GET /v1/pets?sizes=1%203.5", "schema-parameter query sizes type"),
        ("GET /v1/pets?csv=a,b", "listPets"),
        ("GET /v1/pets?csv=a,b,c,d", "schema-parameter query csv maxItems"),
        ("GET /v1/pets?filter[name]=x&filter[age]=3", "listPets"),
        ("GET /v1/pets?filter[age]=x", "schema-parameter query filter type"),
        ("GET /v1/pets?filter[other]=x", "schema-parameter query filter additionalProperties"),
        ("GET /v1/pets?filter[name]=x&filter[name]=y", "schema-parameter query filter type"),
        ("GET /v1/pets?where={\"a\":1}", "TARGET"),
        ("GET /v1/pets?where=%7B%22a%22:1%7D", "listPets"),
        ("GET /v1/pets?where=%7B%22a%22:%221%22%7D", "schema-parameter query where type"),
        ("GET /v1/pets?where=%7B", "schema-parameter query where json-syntax"),
        ("GET /v1/pets?flag=true", "listPets"),
        ("GET /v1/pets?flag=1", "schema-parameter query flag type"),
        ("GET /v1/pets?empty", "listPets"),
        ("GET /v1/pets?since=2026-11-28T01:02:03Z", "listPets"),
        ("GET /v1/pets?since=2026-13-28T01:02:03Z", "schema-parameter query since format"),
        ("GET /v1/pets?api_key=x", "listPets"),
        ("GET /v1/pets?other=1", "schema-undeclared-parameter query other undeclared"),
        ("GET /v1/pets/7", "getPet"),
        ("GET /v1/pets/9223372036854775807", "getPet"),
        ("GET /v1/pets/9223372036854775808", "schema-parameter path petId maximum"),
        ("GET /v1/pets/0", "schema-parameter path petId minimum"),
        ("GET /v1/pets/x", "schema-parameter path petId type"),
        ("GET /v1/pets/mine", "getMine"),
        ("DELETE /v1/pets/mine", "DELETE /pets/{petId}"),
        ("PUT /v1/pets", "schema-undeclared-operation path undeclared"),
        ("GET /pets", "schema-undeclared-path path undeclared"),
        ("GET /v1/pets/", "schema-undeclared-path path undeclared"),
        ("GET /v1/files/a-1.txt", "getFile"),
        ("GET /v1/files/a.txt", "schema-undeclared-path path undeclared"),
        ("GET /v1/area/1,2", "getArea"),
        ("GET /v1/area/1,2,3", "schema-parameter path corner maxItems"),
        ("GET /v1/range/R,1,G,2", "getRange"),
        ("GET /v1/range/R,1,G", "schema-parameter path colour type"),
        ("GET /v1/range/R,1,R,2", "schema-parameter path colour type"),
        ("GET /v1/search?R=1&G=2", "search"),
        ("GET /v1/search?R=x", "schema-parameter query colour type"),
        ("GET /v1/search?B=1", "schema-undeclared-parameter query B undeclared"),
    ] {
        if says == "TARGET" {
            continue;
        }
        let head = format!("{target} HTTP/1.1\nX-Tenant: acme");
        assert_eq!(judge(&specification, &head, ""), says, "{target}");
    }
}

#[test]
fn headers_and_cookies_are_as_declared() {
    let specification = pets();
    for (headers, says) in [
        ("X-Tenant: acme", "listPets"),
        ("x-tenant: acme\nAccept: text/html\nAuthorization: x\nX-Other: y", "listPets"),
        ("", "schema-parameter header X-Tenant required"),
        ("X-Tenant: Acme", "schema-parameter header X-Tenant pattern"),
        ("X-Tenant: acme\nX-Tenant: acme", "schema-parameter header X-Tenant pattern"),
        ("X-Tenant: \u{e9}", "schema-parameter header X-Tenant pattern"),
        ("X-Tenant: acme\nX-Versions: 1, 2", "listPets"),
        ("X-Tenant: acme\nX-Versions: 1\nX-Versions: 2", "listPets"),
        ("X-Tenant: acme\nX-Versions: 1,x", "schema-parameter header X-Versions type"),
        ("X-Tenant: acme\nCookie: a=b; session=0123456789abcdef", "listPets"),
        ("X-Tenant: acme\nCookie: session=short", "schema-parameter cookie session minLength"),
    ] {
        let head = format!("GET /v1/pets HTTP/1.1\n{headers}");
        assert_eq!(judge(&specification, head.trim_end(), ""), says, "{headers}");
    }
}

#[test]
fn bodies_of_json_are_as_declared() {
    let specification = pets();
    let new = json("POST /v1/pets");
    for (body, says) in [
        (r#"{"name":"Rex","kind":"dog","bark":3}"#, "addPet"),
        (r#"{"name":"Tom","kind":"cat","lives":9}"#, "addPet"),
        (r#"{"name":"Tom","kind":"feline","lives":9}"#, "addPet"),
        // Whatever else it would fit, its kind says what it is.
        (r#"{"name":"Tom","kind":"cat","bark":3}"#, "schema-body body additionalProperties"),
        (r#"{"name":"Tom","kind":"bird"}"#, "schema-body body /kind enum"),
        (r#"{"name":"Tom"}"#, "schema-body body required"),
        (r#"{"kind":"dog"}"#, "schema-body body required"),
        (r#"{"name":"Rex","kind":"dog","id":1}"#, "schema-body body /id readOnly"),
        (r#"{"name":"Rex","kind":"dog","owner":null}"#, "addPet"),
        (r#"{"name":"Rex","kind":"dog","owner":{"name":"Jo","pets":[{"name":"A","kind":"cat"}]}}"#, "addPet"),
        (
            r#"{"name":"Rex","kind":"dog","owner":{"name":"Jo","pets":[{"name":"A","kind":"cat","bark":1}]}}"#,
            "schema-body body /owner/pets/0 additionalProperties",
        ),
        (r#"{"name":"Rex","kind":"dog","owner":{"name":1}}"#, "schema-body body /owner/name type"),
        (r#"{"name":"Rex","kind":"dog","weight":0}"#, "schema-body body /weight exclusiveMinimum"),
        (r#"{"name":"Rex","kind":"dog","weight":0.0001}"#, "addPet"),
        (r#"{"name":"Rex","kind":"dog","chip":9007199254740993}"#, "addPet"),
        (r#"{"name":"Rex","kind":"dog","chip":9007199254740994}"#, "schema-body body /chip maximum"),
        (r#"{"name":"Rex","kind":"dog","chip":9007199254740993.5}"#, "schema-body body /chip type"),
        (r#"{"name":"Rex","kind":"dog","chip":1e400}"#, "schema-body body schema-number"),
        (r#"{"name":"Rex","kind":"dog","photo":"aGVsbG8="}"#, "addPet"),
        (r##"{"name":"Rex","kind":"dog","photo":"#"}"##, "schema-body body /photo format"),
        (r#"{"name":"Rex","kind":"dog","born":"2026-02-29"}"#, "schema-body body /born format"),
        (r#"{"name":"Rex","kind":"dog","nick":null,"state":null}"#, "addPet"),
        (r#"{"name":"Rex","kind":"dog","state":"gone"}"#, "schema-body body /state anyOf"),
        (r#"{"name":"R","kind":"dog"}"#, "schema-body body /name minLength"),
        (r#"{"name":"\ud83d\udc15\ud83d\udc15","kind":"dog"}"#, "addPet"),
        (r#"{"name":"Rex","name":"Tom","kind":"dog"}"#, "schema-body body json-name-repeated"),
        ("[]", "schema-body body type"),
        ("", "schema-body body required"),
    ] {
        let head = if body.is_empty() { "POST /v1/pets HTTP/1.1".to_owned() } else { new.clone() };
        assert_eq!(judge(&specification, &head, body), says, "{body}");
    }
    let type_is =
        |kind: &str| judge(&specification, &format!("POST /v1/pets HTTP/1.1\nContent-Type: {kind}"), "a");
    assert_eq!(type_is("text/plain"), "schema-content-type body content");
    assert_eq!(type_is("application/jsonp"), "schema-content-type body content");
    assert_eq!(judge(&specification, "POST /v1/pets HTTP/1.1", "{}"), "schema-content-type body content");
    assert_eq!(judge(&specification, &json("GET /v1/pets/7"), "{}"), "schema-body body undeclared");
}

#[test]
fn forms_are_objects() {
    let specification = pets();
    let form = "POST /v1/forms HTTP/1.1\nContent-Type: application/x-www-form-urlencoded";
    for (body, says) in [
        ("name=Rex&age=3&tags=a&tags=b", "form"),
        ("name=Rex&age=3&tags=a", "form"),
        ("name=Rex&age=x", "schema-body body /age type"),
        ("age=3", "schema-body body required"),
        ("name=Rex&name=Tom", "schema-body body /name type"),
        ("name=Rex&more=1", "schema-body body additionalProperties"),
        ("name=Rex&where={\"a\":1}", "form"),
        ("name=Rex&where={\"a\":\"b\"}", "schema-body body /where/a type"),
    ] {
        assert_eq!(judge(&specification, form, body), says, "{body}");
    }
    let parts = |age: &str, file: &str| {
        format!(
            "--b\r\nContent-Disposition: form-data; name=\"age\"\r\n\r\n{age}\r\n--b\r\nContent-Disposition: form-data; name=\"where\"\r\nContent-Type: application/json\r\n\r\n{{\"a\":1}}\r\n--b\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n{file}\r\n--b--\r\n"
        )
    };
    let multipart = "POST /v1/forms HTTP/1.1\nContent-Type: multipart/form-data; boundary=b";
    assert_eq!(judge(&specification, multipart, &parts("3", "\u{1}\u{2}")), "form");
    assert_eq!(judge(&specification, multipart, &parts("x", "a")), "schema-body body /age type");
    assert_eq!(
        judge(&specification, multipart, &parts("3", &"a".repeat(65))),
        "schema-body body /photo maxLength"
    );
    let xml = "POST /v1/forms HTTP/1.1\nContent-Type: application/xml";
    assert_eq!(judge(&specification, xml, "<a/>"), "form");
}

#[test]
fn responses_are_as_declared() {
    let specification = pets();
    let number =
        specification.operations().iter().position(|one| one.id.as_deref() == Some("getPet")).unwrap();
    let says = |status: u16, kind: &str, body: &str| {
        let limits = json::Limits::default();
        let kind = (!kind.is_empty()).then_some(kind.as_bytes());
        match specification.check_response(number, status, kind, Some(body.as_bytes()), &limits) {
            Ok(()) => "fine".to_owned(),
            Err(violation) => {
                assert_eq!(violation.reason, Reason::SchemaResponse);
                format!("{} {}", violation.place, violation.keyword)
            }
        }
    };
    let pet = r#"{"id":7,"name":"Rex","kind":"dog"}"#;
    assert_eq!(says(200, "application/json", pet), "fine");
    assert_eq!(says(200, "application/json", &pet.replace("7", "\"7\"")), "response /id type");
    assert_eq!(says(200, "application/json", r#"{"name":"Rex","kind":"dog"}"#), "response required");
    assert_eq!(
        says(200, "application/json", &pet.replace("Rex\"", "Rex\",\"secret\":\"x\"")),
        "response /secret readOnly"
    );
    assert_eq!(says(200, "text/html", "<p>"), "response content");
    assert_eq!(says(404, "application/problem+json", r#"{"title":"gone"}"#), "fine");
    assert_eq!(says(404, "application/problem+json", "{}"), "response required");
    assert_eq!(says(304, "", ""), "response status");
}

#[test]
fn what_is_lenient_is_asked_for() {
    let options =
        Options { allow_undeclared_query: true, allow_read_only: true, base: Some("/api/".to_owned()) };
    let specification = Specification::read(PETS, &options).unwrap();
    let tenant = "HTTP/1.1\nX-Tenant: acme";
    assert_eq!(judge(&specification, &format!("GET /api/pets?other=1 {tenant}"), ""), "listPets");
    assert_eq!(
        judge(&specification, &format!("GET /v1/pets {tenant}"), ""),
        "schema-undeclared-path path undeclared"
    );
    let body = r#"{"id":7,"name":"Rex","kind":"dog"}"#;
    assert_eq!(judge(&specification, &json("POST /api/pets"), body), "addPet");
}

/// A document with one operation that takes `schema`.
fn with_schema(version: &str, schema: &str) -> String {
    format!(
        r##"{{"openapi":"{version}","info":{{"title":"t","version":"1"}},"components":{{"schemas":{{"S":{schema},"T":{{"type":"string"}}}}}},
"paths":{{"/a":{{"post":{{"requestBody":{{"content":{{"application/json":{{"schema":{{"$ref":"#/components/schemas/S"}}}}}}}},"responses":{{"200":{{"description":"d"}}}}}}}}}}}}"##
    )
}

#[test]
fn errors_of_a_specification_are_named_by_place() {
    let with = |schema: &str| with_schema("3.1.0", schema);
    for (text, problem) in [
        ("{".to_owned(), "line 1: behind this line: The body is not JSON"),
        ("a: 1\nopenapi: 2.0".to_owned(), "line 2: /openapi: `openapi` must be 3.0 or 3.1"),
        ("swagger: '2.0'".to_owned(), "line 1: /openapi: OpenAPI 2.0 is not read"),
        (with("[]"), "line 1: /components/schemas/S: a schema is an object"),
        (with(r#"{"$ref":"other.yaml#/a"}"#), "/components/schemas/S: reference \"other.yaml#/a\" leads out of the document"),
        (with(r##"{"$ref":"#/nowhere"}"##), "/components/schemas/S: reference \"#/nowhere\" leads to nothing"),
        (with(r#"{"type":"strin"}"#), "/components/schemas/S/type: not what JSON Schema has"),
        (with(r#"{"properties":{"a/b":{"pattern":"(?=x)"}}}"#), "/components/schemas/S/properties/a~1b/pattern: pattern \"(?=x)\" cannot be used: look-around"),
        (with(r#"{"patternProperties":{"(a)\\1":{}}}"#), "cannot be used: backreferences"),
        (with(r#"{"enum":[100000000000000000001]}"#), "/components/schemas/S/enum: 100000000000000000001 is no number"),
        (with(r#"{"$id":"x"}"#), "/components/schemas/S/$id: $id is not supported"),
        (with(r#"{"$schema":"http://json-schema.org/draft-07/schema#"}"#), "another dialect"),
        (with("{}").replacen("\"info\"", "\"jsonSchemaDialect\":\"https://example.org/x\",\"info\"", 1), "/jsonSchemaDialect: a dialect that is not known"),
        (with("{}").replace("\"/a\"", "\"/a/{b}\""), "/paths/~1a~1{b}/post: path parameter \"b\" is not declared"),
        (with("{}").replace("\"/a\"", "\"a\""), "/paths/a: a path begins with a slash"),
        (with("{}").replace("\"post\"", "\"x-post\""), "/paths: no operation is declared"),
        (with("{}").replace("\"requestBody\"", "\"parameters\":[{\"name\":\"a\",\"in\":\"query\",\"style\":\"matrix\",\"schema\":{}}],\"requestBody\""), "/paths/~1a/post/parameters/0: style \"matrix\" is not read in query"),
        (with("{}").replace("\"requestBody\"", "\"parameters\":[{\"name\":\"a\",\"in\":\"query\"}],\"requestBody\""), "has either a schema, or content"),
    ] {
        let problems = Specification::read(&text, &Options::default()).unwrap_err();
        let told = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        assert!(told.contains(problem), "{text}\n{told}\n{problem}");
    }
}

#[test]
fn references_that_lead_in_circles_end() {
    for schema in [
        r##"{"$ref":"#/components/schemas/S"}"##,
        r##"{"allOf":[{"$ref":"#/components/schemas/S"}],"type":"object"}"##,
        r##"{"type":"object","properties":{"a":{"$ref":"#/components/schemas/S"}},"additionalProperties":false}"##,
    ] {
        for version in ["3.0.3", "3.1.0"] {
            let Ok(specification) = Specification::read(&with_schema(version, schema), &Options::default())
            else {
                continue;
            };
            let deep = format!("{}{{}}{}", "{\"a\":".repeat(30), "}".repeat(30));
            assert_eq!(judge(&specification, &json("POST /a"), &deep), "POST /a", "{schema}");
        }
    }
}

#[test]
fn alternatives_within_alternatives_do_not_multiply() {
    // Each level doubles what would have to be tried: 2^40 times.
    let schema = r##"{"anyOf":[{"type":"object","properties":{"a":{"$ref":"#/components/schemas/S"}},"required":["b"]},
        {"type":"object","properties":{"a":{"$ref":"#/components/schemas/S"}},"required":["c"]}]}"##;
    let specification = Specification::read(&with_schema("3.1.0", schema), &Options::default()).unwrap();
    let deep = format!("{}{{}}{}", "{\"a\":".repeat(31), "}".repeat(31));
    let started = std::time::Instant::now();
    let says = judge(&specification, &json("POST /a"), &deep);
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    assert!(says.starts_with("schema-"), "{says}");
}

#[test]
fn dialects_are_judged_as_they_say() {
    let says = |version: &str, schema: &str, body: &str| {
        let text = with_schema(version, schema);
        let specification =
            Specification::read(&text, &Options::default()).unwrap_or_else(|p| panic!("{p:?}"));
        judge(&specification, &json("POST /a"), body)
    };
    for (version, schema, body, expected) in [
        (
            "3.0.3",
            r#"{"type":"integer","maximum":5,"exclusiveMaximum":true}"#,
            "5",
            "schema-body body exclusiveMaximum",
        ),
        ("3.0.3", r#"{"type":"integer","maximum":5,"exclusiveMaximum":false}"#, "5", "POST /a"),
        ("3.1.0", r#"{"type":"integer","exclusiveMaximum":5}"#, "5", "schema-body body exclusiveMaximum"),
        ("3.0.3", r#"{"type":"string","nullable":true}"#, "null", "POST /a"),
        ("3.0.3", r#"{"type":"string"}"#, "null", "schema-body body type"),
        ("3.1.0", r#"{"type":"string","nullable":true}"#, "null", "schema-body body type"),
        ("3.1.0", r#"{"type":["string","null"]}"#, "null", "POST /a"),
        ("3.0.3", r##"{"$ref":"#/components/schemas/T","type":"integer"}"##, "\"a\"", "POST /a"),
        (
            "3.1.0",
            r##"{"$ref":"#/components/schemas/T","maxLength":1}"##,
            "\"ab\"",
            "schema-body body maxLength",
        ),
        (
            "3.1.0",
            r#"{"type":"array","prefixItems":[{"type":"string"}],"items":false}"#,
            "[\"a\",1]",
            "schema-body body /1 falseSchema",
        ),
        (
            "3.1.0",
            r#"{"type":"object","properties":{"a":{}},"unevaluatedProperties":false}"#,
            "{\"b\":1}",
            "schema-body body unevaluatedProperties",
        ),
        ("3.0.3", r#"{"type":"integer","format":"int32"}"#, "2147483648", "schema-body body maximum"),
        ("3.1.0", r#"{"enum":[1.0,"a",{"b":[null]}]}"#, "{\"b\":[null]}", "POST /a"),
        ("3.1.0", r#"{"enum":[1.0,"a",{"b":[null]}]}"#, "1", "POST /a"),
        ("3.1.0", r#"{"enum":[1.0,"a",{"b":[null]}]}"#, "1.00000000000000000001", "schema-body body enum"),
        (
            "3.1.0",
            r#"{"const":100000000000000000000}"#,
            "100000000000000000001",
            "schema-body body schema-number",
        ),
        ("3.1.0", r#"{"uniqueItems":true}"#, "[9007199254740992,9007199254740993]", "POST /a"),
        (
            "3.1.0",
            r#"{"uniqueItems":true}"#,
            "[{\"a\":1,\"b\":2},{\"b\":2.0,\"a\":1}]",
            "schema-body body uniqueItems",
        ),
        ("3.1.0", r#"{"propertyNames":{"pattern":"^a"}}"#, "{\"b\":1}", "schema-body body propertyNames"),
        ("3.1.0", r#"{"pattern":"\\bab\\b"}"#, "\"é ab é\"", "POST /a"),
        ("3.1.0", r#"{"pattern":"\\bab\\b"}"#, "\"xab\"", "schema-body body pattern"),
    ] {
        assert_eq!(says(version, schema, body), expected, "{version} {schema} {body}");
    }
}
