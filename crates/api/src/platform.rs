//! What the door needs from the controllers. Implemented by an adapter over control's handle.

use std::time::Duration;

use async_trait::async_trait;
use ebb_model::scaling::{ColdStartRecord, DecisionRecord};
use ebb_model::{Fault, InstanceId};
use serde::{Deserialize, Serialize};

/// The controllers as the door sees them.
#[async_trait]
pub trait Platform: Send + Sync {
    /// The last decisions and cold requests of a Service; none when it is not known.
    async fn explain(&self, namespace: &str, service: &str) -> Option<Explanation>;

    /// Stops the instance that a Pod shows, if the Pod still has this `uid`. With a `period` it is
    /// ended after that time at the latest; without one as its revision says. Answers when the
    /// stop is under way or done.
    async fn stop_pod(
        &self,
        namespace: &str,
        pod: &str,
        uid: Option<&str>,
        period: Option<Duration>,
    ) -> Result<(), Fault>;

    /// The instance that a Pod shows and the name of its container; none when it is not known.
    async fn instance_of_pod(&self, namespace: &str, pod: &str) -> Option<(InstanceId, String)>;
}

/// Why a Service has the instances that it has, and what its cold requests waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Scaling decisions, newest last.
    pub decisions: Vec<DecisionRecord>,
    /// Cold requests, newest last.
    pub cold_starts: Vec<ColdStartRecord>,
}
