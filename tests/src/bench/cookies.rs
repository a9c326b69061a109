//! From a SYN to its SYN-ACK: what an answer with a cookie costs.

use std::{fmt::Write as _, sync::Arc};

use anyhow::{Result, ensure};
use serde_json::json;
use stopbank::lists::feeds::PrefixSet;
use stopbank_common::Reason;
use stopbank_tests::interrupt;

use crate::{
    features::{Config, Features},
    measure::{Plan, median},
    packets::Sources,
    programs::Programs,
    rows::{Section, rounded, row},
    steps,
};

/// What the kernel's own XDP SYN proxy (tools/testing/selftests/bpf/progs/xdp_synproxy_kern.c) was measured to cost on a
/// machine like those that figures are published for: the middle of 550 to 610 ns.
const KERNELS_NS: f64 = 580.0;

/// Every SYN is answered, from so many sources that none reaches its limit; each turn beside a turn of the empty program.
pub(crate) fn run(
    load: impl Fn() -> Result<Programs>,
    feed: &Arc<PrefixSet>,
    plan: &Plan<'_>,
) -> Result<Section> {
    let _sockets = steps::listen()?;
    let mut programs = load()?;
    let mut section = Section::default();
    section.markdown += "\n## SYN to SYN-ACK\n\nNanoseconds net of the empty program, with every option that Linux offers; role \
                         host, so that each SYN is looked up in the socket table before it is answered.\n\n\
                         | config | packet | sources | ns | by the kernel's xdp_synproxy (580 ns) | at most |\n\
                         | --- | --- | --- | ---: | ---: | ---: |\n";
    for config in Config::ALL {
        let features = Features { role: "host", cookies: true, ..config.features() };
        programs.install(Config::Default, features, feed)?;
        for (name, v4) in [("tcp4syn", true), ("tcp6syn", false)] {
            for sources in [Sources::Many, Sources::All] {
                let mut times = Vec::new();
                for round in 0..=plan.rounds {
                    interrupt::check()?;
                    let empty = programs.syn_to_nobody(v4, sources, plan.repeat)?;
                    let (ns, counted) = programs.syn_answered(v4, sources, plan.repeat)?;
                    let answered = counted.judged[Reason::SynCookie as usize].packets;
                    let others: Vec<_> = Reason::ALL
                        .iter()
                        .map(|reason| (reason.name(), counted.judged[*reason as usize].packets))
                        .filter(|(_, packets)| *packets > 0)
                        .collect();
                    // Of random sources some are on the list of `full`.
                    ensure!(
                        answered >= u64::from(plan.repeat) * 98 / 100,
                        "{answered} of {} SYNs were answered: {others:?}",
                        plan.repeat
                    );
                    if round > 0 {
                        times.push(ns - empty);
                    }
                }
                let ns = median(times);
                let ratio = ns / KERNELS_NS;
                let _ = writeln!(
                    section.markdown,
                    "| {config} | {name} | {} | {ns:.0} | {ratio:.2} | 2 |",
                    sources.short()
                );
                let fields = json!({
                    "packet": name, "sources": sources.count(), "program": "stopbank", "net_ns": rounded(ns),
                    "of_xdp_synproxy": rounded(ratio),
                });
                section.rows.push(row("cookies", config, fields));
            }
        }
    }
    Ok(section)
}
