//! Where apt gets Debian from on this machine, and the same mirror for another of Debian's suites.
//!
//! The system's sources stay as they are: what is made from them is given to apt for one call.

use std::fs;
use std::path::{Path, PathBuf};

/// A mirror, with what apt was told about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mirror {
    /// `http://host/debian`.
    uri: String,
    /// File with the keys that sign it, when the entry names one.
    signed_by: Option<String>,
    /// Whether this is the archive of security updates.
    security: bool,
}

impl Mirror {
    /// The source of one suite, in the format of sources.list.
    pub(super) fn source(&self, suite: &str) -> String {
        let options = self.signed_by.as_ref().map_or_else(String::new, |file| format!(" signed-by={file}"));
        format!("deb [arch=amd64{options}] {} {suite} main\n", self.uri)
    }

    pub(super) const fn is_security(&self) -> bool {
        self.security
    }
}

/// Debian's mirrors in apt's sources, each once.
pub(super) fn mirrors() -> Vec<Mirror> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    let parts = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    files.extend(parts.map(|entry| entry.path()));
    files.sort();
    let mut found: Vec<Mirror> = Vec::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for mirror in read(&file, &text) {
            if !found.contains(&mirror) {
                found.push(mirror);
            }
        }
    }
    found
}

/// The mirrors of one file, whose name says its format.
fn read(file: &Path, text: &str) -> Vec<Mirror> {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("list") => text.lines().filter_map(one_line).collect(),
        Some("sources") => text.split("\n\n").flat_map(stanza).collect(),
        _ => Vec::new(),
    }
}

/// `deb [signed-by=…] http://host/debian bookworm main`.
fn one_line(line: &str) -> Option<Mirror> {
    let rest = line.trim().strip_prefix("deb ")?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
    mirror(rest.split_whitespace().next()?, signed_by)
}

/// A paragraph of `Key: value` lines.
fn stanza(text: &str) -> Vec<Mirror> {
    let value = |key: &str| {
        let lines = || text.lines().filter(|line| !line.starts_with('#'));
        lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(key).then(|| value.trim())
        })
    };
    if value("Enabled").is_some_and(|enabled| enabled.eq_ignore_ascii_case("no"))
        || !value("Types").is_some_and(|types| types.split_whitespace().any(|one| one == "deb"))
    {
        return Vec::new();
    }
    // Keys may stand in the file itself, over several lines: only a file's name can be handed on.
    let signed_by = value("Signed-By").filter(|file| file.starts_with('/'));
    let uris = value("URIs").unwrap_or_default();
    uris.split_whitespace().filter_map(|uri| mirror(uri, signed_by)).collect()
}

/// A mirror of Debian's own archives: others are not laid out like them.
fn mirror(uri: &str, signed_by: Option<&str>) -> Option<Mirror> {
    let uri = uri.trim_end_matches('/');
    let security = uri.ends_with("/debian-security") || uri.contains("security.debian.org");
    (security || uri.ends_with("/debian")).then(|| Mirror {
        uri: uri.to_owned(),
        signed_by: signed_by.map(str::to_owned),
        security,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_of_apts_sources_are_read_and_others_archives_left_alone() {
        let stanzas = "Types: deb\n# Suites: x\nURIs: http://mirror.example/debian/\nSuites: bookworm\nComponents: main\n\
                       Signed-By: /usr/share/keyrings/debian.gpg\n\nTypes: deb-src\nURIs: http://mirror.example/debian\n\n\
                       Types: deb\nEnabled: no\nURIs: http://old.example/debian\n\n\
                       Types: deb\nURIs: https://packages.example/node_20.x\n\n\
                       Types: deb\nURIs: http://mirror.example/debian-security\nSuites: bookworm-security\n";
        let found = read(Path::new("debian.sources"), stanzas);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(
            found[0].source("bookworm-backports"),
            "deb [arch=amd64 signed-by=/usr/share/keyrings/debian.gpg] http://mirror.example/debian bookworm-backports main\n"
        );
        assert!(!found[0].is_security() && found[1].is_security());

        let lines = "# deb http://commented.example/debian bookworm main\n\
                     deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main\n\
                     deb-src http://mirror.example/debian bookworm main\n\
                     deb http://security.debian.org/ bookworm-security main\n\
                     deb https://packages.example/apt stable main\n";
        let found = read(Path::new("sources.list"), lines);
        assert_eq!(found.iter().map(Mirror::is_security).collect::<Vec<_>>(), [false, true]);
        assert_eq!(found[0].signed_by.as_deref(), Some("/k.gpg"));
        assert_eq!(read(Path::new("debian.sources.save"), stanzas), []);
    }
}
