//! Quota: so many objects of a kind and namespace.

use ebb_model::{Fault, Kind as FaultKind};

use super::hooks::{Operation, Quota, Review, Usage};

/// Limits the objects that clients make of each kind, in each namespace. Events are not limited:
/// they expire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MaxObjects {
    most: u64,
}

impl MaxObjects {
    /// None for 0, which is no limit.
    pub(crate) fn new(most: u64) -> Option<Self> {
        (most > 0).then_some(Self { most })
    }
}

impl Quota for MaxObjects {
    fn counts(&self, group: &str, resource: &str) -> bool {
        (group, resource) != ("", "events")
    }

    fn check(&self, review: &Review<'_>, usage: Usage) -> Option<Fault> {
        if review.operation != Operation::Create || usage.objects < self.most {
            return None;
        }
        let place = match review.namespace {
            "" => "there are".to_owned(),
            namespace => format!("namespace {namespace:?} has"),
        };
        let resource = review.resource;
        let message = format!(
            "exceeded quota: api.max_objects, requested: {resource}=1, used: {resource}={}, \
             limited: {resource}={}",
            usage.objects, self.most
        );
        let hint = format!("{place} as many {resource} as are allowed: delete some first");
        Some(Fault::new("QUOTA_EXCEEDED", FaultKind::Exhausted, message).hint(hint))
    }
}
