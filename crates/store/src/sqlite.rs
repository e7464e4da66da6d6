//! The durable store: one SQLite file.

mod apply;
mod compact;
mod counts;
mod read;
mod schema;
mod writer;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;
use tokio::sync::{mpsc, oneshot};

use crate::hub::{self, History, Hub};
use crate::{Commit, Error, Options, Record, Retention, Scan, Store, Watcher, check};

/// Oldest SQLite that is accepted: before 3.51.3 a database in WAL mode could be corrupted when two
/// connections checkpointed at the same time.
pub const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// Commits that may wait for the writer before callers wait in line.
const COMMIT_QUEUE: usize = 1_024;

/// A store in a SQLite file.
///
/// Commits are durable when they are answered. One process at a time may open a file. Dropping it
/// writes what is queued and joins the writer thread, for which it blocks as long as one commit
/// takes.
pub struct Sqlite {
    commits: Option<mpsc::Sender<writer::Request>>,
    writer: Option<JoinHandle<()>>,
    readers: read::Readers,
    counts: Arc<counts::Counts>,
    hub: Arc<Hub>,
    _lock: File,
}

impl Sqlite {
    /// Opens the file or makes it (mode 0600, in directories of mode 0700), with
    /// [`Retention::DISK`] and the machine's clock. Blocks.
    ///
    /// # Errors
    /// [`Error::Unavailable`], saying why, when the file is not a database of this program, was
    /// written by a newer version, is open in another process, or cannot be read or written;
    /// [`Error::DiskFull`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with(path, Options::new(Retention::DISK))
    }

    /// As [`Sqlite::open`], with these options.
    ///
    /// # Errors
    /// As [`Sqlite::open`].
    pub fn open_with(path: &Path, options: Options) -> Result<Self, Error> {
        let schema::Opened { lock, connection, path } = schema::open(path)?;
        let readers = read::Readers::open(&path)?;
        let newest = read::marks(&connection)?.newest;
        let hub = Arc::new(Hub::new(newest, options.watch_queue));
        let (commits, requests) = mpsc::channel(COMMIT_QUEUE);
        let writer = writer::Writer::new(connection, Arc::clone(&hub), options)?;
        let writer = std::thread::Builder::new()
            .name("ebb-store-writer".to_owned())
            .spawn(move || writer.run(requests))
            .map_err(|error| Error::Unavailable(format!("no thread for the writer: {error}")))?;
        let counts = Arc::default();
        Ok(Self { commits: Some(commits), writer: Some(writer), readers, counts, hub, _lock: lock })
    }
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sqlite").finish_non_exhaustive()
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.commits = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the writer thread of the store had panicked");
        }
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn get(&self, key: &str) -> Result<Option<Record>, Error> {
        let key = key.to_owned();
        self.readers.run(move |connection| read::newest(connection, &key)).await
    }

    async fn scan(
        &self,
        prefix: &str,
        at: Option<u64>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Scan, Error> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.readers
            .run(move |connection| read::scan(connection, &prefix, at, after.as_deref(), limit))
            .await
    }

    async fn count(&self, prefix: &str, at: u64, after: Option<&str>) -> Result<u64, Error> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        let counts = Arc::clone(&self.counts);
        self.readers
            .run(move |connection| match after {
                None => counts.count(connection, &prefix, at),
                after => read::count(connection, &prefix, at, after.as_deref()),
            })
            .await
    }

    async fn commit(&self, commit: Commit) -> Result<u64, Error> {
        check::commit(&commit)?;
        let ended = || Error::Unavailable("the writer thread has ended".to_owned());
        let (answer, answered) = oneshot::channel();
        let commits = self.commits.as_ref().ok_or_else(ended)?;
        commits.send(writer::Request { commit, answer }).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }

    async fn watch(&self, prefix: &str, since: u64) -> Result<Watcher, Error> {
        // Registered before the database is read, so that nothing falls between the two.
        let (live, through) = self.hub.subscribe(prefix, since);
        let marks = self.readers.run(read::marks).await?;
        check::readable(since, marks.compacted, marks.newest)?;
        let history = Arc::new(self.readers.clone()) as Arc<dyn History>;
        Ok(hub::replay(history, prefix, (since, through), live))
    }
}

/// What a failure of SQLite means. Its messages hold neither values nor keys.
fn failure(error: &rusqlite::Error) -> Error {
    let Some(cause) = error.sqlite_error() else { return Error::Unavailable(error.to_string()) };
    match cause.code {
        ErrorCode::DiskFull => Error::DiskFull(error.to_string()),
        // The shared-memory file beside the database could not grow.
        _ if cause.extended_code == SQLITE_IOERR_SHMSIZE => Error::DiskFull(error.to_string()),
        ErrorCode::NotADatabase => {
            Error::Unavailable("the file is not a database of this program".to_owned())
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            Error::Unavailable("the database is locked by another program".to_owned())
        }
        _ => Error::Unavailable(error.to_string()),
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        failure(&error)
    }
}
