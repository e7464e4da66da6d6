//! The disk: a store in memory that outlives daemons, with the faults of a real one.

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

use crate::chance::Chance;
use crate::lock;
use crate::trace::Trace;

/// A store with faults.
pub(crate) struct SimStore {
    inner: Memory,
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
        chance: Chance,
        trace: Trace,
        drop_every: Option<u64>,
    ) -> Self {
        let commits = AtomicU64::new(0);
        Self { inner, chance, trace, commits, parsed: Mutex::default(), drop_every }
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

    fn log(&self, commit: &Commit, end: &str) {
        let writes = commit.writes.iter().map(|write| match write {
            Write::Put { key, .. } => format!("+{key}"),
            Write::Delete { key } => format!("-{key}"),
        });
        let writes = writes.collect::<Vec<_>>().join(" ");
        self.trace.log(format!("commit {} {writes}: {end}", commit.actor));
    }

    async fn read(&self) -> Result<(), Error> {
        self.chance.pause().await;
        if self.chance.fault(|rates| rates.read) {
            self.trace.log("fault: a read of the store fails");
            return Err(unavailable("the disk does not answer"));
        }
        Ok(())
    }

    /// Whether the commit is refused before it happens.
    fn refused(&self) -> Result<(), Error> {
        if self.chance.fault(|rates| rates.full) {
            return Err(Error::DiskFull("as simulated".to_owned()));
        }
        if self.chance.fault(|rates| rates.refused) {
            return Err(unavailable("the disk refuses"));
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
        self.inner.scan(prefix, at, after, limit).await
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
        let unknown = answer.is_ok() && self.chance.fault(|rates| rates.unknown);
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
        let inner = self.inner.watch(prefix, since).await?;
        let (chance, trace) = (self.chance.clone(), self.trace.clone());
        Ok(Watcher::new(Feed { inner, chance, trace, wait: None, ended_at: None }))
    }
}

/// A watch that lags and breaks.
struct Feed {
    inner: Watcher,
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
        if self.chance.fault(|rates| rates.watch_break) {
            self.trace.log("fault: a watch breaks");
            self.ended_at = Some(before);
            return Some(Err(Error::Lagged));
        }
        if self.chance.fault(|rates| rates.watch_lag) {
            let late = self.chance.time(Duration::from_secs(3));
            self.wait = Some(Box::pin(tokio::time::sleep(late)));
        }
        Some(change)
    }

    fn progress(&self) -> u64 {
        self.ended_at.unwrap_or_else(|| self.inner.progress())
    }
}
