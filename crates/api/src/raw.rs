//! Stored objects as bytes: what has to change in the answer is put in its place, and the rest is
//! copied as it is, which is many times faster than reading and writing every field.

use ebb_store::Record;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::registry::Kind;
use crate::status::Failure;
use crate::storage;

/// A name with its quotes and a value, as they are written.
type Field<'a> = (&'a [u8], &'a [u8]);

/// Appends the object in `record` as JSON, with kind and `metadata.resourceVersion`. `version` is
/// the record's, or that at which the object was removed.
///
/// # Errors
/// 500 when it is not the JSON object that was once written.
pub(crate) fn object(
    kind: &Kind,
    record: &Record,
    version: u64,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let data = record.value.data.as_ref();
    let cut = fields(data).and_then(|all| Some((fields(value_of(&all, b"\"metadata\"")?)?, all)));
    let Some((metadata, all)) = cut else {
        let mut object = storage::read(kind, record)?;
        storage::set_version(&mut object, version);
        out.extend_from_slice(object.to_string().as_bytes());
        return Ok(());
    };
    out.reserve(data.len() + 128);
    out.extend_from_slice(b"{\"apiVersion\":\"");
    if !kind.group.is_empty() {
        out.extend_from_slice(kind.group.as_bytes());
        out.push(b'/');
    }
    for text in [kind.version, "\",\"kind\":\"", kind.kind, "\",\"metadata\":"] {
        out.extend_from_slice(text.as_bytes());
    }
    with_version(&metadata, version, out);
    for (name, value) in all {
        if !matches!(name, b"\"apiVersion\"" | b"\"kind\"" | b"\"metadata\"") {
            field(name, value, out);
        }
    }
    out.push(b'}');
    Ok(())
}

/// Appends what Kubernetes calls `PartialObjectMetadata`: the object in `record` without anything
/// but its metadata. `version` is as for [`object`].
///
/// # Errors
/// As [`object`].
pub(crate) fn partial(
    kind: &Kind,
    record: &Record,
    version: u64,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    out.extend_from_slice(
        b"{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":",
    );
    let all = fields(&record.value.data);
    let metadata = all.and_then(|all| fields(value_of(&all, b"\"metadata\"")?));
    if let Some(metadata) = metadata {
        with_version(&metadata, version, out);
    } else {
        let mut object = storage::read(kind, record)?;
        storage::set_version(&mut object, version);
        out.extend_from_slice(object["metadata"].to_string().as_bytes());
    }
    out.push(b'}');
    Ok(())
}

/// Namespace, name and labels, in the place that they have in the object: enough for most
/// selectors.
///
/// # Errors
/// As [`object`].
pub(crate) fn outline(kind: &Kind, record: &Record) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    struct Outline {
        name: Option<Value>,
        namespace: Option<Value>,
        labels: Option<Value>,
    }
    let all = fields(&record.value.data);
    let outline = all
        .and_then(|all| serde_json::from_slice::<Outline>(value_of(&all, b"\"metadata\"")?).ok());
    let Some(Outline { name, namespace, labels }) = outline else {
        return storage::read(kind, record);
    };
    Ok(json!({ "metadata": { "name": name, "namespace": namespace, "labels": labels } }))
}

fn value_of<'a>(fields: &[Field<'a>], name: &[u8]) -> Option<&'a [u8]> {
    fields.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

fn with_version(metadata: &[Field<'_>], version: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"resourceVersion\":\"");
    out.extend_from_slice(version.to_string().as_bytes());
    out.push(b'"');
    for (name, value) in metadata {
        if *name != b"\"resourceVersion\"" {
            field(name, value, out);
        }
    }
    out.push(b'}');
}

fn field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.push(b',');
    out.extend_from_slice(name);
    out.push(b':');
    out.extend_from_slice(value);
}

/// The fields of an object; none when `bytes` are not one object. What is in the values is not
/// looked at beyond where they end: it was JSON when it was stored.
fn fields(bytes: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut at = blank(bytes, 0);
    if bytes.get(at) != Some(&b'{') {
        return None;
    }
    let mut fields = Vec::with_capacity(16);
    at = blank(bytes, at + 1);
    if bytes.get(at) == Some(&b'}') {
        return (blank(bytes, at + 1) == bytes.len()).then_some(fields);
    }
    loop {
        let name = (at, text_end(bytes, at)?);
        at = blank(bytes, name.1);
        if bytes.get(at) != Some(&b':') {
            return None;
        }
        at = blank(bytes, at + 1);
        let value = (at, value_end(bytes, at)?);
        fields.push((bytes.get(name.0..name.1)?, bytes.get(value.0..value.1)?));
        at = blank(bytes, value.1);
        match bytes.get(at)? {
            b',' => at = blank(bytes, at + 1),
            b'}' => return (blank(bytes, at + 1) == bytes.len()).then_some(fields),
            _ => return None,
        }
    }
}

/// The first place from `at` on that is not blank.
fn blank(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count()
}

/// Where the text that begins at `at` ends.
fn text_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut rest = bytes.get(at..)?.iter().enumerate();
    if rest.next()?.1 != &b'"' {
        return None;
    }
    while let Some((offset, byte)) = rest.next() {
        match byte {
            b'"' => return Some(at + offset + 1),
            b'\\' => drop(rest.next()),
            _ => {}
        }
    }
    None
}

/// Where the value that begins at `at` ends.
fn value_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0usize;
    loop {
        match bytes.get(at)? {
            b'"' => at = text_end(bytes, at)?,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
                continue;
            }
            b'}' | b']' if depth > 0 => {
                depth -= 1;
                at += 1;
            }
            b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' if depth > 0 => {
                at += 1;
                continue;
            }
            _ => {
                let rest = bytes.get(at..)?.iter();
                let length = rest.take_while(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b));
                match length.count() {
                    0 => return None,
                    length => at += length,
                }
            }
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ebb_store::Value as Stored;
    use proptest::prelude::*;

    use super::*;
    use crate::kinds::{pod, service};

    fn record(data: &[u8]) -> Record {
        let data = Bytes::copy_from_slice(data);
        let value = Stored { storage_version: 1, sealed: false, data };
        Record { key: "/core/pods/n/x".to_owned(), value, create_version: 3, version: 7 }
    }

    fn written(kind: &Kind, record: &Record) -> Value {
        let mut out = Vec::new();
        object(kind, record, 7, &mut out).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e300f64..1e300).prop_map(Value::from),
            "[\\\\\"{}\\[\\]:, a\u{e9}\u{1}\n]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            let name = "[\\\\\"{}:,a-c]{0,4}";
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(name, inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_copied_is_what_would_be_read(
            fields in prop::collection::btree_map("[a-z\\\\\"]{1,5}", any_json(), 0..5),
            metadata in prop::collection::btree_map("[a-z\\\\\"]{1,5}", any_json(), 0..5),
            labels in prop::option::of(any_json()),
            pretty in any::<bool>(),
        ) {
            let mut stored = Value::Object(fields.into_iter().collect());
            stored["metadata"] = Value::Object(metadata.into_iter().collect());
            stored["metadata"]["resourceVersion"] = json!("1");
            if let Some(labels) = labels {
                stored["metadata"]["labels"] = labels;
            }
            let data = if pretty { serde_json::to_vec_pretty(&stored) } else { serde_json::to_vec(&stored) };
            let record = record(&data.unwrap());
            let read = storage::read(&service::KIND, &record).unwrap();
            prop_assert_eq!(&written(&service::KIND, &record), &read);
            let mut out = Vec::new();
            partial(&service::KIND, &record, record.version, &mut out).unwrap();
            let partial = json!({
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": read["metadata"],
            });
            prop_assert_eq!(&serde_json::from_slice::<Value>(&out).unwrap(), &partial);
            let outline = outline(&service::KIND, &record).unwrap();
            prop_assert_eq!(&outline["metadata"]["labels"], &read["metadata"]["labels"]);
        }

        #[test]
        fn nothing_that_is_stored_makes_it_panic(data in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = object(&pod::KIND, &record(&data), 1, &mut Vec::new());
        }
    }

    #[test]
    fn what_was_not_stored_whole_is_completed_or_refused() {
        let bare = written(&pod::KIND, &record(b"{\"kind\":\"Nonsense\"}"));
        assert_eq!(
            bare,
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"resourceVersion": "7"}})
        );
        for bad in [&b""[..], b"{", b"[]", b"{\"metadata\":{}", b"{\"metadata\":{}}x", b"{\"a\" 1}"]
        {
            assert!(object(&pod::KIND, &record(bad), 1, &mut Vec::new()).is_err());
        }
    }
}
