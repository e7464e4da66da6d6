//! Effects in the order of the decisions that they come from.
//!
//! Several tasks change the fleet, and each hands in what its change asks for while it still
//! holds the fleet's lock. Whoever comes first carries out everything that is there; whoever
//! finds it at work leaves its own to it and goes on. So nobody waits, and nothing overtakes: an
//! instance is never given to the gateway after it was taken from it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is to be carried out, one after the other. It holds at most one entry per task that is
/// between its change and [`Outbox::work_off`].
pub(super) struct Outbox<T> {
    inner: Mutex<Inner<T>>,
}

struct Inner<T> {
    waiting: VecDeque<T>,
    at_work: bool,
}

impl<T> Outbox<T> {
    pub(super) fn new() -> Self {
        Self { inner: Mutex::new(Inner { waiting: VecDeque::new(), at_work: false }) }
    }

    /// Hands something in. Must be called in the order in which it is to be carried out.
    pub(super) fn push(&self, item: T) {
        self.lock().waiting.push_back(item);
    }

    /// Carries out everything that is there, unless somebody does: then that one goes on with it.
    pub(super) fn work_off(&self, mut work: impl FnMut(T)) {
        while let Some((item, _turn)) = self.begin() {
            work(item);
        }
    }

    fn begin(&self) -> Option<(T, Turn<'_, T>)> {
        let mut inner = self.lock();
        if inner.at_work {
            return None;
        }
        let item = inner.waiting.pop_front()?;
        inner.at_work = true;
        Some((item, Turn(self)))
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody is at work; given back even by one that panics.
struct Turn<'a, T>(&'a Outbox<T>);

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        self.0.lock().at_work = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_meanwhile_is_carried_out_after_and_by_the_same() {
        let (outbox, mut done) = (Outbox::new(), Vec::new());
        outbox.push(1);
        outbox.work_off(|n| {
            if n == 1 {
                outbox.push(2);
                outbox.work_off(|n| panic!("{n} overtook what is being carried out"));
            }
            done.push(n);
        });
        assert_eq!(done, [1, 2]);
    }

    #[test]
    fn a_panic_does_not_stop_it_for_good() {
        let outbox = Outbox::new();
        outbox.push(1);
        outbox.push(2);
        let work = || outbox.work_off(|_| panic!("on purpose"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err());
        let mut done = Vec::new();
        outbox.work_off(|n| done.push(n));
        assert_eq!(done, [2]);
    }
}
