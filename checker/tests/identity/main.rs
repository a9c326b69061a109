//! Who asks, and whether they may: the engine under policies that demand it, with tokens, keys and certificates that are made when they are needed.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod access;
mod credentials;
mod reload;
#[path = "../tokens/sign.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod sign;
mod work;
mod world;
