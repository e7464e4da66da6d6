//! What is said about scaling: the policy of a revision and the explained decision.

use std::collections::BTreeMap;

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
    /// Instances that run, whatever happens; none: as many as requests need. It outweighs `min`
    /// and `max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manual: Option<u32>,
}

/// Annotation of a Service: `automatic` or `manual`, as in Cloud Run.
pub const SCALING_MODE: &str = "run.googleapis.com/scalingMode";
/// Annotation of a Service that scales manually: its number of instances.
pub const MANUAL_COUNT: &str = "run.googleapis.com/manualInstanceCount";
/// Value of [`SCALING_MODE`] for a number that stays.
pub const MANUAL: &str = "manual";
/// Value of [`SCALING_MODE`] for as many as requests need; also when it is not there.
pub const AUTOMATIC: &str = "automatic";
/// Largest number of instances that can be asked for.
pub const MANUAL_MAX: u32 = 1000;

/// The number of instances that a Service with these annotations has; none when it scales by
/// itself. Admission refuses annotations that say something else than one of both.
pub fn manual(annotations: Option<&BTreeMap<String, String>>) -> Option<u32> {
    let annotations = annotations?;
    if annotations.get(SCALING_MODE)? != MANUAL {
        return None;
    }
    let count: u32 = annotations.get(MANUAL_COUNT)?.parse().ok()?;
    Some(count.min(MANUAL_MAX))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_number_needs_both_annotations() {
        let given = |pairs: &[(&str, &str)]| {
            let map: BTreeMap<String, String> =
                pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            manual(Some(&map))
        };
        assert_eq!(manual(None), None);
        assert_eq!(given(&[(SCALING_MODE, MANUAL), (MANUAL_COUNT, "3")]), Some(3));
        assert_eq!(given(&[(SCALING_MODE, MANUAL), (MANUAL_COUNT, "0")]), Some(0));
        assert_eq!(given(&[(SCALING_MODE, MANUAL), (MANUAL_COUNT, "5000")]), Some(MANUAL_MAX));
        for none in [
            &[][..],
            &[(SCALING_MODE, MANUAL)],
            &[(MANUAL_COUNT, "3")],
            &[(SCALING_MODE, AUTOMATIC), (MANUAL_COUNT, "3")],
            &[(SCALING_MODE, MANUAL), (MANUAL_COUNT, "x")],
        ] {
            assert_eq!(given(none), None, "{none:?}");
        }
    }
}
