//! What a script sees: objects in words that do not change with identities and times.

use anyhow::{Result, bail};
use ebb_model::key;
use serde_json::Value as Json;

use crate::objects::{SERVING, full_name, ready, text, traffic};
use crate::world::World;

/// Shows every object of a kind, one line each.
pub(super) fn show(world: &World, what: &str) -> Result<Vec<String>> {
    let mut lines = match what {
        "services" => objects(world, "services", service),
        "revisions" => objects(world, "revisions", verdict),
        "configurations" => objects(world, "configurations", verdict),
        "own-routes" => objects(world, "routes", service),
        "instances" => instances(world),
        "pods" => world.live("pods").iter().map(|pod| show_pod(world, pod)).collect(),
        "events" => events(world),
        "routes" => routes(world),
        "namespaces" => {
            let namespaces = world.store.objects(&key::all("", "namespaces"));
            namespaces.iter().map(|object| text(object, "/metadata/name").to_owned()).collect()
        }
        other => bail!("{other:?} cannot be shown"),
    };
    lines.sort();
    if lines.is_empty() {
        lines.push("none".to_owned());
    }
    Ok(lines)
}

fn objects(world: &World, resource: &str, show: impl Fn(&Json) -> String) -> Vec<String> {
    let objects = world.store.objects(&key::all(SERVING, resource));
    objects.iter().map(|object| show(object)).collect()
}

/// Name, and what `Ready` says.
fn verdict(object: &Json) -> String {
    let (status, reason) = ready(object);
    format!("{} Ready={status} {reason}", full_name(object)).trim_end().to_owned()
}

fn service(object: &Json) -> String {
    let traffic = traffic(object);
    let traffic: Vec<String> =
        traffic.into_iter().map(|(name, percent)| format!("{name}={percent}")).collect();
    let deleted = !object["metadata"]["deletionTimestamp"].is_null();
    let deleted = if deleted { " (being deleted)" } else { "" };
    format!("{} [{}]{deleted}", verdict(object), traffic.join(" "))
}

fn instances(world: &World) -> Vec<String> {
    let living = world.engine.living().into_iter();
    let shown = living.map(|(id, truth)| {
        let state = match truth {
            _ if truth.stopping => "stopping",
            _ if truth.ready => "ready",
            _ => "starting",
        };
        format!("{} {state}", world.trace.known(&id))
    });
    shown.collect()
}

fn show_pod(world: &World, pod: &Json) -> String {
    let waiting = text(pod, "/status/containerStatuses/0/state/terminated/reason");
    let phase = text(pod, "/status/phase");
    let name = world.trace.by_pod(text(pod, "/metadata/name"));
    format!("{name} {phase} {waiting}").trim_end().to_owned()
}

/// Events by what they are about; how often each came depends on chance.
fn events(world: &World) -> Vec<String> {
    let events = world.live("events").into_iter();
    let shown = events.filter(|event| text(event, "/involvedObject/kind") != "Pod").map(|event| {
        let kind = text(&event, "/involvedObject/kind");
        let name = text(&event, "/involvedObject/name");
        let (reason, message) = (text(&event, "/reason"), text(&event, "/message"));
        format!("{kind}/{name} {reason}: {message}")
    });
    let mut lines: Vec<String> = shown.collect();
    lines.sort();
    lines.dedup();
    lines
}

fn routes(world: &World) -> Vec<String> {
    let Some(daemon) = world.daemon() else { return Vec::new() };
    let table = daemon.plane.routes();
    let shown = table.hosts.iter().map(|(host, entry)| {
        let targets = entry.targets.iter();
        let targets: Vec<String> =
            targets.map(|target| format!("{}={}", target.revision.name, target.percent)).collect();
        format!("{host} [{}]", targets.join(" "))
    });
    shown.collect()
}

/// How requests ended since this was asked last.
pub(super) fn answers(world: &World) -> Vec<String> {
    let ended = world.requests.take();
    let mut lines: Vec<String> =
        ended.into_iter().map(|(what, count)| format!("{what} x{count}")).collect();
    if world.requests.open() > 0 {
        lines.push(format!("waiting x{}", world.requests.open()));
    }
    if lines.is_empty() {
        lines.push("none".to_owned());
    }
    lines
}
