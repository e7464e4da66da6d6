//! The stores in memory, with the faults of real ones. The disk outlives daemons.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use ebb_store::memory::Memory;
use ebb_store::{Change, Commit, Error, Record, Scan, Source, Store, Watcher, Write};
use futures_util::FutureExt;
use serde_json::Value as Json;
use tokio::time::Sleep;

use crate::chance::{Chance, StoreRates, Which};
use crate::lock;
use crate::trace::Trace;

/// The latest that a change is told where watches lag.
const LATE: Duration = Duration::from_mins(2);

/// A store with faults.
pub(crate) struct SimStore {
    inner: Memory,
    which: Which,
    chance: Chance,
    trace: Trace,
    commits: AtomicU64,
    /// Objects that were looked at, by key, with the version of each.
    parsed: Mutex<BTreeMap<String, (u64, Arc<Json>)>>,
    /// Acknowledges and drops every so manieth commit: a deliberate defect.
    drop_every: Option<u64>,
}

fn unavailable(what: &str) -> Error {
    Error::Unavailable(format!("{what}, as simulated"))
}

impl SimStore {
    /// Around `inner`.
    pub(crate) fn new(
        inner: Memory,
        which: Which,
        chance: Chance,
        trace: Trace,
        drop_every: Option<u64>,
    ) -> Self {
        let commits = AtomicU64::new(0);
        Self { inner, which, chance, trace, commits, parsed: Mutex::default(), drop_every }
    }

    fn fault(&self, rate: impl Fn(&StoreRates) -> u32) -> bool {
        self.chance.store_fault(self.which, rate)
    }

    /// What is stored under `key`, past all faults.
    pub(crate) fn peek(&self, key: &str) -> Option<Record> {
        self.inner.get(key).now_or_never()?.ok()?
    }

    /// The object under `key`, past all faults.
    pub(crate) fn object(&self, key: &str) -> Option<Arc<Json>> {
        self.parse(&self.peek(key)?)
    }

    /// The object of a record, which is looked at again and again and seldom changes.
    fn parse(&self, record: &Record) -> Option<Arc<Json>> {
        let mut parsed = lock(&self.parsed);
        if let Some((version, object)) = parsed.get(&record.key)
            && *version == record.version
        {
            return Some(object.clone());
        }
        let object: Arc<Json> = Arc::new(serde_json::from_slice(&record.value.data).ok()?);
        parsed.insert(record.key.clone(), (record.version, object.clone()));
        Some(object)
    }

    /// Every record with `prefix`, past all faults.
    pub(crate) fn peek_all(&self, prefix: &str) -> Vec<Record> {
        let scan = self.inner.scan(prefix, None, None, usize::MAX - 1).now_or_never();
        scan.and_then(Result::ok).map(|scan| scan.records).unwrap_or_default()
    }

    /// Every object with `prefix`, past all faults.
    pub(crate) fn objects(&self, prefix: &str) -> Vec<Arc<Json>> {
        self.peek_all(prefix).iter().filter_map(|record| self.parse(record)).collect()
    }

    /// Of the live store only what failed: the rest is told by what the engine says.
    fn log(&self, commit: &Commit, end: &str) {
        if self.which == Which::Live && ["done", "CONFLICT"].contains(&end) {
            return;
        }
        let writes = commit.writes.iter().map(|write| match write {
            Write::Put { key, .. } => format!("+{key}"),
            Write::Delete { key } => format!("-{key}"),
        });
        let writes = writes.collect::<Vec<_>>().join(" ");
        self.trace.log(format!("commit {} {writes}: {end}", commit.actor));
    }

    async fn read(&self) -> Result<(), Error> {
        self.chance.pause().await;
        if self.chance.is_away(self.which) || self.fault(|rates| rates.read) {
            self.trace.log(format!("fault: a read of the store fails: {:?}", self.which));
            return Err(unavailable("the store does not answer"));
        }
        Ok(())
    }

    /// Whether what happened after `asked` is said to be forgotten, which it is not if nothing did.
    async fn kept(&self, asked: u64) -> Result<(), Error> {
        let newest = self.inner.scan("/", None, None, 1).await?.version;
        if asked < newest && self.fault(|rates| rates.too_old) {
            self.trace.log(format!("fault: version {asked} is too old: {:?}", self.which));
            return Err(Error::Compacted { asked, oldest: newest });
        }
        Ok(())
    }

    /// Whether the commit is refused before it happens.
    fn refused(&self) -> Result<(), Error> {
        if self.chance.is_away(self.which) {
            return Err(unavailable("the store does not answer"));
        }
        if self.fault(|rates| rates.full) {
            return Err(Error::DiskFull("as simulated".to_owned()));
        }
        if self.fault(|rates| rates.refused) {
            return Err(unavailable("the store refuses"));
        }
        Ok(())
    }
}

#[async_trait]
impl Store for SimStore {
    async fn get(&self, key: &str) -> Result<Option<Record>, Error> {
        self.read().await?;
        self.inner.get(key).await
    }

    async fn scan(
        &self,
        prefix: &str,
        at: Option<u64>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Scan, Error> {
        self.read().await?;
        if let Some(at) = at {
            self.kept(at).await?;
        }
        self.inner.scan(prefix, at, after, limit).await
    }

    async fn count(&self, prefix: &str, at: u64, after: Option<&str>) -> Result<u64, Error> {
        self.read().await?;
        self.kept(at).await?;
        self.inner.count(prefix, at, after).await
    }

    async fn commit(&self, commit: Commit) -> Result<u64, Error> {
        self.chance.pause().await;
        let told = commit.clone();
        let count = self.commits.fetch_add(1, Ordering::Relaxed) + 1;
        if let Err(error) = self.refused() {
            self.log(&told, error.code());
            return Err(error);
        }
        if self.drop_every.is_some_and(|every| count.is_multiple_of(every)) {
            let version = self.inner.commit(Commit::default()).await?;
            self.log(&told, "dropped, by a deliberate defect");
            return Ok(version);
        }
        let answer = self.inner.commit(commit).await;
        let unknown = answer.is_ok() && self.fault(|rates| rates.unknown);
        match &answer {
            Ok(_) if unknown => self.log(&told, "done, and the answer is lost"),
            Ok(_) => self.log(&told, "done"),
            Err(error) => self.log(&told, error.code()),
        }
        self.chance.pause().await;
        if unknown { Err(unavailable("the answer was lost")) } else { answer }
    }

    async fn watch(&self, prefix: &str, since: u64) -> Result<Watcher, Error> {
        self.read().await?;
        self.kept(since).await?;
        let inner = self.inner.watch(prefix, since).await?;
        let (chance, trace, which) = (self.chance.clone(), self.trace.clone(), self.which);
        Ok(Watcher::new(Feed { inner, which, chance, trace, wait: None, ended_at: None }))
    }
}

/// A watch that lags and breaks.
struct Feed {
    inner: Watcher,
    which: Which,
    chance: Chance,
    trace: Trace,
    /// Until when the next change is late. Kept here, so that a caller that drops the future again
    /// and again still gets on.
    wait: Option<Pin<Box<Sleep>>>,
    /// It broke after this version.
    ended_at: Option<u64>,
}

#[async_trait]
impl Source for Feed {
    async fn next(&mut self) -> Option<Result<Arc<Change>, Error>> {
        if self.ended_at.is_some() {
            return None;
        }
        if let Some(wait) = &mut self.wait {
            wait.as_mut().await;
            self.wait = None;
        }
        let before = self.inner.progress();
        let change = self.inner.next_shared().await?;
        if self.chance.store_fault(self.which, |rates| rates.watch_break) {
            self.trace.log(format!("fault: a watch breaks: {:?}", self.which));
            self.ended_at = Some(before);
            return Some(Err(Error::Lagged));
        }
        if self.chance.store_fault(self.which, |rates| rates.watch_lag) {
            let most = if self.chance.one_in(20) { LATE } else { Duration::from_secs(3) };
            let late = self.chance.time(most);
            self.wait = Some(Box::pin(tokio::time::sleep(late)));
        }
        Some(change)
    }

    fn progress(&self) -> u64 {
        self.ended_at.unwrap_or_else(|| self.inner.progress())
    }
}
