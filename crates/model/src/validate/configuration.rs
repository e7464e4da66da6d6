//! Configuration: the same template as that of a Service, without traffic.

use super::service::{creator, default_template, own_metadata, renamed, template};
use crate::Fault;
use crate::knative::Configuration;
use crate::name::SERVICE_NAME_MAX;

/// Fills in what was left out, as [`super::default_service`] does for a Service.
pub fn default_configuration(configuration: &mut Configuration) {
    default_template(&mut configuration.spec.template);
}

/// Everything that is wrong with `configuration`, given its former self when it is changed.
pub fn configuration(configuration: &Configuration, old: Option<&Configuration>) -> Vec<Fault> {
    // Its revisions are named after it, as those of a Service are.
    let mut faults = own_metadata(&configuration.metadata, SERVICE_NAME_MAX);
    faults.extend(template(&configuration.metadata, &configuration.spec.template));
    if let Some(old) = old {
        faults.extend(creator(&configuration.metadata, &old.metadata));
        faults.extend(renamed(&configuration.spec.template, &old.spec.template));
    }
    faults
}
