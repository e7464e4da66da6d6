//! The same work is done once: whoever comes second waits for the first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

/// Locks by name.
#[derive(Debug, Default)]
pub(super) struct Flights {
    running: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Flights {
    /// Waits until no one else works under `name`, and keeps others out until the answer is
    /// dropped. The caller looks again whether there is still something to do.
    pub(super) async fn enter(&self, name: String) -> OwnedMutexGuard<()> {
        let lock = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            // Those that nobody holds any more.
            running.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(running.entry(name).or_default())
        };
        lock.lock_owned().await
    }
}
