//! The seam: what a store promises, whatever it is made of.

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Error, Watcher};

/// A versioned, ordered key space with atomic commits and watch.
///
/// Keys are `/<group>/<resource>/<namespace>/<name>` (`core` for the empty group, an empty
/// namespace part for cluster-scoped kinds) and are compared as bytes. Every commit has one `u64`
/// version, greater than that of every commit before it; versions may skip numbers and never
/// reorder. The version of the commit that last wrote a key is the object's `resourceVersion`.
#[async_trait]
pub trait Store: Send + Sync {
    /// The newest record of `key`, or none when it does not exist.
    async fn get(&self, key: &str) -> Result<Option<Record>, Error>;

    /// Records whose key starts with `prefix` and is greater than `after`, in key order, as they
    /// were at version `at` (none: now), at most `limit`. Fewer, but at least one, when they would
    /// hold more than [`crate::SCAN_BYTES`]; [`Scan::more`] then says so.
    ///
    /// # Errors
    /// [`Error::Compacted`] when `at` is older than what is retained; [`Error::FutureVersion`]
    /// when it has not been committed yet.
    async fn scan(
        &self,
        prefix: &str,
        at: Option<u64>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Scan, Error>;

    /// Number of records that a [`Store::scan`] without a limit would answer: their keys start with
    /// `prefix` and are greater than `after`, at version `at`. Reads no values.
    ///
    /// # Errors
    /// As [`Store::scan`].
    async fn count(&self, prefix: &str, at: u64, after: Option<&str>) -> Result<u64, Error>;

    /// Applies every write or none, and answers its version when they are durable. Dropping the
    /// future does not take the commit back.
    ///
    /// # Errors
    /// [`Error::Conflict`] naming the key of the first precondition that does not hold;
    /// [`Error::InvalidCommit`] when a key occurs twice or a limit is passed;
    /// [`Error::DiskFull`]. After [`Error::Unavailable`] the commit may or may not have happened:
    /// repeat it with an idempotency key or read first.
    async fn commit(&self, commit: Commit) -> Result<u64, Error>;

    /// Every change to keys with `prefix` after version `since`, in commit order without gaps:
    /// first what is retained of history, then what happens from now on. Usually `since` is the
    /// version of a [`Scan`].
    ///
    /// # Errors
    /// [`Error::Compacted`] when `since` is older than what is retained; [`Error::FutureVersion`]
    /// when it has not been committed yet.
    async fn watch(&self, prefix: &str, since: u64) -> Result<Watcher, Error>;
}

/// What is stored under a key.
#[derive(Clone, PartialEq, Eq)]
pub struct Value {
    /// Version of the stored form of `data`, for migrations.
    pub storage_version: u32,
    /// Whether `data` must be encrypted at rest.
    pub sealed: bool,
    /// The bytes; JSON for every kind so far.
    pub data: Bytes,
}

impl std::fmt::Debug for Value {
    /// Without `data`: it may be a secret, and it is long.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Value")
            .field("storage_version", &self.storage_version)
            .field("sealed", &self.sealed)
            .field("bytes", &self.data.len())
            .finish_non_exhaustive()
    }
}

/// A value with its key and versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its key.
    pub key: String,
    /// What is stored.
    pub value: Value,
    /// Version of the commit that created it (since it last did not exist).
    pub create_version: u64,
    /// Version of the commit that last wrote it.
    pub version: u64,
}

/// A page of records, all as of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// In key order.
    pub records: Vec<Record>,
    /// Version that the page shows.
    pub version: u64,
    /// Whether keys follow after the last record.
    pub more: bool,
}

/// Writes that are applied together, and what must hold for that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// All must hold.
    pub preconditions: Vec<Precondition>,
    /// Applied in order; a key may occur once.
    pub writes: Vec<Write>,
    /// Who asked for it; for the audit log.
    pub actor: String,
    /// Id of the request that caused it; for the audit log.
    pub request_id: String,
    /// A commit with a key that was committed before (within [`crate::IDEMPOTENCY_AGE`]) changes
    /// nothing and answers the same version, whatever its preconditions and writes are.
    pub idempotency_key: Option<String>,
}

/// What must hold of a key at the moment of the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// The key does not exist.
    Absent(String),
    /// The key exists.
    Exists(String),
    /// The key's record has this version.
    Version(String, u64),
    /// No key with this prefix exists.
    PrefixEmpty(String),
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Create or replace.
    Put {
        /// Key.
        key: String,
        /// New value.
        value: Value,
    },
    /// Remove. Nothing happens when the key does not exist.
    Delete {
        /// Key.
        key: String,
    },
}

/// A change, as a watcher sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    /// The key was created or replaced.
    Put {
        /// The record after the change.
        record: Record,
        /// The record before it, none when the key was created.
        previous: Option<Record>,
    },
    /// The key was removed.
    Delete {
        /// The record as it was.
        previous: Record,
        /// Version of the removing commit.
        version: u64,
    },
}

impl WatchEvent {
    /// Version of the commit that caused it.
    pub const fn version(&self) -> u64 {
        match self {
            Self::Put { record, .. } => record.version,
            Self::Delete { version, .. } => *version,
        }
    }

    /// Key that was changed.
    pub fn key(&self) -> &str {
        match self {
            Self::Put { record, .. } => &record.key,
            Self::Delete { previous, .. } => &previous.key,
        }
    }

    /// The record before the change, none when the key was created.
    pub const fn previous(&self) -> Option<&Record> {
        match self {
            Self::Put { previous, .. } => previous.as_ref(),
            Self::Delete { previous, .. } => Some(previous),
        }
    }
}
