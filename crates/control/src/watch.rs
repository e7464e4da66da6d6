//! What wakes the reconcilers: changes in the store.

use std::collections::BTreeSet;
use std::sync::Arc;

use ebb_model::RevisionKey;
use ebb_model::key;
use ebb_model::knative::{LABEL_CONFIGURATION, Revision};
use ebb_store::{Record, WatchEvent};
use futures_util::FutureExt as _;
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
        let ended = follow(&shared, since, &mut tries).await.err();
        shared.pause(&ended.unwrap_or_else(ended_early), &mut tries).await;
        // Not without: the rest of a commit of which some was seen is never told again.
        since = loop {
            match look_again(&shared).await {
                Ok(version) => break version,
                Err(error) => shared.pause(&error, &mut tries).await,
            }
        };
    }
}

/// Why a watch ended that told no error: the store is being closed, or will be back.
pub(crate) fn ended_early() -> Error {
    ebb_store::Error::Unavailable("the store ended a watch".to_owned()).into()
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

async fn follow(shared: &Shared, since: u64, tries: &mut u32) -> Result<(), Error> {
    let mut watcher = shared.store.watch(&format!("/{SERVING}/"), since).await?;
    while let Some(event) = watcher.next().await {
        let event = event?;
        *tries = 0;
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
    let mut tries = 0;
    let newer = loop {
        match shared.store.get(&record.key).await {
            Ok(found) => break found,
            Err(error) => shared.pause(&error.into(), &mut tries).await,
        }
    };
    // One with the same name may have been made since; then there is nothing to end.
    if newer.is_some() {
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
        let ended = follow_sources(&shared, resource, &mut tries).await.err();
        shared.pause(&ended.unwrap_or_else(ended_early), &mut tries).await;
    }
}

async fn follow_sources(shared: &Shared, resource: &str, tries: &mut u32) -> Result<(), Error> {
    let prefix = key::all("", resource);
    let version = shared.store.scan(&prefix, None, None, 1).await?.version;
    let mut watcher = shared.store.watch(&prefix, version).await?;
    // Nobody watched before: the daemon was away, or the watch broke.
    sources_changed(shared, resource, None).await;
    while let Some(event) = watcher.next().await {
        *tries = 0;
        let mut namespaces = BTreeSet::from([namespace_of(&event?)]);
        // Those that wait already are looked at together: each look reads every revision there.
        while let Some(Some(event)) = watcher.next().now_or_never() {
            namespaces.insert(namespace_of(&event?));
        }
        for namespace in namespaces.iter().flatten() {
            sources_changed(shared, resource, Some(namespace)).await;
        }
    }
    Ok(())
}

fn namespace_of(event: &WatchEvent) -> Option<String> {
    key::parse(event.key()).map(|(namespace, _)| namespace.to_owned())
}

async fn sources_changed(shared: &Shared, resource: &str, namespace: Option<&str>) {
    shared.fleet.forget_specs(namespace);
    let mut tries = 0;
    while let Err(error) = rollout::cure(shared, resource, namespace).await {
        shared.pause(&error, &mut tries).await;
    }
}
