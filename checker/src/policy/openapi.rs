//! The specification that a policy goes by: read through the front end, compiled, and its operations declared as routes.

use std::sync::Arc;

use super::{
    Load, Mode, Route, Rules,
    document::{Diagnostics, Table, Value},
    read::MOST_ROUTES,
    route::{self, Methods, Router},
};
use crate::{
    Check,
    schema::{Options, Specification},
    text::printable,
};

/// Keys of the table.
pub(super) const KEYS: [&str; 4] = ["file", "base", "undeclared_query", "read_only"];

const HELP: &str = "openapi = \"openapi.yaml\", or openapi = { file = \"openapi.yaml\", base = \"/v1\" }";
/// Problems of a specification that are told.
const SHOWN: usize = 10;
/// Characters of one.
const ECHO: usize = 200;

/// A specification, as the policy names it.
#[derive(Clone, Debug)]
pub struct OpenApi {
    /// As the policy has it.
    pub(super) file: String,
    pub(super) options: Options,
    pub(super) specification: Arc<Specification>,
}

impl OpenApi {
    /// The file, as the policy has it.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What it says, compiled.
    pub fn specification(&self) -> &Specification {
        &self.specification
    }
}

/// The specification that `openapi` names.
pub(super) fn read(value: &Value<'_>, load: &mut Load<'_>, diagnostics: &mut Diagnostics) -> Option<OpenApi> {
    let (mut options, mut file) = (Options::default(), Some(value));
    if value.get_ref().is_table() {
        let table = Table::of("openapi", value, &KEYS, diagnostics)?;
        file = table.get("file");
        if file.is_none() {
            diagnostics.push(table.span(), "`openapi` without `file`", HELP);
        }
        options.base = table.get("base").and_then(|value| base(value, diagnostics));
        let mut flag =
            |key| table.get(key).and_then(|value| diagnostics.flag(key, value)).unwrap_or_default();
        options.allow_undeclared_query = flag("undeclared_query");
        options.allow_read_only = flag("read_only");
    }
    let value = file?;
    let name = diagnostics.string("openapi", value, HELP)?;
    let shown = printable(name, ECHO);
    let text = match load(name) {
        Ok(text) => text,
        Err(why) => {
            let message = format!("the specification {shown} cannot be read: {}", printable(&why, ECHO));
            diagnostics.push(value.span(), message, HELP);
            return None;
        }
    };
    match Specification::read(&text, &options) {
        Ok(specification) => {
            Some(OpenApi { file: name.to_owned(), options, specification: Arc::new(specification) })
        }
        Err(mut problems) => {
            problems.dedup();
            let told = problems.iter().take(SHOWN).map(|problem| printable(&problem.to_string(), ECHO));
            let more = problems.len().saturating_sub(SHOWN);
            let more =
                (more > 0).then(|| format!("and {more} more: `stopbank-checker schema check` names all"));
            diagnostics.push_all(
                value.span(),
                format!("the specification {shown} cannot be used"),
                told.chain(more).collect(),
            );
            None
        }
    }
}

fn base(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Option<String> {
    const HELP: &str = "base = \"/v1\": a path in front of those of the specification, \"/\" for none";
    let base = diagnostics.string("base", value, HELP)?;
    let wrong = match route::template(base) {
        Err(wrong) => wrong,
        Ok(_) if base.contains('{') => "has a placeholder".to_owned(),
        Ok(_) => return Some(base.to_owned()),
    };
    diagnostics.push(value.span(), format!("`base` {wrong}"), HELP);
    None
}

/// Declares the operations as routes of any host, but for the methods that routes of the policy have for the same paths.
///
/// # Errors
///
/// Why they cannot be declared.
pub(super) fn declare(
    specification: &Specification,
    rules: &Rules,
    routes: &mut Vec<Route>,
    router: &mut Router,
) -> Result<(), String> {
    let operations = specification.operations();
    let answers_head =
        |path: &str| operations.iter().any(|other| other.path == path && other.method == "HEAD");
    for base in specification.bases() {
        for (number, operation) in operations.iter().enumerate() {
            let parts = route::of_specification(base, &operation.path)?;
            let mut methods = vec![operation.method.clone()];
            // What answers GET answers HEAD (RFC 9110, section 9.3.2).
            if operation.method == "GET" && !answers_head(&operation.path) {
                methods.push("HEAD".to_owned());
            }
            methods.retain(|method| {
                router.add("*", &parts, Methods::These(vec![method.clone()]), routes.len()).is_ok()
            });
            if methods.is_empty() {
                continue;
            }
            if routes.len() >= MOST_ROUTES {
                return Err(format!("more than {MOST_ROUTES} routes, those of the specification included"));
            }
            let before: String = base.iter().map(|segment| format!("/{segment}")).collect();
            routes.push(Route {
                host: "*".to_owned(),
                path: before + &operation.path,
                parts,
                methods: Methods::These(methods),
                rules: rules.clone(),
                operation: Some(number),
            });
        }
    }
    Ok(())
}

/// What a policy without a specification may say of the check that goes by one.
pub(super) fn is_missing(check: Check, mode: Mode, openapi: bool) -> bool {
    check == Check::Schema && mode != Mode::Off && !openapi
}
