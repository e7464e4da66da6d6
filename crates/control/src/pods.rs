//! Pods: one object per instance in the live store, written in the background from what is known
//! about the instance. Ended ones are kept a while for their logs.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ebb_kit::Clock;
use ebb_model::engine::ExitRecord;
use ebb_model::knative::Revision;
use ebb_model::{InstanceId, Timestamp, key};
use ebb_store::Store;

use crate::error::Error;
use crate::events::Subject;
use crate::ids::Ids;
use crate::keys::ServiceKey;
use crate::objects;
use crate::queue::WorkQueue;

mod render;

/// Ended pods kept per service.
const ENDED: usize = 10;
/// How long an ended pod is kept.
const KEEP: Duration = Duration::from_hours(1);

/// What every pod of a revision shares.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) service: ServiceKey,
    /// The service as the subject of events.
    pub(crate) subject: Subject,
    pub(crate) revision: Revision,
}

/// Namespace and name of a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PodKey {
    namespace: String,
    name: String,
}

/// What is known about the instance behind a pod.
#[derive(Clone, Debug)]
pub(crate) struct View {
    id: InstanceId,
    uid: String,
    template: Arc<Template>,
    created: Timestamp,
    started: Option<Timestamp>,
    ready: Option<(Timestamp, Option<SocketAddr>)>,
    stopping: Option<Timestamp>,
    ended: Option<Ended>,
    /// Its object goes as soon as the instance has ended: somebody deleted it.
    deleted: bool,
    /// The time that whoever deleted it gave it. With none at all its object is gone already.
    period: Option<Duration>,
}

impl View {
    /// Whether its object is gone before its instance.
    fn is_hidden(&self) -> bool {
        self.period == Some(Duration::ZERO)
    }
}

/// How an instance ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) at: Timestamp,
    pub(crate) record: Option<ExitRecord>,
}

/// An instance as a pod's name leads to it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) id: InstanceId,
    pub(crate) uid: String,
    pub(crate) container: String,
    pub(crate) ended: bool,
}

/// Every pod.
pub(crate) struct PodBook {
    inner: Mutex<Inner>,
    queue: WorkQueue<PodKey>,
    clock: Arc<dyn Clock>,
    ids: Arc<Ids>,
    node: String,
}

#[derive(Default)]
struct Inner {
    pods: BTreeMap<PodKey, View>,
    by_id: BTreeMap<InstanceId, PodKey>,
    ended: BTreeMap<ServiceKey, VecDeque<PodKey>>,
    /// Instances whose logs nobody needs any more.
    forgotten: Vec<InstanceId>,
}

impl PodBook {
    pub(crate) fn new(clock: Arc<dyn Clock>, ids: Arc<Ids>, node: &str) -> Self {
        let queue = WorkQueue::new(clock.clone());
        Self { inner: Mutex::default(), queue, clock, ids, node: node.to_owned() }
    }

    /// An instance is being started.
    pub(crate) fn created(&self, id: &InstanceId, template: &Arc<Template>) {
        let revision = template.revision.metadata.name.clone().unwrap_or_default();
        let key =
            PodKey { namespace: template.service.namespace.clone(), name: id.pod_name(&revision) };
        let view = View {
            id: id.clone(),
            uid: self.ids.uid(),
            template: template.clone(),
            created: self.clock.now(),
            started: None,
            ready: None,
            stopping: None,
            ended: None,
            deleted: false,
            period: None,
        };
        let mut inner = self.lock();
        inner.by_id.insert(id.clone(), key.clone());
        inner.pods.insert(key.clone(), view);
        drop(inner);
        self.queue.add(key);
    }

    pub(crate) fn started(&self, id: &InstanceId) {
        let now = self.clock.now();
        self.change(id, |view| view.started = view.started.or(Some(now)));
    }

    pub(crate) fn ready(&self, id: &InstanceId, endpoint: Option<SocketAddr>) {
        let now = self.clock.now();
        self.change(id, |view| {
            view.started = view.started.or(Some(now));
            view.ready = Some((now, endpoint));
        });
    }

    pub(crate) fn stopping(&self, id: &InstanceId) {
        let now = self.clock.now();
        self.change(id, |view| view.stopping = view.stopping.or(Some(now)));
    }

    pub(crate) fn ended(&self, id: &InstanceId, record: Option<ExitRecord>) {
        let at = self.clock.now();
        self.change(id, |view| view.ended = Some(Ended { at, record }));
        let mut inner = self.lock();
        let Some(key) = inner.by_id.get(id).cloned() else { return };
        let Some(view) = inner.pods.get(&key) else { return };
        let (deleted, service) = (view.deleted, view.template.service.clone());
        let gone = if deleted {
            Some(key)
        } else {
            let ring = inner.ended.entry(service).or_default();
            ring.push_back(key);
            if ring.len() > ENDED { ring.pop_front() } else { None }
        };
        if let Some(key) = gone {
            inner.remove(&key);
            drop(inner);
            self.queue.add(key);
        }
    }

    /// Somebody deleted the pod: its object goes with its instance, or now when that has ended or
    /// gets no time. A second `period` counts when it is shorter.
    pub(crate) fn delete(&self, id: &InstanceId, period: Option<Duration>) {
        let now = self.clock.now();
        let mut inner = self.lock();
        let Some(key) = inner.by_id.get(id).cloned() else { return };
        let Some(view) = inner.pods.get_mut(&key) else { return };
        view.deleted = true;
        view.stopping = view.stopping.or(Some(now));
        view.period = view.period.into_iter().chain(period).min();
        if view.ended.is_some() {
            inner.remove(&key);
        }
        drop(inner);
        self.queue.add(key);
    }

    /// The service is gone: nobody needs the logs of its ended pods.
    pub(crate) fn forget_service(&self, service: &ServiceKey) {
        let mut inner = self.lock();
        let keys = inner.ended.remove(service).unwrap_or_default();
        for key in &keys {
            inner.remove(key);
        }
        drop(inner);
        for key in keys {
            self.queue.add(key);
        }
    }

    /// The namespace is gone: nobody can ask for the logs of its ended pods.
    pub(crate) fn forget_namespace(&self, namespace: &str) {
        let services: Vec<ServiceKey> =
            self.lock().ended.keys().filter(|of| of.namespace == namespace).cloned().collect();
        for service in &services {
            self.forget_service(service);
        }
    }

    pub(crate) fn find(&self, namespace: &str, name: &str) -> Option<Found> {
        let key = PodKey { namespace: namespace.to_owned(), name: name.to_owned() };
        let inner = self.lock();
        let view = inner.pods.get(&key).filter(|view| !view.is_hidden())?;
        Some(Found {
            id: view.id.clone(),
            uid: view.uid.clone(),
            container: render::main_container(&view.template.revision),
            ended: view.ended.is_some(),
        })
    }

    /// The pod of an instance, as the subject of an event.
    pub(crate) fn subject(&self, id: &InstanceId) -> Option<Subject> {
        let inner = self.lock();
        let key = inner.by_id.get(id)?;
        let uid = inner.pods.get(key)?.uid.clone();
        let (namespace, name) = (key.namespace.clone(), key.name.clone());
        let (api_version, kind) = ("v1".into(), "Pod".into());
        Some(Subject { api_version, kind, namespace, name, uid })
    }

    /// Name of the instance's container that takes requests.
    pub(crate) fn container(&self, id: &InstanceId) -> Option<String> {
        let inner = self.lock();
        let view = inner.pods.get(inner.by_id.get(id)?)?;
        Some(render::main_container(&view.template.revision))
    }

    /// The next pod whose object has to be written.
    pub(crate) async fn next(&self) -> PodKey {
        self.queue.next().await
    }

    /// Writes or removes the object, as the book says.
    pub(crate) async fn write(&self, live: &dyn Store, pod: &PodKey) -> Result<(), Error> {
        let key = key::object("", "pods", &pod.namespace, &pod.name);
        let Some(view) = self.current(pod) else {
            return objects::delete_live(live, key).await;
        };
        objects::put_live(live, key, &render::pod(&view, &pod.name, &self.node)).await?;
        if let Some(ended) = &view.ended {
            self.queue.add_at(pod.clone(), ended.at.plus(KEEP));
        }
        Ok(())
    }

    pub(crate) fn done(&self, pod: &PodKey) {
        self.queue.done(pod);
    }

    pub(crate) fn retry(&self, pod: &PodKey, wait: impl FnOnce(u32) -> Duration) {
        self.queue.retry(pod, wait);
    }

    /// Instances that the engine may forget, since the last call.
    pub(crate) fn forgotten(&self) -> Vec<InstanceId> {
        std::mem::take(&mut self.lock().forgotten)
    }

    /// What is known about the pod; none when its time is over.
    fn current(&self, pod: &PodKey) -> Option<View> {
        let mut inner = self.lock();
        let view = inner.pods.get(pod)?.clone();
        if view.ended.as_ref().is_some_and(|ended| ended.at.plus(KEEP) <= self.clock.now()) {
            inner.remove(pod);
            return None;
        }
        Some(view).filter(|view| !view.is_hidden())
    }

    fn change(&self, id: &InstanceId, change: impl FnOnce(&mut View)) {
        let mut inner = self.lock();
        let Some(key) = inner.by_id.get(id).cloned() else { return };
        if let Some(view) = inner.pods.get_mut(&key) {
            change(view);
        }
        drop(inner);
        self.queue.add(key);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remove(&mut self, key: &PodKey) {
        let Some(view) = self.pods.remove(key) else { return };
        self.by_id.remove(&view.id);
        if let Some(ring) = self.ended.get_mut(&view.template.service) {
            ring.retain(|ended| ended != key);
            if ring.is_empty() {
                self.ended.remove(&view.template.service);
            }
        }
        self.forgotten.push(view.id);
    }
}

#[cfg(test)]
mod tests;
