//! What is in a namespace, and deleting it.

use std::collections::BTreeMap;

use ebb_model::{Resource, key};
use ebb_store::{Commit, Precondition, Write};

use crate::error::Error;
use crate::garbage;
use crate::generic::Generic;
use crate::objects::{self, ACTOR};
use crate::shared::Shared;

/// Objects deleted in one commit.
const CHUNK: usize = 200;

/// What is left in a namespace.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// Number of objects by resource.
    pub(super) objects: BTreeMap<String, usize>,
    /// Number of objects by finalizer.
    pub(super) finalizers: BTreeMap<String, usize>,
}

impl Left {
    pub(super) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    fn count(&mut self, resource: &Resource, finalizers: &[String]) {
        *self.objects.entry(resource.full_name()).or_default() += 1;
        for finalizer in finalizers {
            *self.finalizers.entry(finalizer.clone()).or_default() += 1;
        }
    }
}

/// Deletes what can be deleted now, and says what is left.
pub(super) async fn delete(shared: &Shared, namespace: &str) -> Result<Left, Error> {
    let mut left = Left::default();
    let mut kinds: Vec<&Resource> =
        shared.config.resources.iter().filter(|kind| kind.namespaced && kind.durable).collect();
    // Services first, so that nothing new is made from them and no request comes any more.
    let order = ["services", "routes", "configurations", "revisions"];
    kinds.sort_by_key(|kind| {
        let place = order.iter().position(|plural| *plural == kind.plural);
        (!super::is_serving(&kind.group), place)
    });
    for kind in kinds {
        delete_kind(shared, kind, namespace, &mut left).await?;
    }
    let (pods, _) = objects::keys(&*shared.live, &key::namespaced("", "pods", namespace)).await?;
    if !pods.is_empty() {
        if left.is_empty() {
            // Nobody can ask for their logs any more.
            shared.pods.forget_namespace(namespace);
        }
        left.objects.insert("pods".to_owned(), pods.len());
    }
    Ok(left)
}

/// Deletes the objects of one kind, as far as they let themselves be deleted.
async fn delete_kind(
    shared: &Shared,
    kind: &Resource,
    namespace: &str,
    left: &mut Left,
) -> Result<(), Error> {
    let prefix = key::namespaced(&kind.group, &kind.plural, namespace);
    let mut after: Option<String> = None;
    loop {
        let page = shared.store.scan(&prefix, None, after.as_deref(), CHUNK).await?;
        let (mut preconditions, mut writes) = (Vec::new(), Vec::new());
        for record in &page.records {
            let object = Generic::of(record)?;
            if garbage::is_managed(&object.key, &object.meta) {
                left.count(kind, &object.meta.finalizers);
                garbage::wake(shared, kind, &object);
                continue;
            }
            let unchanged = object.unchanged();
            let finalizers = object.meta.finalizers.clone();
            let write = object.delete(shared.clock.now());
            if !matches!(write, Some(Write::Delete { .. })) {
                left.count(kind, &finalizers);
            }
            if let Some(write) = write {
                preconditions.push(unchanged);
                writes.push(write);
            }
        }
        commit(shared, preconditions, writes).await?;
        after = page.records.last().map(|record| record.key.clone());
        if !page.more || after.is_none() {
            return Ok(());
        }
    }
}

async fn commit(
    shared: &Shared,
    preconditions: Vec<Precondition>,
    writes: Vec<Write>,
) -> Result<(), Error> {
    if !writes.is_empty() {
        let commit = Commit { preconditions, writes, actor: ACTOR.to_owned(), ..Commit::default() };
        shared.store.commit(commit).await?;
    }
    Ok(())
}

/// Removes what was told of the namespace: events are about nothing any more.
pub(super) async fn forget(shared: &Shared, namespace: &str) -> Result<(), Error> {
    shared.events.forget_namespace(namespace);
    for kind in shared.config.resources.iter().filter(|kind| kind.namespaced && !kind.durable) {
        if kind.plural == "pods" {
            continue;
        }
        let prefix = key::namespaced(&kind.group, &kind.plural, namespace);
        let (keys, _) = objects::keys(&*shared.live, &prefix).await?;
        for chunk in keys.chunks(CHUNK) {
            let writes = chunk.iter().map(|key| Write::Delete { key: key.clone() }).collect();
            let commit = Commit { writes, actor: ACTOR.to_owned(), ..Commit::default() };
            shared.live.commit(commit).await?;
        }
    }
    Ok(())
}
