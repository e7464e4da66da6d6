//! The only place that asks the machine for the time.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use ebb_model::Timestamp;

/// Tells the time. Shared as `Arc<dyn Clock>`.
pub trait Clock: Send + Sync {
    /// The time now. Never goes backwards within one process.
    fn now(&self) -> Timestamp;
}

/// The machine's time: the wall clock at start, advanced by the monotonic clock, so that a step of
/// the wall clock cannot disturb a running platform.
#[derive(Debug)]
pub struct SystemClock {
    base: Timestamp,
    start: Instant,
}

impl SystemClock {
    /// Reads the wall clock once.
    #[allow(clippy::disallowed_methods)] // this is the implementation behind the ban
    pub fn new() -> Self {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let base = Timestamp::default().plus(since_epoch.unwrap_or(Duration::ZERO));
        Self { base, start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.base.plus(self.start.elapsed())
    }
}

/// A clock that stands still until it is moved; for tests and simulation.
#[derive(Debug, Default)]
pub struct ManualClock {
    now: Mutex<Timestamp>,
}

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { now: Mutex::new(now) }
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let mut now = self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *now = now.plus(by);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
