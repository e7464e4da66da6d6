//! What wakes the reconcilers: changes in the store.

use std::collections::BTreeSet;
use std::sync::Arc;

use ebb_model::RevisionKey;
use ebb_model::key;
use ebb_model::knative::{LABEL_CONFIGURATION, Revision};
use ebb_store::{Record, WatchEvent};
use serde::Deserialize;

use crate::error::Error;
use crate::keys::ServiceKey;
use crate::objects::{self, SERVING};
use crate::shared::Shared;
use crate::{meta, reconcile, rollout};

/// Every name that anything in the store belongs to, and the version that this is as of.
pub(crate) async fn names(shared: &Shared) -> Result<(BTreeSet<ServiceKey>, u64), Error> {
    let store = &*shared.store;
    let (mut names, mut oldest) = (BTreeSet::new(), u64::MAX);
    for resource in ["services", "configurations", "routes"] {
        let (keys, version) = objects::keys(store, &key::all(SERVING, resource)).await?;
        oldest = oldest.min(version);
        names.extend(keys.iter().filter_map(|key| name_of(key, None)));
    }
    for stored in objects::list::<Revision>(store, &key::all(SERVING, "revisions")).await? {
        if let Some(name) = meta::label(&stored.object.metadata, LABEL_CONFIGURATION) {
            names.insert(ServiceKey::new(meta::namespace(&stored.object), name));
        }
    }
    Ok((names, oldest))
}

/// Follows the changes of every serving object after `since`, for ever. A watch that breaks is
/// replaced by looking at everything again.
pub(crate) async fn run(shared: Arc<Shared>, mut since: u64) {
    let mut tries = 0;
    loop {
        match follow(&shared, &mut since).await {
            Ok(()) => tries = 0,
            Err(error) => shared.pause(&error, &mut tries).await,
        }
        match look_again(&shared).await {
            Ok(version) => since = version,
            Err(error) => shared.pause(&error, &mut tries).await,
        }
    }
}

/// Wakes everything, and ends what runs for revisions whose deletion was missed.
async fn look_again(shared: &Shared) -> Result<u64, Error> {
    let (all, version) = names(shared).await?;
    for name in all.into_iter().chain(shared.explain.services()) {
        shared.services.add(name);
    }
    for revision in shared.fleet.revisions() {
        let key = objects::revision_key(&revision.namespace, &revision.name);
        if shared.store.get(&key).await?.is_none() {
            reconcile::is_idle(shared, &revision);
        }
    }
    Ok(version)
}

async fn follow(shared: &Arc<Shared>, since: &mut u64) -> Result<(), Error> {
    let mut watcher = shared.store.watch(&format!("/{SERVING}/"), *since).await?;
    while let Some(event) = watcher.next().await {
        let event = event?;
        *since = event.version();
        match event {
            WatchEvent::Put { record, .. } => wake(shared, &record),
            WatchEvent::Delete { previous, .. } => {
                forget(shared, &previous).await;
                wake(shared, &previous);
            }
        }
    }
    Ok(())
}

fn wake(shared: &Shared, record: &Record) {
    if let Some(name) = name_of(&record.key, Some(record)) {
        shared.services.add(name);
    }
    for route in shared.followers.of(&record.key) {
        shared.services.add(route);
    }
}

/// A revision that somebody deleted runs no more, and its image need not be kept.
async fn forget(shared: &Shared, record: &Record) {
    if resource(&record.key) != Some("revisions") {
        return;
    }
    let Ok(revision) = objects::decode::<Revision>(&record.key, &record.value.data) else { return };
    let key = RevisionKey::new(meta::namespace(&revision), meta::name(&revision));
    // One with the same name may have been made since; then there is nothing to end.
    if !matches!(objects::read::<Revision>(&*shared.store, &record.key).await, Ok(None)) {
        return;
    }
    reconcile::is_idle(shared, &key);
    reconcile::unpin(shared, &key, &revision).await;
}

fn resource(key: &str) -> Option<&str> {
    key.strip_prefix('/')?.split('/').nth(1)
}

/// The name that the object under `key` belongs to.
fn name_of(key: &str, record: Option<&Record>) -> Option<ServiceKey> {
    #[derive(Deserialize)]
    struct Labelled {
        metadata: ebb_model::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta,
    }
    let (namespace, name) = key::parse(key)?;
    if resource(key)? != "revisions" {
        return Some(ServiceKey::new(namespace, name));
    }
    let object: Labelled = serde_json::from_slice(&record?.value.data).ok()?;
    Some(ServiceKey::new(namespace, meta::label(&object.metadata, LABEL_CONFIGURATION)?))
}

/// Follows secrets or config maps, for ever: what instances are started from may have changed.
pub(crate) async fn sources(shared: Arc<Shared>, resource: &'static str) {
    let mut tries = 0;
    loop {
        if let Err(error) = follow_sources(&shared, resource).await {
            shared.pause(&error, &mut tries).await;
        }
    }
}

async fn follow_sources(shared: &Shared, resource: &str) -> Result<(), Error> {
    let prefix = key::all("", resource);
    let version = shared.store.scan(&prefix, None, None, 1).await?.version;
    let mut watcher = shared.store.watch(&prefix, version).await?;
    // Nobody watched before: the daemon was away, or the watch broke.
    sources_changed(shared, resource, None).await;
    while let Some(event) = watcher.next().await {
        let key = match event? {
            WatchEvent::Put { record, .. } => record.key,
            WatchEvent::Delete { previous, .. } => previous.key,
        };
        if let Some((namespace, _)) = key::parse(&key) {
            sources_changed(shared, resource, Some(namespace)).await;
        }
    }
    Ok(())
}

async fn sources_changed(shared: &Shared, resource: &str, namespace: Option<&str>) {
    shared.fleet.forget_specs(namespace);
    let mut tries = 0;
    while let Err(error) = rollout::cure(shared, resource, namespace).await {
        shared.pause(&error, &mut tries).await;
    }
}
