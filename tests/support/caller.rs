//! Who runs the binary.

use crate::sys;

/// Who runs the binary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Caller {
    /// Whoever runs the tests.
    #[default]
    Current,
    /// `nobody`, when the tests run as root; else whoever runs them.
    Unprivileged,
    /// A certain user; the tests must run as root.
    User(u32),
}

impl Caller {
    /// The user to change to, if any.
    pub fn change_to(self) -> Option<u32> {
        match self {
            Self::Current => None,
            Self::Unprivileged if sys::own_user() == 0 => Some(65_534),
            Self::Unprivileged => None,
            Self::User(user) => Some(user),
        }
    }
}
