//! The only way into control.

use std::sync::Arc;
use std::time::Duration;

use ebb_model::routing::ColdRequest;
use ebb_model::{Fault, InstanceId, Kind, RevisionKey};

use crate::explain::Explanation;
use crate::fleet::effects::perform;
use crate::keys::ServiceKey;
use crate::shared::Shared;

/// Calls into control. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Demand of a revision rose beyond what its instances can take: decides about it at once.
    /// Returns at once, takes no lock that is held while anything else is called, and may be
    /// called for every held request.
    pub fn activate(&self, revision: &RevisionKey) {
        self.shared.fleet.queue.add(revision.clone());
    }

    /// A cold request was answered: keeps where its time went. Returns at once.
    #[allow(clippy::needless_pass_by_value)] // the caller is done with it
    pub fn cold_request(&self, request: ColdRequest) {
        self.shared.explain.cold_request(&request);
    }

    /// The last 50 decisions and 20 cold requests of a service; none when there is no such service.
    pub fn explain(&self, namespace: &str, service: &str) -> Option<Explanation> {
        self.shared.explain.explain(&ServiceKey::new(namespace, service))
    }

    /// Takes the instance behind a pod out of service: no new requests, then its running ones
    /// finish, then it is stopped, then the Pod object goes. Answers when that has begun; whether
    /// it is replaced is decided as always. With a `uid`, only the Pod with that identity. With a
    /// `period`, all of it is over after that time, if not sooner; with none at all the Pod object
    /// goes at once, and the instance is killed.
    ///
    /// # Errors
    /// `POD_NOT_FOUND`.
    #[allow(clippy::unused_async)] // part of the agreed interface: stopping may come to wait
    pub async fn stop_pod(
        &self,
        namespace: &str,
        pod: &str,
        uid: Option<&str>,
        period: Option<Duration>,
    ) -> Result<(), Fault> {
        let found = self.shared.pods.find(namespace, pod);
        let Some(found) = found.filter(|found| uid.is_none_or(|uid| uid == found.uid)) else {
            let message = format!("there is no pod {pod:?} in namespace {namespace:?}");
            return Err(Fault::new("POD_NOT_FOUND", Kind::NotFound, message));
        };
        self.shared.pods.delete(&found.id, period);
        if !found.ended
            && let Some(outstanding) = self.shared.fleet.stop_one(&found.id, period)
        {
            perform(&self.shared, outstanding);
        }
        Ok(())
    }

    /// The instance behind a pod and its container that takes requests. Also for a pod that has
    /// ended and is kept for its logs.
    pub fn instance_of_pod(&self, namespace: &str, pod: &str) -> Option<(InstanceId, String)> {
        let found = self.shared.pods.find(namespace, pod)?;
        Some((found.id, found.container))
    }

    /// Answers when every service was reconciled once and the routes are published.
    pub async fn ready(&self) {
        let mut ready = self.shared.ready.subscribe();
        // The sender lives as long as this handle, so waiting cannot fail.
        let _ = ready.wait_for(|ready| *ready).await;
    }
}
