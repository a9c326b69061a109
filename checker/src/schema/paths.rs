//! Which template of a path a request's path fits: literal segments before those with parameters (OpenAPI, "Path Templating Matching").

use std::collections::HashMap;

/// Segments of a template.
const MOST_SEGMENTS: usize = 64;

/// A segment with parameters in it: literals around them. Between two parameters there is always one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pattern(Vec<String>);

impl Pattern {
    /// Cuts the segment at its parameters, whose names are added to `names`.
    pub(crate) fn read(segment: &str, names: &mut Vec<String>) -> Result<Self, String> {
        let mut literals = Vec::new();
        let mut rest = segment;
        while let Some((literal, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or("a brace that nothing closes")?;
            if name.is_empty() || name.contains('{') {
                return Err("a parameter without a name".to_owned());
            }
            if literal.is_empty() && !literals.is_empty() {
                return Err("two parameters with nothing between them".to_owned());
            }
            if names.iter().any(|other| other == name) {
                return Err(format!("parameter {name:?} stands twice"));
            }
            names.push(name.to_owned());
            literals.push(literal.to_owned());
            rest = after;
        }
        if rest.contains('}') {
            return Err("a brace that nothing opens".to_owned());
        }
        literals.push(rest.to_owned());
        Ok(Self(literals))
    }

    /// Cuts a segment of a request; nothing is left for a parameter to be empty.
    pub(crate) fn fits<'s>(&self, segment: &'s str, values: &mut Vec<&'s str>) -> bool {
        let [first, middle @ .., last] = &self.0[..] else { return false };
        let Some(mut rest) =
            segment.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str()))
        else {
            return false;
        };
        for literal in middle {
            // The first character belongs to the parameter whatever it is.
            let skip = rest.chars().next().map_or(0, char::len_utf8);
            let Some(place) = rest.get(skip..).and_then(|rest| rest.find(literal.as_str())) else {
                return false;
            };
            values.push(rest.get(..skip + place).unwrap_or_default());
            rest = rest.get(skip + place + literal.len()..).unwrap_or_default();
        }
        values.push(rest);
        !rest.is_empty()
    }

    /// Bytes of it that are literal.
    pub(crate) fn weight(&self) -> usize {
        self.0.iter().map(String::len).sum()
    }
}

#[derive(Debug, Default)]
struct Branch {
    literals: HashMap<String, usize>,
    /// The more of it is literal, the earlier.
    patterns: Vec<(Pattern, usize)>,
    template: Option<usize>,
}

/// All templates, as a tree by segment.
#[derive(Debug)]
pub(super) struct Paths {
    branches: Vec<Branch>,
    /// The names of each template's parameters, in their order.
    names: Vec<Vec<String>>,
}

impl Default for Paths {
    fn default() -> Self {
        Self { branches: vec![Branch::default()], names: Vec::new() }
    }
}

impl Paths {
    /// Adds a template, whose number is how many there were before.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn add(&mut self, template: &str) -> Result<&[String], String> {
        let path = template.strip_prefix('/').ok_or("a path begins with a slash")?;
        let mut names = Vec::new();
        let mut at = 0;
        let segments = if path.is_empty() { Vec::new() } else { path.split('/').collect() };
        if segments.len() > MOST_SEGMENTS {
            return Err(format!("more than {MOST_SEGMENTS} segments"));
        }
        for segment in segments {
            let next = self.branches.len();
            let branch = self.branches.get_mut(at).ok_or("no branch")?;
            at = if segment.contains(['{', '}']) {
                let pattern = Pattern::read(segment, &mut names)?;
                match branch.patterns.iter().find(|(other, _)| *other == pattern) {
                    Some((_, child)) => *child,
                    None => {
                        branch.patterns.push((pattern, next));
                        branch.patterns.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.weight()));
                        next
                    }
                }
            } else {
                *branch.literals.entry(segment.to_owned()).or_insert(next)
            };
            if at == next {
                self.branches.push(Branch::default());
            }
        }
        let branch = self.branches.get_mut(at).ok_or("no branch")?;
        if branch.template.is_some() {
            return Err("another path is the same but for the names of its parameters".to_owned());
        }
        branch.template = Some(self.names.len());
        self.names.push(names);
        Ok(self.names.last().map(Vec::as_slice).unwrap_or_default())
    }

    /// Shows `accept` each template that fits, the most literal one first, with its parameters' values, until it accepts one.
    pub(super) fn find<'s>(
        &self,
        segments: &[&'s str],
        accept: &mut dyn FnMut(usize, &[&'s str]) -> bool,
    ) -> bool {
        self.descend(0, segments, &mut Vec::new(), accept)
    }

    /// As deep as the longest template. Each branch is come to at most once.
    fn descend<'s>(
        &self,
        at: usize,
        segments: &[&'s str],
        values: &mut Vec<&'s str>,
        accept: &mut dyn FnMut(usize, &[&'s str]) -> bool,
    ) -> bool {
        let Some(branch) = self.branches.get(at) else { return false };
        let Some((segment, rest)) = segments.split_first() else {
            return branch.template.is_some_and(|template| accept(template, values));
        };
        if let Some(child) = branch.literals.get(*segment)
            && self.descend(*child, rest, values, accept)
        {
            return true;
        }
        let before = values.len();
        for (pattern, child) in &branch.patterns {
            if pattern.fits(segment, values) && self.descend(*child, rest, values, accept) {
                return true;
            }
            values.truncate(before);
        }
        false
    }

    /// The names of a template's parameters.
    pub(super) fn names(&self, template: usize) -> &[String] {
        self.names.get(template).map(Vec::as_slice).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_literal_template_is_found_first() {
        let mut paths = Paths::default();
        let templates =
            ["/", "/pets/{id}", "/pets/mine", "/pets/{id}.json", "/pets/{id}/toys/{toy}", "/a/{x}-{y}/"];
        for template in templates {
            paths.add(template).unwrap();
        }
        let find = |path: &str| {
            let segments: Vec<&str> = path.split('/').skip(1).collect();
            let segments = if path == "/" { Vec::new() } else { segments };
            let mut found = Vec::new();
            paths.find(&segments, &mut |template, values| {
                found.push(format!("{} {}", templates[template], values.join(",")));
                false
            });
            found
        };
        for (path, found) in [
            ("/", vec!["/ "]),
            ("/pets/mine", vec!["/pets/mine ", "/pets/{id} mine"]),
            ("/pets/7", vec!["/pets/{id} 7"]),
            ("/pets/7.json", vec!["/pets/{id}.json 7", "/pets/{id} 7.json"]),
            ("/pets/.json", vec!["/pets/{id} .json"]),
            ("/pets/7/toys/8", vec!["/pets/{id}/toys/{toy} 7,8"]),
            ("/pets/7/toys", vec![]),
            ("/pets/", vec![]),
            ("/a/1-2-3/", vec!["/a/{x}-{y}/ 1,2-3"]),
            ("/a/-2/", vec![]),
            ("/a/1-2", vec![]),
        ] {
            assert_eq!(find(path), found, "{path}");
        }
        for (template, why) in [
            ("pets", "slash"),
            ("/{a", "closes"),
            ("/a}", "opens"),
            ("/{a}{b}", "between"),
            ("/{a}/{a}", "twice"),
            ("/{}", "without a name"),
            ("/pets/{other}", "the same"),
        ] {
            assert!(paths.add(template).unwrap_err().contains(why), "{template}");
        }
    }
}
