//! What clients do with other kinds than Services, and with Services in less common ways.

use ebb_model::key;
use serde_json::{Value as Json, json};

use super::{any_template, spawn};
use crate::check::BY_HAND;
use crate::client::{Client, Name};
use crate::objects::{SERVING, text};
use crate::world::World;

/// Names of Configurations and of Routes that nobody owns. Some are those of Services, too.
const CONFIGURATIONS: [&str; 4] = ["solo", "solo", "duo", "a"];
const ROUTES: [&str; 4] = ["front", "front", "side", "b"];
/// Names of `ConfigMaps`; the first is one that templates read.
pub(super) const MAPS: [&str; 3] = ["settings", "x", "y"];
/// Kinds that are removed all at once; those of which everything hangs rarely.
const COLLECTIONS: [&str; 6] =
    ["configmaps", "configmaps", "configurations", "routes", "routes", "services"];

/// One of them, by chance.
pub(super) fn act(world: &World, client: &Client, name: &Name) {
    let namespace = name.namespace.as_str();
    match world.chance.below(16) {
        0..=2 => scale(world, client, name.clone()),
        3 | 4 => apply(world, client, name.clone()),
        5 => tag(world, client, name.clone()),
        6 | 7 => configuration(world, client, namespace),
        8 | 9 => route(world, client, namespace),
        10..=12 => map(world, client, namespace),
        13 | 14 => change(world, client, any(world, namespace)),
        _ if world.chance.one_in(3) => {
            let of = world.chance.pick(&COLLECTIONS);
            let (client, name) = (client.clone(), Name::new(namespace, "").of(of));
            spawn(world, async move { client.delete_collection(&name).await });
        }
        _ => {}
    }
}

/// Any object of these kinds.
fn any(world: &World, namespace: &str) -> Name {
    let chance = &world.chance;
    match chance.below(3) {
        0 => Name::new(namespace, chance.pick(&CONFIGURATIONS)).of("configurations"),
        1 => Name::new(namespace, chance.pick(&ROUTES)).of("routes"),
        _ => Name::new(namespace, chance.pick(&MAPS)).of("configmaps"),
    }
}

/// A number of instances is set by hand, or no longer.
fn scale(world: &World, client: &Client, name: Name) {
    let (client, count) = (client.clone(), world.chance.below(u64::from(BY_HAND) + 1));
    if world.chance.one_in(3) {
        let annotations = json!({"run.googleapis.com/scalingMode": null,
                                 "run.googleapis.com/manualInstanceCount": null});
        let patch = json!({"metadata": {"annotations": annotations}});
        spawn(world, async move { client.patch(&name, patch).await });
    } else {
        spawn(world, async move { client.scale(&name, count).await });
    }
}

/// Two managers apply: one the template, the other an annotation. Sometimes both at once.
fn apply(world: &World, client: &Client, name: Name) {
    let template = any_template(world);
    let which = world.chance.below(3);
    if which < 2 {
        let (client, name) = (client.clone(), name.clone());
        let fields = json!({"spec": {"template": template}});
        spawn(world, async move { client.apply(&name, "one", fields).await });
    }
    if which > 0 {
        let client = client.clone();
        spawn(world, async move { client.apply(&name, "two", json!({})).await });
    }
}

/// A tag is asked for, which has to get a host of its own, or to be refused.
fn tag(world: &World, client: &Client, name: Name) {
    let client = client.clone();
    let patch = json!({"spec": {"traffic": [{"latestRevision": true, "percent": 100,
                                             "tag": "blue"}]}});
    spawn(world, async move { client.patch(&name, patch).await });
}

fn configuration(world: &World, client: &Client, namespace: &str) {
    let name = Name::new(namespace, world.chance.pick(&CONFIGURATIONS)).of("configurations");
    let (client, template) = (client.clone(), any_template(world));
    spawn(world, async move { client.deploy(&name, template).await });
}

/// A Route follows Configurations, which may be a Service's, or names a revision.
fn route(world: &World, client: &Client, namespace: &str) {
    let name = Name::new(namespace, world.chance.pick(&ROUTES)).of("routes");
    let chance = &world.chance;
    let revisions = world.store.objects(&key::namespaced(SERVING, "revisions", namespace));
    let followed = chance.pick(&["solo", "solo", "duo", "a", "b"]);
    let traffic = match chance.below(3) {
        0 if !revisions.is_empty() => {
            let named = chance.pick(&revisions);
            let share = chance.below(101);
            json!([{"revisionName": text(&named, "/metadata/name"), "percent": share},
                   {"configurationName": followed, "percent": 100 - share}])
        }
        _ => json!([{"configurationName": followed, "percent": 100}]),
    };
    let client = client.clone();
    spawn(world, async move { client.put(&name, json!({"spec": {"traffic": traffic}})).await });
}

/// A `ConfigMap`, which may belong to a Service that is there, or to one that never was.
fn map(world: &World, client: &Client, namespace: &str) {
    let chance = &world.chance;
    let name = Name::new(namespace, chance.pick(&MAPS)).of("configmaps");
    let mut fields = json!({"data": {"key": chance.below(1000).to_string()}});
    let mut services = world.store.objects(&key::namespaced(SERVING, "services", namespace));
    // The others are nobody's, so that their writes can be followed.
    let may_be_owned = name == Name::new(namespace, "y").of("configmaps");
    services.retain(|_| may_be_owned);
    let mut owners = Vec::new();
    if !services.is_empty() && chance.one_in(2) {
        for _ in 0..=chance.below(2) {
            let service = chance.pick(&services);
            owners.push(owner(text(&service, "/metadata/name"), text(&service, "/metadata/uid")));
        }
        owners.dedup();
    } else if may_be_owned && chance.one_in(8) {
        owners.push(owner("never", "00000000-0000-4000-8000-000000000000"));
    }
    if !owners.is_empty() {
        fields["metadata"]["ownerReferences"] = json!(owners);
    }
    let client = client.clone();
    spawn(world, async move { client.put(&name, fields).await });
}

fn owner(name: &str, uid: &str) -> Json {
    json!({"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": name, "uid": uid,
           "blockOwnerDeletion": true})
}

/// It is removed, or gets or loses a finalizer.
fn change(world: &World, client: &Client, name: Name) {
    let client = client.clone();
    let policy = world.chance.pick(&["Background", "Foreground", "Orphan"]);
    let finalizers = match world.chance.below(5) {
        0 => json!(["sim.test/wait"]),
        1 => json!(null),
        _ => return spawn(world, async move { client.delete(&name, policy).await }),
    };
    let patch = json!({"metadata": {"finalizers": finalizers}});
    spawn(world, async move { client.patch(&name, patch).await });
}
