//! The attack suite against tasks: hostile programs in Python and TypeScript, run by this
//! same binary as `capsule run` runs them, and judged from outside.
//!
//! Owns: the programs, the stage each is played on, and what is expected of it. Refuses
//! to believe a program: whatever it tells, the secrets of the stage must not be in what
//! came out, the stage must be as it was, and the answer must be one line of JSON.
//!
//! Reading order: [`attempt`] is the vocabulary, `attempts` the table (one file a family),
//! [`scene`] the stage, `stages` what some have more on it, [`ran`] one run of the binary,
//! [`judge`] what is expected of every run, `checks` what single attempts need beside that,
//! [`suite`] runs them.

mod attempt;
mod attempts;
mod checks;
mod judge;
mod ran;
mod scene;
mod stages;
pub(crate) mod suite;

pub(crate) use attempts::all;
