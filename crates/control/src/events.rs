//! Events: what happened, as `kubectl describe` and `ebb` show it. Repeats are counted and shown as
//! a series, much of one sort is told together (`correlate`), the newest 1,000 of the last hour are
//! kept, and the objects are written in the background. Those of clients are about the last hour,
//! too (`expiry`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ebb_kit::Clock;
use ebb_model::k8s::api::core::v1::{Event, EventSeries, EventSource, ObjectReference};
use ebb_model::k8s::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
use ebb_model::knative::API_VERSION;
use ebb_model::{Resource, Timestamp, key};
use ebb_store::Store;

use crate::error::Error;
use crate::generic::Meta;
use crate::ids::Ids;
use crate::objects;
use crate::queue::WorkQueue;

mod correlate;
pub(crate) mod expiry;

use correlate::{Correlator, Tell};

/// What the message of several Events together begins with, as in Kubernetes.
const COMBINED: &str = "(combined from similar events): ";
/// Events kept at most.
const MOST: usize = 1000;
/// How long an event is kept after it last happened (Kubernetes' default).
const KEEP: Duration = Duration::from_hours(1);

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subject {
    pub(crate) api_version: Cow<'static, str>,
    pub(crate) kind: Cow<'static, str>,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

impl Subject {
    /// An object of Knative Serving.
    pub(crate) fn new(kind: &'static str, meta: &ObjectMeta) -> Self {
        Self {
            api_version: Cow::Borrowed(API_VERSION),
            kind: Cow::Borrowed(kind),
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
        }
    }

    /// An object of any kind.
    pub(crate) fn of(resource: &Resource, meta: &Meta) -> Self {
        Self {
            api_version: Cow::Owned(resource.api_version()),
            kind: Cow::Owned(resource.kind.clone()),
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
        }
    }
}

/// How serious an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Normal,
    Warning,
}

/// Same subject, reason and message: the same event, counted. Without message: those that are told
/// together.
type Same = (Subject, String, Option<String>);

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
    correlator: Correlator,
}

struct Entry {
    same: Same,
    message: String,
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
        let mut inner = self.lock();
        let (text, key) = match inner.correlator.tell((subject, level, reason), message, now) {
            Tell::Alone => (message.to_owned(), Some(message.to_owned())),
            Tell::Together => (format!("{COMBINED}{message}"), None),
            Tell::Not => return,
        };
        let same = (subject.clone(), reason.to_owned(), key);
        if let Some(key) = inner.known.get(&same).cloned() {
            if let Some(entry) = inner.events.get_mut(&key) {
                entry.count = entry.count.saturating_add(1);
                entry.last = now;
                entry.message = text;
            }
            drop(inner);
            self.queue.add(key);
            return;
        }
        let uid = self.ids.uid();
        let name = format!("{}.{}", subject.name, uid.replace('-', "").get(..16).unwrap_or(&uid));
        // Those about objects without namespace are in the default one, as in Kubernetes.
        let namespace = if subject.namespace.is_empty() { "default" } else { &subject.namespace };
        let key = key::object("", "events", namespace, &name);
        let (same_, message) = (same.clone(), text);
        let entry = Entry { same: same_, message, level, uid, count: 1, first: now, last: now };
        inner.known.insert(same, key.clone());
        inner.events.insert(key.clone(), entry);
        let removed = if inner.events.len() > MOST { inner.remove_oldest() } else { None };
        drop(inner);
        self.queue.add(key);
        if let Some(key) = removed {
            self.queue.add(key);
        }
    }

    /// The namespace is gone, and what happened in it is of no use to anybody.
    pub(crate) fn forget_namespace(&self, namespace: &str) {
        let prefix = key::namespaced("", "events", namespace);
        let mut inner = self.lock();
        let there = inner.events.keys().filter(|key| key.starts_with(&prefix));
        let keys: Vec<String> = there.cloned().collect();
        for key in &keys {
            inner.remove(key);
        }
        drop(inner);
        for key in keys {
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
        let (subject, reason, _) = &self.same;
        let (namespace, name) = key::parse(key).unwrap_or_default();
        let series = EventSeries {
            count: Some(self.count),
            last_observed_time: Some(MicroTime(self.last.to_jiff())),
        };
        Event {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(namespace.to_owned()),
                uid: Some(self.uid.clone()),
                creation_timestamp: Some(Time(self.first.to_jiff())),
                ..ObjectMeta::default()
            },
            involved_object: ObjectReference {
                api_version: Some(subject.api_version.to_string()),
                kind: Some(subject.kind.to_string()),
                namespace: Some(subject.namespace.clone()).filter(|text| !text.is_empty()),
                name: Some(subject.name.clone()),
                uid: Some(subject.uid.clone()),
                ..ObjectReference::default()
            },
            reason: Some(reason.clone()),
            message: Some(self.message.clone()),
            type_: Some(format!("{:?}", self.level)),
            count: Some(self.count),
            series: Some(series).filter(|_| self.count > 1),
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
