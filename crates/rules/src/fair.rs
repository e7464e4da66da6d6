//! Which requests of an API run now, which wait, and which are refused, so that expensive ones do
//! not keep cheap ones from being served.
//!
//! Requests are sorted into levels, and each level has seats of its own: what fills one level never
//! waits for, and never delays, another. A request takes as many seats as it is wide and gives them
//! back when it ends. Within a level it is first come, first served; also a wide request that is
//! next in line is not passed by narrow ones behind it, so everybody's turn comes. Who cannot have
//! a seat in time is refused, and a seat is lent for a bounded time, so that readers that stop
//! reading do not keep it for ever.

mod why;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ebb_model::Timestamp;

pub use why::Why;

/// What a level has to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Seats that may be taken at once; at least 1.
    pub seats: u32,
    /// Requests that may wait.
    pub queued: u32,
    /// Longest time that a request waits.
    pub wait: Duration,
    /// Longest time that a request keeps its seats.
    pub lease: Duration,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has its seats and runs.
    Run,
    /// It waits for its turn.
    Wait,
    /// It is not served.
    Refuse,
    /// It had its seats for as long as it may and has lost them.
    Revoke,
}

/// What was decided about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Which request.
    pub ticket: u64,
    /// What happens to it.
    pub verdict: Verdict,
    /// Why.
    pub why: Why,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    ticket: u64,
    width: u32,
    until: Timestamp,
}

/// The requests of one level that run and that wait.
#[derive(Clone, Debug)]
pub struct Level {
    limits: Limits,
    running: BTreeMap<u64, Turn>,
    waiting: VecDeque<Turn>,
}

/// Seats that a read of many objects takes: one, and one more for every `per_seat` objects that it
/// is expected to read, at most `max`. It is expected to read what the collection was last known to
/// hold, or its own limit if that is less.
pub fn width(limit: Option<u64>, known: u64, per_seat: u64, max: u32) -> u32 {
    let expected = limit.map_or(known, |limit| limit.min(known));
    let more = expected.checked_div(per_seat).unwrap_or(0);
    u32::try_from(more).unwrap_or(u32::MAX).saturating_add(1).min(max.max(1))
}

impl Level {
    /// A level in which nothing runs.
    pub const fn new(limits: Limits) -> Self {
        Self { limits, running: BTreeMap::new(), waiting: VecDeque::new() }
    }

    /// Seats that are taken.
    pub fn taken(&self) -> u32 {
        self.running.values().map(|turn| turn.width).sum()
    }

    /// Requests that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the request has seats.
    pub fn runs(&self, ticket: u64) -> bool {
        self.running.contains_key(&ticket)
    }

    /// Decides about a new request. No request may use the ticket of another. One that is wider
    /// than the level is as wide as the level.
    pub fn arrive(&mut self, ticket: u64, width: u32, now: Timestamp) -> Decision {
        let Limits { seats, queued, wait, .. } = self.limits;
        let width = width.clamp(1, seats.max(1));
        let (taken, waiting) = (self.taken(), self.waiting.len());
        if waiting == 0 && self.fits(width) {
            self.run(ticket, width, now);
            let why = Why::SeatsFree { taken, seats };
            return Decision { ticket, verdict: Verdict::Run, why };
        }
        if waiting >= usize::try_from(queued).unwrap_or(usize::MAX) {
            let why = Why::QueueFull { queued };
            return Decision { ticket, verdict: Verdict::Refuse, why };
        }
        self.waiting.push_back(Turn { ticket, width, until: now.plus(wait) });
        let why = Why::SeatsTaken { taken, seats, ahead: waiting };
        Decision { ticket, verdict: Verdict::Wait, why }
    }

    /// A request ended, or does not wait any longer. Answers who runs now in its place.
    pub fn leave(&mut self, ticket: u64, now: Timestamp) -> Vec<Decision> {
        if self.running.remove(&ticket).is_none() {
            self.waiting.retain(|turn| turn.ticket != ticket);
        }
        self.seat(now)
    }

    /// Takes back what was lent for too long, refuses who waited for too long, and answers all that
    /// this changes.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Decision> {
        let mut decisions = Vec::new();
        let over: Vec<u64> = self
            .running
            .values()
            .filter(|turn| turn.until <= now)
            .map(|turn| turn.ticket)
            .collect();
        for ticket in over {
            self.running.remove(&ticket);
            let why = Why::LeaseOver { lease: self.limits.lease };
            decisions.push(Decision { ticket, verdict: Verdict::Revoke, why });
        }
        decisions.extend(self.seat(now));
        // They came in order and wait equally long, so the first is the first to be over.
        while let Some(turn) = self.waiting.front().copied().filter(|turn| turn.until <= now) {
            self.waiting.pop_front();
            let why = Why::WaitedTooLong { wait: self.limits.wait };
            decisions.push(Decision { ticket: turn.ticket, verdict: Verdict::Refuse, why });
            decisions.extend(self.seat(now));
        }
        decisions
    }

    /// When [`Level::tick`] has something to do next.
    pub fn next_tick(&self) -> Option<Timestamp> {
        let waiting = self.waiting.front().map(|turn| turn.until);
        self.running.values().map(|turn| turn.until).chain(waiting).min()
    }

    fn fits(&self, width: u32) -> bool {
        self.taken().saturating_add(width) <= self.limits.seats.max(1)
    }

    fn run(&mut self, ticket: u64, width: u32, now: Timestamp) {
        let until = now.plus(self.limits.lease);
        self.running.insert(ticket, Turn { ticket, width, until });
    }

    /// Gives free seats to those whose turn it is.
    fn seat(&mut self, now: Timestamp) -> Vec<Decision> {
        let mut decisions = Vec::new();
        while let Some(turn) = self.waiting.front().copied().filter(|turn| self.fits(turn.width)) {
            self.waiting.pop_front();
            let why = Why::SeatsFree { taken: self.taken(), seats: self.limits.seats };
            self.run(turn.ticket, turn.width, now);
            decisions.push(Decision { ticket: turn.ticket, verdict: Verdict::Run, why });
        }
        decisions
    }
}
