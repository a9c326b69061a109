//! JavaScript that a store runs (`$where`, views, shells of MongoDB): what leaves a string of it and goes on.

use super::{Best, Class, contains, is_word};

pub(super) fn judge(lower: &[u8], best: &mut Best) {
    let start = super::trim_start(lower);
    if let Some(left) = left(start)
        && start.len() <= 512
        && (statement(&left) || expression(&left))
    {
        best.add(Class::NoSql, "nosql-code", 80);
        return;
    }
    bare(start, best);
    shell(start, best);
    if contains(lower, b"this.")
        && contains(lower, b".match(/")
        && lower.contains(&b'\'')
        && lower.len() < 256
        && contains(lower, b"&&")
    {
        best.add(Class::NoSql, "nosql-code", 70);
    }
    // A function as `$where` takes it, or its body.
    let body = start.strip_prefix(b"function()").map(super::trim_start);
    let returns = body.and_then(|body| body.strip_prefix(b"{")).map(super::trim_start);
    let condition = start.starts_with(b"this.") && contains(start, b"==") && contains(start, b"|| true");
    if start.len() <= 200 && (returns.is_some_and(|body| body.starts_with(b"return this.")) || condition) {
        best.add(Class::NoSql, "nosql-code", 70);
    }
    if start.starts_with(b"{\"&exists") || start.starts_with(b"|| 1==1") || start.starts_with(b"||1==1") {
        best.add(Class::NoSql, "nosql-operator", 65);
    }
}

/// What stands behind a string that a value leaves.
pub(super) struct Left<'t> {
    /// The quote that closed it.
    pub(super) quote: u8,
    /// Behind the quote and the brackets that close what the string stood in.
    pub(super) tail: &'t [u8],
    /// Whether there were such brackets.
    pub(super) closed: bool,
    /// Whether one of them is of an object or a block.
    pub(super) brace: bool,
}

/// What a byte says that stands before any quote.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// It can be the content of a string.
    Content,
    Quote,
    /// It is of code.
    Other,
}

const BEFORE: [Before; 256] = {
    let mut table = [Before::Content; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'\'' | b'"' | b'`' => Before::Quote,
            b'(' | b'{' | b'[' | b'=' | b'\n' | b';' | b'<' => Before::Other,
            _ => Before::Content,
        };
        byte += 1;
    }
    table
};

/// The first quote of a value, if what stands before it can be the content of a string, or nothing.
pub(super) fn left(start: &[u8]) -> Option<Left<'_>> {
    let at = start.iter().take(64).position(|byte| BEFORE[usize::from(*byte)] != Before::Content)?;
    if BEFORE[usize::from(start[at])] == Before::Other {
        return None;
    }
    let rest = &start[at..];
    let quote = rest[0];
    let closing = rest[1..]
        .iter()
        .take(16)
        .take_while(|byte| matches!(byte, b')' | b'}' | b']' | b' ' | b'\t' | b'\n'))
        .count();
    let (brackets, tail) = rest[1..].split_at(closing);
    let closed = brackets.iter().any(|byte| matches!(byte, b')' | b'}' | b']'));
    Some(Left { quote, tail, closed, brace: brackets.contains(&b'}') })
}

impl Left<'_> {
    /// Whether it ends in a string that begins behind `;` or `=`: what stands between two strings of a program ends within a call more often.
    fn entered(&self) -> bool {
        let end = self.tail.trim_ascii_end();
        let end = end.strip_suffix(&[self.quote]).map(<[u8]>::trim_ascii_end);
        end.is_some_and(|end| matches!(end.last(), Some(b';' | b'='))) || end.is_none() && self.ends()
    }

    /// Whether what follows the value is cut off by a comment or NUL, or is a string again.
    pub(super) fn ends(&self) -> bool {
        let end = self.tail.trim_ascii_end();
        if cut(end) {
            return true;
        }
        // `var a='`, `; '`, `'x'=='x`, `} ('`
        let last = end.iter().rev().take(8).position(|byte| *byte == self.quote);
        last.is_some_and(|last| {
            let at = end.len() - 1 - last;
            let odd = memchr::memchr_iter(self.quote, end).count() % 2 == 1;
            odd && end[at + 1..].iter().all(|byte| is_word(*byte)) && at > 0
        })
    }
}

/// Whether it ends in what begins a comment, or in NUL: what follows counts no more.
pub(super) fn cut(end: &[u8]) -> bool {
    let end = end.strip_suffix(b"+").unwrap_or(end);
    [&b"//"[..], b"/*", b"--", b"-- -", b"#", b"%00", b"\0", b"<!--"].iter().any(|cut| end.ends_with(cut))
}

/// `; return true; var a='`: a statement, and the end of it or another string.
fn statement(left: &Left<'_>) -> bool {
    let Some(rest) = left.tail.strip_prefix(b";") else { return false };
    let rest = super::trim_start(rest);
    let rest = super::trim_start(rest.strip_prefix(b";").unwrap_or(rest));
    let alone = [
        &b"return true"[..],
        b"return(",
        b"return 1",
        b"return '",
        b"return \"",
        b"return this",
        b"return!",
        b"sleep(",
        b"while(",
        b"this.",
        b"db.",
        b"var ",
        b"it=new",
        b"function()",
    ];
    let ended = [
        &b"return "[..],
        b"return{",
        b"throw ",
        b"while (",
        b"for(",
        b"for (",
        b"do{",
        b"do {",
        b"let ",
        b"const ",
        b"emit(",
        b"if(",
        b"if (",
        b"tojson(",
    ];
    let cut = cut(left.tail.trim_ascii_end());
    alone.iter().any(|word| rest.starts_with(word)) && (!left.closed || left.brace || cut)
        || ended.iter().any(|word| rest.starts_with(word)) && (cut || !left.closed && left.entered())
}

/// `|| this.role == 'admin' || '`: another operand, which only JavaScript has.
fn expression(left: &Left<'_>) -> bool {
    let tail = left.tail;
    let joined = tail.strip_prefix(b"||").or_else(|| tail.strip_prefix(b"&&"));
    let added = tail.strip_prefix(b"+").map(super::trim_start);
    if let Some(rest) = added {
        let rest = super::trim_start(rest.strip_prefix(b"(").unwrap_or(rest));
        return rest.starts_with(b"function(") && (left.quote != b'`')
            || rest.starts_with(b"db.") && left.ends();
    }
    let Some(rest) = joined.map(super::trim_start) else { return false };
    let rest = rest.strip_prefix(b"(").unwrap_or(rest);
    let rest = rest.strip_prefix(b"!").unwrap_or(rest);
    let alone = [&b"return true"[..], b"sleep(", b"while(", b"this.", b"db.", b"function()"];
    let operand =
        [&b"object.keys("[..], b"typeof ", b"hasownproperty(", b"json.stringify(", b"new date", b"emit("]
            .iter()
            .any(|word| rest.starts_with(word));
    let pattern = rest.starts_with(b"/") && (contains(rest, b"/.test(") || contains(rest, b"/i.test("));
    let truth = rest.strip_prefix(b"true").map(super::trim_start).is_some_and(|rest| rest.starts_with(b"||"));
    alone.iter().any(|word| rest.starts_with(word)) || (operand || pattern || truth) && left.ends()
}

/// Statements behind a number.
fn bare(start: &[u8], best: &mut Best) {
    let number = start.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let Some(rest) = super::trim_start(&start[number..]).strip_prefix(b";") else { return };
    let first = &rest[..rest.len().min(16)];
    let rest = super::trim_start(rest);
    let loops = contains(rest, b"new date") && (contains(rest, b"do{") || contains(rest, b"do {"));
    if contains(first, b"return true")
        || contains(first, b"return 1")
        // Without a number it is a statement of SQL, or of anything.
        || number > 0 && (contains(first, b"sleep(") || rest.starts_with(b"db.") || loops && start.len() <= 256)
    {
        best.add(Class::NoSql, "nosql-code", 75);
    }
}

/// What MongoDB's shell calls on a database or a collection.
const METHODS: [&[u8]; 29] = [
    b"insert",
    b"insertone",
    b"insertmany",
    b"find",
    b"findone",
    b"drop",
    b"dropdatabase",
    b"dropuser",
    b"remove",
    b"deleteone",
    b"deletemany",
    b"update",
    b"updateone",
    b"updatemany",
    b"aggregate",
    b"mapreduce",
    b"getcollectionnames",
    b"getcollection",
    b"getcollectioninfos",
    b"getsiblingdb",
    b"getusers",
    b"getuser",
    b"createuser",
    b"updateuser",
    b"admincommand",
    b"runcommand",
    b"shutdownserver",
    b"serverstatus",
    b"hostinfo",
];

/// `db.users.find(…)`, as the value begins or in what prints it.
fn shell(start: &[u8], best: &mut Best) {
    let printed = [&b"tojsononeline("[..], b"tojson(", b"printjson("]
        .iter()
        .find_map(|print| start.strip_prefix(*print));
    // `');db.users.update(`
    let behind = left(start).filter(|left| left.closed).and_then(|left| left.tail.strip_prefix(b";"));
    let Some(path) = printed.or(behind).unwrap_or(start).strip_prefix(b"db.").filter(|_| start.len() < 160)
    else {
        return;
    };
    let length = path.iter().take_while(|byte| is_word(**byte) || **byte == b'.').count();
    let method = path[..length].rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    if path[length..].starts_with(b"(") && METHODS.contains(&method) {
        best.add(Class::NoSql, "nosql-command", 65);
    }
}
