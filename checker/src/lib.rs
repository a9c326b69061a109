//! The checker's engine: a request in, a verdict out.
//!
//! It does no I/O, reads no clock, and keeps nothing of a request. What can be read in two ways is refused, with its reason: a server
//! behind that reads it the other way is how requests are smuggled and checks are walked past (RFC 9112, section 11.2). What was
//! inspected is byte for byte what is to be forwarded.
#![forbid(unsafe_code)]

pub mod coding;
pub mod content;
pub mod cookies;
pub mod cross_site;
pub mod engine;
pub mod fields;
pub mod forward;
pub mod graphql;
pub mod http1;
mod identity;
pub mod inject;
pub mod json;
pub mod keys;
pub mod multipart;
mod names;
pub mod ocsp;
pub mod patterns;
mod place;
pub mod policy;
pub mod rates;
mod reason;
mod request;
pub mod response;
pub mod schema;
pub mod secret;
pub mod security_headers;
pub mod sensitive;
pub mod state;
pub mod stream;
pub mod target;
mod text;
pub mod tokens;
mod values;
mod verdict;
pub mod xml;

pub use identity::{Identity, IdentityKind};
pub use place::Place;
pub use policy::Policy;
pub use reason::Reason;
pub use request::{Field, Request, Version};
pub use state::State;
pub use text::printable;
pub use verdict::{Action, Check, Evidence, Finding, Headers, Kind, Verdict};
