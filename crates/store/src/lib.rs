//! The versioned, ordered key space that every declared resource lives in.
//!
//! # What
//!
//! One seam, [`Store`]: `get`, `scan`, `commit`, `watch`. Every commit is atomic, has preconditions
//! and gets one version; a version is the `resourceVersion` of what it wrote. Two implementations
//! stand behind it and pass the same [`conformance`] suite:
//!
//! - [`sqlite::Sqlite`], durable, the default for what users declare;
//! - [`memory::Memory`], for what merely mirrors the running machine (Pod, Node, Event), for tests
//!   and for simulation.
//!
//! Two wrappers are stores themselves: [`sealing::Sealing`] encrypts values that are marked
//! `sealed` before they reach the disk, [`fault::Faulty`] fails on purpose. [`json`] reads and
//! writes objects as JSON and keeps `metadata.resourceVersion` out of what is stored.
//!
//! # What not
//!
//! No idea of kinds, owners, defaults or permissions: that is the business of the doors above. No
//! queries but by key prefix. No retries: a caller that sees [`Error::Conflict`] reads again.
//!
//! # How it works
//!
//! A store keeps its newest records and, for a while, its history ([`Retention`]): a list can be
//! paged as of one version, and a watch resumed from a version that was seen. What is older is
//! compacted, and asking for it is answered with [`Error::Compacted`], never with a gap.
//!
//! `Sqlite` has one writer thread. It takes waiting commits from a bounded queue, runs each inside
//! its own savepoint of one transaction, and answers all of them after that transaction is on
//! disk, so that many commits share one `fsync`. Reads run on a few other connections and never
//! wait for the writer. `Memory` does the same under one lock.
//!
//! A watcher is registered first and then replays history up to the version of its registration,
//! page by page as it is read; what is committed later waits in its bounded queue. So there is
//! neither a gap nor a duplicate between the two, and a slow reader costs no thread. All watchers of
//! a change share one copy of it, and each can say up to which version of the whole store it has
//! given out everything ([`Watcher::progress`]), also when nothing that it is about happened.
//!
//! # Entry points
//!
//! [`sqlite::Sqlite::open`], [`memory::Memory::new`], [`sealing::Sealing::new`], [`json::get`].
//!
//! ```
//! use ebb_store::{Commit, Store, json, memory::Memory};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), ebb_store::Error> {
//! let store = Memory::new();
//! let object = serde_json::json!({ "metadata": { "name": "a" }, "data": { "k": "v" } });
//! let write = json::put("/core/configmaps/default/a", &object)?;
//! let version = store.commit(Commit { writes: vec![write], ..Commit::default() }).await?;
//!
//! let read: serde_json::Value = json::get(&store, "/core/configmaps/default/a").await?.unwrap();
//! assert_eq!(read["metadata"]["resourceVersion"], version.to_string());
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod check;
mod config;
pub mod conformance;
mod error;
pub mod fault;
mod files;
mod hub;
pub mod json;
pub mod memory;
pub mod sealing;
mod seam;
pub mod sqlite;
mod watcher;

pub use check::{KEY_BYTES_MAX, VALUE_BYTES_MAX, WRITES_MAX};
pub use config::{
    AUDIT_AGE, IDEMPOTENCY_AGE, Options, Retention, SCAN_BYTES, WATCH_BYTES, WATCH_QUEUE,
};
pub use error::Error;
pub use seam::{Commit, Precondition, Record, Scan, Store, Value, WatchEvent, Write};
pub use watcher::{Change, Source, Watcher};
