//! What a watcher says about how far it is.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Bench, QUEUE, next, put};
use crate::{Commit, Error, Store, Watcher};

/// A watcher on a quiet prefix moves on with the store, and one with something to give out does
/// not before that was taken.
pub(super) async fn quiet(bench: Bench) {
    let start = bench.newest().await;
    let quiet = bench.watch("/quiet/", start).await;
    let mut busy = bench.watch("/busy/", start).await;
    assert_eq!((quiet.progress(), busy.progress()), (start, start));
    let first = bench.put("/busy/x/n/a", "1").await;
    assert_eq!(quiet.progress(), first, "nothing happened there up to this version");
    assert_eq!(busy.progress(), start, "one change waits");
    let nothing = bench.commit(Vec::new()).await;
    assert_eq!((quiet.progress(), busy.progress()), (nothing, start));
    assert_eq!(next(&mut busy).await.version(), first);
    assert_eq!(busy.progress(), nothing, "all that waited was taken");

    let both = bench.commit(vec![put("/busy/x/n/b", "2"), put("/busy/x/n/c", "2")]).await;
    let after = bench.put("/other/x/n/a", "3").await;
    assert_eq!(next(&mut busy).await.version(), both);
    assert!(busy.progress() < both, "the commit is not given out whole");
    assert_eq!(next(&mut busy).await.version(), both);
    assert_eq!((quiet.progress(), busy.progress()), (after, after));
}

/// While history is replayed, progress follows what was given out, however much there is.
pub(super) async fn replaying(bench: Bench) {
    let start = bench.newest().await;
    let mut versions = Vec::new();
    for n in 0..300 {
        versions.push(bench.put(&format!("/r/x/n/{n:03}"), "x").await);
        if n % 100 == 0 {
            let two = vec![put("/r/x/n/~1", "x"), put("/r/x/n/~2", "x")];
            versions.extend([bench.commit(two).await; 2]);
        }
    }
    let newest = bench.put("/other/x/n/a", "x").await;
    let mut watcher = bench.watch("/r/", start).await;
    assert_eq!(watcher.progress(), start);
    for (index, version) in versions.iter().enumerate() {
        assert_eq!(next(&mut watcher).await.version(), *version);
        let progress = watcher.progress();
        match versions.get(index + 1) {
            None => assert_eq!(progress, newest, "all of history, and nothing since"),
            Some(next) if next == version => assert!(progress < *version),
            Some(next) => assert!(progress < *next && progress >= *version - 1, "{progress}"),
        }
    }
}

/// After an error a watcher never again claims more than it gave out.
pub(super) async fn lagging(bench: Bench) {
    let start = bench.newest().await;
    let mut slow = bench.watch("/s/", start).await;
    let mut versions = Vec::new();
    for n in 0..QUEUE + 2 {
        versions.push(bench.put(&format!("/s/x/n/{n}"), "x").await);
    }
    assert_eq!(slow.progress(), start);
    for version in &versions[..QUEUE] {
        assert_eq!(next(&mut slow).await.version(), *version);
        assert_eq!(slow.progress(), *version);
    }
    assert!(matches!(slow.next().await, Some(Err(Error::Lagged))));
    bench.put("/other/x/n/a", "x").await;
    assert!(slow.next().await.is_none());
    assert_eq!(slow.progress(), versions[QUEUE - 1]);
    let mut resumed = bench.watch("/s/", slow.progress()).await;
    for version in &versions[QUEUE..] {
        assert_eq!(next(&mut resumed).await.version(), *version);
    }
}

/// While many commit, a reader that gives up its watcher again and again and goes on from its
/// progress sees every change once and in order.
pub(super) async fn resumes_exactly(bench: Bench) {
    const COMMITS: usize = 120;
    const CALLERS: usize = 3;
    let start = bench.newest().await;
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let store = Arc::clone(&bench.store);
        callers.spawn(async move {
            for n in 0..COMMITS {
                // Two of three are none of the reader's business.
                let prefix = if n % 3 == 0 { "/x" } else { "/y" };
                let writes = vec![put(&format!("{prefix}/{caller}/{n:03}"), "x")];
                store.commit(Commit { writes, ..Commit::default() }).await.expect("commit");
            }
        });
    }
    let store = Arc::clone(&bench.store);
    let mut reader = JoinSet::new();
    reader.spawn(async move { read(&*store, start).await });
    while let Some(caller) = callers.join_next().await {
        caller.expect("caller");
    }
    let end = bench.put("/x/~end", "x").await;
    let seen = reader.join_next().await.expect("one reader").expect("reader");
    assert_eq!(seen.len(), CALLERS * COMMITS / 3 + 1, "nothing lost, nothing repeated");
    assert!(seen.is_sorted_by(|a, b| a < b), "one commit each, in order");
    assert_eq!(seen.last(), Some(&end));
}

/// Versions of every change up to the last key.
async fn read(store: &dyn Store, start: u64) -> Vec<u64> {
    let (mut seen, mut from) = (Vec::new(), start);
    loop {
        let mut watcher = store.watch("/x", from).await.expect("watch");
        for turn in 0..7 {
            if turn % 2 == 1 {
                tokio::task::yield_now().await;
            }
            let event = next(&mut watcher).await;
            seen.push(event.version());
            honest(&watcher, &seen);
            if event.key() == "/x/~end" {
                return seen;
            }
        }
        let progress = watcher.progress();
        assert!(progress >= from, "never back");
        from = progress;
    }
}

fn honest(watcher: &Watcher, seen: &[u64]) {
    let last = seen.last().copied().unwrap_or_default();
    assert!(watcher.progress() >= last - 1, "what was given out is counted");
}
