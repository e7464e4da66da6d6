//! Garbage collection: objects whose owners are gone go too, and owners that wait for what they own
//! go when that is gone or let go. What to do is decided by [`ebb_rules::collect`].
//!
//! A graph in memory knows who names whom; it is filled from the stores at start and when a watch
//! broke, and kept by watching. A queue of keys says what to look at; looking reads everything
//! anew, so it can be repeated at any time. What Services and Configurations own is removed by
//! their own reconciler, which ends its requests first; it is only told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ebb_model::knative::API_VERSION;
use ebb_model::{Resource, key};
use ebb_rules::collect::{Action, Dependent, Owner, Propagation, collect};
use ebb_store::{Commit, Precondition, Record, Write};

use crate::error::Error;
use crate::generic::{self, FOREGROUND, Generic, Meta, ORPHAN};
use crate::keys::ServiceKey;
use crate::meta::owning_name;
use crate::objects::{self, ACTOR, SERVING};
use crate::queue::WorkQueue;
use crate::shared::Shared;

mod graph;
mod owners;

/// Dependents that are let go in one commit.
const CHUNK: usize = 1_000;
/// Time in which changes of what an object waits for are taken together.
const TOGETHER: Duration = Duration::from_millis(20);

/// What garbage collection knows and has to do.
pub(crate) struct Garbage {
    graph: graph::Graph,
    /// Version of the durable store up to which the graph knows everything.
    seen: AtomicU64,
    /// Keys of objects to look at.
    pub(crate) queue: WorkQueue<String>,
}

impl Garbage {
    pub(crate) fn new(clock: Arc<dyn ebb_kit::Clock>) -> Self {
        let (graph, seen) = (graph::Graph::default(), AtomicU64::new(0));
        Self { graph, seen, queue: WorkQueue::new(clock) }
    }

    /// Everything will be told anew.
    pub(crate) fn forget(&self) {
        self.seen.store(0, Ordering::Release);
        self.graph.clear();
    }

    /// Everything before this version of the durable store was told, and this is being told.
    pub(crate) fn reached(&self, version: u64) {
        self.seen.fetch_max(version, Ordering::AcqRel);
    }

    /// An object is there, or changed.
    pub(crate) fn put(&self, record: &Record) {
        if !concerns(record) && !self.is_known(&record.key) {
            return;
        }
        let Some(meta) = generic::meta(record) else { return };
        // What the reconcilers remove is found by its name: there is much of it.
        let (moved, waiting) = self.graph.put(&record.key, &meta, !is_managed(&record.key, &meta));
        let marked = meta.deletion_timestamp.is_some();
        if moved || marked {
            self.queue.add(record.key.clone());
        }
        self.wake_waiting(waiting);
    }

    /// An object is gone.
    pub(crate) fn remove(&self, record: &Record) {
        let Some(meta) = generic::meta(record) else { return };
        let (dependents, waiting) = self.graph.remove(&record.key, &meta);
        for key in dependents {
            self.queue.add(key);
        }
        self.wake_waiting(waiting);
    }

    /// What they wait for comes in many small steps, and each look at them reads all of it.
    fn wake_waiting(&self, keys: BTreeSet<String>) {
        for key in keys {
            self.queue.add_after(key, TOGETHER);
        }
    }

    /// Every object that has owners, or waits.
    pub(crate) fn keys(&self) -> BTreeSet<String> {
        self.graph.keys()
    }

    fn is_known(&self, key: &str) -> bool {
        self.graph.knows(key)
    }
}

/// Whether an object can have owners or wait, at a glance: most have nothing to do with any of
/// this, and reading all of them closely would be most of the work.
fn concerns(record: &Record) -> bool {
    let text = std::str::from_utf8(&record.value.data).unwrap_or_default();
    ["\"ownerReferences\"", "\"deletionTimestamp\""].iter().any(|word| text.contains(word))
}

/// Whether it is removed by the reconciler of its Service or Configuration.
pub(crate) fn is_managed(key: &str, meta: &Meta) -> bool {
    let serving = key.starts_with(&format!("/{SERVING}/"));
    serving
        && meta.controller().is_some_and(|owner| {
            owner.api_version == API_VERSION
                && matches!(owner.kind.as_str(), "Service" | "Configuration")
        })
}

/// Does what has to be done about one object now.
pub(crate) async fn look(shared: &Shared, key: &str) -> Result<(), Error> {
    let Some(object) = generic::read(&*shared.store, key).await? else { return Ok(()) };
    let Some(resource) = generic::resource_of(&shared.config.resources, key) else {
        return Ok(());
    };
    let deletion = object.meta.deletion();
    let owners = owners::states(shared, resource, &object).await?;
    let waits = deletion.marked && (deletion.orphan || deletion.foreground);
    if waits && object.version > shared.garbage.seen.load(Ordering::Acquire) {
        // What it owns may not have been told yet, and would be taken for left behind afterwards.
        shared.garbage.queue.add_after(key.to_owned(), TOGETHER);
        return Ok(());
    }
    let dependents = if waits || owners.contains(&Owner::Waiting) {
        dependents(shared, &object, &owners).await?
    } else {
        Vec::new()
    };
    let known: Vec<Dependent> = dependents.iter().map(|(_, dependent)| *dependent).collect();
    let decision = collect(deletion, &owners, &known);
    tracing::debug!(key, action = ?decision.action, why = decision.why, "collected");
    let of = |place: usize| dependents.get(place).map(|(object, _)| object.key.clone());
    match decision.action {
        Action::Keep | Action::Wait(_) => Ok(()),
        Action::Collect(places) => {
            places.into_iter().filter_map(of).for_each(|key| shared.garbage.queue.add(key));
            Ok(())
        }
        Action::LetGo => let_go(shared, object, dependents).await,
        Action::Release => {
            let unchanged = vec![object.unchanged()];
            let write = object.without_finalizer(FOREGROUND).put_or_finish();
            commit(shared, unchanged, vec![write]).await
        }
        Action::Detach(places) => {
            let unchanged = vec![object.unchanged()];
            let write = object.keep_owners(|place, _| !places.contains(&place)).put();
            commit(shared, unchanged, vec![write]).await
        }
        Action::Delete(_) if is_managed(key, &object.meta) => {
            wake(shared, resource, &object);
            Ok(())
        }
        Action::Delete(propagation) => delete(shared, object, propagation).await,
    }
}

/// What names the object as an owner, with what has to be known about it.
async fn dependents(
    shared: &Shared,
    owner: &Generic,
    owners: &[Owner],
) -> Result<Vec<(Generic, Dependent)>, Error> {
    let mut all = Vec::new();
    // Its Service makes such a Configuration again, and the revisions go on as those of the new
    // one.
    let replaced = is_managed(&owner.key, &owner.meta)
        && owner.key.starts_with(&key::all(SERVING, "configurations"))
        && owners.contains(&Owner::Live);
    if replaced {
        return Ok(all);
    }
    let mut keys = shared.garbage.graph.dependents(&owner.meta.uid);
    keys.extend(managed_by(shared, owner).await?);
    for key in keys {
        let Some(object) = generic::read(&*shared.store, &key).await? else { continue };
        let mut names = object.meta.owner_references.iter().filter(|o| o.uid == owner.meta.uid);
        let Some(first) = names.next() else { continue };
        if object.key == owner.key {
            continue;
        }
        let blocks = first.block_owner_deletion == Some(true)
            || names.any(|other| other.block_owner_deletion == Some(true));
        let deletion = object.meta.deletion();
        let waits = deletion.marked && deletion.foreground;
        all.push((object, Dependent { blocks, deleting: deletion.marked, waits }));
    }
    Ok(all)
}

/// Keys of what a Service or Configuration made, as far as the names say.
async fn managed_by(shared: &Shared, owner: &Generic) -> Result<Vec<String>, Error> {
    let namespace = owner.meta.namespace.as_deref().unwrap_or_default();
    let name = &owner.meta.name;
    if owner.key == objects::service_key(namespace, name) {
        let configuration = objects::configuration_key(namespace, name);
        return Ok(vec![configuration, objects::route_key(namespace, name)]);
    }
    if owner.key == objects::configuration_key(namespace, name) {
        let prefix = objects::revision_key(namespace, &format!("{name}-"));
        return Ok(objects::keys(&*shared.store, &prefix).await?.0);
    }
    Ok(Vec::new())
}

/// Takes the owner out of what it owns, then lets it go: at once where that is one commit, so that
/// nobody sees half of it.
async fn let_go(
    shared: &Shared,
    owner: Generic,
    dependents: Vec<(Generic, Dependent)>,
) -> Result<(), Error> {
    let uid = owner.meta.uid.clone();
    let mut dependents = dependents.into_iter().map(|(object, _)| object).peekable();
    let mut owner = Some(owner);
    while owner.is_some() {
        let (mut conditions, mut writes) = (Vec::new(), Vec::new());
        for object in dependents.by_ref().take(CHUNK) {
            conditions.push(object.unchanged());
            writes.push(object.keep_owners(|_, reference| reference.uid != uid).put());
        }
        if dependents.peek().is_none()
            && let Some(owner) = owner.take()
        {
            conditions.push(owner.unchanged());
            writes.push(owner.without_finalizer(ORPHAN).put_or_finish());
        }
        commit(shared, conditions, writes).await?;
    }
    Ok(())
}

async fn delete(shared: &Shared, object: Generic, how: Propagation) -> Result<(), Error> {
    let unchanged = vec![object.unchanged()];
    let object = match how {
        Propagation::Background => object,
        Propagation::Foreground => object.with_finalizer(FOREGROUND),
        Propagation::Orphan => object.with_finalizer(ORPHAN),
    };
    match object.delete(shared.clock.now()) {
        Some(write) => commit(shared, unchanged, vec![write]).await,
        None => Ok(()),
    }
}

/// Has the reconciler of what owns the object look at it.
pub(crate) fn wake(shared: &Shared, resource: &Resource, object: &Generic) {
    let namespace = object.meta.namespace.clone().unwrap_or_default();
    let name = match resource.plural.as_str() {
        "revisions" => owning_name(&object.json),
        _ => Some(object.meta.name.clone()),
    };
    if let Some(name) = name {
        shared.services.add(ServiceKey::new(namespace, name));
    }
}

async fn commit(
    shared: &Shared,
    preconditions: Vec<Precondition>,
    writes: Vec<Write>,
) -> Result<(), Error> {
    let commit = Commit { preconditions, writes, actor: ACTOR.to_owned(), ..Commit::default() };
    shared.store.commit(commit).await?;
    Ok(())
}
