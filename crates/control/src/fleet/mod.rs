//! The fleet: every instance that runs, by revision, and the decisions about how many there are.
//!
//! One small state per revision ([`unit::Unit`]); a queue of revisions to decide about, fed by
//! held requests, engine events and the time that a decision itself named. A revision without
//! instances and requests costs nothing until somebody asks for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ebb_kit::Clock;
use ebb_model::engine::{EngineEventKind, ExitRecord, InstanceSpec, InstanceStatus, State};
use ebb_model::scaling::ScalePolicy;
use ebb_model::{InstanceId, RevisionKey, Timestamp};
use tokio::sync::oneshot;

use crate::DataPlane;
use crate::failure::Failure;
use crate::ids::Ids;
use crate::keys::ServiceKey;
use crate::pods::Template;
use crate::queue::WorkQueue;

pub(crate) mod effects;
mod outbox;
#[cfg(test)]
mod tests;
mod unit;

use effects::Effect;
use outbox::Outbox;
use unit::{Spec, Unit};

/// How the instances of a revision are to be treated.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) template: Arc<Template>,
    pub(crate) policy: ScalePolicy,
    /// Whether requests can come.
    pub(crate) routed: bool,
    /// Time that requests of an instance to be stopped get to finish.
    pub(crate) drain_limit: Duration,
    /// Time between SIGTERM and kill.
    pub(crate) grace: Duration,
    /// Whether its environment comes from secrets or config maps.
    pub(crate) uses_sources: bool,
}

/// Every instance.
pub(crate) struct Fleet {
    units: Mutex<Units>,
    pub(crate) queue: WorkQueue<RevisionKey>,
    /// Written to under the lock of `units`, so that its order is that of the changes.
    outbox: Outbox<Step>,
    data_plane: Arc<dyn DataPlane>,
    clock: Arc<dyn Clock>,
    ids: Arc<Ids>,
}

#[derive(Default)]
struct Units {
    by_key: BTreeMap<RevisionKey, Unit>,
    by_instance: BTreeMap<InstanceId, RevisionKey>,
    /// The last epoch that was given to a unit: none is ever given twice.
    epoch: u64,
    closed: bool,
}

impl Units {
    /// The unit of the revision, made if need be.
    fn unit(&mut self, revision: &RevisionKey, settings: &Settings) -> &mut Unit {
        let Self { by_key, epoch, .. } = self;
        by_key.entry(revision.clone()).or_insert_with(|| {
            *epoch += 1;
            Unit::new(settings.clone(), *epoch)
        })
    }
}

/// What has to be carried out for a revision after one change of it.
struct Step {
    revision: RevisionKey,
    template: Arc<Template>,
    effects: Vec<Effect>,
}

/// There is something to carry out: give it to [`effects::perform`].
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outstanding(());

impl Fleet {
    pub(crate) fn new(
        data_plane: Arc<dyn DataPlane>,
        clock: Arc<dyn Clock>,
        ids: Arc<Ids>,
    ) -> Self {
        let queue = WorkQueue::new(clock.clone());
        let outbox = Outbox::new();
        Self { units: Mutex::default(), queue, outbox, data_plane, clock, ids }
    }

    /// The revision may run. Answers whether what to start it from has to be made: `Some(epoch)`.
    pub(crate) fn ensure(&self, revision: &RevisionKey, settings: Settings) -> Option<u64> {
        let mut units = self.lock();
        let known = units.by_key.contains_key(revision);
        let unit = units.unit(revision, &settings);
        let same = known
            && unit.settings.routed == settings.routed
            && unit.settings.policy == settings.policy
            && !unit.retired;
        unit.retired = false;
        unit.settings = settings;
        let prepare = unit.settings.routed && matches!(unit.spec, Spec::None);
        if prepare {
            unit.spec = Spec::Preparing { since: self.clock.now() };
        }
        let epoch = prepare.then_some(unit.epoch);
        drop(units);
        if !same {
            self.queue.add(revision.clone());
        }
        epoch
    }

    /// Starts one instance of the revision and answers what became of it.
    pub(crate) fn validate(
        &self,
        revision: &RevisionKey,
        settings: Settings,
        spec: InstanceSpec,
    ) -> oneshot::Receiver<Result<(), Failure>> {
        let (verdict, answer) = oneshot::channel();
        let mut units = self.lock();
        let unit = units.unit(revision, &settings);
        unit.settings = settings;
        unit.spec = Spec::Ready(Arc::new(spec));
        unit.stale = false;
        unit.retired = false;
        unit.validation = Some(verdict);
        drop(units);
        self.queue.add(revision.clone());
        answer
    }

    /// Nothing of the revision may run any more. [`Fleet::has`] says when nothing does.
    pub(crate) fn retire(&self, revision: &RevisionKey) {
        if let Some(unit) = self.lock().by_key.get_mut(revision) {
            unit.retired = true;
            unit.validation = None;
            unit.refresh();
        } else {
            return;
        }
        self.queue.add(revision.clone());
    }

    /// Whether anything of the revision may still run.
    pub(crate) fn has(&self, revision: &RevisionKey) -> bool {
        self.lock().by_key.contains_key(revision)
    }

    /// Name of the Service or Configuration that the revision belongs to.
    pub(crate) fn owner(&self, revision: &RevisionKey) -> Option<ServiceKey> {
        Some(self.lock().by_key.get(revision)?.settings.template.service.clone())
    }

    /// Every revision of which something may still run, or start.
    pub(crate) fn revisions(&self) -> Vec<RevisionKey> {
        self.lock().by_key.keys().cloned().collect()
    }

    /// Instances ready and starting.
    pub(crate) fn counts(&self, revision: &RevisionKey) -> (u32, u32) {
        self.lock().by_key.get(revision).map(Unit::counts).unwrap_or_default()
    }

    /// Decides about the revision. Requests for one that is not there are answered: they came while
    /// it was removed.
    pub(crate) fn evaluate(&self, revision: &RevisionKey) -> Option<Outstanding> {
        let load = self.data_plane.load(revision);
        let now = self.clock.now();
        let mut units = self.lock();
        if units.closed {
            return None;
        }
        let Some(unit) = units.by_key.get_mut(revision) else {
            drop(units);
            if load.held > 0 {
                self.data_plane.fail_held(revision, unit::REVISION_REMOVED, unit::REMOVED);
            }
            return None;
        };
        let mut effects = unit.evaluate(
            load,
            now,
            || self.ids.instance(now).ok(),
            |id| self.data_plane.in_flight(revision, id),
        );
        let template = unit.settings.template.clone();
        let gone = unit.retired && unit.instances.is_empty();
        for effect in &effects {
            if let Effect::Start { id, .. } = effect {
                units.by_instance.insert(id.clone(), revision.clone());
            }
        }
        if gone {
            units.by_key.remove(revision);
            effects.push(Effect::Gone);
        }
        self.hand_in(&units, revision, template, effects)
    }

    /// Something happened to an instance.
    pub(crate) fn on_event(&self, id: &InstanceId, what: EngineEventKind) -> Option<Outstanding> {
        match what {
            EngineEventKind::Started => self.with(id, |_, _| vec![Effect::Started(id.clone())]),
            EngineEventKind::Ready { endpoint, phases } => {
                self.with(id, |unit, now| unit.ready(id, endpoint, phases, now))
            }
            EngineEventKind::Oom => None, // the exit record says it too, with the consequence
            EngineEventKind::Exited(record) => self.ended(id, Some(record)),
        }
    }

    /// The instance is gone, with its exit record where that is known.
    pub(crate) fn ended(&self, id: &InstanceId, record: Option<ExitRecord>) -> Option<Outstanding> {
        let outstanding = self.with(id, |unit, now| unit.ended(id, record, now));
        self.lock().by_instance.remove(id);
        outstanding
    }

    /// The engine has taken on the start of the instance.
    pub(crate) fn start_taken(&self, id: &InstanceId) -> Option<Outstanding> {
        self.step(id, |unit, _| unit.start_taken(id).into_iter().collect())
    }

    /// The engine would not start the instance.
    pub(crate) fn start_failed(&self, id: &InstanceId, failure: Failure) -> Option<Outstanding> {
        let outstanding = self.with(id, |unit, now| unit.start_failed(id, failure, now));
        self.lock().by_instance.remove(id);
        outstanding
    }

    /// What to start the revision's instances from was made, or could not be.
    pub(crate) fn prepared(
        &self,
        revision: &RevisionKey,
        epoch: u64,
        spec: Result<InstanceSpec, Failure>,
    ) -> Option<Outstanding> {
        let now = self.clock.now();
        let mut units = self.lock();
        let unit = units.by_key.get_mut(revision)?;
        if unit.epoch != epoch {
            return None;
        }
        let effects = match spec {
            Ok(spec) => {
                unit.spec = Spec::Ready(Arc::new(spec));
                Vec::new()
            }
            Err(failure) => {
                let before = std::mem::replace(&mut unit.spec, Spec::None);
                let began = if let Spec::Preparing { since } = before { since } else { now };
                unit.failed(failure, began, now)
            }
        };
        let template = unit.settings.template.clone();
        let outstanding = self.hand_in(&units, revision, template, effects);
        drop(units);
        self.queue.add(revision.clone());
        outstanding
    }

    /// Secrets or config maps of the namespace, or of all, changed: what instances are started from is made
    /// anew at the next start. Running ones keep what they have.
    pub(crate) fn forget_specs(&self, namespace: Option<&str>) {
        let mut units = self.lock();
        let Units { by_key, epoch, .. } = &mut *units;
        for (revision, unit) in by_key {
            let here = namespace.is_none_or(|namespace| revision.namespace == namespace);
            let ours = here && unit.settings.uses_sources;
            if ours && unit.validation.is_some() {
                unit.stale = true;
            } else if ours {
                *epoch += 1;
                unit.epoch = *epoch;
                unit.spec = Spec::None;
            }
        }
    }

    /// Takes one instance out of service and stops it.
    /// With a `period` it is gone at the end of that, whatever the revision says.
    pub(crate) fn stop_one(
        &self,
        id: &InstanceId,
        period: Option<Duration>,
    ) -> Option<Outstanding> {
        self.with(id, |unit, now| {
            let effect = match period {
                Some(period) => unit.drain_until(id, now.plus(period)),
                None => unit.drain(id),
            };
            effect.into_iter().collect()
        })
    }

    /// Instances that the engine has taken on: what it lists from now on has each of them that
    /// has not ended.
    pub(crate) fn taken(&self) -> BTreeSet<InstanceId> {
        let units = self.lock();
        let all = units.by_key.values().flat_map(|unit| &unit.instances);
        all.filter(|(_, instance)| instance.taken).map(|(id, _)| id.clone()).collect()
    }

    /// What the engine lists, when its events were lost: answers what became of each instance.
    /// One that is not listed is gone if it was `taken` before the list was asked for; of any
    /// other the engine may only not have heard yet.
    pub(crate) fn missed(
        &self,
        taken: &BTreeSet<InstanceId>,
        listed: &[InstanceStatus],
    ) -> Vec<(InstanceId, EngineEventKind)> {
        let by_id: BTreeMap<&InstanceId, &InstanceStatus> =
            listed.iter().map(|status| (&status.id, status)).collect();
        let known: Vec<InstanceId> = self.lock().by_instance.keys().cloned().collect();
        known
            .into_iter()
            .filter_map(|id| {
                let what = match by_id.get(&id).map(|status| (status.state, *status)) {
                    None if !taken.contains(&id) => return None,
                    None => EngineEventKind::Exited(ExitRecord::default()),
                    Some((State::Exited, status)) => {
                        EngineEventKind::Exited(status.exit.clone().unwrap_or_default())
                    }
                    Some((State::Ready, status)) => EngineEventKind::Ready {
                        endpoint: status.endpoint,
                        phases: ebb_model::engine::StartPhases::default(),
                    },
                    Some((State::Starting | State::Stopping, _)) => return None,
                };
                Some((id, what))
            })
            .collect()
    }

    /// Whether [`Fleet::close`] was called.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// No more starts. Answers every instance with its time to end.
    pub(crate) fn close(&self) -> Vec<(InstanceId, Duration)> {
        let mut units = self.lock();
        units.closed = true;
        units.by_key.values_mut().for_each(Unit::close);
        let grace = |id: &InstanceId, key: &RevisionKey| {
            let grace = units.by_key.get(key).map(|unit| unit.settings.grace);
            (id.clone(), grace.unwrap_or_default())
        };
        units.by_instance.iter().map(|(id, key)| grace(id, key)).collect()
    }

    /// Changes the unit of an instance, and decides anew about it.
    fn with(
        &self,
        id: &InstanceId,
        step: impl FnOnce(&mut Unit, Timestamp) -> Vec<Effect>,
    ) -> Option<Outstanding> {
        let revision = self.lock().by_instance.get(id)?.clone();
        let outstanding = self.step(id, step);
        self.queue.add(revision);
        outstanding
    }

    fn step(
        &self,
        id: &InstanceId,
        step: impl FnOnce(&mut Unit, Timestamp) -> Vec<Effect>,
    ) -> Option<Outstanding> {
        let now = self.clock.now();
        let mut units = self.lock();
        let revision = units.by_instance.get(id)?.clone();
        let unit = units.by_key.get_mut(&revision)?;
        let effects = step(unit, now);
        let template = unit.settings.template.clone();
        self.hand_in(&units, &revision, template, effects)
    }

    /// Hands in what a change asks for, while the change is still locked.
    fn hand_in(
        &self,
        _: &MutexGuard<'_, Units>,
        revision: &RevisionKey,
        template: Arc<Template>,
        effects: Vec<Effect>,
    ) -> Option<Outstanding> {
        if effects.is_empty() {
            return None;
        }
        self.outbox.push(Step { revision: revision.clone(), template, effects });
        Some(Outstanding(()))
    }

    fn lock(&self) -> MutexGuard<'_, Units> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
