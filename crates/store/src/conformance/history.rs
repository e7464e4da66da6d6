//! Reading by prefix, and as of a version.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use super::{Bench, delete, keys, next, put, text};
use crate::{Commit, Error, SCAN_BYTES, WatchEvent};

pub(super) async fn prefixes(bench: Bench) {
    let all = [
        "/a",
        "/a/b",
        "/a/b/",
        "/a/b/c",
        "/a/b/d",
        "/a/b0",
        "/a/bc",
        "/a/bc/d",
        "/b",
        "/é/ü",
        "/\u{10ffff}",
        "/\u{10ffff}x",
        "a",
    ];
    bench.commit(all.iter().map(|key| put(key, key)).collect()).await;
    bench.commit(vec![put("/a/b/gone", "")]).await;
    bench.commit(vec![delete("/a/b/gone")]).await;
    let mut sorted = all;
    sorted.sort_unstable();
    for prefix in ["/a/b", "/a/b/", "/a", "/é", "/\u{10ffff}", "/", "a", "/none", "/a/b/c"] {
        let want: Vec<&str> =
            sorted.iter().filter(|key| key.starts_with(prefix)).copied().collect();
        // A store may keep a record of its own; it is none of these.
        let scan = bench.scan(prefix).await;
        let mut have = keys(&scan);
        have.retain(|key| !key.starts_with("/ebb.dev/"));
        assert_eq!(have, want, "{prefix}");
        for size in 1..4 {
            let mut paged: Vec<String> = Vec::new();
            loop {
                let after = paged.last().map(String::as_str);
                let page = bench.store.scan(prefix, None, after, size).await.expect("page");
                assert!(page.records.len() <= size);
                paged.extend(page.records.iter().map(|record| record.key.clone()));
                if !page.more {
                    break;
                }
                assert_eq!(page.records.len(), size, "{prefix}: a page before the last is full");
            }
            paged.retain(|key| !key.starts_with("/ebb.dev/"));
            assert_eq!(paged, want, "{prefix} by {size}");
        }
    }
    let none = bench.store.scan("/a/b", None, None, 0).await.expect("limit 0");
    assert!(none.records.is_empty() && none.more);
    let scan = bench.store.scan("/b", None, Some("/a/zzz"), 9).await.expect("after before prefix");
    assert_eq!(keys(&scan), ["/b"]);
    let scan = bench.store.scan("/a/b/", None, Some("/b"), 9).await.expect("after behind prefix");
    assert!(scan.records.is_empty() && !scan.more);
}

/// A page of large values holds fewer of them; nothing is skipped.
pub(super) async fn large_pages_end_early(bench: Bench) {
    let large = "x".repeat(SCAN_BYTES / 3 + 1);
    let names = ["/l/a", "/l/b", "/l/c", "/l/d", "/l/e"];
    for name in names {
        bench.commit(vec![put(name, &large)]).await;
    }
    bench.commit(vec![put("/l/f", &large.repeat(4))]).await;
    let mut sizes = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = bench.store.scan("/l/", None, after.as_deref(), 500).await.expect("page");
        sizes.push(keys(&page).len());
        after = page.records.last().map(|record| record.key.clone());
        if !page.more {
            break;
        }
    }
    assert_eq!(sizes, [2, 2, 1, 1], "by their bytes, but one at least");
}

/// Pages of a list show one version, while others write, replace and remove.
pub(super) async fn pages_show_one_version(bench: Bench) {
    let names: Vec<String> = (0..40).map(|n| format!("/s/x/n/{n:02}")).collect();
    bench.commit(names.iter().map(|key| put(key, "0")).collect()).await;
    let finished = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    let (store, ended, all) = (Arc::clone(&bench.store), Arc::clone(&finished), names.clone());
    tasks.spawn(async move {
        let mut n = 1;
        while !ended.load(Ordering::Relaxed) {
            // Every commit leaves all records with the same content, and odd ones without half.
            let text = n.to_string();
            let writes = all.iter().enumerate().map(|(i, key)| {
                if n % 2 == 1 && i % 2 == 1 { delete(key) } else { put(key, &text) }
            });
            let commit = Commit { writes: writes.collect(), ..Commit::default() };
            store.commit(commit).await.expect("commit");
            n += 1;
            tokio::task::yield_now().await;
        }
    });
    for _ in 0..30 {
        let first = bench.store.scan("/s/", None, None, 7).await.expect("first page");
        let version = first.version;
        let (mut records, mut more) = (first.records, first.more);
        while more {
            let after = records.last().map(|record| record.key.clone());
            let page = bench.store.scan("/s/", Some(version), after.as_deref(), 7).await;
            let page = page.expect("next page");
            assert_eq!(page.version, version);
            records.extend(page.records);
            more = page.more;
        }
        let content = text(&records[0]);
        assert!(records.iter().all(|record| text(record) == content), "one version: {content}");
        let odd = content.parse::<u64>().expect("a number") % 2 == 1;
        assert_eq!(records.len(), if odd { 20 } else { 40 });
        assert!(records.iter().all(|record| record.version <= version));
    }
    finished.store(true, Ordering::Relaxed);
    while let Some(task) = tasks.join_next().await {
        task.expect("writer");
    }
}

pub(super) async fn future_versions(bench: Bench) {
    let version = bench.put("/f/x/n/a", "1").await;
    let asked = version + 1;
    let scan = bench.store.scan("/f/", Some(asked), None, 9).await;
    assert!(
        matches!(scan, Err(Error::FutureVersion { asked: a, newest }) if a == asked && newest == version)
    );
    let watch = bench.store.watch("/f/", asked).await;
    assert!(matches!(watch, Err(Error::FutureVersion { .. })), "{watch:?}");
    assert!(bench.store.scan("/f/", Some(version), None, 9).await.is_ok());
}

pub(super) async fn compacted_by_number(bench: Bench) {
    let kept = bench.put("/k/x/n/kept", "kept").await;
    let first = bench.put("/k/x/n/a", "0").await;
    for n in 1..200 {
        bench.put("/k/x/n/a", &n.to_string()).await;
        bench.commit(vec![put("/k/x/n/b", "b")]).await;
        bench.commit(vec![delete("/k/x/n/b")]).await;
    }
    let newest = bench.newest().await;
    check_compacted(&bench, first, newest, 100).await;
    let record = bench.get("/k/x/n/kept").await.expect("what is newest is never forgotten");
    assert_eq!((record.version, text(&record).as_str()), (kept, "kept"));
    assert_eq!(keys(&bench.scan("/k/").await), ["/k/x/n/a", "/k/x/n/kept"]);
}

pub(super) async fn compacted_by_age(bench: Bench) {
    bench.put("/k/x/n/kept", "kept").await;
    let first = bench.put("/k/x/n/a", "0").await;
    bench.put("/k/x/n/a", "1").await;
    bench.clock.advance(Duration::from_mins(5));
    let young = bench.put("/k/x/n/a", "2").await;
    assert!(bench.store.scan("/k/", Some(first), None, 9).await.is_ok(), "half as old as allowed");
    bench.clock.advance(Duration::from_secs(301));
    bench.put("/k/x/n/a", "3").await;
    let newest = bench.put("/k/x/n/a", "4").await;
    check_compacted(&bench, first, newest, 4).await;
    let scan = bench.store.scan("/k/", Some(young), None, 9).await.expect("young enough");
    assert_eq!(text(&scan.records[0]), "2");
}

/// `first` is gone, at most `most` versions are kept, and the oldest that is kept is whole.
async fn check_compacted(bench: &Bench, first: u64, newest: u64, most: u64) {
    let Err(Error::Compacted { asked, oldest }) =
        bench.store.scan("/k/", Some(first), None, 9).await
    else {
        panic!("version {first} should be gone");
    };
    assert_eq!(asked, first);
    assert!(oldest > first && newest - oldest <= most, "{first} {oldest} {newest}");
    let watch = bench.store.watch("/k/", oldest - 1).await;
    assert!(matches!(watch, Err(Error::Compacted { .. })), "{watch:?}");

    let then = bench.store.scan("/k/", Some(oldest), None, usize::MAX).await.expect("the oldest");
    let mut state: std::collections::BTreeMap<String, crate::Record> =
        then.records.into_iter().map(|record| (record.key.clone(), record)).collect();
    let mut watcher = bench.watch("/k/", oldest).await;
    let mut version = oldest;
    while version < newest {
        let event = next(&mut watcher).await;
        assert!(event.version() > version);
        version = event.version();
        assert_eq!(event.previous(), state.get(event.key()), "what a change replaced is known");
        match event {
            WatchEvent::Put { record, .. } => state.insert(record.key.clone(), record),
            WatchEvent::Delete { previous, .. } => state.remove(&previous.key),
        };
    }
    let now = bench.scan("/k/").await.records;
    assert_eq!(state.into_values().collect::<Vec<_>>(), now);
}

/// A watcher so slow that what it would replay is gone meanwhile is told so, and sees no gap.
pub(super) async fn compacted_while_replaying(bench: Bench) {
    let start = bench.newest().await;
    for n in 0..6 {
        let writes = (0..200).map(|i| put(&format!("/m/x/n/{n}-{i}"), "x")).collect();
        bench.commit(writes).await;
    }
    let mut watcher = bench.watch("/m/", start).await;
    let mut seen = vec![next(&mut watcher).await];
    bench.clock.advance(Duration::from_mins(11));
    for n in 0..3 {
        bench.put("/m/x/n/later", &n.to_string()).await;
    }
    loop {
        match watcher.next().await {
            Some(Ok(event)) => seen.push(event),
            Some(Err(error)) => {
                assert!(matches!(error, Error::Compacted { .. }), "{error}");
                break;
            }
            None => panic!("an end without a word"),
        }
    }
    assert!(watcher.next().await.is_none());
    assert!(seen.len() < 1_200, "{}", seen.len());
    for (n, event) in seen.iter().enumerate() {
        assert_eq!(event.key(), format!("/m/x/n/{}-{}", n / 200, n % 200));
    }
}

/// The same in the middle of a commit that is just the oldest one retained: what it removed cannot
/// be told any more, so nothing more is told.
pub(super) async fn compacted_within_a_commit(bench: Bench) {
    let keys: Vec<String> = (0..300).map(|n| format!("/w/x/n/{n:03}")).collect();
    let start = bench.commit(keys.iter().map(|key| put(key, "x")).collect()).await;
    let removal = bench.commit(keys.iter().map(|key| delete(key)).collect()).await;
    let mut watcher = bench.watch("/w/", start).await;
    let first = next(&mut watcher).await;
    assert_eq!((first.key(), first.version()), (keys[0].as_str(), removal));
    // It becomes the newest of those that are too old, and so the oldest that can be read.
    bench.clock.advance(Duration::from_mins(11));
    for _ in 0..3 {
        bench.commit(Vec::new()).await;
    }
    let gone = bench.store.watch("/w/", start).await;
    assert!(matches!(gone, Err(Error::Compacted { oldest, .. }) if oldest == removal), "{gone:?}");
    let mut seen = 1;
    loop {
        // A watch that lost what it should tell would wait for ever.
        let next = tokio::time::timeout(Duration::from_secs(30), watcher.next()).await;
        match next.expect("the rest, or why it does not come") {
            Some(Ok(event)) => {
                assert_eq!((event.key(), event.version()), (keys[seen].as_str(), removal));
                seen += 1;
            }
            Some(Err(error)) => {
                assert!(matches!(error, Error::Compacted { .. }), "{error}");
                break;
            }
            None => panic!("an end without a word"),
        }
        assert!(seen < keys.len(), "more was retained than the store says");
    }
}
