//! `patterns`: the categories of patterns that come with the checker.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Result;
use serde_json::json;
use stopbank_checker::patterns::{categories, shipped};

/// Exit code where there is no such category.
const NOT_FOUND: u8 = 3;

/// List the shipped categories of patterns, or the expressions of one
///
/// A policy names them: `[[pattern]]` with `category = "sql-injection"`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  stopbank-checker patterns
  stopbank-checker patterns sql-injection
  stopbank-checker patterns -o json | jq -r '.[].expressions | keys[]'")]
pub(crate) struct PatternsCommand {
    /// Show the expressions of this one
    category: Option<String>,
    /// How it is printed
    #[arg(short, long, value_enum, default_value = "table")]
    output: super::routes::Output,
}

impl PatternsCommand {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let mut out = io::stdout().lock();
        let wanted = self.category.as_deref();
        let chosen: Vec<_> =
            categories().iter().filter(|one| wanted.is_none_or(|wanted| wanted == one.name)).collect();
        if chosen.is_empty() {
            let names: Vec<&str> = categories().iter().map(|category| category.name).collect();
            writeln!(
                io::stderr(),
                "stopbank-checker: there is no such category; there are {}",
                names.join(", ")
            )?;
            return Ok(ExitCode::from(NOT_FOUND));
        }
        let table = matches!(self.output, super::routes::Output::Table);
        let mut all = Vec::new();
        for category in chosen {
            let patterns = shipped(category.name).unwrap_or_default();
            if table {
                let side = if category.response { "response" } else { "request" };
                writeln!(out, "{:<20} {side:<8}  {}", category.name, category.description)?;
                for pattern in patterns.iter().filter(|_| wanted.is_some()) {
                    writeln!(out, "\n{}\n  {}", pattern.name, pattern.expression)?;
                }
            } else {
                let expressions: serde_json::Map<_, _> =
                    patterns.into_iter().map(|pattern| (pattern.name, json!(pattern.expression))).collect();
                all.push(json!({
                    "category": category.name,
                    "description": category.description,
                    "response": category.response,
                    "expressions": expressions,
                }));
            }
        }
        if !table {
            writeln!(out, "{:#}", json!(all))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
