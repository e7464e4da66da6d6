//! Which revision a request goes to.

#[cfg(test)]
mod tests;

use ebb_model::routing::RouteTarget;

/// Step between two consecutive requests on the circle of 100 slots: the whole number nearest to
/// 100 / golden ratio that has no factor in common with 100. Having none, any 100 consecutive
/// requests meet each slot once; being near the golden ratio, short runs are spread evenly too.
const STEP: u64 = 61;

/// Picks the target of request number `n` of a route. Shares are exact over every 100 requests
/// in a row. Shares that do not sum to 100 are taken relative to their sum. None when nothing
/// has a share.
pub fn pick(targets: &[RouteTarget], n: u64) -> Option<&RouteTarget> {
    index(targets, n).and_then(|i| targets.get(i))
}

/// As [`pick`], but its index.
pub fn index(targets: &[RouteTarget], n: u64) -> Option<usize> {
    if let [only] = targets {
        return (only.percent > 0).then_some(0);
    }
    let sum: u64 = targets.iter().map(|target| u64::from(target.percent)).sum();
    let step = if sum == 100 { STEP } else { 1 };
    let mut slot = n.checked_rem(sum)? * step % sum;
    targets.iter().position(|target| {
        let share = u64::from(target.percent);
        let hit = slot < share;
        slot = slot.saturating_sub(share);
        hit
    })
}
