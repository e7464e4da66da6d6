//! The time that a request has.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep};

/// A timer that the requests of one connection share, one after the other. Setting a timer for
/// every request costs more than waking needlessly once per timeout, so it is set anew only when
/// it fires too early or would fire too late.
pub(crate) type Timer = Mutex<Option<Pin<Box<Sleep>>>>;

/// When a request's time is over.
pub(crate) struct Deadline {
    at: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
    home: Arc<Timer>,
}

impl Deadline {
    pub(crate) fn new(at: Instant, home: &Arc<Timer>) -> Self {
        let sleep = home.lock().unwrap_or_else(PoisonError::into_inner).take();
        Self { at, sleep, home: Arc::clone(home) }
    }

    /// Ready when the time is over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let at = self.at;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if sleep.deadline() > at {
            sleep.as_mut().reset(at);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= at {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
        Poll::Pending
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        if let Some(sleep) = self.sleep.take() {
            *self.home.lock().unwrap_or_else(PoisonError::into_inner) = Some(sleep);
        }
    }
}
