//! What ends a daemon at an await point, chosen by counting polls.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;

use ebb_kit::Gate;
use tokio::sync::Notify;

use crate::lock;

/// Counts every poll of the daemon's tasks. At a chosen count nothing of it goes on any more.
#[derive(Debug)]
pub(crate) struct Cut {
    polls: AtomicU64,
    limit: AtomicU64,
    dead: AtomicBool,
    ended: Notify,
    at: Mutex<&'static str>,
    panics: Mutex<Vec<String>>,
}

impl Cut {
    /// A daemon that goes on for ever.
    pub(crate) const fn new() -> Self {
        Self {
            polls: AtomicU64::new(0),
            limit: AtomicU64::new(u64::MAX),
            dead: AtomicBool::new(false),
            ended: Notify::const_new(),
            at: Mutex::new(""),
            panics: Mutex::new(Vec::new()),
        }
    }

    /// The daemon ends when so many further polls were made.
    pub(crate) fn after(&self, polls: u64) {
        let now = self.polls.load(Ordering::Relaxed);
        self.limit.store(now.saturating_add(polls), Ordering::Relaxed);
    }

    /// It goes on after all.
    pub(crate) fn never(&self) {
        self.limit.store(u64::MAX, Ordering::Relaxed);
    }

    /// The daemon ends now.
    pub(crate) fn now(&self) {
        self.dead.store(true, Ordering::Relaxed);
        self.ended.notify_waiters();
    }

    /// Whether the daemon has ended.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// Answers when the daemon has ended.
    pub(crate) async fn ended(&self) {
        loop {
            let ended = self.ended.notified();
            if self.is_dead() {
                return;
            }
            ended.await;
        }
    }

    /// The task that was about to go on when the daemon ended.
    pub(crate) fn at(&self) -> &'static str {
        *lock(&self.at)
    }

    /// Panics of tasks since the last call.
    pub(crate) fn panics(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.panics))
    }
}

/// Polls `work` so many times, then drops it where it waits, and answers none.
pub(crate) async fn for_polls<T>(polls: u64, work: impl Future<Output = T>) -> Option<T> {
    let (mut work, mut left) = (Box::pin(work), polls);
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        work.as_mut().poll(context).map(Some)
    })
    .await
}

impl Gate for Cut {
    fn enter(&self, task: &'static str) -> bool {
        if self.is_dead() {
            return false;
        }
        let polls = self.polls.fetch_add(1, Ordering::Relaxed);
        if polls < self.limit.load(Ordering::Relaxed) {
            return true;
        }
        *lock(&self.at) = task;
        self.now();
        false
    }

    fn panicked(&self, task: &'static str, message: &str) {
        lock(&self.panics).push(format!("{task}: {message}"));
    }
}
