//! Reading and writing stored objects.

use bytes::Bytes;
use ebb_model::k8s::apimachinery::pkg::apis::meta::v1::Time;
use ebb_model::knative::Object;
use ebb_model::{Timestamp, key};
use ebb_store::{Commit, Precondition, Store, Value, Write};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// Group of the Knative kinds.
pub(crate) const SERVING: &str = "serving.knative.dev";

/// Who control is in the audit log.
pub(crate) const ACTOR: &str = "system:control";

/// Objects per page of a scan.
const PAGE: usize = 500;

/// An object with the version of the commit that wrote it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored<T> {
    pub(crate) object: T,
    pub(crate) version: u64,
}

pub(crate) fn service_key(namespace: &str, name: &str) -> String {
    key::object(SERVING, "services", namespace, name)
}

pub(crate) fn configuration_key(namespace: &str, name: &str) -> String {
    key::object(SERVING, "configurations", namespace, name)
}

pub(crate) fn route_key(namespace: &str, name: &str) -> String {
    key::object(SERVING, "routes", namespace, name)
}

pub(crate) fn revision_key(namespace: &str, name: &str) -> String {
    key::object(SERVING, "revisions", namespace, name)
}

/// The object under `key`, none when it does not exist.
pub(crate) async fn read<T: DeserializeOwned>(
    store: &dyn Store,
    key: &str,
) -> Result<Option<Stored<T>>, Error> {
    let Some(record) = store.get(key).await? else { return Ok(None) };
    let object = decode(&record.key, &record.value.data)?;
    Ok(Some(Stored { object, version: record.version }))
}

/// Every object whose key starts with `prefix`. One that cannot be decoded is logged and left out.
pub(crate) async fn list<T: DeserializeOwned>(
    store: &dyn Store,
    prefix: &str,
) -> Result<Vec<Stored<T>>, Error> {
    list_those(store, prefix, |_| true).await
}

/// As [`list`], of those only whose stored bytes are `wanted`.
pub(crate) async fn list_those<T: DeserializeOwned>(
    store: &dyn Store,
    prefix: &str,
    wanted: impl Fn(&[u8]) -> bool,
) -> Result<Vec<Stored<T>>, Error> {
    let mut objects = Vec::new();
    let (mut at, mut after): (Option<u64>, Option<String>) = (None, None);
    loop {
        let page = store.scan(prefix, at, after.as_deref(), PAGE).await?;
        at = Some(page.version);
        after = page.records.last().map(|record| record.key.clone());
        for record in page.records.into_iter().filter(|record| wanted(&record.value.data)) {
            match decode(&record.key, &record.value.data) {
                Ok(object) => objects.push(Stored { object, version: record.version }),
                Err(error) => tracing::error!(%error, "left out"),
            }
        }
        if !page.more || after.is_none() {
            return Ok(objects);
        }
    }
}

/// Every key with `prefix`, and the version that the list shows.
pub(crate) async fn keys(store: &dyn Store, prefix: &str) -> Result<(Vec<String>, u64), Error> {
    let mut keys = Vec::new();
    let (mut at, mut after): (Option<u64>, Option<String>) = (None, None);
    loop {
        let page = store.scan(prefix, at, after.as_deref(), PAGE).await?;
        at = Some(page.version);
        after = page.records.last().map(|record| record.key.clone());
        keys.extend(page.records.into_iter().map(|record| record.key));
        if !page.more || after.is_none() {
            return Ok((keys, page.version));
        }
    }
}

pub(crate) fn decode<T: DeserializeOwned>(key: &str, data: &Bytes) -> Result<T, Error> {
    serde_json::from_slice(data).map_err(|source| Error::Corrupt { key: key.to_owned(), source })
}

/// A commit in the making: writes with the precondition that makes each of them safe.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    commit: Commit,
}

impl Changes {
    /// Creates an object; a conflict when it exists already.
    pub(crate) fn create<T: Serialize>(&mut self, key: String, object: &T) -> Result<(), Error> {
        self.commit.preconditions.push(Precondition::Absent(key.clone()));
        self.write(key, object)
    }

    /// Replaces an object; a conflict when it is not the one that was read.
    pub(crate) fn update<T: Serialize>(
        &mut self,
        key: String,
        version: u64,
        object: &T,
    ) -> Result<(), Error> {
        self.commit.preconditions.push(Precondition::Version(key.clone(), version));
        self.write(key, object)
    }

    /// Makes an object so, given what was read of it. Nothing when it is so already.
    pub(crate) fn put<T: Serialize + PartialEq>(
        &mut self,
        key: String,
        before: Option<&Stored<T>>,
        object: &T,
    ) -> Result<(), Error> {
        match before {
            None => self.create(key, object),
            Some(before) if before.object != *object => self.update(key, before.version, object),
            Some(_) => Ok(()),
        }
    }

    /// Removes an object, or marks it when it has finalizers; a conflict when it is not the one
    /// that was read. Answers whether it is gone then.
    pub(crate) fn remove<S: Serialize + Clone, T: Serialize + Clone>(
        &mut self,
        key: String,
        stored: &Stored<Object<S, T>>,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let metadata = &stored.object.metadata;
        if metadata.finalizers.as_ref().is_none_or(Vec::is_empty) {
            self.commit.preconditions.push(Precondition::Version(key.clone(), stored.version));
            self.commit.writes.push(Write::Delete { key });
            return Ok(true);
        }
        if metadata.deletion_timestamp.is_none() {
            let mut marked = stored.object.clone();
            marked.metadata.deletion_timestamp = Some(Time(now.to_jiff()));
            marked.metadata.deletion_grace_period_seconds = Some(0);
            self.update(key, stored.version, &marked)?;
        }
        Ok(false)
    }

    /// Holds the commit to an object that is only read.
    pub(crate) fn unless_changed(&mut self, key: String, version: u64) {
        self.commit.preconditions.push(Precondition::Version(key, version));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.commit.writes.is_empty()
    }

    /// Applies all of it or nothing. Does nothing when there is nothing to write.
    pub(crate) async fn apply(mut self, store: &dyn Store) -> Result<(), Error> {
        if !self.is_empty() {
            ACTOR.clone_into(&mut self.commit.actor);
            store.commit(self.commit).await?;
        }
        Ok(())
    }

    fn write<T: Serialize>(&mut self, key: String, object: &T) -> Result<(), Error> {
        let value = encode(&key, object)?;
        self.commit.writes.push(Write::Put { key, value });
        Ok(())
    }
}

/// Writes an object of the live store, whatever was there before.
pub(crate) async fn put_live<T: Serialize>(
    live: &dyn Store,
    key: String,
    object: &T,
) -> Result<(), Error> {
    let value = encode(&key, object)?;
    let writes = vec![Write::Put { key, value }];
    live.commit(Commit { writes, actor: ACTOR.to_owned(), ..Commit::default() }).await?;
    Ok(())
}

/// Removes an object of the live store, if it is there.
pub(crate) async fn delete_live(live: &dyn Store, key: String) -> Result<(), Error> {
    let writes = vec![Write::Delete { key }];
    live.commit(Commit { writes, actor: ACTOR.to_owned(), ..Commit::default() }).await?;
    Ok(())
}

fn encode<T: Serialize>(key: &str, object: &T) -> Result<Value, Error> {
    let data = serde_json::to_vec(object)
        .map_err(|source| Error::Corrupt { key: key.to_owned(), source })?;
    Ok(Value {
        storage_version: ebb_store::json::STORAGE_VERSION,
        sealed: false,
        data: data.into(),
    })
}
