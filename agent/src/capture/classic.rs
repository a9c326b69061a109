//! The pcap format.

use std::io::Read;

use pcap_parser::{
    LegacyPcapBlock, PcapError, nom, parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified,
    parse_pcap_header,
};

use super::{CaptureError, Found, LONGEST_RECORD, Link, Record, corrupt, window::Window};

const HEADER: usize = 24;

/// The largest `caplen` that is believed where the file's header promises less: libpcap's `MAXIMUM_SNAPLEN`.
const LARGEST_SNAPLEN: u32 = 262_144;

type ParseRecord = fn(&[u8]) -> nom::IResult<&[u8], LegacyPcapBlock<'_>, PcapError<&[u8]>>;

pub(super) struct Classic {
    link: u32,
    nanoseconds: bool,
    big_endian: bool,
    longest: u32,
    /// Bytes before a record's data.
    record_header: usize,
    parse: ParseRecord,
}

impl Classic {
    /// Reads the file's header; nothing if it is another format's.
    pub(super) fn open<R: Read>(window: &mut Window<R>) -> Result<Option<Self>, CaptureError> {
        let data = window.fill(HEADER)?;
        let header = match parse_pcap_header(data) {
            Ok((_, header)) => header,
            Err(nom::Err::Incomplete(_)) => {
                return Err(CaptureError::TooShort { bytes: data.len() as u64 });
            }
            Err(_) => return Ok(None),
        };
        if header.version_major != 2 {
            let (major, minor) = (header.version_major, header.version_minor);
            return Err(corrupt(
                4,
                format!("pcap version {major}.{minor} is unknown; 2.4 is the one there is"),
            ));
        }
        let big_endian = header.is_bigendian();
        let (record_header, parse): (_, ParseRecord) = match (header.is_modified_format(), big_endian) {
            (true, _) => (24, parse_pcap_frame_modified),
            (false, true) => (16, parse_pcap_frame_be),
            (false, false) => (16, parse_pcap_frame),
        };
        window.consume(HEADER);
        Ok(Some(Self {
            // The upper half tells of frame check sequences.
            link: header.network.0 as u32 & 0xffff,
            nanoseconds: header.is_nanosecond_precision(),
            big_endian,
            longest: header.snaplen.clamp(LARGEST_SNAPLEN, LONGEST_RECORD as u32),
            record_header,
            parse,
        }))
    }

    pub(super) fn next<'a, R: Read>(&self, window: &'a mut Window<R>) -> Result<Found<'a>, CaptureError> {
        let offset = window.offset();
        let head = window.fill(self.record_header)?;
        if head.is_empty() {
            return Ok(Found::End);
        }
        let Some(length) = head.get(8..12).and_then(|bytes| bytes.try_into().ok()) else {
            return Ok(Found::Truncated(offset));
        };
        let captured = if self.big_endian { u32::from_be_bytes(length) } else { u32::from_le_bytes(length) };
        if captured > self.longest {
            let most = self.longest;
            return Err(corrupt(
                offset,
                format!("a record claims {captured} bytes, above the {most} that it may have"),
            ));
        }
        let link = Link::numbered(self.link)?;
        let whole = self.record_header + captured as usize;
        let data = window.fill(whole)?;
        let Ok((_, record)) = (self.parse)(data) else { return Ok(Found::Truncated(offset)) };
        let fraction = i64::from(record.ts_usec) * if self.nanoseconds { 1 } else { 1_000 };
        Ok(Found::Packet(
            whole,
            Record {
                time_ns: Some(i64::from(record.ts_sec) * 1_000_000_000 + fraction),
                link,
                data: record.data,
                original: record.origlen.max(record.caplen),
                outgoing: false,
            },
        ))
    }
}
