//! Frames of SPOP 2.0 (HAProxy's doc/SPOE.txt, section 3.2), without the four bytes of their length.

use super::wire::{Malformed, Reader, Value, put_number, put_string, put_value};

/// The shortest limit of frames that a side may have, in bytes.
pub(crate) const LEAST: u32 = 256;
/// The version that is spoken here.
const VERSION: &[u8] = b"2.0";
/// Messages of one frame. One is expected.
const MOST_MESSAGES: usize = 4;
/// Items of a hello. Five are known.
const MOST_ITEMS: usize = 32;

/// Types of frames.
const UNSET: u8 = 0;
const HAPROXY_HELLO: u8 = 1;
const HAPROXY_DISCONNECT: u8 = 2;
const NOTIFY: u8 = 3;
const AGENT_HELLO: u8 = 101;
const AGENT_DISCONNECT: u8 = 102;
const ACK: u8 = 103;

/// The frame has all of its payload.
const FINAL: u32 = 1;

/// Set a variable, which has three arguments, for the request and its answer.
const SET_VARIABLE: [u8; 3] = [1, 3, 2];

/// Why a connection ends: the codes of section 3.5.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Normal,
    Timeout,
    TooBig,
    Invalid,
    NoVersion,
    NoFrameSize,
    NoCapabilities,
    Version,
    FrameSize,
    Fragmented,
    Resources,
}

impl End {
    pub(crate) const fn code(self) -> u32 {
        match self {
            Self::Normal => 0,
            Self::Timeout => 2,
            Self::TooBig => 3,
            Self::Invalid => 4,
            Self::NoVersion => 5,
            Self::NoFrameSize => 6,
            Self::NoCapabilities => 7,
            Self::Version => 8,
            Self::FrameSize => 9,
            Self::Fragmented => 10,
            Self::Resources => 13,
        }
    }

    /// For people, and for the metric's label.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Timeout => "timeout",
            Self::TooBig => "frame-too-big",
            Self::Invalid => "frame-invalid",
            Self::NoVersion => "version-missing",
            Self::NoFrameSize => "frame-size-missing",
            Self::NoCapabilities => "capabilities-missing",
            Self::Version => "version-unsupported",
            Self::FrameSize => "frame-size",
            Self::Fragmented => "fragmented",
            Self::Resources => "memory",
        }
    }
}

impl From<Malformed> for End {
    fn from(_: Malformed) -> Self {
        Self::Invalid
    }
}

/// A frame that HAProxy sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Frame<'f> {
    Hello(Hello),
    Disconnect,
    Notify(Notify<'f>),
    /// Of a type that is not known, and may be left out (section 3.2.2).
    Unknown,
}

/// What HAProxy says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Hello {
    /// Most bytes of a frame.
    pub(crate) frame_size: u32,
    /// Whether answers may come in another order than the questions did.
    pub(crate) pipelining: bool,
    /// Whether nothing else is to follow.
    pub(crate) is_check: bool,
}

/// A question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Notify<'f> {
    pub(crate) stream: u64,
    pub(crate) frame: u64,
    payload: &'f [u8],
}

/// A message of a question: its name, and its arguments with their names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Message<'f> {
    pub(crate) name: &'f [u8],
    pub(crate) arguments: Vec<(&'f [u8], Value<'f>)>,
}

/// Reads a frame that is all of `bytes`.
///
/// # Errors
///
/// How the connection is to end. Fragments are refused: nobody was told that they are understood.
pub(crate) fn read(bytes: &[u8]) -> Result<Frame<'_>, End> {
    let mut reader = Reader::new(bytes);
    let kind = reader.byte()?;
    let flags = u32::from_be_bytes(reader.array()?);
    let (stream, frame) = (reader.number()?, reader.number()?);
    if kind == UNSET || flags & FINAL == 0 {
        return Err(End::Fragmented);
    }
    // Nothing is aborted that was never begun, and the rest is reserved.
    if flags != FINAL {
        return Err(End::Invalid);
    }
    let of_connection = stream == 0 && frame == 0;
    match kind {
        HAPROXY_HELLO if of_connection => hello(reader).map(Frame::Hello),
        HAPROXY_DISCONNECT if of_connection => Ok(Frame::Disconnect),
        NOTIFY => Ok(Frame::Notify(Notify { stream, frame, payload: reader.rest() })),
        HAPROXY_HELLO | HAPROXY_DISCONNECT | AGENT_HELLO | AGENT_DISCONNECT | ACK => Err(End::Invalid),
        _ => Ok(Frame::Unknown),
    }
}

fn hello(mut reader: Reader<'_>) -> Result<Hello, End> {
    let (mut versions, mut frame_size, mut capabilities, mut check) = (None, None, None, None);
    for _ in 0..MOST_ITEMS {
        if reader.rest().is_empty() {
            break;
        }
        let (name, value) = (reader.string()?, reader.value()?);
        let before = match (name, value) {
            (b"supported-versions", Value::Text(text)) => versions.replace(text).is_some(),
            (b"max-frame-size", Value::Uint32(size)) => frame_size.replace(size).is_some(),
            (b"capabilities", Value::Text(text)) => capabilities.replace(text).is_some(),
            (b"healthcheck", Value::Boolean(truth)) => check.replace(truth).is_some(),
            (b"supported-versions" | b"max-frame-size" | b"capabilities" | b"healthcheck", _) => true,
            _ => false,
        };
        if before {
            return Err(End::Invalid);
        }
    }
    if !reader.rest().is_empty() {
        return Err(End::Invalid);
    }
    let versions = versions.ok_or(End::NoVersion)?;
    let frame_size = frame_size.ok_or(End::NoFrameSize)?;
    let capabilities = capabilities.ok_or(End::NoCapabilities)?;
    // Whoever names a major version has all minor ones below.
    if !listed(versions).any(|version| version.starts_with(b"2.")) {
        return Err(End::Version);
    }
    if frame_size < LEAST {
        return Err(End::FrameSize);
    }
    let pipelining = listed(capabilities).any(|one| one == b"pipelining");
    Ok(Hello { frame_size, pipelining, is_check: check == Some(true) })
}

/// Members of a list with commas.
fn listed(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

impl<'f> Notify<'f> {
    /// The messages.
    ///
    /// # Errors
    ///
    /// Where they are none, or too many.
    pub(crate) fn messages(&self) -> Result<Vec<Message<'f>>, End> {
        let (mut reader, mut messages) = (Reader::new(self.payload), Vec::new());
        while !reader.rest().is_empty() {
            if messages.len() == MOST_MESSAGES {
                return Err(End::Invalid);
            }
            let name = reader.string()?;
            let arguments = reader.byte()?;
            let arguments = (0..arguments).map(|_| Ok((reader.string()?, reader.value()?)));
            let arguments = arguments.collect::<Result<_, Malformed>>()?;
            messages.push(Message { name, arguments });
        }
        Ok(messages)
    }
}

fn begin(kind: u8, stream: u64, frame: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    // Where the length will be.
    out.extend_from_slice(&[0; 4]);
    out.push(kind);
    out.extend_from_slice(&FINAL.to_be_bytes());
    put_number(&mut out, stream);
    put_number(&mut out, frame);
    out
}

/// Writes the length in front.
fn finish(mut out: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(out.len() - 4).unwrap_or(u32::MAX);
    if let Some(front) = out.first_chunk_mut() {
        *front = length.to_be_bytes();
    }
    out
}

fn put_item(out: &mut Vec<u8>, name: &str, value: Value<'_>) {
    put_string(out, name.as_bytes());
    put_value(out, value);
}

/// The answer to a hello, with its length in front.
pub(crate) fn agent_hello(frame_size: u32, pipelining: bool) -> Vec<u8> {
    let mut out = begin(AGENT_HELLO, 0, 0);
    put_item(&mut out, "version", Value::Text(VERSION));
    put_item(&mut out, "max-frame-size", Value::Uint32(frame_size));
    let capabilities: &[u8] = if pipelining { b"pipelining" } else { b"" };
    put_item(&mut out, "capabilities", Value::Text(capabilities));
    finish(out)
}

/// The last frame of a connection, with its length in front.
pub(crate) fn agent_disconnect(end: End) -> Vec<u8> {
    let mut out = begin(AGENT_DISCONNECT, 0, 0);
    put_item(&mut out, "status-code", Value::Uint32(end.code()));
    put_item(&mut out, "message", Value::Text(end.name().as_bytes()));
    finish(out)
}

/// An answer: variables that are set.
#[derive(Debug)]
pub(crate) struct Ack(Vec<u8>);

impl Ack {
    /// To a question of that stream and frame.
    pub(crate) fn new(stream: u64, frame: u64) -> Self {
        Self(begin(ACK, stream, frame))
    }

    pub(crate) fn set(&mut self, name: &str, value: Value<'_>) {
        self.0.extend_from_slice(&SET_VARIABLE);
        put_item(&mut self.0, name, value);
    }

    /// The frame with its length in front; `None` where it would be longer than `most` bytes without.
    pub(crate) fn finish(self, most: u32) -> Option<Vec<u8>> {
        let fits = u32::try_from(self.0.len() - 4).is_ok_and(|length| length <= most);
        fits.then(|| finish(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of HAProxy's.
    fn frame(kind: u8, flags: u32, ids: [u64; 2], payload: &[u8]) -> Vec<u8> {
        let mut out = vec![kind];
        out.extend_from_slice(&flags.to_be_bytes());
        ids.iter().for_each(|id| put_number(&mut out, *id));
        out.extend_from_slice(payload);
        out
    }

    fn items(items: &[(&str, Value<'_>)]) -> Vec<u8> {
        let mut out = Vec::new();
        items.iter().for_each(|(name, value)| put_item(&mut out, name, *value));
        out
    }

    const VERSIONS: (&str, Value<'_>) = ("supported-versions", Value::Text(b"1.0, 2.0"));
    const SIZE: (&str, Value<'_>) = ("max-frame-size", Value::Uint32(16_380));
    const CAPABILITIES: (&str, Value<'_>) = ("capabilities", Value::Text(b"async, pipelining"));

    fn greeted(these: &[(&str, Value<'_>)]) -> Result<Frame<'static>, End> {
        match read(&frame(HAPROXY_HELLO, FINAL, [0, 0], &items(these)))? {
            Frame::Hello(hello) => Ok(Frame::Hello(hello)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_hello_is_read_with_what_is_unknown_in_it() {
        let engine = ("engine-id", Value::Text(b"1"));
        let expected = |pipelining, is_check| Hello { frame_size: 16_380, pipelining, is_check };
        let found = greeted(&[VERSIONS, SIZE, CAPABILITIES, engine]);
        assert_eq!(found, Ok(Frame::Hello(expected(true, false))));
        let check = ("healthcheck", Value::Boolean(true));
        let found = greeted(&[("capabilities", Value::Text(b"")), SIZE, VERSIONS, check]);
        assert_eq!(found, Ok(Frame::Hello(expected(false, true))));
    }

    #[test]
    fn a_hello_without_what_it_must_have_has_its_own_error() {
        let small = ("max-frame-size", Value::Uint32(LEAST - 1));
        let old = ("supported-versions", Value::Text(b"1.0,20.0"));
        let text = ("max-frame-size", Value::Text(b"16380"));
        for (these, end) in [
            (&[SIZE, CAPABILITIES][..], End::NoVersion),
            (&[VERSIONS, CAPABILITIES], End::NoFrameSize),
            (&[VERSIONS, SIZE], End::NoCapabilities),
            (&[old, SIZE, CAPABILITIES], End::Version),
            (&[VERSIONS, small, CAPABILITIES], End::FrameSize),
            (&[VERSIONS, text, CAPABILITIES], End::Invalid),
            (&[VERSIONS, SIZE, SIZE, CAPABILITIES], End::Invalid),
            (&[("a", Value::Null); 40], End::Invalid),
        ] {
            assert_eq!(greeted(these), Err(end), "{these:?}");
        }
        let good = items(&[VERSIONS, SIZE, CAPABILITIES]);
        for end in 0..good.len() {
            assert!(read(&frame(HAPROXY_HELLO, FINAL, [0, 0], &good[..end])).is_err(), "{end}");
        }
        assert_eq!(read(&frame(HAPROXY_HELLO, FINAL, [1, 0], &good)), Err(End::Invalid));
    }

    #[test]
    fn fragments_flags_and_frames_of_agents_are_refused_and_unknown_ones_left_out() {
        assert_eq!(read(&frame(NOTIFY, 0, [1, 1], b"")), Err(End::Fragmented));
        assert_eq!(read(&frame(UNSET, FINAL, [1, 1], b"")), Err(End::Fragmented));
        assert_eq!(read(&frame(NOTIFY, FINAL | 2, [1, 1], b"")), Err(End::Invalid));
        assert_eq!(read(&frame(NOTIFY, FINAL | 1 << 31, [1, 1], b"")), Err(End::Invalid));
        assert_eq!(read(&frame(ACK, FINAL, [1, 1], b"")), Err(End::Invalid));
        assert_eq!(read(&frame(77, FINAL, [1, 1], b"x")), Ok(Frame::Unknown));
        assert_eq!(read(&frame(HAPROXY_DISCONNECT, FINAL, [0, 0], b"x")), Ok(Frame::Disconnect));
        let whole = frame(NOTIFY, FINAL, [3000, 1], b"");
        for end in 0..whole.len() {
            assert_eq!(read(&whole[..end]), Err(End::Invalid), "{end}");
        }
    }

    #[test]
    fn messages_are_read_to_the_last_byte() {
        let mut payload = Vec::new();
        put_string(&mut payload, b"request");
        payload.push(2);
        put_item(&mut payload, "a", Value::Int64(7));
        put_item(&mut payload, "b", Value::Null);
        let messages = |payload: &[u8]| match read(&frame(NOTIFY, FINAL, [5, 6], payload)) {
            Ok(Frame::Notify(notify)) => {
                assert_eq!((notify.stream, notify.frame), (5, 6));
                notify.messages().map(|all| all.iter().map(|one| one.arguments.len()).collect::<Vec<_>>())
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(messages(&payload), Ok(vec![2]));
        assert_eq!(messages(&payload.repeat(2)), Ok(vec![2, 2]));
        assert_eq!(messages(&payload.repeat(5)), Err(End::Invalid));
        for end in 1..payload.len() {
            assert_eq!(messages(&payload[..end]), Err(End::Invalid), "{end}");
        }
    }

    #[test]
    fn an_answer_is_no_longer_than_the_other_side_takes() {
        let ack = |most| {
            let mut ack = Ack::new(1, 2);
            ack.set("a", Value::Text(b"bc"));
            ack.finish(most)
        };
        let expected = [0, 0, 0, 16, 103, 0, 0, 0, 1, 1, 2, 1, 3, 2, 1, b'a', 8, 2, b'b', b'c'];
        assert_eq!(ack(16).as_deref(), Some(&expected[..]));
        assert_eq!(ack(15), None);
    }
}
