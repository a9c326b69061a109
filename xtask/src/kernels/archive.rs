//! The archive that a kernel unpacks as its first file system: cpio in the format "newc"
//! (Documentation/driver-api/early-userspace/buffer-format.rst).

use std::io::{self, Write};

/// `S_IFREG` and `S_IFDIR`.
const FILE: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;

/// Writes an archive, entry by entry.
pub(super) struct Archive<W: Write> {
    out: W,
    entries: u32,
}

impl<W: Write> Archive<W> {
    pub(super) const fn new(out: W) -> Self {
        Self { out, entries: 0 }
    }

    /// A directory; those above it must have been added before.
    pub(super) fn directory(&mut self, name: &str) -> io::Result<()> {
        self.entry(name, DIRECTORY | 0o755, &[])
    }

    /// A file that can be executed.
    pub(super) fn file(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.entry(name, FILE | 0o755, content)
    }

    /// Writes the entry that ends it.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.entry("TRAILER!!!", 0, &[])?;
        self.out.flush()
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.entries += 1;
        let size =
            u32::try_from(content.len()).map_err(|_| io::Error::other(format!("{name} is too large")))?;
        let length = name.len() as u32 + 1;
        write!(self.out, "070701")?;
        // Inode, mode, owner, group, links, time, size, device and device's device twice two, length of the name, check.
        for field in [self.entries, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, length, 0] {
            write!(self.out, "{field:08x}")?;
        }
        self.out.write_all(name.as_bytes())?;
        self.out.write_all(&[0])?;
        self.pad(110 + name.len() + 1)?;
        self.out.write_all(content)?;
        self.pad(content.len())
    }

    /// Headers and contents begin at multiples of four.
    fn pad(&mut self, written: usize) -> io::Result<()> {
        self.out.write_all(&[0; 3][..written.next_multiple_of(4) - written])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_contents_are_aligned_and_sized() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.directory("t").expect("memory takes it");
        archive.file("t/run", b"12345").expect("memory takes it");
        archive.finish().expect("memory takes it");
        let text = String::from_utf8_lossy(&bytes);
        let starts: Vec<usize> = text.match_indices("070701").map(|(at, _)| at).collect();
        // 110 bytes of header, the name with its NUL, padding; then the content, padded.
        assert_eq!(starts, [0, 112, 112 + 116 + 8]);
        assert_eq!(&text[112 + 6 + 6 * 8..][..8], "00000005");
        assert_eq!(&text[112 + 116..][..5], "12345");
        assert_eq!(bytes.len() % 4, 0);
    }
}
