//! A revision at the gateway: its instances, the requests that wait for one, and exact counters.
//!
//! One short lock per revision guards all of it, so the concurrency limit, the order of the
//! queue and the counters are exact. Whatever a request holds is a guard ([`Permit`],
//! [`Waiter`]) whose drop gives it back, so nothing leaks on any way out.

mod instances;
mod permit;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ebb_kit::Clock;
use ebb_model::routing::{Load, RequestPolicy};
use ebb_model::{RevisionKey, Timestamp};
use ebb_rules::balance::{self, Candidate};
use ebb_rules::hold::{self, Admit};
use tokio::sync::oneshot;

use crate::answer::Answer;
use crate::instance::{Instance, Trust};

pub(crate) use permit::{Permit, Waiter};

/// What a request that waited is given.
type Grant = Result<Permit, Answer>;

pub(crate) struct Revision {
    pub(crate) key: RevisionKey,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    policy: RequestPolicy,
    /// Instances that take requests.
    ready: Vec<Arc<Instance>>,
    /// Instances that only end what they began.
    leaving: Vec<Arc<Instance>>,
    /// Requests that wait, the lowest ticket first. A request has one ticket for its whole life,
    /// and no other request ever has the same, so it comes back to its own place and leaving the
    /// queue late never takes another one along.
    queue: BTreeMap<u64, oneshot::Sender<Grant>>,
    next_ticket: u64,
    rotation: usize,
    in_flight: u32,
    last_active: Option<Timestamp>,
    /// The gateway no longer knows of it: whoever still has it must look for its place anew.
    forgotten: bool,
}

/// How a request enters a revision.
pub(crate) enum Entry {
    /// An instance takes it now.
    Send(Permit),
    /// It waits. `cold`: because no instance is ready at all.
    Wait { waiter: Waiter, cold: bool },
    /// As many wait as may.
    Refused(Answer),
}

impl Revision {
    pub(crate) fn new(key: RevisionKey, clock: Arc<dyn Clock>) -> Arc<Self> {
        // Until a route names the revision nobody asks it for anything.
        let policy = RequestPolicy { concurrency: 0, timeout_ms: 0, hold_limit: 0 };
        Arc::new(Self {
            key,
            clock,
            state: Mutex::new(State {
                policy,
                ready: Vec::new(),
                leaving: Vec::new(),
                queue: BTreeMap::new(),
                next_ticket: 0,
                rotation: 0,
                in_flight: 0,
                last_active: None,
                forgotten: false,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets how its requests are held and sent.
    pub(crate) fn set_policy(self: &Arc<Self>, policy: RequestPolicy) {
        self.state().policy = policy;
        self.pump();
    }

    /// A request arrives. Nothing when the revision was forgotten since its route was read: the
    /// routes say where to go now.
    pub(crate) fn enter(self: &Arc<Self>, now: Timestamp) -> Option<Entry> {
        let mut state = self.state();
        if state.forgotten {
            return None;
        }
        state.last_active = Some(now);
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        let chosen = if state.queue.is_empty() { state.choose() } else { None };
        let held = u32::try_from(state.queue.len()).unwrap_or(u32::MAX);
        let limits = hold::Limits { held: state.policy.hold_limit };
        let queue = hold::QueueState { held, free: chosen.is_some() };
        Some(match (hold::admit(&limits, &queue), chosen) {
            (Admit::Send, Some(instance)) => {
                Entry::Send(Permit::take(self, &mut state, instance, ticket))
            }
            (Admit::Refuse, _) => Entry::Refused(Answer::overloaded(limits.held)),
            _ => {
                let cold = state.ready.is_empty();
                Entry::Wait { waiter: Waiter::join(self, &mut state, ticket), cold }
            }
        })
    }

    /// A request comes back unsent and gives its place at the instance for its old one in the
    /// queue, or for a place at another instance: all who wait came after it, or came back too.
    pub(crate) fn reenter(self: &Arc<Self>, permit: Permit) -> Entry {
        let mut state = self.state();
        let ticket = permit.return_to(&mut state);
        let entry = if let Some(instance) = state.choose() {
            Entry::Send(Permit::take(self, &mut state, instance, ticket))
        } else {
            let cold = state.ready.is_empty();
            Entry::Wait { waiter: Waiter::join(self, &mut state, ticket), cold }
        };
        drop(state);
        self.pump();
        entry
    }

    /// Gives free places to those who wait, first come first served.
    fn pump(self: &Arc<Self>) {
        loop {
            let mut state = self.state();
            if state.queue.is_empty() {
                return;
            }
            let Some(instance) = state.choose() else { return };
            let Some((ticket, waiter)) = state.queue.pop_first() else { return };
            let permit = Permit::take(self, &mut state, instance, ticket);
            drop(state);
            if let Err(Ok(permit)) = waiter.send(Ok(permit)) {
                permit.give_back();
            }
        }
    }

    /// Fails every request that waits.
    pub(crate) fn fail_held(&self, code: &str, message: &str) {
        let held = std::mem::take(&mut self.state().queue);
        for waiter in held.into_values() {
            // One that has just gone away needs no answer.
            let _ = waiter.send(Err(Answer::held_failed(code, message)));
        }
    }

    pub(crate) fn load(&self) -> Load {
        let state = self.state();
        Load {
            held: u32::try_from(state.queue.len()).unwrap_or(u32::MAX),
            in_flight: state.in_flight,
            last_active: state.last_active,
        }
    }

    /// Forgets it if nothing depends on it any more, and answers whether that was so. From then
    /// on it takes no request: one that waited there would be seen by nobody.
    pub(crate) fn forget(&self) -> bool {
        let mut state = self.state();
        state.forgotten = state.in_flight == 0
            && state.queue.is_empty()
            && state.ready.is_empty()
            && state.leaving.is_empty();
        state.forgotten
    }
}

impl State {
    fn choose(&mut self) -> Option<Arc<Instance>> {
        let limit = self.policy.concurrency;
        let candidates = self.ready.iter().map(|instance| Candidate {
            open: matches!(instance.trust.get(), Trust::Full | Trust::Probe),
            in_flight: instance.load(),
            limit,
        });
        let chosen = balance::choose(candidates, self.rotation)?;
        self.rotation = chosen + 1;
        let instance = self.ready.get(chosen)?;
        if instance.trust.get() == Trust::Probe {
            instance.trust.set(Trust::Probing);
        }
        Some(Arc::clone(instance))
    }
}
