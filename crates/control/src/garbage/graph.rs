//! Who names whom as an owner, as far as anybody does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::generic::Meta;

/// Identities of removed objects that are remembered.
const GONE: usize = 10_000;

/// Objects with owners. Bounded by their number.
#[derive(Default)]
pub(super) struct Graph {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By the identity of an owner: the keys of those that name it.
    dependents: BTreeMap<String, BTreeSet<String>>,
    /// By the key of an object: the identities of its owners.
    owners: BTreeMap<String, BTreeSet<String>>,
    /// Keys of objects that wait for dependents, by their identity.
    waiting: BTreeMap<String, String>,
    /// Identities that are known to be gone, the newest last.
    gone: BTreeSet<String>,
    gone_order: VecDeque<String>,
}

impl Graph {
    /// An object is there, or changed. Only an `indexed` one is found as a dependent later. Answers
    /// whether its owners are others than before, and the keys of those that wait and are
    /// concerned.
    pub(super) fn put(&self, key: &str, meta: &Meta, indexed: bool) -> (bool, BTreeSet<String>) {
        let owners = owners(meta);
        let mut inner = self.lock();
        let deletion = meta.deletion();
        if deletion.marked && (deletion.orphan || deletion.foreground) {
            inner.waiting.insert(meta.uid.clone(), key.to_owned());
        }
        let before = inner.owners.get(key).cloned().unwrap_or_default();
        let concerned = inner.waiting_of(before.union(&owners));
        let moved = inner.link(key, if indexed { owners } else { BTreeSet::new() });
        (moved, concerned)
    }

    /// An object is gone. Answers the keys of its dependents, and of its owners that wait.
    pub(super) fn remove(&self, key: &str, meta: &Meta) -> (BTreeSet<String>, BTreeSet<String>) {
        let mut inner = self.lock();
        let dependents = inner.dependents.get(&meta.uid).cloned().unwrap_or_default();
        let waiting = inner.waiting_of(owners(meta).iter());
        inner.link(key, BTreeSet::new());
        inner.waiting.remove(&meta.uid);
        inner.remember_gone(&meta.uid);
        (dependents, waiting)
    }

    /// Keys of the objects that name this one as an owner.
    pub(super) fn dependents(&self, uid: &str) -> Vec<String> {
        self.lock().dependents.get(uid).into_iter().flatten().cloned().collect()
    }

    /// Every object that has owners or waits for dependents.
    pub(super) fn keys(&self) -> BTreeSet<String> {
        let inner = self.lock();
        inner.owners.keys().chain(inner.waiting.values()).cloned().collect()
    }

    /// Whether the object was there with owners before.
    pub(super) fn knows(&self, key: &str) -> bool {
        self.lock().owners.contains_key(key)
    }

    /// Whether the object with this identity was seen to go.
    pub(super) fn is_gone(&self, uid: &str) -> bool {
        self.lock().gone.contains(uid)
    }

    /// The object with this identity is nowhere.
    pub(super) fn set_gone(&self, uid: &str) {
        self.lock().remember_gone(uid);
    }

    /// Nothing is known any more: everything will be read anew.
    pub(super) fn clear(&self) {
        let mut inner = self.lock();
        inner.dependents.clear();
        inner.owners.clear();
        inner.waiting.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Identities of the owners that an object names.
fn owners(meta: &Meta) -> BTreeSet<String> {
    meta.owner_references.iter().map(|owner| owner.uid.clone()).collect()
}

impl Inner {
    /// Keys of those of these owners that wait for what they own.
    fn waiting_of<'a>(&self, owners: impl Iterator<Item = &'a String>) -> BTreeSet<String> {
        owners.filter_map(|owner| self.waiting.get(owner)).cloned().collect()
    }

    fn link(&mut self, key: &str, owners: BTreeSet<String>) -> bool {
        let before = self.owners.get(key).cloned().unwrap_or_default();
        if before == owners {
            return false;
        }
        for owner in before.difference(&owners) {
            if let Some(keys) = self.dependents.get_mut(owner) {
                keys.remove(key);
                if keys.is_empty() {
                    self.dependents.remove(owner);
                }
            }
        }
        for owner in owners.difference(&before) {
            self.dependents.entry(owner.clone()).or_default().insert(key.to_owned());
        }
        if owners.is_empty() {
            self.owners.remove(key);
        } else {
            self.owners.insert(key.to_owned(), owners);
        }
        true
    }

    fn remember_gone(&mut self, uid: &str) {
        if uid.is_empty() || !self.gone.insert(uid.to_owned()) {
            return;
        }
        self.gone_order.push_back(uid.to_owned());
        if self.gone_order.len() > GONE
            && let Some(oldest) = self.gone_order.pop_front()
        {
            self.gone.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use ebb_model::k8s::apimachinery::pkg::apis::meta::v1::OwnerReference;

    use super::*;

    fn meta(uid: &str, owners: &[&str]) -> Meta {
        let owner = |uid: &&str| OwnerReference { uid: (*uid).to_owned(), ..Default::default() };
        Meta {
            uid: uid.to_owned(),
            owner_references: owners.iter().map(owner).collect(),
            ..Meta::default()
        }
    }

    #[test]
    fn links_follow_what_objects_say_last() {
        let graph = Graph::default();
        assert!(graph.put("/a", &meta("a", &["x", "y"]), true).0);
        assert!(!graph.put("/a", &meta("a", &["x", "y"]), true).0);
        assert!(graph.put("/a", &meta("a", &["y"]), true).0);
        assert!(graph.dependents("x").is_empty());
        assert_eq!(graph.dependents("y"), ["/a"]);
        assert_eq!(graph.remove("/y", &meta("y", &[])).0, BTreeSet::from(["/a".to_owned()]));
        assert!(graph.is_gone("y"));
        let waiting = Meta {
            deletion_timestamp: Some("now".to_owned()),
            finalizers: vec![crate::generic::FOREGROUND.to_owned()],
            ..meta("z", &[])
        };
        let z = BTreeSet::from(["/z".to_owned()]);
        graph.put("/z", &waiting, true);
        assert_eq!(graph.put("/a", &meta("a", &["z"]), true), (true, z.clone()));
        assert_eq!(graph.put("/a", &meta("a", &[]), true), (true, z.clone()), "it let go of it");
        assert_eq!(graph.remove("/a", &meta("a", &["z"])).1, z);
        assert_eq!(graph.put("/b", &meta("b", &["z"]), false), (false, z));
        assert!(graph.dependents("z").is_empty(), "it is found otherwise");
        graph.remove("/z", &meta("z", &[]));
        assert!(graph.keys().is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let graph = Graph::default();
        for n in 0..GONE + 5 {
            graph.set_gone(&n.to_string());
        }
        assert!(!graph.is_gone("4") && graph.is_gone("5"));
        assert_eq!(graph.lock().gone.len(), GONE);
    }
}
