//! `stopbank run`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tracing_subscriber::{EnvFilter, fmt::format::FmtSpan};

use super::{Global, output::colours};
use crate::{
    daemon::{self, RunOptions},
    failure::{Code, Failure},
};

/// Protect this host: load the XDP program, attach it, and serve metrics and the control API
///
/// The agent stops on SIGTERM and SIGINT, and reads its configuration again on SIGHUP. Protection does not depend on
/// it: when it stops or dies, the policy in force stays in force. `stopbank detach` ends protection.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stopbank run                                          with /etc/stopbank/stopbank.toml
  stopbank run --config ./stopbank.toml
  STOPBANK_LOG=debug stopbank run                       with more in the log (off, error, warn, info, debug, trace)")]
pub(super) struct Run {
    /// Configuration file [default: /etc/stopbank/stopbank.toml]
    #[arg(short, long, value_name = "FILE", env = "STOPBANK_CONFIG")]
    config: Option<PathBuf>,
    /// What the XDP program itself logs, for development: it costs time with every packet
    #[arg(long, value_enum, default_value = "off", value_name = "LEVEL")]
    kernel_log: KernelLog,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[repr(u8)]
enum KernelLog {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Run {
    pub(super) fn run(self, global: &Global) -> Result<(), Failure> {
        start_log(self.kernel_log)?;
        daemon::run(&RunOptions {
            config: self.config,
            socket: global.socket.clone(),
            kernel_log: self.kernel_log as u8,
        })
    }
}

/// The log goes to stderr: under systemd into the journal, which knows the time itself.
fn start_log(kernel_log: KernelLog) -> Result<(), Failure> {
    // aya-log hands records to the `log` crate under this name; they are asked for by --kernel-log alone.
    let default = if matches!(kernel_log, KernelLog::Off) {
        "info"
    } else {
        "info,stopbank_xdp=trace,stopbank_ebpf=trace"
    };
    let filter = match std::env::var("STOPBANK_LOG") {
        Ok(text) => EnvFilter::try_new(&text)
            .map_err(|error| Failure::new(Code::Usage, format!("STOPBANK_LOG={text}: {error}")))?,
        Err(_) => EnvFilter::new(default),
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_span_events(FmtSpan::NONE)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()) && colours());
    let started = if std::env::var_os("JOURNAL_STREAM").is_some() {
        subscriber.without_time().try_init()
    } else {
        subscriber.try_init()
    };
    started.map_err(|error| Failure::new(Code::Failed, format!("cannot start the log: {error}")))
}
