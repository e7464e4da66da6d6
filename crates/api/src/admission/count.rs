//! Counting what a quota needs, so that two creates at once cannot both be the last one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::hooks::Usage;
use crate::context::{Context, Target};
use crate::status::Failure;

/// Records read from the store at a time.
const CHUNK: usize = 500;

/// Creates under way, by the prefix of the keys of their kind and namespace.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(Mutex<BTreeMap<String, u64>>);

/// One create under way, until it is dropped, which must be after its commit. Whoever counts later
/// sees it: here, or in the store, or for a moment in both, which refuses too much rather than
/// too little.
#[derive(Debug)]
pub(crate) struct Place {
    all: Arc<UnderWay>,
    prefix: String,
    before: u64,
}

impl UnderWay {
    /// Takes a place.
    pub(crate) fn enter(self: &Arc<Self>, prefix: String) -> Place {
        let mut counts = self.lock();
        let count = counts.entry(prefix.clone()).or_default();
        let before = *count;
        *count += 1;
        drop(counts);
        Place { all: self.clone(), prefix, before }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.all.lock();
        if let Some(count) = counts.get_mut(&self.prefix) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.prefix);
            }
        }
    }
}

/// What there is of the kind, when a quota asks; the place is to be kept until the commit.
pub(crate) async fn usage(
    context: &Context,
    target: &Target,
) -> Result<(Usage, Option<Place>), Failure> {
    let app = &context.app;
    let kind = target.kind;
    if !app.hooks.counts(kind.group, kind.plural) {
        return Ok((Usage::default(), None));
    }
    let prefix = kind.prefix(Some(target.namespace()));
    let place = app.under_way.enter(prefix.clone());
    let mut objects = place.before;
    let mut after: Option<String> = None;
    loop {
        let scan = app.store(kind).scan(&prefix, None, after.as_deref(), CHUNK).await?;
        objects = objects.saturating_add(u64::try_from(scan.records.len()).unwrap_or(u64::MAX));
        match scan.records.last() {
            Some(last) if scan.more => after = Some(last.key.clone()),
            _ => return Ok((Usage { objects }, Some(place))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_later_sees_who_is_under_way() {
        let all = Arc::new(UnderWay::default());
        let first = all.enter("a".to_owned());
        let second = all.enter("a".to_owned());
        assert_eq!((first.before, second.before, all.enter("b".to_owned()).before), (0, 1, 0));
        drop((first, second));
        assert_eq!(all.enter("a".to_owned()).before, 0);
        assert!(all.lock().is_empty());
    }
}
