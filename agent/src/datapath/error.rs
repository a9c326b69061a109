//! What can go wrong between the agent and the kernel, and what to do about it.

use std::{io, path::PathBuf};

use stopbank_common::ABI_VERSION;

/// What kind of trouble it is; decides the exit code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Privileges are missing.
    Permission,
    /// There is no such interface.
    NoSuchInterface,
    /// The driver cannot run XDP programs itself.
    NoNativeSupport,
    /// Another XDP program is attached.
    OtherProgram,
    /// The binary was built without its BPF programs.
    NoObject,
    /// Anything else the kernel refused.
    Kernel,
}

/// An operation on the datapath that failed: what was tried, on what, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum DatapathError {
    /// Built on the stub.
    #[error("this stopbank was built without its BPF programs: build it with `cargo xtask build`")]
    NoObject,
    /// `EPERM`.
    #[error(
        "not permitted to {tried}: run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON (CAP_SYS_ADMIN if bpffs has to be mounted)"
    )]
    Permission {
        /// What was tried.
        tried: String,
    },
    /// No such interface.
    #[error("interface {name:?} does not exist; there are: {}", .existing.join(", "))]
    NoSuchInterface {
        /// As asked for.
        name: String,
        /// What there is.
        existing: Vec<String>,
    },
    /// No native XDP.
    #[error("interface {name:?}: its driver has no native XDP ({source}). {advice}")]
    NoNativeSupport {
        /// The interface.
        name: String,
        /// What to do about it.
        advice: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The driver has native XDP, but not as the interface is set up.
    #[error("interface {name:?}: the driver ({driver}) refused native XDP ({source}). {advice}")]
    DriverRefused {
        /// The interface.
        name: String,
        /// Its driver, `unknown` if it does not say.
        driver: String,
        /// What to do about it.
        advice: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Frames that the program cannot read.
    #[error(
        "interface {name:?} carries no Ethernet frames (link type {link_type}), and the program could judge none of its packets: protect the interface that they come in on as frames; for tunnels see [tunnels] inspect"
    )]
    NotEthernet {
        /// The interface.
        name: String,
        /// `ARPHRD_…`.
        link_type: u16,
    },
    /// Somebody else's program.
    #[error(
        "interface {name:?} has another XDP program (id {program}{}, {mode}); stopbank does not replace what is not its own. See it with `bpftool prog show id {program}`; remove it with the tool that attached it (`ip link set dev {name} xdp off`, if that was ip)",
        .known_as.as_ref().map_or_else(|| "; its name is told to CAP_SYS_ADMIN only".to_owned(), |known| format!(", {known:?}"))
    )]
    OtherProgram {
        /// The interface.
        name: String,
        /// The program's id, 0 if the kernel did not say.
        program: u32,
        /// The program's name, if the kernel told it.
        known_as: Option<String>,
        /// How it is attached.
        mode: &'static str,
    },
    /// Another version's pins, which this one does not understand.
    #[error(
        "{} holds the maps of {age} stopbank (ABI version {version}; this one has {ABI_VERSION}){}, which this version cannot take over. Nothing was changed. Start that version again; or end its protection with `stopbank detach`, by which counts and rates are lost, and then start this one",
        .directory.display(),
        protecting(.interfaces)
    )]
    OtherLayout {
        /// Where they are.
        directory: PathBuf,
        /// `a newer` or `an older`.
        age: &'static str,
        /// Their ABI version.
        version: u32,
        /// What they protect.
        interfaces: Vec<String>,
    },
    /// A program on the bond, bridge or VLAN device above it.
    #[error(
        "interface {name:?}: {above}, which is on top of it, has an XDP program (id {program}), and the kernel takes one of both only. Protect {above}, or take that program off ({above} is protected? `stopbank detach {above}`) and protect {name}"
    )]
    OccupiedAbove {
        /// The interface.
        name: String,
        /// The one on top of it.
        above: String,
        /// The program's id.
        program: u32,
    },
    /// A file below the pin directory.
    #[error("cannot {tried} {path:?}: {source}")]
    Pin {
        /// What was tried.
        tried: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot {tried}: {why}")]
    Kernel {
        /// What was tried.
        tried: String,
        /// The whole chain of causes.
        why: String,
    },
}

impl DatapathError {
    /// What kind of trouble it is.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::NoObject => Kind::NoObject,
            Self::Permission { .. } => Kind::Permission,
            Self::NoSuchInterface { .. } => Kind::NoSuchInterface,
            Self::NoNativeSupport { .. } | Self::DriverRefused { .. } | Self::NotEthernet { .. } => {
                Kind::NoNativeSupport
            }
            Self::OtherProgram { .. } | Self::OccupiedAbove { .. } => Kind::OtherProgram,
            Self::OtherLayout { .. } | Self::Pin { .. } | Self::Kernel { .. } => Kind::Kernel,
        }
    }

    /// What the kernel says of a netlink request.
    pub fn netlink(tried: impl Into<String>, error: &io::Error) -> Self {
        Self::kernel(tried, error)
    }

    pub(super) fn pin(tried: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => {
                Self::Permission { tried: format!("{tried} {}", path.display()) }
            }
            _ => Self::Pin { tried, path, source },
        }
    }

    /// From any error of aya's, telling missing privileges from the rest by the errno at the end of its chain.
    pub(super) fn kernel(tried: impl Into<String>, error: &(dyn std::error::Error + 'static)) -> Self {
        let tried = tried.into();
        match errno(error) {
            Some(libc::EPERM | libc::EACCES) if !is_verifier_refusal(error) => Self::Permission { tried },
            _ => Self::Kernel { tried, why: chain(error) },
        }
    }
}

fn protecting(interfaces: &[String]) -> String {
    if interfaces.is_empty() { String::new() } else { format!(", protecting {}", interfaces.join(", ")) }
}

/// The errno at the end of an error's chain of causes.
pub(super) fn errno(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(code) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return Some(code);
        }
        next = error.source();
    }
    None
}

/// The verifier refuses with `EACCES` as well; then it has written a log.
fn is_verifier_refusal(error: &(dyn std::error::Error + 'static)) -> bool {
    use aya::programs::ProgramError::LoadError;
    matches!(
        error.downcast_ref(),
        Some(LoadError { verifier_log, .. }) if verifier_log.to_string().contains("processed")
    )
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
