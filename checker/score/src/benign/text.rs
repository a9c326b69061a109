//! Text: paragraphs and code of documentation, literals of source code, URLs.

/// Paragraphs (`false`) and blocks of code (`true`) of Markdown, reStructuredText and plain text, line ends within them kept.
pub(super) fn paragraphs(text: &str, each: &mut dyn FnMut(bool, &str)) {
    let (mut fenced, mut block) = (false, String::new());
    for line in text.lines() {
        let fence = line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~");
        if fence || (line.trim().is_empty() && !fenced) {
            flush(&mut block, fenced, each);
            fenced ^= fence;
            continue;
        }
        if !block.is_empty() {
            block.push('\n');
        }
        block += line;
    }
    flush(&mut block, fenced, each);
}

fn flush(block: &mut String, fenced: bool, each: &mut dyn FnMut(bool, &str)) {
    let code = fenced || block.lines().all(|line| line.starts_with("    ") || line.starts_with('\t'));
    if code {
        // Whole, and line by line: both are what people paste.
        block.lines().for_each(|line| each(true, line.trim()));
    }
    if !block.is_empty() {
        each(code, block.trim_matches('\n'));
    }
    block.clear();
}

/// Elements of HTML that hold text: the lines which begin with one, with their markup.
pub(super) fn html(text: &str, each: &mut dyn FnMut(&str)) {
    const ELEMENTS: [&str; 9] = ["<p", "<li", "<h1", "<h2", "<h3", "<td", "<dd", "<dt", "<blockquote"];
    for line in text.lines().map(str::trim) {
        if ELEMENTS.iter().any(|element| line.starts_with(element)) {
            each(line);
        }
    }
}

/// String literals (`false`) of JavaScript, Python and catalogues of messages, on one line, in single, double or back quotes; and
/// documentation (`true`) in source code: Python's strings in three quotes, comments that begin with `/**`. Other comments are passed over.
pub(super) fn literals(text: &str, python: bool, each: &mut dyn FnMut(bool, &str)) {
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let mut length = first.len_utf8();
        if python && (rest.starts_with("\"\"\"") || rest.starts_with("'''")) {
            let end = rest[3..].find(&rest[..3]).map_or(rest.len(), |end| end + 6);
            each(true, &plain(rest[..end].trim_matches(first), ""));
            length = end;
        } else if !python && rest.starts_with("/*") {
            let end = rest[2..].find("*/").map_or(rest.len(), |end| end + 4);
            if rest.starts_with("/**") {
                each(true, &plain(rest[..end].trim_matches(['/', '*']), "*"));
            }
            length = end;
        } else if (python && first == '#') || (!python && rest.starts_with("//")) {
            length = rest.find('\n').unwrap_or(rest.len());
        } else if matches!(first, '\'' | '"' | '`') {
            let (value, end) = literal(rest, first);
            value.iter().for_each(|value| each(false, value));
            length = end;
        }
        rest = &rest[length..];
    }
}

/// A comment's text: what begins every line taken off.
fn plain(comment: &str, mark: &str) -> String {
    let lines = comment.lines().map(|line| {
        let line = line.trim();
        line.strip_prefix(mark).unwrap_or(line).trim()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The literal at the beginning of `text`, and where it ends. None where it does not end on its line, or has escapes by number: those belong
/// to code, not to text.
fn literal(text: &str, quote: char) -> (Option<String>, usize) {
    let mut value = String::new();
    let mut good = true;
    let mut rest = text.char_indices().skip(1);
    while let Some((place, character)) = rest.next() {
        match character {
            '\n' => return (None, place),
            end if end == quote => return (good.then_some(value), place + 1),
            '\\' => match rest.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, escaped)) if !escaped.is_ascii_alphanumeric() => value.push(escaped),
                _ => good = false,
            },
            other => value.push(other),
        }
    }
    (None, text.len())
}

/// Absolute URLs of web pages and files, with a host that has a dot and something behind it.
pub(super) fn urls(text: &str, each: &mut dyn FnMut(&str)) {
    let mut rest = text;
    while let Some(place) = rest.find("http") {
        rest = &rest[place..];
        let end = rest.find(|c: char| !c.is_ascii_graphic() || "\"'<>()[]{}`\\|^*$".contains(c));
        let whole = &rest[..end.unwrap_or(rest.len())];
        // What is cut short at a placeholder is no URL.
        let cut = end.is_some_and(|end| rest[end..].starts_with(['{', '$', '*', '[', '\\', '(']));
        let url = whole.trim_end_matches(['.', ',', ';', ':', '!', '?', '&', '=']);
        let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        if let Some((host, _)) = host.and_then(|host| host.split_once('/'))
            && !cut
            && host.contains('.')
            && !host.contains('@')
            // Entities and formats that stand around it or for a part of it.
            && !["&lt;", "&gt;", "&quot;", "&amp;", "&#"].iter().any(|entity| whole.contains(entity))
            && crate::encode::url_decode(url).is_some()
        {
            each(url);
        }
        rest = &rest[whole.len().max(4)..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_and_code_are_told_apart() {
        let mut found = Vec::new();
        paragraphs(
            "# A\n\nSome *text*,\non two lines.\n\n```js\nlet a = 1;\n\nb()\n```\nEnd.",
            &mut |code, block| {
                found.push((code, block.to_owned()));
            },
        );
        let found: Vec<(bool, &str)> = found.iter().map(|(code, block)| (*code, block.as_str())).collect();
        assert_eq!(
            found,
            [
                (false, "# A"),
                (false, "Some *text*,\non two lines."),
                (true, "let a = 1;"),
                (true, ""),
                (true, "b()"),
                (true, "let a = 1;\n\nb()"),
                (false, "End."),
            ]
        );
    }

    #[test]
    fn literals_are_read_over_escapes_and_comments() {
        let read = |text: &str, python| {
            let mut found = Vec::new();
            literals(text, python, &mut |documentation, text| found.push((documentation, text.to_owned())));
            found
        };
        let some = |texts: &[(bool, &str)]| -> Vec<(bool, String)> {
            texts.iter().map(|(documentation, text)| (*documentation, (*text).to_owned())).collect()
        };
        let javascript = "a('O\\'Brien', \"x\\ny\") // don't\n/* isn't */ 'z' /** One\n * two\n */ 'w'";
        assert_eq!(
            read(javascript, false),
            some(&[(false, "O'Brien"), (false, "x\ny"), (false, "z"), (true, "One\ntwo\n"), (false, "w")])
        );
        let python = "x = 'a' # don't\n\"\"\"It's\n    so.\"\"\"\ny = \"it's\"\n'open\n'b'";
        assert_eq!(
            read(python, true),
            some(&[(false, "a"), (true, "It's\nso."), (false, "it's"), (false, "b")])
        );
        assert_eq!(read("'\\x41' \"ok\"", false), some(&[(false, "ok")]));
        assert_eq!(read("/** open", false), some(&[(true, "open")]));
    }

    #[test]
    fn urls_end_where_text_goes_on() {
        let mut found = Vec::new();
        let text = "See (https://a.example/b?c=d&e=%20f). <http://b.example/>, http://e.example/v%s x https://f.example/a&quot;&gt; https://c.example/{id}/x http://local/x https://d.example";
        urls(text, &mut |url| found.push(url.to_owned()));
        assert_eq!(found, ["https://a.example/b?c=d&e=%20f", "http://b.example/"]);
    }
}
