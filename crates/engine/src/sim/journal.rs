//! Bounded histories that many readers follow, each at its own pace.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// A history of numbered items. Numbers start at 1 and rise by one; the oldest items are dropped
/// once there are more than `keep`.
#[derive(Debug)]
pub(crate) struct Journal<T> {
    inner: Mutex<Inner<T>>,
    changed: watch::Sender<u64>,
    keep: usize,
}

#[derive(Debug)]
struct Inner<T> {
    items: VecDeque<T>,
    last: u64,
    closed: bool,
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
        Self { inner: Mutex::new(inner), changed: watch::Sender::new(0), keep: keep.max(1) }
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
        self.changed.send_modify(|version| *version += 1);
    }

    /// Nothing will follow.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.send_modify(|version| *version += 1);
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
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
