//! Making what instances of a revision are started from: once per revision, ahead of the first
//! request, so that a cold start reads neither the store nor an image.

use std::collections::BTreeMap;
use std::sync::Arc;

use ebb_images::Pull;
use ebb_model::engine::InstanceSpec;
use ebb_model::image::RootFsLayout;
use ebb_model::k8s::api::core::v1::{ConfigMap, Secret};
use ebb_model::knative::{ContainerImage, Revision};
use ebb_model::{Fault, Kind, Reference, RevisionKey, key};
use serde::de::DeserializeOwned;

use crate::env::{self, Sources};
use crate::error::Error;
use crate::failure::Failure;
use crate::fleet::effects::perform;
use crate::instance_spec::{self, Parts};
use crate::shared::Shared;
use crate::{meta, objects};

/// Key in a docker Secret that holds the configuration file.
const DOCKER_CONFIG: &str = ".dockerconfigjson";

/// Makes it in the background and gives it to the fleet.
pub(crate) fn spawn(shared: &Arc<Shared>, revision: RevisionKey, epoch: u64) {
    let shared = shared.clone();
    let tasks = shared.tasks.clone();
    tasks.spawn("control-prepare", async move {
        let made = tokio::select! {
            biased;
            () = shared.shutdown.wait() => return,
            made = read_and_make(&shared, &revision) => made,
        };
        if let Some(outstanding) =
            shared.fleet.prepared(&revision, epoch, made.map_err(Failure::from))
        {
            perform(&shared, outstanding);
        }
    });
}

async fn read_and_make(shared: &Shared, revision: &RevisionKey) -> Result<InstanceSpec, Fault> {
    let _permit = shared.preparing.acquire().await;
    let key = objects::revision_key(&revision.namespace, &revision.name);
    let stored = objects::read::<Revision>(&*shared.store, &key).await?;
    let Some(stored) = stored else {
        let message = format!("the revision {revision} does not exist");
        return Err(Fault::new("REVISION_NOT_FOUND", Kind::NotFound, message));
    };
    make(shared, &stored.object, shared.config.start_timeout.as_millis()).await
}

/// What instances of `revision` are started from. Its images are pulled again where they are no
/// longer complete.
pub(crate) async fn make(
    shared: &Shared,
    revision: &Revision,
    start_timeout_ms: u128,
) -> Result<InstanceSpec, Fault> {
    let mut layouts = Vec::new();
    for image in images(revision)? {
        layouts.push(layout(shared, revision, &image).await?);
    }
    let sources = sources(shared, revision).await?;
    let start_timeout_ms = u64::try_from(start_timeout_ms).unwrap_or(u64::MAX);
    instance_spec::build(Parts { revision, layouts, sources: &sources, start_timeout_ms })
}

/// The pinned image of each container, in the containers' order.
fn images(revision: &Revision) -> Result<Vec<Reference>, Fault> {
    let statuses: &[ContainerImage] =
        revision.status.as_ref().map(|status| &status.container_statuses[..]).unwrap_or_default();
    let find = |container| {
        let name = instance_spec::container_name(container);
        let status = statuses.iter().find(|status| status.name == name);
        let Some(status) = status else {
            let message = format!("the image of container {name:?} was not resolved yet");
            return Err(Fault::new("IMAGE_NOT_FOUND", Kind::Unavailable, message));
        };
        status.image_digest.parse::<Reference>()
    };
    revision.spec.containers.iter().map(find).collect()
}

async fn layout(
    shared: &Shared,
    revision: &Revision,
    image: &Reference,
) -> Result<RootFsLayout, Fault> {
    let namespace = meta::namespace(revision);
    let Some(digest) = &image.digest else {
        let message = format!("{image} is not pinned by digest");
        return Err(Fault::new("IMAGE_NOT_FOUND", Kind::Internal, message));
    };
    match shared.images.layout(namespace, digest).await {
        Ok(layout) => return Ok(layout),
        Err(error) if error.kind() == Kind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let pull = pull(shared, revision, image.clone()).await?;
    shared.images.pull(&pull).await?;
    Ok(shared.images.layout(namespace, digest).await?)
}

/// What to pull for the revision, with the credentials that it names.
pub(crate) async fn pull(
    shared: &Shared,
    revision: &Revision,
    reference: Reference,
) -> Result<Pull, Fault> {
    let namespace = meta::namespace(revision);
    let mut docker_configs = Vec::new();
    for named in &revision.spec.image_pull_secrets {
        let key = key::object("", "secrets", namespace, &named.name);
        let secret = objects::read::<Secret>(&*shared.store, &key).await?;
        let Some(secret) = secret else { return Err(env::secret_missing(&named.name, None)) };
        let data = secret.object.data.unwrap_or_default();
        let Some(config) = data.get(DOCKER_CONFIG) else {
            return Err(env::secret_missing(&named.name, Some(DOCKER_CONFIG)));
        };
        docker_configs.push(config.0.clone());
    }
    Ok(Pull { namespace: namespace.to_owned(), reference, docker_configs })
}

/// The secrets and config maps that the containers name. Missing ones are left out: whether they
/// may be missing is decided where they are used.
async fn sources(shared: &Shared, revision: &Revision) -> Result<Sources, Error> {
    let wanted = env::wanted(&revision.spec.containers);
    let namespace = meta::namespace(revision);
    let secrets: BTreeMap<String, Secret> =
        named(shared, "secrets", namespace, &wanted.secrets).await?;
    let config_maps: BTreeMap<String, ConfigMap> =
        named(shared, "configmaps", namespace, &wanted.config_maps).await?;
    Ok(Sources { secrets, config_maps })
}

async fn named<T: DeserializeOwned>(
    shared: &Shared,
    resource: &str,
    namespace: &str,
    names: &[String],
) -> Result<BTreeMap<String, T>, Error> {
    let mut found = BTreeMap::new();
    for name in names {
        let key = key::object("", resource, namespace, name);
        if let Some(stored) = objects::read::<T>(&*shared.store, &key).await? {
            found.insert(name.clone(), stored.object);
        }
    }
    Ok(found)
}
