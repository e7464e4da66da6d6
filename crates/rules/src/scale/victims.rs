//! Which instances go.

use ebb_model::Timestamp;

/// An instance that could be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Whether it takes requests.
    pub ready: bool,
    /// Requests that it works on.
    pub in_flight: u32,
    /// When it was started.
    pub started: Timestamp,
}

/// Indexes of `count` instances to stop, the first to stop first: those not ready yet, then those
/// with fewest requests in flight, so never a busy one while an idle one is there. Among equals
/// the youngest goes: the oldest has warm caches.
pub fn victims(candidates: &[Candidate], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by_key(|&i| {
        let c = candidates[i];
        (c.ready, c.in_flight, std::cmp::Reverse(c.started), std::cmp::Reverse(i))
    });
    order.truncate(count);
    order
}
