//! Hands committed changes to watchers, and history to those that start in the past.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::seam::Source;
use crate::{Error, WatchEvent, Watcher};

/// Events that a replaying watcher reads at once.
const PAGE: usize = 256;

type Event = Result<WatchEvent, Error>;

/// Every live watcher of one store.
#[derive(Debug)]
pub(crate) struct Hub {
    state: Mutex<State>,
    queue: usize,
}

#[derive(Debug)]
struct State {
    newest: u64,
    closed: bool,
    subscribers: Vec<Subscriber>,
}

#[derive(Debug)]
struct Subscriber {
    prefix: String,
    since: u64,
    events: mpsc::Sender<Event>,
}

impl Subscriber {
    /// Queues the event; false when this watcher is done for.
    fn offer(&self, event: &WatchEvent) -> bool {
        // One place in the queue is kept free, so that a watcher that lags can be told.
        if self.events.capacity() <= 1 {
            // The queue is closed or full only when nobody will read it any more.
            let _ = self.events.try_send(Err(Error::Lagged));
            return false;
        }
        self.events.try_send(Ok(event.clone())).is_ok()
    }

    fn wants(&self, event: &WatchEvent) -> bool {
        event.version() > self.since && event.key().starts_with(&self.prefix)
    }
}

impl Hub {
    /// A hub without watchers, `newest` being the version of the store; `queue` events may wait
    /// for each watcher.
    pub(crate) const fn new(newest: u64, queue: usize) -> Self {
        let state = State { newest, closed: false, subscribers: Vec::new() };
        Self { state: Mutex::new(state), queue }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues every later change to keys with `prefix`, but none of a version up to `since`.
    /// Answers the version after which the queue begins.
    pub(crate) fn subscribe(&self, prefix: &str, since: u64) -> (mpsc::Receiver<Event>, u64) {
        let (sender, receiver) = mpsc::channel(self.queue.max(1).saturating_add(1));
        let mut state = self.lock();
        state.subscribers.retain(|subscriber| !subscriber.events.is_closed());
        if !state.closed {
            let prefix = prefix.to_owned();
            state.subscribers.push(Subscriber { prefix, since, events: sender });
        }
        (receiver, state.newest)
    }

    /// Tells the watchers what the commit of `version` changed. Versions come in order.
    pub(crate) fn publish(&self, version: u64, events: &[WatchEvent]) {
        let mut state = self.lock();
        state.newest = version;
        for event in events {
            state
                .subscribers
                .retain(|subscriber| !subscriber.wants(event) || subscriber.offer(event));
        }
    }

    /// Ends every watch after what is queued.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.subscribers.clear();
    }
}

/// A place in the history: after this change of this commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// Version of the commit.
    pub(crate) version: u64,
    /// Orders the changes of one commit.
    pub(crate) change: u64,
}

impl Position {
    /// After the whole commit of `version`.
    pub(crate) const fn after(version: u64) -> Self {
        Self { version, change: u64::MAX }
    }
}

/// Retained changes, to be read page by page.
#[async_trait]
pub(crate) trait History: Send + Sync {
    /// At most `limit` changes after `after` up to the commit `through`, in commit order.
    /// [`Error::Compacted`] when some of them are gone.
    async fn page(
        &self,
        prefix: &str,
        after: Position,
        through: u64,
        limit: usize,
    ) -> Result<Vec<(Position, WatchEvent)>, Error>;
}

/// A watcher that replays history `since..=through` and goes on with `live`.
pub(crate) fn replay(
    history: Arc<dyn History>,
    prefix: &str,
    (since, through): (u64, u64),
    live: mpsc::Receiver<Event>,
) -> Watcher {
    if since >= through {
        return Watcher::new(live);
    }
    let stage = Stage::Between { after: Position::after(since) };
    let prefix = prefix.to_owned();
    Watcher::from_source(Replay { history, prefix, through, stage, page: VecDeque::new(), live })
}

struct Replay {
    history: Arc<dyn History>,
    prefix: String,
    through: u64,
    stage: Stage,
    page: VecDeque<WatchEvent>,
    live: mpsc::Receiver<Event>,
}

type Page = Vec<(Position, WatchEvent)>;

enum Stage {
    /// The next page begins after this change.
    Between { after: Position },
    /// The next page is being read. It is kept here and not in the future of `next`, so that a
    /// caller that drops that future again and again still gets on.
    Reading { after: Position, page: Pin<Box<dyn Future<Output = Result<Page, Error>> + Send>> },
    /// All of history was read.
    Live,
}

#[async_trait]
impl Source for Replay {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.page.pop_front() {
                return Some(Ok(event));
            }
            match &mut self.stage {
                Stage::Between { after } => {
                    let (after, through) = (*after, self.through);
                    let (history, prefix) = (Arc::clone(&self.history), self.prefix.clone());
                    let page =
                        Box::pin(async move { history.page(&prefix, after, through, PAGE).await });
                    self.stage = Stage::Reading { after, page };
                }
                Stage::Reading { after, page } => {
                    let (after, page) = (*after, page.as_mut().await);
                    match page {
                        Ok(page) => self.read(after, page),
                        Err(error) => return Some(Err(self.fail(error))),
                    }
                }
                Stage::Live => return self.live.recv().await,
            }
        }
    }
}

impl Replay {
    fn read(&mut self, after: Position, page: Page) {
        let after = page.last().map_or(after, |(position, _)| *position);
        let last = page.len() < PAGE;
        self.stage = if last { Stage::Live } else { Stage::Between { after } };
        self.page = page.into_iter().map(|(_, event)| event).collect();
    }

    /// Nothing comes after an error: what is queued would follow a gap.
    fn fail(&mut self, error: Error) -> Error {
        self.stage = Stage::Live;
        self.live.close();
        while self.live.try_recv().is_ok() {}
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Record, Value};

    fn put(key: &str, version: u64) -> WatchEvent {
        let value = Value { storage_version: 1, sealed: false, data: bytes::Bytes::new() };
        let record = Record { key: key.to_owned(), value, create_version: version, version };
        WatchEvent::Put { record, previous: None }
    }

    /// A reader may see a commit a moment before it is published, and watch from it.
    #[test]
    fn a_watch_from_a_version_that_is_being_published_does_not_see_it_again() {
        let hub = Hub::new(4, 8);
        let (mut events, through) = hub.subscribe("/a", 5);
        assert_eq!(through, 4);
        hub.publish(5, &[put("/a", 5)]);
        hub.publish(6, &[put("/a", 6), put("/b", 6)]);
        assert_eq!(events.try_recv().unwrap().unwrap().version(), 6);
        assert!(events.try_recv().is_err());
    }

    #[test]
    fn watchers_that_are_gone_are_forgotten_though_nothing_happens_to_them() {
        let hub = Hub::new(0, 8);
        for _ in 0..100 {
            drop(hub.subscribe("/quiet", 0));
        }
        assert!(hub.lock().subscribers.len() <= 1);
    }
}
