//! What the screen knows, and what keys and news make of it.

use std::{
    collections::VecDeque,
    net::IpAddr,
    time::{Duration, Instant, SystemTime},
};

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{
    ask::{Answer, Ask, List, Order},
    incidents::Incidents,
    sources::{self, Column},
};
use crate::{
    config::Mode,
    control::api::{DropsReport, Status, TopReport, TopSource},
};

/// Rates that are kept for the curves: more than any terminal is wide.
const HISTORY: usize = 512;
/// How long a message stays.
const STAYS: Duration = Duration::from_secs(8);
/// Longest filter, in characters.
const LONGEST: usize = 64;
/// Lines that a page of sources has.
const PAGE: isize = 10;

/// All that the agent was asked for at one time.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// How things are.
    pub(super) status: Status,
    /// What was counted, by interface, class and reason.
    pub(super) drops: DropsReport,
    /// Who.
    pub(super) top: TopReport,
}

/// What the screen is told.
#[derive(Debug)]
pub(super) enum News {
    /// The agent has answered.
    Look(Box<Look>),
    /// It has not.
    Unanswered(String),
    /// An order was carried out.
    Done(String),
    /// An order was refused, or failed.
    Failed(String),
}

/// What the terminal's side has to do after a key.
#[derive(PartialEq, Debug)]
pub(super) enum Then {
    /// Draw.
    Draw,
    /// End.
    Quit,
    /// Stop, as Ctrl-Z does.
    Suspend,
    /// Carry out an order, then draw.
    Do(Order),
}

/// What is in front of the screen.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Front {
    /// Nothing.
    None,
    /// What the keys do.
    Help,
    /// The filter is being typed.
    Filter,
    /// A question.
    Ask(Ask),
}

/// The state of the screen.
#[derive(Debug)]
pub(super) struct App {
    /// The latest answer; while paused: the one that was there then.
    pub(super) look: Option<Look>,
    /// When that came.
    pub(super) looked: SystemTime,
    /// Since when the agent has not answered, and why.
    pub(super) unanswered: Option<(Instant, String)>,
    /// Packets a second that passed, that were dropped, and that were observed, by look; the latest last.
    pub(super) rates: [VecDeque<u64>; 3],
    /// What happened.
    pub(super) incidents: Incidents,
    /// The screen stands still.
    pub(super) paused: bool,
    /// The source that keys are about.
    pub(super) selected: Option<IpAddr>,
    /// What sources are sorted by.
    pub(super) sort: Column,
    /// The other way round.
    pub(super) reversed: bool,
    /// Which sources are shown.
    pub(super) filter: String,
    /// What is in front.
    pub(super) front: Front,
    /// What came of the last order, whether it is good, and when it came.
    message: Option<(String, bool, Instant)>,
    /// The counters of the look before, and when.
    before: Option<(Instant, [u64; 3])>,
}

impl App {
    pub(super) fn new() -> Self {
        Self {
            look: None,
            looked: SystemTime::UNIX_EPOCH,
            unanswered: None,
            rates: Default::default(),
            incidents: Incidents::default(),
            paused: false,
            selected: None,
            sort: Column::Share,
            reversed: false,
            filter: String::new(),
            front: Front::None,
            message: None,
            before: None,
        }
    }

    /// The sources that are shown, in order.
    pub(super) fn sources(&self) -> Vec<&TopSource> {
        let sources = self.look.as_ref().map_or(&[][..], |look| &look.top.sources);
        sources::chosen(sources, &self.filter, self.sort, self.reversed)
    }

    /// The place of the selected source among those shown; the first, where it is not (any more).
    pub(super) fn place(&self, sources: &[&TopSource]) -> Option<usize> {
        let found = sources.iter().position(|source| Some(source.source) == self.selected);
        found.or_else(|| (!sources.is_empty()).then_some(0))
    }

    /// What is to be said of the last order, and whether it is good.
    pub(super) fn message(&self, now: Instant) -> Option<(&str, bool)> {
        let (text, good, at) = self.message.as_ref()?;
        (now.saturating_duration_since(*at) < STAYS).then_some((text.as_str(), *good))
    }

    /// The mode in force, as far as it is known.
    pub(super) fn mode(&self) -> Mode {
        self.look.as_ref().map_or(Mode::Enforce, |look| look.status.mode)
    }

    /// Takes news.
    pub(super) fn hear(&mut self, news: News, now: Instant, clock: SystemTime) {
        match news {
            News::Look(look) => self.take(*look, now, clock),
            News::Unanswered(why) => {
                // The reason may change; since when does not.
                let since = self.unanswered.take().map(|(since, _)| since);
                if since.is_none() {
                    self.incidents.add(clock, format!("the agent does not answer: {why}"));
                }
                self.unanswered = Some((since.unwrap_or(now), why));
            }
            News::Done(text) => self.message = Some((text, true, now)),
            News::Failed(text) => self.message = Some((text, false, now)),
        }
    }

    fn take(&mut self, look: Look, now: Instant, clock: SystemTime) {
        if let Some((since, _)) = self.unanswered.take() {
            let gone = super::super::output::span(now.saturating_duration_since(since).as_secs_f64());
            self.incidents.add(clock, format!("the agent answers again, after {gone}"));
        }
        self.count(&look, now);
        self.incidents.compare(&look.status, &look.drops, now, clock);
        if !self.paused || self.look.is_none() {
            self.look = Some(look);
            self.looked = clock;
        }
    }

    /// Rates of this very interval: the agent's own are taken over some seconds, too smooth for a curve.
    fn count(&mut self, look: &Look, now: Instant) {
        let traffic = &look.drops.traffic;
        let counts = [&traffic.passed, &traffic.dropped, &traffic.observed].map(|flow| flow.packets);
        let before = self.before.replace((now, counts));
        let Some((at, earlier)) = before else { return };
        let time = now.saturating_duration_since(at).as_secs_f64();
        if time <= 0.0 {
            return;
        }
        for ((rates, count), earlier) in self.rates.iter_mut().zip(counts).zip(earlier) {
            if rates.len() == HISTORY {
                rates.pop_front();
            }
            rates.push_back((count.saturating_sub(earlier) as f64 / time) as u64);
        }
    }

    /// Takes a key.
    pub(super) fn key(&mut self, key: KeyEvent) -> Then {
        if key.kind == KeyEventKind::Release {
            return Then::Draw;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            match key.code {
                KeyCode::Char('c') => return Then::Quit,
                KeyCode::Char('z') => return Then::Suspend,
                KeyCode::Char('n') => return self.key(KeyCode::Down.into()),
                KeyCode::Char('p') => return self.key(KeyCode::Up.into()),
                _ => return Then::Draw,
            }
        }
        match std::mem::replace(&mut self.front, Front::None) {
            Front::None => self.command(key.code),
            // Any key closes it.
            Front::Help => Then::Draw,
            Front::Filter => self.type_filter(key.code),
            Front::Ask(ask) => self.answer(ask, key.code),
        }
    }

    fn command(&mut self, code: KeyCode) -> Then {
        match code {
            KeyCode::Char('q') => return Then::Quit,
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::PageDown => self.step(PAGE),
            KeyCode::PageUp => self.step(-PAGE),
            KeyCode::Home | KeyCode::Char('g') => self.step(isize::MIN / 2),
            KeyCode::End | KeyCode::Char('G') => self.step(isize::MAX / 2),
            KeyCode::Char('b') => self.ask_about_source(List::Ban),
            KeyCode::Char('a') => self.ask_about_source(List::Allow),
            KeyCode::Char('m') => self.ask_about_mode(),
            KeyCode::Char('p' | ' ') => self.paused = !self.paused,
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('r') => self.reversed = !self.reversed,
            KeyCode::Char('/') => self.front = Front::Filter,
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.front = Front::Help,
            KeyCode::Esc => {
                self.filter.clear();
                self.message = None;
            }
            _ => {}
        }
        Then::Draw
    }

    fn step(&mut self, by: isize) {
        let sources = self.sources();
        let Some(place) = self.place(&sources) else { return };
        let place = place.saturating_add_signed(by).min(sources.len() - 1);
        self.selected = Some(sources[place].source);
    }

    fn ask_about_source(&mut self, list: List) {
        let widths = self
            .look
            .as_ref()
            .map_or((32, 64), |look| (look.status.policy.ipv4_prefix, look.status.policy.ipv6_prefix));
        let sources = self.sources();
        let Some(source) = self.place(&sources).map(|place| sources[place].source) else {
            let text = "no source is selected: none was seen, or none passes the filter";
            self.message = Some((text.to_owned(), false, Instant::now()));
            return;
        };
        self.selected = Some(source);
        self.front = Front::Ask(Ask::list(list, source, widths));
    }

    fn ask_about_mode(&mut self) {
        if self.look.is_some() {
            let other = match self.mode() {
                Mode::Enforce => Mode::Observe,
                Mode::Observe => Mode::Enforce,
            };
            self.front = Front::Ask(Ask::Confirm(Order::Mode(other)));
        }
    }

    fn type_filter(&mut self, code: KeyCode) -> Then {
        match code {
            KeyCode::Enter => return Then::Draw,
            KeyCode::Esc => {
                self.filter.clear();
                return Then::Draw;
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(c) if self.filter.chars().count() < LONGEST => self.filter.push(c),
            _ => {}
        }
        self.front = Front::Filter;
        Then::Draw
    }

    fn answer(&mut self, ask: Ask, code: KeyCode) -> Then {
        let ask = match code {
            KeyCode::Esc => return Then::Draw,
            KeyCode::Enter => ask.enter(),
            KeyCode::Backspace => ask.backspace(),
            KeyCode::Tab | KeyCode::BackTab => ask.switch(),
            KeyCode::Char(c) => match ask.character(c) {
                Answer::Ask(ask) => ask,
                Answer::Do(order) => return Then::Do(order),
                Answer::Leave => return Then::Draw,
            },
            _ => ask,
        };
        self.front = Front::Ask(ask);
        Then::Draw
    }
}
