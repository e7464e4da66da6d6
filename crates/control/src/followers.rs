//! Which Routes look at which Configurations and Revisions, so that a change of one wakes the
//! others, and nothing that a Route names is collected.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::keys::ServiceKey;

/// Routes by the keys of the stored objects that they name. Bounded by what the Routes name.
#[derive(Default)]
pub(crate) struct Followers {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    named: BTreeMap<ServiceKey, BTreeSet<String>>,
    routes: BTreeMap<String, BTreeSet<ServiceKey>>,
}

impl Followers {
    /// The route names these objects too.
    pub(crate) fn add(&self, route: &ServiceKey, objects: &BTreeSet<String>) {
        let before = self.lock().named.get(route).cloned().unwrap_or_default();
        self.set(route, &before | objects);
    }

    /// The route names these objects, and no others. To be told before the objects are read, so
    /// that no change of them is missed.
    pub(crate) fn set(&self, route: &ServiceKey, objects: BTreeSet<String>) {
        let mut inner = self.lock();
        let before = inner.named.remove(route).unwrap_or_default();
        for object in before.difference(&objects) {
            if let Some(routes) = inner.routes.get_mut(object) {
                routes.remove(route);
                if routes.is_empty() {
                    inner.routes.remove(object);
                }
            }
        }
        for object in objects.difference(&before) {
            inner.routes.entry(object.clone()).or_default().insert(route.clone());
        }
        if !objects.is_empty() {
            inner.named.insert(route.clone(), objects);
        }
    }

    /// The routes that name the object under this key.
    pub(crate) fn of(&self, object: &str) -> Vec<ServiceKey> {
        self.lock().routes.get(object).into_iter().flatten().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_follows_what_it_named_last() {
        let book = Followers::default();
        let route = ServiceKey::new("default", "front");
        let set = |objects: &[&str]| {
            book.set(&route, objects.iter().map(|object| (*object).to_owned()).collect());
        };
        set(&["a", "b"]);
        set(&["b", "c"]);
        assert_eq!((book.of("a").len(), book.of("b").len(), book.of("c").len()), (0, 1, 1));
        set(&[]);
        assert!(book.of("b").is_empty());
        assert!(book.lock().routes.is_empty() && book.lock().named.is_empty());
    }
}
