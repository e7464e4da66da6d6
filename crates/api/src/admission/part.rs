//! Admission of a change of `status` alone.

use serde_json::Value;

use super::hooks::{Hooks, Operation};
use super::{Admitted, Facts, Strictness, decode, policy, review};
use crate::decode::Tree;
use crate::kinds::namespace;
use crate::meta;
use crate::registry::Kind;
use crate::status::Failure;
use ebb_model::{Fault, Kind as FaultKind};

/// Admits a change of the status of `old`; everything else in the body is what it was.
///
/// # Errors
/// As [`super::update`].
pub(crate) fn update_status(
    hooks: &Hooks,
    kind: &Kind,
    tree: Tree,
    strictness: Strictness,
    (old, _): (&Value, &Facts),
) -> Result<Admitted, Failure> {
    let (mut given, mut warnings) = decode::decode(kind, tree, strictness)?;
    let name = meta::text(old, "name").unwrap_or_default();
    meta::place(kind, &mut given, meta::text(old, "namespace"), Some(name))?;
    meta::check_uid(kind, &given, old)?;
    let mut object = old.clone();
    match given.get_mut("status").map(Value::take) {
        None | Some(Value::Null) => {
            object.as_object_mut().map(|map| map.remove("status"));
        }
        Some(status) => object["status"] = status,
    }
    meta::take_managers(&mut object);
    (kind.default)(&mut object);
    let faults = phase(kind, &object);
    if !faults.is_empty() {
        return Err(Failure::invalid(kind, name, faults));
    }
    let review = review(Operation::Update, kind, Some(old), Some(&object));
    warnings.extend(policy(hooks, kind, name, &review)?);
    Ok(Admitted { object, warnings })
}

/// A Namespace is active until it is deleted, and terminating then.
fn phase(kind: &Kind, object: &Value) -> Vec<Fault> {
    if kind.plural != namespace::KIND.plural {
        return Vec::new();
    }
    let (want, when) =
        if meta::deleting(object) { ("Terminating", "not empty") } else { ("Active", "empty") };
    let given = &object["status"]["phase"];
    if given == want {
        return Vec::new();
    }
    let why =
        format!("Invalid value: {given}: may only be '{want}' if `deletionTimestamp` is {when}");
    vec![Fault::new("INVALID_VALUE", FaultKind::Invalid, why).at("status.phase")]
}
