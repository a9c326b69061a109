//! The limiter's arithmetic, held against models that are too plain to be wrong.
//!
//! The kernel runs the same source; `tests/tests/vectors` checks that what it makes of it is the same too.
#![cfg(test)]

mod bounds;
mod cells;
mod interleavings;
mod limit;
mod shared;
mod support;
mod threads;
