//! Reading, on connections that never wait for the writer.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::types::{ToSqlOutput, Value as Sql};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, ToSql, params};
use tokio::sync::Semaphore;

use super::schema;
use crate::hub::{History, Position};
use crate::{Error, Record, Scan, Value, WatchEvent, check};

/// Reading connections: so many reads run at the same time, more wait in line.
const READERS: usize = 4;

/// A pool of reading connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct Readers {
    free: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let open = |_| {
            // Not opened read-only: a reader may have to make the shared-memory file anew.
            let connection = schema::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            connection.pragma_update(None, "query_only", true)?;
            Ok::<_, Error>(connection)
        };
        let free = (0..READERS).map(open).collect::<Result<_, _>>()?;
        Ok(Self { free: Arc::new(Mutex::new(free)), permits: Arc::new(Semaphore::new(READERS)) })
    }

    /// Runs `read` in one snapshot, on a thread that may block.
    pub(super) async fn run<T, F>(&self, read: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        let lost = || Error::Unavailable("a reader of the store was lost".to_owned());
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| lost())?;
        let free = Arc::clone(&self.free);
        let task = tokio::task::spawn_blocking(move || {
            let lock = || free.lock().unwrap_or_else(PoisonError::into_inner);
            let mut connection = lock().pop().ok_or_else(lost)?;
            let result =
                connection.transaction().map_err(Error::from).and_then(|snapshot| read(&snapshot));
            lock().push(connection);
            drop(permit);
            result
        });
        task.await.map_err(|error| Error::Unavailable(format!("a read was cut off: {error}")))?
    }
}

#[async_trait]
impl History for Readers {
    async fn page(
        &self,
        prefix: &str,
        after: Position,
        through: u64,
        limit: usize,
    ) -> Result<Vec<(Position, WatchEvent)>, Error> {
        let prefix = prefix.to_owned();
        self.run(move |connection| {
            let Marks { newest, compacted } = marks(connection)?;
            check::readable(after.needs(), compacted, newest)?;
            history(connection, &prefix, (after, through), limit)
        })
        .await
    }
}

/// The bounds of the history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks {
    /// Newest version.
    pub(super) newest: u64,
    /// Oldest version that can be read.
    pub(super) compacted: u64,
}

/// The marks of this snapshot.
pub(super) fn marks(connection: &Connection) -> Result<Marks, Error> {
    Ok(connection.prepare_cached("SELECT newest, compacted FROM marks")?.query_row([], |row| {
        Ok(Marks { newest: unsigned(row.get(0)?), compacted: unsigned(row.get(1)?) })
    })?)
}

/// The newest record of `key`.
pub(super) fn newest(connection: &Connection, key: &str) -> Result<Option<Record>, Error> {
    before(connection, key, u64::MAX)
}

/// The record of `key` as it was before `version`.
fn before(connection: &Connection, key: &str, version: u64) -> Result<Option<Record>, Error> {
    let found = connection
        .prepare_cached(
            "SELECT key, version, create_version, storage_version, sealed, data FROM revisions \
             WHERE key = ?1 AND version < ?2 ORDER BY version DESC LIMIT 1",
        )?
        .query_row(params![key, signed(version)], record)
        .optional()?;
    Ok(found.flatten())
}

/// One page of a scan.
pub(super) fn scan(
    connection: &Connection,
    prefix: &str,
    at: Option<u64>,
    after: Option<&str>,
    limit: usize,
) -> Result<Scan, Error> {
    let marks = marks(connection)?;
    let version = at.unwrap_or(marks.newest);
    check::readable(version, marks.compacted, marks.newest)?;
    let (first, end) = (check::first_key(prefix, after), Upper(check::prefix_end(prefix)));
    // Only the index is walked; of each key the first entry is the newest that `version` shows.
    let mut statement = connection.prepare_cached(
        "SELECT id, key FROM revisions INDEXED BY revisions_by_key \
         WHERE key >= ?1 AND key < ?2 AND version <= ?3 ORDER BY key, version DESC",
    )?;
    let mut fetch = connection.prepare_cached(
        "SELECT key, version, create_version, storage_version, sealed, data FROM revisions \
         WHERE id = ?1",
    )?;
    let mut rows = statement.query(params![first, end, signed(version)])?;
    let (mut page, mut last) = (check::Page::new(limit), String::new());
    while !page.is_full()
        && let Some(row) = rows.next()?
    {
        let key = row.get_ref("key")?.as_str().map_err(rusqlite::Error::from)?;
        if key != last {
            key.clone_into(&mut last);
            if let Some(record) = fetch.query_row([row.get::<_, i64>("id")?], record)? {
                page.offer(record);
            }
        }
    }
    Ok(page.into_scan(version))
}

/// How many records a scan would find.
pub(super) fn count(
    connection: &Connection,
    prefix: &str,
    at: u64,
    after: Option<&str>,
) -> Result<u64, Error> {
    let marks = marks(connection)?;
    check::readable(at, marks.compacted, marks.newest)?;
    let (first, end) = (check::first_key(prefix, after), Upper(check::prefix_end(prefix)));
    // The index gives the newest row of each key; of that row only the head is read, to leave out
    // tombstones. `id` is that of the row with the greatest version, as SQLite promises for `max`.
    let mut statement = connection.prepare_cached(
        "SELECT count(*) FROM (SELECT max(version), id FROM revisions INDEXED BY revisions_by_key \
         WHERE key >= ?1 AND key < ?2 AND version <= ?3 GROUP BY key) AS newest \
         CROSS JOIN revisions ON revisions.id = newest.id \
         WHERE revisions.storage_version IS NOT NULL",
    )?;
    Ok(unsigned(statement.query_row(params![first, end, signed(at)], |row| row.get(0))?))
}

/// Changes after `after` up to the commit `through`, in commit order.
fn history(
    connection: &Connection,
    prefix: &str,
    (after, through): (Position, u64),
    limit: usize,
) -> Result<Vec<(Position, WatchEvent)>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT key, version, create_version, storage_version, sealed, data, id \
         FROM revisions INDEXED BY revisions_by_version \
         WHERE version >= ?1 AND version <= ?2 AND (version > ?1 OR id > ?3) \
         AND key >= ?4 AND key < ?5 ORDER BY version, id LIMIT ?6",
    )?;
    let rows = statement.query_map(
        params![
            signed(after.version),
            signed(through),
            signed(after.change),
            prefix,
            Upper(check::prefix_end(prefix)),
            i64::try_from(limit).unwrap_or(i64::MAX),
        ],
        |row| {
            let position = Position {
                version: unsigned(row.get("version")?),
                change: unsigned(row.get("id")?),
            };
            Ok((position, row.get::<_, String>("key")?, record(row)?))
        },
    )?;
    let mut changes = Vec::new();
    for row in rows {
        let (position, key, record) = row?;
        let previous = before(connection, &key, position.version)?;
        let event = match (record, previous) {
            (Some(record), previous) => WatchEvent::Put { record, previous },
            (None, Some(previous)) => WatchEvent::Delete { previous, version: position.version },
            (None, None) => {
                let reason = "a removal of something that was not there".to_owned();
                return Err(Error::Malformed { key, reason });
            }
        };
        changes.push((position, event));
    }
    Ok(changes)
}

/// The record of a row; none when it is a tombstone.
fn record(row: &Row<'_>) -> rusqlite::Result<Option<Record>> {
    let Some(storage_version) = row.get("storage_version")? else { return Ok(None) };
    let data = Bytes::from(row.get::<_, Vec<u8>>("data")?);
    Ok(Some(Record {
        key: row.get("key")?,
        value: Value { storage_version, sealed: row.get("sealed")?, data },
        create_version: unsigned(row.get("create_version")?),
        version: unsigned(row.get("version")?),
    }))
}

/// The end of a range of keys. Without one it is an empty blob: SQLite orders every blob after
/// every text.
pub(super) struct Upper(pub(super) Option<String>);

impl ToSql for Upper {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.as_ref().map_or_else(
            || Ok(ToSqlOutput::Owned(Sql::Blob(Vec::new()))),
            |end| Ok(ToSqlOutput::from(end.as_str())),
        )
    }
}

/// SQLite's integers are signed; no version or time comes near the end of them.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Back from [`signed`].
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
