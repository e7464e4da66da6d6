//! Chance: what follows from the seed, and which faults it brings.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

use crate::lock;

/// How often, of 1,000 calls, something goes wrong with a store.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StoreRates {
    /// A read fails.
    pub(crate) read: u32,
    /// A commit fails for want of space.
    pub(crate) full: u32,
    /// A commit is refused.
    pub(crate) refused: u32,
    /// A commit happens, and its answer is lost.
    pub(crate) unknown: u32,
    /// A watch breaks at an event.
    pub(crate) watch_break: u32,
    /// A watch lags at an event.
    pub(crate) watch_lag: u32,
    /// An earlier version is no longer kept.
    pub(crate) too_old: u32,
}

/// How often, of 1,000 calls, something goes wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rates {
    /// A call of a store, the engine or the registry waits.
    pub(crate) slow: u32,
    /// What is declared.
    pub(crate) disk: StoreRates,
    /// What mirrors the machine.
    pub(crate) live: StoreRates,
    /// A client that watches goes away after a line.
    pub(crate) client_away: u32,
    /// A client does not wait for its answer.
    pub(crate) hang_up: u32,
    /// The engine refuses a start.
    pub(crate) start: u32,
    /// The engine starts an instance, and its answer is lost.
    pub(crate) start_unknown: u32,
    /// The engine refuses a stop.
    pub(crate) stop: u32,
    /// The engine refuses a list, a stream.
    pub(crate) engine: u32,
    /// The engine refuses a list.
    pub(crate) list: u32,
    /// The engine's stream of events breaks.
    pub(crate) event_break: u32,
    /// It breaks, and what came meanwhile is no longer kept.
    pub(crate) event_lost: u32,
    /// An image takes long.
    pub(crate) slow_pull: u32,
    /// An image cannot be had now.
    pub(crate) pull: u32,
}

/// One of the stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Which {
    /// What is declared: it outlives the daemon.
    Disk,
    /// What mirrors the machine: it ends with the daemon.
    Live,
}

impl Which {
    fn of(self, rates: &Rates) -> &StoreRates {
        match self {
            Self::Disk => &rates.disk,
            Self::Live => &rates.live,
        }
    }
}

/// The seeded source of every choice. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Chance {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    random: StdRng,
    rates: Rates,
    /// Until when a store neither answers nor takes anything.
    away: BTreeMap<Which, Instant>,
}

impl Chance {
    /// No faults yet.
    pub(crate) fn new(seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        let inner = Inner { random, rates: Rates::default(), away: BTreeMap::new() };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// From now on faults come as often as this.
    pub(crate) fn set(&self, rates: Rates) {
        lock(&self.inner).rates = rates;
    }

    /// A store is away for so long; for no time: it is there again.
    pub(crate) fn take_away(&self, store: Which, time: Duration) {
        lock(&self.inner).away.insert(store, Instant::now() + time);
    }

    /// Whether a store is away.
    pub(crate) fn is_away(&self, store: Which) -> bool {
        lock(&self.inner).away.get(&store).is_some_and(|until| Instant::now() < *until)
    }

    /// Whether this fault of a store comes now.
    pub(crate) fn store_fault(&self, store: Which, rate: impl Fn(&StoreRates) -> u32) -> bool {
        self.fault(|rates| rate(store.of(rates)))
    }

    /// Whether this fault comes now. Draws nothing when it cannot come.
    pub(crate) fn fault(&self, rate: impl Fn(&Rates) -> u32) -> bool {
        let mut inner = lock(&self.inner);
        let rate = rate(&inner.rates);
        rate > 0 && inner.random.random_range(0..1000) < rate
    }

    /// A number below `most`; 0 when that is 0.
    pub(crate) fn below(&self, most: u64) -> u64 {
        if most == 0 { 0 } else { lock(&self.inner).random.random_range(0..most) }
    }

    /// True once in `n` times.
    pub(crate) fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of these, which are not none.
    pub(crate) fn pick<T: Clone>(&self, of: &[T]) -> T {
        let at = self.below(of.len() as u64);
        of[usize::try_from(at).unwrap_or_default()].clone()
    }

    /// A time below `most`, in whole milliseconds.
    pub(crate) fn time(&self, most: Duration) -> Duration {
        Duration::from_millis(self.below(u64::try_from(most.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Lets others go on first, as a call to another process or a disk does: often not at all,
    /// sometimes for some milliseconds.
    pub(crate) async fn pause(&self) {
        if !self.fault(|rates| rates.slow) {
            return;
        }
        match self.below(4) {
            0 => tokio::time::sleep(self.time(Duration::from_millis(20))).await,
            _ => tokio::task::yield_now().await,
        }
    }
}
