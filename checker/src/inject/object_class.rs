//! Names of classes of Java and .NET that do something when they are made, and where a text names one to be made: entries of JSON, attributes and
//! elements of XML, and binary formats that write names as they are.

use super::{contains, is_word, places, trim_start};

/// Packages and namespaces, in lower case, of classes that look names up, load code, start processes, or read files when they are made or set.
const DOING: &[&[u8]] = &[
    b"bsh.",
    b"br.com.anteros.",
    b"ch.qos.logback.",
    b"clojure.",
    b"com.caucho.",
    b"com.ibm.",
    b"com.mchange.",
    b"com.mysql.",
    b"com.newrelic.",
    b"com.nqadmin.",
    b"com.oracle.",
    b"com.p6spy.",
    b"com.pastdev.",
    b"com.rometools.",
    b"com.sun.",
    b"com.vaadin.data.",
    b"com.zaxxer.hikari.",
    b"flex.messaging.",
    b"groovy.",
    b"hudson.",
    b"java.beans.",
    b"java.io.",
    b"java.lang.",
    b"java.net.",
    b"java.nio.",
    b"java.rmi.",
    b"java.security.",
    b"java.util.arrays$",
    b"java.util.currency",
    b"java.util.jar.",
    b"java.util.logging.",
    b"java.util.priorityqueue",
    b"java.util.serviceloader",
    b"java.util.zip.",
    b"javax.activation.",
    b"javax.el.",
    b"javax.imageio.",
    b"javax.management.",
    b"javax.media.",
    b"javax.naming.",
    b"javax.script.",
    b"javax.sql.",
    b"javax.swing.",
    b"javax.xml.",
    b"jdk.internal.",
    b"jdk.nashorn.",
    b"jodd.",
    b"net.sf.ehcache.",
    b"oracle.",
    b"org.apache.",
    b"org.codehaus.groovy.",
    b"org.datanucleus.",
    b"org.docx4j.",
    b"org.eclipse.jetty.",
    b"org.h2.",
    b"org.hibernate.",
    b"org.hsqldb.",
    b"org.jboss.",
    b"org.jgroups.",
    b"org.jsecurity.",
    b"org.mortbay.",
    b"org.mozilla.javascript.",
    b"org.pac4j.",
    b"org.postgresql.",
    b"org.python.",
    b"org.quartz.",
    b"org.reflections.",
    b"org.slf4j.ext.",
    b"org.springframework.aop.",
    b"org.springframework.beans.",
    b"org.springframework.cache.",
    b"org.springframework.context.",
    b"org.springframework.core.",
    b"org.springframework.expression.",
    b"org.springframework.jndi.",
    b"org.springframework.remoting.",
    b"org.springframework.scripting.",
    b"org.springframework.transaction.",
    b"sun.",
    b"weblogic.",
    // .NET's.
    b"log4net.",
    b"microsoft.build.",
    b"microsoft.exchange.",
    b"microsoft.identitymodel.",
    b"microsoft.management.",
    b"microsoft.powershell.",
    b"microsoft.sharepoint.",
    b"microsoft.visualstudio.",
    b"nhibernate.",
    b"system.activator",
    b"system.activities.",
    b"system.appdomain",
    b"system.codedom.",
    b"system.configuration.",
    b"system.data.dataset",
    b"system.data.services.internal.",
    b"system.delegate",
    b"system.diagnostics.",
    b"system.identitymodel.",
    b"system.io.",
    b"system.management.",
    b"system.messaging.",
    b"system.reflection.",
    b"system.resources.",
    b"system.runtime.",
    b"system.security.",
    b"system.servicemodel.",
    b"system.web.",
    b"system.windows.",
    b"system.workflow.",
    b"system.xaml",
];

/// What of these only holds a value, or says what went wrong.
const HOLDING: &[&[u8]] = &[
    b"java.lang.boolean",
    b"java.lang.byte",
    b"java.lang.character",
    b"java.lang.double",
    b"java.lang.enum",
    b"java.lang.float",
    b"java.lang.integer",
    b"java.lang.iterable",
    b"java.lang.long",
    b"java.lang.number",
    b"java.lang.object",
    b"java.lang.short",
    b"java.lang.string",
    b"java.lang.void",
    b"java.io.ioexception",
    b"java.io.serializable",
    b"java.net.connectexception",
    b"java.net.sockettimeoutexception",
    b"javax.xml.namespace.qname",
];

/// Whether a class does something when it is made that an attacker wants. `name` is in lower case, and may go on behind the class.
pub(super) fn is_gadget(name: &[u8]) -> bool {
    // As the virtual machine writes the types of arrays and members: `[Lcom.a.B;`.
    let inner = name.strip_prefix(b"[").unwrap_or(name);
    let described = inner.iter().take(4).take_while(|byte| **byte == b'l').count();
    [0, described].into_iter().any(|skip| {
        let name = &inner[skip..];
        let length = name
            .iter()
            .take(200)
            .take_while(|byte| is_word(**byte) || matches!(**byte, b'.' | b'$' | b'`' | b'+'))
            .count();
        let class = &name[..length];
        DOING.iter().any(|package| class.starts_with(package)) && !HOLDING.contains(&class)
    })
}

/// Whether a text gives a class to be made, in whatever way JSON, XML and XAML have for it.
pub(super) fn names_one(lower: &[u8]) -> bool {
    strings(lower) || elements(lower)
}

/// Strings that are a class, where what stands before or behind them has it made.
fn strings(lower: &[u8]) -> bool {
    memchr::memchr2_iter(b'"', b'\'', lower).any(|at| {
        let name = &lower[at + 1..];
        let name = name.strip_prefix(b"java:").unwrap_or(name);
        if !name.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'[') || !is_gadget(name) {
            return false;
        }
        let before = without_comment(lower[..at].trim_ascii_end());
        match before.split_last() {
            Some((b':', key)) => chooses(without_comment(key.trim_ascii_end())),
            Some((b'=', attribute)) => chooses(attribute.trim_ascii_end()) && within_tag(lower, at),
            Some((b'[' | b'(', _)) => makes(name, lower[at]),
            Some((b'{', outer)) => {
                outer.trim_ascii_end().ends_with(b"$types\":")
                    || (name.starts_with(b"com.sun.") || name.starts_with(b"com.mchange."))
                        && behind(name, lower[at]).is_some_and(|rest| rest.starts_with(b":"))
            }
            _ => false,
        }
    }) || places(lower, b":#system.").any(|at| is_gadget(&lower[at + 2..]))
}

/// The text without a comment that it ends in: some readers of JSON have them.
fn without_comment(text: &[u8]) -> &[u8] {
    let near = text.len().saturating_sub(64);
    match text.strip_suffix(b"*/") {
        Some(inner) if contains(&inner[near.min(inner.len())..], b"/*") => {
            let start = memchr::memmem::rfind(inner, b"/*").unwrap_or(inner.len());
            inner[..start].trim_ascii_end()
        }
        _ => text,
    }
}

/// Whether what stands before a colon or an equals sign is an entry or an attribute that chooses a class.
fn chooses(before: &[u8]) -> bool {
    let key = before.strip_suffix(b"\"").or_else(|| before.strip_suffix(b"'")).unwrap_or(before);
    let length = key
        .iter()
        .rev()
        .take(16)
        .take_while(|byte| is_word(**byte) || matches!(**byte, b'@' | b'$' | b':' | b'-'))
        .count();
    let key = &key[key.len() - length..];
    let key = key.rsplit(|byte| *byte == b':').next().unwrap_or(key);
    const KEYS: &[&[u8]] = &[
        b"@type",
        b"@class",
        b"@c",
        b"$type",
        b"__type",
        b"class",
        b"json_class",
        b"type",
        b"datatype",
        b"objecttype",
        b"resolves-to",
        b"factorytype",
        b"_class",
        b"javaclass",
        b"classname",
    ];
    KEYS.contains(&key)
        // A plain `type` says so of .NET's classes alone, which come with their assembly.
        && (key != b"type" || before.last().is_some_and(u8::is_ascii_alphabetic))
}

/// Whether a place is within a tag: `<` before it, and no `>` between.
fn within_tag(text: &[u8], at: usize) -> bool {
    let near = &text[at.saturating_sub(512)..at];
    memchr::memrchr2(b'<', b'>', near).is_some_and(|last| near[last] == b'<')
}

/// What follows a string that `name` begins, behind its quote.
fn behind(name: &[u8], quote: u8) -> Option<&[u8]> {
    let end = memchr::memchr(quote, &name[..name.len().min(200)])?;
    Some(trim_start(&name[end + 1..]))
}

/// An array of a class and what it is made of: an object, or the address of something (Jackson's default typing).
fn makes(name: &[u8], quote: u8) -> bool {
    let Some(rest) = behind(name, quote) else { return false };
    // Fastjson reads on where a name of an array's type is followed by another bracket.
    if rest.starts_with(b"[{") {
        return true;
    }
    let Some(rest) = rest.strip_prefix(b",").map(trim_start) else { return false };
    match rest.first() {
        Some(b'{') => true,
        Some(b'"' | b'\'') => {
            let text = &rest[1..rest.len().min(40)];
            contains(text, b"://") || text.starts_with(b"jdbc:")
        }
        _ => false,
    }
}

/// Elements called like a class, XAML's namespaces, and SOAP's of .NET.
fn elements(lower: &[u8]) -> bool {
    // An end of an element behind it makes it one of XML's, and not a type's argument as in `List<java.io.File>`.
    let ends = memchr::memmem::rfind(lower, b"</").unwrap_or(0);
    memchr::memchr_iter(b'<', &lower[..ends]).any(|at| {
        let name = &lower[at + 1..];
        name.first().is_some_and(u8::is_ascii_lowercase)
            && !(at > 0 && is_word(lower[at - 1]))
            && is_gadget(name)
    }) || places(lower, b"clr-namespace:").any(|at| is_gadget(&lower[at + 14..]))
        || contains(lower, b"clr-namespace:system.diagnostics") && contains(lower, b"process")
        || places(lower, b"/clr/nsassem/").any(|at| is_gadget(&lower[at + 13..]))
}

/// Whether bytes that are no text have the name of such a class in them, with dots or slashes between its parts.
pub(super) fn in_binary(bytes: &[u8]) -> bool {
    let part = |byte: &u8| is_word(*byte) || matches!(*byte, b'.' | b'/' | b'$');
    let mut at = 0;
    while let Some(step) = bytes[at..].iter().position(part) {
        at += step;
        let length = bytes[at..].iter().take_while(|byte| part(byte)).count();
        let run = &bytes[at..at + length];
        at += length;
        if length < 12 || !run.iter().any(|byte| matches!(byte, b'.' | b'/')) {
            continue;
        }
        let name: Vec<u8> = run
            .iter()
            .take(120)
            .map(|byte| if *byte == b'/' { b'.' } else { byte.to_ascii_lowercase() })
            .collect();
        // What stands before a name may be its length, which is a letter at times.
        if (0..3).any(|skip| name.get(skip..).is_some_and(|name| is_gadget(name) && name.len() >= 12)) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_that_do_something_are_told_from_those_that_hold_values() {
        for name in [
            &b"com.sun.rowset.jdbcrowsetimpl"[..],
            b"lcom.sun.rowset.jdbcrowsetimpl;",
            b"llcom.sun.rowset.jdbcrowsetimpl;;",
            b"[com.sun.rowset.jdbcrowsetimpl",
            b"java.lang.processbuilder",
            b"system.io.fileinfo, mscorlib",
        ] {
            assert!(is_gadget(name), "{}", String::from_utf8_lossy(name));
        }
        for name in [
            &b"java.lang.string"[..],
            b"java.util.hashmap",
            b"system.string",
            b"system.collections.hashtable",
            b"com.example.a",
            b"person",
        ] {
            assert!(!is_gadget(name), "{}", String::from_utf8_lossy(name));
        }
    }

    #[test]
    fn a_class_counts_where_it_is_made_and_not_where_it_is_named() {
        for text in [
            &b"{\"@type\":\"java.net.url\"}"[..],
            b"{@type:'javax.swing.jeditorpane'}",
            b"{\"@c\" /*a*/ : /*b*/ \"javax.swing.jeditorpane\"}",
            b"[\"org.apache.a.b\",{\"c\":1}]",
            b"[\"org.apache.a.b\",\"ldap://c\"]",
            b"{\"com.mchange.v2.a\":{}}",
            b"{\"$types\":{\"system.windows.data.a\":\"1\"}}",
            b"{\"__type\":\"a:#system.identitymodel.tokens\"}",
            b"<a xsi:type=\"java:org.springframework.beans.b\"/>",
            b"<bean class='java.lang.processbuilder'/>",
            b"<java.lang.processbuilder><a/></java.lang.processbuilder>",
            b"<a xmlns:b=\"clr-namespace:system.diagnostics;assembly=c\"><b:process/></a>",
            b"<a:b xmlns:a=\"http://schemas.microsoft.com/clr/nsassem/system.windows.forms/c\"/>",
        ] {
            assert!(names_one(text), "{}", String::from_utf8_lossy(text));
        }
        for text in [
            &b"{\"logger\":\"org.apache.a.b\"}"[..],
            b"{\"type\":\"org.apache.a.b\"}",
            b"[\"org.apache.a.b\",\"org.apache.c\"]",
            b"{\"org.springframework\":\"debug\"}",
            b"{\"@type\":\"java.util.linkedhashmap\"}",
            b"{\"$type\":\"system.collections.generic.list`1, mscorlib\"}",
            b"a list<java.io.file> of files",
            b"x.class = 'java.io.file'",
            b"<parameter class=\"java.lang.string\"/>",
            b"<a xmlns:b=\"clr-namespace:system;assembly=c\"/>",
        ] {
            assert!(!names_one(text), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn names_in_binary_are_found_behind_their_length() {
        assert!(in_binary(b"\x00\x07;com.sun.rowset.JdbcRowSetImpl\x01"));
        assert!(in_binary(b"Mt\x00\x103sun/rmi/server/UnicastRef\x00"));
        assert!(!in_binary(b"\x89PNG\r\n\x1a\nhttp://ns.adobe.com/xap/1.0/\x00"));
    }
}
