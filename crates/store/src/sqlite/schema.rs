//! Opens the file: locks it, checks it, brings its schema up to date.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::SQLITE_VERSION_MIN;
use crate::{Error, files};

/// Version of the schema, kept as `user_version`.
const SCHEMA_VERSION: i64 = 1;

/// Marks the file as ours, kept as `application_id`: "ebb1" in ASCII.
const APPLICATION_ID: i64 = 0x6562_6231;

/// How long to wait for another program that looks into the file, such as a backup.
const BUSY: Duration = Duration::from_secs(5);

/// The log is cut back to this size (64 MiB) when it was longer once.
const LOG_BYTES_MAX: i64 = 64 * 1024 * 1024;

/// Keys are compared as bytes (`BINARY`). `id` rises in commit order. A revision with
/// `storage_version` null is a tombstone. `marks` has one row.
const SCHEMA: &str = "
CREATE TABLE revisions (
    id INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    key TEXT NOT NULL COLLATE BINARY,
    create_version INTEGER NOT NULL,
    storage_version INTEGER,
    sealed INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX revisions_by_key ON revisions (key, version DESC);
CREATE INDEX revisions_by_version ON revisions (version);
CREATE TABLE marks (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    newest INTEGER NOT NULL,
    compacted INTEGER NOT NULL CHECK (compacted <= newest)
) STRICT;
INSERT INTO marks (id, newest, compacted) VALUES (1, 0, 0);
CREATE TABLE commits (
    version INTEGER PRIMARY KEY,
    time_us INTEGER NOT NULL,
    actor TEXT NOT NULL,
    request_id TEXT NOT NULL
) STRICT;
CREATE TABLE idempotency (
    key TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    time_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_time ON idempotency (time_us);
";

/// An open file.
pub(super) struct Opened {
    /// Held as long as the file is open.
    pub(super) lock: File,
    /// The connection for writing.
    pub(super) connection: Connection,
    /// The file, in a directory without links.
    pub(super) path: PathBuf,
}

/// Opens the file or makes it.
pub(super) fn open(path: &Path) -> Result<Opened, Error> {
    check_library(rusqlite::version_number())?;
    let named = |error: Error| match error {
        Error::Unavailable(why) => Error::Unavailable(format!("{}: {why}", path.display())),
        Error::DiskFull(why) => Error::DiskFull(format!("{}: {why}", path.display())),
        other => other,
    };
    let (lock, path) = make_files(path).map_err(named)?;
    let connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .and_then(|connection| prepare(&connection).map(|()| connection))
        .map_err(named)?;
    for end in ["", "-wal", "-shm"] {
        match std::fs::set_permissions(beside(&path, end), Permissions::from_mode(0o600)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(named(io_failure(&error)));
            }
            _ => {}
        }
    }
    Ok(Opened { lock, connection, path })
}

/// A connection with the settings that every connection has.
pub(super) fn connect(path: &Path, mode: OpenFlags) -> Result<Connection, Error> {
    // One thread at a time uses a connection; the file must not be a link, so that what was locked
    // is what is opened.
    let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

fn check_library(version: i32) -> Result<(), Error> {
    if version >= SQLITE_VERSION_MIN {
        return Ok(());
    }
    Err(Error::Unavailable(format!(
        "the SQLite library has version number {version}; at least {SQLITE_VERSION_MIN} is needed"
    )))
}

/// Makes and locks the files; the lock and the path without links on the way.
fn make_files(path: &Path) -> Result<(File, PathBuf), Error> {
    let failed = |error: std::io::Error| io_failure(&error);
    let Some(name) = path.file_name() else {
        return Err(Error::Unavailable("it is not the name of a file".to_owned()));
    };
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = dir.unwrap_or_else(|| Path::new("."));
    files::private_dir(dir).map_err(failed)?;
    let path = dir.canonicalize().map_err(failed)?.join(name);
    let private = |path: &Path| {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
    };
    let lock = private(&beside(&path, "-lock")).map_err(failed)?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => {
            Error::Unavailable("it is in use by another process".to_owned())
        }
        TryLockError::Error(error) => io_failure(&error),
    })?;
    // SQLite gives the log beside it the mode of this file.
    private(&path).and_then(|_| files::sync_parent(&path)).map_err(failed)?;
    Ok((lock, path))
}

fn prepare(connection: &Connection) -> Result<(), Error> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if version > SCHEMA_VERSION && application == APPLICATION_ID {
        return Err(Error::Unavailable(format!(
            "it was written by a newer version of this program (schema {version}, this one knows \
             {SCHEMA_VERSION}); use that version or restore a copy from before"
        )));
    }
    if tables > 0 && (application != APPLICATION_ID || version != SCHEMA_VERSION) {
        return Err(Error::Unavailable("it is a database of another program".to_owned()));
    }
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Error::Unavailable(format!("its journal mode is {mode}, not wal")));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_MAX)?;
    if tables == 0 {
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION_ID}; \
             PRAGMA user_version = {SCHEMA_VERSION}; COMMIT"
        ))?;
    }
    Ok(())
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn io_failure(error: &std::io::Error) -> Error {
    if matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded) {
        return Error::DiskFull(error.to_string());
    }
    Error::Unavailable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linked_library_is_new_enough_and_an_old_one_is_refused() {
        assert!(check_library(rusqlite::version_number()).is_ok());
        assert!(check_library(3_051_002).is_err());
    }
}
