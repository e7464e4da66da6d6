//! Bounded histories that many readers follow, each at its own pace.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A history of numbered items. Numbers start at 1 and rise by one; the oldest items are dropped
/// once there are more than `keep`.
#[derive(Debug)]
pub(crate) struct Journal<T> {
    inner: Mutex<Inner<T>>,
    changed: Changed,
    keep: usize,
}

#[derive(Debug)]
struct Inner<T> {
    items: VecDeque<T>,
    last: u64,
    closed: bool,
}

/// Counts changes, and wakes readers in the order in which they wait: a `tokio::sync::watch` wakes
/// them in random order, and chance has no part in a simulation.
#[derive(Clone, Debug, Default)]
struct Changed(Arc<(AtomicU64, Notify)>);

impl Changed {
    fn tell(&self) {
        self.0.0.fetch_add(1, Ordering::AcqRel);
        self.0.1.notify_waiters();
    }

    fn version(&self) -> u64 {
        self.0.0.load(Ordering::Acquire)
    }
}

/// Tells one reader of changes.
#[derive(Debug)]
pub(crate) struct Changes {
    changed: Changed,
    seen: u64,
}

impl Changes {
    /// Answers when there was a change since the last call, or since it was made.
    pub(crate) async fn changed(&mut self) {
        loop {
            let told = self.changed.0.1.notified();
            let version = self.changed.version();
            if version != self.seen {
                self.seen = version;
                return;
            }
            told.await;
        }
    }
}

/// What a reader finds after a given number.
pub(crate) enum After<T> {
    /// These items, in order; perhaps none yet.
    Items(Vec<T>),
    /// Nothing, and nothing will follow.
    End,
    /// Some items were dropped; the oldest kept one has this number.
    Lost(u64),
}

impl<T: Clone> Journal<T> {
    /// An empty history that keeps `keep` items.
    pub(crate) fn new(keep: usize) -> Self {
        let inner = Inner { items: VecDeque::new(), last: 0, closed: false };
        Self { inner: Mutex::new(inner), changed: Changed::default(), keep: keep.max(1) }
    }

    /// Appends the item that `make` builds from its number.
    pub(crate) fn append(&self, make: impl FnOnce(u64) -> T) {
        let mut inner = self.lock();
        inner.last += 1;
        let item = make(inner.last);
        inner.items.push_back(item);
        if inner.items.len() > self.keep {
            inner.items.pop_front();
        }
        drop(inner);
        self.changed.tell();
    }

    /// Nothing will follow.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.tell();
    }

    /// What there is after number `since`.
    pub(crate) fn after(&self, since: u64) -> After<T> {
        let inner = self.lock();
        let oldest = inner.last - inner.items.len() as u64 + 1;
        if since >= inner.last {
            return if inner.closed { After::End } else { After::Items(Vec::new()) };
        }
        if since + 1 < oldest {
            return After::Lost(oldest);
        }
        let skip = usize::try_from(since + 1 - oldest).unwrap_or(usize::MAX);
        After::Items(inner.items.iter().skip(skip).cloned().collect())
    }

    /// All that is kept, with the number of the last one.
    pub(crate) fn kept(&self) -> (Vec<T>, u64) {
        let inner = self.lock();
        (inner.items.iter().cloned().collect(), inner.last)
    }

    /// Tells about changes from now on.
    pub(crate) fn watch(&self) -> Changes {
        Changes { changed: self.changed.clone(), seen: self.changed.version() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
