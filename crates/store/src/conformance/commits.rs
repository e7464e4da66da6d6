//! Commits: all or nothing, preconditions, versions, idempotency, values.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Bench, delete, put, text, value};
use crate::{Commit, Error, KEY_BYTES_MAX, Precondition, VALUE_BYTES_MAX, WRITES_MAX, Write};

pub(super) async fn atomic(bench: Bench) {
    let first = bench.put("/c/x/n/a", "1").await;
    let failed = bench
        .try_commit(
            vec![Precondition::Exists("/c/x/n/a".into()), Precondition::Exists("/c/x/n/b".into())],
            vec![put("/c/x/n/a", "2"), put("/c/x/n/c", "2"), delete("/c/x/n/a")],
        )
        .await;
    assert!(matches!(failed, Err(Error::InvalidCommit(_))), "a key occurs twice: {failed:?}");
    let failed = bench
        .try_commit(
            vec![Precondition::Exists("/c/x/n/a".into()), Precondition::Exists("/c/x/n/b".into())],
            vec![put("/c/x/n/a", "2"), put("/c/x/n/c", "2")],
        )
        .await;
    assert!(matches!(failed, Err(Error::Conflict { key }) if key == "/c/x/n/b"));
    let scan = bench.scan("/c/").await;
    assert_eq!(scan.records.len(), 1, "nothing of it happened");
    assert_eq!((scan.records[0].version, text(&scan.records[0]).as_str()), (first, "1"));

    let version =
        bench.commit(vec![put("/c/x/n/a", "3"), put("/c/x/n/b", "3"), put("/c/y/n/a", "3")]).await;
    let scan = bench.scan("/c/").await;
    assert_eq!(scan.records.len(), 3);
    assert!(scan.records.iter().all(|record| record.version == version && text(record) == "3"));
}

pub(super) async fn preconditions(bench: Bench) {
    use Precondition::{Absent, Exists, PrefixEmpty, Version};
    let first = bench.put("/p/x/n/a", "1").await;
    bench.put("/p/x/n/gone", "1").await;
    let deleted = bench.commit(vec![delete("/p/x/n/gone")]).await;
    let key = || "/p/x/n/a".to_owned();
    let none = || "/p/x/n/none".to_owned();
    let gone = || "/p/x/n/gone".to_owned();
    let table = [
        (Absent(key()), false),
        (Absent(none()), true),
        (Absent(gone()), true),
        (Exists(key()), true),
        (Exists(none()), false),
        (Exists(gone()), false),
        (Version(key(), first), true),
        (Version(key(), first + 1), false),
        (Version(key(), 0), false),
        (Version(none(), 0), false),
        (Version(gone(), deleted), false),
        (PrefixEmpty("/p/x/".into()), false),
        (PrefixEmpty(key()), false),
        (PrefixEmpty("/p/x/n/g".into()), true),
        (PrefixEmpty("/p/y/".into()), true),
        (PrefixEmpty("/p/x/n/aa".into()), true),
    ];
    for (precondition, holds) in table {
        let result = bench.try_commit(vec![precondition.clone()], Vec::new()).await;
        assert_eq!(result.is_ok(), holds, "{precondition:?}: {result:?}");
        if let Err(error) = result {
            assert!(matches!(error, Error::Conflict { .. }), "{precondition:?}: {error}");
        }
    }
    let failed = bench.try_commit(vec![Absent(none()), Version(key(), 0)], Vec::new()).await;
    assert!(matches!(failed, Err(Error::Conflict { key }) if key == "/p/x/n/a"));
}

/// Many commits at the same time: no two have the same version, a caller's own rise, and of those
/// that race for one key exactly one wins.
pub(super) async fn versions_rise(bench: Bench) {
    let store = Arc::clone(&bench.store);
    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let store = Arc::clone(&store);
        callers.spawn(async move {
            let mut versions = Vec::new();
            let mut won = 0;
            for n in 0..25 {
                let writes = vec![put(&format!("/v/own/n/{caller}-{n}"), "x")];
                let commit = Commit { writes, ..Commit::default() };
                versions.push(store.commit(commit).await.expect("own key"));
                let race = format!("/v/race/n/{n}");
                let commit = Commit {
                    preconditions: vec![Precondition::Absent(race.clone())],
                    writes: vec![put(&race, "x")],
                    ..Commit::default()
                };
                match store.commit(commit).await {
                    Ok(version) => {
                        versions.push(version);
                        won += 1;
                    }
                    Err(error) => assert!(matches!(error, Error::Conflict { .. }), "{error}"),
                }
            }
            assert!(versions.is_sorted(), "{versions:?}");
            (versions, won)
        });
    }
    let (mut versions, mut won) = (Vec::new(), 0);
    while let Some(caller) = callers.join_next().await {
        let (theirs, wins) = caller.expect("caller");
        versions.extend(theirs);
        won += wins;
    }
    assert_eq!(won, 25, "each race has one winner");
    let all = versions.len();
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), all, "no version twice");
    let scan = bench.scan("/v/").await;
    assert_eq!(scan.records.len(), all);
    assert_eq!(scan.version, versions.last().copied().unwrap_or(0));
}

pub(super) async fn deletes_and_creates(bench: Bench) {
    let key = "/d/x/n/a";
    let created = bench.put(key, "1").await;
    let changed = bench.put(key, "2").await;
    let record = bench.get(key).await.expect("it is there");
    assert_eq!((record.create_version, record.version), (created, changed));
    let deleted = bench.commit(vec![delete(key)]).await;
    assert!(bench.get(key).await.is_none());
    assert!(bench.scan("/d/").await.records.is_empty());
    let nothing = bench.commit(vec![delete(key), delete("/d/x/n/never")]).await;
    assert!(nothing > deleted);
    let again = bench.put(key, "3").await;
    let record = bench.get(key).await.expect("it is there again");
    assert_eq!((record.create_version, record.version), (again, again));
    assert_eq!(record.key, key);
}

pub(super) async fn idempotency(bench: Bench) {
    let commit = |data: &str, key: Option<&str>| Commit {
        preconditions: vec![Precondition::Absent("/i/x/n/a".to_owned())],
        writes: vec![put("/i/x/n/a", data)],
        idempotency_key: key.map(str::to_owned),
        ..Commit::default()
    };
    let first = bench.store.commit(commit("1", Some("k"))).await.expect("first");
    let again = bench.store.commit(commit("1", Some("k"))).await.expect("again");
    assert_eq!(first, again, "the same answer, though the key exists now");
    let other = bench.store.commit(commit("2", Some("k"))).await.expect("other content");
    assert_eq!(first, other);
    assert_eq!(bench.newest().await, first, "nothing was committed twice");
    let record = bench.get("/i/x/n/a").await.expect("it is there");
    assert_eq!((text(&record).as_str(), record.version), ("1", first));
    let failed = bench.store.commit(commit("3", Some("k2"))).await;
    assert!(matches!(failed, Err(Error::Conflict { .. })));
    bench.commit(vec![delete("/i/x/n/a")]).await;
    let retried = bench.store.commit(commit("3", Some("k2"))).await.expect("a failure is not kept");
    assert!(retried > first);

    bench.clock.advance(crate::IDEMPOTENCY_AGE * 2);
    bench.put("/i/x/n/later", "").await;
    bench.commit(vec![delete("/i/x/n/a")]).await;
    let late = bench.store.commit(commit("4", Some("k"))).await.expect("the key was forgotten");
    assert!(late > retried);
}

pub(super) async fn values(bench: Bench) {
    let big = "x".repeat(3 * 1024 * 1024);
    for (n, data) in ["", "\0", "{}", big.as_str()].into_iter().enumerate() {
        for sealed in [false, true] {
            let key = format!("/w/x/n/{n}-{sealed}");
            let mut stored = value(data, sealed);
            stored.storage_version = 7;
            let write = Write::Put { key: key.clone(), value: stored.clone() };
            let before = bench.newest().await;
            let mut watcher = bench.watch("/w/", before).await;
            bench.commit(vec![write]).await;
            let record = bench.get(&key).await.expect("it is there");
            assert!(record.value == stored, "{key}");
            assert!(bench.scan(&key).await.records == [record.clone()], "{key}");
            let event = super::next(&mut watcher).await;
            let expected = crate::WatchEvent::Put { record, previous: None };
            assert!(event == expected, "{key}");
        }
    }
}

pub(super) async fn limits(bench: Bench) {
    let before = bench.newest().await;
    let many = (0..=WRITES_MAX).map(|n| put(&format!("/l/x/n/{n}"), "")).collect();
    let large = Write::Put {
        key: "/l/x/n/a".to_owned(),
        value: crate::Value {
            storage_version: 1,
            sealed: false,
            data: vec![0; VALUE_BYTES_MAX + 1].into(),
        },
    };
    let bad = [
        many,
        vec![large],
        vec![put("", "")],
        vec![put("/l/\0", "")],
        vec![delete(&"x".repeat(KEY_BYTES_MAX + 1))],
        vec![put("/l/x/n/a", ""), delete("/l/x/n/a")],
    ];
    for writes in bad {
        let result = bench.try_commit(Vec::new(), writes).await;
        assert!(matches!(result, Err(Error::InvalidCommit(_))), "{result:?}");
    }
    assert_eq!(bench.newest().await, before);
    bench.put(&"x".repeat(KEY_BYTES_MAX), "").await;
    let most = (0..WRITES_MAX).map(|n| put(&format!("/l/y/n/{n}"), "")).collect();
    let version = bench.commit(most).await;
    let scan = bench.scan("/l/y/").await;
    assert_eq!((scan.records.len(), scan.version), (WRITES_MAX, version));
    let mut watcher = bench.watch("/l/y/", before).await;
    for n in 0..WRITES_MAX {
        let event = super::next(&mut watcher).await;
        assert_eq!((event.version(), event.key()), (version, format!("/l/y/n/{n}").as_str()));
    }
}
