//! Follows the interfaces of the host: what is to be protected is, from the moment that the kernel tells of it on.
//!
//! A thread of its own reads the kernel's news and attaches at once, by the plan alone and without the engine's state, for
//! which it might have to wait. Then it tells the engine, which counts the interface's packets under its name from there on.

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd as _, OwnedFd},
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::{read, write},
};

use super::{SharedPlan, locked, picture};
use crate::{
    control::interfaces::Standing,
    datapath::{
        AttachMode, Attacher, DatapathError, hurry,
        link::{self, Link, Links, Message, News, Watch},
    },
    engine::{Engine, State},
};

/// How often everything is looked at, in case that somebody has taken our program off an interface, of which the kernel
/// tells nothing.
const PATROL: Duration = Duration::from_secs(10);
/// An interface that could not be attached to is tried again after the first, then after twice as long, up to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Least time between two looks at all routes because news of some were lost: there may be a million of them.
const ROUTES_AGAIN: Duration = Duration::from_secs(30);

/// Lets the thread look at everything again.
#[derive(Clone)]
pub(in crate::engine) struct Waker(Arc<OwnedFd>);

impl Waker {
    pub(in crate::engine) fn wake(&self) {
        // It fails only where the thread is to be woken already.
        let _ = write(&self.0, &1_u64.to_ne_bytes());
    }
}

/// What the thread needs. Made before the interfaces are first looked at, so that it hears of all that happens since.
pub(in crate::engine) struct Follower {
    watch: Watch,
    wake: Arc<OwnedFd>,
    attacher: Option<Attacher>,
    plan: SharedPlan,
    links: Links,
    failures: BTreeMap<u32, Failed>,
    /// News of routes may have been lost.
    routes_due: bool,
    routes_seen: Option<Instant>,
}

/// An interface that could not be attached to.
#[derive(Debug)]
struct Failed {
    why: String,
    wait: Duration,
    again: Instant,
}

impl Follower {
    /// Begins to listen.
    pub(in crate::engine) fn begin(plan: &SharedPlan) -> Result<Self, DatapathError> {
        let failed = |error| DatapathError::netlink("listen for changes of interfaces", &error);
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| failed(error.into()))?;
        let mut watch = Watch::begin().map_err(failed)?;
        watch.follow_routes(locked(plan).follows_routes()).map_err(failed)?;
        Ok(Self {
            watch,
            wake: Arc::new(wake),
            attacher: None,
            plan: plan.clone(),
            links: Links::new(),
            failures: BTreeMap::new(),
            routes_due: false,
            routes_seen: None,
        })
    }

    /// What it attaches.
    pub(in crate::engine) fn attaches(&mut self, attacher: Option<Attacher>) {
        self.attacher = attacher;
    }

    pub(in crate::engine) fn waker(&self) -> Waker {
        Waker(self.wake.clone())
    }

    /// For as long as the agent runs.
    fn follow(mut self, engine: &Engine) {
        let Some(attacher) = self.attacher.take() else { return };
        let urgent = hurry();
        tracing::debug!(urgent, "interfaces are followed");
        let mut lost = true;
        let mut next_patrol = Instant::now();
        loop {
            let read = self.read_news(&attacher, &mut lost);
            let mut changed = read.unwrap_or_else(|error| {
                tracing::error!(
                    "changes of interfaces are not heard of: {error}; they are looked at every {PATROL:?}"
                );
                false
            });
            if lost || Instant::now() >= next_patrol {
                changed |= self.look_at_everything(&attacher);
                next_patrol = Instant::now() + PATROL;
                lost = false;
            }
            changed |= self.try_again(&attacher);
            if changed {
                engine.settle_interfaces(&self.links, &self.failures, &attacher);
            }
            if *engine.stop.borrow() {
                return;
            }
            let retries = self.failures.values().map(|failed| failed.again);
            let until = retries.chain([next_patrol]).min().unwrap_or(next_patrol);
            lost |= self.wait(until.saturating_duration_since(Instant::now()));
        }
    }

    /// Waits for news; whether somebody has asked to look at everything.
    fn wait(&self, at_most: Duration) -> bool {
        let mut sources = [
            PollFd::new(&self.watch, PollFlags::IN),
            PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN),
        ];
        let at_most = Timespec {
            tv_sec: at_most.as_secs().cast_signed(),
            // Rather a little late than many times too early.
            tv_nsec: i64::from(at_most.subsec_nanos()),
        };
        // Interrupted or not, what there is is looked at.
        let _ = poll(&mut sources, Some(&at_most));
        sources[1].revents().contains(PollFlags::IN) && read(&self.wake, &mut [0; 8]).is_ok()
    }

    /// Heeds all that the kernel has told, in its order; whether anything that matters has changed.
    fn read_news(&mut self, attacher: &Attacher, lost: &mut bool) -> io::Result<bool> {
        let mut changed = false;
        loop {
            match self.watch.next_news()? {
                News::Nothing => return Ok(changed),
                News::Lost => {
                    tracing::debug!("news of interfaces were lost");
                    *lost = true;
                    self.routes_due = true;
                }
                News::Message(Message::Link(link)) => changed |= self.heed(attacher, link),
                News::Message(Message::Gone(index)) => changed |= self.forget(attacher, index),
                News::Message(Message::DefaultRoute(through)) => {
                    for index in through {
                        let fresh = locked(&self.plan).default_routes.insert(index);
                        changed |= fresh && self.protect(attacher, index);
                    }
                }
                News::Message(_) => {}
            }
        }
    }

    fn heed(&mut self, attacher: &Attacher, link: Link) -> bool {
        let index = link.index;
        let before = self.links.insert(index, link);
        let after = &self.links[&index];
        if before.as_ref() == Some(after) {
            return false;
        }
        let renamed = before.is_some_and(|before| before.name != after.name);
        if renamed {
            self.put_pins_in_order(attacher);
        }
        self.protect(attacher, index) || renamed
    }

    fn forget(&mut self, attacher: &Attacher, index: u32) -> bool {
        self.failures.remove(&index);
        locked(&self.plan).default_routes.remove(&index);
        let known = self.links.remove(&index).is_some();
        self.put_pins_in_order(attacher);
        known
    }

    fn put_pins_in_order(&self, attacher: &Attacher) {
        let _nobody_else = locked(&self.plan);
        if let Err(error) = attacher.put_in_order(&self.links) {
            tracing::error!("{error}");
        }
    }

    /// Attaches to an interface that the plan wants protected and that is not; whether anything has changed.
    fn protect(&mut self, attacher: &Attacher, index: u32) -> bool {
        let plan = locked(&self.plan);
        let Some(link) = self.links.get_mut(&index) else { return false };
        let Some(mode) = plan.selects(link).map(|interface| AttachMode::from(interface.attach)) else {
            return self.failures.remove(&index).is_some();
        };
        let outcome = attacher.attach(link, mode);
        drop(plan);
        match outcome {
            Ok(fresh) => self.failures.remove(&index).is_some() || fresh,
            Err(error) => {
                let why = error.to_string();
                let before = self.failures.remove(&index);
                let news = before.as_ref().is_none_or(|before| before.why != why);
                if news {
                    tracing::error!("{} is not protected: {why}", link.name);
                }
                let wait = before.map_or(RETRY.0, |before| (before.wait * 2).min(RETRY.1));
                self.failures.insert(index, Failed { why, wait, again: Instant::now() + wait });
                news
            }
        }
    }

    fn try_again(&mut self, attacher: &Attacher) -> bool {
        let now = Instant::now();
        let due: Vec<u32> =
            self.failures.iter().filter(|(_, failed)| failed.again <= now).map(|(index, _)| *index).collect();
        let mut changed = false;
        for index in due {
            changed |= self.protect(attacher, index);
        }
        changed
    }

    /// Looks at everything, as if nothing had been known.
    fn look_at_everything(&mut self, attacher: &Attacher) -> bool {
        let links = match link::all() {
            Ok(links) => links,
            Err(error) => {
                tracing::error!("cannot ask for the interfaces: {error}");
                return false;
            }
        };
        let mut changed = links != self.links;
        self.links = links;
        self.failures.retain(|index, _| self.links.contains_key(index));
        self.look_at_routes();
        self.put_pins_in_order(attacher);
        let indices: Vec<u32> = self.links.keys().copied().collect();
        for index in indices {
            // Those that failed have a time of their own.
            if !self.failures.contains_key(&index) {
                changed |= self.protect(attacher, index);
            }
        }
        changed
    }

    /// Follows routes if the plan wants it, and asks for all of them where news may have been lost, if that was not done a
    /// moment ago.
    fn look_at_routes(&mut self) {
        let follows = locked(&self.plan).follows_routes();
        if let Err(error) = self.watch.follow_routes(follows) {
            tracing::error!("changes of routes are not heard of: {error}");
        }
        let recently = self.routes_seen.is_some_and(|seen| seen.elapsed() < ROUTES_AGAIN);
        if !follows || !self.routes_due || recently {
            return;
        }
        match link::default_routes() {
            Ok(through) => {
                locked(&self.plan).default_routes.extend(through);
                (self.routes_due, self.routes_seen) = (false, Some(Instant::now()));
            }
            Err(error) => tracing::error!("cannot ask for the routes: {error}"),
        }
    }
}

impl Engine {
    /// Follows the interfaces on a thread of its own, until the agent stops.
    ///
    /// # Errors
    ///
    /// What the system says when there can be no thread.
    pub fn follow_interfaces(self: &Arc<Self>) -> io::Result<()> {
        let follower = self.follower.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(follower) = follower else { return Ok(()) };
        let engine = self.clone();
        std::thread::Builder::new()
            .name("interfaces".to_owned())
            .spawn(move || follower.follow(&engine))
            .map(|_| ())
    }

    fn settle_interfaces(&self, links: &Links, failures: &BTreeMap<u32, Failed>, attacher: &Attacher) {
        let mut state = self.lock();
        if let Err(error) = state.settle(links, failures, attacher) {
            tracing::error!("packets of some interfaces are counted as those of others: {error}");
        }
    }
}

/// Whether an interface has no program; what the thread knows of it may be older than a command.
fn is_bare(index: u32) -> bool {
    link::query(index).is_ok_and(|now| now.program.is_none())
}

impl State {
    /// Takes in what the thread has seen and done.
    fn settle(
        &mut self,
        links: &Links,
        failures: &BTreeMap<u32, Failed>,
        attacher: &Attacher,
    ) -> Result<(), DatapathError> {
        let plan = self.plan.clone();
        let mut interfaces = picture(&self.interfaces, &locked(&plan), links);
        for interface in &mut interfaces {
            let Some(link) = links.get(&interface.index) else { continue };
            if attacher.is_on(link) {
                interface.stands(Standing::Attached, None);
                interface.attach = crate::config::Attach::of(link.program.unwrap_or_default());
            } else if let Some(failed) = failures.get(&interface.index) {
                interface.stands(Standing::Failed, Some(failed.why.clone()));
            } else if interface.is_attached() && is_bare(interface.index) {
                interface.stands(Standing::Failed, Some("somebody has taken the program off".to_owned()));
            }
        }
        self.log_changes(&interfaces);
        let fresh: Vec<String> = interfaces
            .iter()
            .filter(|new| {
                new.is_attached()
                    && !self.interfaces.iter().any(|old| old.is_attached() && old.index == new.index)
            })
            .map(|new| new.name.clone())
            .collect();
        for name in fresh {
            let _nobody_else = locked(&plan);
            if let Err(error) = self.datapath.attach_egress(&name, false) {
                tracing::error!("{error}");
            }
        }
        self.take_interfaces(interfaces)
    }

    fn log_changes(&self, interfaces: &[super::Protected]) {
        for old in self.interfaces.iter().filter(|old| old.index != 0) {
            match interfaces.iter().find(|new| new.index == old.index) {
                None if old.configured => {
                    tracing::warn!("{} is gone; it will be protected again as soon as it is back", old.name);
                }
                None => tracing::warn!("{} is gone", old.name),
                Some(new) if new.name != old.name => {
                    tracing::info!("{} is called {} now, and stays protected", old.name, new.name);
                }
                Some(_) => {}
            }
        }
        for new in interfaces.iter().filter(|new| new.is_attached()) {
            if !self.interfaces.iter().any(|old| old.index == new.index && old.is_attached()) {
                new.log_attached();
            }
        }
    }
}
