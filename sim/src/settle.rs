//! Invariants that hold once no more faults come and some time has passed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ebb_model::key;
use serde_json::Value as Json;

use crate::chance::{Rates, Which};
use crate::check;
use crate::client::Name;
use crate::images::SOUND;
use crate::objects::{SERVING, full_name, image, manual, observed, ready, scale, text, traffic};
use crate::reasons;
use crate::world::World;

/// Time that the platform gets to come to rest: a rollout may take 2 minutes, a failing start is
/// tried again after 5, a request waits for up to 5.
const REST: Duration = Duration::from_mins(40);
/// More than the idle window.
const IDLE: Duration = Duration::from_secs(90);
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_secs(20);

/// Faults stop; then everything has to come right.
pub(crate) async fn settle(world: &Arc<World>) {
    world.trace.log("no more faults");
    world.chance.set(Rates { slow: 100, ..Rates::default() });
    for store in [Which::Disk, Which::Live] {
        world.chance.take_away(store, Duration::ZERO);
    }
    world.up().await;
    let mut complaints = Vec::new();
    for _ in 0..REST.as_secs() / LOOK.as_secs() {
        tokio::time::sleep(LOOK).await;
        if world.daemon().is_none_or(|daemon| !daemon.is_up()) {
            world.kill("by itself");
            world.up().await;
        }
        check::now(world);
        complaints = complain(world);
        if complaints.is_empty() || world.trace.broken() {
            break;
        }
    }
    for (invariant, what) in complaints {
        world.trace.violation(invariant, what);
    }
    if !world.trace.broken() {
        // Some have gone to zero by now, and there is room for others.
        tokio::time::sleep(IDLE).await;
        probe(world).await;
    }
}

/// An invariant, and what breaks it.
pub(crate) type Complaint = (&'static str, String);

/// What is not yet as it has to be.
fn complain(world: &World) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    verdicts(world, &mut complaints);
    reasons::check(world, &mut complaints);
    removed(world, &mut complaints);
    instances(world, &mut complaints);
    routes(world, &mut complaints);
    if world.requests.open() > 0 {
        let what = format!("{} requests are under way", world.requests.open());
        complaints.push(("every request ends", what));
    }
    complaints
}

/// Everything says that it is ready, or why not.
fn verdicts(world: &World, complaints: &mut Vec<Complaint>) {
    for resource in ["services", "configurations", "revisions", "routes"] {
        for object in world.store.objects(&key::all(SERVING, resource)) {
            if !object["metadata"]["deletionTimestamp"].is_null() {
                continue;
            }
            let name = full_name(&object);
            let (status, reason) = ready(&object);
            // The generation of a Revision never changes.
            let seen = resource == "revisions" || observed(&object);
            if !seen || !["True", "False"].contains(&status.as_str()) {
                let what = format!("{resource} {name} says {status:?} {reason}, seen: {seen}");
                complaints.push(("everything is ready or says why not", what));
            }
        }
    }
}

/// What was removed is gone, with all that belonged to it.
fn removed(world: &World, complaints: &mut Vec<Complaint>) {
    for namespace in world.store.objects(&key::all("", "namespaces")) {
        if !namespace["metadata"]["deletionTimestamp"].is_null() && !held(world, &namespace) {
            let what = format!("namespace {}", text(&namespace, "/metadata/name"));
            complaints.push(("what was removed is gone", what));
        }
    }
    for key in world.acked.gone() {
        let Some(object) = world.store.object(&key) else { continue };
        if !has_finalizers(&object) {
            complaints.push(("what was removed is gone", key));
        }
    }
    let objects = world.store.objects("/");
    let uids: BTreeSet<&str> = objects.iter().map(|o| text(o, "/metadata/uid")).collect();
    for object in &objects {
        let owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        let mut owners = owners.map(|owner| text(owner, "/uid")).peekable();
        let owned = owners.peek().is_some();
        if owned && !owners.any(|uid| uids.contains(uid)) && !has_finalizers(object) {
            let what = format!("{} {}", text(object, "/kind"), full_name(object));
            complaints.push(("nothing outlives its owners", what));
        }
    }
}

/// Whether something in the namespace has a finalizer, which is a client's to remove.
fn held(world: &World, namespace: &Json) -> bool {
    let name = text(namespace, "/metadata/name");
    let resources = ["services", "configurations", "revisions", "routes"];
    let prefixes = resources.map(|resource| key::namespaced(SERVING, resource, name));
    let maps = key::namespaced("", "configmaps", name);
    prefixes
        .iter()
        .chain([&maps])
        .any(|prefix| world.store.objects(prefix).iter().any(|object| has_finalizers(object)))
}

fn has_finalizers(object: &Json) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty())
}

/// Every instance belongs to a revision, takes requests if it can, and has a Pod that says so.
fn instances(world: &World, complaints: &mut Vec<Complaint>) {
    let Some(daemon) = world.daemon() else { return };
    let endpoints: BTreeSet<_> = daemon.plane.endpoints().into_iter().map(|(_, id)| id).collect();
    let living = world.engine.living();
    for (id, truth) in &living {
        let name = world.trace.known(id);
        let revision = &truth.revision;
        let key = key::object(SERVING, "revisions", &revision.namespace, &revision.name);
        if world.store.peek(&key).is_none() {
            complaints.push(("no orphan instance", format!("{name} runs without revision")));
        } else if truth.ready && !truth.stopping && !endpoints.contains(id) {
            complaints.push(("a ready instance takes requests", name));
        }
    }
    for id in endpoints.iter().filter(|id| !world.engine.takes(id)) {
        let name = world.trace.known(id);
        complaints.push(("no request to a dead instance", format!("{name} is an endpoint")));
    }
    let pods: BTreeSet<String> =
        living.iter().map(|(id, truth)| id.pod_name(&truth.revision.name)).collect();
    for pod in world.live("pods") {
        let phase = text(&pod, "/status/phase");
        let ended = ["Succeeded", "Failed"].contains(&phase);
        if !ended && !pods.contains(text(&pod, "/metadata/name")) {
            complaints.push(("a Pod shows an instance", format!("{} is {phase}", full_name(&pod))));
        }
        let service = &pod["metadata"]["labels"]["serving.knative.dev/configuration"];
        let service = service.as_str().unwrap_or_default();
        let namespace = text(&pod, "/metadata/namespace");
        let exists = ["services", "configurations"].iter().any(|resource| {
            world.store.peek(&key::object(SERVING, resource, namespace, service)).is_some()
        });
        // A revision may outlive its configuration when that was deleted without it.
        let revision = text(&pod, "/metadata/labels/serving.knative.dev~1revision");
        let key = key::object(SERVING, "revisions", namespace, revision);
        let exists = exists || world.store.peek(&key).is_some();
        if !exists {
            complaints.push(("no Pod outlives its service", full_name(&pod)));
        }
    }
    enough(world, complaints);
    by_hand(world, complaints);
}

/// A Service that is ready and scaled by hand has exactly as many instances as it should.
fn by_hand(world: &World, complaints: &mut Vec<Complaint>) {
    let living = world.engine.living();
    for service in world.store.objects(&key::all(SERVING, "services")) {
        let deleted = !service["metadata"]["deletionTimestamp"].is_null();
        let Some(count) = manual(&service).filter(|_| ready(&service).0 == "True" && !deleted)
        else {
            continue;
        };
        let namespace = text(&service, "/metadata/namespace");
        let mut shares: BTreeMap<String, u64> = BTreeMap::new();
        for (revision, percent) in traffic(&service).into_iter().filter(|(_, share)| *share > 0) {
            *shares.entry(revision).or_default() += percent;
        }
        for (name, percent) in shares {
            let revision = world.store.object(&key::object(SERVING, "revisions", namespace, &name));
            let revision = revision.unwrap_or_default();
            if !SOUND.contains(&image(&revision)) || !needs_nothing(&revision) {
                continue;
            }
            let own = living.iter().filter(|(_, truth)| {
                let key = &truth.revision;
                !truth.stopping && key.name == name && key.namespace == namespace
            });
            let (have, want) = (own.count() as u64, (count * percent).div_ceil(100));
            if have != want {
                let what = format!("{namespace}/{name} has {have} instances, and wants {want}");
                complaints.push(("a number set by hand is exact", what));
            }
        }
    }
}

/// A revision that takes requests has as many instances as it wants at least.
fn enough(world: &World, complaints: &mut Vec<Complaint>) {
    let living = world.engine.living();
    for (name, revision) in routed(world) {
        let min = scale(&revision, "min-scale").unwrap_or(0);
        let max = scale(&revision, "max-scale").filter(|max| *max > 0).unwrap_or(u32::MAX);
        let namespace = text(&revision, "/metadata/namespace");
        let service = text(&revision, "/metadata/labels/serving.knative.dev~1configuration");
        let service = world.store.object(&Name::new(namespace, service).key());
        let by_hand = service.is_some_and(|service| manual(&service).is_some());
        if by_hand || !SOUND.contains(&image(&revision)) || !needs_nothing(&revision) {
            continue;
        }
        let own = living.iter().filter(|(_, truth)| {
            let key = &truth.revision;
            !truth.stopping && key.name == name && key.namespace == namespace
        });
        let count = u32::try_from(own.count()).unwrap_or(u32::MAX);
        if count < min.min(max) {
            let what = format!("{namespace}/{name} has {count} instances, and wants {min}");
            complaints.push(("min <= n", what));
        }
    }
}

/// Revisions that take a share of requests, by name.
fn routed(world: &World) -> Vec<(String, Arc<Json>)> {
    let services = world.store.objects(&key::all(SERVING, "services"));
    let ready = services.iter().filter(|object| ready(object).0 == "True");
    let routed = ready.flat_map(|object| {
        let namespace = text(object, "/metadata/namespace").to_owned();
        traffic(object).into_iter().filter(|(_, share)| *share > 0).map(move |(name, _)| {
            let key = key::object(SERVING, "revisions", &namespace, &name);
            (name, key)
        })
    });
    routed.filter_map(|(name, key)| Some((name, world.store.object(&key)?))).collect()
}

/// Whether nothing else has to be there for it to start.
fn needs_nothing(revision: &Json) -> bool {
    revision["spec"]["containers"][0]["env"].is_null()
}

/// Routes are those of Services and Routes that are there, each with a host of its own, and of tags
/// with theirs.
fn routes(world: &World, complaints: &mut Vec<Complaint>) {
    let Some(daemon) = world.daemon() else { return };
    let table = daemon.plane.routes();
    for entry in table.hosts.values() {
        let exists = ["services", "routes"].iter().any(|resource| {
            let key = key::object(SERVING, resource, &entry.namespace, &entry.service);
            world.store.peek(&key).is_some()
        });
        if !exists {
            let what = format!("{}/{}", entry.namespace, entry.service);
            complaints.push(("no route outlives its service", what));
        }
    }
    let mut hosts = BTreeMap::new();
    for service in served(world) {
        let host = host(&service);
        if let Some(other) = hosts.insert(host.clone(), full_name(&service)) {
            complaints.push(("hosts are unique", format!("{host} is that of {other}, too")));
        }
        let want: BTreeSet<(String, u64)> =
            traffic(&service).into_iter().filter(|(_, share)| *share > 0).collect();
        let entry = table.hosts.get(&host);
        let have = entry.into_iter().flat_map(|entry| &entry.targets);
        let have: BTreeSet<(String, u64)> =
            have.map(|t| (t.revision.name.clone(), u64::from(t.percent))).collect();
        let sum: u32 =
            entry.into_iter().flat_map(|e| &e.targets).map(|t| u32::from(t.percent)).sum();
        if sum != 100 {
            let what = format!("{host} gives out {sum}");
            complaints.push(("traffic weights sum to 100", what));
        }
        for (name, _) in &have {
            let namespace = text(&service, "/metadata/namespace");
            let revision = world.store.object(&key::object(SERVING, "revisions", namespace, name));
            if revision.is_none_or(|revision| ready(&revision).0 != "True") {
                complaints.push(("routes name revisions that are ready", name.clone()));
            }
        }
        if want != have {
            let what = format!("{}: says {want:?}, publishes {have:?}", full_name(&service));
            complaints.push(("routes are what the status says", what));
        }
        let asked = service["spec"]["traffic"].as_array().into_iter().flatten();
        for tag in asked.map(|target| text(target, "/tag")).filter(|tag| !tag.is_empty()) {
            let tagged = format!("{tag}-{host}");
            if !table.hosts.contains_key(&tagged) {
                let what = format!("{} has none for {tag}", full_name(&service));
                complaints.push(("a tag has a host of its own", what));
            }
        }
    }
}

/// Services that are ready, and Routes that no Service owns.
fn served(world: &World) -> Vec<Arc<Json>> {
    let mut served = world.store.objects(&key::all(SERVING, "services"));
    let routes = world.store.objects(&key::all(SERVING, "routes"));
    served.extend(routes.into_iter().filter(|r| r["metadata"]["ownerReferences"].is_null()));
    served.retain(|o| ready(o).0 == "True" && o["metadata"]["deletionTimestamp"].is_null());
    served
}

fn host(object: &Json) -> String {
    Name::new(text(object, "/metadata/namespace"), text(object, "/metadata/name")).host()
}

/// Everything that says it is ready answers, from zero or not; unless it was stopped by hand.
async fn probe(world: &Arc<World>) {
    let mut services = served(world);
    services.retain(|service| {
        let namespace = text(service, "/metadata/namespace");
        let sound = |name: &str| {
            let key = key::object(SERVING, "revisions", namespace, name);
            let revision = world.store.object(&key).unwrap_or_default();
            SOUND.contains(&image(&revision)) && needs_nothing(&revision)
        };
        traffic(service).iter().all(|(name, _)| sound(name)) && !follows_stopped(world, service)
    });
    for service in services {
        let host = host(&service);
        let answer = world.serve(&host, Duration::from_millis(5)).await;
        let status = answer.map(|answer| answer.status);
        world.trace.log(format!("probe of {host}: {status:?}"));
        let want = if manual(&service) == Some(0) { 503 } else { 200 };
        if status != Some(want) {
            let what = format!("{host} says that it is ready and answers {status:?}");
            world.trace.violation("a ready service answers", what);
        }
    }
}

/// Whether a Route sends requests to a revision of another Service, which was stopped by hand.
fn follows_stopped(world: &World, route: &Json) -> bool {
    if text(route, "/kind") != "Route" {
        return false;
    }
    let namespace = text(route, "/metadata/namespace");
    traffic(route).iter().any(|(name, _)| {
        let revision = world.store.object(&key::object(SERVING, "revisions", namespace, name));
        let revision = revision.unwrap_or_default();
        let stopped = |resource: &str, label: &str| {
            let name = text(&revision, &format!("/metadata/labels/serving.knative.dev~1{label}"));
            let found = world.store.object(&key::object(SERVING, resource, namespace, name));
            found.is_some_and(|found| manual(&found) == Some(0))
        };
        // A Configuration that outlived its Service stays stopped.
        stopped("services", "service") || stopped("configurations", "configuration")
    })
}
