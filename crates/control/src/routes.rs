//! The route table: what the gateway has to know, published whole on every change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ebb_model::RevisionKey;
use ebb_model::routing::{RouteEntry, RouteTable};

use crate::DataPlane;

/// Every route by host. Nothing is published before [`RouteBook::open`], so that a gateway never
/// sees a table that lacks services which are only not read yet.
pub(crate) struct RouteBook {
    data_plane: Arc<dyn DataPlane>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    hosts: BTreeMap<String, Arc<RouteEntry>>,
    /// The hosts whose requests a revision takes a share of.
    by_revision: BTreeMap<RevisionKey, BTreeSet<String>>,
    open: bool,
}

impl RouteBook {
    pub(crate) fn new(data_plane: Arc<dyn DataPlane>) -> Self {
        Self { data_plane, inner: Mutex::default() }
    }

    /// Answers the revisions that the host began or ceased to send requests to.
    pub(crate) fn set(&self, host: &str, entry: RouteEntry) -> BTreeSet<RevisionKey> {
        let mut inner = self.lock();
        if inner.hosts.get(host).map(AsRef::as_ref) == Some(&entry) {
            return BTreeSet::new();
        }
        let changed = inner.point(host, &revisions(&entry));
        inner.hosts.insert(host.to_owned(), Arc::new(entry));
        self.publish(&inner);
        changed
    }

    /// Answers the revisions that the host sent requests to.
    pub(crate) fn remove(&self, host: &str) -> BTreeSet<RevisionKey> {
        let mut inner = self.lock();
        if !inner.hosts.contains_key(host) {
            return BTreeSet::new();
        }
        let changed = inner.point(host, &BTreeSet::new());
        inner.hosts.remove(host);
        self.publish(&inner);
        changed
    }

    /// Whether a host other than `host` sends requests to the revision.
    pub(crate) fn is_routed_by_another(&self, revision: &RevisionKey, host: &str) -> bool {
        let inner = self.lock();
        inner.by_revision.get(revision).into_iter().flatten().any(|other| other != host)
    }

    /// Percent of the requests of the host that the revision takes; none when it is not named.
    pub(crate) fn percent(&self, host: &str, revision: &RevisionKey) -> Option<u8> {
        let inner = self.lock();
        let targets = &inner.hosts.get(host)?.targets;
        let named = targets.iter().filter(|target| target.revision == *revision);
        named.map(|target| target.percent).reduce(u8::saturating_add)
    }

    /// Everything is read: publishes the table, and from now on every change.
    pub(crate) fn open(&self) {
        let mut inner = self.lock();
        inner.open = true;
        self.publish(&inner);
    }

    /// Whether every route is known.
    pub(crate) fn is_open(&self) -> bool {
        self.lock().open
    }

    /// Published under the lock, so that an older table never follows a newer one.
    fn publish(&self, inner: &Inner) {
        if inner.open {
            self.data_plane.set_routes(RouteTable { hosts: inner.hosts.clone() });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Makes `host` point to these revisions only. Answers those for which that is a change.
    fn point(&mut self, host: &str, to: &BTreeSet<RevisionKey>) -> BTreeSet<RevisionKey> {
        let before = self.hosts.get(host).map(|entry| revisions(entry)).unwrap_or_default();
        for revision in before.difference(to) {
            if let Some(hosts) = self.by_revision.get_mut(revision) {
                hosts.remove(host);
                if hosts.is_empty() {
                    self.by_revision.remove(revision);
                }
            }
        }
        for revision in to.difference(&before) {
            self.by_revision.entry(revision.clone()).or_default().insert(host.to_owned());
        }
        before.symmetric_difference(to).cloned().collect()
    }
}

fn revisions(entry: &RouteEntry) -> BTreeSet<RevisionKey> {
    entry.targets.iter().map(|target| target.revision.clone()).collect()
}
