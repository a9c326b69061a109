//! Limits that an operator changes while the agent runs; the configuration's come back with a reload or restart.

use std::net::IpAddr;

use stopbank_common::{Reason, gcra::Dimension, policy::ROLE_ANY};

use super::{Engine, State, host};
use crate::{
    config::{
        Class, Compiled, Config, Host, LimitSet, PrefixLength, Quantity, change_limits, compile,
        dimension_name, mode_number,
    },
    control::{
        Refused, Why,
        api::{ClassLimits, LimitRow, LimitsReport},
        limits::SetLimits,
    },
    datapath::monotonic_ns,
    explain::lists::{FileInForce, reason_for},
    lists::{limit_objection, printable},
};

/// Where SSH listens if it is not said.
const SSH: u16 = 22;

impl Engine {
    /// Changes limits of a class until the next reload.
    pub(super) fn set_class_limits(&self, class: &str, request: &SetLimits) -> Result<LimitsReport, Refused> {
        let mut state = self.lock();
        let before = state.class(class)?;
        let changed = change_limits(before, &request.set)
            .map_err(|error| Refused::new(Why::BadRequest, format!("nothing was changed\n{error}")))?;
        if !request.force
            && state.is_of_operator(class, request)
            && let Some(objection) = limit_objection(&changed)
        {
            return Err(Refused::new(Why::Conflict, format!("nothing was changed: {objection}"))
                .hint("if it is meant, repeat it with --force (API: \"force\": true)"));
        }
        state.put_classes(vec![changed])?;
        tracing::warn!("limits of class {class} changed until the next reload: {}", request.set.join(" "));
        Ok(state.limits())
    }

    /// Goes back to the configuration's limits, of one class or of all.
    pub(super) fn reset_class_limits(&self, class: Option<&str>) -> Result<LimitsReport, Refused> {
        let mut state = self.lock();
        if let Some(name) = class {
            state.class(name)?;
        }
        let of_it = |name: &String| class.is_none_or(|class| class == name);
        let back: Vec<Class> =
            state.configured.iter().filter(|(name, _)| of_it(name)).map(|(_, class)| class.clone()).collect();
        if !back.is_empty() {
            state.put_classes(back)?;
            tracing::info!("limits are the configuration's again: {}", class.unwrap_or("all classes"));
        }
        Ok(state.limits())
    }

    pub(super) fn report_limits(&self) -> LimitsReport {
        self.lock().limits()
    }
}

impl State {
    fn class(&self, name: &str) -> Result<&Class, Refused> {
        self.config.class(name).ok_or_else(|| {
            let names: Vec<&str> = self.config.all_classes().map(|class| class.name.as_str()).collect();
            Refused::new(Why::NotFound, format!("there is no class `{}`", printable(name, 40)))
                .hint(format!("there are: {}", names.join(", ")))
        })
    }

    /// Whether the operator's session is of the class, and no list spares it.
    fn is_of_operator(&self, class: &str, request: &SetLimits) -> bool {
        let port = request.operator_port.unwrap_or(SSH);
        let number = self.policy.by_tcp_port[usize::from(port)];
        let allowed = |address: IpAddr| {
            let files = FileInForce::all(&self.files);
            reason_for(&self.lists, &files, address.to_canonical(), monotonic_ns()) == Some(Reason::Allowed)
        };
        self.numbers.name(number) == class && !request.operator.is_some_and(allowed)
    }

    /// Puts classes in the place of those of the same name, as one policy: all or none of them.
    pub(super) fn put_classes(&mut self, classes: Vec<Class>) -> Result<(), Refused> {
        let mut config = self.config.clone();
        let mut configured = self.configured.clone();
        for new in classes {
            let Some(place) = config.class_mut(&new.name) else { continue };
            let before = std::mem::replace(place, new.clone());
            let original = configured.entry(new.name.clone()).or_insert(before);
            if *original == new {
                configured.remove(&new.name);
            }
        }
        // Nothing but the limits: what the host does by now is a reload's to find out.
        let host = Host { forwards: self.policy.role == ROLE_ANY, ..host(&self.interfaces) };
        let kept = self.datapath.kept()?;
        let Compiled { mut policy, .. } = compile(&config, &kept, &host)
            .map_err(|error| Refused::new(Why::BadRequest, format!("a limit cannot be held: {error:?}")))?;
        policy.mode = mode_number(self.mode);
        self.datapath.install(&mut policy)?;
        self.policy = policy;
        self.config = config;
        self.configured = configured;
        Ok(())
    }

    fn limits(&self) -> LimitsReport {
        let mut classes = class_limits(&self.config);
        for class in &mut classes {
            if let Some(configured) = self.configured.get(&class.name) {
                class.configured = Some(rows(configured));
            }
        }
        LimitsReport { classes }
    }
}

/// The classes of a configuration and their limits.
pub(crate) fn class_limits(config: &Config) -> Vec<ClassLimits> {
    let of = |class: &Class| ClassLimits {
        name: class.name.clone(),
        claims: class.claim.show(),
        closed: class.closed,
        limits: rows(class),
        configured: None,
    };
    config.all_classes().map(of).collect()
}

/// In the order in which a packet meets the scopes that a person thinks of: source, prefixes, all together.
fn rows(class: &Class) -> Vec<LimitRow> {
    let of_prefixes = class
        .per_prefix
        .iter()
        .flat_map(|prefix| limit_rows("per_prefix", &prefix.limits, Some(prefix.length), None));
    limit_rows("per_source", &class.per_source, None, None)
        .chain(of_prefixes)
        .chain(limit_rows("total", &class.total, None, Some(class.proven_share)))
        .collect()
}

fn limit_rows(
    scope: &'static str,
    set: &LimitSet,
    length: Option<PrefixLength>,
    proven_percent: Option<u8>,
) -> impl Iterator<Item = LimitRow> {
    Dimension::ALL.into_iter().filter_map(move |dimension| {
        let limit = set.get(dimension)?;
        Some(LimitRow {
            scope: scope.to_owned(),
            ipv4_prefix: length.and_then(|length| length.ipv4),
            ipv6_prefix: length.and_then(|length| length.ipv6),
            counts: dimension_name(dimension).to_owned(),
            rate: limit.rate.show(Quantity::from(dimension)),
            per_second: limit.rate.count as f64 / limit.rate.period.seconds() as f64,
            burst: limit.burst,
            proven_percent,
        })
    })
}
