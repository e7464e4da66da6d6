//! Route: which revisions take which share of a service's requests.

use ebb_model::knative::{
    ALL_TRAFFIC_ASSIGNED, API_VERSION, Address, INGRESS_READY, LABEL_SERVICE, Revision, Route,
    RouteSpec, RouteStatus, Service, TrafficTarget,
};
use ebb_model::routing::{RouteEntry, RouteTarget};
use ebb_model::{RevisionKey, Timestamp};

use crate::conditions::{self, Verdict};
use crate::{meta, policy, reasons, revision};

/// The Route that `service` wants.
pub(crate) fn wanted(
    service: &Service,
    before: Option<&Route>,
    uid: impl FnOnce() -> String,
    now: Timestamp,
) -> Route {
    let (namespace, name) = (meta::namespace(service), meta::name(service));
    let mut metadata = match before {
        Some(before) => before.metadata.clone(),
        None => meta::new(namespace, name, uid(), now),
    };
    metadata.labels = Some(meta::labels(&service.metadata, &[(LABEL_SERVICE, name)]));
    metadata.annotations = meta::carried(&service.metadata);
    metadata.owner_references = Some(vec![meta::owner("Service", &service.metadata)]);
    let latest = TrafficTarget {
        latest_revision: Some(true),
        percent: Some(100),
        ..TrafficTarget::default()
    };
    let mut traffic = match service.spec.traffic[..] {
        [] => vec![latest],
        ref given => given.to_vec(),
    };
    for target in traffic.iter_mut().filter(|target| target.revision_name.is_none()) {
        target.configuration_name = Some(name.to_owned());
    }
    let spec = RouteSpec { traffic };
    if before.is_some_and(|before| before.spec != spec) {
        metadata.generation = Some(metadata.generation.unwrap_or(0) + 1);
    }
    Route {
        api_version: API_VERSION.to_owned(),
        kind: "Route".to_owned(),
        metadata,
        spec,
        status: before.and_then(|before| before.status.clone()),
    }
}

/// What a Route's traffic comes down to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Assignment {
    /// Shares with the names of their revisions.
    pub(crate) traffic: Vec<TrafficTarget>,
    /// Whether that is what the Route asks for.
    pub(crate) verdict: Verdict,
}

/// Resolves the traffic of `route`, given the latest ready revision of a Configuration by its name
/// and every revision that it may name. While a target is missing or not ready, what was assigned
/// before stays.
pub(crate) fn assign<'a>(
    route: &Route,
    latest_ready: impl Fn(&str) -> Result<&'a Revision, Verdict>,
    revisions: &[&'a Revision],
) -> Assignment {
    let only = route.spec.traffic.len() == 1;
    let mut traffic = Vec::new();
    for target in &route.spec.traffic {
        let configuration = target.configuration_name.as_deref().unwrap_or_default();
        let found = match &target.revision_name {
            Some(name) => named(name, revisions),
            None => latest_ready(configuration),
        };
        match found {
            Ok(revision) => traffic.push(TrafficTarget {
                revision_name: revision.metadata.name.clone(),
                latest_revision: Some(target.revision_name.is_none()),
                percent: target.percent.or_else(|| only.then_some(100)),
                ..TrafficTarget::default()
            }),
            Err(verdict) => {
                let before = route.status.as_ref().map(|status| status.traffic.clone());
                return Assignment { traffic: before.unwrap_or_default(), verdict };
            }
        }
    }
    Assignment { traffic, verdict: Verdict::ok() }
}

fn named<'a>(name: &str, revisions: &[&'a Revision]) -> Result<&'a Revision, Verdict> {
    let Some(found) = revisions.iter().find(|revision| meta::name(revision) == name) else {
        let message = format!("Revision {name:?} referenced in traffic not found.");
        return Err(Verdict::failed(reasons::REVISION_MISSING, message));
    };
    let ready = revision::verdict(found);
    if ready.is_true() {
        return Ok(found);
    }
    if ready.is_false() {
        let (reason, message) = (ready.reason.unwrap_or_default(), ready.message);
        let message = format!("the revision {name:?} failed: {}", message.unwrap_or_default());
        return Err(Verdict::failed(&reason, message));
    }
    Err(Verdict::unknown(reasons::REVISION_NOT_READY, format!("waiting for the revision {name:?}")))
}

/// Why a Configuration, whose own `Ready` says `configuration`, has no revision to follow.
pub(crate) fn no_revision(configuration: &Verdict) -> Verdict {
    if configuration.is_false() {
        return configuration.clone();
    }
    Verdict::unknown(reasons::REVISION_MISSING, "waiting for the first revision to become ready")
}

/// Why a Configuration that is not there cannot be followed.
pub(crate) fn no_configuration(name: &str) -> Verdict {
    let message = format!("Configuration {name:?} referenced in traffic not found.");
    Verdict::failed(reasons::CONFIGURATION_MISSING, message)
}

/// Why a Configuration cannot be followed whose revisions are gone, and which only waits for its
/// finalizers.
pub(crate) fn ending_configuration(name: &str) -> Verdict {
    let message = format!("Configuration {name:?} referenced in traffic is being deleted.");
    Verdict::failed(reasons::CONFIGURATION_MISSING, message)
}

/// The status of a Route that is assigned like this and published at `url`.
pub(crate) fn status(
    route: &Route,
    assignment: &Assignment,
    url: &str,
    now: Timestamp,
) -> RouteStatus {
    let mut status = route.status.clone().unwrap_or_default();
    status.observed_generation = route.metadata.generation.unwrap_or(1);
    status.url = Some(url.to_owned());
    status.address = Some(Address { url: Some(url.to_owned()) });
    status.traffic.clone_from(&assignment.traffic);
    let parts = [ALL_TRAFFIC_ASSIGNED, INGRESS_READY];
    conditions::set(&mut status.conditions, parts[0], &assignment.verdict, now);
    conditions::set(&mut status.conditions, parts[1], &Verdict::ok(), now);
    conditions::sum_up(&mut status.conditions, &parts, now);
    status
}

/// What the gateway has to know. Revisions that are gone and shares of nothing are left out.
pub(crate) fn entry(route: &Route, assignment: &Assignment, revisions: &[&Revision]) -> RouteEntry {
    let namespace = meta::namespace(route);
    let target = |target: &TrafficTarget| {
        let name = target.revision_name.as_deref()?;
        let revision = revisions.iter().find(|revision| meta::name(revision) == name)?;
        let percent = u8::try_from(target.percent.unwrap_or(0)).ok()?;
        let policy = policy::request(revision);
        let share = RouteTarget { revision: RevisionKey::new(namespace, name), percent, policy };
        Some(share).filter(|share| share.percent > 0)
    };
    RouteEntry {
        namespace: namespace.to_owned(),
        service: meta::name(route).to_owned(),
        targets: assignment.traffic.iter().filter_map(target).collect(),
        stopped: false,
    }
}
