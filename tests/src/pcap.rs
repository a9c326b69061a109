//! Captures of frames that tests make.

/// A capture (pcap, nanoseconds, Ethernet) in the making.
pub struct Pcap {
    bytes: Vec<u8>,
}

impl Default for Pcap {
    fn default() -> Self {
        Self::of_link(1)
    }
}

impl Pcap {
    /// A capture whose packets begin with what this `LINKTYPE_` number says.
    pub fn of_link(link: u32) -> Self {
        let mut bytes = 0xa1b2_3c4d_u32.to_le_bytes().to_vec();
        bytes.extend([2_u16, 4].map(u16::to_le_bytes).concat());
        bytes.extend([0, 0, 262_144, link].map(u32::to_le_bytes).concat());
        Self { bytes }
    }

    /// Adds a packet, captured whole, `at_ns` nanoseconds after the capture began.
    pub fn packet(&mut self, at_ns: u64, packet: &[u8]) -> &mut Self {
        self.part(at_ns, packet, packet.len())
    }

    /// Adds a packet of which only a part was captured.
    pub fn part(&mut self, at_ns: u64, captured: &[u8], length: usize) -> &mut Self {
        let seconds = 1_700_000_000 + at_ns / 1_000_000_000;
        let words = [seconds as u32, (at_ns % 1_000_000_000) as u32, captured.len() as u32, length as u32];
        self.bytes.extend(words.map(u32::to_le_bytes).concat());
        self.bytes.extend(captured);
        self
    }

    /// The file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
