//! Reading the files of a configuration from the disk.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use super::{
    ConfigError,
    sources::{DROP_INS, DropIn, Sources},
};

/// Largest configuration that is read, all files together, in bytes.
pub const LARGEST: u64 = 1 << 20;
/// Most files in `conf.d`.
const MOST_DROP_INS: usize = 64;

/// Reads a configuration: the file, and every `*.toml` in `conf.d` beside it, by name. Hidden files and what editors and
/// package managers leave (`a.toml~`, `a.toml.dpkg-old`) are passed over.
///
/// # Errors
///
/// [`ConfigError`] when one cannot be read, all together are larger than [`LARGEST`], or one is no regular file or not
/// UTF-8.
pub fn read_sources(file: &Path) -> Result<Sources, ConfigError> {
    Ok(Sources { text: read_text(file)?, ..read_drop_ins(file)? }).and_then(|sources| limited(file, sources))
}

/// The same where the file itself may be missing, which is the same as one that is empty.
///
/// # Errors
///
/// As [`read_sources`].
pub fn read_sources_if_any(file: &Path) -> Result<Sources, ConfigError> {
    match fs::symlink_metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => limited(file, read_drop_ins(file)?),
        _ => read_sources(file),
    }
}

/// A text in the place of the file, with what lies in `conf.d` beside that; `shown` is what messages call it.
///
/// # Errors
///
/// As [`read_sources`].
pub fn with_text(file: &Path, text: String, shown: Option<String>) -> Result<Sources, ConfigError> {
    limited(file, Sources { text, shown, ..read_drop_ins(file)? })
}

/// What lies in `conf.d` beside the file.
fn read_drop_ins(file: &Path) -> Result<Sources, ConfigError> {
    let mut sources = Sources::single(file.display().to_string(), "");
    let directory = file.with_file_name(DROP_INS);
    let unreadable = |source| ConfigError::Unreadable { path: directory.clone(), source };
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(sources);
        }
        Err(error) => return Err(unreadable(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(unreadable)?.file_name();
        let bytes = name.as_encoded_bytes();
        if bytes.starts_with(b".") || !bytes.ends_with(b".toml") {
            continue;
        }
        let Ok(name) = name.into_string() else {
            let why = "has a file whose name is not UTF-8; rename it".to_owned();
            return Err(ConfigError::NotAFile { path: directory, why });
        };
        names.push(name);
        if names.len() > MOST_DROP_INS {
            let why = format!("has more than {MOST_DROP_INS} files that end in .toml");
            return Err(ConfigError::NotAFile { path: directory, why });
        }
    }
    names.sort();
    let mut all = 0;
    for name in names {
        let text = read_text(&directory.join(&name))?;
        all += text.len() as u64;
        if all > LARGEST {
            return Err(too_large(file));
        }
        sources.drop_ins.push(DropIn { name, text });
    }
    Ok(sources)
}

fn limited(file: &Path, sources: Sources) -> Result<Sources, ConfigError> {
    let all: usize = (0..sources.count()).map(|index| sources.get(index).1.len()).sum();
    if all as u64 > LARGEST { Err(too_large(file)) } else { Ok(sources) }
}

fn too_large(file: &Path) -> ConfigError {
    let why = format!(
        "is larger than {} KiB, together with what is in {DROP_INS}; long lists go in files of their own, each a [[list]]",
        LARGEST / 1024
    );
    ConfigError::NotAFile { path: file.to_owned(), why }
}

/// Reads a file's text, without looking at what it says.
///
/// # Errors
///
/// [`ConfigError`] when it cannot be read, is larger than [`LARGEST`], no regular file, or not UTF-8.
pub fn read_text(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |source: io::Error| ConfigError::Unreadable { path: path.to_owned(), source };
    let not_a_file = |why: String| ConfigError::NotAFile { path: path.to_owned(), why };
    // Looked at before it is opened, which may do something to a device; and what it is by then is opened without waiting,
    // as for a FIFO's writer.
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(not_a_file("is a directory; name the file in it".to_owned()));
    }
    if !metadata.is_file() {
        return Err(not_a_file("is not a regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        return Err(not_a_file(format!(
            "is larger than {} KiB; long lists go in files of their own, each a [[list]]",
            LARGEST / 1024
        )));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
        not_a_file(format!("is not UTF-8: byte {at}, on line {line}, belongs to no character"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn written(directory: &Path, files: &[(&str, &str)]) -> Result<Sources, ConfigError> {
        for (name, text) in files {
            let path = directory.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        read_sources(&directory.join("main.toml"))
    }

    #[test]
    fn drop_ins_are_read_by_name_and_leftovers_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let sources = written(
            directory.path(),
            &[
                ("main.toml", "# main"),
                ("conf.d/20-b.toml", "# b"),
                ("conf.d/10-a.toml", "# a"),
                ("conf.d/.hidden.toml", "?"),
                ("conf.d/.#10-a.toml", "?"),
                ("conf.d/10-a.toml~", "?"),
                ("conf.d/10-a.toml.dpkg-old", "?"),
                ("conf.d/10-a.toml.replaced", "?"),
                ("conf.d/README", "?"),
                ("conf.d/sub/x.toml", "?"),
            ],
        )
        .unwrap();
        let names: Vec<&str> = sources.drop_ins.iter().map(|drop_in| drop_in.name.as_str()).collect();
        assert_eq!((sources.text.as_str(), names), ("# main", vec!["10-a.toml", "20-b.toml"]));
        assert!(sources.get(2).0.ends_with("/conf.d/20-b.toml"));
        assert!(sources.show().ends_with("/conf.d/20-b.toml\n# b"), "{}", sources.show());
    }

    #[test]
    fn what_cannot_be_read_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let error = |files: &[(&str, &str)]| written(directory.path(), files).unwrap_err().to_string();
        written(directory.path(), &[("main.toml", "")]).unwrap();
        fs::create_dir_all(at("conf.d")).unwrap();
        symlink("nowhere", at("conf.d/a.toml")).unwrap();
        assert!(error(&[]).contains("conf.d/a.toml: No such file"), "{}", error(&[]));
        fs::remove_file(at("conf.d/a.toml")).unwrap();
        symlink("/dev/zero", at("conf.d/a.toml")).unwrap();
        assert!(error(&[]).contains("conf.d/a.toml: is not a regular file"));
        fs::remove_file(at("conf.d/a.toml")).unwrap();
        fs::create_dir(at("conf.d/a.toml")).unwrap();
        assert!(error(&[]).contains("conf.d/a.toml: is a directory"));
        fs::remove_dir(at("conf.d/a.toml")).unwrap();
        fs::write(at("conf.d/a.toml"), b"\xff").unwrap();
        assert!(error(&[]).contains("conf.d/a.toml: is not UTF-8"));
        let half = "#".repeat(1 << 19);
        let error = error(&[("main.toml", &half), ("conf.d/a.toml", &half), ("conf.d/b.toml", "# more")]);
        assert!(error.contains("main.toml: is larger than 1024 KiB, together"), "{error}");
    }

    #[test]
    fn there_are_not_ever_so_many() {
        let directory = tempfile::tempdir().unwrap();
        written(directory.path(), &[("main.toml", "")]).unwrap();
        fs::create_dir(directory.path().join("conf.d")).unwrap();
        let add = |i: usize| fs::write(directory.path().join(format!("conf.d/{i}.toml")), "").unwrap();
        (0..MOST_DROP_INS).for_each(add);
        assert_eq!(written(directory.path(), &[]).unwrap().count(), 65);
        add(MOST_DROP_INS);
        assert!(written(directory.path(), &[]).unwrap_err().to_string().contains("more than 64 files"));
    }

    #[test]
    fn a_file_that_is_missing_may_have_drop_ins() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("main.toml");
        assert_eq!(read_sources_if_any(&file).unwrap().count(), 1);
        fs::create_dir(directory.path().join("conf.d")).unwrap();
        fs::write(directory.path().join("conf.d/a.toml"), "# a").unwrap();
        assert_eq!(read_sources_if_any(&file).unwrap().drop_ins[0].text, "# a");
        read_sources(&file).unwrap_err();
    }
}
