//! The machine that runs instances: the engine's own twin, with the faults of a real one, and
//! with a memory of everything that was asked of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use ebb_engine::sim::{Ending, Sim, SimConfig};
use ebb_engine::{Act, Engine, Error, Events, Io, Open};
use ebb_kit::Tasks;
use ebb_model::engine::{EngineEvent, EngineEventKind, InstanceSpec, InstanceStatus, State};
use ebb_model::{InstanceId, RevisionKey};
use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::chance::{Chance, Rates};
use crate::clock::SimClock;
use crate::lock;
use crate::trace::Trace;

/// Instances that the machine has room for.
const CAPACITY: usize = 60;

/// What is known about an instance, whatever a daemon knows.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)] // each is seen by itself
pub(crate) struct Truth {
    /// Which revision it runs.
    pub(crate) revision: RevisionKey,
    /// It was ready once.
    pub(crate) ready: bool,
    /// It has ended.
    pub(crate) exited: bool,
    /// When the daemon was told that it has ended.
    pub(crate) told: Option<Instant>,
    /// The daemon asked to stop it.
    pub(crate) stopping: bool,
    /// The daemon is in doubt about it: the engine has not answered the start yet, or failed in a
    /// way that tells nothing.
    pub(crate) doubtful: bool,
}

/// The simulated machine.
pub(crate) struct SimEngine {
    /// Another one after a power cut.
    sim: Mutex<Sim>,
    truth: Arc<Mutex<BTreeMap<InstanceId, Truth>>>,
    /// The next reader of events hears that some are no longer kept, after this one.
    lost: Arc<Mutex<Option<u64>>>,
    clock: Arc<SimClock>,
    chance: Chance,
    trace: Trace,
    tasks: Tasks,
    /// Tells nobody that an instance has ended, and lists it as running: a deliberate defect.
    deaf: bool,
}

impl SimEngine {
    /// A machine on which nothing runs.
    pub(crate) fn new(
        clock: Arc<SimClock>,
        chance: Chance,
        trace: Trace,
        tasks: Tasks,
        deaf: bool,
    ) -> Self {
        let engine = Self {
            sim: Mutex::new(boot(&clock)),
            truth: Arc::default(),
            lost: Arc::default(),
            clock,
            chance,
            trace,
            tasks,
            deaf,
        };
        engine.follow();
        engine
    }

    /// Power is cut and comes back: nothing runs any more. Only while no daemon runs.
    pub(crate) fn power_cut(&self) {
        for truth in lock(&self.truth).values_mut() {
            truth.exited = true;
        }
        *lock(&self.sim) = boot(&self.clock);
        *lock(&self.lost) = None;
        self.follow();
    }

    /// Keeps what happens to instances, ahead of every daemon.
    fn follow(&self) {
        let (sim, truth, trace) = (self.sim(), self.truth.clone(), self.trace.clone());
        let Some(Ok(mut events)) = sim.events(0).now_or_never() else { return };
        drop(sim); // its instances end with the last handle
        self.tasks.spawn("sim-truth", async move {
            while let Some(event) = events.recv().await {
                let name = trace.known(&event.id);
                let mut truth = lock(&truth);
                let Some(truth) = truth.get_mut(&event.id) else { continue };
                match event.what {
                    EngineEventKind::Started => trace.log(format!("instance {name} started")),
                    EngineEventKind::Ready { .. } => {
                        truth.ready = true;
                        trace.log(format!("instance {name} ready"));
                    }
                    EngineEventKind::Oom => {}
                    EngineEventKind::Exited(record) => {
                        truth.exited = true;
                        let (code, signal) = (record.code, record.signal);
                        trace.log(format!("instance {name} ended: {code:?} {signal:?}"));
                    }
                }
            }
        });
    }

    fn sim(&self) -> Sim {
        lock(&self.sim).clone()
    }

    /// What is known about an instance.
    pub(crate) fn truth(&self, id: &InstanceId) -> Option<Truth> {
        let mut truth = lock(&self.truth).get(id).cloned()?;
        if !truth.ready {
            // It may be so and not have been told yet.
            let listed = self.sim().list().now_or_never().and_then(Result::ok);
            let ready = |status: &InstanceStatus| status.id == *id && status.state == State::Ready;
            truth.ready = listed.is_some_and(|listed| listed.iter().any(ready));
        }
        Some(truth)
    }

    /// Whether a connection to the instance is taken now.
    pub(crate) fn takes(&self, id: &InstanceId) -> bool {
        self.truth(id).is_some_and(|truth| truth.ready && !truth.exited)
    }

    /// Every instance that has not ended.
    pub(crate) fn living(&self) -> Vec<(InstanceId, Truth)> {
        let listed = self.sim().list().now_or_never().and_then(Result::ok).unwrap_or_default();
        let living = listed.into_iter().filter(|status| status.state != State::Exited);
        living.filter_map(|status| Some((status.id.clone(), self.truth(&status.id)?))).collect()
    }

    /// The program of an instance ends by itself.
    pub(crate) async fn crash(&self, id: &InstanceId, ending: Ending) {
        let sim = self.sim();
        sim.end(id, ending).await;
    }

    fn refused(&self, what: &str, rate: impl Fn(&Rates) -> u32) -> Result<(), Error> {
        if self.chance.fault(rate) {
            self.trace.log(format!("fault: the engine does not {what}"));
            return Err(Error::Unavailable(format!("it does not {what}, as simulated")));
        }
        Ok(())
    }

    fn doubt(&self, id: &InstanceId, doubtful: bool) {
        if let Some(truth) = lock(&self.truth).get_mut(id) {
            truth.doubtful = doubtful;
        }
    }

    fn note(&self, id: &InstanceId, spec: &InstanceSpec) {
        let revision = spec.name.rsplit_once('-').map_or("", |(revision, _)| revision);
        let key = RevisionKey::new(&spec.namespace, revision);
        let name = self.trace.instance(id, &key.to_string());
        self.trace.log(format!("start {name}"));
        let truth = Truth {
            revision: key,
            ready: false,
            exited: false,
            told: None,
            stopping: false,
            doubtful: true,
        };
        if lock(&self.truth).insert(id.clone(), truth).is_some() {
            self.trace.violation("start once", format!("{name} was started twice"));
        }
    }
}

fn boot(clock: &Arc<SimClock>) -> Sim {
    let config = SimConfig { capacity: CAPACITY, ..SimConfig::default() };
    Sim::new(config, clock.clone())
}

#[async_trait]
impl Engine for SimEngine {
    async fn start(&self, id: &InstanceId, spec: InstanceSpec) -> Result<(), Error> {
        self.chance.pause().await;
        if self.chance.fault(|rates| rates.start) {
            self.trace.log("fault: the engine does not start an instance");
            return Err(Error::Unavailable("it does not start, as simulated".to_owned()));
        }
        self.note(id, &spec);
        let started = self.sim().start(id, spec).await;
        if let Err(error) = &started {
            self.trace.log(format!("{} was not started: {error}", self.trace.known(id)));
            if let Some(truth) = lock(&self.truth).get_mut(id) {
                truth.exited = true;
            }
        }
        self.chance.pause().await;
        if self.chance.fault(|rates| rates.start_unknown) {
            self.trace.log(format!("fault: the answer of {} is lost", self.trace.known(id)));
            return Err(Error::Unavailable("the answer was lost, as simulated".to_owned()));
        }
        self.doubt(id, false);
        started
    }

    async fn stop(&self, id: &InstanceId, grace: Duration) -> Result<(), Error> {
        if let Some(truth) = lock(&self.truth).get_mut(id) {
            truth.stopping = true;
        }
        self.chance.pause().await;
        self.refused("stop an instance", |rates| rates.stop)
            .inspect_err(|_| self.doubt(id, true))?;
        // Not to be kept alive by whoever waits: it ends with a power cut.
        let stopped = self.sim().stop(id, grace).await;
        self.chance.pause().await;
        stopped
    }

    async fn act(&self, id: &InstanceId, act: Act) -> Result<(), Error> {
        self.chance.pause().await;
        let done = self.sim().act(id, act).await;
        self.chance.pause().await;
        done
    }

    async fn open(&self, id: &InstanceId, container: &str, what: Open) -> Result<Io, Error> {
        self.chance.pause().await;
        self.refused("open a log", |rates| rates.engine)?;
        self.sim().open(id, container, what).await
    }

    async fn list(&self) -> Result<Vec<InstanceStatus>, Error> {
        self.chance.pause().await;
        self.refused("list its instances", |rates| rates.engine.max(rates.list))?;
        let mut listed = self.sim().list().await?;
        if self.deaf {
            listed.retain(|status| status.state != State::Exited);
        }
        Ok(listed)
    }

    async fn events(&self, since: u64) -> Result<Events, Error> {
        self.chance.pause().await;
        self.refused("tell its events", |rates| rates.engine)?;
        if let Some(last) = lock(&self.lost).take().filter(|last| *last > since) {
            return Err(Error::EventsLost { oldest: last + 1 });
        }
        let events = self.sim().events(since).await?;
        let (send, receive) = mpsc::channel(64);
        let tap = Tap {
            truth: self.truth.clone(),
            lost: self.lost.clone(),
            chance: self.chance.clone(),
            trace: self.trace.clone(),
            deaf: self.deaf,
        };
        self.tasks.spawn("sim-events", tap.forward(events, send));
        Ok(receive)
    }
}

/// One reader of the events.
struct Tap {
    truth: Arc<Mutex<BTreeMap<InstanceId, Truth>>>,
    lost: Arc<Mutex<Option<u64>>>,
    chance: Chance,
    trace: Trace,
    deaf: bool,
}

impl Tap {
    async fn forward(self, mut events: Events, send: mpsc::Sender<EngineEvent>) {
        loop {
            let event = tokio::select! {
                biased;
                () = send.closed() => return,
                event = events.recv() => event,
            };
            let Some(event) = event else { return };
            self.chance.pause().await;
            let exited = matches!(event.what, EngineEventKind::Exited(_));
            if exited && self.deaf {
                continue;
            }
            if self.chance.fault(|rates| rates.event_lost) {
                self.trace.log("fault: events of the engine are lost");
                *lock(&self.lost) = Some(event.seq);
                return;
            }
            if self.chance.fault(|rates| rates.event_break) {
                self.trace.log("fault: the stream of events breaks");
                return;
            }
            let id = event.id.clone();
            if send.send(event).await.is_err() {
                return;
            }
            if exited && let Some(truth) = lock(&self.truth).get_mut(&id) {
                truth.told = Some(Instant::now());
            }
        }
    }
}
