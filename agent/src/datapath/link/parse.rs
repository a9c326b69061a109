//! rtnetlink's messages about interfaces and routes, as bytes: only what is asked for is read, and what does not hold
//! together is no message.
//!
//! The kernel writes them, and adds attributes with every version; an attribute that is not known, or is longer than it
//! was, must not hide an interface.

use netlink_packet_core::{NLMSG_DONE, NLMSG_ERROR, NLMSG_OVERRUN, NetlinkBuffer, NlaBuffer, NlasIterator};

use super::{AttachedProgram, Link};

// Types of messages, and attributes (include/uapi/linux/{rtnetlink,if_link,if_bonding}.h).
pub(super) const NEW_LINK: u16 = 16;
pub(super) const DEL_LINK: u16 = 17;
pub(super) const GET_LINK: u16 = 18;
pub(super) const NEW_ROUTE: u16 = 24;
pub(super) const GET_ROUTE: u16 = 26;
const NAME: u16 = 3;
const MTU: u16 = 4;
const LOWER: u16 = 5;
const MASTER: u16 = 10;
const INFO: u16 = 18;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const BOND_MODE: u16 = 1;
const RECEIVE_QUEUES: u16 = 32;
const XDP: u16 = 43;
const XDP_ATTACHED: u16 = 2;
const XDP_ID: u16 = 4;
const ROUTE_OUT: u16 = 4;
const ROUTE_MULTIPATH: u16 = 9;
const ROUTE_TABLE: u16 = 15;

/// `IFF_UP`, `IFF_LOOPBACK`.
const FLAG_UP: u32 = 1;
const FLAG_LOOPBACK: u32 = 1 << 3;
/// `XDP_ATTACHED_NONE`, `XDP_ATTACHED_SKB`.
const ATTACHED_NONE: u8 = 0;
const ATTACHED_GENERIC: u8 = 2;
/// `RT_TABLE_MAIN`, `RTN_UNICAST`, `RTM_F_CLONED`.
const TABLE_MAIN: u32 = 254;
const UNICAST: u8 = 1;
const CLONED: u32 = 0x200;

/// A message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// An interface is there, or has changed.
    Link(Link),
    /// The interface with this index is gone, from this network namespace at least.
    Gone(u32),
    /// A default route of the main table goes through the interfaces with these indices.
    DefaultRoute(Vec<u32>),
    /// An answer in several messages is complete.
    Done,
    /// The kernel refused, with this errno.
    Refused(i32),
    /// The kernel has messages left out.
    Overrun,
    /// About something else.
    Other,
}

/// What was read is no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Malformed;

/// The messages of a datagram; ends with the first that is none.
pub(super) fn messages(datagram: &[u8]) -> impl Iterator<Item = Result<Message, Malformed>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Ok(buffer) = NetlinkBuffer::new_checked(rest) else {
            rest = &[];
            return Some(Err(Malformed));
        };
        let length = buffer.length() as usize;
        let message = message(buffer.message_type(), rest.get(16..length).unwrap_or_default());
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

fn message(kind: u16, payload: &[u8]) -> Result<Message, Malformed> {
    match kind {
        NEW_LINK | DEL_LINK => link(kind, payload),
        NEW_ROUTE => default_route(payload),
        NLMSG_DONE => Ok(Message::Done),
        NLMSG_ERROR => {
            let code = payload.first_chunk().copied().map(i32::from_ne_bytes).ok_or(Malformed)?;
            Ok(if code == 0 { Message::Done } else { Message::Refused(code.saturating_neg()) })
        }
        NLMSG_OVERRUN => Ok(Message::Overrun),
        _ => Ok(Message::Other),
    }
}

/// `struct ifinfomsg` and its attributes.
fn link(kind: u16, payload: &[u8]) -> Result<Message, Malformed> {
    let (header, attributes) = payload.split_at_checked(16).ok_or(Malformed)?;
    // A bridge tells of its ports with messages of the same type: one that left the bridge is not gone.
    if header[0] != libc::AF_UNSPEC as u8 {
        return Ok(Message::Other);
    }
    let index = number(&header[4..8])?;
    if index == 0 {
        return Err(Malformed);
    }
    if kind == DEL_LINK {
        return Ok(Message::Gone(index));
    }
    let flags = number(&header[8..12])?;
    let mut link = Link {
        index,
        link_type: u16::from_ne_bytes([header[2], header[3]]),
        up: flags & FLAG_UP != 0,
        loopback: flags & FLAG_LOOPBACK != 0,
        ..Link::default()
    };
    for attribute in each(attributes) {
        let attribute = attribute?;
        let value = attribute.value();
        match attribute.kind() {
            NAME => link.name = text(value).ok_or(Malformed)?,
            MTU => link.mtu = number(value)?,
            LOWER => link.lower = Some(number(value)?).filter(|lower| *lower != 0),
            MASTER => link.master = Some(number(value)?).filter(|master| *master != 0),
            RECEIVE_QUEUES => link.receive_queues = number(value)?,
            INFO => information(value, &mut link)?,
            XDP => link.program = program(value)?,
            _ => {}
        }
    }
    if link.name.is_empty() { Err(Malformed) } else { Ok(Message::Link(link)) }
}

fn information(value: &[u8], link: &mut Link) -> Result<(), Malformed> {
    let mut data = &[][..];
    for attribute in each(value) {
        let attribute = attribute?;
        match attribute.kind() {
            INFO_KIND => link.kind = text(attribute.value()),
            INFO_DATA => data = attribute.value(),
            _ => {}
        }
    }
    if link.kind.as_deref() == Some("bond") {
        for attribute in each(data) {
            let attribute = attribute?;
            if attribute.kind() == BOND_MODE {
                link.bond_mode = attribute.value().first().copied();
            }
        }
    }
    Ok(())
}

fn program(value: &[u8]) -> Result<Option<AttachedProgram>, Malformed> {
    let (mut program, mut attached) = (AttachedProgram::default(), ATTACHED_NONE);
    for attribute in each(value) {
        let attribute = attribute?;
        match attribute.kind() {
            XDP_ATTACHED => attached = *attribute.value().first().ok_or(Malformed)?,
            XDP_ID => program.id = number(attribute.value())?,
            _ => {}
        }
    }
    program.native = attached != ATTACHED_GENERIC;
    Ok((attached != ATTACHED_NONE).then_some(program))
}

/// `struct rtmsg` and its attributes.
fn default_route(payload: &[u8]) -> Result<Message, Malformed> {
    let (header, attributes) = payload.split_at_checked(12).ok_or(Malformed)?;
    let (prefix, mut table, kind) = (header[1], u32::from(header[4]), header[7]);
    if prefix != 0 || kind != UNICAST || number(&header[8..12])? & CLONED != 0 {
        return Ok(Message::Other);
    }
    let mut through = Vec::new();
    for attribute in each(attributes) {
        let attribute = attribute?;
        match attribute.kind() {
            ROUTE_OUT => through.push(number(attribute.value())?),
            ROUTE_TABLE => table = number(attribute.value())?,
            ROUTE_MULTIPATH => hops(attribute.value(), &mut through)?,
            _ => {}
        }
    }
    Ok(if table == TABLE_MAIN { Message::DefaultRoute(through) } else { Message::Other })
}

/// `struct rtnexthop`s, each with attributes of its own.
fn hops(value: &[u8], through: &mut Vec<u32>) -> Result<(), Malformed> {
    let mut rest = value;
    while !rest.is_empty() {
        let header = rest.first_chunk::<8>().ok_or(Malformed)?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        if length < header.len() || length > rest.len() {
            return Err(Malformed);
        }
        through.push(number(&header[4..8])?);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(())
}

/// An attribute whose value lives as long as what it was read from.
struct Attribute<'a>(NlaBuffer<&'a [u8]>);

impl<'a> Attribute<'a> {
    fn kind(&self) -> u16 {
        self.0.kind()
    }

    fn value(&self) -> &'a [u8] {
        let length = usize::from(self.0.length());
        self.0.into_inner().get(4..length).unwrap_or_default()
    }
}

fn each(attributes: &[u8]) -> impl Iterator<Item = Result<Attribute<'_>, Malformed>> {
    NlasIterator::new(attributes).map(|attribute| attribute.map(Attribute).map_err(|_| Malformed))
}

fn number(value: &[u8]) -> Result<u32, Malformed> {
    value.first_chunk().copied().map(u32::from_ne_bytes).ok_or(Malformed)
}

/// What stands before the first NUL.
fn text(value: &[u8]) -> Option<String> {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    Some(String::from_utf8_lossy(&value[..end]).into_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((value.len() as u16 + 4).to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn framed(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((payload.len() as u32 + 16).to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn link_message(kind: u16, family: u8, index: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut payload = vec![family, 0, 1, 0];
        payload.extend(index.to_ne_bytes());
        payload.extend(FLAG_UP.to_ne_bytes());
        payload.extend([0; 4]);
        payload.extend(attributes.concat());
        framed(kind, &payload)
    }

    fn bond() -> Vec<u8> {
        let xdp = [attribute(XDP_ATTACHED, &[1]), attribute(XDP_ID, &77_u32.to_ne_bytes())].concat();
        let info = [attribute(INFO_KIND, b"bond\0"), attribute(INFO_DATA, &attribute(BOND_MODE, &[4]))];
        link_message(
            NEW_LINK,
            0,
            9,
            &[
                attribute(NAME, b"bond0\0"),
                attribute(MTU, &1500_u32.to_ne_bytes()),
                attribute(RECEIVE_QUEUES, &16_u32.to_ne_bytes()),
                // Of a kind that does not exist yet.
                attribute(0x3ff0, &[1, 2, 3]),
                attribute(INFO, &info.concat()),
                attribute(XDP, &xdp),
            ],
        )
    }

    fn route(prefix: u8, table: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut payload = vec![libc::AF_INET as u8, prefix, 0, 0, 254, 3, 0, UNICAST, 0, 0, 0, 0];
        payload.extend(attribute(ROUTE_TABLE, &table.to_ne_bytes()));
        payload.extend(attributes.concat());
        framed(NEW_ROUTE, &payload)
    }

    fn all(datagram: &[u8]) -> Vec<Result<Message, Malformed>> {
        messages(datagram).collect()
    }

    #[test]
    fn an_interface_is_read_past_attributes_that_nobody_knows() {
        let expected = Link {
            index: 9,
            name: "bond0".to_owned(),
            link_type: 1,
            up: true,
            mtu: 1500,
            receive_queues: 16,
            kind: Some("bond".to_owned()),
            bond_mode: Some(4),
            program: Some(AttachedProgram { id: 77, native: true }),
            ..Link::default()
        };
        let gone = link_message(DEL_LINK, 0, 9, &[]);
        let datagram = [bond(), gone, framed(NLMSG_DONE, &[0; 4])].concat();
        let expected = [Ok(Message::Link(expected)), Ok(Message::Gone(9)), Ok(Message::Done)];
        assert_eq!(all(&datagram), expected);
    }

    #[test]
    fn a_port_that_leaves_a_bridge_is_not_gone() {
        let left = link_message(DEL_LINK, libc::AF_BRIDGE as u8, 9, &[attribute(NAME, b"eth0\0")]);
        assert_eq!(all(&left), [Ok(Message::Other)]);
    }

    #[test]
    fn default_routes_of_the_main_table_name_every_interface_that_they_go_through() {
        let hop = |index: u32| [&[8, 0, 0, 0][..], &index.to_ne_bytes()].concat();
        let out = attribute(ROUTE_OUT, &3_u32.to_ne_bytes());
        let several = attribute(ROUTE_MULTIPATH, &[hop(4), hop(5)].concat());
        assert_eq!(all(&route(0, 254, std::slice::from_ref(&out))), [Ok(Message::DefaultRoute(vec![3]))]);
        assert_eq!(all(&route(0, 254, &[several])), [Ok(Message::DefaultRoute(vec![4, 5]))]);
        assert_eq!(all(&route(8, 254, std::slice::from_ref(&out))), [Ok(Message::Other)]);
        assert_eq!(all(&route(0, 100, &[out])), [Ok(Message::Other)]);
        let endless = attribute(ROUTE_MULTIPATH, &[0, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(all(&route(0, 254, &[endless])), [Err(Malformed)]);
    }

    #[test]
    fn every_truncation_is_malformed_or_says_less_and_never_another_interface() {
        let whole = bond();
        for length in 0..whole.len() {
            for message in all(&whole[..length]) {
                assert_eq!(message, Err(Malformed), "{length} bytes");
            }
            // A length field that says what is there: the cut is within attributes.
            let mut cut = whole[..length].to_vec();
            if length >= 16 {
                cut[..4].copy_from_slice(&(length as u32).to_ne_bytes());
                for message in all(&cut).into_iter().flatten() {
                    let Message::Link(link) = message else { panic!("{message:?}") };
                    assert_eq!((link.index, link.name.as_str()), (9, "bond0"), "{length} bytes");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_or_go_on_for_ever(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(all(&bytes).len() <= bytes.len() / 16 + 1);
        }

        #[test]
        fn no_change_of_a_good_message_panics(at in 0_usize..160, byte in any::<u8>()) {
            let mut bytes = bond();
            let at = at % bytes.len();
            bytes[at] = byte;
            all(&bytes);
        }
    }
}
