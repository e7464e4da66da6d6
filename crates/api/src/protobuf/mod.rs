//! Protobuf bodies (`application/vnd.kubernetes.protobuf`), which `kubectl create` and
//! `kubectl auth` send for Kubernetes' own kinds and have no other form for.
//!
//! A body is the magic `k8s\0` and an envelope, `runtime.Unknown`, with type, encoding and the
//! message. The message becomes the same JSON tree that a JSON body would be, so everything after
//! it (strict decoding into the kind's type, admission) is the same. As in Kubernetes, fields that
//! the message type does not have are skipped: `fieldValidation` is about JSON and YAML. Answers
//! are JSON always, which every client accepts beside protobuf.
//!
//! A kind brings its own converter in [`crate::registry::Kind::protobuf`]; one that has none
//! takes JSON and YAML only.

mod authorization;
mod coordination;
mod core_v1;
mod event;
mod fields;
mod meta;
mod scale;

use k8s_pb::apimachinery::pkg::apis::meta::v1 as pb;
use k8s_pb::apimachinery::pkg::runtime::Unknown;
use prost::Message;
use serde_json::Value;

use crate::admission;
use crate::decode::Tree;
use crate::registry::Kind;
use crate::status::Failure;
use fields::Fields;

pub(crate) use authorization::{
    self_subject_access_review, self_subject_review, self_subject_rules_review,
};
pub(crate) use coordination::lease;
pub(crate) use core_v1::{config_map, namespace, secret};
pub(crate) use event::event;
pub(crate) use scale::scale;

/// Content type of these bodies.
pub(crate) const CONTENT_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What each body begins with (`k8s.io/apimachinery`, `runtime/serializer/protobuf`).
const MAGIC: &[u8] = b"k8s\0";

/// Turns the message of a kind into the tree of its JSON form, without `apiVersion` and `kind`.
pub(crate) type Convert = fn(&[u8]) -> Result<Value, Failure>;

/// Reads an object of `kind`.
///
/// # Errors
/// 415 for a kind without this form, 400 for what is not one, or is one of another kind.
pub(crate) fn object(kind: &Kind, bytes: &[u8]) -> Result<Tree, Failure> {
    let Some(convert) = kind.protobuf else {
        return Err(Failure::unsupported_media_type(format!(
            "{} has no protobuf form: application/json and application/yaml are accepted",
            kind.kind
        )));
    };
    let Envelope { type_meta, message } = envelope(bytes)?;
    admission::type_meta(kind, &type_meta)?;
    let mut value = convert(&message)?;
    for field in ["apiVersion", "kind"] {
        if type_meta[field].is_string() {
            value[field] = type_meta[field].clone();
        }
    }
    Ok(Tree { value, duplicates: Vec::new() })
}

/// Reads `meta/v1` DeleteOptions. Clients write them with the version of the group that they are
/// for, so that is not checked.
///
/// # Errors
/// 400 for what is none.
pub(crate) fn delete_options(bytes: &[u8]) -> Result<Value, Failure> {
    let Envelope { type_meta, message } = envelope(bytes)?;
    if !matches!(type_meta["kind"].as_str(), None | Some("DeleteOptions")) {
        return Err(wrong_kind(&type_meta, "DeleteOptions"));
    }
    let pb::DeleteOptions {
        grace_period_seconds,
        preconditions,
        orphan_dependents,
        propagation_policy,
        dry_run,
        ignore_store_read_error_with_cluster_breaking_potential,
    } = self::message(&message)?;
    let preconditions = preconditions.map(|given| {
        let pb::Preconditions { uid, resource_version } = given;
        Fields::default().text("uid", uid).text("resourceVersion", resource_version).object()
    });
    let unsafe_ = "ignoreStoreReadErrorWithClusterBreakingPotential";
    let options = Fields::default()
        .text("apiVersion", type_meta["apiVersion"].as_str().map(str::to_owned))
        .text("kind", Some("DeleteOptions".to_owned()))
        .plain("gracePeriodSeconds", grace_period_seconds)
        .plain("preconditions", preconditions)
        .plain("orphanDependents", orphan_dependents)
        .text("propagationPolicy", propagation_policy)
        .list("dryRun", dry_run)
        .plain(unsafe_, ignore_store_read_error_with_cluster_breaking_potential);
    Ok(options.object())
}

fn wrong_kind(type_meta: &Value, want: &str) -> Failure {
    let given = type_meta["kind"].as_str().unwrap_or("nothing");
    Failure::bad_request(
        "UNSUPPORTED_VERSION",
        format!("the body is of kind {given:?}: {want} is expected"),
    )
}

/// A body without its envelope.
struct Envelope {
    /// `apiVersion` and `kind`, as far as they are given.
    type_meta: Value,
    message: Vec<u8>,
}

fn envelope(bytes: &[u8]) -> Result<Envelope, Failure> {
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return Err(malformed("it does not begin with the bytes 6b 38 73 00"));
    };
    let Unknown { type_meta, raw, content_encoding, content_type } = message(rest)?;
    if let Some(encoding) = content_encoding.filter(|text| !text.is_empty()) {
        return Err(malformed(format!(
            "the content encoding {encoding:?} is not known: none is allowed"
        )));
    }
    if let Some(other) = content_type.filter(|text| !text.is_empty() && text != CONTENT_TYPE) {
        return Err(malformed(format!(
            "the content type {other:?} of the message is not known: {CONTENT_TYPE} or none is \
             allowed"
        )));
    }
    let given = type_meta.unwrap_or_default();
    let type_meta =
        Fields::default().text("apiVersion", given.api_version).text("kind", given.kind);
    Ok(Envelope { type_meta: type_meta.object(), message: raw.unwrap_or_default() })
}

/// Reads one message.
fn message<M: Message + Default>(bytes: &[u8]) -> Result<M, Failure> {
    M::decode(bytes).map_err(|error| malformed(error.to_string()))
}

fn malformed(why: impl std::fmt::Display) -> Failure {
    Failure::bad_request(
        "INVALID_PROTOBUF",
        format!("the request body is not a valid protobuf message: {why}"),
    )
}

#[cfg(test)]
mod tests;
