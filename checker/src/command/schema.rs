//! `stopbank-checker schema`: what a specification declares, and what is wrong with it.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use stopbank_checker::schema::{Operation, Options, Specification};

/// Largest specification that is read, in bytes.
pub(crate) const LARGEST: u64 = 64 << 20;

#[derive(Subcommand)]
pub(crate) enum SchemaCommand {
    /// Compile a specification, and list its operations
    ///
    /// The file is OpenAPI 3.0 or 3.1, in JSON or YAML. What is wrong in it is told with its line and a JSON pointer; references that lead out of the
    /// document are not followed.
    #[command(after_help = "\
Examples:
  stopbank-checker schema check petstore.yaml
  stopbank-checker schema check petstore.yaml --operation addPet

Exit codes: 0 it can be used, 1 it cannot, or has no such operation.")]
    Check {
        /// The file
        file: PathBuf,
        /// Show this one only, with its parameters, by its operationId or as `GET /pets/{petId}`
        #[arg(long, value_name = "NAME")]
        operation: Option<String>,
    },
}

impl SchemaCommand {
    /// Success where the specification can be used.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let Self::Check { file, operation } = self;
        let usable = check(file, operation.as_deref())?;
        Ok(if usable { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn check(file: &Path, operation: Option<&str>) -> Result<bool> {
    let text = read(file)?;
    let mut out = io::stdout().lock();
    let specification = match Specification::read(&text, &Options::default()) {
        Ok(specification) => specification,
        Err(problems) => {
            for problem in problems {
                writeln!(out, "{}: {problem}", file.display())?;
            }
            return Ok(false);
        }
    };
    if let Some(name) = operation {
        let is_it = |one: &&Operation| {
            one.id.as_deref() == Some(name) || format!("{} {}", one.method, one.path) == name
        };
        let Some(found) = specification.operations().iter().find(is_it) else {
            bail!("{} has no operation {name:?}", file.display());
        };
        return show(&mut out, found).map(|()| true);
    }
    let (title, version) = specification.title();
    writeln!(out, "{title} {version}: {} operations", specification.operations().len())?;
    for one in specification.operations() {
        writeln!(out, "{:<7} {}  {}", one.method, one.path, one.id.as_deref().unwrap_or_default())?;
    }
    Ok(true)
}

fn read(file: &Path) -> Result<String> {
    let name = file.display();
    let length = fs::metadata(file).with_context(|| format!("cannot read {name}"))?.len();
    if length > LARGEST {
        bail!("{name} is larger than {} MiB", LARGEST >> 20);
    }
    fs::read_to_string(file).with_context(|| format!("cannot read {name}"))
}

fn show(out: &mut impl io::Write, operation: &Operation) -> Result<()> {
    writeln!(out, "{} {}", operation.method, operation.path)?;
    for parameter in &operation.parameters {
        let required = if parameter.required { ", required" } else { "" };
        writeln!(out, "  {} {}{required}", parameter.location.name(), parameter.name)?;
    }
    for kind in operation.content_types() {
        writeln!(out, "  body {kind}")?;
    }
    for status in operation.statuses() {
        writeln!(out, "  answers {status}")?;
    }
    Ok(())
}
