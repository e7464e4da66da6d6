//! Configuration: the template of a Service and the history of its snapshots.

use ebb_model::knative::{
    API_VERSION, Configuration, ConfigurationSpec, ConfigurationStatus, LABEL_SERVICE, READY,
    Revision, RevisionTemplate, Service,
};
use ebb_model::{Fault, Timestamp};

use crate::conditions::{self, Verdict};
use crate::{meta, revision};

/// The Configuration that `service` wants. Its generation rises with every change of the template.
pub(crate) fn wanted(
    service: &Service,
    before: Option<&Configuration>,
    revisions: &[&Revision],
    uid: impl FnOnce() -> String,
    now: Timestamp,
) -> Configuration {
    let (namespace, name) = (meta::namespace(service), meta::name(service));
    let mut metadata = if let Some(before) = before {
        before.metadata.clone()
    } else {
        let mut metadata = meta::new(namespace, name, uid(), now);
        metadata.generation = Some(first_generation(&service.spec.template, revisions));
        metadata
    };
    metadata.labels = Some(meta::labels(&service.metadata, &[(LABEL_SERVICE, name)]));
    metadata.annotations = meta::carried(&service.metadata);
    metadata.owner_references = Some(vec![meta::owner("Service", &service.metadata)]);
    let spec = ConfigurationSpec { template: service.spec.template.clone() };
    if before.is_some_and(|before| before.spec != spec) {
        metadata.generation = Some(metadata.generation.unwrap_or(0) + 1);
    }
    Configuration {
        api_version: API_VERSION.to_owned(),
        kind: "Configuration".to_owned(),
        metadata,
        spec,
        status: before.and_then(|before| before.status.clone()),
    }
}

/// Generation of a Configuration that is made although revisions are there already, because
/// somebody deleted the one that they belonged to: they stay, and so does the newest one as the
/// current one when it is a snapshot of the same template.
fn first_generation(template: &RevisionTemplate, revisions: &[&Revision]) -> i64 {
    let generation = |revision: &&&Revision| meta::configuration_generation(&revision.metadata);
    let Some(newest) = revisions.iter().max_by_key(generation) else { return 1 };
    generation(&newest).saturating_add(i64::from(newest.spec != template.spec))
}

/// The latest revision that was ready.
pub(crate) fn latest_ready<'a>(revisions: &[&'a Revision]) -> Option<&'a Revision> {
    revisions
        .iter()
        .copied()
        .filter(|revision| revision::verdict(revision).is_true())
        .max_by_key(|revision| meta::configuration_generation(&revision.metadata))
}

/// The status of a Configuration whose template is snapshotted in `current`, or could not be.
pub(crate) fn status(
    configuration: &Configuration,
    current: Result<&Revision, &Fault>,
    revisions: &[&Revision],
    now: Timestamp,
) -> ConfigurationStatus {
    let mut status = configuration.status.clone().unwrap_or_default();
    status.observed_generation = configuration.metadata.generation.unwrap_or(1);
    let verdict = match current {
        Ok(revision) => {
            status.latest_created_revision_name.clone_from(&revision.metadata.name);
            revision::verdict(revision)
        }
        Err(fault) => Verdict::failed(&fault.code, fault.message.clone()),
    };
    status.latest_ready_revision_name =
        latest_ready(revisions).and_then(|revision| revision.metadata.name.clone());
    conditions::set(&mut status.conditions, READY, &verdict, now);
    status
}
