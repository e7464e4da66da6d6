//! Metadata of the objects that control makes.

use std::collections::BTreeMap;

use ebb_model::Timestamp;
use ebb_model::k8s::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use ebb_model::knative::{
    API_VERSION, LABEL_CONFIGURATION, LABEL_CONFIGURATION_GENERATION, Object,
};

/// Annotation in which kubectl keeps the last applied manifest: it is about one object only, so it
/// is not carried to the objects made from it.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A reference to the object that owns another.
pub(crate) fn owner(kind: &str, meta: &ObjectMeta) -> OwnerReference {
    OwnerReference {
        api_version: API_VERSION.to_owned(),
        block_owner_deletion: Some(true),
        controller: Some(true),
        kind: kind.to_owned(),
        name: meta.name.clone().unwrap_or_default(),
        uid: meta.uid.clone().unwrap_or_default(),
    }
}

/// Whether `meta` says that it is owned by the object with this uid.
pub(crate) fn is_owned_by(meta: &ObjectMeta, uid: Option<&str>) -> bool {
    meta.owner_references.iter().flatten().any(|owner| Some(owner.uid.as_str()) == uid)
}

/// The Service that made the object and writes its spec; none for one that stands alone.
pub(crate) fn owning_service(meta: &ObjectMeta) -> Option<&OwnerReference> {
    let ours = |owner: &&OwnerReference| {
        owner.controller == Some(true)
            && owner.kind == "Service"
            && owner.api_version == API_VERSION
    };
    meta.owner_references.iter().flatten().find(ours)
}

/// Metadata of a new object in `namespace`.
pub(crate) fn new(namespace: &str, name: &str, uid: String, now: Timestamp) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()),
        uid: Some(uid),
        generation: Some(1),
        creation_timestamp: Some(Time(now.to_jiff())),
        ..ObjectMeta::default()
    }
}

/// Annotations of an object that are carried to the objects made from it.
pub(crate) fn carried(meta: &ObjectMeta) -> Option<BTreeMap<String, String>> {
    let mut annotations = meta.annotations.clone()?;
    annotations.remove(LAST_APPLIED);
    Some(annotations).filter(|annotations| !annotations.is_empty())
}

/// Labels of an object and more of them.
pub(crate) fn labels(meta: &ObjectMeta, more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut labels = meta.labels.clone().unwrap_or_default();
    labels.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    labels
}

pub(crate) fn label<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.labels.as_ref()?.get(name).map(String::as_str)
}

/// Generation of the Configuration that a Revision is a snapshot of; 0 when it does not say.
pub(crate) fn configuration_generation(meta: &ObjectMeta) -> i64 {
    label(meta, LABEL_CONFIGURATION_GENERATION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Name of the Configuration that a stored Revision says it was made from.
pub(crate) fn owning_name(revision: &serde_json::Value) -> Option<String> {
    revision["metadata"]["labels"][LABEL_CONFIGURATION].as_str().map(str::to_owned)
}

/// Whether a Configuration owns the object.
pub(crate) fn has_configuration(meta: &ObjectMeta) -> bool {
    meta.owner_references.iter().flatten().any(|owner| owner.kind == "Configuration")
}

pub(crate) fn name<S, T>(object: &Object<S, T>) -> &str {
    object.metadata.name.as_deref().unwrap_or_default()
}

pub(crate) fn namespace<S, T>(object: &Object<S, T>) -> &str {
    object.metadata.namespace.as_deref().unwrap_or_default()
}
