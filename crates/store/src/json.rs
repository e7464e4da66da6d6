//! Objects stored as JSON.
//!
//! What is stored is the whole object without `metadata.resourceVersion`; what is read has it,
//! from the record's version, so that the two can never disagree. Works on `serde_json::Value` and
//! on every type with a `metadata`.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use crate::{Error, Record, Store, Value, Write};

/// Version of the stored form that [`put`] and [`put_sealed`] write.
pub const STORAGE_VERSION: u32 = 1;

/// Records that [`list`] reads at once.
const PAGE: usize = 500;

/// Objects of one prefix, all as of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T> {
    /// In key order.
    pub items: Vec<T>,
    /// The version, to watch from and for the list's own `resourceVersion`.
    pub version: u64,
}

/// The object under `key` with its `metadata.resourceVersion`; none when it does not exist.
///
/// # Errors
/// [`Error::Malformed`] when what is stored is not a `T`, and those of [`Store::get`].
pub async fn get<T: DeserializeOwned>(store: &dyn Store, key: &str) -> Result<Option<T>, Error> {
    store.get(key).await?.as_ref().map(decode).transpose()
}

/// Every object whose key starts with `prefix`, as of now.
///
/// # Errors
/// [`Error::Malformed`] when what is stored is not a `T`, and those of [`Store::scan`].
pub async fn list<T: DeserializeOwned>(store: &dyn Store, prefix: &str) -> Result<List<T>, Error> {
    let mut page = store.scan(prefix, None, None, PAGE).await?;
    let mut items = Vec::with_capacity(page.records.len());
    loop {
        for record in &page.records {
            items.push(decode(record)?);
        }
        let after = page.records.last().map(|record| record.key.clone());
        if !page.more || after.is_none() {
            return Ok(List { items, version: page.version });
        }
        page = store.scan(prefix, Some(page.version), after.as_deref(), PAGE).await?;
    }
}

/// The object of a record, with its `metadata.resourceVersion`.
///
/// # Errors
/// [`Error::Malformed`] when the record does not hold a `T`. The message never quotes the object:
/// it may be a secret.
pub fn decode<T: DeserializeOwned>(record: &Record) -> Result<T, Error> {
    let malformed = |error: &serde_json::Error| Error::Malformed {
        key: record.key.clone(),
        reason: format!("{:?} error at column {}", error.classify(), error.column()),
    };
    let mut object: Json =
        serde_json::from_slice(&record.value.data).map_err(|error| malformed(&error))?;
    if let Json::Object(fields) = &mut object {
        let metadata = fields.entry("metadata").or_insert_with(|| Json::Object(Map::new()));
        if let Json::Object(metadata) = metadata {
            metadata.insert("resourceVersion".to_owned(), record.version.to_string().into());
        }
    }
    serde_json::from_value(object).map_err(|error| malformed(&error))
}

/// A write that stores `object` under `key`, without `metadata.resourceVersion`.
///
/// # Errors
/// [`Error::Malformed`] when the object has no JSON form, such as a map with keys that are no text.
pub fn put<T: Serialize>(key: &str, object: &T) -> Result<Write, Error> {
    Ok(Write::Put { key: key.to_owned(), value: encode(key, object, false)? })
}

/// As [`put`], encrypted at rest.
///
/// # Errors
/// As [`put`].
pub fn put_sealed<T: Serialize>(key: &str, object: &T) -> Result<Write, Error> {
    Ok(Write::Put { key: key.to_owned(), value: encode(key, object, true)? })
}

fn encode<T: Serialize>(key: &str, object: &T, sealed: bool) -> Result<Value, Error> {
    let malformed = |error: serde_json::Error| Error::Malformed {
        key: key.to_owned(),
        reason: format!("{:?} error while it was encoded", error.classify()),
    };
    let mut object = serde_json::to_value(object).map_err(malformed)?;
    if let Some(Json::Object(metadata)) = object.get_mut("metadata") {
        metadata.remove("resourceVersion");
    }
    let data = Bytes::from(serde_json::to_vec(&object).map_err(malformed)?);
    Ok(Value { storage_version: STORAGE_VERSION, sealed, data })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::{Commit, memory::Memory};

    #[tokio::test]
    async fn the_resource_version_is_never_stored_and_always_read() {
        let store = Memory::new();
        let mut versions = Vec::new();
        for n in 0..1_203 {
            let object = json!({ "metadata": { "name": n, "resourceVersion": "7" }, "n": n });
            let write = put(&format!("/core/x/default/{n:05}"), &object).unwrap();
            let Write::Put { value, .. } = &write else { panic!() };
            assert!(!String::from_utf8_lossy(&value.data).contains("resourceVersion"));
            let commit = Commit { writes: vec![write], ..Commit::default() };
            versions.push(store.commit(commit).await.unwrap());
        }
        let list: List<Json> = list(&store, "/core/x/").await.unwrap();
        assert_eq!(list.version, *versions.last().unwrap());
        assert_eq!(list.items.len(), versions.len());
        for ((item, version), n) in list.items.iter().zip(&versions).zip(0..) {
            assert_eq!(item["n"], n);
            assert_eq!(item["metadata"]["resourceVersion"], version.to_string());
        }
        assert_eq!(get::<Json>(&store, "/core/x/default/nope").await.unwrap(), None);
    }

    #[test]
    fn an_object_that_does_not_fit_names_its_key_and_not_its_content() {
        #[derive(Debug, Deserialize)]
        struct Number {
            #[serde(rename = "n")]
            _n: u32,
        }
        let record = |data: &'static [u8]| Record {
            key: "/core/secrets/default/a".to_owned(),
            value: Value { storage_version: 1, sealed: false, data: Bytes::from_static(data) },
            create_version: 1,
            version: 1,
        };
        for bad in [&b"{\"n\":\"hunter2\"}"[..], b"{\"n\":hunter2", b"", b"\"hunter2\""] {
            let error = decode::<Number>(&record(bad)).unwrap_err();
            assert_eq!(error.code(), "STORED_OBJECT_MALFORMED");
            let text = error.to_string();
            assert!(
                text.contains("/core/secrets/default/a") && !text.contains("hunter2"),
                "{text}"
            );
        }
        assert_eq!(decode::<Json>(&record(b"[1]")).unwrap(), json!([1]));
    }
}
