//! Every write that the door acknowledged, to be found again whatever happens to daemons.
//!
//! A client marks what it writes with a number of its own ([`MARK`]). The last mark that was
//! acknowledged, by version, has to stay, unless a write whose outcome is unknown came in between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use serde_json::Value as Json;

use crate::lock;
use crate::objects::text;
use crate::store::SimStore;
use crate::trace::Trace;

/// Annotation with the number of the write.
pub(crate) const MARK: &str = "sim.test/mark";

/// What is known about the writes of each key, by the annotation that has the mark.
#[derive(Default)]
pub(crate) struct Acked {
    keys: Mutex<BTreeMap<(String, &'static str), Known>>,
    /// Namespaces of which a removal was begun at any time.
    namespaces: Mutex<BTreeSet<String>>,
    /// Beginnings of keys of which a removal was begun at any time.
    prefixes: Mutex<BTreeSet<String>>,
}

/// A key, and the annotation that has the mark.
type Marked<'a> = (&'a str, &'static str);

fn owned((key, annotation): Marked<'_>) -> (String, &'static str) {
    (key.to_owned(), annotation)
}

#[derive(Default)]
struct Known {
    /// Version and mark of the newest acknowledged write.
    last: Option<(u64, u64)>,
    /// Writes that were begun.
    begun: u64,
    /// Marks of writes whose outcome is not known.
    unknown: BTreeSet<u64>,
    /// A removal may have happened at any time from now on.
    maybe_gone: bool,
    /// A removal was acknowledged after the last write.
    gone: bool,
}

impl Acked {
    /// A write with this mark begins. Its outcome is unknown until it is told.
    pub(crate) fn begin(&self, key: Marked<'_>, mark: u64) {
        let mut keys = lock(&self.keys);
        let known = keys.entry(owned(key)).or_default();
        known.begun += 1;
        known.unknown.insert(mark);
    }

    /// The write was acknowledged, with the object as it is now.
    pub(crate) fn written(&self, key: Marked<'_>, mark: u64, object: &Json) {
        let version = text(object, "/metadata/resourceVersion").parse().unwrap_or(0);
        let mut keys = lock(&self.keys);
        let known = keys.entry(owned(key)).or_default();
        known.unknown.remove(&mark);
        if known.last.is_none_or(|(last, _)| last < version) {
            known.last = Some((version, mark));
            known.gone = false;
        }
    }

    /// The write was refused.
    pub(crate) fn refused(&self, key: Marked<'_>, mark: u64) {
        if let Some(known) = lock(&self.keys).get_mut(&owned(key)) {
            known.unknown.remove(&mark);
        }
    }

    /// A removal begins. Answers how many writes were begun before.
    pub(crate) fn removing(&self, key: &str) -> u64 {
        let mut keys = lock(&self.keys);
        keys.entry((key.to_owned(), MARK)).or_default();
        let known = keys.iter_mut().filter(|((known, _), _)| known == key);
        known.fold(0, |begun, (_, known)| {
            known.maybe_gone = true;
            // One that is under way may come after the removal: then it says nothing.
            begun + known.begun + u64::from(!known.unknown.is_empty())
        })
    }

    /// Everything whose key begins like this is being removed. Answers the keys, each as
    /// [`Acked::removing`] does.
    pub(crate) fn removing_kind(&self, prefix: &str) -> BTreeMap<String, u64> {
        lock(&self.prefixes).insert(prefix.to_owned());
        let known: Vec<(String, bool)> = {
            let keys = lock(&self.keys);
            let known = keys.iter().filter(|((key, _), _)| key.starts_with(prefix));
            known.map(|((key, _), known)| (key.clone(), known.unknown.is_empty())).collect()
        };
        let begun = known.iter().map(|(key, _)| (key.clone(), self.removing(key)));
        let mut begun: BTreeMap<String, u64> = begun.collect();
        // One that is made at the same time may come after those that are listed.
        for (key, _) in known.iter().filter(|(_, quiet)| !quiet) {
            begun.remove(key);
        }
        begun
    }

    /// The removal was acknowledged. It says nothing about writes that were begun meanwhile.
    pub(crate) fn removed(&self, key: &str, begun: u64) {
        let mut keys = lock(&self.keys);
        let known = || keys.iter().filter(|((known, _), _)| known == key);
        if known().map(|(_, known)| known.begun).sum::<u64>() == begun {
            for (_, known) in keys.iter_mut().filter(|((known, _), _)| known == key) {
                known.gone = true;
            }
        }
    }

    /// A namespace is being removed, and everything that is in it or comes into it meanwhile.
    pub(crate) fn removing_all(&self, namespace: &str) {
        lock(&self.namespaces).insert(namespace.to_owned());
    }

    /// Keys that were removed, and not written again since.
    pub(crate) fn gone(&self) -> Vec<String> {
        let mut gone: BTreeMap<String, bool> = BTreeMap::new();
        for ((key, _), known) in lock(&self.keys).iter() {
            let quiet = known.unknown.is_empty();
            // One without a write of its own says nothing.
            let says = known.begun == 0 || (known.gone && quiet);
            *gone.entry(key.clone()).or_insert(true) &= says;
        }
        let removed = |key: &String| {
            let keys = lock(&self.keys);
            keys.iter().any(|((known, _), state)| known == key && state.gone)
        };
        gone.into_iter().filter(|(key, gone)| *gone && removed(key)).map(|(key, _)| key).collect()
    }

    /// Compares with what is stored.
    pub(crate) fn check(&self, store: &SimStore, trace: &Trace) {
        let namespaces = lock(&self.namespaces).clone();
        let prefixes = lock(&self.prefixes).clone();
        let keys = lock(&self.keys);
        for ((key, annotation), known) in keys.iter() {
            let Some((version, mark)) = known.last else { continue };
            let namespace = ebb_model::key::parse(key).map(|(namespace, _)| namespace);
            let removed = namespace.is_some_and(|namespace| namespaces.contains(namespace))
                || prefixes.iter().any(|prefix| key.starts_with(prefix));
            let same = |of| keys.get(&(key.clone(), of)).is_some_and(|known| known.maybe_gone);
            let maybe_gone = known.maybe_gone || removed || same(MARK);
            let Some(record) = store.peek(key) else {
                if !maybe_gone {
                    let what = format!("{key} was acknowledged at {version} and is not there");
                    trace.violation("no acknowledged write is lost", what);
                }
                continue;
            };
            let object: Json = serde_json::from_slice(&record.value.data).unwrap_or_default();
            let annotations = object["metadata"]["annotations"].as_object();
            let found = annotations.and_then(|a| a.get(*annotation)?.as_str()?.parse().ok());
            let fine = match found {
                Some(found) => found == mark || known.unknown.contains(&found),
                None => maybe_gone,
            };
            if record.version < version || !fine {
                let what =
                    format!("{key}: {annotation} {mark} was acknowledged, {found:?} is stored");
                trace.violation("no acknowledged write is lost", what);
            }
        }
    }
}
