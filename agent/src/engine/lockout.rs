//! Whether a configuration would drop the session that it comes from.
//!
//! What is asked is what the kernel would ask of the session's packets: lists, the class of its port, its limits, and, with
//! role `host`, whether it has a socket. A configuration is only objected to if the one in force would let the session be.

use std::{fs, iter, net::IpAddr};

use ipnet::IpNet;
use stopbank_common::{Reason, gcra::Dimension};

use super::{Engine, forwards, reload::Candidate};
use crate::{
    config::{Claim, Class, Config, LimitSet, ListAction, Mode, PortRange, RateLimit, Role, dimension_name},
    control::{Refused, Why, configuration::Session},
    lists::{
        ListName, Origin, Store,
        feeds::{Filed, Files},
    },
};

/// Less than this for each source and nobody can type: packets and bytes a second.
const LEAST_PACKETS: u64 = 5;
const LEAST_BYTES: u64 = 1_000;

impl Engine {
    /// Refuses a configuration that would drop an operator's session.
    pub(super) fn refuse_lockout(
        &self,
        session: Option<Session>,
        candidate: &Candidate,
    ) -> Result<(), Refused> {
        let Some(session) = session else { return Ok(()) };
        let (old, old_files, operators) = {
            let state = self.lock();
            let old = Config { mode: state.mode, ..state.config.clone() };
            (old, state.files.clone(), operators(&state.lists, session.address))
        };
        let (forwards, socket) = (forwards(), has_socket(session));
        let judge = |config: &Config, files: &Files| {
            World { config, files, operators: &operators, forwards, socket }.objection(session)
        };
        let Some(objection) = judge(&candidate.config, &candidate.prepared.files) else { return Ok(()) };
        if judge(&old, &old_files).is_some() {
            return Ok(());
        }
        Err(Refused::new(
            Why::Conflict,
            format!(
                "nothing was changed: your session from {} would be dropped: {objection}",
                session.address
            ),
        )
        .hint("put the address under `[lists] allow`, or repeat it with --force (API: \"force\": true)"))
    }
}

/// What decides about a session.
struct World<'w> {
    config: &'w Config,
    files: &'w Files,
    operators: &'w [(IpNet, ListName)],
    forwards: bool,
    socket: bool,
}

impl World<'_> {
    /// Why the session's packets would be dropped; `None` if they would not.
    fn objection(&self, session: Session) -> Option<String> {
        let config = self.config;
        if config.mode == Mode::Observe {
            return None;
        }
        let drops = |reason| !config.observe.contains(&reason);
        let host = config.role == Role::Host || config.role == Role::Auto && !self.forwards;
        match self.listed(session.address) {
            Some((ListName::Allow, ..)) => return None,
            Some((list, prefix, place)) => {
                let reason = if list == ListName::Ban { Reason::Banned } else { Reason::Denied };
                if drops(reason) {
                    return Some(format!("{place} has {prefix}"));
                }
            }
            None => {}
        }
        if host && !self.socket && drops(Reason::NoConnection) {
            return Some(
                "with role \"host\" what belongs to no socket of this network namespace is dropped, and it has none here"
                    .to_owned(),
            );
        }
        let class = class_of(config, session.port);
        let name = &class.name;
        if class.observe {
            return None;
        }
        if class.closed && drops(Reason::ClassClosed) {
            return Some(format!("class `{name}`, which TCP port {} is of, is closed", session.port));
        }
        let sets = iter::once(("per_source", &class.per_source))
            .chain(class.per_prefix.iter().map(|prefix| ("per_prefix", &prefix.limits)))
            .chain(iter::once(("total", &class.total)));
        for (scope, set) in sets {
            if let Some(dimension) = too_low(set) {
                let counts = dimension_name(dimension);
                return Some(format!(
                    "`{counts}` in {scope} of class `{name}`, which TCP port {} is of, is too low for a session",
                    session.port
                ));
            }
        }
        None
    }

    /// The entry that decides about an address: of all prefixes the longest; of the same one allow beats ban beats deny.
    fn listed(&self, address: IpAddr) -> Option<(ListName, IpNet, String)> {
        let configured =
            [(ListName::Allow, &self.config.lists.allow), (ListName::Deny, &self.config.lists.deny)]
                .into_iter()
                .flat_map(|(list, prefixes)| prefixes.iter().map(move |prefix| (list, *prefix)))
                .filter(|(_, prefix)| prefix.contains(&address))
                .map(|(list, prefix)| (list, prefix, format!("[lists] {}", list.name())));
        let operators =
            self.operators.iter().map(|(prefix, list)| (*list, *prefix, format!("the {} list", list.name())));
        let files = self.files.iter().filter_map(|loaded| {
            let list = match loaded.list.action {
                ListAction::Allow => ListName::Allow,
                ListAction::Deny => ListName::Deny,
            };
            let prefix = match address {
                IpAddr::V4(v4) => longest(loaded.set.v4(), u32::from(v4)),
                IpAddr::V6(v6) => longest(loaded.set.v6(), u128::from(v6)),
            }?;
            Some((list, prefix, format!("list file `{}`", loaded.list.name)))
        });
        let rank = |list: ListName| match list {
            ListName::Allow => 2,
            ListName::Ban => 1,
            ListName::Deny => 0,
        };
        configured
            .chain(operators)
            .chain(files)
            .max_by_key(|(list, prefix, _)| (prefix.prefix_len(), rank(*list)))
    }
}

/// The longest prefix of a sorted slice that contains an address.
fn longest<A: crate::lists::feeds::Bits>(sorted: &[Filed<A>], address: A) -> Option<IpNet> {
    // What contains it begins at or before it, and is anywhere there: a few milliseconds for millions.
    let before = &sorted[..sorted.partition_point(|filed| filed.address <= address)];
    let found = before.iter().rev().filter(|filed| filed.last() >= address).max_by_key(|filed| filed.bits)?;
    IpNet::new(found.address.ip(), found.bits).ok()
}

/// Entries that operators made by command and that take in an address.
fn operators(lists: &Store, address: IpAddr) -> Vec<(IpNet, ListName)> {
    iter::successors(Some(IpNet::from(address)), IpNet::supernet)
        .flat_map(|prefix| [ListName::Allow, ListName::Ban].map(|list| (prefix, list)))
        .filter(|(prefix, list)| {
            lists.get(*list, prefix).is_some_and(|listed| listed.item.origin != Origin::Configuration)
        })
        .collect()
}

/// The class of a TCP port.
fn class_of(config: &Config, port: u16) -> &Class {
    let claims = |range: &PortRange| (range.first..=range.last).contains(&port);
    let by = |claim: &dyn Fn(&[PortRange]) -> bool| {
        config.classes.iter().find(|class| matches!(&class.claim, Claim::Tcp(ranges) if claim(ranges)))
    };
    by(&|ranges| ranges.iter().any(claims))
        .or_else(|| by(&|ranges| ranges.is_empty()))
        .unwrap_or(&config.default)
}

fn too_low(set: &LimitSet) -> Option<Dimension> {
    let below = |limit: Option<RateLimit>, least: u64| {
        limit.is_some_and(|RateLimit { rate, .. }| rate.count < least.saturating_mul(rate.period.seconds()))
    };
    [(Dimension::Packets, LEAST_PACKETS), (Dimension::Bytes, LEAST_BYTES)]
        .into_iter()
        .find_map(|(dimension, least)| below(set.get(dimension), least).then_some(dimension))
}

/// Whether a connection from the session's address to its port has a socket in this network namespace.
fn has_socket(session: Session) -> bool {
    let tables = ["tcp", "tcp6"].map(|table| fs::read_to_string(format!("/proc/thread-self/net/{table}")));
    tables.iter().flatten().flat_map(|table| table.lines()).any(|line| is_of(line, session))
}

/// One line of such a table: "0: LOCAL:PORT REMOTE:PORT STATE …", addresses in hexadecimal words of this machine's order
/// (`tcp4_seq_show`, net/ipv4/tcp_ipv4.c).
fn is_of(line: &str, session: Session) -> bool {
    let mut fields = line.split_whitespace().skip(1);
    let (Some(local), Some(remote)) = (fields.next(), fields.next()) else { return false };
    let port = local.rsplit_once(':').and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
    let words = remote.rsplit_once(':').map(|(words, _)| words).unwrap_or_default();
    port == Some(session.port) && address(words) == Some(session.address)
}

fn address(words: &str) -> Option<IpAddr> {
    let mut bytes = Vec::new();
    for at in (0..words.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(words.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    let address = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn judged(policy: &str, address: &str, operators: &[(&str, ListName)], socket: bool) -> Option<String> {
        let config = parse("test", policy).unwrap();
        let operators: Vec<_> =
            operators.iter().map(|(prefix, list)| (prefix.parse().unwrap(), *list)).collect();
        let world = World {
            config: &config,
            files: &Files::default(),
            operators: &operators,
            forwards: false,
            socket,
        };
        world.objection(Session { address: address.parse().unwrap(), port: 22 })
    }

    fn objection(policy: &str) -> Option<String> {
        judged(policy, "192.0.2.7", &[], true)
    }

    const SSH: &str = "[[class]]\nname = \"ssh\"\nprotocol = \"tcp\"\nports = [22]\n";

    #[test]
    fn what_would_drop_the_session_is_named() {
        for (policy, says) in [
            ("[lists]\ndeny = [\"192.0.2.0/24\"]", "[lists] deny has 192.0.2.0/24"),
            (&format!("{SSH}closed = true"), "class `ssh`, which TCP port 22 is of, is closed"),
            ("[[class]]\nname = \"rest\"\nprotocol = \"tcp\"\nclosed = true", "class `rest`"),
            ("[default]\nclosed = true", "class `default`"),
            (&format!("{SSH}per_source = {{ packets = \"2/s\" }}"), "`packets` in per_source of class `ssh`"),
            (&format!("{SSH}per_source = {{ packets = \"90/m\" }}"), "`packets` in per_source"),
            (&format!("{SSH}total = {{ bytes = \"500B/s\" }}"), "`bytes` in total"),
        ] {
            let objection = objection(policy).unwrap_or_default();
            assert!(objection.contains(says), "{policy}: {objection}");
        }
        assert!(judged("role = \"host\"", "192.0.2.7", &[], false).unwrap().contains("role \"host\""));
    }

    #[test]
    fn what_leaves_it_alone_is_not() {
        for policy in [
            "",
            "[lists]\ndeny = [\"192.0.3.0/24\"]",
            "[lists]\ndeny = [\"192.0.2.0/24\"]\nallow = [\"192.0.2.7\"]",
            "mode = \"observe\"\n[lists]\ndeny = [\"192.0.2.0/24\"]",
            "observe = [\"deny-list\"]\n[lists]\ndeny = [\"192.0.2.0/24\"]",
            &format!("{SSH}closed = true\n[lists]\nallow = [\"192.0.2.0/24\"]"),
            &format!("{SSH}closed = true\nobserve = true"),
            &format!("{SSH}per_source = {{ packets = \"30/s\", connections = \"1/m\" }}"),
            "[[class]]\nname = \"web\"\nprotocol = \"tcp\"\nports = [80]\nclosed = true",
        ] {
            assert_eq!(objection(policy), None, "{policy}");
        }
        assert_eq!(judged("role = \"any\"", "192.0.2.7", &[], false), None);
    }

    #[test]
    fn operators_entries_count_beside_the_configurations() {
        use ListName::{Allow, Ban};
        let deny = "[lists]\ndeny = [\"192.0.2.0/24\"]";
        let with = |operators: &[(&str, ListName)]| judged(deny, "192.0.2.7", operators, true);
        assert_eq!(with(&[("192.0.2.0/24", Allow)]), None);
        assert_eq!(with(&[("192.0.2.7/32", Allow), ("192.0.2.0/25", Ban)]), None);
        assert!(with(&[("192.0.2.0/23", Allow)]).unwrap().contains("[lists] deny"));
        assert!(with(&[("192.0.2.7/32", Ban)]).unwrap().contains("the ban list has 192.0.2.7/32"));
    }

    #[test]
    fn the_longest_of_a_file_is_found() {
        let filed = |address: [u8; 4], bits| Filed { address: u32::from_be_bytes(address), bits, verdict: 2 };
        let sorted = [
            filed([10, 0, 0, 0], 8),
            filed([10, 1, 0, 0], 16),
            filed([10, 1, 2, 0], 24),
            filed([11, 0, 0, 0], 8),
        ];
        let found = |address| longest(&sorted, u32::from_be_bytes(address)).map(|prefix| prefix.to_string());
        assert_eq!(found([10, 1, 2, 3]).as_deref(), Some("10.1.2.0/24"));
        assert_eq!(found([10, 1, 3, 3]).as_deref(), Some("10.1.0.0/16"));
        assert_eq!(found([10, 200, 0, 1]).as_deref(), Some("10.0.0.0/8"));
        assert_eq!(found([12, 0, 0, 1]), None);
    }

    #[test]
    fn the_kernels_tables_of_sockets_are_read() {
        let session = |address: &str, port| Session { address: address.parse().unwrap(), port };
        let line = "   1: 0100007F:0016 0700000A:C001 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0";
        if cfg!(target_endian = "little") {
            assert!(is_of(line, session("10.0.0.7", 22)));
            let v6 =
                "   1: 00000000000000000000000001000000:0016 B80D0120000000000000000007000000:C001 01 0:0";
            assert!(is_of(v6, session("2001:db8::7", 22)));
            let mapped =
                "   1: 0000000000000000FFFF00000100007F:0016 0000000000000000FFFF00000700000A:C001 01 0:0";
            assert!(is_of(mapped, session("10.0.0.7", 22)));
        }
        assert!(!is_of(line, session("10.0.0.7", 23)));
        assert!(!is_of(line, session("10.0.0.8", 22)));
        assert!(!is_of("  sl  local_address rem_address   st", session("10.0.0.8", 22)));
        assert!(!is_of("é é:é é:é", session("10.0.0.8", 22)));
    }
}
