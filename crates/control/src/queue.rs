//! A queue of keys to work on: each key at most once, at its time, never twice at the same time.
//!
//! This is what makes reconciling level-triggered: a key says *that* something may have to be
//! done, never what. It is bounded by the number of keys that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ebb_kit::Clock;
use ebb_model::Timestamp;
use tokio::sync::Notify;

/// Keys with the time at which they are due.
pub(crate) struct WorkQueue<K> {
    state: Mutex<State<K>>,
    wake: Notify,
    clock: Arc<dyn Clock>,
}

struct State<K> {
    due: BTreeMap<K, Timestamp>,
    order: BTreeSet<(Timestamp, K)>,
    running: BTreeSet<K>,
    /// Added while being worked on: due again once that is done.
    again: BTreeMap<K, Timestamp>,
    tries: BTreeMap<K, u32>,
}

impl<K: Ord + Clone> WorkQueue<K> {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let state = State {
            due: BTreeMap::new(),
            order: BTreeSet::new(),
            running: BTreeSet::new(),
            again: BTreeMap::new(),
            tries: BTreeMap::new(),
        };
        Self { state: Mutex::new(state), wake: Notify::new(), clock }
    }

    /// Work on `key` now.
    pub(crate) fn add(&self, key: K) {
        self.add_at(key, self.clock.now());
    }

    /// Work on `key` after `wait`.
    pub(crate) fn add_after(&self, key: K, wait: Duration) {
        self.add_at(key, self.clock.now().plus(wait));
    }

    /// Work on `key` at `at`, or earlier when that was asked for before.
    pub(crate) fn add_at(&self, key: K, at: Timestamp) {
        let mut state = self.lock();
        if state.running.contains(&key) {
            let again = state.again.entry(key).or_insert(at);
            *again = (*again).min(at);
            return;
        }
        if state.put(key, at) {
            drop(state);
            self.wake.notify_one();
        }
    }

    /// The next key that is due. It must be given back with [`Self::done`] or [`Self::retry`].
    pub(crate) async fn next(&self) -> K {
        loop {
            let wait = match self.take() {
                Ok(key) => return key,
                Err(wait) => wait,
            };
            match wait {
                None => self.wake.notified().await,
                Some(wait) => {
                    let _ = tokio::time::timeout(wait, self.wake.notified()).await;
                }
            }
        }
    }

    /// The work on `key` succeeded.
    pub(crate) fn done(&self, key: &K) {
        let mut state = self.lock();
        state.tries.remove(key);
        if state.finish(key) {
            drop(state);
            self.wake.notify_one();
        }
    }

    /// The work on `key` failed: again after `wait(tries)`, where `tries` counts from 0.
    pub(crate) fn retry(&self, key: &K, wait: impl FnOnce(u32) -> Duration) {
        let mut state = self.lock();
        let tries = state.tries.entry(key.clone()).or_insert(0);
        let at = self.clock.now().plus(wait(*tries));
        *tries = tries.saturating_add(1);
        let again = state.again.entry(key.clone()).or_insert(at);
        *again = (*again).min(at);
        if state.finish(key) {
            drop(state);
            self.wake.notify_one();
        }
    }

    /// A key that is due, or how long to wait for one; none: until one is added.
    fn take(&self) -> Result<K, Option<Duration>> {
        let now = self.clock.now();
        let mut state = self.lock();
        let Some((at, key)) = state.order.first().cloned() else { return Err(None) };
        if at > now {
            return Err(Some(at.since(now).max(Duration::from_millis(1))));
        }
        state.order.remove(&(at, key.clone()));
        state.due.remove(&key);
        state.running.insert(key.clone());
        if !state.order.is_empty() {
            drop(state);
            self.wake.notify_one();
        }
        Ok(key)
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Ord + Clone> State<K> {
    /// Whether the key is new or due earlier than before.
    fn put(&mut self, key: K, at: Timestamp) -> bool {
        if let Some(before) = self.due.get(&key).copied() {
            if before <= at {
                return false;
            }
            self.order.remove(&(before, key.clone()));
        }
        self.due.insert(key.clone(), at);
        self.order.insert((at, key))
    }

    fn finish(&mut self, key: &K) -> bool {
        self.running.remove(key);
        self.again.remove(key).is_some_and(|at| self.put(key.clone(), at))
    }
}

#[cfg(test)]
mod tests {
    use ebb_kit::ManualClock;

    use super::*;

    fn queue() -> (Arc<ManualClock>, WorkQueue<&'static str>) {
        let clock = Arc::new(ManualClock::default());
        (clock.clone(), WorkQueue::new(clock))
    }

    #[tokio::test]
    async fn a_key_is_queued_once_and_never_worked_on_twice_at_a_time() {
        let (_, queue) = queue();
        queue.add("a");
        queue.add("a");
        assert_eq!(queue.next().await, "a");
        queue.add("a");
        assert!(queue.take().is_err(), "it is being worked on");
        queue.done(&"a");
        assert_eq!(queue.next().await, "a");
        queue.done(&"a");
        assert_eq!(queue.take(), Err(None));
    }

    #[tokio::test]
    async fn the_earliest_time_wins() {
        let (clock, queue) = queue();
        queue.add_after("a", Duration::from_secs(9));
        queue.add_after("a", Duration::from_secs(5));
        queue.add_after("a", Duration::from_secs(7));
        assert_eq!(queue.take(), Err(Some(Duration::from_secs(5))));
        clock.advance(Duration::from_secs(5));
        assert_eq!(queue.take(), Ok("a"));
        queue.done(&"a");
        assert_eq!(queue.take(), Err(None));
    }

    #[tokio::test]
    async fn retries_count_until_one_succeeds() {
        let (clock, queue) = queue();
        queue.add("a");
        for tries in 0..3 {
            assert_eq!(queue.take(), Ok("a"));
            queue.retry(&"a", |n| {
                assert_eq!(n, tries);
                Duration::from_secs(1)
            });
            assert_eq!(queue.take(), Err(Some(Duration::from_secs(1))));
            clock.advance(Duration::from_secs(1));
        }
        assert_eq!(queue.take(), Ok("a"));
        queue.done(&"a");
        queue.add("a");
        assert_eq!(queue.take(), Ok("a"));
        queue.retry(&"a", |n| {
            assert_eq!(n, 0, "a success starts the count anew");
            Duration::ZERO
        });
    }
}
