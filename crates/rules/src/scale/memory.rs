//! What `decide` remembers: the largest need of the last idle window, in bounded space.

use std::time::Duration;

use ebb_model::Timestamp;

/// Buckets that the idle window is cut into. A peak is forgotten at most one bucket (a 32nd of
/// the window, 1.9 s of 60 s) later than exactly one window after it was last needed.
const BUCKETS: usize = 32;

/// The largest need of each part of the last idle window. A plain value of fixed size (776 bytes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    buckets: [Bucket; BUCKETS],
}

/// A stretch of time with at least one need above zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bucket {
    /// Which stretch since the epoch.
    stretch: u64,
    /// When something was last needed in it; zero: never.
    last: Timestamp,
    /// Largest need in it.
    peak: u32,
}

impl Memory {
    /// Remembers that `need` instances were needed at `now`.
    pub(super) fn record(mut self, now: Timestamp, window: Duration, need: u32) -> Self {
        if need == 0 {
            return self;
        }
        let stretch = now.as_micros() / width(window);
        let buckets = self.buckets.len() as u64;
        let slot = usize::try_from(stretch % buckets).unwrap_or_default();
        let bucket = &mut self.buckets[slot];
        let peak = if bucket.stretch == stretch { bucket.peak.max(need) } else { need };
        *bucket = Bucket { stretch, last: now, peak };
        self
    }

    /// The largest need within the window before `now`, and when it will be forgotten.
    pub(super) fn peak(&self, now: Timestamp, window: Duration) -> (u32, Option<Timestamp>) {
        let live = self.buckets.iter().filter(|b| b.peak > 0 && b.last.plus(window) > now);
        live.fold((0, None), |(peak, until), bucket| {
            let ends = Some(bucket.last.plus(window));
            match bucket.peak.cmp(&peak) {
                std::cmp::Ordering::Greater => (bucket.peak, ends),
                std::cmp::Ordering::Equal => (peak, until.max(ends)),
                std::cmp::Ordering::Less => (peak, until),
            }
        })
    }
}

/// Microseconds of one bucket. One more bucket than the window needs, so that the ring never
/// overwrites a stretch that is still within the window.
fn width(window: Duration) -> u64 {
    let micros = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
    (micros / (BUCKETS as u64 - 1)).saturating_add(1)
}
