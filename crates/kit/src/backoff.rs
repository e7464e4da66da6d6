//! Waiting times between tries.

use std::time::Duration;

/// Doubles from `first` to `most`, with full jitter from a number that the caller supplies, so
/// that it stays deterministic under test (AWS Architecture Blog, "Exponential Backoff And
/// Jitter", 2015: full jitter spreads retries best).
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// Upper bound of the first wait.
    pub first: Duration,
    /// Upper bound of any wait.
    pub most: Duration,
}

impl Backoff {
    /// Wait before try number `tries` (0 is the first retry); `random` is uniform in 0.0..1.0.
    pub fn wait(&self, tries: u32, random: f64) -> Duration {
        let bound = self.first.saturating_mul(1u32 << tries.min(30)).min(self.most);
        bound.mul_f64(random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_a_bound() {
        let backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(5) };
        let waits: Vec<u64> = (0..5).map(|n| backoff.wait(n, 1.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 5, 5]);
        assert_eq!(backoff.wait(3, 0.0), Duration::ZERO);
        assert_eq!(backoff.wait(u32::MAX, 1.0), Duration::from_secs(5));
    }
}
