//! Queries of stores and lines of headers that attackers send, and what stands closest to them in documents, manifests and logs.

use super::{Class, Detector, Kind, Scratch, neighbours::told_apart};

#[test]
fn names_of_entries_are_told_from_those_that_analytics_and_schemas_have() {
    let found = |name: &str| Detector::shared().judge(name, Kind::Name, &mut Scratch::default()).is_some();
    for name in ["$ne", "user[$gt]", "$unionWith", "b.$regex", "token[startsWith]"] {
        assert!(found(name), "{name}");
    }
    for name in ["$set", "$group", "$lookup", "$ref", "price[gte]", "filter[where][name]"] {
        assert!(!found(name), "{name}");
    }
}

#[test]
fn operators_of_documents_are_told_from_code_that_has_them_and_from_names_of_other_formats() {
    told_apart(
        Class::NoSql,
        &[
            "{\"$set\": {\"role\": \"b\"}}",
            "[{\"$match\": {}}, {\"$out\": \"b\"}]",
            "[{\"$lookup\": {\"from\": \"b\", \"as\": \"c\"}}]",
            "{\"b\": {\"$size\": 1}}",
            "{\"b.$ne\": 1}",
            "b.$gt=&c=d",
            "{\\\"$gt\\\":\\\"\\\"}",
            "{\"token\": {\"startsWith\": \"b\"}}",
            "filter[password][$like]=b%",
            "b\", \"role\": \"c",
            "b\"}}, {\"match_all\": {}}, {\"term\": {\"c\": \"",
            "' } ], $comment:'b'",
            "{\"script\": {\"source\": \"ctx._source.b=1\"}}",
            "{\"map\": \"function(doc){emit(doc.b,null)}\"}",
            "{\".read\": true}",
        ],
        &[
            "Model.updateOne({}, { $set: { name: 'b' } });",
            "base.pipeline(); // [{ $match: { b: 1 } }]",
            "{\"$schema\": \"http://json-schema.org/b\", \"$comment\": \"c\", \"$ref\": \"#/d\"}",
            "{\"$type\": \"Car\", \"$size\": \"large\"}",
            "$set = $b; $this->$in = 1",
            "{\"password\": {\"type\": \"string\", \"not\": {\"enum\": []}, \"minLength\": 8}}",
            "{\"password\": \"b\", \"contains\": \"c\"}",
            "price[gte]=5",
            "she said \"b\", \"c\" and \"d\"",
            "{\"script\": \"build.js\", \"map\": \"b.js.map\"}",
            "{\"roles\": [\"admin\"]}",
        ],
    );
}

#[test]
fn code_that_leaves_a_string_is_told_from_pieces_of_programs() {
    told_apart(
        Class::NoSql,
        &[
            "b'); return true; //",
            "'; throw new Error(JSON.stringify(this)); '",
            "'; var b = new Date(); do { c = new Date(); } while (c - b < 9000); var d = '",
            "' || Object.keys(this).length > 0 || 'b'=='c",
            "b' || typeof this.c == 'string' && 'd' == 'd",
            "' + function(){return 1}() + '",
            "0;var b=new Date(); do{c=new Date();}while(c-b<9000)",
            "1; db.getCollectionNames()",
            "db.runCommand({listCollections: 1})",
            "tojsononeline(db.getCollectionNames()[0])",
        ],
        &[
            "is wrong\");if(typeof b!=\"boolean\")throw new Error(\"",
            "');return this.b[t][0]},r.c=function(t){var o=t||\"",
            "before b');var t=this.c();if(!t)return this.d(\"",
            "it's; return it to b",
            "db.session.query(b)",
            "const b = 'c'; return b;",
        ],
    );
}

#[test]
fn clauses_of_other_languages_are_told_from_sentences_and_code() {
    told_apart(
        Class::NoSql,
        &[
            "b'}) RETURN n //",
            "b' UNION MATCH (n:User) RETURN n.c //",
            "b' CALL db.labels() YIELD label RETURN label //",
            "b'}) DETACH DELETE n //",
            "CALL dbms.listUsers()",
            "\" || true FOR u IN users RETURN u //",
            "b' LET p = (FOR d IN users RETURN d) RETURN p //",
            "' ALLOW FILTERING; --",
            "b'; TRUNCATE users; --",
            "'; INFO FOR DB; --",
            "b' OR META().id IS NOT MISSING --",
            "b').V().drop().iterate()//",
            "'; r.table('b').delete().run(c); //",
            "b\" . ?s ?p ?o } #",
            "b\") |> to(bucket: \"c\") //",
            "b' or startswith(Password,'c') or 'd' eq 'e",
            "b' or 1 eq 1 or '1' eq '2",
            "b OR attribute_exists(c)",
            "b) OR (c:*",
            "b\" OR \"1\"~100 OR role:admin",
            "b OR *:*",
            "{!join from=b to=b fromIndex=c}d:*",
        ],
        &[
            "the function 'b' returns n // twice",
            "') match the opening one",
            "\"b\" or it is c eq d",
            "import { r } from 'b'; // call c",
            "users.filter('b').map(c).toList()",
            "\"x\" |> String.upcase() |> IO.puts()",
            "title:b OR title:c",
            "(b) OR (c)",
            "(see \"b\") OR c",
            "SET #b = :c AND attribute_exists(#d)",
            "{!lucene q.op=OR}b c",
            "a 'b'. ?",
            "this is 'b'; use c or d",
        ],
    );
}

#[test]
fn commands_and_paths_of_stores_are_told_from_those_of_others() {
    told_apart(
        Class::NoSql,
        &[
            "b\r\nSLAVEOF c.example 6379",
            "b\r\n*1\r\n$8\r\nflushall\r\n",
            "b%0d%0aset c 0 0 1%0d%0ad",
            "b\nflush_all",
            "b%0aKEYS *",
            "CONFIG SET dir /var/spool/cron",
            "FLUSHALL",
            "SCRIPT LOAD \"return redis.call('keys','*')\"",
            "/_all_docs?include_docs=true",
            "_node/_local/_config/b",
            "/_cat/indices?v",
            "b&stream.url=file:///c&qt=d",
            "b.json?orderBy=\"$key\"&limitToFirst=9",
        ],
        &[
            "Notes\nset the table for 2 people",
            "b\nget well soon",
            "usage\nKEYS are listed below",
            "config set by the user",
            "local value = redis.call('get', KEYS[1])\nreturn value",
            "/_next/static/b.js",
            "/api/b/_config/c.js",
            "/b/_search",
            "b/_all/c",
            "/b.json?page=2",
        ],
    );
}

#[test]
fn headers_of_the_registries_are_told_from_lists_of_settings_and_messages() {
    told_apart(
        Class::Header,
        &[
            "b\r\nCache-Control: no-cache",
            "b%0d%0aClear-Site-Data: \"*\"",
            "b\r\nConnection: close",
            "b\nStatus: 302",
            "b\r\n Set-Cookie: c=d",
            "b%0d%0aSet-Cookie : c=d",
            "b\r\nInjected-Header: c",
            "b HTTP/1.1\r\nHost: c",
            "b\r\nDELETE /c HTTP/1.1",
            "b@c.example\nSender: d@c.example",
            "b@c.example\nDisposition-Notification-To: d@c.example",
            "b@c.example\r\n\r\nhello\r\n.",
            "b\u{2028}Set-Cookie: c=d",
            "b\u{10d}\u{10a}Set-Cookie: c=d",
            "b=?utf-8?q?=0d=0aBcc:c@d.example?=",
            "b -OQueueDirectory=/tmp -X/c@d.example",
        ],
        &[
            "name: b\nCache-Control: c",
            "We send it with\nCache-Control: no-cache",
            "b\nStatus: done",
            "b\nConnection: the old one",
            "Hosts\nHost: the first",
            "Dear all,\nDate: Monday\nPlace: here",
            "GET /b HTTP/1.1\nHost: c",
            "> GET /b HTTP/1.1\n> Host: c",
            "b\nRe-use: c",
            "\u{10d}esk\u{e1} to: b",
            "The host is as follows’\n* ``b`` - one\nFrom :manpage:`c(2)`:",
        ],
    );
}

#[test]
fn records_and_commands_behind_a_name_are_told_from_logs_and_texts() {
    told_apart(
        Class::Header,
        &[
            "b\n[INFO] user=c logged in",
            "b\r\n2024-01-01 12:00:00 INFO login of c",
            "b\nJan  1 12:00:00 c sshd[1]: Accepted password for d",
            "b\n192.0.2.1 - - [01/Jan/2024:00:00:00 +0000] \"GET / HTTP/1.1\" 200 5",
            "b\r\nA1 DELETE INBOX",
            "b\"\r\nA2 CAPABILITY",
            "b\r\nUSER c\r\nPASS d",
            "b\r\nRCPT TO: c@d.example",
            "b\r\nEND:VCARD\r\nBEGIN:VCARD",
        ],
        &[
            "1.2.0\n2024-01-01 a release",
            "[INFO] b\n[WARN] c",
            "2024-01-01 12:00:00 b\n2024-01-01 12:00:01 c",
            "Failed\nERRORS were found",
            "b\nA list of c",
            "b\nUSER and PASS are commands",
            "BEGIN:VCARD\r\nFN:b\r\nEND:VCARD",
            "It takes\nRCPT TO: and an address",
        ],
    );
}
