//! `metadata`: what belongs to the server, what the client may set, and what is checked.

use ebb_model::validate::metadata;
use ebb_model::{Fault, Timestamp};
use serde_json::{Map, Value, json};

use crate::owners;
use crate::registry::Kind;
use crate::status::Failure;

/// The characters that Kubernetes makes names of: no vowels, nothing that looks like another.
const SUFFIX: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Bytes of a `generateName` that are used.
const MAX_BASE: usize = 58;

/// A text under `metadata`, when it is there and not empty.
pub(crate) fn text<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object["metadata"][field].as_str().filter(|text| !text.is_empty())
}

/// Whether the object waits for its finalizers.
pub(crate) fn deleting(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// Whether somebody must act before the object may go.
pub(crate) fn has_finalizers(object: &Value) -> bool {
    // Those of a namespace itself stand in its spec.
    ["/metadata/finalizers", "/spec/finalizers"].into_iter().any(|at| {
        let finalizers = object.pointer(at).and_then(Value::as_array);
        finalizers.is_some_and(|finalizers| !finalizers.is_empty())
    })
}

fn metadata_of(object: &mut Value) -> &mut Map<String, Value> {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    match &mut object["metadata"] {
        Value::Object(map) => map,
        _ => unreachable!("it was just made an object"),
    }
}

/// A random UUID (RFC 9562, version 4).
pub(crate) fn new_uid() -> String {
    let mut bits = crate::entropy::bits();
    bits &= !(0xf << 76) & !(0x3 << 62);
    bits |= (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// The name of a new object: as given, or made from `generateName`. Its namespace is that of the path.
///
/// # Errors
/// 422 when there is neither; 400 when the object names another place than the path.
pub(crate) fn place(
    kind: &Kind,
    object: &mut Value,
    namespace: Option<&str>,
    name: Option<&str>,
) -> Result<String, Failure> {
    let metadata = metadata_of(object);
    let given = |metadata: &Map<String, Value>, field: &str| {
        metadata.get(field).and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned)
    };
    match (given(metadata, "namespace"), namespace) {
        (Some(given), Some(path)) if given != path => {
            return Err(Failure::bad_request(
                "NAMESPACE_MISMATCH",
                format!(
                    "the namespace of the provided object does not match the namespace sent on \
                     the request: {given:?} and {path:?}"
                ),
            ));
        }
        (_, Some(path)) => drop(metadata.insert("namespace".to_owned(), json!(path))),
        // As in Kubernetes, a namespace that there cannot be says nothing: tools put one into
        // everything.
        (_, None) => drop(metadata.remove("namespace")),
    }
    let own = given(metadata, "name");
    if let (Some(own), Some(path)) = (&own, name)
        && own != path
    {
        return Err(Failure::bad_request(
            "NAME_MISMATCH",
            format!("the name of the object ({own}) does not match the name on the URL ({path})"),
        ));
    }
    let chosen = match (own.or_else(|| name.map(str::to_owned)), given(metadata, "generateName")) {
        (Some(name), _) => name,
        (None, Some(base)) => format!("{}{}", shortened(&base), suffix()),
        (None, None) => {
            let fault = Fault::new(
                "INVALID_NAME",
                ebb_model::Kind::Invalid,
                "Required value: name or generateName is required",
            );
            return Err(Failure::invalid(kind, "", vec![fault.at("metadata.name")]));
        }
    };
    metadata.insert("name".to_owned(), json!(chosen));
    Ok(chosen)
}

/// As much of a `generateName` as leaves room for the suffix in a label, as in Kubernetes.
fn shortened(base: &str) -> &str {
    &base[..base.floor_char_boundary(MAX_BASE)]
}

fn suffix() -> String {
    let [random @ .., _, _, _, _, _, _, _, _, _, _, _] = crate::entropy::bits().to_be_bytes();
    random.iter().map(|byte| char::from(SUFFIX[usize::from(*byte) % SUFFIX.len()])).collect()
}

/// Takes `metadata.managedFields` out.
pub(crate) fn take_managers(object: &mut Value) -> Option<Value> {
    object.get_mut("metadata")?.as_object_mut()?.remove("managedFields")
}

/// Whether the client means the object that is there.
///
/// # Errors
/// 409 for another `metadata.uid`.
pub(crate) fn check_uid(kind: &Kind, object: &Value, old: &Value) -> Result<(), Failure> {
    let uid = text(object, "uid");
    if uid.is_some() && uid != text(old, "uid") {
        let name = text(old, "name").unwrap_or_default();
        let why = "the object that has this name now is another one: metadata.uid differs";
        return Err(Failure::conflict(kind, name, why));
    }
    Ok(())
}

/// Lists and maps of `metadata` that are not there when they are empty, as in Kubernetes.
const NEVER_EMPTY: &[&str] = &["labels", "annotations", "finalizers", "ownerReferences"];

fn drop_empty(metadata: &mut Map<String, Value>) {
    for field in NEVER_EMPTY {
        if matches!(metadata.get(*field), Some(value) if *value == json!({}) || *value == json!([]))
        {
            metadata.remove(*field);
        }
    }
}

/// The same of Kubernetes' own kinds; of a custom resource an empty map stays.
fn drop_empty_data(kind: &Kind, object: &mut Value) {
    if let Some(map) = object.as_object_mut().filter(|_| kind.strategic) {
        for field in ["data", "binaryData"] {
            if map.get(field).is_some_and(|data| *data == json!({})) {
                map.remove(field);
            }
        }
    }
}

/// Gives a new object what the server decides.
pub(crate) fn prepare_create(kind: &Kind, object: &mut Value, now: Timestamp) {
    let metadata = metadata_of(object);
    drop_empty(metadata);
    for field in SERVER_FIELDS {
        metadata.remove(*field);
    }
    metadata.insert("uid".to_owned(), json!(new_uid()));
    metadata.insert("creationTimestamp".to_owned(), json!(now.to_rfc3339_seconds()));
    if kind.generation {
        metadata.insert("generation".to_owned(), json!(1));
    }
    drop_status(kind, object);
    drop_kept(kind, object);
    drop_empty_data(kind, object);
}

/// Fields of `metadata` that clients cannot set. What they say about `managedFields` is judged
/// after admission, when the write is attributed.
const SERVER_FIELDS: &[&str] = &[
    "uid",
    "creationTimestamp",
    "generation",
    "resourceVersion",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
];

fn drop_status(kind: &Kind, object: &mut Value) {
    if kind.status
        && let Some(map) = object.as_object_mut()
    {
        map.remove("status");
    }
}

fn drop_kept(kind: &Kind, object: &mut Value) {
    if let Some(map) = object.as_object_mut() {
        kind.kept.iter().for_each(|field| drop(map.remove(*field)));
    }
}

/// Gives a changed object what the server keeps: identity, status and generation.
pub(crate) fn prepare_update(kind: &Kind, object: &mut Value, old: &Value) {
    let metadata = metadata_of(object);
    drop_empty(metadata);
    for field in SERVER_FIELDS {
        match old["metadata"].get(*field) {
            Some(kept) => drop(metadata.insert((*field).to_owned(), kept.clone())),
            None => drop(metadata.remove(*field)),
        }
    }
    drop_kept(kind, object);
    drop_empty_data(kind, object);
    for field in kind.kept {
        if let Some(kept) = old.get(*field) {
            object[*field] = kept.clone();
        }
    }
    drop_status(kind, object);
    if kind.status
        && let Some(status) = old.get("status")
    {
        object["status"] = status.clone();
    }
}

/// Counts a change of `spec`. Called after defaulting, so that what a default filled in before is
/// not a change; nor is another way of writing the same, such as that of an earlier version.
pub(crate) fn count_generation(kind: &Kind, object: &mut Value, old: &Value) {
    let same = |old: &Value| object["spec"] == old["spec"];
    let written_anew =
        || (kind.type_.decode)(old.clone()).is_ok_and(|decoded| same(&decoded.object));
    if kind.generation && !same(old) && !written_anew() {
        let before = old["metadata"]["generation"].as_i64().unwrap_or(0);
        object["metadata"]["generation"] = json!(before + 1);
    }
}

/// What is wrong with labels, annotations and finalizers.
pub(crate) fn check(_kind: &Kind, object: &Value, old: Option<&Value>) -> Vec<Fault> {
    let texts = |field: &str| -> Vec<(&str, &str)> {
        object["metadata"][field]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()))
            .collect()
    };
    let mut faults = metadata::labels(&texts("labels"), "metadata.labels");
    faults.extend(metadata::annotations(&texts("annotations"), "metadata.annotations"));
    faults.extend(owners::check(object));
    let finalizers = object["metadata"]["finalizers"].as_array().into_iter().flatten();
    for (index, finalizer) in finalizers.enumerate() {
        let at = format!("metadata.finalizers[{index}]");
        faults.extend(metadata::key(finalizer.as_str().unwrap_or_default(), &at).err());
        let new = old.is_some_and(|old| {
            deleting(old)
                && !old["metadata"]["finalizers"]
                    .as_array()
                    .is_some_and(|kept| kept.contains(finalizer))
        });
        if new {
            faults.push(
                Fault::new(
                    "FORBIDDEN_FIELD",
                    ebb_model::Kind::Invalid,
                    "no finalizer can be added while the object is being deleted",
                )
                .at(at),
            );
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_are_version_4() {
        let uid = new_uid();
        assert_eq!(uid.len(), 36);
        assert_eq!(uid.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&uid.as_bytes()[19]), "{uid}");
        assert_ne!(uid, new_uid());
    }

    #[test]
    fn a_namespace_is_taken_from_the_path() {
        let place = |kind, namespace: Option<&str>| {
            let mut object = json!({"metadata": {"name": "x", "namespace": "other"}});
            let placed = place(kind, &mut object, namespace, None);
            placed.map(|_| object["metadata"]["namespace"].clone()).map_err(|f| f.status.as_u16())
        };
        assert_eq!(place(&crate::kinds::namespace::KIND, None), Ok(Value::Null));
        assert_eq!(place(&crate::kinds::configmap::KIND, Some("other")), Ok(json!("other")));
        assert_eq!(place(&crate::kinds::configmap::KIND, Some("default")), Err(400));
    }
}
