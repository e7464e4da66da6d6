//! What control needs from outside.

use std::time::Duration;

use async_trait::async_trait;
use ebb_model::routing::{Endpoint, Load, RouteTable};
use ebb_model::{InstanceId, RevisionKey};

/// The gateway as control sees it. Implemented by an adapter over the gateway's handle.
#[async_trait]
pub trait DataPlane: Send + Sync {
    /// Replaces every route.
    fn set_routes(&self, routes: RouteTable);

    /// An instance takes requests from now on; held requests are given to it at once.
    fn add_endpoint(&self, revision: &RevisionKey, endpoint: Endpoint);

    /// The instance gets no more requests. Answers when those it works on have ended, or after
    /// `limit`.
    async fn drain_endpoint(&self, revision: &RevisionKey, id: &InstanceId, limit: Duration);

    /// The instance is gone: it gets no more requests, at once.
    fn remove_endpoint(&self, revision: &RevisionKey, id: &InstanceId);

    /// Fails every held request of the revision with 503 and this code and sentence.
    fn fail_held(&self, revision: &RevisionKey, code: &str, message: &str);

    /// What happens at the revision now.
    fn load(&self, revision: &RevisionKey) -> Load;

    /// Requests that the instance works on now.
    fn in_flight(&self, revision: &RevisionKey, id: &InstanceId) -> u32;
}
