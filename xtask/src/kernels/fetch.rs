//! Debian's kernels, in a cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::sources;
use crate::command::{self, command, say};
use crate::workspace;

/// The kernels of the matrix: the series, and the suites of Debian's that have it. The second of them is the archive of
/// security updates.
const SERIES: [(&str, &str, Option<&str>); 2] =
    [("6.1", "bookworm", Some("bookworm-security")), ("6.12", "bookworm-backports", None)];

/// The package that depends on the newest kernel: the one for virtual machines, which is smaller.
const NEWEST: &str = "linux-image-cloud-amd64";

/// Whether this is the name of a kernel of the matrix.
pub(super) fn is_series(name: &str) -> bool {
    SERIES.iter().any(|(series, ..)| *series == name)
}

/// Where kernels are kept.
pub(super) fn cache() -> Result<PathBuf> {
    let tools = workspace::cache().unwrap_or_else(|| workspace::root().join("target/cache/tools"));
    Ok(tools.parent().context("the cache has a parent")?.join("kernels"))
}

/// The newest kernel of a series, unpacked: from Debian's mirror, or, where that does not answer, from the cache.
pub(super) fn series(name: &str) -> Result<PathBuf> {
    let (_, suite, security) =
        SERIES.into_iter().find(|(series, ..)| *series == name).context("a series of the matrix")?;
    let directory = cache()?.join(name);
    fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    match newest(name, &directory, suite, security) {
        Ok(unpacked) => Ok(unpacked),
        Err(error) => match cached(&directory) {
            Some(unpacked) => {
                say(&format!("Linux {name}: {error:#}; taking the one in {}", unpacked.display()));
                Ok(unpacked)
            }
            None => Err(error.context(format!(
                "no Linux {name} from Debian, and none in {}; give one with --kernel PATH",
                directory.display()
            ))),
        },
    }
}

/// Asks the mirror what is newest and downloads it if it is not here yet.
fn newest(series: &str, directory: &Path, suite: &str, security: Option<&str>) -> Result<PathBuf> {
    let apt = Apt::new(directory, suite, security)?;
    apt.update()?;
    let package = apt.dependency(NEWEST)?;
    if !package.starts_with(&format!("linux-image-{series}.")) {
        bail!("Debian's {suite} has {package}, and no Linux {series}");
    }
    let version = apt.version(&package)?;
    let unpacked = directory.join(format!("{package}_{}", version.replace([':', '~'], "-")));
    if !unpacked.exists() {
        say(&format!("downloading {package} {version}"));
        let file = apt.download(&package)?;
        unpack(&file, &unpacked)?;
        fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
        for old in unpacked_in(directory) {
            if old != unpacked {
                fs::remove_dir_all(&old).with_context(|| format!("removing {}", old.display()))?;
            }
        }
    }
    Ok(unpacked)
}

/// A kernel that the user has: an unpacked package, or a package.
pub(super) fn given(path: &Path) -> Result<PathBuf> {
    if path.is_dir() {
        return path.canonicalize().with_context(|| path.display().to_string());
    }
    if path.extension().is_some_and(|extension| extension == "deb") && path.is_file() {
        let name = path.file_stem().unwrap_or_default();
        let unpacked = cache()?.join("given").join(name);
        let _old = fs::remove_dir_all(&unpacked);
        unpack(path, &unpacked)?;
        return Ok(unpacked);
    }
    bail!(
        "{}: no kernel: give 6.1, 6.12, host, a linux-image package (.deb), or a directory that one was unpacked into",
        path.display()
    )
}

/// The release of the kernel unpacked in `root`.
pub(super) fn release(root: &Path) -> Result<String> {
    let boot = root.join("boot");
    let entries = fs::read_dir(&boot).with_context(|| format!("reading {}", boot.display()))?;
    for entry in entries.flatten() {
        if let Some(release) = entry.file_name().to_string_lossy().strip_prefix("vmlinuz-") {
            return Ok(release.to_owned());
        }
    }
    bail!("{} holds no vmlinuz-VERSION", boot.display())
}

/// Unpacks a package and indexes its modules; what is at `to` is whole, or not there.
fn unpack(package: &Path, to: &Path) -> Result<()> {
    let half = to.with_extension("half");
    let _old = fs::remove_dir_all(&half);
    fs::create_dir_all(&half).with_context(|| format!("making {}", half.display()))?;
    command::run(command("dpkg-deb").arg("-x").arg(package).arg(&half))?;
    let release = release(&half)?;
    // Where the distribution merged /lib into /usr/lib.
    if !half.join("lib/modules").exists() && half.join("usr/lib/modules").exists() {
        fs::rename(half.join("usr/lib"), half.join("lib"))?;
    }
    command::run(program("depmod")?.arg("-b").arg(&half).arg(&release))?;
    fs::rename(&half, to).with_context(|| format!("making {}", to.display()))
}

/// A program that may be among the administrators' only.
pub(super) fn program(name: &str) -> Result<Command> {
    Ok(command(command::find(name).with_context(|| format!("there is no {name} here"))?))
}

/// What is unpacked in a series' directory.
fn unpacked_in(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| path.join("boot").is_dir()).collect();
    found.retain(|path| path.extension().is_none_or(|extension| extension != "half"));
    found.sort();
    found
}

fn cached(directory: &Path) -> Option<PathBuf> {
    unpacked_in(directory).pop()
}

/// apt with sources, lists and archives of its own: the system's are neither used nor changed.
struct Apt {
    directory: PathBuf,
}

impl Apt {
    fn new(series: &Path, suite: &str, security: Option<&str>) -> Result<Self> {
        let directory = series.join("apt");
        fs::create_dir_all(directory.join("lists/partial"))
            .with_context(|| format!("making {}", directory.display()))?;
        let mirrors = sources::mirrors();
        let main = mirrors.iter().find(|mirror| !mirror.is_security());
        let main = main.context("no mirror of Debian's in apt's sources here")?;
        let mut list = main.source(suite);
        if let (Some(suite), Some(mirror)) = (security, mirrors.iter().find(|mirror| mirror.is_security())) {
            list += &mirror.source(suite);
        }
        let file = directory.join("sources.list");
        fs::write(&file, list).with_context(|| format!("writing {}", file.display()))?;
        Ok(Self { directory })
    }

    fn command(&self, program: &str) -> Command {
        let mut apt = command(program);
        apt.env("LC_ALL", "C").current_dir(&self.directory);
        for option in [
            format!("Dir::Etc::sourcelist={}", self.directory.join("sources.list").display()),
            "Dir::Etc::sourceparts=-".to_owned(),
            format!("Dir::State::lists={}", self.directory.join("lists").display()),
            format!("Dir::Cache::pkgcache={}", self.directory.join("pkgcache.bin").display()),
            format!("Dir::Cache::srcpkgcache={}", self.directory.join("srcpkgcache.bin").display()),
            // Another user could not write here, and is not needed for it.
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Retries=2".to_owned(),
            "Acquire::http::Timeout=20".to_owned(),
        ] {
            apt.args(["-o", &option]);
        }
        apt
    }

    fn update(&self) -> Result<()> {
        // Without the last, a mirror that does not answer is a warning.
        command::output(self.command("apt-get").args(["update", "-qq", "--error-on=any"])).map(drop)
    }

    /// What the newest version of a package depends on.
    fn dependency(&self, package: &str) -> Result<String> {
        let shown = command::output(self.command("apt-cache").args(["show", "--no-all-versions", package]))?;
        field(&shown, "Depends")
            .and_then(|depends| depends.split([',', '|', ' ']).next().map(str::to_owned))
            .with_context(|| format!("{package} depends on nothing"))
    }

    fn version(&self, package: &str) -> Result<String> {
        let shown = command::output(self.command("apt-cache").args(["show", "--no-all-versions", package]))?;
        field(&shown, "Version").map(str::to_owned).with_context(|| format!("{package} has no version"))
    }

    /// Downloads the newest version of a package; apt checks what it gets against the archive's signature.
    fn download(&self, package: &str) -> Result<PathBuf> {
        command::output(self.command("apt-get").args(["download", "-qq", package]))?;
        let entries = fs::read_dir(&self.directory)?;
        let mut files = entries.flatten().map(|entry| entry.path());
        files
            .find(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                name.starts_with(&format!("{package}_")) && name.ends_with(".deb")
            })
            .with_context(|| format!("apt downloaded {package}, and it is not here"))
    }
}

/// The value of a field of apt's answers.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let shown = "Package: linux-image-cloud-amd64\nVersion: 6.1.1-1\nPre-Depends: x\nDepends: linux-image-6.1.0-1-cloud-amd64 (= 6.1.1-1)\n";
        assert_eq!(field(shown, "Version"), Some("6.1.1-1"));
        assert_eq!(field(shown, "Depends"), Some("linux-image-6.1.0-1-cloud-amd64 (= 6.1.1-1)"));
        assert_eq!(field(shown, "Conflicts"), None);
    }

    #[test]
    fn what_is_no_kernel_is_refused_with_what_would_be() {
        let error = given(Path::new("/nonexistent/kernel")).expect_err("nothing is there");
        assert!(error.to_string().contains("6.1, 6.12, host"), "{error}");
    }

    #[test]
    fn the_release_is_in_the_images_name() {
        let root = std::env::temp_dir().join(format!("stopbank-xtask-release-{}", std::process::id()));
        fs::create_dir_all(root.join("boot")).expect("a place for temporary files");
        assert!(release(&root).is_err());
        fs::write(root.join("boot/vmlinuz-6.1.0-9-cloud-amd64"), []).expect("a file");
        let found = release(&root);
        fs::remove_dir_all(&root).expect("what was made can be removed");
        assert_eq!(found.expect("there is one"), "6.1.0-9-cloud-amd64");
    }
}
