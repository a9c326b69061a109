//! The screen at work: the terminal on one side, the agent on the other.

use std::{
    io,
    time::{Duration, Instant, SystemTime},
};

use crossterm::event::{Event, EventStream};
use futures_util::StreamExt as _;
use hyper::Method;
use ratatui::DefaultTerminal;
use rustix::process::{Signal, getpid, kill_process};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{
    super::{operator::operator_address, output},
    app::{App, Look, News, Then},
    ask::{Order, shown},
    draw::{Looks, draw},
};
use crate::{
    control::{
        api::{AddRequest, Added, ModeReport, SetMode},
        client::{Client, ClientError},
    },
    failure::{Code, Failure},
};

/// How long an agent may take to answer before the screen says so. It answers within milliseconds; one that is busy with a
/// list of a million entries takes longer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often an agent that does not answer is asked.
const AGAIN: Duration = Duration::from_millis(500);
/// How often the screen is drawn where nothing happens: times on it go on.
const REDRAW: Duration = Duration::from_millis(500);
/// News that wait at most.
const WAITING: usize = 16;

/// Shows the screen until the operator leaves it, or a signal ends it. The terminal is left as it was, after a panic too.
///
/// # Errors
///
/// When no agent answers at first, or the terminal cannot be used.
pub(super) async fn run(client: &Client, interval: Duration, limit: usize) -> Result<(), Failure> {
    let first = look(client, limit).await?;
    let signals = Signals::new().map_err(|error| terminal_failure(&error))?;
    let mut app = App::new();
    app.hear(News::Look(Box::new(first)), Instant::now(), SystemTime::now());
    // From here on a panic restores the terminal before it is told.
    let mut terminal = ratatui::try_init().map_err(|error| terminal_failure(&error))?;
    let outcome = Screen { client, app, looks: looks(), interval, limit }.run(&mut terminal, signals).await;
    ratatui::restore();
    outcome.map_err(|error| terminal_failure(&error))
}

fn terminal_failure(error: &io::Error) -> Failure {
    Failure::new(Code::Failed, format!("cannot use the terminal: {error}"))
        .hint("`stopbank top --once` needs none")
}

/// What the terminal can show, as far as the environment says.
fn looks() -> Looks {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let blocks = locale.is_some_and(|locale| locale.to_ascii_lowercase().replace('-', "").contains("utf8"));
    Looks { colours: output::colours(), blocks }
}

/// What ends the screen from outside.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, hangup: signal(SignalKind::hangup())? })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

struct Screen<'c> {
    client: &'c Client,
    app: App,
    looks: Looks,
    interval: Duration,
    limit: usize,
}

impl Screen<'_> {
    async fn run(mut self, terminal: &mut DefaultTerminal, mut signals: Signals) -> io::Result<()> {
        let (tell, mut news) = mpsc::channel(WAITING);
        let watching = tokio::spawn(watch(self.client.clone(), self.interval, self.limit, tell.clone()));
        let mut events = EventStream::new();
        let outcome = loop {
            let (app, looks) = (&self.app, self.looks);
            if let Err(error) =
                terminal.draw(|frame| draw(frame, app, looks, Instant::now(), SystemTime::now()))
            {
                break Err(error);
            }
            tokio::select! {
                () = signals.any() => break Ok(()),
                () = sleep(REDRAW) => {}
                Some(heard) = news.recv() => self.app.hear(heard, Instant::now(), SystemTime::now()),
                event = events.next() => match event {
                    Some(Ok(Event::Key(key))) => match self.app.key(key) {
                        Then::Draw => {}
                        Then::Quit => break Ok(()),
                        Then::Suspend => suspend(terminal)?,
                        Then::Do(order) => {
                            tokio::spawn(carry_out(self.client.clone(), order, tell.clone()));
                        }
                    },
                    // A new size is taken by the next drawing.
                    Some(Ok(_)) => {}
                    Some(Err(error)) => break Err(error),
                    // The terminal has gone.
                    None => break Ok(()),
                },
            }
        };
        watching.abort();
        outcome
    }
}

/// Gives the terminal back, stops, and takes it again when the shell lets this go on.
fn suspend(terminal: &mut DefaultTerminal) -> io::Result<()> {
    ratatui::try_restore()?;
    kill_process(getpid(), Signal::TSTP)?;
    *terminal = ratatui::try_init()?;
    terminal.clear()
}

/// Asks the agent again and again.
async fn watch(client: Client, interval: Duration, limit: usize, tell: mpsc::Sender<News>) {
    let mut wait = interval;
    loop {
        sleep(wait).await;
        let heard = match timeout(PATIENCE, look(&client, limit)).await {
            Ok(Ok(look)) => News::Look(Box::new(look)),
            Ok(Err(error)) => News::Unanswered(why(&error)),
            Err(_) => News::Unanswered(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        wait = if matches!(heard, News::Look(_)) { interval } else { interval.min(AGAIN) };
        if tell.send(heard).await.is_err() {
            return;
        }
    }
}

async fn look(client: &Client, limit: usize) -> Result<Look, ClientError> {
    Ok(Look {
        status: client.get("/v1/status").await?,
        drops: client.get("/v1/drops?by=all").await?,
        top: client.get(&format!("/v1/top?limit={limit}")).await?,
    })
}

/// In few words: the line has room for no more.
fn why(error: &ClientError) -> String {
    match error {
        ClientError::Unreachable { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

async fn carry_out(client: Client, order: Order, tell: mpsc::Sender<News>) {
    let command = order.command();
    let outcome = match order {
        Order::Ban(prefix, time) => add(&client, "ban", shown(&prefix), time).await,
        Order::Allow(prefix, time) => add(&client, "allow", shown(&prefix), time).await,
        Order::Mode(mode) => {
            let changed: Result<ModeReport, _> =
                client.send(Method::PUT, "/v1/mode", &SetMode { mode }).await;
            changed.map(|report| format!("the mode is {} now", report.mode.name()))
        }
    };
    let heard = match outcome {
        Ok(done) => News::Done(format!("done: {done}")),
        Err(error) => News::Failed(format!("{command}: {}", Failure::from(error))),
    };
    // Nobody hears it where the screen has been left meanwhile.
    let _ = tell.send(heard).await;
}

async fn add(
    client: &Client,
    list: &str,
    prefix: String,
    time: Option<Duration>,
) -> Result<String, ClientError> {
    let request = AddRequest {
        prefixes: vec![prefix.clone()],
        for_seconds: time.map(|time| time.as_secs_f64()),
        reason: Some("from stopbank top".to_owned()),
        force: false,
        operator: operator_address(),
    };
    let added: Added = client.send(Method::POST, &format!("/v1/lists/{list}"), &request).await?;
    let what = if added.added > 0 { "added to" } else { "renewed on" };
    let notes = added.notes.iter().map(|note| format!("; {note}"));
    Ok(format!("{prefix} {what} the {list} list{}", notes.collect::<String>()))
}
