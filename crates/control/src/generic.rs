//! Objects of any kind: what all of them have in common, and changing that and nothing else.

use ebb_model::k8s::apimachinery::pkg::apis::meta::v1::OwnerReference;
use ebb_model::{Resource, Timestamp, key};
use ebb_rules::collect::Deletion;
use ebb_store::{Precondition, Record, Store, Value, Write};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::error::Error;
use crate::objects;

/// Finalizer of an object whose dependents are let go before it goes.
pub(crate) const ORPHAN: &str = "orphan";
/// Finalizer of an object that waits until its dependents are gone.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";

/// What is read of the metadata of any object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Meta {
    pub(crate) uid: String,
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
    pub(crate) owner_references: Vec<OwnerReference>,
    pub(crate) deletion_timestamp: Option<String>,
    pub(crate) finalizers: Vec<String>,
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    metadata: Meta,
}

/// The metadata in a record; none when it is not an object.
pub(crate) fn meta(record: &Record) -> Option<Meta> {
    let envelope: Envelope = serde_json::from_slice(&record.value.data).ok()?;
    Some(envelope.metadata)
}

impl Meta {
    /// How far its deletion is.
    pub(crate) fn deletion(&self) -> Deletion {
        let has = |wanted: &str| self.finalizers.iter().any(|finalizer| finalizer == wanted);
        Deletion {
            marked: self.deletion_timestamp.is_some(),
            orphan: has(ORPHAN),
            foreground: has(FOREGROUND),
        }
    }

    /// The owner that made it and writes it.
    pub(crate) fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|owner| owner.controller == Some(true))
    }
}

/// A stored object of any kind.
#[derive(Clone, Debug)]
pub(crate) struct Generic {
    pub(crate) key: String,
    pub(crate) meta: Meta,
    pub(crate) version: u64,
    pub(crate) json: Json,
    storage_version: u32,
    sealed: bool,
}

/// The object under `key`, none when it does not exist.
pub(crate) async fn read(store: &dyn Store, key: &str) -> Result<Option<Generic>, Error> {
    store.get(key).await?.map(|record| Generic::of(&record)).transpose()
}

impl Generic {
    pub(crate) fn of(record: &Record) -> Result<Self, Error> {
        let json: Json = objects::decode(&record.key, &record.value.data)?;
        let envelope: Envelope = objects::decode(&record.key, &record.value.data)?;
        Ok(Self {
            key: record.key.clone(),
            meta: envelope.metadata,
            version: record.version,
            json,
            storage_version: record.value.storage_version,
            sealed: record.value.sealed,
        })
    }

    /// Holds a commit to the object as it was read.
    pub(crate) fn unchanged(&self) -> Precondition {
        Precondition::Version(self.key.clone(), self.version)
    }

    /// The write that stores it as it is now.
    pub(crate) fn put(&self) -> Write {
        let value = Value {
            storage_version: self.storage_version,
            sealed: self.sealed,
            data: self.json.to_string().into(),
        };
        Write::Put { key: self.key.clone(), value }
    }

    /// Leaves out the finalizers of this name.
    pub(crate) fn without_finalizer(mut self, name: &str) -> Self {
        self.meta.finalizers.retain(|finalizer| finalizer != name);
        let finalizers = json!(self.meta.finalizers);
        self.set_list("finalizers", finalizers);
        self
    }

    /// Adds a finalizer.
    pub(crate) fn with_finalizer(mut self, name: &str) -> Self {
        if !self.meta.finalizers.iter().any(|finalizer| finalizer == name) {
            self.meta.finalizers.push(name.to_owned());
            let finalizers = json!(self.meta.finalizers);
            self.set_list("finalizers", finalizers);
        }
        self
    }

    /// Leaves out the owners that are not kept.
    pub(crate) fn keep_owners(mut self, keep: impl Fn(usize, &OwnerReference) -> bool) -> Self {
        let kept: Vec<bool> =
            self.meta.owner_references.iter().enumerate().map(|(n, o)| keep(n, o)).collect();
        let mut places = kept.iter();
        self.meta.owner_references.retain(|_| places.next().copied().unwrap_or(true));
        let mut owners = self.json["metadata"]["ownerReferences"].take();
        if let Some(owners) = owners.as_array_mut() {
            let mut places = kept.iter();
            owners.retain(|_| places.next().copied().unwrap_or(true));
        }
        self.set_list("ownerReferences", owners);
        self
    }

    /// Sets a list of the metadata. An empty one is left out.
    fn set_list(&mut self, field: &str, list: Json) {
        let Some(metadata) = self.json["metadata"].as_object_mut() else { return };
        if list.as_array().is_none_or(Vec::is_empty) {
            metadata.remove(field);
        } else {
            metadata.insert(field.to_owned(), list);
        }
    }

    /// The write that deletes it as far as its finalizers allow; none when it only waits for them.
    pub(crate) fn delete(mut self, now: Timestamp) -> Option<Write> {
        if self.meta.finalizers.is_empty() {
            return Some(Write::Delete { key: self.key });
        }
        if self.meta.deletion_timestamp.is_some() {
            return None;
        }
        let at = now.to_rfc3339_seconds();
        self.json["metadata"]["deletionTimestamp"] = json!(at);
        self.json["metadata"]["deletionGracePeriodSeconds"] = json!(0);
        self.meta.deletion_timestamp = Some(at);
        Some(self.put())
    }

    /// The write that stores it, or removes it when it is marked and its last finalizer went.
    pub(crate) fn put_or_finish(self) -> Write {
        if self.meta.deletion_timestamp.is_some() && self.meta.finalizers.is_empty() {
            return Write::Delete { key: self.key };
        }
        self.put()
    }
}

/// The kind of what is stored under `key`.
pub(crate) fn resource_of<'a>(resources: &'a [Resource], key: &str) -> Option<&'a Resource> {
    resources.iter().find(|resource| key.starts_with(&prefix(resource)))
}

/// Prefix of the keys of every object of a kind.
pub(crate) fn prefix(resource: &Resource) -> String {
    key::all(&resource.group, &resource.plural)
}
