//! Reconciling a name: read everything that has it, plan, write the difference, then bring routes,
//! rollouts and instances in line.
//!
//! A Service, its Configuration and its Route have the same name, and so may a Configuration and a
//! Route that stand alone. One worker at a time looks at a name, so what these owe each other
//! needs no lock. Who owns what is decided here; the rest is one file each.
//!
//! Every step can be repeated and none depends on how often it was done before. What cannot be
//! done yet (an instance that still drains) makes the step end early; the end of that puts the
//! name into the queue again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ebb_model::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use ebb_model::knative::{Configuration, LABEL_CONFIGURATION, Revision, Route, Service};
use ebb_model::{RevisionKey, key};

use crate::conditions::UNKNOWN;
use crate::error::Error;
use crate::events::Subject;
use crate::fleet::Settings;
use crate::generic::{FOREGROUND, ORPHAN};
use crate::keys::ServiceKey;
use crate::objects::{self, SERVING, Stored};
use crate::plan::{Observed, Others};
use crate::pods::Template;
use crate::shared::Shared;
use crate::{env, meta, policy, prepare, revision, rollout};

mod configuration;
mod remove;
mod route;
mod service;

use remove::Leftovers;
pub(crate) use remove::{is_idle, unpin};

/// Everything that has a name.
struct Found {
    /// None while what it owns is being deleted before it, too.
    service: Option<Stored<Service>>,
    configuration: Option<Stored<Configuration>>,
    route: Option<Stored<Route>>,
    revisions: Vec<Stored<Revision>>,
    /// Names of revisions that begin with the name and belong to others.
    taken: BTreeSet<String>,
}

/// An object by whose it is; at most one of these is there.
struct Owned<T> {
    /// The Service's that has its name.
    by_service: Option<T>,
    /// That of a Service which is gone.
    by_nobody: Option<T>,
    /// Its own.
    alone: Option<T>,
}

/// Makes everything that has this name as it should be. Answers whether anything has it.
pub(crate) async fn name(shared: &Arc<Shared>, name: &ServiceKey) -> Result<bool, Error> {
    let Found { service, configuration, route, revisions, mut taken } = read(shared, name).await?;
    let there =
        service.is_some() || configuration.is_some() || route.is_some() || !revisions.is_empty();
    let uid = service.as_ref().and_then(|service| service.object.metadata.uid.as_deref());
    let configuration = sort(configuration, uid, |stored| &stored.object.metadata);
    let route = sort(route, uid, |stored| &stored.object.metadata);

    let adopts =
        service.is_some() && configuration.alone.is_none() && configuration.by_nobody.is_none();
    // Those that a Configuration was deleted without stay, whoever has its name now. A Service
    // goes on with them; to a Configuration they are those of another.
    let (free, revisions): (Vec<_>, Vec<_>) = revisions
        .into_iter()
        .partition(|r| !adopts && !meta::has_configuration(&r.object.metadata));
    taken.extend(free.iter().map(|stored| meta::name(&stored.object).to_owned()));
    keep_free(shared, name, &free);
    let left = configuration.by_nobody.is_some() || service.is_none();
    let held = held(&configuration, &route);
    let (orphans, revisions) = match configuration.alone {
        None if left => (revisions, Vec::new()),
        _ => (Vec::new(), revisions),
    };
    let leftovers = Leftovers {
        unroute: route.alone.is_none() && (service.is_none() || route.by_nobody.is_some()),
        forget: configuration.alone.is_none() && left && free.is_empty(),
        configuration: configuration.by_nobody,
        route: route.by_nobody,
        revisions: orphans,
    };
    // Deleted and created again under the same name: first what belonged to the old one goes.
    let clean = remove::leftovers(shared, name, leftovers).await?;
    let route_taken = route.alone.is_some();
    let others = Others { needed: needed(shared, name, &revisions), taken };
    match (service, configuration.alone) {
        (service, Some(alone)) => {
            if let Some(service) = service {
                service::not_owned(shared, name, service, ("Configuration", route_taken)).await?;
            }
            Box::pin(configuration::reconcile(shared, name, alone, revisions, others)).await?;
        }
        (Some(service), None) if clean => {
            let (configuration, route) = (configuration.by_service, route.by_service);
            let observed =
                Observed { service, configuration, route, revisions, others, route_taken };
            Box::pin(service::reconcile(shared, name, observed)).await?;
        }
        // What is in the way goes when a client says so: until then the service says what it is.
        (Some(service), None) => {
            if let Some(kind) = held {
                service::not_owned(shared, name, service, (kind, false)).await?;
            }
        }
        _ => {}
    }
    if let Some(alone) = route.alone {
        route::reconcile(shared, name, alone).await?;
    } else {
        shared.followers.set(name, BTreeSet::new());
    }
    Ok(there)
}

/// Kind of what belonged to another Service of the name and waits for the finalizer of a client.
fn held(
    configuration: &Owned<Stored<Configuration>>,
    route: &Owned<Stored<Route>>,
) -> Option<&'static str> {
    let waits = |meta: &ObjectMeta| {
        let mut finalizers = meta.finalizers.iter().flatten();
        finalizers.any(|name| ![FOREGROUND, ORPHAN].contains(&name.as_str()))
    };
    let configuration = configuration.by_nobody.as_ref();
    let route = route.by_nobody.as_ref();
    if configuration.is_some_and(|stored| waits(&stored.object.metadata)) {
        return Some("Configuration");
    }
    route.is_some_and(|stored| waits(&stored.object.metadata)).then_some("Route")
}

/// Lets revisions that nobody owns run while a Route needs them.
fn keep_free(shared: &Arc<Shared>, name: &ServiceKey, free: &[Stored<Revision>]) {
    for stored in free {
        let key = RevisionKey::new(&name.namespace, meta::name(&stored.object));
        let mut subject = Subject::new("Revision", &stored.object.metadata);
        // Its instances are counted and explained under the name that it was made for.
        subject.name.clone_from(&name.name);
        let routed = shared.routes.is_routed_by_another(&key, "");
        bring_up(shared, name, &subject, &stored.object, (routed, None));
    }
}

fn sort<T>(
    found: Option<T>,
    service: Option<&str>,
    metadata: impl Fn(&T) -> &ObjectMeta,
) -> Owned<T> {
    let none = Owned { by_service: None, by_nobody: None, alone: None };
    let Some(found) = found else { return none };
    match meta::owning_service(metadata(&found)).map(|owner| owner.uid.clone()) {
        None => Owned { alone: Some(found), ..none },
        Some(uid) if Some(uid.as_str()) == service => Owned { by_service: Some(found), ..none },
        Some(_) => Owned { by_nobody: Some(found), ..none },
    }
}

async fn read(shared: &Shared, name: &ServiceKey) -> Result<Found, Error> {
    let ServiceKey { namespace, name } = name;
    let store = &*shared.store;
    let service = objects::read(store, &objects::service_key(namespace, name)).await?;
    // A revision's name starts with that of its configuration and a hyphen; so does the name of
    // any revision of a configuration `<name>-...`, which the label tells apart.
    let prefix = format!("{}{name}-", key::namespaced(SERVING, "revisions", namespace));
    let (revisions, others): (Vec<_>, Vec<_>) = objects::list::<Revision>(store, &prefix)
        .await?
        .into_iter()
        .partition(|r| meta::label(&r.object.metadata, LABEL_CONFIGURATION) == Some(name));
    Ok(Found {
        taken: others.iter().map(|r| meta::name(&r.object).to_owned()).collect(),
        service: service.filter(|s: &Stored<Service>| !is_ending(&s.object.metadata)),
        configuration: objects::read(store, &objects::configuration_key(namespace, name)).await?,
        route: objects::read(store, &objects::route_key(namespace, name)).await?,
        revisions,
    })
}

/// Whether what it owns goes before it: it was deleted in the foreground. One that waits for
/// finalizers of others, or until what it owns is let go, does its work until it is gone.
fn is_ending(metadata: &ObjectMeta) -> bool {
    let waits = metadata.finalizers.iter().flatten().any(|name| name == FOREGROUND);
    metadata.deletion_timestamp.is_some() && waits
}

/// Names of the revisions of `name` that Routes of other names need. Before every route was read,
/// that is each of them.
fn needed(shared: &Shared, name: &ServiceKey, revisions: &[Stored<Revision>]) -> BTreeSet<String> {
    let host = shared.config.host(&name.namespace, &name.name);
    let is_needed = |revision: &&str| {
        let key = RevisionKey::new(&name.namespace, *revision);
        let stored = objects::revision_key(&name.namespace, revision);
        !shared.routes.is_open()
            || shared.routes.is_routed_by_another(&key, &host)
            || !shared.followers.of(&stored).is_empty()
    };
    let names = revisions.iter().map(|stored| meta::name(&stored.object));
    names.filter(is_needed).map(str::to_owned).collect()
}

/// Rolls out the revision of `name`, or lets it run, as far as it got. `routed` and the number of
/// instances that somebody asked for by hand say how.
fn bring_up(
    shared: &Arc<Shared>,
    name: &ServiceKey,
    subject: &Subject,
    revision: &Revision,
    (routed, manual): (bool, Option<u32>),
) {
    let key = RevisionKey::new(&name.namespace, meta::name(revision));
    shared.explain.know_revision(&key, name);
    let verdict = revision::verdict(revision);
    if verdict.is_true() {
        let settings = settings(subject, revision, (routed, manual));
        if let Some(epoch) = shared.fleet.ensure(&key, settings) {
            prepare::spawn(shared, key, epoch);
        }
    } else if verdict.status == UNKNOWN {
        rollout::ensure(shared, subject, &key);
    }
}

/// Requests began or ceased to go to these revisions: those they belong to have to know.
fn wake_owners(shared: &Shared, changed: BTreeSet<RevisionKey>, but: Option<&ServiceKey>) {
    for revision in changed {
        if let Some(owner) = shared.fleet.owner(&revision).filter(|owner| Some(owner) != but) {
            shared.services.add(owner);
        }
    }
}

/// How the instances of a revision are to be treated: whether requests go to it, and how many of
/// them somebody asked for by hand.
pub(crate) fn settings(
    subject: &Subject,
    revision: &Revision,
    (routed, manual): (bool, Option<u32>),
) -> Settings {
    let request = policy::request(revision);
    let service = ServiceKey::new(&subject.namespace, &subject.name);
    let (subject, revision) = (subject.clone(), revision.clone());
    Settings {
        policy: policy::scale(&revision, manual),
        routed,
        drain_limit: Duration::from_millis(request.timeout_ms),
        grace: Duration::from_millis(policy::grace_ms(&revision)),
        uses_sources: !env::wanted(&revision.spec.containers).is_empty(),
        template: Arc::new(Template { service, subject, revision }),
    }
}
