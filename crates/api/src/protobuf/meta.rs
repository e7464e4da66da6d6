//! `metadata`, the same for every kind.

use k8s_pb::apimachinery::pkg::apis::meta::v1 as pb;
use serde_json::Value;

use super::fields::Fields;
use super::malformed;
use crate::decode;
use crate::status::Failure;

/// `metadata` of an object; empty when there is none.
pub(super) fn object_meta(given: Option<pb::ObjectMeta>) -> Result<Value, Failure> {
    let pb::ObjectMeta {
        name,
        generate_name,
        namespace,
        self_link,
        uid,
        resource_version,
        generation,
        creation_timestamp,
        deletion_timestamp,
        deletion_grace_period_seconds,
        labels,
        annotations,
        owner_references,
        finalizers,
        managed_fields,
    } = given.unwrap_or_default();
    let managed =
        managed_fields.into_iter().map(managed_fields_entry).collect::<Result<Vec<_>, _>>()?;
    let fields = Fields::default()
        .text("name", name)
        .text("generateName", generate_name)
        .text("namespace", namespace)
        .text("selfLink", self_link)
        .text("uid", uid)
        .text("resourceVersion", resource_version)
        .plain("generation", generation.filter(|generation| *generation != 0))
        .time("creationTimestamp", creation_timestamp)?
        .time("deletionTimestamp", deletion_timestamp)?
        .plain("deletionGracePeriodSeconds", deletion_grace_period_seconds)
        .texts("labels", labels)
        .texts("annotations", annotations)
        .list("ownerReferences", owner_references.into_iter().map(owner_reference).collect())
        .list("finalizers", finalizers)
        .list("managedFields", managed);
    Ok(fields.object())
}

/// As in JSON, where the four texts are required.
fn owner_reference(given: pb::OwnerReference) -> Value {
    let pb::OwnerReference { api_version, kind, name, uid, controller, block_owner_deletion } =
        given;
    Fields::default()
        .plain("apiVersion", Some(api_version.unwrap_or_default()))
        .plain("kind", Some(kind.unwrap_or_default()))
        .plain("name", Some(name.unwrap_or_default()))
        .plain("uid", Some(uid.unwrap_or_default()))
        .plain("controller", controller)
        .plain("blockOwnerDeletion", block_owner_deletion)
        .object()
}

fn managed_fields_entry(given: pb::ManagedFieldsEntry) -> Result<Value, Failure> {
    let pb::ManagedFieldsEntry {
        manager,
        operation,
        api_version,
        time,
        fields_type,
        fields_v1,
        subresource,
    } = given;
    // The set of fields is JSON within the message.
    let raw = fields_v1.and_then(|fields| fields.raw).filter(|raw| !raw.is_empty());
    let set = raw.map(|raw| decode::json(&raw)).transpose();
    let set = set.map_err(|failure| malformed(format!("managedFields: {}", failure.message)))?;
    let fields = Fields::default()
        .text("manager", manager)
        .text("operation", operation)
        .text("apiVersion", api_version)
        .time("time", time)?
        .text("fieldsType", fields_type)
        .plain("fieldsV1", set.map(|tree| tree.value))
        .text("subresource", subresource);
    Ok(fields.object())
}
