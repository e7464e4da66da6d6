//! A Route that stands alone: it names Configurations and Revisions that others made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ebb_model::knative::{Configuration, READY, Revision, Route};

use super::{is_ending, remove, wake_owners};
use crate::conditions::Verdict;
use crate::error::Error;
use crate::keys::ServiceKey;
use crate::objects::{self, Changes, Stored};
use crate::shared::Shared;
use crate::{meta, route};

/// What a Route may name, as far as it is there.
struct Named {
    configurations: BTreeMap<String, Configuration>,
    revisions: Vec<Revision>,
}

/// Publishes the route, and says in its status where its requests go.
pub(super) async fn reconcile(
    shared: &Arc<Shared>,
    name: &ServiceKey,
    stored: Stored<Route>,
) -> Result<(), Error> {
    if is_ending(&stored.object.metadata) {
        shared.followers.set(name, BTreeSet::new());
        remove::unroute(shared, name);
        return Ok(());
    }
    let ServiceKey { namespace, name: own } = name;
    shared.followers.set(name, keys(namespace, &stored.object));
    let named = read(shared, namespace, &stored.object).await?;
    let revisions: Vec<&Revision> = named.revisions.iter().collect();
    let assignment = route::assign(&stored.object, |name| named.latest_ready(name), &revisions);
    let url = shared.config.url(namespace, own);
    let status = route::status(&stored.object, &assignment, &url, shared.clock.now());
    let after = Route { status: Some(status), ..stored.object.clone() };
    // Before the status says so: whoever reads that the route is ready is served.
    let entry = route::entry(&after, &assignment, &revisions);
    let moved = shared.routes.set(&shared.config.host(namespace, own), entry);
    wake_owners(shared, moved, None);
    let mut changes = Changes::default();
    changes.put(objects::route_key(namespace, own), Some(&stored), &after)?;
    changes.apply(&*shared.store).await
}

/// Keys of the stored objects that the route names.
fn keys(namespace: &str, route: &Route) -> BTreeSet<String> {
    let targets = route.spec.traffic.iter();
    let keys = targets.filter_map(|t| match (&t.revision_name, &t.configuration_name) {
        (Some(revision), _) => Some(objects::revision_key(namespace, revision)),
        (None, Some(name)) => Some(objects::configuration_key(namespace, name)),
        (None, None) => None,
    });
    keys.collect()
}

async fn read(shared: &Shared, namespace: &str, route: &Route) -> Result<Named, Error> {
    let store = &*shared.store;
    let mut configurations = BTreeMap::new();
    // While a target is missing, what was assigned before stays.
    let before = route.status.iter().flat_map(|status| &status.traffic);
    let given = route.spec.traffic.iter().chain(before);
    let mut names: BTreeSet<String> = given.filter_map(|t| t.revision_name.clone()).collect();
    for name in route.spec.traffic.iter().filter_map(|t| t.configuration_name.as_deref()) {
        let key = objects::configuration_key(namespace, name);
        let Some(stored) = objects::read::<Configuration>(store, &key).await? else { continue };
        let status = stored.object.status.as_ref();
        names.extend(status.and_then(|status| status.latest_ready_revision_name.clone()));
        configurations.insert(name.to_owned(), stored.object);
    }
    let mut revisions = Vec::new();
    for name in names {
        let key = objects::revision_key(namespace, &name);
        revisions.extend(objects::read::<Revision>(store, &key).await?.map(|s| s.object));
    }
    Ok(Named { configurations, revisions })
}

impl Named {
    /// The latest ready revision of a Configuration.
    fn latest_ready(&self, configuration: &str) -> Result<&Revision, Verdict> {
        let found = self.configurations.get(configuration);
        let Some(found) = found else { return Err(route::no_configuration(configuration)) };
        let status = found.status.clone().unwrap_or_default();
        let latest = status.latest_ready_revision_name.as_deref();
        let ready = self.revisions.iter().find(|revision| Some(meta::name(revision)) == latest);
        ready.ok_or_else(|| route::no_revision(&Verdict::of(&status.conditions, READY)))
    }
}
