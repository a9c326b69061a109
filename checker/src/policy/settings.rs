//! Every limit that a policy can set, once: the reader, `config show`, the JSON Schema and the reference go by this table.

use super::render::{string, strings};
use crate::{engine::Limits, request::is_token};

/// What a limit is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    /// How many.
    Count,
    /// Bytes.
    Size,
    /// Whether something is allowed.
    Flag,
    /// How many, by name.
    Counts,
    /// Bytes, by name.
    Sizes,
    /// Names.
    Names,
}

/// Where a limit is kept.
pub(super) enum Slot<'l> {
    /// A count or a size.
    Number(&'l mut usize),
    /// A flag.
    Flag(&'l mut bool),
    /// Counts or sizes by name.
    Numbers(&'l mut Vec<(String, usize)>),
    /// Names.
    Names(&'l mut Vec<String>),
}

/// What a policy sets a limit to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Setter {
    /// A count, a size, or a flag as 0 or 1.
    Number(usize),
    /// Counts or sizes by name: what is not named stays as it was.
    Numbers(Vec<(String, usize)>),
    /// Names, in place of those that there were.
    Names(Vec<String>),
}

/// A limit.
pub(crate) struct Setting {
    /// The table below `limits` that it stands in.
    pub(crate) group: &'static str,
    /// Its key there.
    pub(crate) name: &'static str,
    /// What it is.
    pub(crate) unit: Unit,
    /// Least and most.
    pub(crate) range: (usize, usize),
    /// Whether a route may have its own; the others are needed before the route is known.
    pub(crate) of_routes: bool,
    /// What it limits.
    pub(crate) about: &'static str,
    /// Where it is kept.
    pub(super) slot: fn(&mut Limits) -> Slot<'_>,
}

/// Most bytes of anything: what `check --request` reads.
const MOST: usize = 64 << 20;
/// Most of anything that is counted.
const MANY: usize = 10_000_000;

macro_rules! settings {
    ($($group:ident.$name:ident in $field:ident.$member:ident: $kind:ident, $least:expr, $most:expr, $of_routes:literal, $about:literal;)*) => {
        /// Every limit, in the order in which they are shown.
        pub(crate) const SETTINGS: &[Setting] = &[$(
            Setting {
                group: stringify!($group),
                name: stringify!($name),
                unit: Unit::$kind,
                range: ($least, $most),
                of_routes: $of_routes,
                about: $about,
                slot: |limits| settings!(@slot $kind limits.$field.$member),
            },
        )*];
    };
    (@slot Flag $($place:tt)*) => { Slot::Flag(&mut $($place)*) };
    (@slot Counts $($place:tt)*) => { Slot::Numbers(&mut $($place)*) };
    (@slot Sizes $($place:tt)*) => { Slot::Numbers(&mut $($place)*) };
    (@slot Names $($place:tt)*) => { Slot::Names(&mut $($place)*) };
    (@slot $kind:ident $($place:tt)*) => { Slot::Number(&mut $($place)*) };
}

settings! {
    request.target in request.target: Size, 16, 64 << 10, false, "Bytes of the target";
    request.headers in request.headers: Count, 1, 1_000, false, "Headers";
    request.header in request.header: Size, 64, 1 << 20, false, "Bytes of one header, name and value";
    request.head in request.head: Size, 64, 1 << 20, false, "Bytes of all headers";
    request.body in request.body: Size, 0, MOST, true, "Bytes of the body as it is sent";
    headers.name_length in headers.name: Size, 1, 64 << 10, false, "Bytes of a header's name";
    headers.value_length in headers.value: Size, 1, 1 << 20, false, "Bytes of a header's value";
    headers.value_lengths in headers.values: Sizes, 0, 1 << 20, false, "Bytes of the value of single headers, by name, in place of `value_length`";
    target.semicolons in target.semicolons: Flag, 0, 1, false, "Whether segments of the path may hold semicolons";
    target.segments in target.segments: Count, 1, 10_000, false, "Segments of the path";
    target.segment_length in target.segment_length: Size, 1, 64 << 10, false, "Bytes of a segment of the path, decoded";
    query.parameters in target.parameters: Count, 0, MANY, true, "Parameters";
    query.repeated in target.repeated: Flag, 0, 1, true, "Whether a parameter may stand twice";
    query.name_length in target.name_length: Size, 0, MOST, true, "Bytes of a parameter's name, decoded";
    query.value_length in target.value_length: Size, 0, MOST, true, "Bytes of a parameter's value, decoded";
    cookies.count in cookies.count: Count, 0, 1_000, true, "Cookies";
    cookies.name_length in cookies.name_length: Size, 1, 64 << 10, true, "Bytes of a name";
    cookies.value_length in cookies.value_length: Size, 0, 64 << 10, true, "Bytes of a value";
    cookies.repeated in cookies.repeated: Flag, 0, 1, true, "Whether a name may stand twice";
    cookies.any_character in cookies.any_character: Flag, 0, 1, true, "Whether values may hold spaces, commas, quotes and backslashes";
    coding.codings in coding.codings: Count, 0, 8, true, "Content codings over one another";
    coding.body in coding.body: Size, 0, MOST, true, "Bytes of the decoded body";
    coding.ratio in coding.ratio: Count, 1, MANY, true, "How many times larger decoding may make it (beyond 64 KiB)";
    json.depth in json.depth: Count, 1, 10_000, true, "Containers within one another";
    json.entries in json.entries: Count, 0, MANY, true, "Entries of an object";
    json.name_length in json.name_length: Size, 0, MOST, true, "Bytes of an entry's name, decoded";
    json.elements in json.elements: Count, 0, MANY, true, "Elements of an array";
    json.string_length in json.string_length: Size, 0, MOST, true, "Bytes of a string, decoded";
    json.number_length in json.number_length: Count, 1, 10_000, true, "Characters of a number";
    json.values in json.values: Count, 1, MANY, true, "Values in all, containers included";
    json.repeated_names in json.repeated_names: Flag, 0, 1, true, "Whether an object may have a name twice";
    xml.element_name_length in xml.element_name_length: Size, 1, MOST, true, "Bytes of an element's name, without its prefix";
    xml.attribute_name_length in xml.attribute_name_length: Size, 1, MOST, true, "Bytes of an attribute's name, without its prefix";
    xml.prefix_length in xml.prefix_length: Size, 0, MOST, true, "Bytes of a prefix";
    xml.instruction_name_length in xml.instruction_name_length: Size, 0, MOST, true, "Bytes of a processing instruction's target";
    xml.depth in xml.depth: Count, 1, 10_000, true, "Elements within one another";
    xml.attributes in xml.attributes: Count, 0, MANY, true, "Attributes of an element";
    xml.namespaces in xml.namespaces: Count, 0, MANY, true, "Namespaces that an element declares";
    xml.child_elements in xml.child_elements: Count, 0, MANY, true, "Elements that are children of one element";
    xml.child_texts in xml.child_texts: Count, 0, MANY, true, "Texts that are children of one element, white space between tags included";
    xml.child_comments in xml.child_comments: Count, 0, MANY, true, "Comments that are children of one element";
    xml.child_instructions in xml.child_instructions: Count, 0, MANY, true, "Processing instructions that are children of one element";
    xml.text_length in xml.text_length: Size, 0, MOST, true, "Bytes of a text, decoded";
    xml.attribute_length in xml.attribute_length: Size, 0, MOST, true, "Bytes of an attribute's value, decoded";
    xml.namespace_length in xml.namespace_length: Size, 0, MOST, true, "Bytes of a namespace's name";
    xml.comment_length in xml.comment_length: Size, 0, MOST, true, "Bytes of a comment";
    xml.instruction_length in xml.instruction_length: Size, 0, MOST, true, "Bytes of a processing instruction's data";
    xml.nodes in xml.nodes: Count, 1, MANY, true, "Elements, attributes, texts, comments and instructions in all";
    graphql.endpoint in graphql.endpoint: Flag, 0, 1, true, "Whether requests are to carry GraphQL, and nothing else";
    graphql.depth in graphql.depth: Count, 1, MANY, true, "Fields within one another, fragments expanded";
    graphql.fields in graphql.fields: Count, 1, MANY, true, "Fields of an operation, fragments expanded";
    graphql.root_fields in graphql.root_fields: Count, 1, MANY, true, "Fields of an operation that are in no other";
    graphql.aliases in graphql.aliases: Count, 0, MANY, true, "Fields of an operation that have an alias";
    graphql.directives in graphql.directives: Count, 0, MANY, true, "Directives of an operation";
    graphql.tokens in graphql.tokens: Count, 1, MANY, true, "Tokens of a document";
    graphql.variables in graphql.variables: Count, 0, MANY, true, "Variables of an operation";
    graphql.operations in graphql.operations: Count, 1, MANY, true, "Operations in a document, of which a request names one";
    graphql.batch in graphql.batch: Count, 1, MANY, true, "Documents in a request";
    graphql.cost in graphql.cost: Count, 1, MANY, true, "The weights of fields, each as many times as the lists around it have elements";
    graphql.weights in graphql.weights: Counts, 0, MANY, true, "Weights of fields, by name; others weigh 1";
    graphql.multipliers in graphql.multipliers: Names, 0, 64, true, "Arguments, and entries of objects in them, that say how many elements a list is asked for";
    graphql.lists in graphql.lists: Counts, 1, MANY, true, "Elements that lists are taken to have which no such argument stands at, by the field's name";
    graphql.introspection in graphql.introspection: Flag, 0, 1, true, "Whether the schema may be asked for";
    graphql.mutations in graphql.mutations: Flag, 0, 1, true, "Whether there may be mutations, by POST";
    graphql.subscriptions in graphql.subscriptions: Flag, 0, 1, true, "Whether there may be subscriptions";
    form.fields in form.parameters: Count, 0, MANY, true, "Fields";
    form.repeated in form.repeated: Flag, 0, 1, true, "Whether a field may stand twice";
    form.name_length in form.name_length: Size, 0, MOST, true, "Bytes of a field's name, decoded";
    form.value_length in form.value_length: Size, 0, MOST, true, "Bytes of a field's value, decoded";
    multipart.parts in multipart.parts: Count, 0, 10_000, true, "Parts";
    multipart.name_length in multipart.name_length: Size, 1, 2 << 10, true, "Bytes of a part's name, and of a file's";
    multipart.field in multipart.field: Size, 0, MOST, true, "Bytes of a part that is no file";
    multipart.file in multipart.file: Size, 0, MOST, true, "Bytes of a file";
}

impl Setting {
    /// What it is set to, as a policy has it.
    pub(crate) fn shown(&self, limits: &Limits) -> String {
        let number = |number: usize| match self.unit {
            Unit::Size | Unit::Sizes => format!("\"{}\"", size(number)),
            _ => number.to_string(),
        };
        let mut limits = limits.clone();
        match (self.slot)(&mut limits) {
            Slot::Number(value) => number(*value),
            Slot::Flag(flag) => flag.to_string(),
            Slot::Names(names) => strings(names.iter().map(String::as_str)),
            Slot::Numbers(values) => {
                let entry =
                    |(name, value): &(String, usize)| format!("{} = {}", string(name), number(*value));
                match values.iter().map(entry).collect::<Vec<_>>().join(", ") {
                    none if none.is_empty() => "{}".to_owned(),
                    entries => format!("{{ {entries} }}"),
                }
            }
        }
    }

    /// Sets it.
    pub(super) fn set(&self, limits: &mut Limits, setter: Setter) {
        match ((self.slot)(limits), setter) {
            (Slot::Number(number), Setter::Number(value)) => *number = value,
            (Slot::Flag(flag), Setter::Number(value)) => *flag = value != 0,
            (Slot::Names(names), Setter::Names(value)) => *names = value,
            (Slot::Numbers(numbers), Setter::Numbers(values)) => {
                for (name, value) in values {
                    match numbers.iter_mut().find(|(known, _)| *known == name) {
                        Some((_, number)) => *number = value,
                        None => numbers.push((name, value)),
                    }
                }
            }
            _ => {}
        }
    }

    /// What is allowed, of one entry where there are many.
    pub(super) fn allowed(&self) -> String {
        let (least, most) = self.range;
        match self.unit {
            Unit::Count | Unit::Counts => format!("allowed: {least} to {most}"),
            Unit::Size | Unit::Sizes => {
                format!("allowed: \"{}\" to \"{}\", or bytes as a number", size(least), size(most))
            }
            Unit::Flag => "allowed: true, false (without quotes)".to_owned(),
            Unit::Names => format!("allowed: up to {most} names, each in quotes"),
        }
    }

    /// Whether a name can be one of those that it is set for; headers are written small.
    pub(super) fn names(&self, name: &str) -> bool {
        match self.unit {
            Unit::Sizes => {
                is_token(name.as_bytes()) && !name.contains(|letter: char| letter.is_ascii_uppercase())
            }
            _ => {
                name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            }
        }
    }
}

/// Units of sizes.
const UNITS: [(&str, usize); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Bytes in the largest unit that leaves no rest.
pub(super) fn size(bytes: usize) -> String {
    let (unit, factor) =
        UNITS.into_iter().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor)).unwrap_or(("B", 1));
    format!("{} {unit}", bytes / factor)
}

/// `64 KiB` and its like, in bytes.
pub(super) fn read_size(text: &str) -> Option<usize> {
    let text = text.trim();
    let digits = text.trim_start_matches(|character: char| character.is_ascii_digit());
    let number: usize = text[..text.len() - digits.len()].parse().ok()?;
    let (_, factor) = UNITS.into_iter().find(|(unit, _)| *unit == digits.trim_start())?;
    number.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_they_are_shown() {
        for (bytes, shown) in
            [(0, "0 B"), (1, "1 B"), (1025, "1025 B"), (64 << 10, "64 KiB"), (3 << 20, "3 MiB")]
        {
            assert_eq!(size(bytes), shown);
            assert_eq!(read_size(shown), Some(bytes));
        }
        for bad in [
            "",
            "64",
            "KiB",
            "64 kB",
            "1.5 MiB",
            "-1 B",
            "99999999999999999999 B",
            "18446744073709551615 KiB",
        ] {
            assert_eq!(read_size(bad), None, "{bad}");
        }
        assert_eq!(read_size(" 4KiB"), Some(4096));
    }

    #[test]
    fn each_limit_has_a_place_of_its_own_and_a_default_in_its_range() {
        let defaults = Limits::default();
        for setting in SETTINGS {
            let (least, most) = setting.range;
            let within = |value: usize| {
                assert!((least..=most).contains(&value), "{}.{}", setting.group, setting.name);
                if value == least { most } else { least }
            };
            let mut limits = defaults.clone();
            let other = match (setting.slot)(&mut limits) {
                Slot::Number(number) => Setter::Number(within(*number)),
                Slot::Flag(flag) => Setter::Number(within(usize::from(*flag))),
                Slot::Names(_) => Setter::Names(vec!["other".to_owned()]),
                Slot::Numbers(numbers) => {
                    for (_, number) in numbers {
                        within(*number);
                    }
                    Setter::Numbers(vec![("other".to_owned(), most)])
                }
            };
            setting.set(&mut limits, other);
            let moved: Vec<&str> = SETTINGS
                .iter()
                .filter(|one| one.shown(&limits) != one.shown(&defaults))
                .map(|one| one.name)
                .collect();
            assert_eq!(moved, [setting.name], "{}", setting.group);
        }
    }
}
