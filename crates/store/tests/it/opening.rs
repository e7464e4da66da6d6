//! Opening, closing, and what is refused.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ebb_store::sqlite::Sqlite;
use ebb_store::{Commit, Error, Store, Value, Write};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn put(key: &str) -> Commit {
    let value = Value { storage_version: 1, sealed: false, data: "x".into() };
    Commit { writes: vec![Write::Put { key: key.to_owned(), value }], ..Commit::default() }
}

fn refused(path: &Path, what: &str) {
    let error = Sqlite::open(path).unwrap_err();
    assert_eq!(error.code(), "STORAGE_UNAVAILABLE");
    assert!(error.to_string().contains(what), "{error}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
}

#[tokio::test]
async fn what_was_committed_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/dirs/ebb.db");
    let store = Sqlite::open(&path).unwrap();
    let mut last = 0;
    for n in 0..10 {
        last = store.commit(put(&format!("/a/{n}"))).await.unwrap();
    }
    let mut open_files = vec![path.clone()];
    open_files
        .extend(["-wal", "-shm", "-lock"].map(|end| path.with_file_name(format!("ebb.db{end}"))));
    for file in open_files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    assert_eq!(mode(&dir.path().join("new")), 0o700);
    assert_eq!(mode(&dir.path().join("new/dirs")), 0o700);
    refused(&path, "in use");
    drop(store);

    let store = Sqlite::open(&path).unwrap();
    let scan = store.scan("/a/", None, None, 99).await.unwrap();
    assert_eq!((scan.records.len(), scan.version), (10, last));
    assert!(store.commit(put("/a/later")).await.unwrap() > last);
    let mut history = store.watch("/a/", 0).await.unwrap();
    assert_eq!(history.next().await.unwrap().unwrap().key(), "/a/0", "history too");
}

#[tokio::test]
async fn dropping_writes_what_is_queued() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let store = Sqlite::open(&path).unwrap();
    for n in 0..50 {
        let key = format!("/a/{n}");
        let mut commit = Box::pin(store.commit(put(&key)));
        // Polled once: it is in the queue; then the caller goes away.
        assert!(futures_util::poll!(&mut commit).is_pending());
    }
    drop(store);
    let store = Sqlite::open(&path).unwrap();
    assert_eq!(store.scan("/a/", None, None, 99).await.unwrap().records.len(), 50);
}

#[test]
fn what_is_not_ours_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let text = "this is no database, only a long enough text. ".repeat(100);
    std::fs::write(&path, &text).unwrap();
    refused(&path, "not a database");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);

    let other = dir.path().join("other");
    let connection = rusqlite::Connection::open(&other).unwrap();
    connection.execute_batch("CREATE TABLE t (x); PRAGMA user_version = 1").unwrap();
    drop(connection);
    let before = std::fs::read(&other).unwrap();
    refused(&other, "another program");
    assert_eq!(std::fs::read(&other).unwrap(), before);

    let newer = dir.path().join("newer");
    drop(Sqlite::open(&newer).unwrap());
    let connection = rusqlite::Connection::open(&newer).unwrap();
    connection.execute_batch("PRAGMA user_version = 2").unwrap();
    drop(connection);
    refused(&newer, "newer version");

    refused(dir.path(), "");
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(dir.path().join("target"), &link).unwrap();
    refused(&link, "");
    let below = path.join("below");
    refused(&below, "");
}

#[tokio::test]
async fn a_damaged_file_is_an_error_and_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let store = Sqlite::open(&path).unwrap();
    for n in 0..300 {
        store.commit(put(&format!("/a/{n:03}"))).await.unwrap();
    }
    drop(store);
    let mut bytes = std::fs::read(&path).unwrap();
    assert!(bytes.len() > 5 * 4096, "{}", bytes.len());
    bytes[4096..].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let answer = match Sqlite::open(&path) {
        Ok(store) => store.scan("/a/", None, None, 999).await.map(|scan| scan.records.len()),
        Err(error) => Err(error),
    };
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
}

#[tokio::test]
async fn another_program_that_holds_the_file_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let store = Sqlite::open(&path).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.commit(put("/a")).await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable(why) if why.contains("locked")), "{error}");
    assert!(store.get("/a").await.unwrap().is_none(), "reading goes on");
    other.execute_batch("ROLLBACK").unwrap();
    store.commit(put("/a")).await.unwrap();
}

/// What a loss of power can leave: a log that ends anywhere. What is there is then a whole number of
/// commits, without a gap.
#[tokio::test]
async fn a_log_that_was_cut_anywhere_shows_whole_commits() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copy) = (dir.path().join("db"), dir.path().join("copy"));
    let store = Sqlite::open(&path).unwrap();
    for n in 0..40 {
        let mut commit = put(&format!("/left/{n:02}"));
        commit.writes.extend(put(&format!("/right/{n:02}")).writes);
        store.commit(commit).await.unwrap();
    }
    let (main, log) = (std::fs::read(&path).unwrap(), std::fs::read(dir.path().join("db-wal")));
    let log = log.unwrap();
    let mut seen = std::collections::BTreeSet::new();
    // A step that is no divisor of a page, so that it cuts at every kind of place.
    for len in (0..=log.len()).rev().step_by(7_919) {
        std::fs::write(&copy, &main).unwrap();
        std::fs::write(dir.path().join("copy-wal"), &log[..len]).unwrap();
        let store = match Sqlite::open(&copy) {
            Ok(store) => store,
            Err(error) => panic!("{len}: {error}"),
        };
        let left = store.scan("/left/", None, None, 99).await.unwrap();
        let right = store.scan("/right/", None, None, 99).await.unwrap();
        let versions: Vec<u64> = left.records.iter().map(|record| record.version).collect();
        assert!(right.records.iter().map(|record| record.version).eq(versions.iter().copied()));
        let count = versions.len() as u64;
        assert_eq!(versions, (1..=count).collect::<Vec<_>>());
        assert_eq!(left.version, count);
        seen.insert(count);
        drop(store);
    }
    assert!(seen.len() > 20 && seen.contains(&40), "{seen:?}");
}
