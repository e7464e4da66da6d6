//! A store that fails on purpose, for tests and simulation.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::{Commit, Error, Record, Scan, Store, Watcher};

/// A method of [`Store`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// [`Store::get`].
    Get,
    /// [`Store::scan`].
    Scan,
    /// [`Store::commit`].
    Commit,
    /// [`Store::watch`].
    Watch,
}

/// Passes calls on to the store inside, except those that were told to fail.
pub struct Faulty {
    inner: Arc<dyn Store>,
    plans: Mutex<Plans>,
}

#[derive(Default)]
struct Plans {
    calls: BTreeMap<Call, u64>,
    once: BTreeMap<(Call, u64), (Error, When)>,
    always: BTreeMap<Call, Error>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Before,
    After,
}

impl Faulty {
    /// Around `inner`; nothing fails yet.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, plans: Mutex::default() }
    }

    /// The `nth` such call from now on (1 is the next) has no effect and answers `error`.
    pub fn fail(&self, call: Call, nth: u64, error: Error) {
        self.plan(call, nth, error, When::Before);
    }

    /// The `nth` such call from now on (1 is the next) has its effect and answers `error`: the
    /// answer is lost, as when the caller's connection breaks after a commit.
    pub fn lose_answer(&self, call: Call, nth: u64, error: Error) {
        self.plan(call, nth, error, When::After);
    }

    /// Every such call answers `error` until [`Faulty::heal`].
    pub fn fail_always(&self, call: Call, error: Error) {
        self.lock().always.insert(call, error);
    }

    /// Forgets every planned failure.
    pub fn heal(&self) {
        let mut plans = self.lock();
        plans.once.clear();
        plans.always.clear();
    }

    /// How often `call` was made.
    pub fn calls(&self, call: Call) -> u64 {
        self.lock().calls.get(&call).copied().unwrap_or(0)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Plans> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan(&self, call: Call, nth: u64, error: Error, when: When) {
        let mut plans = self.lock();
        let number = plans.calls.get(&call).copied().unwrap_or(0) + nth.max(1);
        plans.once.insert((call, number), (error, when));
    }

    /// Counts the call. An error that comes before it, or the one to answer after it.
    fn begin(&self, call: Call) -> Result<Option<Error>, Error> {
        let mut plans = self.lock();
        let count = plans.calls.entry(call).or_default();
        *count += 1;
        let number = *count;
        match plans.once.remove(&(call, number)) {
            Some((error, When::Before)) => Err(error),
            Some((error, When::After)) => Ok(Some(error)),
            None => plans.always.get(&call).map_or(Ok(None), |error| Err(error.clone())),
        }
    }
}

impl std::fmt::Debug for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faulty").finish_non_exhaustive()
    }
}

fn end<T>(answer: Result<T, Error>, lost: Option<Error>) -> Result<T, Error> {
    lost.map_or(answer, Err)
}

#[async_trait]
impl Store for Faulty {
    async fn get(&self, key: &str) -> Result<Option<Record>, Error> {
        let lost = self.begin(Call::Get)?;
        end(self.inner.get(key).await, lost)
    }

    async fn scan(
        &self,
        prefix: &str,
        at: Option<u64>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Scan, Error> {
        let lost = self.begin(Call::Scan)?;
        end(self.inner.scan(prefix, at, after, limit).await, lost)
    }

    /// Fails as a scan does.
    async fn count(&self, prefix: &str, at: u64, after: Option<&str>) -> Result<u64, Error> {
        let lost = self.begin(Call::Scan)?;
        end(self.inner.count(prefix, at, after).await, lost)
    }

    async fn commit(&self, commit: Commit) -> Result<u64, Error> {
        let lost = self.begin(Call::Commit)?;
        end(self.inner.commit(commit).await, lost)
    }

    async fn watch(&self, prefix: &str, since: u64) -> Result<Watcher, Error> {
        let lost = self.begin(Call::Watch)?;
        end(self.inner.watch(prefix, since).await, lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    fn gone() -> Error {
        Error::Unavailable("on purpose".to_owned())
    }

    #[tokio::test]
    async fn only_the_planned_calls_fail() {
        let store = Faulty::new(Arc::new(Memory::new()));
        store.fail(Call::Commit, 2, gone());
        store.lose_answer(Call::Commit, 3, gone());
        let first = store.commit(Commit::default()).await.unwrap();
        assert!(store.commit(Commit::default()).await.is_err());
        assert_eq!(store.scan("/", None, None, 1).await.unwrap().version, first);
        assert!(store.commit(Commit::default()).await.is_err());
        assert_eq!(store.scan("/", None, None, 1).await.unwrap().version, first + 1);
        assert_eq!(store.commit(Commit::default()).await.unwrap(), first + 2);
        assert_eq!(store.calls(Call::Commit), 4);

        store.fail_always(Call::Get, gone());
        store.fail_always(Call::Watch, gone());
        assert!(store.get("/a").await.is_err() && store.get("/a").await.is_err());
        assert!(store.watch("/", first).await.is_err());
        store.heal();
        assert!(store.get("/a").await.is_ok());
    }
}
