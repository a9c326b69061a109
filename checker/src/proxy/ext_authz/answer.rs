//! What Envoy is told: that a request may pass and what is to be changed of it, or what the client gets in its place.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message as _;

use super::messages::{Allowed, Append, CheckResponse, Denied, Header, HeaderOption, HttpStatus, Status};
use crate::proxy::exchange::{Beside, Changes};

/// Codes of gRPC that say more than that something is refused.
const PERMISSION_DENIED: i32 = 7;
const UNAUTHENTICATED: i32 = 16;
/// `ADD_IF_ABSENT`.
const IF_ABSENT: i32 = 1;

/// That a request may pass.
pub(super) fn allowed(changes: Changes) -> CheckResponse {
    let header = |(name, value)| option(name, value, Beside::Replaced);
    let of_answer = |(name, value, beside)| option(name, value, beside);
    CheckResponse {
        status: Some(Status { code: 0 }),
        denied: None,
        allowed: Some(Allowed {
            headers: changes.set.into_iter().map(header).collect(),
            headers_to_remove: changes.removed,
            response_headers_to_add: changes.answer.into_iter().map(of_answer).collect(),
        }),
    }
}

/// What the client gets. Of several headers of one name all stand there.
pub(super) fn denied(status: u16, headers: Vec<(String, String)>, body: Vec<u8>) -> CheckResponse {
    let mut options: Vec<HeaderOption> = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let again = options.iter().any(|one| one.header.as_ref().is_some_and(|header| header.key == name));
        options.push(option(name, value, if again { Beside::Kept } else { Beside::Replaced }));
    }
    let code = if status == 401 { UNAUTHENTICATED } else { PERMISSION_DENIED };
    CheckResponse {
        status: Some(Status { code }),
        denied: Some(Denied {
            status: Some(HttpStatus { code: i32::from(status) }),
            headers: options,
            body: body.into(),
        }),
        allowed: None,
    }
}

fn option(key: String, value: String, beside: Beside) -> HeaderOption {
    let (append, append_action) = match beside {
        Beside::Replaced => (Some(Append { value: false }), 0),
        Beside::Kept => (Some(Append { value: true }), 0),
        Beside::Preferred => (None, IF_ABSENT),
    };
    HeaderOption { header: Some(Header { key, value }), append, append_action }
}

/// The message with its prefix, uncompressed.
pub(super) fn framed(message: &CheckResponse) -> Bytes {
    let length = message.encoded_len();
    let mut out = BytesMut::with_capacity(length + 5);
    out.put_u8(0);
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // A buffer that grows has room for it.
    let _ = message.encode(&mut out);
    out.freeze()
}
