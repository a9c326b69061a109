//! The files of a package: npm's gzip'd tar, PyPI's zip.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use anyhow::{Context as _, Result};
use flate2::read::GzDecoder;

/// Larger files are left out.
const LARGEST: u64 = 24 << 20;

/// Calls `each` with the path and the contents of every file, of those that are compressed once more with what is in them.
pub(super) fn each(archive: &Path, each: &mut dyn FnMut(&str, Vec<u8>)) -> Result<()> {
    let file = BufReader::new(File::open(archive)?);
    let mut magic = [0; 2];
    File::open(archive)?.read_exact(&mut magic)?;
    let mut each = |path: &str, bytes: Vec<u8>| match path.strip_suffix(".gz") {
        Some(inner) => {
            let mut plain = Vec::new();
            if GzDecoder::new(bytes.as_slice()).take(LARGEST).read_to_end(&mut plain).is_ok() {
                each(inner, plain);
            }
        }
        None => each(path, bytes),
    };
    if magic == *b"PK" { zip(file, &mut each) } else { tar(file, &mut each) }
        .with_context(|| format!("reading {}", archive.display()))
}

fn tar(file: impl Read, each: &mut dyn FnMut(&str, Vec<u8>)) -> Result<()> {
    for entry in tar::Archive::new(GzDecoder::new(file)).entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() && entry.size() <= LARGEST {
            let path = entry.path()?.to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            each(&path, bytes);
        }
    }
    Ok(())
}

fn zip(file: impl Read + std::io::Seek, each: &mut dyn FnMut(&str, Vec<u8>)) -> Result<()> {
    let mut archive = zip::ZipArchive::new(file)?;
    for index in 0..archive.len() {
        let entry = archive.by_index(index)?;
        if entry.is_file() && entry.size() <= LARGEST {
            let path = entry.name().to_owned();
            let mut bytes = Vec::new();
            entry.take(LARGEST).read_to_end(&mut bytes)?;
            each(&path, bytes);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    #[test]
    fn files_of_a_tar_are_read_and_what_is_compressed_in_them() {
        let gz = |bytes: &[u8]| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        let mut builder = tar::Builder::new(Vec::new());
        for (path, bytes) in [("package/a.json", b"{}".to_vec()), ("package/b.json.gz", gz(b"[]"))] {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, path, bytes.as_slice()).unwrap();
        }
        let archive = gz(&builder.into_inner().unwrap());
        let mut found = Vec::new();
        let mut collect = |path: &str, bytes: Vec<u8>| found.push((path.to_owned(), bytes));
        let file = std::env::temp_dir().join(format!("stopbank-score-{}.tgz", std::process::id()));
        std::fs::write(&file, archive).unwrap();
        let read = each(&file, &mut collect);
        std::fs::remove_file(&file).unwrap();
        read.unwrap();
        assert_eq!(
            found,
            [("package/a.json".into(), b"{}".to_vec()), ("package/b.json".into(), b"[]".to_vec())]
        );
        assert!(zip(Cursor::new(b"PK"), &mut |_, _| {}).is_err());
    }
}
