//! The suite that every store passes: [`all`].
//!
//! Each check makes a fresh store, says in an assertion what it expects, and panics where that does
//! not hold; so it is used from tests alone, of this crate and of every other implementation.

mod commits;
mod counts;
mod history;
mod progress;
mod watches;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ebb_kit::ManualClock;
use ebb_model::Timestamp;

use crate::{
    Commit, Error, Options, Precondition, Record, Retention, Scan, Store, Value, WatchEvent,
    Watcher, Write,
};

/// Runs every check. `make` answers a new, empty store with these options for each.
pub async fn all<M, F>(make: M)
where
    M: Fn(Options) -> F,
    F: Future<Output = Arc<dyn Store>>,
{
    let fresh = || async { Bench::new(&make, Retention::DISK).await };
    commits::atomic(fresh().await).await;
    commits::preconditions(fresh().await).await;
    commits::versions_rise(fresh().await).await;
    commits::deletes_and_creates(fresh().await).await;
    commits::idempotency(fresh().await).await;
    commits::values(fresh().await).await;
    commits::limits(fresh().await).await;
    history::prefixes(fresh().await).await;
    history::large_pages_end_early(fresh().await).await;
    history::pages_show_one_version(fresh().await).await;
    history::future_versions(fresh().await).await;
    counts::as_scanned(fresh().await).await;
    let few = Retention { age: Duration::from_mins(10), versions: 50 };
    history::compacted_by_number(Bench::new(&make, few).await).await;
    history::compacted_by_age(fresh().await).await;
    history::compacted_while_replaying(fresh().await).await;
    history::compacted_within_a_commit(fresh().await).await;
    watches::replay(fresh().await).await;
    watches::live(fresh().await).await;
    watches::no_gaps_under_load(fresh().await).await;
    watches::lag(fresh().await).await;
    watches::end(fresh().await).await;
    progress::quiet(fresh().await).await;
    progress::replaying(fresh().await).await;
    progress::lagging(fresh().await).await;
    progress::resumes_exactly(fresh().await).await;
}

/// Events that may wait for one watcher in this suite.
const QUEUE: usize = 512;

/// A store under test, with helpers that keep the checks readable.
struct Bench {
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
}

impl Bench {
    async fn new<M, F>(make: &M, retention: Retention) -> Self
    where
        M: Fn(Options) -> F,
        F: Future<Output = Arc<dyn Store>>,
    {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
        let options = Options { clock: clock.clone(), retention, watch_queue: QUEUE };
        Self { store: make(options).await, clock }
    }

    async fn try_commit(
        &self,
        preconditions: Vec<Precondition>,
        writes: Vec<Write>,
    ) -> Result<u64, Error> {
        let (actor, request_id) = ("tester".to_owned(), "r-1".to_owned());
        let commit = Commit { preconditions, writes, actor, request_id, idempotency_key: None };
        self.store.commit(commit).await
    }

    async fn commit(&self, writes: Vec<Write>) -> u64 {
        self.try_commit(Vec::new(), writes).await.expect("commit without preconditions")
    }

    async fn put(&self, key: &str, data: &str) -> u64 {
        self.commit(vec![put(key, data)]).await
    }

    async fn get(&self, key: &str) -> Option<Record> {
        self.store.get(key).await.expect("get")
    }

    async fn scan(&self, prefix: &str) -> Scan {
        self.store.scan(prefix, None, None, usize::MAX).await.expect("scan")
    }

    async fn watch(&self, prefix: &str, since: u64) -> Watcher {
        self.store.watch(prefix, since).await.expect("watch")
    }

    /// The newest version.
    async fn newest(&self) -> u64 {
        self.scan("/none/").await.version
    }
}

fn value(data: &str, sealed: bool) -> Value {
    Value { storage_version: 1, sealed, data: Bytes::copy_from_slice(data.as_bytes()) }
}

/// A put; every third key is sealed, so that the suite covers both everywhere.
fn put(key: &str, data: &str) -> Write {
    let sealed = key.bytes().map(u32::from).sum::<u32>() % 3 == 0;
    Write::Put { key: key.to_owned(), value: value(data, sealed) }
}

fn delete(key: &str) -> Write {
    Write::Delete { key: key.to_owned() }
}

fn keys(scan: &Scan) -> Vec<&str> {
    scan.records.iter().map(|record| record.key.as_str()).collect()
}

fn text(record: &Record) -> String {
    String::from_utf8_lossy(&record.value.data).into_owned()
}

/// Waits for the next event; a watch that says nothing for this long has lost it.
async fn next(watcher: &mut Watcher) -> WatchEvent {
    let limit = Duration::from_secs(30);
    let event = tokio::time::timeout(limit, watcher.next()).await.expect("an event in time");
    event.expect("the watch goes on").expect("no error")
}
