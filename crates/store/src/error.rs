//! What can go wrong in a store.

use ebb_model::{Fault, Kind};

/// A failure of a store.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A precondition of the commit does not hold.
    #[error("{key} changed meanwhile, exists already, or does not exist")]
    Conflict {
        /// Key of the precondition.
        key: String,
    },
    /// The version asked for is older than what is retained.
    #[error("version {asked} is too old: the oldest that is kept is {oldest}")]
    Compacted {
        /// Version asked for.
        asked: u64,
        /// Oldest version that can still be read.
        oldest: u64,
    },
    /// The version asked for has not been committed yet.
    #[error("version {asked} is in the future: the newest is {newest}")]
    FutureVersion {
        /// Version asked for.
        asked: u64,
        /// Newest version.
        newest: u64,
    },
    /// The commit itself is wrong: a key occurs twice, is empty or too long, or a limit is passed.
    #[error("the commit is not allowed: {0}")]
    InvalidCommit(String),
    /// A stored object is not what its reader expects.
    #[error("the stored object {key} cannot be read: {reason}")]
    Malformed {
        /// Key of the object.
        key: String,
        /// What is wrong with it. Never its content.
        reason: String,
    },
    /// The watcher was too slow for its bounded queue.
    #[error("the watcher did not keep up")]
    Lagged,
    /// No space is left where the store lives.
    #[error("no space is left for the database: {0}")]
    DiskFull(String),
    /// The store cannot be opened, read or written.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// A sealed value cannot be opened with this key.
    #[error("a sealed value does not open with this key: {0}")]
    KeyMismatch(String),
}

impl Error {
    /// What it means for the caller.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Conflict { .. } => Kind::Conflict,
            Self::Compacted { .. } | Self::FutureVersion { .. } | Self::InvalidCommit(_) => {
                Kind::Invalid
            }
            Self::Lagged | Self::Unavailable(_) => Kind::Unavailable,
            Self::DiskFull(_) => Kind::Exhausted,
            Self::KeyMismatch(_) | Self::Malformed { .. } => Kind::Internal,
        }
    }

    /// Stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "CONFLICT",
            Self::Compacted { .. } => "VERSION_TOO_OLD",
            Self::FutureVersion { .. } => "VERSION_IN_FUTURE",
            Self::InvalidCommit(_) => "COMMIT_INVALID",
            Self::Malformed { .. } => "STORED_OBJECT_MALFORMED",
            Self::Lagged => "WATCH_LAGGED",
            Self::DiskFull(_) => "DISK_FULL",
            Self::Unavailable(_) => "STORAGE_UNAVAILABLE",
            Self::KeyMismatch(_) => "KEK_MISMATCH",
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::new(error.code(), error.kind(), error.to_string())
    }
}
