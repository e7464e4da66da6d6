//! What every write passes before it is committed: pure functions, in this order.
//!
//! Decode as the kind's type, judge unknown and duplicate fields, give the object what the server
//! decides, fill in defaults, then run every [`Check`] over the new and the old object. Policy and
//! quota are further checks of the same shape; none exists in this piece.

use ebb_model::{Fault, Kind as FaultKind, Timestamp};
use serde_json::Value;

use crate::context::Query;
use crate::decode::{Decoded, Tree};
use crate::meta;
use crate::registry::Kind;
use crate::status::Failure;

/// Says what is wrong with a new object, given the old one when it is an update.
type Check = fn(&Kind, &Value, Option<&Value>) -> Vec<Fault>;

/// Every check, in order. All faults are reported at once.
const CHECKS: &[Check] = &[|kind, new, old| (kind.validate)(new, old), meta::check];

/// What to do about fields that are unknown or occur twice (`fieldValidation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strictness {
    Strict,
    Warn,
    Ignore,
}

impl Strictness {
    /// From the query; `Warn` when it says nothing, as in Kubernetes.
    pub(crate) fn of(query: &Query) -> Result<Self, Failure> {
        match query.get("fieldValidation") {
            Some("Strict") => Ok(Self::Strict),
            None | Some("Warn") => Ok(Self::Warn),
            Some("Ignore") => Ok(Self::Ignore),
            Some(other) => Err(Failure::bad_request(
                "INVALID_PARAMETER",
                format!(
                    "fieldValidation={other:?} is not known: Strict, Warn or Ignore is allowed"
                ),
            )),
        }
    }
}

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
}

/// Admits a new object.
///
/// # Errors
/// 400 for what cannot be read, 422 for what is not valid.
pub(crate) fn create(
    kind: &Kind,
    tree: Tree,
    strictness: Strictness,
    place: &Place<'_>,
    now: Timestamp,
) -> Result<Admitted, Failure> {
    let (mut object, warnings) = read(kind, tree, strictness)?;
    if meta::text(&object, "resourceVersion").is_some() {
        return Err(Failure::bad_request(
            "INVALID_RESOURCE_VERSION",
            "resourceVersion should not be set on objects to be created",
        ));
    }
    let name = meta::place(kind, &mut object, place.namespace, place.name)?;
    meta::prepare_create(kind, &mut object, now);
    (kind.default)(&mut object);
    check(kind, &name, &object, None)?;
    Ok(Admitted { object, warnings })
}

/// Admits a change of `old`.
///
/// # Errors
/// As [`create`].
pub(crate) fn update(
    kind: &Kind,
    tree: Tree,
    strictness: Strictness,
    old: &Value,
) -> Result<Admitted, Failure> {
    let (mut object, warnings) = read(kind, tree, strictness)?;
    let name = meta::text(old, "name").unwrap_or_default();
    meta::place(kind, &mut object, meta::text(old, "namespace"), Some(name))?;
    let uid = meta::text(&object, "uid");
    if uid.is_some() && uid != meta::text(old, "uid") {
        return Err(Failure::conflict(
            kind,
            name,
            "the object that has this name now is another one: metadata.uid differs",
        ));
    }
    meta::prepare_update(kind, &mut object, old);
    (kind.default)(&mut object);
    meta::count_generation(kind, &mut object, old);
    check(kind, name, &object, Some(old))?;
    Ok(Admitted { object, warnings })
}

fn check(kind: &Kind, name: &str, new: &Value, old: Option<&Value>) -> Result<(), Failure> {
    let faults: Vec<Fault> = CHECKS.iter().flat_map(|check| check(kind, new, old)).collect();
    if faults.is_empty() { Ok(()) } else { Err(Failure::invalid(kind, name, faults)) }
}

fn read(kind: &Kind, tree: Tree, strictness: Strictness) -> Result<(Value, Vec<String>), Failure> {
    let Tree { value, duplicates } = tree;
    type_meta(kind, &value)?;
    let Decoded { object, mut unknown } = (kind.decode)(value)?;
    if strictness == Strictness::Ignore {
        return Ok((object, Vec::new()));
    }
    unknown.sort();
    let faults: Vec<Fault> = unknown
        .iter()
        .map(|path| ("UNKNOWN_FIELD", "unknown", path))
        .chain(duplicates.iter().map(|path| ("DUPLICATE_KEY", "duplicate", path)))
        .map(|(code, word, path)| {
            Fault::new(code, FaultKind::Invalid, format!("{word} field {path:?}")).at(path.clone())
        })
        .collect();
    let sentences: Vec<String> = faults.iter().map(|fault| fault.message.clone()).collect();
    if strictness == Strictness::Strict && !faults.is_empty() {
        let message = format!(
            "{} in version {:?} cannot be handled as a {}: strict decoding error: {}",
            kind.kind,
            kind.version,
            kind.kind,
            sentences.join(", ")
        );
        return Err(Failure::bad_body(message, faults));
    }
    Ok((object, sentences))
}

/// The body must say that it is what the path is about. As in Kubernetes, its own kinds may leave
/// that out, and its Python client does.
fn type_meta(kind: &Kind, value: &Value) -> Result<(), Failure> {
    if !value.is_object() {
        return Err(Failure::bad_request("INVALID_JSON", "the request body is not an object"));
    }
    let api_version = kind.api_version();
    for (field, want) in [("apiVersion", api_version.as_str()), ("kind", kind.kind)] {
        match value.get(field) {
            Some(Value::String(given)) if given == want => {}
            None | Some(Value::Null) if kind.group.is_empty() => {}
            None | Some(Value::Null) => {
                return Err(Failure::bad_request(
                    "UNSUPPORTED_VERSION",
                    format!("{field} is missing: {want} is expected here"),
                ));
            }
            Some(given) => {
                return Err(Failure::bad_request(
                    "UNSUPPORTED_VERSION",
                    format!("{field} {given} does not belong here: {want} is expected"),
                ));
            }
        }
    }
    Ok(())
}
