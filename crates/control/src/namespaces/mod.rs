//! Namespaces that somebody deleted: emptied, then removed.
//!
//! A marked namespace is looked at until nothing is left in it: what can go is deleted, Services
//! first, so that instances finish their requests; what has finalizers is marked and waited for;
//! Pods go with their instances. The last step is one commit that holds only if nothing was made
//! in between. Every look reads everything anew, so a restart goes on where it was.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ebb_model::key;
use ebb_store::{Commit, Precondition, Record, Write};
use serde_json::json;

use crate::error::Error;
use crate::generic::{self, Generic};
use crate::objects::{ACTOR, SERVING};
use crate::queue::WorkQueue;
use crate::shared::Shared;

mod contents;
mod status;

/// Time between two looks at a namespace that nothing tells of: Pods, and waits of others.
const POLL: Duration = Duration::from_millis(500);
/// The same once that took longer.
const SLOW_POLL: Duration = Duration::from_secs(5);

/// Namespaces that are being deleted.
pub(crate) struct Namespaces {
    pub(crate) queue: WorkQueue<String>,
    /// With the number of looks at each.
    terminating: Mutex<std::collections::BTreeMap<String, u32>>,
}

impl Namespaces {
    pub(crate) fn new(clock: Arc<dyn ebb_kit::Clock>) -> Self {
        Self { queue: WorkQueue::new(clock), terminating: Mutex::default() }
    }

    /// Something changed in the durable store.
    pub(crate) fn changed(&self, record: &Record, removed: bool) {
        let Some((namespace, name)) = key::parse(&record.key) else { return };
        if record.key.starts_with(&prefix()) {
            let marked = generic::meta(record).is_some_and(|m| m.deletion_timestamp.is_some());
            if marked || removed {
                self.queue.add(name.to_owned());
            }
        } else if removed && self.lock().contains_key(namespace) {
            self.queue.add(namespace.to_owned());
        }
    }

    /// Answers how often the namespace was looked at before.
    fn looked(&self, name: &str) -> u32 {
        let mut terminating = self.lock();
        let looks = terminating.entry(name.to_owned()).or_default();
        *looks = looks.saturating_add(1);
        *looks
    }

    fn forget(&self, name: &str) {
        self.lock().remove(name);
    }

    fn lock(&self) -> MutexGuard<'_, std::collections::BTreeMap<String, u32>> {
        self.terminating.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Prefix of the keys of namespaces.
pub(crate) fn prefix() -> String {
    key::namespaced("", "namespaces", "")
}

/// Takes the deletion of a namespace as far as it goes now.
pub(crate) async fn look(shared: &Shared, name: &str) -> Result<(), Error> {
    let key = key::object("", "namespaces", "", name);
    let Some(namespace) = generic::read(&*shared.store, &key).await? else {
        // Whatever was told of it meanwhile goes with it.
        contents::forget(shared, name).await?;
        shared.namespaces.forget(name);
        return Ok(());
    };
    if namespace.meta.deletion_timestamp.is_none() || shared.config.resources.is_empty() {
        return Ok(());
    }
    let looks = shared.namespaces.looked(name);
    let left = contents::delete(shared, name).await?;
    if left.is_empty() {
        return finish(shared, name, namespace).await;
    }
    status::write(shared, namespace, &left).await?;
    let wait = if looks < 20 { POLL } else { SLOW_POLL };
    shared.namespaces.queue.add_after(name.to_owned(), wait);
    Ok(())
}

/// Removes the namespace, if it is still empty. One that has finalizers of others only loses ours.
async fn finish(shared: &Shared, name: &str, mut namespace: Generic) -> Result<(), Error> {
    contents::forget(shared, name).await?;
    let mut preconditions = vec![namespace.unchanged()];
    let durable = shared.config.resources.iter().filter(|kind| kind.namespaced && kind.durable);
    preconditions.extend(
        durable.map(|kind| {
            Precondition::PrefixEmpty(key::namespaced(&kind.group, &kind.plural, name))
        }),
    );
    let write = if namespace.meta.finalizers.is_empty() {
        Write::Delete { key: namespace.key.clone() }
    } else if namespace.json["spec"]["finalizers"] == json!([]) {
        return Ok(());
    } else {
        namespace.json["spec"]["finalizers"] = json!([]);
        namespace.put()
    };
    let writes = vec![write];
    let commit = Commit { preconditions, writes, actor: ACTOR.to_owned(), ..Commit::default() };
    shared.store.commit(commit).await?;
    Ok(())
}

/// Names of namespaces that are being deleted.
pub(crate) async fn terminating(shared: &Shared) -> Result<BTreeSet<String>, Error> {
    let mut names = BTreeSet::new();
    let mut after: Option<String> = None;
    loop {
        let page = shared.store.scan(&prefix(), None, after.as_deref(), 500).await?;
        for record in &page.records {
            let meta = generic::meta(record).unwrap_or_default();
            if meta.deletion_timestamp.is_some() {
                names.insert(meta.name);
            }
        }
        after = page.records.last().map(|record| record.key.clone());
        if !page.more || after.is_none() {
            return Ok(names);
        }
    }
}

/// Whether the kind is one of Knative Serving.
fn is_serving(group: &str) -> bool {
    group == SERVING
}
