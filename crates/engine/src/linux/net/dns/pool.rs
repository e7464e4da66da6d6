//! How much of the relay each asker may take.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Most;

/// Places for what is under way.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    most: Most,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Only askers that have at least one.
    each: BTreeMap<IpAddr, usize>,
}

/// A place, which is given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    pool: Pool,
    asker: IpAddr,
}

impl Pool {
    /// One in which every place is free.
    pub(super) fn new(most: Most) -> Self {
        Self { most, taken: Arc::default() }
    }

    /// A place for `asker`; none when it has its share or all are taken.
    pub(super) fn take(&self, asker: IpAddr) -> Option<Place> {
        let mut taken = self.lock();
        let own = taken.each.get(&asker).copied().unwrap_or(0);
        if taken.all >= self.most.all || own >= self.most.each {
            return None;
        }
        taken.all += 1;
        taken.each.insert(asker, own + 1);
        drop(taken);
        Some(Place { pool: self.clone(), asker })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.pool.lock();
        taken.all -= 1;
        match taken.each.get(&self.asker).copied() {
            Some(own @ 2..) => taken.each.insert(self.asker, own - 1),
            _ => taken.each.remove(&self.asker),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_share_of_all() {
        let pool = Pool::new(Most { all: 3, each: 2 });
        let [one, two, three] = [1, 2, 3].map(|last| IpAddr::from([10, 0, 0, last]));
        let places = [pool.take(one).unwrap(), pool.take(one).unwrap()];
        assert!(pool.take(one).is_none());
        let other = pool.take(two).unwrap();
        assert!(pool.take(three).is_none());
        drop(other);
        let last = pool.take(three).unwrap();
        drop((places, last));
        assert!(pool.lock().each.is_empty());
        assert_eq!(pool.lock().all, 0);
    }
}
