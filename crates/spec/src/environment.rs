//! Environment variables of a task.

/// Why a text is not an environment assignment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// There is no `=`.
    #[error("{text:?} has no \"=\"")]
    NoAssignment {
        /// What was given.
        text: String,
    },
    /// The name is empty or holds `=` or NUL.
    #[error("{name:?} is not a name of an environment variable")]
    InvalidName {
        /// What was given.
        name: String,
    },
    /// The value holds NUL.
    #[error("the value of {name} holds a NUL byte")]
    InvalidValue {
        /// Whose value.
        name: String,
    },
}

/// Splits `NAME=value`.
///
/// # Errors
/// [`EnvironmentError`] when the text is not an assignment.
pub fn parse_assignment(text: &str) -> Result<(String, String), EnvironmentError> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| EnvironmentError::NoAssignment { text: text.to_owned() })?;
    check(name, value)?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(crate) fn check(name: &str, value: &str) -> Result<(), EnvironmentError> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(EnvironmentError::InvalidName { name: name.to_owned() });
    }
    if value.contains('\0') {
        return Err(EnvironmentError::InvalidValue { name: name.to_owned() });
    }
    Ok(())
}
