//! LLVM: which one a file was built with, and where its development files are.
//!
//! rustc hands bpf-linker LLVM bitcode, which only an LLVM of the same major version is sure to read.

use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::command::{self, command};

/// Where the development files of LLVM `major` are: the prefix that has `include/llvm-c` or the libraries to link with.
pub(crate) fn development(major: u32) -> Option<PathBuf> {
    let named = [format!("LLVM_SYS_{major}1_PREFIX"), "LLVM_PREFIX".to_owned()]
        .iter()
        .filter_map(env::var_os)
        .map(PathBuf::from)
        .collect::<Vec<_>>();
    let debian = PathBuf::from(format!("/usr/lib/llvm-{major}"));
    let by_config = [format!("llvm-config-{major}"), "llvm-config".to_owned()]
        .into_iter()
        .filter_map(|name| command::find(&name))
        .filter_map(|config| prefix_of(&config, major));
    named.into_iter().chain([debian]).chain(by_config).find(|prefix| links(prefix, major))
}

/// The prefix that `llvm-config` tells, when its version is `major`.
fn prefix_of(config: &Path, major: u32) -> Option<PathBuf> {
    let version = command::output(command(config).arg("--version")).ok()?;
    if leading_number(version.as_bytes()) != Some(major) {
        return None;
    }
    let prefix = command::output(command(config).arg("--prefix")).ok()?;
    Some(PathBuf::from(prefix.trim()))
}

/// Whether a program can be linked with the shared LLVM `major` under `prefix`.
fn links(prefix: &Path, major: u32) -> bool {
    let names = [format!("libLLVM-{major}.so"), format!("libLLVM.so.{major}.1")];
    ["lib", "lib64"].iter().any(|lib| names.iter().any(|name| prefix.join(lib).join(name).exists()))
}

/// The major version of the LLVM that the program `file` links with or contains; `None` when it cannot be told.
pub(crate) fn of_program(file: &Path) -> Option<u32> {
    find_version(&fs::read(file).ok()?)
}

/// Looks for what a dynamically linked program needs (`libLLVM.so.22.1`, `libLLVM-22.so`), or for what a static one writes
/// into its bitcode (`LLVM22.1.8`).
fn find_version(bytes: &[u8]) -> Option<u32> {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|&byte| byte == b'L') {
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix(b"LLVM") {
            let number = [&b".so."[..], b"-", b""].iter().find_map(|infix| after.strip_prefix(*infix));
            if let Some(version) = number.and_then(version_number) {
                return Some(version);
            }
        }
        rest = &rest[1..];
    }
    None
}

/// A two- or three-digit number that a dot follows.
fn version_number(text: &[u8]) -> Option<u32> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    ((2..=3).contains(&digits) && text.get(digits) == Some(&b'.')).then(|| leading_number(text)).flatten()
}

/// The number that `text` begins with.
fn leading_number(text: &[u8]) -> Option<u32> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    str::from_utf8(&text[..digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_llvm_is_recognised_by_the_library_needed_or_the_producer_written() {
        assert_eq!(find_version(b"\0libgcc_s.so.1\0libLLVM.so.22.1\0libc.so.6\0"), Some(22));
        assert_eq!(find_version(b"\0libLLVM-21.so.1\0"), Some(21));
        assert_eq!(find_version(b"\0LLVM23.1.0-rust-1.98.0-stable\0"), Some(23));
        assert_eq!(find_version(b"\0LLVM ERROR: \0LLVMAddFunction\0LLLVM22.1.2\0"), Some(22));
        assert_eq!(find_version(b"\0LLVM\0libLLVM.so.\0LLVM1.2\0LLVM22"), None);
        assert_eq!(find_version(b""), None);
    }
}
