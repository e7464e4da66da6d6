//! Revision: nobody changes what it runs, nor whom it belongs to.

use std::collections::BTreeMap;

use super::fault;
use crate::Fault;
use crate::knative::Revision;

/// Prefix of the labels that say which Configuration and Service a revision belongs to.
const OURS: &str = "serving.knative.dev/";

/// What is wrong with a change of a revision from `old` to `new`: labels and annotations may
/// change, nothing else.
pub fn revision(new: &Revision, old: &Revision) -> Vec<Fault> {
    let mut faults = Vec::new();
    if new.spec != old.spec {
        let message = "the spec of a revision never changes";
        let hint = "change the template of its service or configuration: that makes a new revision";
        faults.push(fault("REVISION_IMMUTABLE", "spec", message).hint(hint));
    }
    if ours(new) != ours(old) {
        let message = "labels under serving.knative.dev/ say what the revision belongs to";
        faults.push(fault("REVISION_IMMUTABLE", "metadata.labels", message).hint("leave them"));
    }
    if new.metadata.owner_references != old.metadata.owner_references {
        let message = "the owner of a revision never changes";
        let at = "metadata.ownerReferences";
        faults.push(fault("REVISION_IMMUTABLE", at, message).hint("leave it"));
    }
    faults
}

fn ours(revision: &Revision) -> BTreeMap<&str, &str> {
    let labels = revision.metadata.labels.iter().flatten();
    let ours = labels.filter(|(key, _)| key.starts_with(OURS));
    ours.map(|(key, value)| (key.as_str(), value.as_str())).collect()
}
