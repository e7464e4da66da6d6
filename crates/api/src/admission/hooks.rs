//! The hooks of the pipeline: what a platform may refuse beyond what is wrong.

use std::sync::Arc;

use ebb_model::Fault;
use serde_json::Value;

/// What is to be done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Make it.
    Create,
    /// Change it.
    Update,
    /// Remove it.
    Delete,
}

/// One write as hooks see it, defaulted and valid. It is the same for a dry run.
#[derive(Clone, Copy, Debug)]
pub struct Review<'a> {
    /// What is to be done.
    pub operation: Operation,
    /// API group, empty for core.
    pub group: &'a str,
    /// Plural of the kind, such as `services`.
    pub resource: &'a str,
    /// Namespace; empty for a cluster-scoped kind.
    pub namespace: &'a str,
    /// The object as it is; none when it is made.
    pub old: Option<&'a Value>,
    /// The object as it shall be; none when it is removed.
    pub new: Option<&'a Value>,
}

/// What a policy says about a write.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// Why it is refused: 422 when every fault is of the kind `Invalid`, else 403; empty when it is
    /// not.
    pub faults: Vec<Fault>,
    /// What whoever asked should know about it; shown for what is made or changed.
    pub warnings: Vec<String>,
}

/// A rule of this platform about objects. Pure: the same write gets the same answer.
pub trait Policy: Send + Sync {
    /// What there is to say about a write.
    fn review(&self, review: &Review<'_>) -> Findings;
}

/// What is there already, counted for the quotas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Objects of the kind in the namespace (in all, for a cluster-scoped kind), and those that
    /// are being made at the same time.
    pub objects: u64,
}

/// A limit on how much there may be. Pure: what is there is counted before and given to it.
pub trait Quota: Send + Sync {
    /// Whether it limits objects of this kind, so that they must be counted.
    fn counts(&self, group: &str, resource: &str) -> bool;

    /// Why a write would be too much (429); none when it would not.
    fn check(&self, review: &Review<'_>, usage: Usage) -> Option<Fault>;
}

/// Every hook, asked in order. All policies are asked, then the quotas until one refuses.
#[derive(Clone, Default)]
pub struct Hooks {
    /// Asked about every write.
    pub policies: Vec<Arc<dyn Policy>>,
    /// Asked about every write that makes an object.
    pub quotas: Vec<Arc<dyn Quota>>,
}

impl Hooks {
    /// What all policies say.
    pub(crate) fn review(&self, review: &Review<'_>) -> Findings {
        let mut all = Findings::default();
        for policy in &self.policies {
            let Findings { faults, warnings } = policy.review(review);
            all.faults.extend(faults);
            all.warnings.extend(warnings);
        }
        all
    }

    /// Whether a quota wants objects of this kind counted.
    pub(crate) fn counts(&self, group: &str, resource: &str) -> bool {
        self.quotas.iter().any(|quota| quota.counts(group, resource))
    }

    /// The first quota's refusal.
    pub(crate) fn check(&self, review: &Review<'_>, usage: Usage) -> Option<Fault> {
        let mut quotas = self.quotas.iter().filter(|q| q.counts(review.group, review.resource));
        quotas.find_map(|quota| quota.check(review, usage))
    }
}
