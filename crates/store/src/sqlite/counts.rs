//! Counts that are kept, because counting walks every key and the first page of a list asks for it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, params};

use super::read::{self, Marks, Upper, signed};
use crate::{Error, check};

/// Prefixes whose counts are kept. A prefix is a kind, or a kind in a namespace.
const KEPT: usize = 1_024;

/// Beyond so many versions the count is not brought up to date but made anew.
const BEHIND: u64 = 10_000;

/// The last counts, each as of one version.
#[derive(Default)]
pub(super) struct Counts {
    kept: Mutex<BTreeMap<String, Known>>,
}

#[derive(Clone, Copy)]
struct Known {
    version: u64,
    count: u64,
}

impl Counts {
    /// How many records there are under `prefix` at version `at`: what was counted last, and what
    /// the commits since then have made and removed.
    ///
    /// # Errors
    /// As [`read::count`].
    pub(super) fn count(
        &self,
        connection: &Connection,
        prefix: &str,
        at: u64,
    ) -> Result<u64, Error> {
        let Marks { newest, compacted } = read::marks(connection)?;
        check::readable(at, compacted, newest)?;
        let before = self.lock().get(prefix).copied();
        // Of versions up to the compacted one not every change is there any more.
        let usable = |known: &Known| {
            (compacted..=at).contains(&known.version) && at - known.version <= BEHIND
        };
        let count = match before.filter(usable) {
            Some(known) => {
                let more = growth(connection, prefix, known.version, at)?;
                known.count.saturating_add_signed(more)
            }
            None => read::count(connection, prefix, at, None)?,
        };
        let mut kept = self.lock();
        if kept.len() >= KEPT && !kept.contains_key(prefix) {
            kept.clear();
        }
        let known = kept.entry(prefix.to_owned()).or_insert(Known { version: at, count });
        if known.version < at {
            *known = Known { version: at, count };
        }
        Ok(count)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Known>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records made less records removed after version `from`, up to `to`.
fn growth(connection: &Connection, prefix: &str, from: u64, to: u64) -> Result<i64, Error> {
    // A removal is only ever written for what is there.
    let mut statement = connection.prepare_cached(
        "SELECT coalesce(sum(CASE WHEN storage_version IS NULL THEN -1 \
         WHEN create_version = version THEN 1 ELSE 0 END), 0) \
         FROM revisions INDEXED BY revisions_by_version \
         WHERE version > ?1 AND version <= ?2 AND key >= ?3 AND key < ?4",
    )?;
    let end = Upper(check::prefix_end(prefix));
    Ok(statement.query_row(params![signed(from), signed(to), prefix, end], |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use crate::sqlite::Sqlite;
    use crate::{Commit, Store, Value, Write};

    fn write(key: &str, value: Option<&str>) -> Write {
        let key = key.to_owned();
        let Some(value) = value else { return Write::Delete { key } };
        let data = value.to_owned().into();
        Write::Put { key, value: Value { storage_version: 1, sealed: false, data } }
    }

    #[tokio::test]
    async fn a_kept_count_follows_every_change() {
        let dir = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&dir.path().join("s")).unwrap();
        let mut versions = Vec::new();
        for (key, value) in [
            ("/a/1", Some("x")),
            ("/a/2", Some("x")),
            ("/a/1", Some("y")),
            ("/b/1", Some("x")),
            ("/a/1", None),
            ("/a/1", Some("z")),
            ("/a/2", None),
        ] {
            let writes = vec![write(key, value)];
            versions.push(store.commit(Commit { writes, ..Commit::default() }).await.unwrap());
            let at = *versions.last().unwrap();
            for prefix in ["/a/", "/b/", "/"] {
                let scan = store.scan(prefix, Some(at), None, 100).await.unwrap();
                let count = store.count(prefix, at, None).await.unwrap();
                assert_eq!(count, scan.records.len() as u64, "{prefix} at {at}");
            }
        }
        assert_eq!(store.count("/a/", versions[1], None).await.unwrap(), 2, "an older version");
        assert_eq!(store.count("/a/", versions[6], None).await.unwrap(), 1);
    }
}
