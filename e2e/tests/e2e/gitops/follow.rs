//! Follows one kind from a version on, over many connections, and keeps a copy.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use ebb_e2e::Api;
use serde_json::Value;

use super::objects::Kind;

/// Events that are read from one connection; then it is closed and another takes over.
const EVENTS_PER_CONNECTION: usize = 23;

/// A copy of every object of one kind.
#[derive(Debug)]
pub(crate) struct Copy {
    /// The objects by name.
    pub(crate) objects: BTreeMap<String, Value>,
    /// Version of the last event, which is that of the last object.
    pub(crate) version: u64,
    /// How many connections it took.
    pub(crate) connections: usize,
    /// How many objects it saw go.
    pub(crate) deleted: usize,
}

/// Follows the objects of `kind` from `version` until the last one is there.
pub(crate) fn follow(api: &Api, kind: &Kind, version: u64) -> Result<Copy> {
    let last_name = kind.last();
    let mut copy = Copy { objects: BTreeMap::new(), version, connections: 0, deleted: 0 };
    loop {
        copy.connections += 1;
        let watch = format!("{}?watch=true&resourceVersion={}", kind.path, copy.version);
        let mut left = EVENTS_PER_CONNECTION;
        let last = api.open()?.watch(&watch, |event| {
            left -= 1;
            match copy.take(event) {
                Err(error) => Some(Err(error)),
                Ok(name) if name == last_name => Some(Ok(true)),
                Ok(_) => (left == 0).then_some(Ok(false)),
            }
        })??;
        if last {
            return Ok(copy);
        }
    }
}

impl Copy {
    /// Takes an event; answers whose.
    fn take(&mut self, event: &Value) -> Result<String> {
        let object = &event["object"];
        let metadata = &object["metadata"];
        let name = metadata["name"].as_str().with_context(|| event.to_string())?.to_owned();
        let version = version(object)?;
        ensure!(version > self.version, "{name} at {version} after {}", self.version);
        self.version = version;
        let before = self.objects.get(&name);
        match event["type"].as_str() {
            Some("ADDED") => {
                ensure!(before.is_none(), "{name} is added and was there already");
                self.objects.insert(name.clone(), object.clone());
            }
            Some("MODIFIED") => {
                let before = before.with_context(|| format!("{name} changed and was not there"))?;
                ensure!(before["metadata"]["uid"] == metadata["uid"], "{name} is another one");
                self.objects.insert(name.clone(), object.clone());
            }
            Some("DELETED") => {
                ensure!(before.is_some(), "{name} went and was not there");
                self.objects.remove(&name);
                self.deleted += 1;
            }
            _ => anyhow::bail!("not expected: {event}"),
        }
        Ok(name)
    }
}

/// `metadata.resourceVersion` of an object or a list.
pub(crate) fn version(object: &Value) -> Result<u64> {
    let version = object["metadata"]["resourceVersion"].as_str();
    Ok(version.with_context(|| format!("no version: {object}"))?.parse()?)
}
