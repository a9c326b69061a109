//! What there is around and inside a prefix.

use ipnet::IpNet;
use stopbank_common::{
    Address, Reason,
    gcra::{Dimension, TICKS_PER_NS},
    policy::{Class, MAX_LEVELS},
};

use super::{
    Situation, Wanted,
    limits::{Budget, hash_at, prefix_at},
    lists::{self, Place},
    rules::is_bogon,
    trail::Trail,
};
use crate::{
    config::dimension_name,
    control::explain::{Explanation, StepVerdict},
    datapath::DatapathError,
};

/// Entries inside that are named one by one.
const NAMED: usize = 20;

/// Explains a prefix.
pub(super) fn explain(
    situation: &Situation<'_>,
    subject: IpNet,
) -> Result<(Explanation, Vec<Wanted>), DatapathError> {
    let mut trail = Trail::default();
    situation.interfaces(&mut trail);
    let mut wanted = situation.lists(&mut trail, subject);
    let by_lists = trail.reason();
    let inside = inside(situation, &mut trail, subject, &mut wanted);
    bogons(&mut trail, situation, subject);
    for class in situation.config.all_classes() {
        let Some(number) = situation.numbers.number(&class.name) else { continue };
        let kernel = &situation.policy.classes[usize::from(number)];
        levels(&mut trail, situation, subject, &class.name, kernel)?;
    }
    situation.recent(&mut trail);
    let rest = match by_lists {
        Some(reason) => format!("`{}`: {}", reason.name(), reason.description().trim().trim_end_matches('.')),
        None if situation.interfaces.is_empty() => "nothing: no interface is protected".to_owned(),
        None => "no list; what becomes of its packets depends on their classes and limits".to_owned(),
    };
    let (verdict, reason, _) = trail.conclude(situation.mode);
    let (verdict, reason) =
        if inside == 0 && by_lists.is_some() { (verdict, reason) } else { (StepVerdict::Depends, None) };
    let conclusion = match inside {
        0 => format!("What holds for all of {subject} is {rest}."),
        1 => format!("1 entry inside {subject} has its own say; for the rest, what holds is {rest}."),
        more => {
            format!("{more} entries inside {subject} have their own say; for the rest, what holds is {rest}.")
        }
    };
    let explanation = Explanation {
        subject: subject.to_string(),
        packet: format!("packets from all of {subject}"),
        mode: situation.mode,
        steps: trail.steps,
        verdict,
        reason: reason.map(|reason| reason.name().to_owned()),
        conclusion,
    };
    Ok((explanation, wanted))
}

/// Entries inside; how many there are.
fn inside(situation: &Situation<'_>, trail: &mut Trail, subject: IpNet, wanted: &mut Vec<Wanted>) -> usize {
    const STEP: &str = "lists inside";
    let (entries, more) = lists::inside(situation.lists, &situation.files, subject, NAMED);
    for entry in &entries {
        if let Place::File(list) = &entry.place {
            wanted.push(Wanted { step: trail.steps.len(), list: list.clone(), prefix: entry.prefix });
        }
        trail.next(STEP, situation.describe(entry), "longer, so that it decides for its own sources");
    }
    if more > 0 {
        trail.next(STEP, format!("{more} more"), format!("the first {} are named here", entries.len()));
    } else if entries.is_empty() {
        trail.next(STEP, "none", "no entry is inside it");
    }
    entries.len() + more
}

/// Whether nobody can have addresses of it.
fn bogons(trail: &mut Trail, situation: &Situation<'_>, subject: IpNet) {
    let (first, last) = (is_bogon(subject.network()), is_bogon(subject.broadcast()));
    if first && last {
        let because = format!("{subject} belongs to nobody: unspecified, loopback, multicast or reserved");
        let stands = situation.stands(Reason::BogonSource, None);
        trail.decide("never legitimate", "a bogon", Reason::BogonSource, stands, because);
    } else if first || last {
        trail.next("never legitimate", "part of it is bogon", "sources there are dropped as `bogon-source`");
    }
}

/// What a class allows prefixes of this very length.
fn levels(
    trail: &mut Trail,
    situation: &Situation<'_>,
    subject: IpNet,
    name: &str,
    class: &Class,
) -> Result<(), DatapathError> {
    let source = Address::from(subject.network());
    let bits = if source.is_v4() { class.levels } else { class.levels >> 8 };
    for level in (0..MAX_LEVELS).filter(|level| bits >> level & 1 != 0) {
        if prefix_at(situation.policy, subject.network(), level) != subject {
            continue;
        }
        let hash = hash_at(situation.policy, class, source, level);
        let line = situation.cells.source(class.regions[usize::from(level > 0)].line(hash))?;
        for dimension in Dimension::ALL {
            let limit = &class.per_source[level][dimension as usize];
            if !limit.is_set() {
                continue;
            }
            let (arrival, now) = (line.cells[dimension.cell(hash)], situation.now_ns * TICKS_PER_NS);
            let budget = Budget { limit, arrival, now, dimension };
            let step = format!("class {name}: {} of the prefix", dimension_name(dimension));
            trail.next(
                step,
                format!("at least {}", budget.shown()),
                "others share the cell, so that it may have used less",
            );
        }
    }
    Ok(())
}
