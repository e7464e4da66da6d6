//! What clients do, drawn by chance.

mod kinds;

use std::sync::Arc;
use std::time::Duration;

use ebb_model::key;
use serde_json::{Value as Json, json};

use crate::client::{Client, Name, template};
use crate::images::NAMES;
use crate::objects::{SERVING, text};
use crate::world::World;

/// Names of Services; one is the beginning of another on purpose.
const SERVICES: [&str; 4] = ["a", "b", "a-b", "c"];
/// A Namespace that comes and goes.
const TEAM: &str = "team";
/// A Secret that comes and goes.
const SECRET: &str = "db";

/// Begins something that a client does. It goes on beside whatever else is done.
pub(crate) fn act(world: &Arc<World>, client: &Client) {
    let namespace = if world.chance.one_in(4) { TEAM } else { "default" };
    let name = Name::new(namespace, world.chance.pick(&SERVICES));
    match world.chance.below(30) {
        0..=4 => deploy(world, client, name),
        5 => {
            // Two at once.
            patch(world, client, name.clone());
            patch(world, client, name);
        }
        6 | 7 => patch(world, client, name),
        8 => update(world, client, name),
        9 => split(world, client, name),
        10 | 11 => delete(world, client, name),
        12 => finalizer(world, client, name),
        13 => namespaces(world, client),
        14 => secrets(world, client, namespace),
        15 => pod(world),
        16..=21 => kinds::act(world, client, &name),
        _ => requests(world, &name),
    }
}

fn spawn<T>(world: &World, work: impl Future<Output = T> + Send + 'static) {
    world.tasks.spawn("client", async move { drop(work.await) });
}

/// A template by chance: mostly of an image that works.
fn any_template(world: &World) -> Json {
    let image = if world.chance.one_in(2) { "ok" } else { world.chance.pick(&NAMES) };
    let mut made = template(image);
    let chance = &world.chance;
    if chance.one_in(3) {
        let max = 1 + chance.below(4);
        let min = chance.below(3);
        made["metadata"]["annotations"] = json!({
            "autoscaling.knative.dev/min-scale": min.min(max).to_string(),
            "autoscaling.knative.dev/max-scale": max.to_string(),
        });
    }
    if chance.one_in(3) {
        made["spec"]["containerConcurrency"] = json!(chance.pick(&[0, 1, 5]));
    }
    if chance.one_in(4) {
        made["spec"]["timeoutSeconds"] = json!(30);
    }
    if chance.one_in(6) {
        made["spec"]["containers"][0]["env"] = json!([
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": SECRET, "key": "key"}}},
        ]);
    }
    if chance.one_in(12) {
        made["spec"]["containers"][0]["env"] = json!([
            {"name": "SETTING", "valueFrom": {"configMapKeyRef": {"name": kinds::MAPS[0], "key": "key"}}},
        ]);
    }
    made
}

fn deploy(world: &World, client: &Client, name: Name) {
    let (client, template) = (client.clone(), any_template(world));
    spawn(world, async move { client.deploy(&name, template).await });
}

fn patch(world: &World, client: &Client, name: Name) {
    let (client, template) = (client.clone(), any_template(world));
    spawn(world, async move { client.patch(&name, json!({"spec": {"template": template}})).await });
}

fn update(world: &World, client: &Client, name: Name) {
    let (client, template) = (client.clone(), any_template(world));
    spawn(world, async move {
        client.update(&name, |service| service["spec"]["template"] = template.clone()).await
    });
}

/// Sends a share to a revision that is there.
fn split(world: &World, client: &Client, name: Name) {
    let prefix = key::namespaced(SERVING, "revisions", &name.namespace);
    let revisions = world.store.objects(&prefix);
    let own = revisions.iter().filter(|revision| {
        revision["metadata"]["labels"]["serving.knative.dev/configuration"] == name.name.as_str()
    });
    let names: Vec<String> = own.map(|r| text(r, "/metadata/name").to_owned()).collect();
    let latest = |percent: u64| json!({"latestRevision": true, "percent": percent});
    let traffic = if names.is_empty() || world.chance.one_in(3) {
        json!([latest(100)])
    } else {
        let share = world.chance.below(101);
        let revision = world.chance.pick(&names);
        json!([{"revisionName": revision, "percent": share}, latest(100 - share)])
    };
    let client = client.clone();
    spawn(world, async move { client.patch(&name, json!({"spec": {"traffic": traffic}})).await });
}

fn delete(world: &World, client: &Client, name: Name) {
    let policy = world.chance.pick(&["Background", "Background", "Foreground", "Orphan"]);
    let client = client.clone();
    spawn(world, async move { client.delete(&name, policy).await });
}

/// A client wants to be asked before the Service goes; or no longer.
fn finalizer(world: &World, client: &Client, name: Name) {
    let finalizers = if world.chance.one_in(3) { json!(["sim.test/wait"]) } else { json!(null) };
    let client = client.clone();
    let patch = json!({"metadata": {"finalizers": finalizers}});
    spawn(world, async move { client.patch(&name, patch).await });
}

fn namespaces(world: &World, client: &Client) {
    let client = client.clone();
    if world.chance.one_in(3) {
        spawn(world, async move { client.delete_namespace(TEAM).await });
    } else {
        spawn(world, async move { client.create_namespace(TEAM).await });
    }
}

fn secrets(world: &World, client: &Client, namespace: &'static str) {
    let (client, value) = (client.clone(), world.chance.below(1000).to_string());
    if world.chance.one_in(3) {
        spawn(world, async move { client.delete_secret(namespace, SECRET).await });
    } else {
        spawn(world, async move { client.secret(namespace, SECRET, &value).await });
    }
}

/// Removes a Pod, as an impatient person does.
fn pod(world: &Arc<World>) {
    let pods = world.live("pods");
    if pods.is_empty() {
        return;
    }
    let pod = &world.chance.pick(&pods);
    let (namespace, name) = (text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
    let world_of = world.clone();
    spawn(world, async move {
        let Some(daemon) = world_of.daemon() else { return };
        let reply = daemon.call("DELETE", &path, &Json::Null, None).await;
        // The name of a pod is made of chance: not in the trace.
        world_of.trace.log(format!("DELETE a pod: {}", reply.brief()));
    });
}

/// Requests come: one, some, or a burst.
fn requests(world: &Arc<World>, name: &Name) {
    let count = world.chance.pick(&[1, 1, 3, 20, 120]);
    for _ in 0..count {
        let work = world.chance.time(Duration::from_millis(1500));
        world.request(name.host(), work);
    }
}
