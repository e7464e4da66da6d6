//! What every write passes before it is committed: a pipeline of pure functions over the new and
//! the old object.
//!
//! 1. **Decode** ([`decode`]): the body as the kind's type; unknown and duplicate fields are judged.
//! 2. **Default**: the server's own fields of `metadata`, then what the kind fills in.
//! 3. **Validate**: every [`Check`] over new and old, and what was looked up ([`mod@facts`]); all
//!    faults at once (422).
//! 4. **Policy** ([`hooks::Policy`]): what this platform does not want, though it is right (403), or what
//!    cannot be done here (422).
//! 5. **Quota** ([`hooks::Quota`]): how much there may be (429). What there is was counted before
//!    ([`count`]) and is an argument.
//!
//! A change passes all but quota, and an object that is answered and not stored the first three. A
//! removal passes policy only: it must be possible to remove what would not be admitted any more.
//! A dry run passes the same stages as the write that it tries, and ends before the commit.
//!
//! Nothing here reads a store, a clock or a configuration; the hooks are built once, in
//! [`Hooks::with`], from what the platform gives and the configuration asks for.

mod capacity;
mod count;
mod decode;
mod facts;
pub mod hooks;
mod image_policy;
mod object_quota;
mod part;

use std::sync::Arc;

use ebb_model::{Fault, Kind as FaultKind, Timestamp};
use serde_json::Value;

pub use capacity::Capacity;
pub(crate) use count::{UnderWay, usage};
pub(crate) use decode::{Strictness, type_meta};
pub(crate) use facts::{Facts, Lookup, facts};
use hooks::{Findings, Hooks, Operation, Review, Usage};
pub(crate) use part::update_status;

use crate::Config;
use crate::decode::Tree;
use crate::meta;
use crate::registry::Kind;
use crate::status::Failure;

/// Says what is wrong with a new object, given the old one when it is an update.
type Check = fn(&Kind, &Value, Option<&Value>) -> Vec<Fault>;

/// Every check, in order.
const CHECKS: &[Check] = &[|kind, new, old| (kind.validate)(new, old), meta::check];

/// An object that may be committed.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) object: Value,
    /// For the `Warning` header.
    pub(crate) warnings: Vec<String>,
}

/// Where a new object goes.
pub(crate) struct Place<'a> {
    pub(crate) namespace: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
    /// What is there already.
    pub(crate) usage: Usage,
    /// What was looked up to judge it.
    pub(crate) facts: &'a Facts,
}

impl Hooks {
    /// These hooks and those that the configuration asks for.
    pub(crate) fn with(mut self, config: &Config) -> Self {
        if let Some(policy) = image_policy::ImageRegistries::new(&config.image_registries) {
            self.policies.push(Arc::new(policy));
        }
        if let Some(capacity) = config.capacity {
            self.policies.push(Arc::new(capacity));
        }
        if let Some(quota) = object_quota::MaxObjects::new(config.max_objects) {
            self.quotas.push(Arc::new(quota));
        }
        self
    }
}

/// Admits a new object.
///
/// # Errors
/// 400 for what cannot be read, 422 for what is not valid, 403 or 422 for what a policy refuses,
/// 429 for what a quota does.
pub(crate) fn create(
    hooks: &Hooks,
    kind: &Kind,
    tree: Tree,
    strictness: Strictness,
    place: &Place<'_>,
    now: Timestamp,
) -> Result<Admitted, Failure> {
    let (mut object, mut warnings) = decode::decode(kind, tree, strictness)?;
    if meta::text(&object, "resourceVersion").is_some() {
        return Err(Failure::bad_request(
            "INVALID_RESOURCE_VERSION",
            "resourceVersion should not be set on objects to be created",
        ));
    }
    let name = meta::place(kind, &mut object, place.namespace, place.name)?;
    meta::prepare_create(kind, &mut object, now);
    (kind.default)(&mut object);
    validate(kind, &name, &object, None, place.facts)?;
    let review = review(Operation::Create, kind, None, Some(&object));
    warnings.extend(policy(hooks, kind, &name, &review)?);
    match hooks.check(&review, place.usage) {
        None => Ok(Admitted { object, warnings }),
        Some(fault) => Err(Failure::exhausted(kind, &name, fault)),
    }
}

/// Admits a change of `old`, judged by `facts`.
///
/// # Errors
/// As [`create`], without 429.
pub(crate) fn update(
    hooks: &Hooks,
    kind: &Kind,
    tree: Tree,
    strictness: Strictness,
    (old, facts): (&Value, &Facts),
) -> Result<Admitted, Failure> {
    let (mut object, mut warnings) = decode::decode(kind, tree, strictness)?;
    let name = meta::text(old, "name").unwrap_or_default();
    meta::place(kind, &mut object, meta::text(old, "namespace"), Some(name))?;
    meta::check_uid(kind, &object, old)?;
    meta::prepare_update(kind, &mut object, old);
    (kind.default)(&mut object);
    meta::count_generation(kind, &mut object, old);
    validate(kind, name, &object, Some(old), facts)?;
    let review = review(Operation::Update, kind, Some(old), Some(&object));
    warnings.extend(policy(hooks, kind, name, &review)?);
    Ok(Admitted { object, warnings })
}

/// Admits the removal of `old`. Warnings are not shown: its answer may be about many
/// objects.
///
/// # Errors
/// 403 for what a policy refuses.
pub(crate) fn delete(hooks: &Hooks, kind: &Kind, old: &Value) -> Result<(), Failure> {
    let name = meta::text(old, "name").unwrap_or_default();
    policy(hooks, kind, name, &review(Operation::Delete, kind, Some(old), None)).map(drop)
}

/// Admits an object that is answered and not stored, so that it needs no name.
///
/// # Errors
/// 400 for what cannot be read, 422 for what is not valid.
pub(crate) fn answered(
    kind: &Kind,
    tree: Tree,
    strictness: Strictness,
) -> Result<Admitted, Failure> {
    let (mut object, warnings) = decode::decode(kind, tree, strictness)?;
    (kind.default)(&mut object);
    let faults = (kind.validate)(&object, None);
    if faults.is_empty() {
        return Ok(Admitted { object, warnings });
    }
    Err(Failure::invalid(kind, meta::text(&object, "name").unwrap_or_default(), faults))
}

fn validate(
    kind: &Kind,
    name: &str,
    new: &Value,
    old: Option<&Value>,
    facts: &Facts,
) -> Result<(), Failure> {
    let mut faults: Vec<Fault> = CHECKS.iter().flat_map(|check| check(kind, new, old)).collect();
    faults.extend(facts.check(kind, new, old));
    if faults.is_empty() { Ok(()) } else { Err(Failure::invalid(kind, name, faults)) }
}

fn policy(
    hooks: &Hooks,
    kind: &Kind,
    name: &str,
    review: &Review<'_>,
) -> Result<Vec<String>, Failure> {
    let Findings { faults, warnings } = hooks.review(review);
    if faults.is_empty() {
        return Ok(warnings);
    }
    let denied = faults.iter().any(|fault| fault.kind != FaultKind::Invalid);
    Err(if denied { Failure::denied } else { Failure::invalid }(kind, name, faults))
}

fn review<'a>(
    operation: Operation,
    kind: &'a Kind,
    old: Option<&'a Value>,
    new: Option<&'a Value>,
) -> Review<'a> {
    let namespace = new.or(old).and_then(|object| meta::text(object, "namespace"));
    Review {
        operation,
        group: kind.group,
        resource: kind.plural,
        namespace: namespace.unwrap_or_default(),
        old,
        new,
    }
}

#[cfg(test)]
mod tests;
