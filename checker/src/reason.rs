//! Why a request is refused. Each refusal has one reason, which is counted, logged and explained under its name.

/// Declares the reasons once: name, status (RFC 9110, section 15) and what it means.
macro_rules! reasons {
    ($($variant:ident, $name:literal, $status:literal, $description:literal;)*) => {
        /// Why a request is refused.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Reason {
            $(#[doc = $description] $variant,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As it is called in verdicts, logs and metrics.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The status that a refusal carries, unless the policy has another.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// What it means, for people.
            pub const fn description(self) -> &'static str {
                match self { $(Self::$variant => $description,)* }
            }
        }
    };
}

reasons! {
    BareLineFeed, "bare-lf", 400, "A line ends with LF alone: some servers take it for an end of line, others do not.";
    BareCarriageReturn, "bare-cr", 400, "A CR that no LF follows, which some servers take for an end of line.";
    RequestLine, "request-line", 400, "The request line is not method, one space, target, one space, HTTP/1.0 or HTTP/1.1.";
    Method, "method", 400, "The method is no token, or longer than 32 bytes.";
    HttpVersion, "http-version", 505, "A version other than HTTP/1.0, HTTP/1.1 and HTTP/2.";
    CutShort, "cut-short", 400, "The request ends before its head or its body does.";
    ExcessData, "excess-data", 400, "Bytes follow the end of the request.";
    HeaderName, "header-name", 400, "A header's name has other bytes than letters, digits and hyphens: a space before the colon that some servers strip, or what some leave out.";
    HeaderValue, "header-value", 400, "A header's value holds a control character, or white space around it that HTTP/1.1 would strip.";
    HeaderFolding, "header-folding", 400, "A header goes on in the next line (obs-fold, RFC 9112, section 5.2).";
    HeaderUnderscore, "header-underscore", 400, "A header's name has an underscore, which CGI-like servers take for a hyphen: it would be another header there.";
    HeaderCount, "header-count", 431, "More headers than the policy allows.";
    HeaderLength, "header-length", 431, "A header, or all of them together, longer than the policy allows.";
    HostMissing, "host-missing", 400, "HTTP/1.1 without a Host header (RFC 9112, section 3.2).";
    HostRepeated, "host-repeated", 400, "More than one Host header, or one that the target contradicts.";
    HostInvalid, "host-invalid", 400, "The Host header is neither a name nor an address, with or without a port.";
    LengthRepeated, "content-length-repeated", 400, "More than one Content-Length, alike or not.";
    LengthInvalid, "content-length-invalid", 400, "Content-Length is not a plain decimal number.";
    LengthAndChunked, "length-and-chunked", 400, "Both Content-Length and Transfer-Encoding: servers differ in which one ends the body.";
    TransferEncoding, "transfer-encoding", 400, "A transfer coding other than exactly `chunked`, once, in HTTP/1.1.";
    Chunk, "chunk", 400, "A chunk's size, extension or end is not what RFC 9112, section 7.1 has, strictly read.";
    Trailer, "trailer", 400, "Trailers behind a chunked body, which few servers expect.";
    ContentTypeRepeated, "content-type-repeated", 400, "More than one Content-Type.";
    SingletonRepeated, "header-repeated", 400, "A header that may stand once stands twice.";
    BodyLength, "body-length", 413, "The body is longer than the policy allows.";
    TargetForm, "target-form", 400, "The target is neither a path, nor an absolute URL where that is allowed, nor `*` for OPTIONS.";
    TargetLength, "target-length", 414, "The target is longer than the policy allows.";
    TargetCharacter, "target-character", 400, "The target holds a byte that no URL has (RFC 3986): a space, a control character, a quote, or one beyond ASCII.";
    Fragment, "target-fragment", 400, "The target has a fragment (#), which clients never send.";
    PercentEncoding, "percent-encoding", 400, "A % that two hexadecimal digits do not follow.";
    EncodedSlash, "encoded-slash", 400, "An encoded slash or backslash in the path: one server's segment is another's two.";
    EncodedControl, "encoded-control", 400, "An encoded NUL or other control character in the path.";
    PathEncodedTwice, "path-encoded-twice", 400, "The path, decoded, decodes once more.";
    PathUtf8, "path-utf8", 400, "The path, decoded, is not UTF-8 (overlong forms and surrogates included).";
    PathTraversal, "path-traversal", 400, "A segment of the path, decoded, is `.` or `..`, or becomes so by Unicode's compatibility forms.";
    PathParameter, "path-parameter", 400, "A semicolon in the path: what follows is a parameter to some servers, and part of the name to others.";
    EmptySegment, "empty-segment", 400, "Two slashes in a row.";
    QueryUtf8, "query-utf8", 400, "A parameter of the query, decoded, is not UTF-8.";
    QueryRepeated, "query-repeated", 400, "A parameter that stands twice in the query.";
    QueryCount, "query-count", 400, "More parameters in the query than the policy allows.";
    ContentTypeInvalid, "content-type-invalid", 400, "Content-Type is not one type and one subtype, with or without parameters.";
    ContentMismatch, "content-mismatch", 415, "The body looks like JSON, XML or a form of parts, and is declared as something else: a server behind may go by either.";
    FormCharacter, "form-character", 400, "A form holds a byte that no URL has.";
    MultipartBoundary, "multipart-boundary", 400, "A form of parts whose Content-Type has no boundary, several, or one that needs quoting.";
    MultipartFraming, "multipart-framing", 400, "Text before, between or after the parts of a form, or an end that is missing.";
    MultipartHeader, "multipart-header", 400, "A part's headers are not one Content-Disposition with a name, and at most one Content-Type.";
    MultipartName, "multipart-name", 400, "The name of a part or file is too long, has a backslash, or is a path.";
    MultipartLength, "multipart-length", 413, "A part longer than the policy allows.";
    MultipartParts, "multipart-parts", 400, "More parts than the policy allows.";
    CodingUnknown, "coding-unknown", 415, "A content coding other than gzip, deflate, br and zstd.";
    CodingCount, "coding-count", 415, "More content codings over one another than the policy allows.";
    CodingBroken, "coding-broken", 400, "The body is not what its content coding says, or ends too early.";
    CodingExcess, "coding-excess", 400, "Bytes follow the end of the coded body: some decoders go on there, others stop.";
    CodingRatio, "coding-ratio", 413, "The body becomes larger by decoding, in proportion, than the policy allows.";
    JsonSyntax, "json-syntax", 400, "The body is not JSON (RFC 8259), strictly read.";
    JsonUtf8, "json-utf8", 400, "JSON that is not UTF-8, or a string with half a surrogate pair.";
    JsonRepeated, "json-name-repeated", 400, "An object has a name twice: parsers differ in which one counts.";
    JsonDepth, "json-depth", 400, "JSON nested deeper than the policy allows.";
    JsonEntries, "json-entries", 400, "An object with more entries than the policy allows.";
    JsonNameLength, "json-name-length", 400, "An object's entry with a longer name than the policy allows.";
    JsonElements, "json-elements", 400, "An array with more elements than the policy allows.";
    JsonStringLength, "json-string-length", 400, "A string longer than the policy allows.";
    JsonNumberLength, "json-number-length", 400, "A number with more characters than the policy allows.";
    JsonValues, "json-values", 400, "More values in all than the policy allows.";
    Override, "override", 400, "A header or parameter by which some servers take another method, or another path, than the one that is judged, and that is not of the same route.";
    RouteUndeclared, "route-undeclared", 404, "No route of the policy has this host and path.";
    MethodUndeclared, "method-undeclared", 405, "A route of the policy has this path, but none with this method.";
    CookieSyntax, "cookie-syntax", 400, "The cookies are not `name=value; name=value` (RFC 6265, section 4.2), strictly read.";
    CookieHeaders, "cookie-headers", 400, "More than one Cookie header, which only HTTP/2 may have.";
    CookieRepeated, "cookie-repeated", 400, "Two cookies of one name: servers differ in which one counts.";
    CookieCount, "cookie-count", 431, "More cookies than the policy allows.";
    CookieLength, "cookie-length", 431, "A cookie with a longer name or value than the policy allows.";
    BodyUnread, "body-unread", 400, "A body that cannot be read as what it is, so that a check that must have seen its values has not.";
    CheckDeadline, "check-deadline", 503, "A check was not done within its deadline, and fails closed.";
    InjectionSql, "injection-sql", 403, "A value leaves its place in a SQL statement and goes on as SQL.";
    InjectionNoSql, "injection-nosql", 403, "A value holds operators or code of a document store.";
    InjectionXss, "injection-xss", 403, "A value holds HTML or script that a page which shows it would run.";
    InjectionCommand, "injection-command", 403, "A value ends a shell's command and begins another.";
    InjectionTraversal, "injection-traversal", 403, "A value is a path out of the folder it is put behind, or to a file that every system has.";
    InjectionTemplate, "injection-template", 403, "A value holds an expression that a template engine would evaluate.";
    InjectionLdap, "injection-ldap", 403, "A value leaves its place in an LDAP filter (RFC 4515).";
    InjectionXPath, "injection-xpath", 403, "A value leaves its place in an XPath expression.";
    InjectionHeader, "injection-header", 403, "A value holds a line end and another header behind it, of HTTP or of mail.";
    InjectionSsrf, "injection-ssrf", 403, "A value is an address that only the server itself reaches.";
    InjectionXxe, "injection-xxe", 403, "A value declares XML entities, or includes other documents.";
    InjectionDeserialisation, "injection-deserialisation", 403, "A value is a serialised object, which creates what it names where it is read.";
    InjectionLookup, "injection-lookup", 403, "A value holds a look-up that loggers and expression languages evaluate.";
    InjectionPrototype, "injection-prototype", 403, "A name or value reaches for a prototype or a class loader.";
    InjectionInclude, "injection-include", 403, "A value holds a server-side include.";
    InjectionCode, "injection-code", 403, "A value is source code that an interpreter on the server would run.";
    ConnectionOption, "connection-option", 400, "Connection names a header other than those of the connection itself: it would be judged here and be missing behind.";
    Expectation, "expectation", 417, "Expect asks for something other than `100-continue`.";
    Upgrade, "upgrade", 403, "The connection is to become a WebSocket where that is not allowed.";
    WebSocketOrigin, "websocket-origin", 403, "A page of another site, or of none that is known, asks for a WebSocket: it would be opened with the cookies of whoever looks at that page.";
    HeadSlow, "head-slow", 408, "The head of the request took longer than the limit.";
    BodySlow, "body-slow", 408, "The body of the request came more slowly than the limit allows.";
    Overload, "overload", 503, "The bodies that are held in memory, or an address's requests under way over HTTP/2, have reached the limit.";
    FrontEnd, "front-end", 500, "The server that asks whether a request may pass does not say what it is: a header or a part of its message that is to be there is missing, empty, there twice or contradicted, or the body is not as it is to come along.";
    BodyPartial, "body-partial", 413, "The server that asks whether a request may pass shows a part of its body only: what was not seen is not judged.";
    UpstreamUnreachable, "upstream-unreachable", 503, "No address of the upstream takes connections.";
    UpstreamSlow, "upstream-slow", 504, "The upstream has not begun to answer within the limit.";
    UpstreamBroken, "upstream-broken", 502, "The connection to the upstream ended before an answer had come.";
    UpstreamSwitched, "upstream-switched", 502, "The upstream switches to another protocol without having been asked for it.";
    ResponseUnreadable, "response-unreadable", 502, "The answer is compressed, partial or in another charset, unasked, so that what is to be masked in it cannot be found.";
    StatusLine, "status-line", 502, "The answer of the upstream does not begin with HTTP/1.0 or HTTP/1.1, a space and a status from 100 to 599.";
    SegmentCount, "segment-count", 400, "A path with more segments than the policy allows.";
    SegmentLength, "segment-length", 400, "A segment of the path, decoded, that is longer than the policy allows.";
    QueryNameLength, "query-name-length", 400, "The name of a parameter of the query or of a form's field, decoded, is longer than the policy allows.";
    QueryValueLength, "query-value-length", 400, "The value of a parameter of the query or of a form's field, decoded, is longer than the policy allows.";
    HeaderNameLength, "header-name-length", 431, "A header's name is longer than the policy allows.";
    HeaderValueLength, "header-value-length", 431, "A header's value is longer than the policy allows for that header.";
    ContentCharset, "content-charset", 415, "JSON, XML, GraphQL or a form declared in another charset than UTF-8: a server that goes by it reads other characters.";
    XmlSyntax, "xml-syntax", 400, "The body is not well-formed XML (XML 1.0, fifth edition), strictly read.";
    XmlUtf8, "xml-utf8", 400, "XML that is not UTF-8.";
    XmlDeclaration, "xml-declaration", 400, "The XML declaration names a version other than 1.0, or an encoding other than UTF-8.";
    XmlDtd, "xml-dtd", 400, "XML with a document type: what it declares can grow without bound, read files and call servers.";
    XmlEntity, "xml-entity", 400, "A reference to an entity that is not one of XML's five.";
    XmlNamespace, "xml-namespace", 400, "A name with a prefix that is undeclared, reserved or misplaced (Namespaces in XML 1.0).";
    XmlAttributeRepeated, "xml-attribute-repeated", 400, "An element has an attribute twice, as written or as its namespace resolves.";
    XmlNameLength, "xml-name-length", 400, "The name of an element, attribute, prefix or processing instruction is longer than the policy allows.";
    XmlDepth, "xml-depth", 400, "XML nested deeper than the policy allows.";
    XmlAttributes, "xml-attributes", 400, "An element with more attributes than the policy allows.";
    XmlNamespaces, "xml-namespaces", 400, "An element that declares more namespaces than the policy allows.";
    XmlChildren, "xml-children", 400, "An element with more children of one kind (element, text, comment, processing instruction) than the policy allows.";
    XmlTextLength, "xml-text-length", 400, "A text longer than the policy allows.";
    XmlAttributeLength, "xml-attribute-length", 400, "An attribute's value longer than the policy allows.";
    XmlNamespaceLength, "xml-namespace-length", 400, "A namespace's name longer than the policy allows.";
    XmlCommentLength, "xml-comment-length", 400, "A comment longer than the policy allows.";
    XmlInstructionLength, "xml-instruction-length", 400, "A processing instruction's data longer than the policy allows.";
    XmlNodes, "xml-nodes", 400, "More elements, attributes, texts, comments and instructions in all than the policy allows.";
    GraphQlRequest, "graphql-request", 400, "A request to a GraphQL endpoint that carries no document, carries it where it is not read, or in two places.";
    GraphQlSyntax, "graphql-syntax", 400, "The document is not GraphQL (operations and fragments of September 2025), strictly read.";
    GraphQlTokens, "graphql-tokens", 400, "A document with more tokens than the policy allows.";
    GraphQlDepth, "graphql-depth", 400, "Fields, or values, nested deeper than the policy allows, fragments expanded.";
    GraphQlFields, "graphql-fields", 400, "An operation with more fields than the policy allows, fragments expanded.";
    GraphQlRootFields, "graphql-root-fields", 400, "An operation with more fields at its root than the policy allows, fragments expanded.";
    GraphQlAliases, "graphql-aliases", 400, "An operation with more aliases than the policy allows, fragments expanded.";
    GraphQlDirectives, "graphql-directives", 400, "An operation with more directives than the policy allows, fragments expanded.";
    GraphQlVariables, "graphql-variables", 400, "An operation with more variables than the policy allows.";
    GraphQlOperations, "graphql-operations", 400, "A document with more operations than the policy allows.";
    GraphQlBatch, "graphql-batch", 400, "More documents in a request than the policy allows.";
    GraphQlCost, "graphql-cost", 400, "The fields, multiplied with the elements that lists are asked for, cost more than the policy allows.";
    GraphQlFragment, "graphql-fragment", 400, "A fragment that is unknown, or contains itself.";
    GraphQlIntrospection, "graphql-introspection", 403, "The schema is asked for, which the policy does not allow.";
    GraphQlKind, "graphql-kind", 403, "A mutation by another method than POST, or a kind of operation that the policy does not allow.";
    SchemaUndeclaredPath, "schema-undeclared-path", 404, "The specification has no such path.";
    SchemaUndeclaredOperation, "schema-undeclared-operation", 405, "The specification has the path, but not with this method.";
    SchemaParameter, "schema-parameter", 400, "A parameter is missing, or not as the specification says.";
    SchemaUndeclaredParameter, "schema-undeclared-parameter", 400, "A parameter of the query that the specification does not declare.";
    SchemaContentType, "schema-content-type", 415, "A body of a type that the specification does not declare.";
    SchemaBody, "schema-body", 400, "The body is missing, not declared, or not as the specification says.";
    SchemaNumber, "schema-number", 400, "A number that is neither an integer of 64 bits nor a double: servers differ in what they make of it.";
    SchemaWork, "schema-work", 400, "To judge the value would take more work than its length allows.";
    SchemaResponse, "schema-response", 502, "The response is not as the specification says.";
    Pattern, "pattern", 403, "A value holds what a pattern of the policy looks for.";
    RateSpike, "rate-spike", 429, "Requests follow one another faster than a rate of the policy allows.";
    RateQuota, "rate-quota", 429, "A quota of the policy is used up.";
    RateUnknown, "rate-unknown", 503, "A rate, brake or enumeration of the policy cannot be judged: whoever asks keeps no count, or has no clock.";
    BrakeDelay, "brake-delay", 429, "Attempts at this account have failed: the next one has to wait.";
    BrakeAccount, "brake-account", 400, "A login names its account, or its credential, twice: which one counts, only the server behind knows.";
    CrossSite, "cross-site", 403, "Another site made the browser send it, and none that may.";
    CrossSiteFramed, "cross-site-framed", 403, "Another site shows it in a frame, an object or an embed.";
    CrossSiteOrigin, "cross-site-origin", 403, "A page of an origin that is not allowed sends it.";
    CrossSiteNoOrigin, "cross-site-no-origin", 403, "Its origin is `null`, or written as no browser does.";
    CrossSiteUnsigned, "cross-site-unsigned", 403, "It changes something with a credential that browsers send by themselves, and no sign of which page asks.";
    CrossSiteRepeated, "cross-site-repeated", 403, "A header that says which page asks stands twice.";
    CrossSiteToken, "cross-site-token", 403, "A request of a session that changes something, without the token that only our own pages can read, or with one that is not the session's.";
    CorsOrigin, "cors-origin", 403, "A preflight of an origin that is not allowed.";
    CorsMethod, "cors-method", 403, "A preflight for a method that is not allowed to pages of other origins.";
    CorsHeader, "cors-header", 403, "A preflight for a header that is not allowed to pages of other origins.";
    CorsPrivateNetwork, "cors-private-network", 403, "A preflight from the internet into a private network.";
    CorsRepeated, "cors-repeated", 403, "A preflight one of whose headers stands twice.";
    PatternResponse, "pattern-response", 502, "The response holds what a pattern of the policy looks for.";
    IdentityMissing, "identity-missing", 401, "The request does not say who asks, and the route demands that.";
    IdentityClaimed, "identity-claimed", 400, "The request has the header by which servers behind are told who asks, and whoever asks about the request would pass it on.";
    IdentityUnavailable, "identity-unavailable", 503, "Who asks cannot be found out now: keys of an issuer, or what outlives a request, are missing.";
    CredentialForm, "credential-form", 400, "Not one credential in one place: a second one, one in the query or in a form, or one that is no credential (RFC 6750, section 2).";
    TokenRefused, "token-refused", 401, "The token is not good; the evidence's rule says why.";
    ProofRefused, "proof-refused", 401, "The proof of possession (DPoP) that a token came with is missing, wrong or used; the evidence's rule says why.";
    ProofNonce, "proof-nonce", 401, "The proof of possession must hold the nonce that is sent along (RFC 9449, section 8).";
    KeyRefused, "key-refused", 401, "The API key is none, is unknown or revoked, or its time is over.";
    CertificateMissing, "certificate-missing", 403, "The client has shown no certificate, and the route demands one.";
    CertificateRefused, "certificate-refused", 403, "The client's certificate is not of an authority that counts here, has no name that does, or does not hold any more.";
    ScopeMissing, "scope-missing", 403, "The token does not cover what is asked for: a scope is missing.";
    AudienceOther, "audience-other", 401, "The token is for others than this route.";
    ClaimOther, "claim-other", 403, "A claim has none of the values that the route demands.";
    AuthenticationWeak, "authentication-weak", 401, "The route demands a stronger or more recent authentication of the user (RFC 9470).";
    ObjectCount, "object-count", 429, "Whoever asks has asked for as many different objects in a while as it may.";
    ObjectWalk, "object-walk", 429, "Whoever asks goes through objects, from each to the next.";
    ObjectOther, "object-other", 403, "An id in the path, the query or the body is not the identity's own, is missing, or stands twice.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_with_hyphens_and_no_two_are_alike() {
        let names: std::collections::BTreeSet<&str> =
            Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert!(
                reason
                    .name()
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            );
            assert!((400..=505).contains(&reason.status()));
            assert!(reason.description().ends_with('.'), "{reason:?}");
        }
    }
}
