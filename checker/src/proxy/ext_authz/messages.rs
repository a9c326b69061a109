//! Messages of Envoy's API that are needed, and of these the fields: envoy/service/auth/v3/{external_auth,attribute_context}.proto and
//! envoy/config/core/v3/{address,base}.proto. What is a string there is bytes here, which are the same on the wire: what a client has sent need not be
//! UTF-8, and is copied nowhere.

use bytes::Bytes;
use prost::Message;

/// What is asked.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct CheckRequest {
    #[prost(message, optional, tag = "1")]
    pub(crate) attributes: Option<Attributes>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Attributes {
    #[prost(message, optional, tag = "1")]
    pub(crate) source: Option<Source>,
    #[prost(message, optional, tag = "4")]
    pub(crate) request: Option<Asked>,
}

/// Who has connected to Envoy (`Peer`).
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Source {
    #[prost(message, optional, tag = "1")]
    pub(crate) address: Option<Address>,
    /// PEM, with the percent signs of a URL.
    #[prost(bytes = "bytes", tag = "5")]
    pub(crate) certificate: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Address {
    /// Another one is of no network.
    #[prost(message, optional, tag = "1")]
    pub(crate) socket_address: Option<SocketAddress>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SocketAddress {
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) address: Bytes,
    #[prost(uint32, tag = "3")]
    pub(crate) port: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Asked {
    #[prost(message, optional, tag = "2")]
    pub(crate) http: Option<HttpRequest>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct HttpRequest {
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) method: Bytes,
    /// Those of one name joined, as a map.
    #[prost(message, repeated, tag = "3")]
    pub(crate) headers: Vec<Entry>,
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) path: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    pub(crate) host: Bytes,
    #[prost(bytes = "bytes", tag = "6")]
    pub(crate) scheme: Bytes,
    /// Bytes of the body that Envoy has got so far; -1 where it does not know.
    #[prost(int64, tag = "9")]
    pub(crate) size: i64,
    #[prost(bytes = "bytes", tag = "10")]
    pub(crate) protocol: Bytes,
    #[prost(bytes = "bytes", tag = "11")]
    pub(crate) body: Bytes,
    #[prost(bytes = "bytes", tag = "12")]
    pub(crate) raw_body: Bytes,
    /// As they came.
    #[prost(message, optional, tag = "13")]
    pub(crate) header_map: Option<HeaderMap>,
}

/// Of a map.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Entry {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct HeaderMap {
    #[prost(message, repeated, tag = "1")]
    pub(crate) headers: Vec<RawHeader>,
}

/// `HeaderValue`, as it comes.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RawHeader {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) value: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) raw_value: Bytes,
}

/// What is answered.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct CheckResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<Status>,
    #[prost(message, optional, tag = "2")]
    pub(crate) denied: Option<Denied>,
    #[prost(message, optional, tag = "3")]
    pub(crate) allowed: Option<Allowed>,
}

/// google/rpc/status.proto; 0 allows.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Status {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
}

/// `DeniedHttpResponse`: what the client gets.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Denied {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<HttpStatus>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) headers: Vec<HeaderOption>,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) body: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct HttpStatus {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
}

/// `OkHttpResponse`: what becomes of the request and its answer.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Allowed {
    #[prost(message, repeated, tag = "2")]
    pub(crate) headers: Vec<HeaderOption>,
    #[prost(string, repeated, tag = "5")]
    pub(crate) headers_to_remove: Vec<String>,
    #[prost(message, repeated, tag = "6")]
    pub(crate) response_headers_to_add: Vec<HeaderOption>,
}

/// `HeaderValueOption`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct HeaderOption {
    #[prost(message, optional, tag = "1")]
    pub(crate) header: Option<Header>,
    /// Whether it stands beside others of its name, or in their place. Envoys that know `append_action` go by this where it is there.
    #[prost(message, optional, tag = "2")]
    pub(crate) append: Option<Append>,
    /// 1: where there is none of its name.
    #[prost(int32, tag = "3")]
    pub(crate) append_action: i32,
}

/// google.protobuf.BoolValue.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Append {
    #[prost(bool, tag = "1")]
    pub(crate) value: bool,
}

/// `HeaderValue`, as it goes.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Header {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}
