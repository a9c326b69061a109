//! `[[interface]]`: by name, by pattern, or by default route.

use super::{
    document::{Diagnostics, Table, Value},
    model::{Attach, Interface},
    read::{ATTACH, INTERFACE_KEYS, MOST_INTERFACES},
};
use crate::lists::printable;

/// What stands in the place of a name for the interfaces that a default route goes through.
pub const DEFAULT_ROUTE: &str = "default-route";

/// Which interfaces a block is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Selector<'n> {
    /// The one with this name.
    Name(&'n str),
    /// All whose names match.
    Pattern(Pattern<'n>),
    /// All that a default route goes through.
    DefaultRoute,
}

/// A pattern of names: `*` stands for any characters, none included, `?` for one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pattern<'n>(&'n str);

impl Interface {
    /// A block with a name alone.
    pub fn named(name: String) -> Self {
        let required = matches!(selector(&name), Selector::Name(_));
        Self { name, attach: Attach::Native, required }
    }

    /// What its name says.
    pub fn selector(&self) -> Selector<'_> {
        selector(&self.name)
    }
}

fn selector(name: &str) -> Selector<'_> {
    match name {
        DEFAULT_ROUTE => Selector::DefaultRoute,
        name if name.contains(['*', '?']) => Selector::Pattern(Pattern(name)),
        name => Selector::Name(name),
    }
}

impl Pattern<'_> {
    /// Whether a name matches as a whole. Takes time by the product of both lengths at most.
    pub fn matches(self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut at, mut read) = (0, 0);
        // Where to go on from when what followed the latest `*` did not match: it stands for one character more then.
        let mut star = None;
        while read < name.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    star = Some((at + 1, read));
                    at += 1;
                }
                Some(&wanted) if wanted == b'?' || wanted == name[read] => {
                    at += 1;
                    read += 1;
                }
                _ => match &mut star {
                    Some((after, taken)) => {
                        *taken += 1;
                        (at, read) = (*after, *taken);
                    }
                    None => return false,
                },
            }
        }
        pattern[at..].iter().all(|rest| *rest == b'*')
    }
}

/// Reads all blocks.
pub(super) fn read(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Vec<Interface> {
    let help = "write a block for each interface:  [[interface]]  name = \"eth0\"";
    let mut interfaces: Vec<Interface> = Vec::new();
    for (i, item) in diagnostics.array("interface", value, help).iter().enumerate() {
        if i == MOST_INTERFACES {
            diagnostics.push(
                item.span(),
                "there are too many interfaces",
                format!("allowed: at most {MOST_INTERFACES} blocks; one may be for many: name = \"eth*\""),
            );
            break;
        }
        let Some(table) = Table::of("[[interface]]", item, &INTERFACE_KEYS, diagnostics) else { continue };
        let attach = table.get("attach").and_then(|value| diagnostics.choice("attach", value, &ATTACH));
        let required = table.get("required").and_then(|value| diagnostics.boolean("required", value));
        let Some(value) = table.get("name") else {
            diagnostics.push(table.span(), "this [[interface]] has no `name`", "add one: name = \"eth0\"");
            continue;
        };
        let Some(name) = interface_name(value, diagnostics) else { continue };
        if interfaces.iter().any(|interface| interface.name == name) {
            diagnostics.push(
                value.span(),
                format!("interface `{name}` stands twice"),
                "name each interface once",
            );
            continue;
        }
        let block = Interface::named(name);
        interfaces.push(Interface {
            attach: attach.unwrap_or(block.attach),
            required: required.unwrap_or(block.required),
            ..block
        });
    }
    interfaces
}

/// A name that the kernel would take (`dev_valid_name`, net/core/dev.c), or a pattern of such.
fn interface_name(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<String> {
    let help = "an interface's name as `ip link` shows it: 1 to 15 bytes, no slash, no colon, no space; or a pattern (\"eth*\"), or \"default-route\"";
    let name = diagnostics.string("name", value, help)?;
    let refused = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    if name.is_empty() || name.len() > 15 || name == "." || name == ".." || name.contains(refused) {
        diagnostics.push(
            value.span(),
            format!("\"{}\" is no name of an interface", printable(name, 40)),
            help,
        );
        return None;
    }
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::parse;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, expected) in [
            ("eth*", "eth0", true),
            ("eth*", "eth", true),
            ("eth*", "xeth0", false),
            ("eth?", "eth0", true),
            ("eth?", "eth10", false),
            ("*", "anything", true),
            ("*0", "eth10", true),
            ("*0", "eth01", false),
            ("e*p*s0", "enp3s0", true),
            ("e*p*s0", "ens0", false),
            ("**", "", true),
            ("?*", "", false),
            ("e[t]h*", "eth0", false),
        ] {
            assert_eq!(Pattern(pattern).matches(name), expected, "{pattern} {name}");
        }
        // What takes a backtracking matcher years.
        assert!(!Pattern("*a*a*a*a*a*a*a*b").matches(&"a".repeat(5_000)));
    }

    #[test]
    fn a_name_must_be_there_and_what_a_pattern_matches_need_not() {
        let text = "interface = [{ name = \"eth0\" }, { name = \"en*\" }, { name = \"default-route\" },\
                    { name = \"eth1\", required = false }, { name = \"wl*\", required = true }]";
        let config = parse("f", text).unwrap();
        let required: Vec<bool> = config.interfaces.iter().map(|interface| interface.required).collect();
        assert_eq!(required, [true, false, false, false, true]);
        let kinds: Vec<Selector<'_>> = config.interfaces.iter().map(Interface::selector).collect();
        assert_eq!(
            kinds[..3],
            [Selector::Name("eth0"), Selector::Pattern(Pattern("en*")), Selector::DefaultRoute]
        );
        let error =
            parse("f", "interface = [{ name = \"eth0\", required = \"no\" }]").unwrap_err().to_string();
        assert!(error.contains("`required` is a string"), "{error}");
    }

    /// As the definition has it, character by character.
    fn plainly(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern, name) {
            ([], name) => name.is_empty(),
            ([b'*', rest @ ..], name) => (0..=name.len()).any(|taken| plainly(rest, &name[taken..])),
            ([b'?', rest @ ..], [_, name @ ..]) => plainly(rest, name),
            ([wanted, rest @ ..], [first, name @ ..]) => wanted == first && plainly(rest, name),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn patterns_match_as_defined(pattern in "[ab*?]{0,8}", name in "[ab]{0,8}") {
            prop_assert_eq!(Pattern(&pattern).matches(&name), plainly(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
