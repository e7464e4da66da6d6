//! Events: what happened, as `kubectl describe` and `ebb` show it. Repeats are counted, the newest
//! 1,000 of the last hour are kept, and the objects are written in the background.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ebb_kit::Clock;
use ebb_model::k8s::api::core::v1::{Event, EventSource, ObjectReference};
use ebb_model::k8s::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use ebb_model::knative::API_VERSION;
use ebb_model::{Timestamp, key};
use ebb_store::Store;

use crate::error::Error;
use crate::ids::Ids;
use crate::objects;
use crate::queue::WorkQueue;

/// Events kept at most.
const MOST: usize = 1000;
/// How long an event is kept after it last happened (Kubernetes' default).
const KEEP: Duration = Duration::from_hours(1);

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subject {
    pub(crate) kind: &'static str,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

impl Subject {
    pub(crate) fn new(kind: &'static str, meta: &ObjectMeta) -> Self {
        Self {
            kind,
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
        }
    }
}

/// How serious an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Normal,
    Warning,
}

/// Same subject, reason and message: the same event, counted.
type Same = (Subject, String, String);

/// Every event that is kept.
pub(crate) struct EventBook {
    inner: Mutex<Inner>,
    queue: WorkQueue<String>,
    clock: Arc<dyn Clock>,
    ids: Arc<Ids>,
    node: String,
}

#[derive(Default)]
struct Inner {
    /// By key in the live store.
    events: BTreeMap<String, Entry>,
    known: BTreeMap<Same, String>,
}

struct Entry {
    same: Same,
    level: Level,
    uid: String,
    count: i32,
    first: Timestamp,
    last: Timestamp,
}

impl EventBook {
    pub(crate) fn new(clock: Arc<dyn Clock>, ids: Arc<Ids>, node: &str) -> Self {
        let queue = WorkQueue::new(clock.clone());
        Self { inner: Mutex::default(), queue, clock, ids, node: node.to_owned() }
    }

    /// Something happened.
    pub(crate) fn record(&self, subject: &Subject, level: Level, reason: &str, message: &str) {
        let now = self.clock.now();
        let same = (subject.clone(), reason.to_owned(), message.to_owned());
        let mut inner = self.lock();
        if let Some(key) = inner.known.get(&same).cloned() {
            if let Some(entry) = inner.events.get_mut(&key) {
                entry.count = entry.count.saturating_add(1);
                entry.last = now;
            }
            drop(inner);
            self.queue.add(key);
            return;
        }
        let uid = self.ids.uid();
        let name = format!("{}.{}", subject.name, uid.replace('-', "").get(..16).unwrap_or(&uid));
        let key = key::object("", "events", &subject.namespace, &name);
        let entry = Entry { same: same.clone(), level, uid, count: 1, first: now, last: now };
        inner.known.insert(same, key.clone());
        inner.events.insert(key.clone(), entry);
        let removed = if inner.events.len() > MOST { inner.remove_oldest() } else { None };
        drop(inner);
        self.queue.add(key);
        if let Some(key) = removed {
            self.queue.add(key);
        }
    }

    /// The next event object to write.
    pub(crate) async fn next(&self) -> String {
        self.queue.next().await
    }

    /// Writes or removes the object under `key`, as the book says.
    pub(crate) async fn write(&self, live: &dyn Store, key: &str) -> Result<(), Error> {
        match self.render(key) {
            Some((event, expires)) => {
                objects::put_live(live, key.to_owned(), &event).await?;
                self.queue.add_at(key.to_owned(), expires);
            }
            None => objects::delete_live(live, key.to_owned()).await?,
        }
        Ok(())
    }

    pub(crate) fn done(&self, key: &String) {
        self.queue.done(key);
    }

    pub(crate) fn retry(&self, key: &String, wait: impl FnOnce(u32) -> Duration) {
        self.queue.retry(key, wait);
    }

    fn render(&self, key: &str) -> Option<(Event, Timestamp)> {
        let mut inner = self.lock();
        let expires = inner.events.get(key)?.last.plus(KEEP);
        if expires <= self.clock.now() {
            inner.remove(key);
            return None;
        }
        let entry = inner.events.get(key)?;
        Some((entry.render(key, &self.node), expires))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remove(&mut self, key: &str) {
        if let Some(entry) = self.events.remove(key) {
            self.known.remove(&entry.same);
        }
    }

    fn remove_oldest(&mut self) -> Option<String> {
        let oldest = self.events.iter().min_by_key(|(_, entry)| entry.last);
        let oldest = oldest.map(|(key, _)| key.clone())?;
        self.remove(&oldest);
        Some(oldest)
    }
}

impl Entry {
    fn render(&self, key: &str, node: &str) -> Event {
        let (subject, reason, message) = &self.same;
        let (namespace, name) = key::parse(key).unwrap_or_default();
        let api_version = if subject.kind == "Pod" { "v1" } else { API_VERSION };
        Event {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(namespace.to_owned()),
                uid: Some(self.uid.clone()),
                creation_timestamp: Some(Time(self.first.to_jiff())),
                ..ObjectMeta::default()
            },
            involved_object: ObjectReference {
                api_version: Some(api_version.to_owned()),
                kind: Some(subject.kind.to_owned()),
                namespace: Some(subject.namespace.clone()),
                name: Some(subject.name.clone()),
                uid: Some(subject.uid.clone()),
                ..ObjectReference::default()
            },
            reason: Some(reason.clone()),
            message: Some(message.clone()),
            type_: Some(format!("{:?}", self.level)),
            count: Some(self.count),
            first_timestamp: Some(Time(self.first.to_jiff())),
            last_timestamp: Some(Time(self.last.to_jiff())),
            source: Some(EventSource {
                component: Some("ebb-control".to_owned()),
                host: Some(node.to_owned()),
            }),
            reporting_component: Some("ebb-control".to_owned()),
            reporting_instance: Some(node.to_owned()),
            ..Event::default()
        }
    }
}

#[cfg(test)]
mod tests;
