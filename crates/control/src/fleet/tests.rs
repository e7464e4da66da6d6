use std::collections::BTreeMap;

use async_trait::async_trait;
use ebb_kit::ManualClock;
use ebb_model::engine::{RestartPolicy, StartPhases};
use ebb_model::knative::Revision;
use ebb_model::routing::{Endpoint, Load, RouteTable};

use super::*;
use crate::events::Subject;

#[derive(Default)]
struct Plane {
    held: Mutex<u32>,
}

#[async_trait]
impl DataPlane for Plane {
    fn set_routes(&self, _: RouteTable) {}
    fn add_endpoint(&self, _: &RevisionKey, _: Endpoint) {}
    async fn drain_endpoint(&self, _: &RevisionKey, _: &InstanceId, _: Duration) {}
    fn remove_endpoint(&self, _: &RevisionKey, _: &InstanceId) {}
    fn fail_held(&self, _: &RevisionKey, _: &str, _: &str) {}
    fn load(&self, _: &RevisionKey) -> Load {
        Load { held: *self.held.lock().unwrap(), ..Load::default() }
    }
    fn in_flight(&self, _: &RevisionKey, _: &InstanceId) -> u32 {
        0
    }
}

/// One revision whose instances take one request each.
struct World {
    clock: Arc<ManualClock>,
    plane: Arc<Plane>,
    fleet: Fleet,
    revision: RevisionKey,
}

impl World {
    fn new(timeout: Duration) -> Self {
        let (clock, plane) = (Arc::new(ManualClock::default()), Arc::new(Plane::default()));
        clock.advance(Duration::from_secs(1_000_000));
        let fleet = Fleet::new(plane.clone(), clock.clone(), Arc::new(Ids::new(Some(1))));
        let revision = RevisionKey::new("default", "hello-00001");
        let stored = Revision::default();
        let template = Arc::new(Template {
            service: ServiceKey::new("default", "hello"),
            subject: Subject::new("Service", &stored.metadata),
            revision: stored,
        });
        let settings = Settings {
            template,
            policy: ScalePolicy { min: 0, max: 0, concurrency: 1, idle_ms: 60_000, manual: None },
            routed: true,
            drain_limit: timeout,
            grace: Duration::from_secs(10),
            uses_sources: false,
        };
        let epoch = fleet.ensure(&revision, settings).unwrap();
        let spec = InstanceSpec {
            namespace: "default".to_owned(),
            name: "hello-00001".to_owned(),
            init: Vec::new(),
            containers: Vec::new(),
            restart_policy: RestartPolicy::Never,
            runtime: "ebb".to_owned(),
            grace_ms: 10_000,
            start_timeout_ms: 10_000,
            labels: BTreeMap::new(),
        };
        assert_eq!(fleet.prepared(&revision, epoch, Ok(spec)), None);
        Self { clock, plane, fleet, revision }
    }

    fn hold(&self, held: u32) {
        *self.plane.held.lock().unwrap() = held;
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Decides; answers what is started and the code that held requests are failed with.
    fn decide(&self) -> (Vec<InstanceId>, Option<String>) {
        let _ = self.fleet.evaluate(&self.revision);
        let (mut started, mut failed) = (Vec::new(), None);
        self.fleet.outbox.work_off(|step| {
            for effect in step.effects {
                match effect {
                    Effect::Start { id, .. } => started.push(id),
                    Effect::FailHeld { code, .. } => failed = Some(code),
                    _ => {}
                }
            }
        });
        (started, failed)
    }

    fn fail(&self, ids: &[InstanceId]) {
        for id in ids {
            let _ = self.fleet.start_failed(id, Failure::new("ENGINE_UNAVAILABLE", "no"));
        }
    }

    fn ready(&self, ids: &[InstanceId]) {
        for id in ids {
            let _ = self.fleet.start_taken(id);
            let what = EngineEventKind::Ready { endpoint: None, phases: StartPhases::default() };
            let _ = self.fleet.on_event(id, what);
        }
    }

    fn kill(&self, ids: &[InstanceId]) {
        for id in ids {
            let record = ExitRecord { signal: Some(9), ..ExitRecord::default() };
            let _ = self.fleet.on_event(id, EngineEventKind::Exited(record));
        }
    }

    /// The names of the effects that are handed in, in order.
    fn handed_in(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        self.fleet.outbox.work_off(|step| {
            names.extend(step.effects.iter().map(|effect| match effect {
                Effect::Ready { .. } => "ready",
                Effect::Drain { .. } => "drain",
                Effect::Ended { .. } => "ended",
                _ => "other",
            }));
        });
        names
    }
}

const TIMEOUT: Duration = Duration::from_mins(5);

#[test]
fn a_batch_that_fails_costs_one_second_and_no_request() {
    let world = World::new(TIMEOUT);
    world.hold(12);
    let (batch, _) = world.decide();
    assert_eq!(batch.len(), 12);
    world.fail(&batch);
    assert_eq!(world.decide(), (vec![], None), "what waits goes on waiting");
    world.pass(1);
    let (next, failed) = world.decide();
    assert_eq!((next.len(), failed), (1, None));
    world.ready(&next);
    let (rest, failed) = world.decide();
    assert_eq!((rest.len(), failed), (11, None), "one success is enough");
}

#[test]
fn held_requests_are_answered_by_the_third_try_and_later_ones_by_the_next() {
    let world = World::new(TIMEOUT);
    world.hold(12);
    for wait in [1, 2] {
        world.fail(&world.decide().0);
        assert_eq!(world.decide(), (vec![], None));
        world.pass(wait);
    }
    world.fail(&world.decide().0);
    let told = Some("ENGINE_UNAVAILABLE".to_owned());
    assert_eq!(world.decide(), (vec![], told.clone()));
    world.pass(3);
    world.hold(1);
    assert_eq!(world.decide(), (vec![], None), "it waits for the try in a second");
    world.pass(1);
    let (next, _) = world.decide();
    world.fail(&next);
    assert_eq!(world.decide(), (vec![], told), "and is answered when that has failed");
    // Nothing waited when the next one failed: nobody is told on its account later.
    world.pass(8);
    let (next, _) = world.decide();
    world.hold(0);
    world.fail(&next);
    assert_eq!(world.decide(), (vec![], None));
    world.hold(1);
    assert_eq!(world.decide(), (vec![], None));
}

#[test]
fn a_request_that_is_over_before_the_next_try_is_answered_at_once() {
    let world = World::new(Duration::from_secs(4));
    world.hold(1);
    for wait in [1, 2] {
        world.fail(&world.decide().0);
        world.pass(wait);
    }
    world.fail(&world.decide().0);
    assert!(world.decide().1.is_some());
    assert!(world.decide().1.is_some(), "four seconds to wait, and four to live");
    world.pass(1);
    assert!(world.decide().1.is_none());
}

#[test]
fn instances_killed_young_are_replaced_at_once_at_first() {
    let world = World::new(TIMEOUT);
    world.hold(12);
    let (batch, _) = world.decide();
    world.pass(1);
    world.ready(&batch);
    world.pass(1);
    world.kill(&batch);
    let (batch, failed) = world.decide();
    assert_eq!((batch.len(), failed), (12, None));
    world.pass(1);
    world.ready(&batch);
    world.pass(1);
    world.kill(&batch);
    assert_eq!(world.decide(), (vec![], None), "the second time within seconds");
    world.pass(1);
    let (next, failed) = world.decide();
    assert_eq!((next.len(), failed), (1, None));
    // Settled: all is forgotten.
    world.ready(&next);
    world.pass(10);
    assert_eq!(world.decide().0.len(), 11);
}

#[test]
fn a_preparation_that_fails_again_within_the_wait_counts_once() {
    let world = World::new(TIMEOUT);
    let settings = world.fleet.lock().by_key[&world.revision].settings.clone();
    world.fleet.lock().by_key.get_mut(&world.revision).unwrap().spec = Spec::None;
    world.hold(1);
    for _ in 0..5 {
        let epoch = world.fleet.ensure(&world.revision, settings.clone()).unwrap();
        let failure = Failure::new("SECRET_NOT_FOUND", "no");
        let _ = world.fleet.prepared(&world.revision, epoch, Err(failure));
        assert_eq!(world.decide(), (vec![], None));
    }
}

#[test]
fn effects_come_in_the_order_of_the_changes() {
    let world = World::new(TIMEOUT);
    world.hold(1);
    let (ids, _) = world.decide();
    world.ready(&ids);
    // Whoever handed in `Ready` did not come to carry it out; whoever stops the instance does.
    assert!(world.fleet.stop_one(&ids[0], None).is_some());
    assert_eq!(world.handed_in(), ["ready", "drain"]);
}

#[test]
fn an_instance_is_not_stopped_before_its_start_is_taken() {
    let world = World::new(TIMEOUT);
    world.hold(1);
    let (ids, _) = world.decide();
    assert_eq!(world.fleet.stop_one(&ids[0], None), None);
    assert!(world.handed_in().is_empty());
    assert!(world.fleet.start_taken(&ids[0]).is_some());
    assert_eq!(world.handed_in(), ["drain"]);
    assert_eq!(world.fleet.stop_one(&ids[0], None), None, "once is enough");
    // One that was refused needs no stop.
    let (ids, _) = world.decide();
    assert_eq!(world.fleet.stop_one(&ids[0], None), None);
    world.fail(&ids);
    assert!(!world.handed_in().contains(&"drain"));
}

#[test]
fn what_the_engine_has_not_taken_yet_is_not_missed() {
    let world = World::new(TIMEOUT);
    world.hold(2);
    let (ids, _) = world.decide();
    let before = world.fleet.taken();
    assert!(before.is_empty());
    assert_eq!(world.fleet.start_taken(&ids[0]), None);
    assert_eq!(world.fleet.missed(&before, &[]), [], "taken after the list was asked for");
    let missed = world.fleet.missed(&world.fleet.taken(), &[]);
    assert_eq!(missed, [(ids[0].clone(), EngineEventKind::Exited(ExitRecord::default()))]);
}

fn ready_spec(world: &World) -> (Settings, InstanceSpec) {
    let units = world.fleet.lock();
    let unit = &units.by_key[&world.revision];
    let Spec::Ready(spec) = &unit.spec else { panic!("it was made") };
    (unit.settings.clone(), InstanceSpec::clone(spec))
}

#[test]
fn what_was_made_for_a_revision_is_not_taken_for_a_later_one_of_its_name() {
    let world = World::new(TIMEOUT);
    let (settings, spec) = ready_spec(&world);
    world.fleet.lock().by_key.get_mut(&world.revision).unwrap().spec = Spec::None;
    let epoch = world.fleet.ensure(&world.revision, settings.clone()).unwrap();
    world.fleet.retire(&world.revision);
    world.decide();
    assert!(!world.fleet.has(&world.revision));
    assert_ne!(world.fleet.ensure(&world.revision, settings), Some(epoch));
    assert_eq!(world.fleet.prepared(&world.revision, epoch, Ok(spec)), None);
    let units = world.fleet.lock();
    assert!(matches!(units.by_key[&world.revision].spec, Spec::Preparing { .. }));
}

#[test]
fn secrets_that_change_while_the_first_instance_starts_are_read_again_for_the_next() {
    let world = World::new(TIMEOUT);
    let (settings, spec) = ready_spec(&world);
    let settings = Settings { uses_sources: true, ..settings };
    let mut answer = world.fleet.validate(&world.revision, settings, spec);
    let (ids, _) = world.decide();
    world.fleet.forget_specs(Some("default"));
    world.ready(&ids);
    world.fleet.outbox.work_off(|step| {
        for effect in step.effects {
            if let Effect::Verdict(verdict, outcome) = effect {
                verdict.send(outcome).unwrap();
            }
        }
    });
    assert_eq!(answer.try_recv(), Ok(Ok(())));
    let units = world.fleet.lock();
    assert!(matches!(units.by_key[&world.revision].spec, Spec::None));
}
