//! What is printed.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{
    features::Config,
    measure::{Outcome, Plan},
    packets::{Packet, Sources},
    programs::Program,
    rows::{rounded, row},
};

/// The most that stopbank's cost may grow from 2^16 to 2^32 sources.
const MOST_GROWTH: f64 = 1.5;
/// The most that the default configuration may cost at 2^32 sources, of what the LRU limiter costs.
const MOST_OF_LRU: f64 = 1.0 / 3.0;

/// The most that a configuration may cost, of what xdp-filter costs.
const fn most_of_filter(config: Config, sources: Sources) -> f64 {
    match (config, sources) {
        (Config::Default, Sources::One) => 1.0,
        (Config::Full, Sources::One) => 1.5,
        (Config::Default, _) => 2.0,
        (Config::Full, _) => 3.0,
    }
}

/// For the JSON file. Peers have no configuration: they stand beside both of ours.
pub(crate) fn rows(outcomes: &[Outcome]) -> Vec<Value> {
    let mut rows = Vec::new();
    for config in Config::ALL {
        for one in outcomes.iter().filter(|one| one.program.config().is_none_or(|its| its == config)) {
            let mut fields = json!({
                "packet": one.packet.name(),
                "sources": one.sources.count(),
                "program": one.program.name(),
                "ns": rounded(one.ns),
                "net_ns": rounded(one.net_ns),
                "spread_ns": rounded(one.spread),
            });
            if one.program.config().is_some() {
                fields["of_xdp_filter"] =
                    ratio(outcomes, one.packet, one.sources, one.program, Program::XdpFilter).into();
                fields["growth"] = match one.sources {
                    Sources::All => growth(outcomes, one.packet, one.program).into(),
                    _ => Value::Null,
                };
            }
            rows.push(row("packets", config, fields));
        }
    }
    rows
}

/// Tables and verdicts.
pub(crate) fn markdown(outcomes: &[Outcome], plan: &Plan<'_>) -> String {
    let seen = |program: &Program| outcomes.iter().any(|one| one.program == *program);
    let programs: Vec<Program> = Program::ALL.into_iter().filter(seen).collect();
    let mut text = String::from("\n## Packets\n\n") + &costs(outcomes, plan, &programs);
    text += &comparison(outcomes, plan, &programs);
    text += &drops(outcomes);
    text += &figures(outcomes, plan);
    text
}

fn find(outcomes: &[Outcome], packet: Packet, sources: Sources, program: Program) -> Option<&Outcome> {
    outcomes.iter().find(|one| one.packet == packet && one.sources == sources && one.program == program)
}

fn costs(outcomes: &[Outcome], plan: &Plan<'_>, programs: &[Program]) -> String {
    let mut text = format!(
        "Nanoseconds per packet (net of the empty program), medians of {} rounds of {} packets:\n\n| packet | sources |",
        plan.rounds, plan.repeat
    );
    for program in programs {
        let _ = write!(text, " {program} |");
    }
    text += "\n| --- | ---: |";
    text += &" ---: |".repeat(programs.len());
    for &packet in plan.packets {
        for &sources in plan.sources {
            let _ = write!(text, "\n| {packet} | {} |", sources.short());
            for &program in programs {
                match find(outcomes, packet, sources, program) {
                    Some(one) if program == Program::Empty => {
                        let _ = write!(text, " {:.0} |", one.ns);
                    }
                    Some(one) => {
                        let _ = write!(text, " {:.0} ({:.0}) |", one.ns, one.net_ns);
                    }
                    None => text += " |",
                }
            }
        }
    }
    let noise = outcomes.iter().map(|one| one.spread / one.ns).fold(0.0, f64::max);
    let _ = writeln!(
        text,
        "\n\nThe middle half of the rounds lies within {:.0} % of the median or less.",
        noise * 100.0
    );
    text
}

/// Growth from 2^16 to 2^32 sources on net time, for one packet and program.
fn growth(outcomes: &[Outcome], packet: Packet, program: Program) -> Option<f64> {
    let many = find(outcomes, packet, Sources::Many, program)?;
    let all = find(outcomes, packet, Sources::All, program)?;
    Some(all.net_ns / many.net_ns)
}

/// The net time of one program by another's.
fn ratio(
    outcomes: &[Outcome],
    packet: Packet,
    sources: Sources,
    program: Program,
    other: Program,
) -> Option<f64> {
    let (one, other) = (find(outcomes, packet, sources, program)?, find(outcomes, packet, sources, other)?);
    Some(one.net_ns / other.net_ns)
}

fn ours() -> impl Iterator<Item = Program> {
    Config::ALL.into_iter().map(Program::ours)
}

fn comparison(outcomes: &[Outcome], plan: &Plan<'_>, programs: &[Program]) -> String {
    let mut text = String::from(
        "\nGrowth of the net time from 2^16 to 2^32 sources, and the net time by that of xdp-filter:\n\n\
         | config | packet | program | growth |",
    );
    for sources in plan.sources {
        let _ = write!(text, " of xdp-filter, {} |", sources.short());
    }
    text += "\n| --- | --- | --- | ---: |";
    text += &" ---: |".repeat(plan.sources.len());
    let cell = |value: Option<f64>| value.map_or_else(|| " |".to_owned(), |value| format!(" {value:.2} |"));
    for &program in programs.iter().filter(|one| **one != Program::Empty) {
        let config = program.config().map_or("", Config::name);
        for &packet in plan.packets {
            let _ = write!(text, "\n| {config} | {packet} | {} |", program.name());
            text += &cell(growth(outcomes, packet, program));
            for &sources in plan.sources {
                text += &cell(ratio(outcomes, packet, sources, program, Program::XdpFilter));
            }
        }
    }
    text + "\n"
}

/// What of ours was dropped: nearly all from a single source above its limit, next to nothing of random ones.
fn drops(outcomes: &[Outcome]) -> String {
    let mut text =
        String::from("\nDropped by stopbank's limits, the rest went the whole way and passed:\n\n");
    for program in ours() {
        for sources in Sources::ALL {
            let shares = outcomes
                .iter()
                .filter(|one| one.program == program && one.sources == sources)
                .filter_map(|one| Some(format!("{} {:.2} %", one.packet, one.dropped? * 100.0)));
            let shares: Vec<String> = shares.collect();
            if !shares.is_empty() {
                let _ = writeln!(text, "- {program}, {} sources: {}", sources.short(), shares.join(", "));
            }
        }
    }
    text
}

fn figures(outcomes: &[Outcome], plan: &Plan<'_>) -> String {
    let worst = |value: &dyn Fn(Packet) -> Option<f64>| {
        let values = plan.packets.iter().filter_map(|&packet| Some((value(packet)?, packet)));
        values.max_by(|a, b| a.0.total_cmp(&b.0))
    };
    let mut text = String::from("\nFigures to keep, by net time:\n\n");
    for config in Config::ALL {
        let program = Program::ours(config);
        let grown = worst(&|packet| growth(outcomes, packet, program));
        text += &figure(&format!("growth of {program} from 2^16 to 2^32 sources"), MOST_GROWTH, grown);
        for sources in [Sources::One, Sources::All] {
            let share = worst(&|packet| ratio(outcomes, packet, sources, program, Program::XdpFilter));
            let what = format!("{program} by xdp-filter, {} sources", sources.short());
            text += &figure(&what, most_of_filter(config, sources), share);
        }
    }
    let share =
        worst(&|packet| ratio(outcomes, packet, Sources::All, Program::Stopbank, Program::LruLimiter));
    text + &figure("stopbank default by the LRU limiter, 2^32 sources", MOST_OF_LRU, share)
}

/// A line that says whether a figure is kept.
fn figure(what: &str, most: f64, found: Option<(f64, Packet)>) -> String {
    match found {
        Some((value, packet)) => {
            let verdict = if value <= most { "pass" } else { "MISS" };
            format!("- {what}: at most {most:.2}, worst {value:.2} ({packet}): **{verdict}**\n")
        }
        None => format!("- {what}: at most {most:.2}: not measured\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(sources: Sources, program: Program, net_ns: f64) -> Outcome {
        Outcome {
            packet: Packet::Udp4,
            sources,
            program,
            ns: net_ns + 30.0,
            net_ns,
            spread: 1.0,
            dropped: None,
        }
    }

    fn plan() -> Plan<'static> {
        Plan { packets: &[Packet::Udp4], sources: &Sources::ALL, rounds: 5, repeat: 1000 }
    }

    #[test]
    fn figures_are_judged_on_net_time() {
        let mut outcomes = vec![
            outcome(Sources::Many, Program::Stopbank, 100.0),
            outcome(Sources::All, Program::Stopbank, 150.0),
            outcome(Sources::All, Program::LruLimiter, 451.0),
            outcome(Sources::All, Program::XdpFilter, 75.0),
        ];
        let text = figures(&outcomes, &plan());
        assert_eq!(text.matches("**pass**").count(), 3, "{text}");
        outcomes[1] = outcome(Sources::All, Program::Stopbank, 151.0);
        let text = figures(&outcomes, &plan());
        assert_eq!(text.matches("**MISS**").count(), 3, "{text}");
    }

    #[test]
    fn what_was_not_measured_is_not_called_a_pass() {
        let text = figures(&[], &plan());
        assert_eq!(text.matches("not measured").count(), 7, "{text}");
    }

    #[test]
    fn rows_have_the_names_that_others_read() {
        let outcomes = [
            outcome(Sources::Many, Program::StopbankFull, 50.0),
            outcome(Sources::All, Program::StopbankFull, 60.0),
            outcome(Sources::All, Program::XdpFilter, 80.0),
        ];
        let rows = rows(&outcomes);
        let filter = |config| {
            json!({
                "section": "packets", "config": config, "packet": "udp4", "sources": 4_294_967_296_u64,
                "program": "xdp-filter", "ns": 110.0, "net_ns": 80.0, "spread_ns": 1.0
            })
        };
        assert_eq!(rows.len(), 4, "the peer stands beside both configurations: {rows:?}");
        assert_eq!((&rows[0], &rows[3]), (&filter("default"), &filter("full")));
        assert_eq!((&rows[2]["program"], &rows[2]["config"]), (&json!("stopbank"), &json!("full")));
        assert_eq!((&rows[2]["of_xdp_filter"], &rows[2]["growth"]), (&json!(0.75), &json!(1.2)));
        assert_eq!(rows[1]["of_xdp_filter"], Value::Null);
    }
}
