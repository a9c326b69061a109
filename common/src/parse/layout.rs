//! Where in a frame things stand.

/// What only some packets are asked for, and [`super::parse`] leaves out: where in the frame things stand, and how long
/// they are, in bytes. All zero in what is not IP.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Layout {
    /// Of the IP packet, its header included; more than 65,535 (IPv6) count as that.
    pub ip_length: u16,
    /// From the frame's start to the transport header: to what follows the IP header, its options or extension headers.
    pub transport_offset: u16,
    /// From the frame's start to what follows the TCP, UDP or ICMP header; in later fragments and with other protocols,
    /// to what follows the IP header.
    pub payload_offset: u16,
    /// Of that, as much as the packet holds: neither what pads the frame, nor what a UDP header does not count.
    pub payload_length: u16,
    /// TCP window, as it stands in the header: not scaled.
    pub tcp_window: u16,
}

/// What the parser tells beside [`super::Facts`]. Nothing where nobody asks, and then it costs nothing.
pub(super) trait Notes {
    /// Whether an IP packet of `total` bytes, the header's included, goes beyond the `remaining` ones, and must not.
    #[inline(always)]
    fn exceeds(&self, total: u32, _header: u32, remaining: u32) -> bool {
        total > remaining
    }

    /// How much of one that does not exceed them is not among the `remaining` bytes.
    #[inline(always)]
    fn beyond(&self, _total: u32, _remaining: u32) -> u32 {
        0
    }
    #[inline(always)]
    fn ip_length(&mut self, _length: u32) {}
    #[inline(always)]
    fn transport(&mut self, _payload: Span) {}
    /// What follows a transport header that is so long, in a packet that holds so much from its beginning on.
    #[inline(always)]
    fn follows(&mut self, _header_length: u32, _payload: u32) {}
    #[inline(always)]
    fn window(&mut self, _window: u16) {}
}

/// Nobody asks.
pub(super) struct NoNotes;

impl Notes for NoNotes {}

impl Notes for Layout {
    #[inline(always)]
    fn ip_length(&mut self, length: u32) {
        self.ip_length = if length > 65_535 { u16::MAX } else { length as u16 };
    }

    #[inline(always)]
    fn transport(&mut self, payload: Span) {
        self.transport_offset = payload.at as u16;
        self.payload_offset = payload.at as u16;
        self.payload_length = payload.length as u16;
    }

    #[inline(always)]
    fn follows(&mut self, header_length: u32, payload: u32) {
        self.payload_offset += header_length as u16;
        self.payload_length = (payload - header_length) as u16;
    }

    #[inline(always)]
    fn window(&mut self, window: u16) {
        self.tcp_window = window;
    }
}

/// What an IP packet carries: where it begins in the frame, how long it is, and how much more the IP header speaks of.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) at: u32,
    pub(super) length: u32,
    pub(super) beyond: u32,
}
