//! A Configuration that stands alone, and what a Service's has in common with it.

use std::sync::Arc;

use ebb_model::knative::{Configuration, Revision};
use ebb_model::{RevisionKey, scaling};

use super::{bring_up, is_ending, remove};
use crate::error::Error;
use crate::events::{Level, Subject};
use crate::keys::ServiceKey;
use crate::objects::{self, Changes, Stored};
use crate::plan::{self, History, Others};
use crate::shared::Shared;
use crate::{meta, policy, reasons};

/// Makes everything as the configuration says.
pub(super) async fn reconcile(
    shared: &Arc<Shared>,
    name: &ServiceKey,
    stored: Stored<Configuration>,
    revisions: Vec<Stored<Revision>>,
    others: Others,
) -> Result<(), Error> {
    let metadata = &stored.object.metadata;
    let (ending, uid) = (is_ending(metadata), metadata.uid.as_deref());
    // Those of one that had the name before go first.
    let (revisions, old): (Vec<_>, Vec<_>) =
        revisions.into_iter().partition(|r| !ending && meta::is_owned_by(&r.object.metadata, uid));
    if !remove::revisions(shared, &name.namespace, &old).await? || ending {
        return Ok(());
    }
    shared.explain.know_service(name);
    let (keep, now) = (shared.config.keep_revisions, shared.clock.now());
    let uid = || shared.ids.uid();
    let history = plan::standalone(&stored.object, &revisions, &others, keep, uid, now);

    let mut writes = Changes::default();
    changes(&mut writes, Some(&stored), &history)?;
    if !writes.is_empty() && stored.object == history.configuration {
        let key = objects::configuration_key(&name.namespace, &name.name);
        writes.unless_changed(key, stored.version);
    }
    writes.apply(&*shared.store).await?;
    let subject = Subject::new("Configuration", &stored.object.metadata);
    announce(shared, &subject, &history);
    // A number that its Service was given stays with the Route of the same name.
    let wanted = scaling::manual(stored.object.metadata.annotations.as_ref());
    let host = shared.config.host(&name.namespace, &name.name);
    let known = revisions.iter().map(|stored| &stored.object);
    for revision in known.chain(history.new_revision.as_ref()) {
        let key = RevisionKey::new(&name.namespace, meta::name(revision));
        if !history.garbage.contains(&key.name) {
            let routed = shared.routes.is_routed_by_another(&key, "");
            let percent = shared.routes.percent(&host, &key);
            let manual = wanted.zip(percent).map(|(all, percent)| policy::share(all, percent));
            bring_up(shared, name, &subject, revision, (routed, manual));
        }
    }
    collect(shared, name, &revisions, &history.garbage).await
}

/// What has to be written so that the configuration and its revisions are as planned.
pub(super) fn changes(
    changes: &mut Changes,
    before: Option<&Stored<Configuration>>,
    history: &History,
) -> Result<(), Error> {
    let History { configuration, new_revision, adopted, .. } = history;
    let (namespace, name) = (meta::namespace(configuration), meta::name(configuration));
    changes.put(objects::configuration_key(namespace, name), before, configuration)?;
    for stored in adopted {
        let key = objects::revision_key(namespace, meta::name(&stored.object));
        changes.update(key, stored.version, &stored.object)?;
    }
    if let Some(new) = new_revision {
        changes.create(objects::revision_key(namespace, meta::name(new)), new)?;
    }
    Ok(())
}

/// Tells of a new revision.
pub(super) fn announce(shared: &Shared, subject: &Subject, history: &History) {
    if let Some(new) = &history.new_revision {
        let message = format!("created the revision {}", meta::name(new));
        shared.events.record(subject, Level::Normal, reasons::REVISION_CREATED, &message);
    }
}

/// Removes revisions that nothing needs any more.
pub(super) async fn collect(
    shared: &Shared,
    name: &ServiceKey,
    revisions: &[Stored<Revision>],
    garbage: &[String],
) -> Result<(), Error> {
    let is_garbage =
        |stored: &&Stored<Revision>| garbage.iter().any(|name| name == meta::name(&stored.object));
    let garbage: Vec<_> = revisions.iter().filter(is_garbage).cloned().collect();
    remove::revisions(shared, &name.namespace, &garbage).await?;
    Ok(())
}
