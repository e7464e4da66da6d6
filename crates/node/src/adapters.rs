//! Small needs of one part, met by the handle of another.

use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use ebb_engine::linux::Linux;
use ebb_images::{Confine, UnpackJob, UnpackReport};
use ebb_model::routing::{ColdRequest, Endpoint, Load, RouteTable};
use ebb_model::{Fault, InstanceId, RevisionKey};

/// The gateway, as control needs it.
pub(crate) struct Plane(pub(crate) ebb_gateway::Handle);

#[async_trait]
impl ebb_control::DataPlane for Plane {
    fn set_routes(&self, routes: RouteTable) {
        self.0.set_routes(routes);
    }

    fn add_endpoint(&self, revision: &RevisionKey, endpoint: Endpoint) {
        self.0.add_endpoint(revision, endpoint);
    }

    async fn drain_endpoint(&self, revision: &RevisionKey, id: &InstanceId, limit: Duration) {
        self.0.drain_endpoint(revision, id, limit).await;
    }

    fn remove_endpoint(&self, revision: &RevisionKey, id: &InstanceId) {
        self.0.remove_endpoint(revision, id);
    }

    fn fail_held(&self, revision: &RevisionKey, code: &str, message: &str) {
        self.0.fail_held(revision, code, message);
    }

    fn load(&self, revision: &RevisionKey) -> Load {
        self.0.load(revision)
    }

    fn in_flight(&self, revision: &RevisionKey, id: &InstanceId) -> u32 {
        self.0.in_flight(revision, id)
    }
}

/// Control, as the gateway needs it. Gateway and control need each other: this end is filled in
/// when control is there; no request is taken before.
#[derive(Default)]
pub(crate) struct Waker(pub(crate) OnceLock<ebb_control::Handle>);

impl ebb_gateway::Activator for Waker {
    fn activate(&self, revision: &RevisionKey) {
        if let Some(control) = self.0.get() {
            control.activate(revision);
        }
    }

    fn cold_request(&self, request: ColdRequest) {
        if let Some(control) = self.0.get() {
            control.cold_request(request);
        }
    }
}

/// Control, as the API needs it.
pub(crate) struct Platform(pub(crate) ebb_control::Handle);

#[async_trait]
impl ebb_api::Platform for Platform {
    async fn explain(&self, namespace: &str, service: &str) -> Option<ebb_api::Explanation> {
        let explanation = self.0.explain(namespace, service)?;
        Some(ebb_api::Explanation {
            decisions: explanation.decisions,
            cold_starts: explanation.cold_starts,
        })
    }

    async fn stop_pod(
        &self,
        namespace: &str,
        pod: &str,
        uid: Option<&str>,
        period: Option<std::time::Duration>,
    ) -> Result<(), Fault> {
        self.0.stop_pod(namespace, pod, uid, period).await
    }

    async fn instance_of_pod(&self, namespace: &str, pod: &str) -> Option<(InstanceId, String)> {
        self.0.instance_of_pod(namespace, pod)
    }
}

/// The engine's confined processes, as images need them.
pub(crate) struct Unpacker(pub(crate) Arc<Linux>);

#[async_trait]
impl Confine for Unpacker {
    async fn unpack(&self, job: UnpackJob) -> Result<UnpackReport, ebb_images::Error> {
        let arguments = [job.compression];
        let descriptors: Vec<OwnedFd> = vec![job.blob, job.target];
        let output =
            self.0.confined(&arguments, descriptors, job.keep).await.map_err(Fault::from)?;
        ebb_images::unpack::report(&output.stdout)
    }
}
