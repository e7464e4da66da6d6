//! The simulated twin: keeps every promise of [`Engine`] in memory, without a kernel.
//!
//! It runs on tokio's time, so a test that pauses it simulates hours in milliseconds. What an
//! instance does is said by a [`Behaviour`], from its environment or from a script; what the
//! engine's calls do wrong is said by [`Sim::fail_next`].

mod behaviour;
pub(crate) mod journal;
mod life;
mod server;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ebb_kit::{Clock, Shutdown, Tasks};
use ebb_model::InstanceId;
use ebb_model::engine::{EngineEvent, EngineEventKind, InstanceSpec, InstanceStatus, State};
use tokio::sync::mpsc;

use crate::{Act, Engine, Error, Events, Io, LogQuery, Open, check};
pub use behaviour::{Behaviour, Ending};
use journal::{After, Journal};
use life::{Command, Life, Output};

/// Decides what an instance does.
pub type Script = Arc<dyn Fn(&InstanceId, &InstanceSpec) -> Behaviour + Send + Sync>;

/// Configuration of the simulated engine.
#[derive(Clone)]
pub struct SimConfig {
    /// Time from `start` to `Started` of every instance.
    pub create_time: Duration,
    /// Time from `Started` to `Ready` of every instance.
    pub ready_time: Duration,
    /// Most instances that run at once; the next start is refused as exhausted.
    pub capacity: usize,
    /// Answer HTTP requests at the endpoints, on real ports of 127.0.0.1.
    pub serve: bool,
    /// Events that are kept for readers that resume.
    pub events_kept: usize,
    /// Log records that are kept of each instance.
    pub logs_kept: usize,
    /// Exited instances whose record is kept in the list.
    pub exits_kept: usize,
    /// Decides what an instance does; none: [`Behaviour::from_env`].
    pub script: Option<Script>,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            create_time: Duration::from_millis(1),
            ready_time: Duration::from_millis(1),
            capacity: 10_000,
            serve: false,
            events_kept: 10_000,
            logs_kept: 10_000,
            exits_kept: 1_000,
            script: None,
        }
    }
}

impl fmt::Debug for SimConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimConfig")
            .field("create_time", &self.create_time)
            .field("ready_time", &self.ready_time)
            .field("capacity", &self.capacity)
            .field("serve", &self.serve)
            .finish_non_exhaustive()
    }
}

/// A call of [`Engine`] that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// [`Engine::start`].
    Start,
    /// [`Engine::stop`].
    Stop,
    /// [`Engine::act`].
    Act,
    /// [`Engine::open`].
    Open,
    /// [`Engine::list`].
    List,
    /// [`Engine::events`].
    Events,
}

/// The simulated engine. Cheap to clone; every clone is the same engine. Its instances end when
/// the last clone is dropped.
#[derive(Clone)]
pub struct Sim {
    core: Arc<Core>,
    _life: Arc<EndsTasks>,
}

/// Calls the shutdown when the last handle is dropped.
struct EndsTasks(Shutdown);

impl Drop for EndsTasks {
    fn drop(&mut self) {
        self.0.call();
    }
}

/// What the handles and the instances' tasks share.
struct Core {
    config: SimConfig,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    events: Journal<EngineEvent>,
    state: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    instances: BTreeMap<InstanceId, Entry>,
    exited: std::collections::VecDeque<InstanceId>,
    starts: u64,
    fail: BTreeMap<Call, u32>,
}

/// One instance.
struct Entry {
    status: InstanceStatus,
    output: Arc<Output>,
    commands: mpsc::Sender<Command>,
    ended: Shutdown,
}

impl Sim {
    /// An engine without instances. Needs a tokio runtime from the first start on.
    pub fn new(config: SimConfig, clock: Arc<dyn Clock>) -> Self {
        let shutdown = Shutdown::new();
        let core = Core {
            events: Journal::new(config.events_kept),
            config,
            clock,
            tasks: Tasks::new(shutdown.clone()),
            state: Mutex::default(),
        };
        Self { core: Arc::new(core), _life: Arc::new(EndsTasks(shutdown)) }
    }

    /// How many instances were started so far; a repeated start of one id counts once.
    pub fn starts(&self) -> u64 {
        self.core.lock().starts
    }

    /// Makes the next `times` calls of `call` fail as unavailable.
    pub fn fail_next(&self, call: Call, times: u32) {
        self.core.lock().fail.insert(call, times);
    }

    /// Ends a running instance as if its program had ended so. Nothing happens to one that is
    /// not known or has ended.
    pub async fn end(&self, id: &InstanceId, ending: Ending) {
        let Some((commands, ended)) = self.core.reach(id) else { return };
        if commands.send(Command::End(ending)).await.is_ok() {
            ended.wait().await;
        }
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim").field("config", &self.core.config).finish_non_exhaustive()
    }
}

impl Core {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails if [`Sim::fail_next`] asked for it.
    fn injected(&self, call: Call) -> Result<(), Error> {
        let mut inner = self.lock();
        let Some(left) = inner.fail.get_mut(&call).filter(|left| **left > 0) else { return Ok(()) };
        *left -= 1;
        Err(Error::Unavailable(format!("a failure of {call:?} was asked for")))
    }

    fn emit(&self, id: &InstanceId, what: EngineEventKind) {
        let (at, id) = (self.clock.now(), id.clone());
        self.events.append(|seq| EngineEvent { seq, at, id, what });
    }

    fn update(&self, id: &InstanceId, change: impl FnOnce(&mut InstanceStatus)) {
        if let Some(entry) = self.lock().instances.get_mut(id) {
            change(&mut entry.status);
        }
    }

    /// The ways to a running instance.
    fn reach(&self, id: &InstanceId) -> Option<(mpsc::Sender<Command>, Shutdown)> {
        let inner = self.lock();
        let entry = inner.instances.get(id).filter(|e| e.status.state != State::Exited)?;
        Some((entry.commands.clone(), entry.ended.clone()))
    }

    /// Keeps the record of an exited instance and forgets the oldest ones above the limit.
    fn bury(&self, id: &InstanceId) {
        let mut inner = self.lock();
        inner.exited.push_back(id.clone());
        while inner.exited.len() > self.config.exits_kept {
            if let Some(oldest) = inner.exited.pop_front() {
                inner.instances.remove(&oldest);
            }
        }
    }

    /// An address of the range that instances have by default, different for each.
    fn address(number: u64, port: u16) -> SocketAddr {
        let host = u32::try_from(number % (1 << 22)).unwrap_or_default();
        SocketAddr::from((Ipv4Addr::from(u32::from(Ipv4Addr::new(100, 64, 0, 0)) + host), port))
    }
}

#[async_trait]
impl Engine for Sim {
    async fn start(&self, id: &InstanceId, spec: InstanceSpec) -> Result<(), Error> {
        let core = &self.core;
        core.injected(Call::Start)?;
        check::spec(&spec)?;
        let behaviour = match &core.config.script {
            Some(script) => script(id, &spec),
            None => Behaviour::from_env(&spec),
        };
        let (commands, inbox) = mpsc::channel(16);
        let ended = Shutdown::new();
        let output = Arc::new(Output::new(core.config.logs_kept));
        let number = {
            let mut inner = core.lock();
            if inner.instances.contains_key(id) {
                return Ok(());
            }
            let running = inner.instances.len() - inner.exited.len();
            if running >= core.config.capacity {
                return Err(Error::Exhausted(format!("{running} instances run already")));
            }
            inner.starts += 1;
            let status = InstanceStatus {
                id: id.clone(),
                spec: spec.clone(),
                state: State::Starting,
                endpoint: None,
                created: core.clock.now(),
                exit: None,
                memory_bytes: 0,
                cpu_ns: 0,
            };
            let entry =
                Entry { status, output: Arc::clone(&output), commands, ended: ended.clone() };
            inner.instances.insert(id.clone(), entry);
            inner.starts
        };
        let (id, all) = (id.clone(), Arc::clone(core));
        let life = Life { core: all, id, spec, behaviour, output, inbox, number };
        let (shutdown, end) = (core.tasks.shutdown().clone(), ended);
        core.tasks.spawn("sim instance", async move {
            tokio::select! {
                biased; // chance has no part in a simulation
                () = life.run() => {}
                () = shutdown.wait() => {}
            }
            end.call();
        });
        Ok(())
    }

    async fn stop(&self, id: &InstanceId, grace: Duration) -> Result<(), Error> {
        self.core.injected(Call::Stop)?;
        let Some((commands, ended)) = self.core.reach(id) else { return Ok(()) };
        // A failed send says that it ended meanwhile.
        if commands.send(Command::Stop(grace)).await.is_ok() {
            ended.wait().await;
        }
        Ok(())
    }

    async fn act(&self, id: &InstanceId, act: Act) -> Result<(), Error> {
        self.core.injected(Call::Act)?;
        let none = || Error::NotFound(format!("running instance {id}"));
        let (commands, _) = self.core.reach(id).ok_or_else(none)?;
        let command = match act {
            Act::Signal(signal) if !(1..=64).contains(&signal) => {
                return Err(Error::Invalid {
                    field: "signal".to_owned(),
                    message: format!("{signal} is not a signal: 1 to 64 are allowed"),
                });
            }
            Act::Signal(signal) => Command::Signal(signal),
            Act::Freeze => Command::Frozen(true),
            Act::Thaw => Command::Frozen(false),
        };
        commands.send(command).await.map_err(|_| none())
    }

    async fn open(&self, id: &InstanceId, container: &str, what: Open) -> Result<Io, Error> {
        self.core.injected(Call::Open)?;
        let Open::Logs(query) = what;
        let output = {
            let inner = self.core.lock();
            let entry = inner.instances.get(id);
            let entry = entry.ok_or_else(|| Error::NotFound(format!("instance {id}")))?;
            if !entry.status.spec.containers.iter().any(|c| c.name == container) {
                return Err(Error::NotFound(format!("container {container:?} in instance {id}")));
            }
            Arc::clone(&entry.output)
        };
        let (send, receive) = mpsc::channel(64);
        self.core.tasks.spawn("sim logs", stream_logs(output, query, send));
        Ok(Io::Logs(receive))
    }

    async fn list(&self) -> Result<Vec<InstanceStatus>, Error> {
        self.core.injected(Call::List)?;
        Ok(self.core.lock().instances.values().map(|entry| entry.status.clone()).collect())
    }

    async fn events(&self, since: u64) -> Result<Events, Error> {
        self.core.injected(Call::Events)?;
        if let After::Lost(oldest) = self.core.events.after(since) {
            return Err(Error::EventsLost { oldest });
        }
        let (send, receive) = mpsc::channel(256);
        let core = Arc::clone(&self.core);
        self.core.tasks.spawn("sim events", async move {
            let mut changed = core.events.watch();
            let mut last = since;
            // A reader that was overtaken by the end of the history sees its channel close.
            while let After::Items(events) = core.events.after(last) {
                let idle = events.is_empty();
                for event in events {
                    last = event.seq;
                    if send.send(event).await.is_err() {
                        return;
                    }
                }
                tokio::select! {
                    biased;
                    () = core.tasks.shutdown().wait() => return,
                    () = send.closed() => return,
                    () = changed.changed(), if idle => {}
                    () = std::future::ready(()), if !idle => {}
                }
            }
        });
        Ok(receive)
    }
}

async fn stream_logs(
    output: Arc<Output>,
    query: LogQuery,
    send: mpsc::Sender<ebb_model::engine::LogRecord>,
) {
    let mut changed = output.watch();
    let (mut records, mut last) = output.kept();
    if let Some(since) = query.since {
        records.retain(|record| record.at >= since);
    }
    if let Some(tail) = query.tail {
        let tail = usize::try_from(tail).unwrap_or(usize::MAX);
        records.drain(..records.len().saturating_sub(tail));
    }
    loop {
        for record in records {
            if query.since.is_none_or(|since| record.at >= since)
                && send.send(record).await.is_err()
            {
                return;
            }
        }
        if !query.follow {
            return;
        }
        records = match output.after(last) {
            After::End => return,
            After::Items(items) => items,
            // What was overwritten shows as a gap in the numbers.
            After::Lost(_) => output.kept().0,
        };
        if let Some(record) = records.last() {
            last = record.seq;
            continue;
        }
        tokio::select! {
            biased;
            () = send.closed() => return,
            () = changed.changed() => {}
        }
    }
}

#[cfg(test)]
mod tests;
