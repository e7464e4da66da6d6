//! The in-memory store: nothing survives the process, everything else is as on disk.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use ebb_model::Timestamp;

use crate::hub::{self, History, Hub, Position};
use crate::{
    Commit, Error, IDEMPOTENCY_AGE, Options, Precondition, Record, Retention, Scan, Store,
    WatchEvent, Watcher, Write, check,
};

/// A store that lives in memory.
///
/// Its first version is derived from the clock (microseconds since the epoch), so that a version
/// of an earlier process is answered with [`Error::Compacted`] and not taken for one of this
/// process. There are no audit rows: nothing could read them.
pub struct Memory {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    hub: Hub,
    options: Options,
}

/// The newest records and the changes that led to them, from which older states are derived.
struct State {
    newest: u64,
    compacted: u64,
    records: BTreeMap<String, Record>,
    log: VecDeque<Entry>,
    answered: HashMap<String, u64>,
    answered_order: VecDeque<(Timestamp, String)>,
}

struct Entry {
    version: u64,
    time: Timestamp,
    events: Vec<WatchEvent>,
}

impl Memory {
    /// An empty store with [`Retention::MEMORY`] and the machine's clock.
    pub fn new() -> Self {
        Self::with(Options::new(Retention::MEMORY))
    }

    /// An empty store with these options.
    pub fn with(options: Options) -> Self {
        let first = options.clock.now().as_micros();
        let state = State {
            newest: first,
            compacted: first,
            records: BTreeMap::new(),
            log: VecDeque::new(),
            answered: HashMap::new(),
            answered_order: VecDeque::new(),
        };
        let hub = Hub::new(first, options.watch_queue);
        Self { shared: Arc::new(Shared { state: Mutex::new(state), hub, options }) }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.shared.hub.close();
    }
}

#[async_trait]
impl Store for Memory {
    async fn get(&self, key: &str) -> Result<Option<Record>, Error> {
        Ok(self.shared.lock().records.get(key).cloned())
    }

    async fn scan(
        &self,
        prefix: &str,
        at: Option<u64>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Scan, Error> {
        let state = self.shared.lock();
        let at = at.unwrap_or(state.newest);
        check::readable(at, state.compacted, state.newest)?;
        Ok(state.scan(prefix, at, after, limit))
    }

    async fn count(&self, prefix: &str, at: u64, after: Option<&str>) -> Result<u64, Error> {
        let state = self.shared.lock();
        check::readable(at, state.compacted, state.newest)?;
        let count = state.found(prefix, at, after, usize::MAX).len();
        Ok(u64::try_from(count).unwrap_or(u64::MAX))
    }

    async fn commit(&self, commit: Commit) -> Result<u64, Error> {
        check::commit(&commit)?;
        let Shared { hub, options, .. } = &*self.shared;
        let mut state = self.shared.lock();
        if let Some(version) = commit.idempotency_key.as_ref().and_then(|k| state.answered.get(k)) {
            return Ok(*version);
        }
        state.check(&commit.preconditions)?;
        let entry = state.apply(commit, options.clock.now());
        let (version, now) = (entry.version, entry.time);
        hub.publish(version, &entry.events);
        state.log.push_back(entry);
        state.compact(options.retention, now);
        Ok(version)
    }

    async fn watch(&self, prefix: &str, since: u64) -> Result<Watcher, Error> {
        let state = self.shared.lock();
        check::readable(since, state.compacted, state.newest)?;
        let (live, _) = self.shared.hub.subscribe(prefix, since);
        let history = Arc::clone(&self.shared) as Arc<dyn History>;
        Ok(hub::replay(history, prefix, (since, state.newest), live))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl History for Shared {
    async fn page(
        &self,
        prefix: &str,
        after: Position,
        through: u64,
        limit: usize,
    ) -> Result<Vec<(Position, WatchEvent)>, Error> {
        let state = self.lock();
        check::readable(after.needs(), state.compacted, state.newest)?;
        let first = state.log.partition_point(|entry| entry.version < after.version);
        let changes = state.log.range(first..).take_while(|entry| entry.version <= through);
        let changes = changes.flat_map(|entry| {
            entry
                .events
                .iter()
                .zip(0..)
                .map(|(event, change)| (Position { version: entry.version, change }, event))
        });
        let wanted = changes
            .filter(|(position, event)| *position > after && event.key().starts_with(prefix));
        Ok(wanted.take(limit).map(|(position, event)| (position, event.clone())).collect())
    }
}

impl State {
    fn check(&self, preconditions: &[Precondition]) -> Result<(), Error> {
        for precondition in preconditions {
            let (key, holds) = match precondition {
                Precondition::Absent(key) => (key, !self.records.contains_key(key)),
                Precondition::Exists(key) => (key, self.records.contains_key(key)),
                Precondition::Version(key, version) => {
                    (key, self.records.get(key).is_some_and(|found| found.version == *version))
                }
                Precondition::PrefixEmpty(prefix) => {
                    let next = self.records.range::<String, _>(prefix..).next();
                    (prefix, next.is_none_or(|(key, _)| !key.starts_with(prefix.as_str())))
                }
            };
            if !holds {
                return Err(Error::Conflict { key: key.clone() });
            }
        }
        Ok(())
    }

    fn apply(&mut self, commit: Commit, time: Timestamp) -> Entry {
        self.newest += 1;
        let version = self.newest;
        let events = commit.writes.into_iter().filter_map(|write| self.write(version, write));
        let entry = Entry { version, time, events: events.collect() };
        if let Some(key) = commit.idempotency_key {
            self.answered.insert(key.clone(), version);
            self.answered_order.push_back((time, key));
        }
        entry
    }

    fn write(&mut self, version: u64, write: Write) -> Option<WatchEvent> {
        match write {
            Write::Put { key, value } => {
                let create_version =
                    self.records.get(&key).map_or(version, |before| before.create_version);
                let record = Record { key: key.clone(), value, create_version, version };
                let previous = self.records.insert(key, record.clone());
                Some(WatchEvent::Put { record, previous })
            }
            Write::Delete { key } => {
                let previous = self.records.remove(&key)?;
                Some(WatchEvent::Delete { previous, version })
            }
        }
    }

    fn scan(&self, prefix: &str, at: u64, after: Option<&str>, limit: usize) -> Scan {
        let mut page = check::Page::new(limit);
        for record in self.found(prefix, at, after, limit) {
            if !page.is_full() {
                page.offer(record.clone());
            }
        }
        page.into_scan(at)
    }

    /// The records of a scan in key order: at least one more than `limit`, where there are.
    fn found(&self, prefix: &str, at: u64, after: Option<&str>, limit: usize) -> Vec<&Record> {
        let first = check::first_key(prefix, after);
        // What a key had at `at` is what its first change after `at` replaced.
        let mut then: BTreeMap<&str, Option<&Record>> = BTreeMap::new();
        let newer = self.log.partition_point(|entry| entry.version <= at);
        for event in self.log.range(newer..).flat_map(|entry| &entry.events) {
            let key = event.key();
            if key.starts_with(prefix) && key >= first.as_str() {
                then.entry(key).or_insert_with(|| event.previous());
            }
        }
        let bounds = (Bound::Included(first.as_str()), Bound::Unbounded);
        let same = self.records.range::<str, _>(bounds).map(|(_, record)| record);
        let same = same.take_while(|record| record.key.starts_with(prefix));
        let same = same.filter(|record| !then.contains_key(record.key.as_str()));
        let mut found: Vec<&Record> = same.take(limit.saturating_add(1)).collect();
        if !then.is_empty() {
            found.extend(then.values().flatten());
            found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        }
        found
    }

    fn compact(&mut self, retention: Retention, now: Timestamp) {
        while let Some(oldest) = self.log.front() {
            let many = self.newest - self.compacted > retention.versions;
            if !many && now.since(oldest.time) <= retention.age {
                break;
            }
            self.compacted = oldest.version;
            self.log.pop_front();
        }
        while let Some((time, key)) = self.answered_order.front() {
            if now.since(*time) <= IDEMPOTENCY_AGE {
                break;
            }
            self.answered.remove(key);
            self.answered_order.pop_front();
        }
    }
}
