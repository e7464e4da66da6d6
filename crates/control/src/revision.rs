//! Revision: an immutable snapshot of a template.

use std::collections::BTreeSet;

use ebb_model::knative::{
    ACTIVE, API_VERSION, CONTAINER_HEALTHY, Condition, Configuration, LABEL_CONFIGURATION,
    LABEL_CONFIGURATION_GENERATION, LABEL_SERVICE, READY, RESOURCES_AVAILABLE, Revision,
    RevisionStatus,
};
use ebb_model::name::check_label;
use ebb_model::{Fault, Kind, RevisionKey, Timestamp};

use crate::conditions::{self, Verdict};
use crate::error::Error;
use crate::meta;
use crate::objects::{self, Changes, Stored};
use crate::reasons;
use crate::shared::Shared;

/// The parts of a revision's `Ready`.
const PARTS: [&str; 2] = [RESOURCES_AVAILABLE, CONTAINER_HEALTHY];

/// What the revision's `Ready` says.
pub(crate) fn verdict(revision: &Revision) -> Verdict {
    let conditions = revision.status.as_ref().map(|status| status.conditions.as_slice());
    Verdict::of(conditions.unwrap_or_default(), READY)
}

/// The revision of the current template: one that exists, or a new one to be created.
pub(crate) enum Current<'a> {
    Known(&'a Revision),
    New(Box<Revision>),
}

impl Current<'_> {
    pub(crate) fn revision(&self) -> &Revision {
        match self {
            Self::Known(known) => known,
            Self::New(new) => new,
        }
    }

    pub(crate) fn into_new(self) -> Option<Revision> {
        match self {
            Self::Known(_) => None,
            Self::New(new) => Some(*new),
        }
    }
}

/// Finds or makes the snapshot of the configuration's template. `taken` are names of revisions of
/// others.
///
/// # Errors
/// `INVALID_NAME` for a name in the template that does not start with that of the service;
/// `REVISION_NAME_TAKEN` when a revision with that name was made from another template, or belongs
/// to another configuration.
pub(crate) fn current<'a>(
    configuration: &Configuration,
    revisions: &[&'a Revision],
    taken: &BTreeSet<String>,
    uid: impl FnOnce() -> String,
    now: Timestamp,
) -> Result<Current<'a>, Fault> {
    let generation = configuration.metadata.generation.unwrap_or(1);
    let made = |r: &&&Revision| meta::configuration_generation(&r.metadata) == generation;
    if let Some(known) = revisions.iter().find(made) {
        return Ok(Current::Known(known));
    }
    if let Some(newest) = newest_is_of(configuration, revisions) {
        return Ok(Current::Known(newest));
    }
    let name = name_of(configuration, generation)?;
    if let Some(known) = revisions.iter().find(|revision| meta::name(revision) == name) {
        if known.spec == configuration.spec.template.spec {
            return Ok(Current::Known(known));
        }
        let message = format!(
            "the revision {name:?} exists and was made from another template: give \
             spec.template.metadata.name a new value, or leave it out"
        );
        return Err(name_taken(message));
    }
    if taken.contains(&name) {
        let message = format!(
            "the revision {name:?} belongs to another configuration: give \
             spec.template.metadata.name another value"
        );
        return Err(name_taken(message));
    }
    Ok(Current::New(Box::new(snapshot(configuration, &name, uid(), now))))
}

/// The newest revision, when it is a snapshot of just this template. So it is when somebody changed
/// what a Service owns and it was put back: that is a new generation and nothing new to run.
fn newest_is_of<'a>(
    configuration: &Configuration,
    revisions: &[&'a Revision],
) -> Option<&'a Revision> {
    let template = &configuration.spec.template;
    let metadata = template.metadata.clone().unwrap_or_default();
    let generation = |revision: &&&Revision| meta::configuration_generation(&revision.metadata);
    let newest = revisions.iter().copied().max_by_key(|revision| generation(&revision))?;
    let labelled = metadata.labels.iter().flatten().all(|(name, value)| {
        name == LABEL_SERVICE || meta::label(&newest.metadata, name) == Some(value)
    });
    let annotated = meta::carried(&metadata).unwrap_or_default()
        == newest.metadata.annotations.clone().unwrap_or_default();
    let named = metadata.name.filter(|name| !name.is_empty());
    let named = named.is_none_or(|name| name == meta::name(newest));
    (newest.spec == template.spec && labelled && annotated && named).then_some(newest)
}

fn name_taken(message: String) -> Fault {
    Fault::new("REVISION_NAME_TAKEN", Kind::Conflict, message).at("spec.template.metadata.name")
}

fn name_of(configuration: &Configuration, generation: i64) -> Result<String, Fault> {
    let service = meta::name(configuration);
    let template = configuration.spec.template.metadata.as_ref();
    let given = template.and_then(|m| m.name.clone()).filter(|name| !name.is_empty());
    let Some(name) = given else { return Ok(format!("{service}-{generation:05}")) };
    check_label(&name, "spec.template.metadata.name", 63)?;
    if name.strip_prefix(service).is_none_or(|rest| rest.len() < 2 || !rest.starts_with('-')) {
        let message = format!(
            "{name:?} is not allowed as the name of a revision of {service:?}: it has to start \
             with \"{service}-\""
        );
        return Err(
            Fault::new("INVALID_NAME", Kind::Invalid, message).at("spec.template.metadata.name")
        );
    }
    Ok(name)
}

fn snapshot(configuration: &Configuration, name: &str, uid: String, now: Timestamp) -> Revision {
    let template = configuration.spec.template.metadata.clone().unwrap_or_default();
    let generation = configuration.metadata.generation.unwrap_or(1).to_string();
    let of = meta::name(configuration);
    let mut metadata = meta::new(meta::namespace(configuration), name, uid, now);
    let labels = [(LABEL_CONFIGURATION, of), (LABEL_CONFIGURATION_GENERATION, &generation)];
    let mut labels = meta::labels(&template, &labels);
    // Whatever the template says: only a Service's own revisions are selected as such.
    labels.remove(LABEL_SERVICE);
    if let Some(service) = meta::owning_service(&configuration.metadata) {
        labels.insert(LABEL_SERVICE.to_owned(), service.name.clone());
    }
    metadata.labels = Some(labels);
    metadata.annotations = meta::carried(&template);
    metadata.owner_references = Some(vec![meta::owner("Configuration", &configuration.metadata)]);
    let mut status = RevisionStatus { observed_generation: 1, ..RevisionStatus::default() };
    let waiting =
        Verdict::unknown(reasons::RESOLVING_DIGESTS, "asking the registry for the digest");
    set_progress(&mut status.conditions, &waiting, now);
    Revision {
        api_version: API_VERSION.to_owned(),
        kind: "Revision".to_owned(),
        metadata,
        spec: configuration.spec.template.spec.clone(),
        status: Some(status),
    }
}

/// Says how far the revision has come, or why it cannot become ready.
pub(crate) fn set_progress(conditions: &mut Vec<Condition>, verdict: &Verdict, now: Timestamp) {
    let healthy = if verdict.is_true() {
        Verdict::ok()
    } else {
        Verdict::unknown(reasons::DEPLOYING, "no instance was started yet")
    };
    conditions::set(conditions, RESOURCES_AVAILABLE, verdict, now);
    conditions::set(conditions, CONTAINER_HEALTHY, &healthy, now);
    conditions::sum_up(conditions, &PARTS, now);
}

/// Says that an instance was started, and what became of it.
pub(crate) fn set_health(conditions: &mut Vec<Condition>, verdict: &Verdict, now: Timestamp) {
    conditions::set(conditions, RESOURCES_AVAILABLE, &Verdict::ok(), now);
    conditions::set(conditions, CONTAINER_HEALTHY, verdict, now);
    conditions::sum_up(conditions, &PARTS, now);
}

/// Says how many instances there are.
pub(crate) fn set_replicas(status: &mut RevisionStatus, counts: (u32, u32), now: Timestamp) {
    let (ready, starting) = counts;
    let count = |n: u32| Some(i32::try_from(n).unwrap_or(i32::MAX));
    status.actual_replicas = count(ready);
    status.desired_replicas = count(ready.saturating_add(starting));
    let active = if status.desired_replicas == Some(0) {
        Verdict::failed(reasons::NO_TRAFFIC, "no instance runs: the next request starts one")
    } else {
        Verdict::ok()
    };
    conditions::set_info(&mut status.conditions, ACTIVE, &active, now);
}

/// Changes the status of a stored revision, however often that has to be tried, and answers the
/// revision as it is then. None: it is gone.
pub(crate) async fn write_status(
    shared: &Shared,
    key: &RevisionKey,
    change: impl Fn(&mut RevisionStatus),
) -> Option<Revision> {
    let mut tries = 0;
    loop {
        match try_write_status(shared, key, &change).await {
            Ok(written) => return written,
            // Nobody can change what cannot be read, and others wait behind it.
            Err(error @ Error::Corrupt { .. }) => {
                tracing::error!(revision = %key, %error, "left as it is");
                return None;
            }
            Err(error) => shared.pause(&error, &mut tries).await,
        }
    }
}

async fn try_write_status(
    shared: &Shared,
    key: &RevisionKey,
    change: impl Fn(&mut RevisionStatus),
) -> Result<Option<Revision>, Error> {
    let key = objects::revision_key(&key.namespace, &key.name);
    let stored = objects::read::<Revision>(&*shared.store, &key).await?;
    let Some(Stored { object: before, version }) = stored else { return Ok(None) };
    let mut after = before.clone();
    change(after.status.get_or_insert_default());
    if after != before {
        let mut changes = Changes::default();
        changes.update(key, version, &after)?;
        changes.apply(&*shared.store).await?;
    }
    Ok(Some(after))
}

/// Revisions that nothing needs any more: neither in `needed` nor among the newest `keep` others.
pub(crate) fn garbage<'a>(
    revisions: &[&'a Revision],
    needed: &[&str],
    keep: usize,
) -> Vec<&'a Revision> {
    let mut idle: Vec<&Revision> = revisions
        .iter()
        .copied()
        .filter(|revision| !needed.contains(&meta::name(revision)))
        .collect();
    idle.sort_by_key(|r| std::cmp::Reverse(meta::configuration_generation(&r.metadata)));
    idle.split_off(keep.min(idle.len()))
}
