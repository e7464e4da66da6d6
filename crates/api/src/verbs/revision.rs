//! What routes do to the deletion of a revision: one that takes requests stays.

use ebb_model::knative::{Route, TrafficTarget};
use serde::Deserialize;
use serde_json::Value;

use crate::context::{Context, Target};
use crate::kinds;
use crate::status::Failure;
use crate::{meta, storage};

/// Routes read at a time.
const CHUNK: usize = 500;

/// Whether the revision may be removed.
///
/// # Errors
/// 409 when a route of its namespace names it or sends requests to it, and stays.
pub(crate) async fn check_unrouted(context: &Context, target: &Target) -> Result<(), Failure> {
    let kind = &kinds::route::KIND;
    let prefix = kind.prefix(target.namespace.as_deref());
    let mut after: Option<String> = None;
    loop {
        let scan = context.app.store(kind).scan(&prefix, None, after.as_deref(), CHUNK).await?;
        for record in &scan.records {
            let object = storage::read(kind, record)?;
            let Ok(route) = Route::deserialize(&object) else { continue };
            if names(&route, target.name()) && stays(context, target, &route).await? {
                let by = meta::text(&object, "name").unwrap_or_default();
                let why = format!(
                    "the route {by:?} sends requests to it: change the traffic of that route, or \
                     of the service that made it, and delete the revision then"
                );
                return Err(Failure::conflict(target.kind, target.name(), &why));
            }
        }
        after = scan.records.last().map(|record| record.key.clone());
        if !scan.more || after.is_none() {
            return Ok(());
        }
    }
}

/// Whether the route outlives this moment: one of a Service that is gone, or going, goes with it.
async fn stays(context: &Context, target: &Target, route: &Route) -> Result<bool, Failure> {
    let kind = &kinds::service::KIND;
    let owners = route.metadata.owner_references.iter().flatten();
    for owner in owners.filter(|owner| owner.controller == Some(true) && owner.kind == kind.kind) {
        let key = kind.key(target.namespace(), &owner.name);
        let record = context.app.store(kind).get(&key).await?;
        let service = record.map(|record| storage::read(kind, &record)).transpose()?;
        let owns = |service: &Value| {
            meta::text(service, "uid") == Some(&owner.uid) && !meta::deleting(service)
        };
        if !service.as_ref().is_some_and(owns) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn names(route: &Route, revision: &str) -> bool {
    let assigned = route.status.iter().flat_map(|status| &status.traffic);
    let is_it = |target: &TrafficTarget| target.revision_name.as_deref() == Some(revision);
    route.spec.traffic.iter().chain(assigned).any(is_it)
}
