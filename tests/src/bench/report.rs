//! What is printed.

use std::fmt::Write as _;

use serde::Serialize;

use crate::{
    measure::{Outcome, Plan},
    packets::{Packet, Sources},
    programs::Program,
};

/// The most that stopbank's cost may grow from 2^16 to 2^32 sources.
const MOST_GROWTH: f64 = 1.5;
/// The most that it may cost at 2^32 sources, of what the LRU limiter costs.
const MOST_OF_LRU: f64 = 1.0 / 3.0;

/// One line of the JSON file.
#[derive(Serialize)]
pub(crate) struct Row {
    packet: &'static str,
    sources: u64,
    program: &'static str,
    ns: f64,
    net_ns: f64,
}

/// For the JSON file.
pub(crate) fn rows(outcomes: &[Outcome]) -> Vec<Row> {
    let row = |one: &Outcome| Row {
        packet: one.packet.name(),
        sources: one.sources.count(),
        program: one.program.name(),
        ns: one.ns,
        net_ns: one.net_ns,
    };
    outcomes.iter().map(row).collect()
}

/// Tables and verdicts.
pub(crate) fn markdown(outcomes: &[Outcome], plan: &Plan<'_>) -> String {
    let seen = |program: &Program| outcomes.iter().any(|one| one.program == *program);
    let programs: Vec<Program> = Program::ALL.into_iter().filter(seen).collect();
    let mut text = costs(outcomes, plan, &programs);
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

/// Stopbank's net time at 2^32 sources by another program's.
fn ratio(outcomes: &[Outcome], packet: Packet, other: Program) -> Option<f64> {
    let ours = find(outcomes, packet, Sources::All, Program::Stopbank)?;
    Some(ours.net_ns / find(outcomes, packet, Sources::All, other)?.net_ns)
}

fn comparison(outcomes: &[Outcome], plan: &Plan<'_>, programs: &[Program]) -> String {
    let mut text = String::from(
        "\nGrowth of the net time from 2^16 to 2^32 sources, and stopbank's against the others' at 2^32:\n\n| packet |",
    );
    let others = || programs.iter().filter(|one| **one != Program::Empty);
    let rivals = || others().filter(|one| **one != Program::Stopbank);
    for program in others() {
        let _ = write!(text, " growth of {program} |");
    }
    for program in rivals() {
        let _ = write!(text, " stopbank / {program} |");
    }
    text += "\n| --- |";
    text += &" ---: |".repeat(others().count() + rivals().count());
    for &packet in plan.packets {
        let _ = write!(text, "\n| {packet} |");
        let cells = others()
            .map(|&program| growth(outcomes, packet, program))
            .chain(rivals().map(|&program| ratio(outcomes, packet, program)));
        for cell in cells {
            match cell {
                Some(value) => {
                    let _ = write!(text, " {value:.2} |");
                }
                None => text += " |",
            }
        }
    }
    text + "\n"
}

/// What of stopbank's was dropped: nearly all from a single source above its limit, next to nothing of random ones.
fn drops(outcomes: &[Outcome]) -> String {
    let mut text = String::from("\nDropped by stopbank, the rest went the whole way and passed:\n\n");
    for sources in Sources::ALL {
        let shares = outcomes
            .iter()
            .filter(|one| one.program == Program::Stopbank && one.sources == sources)
            .filter_map(|one| Some(format!("{} {:.2} %", one.packet, one.dropped? * 100.0)));
        let shares: Vec<String> = shares.collect();
        if !shares.is_empty() {
            let _ = writeln!(text, "- {} sources: {}", sources.short(), shares.join(", "));
        }
    }
    text
}

fn figures(outcomes: &[Outcome], plan: &Plan<'_>) -> String {
    let worst = |value: &dyn Fn(Packet) -> Option<f64>| {
        let values = plan.packets.iter().filter_map(|&packet| Some((value(packet)?, packet)));
        values.max_by(|a, b| a.0.total_cmp(&b.0))
    };
    let grown = worst(&|packet| growth(outcomes, packet, Program::Stopbank));
    let share = worst(&|packet| ratio(outcomes, packet, Program::LruLimiter));
    let line = |what: &str, most: f64, found: Option<(f64, Packet)>| match found {
        Some((value, packet)) => {
            let verdict = if value <= most { "pass" } else { "MISS" };
            format!("- {what}: at most {most:.2}, worst {value:.2} ({packet}): **{verdict}**\n")
        }
        None => format!("- {what}: at most {most:.2}: not measured\n"),
    };
    String::from("\nFigures to keep:\n\n")
        + &line("growth of stopbank's net time from 2^16 to 2^32 sources", MOST_GROWTH, grown)
        + &line("stopbank's net time at 2^32 sources by the LRU limiter's", MOST_OF_LRU, share)
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
    fn both_figures_are_judged_on_net_time() {
        let mut outcomes = vec![
            outcome(Sources::Many, Program::Stopbank, 100.0),
            outcome(Sources::All, Program::Stopbank, 150.0),
            outcome(Sources::All, Program::LruLimiter, 451.0),
        ];
        let text = figures(&outcomes, &plan());
        assert_eq!(text.matches("**pass**").count(), 2, "{text}");
        outcomes[1] = outcome(Sources::All, Program::Stopbank, 151.0);
        let text = figures(&outcomes, &plan());
        assert_eq!(text.matches("**MISS**").count(), 2, "{text}");
    }

    #[test]
    fn what_was_not_measured_is_not_called_a_pass() {
        let text = figures(&[], &plan());
        assert_eq!(text.matches("not measured").count(), 2, "{text}");
    }

    #[test]
    fn rows_have_the_names_that_others_read() {
        let rows = serde_json::to_value(rows(&[outcome(Sources::All, Program::LruLimiter, 900.0)])).unwrap();
        let expected = serde_json::json!([{
            "packet": "udp4", "sources": 4_294_967_296_u64, "program": "lru-limiter", "ns": 930.0, "net_ns": 900.0
        }]);
        assert_eq!(rows, expected);
    }
}
