//! The life of one simulated instance, from start to exit record.

use std::future::pending;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use ebb_kit::Shutdown;
use ebb_model::InstanceId;
use ebb_model::engine::{
    EngineEventKind, ExitRecord, InstanceSpec, LogRecord, LogStream, StartFailure, StartPhases,
    State,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::behaviour::{Behaviour, Ending};
use super::journal::Journal;
use super::{Core, server};

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;
/// Signals whose default action is to do nothing or to stop or continue (signal(7)): CHLD, CONT,
/// STOP, TSTP, TTIN, TTOU, URG, WINCH.
const HARMLESS: [i32; 8] = [17, 18, 19, 20, 21, 22, 23, 28];

/// What can be asked of a running instance.
#[derive(Debug)]
pub(crate) enum Command {
    /// SIGTERM, then kill after the grace period.
    Stop(Duration),
    /// A signal to its program.
    Signal(i32),
    /// Freeze or thaw it.
    Frozen(bool),
    /// End it so.
    End(Ending),
}

/// The output of one container.
#[derive(Debug)]
pub(crate) struct Output(Journal<LogRecord>);

impl Output {
    pub(crate) fn new(keep: usize) -> Self {
        Self(Journal::new(keep))
    }
}

impl Deref for Output {
    type Target = Journal<LogRecord>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// Everything the task of one instance needs.
pub(crate) struct Life {
    pub(crate) core: Arc<Core>,
    pub(crate) id: InstanceId,
    pub(crate) spec: InstanceSpec,
    pub(crate) behaviour: Behaviour,
    pub(crate) output: Arc<Output>,
    pub(crate) inbox: mpsc::Receiver<Command>,
    pub(crate) number: u64,
}

/// The points in time at which something happens by itself; none: never.
#[derive(Default)]
struct Due {
    ready: Option<Instant>,
    ends: Option<(Instant, Ending)>,
    kill: Option<Instant>,
    too_late: Option<Instant>,
}

/// What woke the instance.
enum Wake {
    Ready,
    Ended(ExitRecord),
    Command(Command),
    Connection(tokio::net::TcpStream),
    Served,
}

impl Life {
    /// Lives until the program ends, then leaves the exit record and the event.
    pub(crate) async fn run(mut self) {
        let record = self.live().await;
        let ended = self.core.clock.now();
        let record = ExitRecord { ended, ..record };
        self.output.close();
        self.core.update(&self.id, |status| {
            status.state = State::Exited;
            status.endpoint = None;
            status.exit = Some(record.clone());
        });
        self.core.bury(&self.id);
        self.core.emit(&self.id, EngineEventKind::Exited(record));
    }

    async fn live(&mut self) -> ExitRecord {
        if let Some(record) = self.create().await {
            return record;
        }
        self.core.emit(&self.id, EngineEventKind::Started);
        for (stream, line) in std::mem::take(&mut self.behaviour.lines) {
            self.write(stream, line.into_bytes());
        }
        // Connections end with the instance.
        let connections = self.core.tasks.shutdown().child();
        let record = self.serve(&connections).await;
        connections.call();
        if record.oom {
            self.core.emit(&self.id, EngineEventKind::Oom);
        }
        record
    }

    /// The time until the program runs; an exit record if it never does.
    async fn create(&mut self) -> Option<ExitRecord> {
        let until = Instant::now() + self.core.config.create_time + self.behaviour.create_time;
        let mut kill = None;
        loop {
            tokio::select! {
                biased;
                command = self.inbox.recv() => match command {
                    None | Some(Command::Stop(_)) => kill = Some(SIGTERM),
                    Some(Command::Signal(SIGKILL)) => kill = Some(SIGKILL),
                    Some(Command::End(ending)) => return Some(exit(ending)),
                    Some(Command::Signal(_) | Command::Frozen(_)) => {}
                },
                () = sleep_until(until) => break,
            }
            if let Some(signal) = kill {
                return Some(exit(Ending::Signal(signal)));
            }
        }
        let failure = self.behaviour.start_failure.take()?;
        Some(ExitRecord { start_failure: Some(failure), ..ExitRecord::default() })
    }

    async fn serve(&mut self, connections: &Shutdown) -> ExitRecord {
        let started = Instant::now();
        let (served_tx, mut served) = mpsc::channel(64);
        let mut requests = 0_u64;
        let mut listener: Option<TcpListener> = None;
        let mut frozen = false;
        let mut due = self.plan(started);
        loop {
            let wake = tokio::select! {
                biased;
                command = self.inbox.recv() => match command {
                    Some(command) => Wake::Command(command),
                    None => Wake::Ended(exit(Ending::Signal(SIGKILL))),
                },
                wake = due.next(), if !frozen => wake,
                stream = accept(listener.as_ref()), if !frozen => Wake::Connection(stream),
                Some(()) = served.recv() => Wake::Served,
            };
            match wake {
                Wake::Ended(record) => return record,
                Wake::Ready => {
                    due.ready = None;
                    due.too_late = None;
                    match self.ready(started).await {
                        Ok(bound) => listener = bound,
                        Err(record) => return record,
                    }
                }
                Wake::Command(Command::Frozen(now)) => frozen = now,
                Wake::Command(command) => {
                    // A stop of a frozen instance thaws it first, so that SIGTERM can act.
                    frozen &= !matches!(command, Command::Stop(_));
                    if let Some(record) = self.obey(&command, &mut due) {
                        return record;
                    }
                }
                Wake::Connection(stream) => self.answer(stream, connections, &served_tx),
                Wake::Served => {
                    requests += 1;
                    match self.behaviour.ends_after_requests {
                        Some((after, ending)) if requests >= after => return exit(ending),
                        _ => {}
                    }
                }
            }
        }
    }

    fn plan(&self, started: Instant) -> Due {
        let behaviour = &self.behaviour;
        let port = self.spec.containers[0].port;
        // Without a port it is ready when it is started.
        let ready_time = match port {
            Some(_) => self.core.config.ready_time + behaviour.ready_time,
            None => Duration::ZERO,
        };
        let never = behaviour.never_ready && port.is_some();
        Due {
            ready: (!never).then(|| started + ready_time),
            ends: behaviour.ends.map(|(after, ending)| (started + after, ending)),
            kill: None,
            too_late: Some(started + Duration::from_millis(self.spec.start_timeout_ms)),
        }
    }

    /// Becomes ready; an exit record if its port cannot be served.
    async fn ready(&mut self, started: Instant) -> Result<Option<TcpListener>, ExitRecord> {
        let mut listener = None;
        let mut endpoint = None;
        if let Some(port) = self.spec.containers[0].port {
            let address = if self.core.config.serve {
                let (bound, address) = server::bind().await.map_err(|error| ExitRecord {
                    start_failure: Some(StartFailure {
                        code: "START_FAILED".to_owned(),
                        message: format!("no port of 127.0.0.1 can be listened on: {error}"),
                    }),
                    ..ExitRecord::default()
                })?;
                listener = Some(bound);
                address
            } else {
                Core::address(self.number, port)
            };
            endpoint = Some(address);
        }
        self.announce(endpoint, started);
        Ok(listener)
    }

    fn announce(&self, endpoint: Option<SocketAddr>, started: Instant) {
        let create_time = self.core.config.create_time + self.behaviour.create_time;
        let phases = StartPhases {
            create_us: micros(create_time),
            ready_us: micros(started.elapsed()),
            ..StartPhases::default()
        };
        self.core.update(&self.id, |status| {
            if status.state == State::Starting {
                status.state = State::Ready;
            }
            status.endpoint = endpoint;
        });
        self.core.emit(&self.id, EngineEventKind::Ready { endpoint, phases });
    }

    /// Does what was asked; an exit record if that ends it.
    fn obey(&self, command: &Command, due: &mut Due) -> Option<ExitRecord> {
        match *command {
            Command::End(ending) => return Some(exit(ending)),
            Command::Signal(SIGTERM) if self.behaviour.ignores_term => {}
            Command::Signal(signal) if HARMLESS.contains(&signal) => {}
            Command::Signal(signal) => return Some(exit(Ending::Signal(signal))),
            Command::Stop(grace) => {
                self.core.update(&self.id, |status| status.state = State::Stopping);
                if !self.behaviour.ignores_term {
                    return Some(exit(Ending::Signal(SIGTERM)));
                }
                // A second, shorter stop counts.
                let kill = Instant::now() + grace;
                due.kill = Some(due.kill.map_or(kill, |earlier| earlier.min(kill)));
            }
            Command::Frozen(_) => {}
        }
        None
    }

    fn answer(
        &self,
        stream: tokio::net::TcpStream,
        connections: &Shutdown,
        served: &mpsc::Sender<()>,
    ) {
        let line = format!("hello from {}\n", self.id);
        let work = server::connection(stream, line, self.behaviour.request_time, served.clone());
        let shutdown = connections.clone();
        self.core.tasks.spawn("sim connection", async move {
            tokio::select! {
                biased;
                () = work => {}
                () = shutdown.wait() => {}
            }
        });
    }

    fn write(&self, stream: LogStream, line: Vec<u8>) {
        let at = self.core.clock.now();
        self.output.append(|seq| LogRecord { seq, at, stream, line });
    }
}

impl Due {
    /// Waits for the next thing that happens by itself.
    async fn next(&self) -> Wake {
        tokio::select! {
            biased;
            () = maybe(self.kill) => Wake::Ended(exit(Ending::Signal(SIGKILL))),
            () = maybe(self.ends.map(|(at, _)| at)) => {
                Wake::Ended(exit(self.ends.map_or(Ending::Signal(SIGKILL), |(_, ending)| ending)))
            }
            () = maybe(self.ready) => Wake::Ready,
            () = maybe(self.too_late) => Wake::Ended(ExitRecord {
                signal: Some(SIGKILL),
                start_failure: Some(StartFailure {
                    code: "NEVER_READY".to_owned(),
                    message: "its port did not accept a connection in time".to_owned(),
                }),
                ..ExitRecord::default()
            }),
        }
    }
}

async fn maybe(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

async fn accept(listener: Option<&TcpListener>) -> tokio::net::TcpStream {
    let Some(listener) = listener else { return pending().await };
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            return stream;
        }
        // Out of file descriptors: the connections that end will give some back.
        tokio::task::yield_now().await;
    }
}

fn exit(ending: Ending) -> ExitRecord {
    match ending {
        Ending::Code(code) => ExitRecord { code: Some(code & 0xff), ..ExitRecord::default() },
        Ending::Signal(signal) => ExitRecord { signal: Some(signal), ..ExitRecord::default() },
        Ending::Oom => ExitRecord { signal: Some(SIGKILL), oom: true, ..ExitRecord::default() },
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
