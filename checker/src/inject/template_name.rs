//! Names that lead from a template to what is behind it: members of objects and classes, functions, classes, files.

/// Names of Python's and JavaScript's own by which an object leads to everything: `__class__`, `f_globals`. What stands behind a dot may have any
/// name between two pairs of underscores.
pub(super) fn is_inner(name: &[u8], member: bool) -> bool {
    let dunder = name.len() > 4 && name.starts_with(b"__") && name.ends_with(b"__");
    // What only says what something is called.
    let shows = matches!(
        name,
        b"__name__"
            | b"__qualname__"
            | b"__module__"
            | b"__doc__"
            | b"__file__"
            | b"__version__"
            | b"__str__"
            | b"__repr__"
            | b"__len__"
            | b"__all__"
            | b"__author__"
            | b"__typename__"
    );
    let known = matches!(
        name,
        b"__import__" | b"__builtins__" | b"__class__" | b"__globals__" | b"__mro__" | b"__subclasses__"
    );
    let frames = matches!(
        name,
        b"func_globals"
            | b"f_globals"
            | b"f_back"
            | b"f_builtins"
            | b"gi_frame"
            | b"gi_code"
            | b"cr_frame"
            | b"tb_frame"
            | b"func_code"
            | b"im_func"
            | b"_templatereference__context"
            | b"subclasses"
    );
    member && (frames || dunder && !shows && !name.starts_with(b"__webpack")) || known
}

/// Members of a class that look for others, make them or load them.
pub(super) fn reflects(name: &[u8]) -> bool {
    matches!(
        name,
        b"forname"
            | b"getruntime"
            | b"getclassloader"
            | b"classloader"
            | b"getprotectiondomain"
            | b"protectiondomain"
            | b"getdeclaredmethod"
            | b"getdeclaredmethods"
            | b"getdeclaredconstructor"
            | b"getdeclaredconstructors"
            | b"getdeclaredfield"
            | b"getdeclaredfields"
            | b"newinstance"
            | b"getenginebyname"
            | b"getcodesource"
            | b"loadclass"
            | b"defineclass"
            | b"getresourceasstream"
            | b"readallbytes"
            | b"mro"
            | b"subclasses"
    )
}

/// Functions of PHP that run or read what they are given.
pub(super) fn executes(name: &[u8]) -> bool {
    matches!(
        name,
        b"system"
            | b"exec"
            | b"passthru"
            | b"shell_exec"
            | b"popen"
            | b"proc_open"
            | b"assert"
            | b"phpinfo"
            | b"file_get_contents"
            | b"readfile"
            | b"call_user_func"
            | b"eval"
            | b"highlight_file"
            | b"show_source"
            | b"file_put_contents"
            | b"create_function"
            | b"pcntl_exec"
    )
}

/// The name of a class that reaches the system.
pub(super) fn names_class(text: &[u8]) -> bool {
    [
        &b"java.lang."[..],
        b"java.io.",
        b"java.net.",
        b"java.util.scanner",
        b"javax.script.",
        b"javax.naming.",
        b"sun.misc.",
        b"freemarker.template.utility.",
        b"com.opensymphony.",
        b"com.sun.",
        b"org.apache.commons.io",
        b"system.diagnostics.",
        b"wscript.shell",
    ]
    .iter()
    .any(|start| text.starts_with(start))
}

/// A path that leads out of what templates are kept in.
pub(super) fn is_foreign(path: &[u8]) -> bool {
    [&b"/etc/"[..], b"/proc/", b"/var/", b"/root", b"/home/", b"file:", b"php:", b"../../", b"http"]
        .iter()
        .any(|start| path.starts_with(start))
        || path == b"/"
        || path.get(1) == Some(&b':')
}
