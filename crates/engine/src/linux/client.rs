//! The engine as the daemon sees it: a client of the spawner and of one shim per instance.

mod confined;
mod connection;
mod events;
mod kept;

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ebb_kit::{Clock, Tasks};
use ebb_model::InstanceId;
use ebb_model::engine::{EngineEvent, EngineEventKind, InstanceSpec, InstanceStatus, State};
use tokio::sync::{mpsc, oneshot, watch};

pub use self::confined::{ConfinedOutput, Kept};
use crate::linux::failure::step;
use crate::linux::packets::Packets;
use crate::linux::protocol::{self, Report, Request, Start};
use crate::linux::{Inherited, logs};
use crate::sim::journal::Journal;
use crate::{Act, Engine, Error, Events, Io, Open, check};

/// Commands to one instance that may wait; more wait in their callers.
const COMMANDS_MAX: usize = 16;

/// Settings of [`Linux`].
#[derive(Clone, Debug)]
pub struct LinuxConfig {
    /// Directory that the shims write the output of instances to; the spawner's `log_dir`.
    pub log_dir: PathBuf,
    /// Events that are kept for readers that resume.
    pub events_kept: usize,
    /// Exited instances that stay in the list, with their output. Output of instances of earlier
    /// daemons, which are not in the list, counts too.
    pub exits_kept: usize,
}

impl LinuxConfig {
    /// Defaults with this directory of output: 10,000 events and 1,000 exited instances.
    pub const fn new(log_dir: PathBuf) -> Self {
        Self { log_dir, events_kept: 10_000, exits_kept: 1_000 }
    }
}

/// Runs instances on this machine, through the spawner. Cheap to share.
pub struct Linux {
    core: Arc<Core>,
}

struct Core {
    config: LinuxConfig,
    spawner: Packets,
    events: Journal<EngineEvent>,
    state: Mutex<Instances>,
    tasks: Tasks,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Instances {
    known: BTreeMap<InstanceId, Entry>,
    /// Exited ones whose output is kept, oldest first; those of earlier daemons are not in `known`.
    exited: VecDeque<InstanceId>,
}

struct Entry {
    status: InstanceStatus,
    commands: mpsc::Sender<Command>,
    ended: watch::Receiver<bool>,
}

/// An act for a shim and where the answer goes.
struct Command {
    act: protocol::Act,
    answer: oneshot::Sender<Result<Answer, Error>>,
}

/// What a shim answered.
enum Answer {
    Done,
    State(protocol::Status),
}

impl Linux {
    /// Connects to the spawner and ends what an earlier daemon left running. Of the output that
    /// earlier daemons left, the newest stays, as far as [`LinuxConfig::exits_kept`] allows. Listening sockets in
    /// `inherited` are the caller's: take them out before.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the spawner is gone.
    pub async fn connect(
        config: LinuxConfig,
        inherited: Inherited,
        tasks: Tasks,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, Error> {
        let spawner =
            Packets::new(inherited.spawner).map_err(step("watch the socket to the spawner"))?;
        let events = Journal::new(config.events_kept);
        let state = Mutex::default();
        let core = Arc::new(Core { config, spawner, events, state, tasks, clock });
        core.reset().await?;
        // Every instance has ended: what is there now is of earlier daemons and counts as theirs.
        core.lock().exited = kept::take_over(&core.config.log_dir, core.config.exits_kept);
        Ok(Arc::new(Self { core }))
    }

    /// Runs the confined function that `ebb up` gave the spawner with `args`, in a process without
    /// network, without capabilities outside of its user namespace, with bounded memory, time,
    /// processes and file size, and with an empty file system. It sees `fds` as 3, 4, and so on;
    /// a directory among them appears as a mount whose files are owned, on disk, by 0 to 65,535
    /// as the function sees them.
    ///
    /// When the future is dropped, the process is ended. `kept` is dropped when the process is
    /// gone, and not before, however it ends.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the spawner is gone; [`Error::Invalid`] for too many
    /// descriptors; [`Error::System`] when the process could not be made.
    pub async fn confined(
        &self,
        args: &[String],
        fds: Vec<std::os::fd::OwnedFd>,
        kept: Kept,
    ) -> Result<ConfinedOutput, Error> {
        confined::run(&self.core, args, fds, kept).await
    }
}

impl std::fmt::Debug for Linux {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Linux").field("config", &self.core.config).finish_non_exhaustive()
    }
}

#[async_trait]
impl Engine for Linux {
    async fn start(&self, id: &InstanceId, spec: InstanceSpec) -> Result<(), Error> {
        check::spec(&spec)?;
        let core = &self.core;
        let created = core.clock.now();
        let start = Start { id: id.as_str().to_owned(), spec: spec.clone(), created };
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let (ended_tx, ended) = watch::channel(false);
        let status = InstanceStatus {
            id: id.clone(),
            spec,
            state: State::Starting,
            endpoint: None,
            created,
            exit: None,
            memory_bytes: 0,
            cpu_ns: 0,
        };
        {
            let mut state = core.lock();
            if state.known.contains_key(id) {
                return Ok(());
            }
            state.known.insert(id.clone(), Entry { status, commands, ended });
        }
        let birth = connection::Birth { core: Arc::clone(core), start, inbox, ended: ended_tx };
        let (accepted, answer) = oneshot::channel();
        // Whoever drops this future does not stop the spawner: the instance is watched, listed and
        // can be stopped all the same.
        core.tasks.spawn("instance", birth.run(id.clone(), accepted));
        let lost = || Error::Unavailable(format!("nobody watches instance {id}"));
        answer.await.unwrap_or_else(|_| Err(lost()))
    }

    async fn stop(&self, id: &InstanceId, grace: Duration) -> Result<(), Error> {
        let Some((commands, mut ended)) = self.core.reach(id) else { return Ok(()) };
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        let (answer, _answered) = oneshot::channel();
        let command = Command { act: protocol::Act::Stop { grace_ms }, answer };
        // A failed send says that it ended meanwhile.
        if commands.send(command).await.is_ok() && ended.wait_for(|ended| *ended).await.is_err() {
            // Its start failed meanwhile, or this daemon ends and the spawner ends it.
            return match self.core.reach(id) {
                None => Ok(()),
                Some(_) => Err(Error::Unavailable(format!("nobody watches instance {id}"))),
            };
        }
        Ok(())
    }

    async fn act(&self, id: &InstanceId, act: Act) -> Result<(), Error> {
        let act = match act {
            Act::Signal(signal) if !(1..=64).contains(&signal) => {
                return Err(Error::Invalid {
                    field: "signal".to_owned(),
                    message: format!("{signal} is not a signal: 1 to 64 are allowed"),
                });
            }
            Act::Signal(signal) => protocol::Act::Signal(signal),
            Act::Freeze => protocol::Act::Freeze,
            Act::Thaw => protocol::Act::Thaw,
        };
        self.core.ask(id, act).await.map(|_| ())
    }

    async fn open(&self, id: &InstanceId, container: &str, what: Open) -> Result<Io, Error> {
        let Open::Logs(query) = what;
        let ended = {
            let state = self.core.lock();
            let entry = state.known.get(id);
            let entry = entry.ok_or_else(|| Error::NotFound(format!("instance {id}")))?;
            if !entry.status.spec.containers.iter().any(|c| c.name == container) {
                return Err(Error::NotFound(format!("container {container:?} in instance {id}")));
            }
            entry.ended.clone()
        };
        let dir = self.core.config.log_dir.join(id.as_str());
        let (send, receive) = mpsc::channel(64);
        let reader = logs::follow::Reader { dir, query, ended, send };
        let shutdown = self.core.tasks.shutdown().clone();
        self.core.tasks.spawn("instance logs", reader.run(shutdown));
        Ok(Io::Logs(receive))
    }

    async fn list(&self) -> Result<Vec<InstanceStatus>, Error> {
        let mut all: Vec<InstanceStatus> =
            self.core.lock().known.values().map(|entry| entry.status.clone()).collect();
        for status in all.iter_mut().filter(|s| matches!(s.state, State::Ready | State::Stopping)) {
            // One that ends meanwhile is listed without usage.
            if let Ok(Answer::State(now)) = self.core.ask(&status.id, protocol::Act::State).await {
                (status.memory_bytes, status.cpu_ns) = (now.memory_bytes, now.cpu_ns);
            }
        }
        Ok(all)
    }

    async fn events(&self, since: u64) -> Result<Events, Error> {
        events::subscribe(&self.core, since)
    }
}

impl Core {
    fn lock(&self) -> MutexGuard<'_, Instances> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn emit(&self, id: &InstanceId, what: EngineEventKind) {
        let (at, id) = (self.clock.now(), id.clone());
        self.events.append(|seq| EngineEvent { seq, at, id, what });
    }

    fn update(&self, id: &InstanceId, change: impl FnOnce(&mut InstanceStatus)) {
        if let Some(entry) = self.lock().known.get_mut(id) {
            change(&mut entry.status);
        }
    }

    /// The ways to an instance that has not ended.
    fn reach(&self, id: &InstanceId) -> Option<(mpsc::Sender<Command>, watch::Receiver<bool>)> {
        let state = self.lock();
        let entry = state.known.get(id).filter(|entry| entry.status.state != State::Exited)?;
        Some((entry.commands.clone(), entry.ended.clone()))
    }

    /// Has the shim of `id` carry out `act`.
    async fn ask(&self, id: &InstanceId, act: protocol::Act) -> Result<Answer, Error> {
        let none = || Error::NotFound(format!("running instance {id}"));
        let (commands, mut ended) = self.reach(id).ok_or_else(none)?;
        let (answer, answered) = oneshot::channel();
        commands.send(Command { act, answer }).await.map_err(|_| none())?;
        tokio::select! {
            biased;
            answer = answered => answer.map_err(|_| none())?,
            // A command that was sent while the receiver went lies in the queue, unanswered, as
            // long as the exited instance is listed.
            _ = ended.wait_for(|ended| *ended) => Err(none()),
        }
    }

    /// Hands `start` to the spawner; answers the connection to the shim once it has taken it.
    async fn ask_spawner(&self, start: &Start) -> Result<Packets, Error> {
        let file = protocol::memory_file(start).map_err(step("write the spec"))?;
        let (ours, theirs) = protocol::pair().map_err(step("make a connection"))?;
        let request = Request::Start { id: start.id.clone() };
        let sent = self.spawner.send(&request, &[file.as_fd(), theirs.as_fd()]).await;
        sent.map_err(|_| spawner_gone())?;
        drop(theirs);
        let ours = Packets::new(ours).map_err(step("watch a connection"))?;
        match ours.receive::<Report>().await.map_err(step("hear from the spawner"))? {
            Some((Report::Accepted, _)) => Ok(ours),
            Some((Report::NoRoom(why), _)) => Err(Error::Exhausted(why)),
            Some((Report::Repeated, _)) => Err(Error::Invalid {
                field: "id".to_owned(),
                message: format!("instance {} was started before; ids are used once", start.id),
            }),
            Some(_) => Err(Error::Unavailable("the spawner answered out of turn".into())),
            None => Err(Error::Unavailable("the sandbox ended before it took the start".into())),
        }
    }

    /// Ends every instance of the spawner.
    async fn reset(&self) -> Result<(), Error> {
        let (ours, theirs) = protocol::pair().map_err(step("make a connection"))?;
        let sent = self.spawner.send(&Request::Reset, &[theirs.as_fd()]).await;
        sent.map_err(|_| spawner_gone())?;
        drop(theirs);
        let ours = Packets::new(ours).map_err(step("watch a connection"))?;
        match ours.receive::<Report>().await.map_err(step("hear from the spawner"))? {
            Some((Report::Done { .. }, _)) => Ok(()),
            _ => Err(spawner_gone()),
        }
    }
}

fn spawner_gone() -> Error {
    Error::Unavailable("the spawner is gone".into())
}
