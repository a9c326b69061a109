//! Ordinary requests of each kind: what an attack is changed from.

/// One with a body.
pub(crate) struct Post {
    pub(crate) path: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) body: &'static str,
}

const fn post(path: &'static str, kind: &'static str, body: &'static str) -> Post {
    Post { path, kind, body }
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const PARTS: &str = "multipart/form-data; boundary=b";

pub(crate) const POSTS: &[Post] = &[
    post("/v1/pets", JSON, r#"{"kind":"dog","name":"Rex","barks":true,"weight":12.5,"tags":["a","b"]}"#),
    post("/v1/pets", JSON, r#"{"kind":"feline","name":"Minka","lives":9}"#),
    post(
        "/a",
        JSON,
        r#"{"id":1,"user":{"name":"Anne O'Donnell","email":"a@example.com"},"list":[1,-2.5e+3,true,null,"\u00e9\n"],"url":"https://a.corp.example/b?c=d"}"#,
    ),
    post("/a", "application/problem+json", r#"[{"a":[[[[{"b":{}}]]]]},"","eyJhIjoxfQ=="]"#),
    post("/observed/a/b", JSON, r#"{"a":{"b":{"c":{"d":"0123456789abcdefghij"}}},"q":"' or 1=1-- "}"#),
    post(
        "/v1/forms",
        FORM,
        "name=Anne+Marie&age=42&tags=a&tags=b&text=50%25+off%3A+%3Cb%3E&where=%7B%22a%22%3A1%7D",
    ),
    post("/a", FORM, "a=http://x.corp.example/&b%5B%5D=1&b%5B%5D=2&c=&d"),
    post(
        "/v1/forms",
        PARTS,
        "--b\r\nContent-Disposition: form-data; name=\"age\"\r\n\r\n42\r\n--b\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n\u{1}PNG\r\n--b\r\nContent-Disposition: form-data; name=\"where\"\r\nContent-Type: application/json\r\n\r\n{\"a\":1}\r\n--b--\r\n",
    ),
    post(
        "/a",
        "text/plain; charset=utf-8",
        "An order of 2 bottles; drop it at the table, or select another <day>.\n",
    ),
    post(
        "/a",
        "application/xml",
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<o:order xmlns:o=\"urn:o\" xmlns=\"urn:d\"><item id=\"1\" o:n='2'>A &amp; B &#x41;<!-- c --><![CDATA[<x>]]></item><?p q?></o:order>",
    ),
    post(
        "/a",
        "application/soap+xml",
        "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\"><s:Header/><s:Body><m:Get xmlns:m=\"urn:m\"><m:Id>7</m:Id></m:Get></s:Body></s:Envelope>",
    ),
    post(
        "/graphql",
        JSON,
        r#"{"query":"query Q($n: Int = 3, $u: In) { me: user(id: \"1\") { friends(first: $n) { edges { node { name ...F } } } } }\nfragment F on User @include(if: true) { id, tags(limit: 5) }","operationName":"Q","variables":{"n":5,"u":{"a":[1]}}}"#,
    ),
    post("/graphql", JSON, r#"[{"query":"{a}"},{"query":"mutation { b(in: {c: \"\"\"d\"\"\"}) { e } }"}]"#),
    post("/graphql", "application/graphql", "{ __schema { types { name } } list(last: 10) { x y: z } }"),
];

/// Heads of requests without a body, by line; `Host` comes behind the first.
pub(crate) const HEADS: &[&[&str]] = &[
    &["GET / HTTP/1.1"],
    &["GET /a HTTP/1.0"],
    &[
        "GET /v1/pets?limit=5&tags=a&tags=b&filter%5Bname%5D=x&where=%7B%22a%22%3A1%7D&since=2026-01-02T03:04:05Z HTTP/1.1",
        "X-Tenant: abc",
        "Cookie: session=0123456789abcdef; theme=dark",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        "Accept-Language: en-GB,en;q=0.5",
    ],
    &["GET /graphql?query=%7Ba%28b%3A%22c%22%29%7D&variables=%7B%7D HTTP/1.1"],
    &["GET /caf%C3%A9/b%20c;v=1/d.html?q=O%27Neil+%26+sons&page=2 HTTP/1.1", "Accept: text/html, */*;q=0.1"],
    &[
        "GET /chat HTTP/1.1",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Origin: http://a.example",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==",
    ],
    &[
        "HEAD /a/b/c?d HTTP/1.1",
        "X-Forwarded-For: 192.0.2.7, 10.0.0.1",
        "Forwarded: for=192.0.2.7",
        "Via: 1.1 z",
    ],
    &["DELETE /v1/pets/7 HTTP/1.1", "Authorization: Bearer abc.def.ghi", "If-Match: \"x\", W/\"y\""],
    &["OPTIONS * HTTP/1.1"],
    &[
        "OPTIONS /site/a HTTP/1.1",
        "Origin: https://app.example.org",
        "Access-Control-Request-Method: PUT",
        "Access-Control-Request-Headers: content-type",
    ],
    &[
        "PUT /site/a HTTP/1.1",
        "Origin: https://app.example.org",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Mode: cors",
    ],
    &["GET http://a.example/a?b HTTP/1.1", "Referer: https://a.example/é?x='%3Cscript%3E"],
];
