//! What is said about scaling: the policy of a revision and the explained decision.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::routing::ColdPhases;

/// How a revision scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScalePolicy {
    /// Instances that always run (`autoscaling.knative.dev/min-scale`).
    pub min: u32,
    /// Instances at most (`autoscaling.knative.dev/max-scale`); 0 means no limit.
    pub max: u32,
    /// Requests that one instance takes at once; 0 means no limit.
    pub concurrency: u32,
    /// Time without demand after which an instance is taken away, in milliseconds
    /// (`autoscaling.knative.dev/window`).
    pub idle_ms: u64,
}

/// A decision about one revision, as `ebb explain` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionRecord {
    /// When it was taken.
    pub at: Timestamp,
    /// Revision that it is about.
    pub revision: String,
    /// Instances that there were, ready or starting.
    pub have: u32,
    /// Instances that are wanted.
    pub want: u32,
    /// Name of the rule that decided, such as `held-requests` or `idle`.
    pub rule: String,
    /// The rule with its inputs, as a sentence.
    pub why: String,
}

/// A cold request, as `ebb explain` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ColdStartRecord {
    /// When the request arrived.
    pub at: Timestamp,
    /// Revision that had no ready instance.
    pub revision: String,
    /// Instance that answered.
    pub instance: String,
    /// Where its time went.
    pub phases: ColdPhases,
}
