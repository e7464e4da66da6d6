//! What can go wrong in control.

use ebb_model::{Fault, Kind};

/// A failure inside control. It is retried with backoff, never passed to a user.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The store said no.
    #[error(transparent)]
    Store(#[from] ebb_store::Error),
    /// A stored object is not what its kind looks like.
    #[error("the stored object {key} cannot be read: {source}")]
    Corrupt {
        /// Key of the object.
        key: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Error {
    /// Whether something else changed the object meanwhile: read again and retry at once.
    pub(crate) const fn is_conflict(&self) -> bool {
        matches!(self, Self::Store(ebb_store::Error::Conflict { .. }))
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error.into(),
            Error::Corrupt { .. } => {
                Self::new("STORED_OBJECT_MALFORMED", Kind::Internal, error.to_string())
            }
        }
    }
}
