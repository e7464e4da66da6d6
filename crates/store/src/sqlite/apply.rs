//! One commit, inside the transaction of the writer.

use ebb_model::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::read;
use crate::{Commit, Error, Precondition, Record, Value, WatchEvent, Write, check};

/// What a commit did.
pub(super) struct Applied {
    /// Its version.
    pub(super) version: u64,
    /// False when it had been committed before under the same idempotency key.
    pub(super) fresh: bool,
    /// What watchers are told.
    pub(super) events: Vec<WatchEvent>,
}

/// Checks and applies `commit` as `version`.
pub(super) fn commit(
    connection: &Connection,
    version: u64,
    now: Timestamp,
    commit: &Commit,
) -> Result<Applied, Error> {
    let time_us = read::signed(now.as_micros());
    if let Some(key) = &commit.idempotency_key {
        let earlier = connection
            .prepare_cached("SELECT version FROM idempotency WHERE key = ?1")?
            .query_row([key], |row| row.get(0).map(read::unsigned))
            .optional()?;
        if let Some(version) = earlier {
            return Ok(Applied { version, fresh: false, events: Vec::new() });
        }
    }
    for precondition in &commit.preconditions {
        let (key, holds) = evaluate(connection, precondition)?;
        if !holds {
            return Err(Error::Conflict { key: key.to_owned() });
        }
    }
    let mut events = Vec::with_capacity(commit.writes.len());
    for write in &commit.writes {
        events.extend(apply(connection, version, write)?);
    }
    connection
        .prepare_cached(
            "INSERT INTO commits (version, time_us, actor, request_id) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![read::signed(version), time_us, commit.actor, commit.request_id])?;
    if let Some(key) = &commit.idempotency_key {
        connection
            .prepare_cached("INSERT INTO idempotency (key, version, time_us) VALUES (?1, ?2, ?3)")?
            .execute(params![key, read::signed(version), time_us])?;
    }
    Ok(Applied { version, fresh: true, events })
}

/// Notes the newest version, once for all commits of a transaction.
pub(super) fn mark_newest(connection: &Connection, newest: u64) -> Result<(), Error> {
    connection
        .prepare_cached("UPDATE marks SET newest = ?1 WHERE newest < ?1")?
        .execute([read::signed(newest)])?;
    Ok(())
}

fn evaluate<'a>(
    connection: &Connection,
    precondition: &'a Precondition,
) -> Result<(&'a str, bool), Error> {
    Ok(match precondition {
        Precondition::Absent(key) => (key, version_of(connection, key)?.is_none()),
        Precondition::Exists(key) => (key, version_of(connection, key)?.is_some()),
        Precondition::Version(key, version) => {
            (key, version_of(connection, key)? == Some(*version))
        }
        Precondition::PrefixEmpty(prefix) => (prefix, is_empty(connection, prefix)?),
    })
}

fn version_of(connection: &Connection, key: &str) -> Result<Option<u64>, Error> {
    let found = connection
        .prepare_cached(
            "SELECT version, storage_version IS NOT NULL FROM revisions WHERE key = ?1 \
             ORDER BY version DESC LIMIT 1",
        )?
        .query_row([key], |row| Ok((read::unsigned(row.get(0)?), row.get::<_, bool>(1)?)))
        .optional()?;
    Ok(found.and_then(|(version, exists)| exists.then_some(version)))
}

fn is_empty(connection: &Connection, prefix: &str) -> Result<bool, Error> {
    let found = connection
        .prepare_cached(
            "SELECT 1 FROM revisions r WHERE key >= ?1 AND key < ?2 \
             AND NOT EXISTS (SELECT 1 FROM revisions n WHERE n.key = r.key \
                 AND n.version > r.version) \
             AND storage_version IS NOT NULL LIMIT 1",
        )?
        .query_row(params![prefix, read::Upper(check::prefix_end(prefix))], |_| Ok(()))
        .optional()?;
    Ok(found.is_none())
}

fn apply(
    connection: &Connection,
    version: u64,
    write: &Write,
) -> Result<Option<WatchEvent>, Error> {
    let previous = read::newest(connection, write.key())?;
    match write {
        Write::Put { key, value } => {
            let create_version = previous.as_ref().map_or(version, |before| before.create_version);
            let (key, value) = (key.clone(), value.clone());
            let record = Record { key, value, create_version, version };
            insert(connection, version, &record, Some(&record.value))?;
            Ok(Some(WatchEvent::Put { record, previous }))
        }
        Write::Delete { .. } => {
            let Some(previous) = previous else { return Ok(None) };
            insert(connection, version, &previous, None)?;
            Ok(Some(WatchEvent::Delete { previous, version }))
        }
    }
}

fn insert(
    connection: &Connection,
    version: u64,
    record: &Record,
    value: Option<&Value>,
) -> Result<(), Error> {
    connection
        .prepare_cached(
            "INSERT INTO revisions (version, key, create_version, storage_version, sealed, data) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            read::signed(version),
            record.key,
            read::signed(record.create_version),
            value.map(|value| value.storage_version),
            value.is_some_and(|value| value.sealed),
            value.map_or(&b""[..], |value| value.data.as_ref()),
        ])?;
    Ok(())
}
