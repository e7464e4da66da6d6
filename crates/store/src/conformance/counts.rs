//! Counting what a scan would answer.

use std::time::Duration;

use super::{Bench, delete, put};
use crate::Error;

pub(super) async fn as_scanned(bench: Bench) {
    let keys: Vec<String> = (0..20).map(|n| format!("/c/x/n/{n:02}")).collect();
    let first = bench.commit(keys.iter().map(|key| put(key, "1")).collect()).await;
    let second = bench.commit(vec![delete(&keys[3]), delete(&keys[7]), put(&keys[4], "2")]).await;
    let third =
        bench.commit(vec![put(&keys[3], "3"), put("/c/x/o/00", "3"), put("/c/y", "3")]).await;
    let (none, none_before) = (None, second - 1);
    for (prefix, at, after, want) in [
        ("/c/x/n/", first, none, 20),
        ("/c/x/n/", second, none, 18),
        ("/c/x/n/", third, none, 19),
        ("/c/x/", third, none, 20),
        ("/c/", second, none, 18),
        ("/c/", third, none, 21),
        ("/none/", third, none, 0),
        ("/c/x/n/", third, Some("/c/x/n/06"), 12),
        ("/c/x/n/", first, Some("/c/x/n/06"), 13),
        ("/c/x/n/", third, Some("/c/x/n/19"), 0),
        ("/c/x/n/", none_before, Some("/a"), 20),
    ] {
        let count = bench.store.count(prefix, at, after).await.expect("a count");
        assert_eq!(count, want, "{prefix} at {at} after {after:?}");
        let scan = bench.store.scan(prefix, Some(at), after, 100).await.expect("a scan");
        assert_eq!(scan.records.len(), usize::try_from(want).unwrap_or(usize::MAX), "{prefix}");
    }
    let later = bench.store.count("/c/", third + 100, None).await;
    assert!(matches!(later, Err(Error::FutureVersion { .. })), "{later:?}");
    bench.clock.advance(Duration::from_mins(11));
    for _ in 0..3 {
        bench.commit(Vec::new()).await;
    }
    let gone = bench.store.count("/c/", first, None).await;
    assert!(matches!(gone, Err(Error::Compacted { .. })), "{gone:?}");
}
