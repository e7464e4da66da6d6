//! The life of one instance as its connection tells it.

use std::collections::BTreeMap;
use std::sync::Arc;

use ebb_model::InstanceId;
use ebb_model::engine::{EngineEventKind, ExitRecord, StartFailure, State};
use tokio::sync::{mpsc, oneshot, watch};

use super::{Answer, Command, Core, kept};
use crate::Error;
use crate::linux::packets::Packets;
use crate::linux::protocol::{self, Report, Start};

/// An instance that the spawner has not been asked for yet.
pub(super) struct Birth {
    pub(super) core: Arc<Core>,
    pub(super) start: Start,
    pub(super) inbox: mpsc::Receiver<Command>,
    pub(super) ended: watch::Sender<bool>,
}

impl Birth {
    /// Has it started, says how that went, and watches it until it has ended.
    pub(super) async fn run(self, id: InstanceId, accepted: oneshot::Sender<Result<(), Error>>) {
        let Self { core, start, inbox, ended } = self;
        match core.ask_spawner(&start).await {
            Ok(socket) => {
                let _ = accepted.send(Ok(())); // nobody may wait
                let grace_ms = start.spec.grace_ms;
                Life { core, id, grace_ms, socket, inbox, ended }.run().await;
            }
            Err(error) => {
                core.lock().known.remove(&id);
                let _ = accepted.send(Err(error));
            }
        }
    }
}

/// Watches one instance until it has ended.
pub(super) struct Life {
    pub(super) core: Arc<Core>,
    pub(super) id: InstanceId,
    /// Time between SIGTERM and kill when the daemon itself stops.
    pub(super) grace_ms: u64,
    pub(super) socket: Packets,
    pub(super) inbox: mpsc::Receiver<Command>,
    pub(super) ended: watch::Sender<bool>,
}

type Answers = BTreeMap<u64, oneshot::Sender<Result<Answer, Error>>>;

impl Life {
    /// Runs until the instance has ended. When the daemon is told to stop, so is the instance.
    pub(super) async fn run(mut self) {
        let record = self.watch().await;
        let exit = record.clone();
        self.core.update(&self.id, |status| {
            status.state = State::Exited;
            status.cpu_ns = exit.cpu_ns;
            status.memory_bytes = 0;
            status.exit = Some(exit);
        });
        self.bury();
        self.core.emit(&self.id, EngineEventKind::Exited(record));
        let _ = self.ended.send(true); // nobody may wait
    }

    async fn watch(&mut self) -> ExitRecord {
        let shutdown = self.core.tasks.shutdown().clone();
        let mut answers = Answers::new();
        let (mut number, mut stopping) = (0, false);
        loop {
            tokio::select! {
                report = self.socket.receive::<Report>() => match report {
                    Ok(Some((Report::Exited(record), _))) => {
                        let command = protocol::Command { number, act: protocol::Act::Acknowledge };
                        // A shim that hears nothing goes by itself after a while.
                        let _ = self.socket.send(&command, &[]).await;
                        return record;
                    }
                    Ok(Some((report, _))) => self.heard(report, &mut answers),
                    Ok(None) | Err(_) => return self.lost(),
                },
                Some(command) = self.inbox.recv() => {
                    number += 1;
                    self.forward(number, command, &mut answers).await;
                }
                () = shutdown.wait(), if !stopping => {
                    stopping = true;
                    number += 1;
                    let act = protocol::Act::Stop { grace_ms: self.grace_ms };
                    let (answer, _) = oneshot::channel();
                    self.forward(number, Command { act, answer }, &mut answers).await;
                }
            }
        }
    }

    fn heard(&self, report: Report, answers: &mut Answers) {
        let (number, answer) = match report {
            Report::Started => return self.core.emit(&self.id, EngineEventKind::Started),
            Report::Oom => return self.core.emit(&self.id, EngineEventKind::Oom),
            Report::Ready { endpoint, phases } => {
                self.core.update(&self.id, |status| {
                    status.endpoint = endpoint;
                    if status.state == State::Starting {
                        status.state = State::Ready;
                    }
                });
                return self.core.emit(&self.id, EngineEventKind::Ready { endpoint, phases });
            }
            Report::Done { number } => (number, Ok(Answer::Done)),
            Report::State { number, status } => (number, Ok(Answer::State(status))),
            Report::Failed { number, message } => (number, Err(Error::Unsupported(message))),
            other => {
                tracing::warn!(id = %self.id, ?other, "a shim spoke out of turn");
                return;
            }
        };
        if let Some(waiting) = answers.remove(&number) {
            let _ = waiting.send(answer); // nobody may wait
        }
    }

    async fn forward(&self, number: u64, command: Command, answers: &mut Answers) {
        if matches!(command.act, protocol::Act::Stop { .. }) {
            self.core.update(&self.id, |status| status.state = State::Stopping);
        }
        let message = protocol::Command { number, act: command.act };
        if self.socket.send(&message, &[]).await.is_ok() {
            answers.insert(number, command.answer);
        }
    }

    /// The record of an instance whose shim is gone; its end took the instance with it.
    fn lost(&self) -> ExitRecord {
        tracing::warn!(id = %self.id, "a shim ended before its instance");
        ExitRecord {
            signal: Some(9),
            start_failure: Some(StartFailure {
                code: "SANDBOX_FAILED".to_owned(),
                message: "the process that watches the instance ended, and the instance with it"
                    .to_owned(),
            }),
            ended: self.core.clock.now(),
            ..ExitRecord::default()
        }
    }

    /// Keeps the exited instance in the list and forgets the oldest ones above the limit, with
    /// their output.
    fn bury(&self) {
        let mut forgotten = Vec::new();
        {
            let mut state = self.core.lock();
            state.exited.push_back(self.id.clone());
            while state.exited.len() > self.core.config.exits_kept {
                if let Some(oldest) = state.exited.pop_front() {
                    state.known.remove(&oldest);
                    forgotten.push(oldest);
                }
            }
        }
        for id in forgotten {
            kept::remove(&self.core.config.log_dir, &id);
        }
    }
}
