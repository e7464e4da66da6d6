//! Service: defaults, and what is wrong with one.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{annotations, container, fault, forbidden, metadata, traffic, unsupported};
use crate::knative::{RevisionSpec, RevisionTemplate, Service, TrafficTarget};
use crate::name::{SERVICE_NAME_MAX, check_label, check_subdomain};
use crate::{Fault, Kind};

/// Seconds that a request may take when nothing is said (features row C6).
const DEFAULT_TIMEOUT_SECONDS: i64 = 300;
/// Seconds that a request may take at most (features row C6).
const MAX_TIMEOUT_SECONDS: i64 = 3_600;
/// Requests that one instance takes at once when nothing is said (design, names and defaults).
const DEFAULT_CONCURRENCY: i64 = 80;
/// Largest hard limit of requests at once; Knative's default maximum.
const MAX_CONCURRENCY: i64 = 1_000;
/// Seconds between SIGTERM and kill at most.
const MAX_GRACE_SECONDS: i64 = 3_600;
/// The isolation tier that there is.
const RUNTIME: &str = "ebb";
const SPEC: &str = "spec.template.spec";

/// Fills in what was left out, so that a later change of a default changes no stored Service.
///
/// Nothing is filled in inside of a list that was given: clients that compute merge patches, such
/// as kubectl, see a list as one value, and would see a difference at every apply. So an unnamed
/// container stays unnamed; whoever runs it knows the default.
pub fn default_service(service: &mut Service) {
    default_template(&mut service.spec.template);
    let traffic = &mut service.spec.traffic;
    if traffic.is_empty() {
        traffic.push(TrafficTarget {
            latest_revision: Some(true),
            percent: Some(100),
            ..TrafficTarget::default()
        });
    }
}

/// Fills in what was left out of a template.
pub(super) fn default_template(template: &mut RevisionTemplate) {
    let spec = &mut template.spec;
    spec.timeout_seconds.get_or_insert(DEFAULT_TIMEOUT_SECONDS);
    spec.container_concurrency.get_or_insert(DEFAULT_CONCURRENCY);
}

/// Everything that is wrong with `service`, given its former self when it is changed.
pub fn service(service: &Service, old: Option<&Service>) -> Vec<Fault> {
    let mut faults = own_metadata(&service.metadata, SERVICE_NAME_MAX);
    let empty = BTreeMap::new();
    let own = service.metadata.annotations.as_ref().unwrap_or(&empty);
    faults.extend(annotations::scaling(own, "metadata.annotations"));
    faults.extend(template(&service.metadata, &service.spec.template));
    faults.extend(traffic::check(&service.spec.traffic, traffic::Of::Service));
    if let Some(old) = old {
        faults.extend(creator(&service.metadata, &old.metadata));
        faults.extend(renamed(&service.spec.template, &old.spec.template));
    }
    faults
}

/// What is wrong with the metadata of an object that people write; its name has `max` bytes at
/// most.
pub(super) fn own_metadata(meta: &ObjectMeta, max: usize) -> Vec<Fault> {
    let empty = BTreeMap::new();
    let name = meta.name.as_deref().unwrap_or_default();
    let mut faults: Vec<Fault> =
        check_label(name, "metadata.name", max).err().into_iter().collect();
    let own = meta.annotations.as_ref().unwrap_or(&empty);
    faults.extend(annotations::service(own, "metadata.annotations"));
    let labels = meta.labels.as_ref().unwrap_or(&empty);
    faults.extend(annotations::service(labels, "metadata.labels"));
    faults
}

/// What is wrong with the template of an object with this metadata.
pub(super) fn template(owner: &ObjectMeta, template: &RevisionTemplate) -> Vec<Fault> {
    let mut faults = template_metadata(owner.name.as_deref().unwrap_or_default(), template);
    faults.extend(revision_spec(&template.spec));
    faults
}

/// Who made an object does not change.
pub(super) fn creator(new: &ObjectMeta, old: &ObjectMeta) -> Option<Fault> {
    const CREATOR: &str = "serving.knative.dev/creator";
    let creator = |meta: &ObjectMeta| meta.annotations.as_ref()?.get(CREATOR).cloned();
    let at = format!("metadata.annotations[{CREATOR}]");
    (creator(old).is_some() && creator(old) != creator(new))
        .then(|| fault("IMMUTABLE_FIELD", at, "annotation value is immutable"))
}

/// A template that names its revision changes together with that name.
pub(super) fn renamed(new: &RevisionTemplate, old: &RevisionTemplate) -> Option<Fault> {
    let revision = |template: &RevisionTemplate| template.metadata.as_ref()?.name.clone();
    let named = revision(new);
    if named.is_none() || named != revision(old) || new == old {
        return None;
    }
    let fault = fault(
        "IMMUTABLE_FIELD",
        "spec.template",
        "the template changed, and spec.template.metadata.name still names the revision made \
         from the former one",
    );
    Some(fault.hint("give a new name, or none"))
}

fn template_metadata(service: &str, template: &RevisionTemplate) -> Vec<Fault> {
    const AT: &str = "spec.template.metadata";
    let Some(meta) = &template.metadata else { return Vec::new() };
    let mut faults = Vec::new();
    if let Some(name) = &meta.name {
        let at = format!("{AT}.name");
        faults.extend(check_label(name, &at, 63).err());
        if !name.starts_with(&format!("{service}-")) {
            let message = format!("invalid value: {name}: must have prefix {service:?} and '-'");
            faults.push(fault("INVALID_NAME", at, message));
        }
    }
    faults.extend(template_texts(meta, AT));
    faults
}

fn template_texts(meta: &ObjectMeta, at: &str) -> Vec<Fault> {
    let empty = BTreeMap::new();
    let labels = meta.labels.as_ref().unwrap_or(&empty);
    let notes = meta.annotations.as_ref().unwrap_or(&empty);
    let mut faults = Vec::new();
    let texts: Vec<(&str, &str)> =
        labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    faults.extend(metadata::labels(&texts, &format!("{at}.labels")));
    let texts: Vec<(&str, &str)> =
        notes.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    faults.extend(metadata::annotations(&texts, &format!("{at}.annotations")));
    faults.extend(annotations::template(notes, &format!("{at}.annotations")));
    faults.extend(annotations::service(labels, &format!("{at}.labels")));
    faults
}

fn revision_spec(spec: &RevisionSpec) -> Vec<Fault> {
    let mut faults: Vec<Fault> = spec.refused_fields().into_iter().map(refused).collect();
    faults.extend(forbidden::pod(spec, SPEC));
    match spec.containers.as_slice() {
        [only] => faults.extend(container::check(only, &format!("{SPEC}.containers[0]"))),
        [] => faults.push(fault(
            "REQUIRED_FIELD",
            format!("{SPEC}.containers"),
            "Required value: one container is needed",
        )),
        _ => faults.push(unsupported(
            format!("{SPEC}.containers[1]"),
            "give exactly one container; sidecars come later",
        )),
    }
    let range = |field: &str, value: Option<i64>, least: i64, most: i64| {
        let value = value.filter(|value| !(least..=most).contains(value))?;
        let message = format!("{value} is out of range: expected {least} <= {value} <= {most}");
        Some(fault("INVALID_VALUE", format!("{SPEC}.{field}"), message))
    };
    faults.extend(range("containerConcurrency", spec.container_concurrency, 0, MAX_CONCURRENCY));
    faults.extend(range("timeoutSeconds", spec.timeout_seconds, 1, MAX_TIMEOUT_SECONDS));
    let grace = spec.termination_grace_period_seconds;
    faults.extend(range("terminationGracePeriodSeconds", grace, 0, MAX_GRACE_SECONDS));
    for (field, value) in [
        ("responseStartTimeoutSeconds", spec.response_start_timeout_seconds),
        ("idleTimeoutSeconds", spec.idle_timeout_seconds),
    ] {
        if value.is_some() {
            let hint = "timeoutSeconds bounds the whole request";
            faults.push(unsupported(format!("{SPEC}.{field}"), hint));
        }
    }
    faults.extend(references(spec));
    faults
}

/// Names of other things that the spec refers to.
fn references(spec: &RevisionSpec) -> Vec<Fault> {
    let mut faults = Vec::new();
    let account = spec.service_account_name.as_deref().unwrap_or_default();
    if !matches!(account, "" | "default") {
        let hint = "leave it out; there is one service account, default";
        faults.push(unsupported(format!("{SPEC}.serviceAccountName"), hint));
    }
    if let Some(class) = spec.runtime_class_name.as_deref().filter(|class| *class != RUNTIME) {
        let message = format!("{class:?} is not an isolation tier of this machine");
        let fault = fault("RUNTIME_CLASS_UNKNOWN", format!("{SPEC}.runtimeClassName"), message);
        faults.push(fault.hint("leave it out, or write ebb"));
    }
    if spec.enable_service_links == Some(true) {
        let hint = "leave it out, or write false";
        faults.push(unsupported(format!("{SPEC}.enableServiceLinks"), hint));
    }
    for (index, secret) in spec.image_pull_secrets.iter().enumerate() {
        let at = format!("{SPEC}.imagePullSecrets[{index}].name");
        faults.extend(check_subdomain(&secret.name, &at).err());
    }
    faults
}

/// The refusal of a field of a PodSpec. Those that would reach outside of the sandbox are
/// forbidden for good.
fn refused(field: &'static str) -> Fault {
    let at = format!("{SPEC}.{field}");
    match field {
        "hostIPC" | "hostNetwork" | "hostPID" | "hostAliases" | "nodeName" => Fault::new(
            "FORBIDDEN_FIELD",
            Kind::Invalid,
            format!("{field} is not allowed: an instance has nothing of its host"),
        )
        .at(at)
        .hint("remove it"),
        "initContainers" => unsupported(
            at,
            "do the work in the image or at the start of the \
             program",
        ),
        "volumes" => unsupported(at, "give configuration as environment variables"),
        _ => unsupported(at, "remove it"),
    }
}
