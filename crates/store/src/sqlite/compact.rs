//! Forgets old versions.

use ebb_model::Timestamp;
use rusqlite::{Connection, TransactionBehavior, params};

use super::read;
use crate::{AUDIT_AGE, Error, IDEMPOTENCY_AGE, Retention};

/// Most versions that one step forgets, so that commits wait for some milliseconds at most.
const STEP_VERSIONS: u64 = 5_000;

/// What a step did.
pub(super) struct Step {
    /// Oldest version that can be read from now on.
    pub(super) compacted: u64,
    /// Whether more could be forgotten already.
    pub(super) more: bool,
}

/// Forgets what `retention` does not keep, up to a bounded number of versions.
pub(super) fn step(
    connection: &mut Connection,
    retention: Retention,
    now: Timestamp,
) -> Result<Step, Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let read::Marks { newest, compacted: from } = read::marks(&transaction)?;
    let most = newest.min(from.saturating_add(STEP_VERSIONS));
    let by_age = older_than(&transaction, (from, most), now, retention)?;
    let to = by_age.max(newest.saturating_sub(retention.versions)).clamp(from, most);
    if to > from {
        forget(&transaction, from, to)?;
    }
    forget_keys(&transaction, now)?;
    transaction.commit()?;
    Ok(Step { compacted: to, more: to == most && to < newest })
}

/// The newest version in `from..=to` that is too old; `from` when there is none.
fn older_than(
    connection: &Connection,
    (from, to): (u64, u64),
    now: Timestamp,
    retention: Retention,
) -> Result<u64, Error> {
    let found: Option<i64> = connection
        .prepare_cached(
            "SELECT max(version) FROM commits \
             WHERE version > ?1 AND version <= ?2 AND time_us < ?3",
        )?
        .query_row(
            params![read::signed(from), read::signed(to), cutoff(now, retention.age)],
            |row| row.get(0),
        )?;
    Ok(found.map_or(from, read::unsigned))
}

/// Removes every revision that is not visible at `to` or later.
fn forget(connection: &Connection, from: u64, to: u64) -> Result<(), Error> {
    let range = [read::signed(from), read::signed(to)];
    // Only keys that were written since the last time can have something to forget.
    connection
        .prepare_cached(
            "DELETE FROM revisions WHERE id IN ( \
             SELECT old.id FROM revisions new INDEXED BY revisions_by_version \
             JOIN revisions old ON old.key = new.key AND old.version < new.version \
             WHERE new.version > ?1 AND new.version <= ?2)",
        )?
        .execute(range)?;
    connection
        .prepare_cached(
            "DELETE FROM revisions WHERE version > ?1 AND version <= ?2 \
             AND storage_version IS NULL",
        )?
        .execute(range)?;
    connection.prepare_cached("UPDATE marks SET compacted = ?1")?.execute([range[1]])?;
    Ok(())
}

/// Removes old audit rows and idempotency keys.
fn forget_keys(connection: &Connection, now: Timestamp) -> Result<(), Error> {
    connection
        .prepare_cached("DELETE FROM idempotency WHERE time_us < ?1")?
        .execute([cutoff(now, IDEMPOTENCY_AGE)])?;
    connection
        .prepare_cached(
            "DELETE FROM commits WHERE time_us < ?1 \
             AND version <= (SELECT compacted FROM marks) \
             AND version < (SELECT min(version) FROM commits) + ?2",
        )?
        .execute(params![cutoff(now, AUDIT_AGE), read::signed(STEP_VERSIONS)])?;
    Ok(())
}

fn cutoff(now: Timestamp, age: std::time::Duration) -> i64 {
    let age = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
    read::signed(now.as_micros().saturating_sub(age))
}
