//! The pcapng format.

use std::io::Read;

use pcap_parser::{
    Block, EPB_MAGIC, IDB_MAGIC, InterfaceDescriptionBlock, OptionCode, PcapNGOption, SHB_MAGIC, SPB_MAGIC,
    parse_block_be, parse_block_le, traits::PcapNGPacketBlock as _,
};

use super::{CaptureError, Found, LONGEST_RECORD, Link, Record, corrupt, window::Window};

/// Every block: type, length, …, length.
const SMALLEST_BLOCK: u32 = 12;
/// The block of packets that "must not be used in new files"; Wireshark has not written it since 2009.
const OBSOLETE_PACKET: u32 = 2;
const EPB_FLAGS: OptionCode = OptionCode(2);

pub(super) struct NextGeneration {
    big_endian: bool,
    /// Those of the section at hand.
    interfaces: Vec<Interface>,
    /// When the latest packet was captured, for those that do not say.
    latest_ns: Option<i64>,
    obsolete: u64,
}

#[derive(Clone, Copy)]
struct Interface {
    link: u32,
    snaplen: u32,
    /// Units of its time stamps in a second.
    resolution: u128,
    /// Seconds to add.
    offset: i64,
}

/// A block's type and length.
struct Head {
    kind: u32,
    length: u32,
}

impl NextGeneration {
    pub(super) fn open<R: Read>(window: &mut Window<R>) -> Result<Self, CaptureError> {
        let data = window.fill(12)?;
        if !data.starts_with(&SHB_MAGIC.to_le_bytes()) {
            let hint = match data {
                [0x28, 0xb5, 0x2f, 0xfd, ..] => "; it is compressed by zstd: run it through `zstd -dc`",
                [0xfd, b'7', b'z', ..] => "; it is compressed by xz: run it through `xz -dc`",
                [b'B', b'Z', b'h', ..] => "; it is compressed by bzip2: run it through `bzip2 -dc`",
                _ => "",
            };
            return Err(CaptureError::NotACapture { hint });
        }
        if data.len() < 12 {
            return Err(CaptureError::TooShort { bytes: data.len() as u64 });
        }
        Ok(Self { big_endian: false, interfaces: Vec::new(), latest_ns: None, obsolete: 0 })
    }

    pub(super) const fn obsolete(&self) -> u64 {
        self.obsolete
    }

    pub(super) fn next<'a, R: Read>(&mut self, window: &'a mut Window<R>) -> Result<Found<'a>, CaptureError> {
        loop {
            let offset = window.offset();
            let head = match window.fill(12)? {
                [] => return Ok(Found::End),
                data if data.len() < 12 => return Ok(Found::Truncated(offset)),
                data => self.head(data, offset)?,
            };
            let length = head.length as usize;
            match head.kind {
                SHB_MAGIC | IDB_MAGIC => {
                    let data = window.fill(length)?;
                    if data.len() < length {
                        return Ok(Found::Truncated(offset));
                    }
                    self.describe(&data[..length], offset)?;
                    window.consume(length);
                }
                EPB_MAGIC | SPB_MAGIC => {
                    let data = window.fill(length)?;
                    if data.len() < length {
                        return Ok(Found::Truncated(offset));
                    }
                    return self.packet(&window.fill(length)?[..length], offset);
                }
                kind => {
                    self.obsolete += u64::from(kind == OBSOLETE_PACKET);
                    if !window.skip(u64::from(head.length))? {
                        return Ok(Found::Truncated(offset));
                    }
                }
            }
        }
    }

    /// A block's head, in the byte order that a section sets.
    fn head(&mut self, data: &[u8], offset: u64) -> Result<Head, CaptureError> {
        let word = |at: usize| [data[at], data[at + 1], data[at + 2], data[at + 3]];
        if word(0) == SHB_MAGIC.to_le_bytes() {
            self.big_endian = match word(8) {
                [0x4d, 0x3c, 0x2b, 0x1a] => false,
                [0x1a, 0x2b, 0x3c, 0x4d] => true,
                _ => return Err(corrupt(offset, "a section header without a byte-order magic")),
            };
        }
        let number = |at| {
            if self.big_endian { u32::from_be_bytes(word(at)) } else { u32::from_le_bytes(word(at)) }
        };
        let head = Head { kind: number(0), length: number(4) };
        if head.length < SMALLEST_BLOCK || !head.length.is_multiple_of(4) {
            return Err(corrupt(offset, format!("a block claims {} bytes", head.length)));
        }
        let held = matches!(head.kind, SHB_MAGIC | IDB_MAGIC | EPB_MAGIC | SPB_MAGIC);
        if held && head.length as usize > LONGEST_RECORD {
            return Err(corrupt(
                offset,
                format!("a block claims {} bytes, above the {LONGEST_RECORD} that one may have", head.length),
            ));
        }
        Ok(head)
    }

    fn parse<'a>(&self, data: &'a [u8], offset: u64) -> Result<Block<'a>, CaptureError> {
        let (length, last) = (&data[4..8], &data[data.len() - 4..]);
        if length != last {
            return Err(corrupt(offset, "a block's length does not stand at its end"));
        }
        let parsed = if self.big_endian { parse_block_be(data) } else { parse_block_le(data) };
        match parsed {
            Ok((_, block)) => Ok(block),
            Err(_) => Err(corrupt(offset, "a block's content contradicts its length")),
        }
    }

    /// What a section header or an interface's description says.
    fn describe(&mut self, data: &[u8], offset: u64) -> Result<(), CaptureError> {
        match self.parse(data, offset)? {
            Block::SectionHeader(section) if section.major_version == 1 => self.interfaces.clear(),
            Block::SectionHeader(section) => {
                let version = section.major_version;
                return Err(corrupt(
                    offset,
                    format!("pcapng version {version} is unknown; 1 is the one there is"),
                ));
            }
            Block::InterfaceDescription(description) => {
                self.interfaces.push(self.interface(&description, offset)?);
            }
            _ => {}
        }
        Ok(())
    }

    fn interface(
        &self,
        block: &InterfaceDescriptionBlock<'_>,
        offset: u64,
    ) -> Result<Interface, CaptureError> {
        let resolution = match option(&block.options, OptionCode::IfTsresol) {
            None => 1_000_000,
            // A power of two where the highest bit is set, of ten where it is not.
            Some([exponent, ..]) => {
                let power = u32::from(exponent & 0x7f);
                let base: u128 = if exponent & 0x80 == 0 { 10 } else { 2 };
                base.checked_pow(power).ok_or_else(|| {
                    corrupt(offset, format!("an interface's clock has {base}^{power} ticks a second"))
                })?
            }
            Some([]) => return Err(corrupt(offset, "an interface's if_tsresol is empty")),
        };
        let seconds = match option(&block.options, OptionCode::IfTsoffset) {
            None => 0,
            Some(value) => {
                let bytes = value
                    .first_chunk()
                    .ok_or_else(|| corrupt(offset, "an interface's if_tsoffset is cut short"))?;
                if self.big_endian { i64::from_be_bytes(*bytes) } else { i64::from_le_bytes(*bytes) }
            }
        };
        let link = block.linktype.0 as u32 & 0xffff;
        Ok(Interface { link, snaplen: block.snaplen, resolution, offset: seconds })
    }

    fn packet<'a>(&mut self, data: &'a [u8], offset: u64) -> Result<Found<'a>, CaptureError> {
        let interface = |id: u32| {
            let interface = self.interfaces.get(id as usize).copied();
            interface.ok_or_else(|| {
                corrupt(offset, format!("a packet of interface {id}, which nothing describes"))
            })
        };
        // Only the padded data and the options borrow from the block, and neither is needed beyond it.
        let record = match self.parse(data, offset)? {
            Block::EnhancedPacket(block) => {
                let interface = interface(block.if_id)?;
                let captured = data
                    .get(28..28 + block.caplen as usize)
                    .ok_or_else(|| corrupt(offset, "a packet is longer than its block"))?;
                let ticks = u64::from(block.ts_high) << 32 | u64::from(block.ts_low);
                self.latest_ns = Some(interface.time_ns(ticks));
                Record {
                    time_ns: self.latest_ns,
                    link: Link::numbered(interface.link)?,
                    data: captured,
                    original: block.orig_len().max(block.caplen),
                    outgoing: self.outgoing(&block.options),
                }
            }
            Block::SimplePacket(block) => {
                let interface = interface(0)?;
                let most = if interface.snaplen == 0 { u32::MAX } else { interface.snaplen };
                let room = &data[12..data.len() - 4];
                let captured = room.get(..block.origlen.min(most) as usize).unwrap_or(room);
                Record {
                    time_ns: self.latest_ns,
                    link: Link::numbered(interface.link)?,
                    data: captured,
                    original: block.origlen.max(captured.len() as u32),
                    outgoing: false,
                }
            }
            _ => return Err(corrupt(offset, "a block is not what its type says")),
        };
        Ok(Found::Packet(data.len(), record))
    }

    /// Bits 0 and 1 of `epb_flags`: 2 is what the host sent.
    fn outgoing(&self, options: &[PcapNGOption<'_>]) -> bool {
        let Some(bytes) = option(options, EPB_FLAGS).and_then(|value| value.first_chunk().copied()) else {
            return false;
        };
        let flags = if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        flags & 3 == 2
    }
}

impl Interface {
    fn time_ns(&self, ticks: u64) -> i64 {
        // 2^64 · 10^9 is below 2^94: nothing here overflows.
        let since = u128::from(ticks) * 1_000_000_000 / self.resolution;
        let nanoseconds =
            i128::try_from(since).unwrap_or(i128::MAX / 2) + i128::from(self.offset) * 1_000_000_000;
        i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX })
    }
}

/// The first option of this kind, without its padding. What stands behind the end of the options is none.
fn option<'o>(options: &'o [PcapNGOption<'_>], code: OptionCode) -> Option<&'o [u8]> {
    options
        .iter()
        .take_while(|option| option.code != OptionCode::EndOfOpt)
        .find(|option| option.code == code)
        .and_then(|option| option.as_bytes().ok())
}
