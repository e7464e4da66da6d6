//! A controller that keeps many objects as they are written down, beside people who change them.

mod follow;
mod objects;

use std::collections::BTreeMap;
use std::thread;

use anyhow::{Context, Result, ensure};
use ebb_e2e::api::ApiConnection;
use ebb_e2e::http::Response;
use ebb_e2e::{Api, Platform};
use serde_json::{Value, json};

use crate::support::can_run;
use follow::version;
use objects::{KINDS, Kind, LABEL, NAMESPACE};

const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";
/// Every so many objects have one of their applied fields changed by somebody else.
const DRIFTED: usize = 4;
/// Objects of each kind that are not written down and have to go.
const EXTRA: usize = 6;
/// Label of those that go in one request.
const AT_ONCE: &str = "goes=at-once";
/// How often an apply is tried again when the platform wrote a status meanwhile.
const TRIES: usize = 50;

/// The controller: one connection, as a real one keeps.
struct Controller {
    api: ApiConnection,
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// What belongs to another object, as the Configuration of a Service does, goes with that one.
fn owned_by_nobody(object: &Value) -> bool {
    object["metadata"]["ownerReferences"].is_null()
}

fn ok(response: &Response, status: u16) -> Result<Value> {
    ensure!(response.status() == status, "{} {}", response.status(), response.text());
    response.json()
}

impl Controller {
    fn new(api: &Api) -> Result<Self> {
        Ok(Self { api: api.open()? })
    }

    fn apply(&mut self, kind: &Kind, object: &Value, force: bool) -> Result<Response> {
        let query = format!("fieldManager=gitops&force={force}&fieldValidation=Strict");
        let path = format!("{}/{}?{query}", kind.path, name(object));
        self.api.patch(&path, APPLY, object)
    }

    fn merge(&mut self, kind: &Kind, name: &str, patch: &Value) -> Result<Value> {
        let object = format!("{}/{name}?fieldManager=human", kind.path);
        ok(&self.api.patch(&object, MERGE, patch)?, 200)
    }

    fn get(&mut self, kind: &Kind, name: &str) -> Result<Value> {
        self.api.get(&format!("{}/{name}", kind.path))
    }

    /// Applies what is there already, which must change nothing.
    fn apply_unchanged(&mut self, kind: &Kind, object: &Value) -> Result<()> {
        // The platform's own status writes are told from ours by trying again.
        for _ in 0..TRIES {
            let before = self.get(kind, name(object))?;
            let applied = ok(&self.apply(kind, object, false)?, 200)?;
            if version(&before)? == version(&applied)? {
                return Ok(());
            }
            let differs = format!("{}: {before}\n{applied}", name(object));
            ensure!(kind.reconciled, "an apply without a change wrote {differs}");
            let same = before["metadata"]["generation"] == applied["metadata"]["generation"];
            ensure!(same, "an apply without a change made a new generation of {differs}");
        }
        anyhow::bail!("{}: every apply without a change wrote", name(object))
    }

    /// Somebody sets a field that the controller does not apply, and for some objects also one
    /// that it does. The first is left alone and the second is noticed and set back.
    fn drift(&mut self, kind: &Kind, n: usize, object: &Value) -> Result<()> {
        let name = name(object);
        let free = self.merge(kind, name, &(kind.disjoint)())?.pointer(kind.free).cloned();
        self.apply_unchanged(kind, object)?;
        if n.is_multiple_of(DRIFTED) {
            self.merge(kind, name, &(kind.conflicting)())?;
            let refused = ok(&self.apply(kind, object, false)?, 409)?;
            let cause = &refused["details"]["causes"][0];
            ensure!(cause["reason"] == "FieldManagerConflict", "{refused}");
            let message = cause["message"].as_str().unwrap_or_default();
            ensure!(message.contains("human"), "{refused}");
            let field = kind.owned.replace('/', ".");
            ensure!(cause["field"] == field.as_str(), "{field} is not the field of {refused}");
            let forced = ok(&self.apply(kind, object, true)?, 200)?;
            ensure!(forced.pointer(kind.owned) == object.pointer(kind.owned), "{forced}");
            self.apply_unchanged(kind, object)?;
        }
        let now = self.get(kind, name)?;
        ensure!(free.is_some() && now.pointer(kind.free) == free.as_ref(), "{now}");
        Ok(())
    }

    /// Deletes what carries the label and is not written down, some of it all at once.
    fn prune(&mut self, kind: &Kind, kept: &[Value]) -> Result<usize> {
        let collection = format!("{}?labelSelector={LABEL},{AT_ONCE}", kind.path);
        ok(&self.api.send("DELETE", &collection, None)?, 200)?;
        let list = self.api.get(&format!("{}?labelSelector={LABEL}", kind.path))?;
        let items = list["items"].as_array().context("no items")?;
        let kept: Vec<&str> = kept.iter().map(name).collect();
        let extra: Vec<&str> = items
            .iter()
            .filter(|object| owned_by_nobody(object))
            .map(name)
            .filter(|name| !kept.contains(name))
            .collect();
        for name in &extra {
            let body = json!({ "propagationPolicy": "Background" });
            let path = format!("{}/{name}", kind.path);
            let response = self.api.send("DELETE", &path, Some(&body))?;
            ensure!(matches!(response.status(), 200 | 202), "{}", response.text());
        }
        Ok(extra.len())
    }
}

/// Everything that the controller and the others do to one kind.
fn keep(api: &Api, kind: &Kind) -> Result<()> {
    let mut controller = Controller::new(api)?;
    let objects = kind.objects();
    for object in &objects {
        ok(&controller.apply(kind, object, false)?, 201)?;
    }
    for object in &objects {
        controller.apply_unchanged(kind, object)?;
    }
    for n in 0..EXTRA {
        let mut object = kind.object(&format!("{}-extra", kind.name(n)));
        if n % 2 == 0 {
            let (key, value) = AT_ONCE.split_once('=').unwrap_or_default();
            object["metadata"]["labels"][key] = json!(value);
        }
        ok(&controller.apply(kind, &object, false)?, 201)?;
    }
    for (n, object) in objects.iter().enumerate() {
        controller.drift(kind, n, object).with_context(|| name(object).to_owned())?;
    }
    let pruned = controller.prune(kind, &objects)?;
    ensure!(pruned == EXTRA / 2, "{pruned} objects of {} were pruned one by one", kind.path);
    for object in &objects {
        controller.apply_unchanged(kind, object)?;
    }
    ok(&controller.apply(kind, &kind.object(&kind.last()), false)?, 201).map(drop)
}

/// The copy is what a list at the version of its last event shows.
fn compare(api: &Api, kind: &Kind, copy: &follow::Copy) -> Result<()> {
    let at = copy.version;
    let path = format!("{}?resourceVersion={at}&resourceVersionMatch=Exact", kind.path);
    let list = api.get(&path)?;
    ensure!(version(&list)? == at, "the list is of {}, not of {at}", version(&list)?);
    let items = list["items"].as_array().context("no items")?;
    let mut listed: BTreeMap<&str, &Value> = items.iter().map(|o| (name(o), o)).collect();
    for (name, object) in &copy.objects {
        let other = listed.remove(name.as_str());
        // Items of a list do not repeat what the list says of itself.
        let parts = ["metadata", "spec", "data", "status"];
        let same = other.is_some_and(|other| parts.iter().all(|part| other[part] == object[part]));
        ensure!(same, "{name} is\n{object}\nin the watch and in the list\n{other:?}");
    }
    ensure!(listed.is_empty(), "the watch missed {:?}", listed.keys());
    ensure!(copy.connections > 2, "{} connections only", copy.connections);
    ensure!(copy.deleted >= EXTRA, "{} deletions only", copy.deleted);
    Ok(())
}

#[test]
fn a_gitops_controller_keeps_200_objects() {
    if !can_run("a_gitops_controller_keeps_200_objects") {
        return;
    }
    let platform = Platform::start().unwrap();
    platform.load_hello().unwrap();
    let api = platform.api().unwrap();
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    ok(&api.send("POST", "/api/v1/namespaces", Some(&namespace)).unwrap(), 201).unwrap();
    assert_eq!(KINDS.iter().map(|kind| kind.count).sum::<usize>(), 200);

    thread::scope(|scope| {
        let api = &api;
        let each = KINDS.iter().map(|kind| {
            let start = version(&api.get(kind.path).unwrap()).unwrap();
            let copy = scope.spawn(move || follow::follow(api, kind, start));
            (kind, copy, scope.spawn(move || keep(api, kind)))
        });
        // All of them at once.
        let each: Vec<_> = each.collect();
        for (kind, copy, kept) in each {
            kept.join().unwrap().unwrap();
            let copy = copy.join().unwrap().unwrap();
            compare(api, kind, &copy).with_context(|| kind.path).unwrap();
        }
    });
    platform.stop().unwrap();
}
