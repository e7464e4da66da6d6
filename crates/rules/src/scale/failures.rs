//! Counting failures by tries, not by instances.

use ebb_model::Timestamp;

use super::backoff::wait;

/// Failed tries in a row.
///
/// Instances that are started together fail together: one fault, one failure. So what was begun
/// before the wait after the last failure was over belongs to the try that failed already, and
/// counts no further, however many there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    tries: u32,
    /// How many of them cost no wait.
    free: u32,
    last: Option<Timestamp>,
}

impl Failures {
    /// None so far; the first `free` in a row are followed by a new try at once.
    pub const fn forgiving(free: u32) -> Self {
        Self { tries: 0, free, last: None }
    }

    /// What was begun at `began` failed at `now`.
    pub fn failed(&mut self, began: Timestamp, now: Timestamp) {
        let next = self.last.map(|last| last.plus(wait(self.count())));
        if next.is_some_and(|next| began < next) {
            return;
        }
        self.tries = self.tries.saturating_add(1);
        self.last = Some(now);
    }

    /// One succeeded: the count starts anew.
    pub const fn succeeded(&mut self) {
        *self = Self::forgiving(self.free);
    }

    /// Failed tries in a row that are to be waited for; see [`super::Demand::failures`].
    pub const fn count(&self) -> u32 {
        self.tries.saturating_sub(self.free)
    }

    /// When the last of those failed; none when there is none.
    pub fn last(&self) -> Option<Timestamp> {
        self.last.filter(|_| self.count() > 0)
    }

    /// Whichever of the two makes for the longer wait.
    #[must_use]
    pub fn or_later(self, other: Self) -> Self {
        let next = |failures: Self| failures.last().map(|last| last.plus(wait(failures.count())));
        if next(other) > next(self) { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(1_000_000).plus(Duration::from_millis(millis))
    }

    #[test]
    fn a_batch_that_fails_is_one_failure() {
        let mut failures = Failures::default();
        for n in 0..12 {
            failures.failed(at(0), at(n * 3));
        }
        assert_eq!((failures.count(), failures.last()), (1, Some(at(0))));
        // Begun while the wait of one second ran: not a try of its own.
        failures.failed(at(999), at(1_100));
        assert_eq!(failures.count(), 1);
        failures.failed(at(1_000), at(1_200));
        assert_eq!((failures.count(), failures.last()), (2, Some(at(1_200))));
        failures.failed(at(3_199), at(3_300));
        assert_eq!(failures.count(), 2);
        failures.failed(at(3_200), at(3_300));
        assert_eq!(failures.count(), 3);
    }

    #[test]
    fn one_success_starts_anew() {
        let mut failures = Failures::default();
        failures.failed(at(0), at(1));
        failures.failed(at(2_000), at(2_001));
        failures.succeeded();
        assert_eq!((failures.count(), failures.last()), (0, None));
        failures.failed(at(2_000), at(2_002));
        assert_eq!(failures.count(), 1);
    }

    #[test]
    fn the_free_ones_cost_no_wait() {
        let mut crashes = Failures::forgiving(1);
        for _ in 0..12 {
            crashes.failed(at(0), at(5_000));
        }
        assert_eq!((crashes.count(), crashes.last()), (0, None));
        for _ in 0..12 {
            crashes.failed(at(5_000), at(6_000));
        }
        assert_eq!((crashes.count(), crashes.last()), (1, Some(at(6_000))));
        crashes.succeeded();
        crashes.failed(at(5_000), at(6_000));
        assert_eq!(crashes.count(), 0);
    }

    #[test]
    fn the_longer_wait_counts() {
        let (mut starts, mut crashes) = (Failures::default(), Failures::forgiving(1));
        starts.failed(at(0), at(0));
        crashes.failed(at(9_000), at(9_000));
        assert_eq!(starts.or_later(crashes), starts, "a free one is no wait");
        crashes.failed(at(9_000), at(9_500));
        assert_eq!(starts.or_later(crashes), crashes);
        assert_eq!(crashes.or_later(starts), crashes);
    }
}
