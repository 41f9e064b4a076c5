//! Owns the tests of the filter: the tables themselves, the compiled program against the
//! tables (`interpreter`), and a filter that the kernel has really loaded (`kernel`).

mod interpreter;
mod kernel;
mod lockdown;
mod sys;
mod tables;
mod translation;
