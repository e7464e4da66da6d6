//! Removing what belonged to something that is gone, and revisions that nothing needs.

use ebb_model::knative::{Configuration, Revision, Route};
use ebb_model::{Reference, RevisionKey};

use super::wake_owners;
use crate::error::Error;
use crate::keys::ServiceKey;
use crate::objects::{self, Changes, Stored};
use crate::shared::Shared;
use crate::{meta, rollout};

/// What is left of a Service or Configuration that is gone.
pub(super) struct Leftovers {
    pub(super) configuration: Option<Stored<Configuration>>,
    pub(super) route: Option<Stored<Route>>,
    pub(super) revisions: Vec<Stored<Revision>>,
    /// No request may come under the name any more.
    pub(super) unroute: bool,
    /// With that, nothing runs under the name: what was remembered about it is of no use.
    pub(super) forget: bool,
}

/// Removes it all: the route first, then its instances when their requests have ended, then the
/// objects. Answers whether nothing is left.
pub(super) async fn leftovers(
    shared: &Shared,
    name: &ServiceKey,
    left: Leftovers,
) -> Result<bool, Error> {
    let ServiceKey { namespace, name: own } = name;
    if left.unroute {
        unroute(shared, name);
    }
    let now = shared.clock.now();
    let mut changes = Changes::default();
    let (mut route_gone, mut gone) = (true, true);
    if let Some(route) = &left.route {
        route_gone = changes.remove(objects::route_key(namespace, own), route, now)?;
    }
    changes.apply(&*shared.store).await?;
    if !revisions(shared, namespace, &left.revisions).await? {
        return Ok(false);
    }
    let mut changes = Changes::default();
    if let Some(configuration) = &left.configuration {
        gone = changes.remove(objects::configuration_key(namespace, own), configuration, now)?;
    }
    changes.apply(&*shared.store).await?;
    if !gone {
        return Ok(false);
    }
    // A route that waits for a finalizer runs nothing.
    if left.forget {
        shared.explain.forget_service(name);
        shared.pods.forget_service(name);
    }
    Ok(route_gone)
}

/// No request comes to the host of that name any more.
pub(super) fn unroute(shared: &Shared, name: &ServiceKey) {
    let changed = shared.routes.remove(&shared.config.host(&name.namespace, &name.name));
    wake_owners(shared, changed, Some(name));
}

/// Removes revisions of which nothing runs any more. Answers whether all of them are gone.
pub(super) async fn revisions(
    shared: &Shared,
    namespace: &str,
    revisions: &[Stored<Revision>],
) -> Result<bool, Error> {
    let mut all_gone = true;
    for stored in revisions {
        all_gone &= revision(shared, namespace, stored).await?;
    }
    Ok(all_gone)
}

async fn revision(
    shared: &Shared,
    namespace: &str,
    stored: &Stored<Revision>,
) -> Result<bool, Error> {
    let key = RevisionKey::new(namespace, meta::name(&stored.object));
    if !is_idle(shared, &key) {
        return Ok(false);
    }
    let mut changes = Changes::default();
    let key_ = objects::revision_key(namespace, &key.name);
    let gone = changes.remove(key_, stored, shared.clock.now())?;
    if gone {
        unpin(shared, &key, &stored.object).await;
    }
    changes.apply(&*shared.store).await?;
    if gone {
        shared.explain.forget_revision(&key);
    }
    Ok(gone)
}

/// Calls off what runs for the revision. Answers whether nothing does any more; otherwise the
/// name that it belongs to is reconciled again when that is so.
pub(crate) fn is_idle(shared: &Shared, revision: &RevisionKey) -> bool {
    shared.rollouts.call_off(revision);
    shared.fleet.retire(revision);
    !shared.rollouts.is_running(revision) && !shared.fleet.has(revision)
}

/// Ends the pins of a revision's images. A failure only delays when space becomes free.
pub(crate) async fn unpin(shared: &Shared, key: &RevisionKey, revision: &Revision) {
    let images = revision.status.iter().flat_map(|status| &status.container_statuses);
    for image in images {
        let Ok(Reference { digest: Some(digest), .. }) = image.image_digest.parse() else {
            continue;
        };
        if let Err(error) = shared.images.unpin(&digest, &rollout::pin_owner(key)).await {
            tracing::warn!(revision = %key, %digest, %error, "the image stays pinned");
        }
    }
}
