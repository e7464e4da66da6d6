//! The data plane: no sockets, and the same decisions as the gateway's, by the same rules.
//!
//! It is part of the daemon: requests that it holds or forwards when the daemon ends are lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use ebb_control::DataPlane;
use ebb_kit::{Clock, Shutdown, Tasks};
use ebb_model::routing::{ColdRequest, Endpoint, Load, RequestPolicy, RouteTable};
use ebb_model::{InstanceId, RevisionKey, Timestamp};
use ebb_rules::balance::{self, Candidate};
use ebb_rules::hold::{self, Admit};
use ebb_rules::split;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::engine::SimEngine;
use crate::lock;
use crate::published;
use crate::store::SimStore;
use crate::trace::Trace;

/// How long an instance that refused a connection gets none.
const SUSPECT: Duration = Duration::from_secs(1);

/// Time within which an end that was told has to have come through.
const TOLD: Duration = Duration::from_millis(50);

/// The simulated gateway of one daemon.
pub(crate) struct Plane {
    state: Mutex<State>,
    /// Filled in when control is there, as in the daemon itself.
    pub(crate) control: OnceLock<ebb_control::Handle>,
    pub(crate) engine: Arc<SimEngine>,
    store: Arc<SimStore>,
    clock: Arc<dyn Clock>,
    trace: Trace,
    tasks: Tasks,
    /// Goes on sending to instances that are gone: a deliberate defect.
    careless: bool,
}

/// What a gateway stands on.
pub(crate) struct Deps {
    pub(crate) engine: Arc<SimEngine>,
    pub(crate) store: Arc<SimStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) trace: Trace,
    /// Those of the daemon.
    pub(crate) tasks: Tasks,
}

/// Status of a request that was held when the gateway closed, or came then.
const LOST: u16 = 500;

#[derive(Default)]
struct State {
    routes: RouteTable,
    /// Requests of each host so far.
    counts: BTreeMap<String, u64>,
    revisions: BTreeMap<RevisionKey, Revision>,
    next_ticket: u64,
    /// Nothing is taken any more.
    closed: bool,
}

struct Revision {
    policy: RequestPolicy,
    ready: Vec<Instance>,
    leaving: Vec<Instance>,
    /// Everything that was ever told to leave, whether or not it took requests.
    left: BTreeSet<InstanceId>,
    queue: BTreeMap<u64, oneshot::Sender<Grant>>,
    rotation: usize,
    in_flight: u32,
    last_active: Option<Timestamp>,
}

struct Instance {
    id: InstanceId,
    in_flight: u32,
    suspect_until: Option<Instant>,
    idle: Arc<Notify>,
    cut: Shutdown,
}

/// A place at an instance, or the answer to a request that waited.
type Grant = Result<(InstanceId, Shutdown), u16>;

/// How a request ended: a status, and which instance answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) instance: Option<InstanceId>,
}

impl From<u16> for Answer {
    fn from(status: u16) -> Self {
        Self { status, instance: None }
    }
}

enum Entry {
    Send(Grant),
    Wait(u64, oneshot::Receiver<Grant>),
}

impl Default for Revision {
    fn default() -> Self {
        Self {
            policy: RequestPolicy { concurrency: 0, timeout_ms: 0, hold_limit: 0 },
            ready: Vec::new(),
            leaving: Vec::new(),
            left: BTreeSet::new(),
            queue: BTreeMap::new(),
            rotation: 0,
            in_flight: 0,
            last_active: None,
        }
    }
}

impl Revision {
    /// A place at the instance that has most room.
    fn choose(&mut self) -> Option<Grant> {
        let (limit, now) = (self.policy.concurrency, Instant::now());
        let candidates = self.ready.iter().map(|instance| Candidate {
            open: instance.suspect_until.is_none_or(|until| until <= now),
            in_flight: instance.in_flight,
            limit,
        });
        let chosen = balance::choose(candidates, self.rotation)?;
        self.rotation = chosen + 1;
        let instance = self.ready.get_mut(chosen)?;
        instance.in_flight += 1;
        self.in_flight += 1;
        Some(Ok((instance.id.clone(), instance.cut.clone())))
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Instance> {
        self.ready.iter_mut().chain(&mut self.leaving)
    }

    fn give_back(&mut self, id: &InstanceId) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(instance) = self.all().find(|instance| instance.id == *id) {
            instance.in_flight = instance.in_flight.saturating_sub(1);
            if instance.in_flight == 0 {
                instance.idle.notify_waiters();
            }
        }
    }

    /// Gives free places to those who wait, first come first served.
    fn pump(&mut self) {
        while !self.queue.is_empty() {
            let Some(grant) = self.choose() else { return };
            let Some((_, waiter)) = self.queue.pop_first() else { return };
            if let Err(Ok((id, _))) = waiter.send(grant) {
                self.give_back(&id);
            }
        }
    }
}

impl Plane {
    /// A gateway without routes.
    pub(crate) fn new(deps: Deps, careless: bool) -> Self {
        let (state, control) = (Mutex::default(), OnceLock::new());
        let Deps { engine, store, clock, trace, tasks } = deps;
        Self { state, control, engine, store, clock, trace, tasks, careless }
    }

    /// Answers one request, which takes `work` at an instance.
    pub(crate) async fn serve(self: &Arc<Self>, host: &str, work: Duration) -> Answer {
        let (key, policy) = match self.route(host) {
            Ok(found) => found,
            Err(status) => return status.into(),
        };
        let (arrived, at) = (self.clock.now(), Instant::now());
        let deadline = at + Duration::from_millis(policy.timeout_ms);
        let mut ticket = None;
        loop {
            let entry = match self.enter(&key, ticket) {
                Ok(entry) => entry,
                Err(status) => return status.into(),
            };
            let cold = matches!(entry, Entry::Wait(..));
            let (id, cut) = match self.place(&key, entry, deadline, &mut ticket).await {
                Ok(place) => place,
                Err(status) => return status.into(),
            };
            if self.gone(&id) {
                self.suspect(&key, &id);
                continue;
            }
            let held = at.elapsed();
            let seat = Seat { plane: self, key: &key, id: &id };
            let status = self.work(&id, cut, deadline, work).await;
            drop(seat);
            if cold && let Some(control) = self.control.get() {
                control.cold_request(ColdRequest {
                    revision: key,
                    instance: id.clone(),
                    arrived,
                    queue_us: 0,
                    held_us: u64::try_from(held.as_micros()).unwrap_or_default(),
                    first_byte_us: 0,
                });
            }
            return Answer { status, instance: Some(id) };
        }
    }

    /// Which revision a request goes to.
    fn route(&self, host: &str) -> Result<(RevisionKey, RequestPolicy), u16> {
        let mut state = lock(&self.state);
        let Some(entry) = state.routes.hosts.get(host).cloned() else { return Err(404) };
        if entry.stopped {
            return Err(503);
        }
        let count = state.counts.entry(host.to_owned()).or_default();
        let target = split::pick(&entry.targets, *count).ok_or(503_u16)?;
        *count += 1;
        Ok((target.revision.clone(), target.policy))
    }

    /// A request comes, or comes back to its place in the queue.
    fn enter(&self, key: &RevisionKey, ticket: Option<u64>) -> Result<Entry, u16> {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        if state.closed {
            return Err(LOST);
        }
        let number = ticket.unwrap_or(state.next_ticket);
        state.next_ticket = state.next_ticket.max(number + 1);
        let revision = state.revisions.entry(key.clone()).or_default();
        revision.last_active = Some(now);
        let chosen = if revision.queue.is_empty() { revision.choose() } else { None };
        let held = u32::try_from(revision.queue.len()).unwrap_or(u32::MAX);
        let limits = hold::Limits { held: revision.policy.hold_limit };
        let queue = hold::QueueState { held, free: chosen.is_some() };
        match (hold::admit(&limits, &queue), chosen) {
            (Admit::Send, Some(grant)) => return Ok(Entry::Send(grant)),
            (Admit::Refuse, _) if ticket.is_none() => return Err(503),
            _ => {}
        }
        let (send, receive) = oneshot::channel();
        revision.queue.insert(number, send);
        drop(state);
        if let Some(control) = self.control.get() {
            control.activate(key);
        }
        Ok(Entry::Wait(number, receive))
    }

    /// Waits for a place at an instance.
    async fn place(
        &self,
        key: &RevisionKey,
        entry: Entry,
        deadline: Instant,
        ticket: &mut Option<u64>,
    ) -> Grant {
        let (number, receive) = match entry {
            Entry::Send(grant) => return grant,
            Entry::Wait(number, receive) => (number, receive),
        };
        *ticket = Some(number);
        let mut waits = Waits { plane: self, key, number, receive, answered: false };
        if let Ok(granted) = tokio::time::timeout_at(deadline, &mut waits.receive).await {
            waits.answered = true;
            return granted.unwrap_or(Err(LOST));
        }
        Err(504)
    }

    /// Whether an instance that a request is given to takes no connection. It is a fault of the
    /// platform when that was known, or when it never took any.
    fn gone(&self, id: &InstanceId) -> bool {
        let Some(truth) = self.engine.truth(id) else {
            self.trace.violation("no request to a dead instance", "to one never started".into());
            return true;
        };
        let name = self.trace.known(id);
        if !truth.ready {
            let what = format!("{name} has not been ready");
            self.trace.violation("no request to an instance that is not ready", what);
        }
        if truth.told.is_some_and(|told| told + TOLD < Instant::now()) {
            let what = format!("{name} had ended, and control was told");
            self.trace.violation("no request to a dead instance", what);
        }
        truth.exited
    }

    /// A connection was refused: the instance gets no request for a while.
    fn suspect(self: &Arc<Self>, key: &RevisionKey, id: &InstanceId) {
        self.trace.log(format!("{} refused a connection", self.trace.known(id)));
        let plane = self.clone();
        self.tasks.spawn("gateway-probe", async move {
            tokio::time::sleep(SUSPECT).await;
            plane.pump();
        });
        let mut state = lock(&self.state);
        let Some(revision) = state.revisions.get_mut(key) else { return };
        revision.give_back(id);
        if let Some(instance) = revision.all().find(|instance| instance.id == *id) {
            instance.suspect_until = Some(Instant::now() + SUSPECT);
        }
    }

    async fn work(&self, id: &InstanceId, cut: Shutdown, deadline: Instant, work: Duration) -> u16 {
        let done = Instant::now() + work;
        let status = tokio::select! {
            biased;
            () = cut.wait() => 502,
            () = tokio::time::sleep_until(done.min(deadline)) => {
                if done > deadline { 504 } else { 200 }
            }
        };
        if status == 200 && !self.engine.takes(id) { 502 } else { status }
    }

    fn leave(&self, key: &RevisionKey, id: &InstanceId) {
        let now = self.clock.now();
        if let Some(revision) = lock(&self.state).revisions.get_mut(key) {
            revision.last_active = revision.last_active.max(Some(now));
            revision.give_back(id);
            revision.pump();
        }
    }

    fn pump(&self) {
        for revision in lock(&self.state).revisions.values_mut() {
            revision.pump();
        }
    }

    /// Nothing is held or forwarded any more: whoever waits is lost.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        for revision in state.revisions.values_mut() {
            revision.queue.clear();
            revision.all().for_each(|instance| instance.cut.call());
        }
    }

    /// Requests that are held or that an instance works on.
    pub(crate) fn busy(&self) -> bool {
        let state = lock(&self.state);
        state.revisions.values().any(|r| r.in_flight > 0 || !r.queue.is_empty())
    }

    /// Whether the instance was told to end its requests and take no more.
    pub(crate) fn is_leaving(&self, key: &RevisionKey, id: &InstanceId) -> bool {
        let state = lock(&self.state);
        let revision = state.revisions.get(key);
        revision.is_some_and(|r| r.left.contains(id) || r.leaving.iter().any(|i| i.id == *id))
    }

    /// The routes as published last.
    pub(crate) fn routes(&self) -> RouteTable {
        lock(&self.state).routes.clone()
    }

    /// Instances that get requests, by revision.
    pub(crate) fn endpoints(&self) -> Vec<(RevisionKey, InstanceId)> {
        let state = lock(&self.state);
        let all = state.revisions.iter();
        all.flat_map(|(key, r)| r.ready.iter().map(|i| (key.clone(), i.id.clone()))).collect()
    }
}

/// A request at an instance: its place is given back however it ends.
struct Seat<'a> {
    plane: &'a Plane,
    key: &'a RevisionKey,
    id: &'a InstanceId,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.plane.leave(self.key, self.id);
    }
}

/// A request that waits for a place: when it goes away, so does its place in the queue, and a
/// grant that it did not see any more.
struct Waits<'a> {
    plane: &'a Plane,
    key: &'a RevisionKey,
    number: u64,
    receive: oneshot::Receiver<Grant>,
    answered: bool,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let now = self.plane.clock.now();
        if let Some(revision) = lock(&self.plane.state).revisions.get_mut(self.key) {
            revision.queue.remove(&self.number);
            revision.last_active = Some(now);
        }
        if let Ok(Ok((id, _))) = self.receive.try_recv() {
            self.plane.leave(self.key, &id);
        }
    }
}

#[async_trait]
impl DataPlane for Plane {
    fn set_routes(&self, routes: RouteTable) {
        published::check(&routes, &self.store, &self.trace);
        let mut state = lock(&self.state);
        for target in routes.hosts.values().flat_map(|entry| &entry.targets) {
            let revision = state.revisions.entry(target.revision.clone()).or_default();
            revision.policy = target.policy;
            revision.pump();
        }
        state.routes = routes;
    }

    fn add_endpoint(&self, key: &RevisionKey, endpoint: Endpoint) {
        let mut state = lock(&self.state);
        let revision = state.revisions.entry(key.clone()).or_default();
        if revision.all().all(|instance| instance.id != endpoint.id) {
            revision.ready.push(Instance {
                id: endpoint.id,
                in_flight: 0,
                suspect_until: None,
                idle: Arc::default(),
                cut: Shutdown::new(),
            });
        }
        revision.pump();
    }

    async fn drain_endpoint(&self, key: &RevisionKey, id: &InstanceId, limit: Duration) {
        let end = Instant::now() + limit;
        if let Some(revision) = lock(&self.state).revisions.get_mut(key) {
            revision.left.insert(id.clone());
        }
        loop {
            let idle = {
                let mut state = lock(&self.state);
                let Some(revision) = state.revisions.get_mut(key) else { return };
                let leaves = |instance: &mut Instance| instance.id == *id;
                let left: Vec<Instance> = revision.ready.extract_if(.., leaves).collect();
                revision.leaving.extend(left);
                let found = revision.leaving.iter().find(|instance| instance.id == *id);
                match found {
                    Some(instance) if instance.in_flight > 0 => instance.idle.clone(),
                    _ => return,
                }
            };
            if tokio::time::timeout_at(end, idle.notified()).await.is_err() {
                return;
            }
        }
    }

    fn remove_endpoint(&self, key: &RevisionKey, id: &InstanceId) {
        if self.careless {
            return;
        }
        let mut state = lock(&self.state);
        let Some(revision) = state.revisions.get_mut(key) else { return };
        let gone = |instance: &mut Instance| instance.id == *id;
        let mut removed: Vec<Instance> = revision.ready.extract_if(.., gone).collect();
        removed.extend(revision.leaving.extract_if(.., gone));
        drop(state);
        for instance in removed {
            instance.cut.call();
        }
    }

    fn fail_held(&self, key: &RevisionKey, code: &str, _: &str) {
        let mut state = lock(&self.state);
        let Some(revision) = state.revisions.get_mut(key) else { return };
        let held = std::mem::take(&mut revision.queue);
        drop(state);
        self.trace.log(format!("{} held requests of {key} fail: {code}", held.len()));
        for waiter in held.into_values() {
            // One that has just gone away needs no answer.
            let _ = waiter.send(Err(503));
        }
    }

    fn load(&self, key: &RevisionKey) -> Load {
        lock(&self.state).revisions.get(key).map_or_else(Load::default, |revision| Load {
            held: u32::try_from(revision.queue.len()).unwrap_or(u32::MAX),
            in_flight: revision.in_flight,
            last_active: revision.last_active,
        })
    }

    fn in_flight(&self, key: &RevisionKey, id: &InstanceId) -> u32 {
        let mut state = lock(&self.state);
        let revision = state.revisions.get_mut(key);
        revision.and_then(|r| r.all().find(|i| i.id == *id).map(|i| i.in_flight)).unwrap_or(0)
    }
}
