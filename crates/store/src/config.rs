//! What can be chosen about a store, and the bounds of what it keeps.

use std::sync::Arc;
use std::time::Duration;

use ebb_kit::{Clock, SystemClock};

/// How long the key of a commit is remembered for [`crate::Commit::idempotency_key`]: a day, far
/// longer than any client repeats a request.
pub const IDEMPOTENCY_AGE: Duration = Duration::from_hours(24);

/// How long the audit row of a commit (actor, request id, time) is kept by [`crate::sqlite`].
pub const AUDIT_AGE: Duration = Duration::from_hours(30 * 24);

/// Events that may wait for one watcher before it lags. More than a burst of starts on one machine
/// makes (a few events for each of 1,000 instances), and at most some MiB of references.
pub const WATCH_QUEUE: usize = 4_096;

/// Bytes of values that may wait for one watcher before it lags (64 MiB), whatever their number: a
/// change may be as large as the largest value, twice. One change always may wait.
pub const WATCH_BYTES: usize = 64 << 20;

/// Bytes of values after which a scan ends early: enough for a page of ordinary objects, and little
/// memory for a page of large ones.
pub const SCAN_BYTES: usize = 8 << 20;

/// How much history is kept beside the newest records. A version is retained while it is both
/// young enough and among the newest.
///
/// Compaction runs now and then, so more than this may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Oldest age of a retained version.
    pub age: Duration,
    /// Most versions that are retained.
    pub versions: u64,
}

impl Retention {
    /// On disk: 10 minutes and 100,000 versions, so that a client that was away for a moment
    /// resumes and one that was away for long lists again.
    pub const DISK: Self = Self { age: Duration::from_mins(10), versions: 100_000 };

    /// In memory: 10 minutes and 20,000 versions, about 100 MiB at most at 5 KiB a Pod.
    pub const MEMORY: Self = Self { age: Duration::from_mins(10), versions: 20_000 };
}

/// What can be chosen about a store; the defaults are right outside tests.
#[derive(Clone)]
pub struct Options {
    /// Tells the age of versions and the time of audit rows.
    pub clock: Arc<dyn Clock>,
    /// How much history is kept.
    pub retention: Retention,
    /// Events that may wait for one watcher before it lags; at least 1.
    pub watch_queue: usize,
}

impl Options {
    /// The machine's clock, [`WATCH_QUEUE`] and this retention.
    pub fn new(retention: Retention) -> Self {
        Self { clock: Arc::new(SystemClock::new()), retention, watch_queue: WATCH_QUEUE }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("retention", &self.retention)
            .field("watch_queue", &self.watch_queue)
            .finish_non_exhaustive()
    }
}
