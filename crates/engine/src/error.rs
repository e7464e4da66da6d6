//! What can go wrong in an engine.

use ebb_model::{Fault, Kind};

/// A failure of an engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The spec cannot be run.
    #[error("{field}: {message}")]
    Invalid {
        /// Field of the instance spec.
        field: String,
        /// What is wrong and what is allowed.
        message: String,
    },
    /// No such instance or container.
    #[error("there is no {0}")]
    NotFound(String),
    /// This engine cannot do that.
    #[error("this engine cannot {0}")]
    Unsupported(String),
    /// The host has no room.
    #[error("the host has no room: {0}")]
    Exhausted(String),
    /// Events older than what is kept were asked for.
    #[error("events before {oldest} are no longer kept")]
    EventsLost {
        /// Oldest sequence number that is kept.
        oldest: u64,
    },
    /// A platform of this cell runs on this machine already.
    #[error("another ebb runs as the same platform, cell {0}, from a copy of this data directory")]
    CellInUse(String),
    /// A process that does the work is not there.
    #[error("the engine is not available: {0}")]
    Unavailable(String),
    /// The kernel refused a step.
    #[error("{step} failed: {source}")]
    System {
        /// What was being done.
        step: String,
        /// What the kernel said.
        source: std::io::Error,
    },
}

impl Error {
    /// What it means for the caller.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Invalid { .. } | Self::Unsupported(_) => Kind::Invalid,
            Self::NotFound(_) => Kind::NotFound,
            Self::Exhausted(_) => Kind::Exhausted,
            Self::EventsLost { .. } | Self::CellInUse(_) => Kind::Conflict,
            Self::Unavailable(_) => Kind::Unavailable,
            Self::System { .. } => Kind::Internal,
        }
    }

    /// Stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "INSTANCE_SPEC_INVALID",
            Self::NotFound(_) => "INSTANCE_NOT_FOUND",
            Self::Unsupported(_) => "ENGINE_UNSUPPORTED",
            Self::Exhausted(_) => "HOST_EXHAUSTED",
            Self::EventsLost { .. } => "EVENTS_LOST",
            Self::CellInUse(_) => "CELL_IN_USE",
            Self::Unavailable(_) => "ENGINE_UNAVAILABLE",
            Self::System { .. } => "ENGINE_FAILED",
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::new(error.code(), error.kind(), error.to_string())
    }
}
