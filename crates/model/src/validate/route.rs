//! Route: traffic without a template.

use super::service::{creator, own_metadata};
use super::{fault, traffic};
use crate::Fault;
use crate::knative::Route;

/// Longest name of a Route: it is one label of a host name (RFC 1035).
const NAME_MAX: usize = 63;

/// Everything that is wrong with `route`, given its former self when it is changed.
pub fn route(route: &Route, old: Option<&Route>) -> Vec<Fault> {
    let mut faults = own_metadata(&route.metadata, NAME_MAX);
    if route.spec.traffic.is_empty() {
        let fault = fault("REQUIRED_FIELD", "spec.traffic", "Required value: one share is needed");
        faults.push(fault.hint("name a configuration or a revision, with percent 100"));
    }
    faults.extend(traffic::check(&route.spec.traffic, traffic::Of::Route));
    faults.extend(old.and_then(|old| creator(&route.metadata, &old.metadata)));
    faults
}
