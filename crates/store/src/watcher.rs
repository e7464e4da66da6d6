//! The receiving end of a watch.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;

use crate::{Error, WatchEvent};

/// A change as all its watchers see it: shared by them, not copied for each.
pub struct Change {
    event: WatchEvent,
    notes: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl Change {
    /// Shares an event.
    pub const fn new(event: WatchEvent) -> Self {
        Self { event, notes: OnceLock::new() }
    }

    /// What happened.
    pub const fn event(&self) -> &WatchEvent {
        &self.event
    }

    /// A place for what watchers derive from this change, so that the first who needs it makes it
    /// and the others find it. One type per store gets such a place; another gets an empty one
    /// each time.
    pub fn notes<T: Any + Send + Sync + Default>(&self) -> Arc<T> {
        let notes = self.notes.get_or_init(|| Arc::new(T::default()));
        Arc::clone(notes).downcast().unwrap_or_default()
    }
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Change").field("event", &self.event).finish_non_exhaustive()
    }
}

/// Where the changes of a [`Watcher`] come from. Implemented by stores and by wrappers of stores.
#[async_trait]
pub trait Source: Send {
    /// The next change. Dropping the future before it is ready loses nothing.
    async fn next(&mut self) -> Option<Result<Arc<Change>, Error>>;

    /// As [`Watcher::progress`].
    fn progress(&self) -> u64;
}

/// The receiving end of a watch.
///
/// The queue behind it is bounded: a watcher that does not keep up gets [`Error::Lagged`] once and
/// then nothing, and watches again from [`Watcher::progress`].
pub struct Watcher {
    source: Box<dyn Source>,
}

impl Watcher {
    /// From an implementation's own source.
    pub fn new(source: impl Source + 'static) -> Self {
        Self { source: Box::new(source) }
    }

    /// The next change; none when the store is closed, and after an error.
    ///
    /// It may be used in `select!`: dropping the future before it is ready loses no event.
    ///
    /// # Errors
    /// [`Error::Lagged`] when this watcher was too slow; [`Error::Compacted`] when it was so slow
    /// in replaying history that the rest of it is gone.
    pub async fn next(&mut self) -> Option<Result<WatchEvent, Error>> {
        let change = self.next_shared().await?;
        Some(change.map(|change| {
            Arc::try_unwrap(change).map_or_else(|shared| shared.event.clone(), |own| own.event)
        }))
    }

    /// As [`Watcher::next`], without a copy of its own.
    ///
    /// # Errors
    /// As [`Watcher::next`].
    pub async fn next_shared(&mut self) -> Option<Result<Arc<Change>, Error>> {
        self.source.next().await
    }

    /// The version of the whole store up to which this watcher has given out everything that it
    /// is about, whether or not there was anything. A watch from it repeats nothing and misses
    /// nothing; only in the middle of a commit, when some of its changes were given out and some
    /// were not, does it lie before that commit. Never goes back, and stands still after an error.
    pub fn progress(&self) -> u64 {
        self.source.progress()
    }
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher").field("progress", &self.progress()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Record, Value};

    #[test]
    fn notes_are_made_once_for_everybody() {
        let value = Value { storage_version: 1, sealed: false, data: bytes::Bytes::new() };
        let previous = Record { key: "/a".to_owned(), value, create_version: 1, version: 1 };
        let change = Change::new(WatchEvent::Delete { previous, version: 2 });
        assert_eq!(*change.notes::<OnceLock<u8>>().get_or_init(|| 1), 1);
        assert_eq!(*change.notes::<OnceLock<u8>>().get_or_init(|| 2), 1);
        assert_eq!(*change.notes::<OnceLock<u16>>().get_or_init(|| 3), 3, "another type");
    }
}
