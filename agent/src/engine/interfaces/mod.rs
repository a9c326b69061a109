//! The interfaces that are protected, and those that are to be: what the configuration names, whether it is there or not,
//! and what an earlier configuration has named and nobody has detached since.

mod follow;
mod plan;
mod requests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stopbank_common::policy::MAX_INTERFACES;

use super::{State, host};
use crate::{
    config::{Attach, arm_cookies},
    control::interfaces::Standing,
    datapath::{
        Datapath, DatapathError,
        link::{self, Links},
    },
    failure::Failure,
};
pub(super) use follow::{Follower, Waker};
pub(super) use plan::Plan;

/// Interfaces that a pattern or a default route has matched and that are gone, of which this many are still told of.
const REMEMBERED: usize = 8;

/// An interface that is protected, or is to be.
#[derive(Clone, Debug)]
pub(super) struct Protected {
    pub(super) name: String,
    /// 0: it is not there.
    pub(super) index: u32,
    pub(super) attach: Attach,
    /// Where its packets are counted; 0: with those of all others that have no slot.
    pub(super) slot: usize,
    /// The configuration, or a command since, names it.
    pub(super) configured: bool,
    /// The agent does not start without it.
    pub(super) required: bool,
    /// By a pattern or a default route.
    pub(super) matched: bool,
    pub(super) taken_over: bool,
    pub(super) standing: Standing,
    /// Why it is not protected although it is there.
    pub(super) error: Option<String>,
}

/// The plan, for whoever changes or follows it. Taken after the state, where both are.
pub(super) type SharedPlan = Arc<Mutex<Plan>>;

pub(super) fn locked(plan: &SharedPlan) -> MutexGuard<'_, Plan> {
    // Each change of it is a single assignment.
    plan.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the kernel says now, for a plan.
pub(super) fn look(plan: &mut Plan) -> Result<Links, DatapathError> {
    let failed = |error| DatapathError::netlink("ask for the interfaces", &error);
    let links = link::all().map_err(failed)?;
    if plan.follows_routes() {
        plan.default_routes.extend(link::default_routes().map_err(failed)?);
    }
    Ok(links)
}

/// Interfaces that an earlier agent protects: protection only ends by `stopbank detach`, so that those which the
/// configuration does not name (any more) are taken over as they are.
pub(super) fn inherited(
    datapath: &Datapath,
    plan: &Plan,
    links: &Links,
) -> Result<Vec<Protected>, DatapathError> {
    datapath.put_in_order(links)?;
    let mut inherited = Vec::new();
    for name in datapath.attached_interfaces()? {
        let Some(link) = links.values().find(|link| link.name == name) else { continue };
        let Some(program) = link.program else { continue };
        if plan.selects(link).is_some() {
            continue;
        }
        tracing::warn!(
            "{name} is protected but not in the configuration; it stays so until `stopbank detach {name}`"
        );
        inherited.push(Protected {
            name,
            index: link.index,
            attach: if program.native { Attach::Native } else { Attach::Generic },
            slot: 0,
            configured: false,
            required: false,
            matched: false,
            taken_over: false,
            standing: Standing::Attached,
            error: None,
        });
    }
    Ok(inherited)
}

/// The interfaces of a plan as they are now, each with what was known of it, and those that are protected without being in
/// the plan.
pub(super) fn picture(old: &[Protected], plan: &Plan, links: &Links) -> Vec<Protected> {
    let mut new: Vec<Protected> = Vec::new();
    for wanted in plan.wanted(links) {
        // One that has another name now is another one's past.
        let same_name = |old: &&Protected| {
            old.name == wanted.interface.name
                && links.get(&old.index).is_none_or(|link| link.name == old.name)
        };
        let same_index = |old: &&Protected| wanted.index != 0 && old.index == wanted.index;
        let before = old.iter().find(same_index).or_else(|| old.iter().find(same_name));
        let stayed = before.filter(|before| before.index == wanted.index && wanted.index != 0);
        new.push(Protected {
            name: wanted.interface.name,
            index: wanted.index,
            attach: stayed.map_or(wanted.interface.attach, |before| before.attach),
            slot: before.map_or(0, |before| before.slot),
            configured: true,
            required: wanted.interface.required,
            matched: wanted.matched,
            taken_over: stayed.is_some_and(|before| before.taken_over),
            standing: match stayed {
                Some(before) => before.standing,
                None if wanted.index == 0 => Standing::Absent,
                None => Standing::Failed,
            },
            error: stayed.and_then(|before| before.error.clone()),
        });
    }
    let mut absent = 0;
    for old in old {
        let known = |new: &Protected| {
            (old.index != 0 && new.index == old.index) || (old.index == 0 && new.name == old.name)
        };
        if new.iter().any(known) {
            continue;
        }
        match links.get(&old.index) {
            Some(link) if old.standing == Standing::Attached => {
                new.push(Protected { name: link.name.clone(), configured: false, ..old.clone() });
            }
            None if plan.remembers(old)
                && absent < REMEMBERED
                && new.iter().all(|new| new.name != old.name) =>
            {
                absent += 1;
                let gone = Protected { index: 0, standing: Standing::Absent, error: None, ..old.clone() };
                new.push(gone);
            }
            _ => {}
        }
    }
    give_slots(&mut new);
    new
}

/// Gives each interface a slot of its own, as far as they go: those that are there come first, of these those that are
/// configured. Who had one keeps it.
fn give_slots(interfaces: &mut [Protected]) {
    interfaces.sort_by_key(|interface| !interface.configured);
    let rank = |interface: &Protected| (interface.index == 0, !interface.configured);
    let mut order: Vec<usize> = (0..interfaces.len()).collect();
    order.sort_by_key(|&i| rank(&interfaces[i]));
    let mut taken = [false; MAX_INTERFACES];
    taken[0] = true;
    for &i in &order {
        let slot = interfaces[i].slot;
        if std::mem::replace(&mut taken[slot], true) {
            interfaces[i].slot = 0;
        }
    }
    for (place, &i) in order.iter().enumerate() {
        if interfaces[i].slot != 0 {
            continue;
        }
        let own = rank(&interfaces[i]);
        let free = (1..MAX_INTERFACES).find(|slot| !taken[*slot]).or_else(|| {
            let lesser = |&&other: &&usize| interfaces[other].slot != 0 && rank(&interfaces[other]) > own;
            let lesser = order[place + 1..].iter().rev().find(lesser).copied()?;
            Some(std::mem::take(&mut interfaces[lesser].slot))
        });
        let slot = free.unwrap_or(0);
        taken[slot] = true;
        interfaces[i].slot = slot;
    }
}

impl Protected {
    pub(super) fn is_attached(&self) -> bool {
        self.standing == Standing::Attached
    }

    pub(super) fn stands(&mut self, standing: Standing, error: Option<String>) {
        (self.standing, self.error) = (standing, error);
    }

    /// What is wrong with it, if anything is.
    pub(super) fn trouble(&self) -> Option<String> {
        let name = &self.name;
        match self.standing {
            Standing::Attached | Standing::Detached | Standing::Unprotected => None,
            Standing::Absent => self.required.then(|| format!("{name} is not there")),
            Standing::Failed => Some(format!(
                "{name} is not protected: {}",
                self.error.as_deref().unwrap_or("not attached yet")
            )),
        }
    }

    pub(super) fn log_attached(&self) {
        let Self { name, index, attach, taken_over, .. } = self;
        tracing::info!(index, mode = attach.name(), taken_over, "protecting {name}");
        if *attach == Attach::Generic {
            tracing::warn!(
                "{name} is protected in generic mode: packets are dropped behind the driver, at about a third of the speed"
            );
        }
        if self.slot == 0 {
            tracing::warn!(
                "{name} is protected, but more than {} interfaces are: its packets are counted as those of \"other\"",
                MAX_INTERFACES - 1
            );
        }
    }
}

/// An interface that was attached anew, and how it was attached before.
pub(super) struct Reattached {
    name: String,
    before: Option<Attach>,
}

impl State {
    /// Attaches to every interface, and gives those that were not attached before. Where one that is named fails, or all that
    /// are there, they are taken off again.
    pub(super) fn attach_all(&mut self) -> Result<Vec<String>, Failure> {
        let mut fresh = Vec::new();
        let mut failure = None;
        // First those that are not protected yet: should one refuse, nothing of the others has been touched.
        let mut order: Vec<usize> = (0..self.interfaces.len()).collect();
        order.sort_by_key(|i| self.datapath.holds(&self.interfaces[*i].name));
        for i in order {
            let interface = &mut self.interfaces[i];
            if interface.index == 0 {
                tracing::warn!("{} is not there; it will be protected as soon as it is", interface.name);
                continue;
            }
            match self.datapath.attach(&interface.name, interface.attach.into()) {
                Ok(attached) => {
                    interface.index = attached.index;
                    interface.taken_over = attached.replaced;
                    interface.stands(Standing::Attached, None);
                    if !attached.replaced {
                        fresh.push(interface.name.clone());
                    }
                    interface.log_attached();
                }
                Err(error) if !interface.configured => {
                    tracing::warn!("{} keeps an earlier version's program: {error}", interface.name);
                }
                Err(error) if interface.required && !interface.matched => {
                    self.detach_all_of(&fresh);
                    return Err(error.into());
                }
                Err(error) => {
                    tracing::error!("{} is not protected: {error}", interface.name);
                    interface.stands(Standing::Failed, Some(error.to_string()));
                    failure.get_or_insert(error);
                }
            }
        }
        match failure {
            Some(error) if !self.interfaces.iter().any(Protected::is_attached) => Err(error.into()),
            _ => Ok(fresh),
        }
    }

    pub(super) fn detach_all_of(&mut self, names: &[String]) {
        for name in names.iter().rev() {
            if let Err(error) = self.datapath.detach(name) {
                tracing::error!("cannot take the program off {name} again: {error}");
            }
        }
    }

    /// Attaches to the interfaces of a new configuration that are new, or are to be attached in another way. What was
    /// configured before and could not be attached then refuses nothing.
    pub(super) fn attach_changed(
        &mut self,
        plan: &Plan,
        links: &Links,
        interfaces: &mut [Protected],
    ) -> Result<Vec<Reattached>, DatapathError> {
        let shared = self.plan.clone();
        let _nobody_else = locked(&shared);
        let mut changed = Vec::new();
        for new in interfaces.iter_mut().filter(|interface| interface.configured && interface.index != 0) {
            let Some(wanted) = links.get(&new.index).and_then(|link| plan.selects(link)) else { continue };
            let old = self.interfaces.iter().find(|old| old.index == new.index);
            let before = old.filter(|old| old.is_attached()).map(|old| old.attach);
            if before == Some(wanted.attach) {
                continue;
            }
            let refuses =
                new.required && !new.matched && !old.is_some_and(|old| old.configured && !old.is_attached());
            changed.push(Reattached { name: new.name.clone(), before });
            match self.datapath.attach(&new.name, wanted.attach.into()) {
                Ok(_) => {
                    new.attach = wanted.attach;
                    new.stands(Standing::Attached, None);
                    new.log_attached();
                }
                Err(error) if refuses => {
                    self.put_back(&changed);
                    return Err(error);
                }
                Err(error) => {
                    tracing::error!("{} is not protected: {error}", new.name);
                    new.stands(Standing::Failed, Some(error.to_string()));
                }
            }
        }
        Ok(changed)
    }

    /// Puts interfaces back as they were: not attached, or attached as before.
    pub(super) fn put_back(&mut self, changed: &[Reattached]) {
        for Reattached { name, before } in changed.iter().rev() {
            let outcome = match before {
                Some(attach) => self.datapath.attach(name, (*attach).into()).map(|_| ()),
                None => self.datapath.detach(name).map(|_| ()),
            };
            if let Err(error) = outcome {
                tracing::error!("cannot put {name} back as it was: {error}");
            }
        }
    }

    /// Takes interfaces as they are now: their packets are counted in their slots from here on. Slots that were another's
    /// begin anew.
    pub(super) fn take_interfaces(&mut self, interfaces: Vec<Protected>) -> Result<(), DatapathError> {
        self.reset_slots(&interfaces);
        self.interfaces = interfaces;
        let host = host(&self.interfaces);
        if self.policy.interfaces == host.interfaces {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.policy.interfaces, host.interfaces);
        // Never fails for a configuration that was read.
        let _ = arm_cookies(&mut self.policy, &self.config, &self.numbers, host.handshake);
        let installed = self.datapath.install(&mut self.policy);
        if installed.is_err() {
            self.policy.interfaces = before;
        }
        installed
    }

    /// Begins the counters of slots anew that are another interface's now.
    pub(super) fn reset_slots(&mut self, interfaces: &[Protected]) {
        for new in interfaces.iter().filter(|interface| interface.slot != 0) {
            let kept = |old: &Protected| {
                old.slot == new.slot && (old.name == new.name || (old.index != 0 && old.index == new.index))
            };
            if self.interfaces.iter().any(kept) {
                continue;
            }
            if let Err(error) = self.datapath.reset_counters(new.slot as u32) {
                tracing::warn!("the counters of {} go on from another interface's: {error}", new.name);
            }
        }
    }
}

#[cfg(test)]
mod tests;
