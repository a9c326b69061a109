//! Proven sources as the agent knows them: what is in the kernel's table, so that nobody has to walk it.

use std::{collections::HashMap, net::IpAddr};

use stopbank_common::{
    Address,
    policy::{Level, MAX_PROVEN},
};

use crate::{
    control::{
        Refused, Why,
        api::{ItemError, ProveRequest, ProvenReport, ProvenSource},
    },
    lists::printable,
};

/// The longest time that a proof may last, in seconds: a year.
const LONGEST_SECONDS: f64 = 366.0 * 86_400.0;
/// Items at fault that are named one by one.
const NAMED: usize = 50;

/// Until when each source (cut to the first level's prefix) is proven, by the monotonic clock in nanoseconds; 0: until it is taken
/// back.
#[derive(Default, Debug)]
pub struct Proofs {
    until: HashMap<[u8; 16], u64>,
}

impl Proofs {
    /// What an earlier agent left, and of it what is of no use: expired, or cut to another prefix than sources are now.
    pub fn inherit(found: Vec<(Address, u64)>, level: &Level, now_ns: u64) -> (Self, Vec<Address>) {
        let (kept, useless): (Vec<_>, Vec<_>) = found
            .into_iter()
            .partition(|(source, until)| cut(source, level) == *source && (*until == 0 || *until > now_ns));
        let until = kept.into_iter().map(|(source, until)| (source.to_bytes(), until)).collect();
        (Self { until }, useless.into_iter().map(|(source, _)| source).collect())
    }

    /// How many there are, expired ones that were not swept yet included.
    pub fn count(&self) -> usize {
        self.until.len()
    }

    /// What a request asks to be written: sources without doubles, and until when they are proven.
    ///
    /// # Errors
    ///
    /// [`Refused`], naming every item that is at fault, or when there is no room for all.
    pub fn plan(
        &self,
        request: &ProveRequest,
        level: &Level,
        now_ns: u64,
    ) -> Result<(Vec<Address>, u64), Refused> {
        let until = match request.for_seconds {
            None => 0,
            Some(seconds) if seconds > 0.0 && seconds <= LONGEST_SECONDS => {
                now_ns.saturating_add((seconds * 1e9) as u64).max(1)
            }
            Some(_) => {
                return Err(Refused::new(Why::BadRequest, "`for_seconds` is not above 0 and at most a year"));
            }
        };
        let sources = sources(&request.sources, level)?;
        let new = sources.iter().filter(|source| !self.until.contains_key(&source.to_bytes())).count();
        let room = (MAX_PROVEN as usize).saturating_sub(self.until.len());
        if new > room {
            return Err(Refused::new(
                Why::Conflict,
                format!("there is room for {room} more proven sources, not for {new}"),
            )
            .hint("take some back, or prove them for a shorter time"));
        }
        Ok((sources, until))
    }

    /// Notes that the kernel has it; until when it was proven before.
    pub fn add(&mut self, source: Address, until_ns: u64) -> Option<u64> {
        self.until.insert(source.to_bytes(), until_ns)
    }

    /// Notes that the kernel has it no more.
    pub fn remove(&mut self, source: Address) {
        self.until.remove(&source.to_bytes());
    }

    /// The sources of a request to take proofs back.
    ///
    /// # Errors
    ///
    /// [`Refused`], naming every item that is no address or is not proven.
    pub fn find(&self, items: &[String], level: &Level) -> Result<Vec<Address>, Refused> {
        let sources = sources(items, level)?;
        let missing: Vec<String> = sources
            .iter()
            .filter(|source| !self.until.contains_key(&source.to_bytes()))
            .map(|source| IpAddr::from(*source).to_string())
            .collect();
        if missing.is_empty() {
            return Ok(sources);
        }
        let shown = missing.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        Err(Refused::new(Why::NotFound, format!("not proven: {shown}"))
            .hint("`stopbank proven ls` shows who is"))
    }

    /// Those whose time is over.
    pub fn expired(&self, now_ns: u64) -> Vec<Address> {
        let over = |until: u64| until != 0 && until <= now_ns;
        self.until
            .iter()
            .filter(|(_, until)| over(**until))
            .map(|(source, _)| Address::from_bytes(*source))
            .collect()
    }

    /// All of them, by address.
    pub fn report(&self, now_ns: u64) -> ProvenReport {
        let mut sources: Vec<(IpAddr, u64)> =
            self.until.iter().map(|(source, until)| (Address::from_bytes(*source).into(), *until)).collect();
        sources.sort_unstable();
        let sources = sources
            .into_iter()
            .map(|(source, until)| ProvenSource {
                source: source.to_string(),
                expires_in_seconds: (until != 0).then(|| until.saturating_sub(now_ns) as f64 / 1e9),
            })
            .collect();
        ProvenReport { capacity: MAX_PROVEN, sources }
    }
}

/// As the program looks for it (ebpf/src/proven.rs).
fn cut(source: &Address, level: &Level) -> Address {
    source.masked(if source.is_v4() { &level.mask_v4 } else { &level.mask_v6 })
}

/// Each source once.
fn sources(items: &[String], level: &Level) -> Result<Vec<Address>, Refused> {
    let (mut sources, mut errors) = (Vec::with_capacity(items.len()), Vec::new());
    for (index, text) in items.iter().enumerate() {
        match text.trim().parse::<IpAddr>() {
            Ok(address) => sources.push(cut(&Address::from(address), level)),
            Err(_) if errors.len() < NAMED => {
                let error = format!("`{}` is no IP address", printable(text, 64));
                errors.push(ItemError { index, error });
            }
            Err(_) => {}
        }
    }
    if !errors.is_empty() {
        return Err(Refused::new(Why::BadRequest, "nothing was changed").items(errors));
    }
    if sources.is_empty() {
        return Err(Refused::new(Why::BadRequest, "`sources` is empty"));
    }
    sources.sort_unstable_by_key(|source| source.to_bytes());
    sources.dedup();
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level() -> Level {
        Level { mask_v4: Address::mask(128), mask_v6: Address::mask(64) }
    }

    fn request(sources: &[&str], for_seconds: Option<f64>) -> ProveRequest {
        ProveRequest { sources: sources.iter().map(|&source| source.to_owned()).collect(), for_seconds }
    }

    fn of(text: &str) -> Address {
        Address::from(text.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn sources_are_cut_and_counted_once() {
        let asked = request(&["192.0.2.1", "2001:db8::1", "2001:db8::2", "::ffff:192.0.2.1"], Some(2.0));
        let (sources, until) = Proofs::default().plan(&asked, &level(), 1_000).unwrap();
        assert_eq!(sources.len(), 2);
        assert!(sources.contains(&of("192.0.2.1")) && sources.contains(&of("2001:db8::")), "{sources:?}");
        assert_eq!(until, 2_000_001_000);
    }

    #[test]
    fn what_is_at_fault_is_named_and_nothing_is_planned() {
        let proofs = Proofs::default();
        let plan = |request| proofs.plan(&request, &level(), 0);
        let refused = plan(request(&["192.0.2.1", "192.0.2.0/24", "host\u{1b}"], None)).unwrap_err();
        assert_eq!(refused.body.items.iter().map(|item| item.index).collect::<Vec<_>>(), [1, 2]);
        assert!(!refused.body.items[1].error.contains('\u{1b}'));
        assert!(plan(request(&[], None)).is_err());
        for seconds in [0.0, -1.0, f64::NAN, f64::INFINITY, 4e7] {
            assert!(plan(request(&["192.0.2.1"], Some(seconds))).is_err(), "{seconds}");
        }
    }

    #[test]
    fn there_is_room_for_so_many_and_renewals_need_none() {
        let mut proofs = Proofs::default();
        for i in 0..MAX_PROVEN {
            proofs.add(Address::from(IpAddr::from((0x0a00_0000 + i).to_be_bytes())), 0);
        }
        assert!(proofs.plan(&request(&["10.0.0.7"], None), &level(), 0).is_ok());
        let refused = proofs.plan(&request(&["10.0.0.7", "192.0.2.1"], None), &level(), 0).unwrap_err();
        assert_eq!(refused.why, Why::Conflict);
        proofs.remove(of("10.0.0.9"));
        assert!(proofs.plan(&request(&["192.0.2.1"], None), &level(), 0).is_ok());
    }

    #[test]
    fn what_ends_is_found_and_what_another_prefix_made_is_of_no_use() {
        let found =
            vec![(of("192.0.2.1"), 5), (of("192.0.2.2"), 50), (of("2001:db8::1"), 0), (of("2001:db8::"), 0)];
        let (proofs, useless) = Proofs::inherit(found, &level(), 10);
        assert_eq!((proofs.count(), useless), (2, vec![of("192.0.2.1"), of("2001:db8::1")]));
        assert_eq!(proofs.expired(49), []);
        assert_eq!(proofs.expired(50), [of("192.0.2.2")]);
        assert!(proofs.find(&["2001:db8::77".to_owned()], &level()).is_ok());
        assert_eq!(proofs.find(&["192.0.2.9".to_owned()], &level()).unwrap_err().why, Why::NotFound);
        let report = proofs.report(10);
        assert_eq!(report.sources[0].source, "192.0.2.2");
        assert!(
            report.sources[0].expires_in_seconds.is_some() && report.sources[1].expires_in_seconds.is_none()
        );
    }
}
