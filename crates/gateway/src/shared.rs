//! What every connection of the gateway shares.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use ebb_kit::{Clock, Tasks};
use ebb_model::routing::{Endpoint, RouteTable};
use ebb_model::{RevisionKey, Timestamp};

use crate::Activator;
use crate::answer::Answer;
use crate::config::Config;
use crate::ids::Ids;
use crate::revision::{Entry, Revision};
use crate::route::{Table, Target};

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) table: ArcSwap<Table>,
    pub(crate) revisions: Mutex<HashMap<RevisionKey, Arc<Revision>>>,
    pub(crate) routing: Mutex<()>,
    pub(crate) activator: Arc<dyn Activator>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tasks: Tasks,
    pub(crate) ids: Ids,
    /// No more requests on connections that are open: shutdown was called.
    pub(crate) stopping: AtomicBool,
}

impl Shared {
    /// The revision of a key, if anything is known of it.
    pub(crate) fn find(&self, key: &RevisionKey) -> Option<Arc<Revision>> {
        self.revisions.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// The revision of a key, made if nothing is known of it.
    fn revision(&self, key: &RevisionKey) -> Arc<Revision> {
        let mut revisions = self.revisions.lock().unwrap_or_else(PoisonError::into_inner);
        self.revision_in(&mut revisions, key)
    }

    fn revision_in(
        &self,
        revisions: &mut HashMap<RevisionKey, Arc<Revision>>,
        key: &RevisionKey,
    ) -> Arc<Revision> {
        if let Some(known) = revisions.get(key) {
            return Arc::clone(known);
        }
        let made = Revision::new(key.clone(), Arc::clone(&self.clock));
        revisions.insert(key.clone(), Arc::clone(&made));
        made
    }

    /// An instance of a revision takes requests.
    pub(crate) fn add(&self, key: &RevisionKey, endpoint: Endpoint) {
        // Under the lock, so that the revision is not forgotten between.
        let mut revisions = self.revisions.lock().unwrap_or_else(PoisonError::into_inner);
        self.revision_in(&mut revisions, key).add(endpoint);
    }

    /// A request for `host` arrives.
    pub(crate) fn enter(&self, host: &str, now: Timestamp) -> Result<(Target, Entry), Answer> {
        loop {
            let target = self.table.load().pick(host)?;
            if let Some(entry) = target.revision.enter(now) {
                return Ok((target, entry));
            }
            // The routes were replaced since they were read.
        }
    }

    /// Replaces every route, and forgets revisions that nothing depends on any more.
    pub(crate) fn set_routes(&self, routes: RouteTable) {
        // One at a time: what one set of routes forgets another must not have found before.
        let _alone = self.routing.lock().unwrap_or_else(PoisonError::into_inner);
        let table = self.table.load().build(routes, |key| self.revision(key));
        let used: BTreeSet<RevisionKey> = table
            .revisions()
            .map(|(revision, policy)| {
                revision.set_policy(policy);
                revision.key.clone()
            })
            .collect();
        self.table.store(Arc::new(table));
        let mut revisions = self.revisions.lock().unwrap_or_else(PoisonError::into_inner);
        revisions.retain(|key, revision| used.contains(key) || !revision.forget());
    }

    /// Closes connections to instances that idled too long.
    pub(crate) fn sweep(&self) {
        let revisions: Vec<_> = {
            let revisions = self.revisions.lock().unwrap_or_else(PoisonError::into_inner);
            revisions.values().cloned().collect()
        };
        for revision in revisions {
            revision.sweep(&self.config);
        }
    }
}
