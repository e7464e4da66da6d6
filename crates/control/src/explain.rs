//! Why the platform did what it did: the last decisions and cold requests of each service.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ebb_model::engine::StartPhases;
use ebb_model::routing::{ColdPhases, ColdRequest};
use ebb_model::scaling::{ColdStartRecord, DecisionRecord};
use ebb_model::{InstanceId, RevisionKey, Timestamp};

use crate::keys::ServiceKey;

/// Decisions kept per service.
const DECISIONS: usize = 50;
/// Cold requests kept per service.
const COLD_STARTS: usize = 20;

/// What is known about why a service runs as it does. Oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// Decisions about its revisions.
    pub decisions: Vec<DecisionRecord>,
    /// Requests that had to wait for an instance.
    pub cold_starts: Vec<ColdStartRecord>,
}

/// Keeps what is explained. It calls nothing else, so it may be called under any lock.
#[derive(Default)]
pub(crate) struct ExplainBook {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    services: BTreeMap<ServiceKey, Kept>,
    revisions: BTreeMap<RevisionKey, ServiceKey>,
    starts: BTreeMap<InstanceId, Start>,
}

#[derive(Default)]
struct Kept {
    decisions: VecDeque<DecisionRecord>,
    cold_starts: VecDeque<ColdStartRecord>,
}

#[derive(Clone, Copy)]
struct Start {
    told: Timestamp,
    phases: Option<StartPhases>,
}

impl ExplainBook {
    /// The service is there.
    pub(crate) fn know_service(&self, service: &ServiceKey) {
        self.lock().services.entry(service.clone()).or_default();
    }

    /// Every service that is known.
    pub(crate) fn services(&self) -> Vec<ServiceKey> {
        self.lock().services.keys().cloned().collect()
    }

    /// The revision belongs to the service.
    pub(crate) fn know_revision(&self, revision: &RevisionKey, service: &ServiceKey) {
        self.lock().revisions.insert(revision.clone(), service.clone());
    }

    pub(crate) fn forget_service(&self, service: &ServiceKey) {
        let mut inner = self.lock();
        inner.services.remove(service);
        inner.revisions.retain(|_, owner| owner != service);
    }

    pub(crate) fn forget_revision(&self, revision: &RevisionKey) {
        self.lock().revisions.remove(revision);
    }

    pub(crate) fn decided(&self, service: &ServiceKey, decision: DecisionRecord) {
        if let Some(kept) = self.lock().services.get_mut(service) {
            push(&mut kept.decisions, decision, DECISIONS);
        }
    }

    /// The engine is being told to start the instance.
    pub(crate) fn told(&self, id: &InstanceId, now: Timestamp) {
        self.lock().starts.insert(id.clone(), Start { told: now, phases: None });
    }

    pub(crate) fn ready(&self, id: &InstanceId, phases: StartPhases) {
        if let Some(start) = self.lock().starts.get_mut(id) {
            start.phases = Some(phases);
        }
    }

    pub(crate) fn ended(&self, id: &InstanceId) {
        self.lock().starts.remove(id);
    }

    pub(crate) fn cold_request(&self, request: &ColdRequest) {
        let mut inner = self.lock();
        let Some(service) = inner.revisions.get(&request.revision).cloned() else { return };
        let start = inner.starts.get(&request.instance).copied();
        let record = ColdStartRecord {
            at: request.arrived,
            revision: request.revision.name.clone(),
            instance: request.instance.to_string(),
            phases: merge(request, start),
        };
        if let Some(kept) = inner.services.get_mut(&service) {
            push(&mut kept.cold_starts, record, COLD_STARTS);
        }
    }

    pub(crate) fn explain(&self, service: &ServiceKey) -> Option<Explanation> {
        let inner = self.lock();
        let kept = inner.services.get(service)?;
        Some(Explanation {
            decisions: kept.decisions.iter().cloned().collect(),
            cold_starts: kept.cold_starts.iter().cloned().collect(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn push<T>(ring: &mut VecDeque<T>, item: T, most: usize) {
    if ring.len() == most {
        ring.pop_front();
    }
    ring.push_back(item);
}

/// Lays the steps of the instance's start over the time that the request waited. A request that
/// came when its instance was starting already waited for the later steps only, so each step
/// counts as far as it lies within the wait. What is left is waiting for ready.
fn merge(request: &ColdRequest, start: Option<Start>) -> ColdPhases {
    let micros = Timestamp::as_micros;
    let from = micros(request.arrived).saturating_add(request.queue_us.min(request.held_us));
    let to = micros(request.arrived).saturating_add(request.held_us);
    let mut rest = to - from;
    let mut count = |begin: u64, end: u64| {
        let us = end.min(to).saturating_sub(begin.max(from)).min(rest);
        rest -= us;
        us
    };
    let mut phases = ColdPhases {
        queue_us: request.queue_us.min(request.held_us),
        first_byte_us: request.first_byte_us,
        ..ColdPhases::default()
    };
    if let Some(start) = start {
        phases.schedule_us = count(from, micros(start.told));
        let steps = start.phases.unwrap_or_default();
        let after = |at: Timestamp, us| at.plus(Duration::from_micros(us));
        let attached = after(start.told, steps.rootfs_us);
        let created = after(attached, steps.create_us);
        let started = after(created, steps.start_us);
        phases.rootfs_us = count(micros(start.told), micros(attached));
        phases.create_us = count(micros(attached), micros(created));
        phases.start_us = count(micros(created), micros(started));
    }
    phases.ready_us = rest;
    phases
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(arrived: u64, queue_us: u64, held_us: u64) -> ColdRequest {
        ColdRequest {
            revision: RevisionKey::new("default", "hello-00001"),
            instance: InstanceId::parse("01j0000000000000000abcdefg").unwrap(),
            arrived: Timestamp::from_micros(arrived),
            queue_us,
            held_us,
            first_byte_us: 7,
        }
    }

    fn start(told: u64) -> Start {
        let phases = StartPhases { rootfs_us: 100, create_us: 200, start_us: 300, ready_us: 400 };
        Start { told: Timestamp::from_micros(told), phases: Some(phases) }
    }

    #[test]
    fn phases_of_the_request_that_caused_the_start() {
        let phases = merge(&request(1000, 5, 1100), Some(start(1025)));
        let want = ColdPhases {
            queue_us: 5,
            schedule_us: 20,
            rootfs_us: 100,
            create_us: 200,
            start_us: 300,
            ready_us: 475,
            first_byte_us: 7,
        };
        assert_eq!(phases, want);
        assert_eq!(phases.total_us(), 1107);
    }

    #[test]
    fn a_request_that_came_later_waited_for_the_later_steps_only() {
        let phases = merge(&request(1250, 0, 800), Some(start(1000)));
        assert_eq!((phases.schedule_us, phases.rootfs_us), (0, 0));
        assert_eq!((phases.create_us, phases.start_us, phases.ready_us), (50, 300, 450));
    }

    #[test]
    fn the_sum_is_always_what_the_request_waited() {
        for (arrived, queue, held) in [(0, 0, 0), (0, 10, 5), (900, 50, 120), (5000, 1, 9)] {
            for trace in [None, Some(start(1000))] {
                let phases = merge(&request(arrived, queue, held), trace);
                assert_eq!(phases.total_us(), held + 7, "{arrived} {queue} {held}");
            }
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let book = ExplainBook::default();
        let service = ServiceKey::new("default", "hello");
        assert_eq!(book.explain(&service), None);
        book.know_service(&service);
        book.know_revision(&RevisionKey::new("default", "hello-00001"), &service);
        for at in 0..100 {
            book.cold_request(&request(at, 0, 0));
        }
        let kept = book.explain(&service).unwrap();
        assert_eq!(kept.cold_starts.len(), COLD_STARTS);
        assert_eq!(kept.cold_starts[0].at.as_micros(), 80);
        book.forget_service(&service);
        assert_eq!(book.explain(&service), None);
    }
}
