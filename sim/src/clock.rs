//! The time of the simulated machine: tokio's, which is paused, behind a wall clock that can step.

use std::sync::Mutex;
use std::time::Duration;

use ebb_kit::Clock;
use ebb_model::Timestamp;
use tokio::time::Instant;

use crate::lock;

/// When a simulation begins: 2023-11-14T22:13:20Z.
const START: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

/// A clock that keeps the promise of [`Clock`] towards each daemon: a process reads the wall clock
/// once, so a step of it is seen by the next process only.
#[derive(Debug)]
pub(crate) struct SimClock {
    base: Mutex<Base>,
}

#[derive(Debug)]
struct Base {
    wall: Timestamp,
    at: Instant,
}

impl SimClock {
    /// A clock that shows the start. Needs a runtime.
    pub(crate) fn new() -> Self {
        Self { base: Mutex::new(Base { wall: START, at: Instant::now() }) }
    }

    /// The wall clock is moved. Only to be called while no daemon runs.
    pub(crate) fn step(&self, by: Duration, back: bool) {
        let now = self.now();
        let mut base = lock(&self.base);
        let micros = u64::try_from(by.as_micros()).unwrap_or_default();
        base.wall = if back {
            Timestamp::from_micros(now.as_micros().saturating_sub(micros))
        } else {
            now.plus(by)
        };
        base.at = Instant::now();
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let base = lock(&self.base);
        base.wall.plus(base.at.elapsed())
    }
}
