//! Watching: replay, live, in order, without gaps, lag.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{Bench, QUEUE, delete, next, put, text};
use crate::{Commit, Error, Record, Store, WatchEvent};

pub(super) async fn replay(bench: Bench) {
    let start = bench.put("/r/x/n/before", "0").await;
    let created = bench.put("/r/x/n/a", "1").await;
    let changed = bench.commit(vec![put("/r/x/n/a", "2"), put("/q/x/n/a", "2")]).await;
    let both = bench.commit(vec![put("/r/x/n/c", "3"), put("/r/x/n/b", "3")]).await;
    let deleted = bench.commit(vec![delete("/r/x/n/a"), delete("/r/x/n/never")]).await;
    let again = bench.put("/r/x/n/a", "4").await;

    let mut watcher = bench.watch("/r/", start).await;
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(next(&mut watcher).await);
    }
    let short: Vec<(u64, &str, bool)> = seen
        .iter()
        .map(|event| (event.version(), event.key(), matches!(event, WatchEvent::Put { .. })))
        .collect();
    let expected = [
        (created, "/r/x/n/a", true),
        (changed, "/r/x/n/a", true),
        (both, "/r/x/n/c", true),
        (both, "/r/x/n/b", true),
        (deleted, "/r/x/n/a", false),
        (again, "/r/x/n/a", true),
    ];
    assert_eq!(short, expected, "in the order of commits and of their writes");
    assert_eq!(seen[0].previous(), None);
    assert_eq!(seen[1].previous().map(text).as_deref(), Some("1"));
    assert_eq!(seen[4].previous().map(text).as_deref(), Some("2"));
    assert_eq!(seen[5].previous(), None, "what was removed is not the previous");

    let live = bench.put("/r/x/n/z", "5").await;
    assert_eq!(next(&mut watcher).await.version(), live, "and then what happens now");
    let mut later = bench.watch("/r/", again).await;
    assert_eq!(next(&mut later).await.version(), live);
}

pub(super) async fn live(bench: Bench) {
    let start = bench.newest().await;
    let mut all = bench.watch("/", start).await;
    let mut one = bench.watch("/a/b/", start).await;
    let mut other = bench.watch("/a/bc/", start).await;
    let first = bench.commit(vec![put("/a/b/1", "x"), put("/a/bc/1", "x")]).await;
    let second = bench.commit(vec![delete("/a/bc/1")]).await;
    let third = bench.put("/a/b/2", "x").await;
    for (version, key) in
        [(first, "/a/b/1"), (first, "/a/bc/1"), (second, "/a/bc/1"), (third, "/a/b/2")]
    {
        let event = next(&mut all).await;
        assert_eq!((event.version(), event.key()), (version, key));
    }
    for (version, key) in [(first, "/a/b/1"), (third, "/a/b/2")] {
        let event = next(&mut one).await;
        assert_eq!((event.version(), event.key()), (version, key));
    }
    for version in [first, second] {
        assert_eq!(next(&mut other).await.version(), version);
    }
}

/// Watchers that begin at any moment, while many commit, see every change once and in order: what
/// they saw, applied to what they began with, is what is there at the end.
pub(super) async fn no_gaps_under_load(bench: Bench) {
    const CALLERS: u64 = 4;
    const COMMITS: u64 = 60;
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let store = Arc::clone(&bench.store);
        callers.spawn(async move {
            for n in 0..COMMITS {
                let own = format!("/g/x/n/{caller}-{}", n % 7);
                let shared = format!("/g/x/n/shared-{}", n % 3);
                let text = format!("{caller}-{n}");
                let first = if n % 5 == 4 { delete(&own) } else { put(&own, &text) };
                let commit =
                    Commit { writes: vec![first, put(&shared, &text)], ..Commit::default() };
                store.commit(commit).await.expect("commit");
            }
        });
    }
    let mut watchers = JoinSet::new();
    for _ in 0..12 {
        let store = Arc::clone(&bench.store);
        watchers.spawn(async move { follow(&*store).await });
        tokio::task::yield_now().await;
        bench.newest().await;
    }
    while let Some(caller) = callers.join_next().await {
        caller.expect("caller");
    }
    bench.put("/g/x/n/~end", "end").await;
    let end = bench.scan("/g/").await.records;
    while let Some(state) = watchers.join_next().await {
        assert_eq!(state.expect("watcher"), end);
    }
}

/// Lists, watches from the list's version until the last record, and answers the resulting state.
async fn follow(store: &dyn Store) -> Vec<Record> {
    let scan = store.scan("/g/", None, None, usize::MAX).await.expect("scan");
    let mut watcher = store.watch("/g/", scan.version).await.expect("watch");
    let mut version = scan.version;
    let mut state: BTreeMap<String, Record> =
        scan.records.into_iter().map(|record| (record.key.clone(), record)).collect();
    // A busy machine may begin with this watcher after everything has happened.
    while !state.contains_key("/g/x/n/~end") {
        let event = next(&mut watcher).await;
        assert!(event.version() >= version, "in commit order");
        version = event.version();
        assert_eq!(event.previous(), state.get(event.key()), "no gap before {version}");
        match event {
            WatchEvent::Put { record, .. } => drop(state.insert(record.key.clone(), record)),
            WatchEvent::Delete { previous, .. } => drop(state.remove(&previous.key)),
        }
    }
    state.into_values().collect()
}

/// A watcher that does not read is told so once, and everybody else goes on.
pub(super) async fn lag(bench: Bench) {
    let start = bench.newest().await;
    let mut slow = bench.watch("/y/", start).await;
    let mut quick = bench.watch("/y/", start).await;
    let mut versions = Vec::new();
    for n in 0..QUEUE + 10 {
        let version = bench.put(&format!("/y/x/n/{n}"), "x").await;
        versions.push(version);
        assert_eq!(next(&mut quick).await.version(), version);
    }
    for version in &versions[..QUEUE] {
        assert_eq!(next(&mut slow).await.version(), *version);
    }
    assert!(matches!(slow.next().await, Some(Err(Error::Lagged))));
    assert!(slow.next().await.is_none());
    let mut resumed = bench.watch("/y/", versions[QUEUE - 1]).await;
    for version in &versions[QUEUE..] {
        assert_eq!(next(&mut resumed).await.version(), *version, "resumed without a gap");
    }

    // A long replay, of which the caller loses patience again and again.
    let mut patient = bench.watch("/y/", start).await;
    for version in &versions {
        let event = loop {
            let next = tokio::time::timeout(Duration::ZERO, patient.next()).await;
            match next {
                Ok(event) => break event,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        assert_eq!(event.expect("it goes on").expect("no error").version(), *version);
    }
}

/// A watch ends when the store is gone, after what was queued.
pub(super) async fn end(bench: Bench) {
    let start = bench.newest().await;
    let mut watcher = bench.watch("/e/", start).await;
    let version = bench.put("/e/x/n/a", "x").await;
    drop(bench);
    assert_eq!(next(&mut watcher).await.version(), version);
    assert!(watcher.next().await.is_none());
}
