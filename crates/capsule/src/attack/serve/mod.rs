//! The suite against a server: strangers at its doors. Each attempt gets a server of this
//! binary with a folder of its own, and speaks to it as anybody can: over its socket.
//!
//! Owns: the attempts, and what they must see. Refuses to know: how the server does it.
//!
//! An attempt that cannot fail shows nothing, so most have a wall that can be taken away: the
//! same attempt is then made at a server that was told to let it through, or by somebody who
//! has what a stranger has not, and has to get through (`--walls-down`).
//!
//! Reading order: [`attempt`] is the vocabulary, [`scene`] the server and the keys, [`door`]
//! what a stranger can say, `attempts` the table, [`suite`] makes them.

pub(super) mod attempt;
mod attempts;
mod door;
mod scene;
pub(crate) mod suite;

pub(crate) use attempts::all;
