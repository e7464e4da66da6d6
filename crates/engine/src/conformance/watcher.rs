//! Reads an engine's events and waits for those of one instance.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use ebb_model::InstanceId;
use ebb_model::engine::{EngineEvent, EngineEventKind, ExitRecord};

use super::PATIENCE;
use crate::{Engine, Error, Events};

/// A reader of events that checks their numbers.
pub(super) struct Watcher {
    events: Events,
    last: Option<u64>,
    /// Events of other instances that were read while waiting for one.
    kept: VecDeque<EngineEvent>,
}

impl Watcher {
    /// From the oldest event that is kept.
    pub(super) async fn new(engine: &Arc<dyn Engine>) -> Self {
        let events = match engine.events(0).await {
            Err(Error::EventsLost { oldest }) => engine.events(oldest - 1).await,
            other => other,
        };
        Self::from(events.expect("events can be read"))
    }

    pub(super) fn from(events: Events) -> Self {
        Self { events, last: None, kept: VecDeque::new() }
    }

    /// The next event, whatever it is.
    pub(super) async fn next(&mut self) -> EngineEvent {
        let next = tokio::time::timeout(PATIENCE, self.events.recv()).await;
        let event = next.expect("an event comes in time").expect("the events go on");
        if let Some(last) = self.last {
            assert_eq!(event.seq, last + 1, "events have consecutive numbers: {event:?}");
        }
        self.last = Some(event.seq);
        event
    }

    /// The next event of `id`.
    pub(super) async fn of(&mut self, id: &InstanceId) -> EngineEvent {
        let kept = self.kept.iter().position(|event| event.id == *id);
        if let Some(event) = kept.and_then(|at| self.kept.remove(at)) {
            return event;
        }
        loop {
            let event = self.next().await;
            if event.id == *id {
                return event;
            }
            self.kept.push_back(event);
        }
    }

    /// Waits for `Started` and `Ready`, in this order; the endpoint.
    pub(super) async fn ready(&mut self, id: &InstanceId) -> Option<SocketAddr> {
        let started = self.of(id).await.what;
        assert_eq!(started, EngineEventKind::Started, "the first event is Started");
        match self.of(id).await.what {
            EngineEventKind::Ready { endpoint, .. } => endpoint,
            other => panic!("expected Ready after Started, not {other:?}"),
        }
    }

    /// Waits for `Exited`, passing over the events before it.
    pub(super) async fn exited(&mut self, id: &InstanceId) -> ExitRecord {
        self.events_until_exit(id).await.1
    }

    /// The events up to `Exited`, and what it says.
    pub(super) async fn events_until_exit(
        &mut self,
        id: &InstanceId,
    ) -> (Vec<EngineEventKind>, ExitRecord) {
        let mut before = Vec::new();
        loop {
            match self.of(id).await.what {
                EngineEventKind::Exited(record) => return (before, record),
                other => before.push(other),
            }
        }
    }
}
