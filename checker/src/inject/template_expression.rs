//! What stands between the brackets of a template's language, read as an expression of the union of these languages: names, members, calls,
//! strings and signs. A placeholder is a name and its members, perhaps through a filter; an attack computes from literals alone, or walks from an
//! object to its class, its module or its process, or calls what runs, reads or loads something.

use super::{
    template_name::{executes, is_foreign, is_inner, names_class, reflects},
    template_token::{
        Token::{self, Number, Sign, Text, Word},
        computes, tokens,
    },
};

/// An expression, in lower case.
pub(super) struct Expression<'t> {
    tokens: Vec<Token<'t>>,
    /// It stands in brackets that scripts have as well (`${…}`), where calls and constructors are everyday things.
    script: bool,
}

impl<'t> Expression<'t> {
    /// Reads what stands behind the bracket `open`.
    pub(super) fn read(inner: &'t [u8], open: &[u8]) -> Self {
        let script = matches!(open, b"${" | b"@(" | b"[[" | b"{");
        Self { tokens: tokens(inner), script }
    }

    /// The rule that the expression breaks, and its score.
    pub(super) fn judge(&self) -> Option<(&'static str, u16)> {
        for at in 0..self.tokens.len() {
            let Some(token) = self.get(at) else { break };
            let reaches = match token {
                Word(name) => self.word(at, name),
                Text(text) => self.text(at, text),
                Sign(sign) => self.sign(at, sign),
                Number => false,
            };
            if reaches {
                return Some(("template-reach", 90));
            }
        }
        if computes(&self.tokens) {
            return Some(("template-computes", 85));
        }
        None
    }

    fn get(&self, at: usize) -> Option<Token<'t>> {
        self.tokens.get(at).copied()
    }

    fn before(&self, at: usize) -> Option<Token<'t>> {
        self.get(at.checked_sub(1)?)
    }

    fn is(&self, at: usize, sign: u8) -> bool {
        self.get(at) == Some(Sign(sign))
    }

    fn called(&self, at: usize) -> bool {
        self.is(at + 1, b'(')
    }

    /// Whether a name is a member of what stands before it: `a.b`, `a->b`, `a::b`.
    fn is_member(&self, at: usize) -> bool {
        match self.before(at) {
            Some(Sign(b'.')) => true,
            Some(Sign(b'>')) => at > 1 && self.is(at - 2, b'-'),
            Some(Sign(b':')) => at > 1 && self.is(at - 2, b':'),
            _ => false,
        }
    }

    /// The name that is the next member, with whatever is called or indexed in between left out.
    fn member(&self, at: usize) -> Option<&'t [u8]> {
        let mut next = at + 1;
        if self.is(next, b'(') && self.is(next + 1, b')') {
            next += 2;
        }
        match (self.get(next)?, self.get(next + 1)?) {
            (Sign(b'.'), Word(name)) | (Sign(b'['), Text(name)) => Some(name),
            _ => None,
        }
    }

    /// A string as a call's first argument, or directly behind the name.
    fn argument(&self, at: usize) -> Option<&'t [u8]> {
        match (self.get(at + 1)?, self.get(at + 2)) {
            (Text(text), _) | (Sign(b'('), Some(Text(text))) => Some(text),
            _ => None,
        }
    }

    /// A name, as a member or by itself.
    fn word(&self, at: usize, name: &[u8]) -> bool {
        let member = self.is_member(at);
        let named = matches!(self.member(at), Some(b"__name__" | b"__qualname__" | b"__module__"));
        is_inner(name, member || self.called(at))
            && (member || self.called(at) || self.is(at + 1, b'.'))
            && !named
            || member && reflects(name) && (self.called(at) || self.get(at + 1).is_none())
            || self.settings(at, name)
            || self.class(at, name)
            || self.constructor(at, name, member)
            || self.process(at, name)
            || self.runs(at, name, member)
            || self.package(at, name)
            || self.filters(at, name)
            || self.files(at, name)
            || self.imports(at, name)
    }

    /// `.class.forName(…)`, `getClass().…`, and no name of the class.
    fn class(&self, at: usize, name: &[u8]) -> bool {
        let shown: &[&[u8]] = &[
            b"getsimplename",
            b"simplename",
            b"getname",
            b"name",
            b"getcanonicalname",
            b"equals",
            b"hashcode",
        ];
        match name {
            b"getclass" => {
                self.called(at) && self.member(at).map_or(!self.script, |next| !shown.contains(&next))
            }
            b"class" | b"type" => {
                let looks = |next: &[u8]| {
                    reflects(next)
                        || matches!(next, b"getmethod" | b"getmethods" | b"getresource" | b"base" | b"mro")
                };
                self.is_member(at) && self.member(at).is_some_and(looks)
            }
            _ => false,
        }
    }

    /// What a framework keeps from its users: its settings as a whole, and its secrets.
    fn settings(&self, at: usize, name: &[u8]) -> bool {
        let secret = |next: &[u8]| next.starts_with(b"secret") || next.ends_with(b"password");
        match name {
            b"config" if at == 0 => {
                self.member(at).is_some_and(|next| next == b"items" && self.called(at + 2) || secret(next))
                    || matches!(self.member(at), Some(b"from_pyfile" | b"from_object" | b"from_envvar"))
            }
            b"_self" => self.member(at) == Some(b"env"),
            b"smarty" | b"$smarty" => matches!(self.member(at), Some(b"version" | b"template_object")),
            b"handler" => at == 0 && self.member(at) == Some(b"settings"),
            b"messages" => at == 0 && self.member(at) == Some(b"storages"),
            b"settings" => at == 0 && self.member(at).is_some_and(secret),
            _ => false,
        }
    }

    /// `constructor.constructor(…)`, `a.constructor(…)`. A script's `${a.constructor.name}` is none, and neither is a class within `${…}`.
    fn constructor(&self, at: usize, name: &[u8], member: bool) -> bool {
        if name != b"constructor" {
            return matches!(name, b"$eval" | b"$parse") && !self.script && self.called(at);
        }
        let next = self.member(at);
        matches!(next, Some(b"constructor" | b"prototype"))
            || self.called(at) && (member || !self.script)
            || member && !self.script
    }

    /// Node's process, and the modules that reach beyond it.
    fn process(&self, at: usize, name: &[u8]) -> bool {
        match name {
            b"process" => {
                let next = self.member(at);
                matches!(next, Some(b"mainmodule" | b"binding" | b"_linkedbinding" | b"dlopen"))
                    || matches!(self.before(at), Some(Sign(b'.')))
                        && at > 1
                        && matches!(self.get(at - 2), Some(Word(b"global" | b"root" | b"globalthis")))
            }
            b"require" => {
                let module = self.argument(at).map(|module| module.strip_prefix(b"node:").unwrap_or(module));
                matches!(module, Some(b"child_process" | b"vm" | b"worker_threads" | b"cluster"))
                    || !self.script && matches!(module, Some(b"fs" | b"os" | b"net" | b"http" | b"open3"))
            }
            b"system" => matches!(self.member(at), Some(b"getenv" | b"getproperty")),
            b"execsync" | b"spawnsync" | b"execfile" | b"execfilesync" => self.argument(at).is_some(),
            _ => false,
        }
    }

    /// What runs its argument: as PHP, Python, Ruby, Groovy and Go have it.
    fn runs(&self, at: usize, name: &[u8], member: bool) -> bool {
        let argument = self.argument(at);
        match name {
            b"system" | b"shell_exec" | b"passthru" | b"popen" | b"proc_open" | b"pcntl_exec"
            | b"phpinfo" => self.called(at) || !self.script && argument.is_some(),
            b"exec" | b"eval" | b"assert" | b"spawn" => {
                let bare = !self.script || !member;
                let takes = argument.is_some() || self.is(at + 1, b'(') && self.is(at + 2, b'$');
                bare && takes && (self.called(at) || !self.script)
            }
            b"readfile" | b"file_get_contents" | b"highlight_file" | b"show_source" | b"runcommand"
            | b"command" | b"shell" | b"writefile" => {
                argument.is_some() && (self.called(at) || self.is_member(at))
            }
            b"subprocess" | b"commands" => matches!(
                self.member(at),
                Some(b"popen" | b"call" | b"run" | b"check_output" | b"check_call" | b"getoutput")
            ),
            b"os" => matches!(
                self.member(at),
                Some(
                    b"popen"
                        | b"system"
                        | b"listdir"
                        | b"environ"
                        | b"getenv"
                        | b"execv"
                        | b"spawnl"
                        | b"walk"
                )
            ),
            b"module" | b"template" => {
                matches!(self.member(at), Some(b"cache" | b"runtime" | b"module"))
                    && at > 1
                    && self.get(at - 2) == Some(Word(b"self"))
            }
            b"execute" => {
                member && self.called(at) && at > 1 && matches!(self.get(at - 2), Some(Text(_) | Sign(b']')))
            }
            b"io" | b"kernel" | b"open3" | b"pty" => matches!(
                self.member(at),
                Some(
                    b"popen"
                        | b"popen3"
                        | b"read"
                        | b"readlines"
                        | b"capture2"
                        | b"capture2e"
                        | b"capture3"
                        | b"system"
                        | b"exec"
                        | b"spawn"
                        | b"fork"
                )
            ),
            b"typeof" => self.called(at) && self.member_behind(at).is_some_and(|name| name == b"assembly"),
            b"createobject" => argument.is_some() && self.called(at),
            _ => false,
        }
    }

    /// The member behind a call with one argument: `typeof(a).b`.
    fn member_behind(&self, at: usize) -> Option<&'t [u8]> {
        match (self.get(at + 3)?, self.get(at + 4)?, self.get(at + 5)?) {
            (Sign(b')'), Sign(b'.'), Word(name)) => Some(name),
            _ => None,
        }
    }

    /// A class by its package, and something done with it: `T(java.lang.Runtime)`, `new java.io.File(…)`, `@java.lang.Runtime@…`. A property
    /// (`${java.io.tmpdir}`) has nothing behind it.
    fn package(&self, at: usize, name: &[u8]) -> bool {
        if self.is_member(at) {
            return false;
        }
        let (mut parts, mut next) = (1, at + 1);
        while self.is(next, b'.') && matches!(self.get(next + 1), Some(Word(_))) {
            parts += 1;
            next += 2;
        }
        let made = self.before(at) == Some(Word(b"new"));
        let typed = self.before(at) == Some(Sign(b'(')) && at > 1 && self.get(at - 2) == Some(Word(b"t"));
        let fixed = self.before(at) == Some(Sign(b'@')) && self.is(next, b'@');
        let done = matches!(self.get(next), Some(Sign(b'(' | b')' | b'@')));
        match name {
            b"java" | b"javax" | b"jakarta" | b"sun" | b"groovy" | b"freemarker" | b"jdk" => {
                parts > 2 && done
            }
            b"com" | b"org" | b"net" => parts > 2 && (made || typed || fixed),
            b"system" => {
                let known = self.get(at + 2);
                parts > 2
                    && done
                    && matches!(
                        known,
                        Some(Word(b"diagnostics" | b"io" | b"reflection" | b"net" | b"management"))
                    )
            }
            b"processbuilder" | b"scriptenginemanager" => made,
            b"file" => {
                made && self
                    .argument(at)
                    .is_some_and(|path| path.starts_with(b"/") || path.get(1) == Some(&b':'))
            }
            _ => fixed && parts > 1,
        }
    }

    /// Filters that call what they are told, and built-ins that make or evaluate something.
    fn filters(&self, at: usize, name: &[u8]) -> bool {
        match (self.before(at), name) {
            (Some(Sign(b'|' | b'.')), b"filter" | b"map" | b"sort" | b"reduce" | b"find" | b"array_map") => {
                let told = (self.called(at) || self.is(at + 1, b':'))
                    && (at + 2..at + 6).any(|at| matches!(self.get(at), Some(Text(name)) if executes(name)));
                told || name == b"filter"
                    && self.called(at)
                    && self.within(at, b"request")
                    && self.is(at - 1, b'.')
            }
            (Some(Sign(b'|')), b"attr") => self.called(at),
            (Some(Sign(b'|')), b"file_excerpt") => true,
            (Some(Sign(b'|')), b"format") => {
                at > 1
                    && matches!(self.get(at - 2), Some(Text(text)) if text.windows(2).any(|two| two == b"%c"))
            }
            (Some(Sign(b'|')), _) if executes(name) || name == b"popen" => at > 1 && !self.is(at - 2, b'|'),
            (Some(Sign(b'?')), b"new") => self.called(at),
            (Some(Sign(b'?')), b"api") => {
                self.is(at + 1, b'.') && !self.chooses(at) && at > 1 && !self.is(at - 2, b'?')
            }
            (Some(Sign(b'?')), b"interpret" | b"eval") => {
                at > 1
                    && matches!(self.get(at - 2), Some(Text(_) | Word(_) | Sign(b')')))
                    && !self.chooses(at)
            }
            (
                _,
                b"getfilter"
                | b"registerundefinedfiltercallback"
                | b"registerundefinedfunctioncallback"
                | b"disablesecurity"
                | b"getstreamvariable"
                | b"setcache",
            ) => self.called(at),
            (_, b"server") => self.is_member(at) && at > 2 && self.get(at - 2) == Some(Word(b"request")),
            (_, b"applicationscope" | b"sessionscope" | b"requestscope" | b"pagecontext") => {
                self.tokens[at..].contains(&Sign(b'('))
            }
            _ => false,
        }
    }

    /// Whether `? … : …` chooses, from here on.
    fn chooses(&self, at: usize) -> bool {
        self.tokens[at..].contains(&Sign(b':'))
    }

    fn within(&self, at: usize, name: &[u8]) -> bool {
        self.tokens[..at].contains(&Word(name))
    }

    /// Files that are read by a path that no template has: `File.read('/etc/passwd')`, `include('/proc/self/environ')`.
    fn files(&self, at: usize, name: &[u8]) -> bool {
        let (called, argument) = match name {
            b"file" | b"dir" => {
                let read = matches!(
                    self.member(at),
                    Some(
                        b"read"
                            | b"open"
                            | b"new"
                            | b"entries"
                            | b"glob"
                            | b"foreach"
                            | b"binread"
                            | b"readlines"
                    )
                );
                (read, self.argument(at + 2))
            }
            b"include" | b"extends" | b"source" | b"open" | b"fetch" | b"load" | b"parse" | b"import"
            | b"get_user_file" | b"readfilesync" => (true, self.argument(at)),
            _ => return false,
        };
        called && argument.is_some_and(is_foreign)
    }

    /// Python's modules that reach the system.
    fn imports(&self, at: usize, name: &[u8]) -> bool {
        let module = |at: usize| {
            matches!(
                self.get(at),
                Some(Word(
                    b"os"
                        | b"sys"
                        | b"subprocess"
                        | b"commands"
                        | b"pty"
                        | b"socket"
                        | b"shutil"
                        | b"posix"
                        | b"importlib"
                        | b"builtins"
                        | b"platform"
                ))
            )
        };
        at == 0
            && (name == b"import" && module(1)
                || name == b"from" && module(1) && self.get(2) == Some(Word(b"import")))
    }

    /// A string: a member by its name in pieces, a class by its name.
    fn text(&self, at: usize, text: &[u8]) -> bool {
        if [&b"/etc/passwd"[..], b"/etc/shadow", b"/proc/self/"].iter().any(|file| text.starts_with(file)) {
            return true;
        }
        let first = match self.before(at) {
            Some(Sign(b'+' | b'~')) => return false,
            Some(Sign(b'[')) => true,
            Some(Sign(b'(')) => false,
            // {{#with "s" as |string|}}, lookup a "constructor"
            Some(Word(b"with")) => return at > 1 && self.is(at - 2, b'#'),
            Some(Word(_)) => return text == b"constructor" && !self.script,
            _ => return names_class(text) && self.called_anywhere(),
        };
        let mut joined = text.to_vec();
        let mut next = at + 1;
        while let (Some(Sign(b'+' | b'~')), Some(Text(more))) = (self.get(next), self.get(next + 1)) {
            joined.extend_from_slice(more);
            next += 2;
        }
        let subscript =
            first && at > 1 && !matches!(self.get(at - 2), Some(Sign(b'(' | b',' | b'=' | b'[' | b':')));
        let pieces = next > at + 1;
        let inner = is_inner(&joined, true) || joined == b"constructor" && (!self.script || pieces);
        inner && (subscript || pieces || !first) || names_class(&joined) && self.called_anywhere()
    }

    fn called_anywhere(&self) -> bool {
        self.tokens.iter().any(|token| matches!(token, Sign(b'(' | b'[' | b'?')))
    }

    /// Signs that names have nothing to do with: backticks, variables of OGNL, `.data_model`, a method of Go's.
    fn sign(&self, at: usize, sign: u8) -> bool {
        let Some(Word(next)) = self.get(at + 1) else { return false };
        match sign {
            b'#' => {
                let assigned = self.is(at + 2, b'=') && !self.is(at + 3, b'=');
                assigned && self.before(at) != Some(Sign(b'{')) && (at > 0 || self.script)
                    || matches!(next, b"_memberaccess" | b"context") && self.is(at + 2, b'[')
            }
            b'.' => {
                let special = self.script && at == 0;
                let known = matches!(next, b"data_model" | b"globals" | b"vars" | b"main" | b"version");
                let method =
                    matches!(next, b"exec" | b"system" | b"cmd" | b"run" | b"open" | b"readfile" | b"shell");
                special && known
                    || !self.script
                        && method
                        && matches!(self.get(at + 2), Some(Text(_)))
                        && !matches!(self.before(at), Some(Sign(b')')))
                    || at > 0 && self.before(at) == Some(Word(b"list")) && known
            }
            b'@' => matches!(next, b"asttest" | b"grab" | b"grabconfig") && self.is(at + 2, b'('),
            b'%' => next == b"x" && at == 0 && !self.script && matches!(self.get(at + 2), Some(Sign(_))),
            _ => false,
        }
    }
}

#[cfg(test)]
#[path = "template_expression_tests.rs"]
mod tests;
