//! What can go wrong while the platform starts.

use ebb_model::{Fault, Kind};

/// A failure to start. Every variant is answered with a code, a sentence and a hint.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong; every fault that was found.
    #[error("the configuration has {} fault(s)", .0.len())]
    Config(Vec<Fault>),
    /// One failure.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Error {
    /// The failures, at least one.
    pub fn faults(self) -> Vec<Fault> {
        match self {
            Self::Config(faults) => faults,
            Self::Fault(fault) => vec![fault],
        }
    }
}

/// A fault of kind Internal for a step that the machine refused.
pub(crate) fn failed(step: &str, error: &dyn std::fmt::Display) -> Fault {
    Fault::new("START_FAILED_PLATFORM", Kind::Internal, format!("{step}: {error}"))
}
