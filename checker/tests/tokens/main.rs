//! Tokens as a verifier meets them, signed by keys that are made for the test. Each test of what a standard demands names its section.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod bypasses;
mod guard;
mod inspect;
mod jwt;
mod keys;
mod proofs;
mod sign;
