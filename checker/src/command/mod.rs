//! The subcommands, one a file, and how a policy is found.

pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod keys;
pub(crate) mod man;
pub(crate) mod patterns;
pub(crate) mod routes;
pub(crate) mod schema;
pub(crate) mod token;

use std::{fs::File, io::Read as _, path::Path};

use anyhow::{Context as _, Result, bail};
use stopbank_checker::{Policy, policy, printable};

use crate::secrets;

/// Longest part of a file's name that messages repeat, in characters.
const ECHO: usize = 4096;

/// The text of a policy, and what messages call it: that of a file, or, where there is none of this name, of one that comes with the
/// checker.
///
/// # Errors
///
/// It cannot be read, or is no text.
fn text(policy: &Path) -> Result<(String, String)> {
    let name = printable(&policy.display().to_string(), ECHO);
    if !policy.exists()
        && let Some((shipped, text)) = policy.to_str().and_then(shipped)
    {
        return Ok((shipped.to_owned(), text.to_owned()));
    }
    let names = policy::SHIPPED.map(|(name, _)| name).join(", ");
    let cannot = || format!("cannot read the policy {name} (those that come with the checker: {names})");
    let file = File::open(policy).with_context(cannot)?;
    let mut bytes = Vec::new();
    file.take(policy::LARGEST as u64 + 1).read_to_end(&mut bytes).with_context(cannot)?;
    if bytes.len() > policy::LARGEST {
        bail!("{name} is larger than {} KiB", policy::LARGEST >> 10);
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok((name, text)),
        Err(error) => bail!("{name} is not UTF-8: byte {}", error.utf8_error().valid_up_to() + 1),
    }
}

fn shipped(name: &str) -> Option<(&'static str, &'static str)> {
    let name = name.strip_suffix(".toml").unwrap_or(name);
    policy::SHIPPED.into_iter().find(|(shipped, _)| *shipped == name)
}

/// Reads and checks a policy, and the files that it names, which stand beside it.
///
/// # Errors
///
/// It cannot be read, or [`policy::Errors`].
pub(crate) fn load(policy: &Path) -> Result<Policy> {
    Ok(load_with_text(policy)?.0)
}

/// The same, with what messages call it and its text.
pub(crate) fn load_with_text(policy: &Path) -> Result<(Policy, String, String)> {
    let (file, text) = text(policy)?;
    let folder = policy.parent().unwrap_or(Path::new(""));
    let read = Policy::read(&file, &text, &mut |name| match name.strip_prefix(policy::SECRET) {
        Some(secret) => secret_beside(folder, secret),
        None => beside(&folder.join(name)),
    })?;
    Ok((read, file, text))
}

/// A secret that a policy names: a file, or a credential of the service manager's.
fn secret_beside(folder: &Path, name: &str) -> Result<String, String> {
    let path = Path::new(name);
    let path = if secrets::is_credential(path) { path.to_owned() } else { folder.join(path) };
    let secret = secrets::read(&path).map_err(|error| format!("{error:#}"))?;
    str::from_utf8(secret.expose()).map(str::to_owned).map_err(|_| "it is not UTF-8".to_owned())
}

/// The text of a file that a policy names.
fn beside(file: &Path) -> Result<String, String> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(file)?.take(schema::LARGEST + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| format!("{} ({error})", file.display()))?;
    if bytes.len() as u64 > schema::LARGEST {
        return Err(format!("it is larger than {} MiB", schema::LARGEST >> 20));
    }
    String::from_utf8(bytes)
        .map_err(|error| format!("it is not UTF-8: byte {}", error.utf8_error().valid_up_to() + 1))
}
