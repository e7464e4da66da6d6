//! Restraint after failed starts.

use std::time::Duration;

use ebb_model::Timestamp;

use super::{Decision, Demand, Why};

/// Wait after the first failed try; doubled after each further one.
const FIRST: Duration = Duration::from_secs(1);
/// Longest wait between two tries.
const MOST: Duration = Duration::from_mins(1);

/// Wait after `failures` failed tries in a row. Without jitter: one platform starts instances
/// of one revision one at a time here, so there is no herd to spread.
pub(super) fn wait(failures: u32) -> Duration {
    let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
    let doublings = doublings.min(16);
    FIRST.saturating_mul(1 << doublings).min(MOST)
}

/// Lowers a wish to start while starts fail. Instances that are there are never taken away by it.
pub(super) fn restrain(decision: Decision, demand: &Demand, now: Timestamp) -> Decision {
    let need = decision.want;
    if demand.failures == 0 || need <= demand.have() {
        return decision;
    }
    let failures = demand.failures;
    let retry_at = demand.last_failure.unwrap_or_default().plus(wait(failures));
    if retry_at > now {
        let again_at = decision.again_at.map_or(retry_at, |at| at.min(retry_at));
        let why = Why::Backoff { failures, retry_at, need };
        return Decision { want: demand.have(), why, again_at: Some(again_at) };
    }
    let want = demand.have().max(demand.ready.saturating_add(1));
    if want >= need {
        return decision;
    }
    Decision { want, why: Why::OneAtATime { failures, need }, ..decision }
}
