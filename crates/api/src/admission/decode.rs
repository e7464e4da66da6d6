//! The first stage: the tree of a body becomes an object of the kind.

use ebb_model::{Fault, Kind as FaultKind};
use serde_json::Value;

use crate::context::Query;
use crate::decode::{self, Decoded, Tree};
use crate::registry::Kind;
use crate::status::Failure;

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

/// Reads the body as the kind's type, and judges unknown and duplicate fields.
pub(super) fn decode(
    kind: &Kind,
    tree: Tree,
    strictness: Strictness,
) -> Result<(Value, Vec<String>), Failure> {
    let Tree { value, duplicates } = tree;
    type_meta(kind, &value)?;
    let Decoded { object, mut unknown } = (kind.type_.decode)(value)?;
    if strictness == Strictness::Ignore {
        return Ok((object, Vec::new()));
    }
    unknown.sort();
    let faults: Vec<Fault> = unknown
        .iter()
        .map(|path| ("UNKNOWN_FIELD", "unknown", path))
        .chain(duplicates.iter().map(|path| ("DUPLICATE_KEY", "duplicate", path)))
        .map(|(code, word, path)| {
            let fault = Fault::new(code, FaultKind::Invalid, format!("{word} field {path:?}"));
            let meant = (word == "unknown").then(|| decode::nearest(kind, path)).flatten();
            let fault = fault.at(path.clone());
            match meant {
                Some(meant) => fault.hint(format!("did you mean {meant}?")),
                None => fault,
            }
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
/// that out, and its client libraries do.
pub(crate) fn type_meta(kind: &Kind, value: &Value) -> Result<(), Failure> {
    if !value.is_object() {
        return Err(Failure::bad_request("INVALID_JSON", "the request body is not an object"));
    }
    let api_version = kind.api_version();
    for (field, want) in [("apiVersion", api_version.as_str()), ("kind", kind.kind)] {
        match value.get(field) {
            Some(Value::String(given)) if given == want => {}
            None | Some(Value::Null) if kind.strategic => {}
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
