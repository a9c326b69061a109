//! HAProxy asks: an agent of its stream processing offload engine, over SPOP 2.0 (doc/SPOE.txt of HAProxy 2.6). A question has the request with its body,
//! as far as that is in HAProxy's buffer; the answer sets variables, by which HAProxy's rules refuse or pass on.

mod answer;
mod connection;
mod frame;
mod frames;
mod question;
mod setup;
mod wire;

pub(crate) use connection::serve;
pub(crate) use question::Shown;
pub(crate) use setup::{Spoe, is_among};
