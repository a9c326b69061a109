//! YAML 1.2 (the core schema of its section 10.3) as far as it says what JSON can say: no tags of one's own, no keys that are no strings, and no alias
//! that makes more of a text than it is.

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use super::source::{Builder, DEEPEST, MOST, Node, Problem, Value};

/// Values in all that aliases may stand for.
const MOST_COPIED: usize = 200_000;

/// Reads one document.
///
/// # Errors
///
/// The first [`Problem`].
pub(super) fn read(text: &str) -> Result<Node, Problem> {
    let mut reader = Reader::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error: ScanError| {
            problem(line(error.marker().line()), format!("it is not YAML: {}", error.info()))
        })?;
        let line = line(span.start.line());
        reader.event(event, line).map_err(|message| problem(line, message))?;
    }
    reader.builder.root.ok_or_else(|| problem(1, "it is empty".to_owned()))
}

const fn problem(line: u32, message: String) -> Problem {
    Problem { pointer: String::new(), line, message }
}

fn line(line: usize) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}

#[derive(Default)]
struct Reader {
    builder: Builder,
    /// For each container that is open, whether it is a mapping, its anchor, and its place among the nodes that are recorded.
    open: Vec<Open>,
    anchors: std::collections::HashMap<usize, Node>,
    values: usize,
    copied: usize,
    documents: usize,
}

struct Open {
    anchor: usize,
    node: Node,
    /// The name under which it stands in what is around it.
    name: Option<String>,
    /// The name of the next entry, where it is a mapping and one was read.
    key: Option<String>,
    names: std::collections::HashSet<String>,
}

impl Reader {
    fn event(&mut self, event: Event<'_>, line: u32) -> Result<(), String> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err("a second document begins".to_owned());
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(&text, style, tag.as_deref())?;
                let node = Node { line, value };
                if self.awaits_key() {
                    return self.key(&text, &node, anchor);
                }
                self.remember(anchor, &node)?;
                self.value(node)?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(anchor, tag.as_deref(), "seq", Node { line, value: Value::Array(Vec::new()) })?;
            }
            Event::MappingStart(anchor, tag) => {
                self.open(anchor, tag.as_deref(), "map", Node { line, value: Value::Object(Vec::new()) })?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { anchor, node, name, .. }) = self.open.pop() else { return Ok(()) };
                self.remember(anchor, &node)?;
                self.append(name, node);
            }
            Event::Alias(anchor) => {
                if self.awaits_key() {
                    return Err("an alias for a key".to_owned());
                }
                let node = self.anchors.get(&anchor).cloned();
                let node = node.ok_or("an alias for what is not complete yet")?;
                self.copied(&node)?;
                self.value(node)?;
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn awaits_key(&self) -> bool {
        self.open.last().is_some_and(|open| matches!(open.node.value, Value::Object(_)) && open.key.is_none())
    }

    /// Numbers and the like are keys as they are written: `200` of a response.
    fn key(&mut self, text: &str, node: &Node, anchor: usize) -> Result<(), String> {
        if anchor != 0 {
            return Err("an anchor at a key".to_owned());
        }
        if text == "<<" {
            return Err("a merge key (`<<`), which YAML 1.2 has no more".to_owned());
        }
        if matches!(node.value, Value::Null) && text.is_empty() {
            return Err("a key that is empty".to_owned());
        }
        if let Some(open) = self.open.last_mut() {
            if !open.names.insert(text.to_owned()) {
                return Err(format!("{text:?} stands twice"));
            }
            open.key = Some(text.to_owned());
        }
        Ok(())
    }

    fn open(&mut self, anchor: usize, tag: Option<&Tag>, kind: &str, node: Node) -> Result<(), String> {
        if tag.is_some_and(|tag| !(tag.is_yaml_core_schema() && tag.suffix == kind)) {
            return Err("a tag that JSON has nothing for".to_owned());
        }
        if self.awaits_key() {
            return Err("a key that is no scalar".to_owned());
        }
        if self.open.len() >= DEEPEST {
            return Err(format!("nested deeper than {DEEPEST}"));
        }
        self.count()?;
        let name = self.open.last_mut().and_then(|open| open.key.take());
        self.open.push(Open { anchor, node, name, key: None, names: std::collections::HashSet::new() });
        Ok(())
    }

    fn value(&mut self, node: Node) -> Result<(), String> {
        self.count()?;
        let name = self.open.last_mut().and_then(|open| open.key.take());
        self.append(name, node);
        Ok(())
    }

    fn append(&mut self, name: Option<String>, node: Node) {
        match (self.open.last_mut().map(|open| &mut open.node.value), name) {
            (Some(Value::Object(entries)), Some(name)) => entries.push((name, node)),
            (Some(Value::Array(elements)), _) => elements.push(node),
            _ => self.builder.append(None, node),
        }
    }

    fn count(&mut self) -> Result<(), String> {
        self.values += 1;
        if self.values > MOST { Err(format!("more than {MOST} values")) } else { Ok(()) }
    }

    fn remember(&mut self, anchor: usize, node: &Node) -> Result<(), String> {
        if anchor != 0 {
            self.copied(node)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(())
    }

    /// Counts what is copied, and what would become too deep by it.
    fn copied(&mut self, node: &Node) -> Result<(), String> {
        let mut level = vec![node];
        let mut depth = self.open.len();
        while !level.is_empty() {
            self.copied += level.len();
            if self.copied > MOST_COPIED {
                return Err(format!("aliases stand for more than {MOST_COPIED} values"));
            }
            if depth > DEEPEST {
                return Err(format!("nested deeper than {DEEPEST}"));
            }
            depth += 1;
            level = level
                .iter()
                .flat_map(|node| node.elements().iter().chain(node.entries().iter().map(|(_, node)| node)))
                .collect();
        }
        Ok(())
    }
}

/// Section 10.3.2, and the tags of section 10.3.1.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let string = || Value::String(text.to_owned());
    if let Some(tag) = tag {
        return match (tag.is_yaml_core_schema(), tag.suffix.as_str()) {
            (true, "str") => Ok(string()),
            (true, "null" | "bool" | "int" | "float") => plain(text),
            _ => Err("a tag that JSON has nothing for".to_owned()),
        };
    }
    if style == ScalarStyle::Plain { plain(text) } else { Ok(string()) }
}

fn plain(text: &str) -> Result<Value, String> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Boolean(true),
        "false" | "False" | "FALSE" => Value::Boolean(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "-.inf" | "-.Inf" | "-.INF" | ".nan" | ".NaN" | ".NAN" => {
            return Err(format!("{text} is nothing that JSON has"));
        }
        _ => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    })
}

/// A number as JSON writes it.
fn number(text: &str) -> Option<String> {
    let radix = |prefix, radix| {
        let digits: &str = text.strip_prefix(prefix)?;
        u64::from_str_radix(digits, radix)
            .ok()
            .filter(|_| !digits.starts_with('+'))
            .map(|number| number.to_string())
    };
    if let Some(number) = radix("0o", 8).or_else(|| radix("0x", 16)) {
        return Some(number);
    }
    let (sign, rest) = match text.as_bytes().first()? {
        b'-' => ("-", text.get(1..)?),
        b'+' => ("", text.get(1..)?),
        _ => ("", text),
    };
    let (mantissa, exponent) = rest.split_once(['e', 'E']).map_or((rest, None), |(m, e)| (m, Some(e)));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    if !digits(whole) || !digits(fraction) || whole.len() + fraction.len() == 0 || !exponent_fits {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let fraction = if fraction.is_empty() { String::new() } else { format!(".{fraction}") };
    let exponent = exponent.map(|exponent| format!("e{exponent}")).unwrap_or_default();
    Some(format!("{sign}{whole}{fraction}{exponent}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Result<String, String> {
        read(text).map_err(|problem| problem.to_string())?.to_json().map(|value| value.to_string())
    }

    #[test]
    fn yaml_says_what_json_says() {
        let text = "a: &x [1, -0.50, 0x1F, 1e3, .5, 007, 1.2.3, yes]\n200: {\"b\": 'c', ~: null}\nd: |\n  e\n  f\ng: *x\nh: !!str 1\ni:\n";
        let values = r#"[1,-0.5,31,1000.0,0.5,7,"1.2.3","yes"]"#;
        let expected = format!(
            r#"{{"200":{{"b":"c","~":null}},"a":{values},"d":"e\nf\n","g":{values},"h":"1","i":null}}"#
        );
        let (read, expected): (serde_json::Value, serde_json::Value) =
            (serde_json::from_str(&json(text).unwrap()).unwrap(), serde_json::from_str(&expected).unwrap());
        assert_eq!(
            read.to_string().replace("1000,", "1000.0,"),
            expected.to_string().replace("1000,", "1000.0,")
        );
    }

    #[test]
    fn what_json_cannot_say_is_refused_by_line() {
        for (text, message) in [
            ("a: 1\na: 2", "line 2: \"a\" stands twice"),
            ("a: 1\n<<: {b: 1}", "line 2: a merge key"),
            ("a: 1\n? [b]\n: c", "line 2: a key that is no scalar"),
            ("a: !mine 1", "line 1: a tag"),
            ("a: .nan", "line 1: .nan is nothing"),
            ("a: 1\n---\nb: 1", "a second document"),
            ("", "line 1: it is empty"),
            ("a: [1", "it is not YAML"),
            ("a: *b", "it is not YAML"),
            ("a: &a [*a]", "line 1: an alias for what is not complete"),
        ] {
            let error = json(text).unwrap_err();
            assert!(error.contains(message), "{text:?}: {error}");
        }
    }

    #[test]
    fn aliases_of_aliases_do_not_multiply() {
        let mut text = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n".to_owned();
        for number in 1..9 {
            let alias = format!("*a{}", number - 1);
            text.push_str(&format!("a{number}: &a{number} [{}]\n", vec![alias; 10].join(",")));
        }
        assert!(json(&text).unwrap_err().contains("aliases stand for more"));
        let deep = "[".repeat(200);
        assert!(json(&deep).is_err());
    }
}
