//! What counts requests: blocks of the policy that hold for routes which they name by path.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    BrakePolicy, EnumerationPolicy, RateRule, Route, Rules,
    document::{Diagnostics, Table, Value},
};
use crate::text::printable;

/// One that holds for requests.
#[derive(Debug)]
pub(crate) struct Held<T> {
    /// Its place, as the policy counts.
    pub(crate) place: usize,
    pub(crate) rule: Arc<T>,
}

impl<T> Clone for Held<T> {
    fn clone(&self) -> Self {
        Self { place: self.place, rule: Arc::clone(&self.rule) }
    }
}

/// A kind of them.
pub(super) trait Placed: Sized {
    /// As the policy calls it.
    const KEY: &'static str;

    /// Reads all of them.
    fn read(value: &Value<'_>, diagnostics: &mut Diagnostics) -> Vec<Self>;

    /// Templates of the routes that it holds for; `None`: all requests.
    fn routes(&self) -> Option<&[String]>;

    /// Whether it can hold for a route that it names.
    ///
    /// # Errors
    ///
    /// Why not.
    fn fits(&self, _: &Route) -> Result<(), String> {
        Ok(())
    }
}

/// All that a policy has of them.
#[derive(Clone, Default, Debug)]
pub(super) struct Limiters {
    pub(super) rates: Vec<Arc<RateRule>>,
    pub(super) brakes: Vec<Arc<BrakePolicy>>,
    pub(super) enumerations: Vec<Arc<EnumerationPolicy>>,
}

/// Reads all of them, and tells each to the routes where it holds.
pub(super) fn read(
    table: &Table<'_, '_>,
    default: &mut Rules,
    routes: &mut [Route],
    diagnostics: &mut Diagnostics,
) -> Limiters {
    let all = Limiters {
        rates: of_kind(table, routes, diagnostics),
        brakes: of_kind(table, routes, diagnostics),
        enumerations: of_kind(table, routes, diagnostics),
    };
    let every = routes.iter_mut().map(|route| (Some(route.path.as_str()), &mut route.rules));
    for (path, rules) in every.chain([(None, default)]) {
        rules.rates = holding(&all.rates, path);
        rules.brakes = holding(&all.brakes, path);
        rules.enumerations = holding(&all.enumerations, path);
    }
    all
}

fn of_kind<T: Placed>(table: &Table<'_, '_>, routes: &[Route], diagnostics: &mut Diagnostics) -> Vec<Arc<T>> {
    const HELP: &str = "paths stand here as `[[route]]` or the specification has them";
    let Some(value) = table.get(T::KEY) else { return Vec::new() };
    let all = T::read(value, diagnostics);
    let known: BTreeSet<&str> = routes.iter().map(|route| route.path.as_str()).collect();
    for one in &all {
        let named = one.routes().unwrap_or_default();
        for path in named.iter().filter(|path| !known.contains(path.as_str())) {
            let wrong = format!("`{}`: no route has the path \"{}\"", T::KEY, printable(path, 60));
            diagnostics.push(value.span(), wrong, HELP);
        }
        let named = routes.iter().filter(|route| named.contains(&route.path));
        if let Some(wrong) = named.map(|route| one.fits(route)).find_map(Result::err) {
            diagnostics.push(value.span(), format!("`{}`: {wrong}", T::KEY), HELP);
        }
    }
    all.into_iter().map(Arc::new).collect()
}

/// Those that hold for requests of a route with this path, or of none.
fn holding<T: Placed>(all: &[Arc<T>], path: Option<&str>) -> Arc<[Held<T>]> {
    let holds = |one: &T| one.routes().is_none_or(|paths| paths.iter().any(|one| Some(one.as_str()) == path));
    let here = (0..).zip(all).filter(|(_, one)| holds(one));
    here.map(|(place, one)| Held { place, rule: Arc::clone(one) }).collect()
}
