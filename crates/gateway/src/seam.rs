//! What the gateway needs from outside.

use ebb_model::RevisionKey;
use ebb_model::routing::ColdRequest;

/// Wakes revisions. Implemented by an adapter over control's handle. Both methods return at once.
pub trait Activator: Send + Sync {
    /// Demand of a revision rose beyond what its ready instances can take now: decide about it
    /// without waiting for the next tick. Called for every request that has to be held.
    fn activate(&self, revision: &RevisionKey);

    /// A cold request was answered.
    fn cold_request(&self, request: ColdRequest);
}
