//! The proxy's life: start, reload, end.

use std::{
    cell::Cell,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use ring::rand::{SecureRandom as _, SystemRandom};
use rustix::process::{Resource, getrlimit, setrlimit};
use sd_notify::NotifyState;
use stopbank_checker::{printable, state::Seed};
use tokio::{
    net::TcpListener,
    runtime::Builder,
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::LocalSet,
    time::{MissedTickBehavior, interval},
};

use super::{
    Misconfigured,
    accept::{self, Socket},
    admin,
    audit::Audit,
    command::ProxyCommand,
    config::{Config, Listen},
    fetch::{self, Fetcher},
    health,
    judge::{self, Judge, now},
    metrics::Metrics,
    reload::Told,
    say,
    shared::{Live, Shared, Worker},
    tls,
    upstream::{Pool, Upstream},
};

/// How often a thread shows that it is alive, and idle connections are looked through.
const BEAT: Duration = Duration::from_millis(500);
/// How often files of the policy are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Descriptors beside those of connections.
const DESCRIPTORS: u64 = 64;

/// Runs until it is told to end.
pub(super) fn run(command: &ProxyCommand) -> Result<()> {
    let seed = seed()?;
    let (config, live) = read(command, &seed)?;
    let metrics = Arc::new(Metrics::new()?);
    raise_descriptors(&config);
    let (audit, writer) = match &config.audit.file {
        Some(file) => {
            Audit::open(file, config.audit.allowed).map(|(audit, writer)| (Some(audit), Some(writer)))?
        }
        None => (None, None),
    };
    let threads = match config.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let shared = Arc::new(Shared::new(live, seed, metrics, audit, threads));
    note_reload(&shared, true);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(control(command, &config, &shared));
    if let Some(audit) = &shared.audit {
        audit.end();
    }
    if let Some(writer) = writer {
        let _ = writer.join();
    }
    ended
}

/// Reads all that a start reads, and opens nothing.
pub(super) fn check(command: &ProxyCommand) -> Result<()> {
    let (config, _) = read(command, &seed()?)?;
    let policy = config.policy.as_deref().unwrap_or(judge::DEFAULT);
    say(&format!(
        "good: {} listeners, {} upstreams, policy {}",
        config.listen.len(),
        config.upstream.len(),
        printable(policy, 200)
    ));
    Ok(())
}

/// What nobody else can guess, for as long as this process lives.
fn seed() -> Result<Seed> {
    let mut random = [0; 32];
    SystemRandom::new().fill(&mut random).map_err(|_| anyhow!("the system has no random bytes"))?;
    Ok(Seed::new(&random))
}

/// The configuration, and what is in force with it.
fn read(command: &ProxyCommand, seed: &Seed) -> Result<(Config, Live)> {
    let config = command.config().context(Misconfigured)?;
    let live = build(config.clone(), seed, None).context(Misconfigured)?;
    Ok((config, live))
}

/// What is in force with a configuration.
fn build(config: Config, seed: &Seed, earlier: Option<&Live>) -> Result<Live> {
    let before = earlier.map(|live| &*live.judge);
    let judge = Arc::new(Judge::read(config.policy.as_deref(), seed, before)?);
    for listen in &config.listen {
        let kind = match (&listen.auth_request, &listen.ext_authz) {
            (Some(_), _) => "auth_request",
            (_, Some(asked)) if !asked.bodies => "ext_authz",
            _ => continue,
        };
        let checks = judge.enforced_on_bodies().join(", ");
        if !checks.is_empty() {
            say(&format!(
                "{}: no bodies come along with `{kind}`: what the policy enforces of them ({checks}), and values within, is judged only where the checker is the proxy",
                listen.address
            ));
        }
    }
    let (mut tls, mut verifiers, mut revoked) = (Vec::new(), Vec::new(), Vec::new());
    for listen in &config.listen {
        let made = listen.tls.as_ref().map(tls::server).transpose()?;
        verifiers.push(made.as_ref().and_then(|made| made.verifier.clone()));
        revoked.extend(made.iter().flat_map(|made| made.revoked.iter().cloned()));
        tls.push(made.map(|made| made.config));
    }
    let mut upstreams = Vec::new();
    for upstream in &config.upstream {
        let known = earlier.map(|live| &live.upstreams).into_iter().flatten();
        let same = known.clone().find(|known| known.config.name == upstream.name);
        upstreams.push(Arc::new(Upstream::new(upstream.clone(), same.map(Arc::as_ref))?));
    }
    Ok(Live { config, judge, tls, verifiers, revoked, upstreams })
}

/// As many descriptors as connections may need, if that is allowed.
fn raise_descriptors(config: &Config) {
    // A client's connection, and one to the upstream.
    let wanted = 2 * config.limits.connections as u64 + DESCRIPTORS;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    limit.current = Some(limit.maximum.map_or(wanted, |maximum| maximum.min(wanted)));
    let raised = setrlimit(Resource::Nofile, limit).is_ok();
    let has = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if !raised || has < wanted {
        say(&format!(
            "{has} descriptors are not enough for {} connections and as many upstream: {wanted} would be (LimitNOFILE=)",
            config.limits.connections
        ));
    }
}

async fn control(command: &ProxyCommand, config: &Config, shared: &Arc<Shared>) -> Result<()> {
    // Before anyone could send one.
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let sockets = accept::bind(config)?;
    let addresses: Vec<String> =
        sockets.iter().filter_map(|one| one.socket.local_addr().ok()).map(|one| one.to_string()).collect();
    let (stop, draining) = watch::channel(false);
    if let Some(admin) = &config.admin {
        let listener = TcpListener::bind(admin.listen).await;
        let listener = listener.with_context(|| format!("cannot listen on {}", admin.listen))?;
        tokio::spawn(admin::serve(listener, Arc::clone(shared), draining.clone()));
    }
    let _ = shared.fetcher.set(Fetcher::here());
    let mut looking = interval(LOOK);
    looking.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = Vec::new();
    let mut watching = health::watch(&shared.live().upstreams, &shared.metrics);
    let threads = start_threads(&sockets, shared, &draining)?;
    // Each thread has them; the last one that lets go of them closes them.
    drop(sockets);
    say(&format!("listening on {}", addresses.join(", ")));
    let serving = format!("Serving on {}", addresses.join(", "));
    let mut status = serving.clone();
    let mut reloads = Told::begin();
    notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
    let within = sd_notify::watchdog_enabled().filter(|within| !within.is_zero());
    let mut sign = interval(within.map_or(Duration::from_secs(1), |within| (within / 3).max(2 * BEAT)));
    sign.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut beats = Vec::new();
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => {
                if let Ok(now) = NotifyState::monotonic_usec_now() {
                    notify(&[NotifyState::Reloading, now]);
                }
                let good = reload_and_say(command, shared);
                reloads.tell(good);
                if good {
                    watching = health::watch(&shared.live().upstreams, &shared.metrics);
                    status.clone_from(&serving);
                } else {
                    status = format!("{serving}; what was to be read again is wrong, see the journal");
                }
                if let Some(audit) = &shared.audit {
                    audit.reopen();
                }
                notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
            }
            _ = looking.tick() => look(shared, &mut told),
            _ = sign.tick() => {
                if threads.iter().any(JoinHandle::is_finished) {
                    bail!("a thread has ended that serves");
                }
                let now: Vec<u64> = shared.beats.iter().map(|beat| beat.load(Ordering::Relaxed)).collect();
                // All of them have been at work since.
                if within.is_some() && now.iter().zip(&beats).all(|(now, before)| now != before) {
                    notify(&[NotifyState::Watchdog]);
                }
                beats = now;
            }
        }
    }
    drop(watching);
    let drain = shared.live().config.limits.drain;
    notify(&[NotifyState::Stopping, NotifyState::Status("Requests under way come to their end")]);
    say(&format!("ending: what is under way has {}", humantime::format_duration(drain)));
    stop.send_replace(true);
    let deadline = Instant::now() + drain + BEAT;
    while Instant::now() < deadline && !threads.iter().all(JoinHandle::is_finished) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

fn start_threads(
    sockets: &[Socket],
    shared: &Arc<Shared>,
    draining: &watch::Receiver<bool>,
) -> Result<Vec<JoinHandle<()>>> {
    let mut threads = Vec::new();
    for number in 0..shared.beats.len() {
        let sockets = sockets.iter().map(Socket::another).collect::<Result<Vec<_>>>()?;
        let (shared, draining) = (Arc::clone(shared), draining.clone());
        let serve = move || {
            if let Err(error) = thread(number, sockets, shared, draining) {
                say(&format!("{error:#}"));
            }
        };
        threads.push(std::thread::Builder::new().name(format!("serve-{number}")).spawn(serve)?);
    }
    Ok(threads)
}

/// One thread that serves, to its end.
fn thread(
    number: usize,
    sockets: Vec<Socket>,
    shared: Arc<Shared>,
    mut draining: watch::Receiver<bool>,
) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(2).build()?;
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async move {
        let pool = Rc::new(Pool::default());
        let worker = Rc::new(Worker {
            shared: Arc::clone(&shared),
            pool: Rc::clone(&pool),
            draining: draining.clone(),
            open: Cell::new(0),
        });
        for socket in sockets {
            let worker = Rc::clone(&worker);
            tokio::task::spawn_local(async move {
                if let Err(error) = accept::accept(socket, worker).await {
                    say(&format!("a listener ends: {error}"));
                }
            });
        }
        let beating = Arc::clone(&shared);
        tokio::task::spawn_local(async move {
            let mut tick = interval(BEAT);
            loop {
                tick.tick().await;
                if let Some(beat) = beating.beats.get(number) {
                    beat.fetch_add(1, Ordering::Relaxed);
                }
                let live = beating.live();
                pool.sweep(live.upstreams.iter().map(|one| one.config.keep_alive).max().unwrap_or_default());
            }
        });
        let _ = draining.wait_for(|draining| *draining).await;
        let deadline = Instant::now() + shared.live().config.limits.drain;
        while worker.open.get() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    runtime.shutdown_background();
    Ok(())
}

/// Begins what is to be fetched before anyone waits for it, and reads the files again that have changed. What is wrong with them is said once.
fn look(shared: &Arc<Shared>, told: &mut Vec<String>) {
    let live = shared.live();
    live.judge.state().due(now().wall.as_secs());
    fetch::begin(shared, &live);
    let kept = |one: String| format!("{one}; what was in force stays in force");
    let mut wrong: Vec<String> = live.judge.bring().into_iter().map(kept).collect();
    let now = now().wall.as_secs();
    wrong.extend(live.revoked.iter().filter(|list| list.next <= now).map(|list| {
        let what = if list.outlives { "counts all the same" } else { "nobody with a certificate of its authority is let in" };
        let since = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(list.next));
        format!("{}: this list of revoked certificates should have been followed by another since {since}: {what}", list.file)
    }));
    wrong.iter().filter(|one| !told.contains(one)).for_each(|one| say(one));
    *told = wrong;
}

/// Reads everything again, and puts it in force as a whole or not at all.
fn reload(command: &ProxyCommand, shared: &Shared) -> Result<()> {
    let config = command.config()?;
    let before = shared.live();
    let listeners = |config: &Config| -> Vec<(String, [bool; 4])> {
        let kind = |listen: &Listen| {
            let asked = [listen.auth_request.is_some(), listen.spoe.is_some(), listen.ext_authz.is_some()];
            let [nginx, haproxy, envoy] = asked;
            [listen.tls.is_some(), nginx, haproxy, envoy]
        };
        let of = |listen: &Listen| (listen.address.clone(), kind(listen));
        config.listen.iter().map(of).collect()
    };
    let old = &before.config;
    ensure!(
        listeners(&config) == listeners(old)
            && config.admin == old.admin
            && config.threads == old.threads
            && config.audit == old.audit,
        "listeners, `admin`, `threads` and `audit` are those of the start: a restart changes them"
    );
    shared.replace(build(config, &shared.seed, Some(&before))?);
    if let Some(fetcher) = shared.fetcher.get() {
        fetcher.forget();
    }
    Ok(())
}

/// Reloads, and says what became of it. Whether it was good.
fn reload_and_say(command: &ProxyCommand, shared: &Shared) -> bool {
    let read = reload(command, shared);
    note_reload(shared, read.is_ok());
    match &read {
        Ok(()) => say("configuration, policy and certificates are read again"),
        Err(error) => say(&format!("{error:#}; what was in force stays in force")),
    }
    read.is_ok()
}

fn note_reload(shared: &Shared, good: bool) {
    shared.metrics.reload_good.set(i64::from(good));
    if good {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        shared.metrics.reload_time.set(now.as_secs_f64());
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        say(&format!("cannot tell the service manager: {error}"));
    }
}
