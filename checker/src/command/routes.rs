//! `routes`: what a policy declares.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::Result;
use serde_json::json;
use stopbank_checker::{
    Check, Kind, Policy,
    policy::{Mode, Prover, Rules},
    schema::Operation,
};

/// List the routes of a policy: host, path, methods, and what its checks do
///
/// The last line is for requests that no route is for.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  stopbank-checker routes --policy policy.toml
  stopbank-checker routes --policy policy.toml -o json | jq -r '.[] | select(.checks.json != \"enforce\") | .path'")]
pub(crate) struct RoutesCommand {
    /// The policy: a file, or one that comes with the checker
    #[arg(long, value_name = "POLICY", default_value = "generic")]
    policy: PathBuf,
    /// How it is printed
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Output {
    Table,
    Json,
}

/// A line of the table.
struct Row<'p> {
    host: &'p str,
    path: &'p str,
    methods: &'p [String],
    rules: Option<&'p Rules>,
    /// Of the specification.
    operation: Option<String>,
}

impl RoutesCommand {
    pub(crate) fn run(&self) -> Result<()> {
        let policy = super::load(&self.policy)?;
        let operation = |number: usize| {
            let operations = policy.openapi().map(|openapi| openapi.specification().operations());
            operations.unwrap_or_default().get(number).map(Operation::name)
        };
        let mut rows: Vec<Row<'_>> = policy
            .routes()
            .iter()
            .map(|route| Row {
                host: route.host(),
                path: route.path(),
                methods: route.methods(),
                rules: Some(route.rules()),
                operation: route.operation().and_then(operation),
            })
            .collect();
        let undeclared = (policy.undeclared() != Mode::Enforce).then(|| policy.default_rules());
        rows.push(Row { host: "*", path: "(undeclared)", methods: &[], rules: undeclared, operation: None });
        match self.output {
            Output::Table => table(&policy, &rows),
            Output::Json => json(&policy, &rows),
        }
    }
}

/// Checks that a policy can switch, and that have what they go by.
fn switched(policy: &Policy) -> impl Iterator<Item = Check> {
    let has_mode = |check: &Check| !matches!(check.kind(), Kind::Always | Kind::Route);
    Check::ALL.iter().copied().filter(move |check| has_mode(check) && policy.provides_for(*check))
}

/// What the checks of a route do: those that do not enforce by name, and what counts its requests.
fn summary(policy: &Policy, rules: Option<&Rules>) -> String {
    let Some(rules) = rules else { return "refused".to_owned() };
    let weaker: Vec<String> = switched(policy)
        .filter(|check| rules.of(*check).mode != Mode::Enforce)
        .map(|check| format!("{} {}", check.name(), rules.of(check).mode.name()))
        .collect();
    let checks = if weaker.is_empty() { "all enforced".to_owned() } else { weaker.join(", ") };
    let may_ask = (!policy.identities().is_empty()).then(|| format!("asked by {}", askers(policy, rules)));
    let counted = rules.counted().map(|(kind, name, mode)| match mode {
        Mode::Enforce => format!("{kind} {name}"),
        Mode::Observe | Mode::Off => format!("{kind} {name} {}", mode.name()),
    });
    [checks].into_iter().chain(may_ask).chain(counted).collect::<Vec<_>>().join("; ")
}

/// What proves who asks, one of each list.
fn provers<'p>(policy: &'p Policy, rules: &Rules) -> Vec<Vec<&'p str>> {
    let names = |together: &Vec<Prover>| together.iter().map(|one| policy.identities().name(*one)).collect();
    rules.access.identity.iter().map(names).collect()
}

/// Who may ask, in words.
fn askers(policy: &Policy, rules: &Rules) -> String {
    let access = &rules.access;
    if access.identity.is_empty() {
        return "anyone".to_owned();
    }
    let mut words: Vec<String> = provers(policy, rules).iter().map(|together| together.join("+")).collect();
    words = vec![words.join(" or ")];
    words.extend((!access.scopes.is_empty()).then(|| format!("scopes {}", access.scopes.join(" "))));
    let binds: Vec<String> = access.bind.iter().map(|bind| bind.id.to_string()).collect();
    words.extend((!binds.is_empty()).then(|| format!("their own {}", binds.join(" "))));
    words.join(", ")
}

fn table(policy: &Policy, rows: &[Row<'_>]) -> Result<()> {
    let mut out = io::stdout().lock();
    let methods =
        |row: &Row<'_>| if row.methods.is_empty() { "any".to_owned() } else { row.methods.join(" ") };
    let width = |heading: &str, of: &dyn Fn(&Row<'_>) -> usize| {
        rows.iter().map(of).max().unwrap_or(0).max(heading.len())
    };
    let host = width("HOST", &|row| row.host.chars().count());
    let path = width("PATH", &|row| row.path.chars().count());
    let method = width("METHODS", &|row| methods(row).len());
    writeln!(out, "{:<host$}  {:<path$}  {:<method$}  CHECKS", "HOST", "PATH", "METHODS")?;
    for row in rows {
        let checks = summary(policy, row.rules);
        writeln!(out, "{:<host$}  {:<path$}  {:<method$}  {checks}", row.host, row.path, methods(row))?;
    }
    Ok(())
}

fn json(policy: &Policy, rows: &[Row<'_>]) -> Result<()> {
    let rows: Vec<serde_json::Value> = rows
        .iter()
        .map(|row| {
            let checks: Option<serde_json::Map<_, _>> = row.rules.map(|rules| {
                switched(policy)
                    .map(|check| (check.name().to_owned(), json!(rules.of(check).mode.name())))
                    .collect()
            });
            let counted: Vec<_> = row
                .rules
                .iter()
                .flat_map(|rules| rules.counted())
                .map(|(kind, name, mode)| json!({ "kind": kind, "name": name, "mode": mode.name() }))
                .collect();
            let identity = row.rules.map(|rules| provers(policy, rules));
            let binds = row.rules.map(|rules| rules.access.bind.iter().map(|bind| bind.id.to_string()));
            let binds: Option<Vec<String>> = binds.map(Iterator::collect);
            let scopes = row.rules.map(|rules| &rules.access.scopes);
            let Row { host, path, methods, rules: _, operation } = row;
            json!({
                "host": host, "path": path, "methods": methods, "operation": operation, "checks": checks, "counted": counted,
                "identity": identity, "scopes": scopes, "bind": binds
            })
        })
        .collect();
    writeln!(io::stdout().lock(), "{:#}", json!(rows))?;
    Ok(())
}
