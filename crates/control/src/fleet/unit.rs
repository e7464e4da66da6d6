//! The instances of one revision: what is there, what is wanted, and what to do about it.
//!
//! Nothing here does anything: each step changes the state and answers the effects to carry out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ebb_model::engine::{ExitRecord, InstanceSpec, StartPhases};
use ebb_model::routing::Load;
use ebb_model::scaling::{DecisionRecord, ScalePolicy};
use ebb_model::{InstanceId, Timestamp};
use ebb_rules::scale::{self, Candidate, Decision, Demand, Failures, Why};
use tokio::sync::oneshot;

use super::Settings;
use super::effects::{Effect, Time};
use crate::failure::{self, Failure};

/// An instance that lived that long after it became ready did not crash on account of its start.
const SETTLED: Duration = Duration::from_secs(10);
/// Tries that have to fail in a row before held requests are answered: with the waits between
/// them, at least 3 s in which nothing could be started.
const PATIENCE: u32 = 3;
/// Crashes in a row after which a new instance is tried at once. An instance that worked may have
/// been killed from outside, which says nothing about the next one.
const FREE_CRASHES: u32 = 1;
/// What clients are told whose requests cannot be served.
const CANNOT_START: &str = "no instance of the service could be started; its owner finds the \
                            reason in the events of the service";
/// Code for requests that wait for a revision which goes away.
pub(super) const REVISION_REMOVED: &str = "REVISION_REMOVED";
pub(super) const REMOVED: &str = "the revision that the request waited for was removed";

/// Code for requests that wait while their service is scaled to nothing by hand.
const SERVICE_STOPPED: &str = "SERVICE_STOPPED";
const STOPPED: &str = "the service is stopped: it was scaled to 0 instances by hand";

/// What to start an instance from.
#[derive(Clone, Debug)]
pub(super) enum Spec {
    /// Not made yet.
    None,
    /// Being made.
    Preparing { since: Timestamp },
    /// Made; each instance gets its own name.
    Ready(Arc<InstanceSpec>),
}

/// How far an instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Starting,
    Ready {
        since: Timestamp,
    },
    /// Gets no new requests, and will be or is being stopped.
    Draining,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Instance {
    pub(super) phase: Phase,
    pub(super) started: Timestamp,
    /// Whether the engine has answered that the start is under way. Before that a stop would find
    /// nothing, and the start would come after it.
    pub(super) taken: bool,
    /// When it is killed at the latest, if somebody said so.
    pub(super) until: Option<Timestamp>,
}

/// Told what became of the first instance.
pub(super) type Verdict = oneshot::Sender<Result<(), Failure>>;

/// One revision's instances.
pub(crate) struct Unit {
    pub(super) settings: Settings,
    pub(super) spec: Spec,
    /// Another one when `spec` is thrown away, so that one made from older secrets is not taken.
    pub(super) epoch: u64,
    /// `spec` is older than the secrets, and is only kept until the first instance has shown itself.
    pub(super) stale: bool,
    pub(super) instances: BTreeMap<InstanceId, Instance>,
    pub(super) validation: Option<Verdict>,
    pub(super) retired: bool,
    memory: scale::Memory,
    /// Starts that failed since an instance became ready.
    failures: Failures,
    /// Instances that became ready and ended before they were settled.
    crashes: Failures,
    /// Code of the last of them.
    failure: Option<String>,
    /// Something failed, and what waited for it was not told yet.
    just_failed: bool,
    /// Had, wanted, and the rule, of the decision that was told last.
    last_decision: Option<(u32, u32, &'static str)>,
}

impl Unit {
    pub(super) fn new(settings: Settings, epoch: u64) -> Self {
        Self {
            settings,
            spec: Spec::None,
            epoch,
            stale: false,
            instances: BTreeMap::new(),
            validation: None,
            retired: false,
            memory: scale::Memory::default(),
            failures: Failures::default(),
            crashes: Failures::forgiving(FREE_CRASHES),
            failure: None,
            just_failed: false,
            last_decision: None,
        }
    }

    /// Decides how many instances there should be, and answers what to do about it. `new_id`
    /// makes ids, `busy` tells the requests that an instance works on.
    pub(super) fn evaluate(
        &mut self,
        load: Load,
        now: Timestamp,
        new_id: impl Fn() -> Option<InstanceId>,
        busy: impl Fn(&InstanceId) -> u32,
    ) -> Vec<Effect> {
        if self.retired {
            return self.wind_down(load);
        }
        self.forgive(now);
        let demand = self.demand(load);
        let (decision, memory) = scale::decide(&self.policy(), &demand, self.memory, now);
        self.memory = memory;
        let mut effects = Vec::new();
        let have = demand.have();
        if decision.want > have {
            effects.extend(self.start(decision.want - have, now, new_id));
        } else if decision.want < have {
            effects.extend(self.take_away(have - decision.want, busy));
        }
        if let Why::Manual { count: 0 } = decision.why
            && load.held > 0
        {
            let code = SERVICE_STOPPED.to_owned();
            effects.push(Effect::FailHeld { code, message: STOPPED });
        }
        effects.extend(self.give_up(&demand, &decision, now));
        effects.extend(self.explain(&demand, &decision, now));
        effects.extend(decision.again_at.map(Effect::WakeAt));
        effects
    }

    /// The instance's port accepts connections.
    pub(super) fn ready(
        &mut self,
        id: &InstanceId,
        endpoint: Option<SocketAddr>,
        phases: StartPhases,
        now: Timestamp,
    ) -> Vec<Effect> {
        let Some(instance) = self.instances.get_mut(id) else { return Vec::new() };
        if instance.phase != Phase::Starting {
            return Vec::new();
        }
        instance.phase = Phase::Ready { since: now };
        self.failures.succeeded();
        self.just_failed = false;
        let mut effects = vec![Effect::Ready { id: id.clone(), phases, endpoint }];
        effects.extend(self.validation.take().map(|verdict| Effect::Verdict(verdict, Ok(()))));
        self.refresh();
        effects
    }

    /// The instance is gone.
    pub(super) fn ended(
        &mut self,
        id: &InstanceId,
        record: Option<ExitRecord>,
        now: Timestamp,
    ) -> Vec<Effect> {
        let Some(instance) = self.instances.remove(id) else { return Vec::new() };
        let mut effects = vec![Effect::RemoveEndpoint(id.clone())];
        effects.push(Effect::Ended { id: id.clone(), record: record.clone() });
        let was_ready = match instance.phase {
            Phase::Draining => return effects,
            Phase::Ready { since } => {
                if now.since(since) >= SETTLED {
                    self.crashes.succeeded();
                }
                self.crashes.failed(instance.started, now);
                true
            }
            Phase::Starting => {
                self.failures.failed(instance.started, now);
                false
            }
        };
        self.just_failed = true;
        let record = record.unwrap_or_default();
        let failure = match &self.spec {
            Spec::Ready(spec) if !spec.containers.is_empty() => {
                let serving = spec.containers.iter().position(|c| c.port.is_some()).unwrap_or(0);
                failure::of_exit(&record, was_ready, &spec.containers[serving])
            }
            _ => Failure::new("INSTANCE_EXITED", "the instance ended"),
        };
        self.failure = Some(failure.code.clone());
        let verdict = self.validation.take();
        effects.push(Effect::Diagnose { id: id.clone(), failure, verdict });
        effects
    }

    /// The engine would not start the instance.
    pub(super) fn start_failed(
        &mut self,
        id: &InstanceId,
        failure: Failure,
        now: Timestamp,
    ) -> Vec<Effect> {
        let Some(instance) = self.instances.remove(id) else { return Vec::new() };
        // Its answer may have been lost, and it may have told that it is ready.
        let mut effects = vec![Effect::RemoveEndpoint(id.clone())];
        effects.push(Effect::Ended { id: id.clone(), record: None });
        effects.extend(self.failed(failure, instance.started, now));
        effects
    }

    /// Instances cannot be started now: what was begun at `began` to start one failed.
    pub(super) fn failed(
        &mut self,
        failure: Failure,
        began: Timestamp,
        now: Timestamp,
    ) -> Vec<Effect> {
        self.failures.failed(began, now);
        self.just_failed = true;
        self.failure = Some(failure.code.clone());
        // A rollout that is told tells it further.
        vec![match self.validation.take() {
            Some(verdict) => Effect::Verdict(verdict, Err(failure)),
            None => Effect::Report { failure },
        }]
    }

    /// The engine has taken on the start. What was taken out of service before that is stopped now.
    pub(super) fn start_taken(&mut self, id: &InstanceId) -> Option<Effect> {
        let instance = self.instances.get_mut(id)?;
        instance.taken = true;
        let drain = instance.phase == Phase::Draining;
        drain.then(|| self.stop(id))
    }

    /// Takes one instance out of service.
    pub(super) fn drain(&mut self, id: &InstanceId) -> Option<Effect> {
        let instance = self.instances.get_mut(id)?;
        if instance.phase == Phase::Draining {
            return None;
        }
        instance.phase = Phase::Draining;
        let taken = instance.taken;
        taken.then(|| self.stop(id))
    }

    /// Takes one instance out of service that is to be gone at `until`. One that goes already goes
    /// sooner, never later.
    pub(super) fn drain_until(&mut self, id: &InstanceId, until: Timestamp) -> Option<Effect> {
        let instance = self.instances.get_mut(id)?;
        if instance.until.is_some_and(|before| before <= until) {
            return None;
        }
        instance.until = Some(until);
        instance.phase = Phase::Draining;
        let taken = instance.taken;
        taken.then(|| self.stop(id))
    }

    fn stop(&self, id: &InstanceId) -> Effect {
        let grace = match &self.spec {
            Spec::Ready(spec) => Duration::from_millis(spec.grace_ms),
            _ => self.settings.grace,
        };
        let until = self.instances.get(id).and_then(|instance| instance.until);
        let time = Time { limit: self.settings.drain_limit, grace, until };
        Effect::Drain { id: id.clone(), time }
    }

    /// Throws away what is older than the secrets.
    pub(super) fn refresh(&mut self) {
        if std::mem::take(&mut self.stale) {
            self.spec = Spec::None;
        }
    }

    /// Whatever ends from now on was told to.
    pub(super) fn close(&mut self) {
        for instance in self.instances.values_mut() {
            instance.phase = Phase::Draining;
        }
    }

    /// Ready, starting.
    pub(super) fn counts(&self) -> (u32, u32) {
        let count = |wanted: fn(&Phase) -> bool| {
            let matching = self.instances.values().filter(|instance| wanted(&instance.phase));
            u32::try_from(matching.count()).unwrap_or(u32::MAX)
        };
        let ready = count(|phase| matches!(phase, Phase::Ready { .. }));
        (ready, count(|phase| matches!(phase, Phase::Starting)))
    }

    fn wind_down(&mut self, load: Load) -> Vec<Effect> {
        let ids: Vec<InstanceId> = self.instances.keys().cloned().collect();
        let mut effects: Vec<Effect> = ids.iter().filter_map(|id| self.drain(id)).collect();
        if load.held > 0 {
            let code = REVISION_REMOVED.to_owned();
            effects.push(Effect::FailHeld { code, message: REMOVED });
        }
        effects
    }

    /// Answers requests that waited while try after try failed. Those that come after that wait
    /// for the next try, unless each of them is over before it.
    fn give_up(&mut self, demand: &Demand, decision: &Decision, now: Timestamp) -> Option<Effect> {
        if demand.have() > 0 {
            return None;
        }
        let just_failed = std::mem::take(&mut self.just_failed);
        let Why::Backoff { retry_at, .. } = decision.why else { return None };
        // A request has the same time to end as its instance has to end it.
        let too_late = retry_at >= now.plus(self.settings.drain_limit);
        let over = demand.failures >= PATIENCE && (just_failed || too_late);
        let code = self.failure.clone().filter(|_| over && demand.held > 0)?;
        Some(Effect::FailHeld { code, message: CANNOT_START })
    }

    /// An instance that has lived for a while makes earlier crashes forgotten.
    fn forgive(&mut self, now: Timestamp) {
        let settled = |instance: &Instance| match instance.phase {
            Phase::Ready { since } => now.since(since) >= SETTLED,
            Phase::Starting | Phase::Draining => false,
        };
        if self.instances.values().any(settled) {
            self.crashes.succeeded();
            self.failure = None;
        }
    }

    /// A revision that nothing routes to keeps no instance for its minimum or by hand.
    fn policy(&self) -> ScalePolicy {
        let policy = self.settings.policy;
        if self.settings.routed { policy } else { ScalePolicy { min: 0, manual: None, ..policy } }
    }

    fn demand(&self, load: Load) -> Demand {
        let (ready, starting) = self.counts();
        let failures = self.failures.or_later(self.crashes);
        Demand {
            held: load.held,
            in_flight: load.in_flight,
            ready,
            starting,
            initial: self.validation.is_some(),
            last_active: load.last_active,
            failures: failures.count(),
            last_failure: failures.last(),
        }
    }

    fn explain(&mut self, demand: &Demand, decision: &Decision, now: Timestamp) -> Option<Effect> {
        let (have, want, rule) = (demand.have(), decision.want, decision.why.rule());
        let says_nothing = match self.last_decision {
            None => want == 0 && have == 0,
            Some(before) => {
                before == (have, want, rule)
                    || (have == want && (before.1, before.2) == (want, rule))
            }
        };
        if says_nothing {
            return None;
        }
        self.last_decision = Some((have, want, rule));
        Some(Effect::Decided(DecisionRecord {
            at: now,
            revision: String::new(),
            have,
            want,
            rule: rule.to_owned(),
            why: decision.why.to_string(),
        }))
    }

    fn start(
        &mut self,
        count: u32,
        now: Timestamp,
        new_id: impl Fn() -> Option<InstanceId>,
    ) -> Vec<Effect> {
        let spec = match &self.spec {
            Spec::Ready(spec) => spec.clone(),
            Spec::Preparing { .. } => return Vec::new(),
            Spec::None => {
                self.spec = Spec::Preparing { since: now };
                return vec![Effect::Prepare { epoch: self.epoch }];
            }
        };
        let mut effects = Vec::new();
        for id in (0..count).filter_map(|_| new_id()) {
            let instance =
                Instance { phase: Phase::Starting, started: now, taken: false, until: None };
            self.instances.insert(id.clone(), instance);
            effects.push(Effect::Start { id, spec: spec.clone() });
        }
        effects
    }

    fn take_away(&mut self, count: u32, busy: impl Fn(&InstanceId) -> u32) -> Vec<Effect> {
        let (mut ids, mut candidates) = (Vec::new(), Vec::new());
        for (id, instance) in &self.instances {
            let ready = match instance.phase {
                Phase::Draining => continue,
                Phase::Ready { .. } => true,
                Phase::Starting => false,
            };
            candidates.push(Candidate { ready, in_flight: busy(id), started: instance.started });
            ids.push(id.clone());
        }
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let victims = scale::victims(&candidates, count);
        self.crashes.succeeded();
        victims.into_iter().filter_map(|at| self.drain(&ids[at])).collect()
    }
}
