//! Explaining what becomes of an address.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, time::SystemTime};

use ipnet::IpNet;
use stopbank_common::{Address, gcra::Line};

use super::{Engine, State};
use crate::{
    control::{
        Refused, Why,
        api::SampledDrop,
        explain::{ExplainQuery, Explanation},
    },
    datapath::{Datapath, DatapathError, monotonic_ns},
    explain::{self, Cells, Situation, Wanted, lists::FileInForce},
    lists::{feeds::Format, parse_prefix},
};

/// Sampled drops that are told one by one.
const DROPS: usize = 5;

impl Cells for Datapath {
    fn source(&self, line: u32) -> Result<Line, DatapathError> {
        self.source_line(line)
    }

    fn totals(&self, class: u8) -> Result<Line, DatapathError> {
        self.total_line(class)
    }

    fn proven_until(&self, source: Address) -> Result<Option<u64>, DatapathError> {
        self.proof(source)
    }
}

impl Engine {
    /// Explains an address or a prefix.
    pub(super) fn explain_subject(&self, query: &ExplainQuery) -> Result<Explanation, Refused> {
        let subject = check(query)?;
        let events = self.events.latest(usize::MAX);
        let of_subject = |source: IpAddr| subject.contains(&source.to_canonical());
        let events: Vec<_> = events.into_iter().filter(|event| of_subject(event.source.into())).collect();
        let (mut explanation, wanted, sources) = {
            let state = self.lock();
            let (clock, now_ns) = (SystemTime::now(), monotonic_ns());
            let latest = events.iter().take(DROPS).map(|event| state.sampled(event, clock, now_ns)).collect();
            let situation = state.situation((latest, events.len()), now_ns);
            let (explanation, wanted) = explain::explain(&situation, subject, query)?;
            let sources = state.list_sources(&wanted);
            (explanation, wanted, sources)
        };
        // The files are read without the lock: nobody waits for a disk.
        name_lines(&mut explanation, &wanted, &sources);
        Ok(explanation)
    }
}

/// A list file: where it is, how it is written, and whether what is in force is what stands in it now.
type Source = (PathBuf, Format, bool);

impl State {
    fn situation(&self, drops: (Vec<SampledDrop>, usize), now_ns: u64) -> Situation<'_> {
        let interface = |one: &super::Protected| format!("{} ({})", one.name, one.attach.name());
        Situation {
            policy: &self.policy,
            config: &self.config,
            mode: self.mode,
            numbers: &self.numbers,
            lists: &self.lists,
            files: FileInForce::all(&self.files),
            interfaces: self.interfaces.iter().map(interface).collect(),
            cells: &self.datapath,
            drops,
            now_ns,
        }
    }

    fn list_sources(&self, wanted: &[Wanted]) -> BTreeMap<String, Source> {
        self.files
            .iter()
            .filter(|loaded| wanted.iter().any(|one| one.list == loaded.list.name))
            .map(|loaded| {
                let format = loaded.format.unwrap_or(loaded.list.format);
                (loaded.list.name.clone(), (loaded.list.path.clone(), format, loaded.is_current()))
            })
            .collect()
    }
}

/// Adds the file and the line to what was found in list files.
fn name_lines(explanation: &mut Explanation, wanted: &[Wanted], sources: &BTreeMap<String, Source>) {
    for (list, (path, format, current)) in sources {
        let of_list: Vec<&Wanted> = wanted.iter().filter(|one| one.list == *list).collect();
        let prefixes: Vec<IpNet> = of_list.iter().map(|one| one.prefix).collect();
        let found = if *current { explain::find_line(path, *format, &prefixes).ok() } else { None };
        for (i, one) in of_list.into_iter().enumerate() {
            let Some(step) = explanation.steps.get_mut(one.step) else { continue };
            step.found.push_str(&format!(", {}", path.display()));
            match found.as_ref().map(|lines| lines[i]) {
                Some(Some(line)) => step.found.push_str(&format!(" line {line}")),
                Some(None) => {}
                None => {
                    step.found.push_str(" as it was read (the file has changed since, or cannot be read)");
                }
            }
        }
    }
}

/// What is asked, where it makes sense.
fn check(query: &ExplainQuery) -> Result<IpNet, Refused> {
    use crate::control::explain::Transport::{Icmp, Tcp, Udp};
    let bad = |error: String| Refused::new(Why::BadRequest, error);
    let subject = parse_prefix(&query.subject).map_err(|error| bad(error.to_string()))?;
    let ports = query.port.is_some() || query.from_port.is_some();
    if ports && query.protocol == Some(Icmp) {
        return Err(bad("ICMP has no ports".to_owned()).hint("leave the port out, or ask for tcp or udp"));
    }
    if subject.prefix_len() < subject.max_prefix_len() {
        let packet = ports || query.protocol.is_some() || query.to.is_some();
        return if packet {
            Err(bad(format!("a packet comes from an address, and {subject} is a prefix"))
                .hint("leave port, protocol and destination out, or ask for one address of it"))
        } else {
            Ok(subject)
        };
    }
    if let Some(to) = query.to
        && to.to_canonical().is_ipv4() != subject.addr().is_ipv4()
    {
        return Err(bad(format!("no packet goes from {} to {to}, of the other family", subject.addr())));
    }
    if query.from_port.is_some() && query.port.is_none() && !matches!(query.protocol, Some(Tcp | Udp)) {
        return Err(bad("a source port says nothing without a protocol".to_owned()).hint("add protocol=udp"));
    }
    Ok(subject)
}
