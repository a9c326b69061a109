//! `cargo xtask kernels`: the packet tests on other kernels, in virtual machines.
//!
//! A machine is a kernel of Debian's, an initial RAM disk that holds the test programs, and qemu. What it prints comes
//! back over a serial line and is added up like that of any test.

mod archive;
mod fetch;
mod machine;
mod payload;
mod sources;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::build::{self, Profile};
use crate::command::{self, command, say};
use crate::packages::{self, Package};
use crate::totals::Totals;
use machine::{Accelerator, Ran};

/// What boots a kernel.
const PACKAGES: [Package; 5] = [
    Package { program: "qemu-system-x86_64", name: "qemu-system-x86", service: None },
    Package { program: "busybox", name: "busybox-static", service: None },
    Package { program: "modprobe", name: "kmod", service: None },
    Package { program: "xz", name: "xz-utils", service: None },
    Package { program: "ip", name: "iproute2", service: None },
];

/// What the user asks of a run.
#[derive(Args)]
pub(crate) struct Options {
    /// A kernel: 6.1 or 6.12 (Debian's), host, or the path of a linux-image package or of one unpacked; all but the paths
    /// unless named
    #[arg(long = "kernel", value_name = "6.1|6.12|host|PATH")]
    kernels: Vec<String>,

    /// Only tests whose name contains this
    filter: Option<String>,

    /// Seconds that one machine may take
    #[arg(long, default_value_t = 1800, value_name = "SECONDS")]
    time_limit: u64,

    /// Keep the machines' files (initial RAM disk, output) in target/kernels, and say what starts them
    #[arg(long)]
    keep: bool,
}

/// A kernel to boot.
struct Kernel {
    /// As the user calls it.
    name: String,
    /// Holds boot/vmlinuz-VERSION and lib/modules/VERSION.
    root: PathBuf,
    /// `uname -r`.
    release: String,
}

/// Sets up, builds, runs the tests on each kernel and closes with the totals, alone on the last line.
pub(crate) fn run(options: &Options) -> Result<()> {
    if std::env::consts::ARCH != "x86_64" {
        bail!(
            "the kernel matrix boots x86-64 kernels, and this machine's programs are for another processor"
        );
    }
    packages::require(&PACKAGES)?;
    let kernels = kernels(&options.kernels)?;
    if kernels.is_empty() {
        println!("{}", Totals::default());
        return Ok(());
    }
    build::run(Profile::Release)?;
    let payload = payload::build(options.filter.as_deref())?;
    let mut totals = Totals::default();
    let mut lines = Vec::new();
    for (its, line) in on_all(&kernels, &payload, options)? {
        lines.push(line);
        totals.passed += its.passed;
        totals.failed += its.failed;
        totals.skipped += its.skipped;
    }
    for (test, reason) in payload::LEFT_OUT {
        say(&format!("left out on every kernel: tests named `{test}…`: {reason}"));
    }
    let mut out = std::io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "{totals}")?;
    out.flush()?;
    if totals.failed > 0 {
        std::process::exit(1);
    }
    if totals.passed == 0 {
        say("error: no test ran");
        std::process::exit(1);
    }
    Ok(())
}

/// The tests on each kernel: what they add up to, and a line about it. An emulated machine keeps one processor busy, so as many
/// run at once as this one has; under KVM, where each takes two, they take turns.
fn on_all(
    kernels: &[Kernel],
    payload: &payload::Payload,
    options: &Options,
) -> Result<Vec<(Totals, String)>> {
    let one = |kernel: &Kernel, accelerator: Accelerator| -> Result<(Ran, String)> {
        let start = Instant::now();
        let ran = on(kernel, payload, options, accelerator)?;
        let seconds = start.elapsed().as_secs();
        let line = format!("Linux {} ({}): {}, {seconds} s", kernel.release, kernel.name, ran.totals);
        Ok((ran, line))
    };
    let mut done = Vec::new();
    if Accelerator::is_kvm_usable() {
        for kernel in kernels {
            let (ran, line) = one(kernel, Accelerator::Kvm)?;
            if done.is_empty() && !ran.booted {
                say(
                    "KVM starts no kernel here (see the output above): emulating the processor, which is slower",
                );
                break;
            }
            done.push((ran.totals, line));
        }
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    for together in kernels[done.len()..].chunks(processors) {
        let ended = std::thread::scope(|scope| {
            let machines: Vec<_> =
                together.iter().map(|kernel| scope.spawn(|| one(kernel, Accelerator::Emulated))).collect();
            machines
                .into_iter()
                .map(|machine| machine.join().expect("it returns its errors"))
                .collect::<Vec<_>>()
        });
        for ended in ended {
            let (ran, line) = ended?;
            done.push((ran.totals, line));
        }
    }
    Ok(done)
}

/// The tests on one kernel.
fn on(
    kernel: &Kernel,
    payload: &payload::Payload,
    options: &Options,
    accelerator: Accelerator,
) -> Result<Ran> {
    let directory = crate::workspace::root().join("target/kernels").join(&kernel.release);
    fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    let disk = directory.join("initrd");
    payload
        .write(kernel, &disk)
        .with_context(|| format!("making the initial RAM disk {}", disk.display()))?;
    say(&format!("Linux {} ({}): booting", kernel.release, kernel.name));
    let ran = machine::run(kernel, &disk, &directory.join("output"), options.time_limit, accelerator)?;
    if let Some(why) = &ran.broken {
        say(&format!("Linux {}: {why}; all it said is in {}", kernel.release, directory.display()));
    }
    if options.keep {
        say(&format!("kept in {}; started by: {}", directory.display(), ran.command));
    } else if ran.broken.is_none() && ran.totals.failed == 0 {
        fs::remove_dir_all(&directory).with_context(|| format!("removing {}", directory.display()))?;
    }
    Ok(ran)
}

/// The kernels that were asked for; without any, those of the matrix.
fn kernels(asked: &[String]) -> Result<Vec<Kernel>> {
    let matrix = ["6.1".to_owned(), "6.12".to_owned(), "host".to_owned()];
    let asked = if asked.is_empty() { &matrix } else { asked };
    let mut found = Vec::new();
    for name in asked {
        let root = match name.as_str() {
            "host" => match host()? {
                Some(root) => root,
                None => continue,
            },
            series if fetch::is_series(series) => fetch::series(series)?,
            path => fetch::given(Path::new(path))?,
        };
        let release = fetch::release(&root)?;
        found.push(Kernel { name: name.clone(), root, release });
    }
    Ok(found)
}

/// This machine's own kernel, where its image and modules are here to be booted.
fn host() -> Result<Option<PathBuf>> {
    let release = command::output(command("uname").arg("-r"))?.trim().to_owned();
    let image = PathBuf::from(format!("/boot/vmlinuz-{release}"));
    let modules = PathBuf::from(format!("/lib/modules/{release}"));
    if !image.exists() || !modules.exists() {
        say(&format!(
            "host: there is no {} with modules to boot; on Linux {release} the tests run directly, in `cargo xtask test`",
            image.display()
        ));
        return Ok(None);
    }
    // The same shape as an unpacked package, so that nothing else has to know.
    let root = fetch::cache()?.join("host");
    let _old = fs::remove_dir_all(&root);
    for (directory, name, target) in
        [("boot", format!("vmlinuz-{release}"), image), ("lib/modules", release.clone(), modules)]
    {
        let directory = root.join(directory);
        fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
        std::os::unix::fs::symlink(&target, directory.join(name))
            .with_context(|| format!("linking {}", target.display()))?;
    }
    Ok(Some(root))
}
