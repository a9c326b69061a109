//! The flow table of a gateway: which connections and queries the hosts behind it have, fixed in size.
//!
//! A line is eight cells of one `u64`: 32 bits of a keyed hash of the flow (both directions have the same), a state, and when
//! it was last used. Only what goes *out* makes a cell, so that a sender outside can only ask for cells by opening
//! connections; those are marked as such ([`ASKED_FOR`]), take no place that anything else has, and become connections only
//! when the answer to their own sequence number comes back, which nobody can send who forges an address.

use crate::{
    Address,
    gcra::Cell,
    hash::{HashKey, source_hash},
    parse::{Facts, protocol, tcp_flags},
};

/// Cells of a line.
pub const CELLS: usize = 8;

/// Nothing.
pub const FREE: u64 = 0;
/// TCP: somebody inside has answered a SYN from outside; the tag is mixed with the number that the next segment must acknowledge.
pub const ASKED_FOR: u64 = 1;
/// TCP: somebody inside has sent, and nothing has come back yet.
pub const SENT: u64 = 2;
/// TCP: both have sent.
pub const ESTABLISHED: u64 = 3;
/// TCP: somebody inside has sent FIN or RST.
pub const CLOSING: u64 = 4;
/// TCP: RST has come from outside. Forged, if the inside goes on sending.
pub const DOUBTED: u64 = 5;
/// UDP: somebody inside has asked.
pub const QUERY: u64 = 6;
/// UDP: and was answered.
pub const ANSWERED: u64 = 7;

/// How long a flow lasts without a packet, by its state, in seconds. Established TCP is RFC 5382's least.
pub const SECONDS: [u64; 8] = [0, 30, 30, 7_440, 120, 120, 30, 60];

/// What may pass of an inbound packet.
pub const KNOWN: u32 = 0;
/// It belongs to no flow.
pub const UNKNOWN: u32 = 1;
/// It belongs to no flow that is in the table, which has no room for any more at this place: nothing can be said.
pub const FULL: u32 = 2;

/// A unit of the cells' clock: 2^28 ns, about a quarter of a second.
const UNIT_SHIFT: u32 = 28;
const STATE_SHIFT: u32 = 32;
const TIME_SHIFT: u32 = 35;
const TIME_BITS: u32 = 29;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
/// A cell's time is only written when it is older, so that packets of one flow on several CPUs share the line.
const REFRESH_UNITS: u64 = 8;
/// Apart from every class's salt but by chance.
const SALT: u32 = 0xf10e_7ab1;

/// What the agent tells the program of the table.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct FlowState {
    /// Until when, by the monotonic clock, what belongs to no flow is let pass and counted as observed: flows that were there
    /// before the table.
    pub learning_until_ns: u64,
    /// How many lines there are, a power of two, less one.
    pub mask: u32,
    /// Zero.
    pub reserved: u32,
}

// SAFETY: repr(C), 8 + 4 + 4 bytes, no padding.
unsafe impl crate::Plain for FlowState {}

/// Eight cells.
#[derive(Clone, Copy, Default, Debug)]
#[repr(C, align(64))]
pub struct FlowLine {
    /// See the module.
    pub cells: [u64; CELLS],
}

// SAFETY: repr(C), eight u64, no padding.
unsafe impl crate::Plain for FlowLine {}

const _: () = assert!(size_of::<FlowLine>() == 64);

impl FlowLine {
    /// How many of its cells hold a flow, by the cells' clock (see [`units`]).
    pub fn live(&self, now: u64) -> usize {
        self.cells.iter().filter(|&&value| is_live(value, now)).count()
    }
}

/// A line whose cells others change at the same time.
pub trait Row {
    /// How a cell is reached.
    type Cell: Cell;
    /// One of the cells; `index` is below [`CELLS`].
    fn at(&self, index: usize) -> Self::Cell;
}

/// The hash of a packet's flow, the same for both directions: below, the line; above, the tag.
#[inline(always)]
pub fn flow_hash(key: &HashKey, facts: &Facts) -> u64 {
    let end = |address: &Address, port: u16| {
        source_hash(key, address, SALT ^ u32::from(port) ^ u32::from(facts.protocol) << 16)
    };
    // A sum has no order. Both parts are beyond guessing, and mixed once more.
    let sum =
        end(&facts.source, facts.source_port).wrapping_add(end(&facts.destination, facts.destination_port));
    let mixed = (sum ^ sum >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ mixed >> 32
}

/// The cells' clock.
#[inline(always)]
pub const fn units(now_ns: u64) -> u64 {
    (now_ns >> UNIT_SHIFT) & TIME_MASK
}

#[inline(always)]
const fn cell(tag: u32, state: u64, now: u64) -> u64 {
    tag as u64 | state << STATE_SHIFT | now << TIME_SHIFT
}

#[inline(always)]
const fn tag_of(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[inline(always)]
const fn state_of(value: u64) -> u64 {
    value >> STATE_SHIFT & 7
}

/// How long ago it was used; a cell that another CPU has just written may be of a clock a little ahead of ours.
#[inline(always)]
const fn age(value: u64, now: u64) -> u64 {
    let age = now.wrapping_sub(value >> TIME_SHIFT) & TIME_MASK;
    if age > TIME_MASK / 2 { 0 } else { age }
}

/// [`SECONDS`] in units, rounded up, without a table in memory.
#[inline(always)]
const fn lasts(state: u64) -> u64 {
    const fn of(state: u64) -> u64 {
        (SECONDS[state as usize] * 1_000_000_000).div_ceil(1 << UNIT_SHIFT)
    }
    match state {
        ASKED_FOR | SENT | QUERY => const { of(SENT) },
        ESTABLISHED => const { of(ESTABLISHED) },
        CLOSING | DOUBTED => const { of(CLOSING) },
        ANSWERED => const { of(ANSWERED) },
        _ => 0,
    }
}

const _: () = assert!(SECONDS[1] == SECONDS[2] && SECONDS[2] == SECONDS[6] && SECONDS[4] == SECONDS[5]);

#[inline(always)]
const fn is_live(value: u64, now: u64) -> bool {
    let state = state_of(value);
    state != FREE && age(value, now) <= lasts(state)
}

/// The tag of a connection that is asked for: only a segment that acknowledges `number` has the same.
#[inline(always)]
const fn asked_tag(tag: u32, number: u32) -> u32 {
    let mixed = (number ^ number >> 15).wrapping_mul(0x2c1b_3c6d);
    tag ^ mixed ^ mixed >> 14
}

/// Whether a packet from outside belongs to a flow: [`KNOWN`], [`UNKNOWN`] or [`FULL`]. If it does, the flow is refreshed.
#[inline(always)]
pub fn inbound(row: &impl Row, hash: u64, facts: &Facts, now: u64) -> u32 {
    let tag = tag_of(hash);
    let tcp = facts.protocol == protocol::TCP;
    let asked = asked_tag(tag, u32::from_be(facts.tcp_acknowledgement));
    let acknowledges = facts.tcp_flags & tcp_flags::ACK != 0;
    let reset = facts.tcp_flags & tcp_flags::RST != 0;
    let mut room = false;
    let mut index = 0;
    while index < CELLS {
        let place = row.at(index);
        let value = place.load();
        let state = state_of(value);
        if is_live(value, now) {
            if state == ASKED_FOR {
                room = true;
                if tcp && acknowledges && value as u32 == asked {
                    let next = if reset { DOUBTED } else { ESTABLISHED };
                    // If somebody else was first, then with the same flow.
                    let _ = place.replace(value, cell(tag, next, now));
                    return KNOWN;
                }
            } else if value as u32 == tag {
                let next = match state {
                    SENT | ESTABLISHED if reset => DOUBTED,
                    SENT => ESTABLISHED,
                    QUERY => ANSWERED,
                    other => other,
                };
                if next != state || age(value, now) >= REFRESH_UNITS {
                    let _ = place.replace(value, cell(tag, next, now));
                }
                return KNOWN;
            }
        } else {
            room = true;
        }
        index += 1;
    }
    if room { UNKNOWN } else { FULL }
}

/// Notes what goes out. In the place of free and expired cells, then of what is only asked for from outside, oldest first;
/// what is sent from inside also in the place of what was sent and not answered. Never in that of others: then it is not noted.
#[inline(always)]
pub fn outbound(row: &impl Row, hash: u64, facts: &Facts, now: u64) {
    let tag = tag_of(hash);
    let answers = facts.protocol == protocol::TCP
        && facts.tcp_flags & (tcp_flags::SYN | tcp_flags::ACK) == (tcp_flags::SYN | tcp_flags::ACK);
    let asked = asked_tag(tag, u32::from_be(facts.tcp_sequence).wrapping_add(1));
    let (mut victim, mut score, mut evicted) = (0, u64::MAX, 0);
    let mut index = 0;
    while index < CELLS {
        let place = row.at(index);
        let value = place.load();
        let state = state_of(value);
        if is_live(value, now) {
            let same =
                if state == ASKED_FOR { answers && value as u32 == asked } else { value as u32 == tag };
            if same {
                let next = after_sending(state, facts);
                if next == ASKED_FOR {
                    let _ = place.replace(value, cell(asked, ASKED_FOR, now));
                } else if next != state || age(value, now) >= REFRESH_UNITS {
                    let _ = place.replace(value, cell(tag, next, now));
                }
                return;
            }
            // Older is lower; what the outside asked for is below all that the inside sent.
            let candidate = match state {
                ASKED_FOR => 1 + TIME_MASK - age(value, now),
                SENT | QUERY if !answers => 1 + 2 * TIME_MASK - age(value, now),
                _ => u64::MAX,
            };
            if candidate < score {
                (victim, score, evicted) = (index, candidate, value);
            }
        } else if score != 0 {
            (victim, score, evicted) = (index, 0, value);
        }
        index += 1;
    }
    let state = after_sending(FREE, facts);
    if score == u64::MAX || state == FREE {
        return;
    }
    let fresh = cell(if state == ASKED_FOR { asked } else { tag }, state, now);
    // Where another CPU was first, the next packet of the flow will tell.
    let _ = row.at(victim & (CELLS - 1)).replace(evicted, fresh);
}

/// The state of a flow, of which this goes out from inside.
#[inline(always)]
const fn after_sending(state: u64, facts: &Facts) -> u64 {
    if facts.protocol == protocol::UDP {
        return if state == ANSWERED { ANSWERED } else { QUERY };
    }
    let flags = facts.tcp_flags;
    if flags & tcp_flags::RST != 0 && state == FREE {
        // Says that there is no connection.
        return FREE;
    }
    if flags & (tcp_flags::RST | tcp_flags::FIN) != 0 {
        return CLOSING;
    }
    let begins = flags & tcp_flags::SYN != 0;
    match state {
        // What was before is over when somebody begins anew.
        FREE | CLOSING | DOUBTED if begins && flags & tcp_flags::ACK != 0 => ASKED_FOR,
        FREE => SENT,
        CLOSING | DOUBTED if begins => SENT,
        DOUBTED => ESTABLISHED,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::{cell::Cell as StdCell, net::IpAddr};

    struct One<'a>(&'a StdCell<u64>);
    impl Cell for One<'_> {
        fn load(&self) -> u64 {
            self.0.get()
        }
        fn replace(&self, current: u64, new: u64) -> bool {
            let same = self.0.get() == current;
            if same {
                self.0.set(new);
            }
            same
        }
    }

    #[derive(Default)]
    struct Table([StdCell<u64>; CELLS]);
    impl<'a> Row for &'a Table {
        type Cell = One<'a>;
        fn at(&self, index: usize) -> One<'a> {
            One(&self.0[index])
        }
    }

    const KEY: HashKey = HashKey { words: [3, 5, 0x1234_5678_9abc_def1, 9, 0xfeed_beef_0bad_cafe, 13] };
    const INSIDE: &str = "198.51.100.1";
    const NOW: u64 = 1_000_000_000_000;
    const SECOND: u64 = 1_000_000_000;
    use tcp_flags::{ACK, FIN, RST, SYN};

    /// Of a flow between a host inside and port `number` outside.
    fn facts(number: u16, flags: u8, sequence: u32, acknowledgement: u32) -> Facts {
        let address = |text: &str| Address::from(text.parse::<IpAddr>().unwrap());
        Facts {
            source: address("192.0.2.7"),
            destination: address(INSIDE),
            source_port: number,
            destination_port: 443,
            protocol: protocol::TCP,
            tcp_flags: flags,
            tcp_sequence: sequence.to_be(),
            tcp_acknowledgement: acknowledgement.to_be(),
            ..Facts::default()
        }
    }

    fn turned(mut facts: Facts) -> Facts {
        core::mem::swap(&mut facts.source, &mut facts.destination);
        core::mem::swap(&mut facts.source_port, &mut facts.destination_port);
        facts
    }

    fn comes_in(table: &Table, facts: &Facts, now: u64) -> u32 {
        inbound(&table, flow_hash(&KEY, facts), facts, units(now))
    }

    fn goes_out(table: &Table, facts: Facts, now: u64) {
        let facts = turned(facts);
        outbound(&table, flow_hash(&KEY, &facts), &facts, units(now));
    }

    #[test]
    fn both_directions_are_one_flow_and_others_are_others() {
        let one = facts(1, 0, 0, 0);
        assert_eq!(flow_hash(&KEY, &one), flow_hash(&KEY, &turned(one)));
        let mut swapped_ports = one;
        core::mem::swap(&mut swapped_ports.source_port, &mut swapped_ports.destination_port);
        let mut udp = one;
        udp.protocol = protocol::UDP;
        for other in [facts(2, 0, 0, 0), swapped_ports, udp] {
            assert_ne!(flow_hash(&KEY, &one), flow_hash(&KEY, &other));
        }
    }

    #[test]
    fn a_connection_from_inside_is_known_until_it_is_long_idle() {
        let table = Table::default();
        assert_eq!(comes_in(&table, &facts(1, SYN | ACK, 9, 9), NOW), UNKNOWN);
        goes_out(&table, facts(1, SYN, 0, 0), NOW);
        assert_eq!(comes_in(&table, &facts(2, SYN | ACK, 9, 9), NOW), UNKNOWN);
        assert_eq!(comes_in(&table, &facts(1, SYN | ACK, 9, 9), NOW + 31 * SECOND), UNKNOWN);
        assert_eq!(comes_in(&table, &facts(1, SYN | ACK, 9, 9), NOW), KNOWN);
        assert_eq!(comes_in(&table, &facts(1, ACK, 9, 9), NOW + 7_000 * SECOND), KNOWN);
        assert_eq!(comes_in(&table, &facts(1, ACK, 9, 9), NOW + 14_000 * SECOND), KNOWN);
        assert_eq!(comes_in(&table, &facts(1, ACK, 9, 9), NOW + 21_442 * SECOND), UNKNOWN);
    }

    #[test]
    fn a_connection_from_outside_takes_the_right_acknowledgement() {
        let table = Table::default();
        goes_out(&table, facts(1, SYN | ACK, u32::MAX, 5), NOW);
        for wrong in [1, u32::MAX, 0x8000_0000] {
            assert_eq!(comes_in(&table, &facts(1, ACK, 5, wrong), NOW), UNKNOWN, "{wrong}");
        }
        assert_eq!(comes_in(&table, &facts(1, RST, 5, 0), NOW), UNKNOWN, "a reset that acknowledges nothing");
        assert_eq!(comes_in(&table, &facts(1, ACK, 5, 0), NOW), KNOWN);
        assert_eq!(comes_in(&table, &facts(1, ACK, 5, 77), NOW + 60 * SECOND), KNOWN);
    }

    #[test]
    fn an_end_from_inside_shortens_and_a_reset_from_outside_only_if_the_inside_is_silent() {
        for (out, later, left) in [(FIN | ACK, 119, KNOWN), (RST, 119, KNOWN), (FIN | ACK, 122, UNKNOWN)] {
            let table = Table::default();
            goes_out(&table, facts(1, SYN, 0, 0), NOW);
            assert_eq!(comes_in(&table, &facts(1, SYN | ACK, 0, 0), NOW), KNOWN);
            goes_out(&table, facts(1, out, 0, 0), NOW);
            goes_out(&table, facts(1, ACK, 0, 0), NOW);
            assert_eq!(comes_in(&table, &facts(1, ACK, 0, 0), NOW + later * SECOND), left, "{out} {later}");
        }
        let table = Table::default();
        goes_out(&table, facts(1, SYN, 0, 0), NOW);
        assert_eq!(comes_in(&table, &facts(1, SYN | ACK, 0, 0), NOW), KNOWN);
        assert_eq!(comes_in(&table, &facts(1, RST, 0, 0), NOW), KNOWN);
        assert_eq!(state_of(table.0[0].get()), DOUBTED);
        goes_out(&table, facts(1, ACK, 0, 0), NOW + SECOND);
        assert_eq!(comes_in(&table, &facts(1, ACK, 0, 0), NOW + 1_000 * SECOND), KNOWN);
    }

    #[test]
    fn a_reset_from_inside_makes_no_flow() {
        let table = Table::default();
        goes_out(&table, facts(1, RST | ACK, 0, 0), NOW);
        assert_eq!(comes_in(&table, &facts(1, ACK, 0, 0), NOW), UNKNOWN);
    }

    #[test]
    fn no_flood_evicts_what_is_established_or_sent_from_inside() {
        let table = Table::default();
        for number in 1..=4 {
            goes_out(&table, facts(number, SYN, 0, 0), NOW);
            assert_eq!(comes_in(&table, &facts(number, SYN | ACK, 0, 0), NOW), KNOWN);
        }
        goes_out(&table, facts(5, SYN, 0, 0), NOW);
        for number in 100..10_000 {
            goes_out(&table, facts(number, SYN | ACK, 1, 1), NOW + u64::from(number) * 1_000_000);
        }
        let now = NOW + 10 * SECOND;
        for number in 1..=5 {
            assert_eq!(comes_in(&table, &facts(number, ACK, 0, 0), now), KNOWN, "{number}");
        }
        // The latest of those that were asked for are there still, and one of them can become a connection.
        assert_eq!(comes_in(&table, &facts(9_999, ACK, 1, 2), now), KNOWN);
    }

    #[test]
    fn what_the_inside_sends_takes_the_place_of_what_was_only_asked_for() {
        let table = Table::default();
        for number in 1..=8 {
            goes_out(&table, facts(number, SYN | ACK, 1, 1), NOW + u64::from(number) * SECOND);
        }
        let now = NOW + 9 * SECOND;
        goes_out(&table, facts(100, SYN, 0, 0), now);
        assert_eq!(comes_in(&table, &facts(1, ACK, 1, 2), now), UNKNOWN, "the oldest has gone");
        assert_eq!(comes_in(&table, &facts(2, ACK, 1, 2), now), KNOWN);
        assert_eq!(comes_in(&table, &facts(100, SYN | ACK, 1, 1), now), KNOWN);
    }

    #[test]
    fn a_full_line_says_nothing_and_takes_nothing() {
        let table = Table::default();
        for number in 1..=8 {
            goes_out(&table, facts(number, SYN, 0, 0), NOW);
            assert_eq!(comes_in(&table, &facts(number, SYN | ACK, 0, 0), NOW), KNOWN);
        }
        goes_out(&table, facts(9, SYN, 0, 0), NOW);
        assert_eq!(comes_in(&table, &facts(9, SYN | ACK, 0, 0), NOW), FULL);
        for number in 1..=8 {
            assert_eq!(comes_in(&table, &facts(number, ACK, 0, 0), NOW), KNOWN);
        }
        assert_eq!(
            comes_in(&table, &facts(9, ACK, 0, 0), NOW + 7_442 * SECOND),
            UNKNOWN,
            "they have expired"
        );
    }

    #[test]
    fn an_answer_is_known_for_as_long_as_a_query_is_remembered() {
        let table = Table::default();
        let udp = Facts { protocol: protocol::UDP, source_port: 53, ..facts(0, 0, 0, 0) };
        assert_eq!(comes_in(&table, &udp, NOW), UNKNOWN);
        goes_out(&table, udp, NOW);
        assert_eq!(comes_in(&table, &udp, NOW + 31 * SECOND), UNKNOWN);
        assert_eq!(comes_in(&table, &udp, NOW + 29 * SECOND), KNOWN);
        assert_eq!(comes_in(&table, &udp, NOW + 80 * SECOND), KNOWN);
    }
}
