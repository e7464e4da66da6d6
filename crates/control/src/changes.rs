//! Every change of every object, for those who treat all kinds alike: garbage collection and the
//! emptying of namespaces.

use std::sync::Arc;
use std::time::Duration;

use ebb_store::{Store, WatchEvent};

use crate::error::Error;
use crate::shared::Shared;
use crate::watch::ended_early;
use crate::{garbage, generic, namespaces, resync};

/// Records per page when everything is read.
const PAGE: usize = 500;
/// Time over which the objects with owners are looked at after a start: nothing hurries, as what
/// went meanwhile is gone already.
const START: Duration = Duration::from_secs(20);

/// Follows the durable store, for ever: reads everything, then every change. A watch that breaks is
/// replaced by reading everything again.
pub(crate) async fn follow_durable(shared: Arc<Shared>) {
    let mut tries = 0;
    loop {
        let ended = durable(&shared, &mut tries).await.err();
        shared.pause(&ended.unwrap_or_else(ended_early), &mut tries).await;
    }
}

async fn durable(shared: &Shared, tries: &mut u32) -> Result<(), Error> {
    shared.garbage.forget();
    let since = read_all(shared).await?;
    shared.garbage.reached(since);
    for key in shared.garbage.keys() {
        shared.garbage.queue.add_after(key.clone(), resync::spread(&key, START));
    }
    for name in namespaces::terminating(shared).await? {
        shared.namespaces.queue.add(name);
    }
    let mut watcher = shared.store.watch("/", since).await?;
    while let Some(event) = watcher.next().await {
        let event = event?;
        *tries = 0;
        shared.garbage.reached(event.version());
        match event {
            WatchEvent::Put { record, .. } => {
                shared.garbage.put(&record);
                shared.namespaces.changed(&record, false);
            }
            WatchEvent::Delete { previous, .. } => {
                shared.garbage.remove(&previous);
                shared.namespaces.changed(&previous, true);
            }
        }
    }
    Ok(())
}

/// Tells garbage collection of every object, and answers the version from which on to watch.
async fn read_all(shared: &Shared) -> Result<u64, Error> {
    let mut since = u64::MAX;
    for kind in shared.config.resources.iter().filter(|kind| kind.durable) {
        let prefix = generic::prefix(kind);
        let mut after: Option<String> = None;
        loop {
            let page = shared.store.scan(&prefix, None, after.as_deref(), PAGE).await?;
            since = since.min(page.version);
            page.records.iter().for_each(|record| shared.garbage.put(record));
            after = page.records.last().map(|record| record.key.clone());
            if !page.more || after.is_none() {
                break;
            }
        }
    }
    if since == u64::MAX {
        since = shared.store.scan("/", None, None, 1).await?.version;
    }
    Ok(since)
}

/// Follows the live store, for ever: what a Pod owned goes with it.
pub(crate) async fn follow_live(shared: Arc<Shared>) {
    let mut tries = 0;
    loop {
        let ended = live(&shared, &*shared.live, &mut tries).await.err();
        shared.pause(&ended.unwrap_or_else(ended_early), &mut tries).await;
    }
}

async fn live(shared: &Shared, live: &dyn Store, tries: &mut u32) -> Result<(), Error> {
    let since = live.scan("/", None, None, 1).await?.version;
    let mut watcher = live.watch("/", since).await?;
    while let Some(event) = watcher.next().await {
        let event = event?;
        *tries = 0;
        if let WatchEvent::Delete { previous, .. } = event {
            shared.garbage.remove(&previous);
        }
    }
    Ok(())
}

/// Works on objects that garbage collection has to look at.
pub(crate) async fn collect(shared: Arc<Shared>) {
    loop {
        let key = shared.garbage.queue.next().await;
        match garbage::look(&shared, &key).await {
            Ok(()) => shared.garbage.queue.done(&key),
            Err(error @ Error::Corrupt { .. }) => {
                tracing::error!(key, %error, "left as it is");
                shared.garbage.queue.done(&key);
            }
            Err(error) => {
                if !error.is_conflict() {
                    tracing::warn!(key, %error, "collecting failed, trying again");
                }
                shared.garbage.queue.retry(&key, |tries| shared.wait(tries));
            }
        }
    }
}

/// Works on namespaces that are being deleted.
pub(crate) async fn empty_namespaces(shared: Arc<Shared>) {
    loop {
        let name = shared.namespaces.queue.next().await;
        match namespaces::look(&shared, &name).await {
            Ok(()) => shared.namespaces.queue.done(&name),
            Err(error) => {
                if !error.is_conflict() {
                    tracing::warn!(name, %error, "emptying a namespace failed, trying again");
                }
                shared.namespaces.queue.retry(&name, |tries| shared.wait(tries));
            }
        }
    }
}
