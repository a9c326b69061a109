//! The classes that hold where a file says nothing of their traffic: they stop the usual floods, and leave room for what a
//! usual host does.
//!
//! A limit for one source must bear thousands of people behind one address (carrier-grade NAT); a total stops what comes
//! from everywhere, and is what the kernel and a usual server bear beside their work. Totals are spent on attackers and
//! others alike, so that what a host lives on (TCP, QUIC) has wide ones, and what it hardly needs has narrow ones.

use std::slice;

use stopbank_common::hash::class_salt;

use super::{
    model::{Claim, Class, Config, LimitSet, PortRange},
    rate::{Period, Rate, RateLimit},
};

/// What nothing else claims: with the classes below, protocols other than TCP, UDP and ICMP. A tunnel of 100 Mbit/s is
/// 10,000 full packets a second.
pub(super) fn default_class() -> Class {
    class(Config::DEFAULT_CLASS, Claim::Rest, packets(10_000, 2_500), packets(20_000, 5_000))
}

/// The others, in the order in which they are shown.
pub(super) fn classes() -> Vec<Class> {
    vec![
        tcp(),
        // UDP to 443. What comes in are requests and acknowledgements: a client that loads 100 Mbit/s sends some 2,000 a
        // second, and one address may be many clients.
        class(
            "quic",
            Claim::Udp(vec![PortRange { first: 443, last: 443 }]),
            packets(10_000, 2_500),
            packets(100_000, 25_000),
        ),
        // A resolver that asks this host's DNS server, a tunnel of 50 Mbit/s, a few dozen calls or players behind one
        // address: all of them send less than this.
        class("udp", Claim::Udp(Vec::new()), packets(5_000, 1_000), packets(20_000, 5_000)),
        // Answers to what this host asks itself: a busy mail server has a thousand a second of its resolver.
        class("answers", Claim::Answers, packets(5_000, 1_000), packets(10_000, 2_500)),
        // Pings of monitoring, path MTU discovery, unreachable peers.
        class("icmp", Claim::Icmp, packets(100, 100), packets(1_000, 500)),
        // Large answers of DNS, and tunnels whose packets are longer than the path's MTU.
        class("fragments", Claim::Fragments, packets(1_000, 500), packets(5_000, 1_500)),
    ]
}

/// Segments that belong to no connection are dropped before (role `host`). What is left are this host's connections, where
/// a download of 1 Gbit/s is 83,000 segments a second of one source, and SYNs: 10,000 people behind one address
/// open less than 200 connections a second, and all of them again when a server comes back. The total of new
/// connections is what a kernel answers with its own SYN cookies in a tenth of a core's time.
fn tcp() -> Class {
    let mut class = class("tcp", Claim::Tcp(Vec::new()), packets(100_000, 25_000), LimitSet::default());
    class.per_source.connections = Some(limit(200, 1_000));
    class.total.connections = Some(limit(50_000, 25_000));
    class
}

/// The built-in classes that hold beside those of a file, of which there may be `most` in all: not those that have the name
/// of one of them, and not those whose traffic one of them claims.
pub(super) fn beside(own: &[Class], most: usize) -> Vec<Class> {
    let taken = |builtin: &Class| {
        own.iter().any(|class| {
            class_salt(&class.name) == class_salt(&builtin.name) || overlap(&class.claim, &builtin.claim)
        })
    };
    classes().into_iter().filter(|class| !taken(class)).take(most.saturating_sub(own.len())).collect()
}

/// Whether a class of a file claims what a built-in one does. One without ports claims all that no other class of the file
/// does: nothing built in takes some of it away.
fn overlap(own: &Claim, builtin: &Claim) -> bool {
    match (own, builtin) {
        (Claim::Tcp(own), Claim::Tcp(builtin)) | (Claim::Udp(own), Claim::Udp(builtin)) => {
            let meet = |a: &PortRange, b: &PortRange| a.first <= b.last && b.first <= a.last;
            own.is_empty() || own.iter().any(|own| builtin.iter().any(|builtin| meet(own, builtin)))
        }
        (Claim::Udp(own), Claim::Answers) => own.is_empty(),
        _ => own == builtin,
    }
}

fn class(name: &str, claim: Claim, per_source: LimitSet, total: LimitSet) -> Class {
    Class { per_source, total, ..Class::new(name, claim) }
}

fn packets(per_second: u64, burst: u64) -> LimitSet {
    LimitSet { packets: Some(limit(per_second, burst)), ..LimitSet::default() }
}

const fn limit(per_second: u64, burst: u64) -> RateLimit {
    RateLimit { rate: Rate { count: per_second, period: Period::Second }, burst }
}

impl Config {
    /// Whether a class is as it is built in.
    pub fn is_builtin(class: &Class) -> bool {
        classes().iter().chain(slice::from_ref(&default_class())).any(|builtin| builtin == class)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, parse, render};

    fn names(text: &str) -> Vec<String> {
        let config = parse("test", text).unwrap_or_else(|error| panic!("{error}"));
        config.all_classes().map(|class| class.name.clone()).collect()
    }

    const ALL: [&str; 7] = ["default", "tcp", "quic", "udp", "answers", "icmp", "fragments"];

    #[test]
    fn without_classes_all_of_the_built_in_ones_hold() {
        assert_eq!(names(""), ALL);
        assert_eq!(names("[events]\nrate = \"1/s\""), ALL);
        assert!(Config::builtin().all_classes().all(Config::is_builtin));
    }

    #[test]
    fn a_class_takes_the_place_of_those_with_its_name_or_traffic() {
        let beside = |own: &str, gone: &[&str]| {
            let mut found = names(&format!("[[class]]\n{own}"));
            let own = found.remove(1);
            let left: Vec<&str> = ALL.into_iter().filter(|name| !gone.contains(name)).collect();
            assert_eq!(found, left, "beside {own}");
        };
        beside("name = \"web\"\nprotocol = \"tcp\"\nports = [443]", &[]);
        beside("name = \"rest\"\nprotocol = \"tcp\"", &["tcp"]);
        beside("name = \"tcp\"\nprotocol = \"tcp\"\nports = [443]", &["tcp"]);
        beside("name = \"dns\"\nprotocol = \"udp\"\nports = [53]", &[]);
        beside("name = \"web\"\nprotocol = \"udp\"\nports = [\"400-500\"]", &["quic"]);
        beside("name = \"rest\"\nprotocol = \"udp\"", &["quic", "udp", "answers"]);
        beside("name = \"ping\"\nprotocol = \"icmp\"", &["icmp"]);
        beside("name = \"later\"\nprotocol = \"fragments\"", &["fragments"]);
        beside("name = \"reflected\"\nprotocol = \"amplifiers\"", &["answers"]);
        beside("name = \"quic\"\nprotocol = 47", &["quic"]);
    }

    #[test]
    fn a_file_that_says_what_holds_for_the_rest_has_no_built_in_classes() {
        assert_eq!(names("[default]"), ["default"]);
        let own = "[default.per_source]\npackets = \"7/s\"\n[[class]]\nname = \"web\"\nprotocol = \"tcp\"";
        assert_eq!(names(own), ["default", "web"]);
    }

    #[test]
    fn as_many_hold_as_there_is_room_for() {
        let classes = (0..60).map(|n| format!("[[class]]\nname = \"c{n}\"\nprotocol = {}\n", 140 + n));
        let names = names(&classes.collect::<String>());
        assert_eq!((names.len(), &names[61..]), (63, ["tcp".to_owned(), "quic".to_owned()].as_slice()));
    }

    #[test]
    fn they_are_shown_and_read_back() {
        let shown = render(&Config::builtin());
        assert!(shown.contains("name = \"answers\"\nprotocol = \"amplifiers\""), "{shown}");
        assert_eq!(parse("shown", &shown).unwrap(), Config::builtin());
    }
}
