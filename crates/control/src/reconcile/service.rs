//! A Service with the Configuration, Route and Revisions that it owns.

use std::collections::BTreeMap;
use std::sync::Arc;

use ebb_model::knative::Service;
use ebb_model::routing::RouteEntry;
use ebb_model::{RevisionKey, scaling};

use super::{bring_up, configuration, remove, wake_owners};
use crate::error::Error;
use crate::events::Subject;
use crate::keys::ServiceKey;
use crate::objects::{self, Changes, Stored};
use crate::plan::{self, Observed, Plan};
use crate::shared::Shared;
use crate::{meta, policy};

/// Makes everything as the service says.
pub(super) async fn reconcile(
    shared: &Arc<Shared>,
    name: &ServiceKey,
    observed: Observed,
) -> Result<(), Error> {
    shared.explain.know_service(name);
    let plan = plan::plan(&observed, &shared.config, || shared.ids.uid(), shared.clock.now());
    let subject = Subject::new("Service", &observed.service.object.metadata);
    publish(shared, name, &subject, &observed, &plan);
    write(shared, &observed, &plan).await?;
    let history = &plan.history;
    configuration::announce(shared, &subject, history);
    if let Some(new) = &history.new_revision {
        bring_up(shared, name, &subject, new, (false, None));
    }
    configuration::collect(shared, name, &observed.revisions, &history.garbage).await
}

/// Says that an object of this kind has the name and is not the service's, and touches nothing.
pub(super) async fn not_owned(
    shared: &Shared,
    name: &ServiceKey,
    service: Stored<Service>,
    (kind, route_taken): (&str, bool),
) -> Result<(), Error> {
    if !route_taken {
        remove::unroute(shared, name);
    }
    let status = Some(plan::taken(&service.object, kind, shared.clock.now()));
    let mut changes = Changes::default();
    if service.object.status != status {
        let key = objects::service_key(&name.namespace, &name.name);
        changes.update(key, service.version, &Service { status, ..service.object })?;
    }
    changes.apply(&*shared.store).await
}

/// Writes what differs, all of it or nothing.
async fn write(shared: &Shared, observed: &Observed, plan: &Plan) -> Result<(), Error> {
    let service = &observed.service;
    let (namespace, name) = (meta::namespace(&service.object), meta::name(&service.object));
    let mut changes = Changes::default();
    configuration::changes(&mut changes, observed.configuration.as_ref(), &plan.history)?;
    if let Some((route, _)) = &plan.routing {
        changes.put(objects::route_key(namespace, name), observed.route.as_ref(), route)?;
    }
    let key = objects::service_key(namespace, name);
    if service.object.status.as_ref() == Some(&plan.status) {
        if !changes.is_empty() {
            changes.unless_changed(key, service.version);
        }
    } else {
        let status = Some(plan.status.clone());
        changes.update(key, service.version, &Service { status, ..service.object.clone() })?;
    }
    changes.apply(&*shared.store).await
}

/// Brings rollouts, instances and routes in line. Instances are made known before requests for
/// them can come, and requests can come before the status says so: whoever reads that the service
/// is ready is served. Only revisions that are stored as ready take requests, so nothing here is
/// ahead of the store but the status.
fn publish(
    shared: &Arc<Shared>,
    name: &ServiceKey,
    subject: &Subject,
    observed: &Observed,
    plan: &Plan,
) {
    let host = shared.config.host(&name.namespace, &name.name);
    let targets = plan.routing.iter().flat_map(|(_, entry)| &entry.targets);
    let mut routed: BTreeMap<&RevisionKey, u8> = BTreeMap::new();
    for target in targets {
        let percent = routed.entry(&target.revision).or_default();
        *percent = percent.saturating_add(target.percent);
    }
    let wanted = scaling::manual(observed.service.object.metadata.annotations.as_ref());
    for stored in &observed.revisions {
        let key = RevisionKey::new(&name.namespace, meta::name(&stored.object));
        if !plan.history.garbage.contains(&key.name) {
            let percent = routed.get(&key);
            let manual = wanted.zip(percent).map(|(all, percent)| policy::share(all, *percent));
            let routed = percent.is_some() || shared.routes.is_routed_by_another(&key, &host);
            bring_up(shared, name, subject, &stored.object, (routed, manual));
        }
    }
    if let Some((_, entry)) = &plan.routing {
        let entry = RouteEntry { stopped: wanted == Some(0), ..entry.clone() };
        wake_owners(shared, shared.routes.set(&host, entry), Some(name));
    }
}
