//! Invariants that hold at every moment.

use std::collections::BTreeMap;

use ebb_model::{RevisionKey, key};
use serde_json::Value as Json;

use crate::client::Name;
use crate::daemon::Daemon;
use crate::objects::{SERVING, full_name, scale, text};
use crate::world::World;

/// Instances of a revision at most when it says nothing.
const MAX: u32 = 100;

/// Instances that are asked for by hand at most.
pub(crate) const BY_HAND: u32 = 4;

/// Checks all of them.
pub(crate) fn now(world: &World) {
    world.requests.check();
    world.acked.check(&world.store, &world.trace);
    bounds(world);
    owners(world);
}

/// No revision has more instances than it may. Those that drain or stop are counted apart: they
/// take no requests, and their successors need not wait for them. So are those of which the engine
/// did not say whether it started or stopped them.
fn bounds(world: &World) {
    let Some(daemon) = world.daemon().filter(Daemon::is_up) else { return };
    let mut counts: BTreeMap<RevisionKey, u32> = BTreeMap::new();
    for (id, truth) in world.engine.living() {
        let counts_not = truth.stopping || truth.doubtful;
        if !counts_not && !daemon.plane.is_leaving(&truth.revision, &id) {
            *counts.entry(truth.revision).or_default() += 1;
        }
    }
    for (revision, count) in counts {
        let key = key::object(SERVING, "revisions", &revision.namespace, &revision.name);
        let Some(object) = world.store.object(&key) else { continue };
        let mut max = scale(&object, "max-scale").filter(|max| *max > 0).unwrap_or(MAX);
        // A number set by hand outweighs it.
        let service = text(&object, "/metadata/labels/serving.knative.dev~1configuration");
        if world.was_by_hand(&Name::new(&revision.namespace, service)) {
            max = max.max(BY_HAND);
        }
        if count > max {
            let what = format!("{revision} has {count} instances, and may have {max}");
            world.trace.violation("n <= max", what);
        }
    }
}

/// Nothing has two controllers.
fn owners(world: &World) {
    for resource in ["services", "configurations", "revisions", "routes"] {
        for object in world.store.objects(&key::all(SERVING, resource)) {
            let owners = object["metadata"]["ownerReferences"].as_array();
            let owners = owners.into_iter().flatten();
            let controllers = owners.filter(|owner| owner["controller"] == Json::Bool(true));
            if controllers.count() > 1 {
                let what = format!("{resource} {} has two", full_name(&object));
                world.trace.violation("single owner", what);
            }
            if text(&object, "/metadata/uid").is_empty() {
                let what = format!("{resource} {} has no uid", full_name(&object));
                world.trace.violation("single owner", what);
            }
        }
    }
}
