//! Python functions in a real CPython in a real jail.
//!
//! The guest is hostile in half of these: it tries, and the test sees what it got.

mod attacks;
mod limits;
mod packages;
mod play;
mod programs;
