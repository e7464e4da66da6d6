//! `spec.traffic` of a Service or Route.

use std::collections::BTreeSet;

use super::{fault, unsupported};
use crate::knative::{Service, TrafficTarget};
use crate::{Fault, name, near};

/// Whose shares they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// What names no revision follows the Service's own latest one.
    Service,
    /// What names no revision names the Configuration to follow.
    Route,
}

/// What is wrong with the shares.
pub(super) fn check(targets: &[TrafficTarget], of: Of) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    let mut sum = 0i64;
    for (index, target) in targets.iter().enumerate() {
        faults.extend(match of {
            Of::Service => of_service(target, index),
            Of::Route => of_route(target, index),
        });
        if !seen.insert((&target.revision_name, &target.configuration_name)) {
            let at = format!("spec.traffic[{index}]");
            let fault = fault("INVALID_TRAFFIC", at, "is a second share of the same revision");
            faults.push(fault.hint("add the two up"));
        }
        faults.extend(one(target, index));
        sum = sum.saturating_add(target.percent.unwrap_or(0));
    }
    if !targets.is_empty() && sum != 100 {
        let message = format!("Traffic targets sum to {sum}, want 100");
        faults.push(fault("INVALID_TRAFFIC", "spec.traffic", message));
    }
    faults
}

/// What is wrong with the shares of a Service by what revisions it has: `known` are their names. A
/// share may name one of them, the one that the template names, and what it named before: a
/// revision may have gone since, and other changes are to be possible then.
pub fn revisions(new: &Service, old: Option<&Service>, known: &BTreeSet<String>) -> Vec<Fault> {
    let own = new.spec.template.metadata.as_ref().and_then(|meta| meta.name.as_deref());
    let before = old.into_iter().flat_map(|old| &old.spec.traffic);
    let before: BTreeSet<&str> = before.filter_map(|t| t.revision_name.as_deref()).collect();
    let mut faults = Vec::new();
    for (index, target) in new.spec.traffic.iter().enumerate() {
        let Some(name) = target.revision_name.as_deref() else { continue };
        let there = known.contains(name) || own == Some(name) || before.contains(name);
        // What cannot be the name of any was said already.
        if there || name::check_label(name, "", 63).is_err() {
            continue;
        }
        let message = format!(
            "the service has no revision {name:?}: a share goes to one that it has, or to the one \
             that spec.template.metadata.name names"
        );
        let candidates = known.iter().map(String::as_str).chain(own);
        let hint = match near::nearest(name, candidates) {
            Some(meant) => format!("did you mean {meant}?"),
            None => "`kubectl get revisions` lists them".to_owned(),
        };
        faults.push(fault("REVISION_NOT_FOUND", at(index, "revisionName"), message).hint(hint));
    }
    faults
}

/// What is checked of every share.
fn one(target: &TrafficTarget, index: usize) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Some(revision) = &target.revision_name {
        faults.extend(name::check_label(revision, &at(index, "revisionName"), 63).err());
    }
    if target.tag.is_some() {
        let instead = "give shares by revisionName and percent only";
        faults.push(unsupported(at(index, "tag"), instead));
    }
    if target.url.is_some() {
        let message = "must not be set: the platform sets it in the status";
        faults.push(fault("FORBIDDEN_FIELD", at(index, "url"), message));
    }
    let percent = target.percent.unwrap_or(0);
    if !(0..=100).contains(&percent) {
        let message = format!("{percent} is out of range: expected 0 <= {percent} <= 100");
        faults.push(fault("INVALID_TRAFFIC", at(index, "percent"), message));
    }
    faults
}

fn of_service(target: &TrafficTarget, index: usize) -> Vec<Fault> {
    let mut faults = Vec::new();
    if target.configuration_name.is_some() {
        let message = "a service follows its own configuration: configurationName is for routes";
        let fault = fault("FORBIDDEN_FIELD", at(index, "configurationName"), message);
        faults.push(fault.hint("write latestRevision: true"));
    }
    match (&target.revision_name, target.latest_revision) {
        (Some(_), Some(true)) => faults.push(both(index)),
        (None, Some(false)) => faults.push(fault(
            "INVALID_TRAFFIC",
            at(index, "revisionName"),
            "expected exactly one of revisionName and latestRevision: true, got neither",
        )),
        _ => {}
    }
    faults
}

fn of_route(target: &TrafficTarget, index: usize) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Some(configuration) = &target.configuration_name {
        let at = at(index, "configurationName");
        faults.extend(name::check_label(configuration, &at, name::SERVICE_NAME_MAX).err());
    }
    match (&target.revision_name, &target.configuration_name) {
        (Some(_), Some(_)) | (None, None) => {
            let got = if target.revision_name.is_some() { "both" } else { "neither" };
            let message =
                format!("expected exactly one of revisionName and configurationName, got {got}");
            faults.push(fault("INVALID_TRAFFIC", format!("spec.traffic[{index}]"), message));
        }
        (Some(_), None) if target.latest_revision == Some(true) => faults.push(both(index)),
        (None, Some(_)) if target.latest_revision == Some(false) => faults.push(fault(
            "INVALID_TRAFFIC",
            at(index, "latestRevision"),
            "may not be false with configurationName, which follows the latest ready revision",
        )),
        _ => {}
    }
    faults
}

fn both(index: usize) -> Fault {
    fault(
        "INVALID_TRAFFIC",
        at(index, "latestRevision"),
        "may not be true when revisionName is given: expected exactly one, got both",
    )
}

fn at(index: usize, field: &str) -> String {
    format!("spec.traffic[{index}].{field}")
}
