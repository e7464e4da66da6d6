//! Encrypts what must not be readable at rest.
//!
//! A value that is marked `sealed` is encrypted before it reaches the store inside and decrypted
//! when it leaves it. The cipher is XChaCha20-Poly1305: its first step (HChaCha20) derives a key
//! for every write from the master key and 16 bytes of the nonce, and its 24-byte nonces are drawn
//! from the kernel's random generator for every write, never from a generator or counter of this
//! process, so that a process or machine that was copied does not repeat one (a kernel that knows
//! that its machine was restored from a snapshot reseeds).
//!
//! What is stored: format (1 byte, 1), key id (8 bytes), nonce (24 bytes), ciphertext, tag (16
//! bytes). Format, key id and the record's key are authenticated with it, so a sealed value does
//! not open under another key of the store. Not prevented: somebody who can write the database can
//! bring back an older value of the same record.
//!
//! A key-check record, written when a store is sealed for the first time, makes a wrong key fail
//! at start and not at the first secret.

mod key;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

pub use key::Key;

use crate::{
    Change, Commit, Error, Precondition, Record, Scan, Source, Store, Value, WatchEvent, Watcher,
    Write,
};

/// Key of the record that tells a wrong key from a right one.
pub const KEY_CHECK: &str = "/ebb.dev/keychecks//sealing";

/// What the key-check record holds, sealed.
const KEY_CHECK_DATA: &[u8] = b"ebb key check 1";

/// A store that keeps sealed values encrypted in the store inside.
pub struct Sealing {
    inner: Arc<dyn Store>,
    key: Arc<Key>,
}

impl Sealing {
    /// Around `inner`, after checking that this is the key of what is already there.
    ///
    /// # Errors
    /// [`Error::KeyMismatch`] when it is not; otherwise as [`Store::get`] and [`Store::commit`].
    pub async fn new(inner: Arc<dyn Store>, key: Key) -> Result<Self, Error> {
        let sealing = Self { inner, key: Arc::new(key) };
        if sealing.get(KEY_CHECK).await?.is_some() {
            return Ok(sealing);
        }
        let data = Bytes::from_static(KEY_CHECK_DATA);
        let value = Value { storage_version: 1, sealed: true, data };
        let created = sealing
            .commit(Commit {
                preconditions: vec![Precondition::Absent(KEY_CHECK.to_owned())],
                writes: vec![Write::Put { key: KEY_CHECK.to_owned(), value }],
                actor: "ebb".to_owned(),
                ..Commit::default()
            })
            .await;
        match created {
            // Somebody else was first: then this must be the same key.
            Err(Error::Conflict { .. }) => sealing.get(KEY_CHECK).await.map(|_| sealing),
            created => created.map(|_| sealing),
        }
    }
}

impl std::fmt::Debug for Sealing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealing").field("key", &self.key).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for Sealing {
    async fn get(&self, key: &str) -> Result<Option<Record>, Error> {
        self.inner.get(key).await?.map(|record| open(&self.key, record)).transpose()
    }

    async fn scan(
        &self,
        prefix: &str,
        at: Option<u64>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Scan, Error> {
        let Scan { records, version, more } = self.inner.scan(prefix, at, after, limit).await?;
        let records = records.into_iter().map(|record| open(&self.key, record));
        Ok(Scan { records: records.collect::<Result<_, _>>()?, version, more })
    }

    async fn count(&self, prefix: &str, at: u64, after: Option<&str>) -> Result<u64, Error> {
        self.inner.count(prefix, at, after).await
    }

    async fn commit(&self, mut commit: Commit) -> Result<u64, Error> {
        for write in &mut commit.writes {
            if let Write::Put { key, value } = write
                && value.sealed
            {
                value.data = self.key.seal(key, &value.data)?.into();
            }
        }
        self.inner.commit(commit).await
    }

    async fn watch(&self, prefix: &str, since: u64) -> Result<Watcher, Error> {
        let inner = Some(self.inner.watch(prefix, since).await?);
        Ok(Watcher::new(Opened { inner, progress: since, key: Arc::clone(&self.key) }))
    }
}

fn open(key: &Key, mut record: Record) -> Result<Record, Error> {
    if record.value.sealed {
        record.value.data = key.open(&record.key, &record.value.data)?.into();
    }
    Ok(record)
}

struct Opened {
    /// None after an error.
    inner: Option<Watcher>,
    /// How far the watcher inside was before the change that it gave out last.
    progress: u64,
    key: Arc<Key>,
}

impl Opened {
    /// The change in the clear: the same where nothing of it is sealed.
    fn open(&self, change: Arc<Change>) -> Result<Arc<Change>, Error> {
        let sealed = |record: &Record| record.value.sealed;
        let opened = match change.event() {
            WatchEvent::Put { record, previous }
                if sealed(record) || previous.as_ref().is_some_and(sealed) =>
            {
                WatchEvent::Put {
                    record: open(&self.key, record.clone())?,
                    previous: previous.clone().map(|record| open(&self.key, record)).transpose()?,
                }
            }
            WatchEvent::Delete { previous, version } if sealed(previous) => {
                let previous = open(&self.key, previous.clone())?;
                WatchEvent::Delete { previous, version: *version }
            }
            WatchEvent::Put { .. } | WatchEvent::Delete { .. } => return Ok(change),
        };
        Ok(Arc::new(Change::new(opened)))
    }
}

#[async_trait]
impl Source for Opened {
    async fn next(&mut self) -> Option<Result<Arc<Change>, Error>> {
        let inner = self.inner.as_mut()?;
        self.progress = inner.progress();
        let change = inner.next_shared().await?.and_then(|change| self.open(change));
        if change.is_err() {
            self.inner = None;
        }
        Some(change)
    }

    fn progress(&self) -> u64 {
        self.inner.as_ref().map_or(self.progress, Watcher::progress)
    }
}

#[cfg(test)]
mod tests;
