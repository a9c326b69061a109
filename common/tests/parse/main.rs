//! The parser, frame by frame: what it reads, what it refuses and under which reason, and that it reads nothing else.
#![cfg(test)]

mod frames;
mod good;
mod hostile;
mod layout;
mod malformed;
mod truncation;
mod tunnel;
