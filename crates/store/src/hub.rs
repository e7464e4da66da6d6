//! Hands committed changes to watchers, and history to those that start in the past.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::{Change, Error, Record, Source, WATCH_BYTES, WatchEvent, Watcher};

/// Events that a replaying watcher reads at once.
const PAGE: usize = 256;

type Event = Result<Arc<Change>, Error>;

/// Every live watcher of one store.
#[derive(Debug)]
pub(crate) struct Hub {
    state: Mutex<State>,
    /// Newest version of which every watcher has everything in its queue.
    published: Arc<AtomicU64>,
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
    queue: mpsc::Sender<Queued>,
    /// Bytes of values in the queue.
    waiting: Arc<AtomicUsize>,
}

/// A change in the queue of one watcher.
#[derive(Debug)]
struct Queued {
    event: Event,
    /// Version that the watcher has everything of once it has this.
    through: u64,
}

impl Subscriber {
    /// Queues what the commit of `version` changed here; false when this watcher is done for.
    fn take(
        &self,
        version: u64,
        events: &[WatchEvent],
        shared: &mut [Option<Arc<Change>>],
    ) -> bool {
        if version <= self.since {
            return true;
        }
        let wanted = |event: &WatchEvent| event.key().starts_with(&self.prefix);
        let mut wanted = events.iter().zip(shared).filter(|(event, _)| wanted(event)).peekable();
        while let Some((event, shared)) = wanted.next() {
            let change = shared.get_or_insert_with(|| Arc::new(Change::new(event.clone())));
            let through = if wanted.peek().is_none() { version } else { version - 1 };
            if !self.offer(Arc::clone(change), through) {
                return false;
            }
        }
        true
    }

    fn offer(&self, change: Arc<Change>, through: u64) -> bool {
        let (more, waiting) = (bytes(change.event()), self.waiting.load(Ordering::Relaxed));
        let large = waiting > 0 && waiting.saturating_add(more) > WATCH_BYTES;
        // One place in the queue is kept free, so that a watcher that lags can be told.
        if large || self.queue.capacity() <= 1 {
            // The queue is closed or full only when nobody will read it any more.
            let _ = self.queue.try_send(Queued { event: Err(Error::Lagged), through: 0 });
            return false;
        }
        self.waiting.fetch_add(more, Ordering::Relaxed);
        self.queue.try_send(Queued { event: Ok(change), through }).is_ok()
    }
}

/// Bytes of the values of a change, for as long as it waits.
fn bytes(event: &WatchEvent) -> usize {
    let size = |record: &Record| record.value.data.len();
    let after = match event {
        WatchEvent::Put { record, .. } => size(record),
        WatchEvent::Delete { .. } => 0,
    };
    after.saturating_add(event.previous().map_or(0, size))
}

impl Hub {
    /// A hub without watchers, `newest` being the version of the store; `queue` events may wait
    /// for each watcher.
    pub(crate) fn new(newest: u64, queue: usize) -> Self {
        let state = State { newest, closed: false, subscribers: Vec::new() };
        Self { state: Mutex::new(state), published: Arc::new(AtomicU64::new(newest)), queue }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues every later change to keys with `prefix`, but none of a version up to `since`.
    /// Answers the version after which the queue begins.
    pub(crate) fn subscribe(&self, prefix: &str, since: u64) -> (Live, u64) {
        let (sender, queue) = mpsc::channel(self.queue.max(1).saturating_add(1));
        let waiting = Arc::new(AtomicUsize::new(0));
        let mut state = self.lock();
        state.subscribers.retain(|subscriber| !subscriber.queue.is_closed());
        if !state.closed {
            let (prefix, waiting) = (prefix.to_owned(), waiting.clone());
            state.subscribers.push(Subscriber { prefix, since, queue: sender, waiting });
        }
        let reached = AtomicU64::new(since);
        let published = Arc::clone(&self.published);
        (Live { queue, waiting, published, reached, ended: false }, state.newest)
    }

    /// Tells the watchers what the commit of `version` changed. Versions come in order.
    pub(crate) fn publish(&self, version: u64, events: &[WatchEvent]) {
        let mut state = self.lock();
        state.newest = version;
        // Copied for the first watcher that wants it, and shared by all that do.
        let mut shared = vec![None; events.len()];
        state.subscribers.retain(|subscriber| subscriber.take(version, events, &mut shared));
        // Only now: whoever sees this number finds everything up to it in the queue.
        self.published.store(version, Ordering::Release);
    }

    /// Ends every watch after what is queued.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.subscribers.clear();
    }
}

/// What happens from now on.
pub(crate) struct Live {
    queue: mpsc::Receiver<Queued>,
    waiting: Arc<AtomicUsize>,
    published: Arc<AtomicU64>,
    reached: AtomicU64,
    /// After an error or the end nothing more is known.
    ended: bool,
}

impl Live {
    /// What is queued already.
    #[cfg(test)]
    pub(crate) fn try_next(&mut self) -> Option<Event> {
        self.queue.try_recv().ok().map(|queued| queued.event)
    }

    /// Ends it and forgets what is queued.
    fn stop(&mut self) {
        self.ended = true;
        self.queue.close();
        while self.queue.try_recv().is_ok() {}
    }
}

#[async_trait]
impl Source for Live {
    async fn next(&mut self) -> Option<Event> {
        let Some(Queued { event, through }) = self.queue.recv().await else {
            self.progress();
            self.ended = true;
            return None;
        };
        match &event {
            Ok(change) => {
                self.waiting.fetch_sub(bytes(change.event()), Ordering::Relaxed);
                self.reached.fetch_max(through, Ordering::Relaxed);
            }
            Err(_) => self.ended = true,
        }
        Some(event)
    }

    fn progress(&self) -> u64 {
        if !self.ended {
            // The number first: what is published between the two is in the queue already.
            let published = self.published.load(Ordering::Acquire);
            if self.queue.is_empty() {
                self.reached.fetch_max(published, Ordering::Relaxed);
            }
        }
        self.reached.load(Ordering::Relaxed)
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

    /// The version that must be retained for the history to go on here. Within a commit that is the
    /// one before it: what a compacted commit removed is not known any more.
    pub(crate) const fn needs(self) -> u64 {
        if self.change == u64::MAX { self.version } else { self.version.saturating_sub(1) }
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
    live: Live,
) -> Watcher {
    if since >= through {
        return Watcher::new(live);
    }
    let stage = Stage::Between { after: Position::after(since) };
    let (prefix, page, reached) = (prefix.to_owned(), VecDeque::new(), since);
    Watcher::new(Replay { history, prefix, through, stage, page, reached, live })
}

struct Replay {
    history: Arc<dyn History>,
    prefix: String,
    through: u64,
    stage: Stage,
    page: VecDeque<(WatchEvent, u64)>,
    /// Everything up to this version of the history was given out.
    reached: u64,
    live: Live,
}

type Page = Vec<(Position, WatchEvent)>;

enum Stage {
    /// The next page begins after this change.
    Between { after: Position },
    /// The next page is being read. It is kept here and not in the future of `next`, so that a
    /// caller that drops that future again and again still gets on.
    Reading { after: Position, page: Reading },
    /// All of history was read.
    Live,
}

/// A page on its way.
type Reading = Pin<Box<dyn Future<Output = Result<Page, Error>> + Send>>;

#[async_trait]
impl Source for Replay {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, reached)) = self.page.pop_front() {
                self.reached = reached;
                return Some(Ok(Arc::new(Change::new(event))));
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
                Stage::Live => return self.live.next().await,
            }
        }
    }

    fn progress(&self) -> u64 {
        match self.stage {
            Stage::Live if self.page.is_empty() => self.reached.max(self.live.progress()),
            _ => self.reached,
        }
    }
}

impl Replay {
    fn read(&mut self, after: Position, page: Page) {
        let after = page.last().map_or(after, |(position, _)| *position);
        let last = page.len() < PAGE;
        self.stage = if last { Stage::Live } else { Stage::Between { after } };
        if last && page.is_empty() {
            self.reached = self.through;
        }
        let versions: Vec<u64> = page.iter().map(|(position, _)| position.version).collect();
        let next = versions.iter().skip(1).copied().map(Some).chain([None]);
        let reached = versions.iter().zip(next).map(|(version, next)| match next {
            Some(next) if next > *version => *version,
            None if last => self.through,
            // More of the same commit follows, or may follow on the next page.
            _ => version - 1,
        });
        self.page = page.into_iter().map(|(_, event)| event).zip(reached).collect();
    }

    /// Nothing comes after an error: what is queued would follow a gap.
    fn fail(&mut self, error: Error) -> Error {
        self.stage = Stage::Live;
        self.live.stop();
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
        assert_eq!(events.progress(), 5);
        assert_eq!(events.try_next().unwrap().unwrap().event().version(), 6);
        assert!(events.try_next().is_none());
    }

    #[test]
    fn watchers_that_are_gone_are_forgotten_though_nothing_happens_to_them() {
        let hub = Hub::new(0, 8);
        for _ in 0..100 {
            drop(hub.subscribe("/quiet", 0));
        }
        assert!(hub.lock().subscribers.len() <= 1);
    }

    fn large(version: u64, bytes: usize) -> WatchEvent {
        let mut event = put("/a", version);
        if let WatchEvent::Put { record, .. } = &mut event {
            record.value.data = vec![0; bytes].into();
        }
        event
    }

    #[tokio::test]
    async fn few_large_changes_make_a_watcher_lag_as_many_small_ones_do() {
        let hub = Hub::new(0, 512);
        let (mut slow, _) = hub.subscribe("/", 0);
        let (mut quick, _) = hub.subscribe("/", 0);
        hub.publish(1, &[large(1, WATCH_BYTES + 1)]);
        for live in [&mut slow, &mut quick] {
            assert!(live.next().await.unwrap().is_ok(), "one may always wait");
        }
        for version in 2..10 {
            hub.publish(version, &[large(version, WATCH_BYTES / 4)]);
            assert_eq!(quick.next().await.unwrap().unwrap().event().version(), version);
        }
        for version in 2..6 {
            assert_eq!(slow.next().await.unwrap().unwrap().event().version(), version);
        }
        assert!(matches!(slow.next().await, Some(Err(Error::Lagged))));
        assert!(slow.next().await.is_none());
    }
}
