//! What happens to a sandbox whose time is over.

use serde::{Deserialize, Serialize};

/// What happens when the time of a sandbox is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum OnExpiry {
    /// It ends, and nothing is left of it.
    #[default]
    Delete,
    /// It is paused, and its files are kept as a snapshot.
    Pause,
}
