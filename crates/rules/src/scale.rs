//! How many instances a revision wants, and which of them go when it wants fewer.
//!
//! The gateway counts every request, so demand is exact and needs no averaging to be acted on:
//! what is needed now is wanted now. Averages exist to not take instances away too early, and
//! here that is a rule of its own: what was needed within the idle window is kept.

mod backoff;
mod failures;
mod memory;
mod victims;
mod why;

#[cfg(test)]
mod tests;

use std::time::Duration;

use ebb_model::Timestamp;
use ebb_model::scaling::ScalePolicy;

pub use failures::Failures;
pub use memory::Memory;
pub use victims::{Candidate, victims};
pub use why::Why;

/// Requests that one instance is planned to take when its concurrency is unlimited (policy
/// value 0). The gateway never refuses on account of it; it only makes such a revision grow.
/// Knative's `container-concurrency-target-default`.
pub const UNLIMITED_TARGET: u32 = 100;

/// What is observed at a revision at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Requests that wait for an instance.
    pub held: u32,
    /// Requests that instances work on.
    pub in_flight: u32,
    /// Instances that take requests; not those that drain or stop.
    pub ready: u32,
    /// Instances that were started and are not ready yet.
    pub starting: u32,
    /// The revision has never been ready and one instance must prove that it can be.
    pub initial: bool,
    /// When the last request arrived or ended.
    pub last_active: Option<Timestamp>,
    /// Tries to start that failed in a row since an instance last became ready; see [`Failures`].
    pub failures: u32,
    /// When the last of those failed.
    pub last_failure: Option<Timestamp>,
}

impl Demand {
    /// Instances that are there: ready or starting.
    pub const fn have(&self) -> u32 {
        self.ready.saturating_add(self.starting)
    }

    /// Requests that are there: held or in flight.
    pub const fn requests(&self) -> u32 {
        self.held.saturating_add(self.in_flight)
    }
}

/// How many instances a revision wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Instances wanted, ready and starting together. Start `want - have` when it is more than
    /// there are, stop `have - want` (see [`victims`]) when it is less.
    pub want: u32,
    /// The rule that decided.
    pub why: Why,
    /// When to decide again even if nothing happens until then: the end of a backoff or of the
    /// idle window. None: only a change of demand can change the decision.
    pub again_at: Option<Timestamp>,
}

/// Decides how many instances a revision wants now.
///
/// - What the requests need now is wanted now: `ceil((held + in_flight) / concurrency)`, counted
///   against starting instances too, so asking again while they start wants no more of them.
/// - What was needed within the last idle window is kept, but never started anew.
/// - An instance is kept as long as any request arrived or ended within the idle window; after
///   that the revision goes to `min`, which may be zero.
/// - `min` and `max` bound it; where they contradict each other, `max` wins.
/// - A manual number outweighs all of that: there are so many, whatever the requests need.
/// - After failed starts nothing is started until the backoff has passed, and then one instance
///   at a time until one becomes ready.
///
/// A revision that takes no requests (nothing routes to it) is decided about with `min` 0.
pub fn decide(
    policy: &ScalePolicy,
    demand: &Demand,
    memory: Memory,
    now: Timestamp,
) -> (Decision, Memory) {
    let window = Duration::from_millis(policy.idle_ms);
    let need = need(policy, demand);
    let memory = memory.record(now, window, need.instances);
    if let Some(count) = policy.manual {
        let decision = Decision { want: count, why: Why::Manual { count }, again_at: None };
        return (backoff::restrain(decision, demand, now), memory);
    }
    let kept = keep(demand, &memory, now, window);

    let mut want = need.instances;
    let mut why = need.why;
    let mut again_at = None;
    if kept.instances > want {
        want = kept.instances;
        why = kept.why;
        again_at = kept.until;
    }
    if policy.min > want {
        want = policy.min;
        why = Why::Min { min: policy.min };
        again_at = None;
    }
    if policy.max > 0 && want > policy.max {
        why = Why::Max { need: want, max: policy.max };
        want = policy.max;
    }
    if again_at.is_none() && demand.have() > policy.min {
        again_at = kept.until;
    }
    let decision = Decision { want, why, again_at };
    (backoff::restrain(decision, demand, now), memory)
}

struct Need {
    instances: u32,
    why: Why,
}

fn need(policy: &ScalePolicy, demand: &Demand) -> Need {
    let concurrency = if policy.concurrency == 0 { UNLIMITED_TARGET } else { policy.concurrency };
    let instances = demand.requests().div_ceil(concurrency);
    let (held, in_flight) = (demand.held, demand.in_flight);
    if instances == 0 && demand.initial {
        return Need { instances: 1, why: Why::Initial };
    }
    let why = match (held, in_flight) {
        (0, 0) => Why::Idle { idle_ms: policy.idle_ms },
        (0, _) => Why::InFlight { in_flight, concurrency },
        _ => Why::HeldRequests { held, in_flight, concurrency },
    };
    Need { instances, why }
}

struct Kept {
    instances: u32,
    why: Why,
    until: Option<Timestamp>,
}

/// What stays although it is not needed now. Bounded by what is there: recent demand is a reason
/// to keep an instance, not to start one.
fn keep(demand: &Demand, memory: &Memory, now: Timestamp, window: Duration) -> Kept {
    let recent = demand.last_active.map(|at| at.plus(window)).filter(|until| *until > now);
    let (peak, peak_until) = memory.peak(now, window);
    let peak = if recent.is_some() { peak.max(1) } else { peak };
    let until = if peak <= 1 { peak_until.max(recent) } else { peak_until };
    let instances = peak.min(demand.have());
    Kept { instances, why: Why::RecentDemand { peak, until: until.unwrap_or(now) }, until }
}
