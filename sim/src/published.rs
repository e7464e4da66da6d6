//! What must hold of routes when they are published.

use std::sync::Arc;

use ebb_model::key;
use ebb_model::routing::RouteTable;
use serde_json::Value as Json;

use crate::objects::{SERVING, ready};
use crate::store::SimStore;
use crate::trace::Trace;

/// Shares sum to 100, and name revisions that are there and ready. A Route that stands alone may
/// name what others remove at any moment, and goes on with the rest: it is looked at when all is
/// at rest.
pub(crate) fn check(routes: &RouteTable, store: &SimStore, trace: &Trace) {
    for (host, entry) in &routes.hosts {
        let object = |resource| {
            store.object(&key::object(SERVING, resource, &entry.namespace, &entry.service))
        };
        let owned = |route: Arc<Json>| !route["metadata"]["ownerReferences"].is_null();
        if object("services").is_none() || !object("routes").is_none_or(owned) {
            continue;
        }
        let sum: u32 = entry.targets.iter().map(|target| u32::from(target.percent)).sum();
        if !entry.targets.is_empty() && sum != 100 {
            trace.violation("traffic weights sum to 100", format!("{host} gives out {sum}"));
        }
        for target in &entry.targets {
            let revision = &target.revision;
            let key = key::object(SERVING, "revisions", &revision.namespace, &revision.name);
            let verdict = store.object(&key).map(|object| ready(&object).0);
            if verdict.as_deref() != Some("True") {
                let what = format!("{host} names {revision}, which is {verdict:?}");
                trace.violation("routes name revisions that are ready", what);
            }
        }
    }
    let shown = routes.hosts.iter().map(|(host, entry)| {
        let targets = entry.targets.iter();
        let targets: Vec<String> =
            targets.map(|target| format!("{}={}", target.revision.name, target.percent)).collect();
        format!("{host}[{}]", targets.join(" "))
    });
    trace.log(format!("routes {}", shown.collect::<Vec<_>>().join(" ")));
}
