//! The reviews of `kubectl auth`. Their status is the server's to say.

use k8s_pb::api::authentication::v1::SelfSubjectReview;
use k8s_pb::api::authorization::v1 as pb;
use serde_json::Value;

use super::fields::Fields;
use super::message;
use super::meta::object_meta;
use crate::status::Failure;

/// `authorization.k8s.io/v1` SelfSubjectAccessReview.
pub(crate) fn self_subject_access_review(bytes: &[u8]) -> Result<Value, Failure> {
    let pb::SelfSubjectAccessReview { metadata, spec, status: _ } = message(bytes)?;
    let pb::SelfSubjectAccessReviewSpec { resource_attributes, non_resource_attributes } =
        spec.unwrap_or_default();
    let non_resource = non_resource_attributes
        .map(|given| Fields::default().text("path", given.path).text("verb", given.verb).object());
    let spec = Fields::default()
        .plain("resourceAttributes", resource_attributes.map(resource))
        .plain("nonResourceAttributes", non_resource);
    let fields = Fields::default()
        .plain("metadata", Some(object_meta(metadata)?))
        .plain("spec", Some(spec.object()));
    Ok(fields.object())
}

fn resource(given: pb::ResourceAttributes) -> Value {
    let field = given.field_selector.map(|given| {
        let each = given.requirements.into_iter().map(|each| {
            Fields::default()
                .plain("key", Some(each.key.unwrap_or_default()))
                .plain("operator", Some(each.operator.unwrap_or_default()))
                .list("values", each.values)
                .object()
        });
        selector(given.raw_selector, each.collect())
    });
    let label = given.label_selector.map(|given| {
        let each = given.requirements.into_iter().map(|each| {
            Fields::default()
                .plain("key", Some(each.key.unwrap_or_default()))
                .plain("operator", Some(each.operator.unwrap_or_default()))
                .list("values", each.values)
                .object()
        });
        selector(given.raw_selector, each.collect())
    });
    Fields::default()
        .text("namespace", given.namespace)
        .text("verb", given.verb)
        .text("group", given.group)
        .text("version", given.version)
        .text("resource", given.resource)
        .text("subresource", given.subresource)
        .text("name", given.name)
        .plain("fieldSelector", field)
        .plain("labelSelector", label)
        .object()
}

fn selector(raw: Option<String>, requirements: Vec<Value>) -> Value {
    Fields::default().text("rawSelector", raw).list("requirements", requirements).object()
}

/// `authorization.k8s.io/v1` SelfSubjectRulesReview.
pub(crate) fn self_subject_rules_review(bytes: &[u8]) -> Result<Value, Failure> {
    let pb::SelfSubjectRulesReview { metadata, spec, status: _ } = message(bytes)?;
    let spec = Fields::default().text("namespace", spec.unwrap_or_default().namespace);
    let fields = Fields::default()
        .plain("metadata", Some(object_meta(metadata)?))
        .plain("spec", Some(spec.object()));
    Ok(fields.object())
}

/// `authentication.k8s.io/v1` SelfSubjectReview.
pub(crate) fn self_subject_review(bytes: &[u8]) -> Result<Value, Failure> {
    let SelfSubjectReview { metadata, status: _ } = message(bytes)?;
    Ok(Fields::default().plain("metadata", Some(object_meta(metadata)?)).object())
}
