//! Whose turn it is to change an object: changes of one object are made one after the other, first
//! come, first served.
//!
//! A change reads the object, makes its new form and commits that if the object is still the one
//! that was read. Without turns, all but one of many changes at once would have read in vain each
//! time, and the unlucky ones would be refused in the end. Correctness does not rest on this: the
//! commit still checks the version, as controllers write without asking here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The objects that are being changed. Who waits here has a seat of its level, which bounds how many
/// there are.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<BTreeMap<String, Queue>>);

#[derive(Debug)]
struct Queue {
    /// Has one permit.
    turn: Arc<Semaphore>,
    /// Those who wait, and the one whose turn it is.
    there: usize,
}

/// The right to change one object, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    // Passed on before the place is left.
    _permit: Option<OwnedSemaphorePermit>,
    _place: Place,
}

/// A place in the queue of an object.
#[derive(Debug)]
struct Place {
    all: Arc<Turns>,
    key: String,
}

impl Turns {
    /// Waits until nobody else changes the object with this key.
    pub(crate) async fn take(self: &Arc<Self>, key: String) -> Turn {
        let (turn, place) = self.enter(key);
        // It is never closed; if it were, the commit's own check would remain.
        let permit = turn.acquire_owned().await.ok();
        Turn { _permit: permit, _place: place }
    }

    fn enter(self: &Arc<Self>, key: String) -> (Arc<Semaphore>, Place) {
        let mut queues = self.lock();
        let queue = queues
            .entry(key.clone())
            .or_insert_with(|| Queue { turn: Arc::new(Semaphore::new(1)), there: 0 });
        queue.there += 1;
        (Arc::clone(&queue.turn), Place { all: Arc::clone(self), key })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Queue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut queues = self.all.lock();
        if let Some(queue) = queues.get_mut(&self.key) {
            queue.there -= 1;
            if queue.there == 0 {
                queues.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_after_the_other_in_the_order_of_coming() {
        let turns = Arc::new(Turns::default());
        let first = turns.take("a".to_owned()).await;
        let _other = turns.take("b".to_owned()).await;
        let mut second = Box::pin(turns.take("a".to_owned()));
        let mut third = Box::pin(turns.take("a".to_owned()));
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut third).now_or_never().is_none());
        drop(first);
        assert!((&mut third).now_or_never().is_none(), "it is not its turn yet");
        let second = second.now_or_never().unwrap();
        drop(second);
        assert!(third.now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_goes_away_holds_nobody_up() {
        let turns = Arc::new(Turns::default());
        let first = turns.take("a".to_owned()).await;
        let mut second = Box::pin(turns.take("a".to_owned()));
        assert!((&mut second).now_or_never().is_none());
        drop(second);
        drop(first);
        assert!(turns.take("a".to_owned()).now_or_never().is_some());
        assert!(turns.lock().is_empty(), "nothing is remembered of those who are done");
    }
}
