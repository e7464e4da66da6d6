//! What has to be written so that everything that belongs to a Service, or to a Configuration that
//! stands alone, is as that says.
//!
//! Pure: what was read goes in, the objects as they should be come out. Nothing here depends on
//! what happened before, only on what is there now, so it can be repeated at any time.

use std::collections::BTreeSet;

use ebb_model::Timestamp;
use ebb_model::knative::{
    Address, CONFIGURATIONS_READY, Configuration, LABEL_SERVICE, READY, ROUTES_READY, Revision,
    Route, Service, ServiceStatus,
};
use ebb_model::routing::RouteEntry;

use crate::conditions::{self, Verdict};
use crate::config::Config;
use crate::objects::Stored;
use crate::revision::Current;
use crate::{configuration, meta, reasons, revision, route};

/// A Service with everything that it owns.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) service: Stored<Service>,
    pub(crate) configuration: Option<Stored<Configuration>>,
    pub(crate) route: Option<Stored<Route>>,
    pub(crate) revisions: Vec<Stored<Revision>>,
    pub(crate) others: Others,
    /// A Route of this name exists that the Service does not own.
    pub(crate) route_taken: bool,
}

/// What has to be known about the objects of others: names of revisions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Others {
    /// Own ones that Routes of others need.
    pub(crate) needed: BTreeSet<String>,
    /// Those of others that begin with the same name.
    pub(crate) taken: BTreeSet<String>,
}

/// The objects as they should be.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) history: History,
    pub(crate) status: ServiceStatus,
    /// None: the Route of that name is somebody else's.
    pub(crate) routing: Option<(Route, RouteEntry)>,
}

/// A Configuration and its revisions as they should be.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) configuration: Configuration,
    pub(crate) new_revision: Option<Revision>,
    /// Revisions of a Configuration before that one, which go on as its own.
    pub(crate) adopted: Vec<Stored<Revision>>,
    /// Names of revisions that nothing needs any more.
    pub(crate) garbage: Vec<String>,
}

/// Plans from what was observed. `uid` makes identities.
pub(crate) fn plan(
    observed: &Observed,
    config: &Config,
    uid: impl Fn() -> String,
    now: Timestamp,
) -> Plan {
    let service = &observed.service.object;
    let known: Vec<&Revision> = observed.revisions.iter().map(|r| &r.object).collect();
    let before = observed.configuration.as_ref().map(|c| &c.object);
    let wanted = configuration::wanted(service, before, &known, &uid, now);
    let mut history = history(wanted, &observed.revisions, &observed.others.taken, &uid, now);
    let verdict = ready(&history.configuration);

    let before = observed.route.as_ref().map(|r| &r.object);
    let mut route = route::wanted(service, before, &uid, now);
    let latest = configuration::latest_ready(&known);
    let latest = |_: &str| latest.ok_or_else(|| route::no_revision(&verdict));
    let assignment = route::assign(&route, latest, &known);
    let url = config.url(meta::namespace(service), meta::name(service));
    route.status = Some(route::status(&route, &assignment, &url, now));

    let mut needed = observed.others.needed.clone();
    needed.extend(assignment.traffic.iter().filter_map(|t| t.revision_name.clone()));
    history.garbage = garbage(&history.configuration, &needed, &known, config.keep_revisions);
    let entry = route::entry(&route, &assignment, &known);
    let routing = (!observed.route_taken).then_some((route, entry));
    let route = routing.as_ref().map(|(route, _)| route);
    let status = service_status(service, &history.configuration, route, &url, now);
    Plan { history, status, routing }
}

/// Plans for a Configuration that stands alone.
pub(crate) fn standalone(
    configuration: &Configuration,
    revisions: &[Stored<Revision>],
    others: &Others,
    keep: usize,
    uid: impl Fn() -> String,
    now: Timestamp,
) -> History {
    let mut history = history(configuration.clone(), revisions, &others.taken, uid, now);
    let known: Vec<&Revision> = revisions.iter().map(|r| &r.object).collect();
    history.garbage = garbage(&history.configuration, &others.needed, &known, keep);
    history
}

/// The snapshot of the configuration's template and the status that follows; no garbage yet.
fn history(
    mut configuration: Configuration,
    revisions: &[Stored<Revision>],
    taken: &BTreeSet<String>,
    uid: impl FnOnce() -> String,
    now: Timestamp,
) -> History {
    let known: Vec<&Revision> = revisions.iter().map(|r| &r.object).collect();
    let current = revision::current(&configuration, &known, taken, uid, now);
    let outcome = current.as_ref().map(Current::revision);
    let status = configuration::status(&configuration, outcome, &known, now);
    let new_revision = current.ok().and_then(Current::into_new);
    configuration.status = Some(status);
    let owner = meta::owner("Configuration", &configuration.metadata);
    let strange = |r: &&Stored<Revision>| !meta::is_owned_by(&r.object.metadata, Some(&owner.uid));
    let adopt = |stored: &Stored<Revision>| {
        let mut adopted = stored.clone();
        let metadata = &mut adopted.object.metadata;
        metadata.owner_references = Some(vec![owner.clone()]);
        if let Some(service) = meta::owning_service(&configuration.metadata) {
            metadata.labels = Some(meta::labels(metadata, &[(LABEL_SERVICE, &service.name)]));
        }
        adopted
    };
    let adopted = revisions.iter().filter(strange).map(adopt).collect();
    History { configuration, new_revision, adopted, garbage: Vec::new() }
}

fn ready(configuration: &Configuration) -> Verdict {
    let conditions = configuration.status.as_ref().map(|status| status.conditions.as_slice());
    Verdict::of(conditions.unwrap_or_default(), READY)
}

/// What a Service says whose name somebody else's object has.
pub(crate) fn not_owned(kind: &str, name: &str) -> Verdict {
    let message = format!("There is an existing {kind} {name:?} that we do not own.");
    Verdict::failed(reasons::NOT_OWNED, message)
}

/// The status of a Service whose name an object of this kind has that is not its own.
pub(crate) fn taken(service: &Service, kind: &str, now: Timestamp) -> ServiceStatus {
    let mut status = service.status.clone().unwrap_or_default();
    status.observed_generation = service.metadata.generation.unwrap_or(1);
    let verdict = not_owned(kind, meta::name(service));
    let waiting =
        Verdict::unknown(reasons::NOT_OWNED, "the configuration of the service is missing");
    conditions::set(&mut status.conditions, CONFIGURATIONS_READY, &verdict, now);
    conditions::set(&mut status.conditions, ROUTES_READY, &waiting, now);
    conditions::sum_up(&mut status.conditions, &[CONFIGURATIONS_READY, ROUTES_READY], now);
    status
}

fn service_status(
    service: &Service,
    configuration: &Configuration,
    route: Option<&Route>,
    url: &str,
    now: Timestamp,
) -> ServiceStatus {
    let mut status = service.status.clone().unwrap_or_default();
    status.observed_generation = service.metadata.generation.unwrap_or(1);
    status.url = Some(url.to_owned());
    status.address = Some(Address { url: Some(url.to_owned()) });
    let made = configuration.status.clone().unwrap_or_default();
    let routed = route.and_then(|route| route.status.clone()).unwrap_or_default();
    status.latest_created_revision_name = made.latest_created_revision_name;
    status.latest_ready_revision_name = made.latest_ready_revision_name;
    status.traffic = routed.traffic;
    let configured = Verdict::of(&made.conditions, READY);
    let assigned = match route {
        Some(_) => Verdict::of(&routed.conditions, READY),
        None => not_owned("Route", meta::name(service)),
    };
    conditions::set(&mut status.conditions, CONFIGURATIONS_READY, &configured, now);
    conditions::set(&mut status.conditions, ROUTES_READY, &assigned, now);
    conditions::sum_up(&mut status.conditions, &[CONFIGURATIONS_READY, ROUTES_READY], now);
    status
}

fn garbage(
    configuration: &Configuration,
    needed: &BTreeSet<String>,
    known: &[&Revision],
    keep: usize,
) -> Vec<String> {
    let status = configuration.status.as_ref();
    let latest = status.into_iter().flat_map(|status| {
        [&status.latest_created_revision_name, &status.latest_ready_revision_name]
    });
    let mut names: Vec<&str> = latest.flatten().map(String::as_str).collect();
    names.extend(needed.iter().map(String::as_str));
    let garbage = revision::garbage(known, &names, keep);
    garbage.into_iter().map(|revision| meta::name(revision).to_owned()).collect()
}

#[cfg(test)]
mod tests;
