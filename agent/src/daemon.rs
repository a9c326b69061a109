//! `stopbank run`: from the configuration to a running agent, and to its end.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::thread::{CapabilitySet, capabilities};
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::{TcpListener, UnixListener},
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::MissedTickBehavior,
};

use crate::{
    config::{self, Config, History, Sources},
    control::{Control as _, configuration::ChangeRequest, server},
    datapath::Datapath,
    engine::{self, Engine, Origin, Start},
    events,
    failure::{Code, Failure},
    lock::{AgentLock, LockError},
    metrics, notify, watchdog,
};

/// How long requests under way may take to finish when the agent stops.
const GRACE: Duration = Duration::from_secs(5);

/// What `stopbank run` is told on the command line.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The configuration file; `None`: the usual place, or what is built in where there is nothing.
    pub config: Option<PathBuf>,
    /// A control socket that takes precedence over the file's.
    pub socket: Option<PathBuf>,
    /// How much the XDP program itself logs: 0 nothing … 5 everything.
    pub kernel_log: u8,
}

/// Runs the agent until it is told to stop. Protection stays when it does.
///
/// # Errors
///
/// [`Failure`] when it cannot start, with nothing changed, or when it has to give up.
pub fn run(options: &RunOptions) -> Result<(), Failure> {
    let start = configure(options)?;
    if crate::object::is_stub() {
        return Err(crate::datapath::DatapathError::NoObject.into());
    }
    check_privileges()?;
    let agent = start.config.agent.clone();
    let mut lock = AgentLock::take(&agent.socket, &agent.pin_dir).map_err(|error| explain_lock(&error))?;
    let start = engine::resume(start)?;
    let agent = start.config.agent.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Code::Failed, format!("cannot start the runtime: {error}")))?;
    let outcome = runtime.block_on(async {
        // Listeners come first: an address that is taken is found before anything is attached.
        let metrics = match agent.metrics {
            Some(address) => Some(TcpListener::bind(address).await.map_err(|error| {
                Failure::new(Code::Failed, format!("cannot serve metrics on {address}: {error}"))
                    .hint("another program may have the port: change [agent] metrics, or set it to \"off\"")
            })?),
            None => None,
        };
        let control = server::bind(&agent.socket).map_err(|error| bind_failure(&agent.socket, &error))?;
        let outcome = serve(start, control, metrics, &mut lock).await;
        if let Err(error) = std::fs::remove_file(&agent.socket) {
            tracing::debug!("cannot remove {}: {error}", agent.socket.display());
        }
        outcome
    });
    // A disk that does not answer is no reason to stay: what it was to keep of a list file is written beside what it has.
    runtime.shutdown_timeout(GRACE);
    outcome
}

/// The configuration, checked as a whole; the one before a trial, where the files are of no use.
fn configure(options: &RunOptions) -> Result<Start, Failure> {
    let (file, named) = match &options.config {
        Some(file) => (file.clone(), true),
        None => (PathBuf::from(config::DEFAULT_PATH), false),
    };
    let origin = Origin { file, socket: options.socket.clone() };
    let kernel_log = options.kernel_log;
    let (sources, mut config) = match read(&origin.file, named) {
        Ok(read) => read,
        Err(failure) => return engine::without_files(origin, kernel_log, failure),
    };
    if let Some(socket) = &options.socket {
        config.agent.socket.clone_from(socket);
    }
    let history = History::default();
    let (protected, metrics, unusable) = (None, None, None);
    Ok(Start { config, sources, history, protected, origin, metrics, kernel_log, unusable })
}

fn read(file: &Path, named: bool) -> Result<(Sources, Config), Failure> {
    // Where no file was named and none is in the usual place, what is built in holds; it names no interface, though.
    let sources = if named { config::read_sources(file)? } else { config::read_sources_if_any(file)? };
    let config = config::parse_sources(&sources)?;
    if config.interfaces.is_empty() {
        return Err(no_interface(file, &sources.text));
    }
    Ok((sources, config))
}

fn no_interface(file: &Path, text: &str) -> Failure {
    let file = file.display();
    let message = if text.is_empty() {
        format!(
            "there is no configuration at {file}, and stopbank does not guess which interfaces to protect"
        )
    } else {
        format!("{file} names no interface to protect")
    };
    Failure::new(Code::Configuration, message).hint(format!(
        "add to {file}:\n\n    [[interface]]\n    name = \"eth0\"\n\n`ip -brief link` shows the interfaces; `stopbank config show --default` prints a configuration to begin with"
    ))
}

/// Loading programs and attaching them needs three capabilities; better said at once than by the first that fails.
fn check_privileges() -> Result<(), Failure> {
    let Ok(sets) = capabilities(None) else { return Ok(()) };
    if sets.effective.contains(CapabilitySet::SYS_ADMIN) {
        return Ok(());
    }
    let needed = [
        (CapabilitySet::BPF, "CAP_BPF"),
        (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"),
        (CapabilitySet::PERFMON, "CAP_PERFMON"),
    ];
    let missing: Vec<&str> = needed
        .iter()
        .filter(|(needed, _)| !sets.effective.contains(*needed))
        .map(|(_, name)| *name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Code::Permission, format!("this process lacks {}", missing.join(", ")))
        .hint("run it as root, or give it CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON (AmbientCapabilities= in a systemd unit)"))
}

fn explain_lock(error: &LockError) -> Failure {
    match error {
        LockError::Held { .. } => Failure::new(Code::Failed, error.to_string())
            .hint("one agent protects all interfaces of a host; `stopbank status` asks the one that runs"),
        LockError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            Failure::new(Code::Permission, error.to_string())
                .hint("run it as root, or choose another [agent] socket")
        }
        LockError::Io { .. } => Failure::new(Code::Failed, error.to_string()),
    }
}

fn bind_failure(socket: &Path, error: &io::Error) -> Failure {
    let code = if error.kind() == io::ErrorKind::PermissionDenied { Code::Permission } else { Code::Failed };
    Failure::new(code, format!("cannot listen on {}: {error}", socket.display()))
}

/// Starts the engine, and serves until a signal or a request ends it.
async fn serve(
    start: Start,
    control: UnixListener,
    metrics: Option<TcpListener>,
    lock: &mut AgentLock,
) -> Result<(), Failure> {
    let failed =
        |what: &str, error: &io::Error| Failure::new(Code::Failed, format!("cannot {what}: {error}"));
    // Signals are caught before anything is attached: one that comes during the start is heeded after it.
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| failed("catch SIGTERM", &error))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| failed("catch SIGINT", &error))?;
    let mut hangup = signal(SignalKind::hangup()).map_err(|error| failed("catch SIGHUP", &error))?;

    let socket = start.config.agent.socket.display().to_string();
    let pins = start.config.agent.pin_dir.clone();
    let metrics_address = metrics.as_ref().and_then(|listener| listener.local_addr().ok());
    let (engine, events) = Engine::start(Start { metrics: metrics_address, ..start })?;
    lock.take_pins(&pins).map_err(|error| explain_lock(&error))?;
    let engine = Arc::new(engine);
    engine.keep_lists().map_err(|error| failed("start the threads that keep the lists", &error))?;
    let (stop, stopping) = watch::channel(false);
    let stopped = || {
        let mut stopping = stopping.clone();
        async move {
            // An error means that the sender is gone, which is a stop as well.
            let _ = stopping.wait_for(|stop| *stop).await;
        }
    };
    let control = tokio::spawn(server::serve(control, engine.clone(), stopped()));
    let metrics = metrics.map(|listener| tokio::spawn(metrics::serve(listener, engine.clone(), stopped())));
    let background = background(&engine, events);

    let summary = summary(&engine);
    tracing::info!(
        control = socket,
        metrics = metrics_address.map(|address| address.to_string()),
        "{summary}"
    );
    notify::ready(&summary);

    let mut detached = engine.stopped();
    let ended = loop {
        tokio::select! {
            _ = terminate.recv() => break Some("SIGTERM"),
            _ = interrupt.recv() => break Some("SIGINT"),
            _ = detached.wait_for(|detached| *detached) => break None,
            _ = hangup.recv() => reload(&engine).await,
        }
    };
    let farewell = match ended {
        Some(signal) => format!(
            "{signal}: the agent stops; interfaces stay protected by the policy in force (`stopbank detach` ends that)"
        ),
        None => "the agent stops; no interface is protected any more".to_owned(),
    };
    if ended.is_some() {
        // Nobody would be there to take it back when its time is over. The outcome is logged where it is made.
        let engine = engine.clone();
        let taking_back = tokio::task::spawn_blocking(move || engine.take_back(true));
        let _ = tokio::time::timeout(GRACE, taking_back).await;
    }
    tracing::info!("{farewell}");
    notify::stopping(&farewell);
    stop.send_replace(true);
    for task in background {
        task.abort();
    }
    for task in std::iter::once(control).chain(metrics) {
        let _ = tokio::time::timeout(GRACE, task).await;
    }
    // What was read a moment ago may not be kept yet. The outcome is logged where it is made.
    let keeping = tokio::task::spawn_blocking(move || {
        engine.finish_lists(GRACE);
        engine.keep_copies();
    });
    let _ = tokio::time::timeout(GRACE, keeping).await;
    Ok(())
}

async fn reload(engine: &Arc<Engine>) {
    notify::reloading();
    let reloading = engine.clone();
    // The outcome is logged where it is made.
    let _ = tokio::task::spawn_blocking(move || reloading.reload(&ChangeRequest::default())).await;
    notify::ready(&summary(engine));
}

/// What goes on beside the requests.
fn background(
    engine: &Arc<Engine>,
    events: crate::datapath::EventReader,
) -> Vec<tokio::task::JoinHandle<()>> {
    let log = engine.event_log();
    let reading = tokio::spawn(async move {
        if let Err(error) = events::read(events, &log).await {
            tracing::error!("sampled drops are not read any more: {error}");
        }
    });
    let expiring = tokio::spawn({
        let engine = engine.clone();
        async move { engine.expire().await }
    });
    let sampling = tokio::spawn({
        let engine = engine.clone();
        async move {
            let mut tick = tokio::time::interval(Duration::from_secs(1));
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                let engine = engine.clone();
                let _ = tokio::task::spawn_blocking(move || engine.sample()).await;
            }
        }
    });
    if let Err(error) = engine.follow_interfaces() {
        tracing::error!("interfaces that come and go are not followed: {error}");
    }
    let watching = tokio::spawn(engine.clone().watch_files());
    let keeping = tokio::spawn(engine.clone().keep_files());
    let trials = tokio::spawn(engine.clone().watch_trials());
    let mut tasks = vec![reading, expiring, sampling, watching, keeping, trials];
    if let Some(within) = notify::watchdog() {
        let engine = engine.clone();
        tasks.push(tokio::spawn(watchdog::watch(within, move || engine.probe(), notify::sign_of_life)));
    }
    tasks
}

/// One line for the log and for `systemctl status`.
fn summary(engine: &Engine) -> String {
    match engine.status() {
        Ok(status) => {
            let interfaces: Vec<String> = status
                .interfaces
                .iter()
                .map(|interface| format!("{} ({})", interface.name, interface.how()))
                .collect();
            format!("protecting {}; mode {}", interfaces.join(", "), status.mode.name())
        }
        Err(_) => "protecting".to_owned(),
    }
}

/// Passes what the XDP program itself logs on to the agent's log.
#[expect(unsafe_code, reason = "tokio cannot see that the logger keeps its descriptor")]
pub(crate) fn kernel_log(datapath: &mut Datapath) {
    let logger = match datapath.take_kernel_log() {
        Ok(logger) => logger,
        Err(error) => return tracing::warn!("no log of the XDP program: {error}"),
    };
    tokio::spawn(async move {
        // SAFETY: the logger owns its descriptor, gives the same one each time, and closes it only when it is dropped.
        let mut logger = match unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) } {
            Ok(logger) => logger,
            Err(error) => return tracing::warn!("no log of the XDP program: {error}"),
        };
        while let Ok(mut ready) = logger.readable_mut().await {
            ready.get_inner_mut().flush();
            ready.clear_ready();
        }
    });
}

/// The configuration that a command should go by where it needs one without an agent.
///
/// # Errors
///
/// [`Failure`] when a file was named or is in the usual place, and cannot be used.
pub fn configuration_at(file: Option<&Path>) -> Result<Config, Failure> {
    match file {
        Some(file) => Ok(config::load(file)?),
        None => {
            let usual = config::read_sources_if_any(Path::new(config::DEFAULT_PATH))?;
            Ok(config::parse_sources(&usual)?)
        }
    }
}
