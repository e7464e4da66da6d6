//! What a request holds: a place at an instance, or a place in the queue.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::{Grant, Revision, State};
use crate::answer::Answer;
use crate::instance::{Instance, Trust};

/// A place at an instance. Dropping it gives the place to the next who waits.
pub(crate) struct Permit {
    revision: Arc<Revision>,
    instance: Arc<Instance>,
    /// Where the request waited or would have waited.
    ticket: u64,
    /// It tries alone whether the instance takes connections again.
    probe: bool,
    /// It was given back already.
    returned: bool,
    /// Whether dropping it looks for the next who waits.
    pump: bool,
}

impl Permit {
    pub(super) fn take(
        revision: &Arc<Revision>,
        state: &mut State,
        instance: Arc<Instance>,
        ticket: u64,
    ) -> Self {
        state.in_flight += 1;
        instance.in_flight.fetch_add(1, Ordering::Relaxed);
        // Only one request at a time is given to an instance that is tried again.
        let probe = instance.trust.get() == Trust::Probing;
        let (returned, pump) = (false, true);
        Self { revision: Arc::clone(revision), instance, ticket, probe, returned, pump }
    }

    pub(crate) const fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    /// Gives the place back under the lock of the revision, and answers the ticket. The caller
    /// looks for the next.
    pub(super) fn return_to(mut self, state: &mut State) -> u64 {
        self.returned = true;
        self.release(state);
        self.ticket
    }

    fn release(&self, state: &mut State) {
        state.in_flight -= 1;
        if self.instance.in_flight.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.instance.idle.notify_waiters();
        }
        if self.probe && self.instance.trust.get() == Trust::Probing {
            // It ended without a verdict, as when its client went away: let another one try.
            self.instance.trust.set(Trust::Probe);
        }
    }

    /// Gives the place back without looking for the next: the caller does that.
    pub(super) fn give_back(mut self) {
        self.pump = false;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.returned {
            return;
        }
        let now = self.revision.clock.now();
        let mut state = self.revision.state();
        state.last_active = state.last_active.max(Some(now));
        self.release(&mut state);
        let pump = self.pump && !state.queue.is_empty();
        drop(state);
        if pump {
            self.revision.pump();
        }
    }
}

/// A place in the queue. Dropping it leaves the queue at once.
pub(crate) struct Waiter {
    revision: Arc<Revision>,
    ticket: u64,
    granted: oneshot::Receiver<Grant>,
}

impl Waiter {
    pub(super) fn join(revision: &Arc<Revision>, state: &mut State, ticket: u64) -> Self {
        let (grant, granted) = oneshot::channel();
        state.queue.insert(ticket, grant);
        Self { revision: Arc::clone(revision), ticket, granted }
    }

    /// Ready when an instance takes the request, or when it is not to wait any longer.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Grant> {
        Pin::new(&mut self.granted).poll(cx).map(|grant| {
            grant.unwrap_or_else(|_| {
                Err(Answer::held_failed("INTERNAL", "the queue of the revision was dropped"))
            })
        })
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let now = self.revision.clock.now();
        let mut state = self.revision.state();
        if state.queue.remove(&self.ticket).is_some() {
            state.last_active = state.last_active.max(Some(now));
        }
    }
}
