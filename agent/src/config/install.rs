//! Making the files on the disk say what a configuration says.
//!
//! Each file is replaced as a whole: written beside, synchronised, renamed. What a file said before is kept as
//! `NAME.SUFFIX`, which nobody reads as a configuration.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

use super::{
    directory::read_sources_if_any,
    sources::{DROP_INS, Sources},
};

/// Of a file that was not there before.
const MODE: u32 = 0o644;

/// Makes the file, and `conf.d` beside it, say what `wanted` says, and tells of which files that took a change. What they said
/// is kept with the suffix.
///
/// # Errors
///
/// What the system says, with the file; or something is in `conf.d` that cannot be read, so that an agent that starts would
/// not find what is wanted. Files say what they said before then.
pub fn install(file: &Path, wanted: &Sources, suffix: &str) -> io::Result<Vec<PathBuf>> {
    let mut changed = Vec::new();
    let outcome = change(file, wanted, suffix, &mut changed).and_then(|()| look(file, wanted));
    match outcome {
        Ok(()) => Ok(changed.into_iter().map(|changed| changed.path).collect()),
        Err(error) => Err(put_back(&changed, error)),
    }
}

fn change(file: &Path, wanted: &Sources, suffix: &str, changed: &mut Vec<Changed>) -> io::Result<()> {
    let directory = file.with_file_name(DROP_INS);
    // What cannot be read as a configuration is replaced as well.
    let present = read_sources_if_any(file).ok();
    let missing = wanted.text.is_empty() && !file.exists();
    if !missing && present.as_ref().is_none_or(|present| present.text != wanted.text) {
        replace(file, &wanted.text, suffix, changed)?;
    }
    for drop_in in &wanted.drop_ins {
        let same = present.as_ref().is_some_and(|present| present.drop_ins.contains(drop_in));
        if !same {
            fs::create_dir_all(&directory).map_err(|error| named(&directory, &error))?;
            replace(&directory.join(&drop_in.name), &drop_in.text, suffix, changed)?;
        }
    }
    let unwanted = |name: &str| !wanted.drop_ins.iter().any(|drop_in| drop_in.name == name);
    for drop_in in present.iter().flat_map(|present| &present.drop_ins).filter(|one| unwanted(&one.name)) {
        let path = directory.join(&drop_in.name);
        let before = Changed::of(path.clone())?;
        fs::rename(&path, beside(&path, suffix)).map_err(|error| named(&path, &error))?;
        changed.push(before);
        synchronise(&directory)?;
    }
    Ok(())
}

/// A file that was changed, and what it was before.
struct Changed {
    path: PathBuf,
    before: Option<(Vec<u8>, fs::Metadata)>,
}

impl Changed {
    /// To be called before it is.
    fn of(path: PathBuf) -> io::Result<Self> {
        let before = match fs::metadata(&path) {
            Ok(metadata) => Some((fs::read(&path).map_err(|error| named(&path, &error))?, metadata)),
            Err(_) => None,
        };
        Ok(Self { path, before })
    }

    fn put_back(&self) -> io::Result<()> {
        match &self.before {
            Some((said, metadata)) => write(&self.path, said, Some(metadata)),
            None => fs::remove_file(&self.path).map_err(|error| named(&self.path, &error)),
        }
    }
}

/// What an agent that starts would find.
fn look(file: &Path, wanted: &Sources) -> io::Result<()> {
    let said = read_sources_if_any(file)
        .map_err(|error| io::Error::other(format!("{error}; `stopbank config check` shows it")))?;
    if said.same_texts(wanted) {
        return Ok(());
    }
    Err(io::Error::other(format!("{} was changed by somebody else meanwhile", file.display())))
}

fn put_back(changed: &[Changed], error: io::Error) -> io::Error {
    let failures: Vec<String> =
        changed.iter().rev().filter_map(|changed| changed.put_back().err()).map(|e| e.to_string()).collect();
    if failures.is_empty() {
        return error;
    }
    io::Error::new(error.kind(), format!("{error}; and what was written stays: {}", failures.join("; ")))
}

/// Makes the file alone say `text`, and keeps what it said with the suffix. No link is followed: one in the place of the file is
/// replaced itself, so that whoever may write to the directory does not lead this process elsewhere.
///
/// # Errors
///
/// What the system says, with the file.
pub fn install_text(file: &Path, text: &str, suffix: &str) -> io::Result<()> {
    let before = Changed::of(file.to_owned())?;
    let metadata = before.before.as_ref().map(|(_, metadata)| metadata);
    if let Some((said, _)) = &before.before {
        write(&beside(file, suffix), said, metadata)?;
    }
    write(file, text.as_bytes(), metadata)
}

/// Keeps a text as `FILE.SUFFIX`.
///
/// # Errors
///
/// What the system says, with the file.
pub fn keep(file: &Path, text: &str, suffix: &str) -> io::Result<()> {
    let path = followed(file);
    write(&beside(&path, suffix), text.as_bytes(), fs::metadata(&path).ok().as_ref())
}

/// Replaces a file; where it is a link, what that points to.
fn replace(file: &Path, text: &str, suffix: &str, changed: &mut Vec<Changed>) -> io::Result<()> {
    let path = followed(file);
    let before = Changed::of(path)?;
    let path = &before.path;
    let metadata = before.before.as_ref().map(|(_, metadata)| metadata);
    if let Some((said, _)) = &before.before {
        // A copy, not a rename: there is no moment without the file.
        write(&beside(path, suffix), said, metadata)?;
    }
    write(path, text.as_bytes(), metadata)?;
    changed.push(before);
    Ok(())
}

/// Writes a file as a whole, with mode and owner of the one before, as far as this process may.
fn write(path: &Path, said: &[u8], before: Option<&fs::Metadata>) -> io::Result<()> {
    let fresh = beside(&path.with_file_name(format!(".{}", name_of(path))), "new");
    let written = (|| {
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(said)?;
        if let Some(before) = before {
            // Only root may give a file away; whoever is not keeps it.
            let _ = fchown(&file, Some(before.uid()), Some(before.gid()));
        }
        let mode = before.map_or(MODE, |before| before.permissions().mode() & 0o777);
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        synchronise(path.parent().unwrap_or(Path::new("/")))
    })();
    if written.is_err() {
        // It would only take up room; the error is the one above.
        let _ = fs::remove_file(&fresh);
    }
    written.map_err(|error| named(path, &error))
}

fn synchronise(directory: &Path) -> io::Result<()> {
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(|error| named(directory, &error))
}

fn followed(file: &Path) -> PathBuf {
    fs::canonicalize(file).unwrap_or_else(|_| file.to_owned())
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".");
    name.push(suffix);
    name.into()
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DropIn, read_sources};

    fn sources(file: &Path, text: &str, drop_ins: &[(&str, &str)]) -> Sources {
        let drop_in =
            |(name, text): &(&str, &str)| DropIn { name: (*name).to_owned(), text: (*text).to_owned() };
        let single = Sources::single(file.display().to_string(), text);
        Sources { drop_ins: drop_ins.iter().map(drop_in).collect(), ..single }
    }

    fn read(path: PathBuf) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn the_disk_says_what_is_wanted_and_nothing_is_lost() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("main.toml");
        let at = |name: &str| directory.path().join(name);
        let first = sources(&file, "# one", &[("a.toml", "# a"), ("b.toml", "# b")]);
        assert_eq!(install(&file, &first, "replaced").unwrap().len(), 3);
        assert_eq!(read_sources(&file).unwrap(), first);
        assert!(install(&file, &first, "replaced").unwrap().is_empty());
        assert!(!at("main.toml.replaced").exists());

        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let second = sources(&file, "# two", &[("a.toml", "# A"), ("c.toml", "# c")]);
        assert_eq!(install(&file, &second, "replaced").unwrap().len(), 4);
        assert_eq!(read_sources(&file).unwrap(), second);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        for (name, text) in [("main.toml", "# one"), ("conf.d/a.toml", "# a"), ("conf.d/b.toml", "# b")] {
            assert_eq!(read(at(&format!("{name}.replaced"))), text);
        }
        assert!(!at("conf.d/b.toml").exists());

        fs::write(&file, b"\xff").unwrap();
        install(&file, &second, "replaced").unwrap();
        assert_eq!(read_sources(&file).unwrap(), second);
    }

    #[test]
    fn a_link_stays_one() {
        let directory = tempfile::tempdir().unwrap();
        let (file, real) = (directory.path().join("main.toml"), directory.path().join("real"));
        fs::write(&real, "# one").unwrap();
        std::os::unix::fs::symlink(&real, &file).unwrap();
        install(&file, &sources(&file, "# two", &[]), "replaced").unwrap();
        keep(&file, "# good", "last-good").unwrap();
        assert!(fs::symlink_metadata(&file).unwrap().is_symlink());
        assert_eq!(
            (read(real), read(directory.path().join("real.last-good"))),
            ("# two".into(), "# good".into())
        );
    }

    #[test]
    fn where_one_file_fails_all_say_what_they_said() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("main.toml");
        let at = |name: &str| directory.path().join(name);
        let first = sources(&file, "# one", &[("a.toml", "# a"), ("c.toml", "# c")]);
        install(&file, &first, "replaced").unwrap();
        // What is kept of it has nowhere to go.
        fs::create_dir_all(at("conf.d/c.toml.replaced/full")).unwrap();
        let second = sources(&file, "# two", &[("a.toml", "# A"), ("b.toml", "# b"), ("c.toml", "# C")]);
        let error = install(&file, &second, "replaced").unwrap_err().to_string();
        assert!(error.contains("c.toml.replaced"), "{error}");
        assert_eq!(read_sources(&file).unwrap(), first);
        // The same where it is to go.
        let error = install(&file, &sources(&file, "# two", &[]), "replaced").unwrap_err().to_string();
        assert!(error.contains("c.toml"), "{error}");
        assert_eq!(read_sources(&file).unwrap(), first);
    }

    #[test]
    fn what_an_agent_would_not_find_is_no_success() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("main.toml");
        let first = sources(&file, "# one", &[("a.toml", "# a")]);
        install(&file, &first, "replaced").unwrap();
        let link = directory.path().join("conf.d/x.toml");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        let second = sources(&file, "# two", &[("a.toml", "# a")]);
        let error = install(&file, &second, "replaced").unwrap_err().to_string();
        assert!(error.contains("x.toml") && error.contains("config check"), "{error}");
        assert_eq!(read(file.clone()), "# one");
        fs::remove_file(&link).unwrap();
        install(&file, &second, "replaced").unwrap();
    }

    #[test]
    fn what_cannot_be_written_is_named_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gone/main.toml");
        let error = install(&file, &sources(&file, "# two", &[]), "replaced").unwrap_err().to_string();
        assert!(error.contains("gone/main.toml: No such file"), "{error}");
    }
}
