//! A Route that stands alone: it names Configurations and Revisions that others made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ebb_model::knative::{Configuration, READY, Revision, Route};
use ebb_model::routing::RouteEntry;
use ebb_model::scaling;

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
    let named = read(shared, name, &stored.object).await?;
    let revisions: Vec<&Revision> = named.revisions.iter().collect();
    let assignment = route::assign(&stored.object, |name| named.latest_ready(name), &revisions);
    let url = shared.config.url(namespace, own);
    let status = route::status(&stored.object, &assignment, &url, shared.clock.now());
    let after = Route { status: Some(status), ..stored.object.clone() };
    // Before the status says so: whoever reads that the route is ready is served.
    let entry = route::entry(&after, &assignment, &revisions);
    // What a Service that was stopped left behind stays stopped.
    let stopped = scaling::manual(after.metadata.annotations.as_ref()) == Some(0);
    let entry = RouteEntry { stopped, ..entry };
    let moved = shared.routes.set(&shared.config.host(namespace, own), entry);
    wake_owners(shared, moved, None);
    let mut changes = Changes::default();
    changes.put(objects::route_key(namespace, own), Some(&stored), &after)?;
    changes.apply(&*shared.store).await
}

/// Reads what the route names, and follows it from before it is read: the Configurations and
/// Revisions of its traffic, and the revisions that those Configurations have ready.
async fn read(shared: &Shared, name: &ServiceKey, route: &Route) -> Result<Named, Error> {
    let (store, namespace) = (&*shared.store, &name.namespace);
    let targets = route.spec.traffic.iter();
    let mut keys: BTreeSet<String> = targets
        .filter_map(|t| match (&t.revision_name, &t.configuration_name) {
            (Some(revision), _) => Some(objects::revision_key(namespace, revision)),
            (None, Some(name)) => Some(objects::configuration_key(namespace, name)),
            (None, None) => None,
        })
        .collect();
    shared.followers.add(name, &keys);
    let mut configurations = BTreeMap::new();
    // While a target is missing, what was assigned before stays.
    let before = route.status.iter().flat_map(|status| &status.traffic);
    let given = route.spec.traffic.iter().chain(before);
    let mut names: BTreeSet<String> = given.filter_map(|t| t.revision_name.clone()).collect();
    for name in route.spec.traffic.iter().filter_map(|t| t.configuration_name.as_deref()) {
        let key = objects::configuration_key(namespace, name);
        let Some(stored) = objects::read::<Configuration>(store, &key).await? else { continue };
        let status = stored.object.status.as_ref();
        let latest = status.and_then(|status| status.latest_ready_revision_name.clone());
        keys.extend(latest.iter().map(|latest| objects::revision_key(namespace, latest)));
        names.extend(latest);
        configurations.insert(name.to_owned(), stored.object);
    }
    shared.followers.set(name, keys);
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
        ready.ok_or_else(|| {
            if found.metadata.deletion_timestamp.is_some() {
                return route::ending_configuration(configuration);
            }
            route::no_revision(&Verdict::of(&status.conditions, READY))
        })
    }
}
