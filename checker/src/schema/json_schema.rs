//! JSON Schema by itself, and how a schema becomes something that judges.

use base64::Engine as _;
use jsonschema::{
    Draft, PatternOptions, ValidationError, ValidationOptions, Validator, error::ValidationErrorKind,
};
use serde_json::Value;

use super::{
    Violation,
    dialect::MOST_PROBLEMS,
    document::{self, Builder, Representation},
    judge, patterns,
    source::{self, Problem, step},
};
use crate::{Reason, json};

/// What judges: without a network or files, with formats that count and patterns of linear time.
pub(super) fn options() -> ValidationOptions<'static, std::sync::Arc<dyn jsonschema::Retrieve>, Representation>
{
    jsonschema::options_for::<Representation>()
        .offline()
        .should_validate_formats(true)
        .with_pattern_options(
            PatternOptions::regex().size_limit(patterns::SIZE).dfa_size_limit(patterns::SIZE),
        )
        .with_format("byte", is_base64)
        // Compiling what was sent is no way to judge it.
        .with_format("regex", |_| true)
}

/// OpenAPI's `byte` (RFC 4648, section 4).
fn is_base64(text: &str) -> bool {
    base64::engine::general_purpose::STANDARD.decode(text).is_ok()
}

/// What is wrong with a schema that was not compiled: all that its dialect's own schema finds, or what was found first. `place` says line and pointer.
pub(super) fn problems(
    schema: &Value,
    first: &ValidationError<'_>,
    place: &dyn Fn(&str) -> (u32, String),
) -> Vec<Problem> {
    let problem = |error: &ValidationError<'_>| {
        let (line, pointer) = place(error.instance_path().as_str());
        let message = match error.kind() {
            ValidationErrorKind::Referencing(error) => error.to_string(),
            kind => format!("not what JSON Schema has: {} ({})", error.masked(), kind.keyword()),
        };
        Problem { pointer, line, message }
    };
    let mut problems: Vec<Problem> = match jsonschema::meta::validator_for(schema) {
        Ok(validator) => {
            validator.iter_errors(schema).take(MOST_PROBLEMS).map(|error| problem(&error)).collect()
        }
        Err(_) => Vec::new(),
    };
    if problems.is_empty() {
        problems.push(problem(first));
    }
    problems
}

/// A dialect of JSON Schema.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// Draft 4.
    Draft4,
    /// Draft 6.
    Draft6,
    /// Draft 7.
    Draft7,
    /// 2019-09.
    Draft201909,
    /// 2020-12.
    Draft202012,
}

/// A schema by itself, compiled.
#[derive(Debug)]
pub struct JsonSchema {
    validator: Validator<Representation>,
}

impl JsonSchema {
    /// Reads a schema, in JSON or YAML, and compiles it. `dialect` counts where it names none by `$schema`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, by place.
    pub fn read(text: &str, dialect: Dialect) -> Result<Self, Vec<Problem>> {
        let root = source::read(text).map_err(|problem| vec![problem])?;
        let problem = |pointer: &str, message| {
            vec![Problem { pointer: pointer.to_owned(), line: root.line_of(pointer), message }]
        };
        let mut schema = root.to_json().map_err(|message| problem("", message))?;
        linear(&mut schema, &mut String::new()).map_err(|(pointer, message)| problem(&pointer, message))?;
        let draft = match dialect {
            Dialect::Draft4 => Draft::Draft4,
            Dialect::Draft6 => Draft::Draft6,
            Dialect::Draft7 => Draft::Draft7,
            Dialect::Draft201909 => Draft::Draft201909,
            Dialect::Draft202012 => Draft::Draft202012,
        };
        let named = root.text_of("$schema").is_some();
        let options = if named { options() } else { options().with_draft(draft) };
        let validator = options.build(&schema).map_err(|error| {
            problems(&schema, &error, &|pointer: &str| (root.line_of(pointer), pointer.to_owned()))
        })?;
        Ok(Self { validator })
    }

    /// Judges a text of JSON.
    ///
    /// # Errors
    ///
    /// Why it is not valid.
    pub fn check(&self, bytes: &[u8], limits: &json::Limits) -> Result<(), Violation> {
        let violation = |reason, pointer: &str, keyword: &str| Violation {
            reason,
            place: "json".to_owned(),
            pointer: crate::sensitive::evidence_text(pointer),
            keyword: keyword.to_owned(),
        };
        let mut builder = Builder::new(0);
        document::read(&mut builder, bytes, limits)
            .map_err(|reason| violation(Reason::SchemaBody, "", reason.name()))?;
        let document = builder.finish();
        judge(&self.validator, &document, document.value()).map_err(|failure| {
            let reason = if failure.spent { Reason::SchemaWork } else { Reason::SchemaBody };
            violation(reason, &failure.pointer, &failure.keyword)
        })
    }
}

/// Makes all patterns of a schema such as run in linear time.
fn linear(schema: &mut Value, pointer: &mut String) -> Result<(), (String, String)> {
    let length = pointer.len();
    match schema {
        Value::Array(elements) => {
            for (number, element) in elements.iter_mut().enumerate() {
                pointer.push_str(&format!("/{number}"));
                linear(element, pointer)?;
                pointer.truncate(length);
            }
        }
        Value::Object(entries) => {
            let patterned = entries.get_mut("patternProperties").and_then(Value::as_object_mut);
            if let Some(patterned) = patterned {
                let named = std::mem::take(patterned);
                for (name, value) in named {
                    let place = || format!("{pointer}/patternProperties/{}", step(&name));
                    let translated = patterns::translate(&name).map_err(|message| (place(), message))?;
                    patterned.insert(translated, value);
                }
            }
            if let Some(Value::String(pattern)) = entries.get_mut("pattern") {
                *pattern = patterns::translate(pattern)
                    .map_err(|message| (format!("{pointer}/pattern"), message))?;
            }
            for (name, entry) in entries {
                // Values, not schemas.
                if matches!(name.as_str(), "enum" | "const" | "default" | "examples") {
                    continue;
                }
                pointer.push('/');
                pointer.push_str(&step(name));
                linear(entry, pointer)?;
                pointer.truncate(length);
            }
        }
        _ => {}
    }
    Ok(())
}
