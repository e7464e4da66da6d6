//! Random commits against a model: a copy of the whole state for every version.

use std::collections::BTreeMap;

use ebb_store::memory::Memory;
use ebb_store::sqlite::Sqlite;
use ebb_store::{
    Commit, Error, Options, Precondition, Record, Retention, Store, Value, WatchEvent, Write,
};
use proptest::prelude::*;

const KEYS: [&str; 8] = ["/a", "/a/b", "/a/b/c", "/a/bc", "/a/c", "/b", "/b/", "/é"];
const PREFIXES: [&str; 7] = ["", "/", "/a", "/a/b", "/a/b/", "/b", "/none"];

#[derive(Clone, Debug)]
struct Step {
    preconditions: Vec<(u8, usize)>,
    writes: BTreeMap<usize, Option<u8>>,
    idempotency: Option<u8>,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS.len();
    let preconditions = prop::collection::vec((0u8..4, key.clone()), 0..2);
    let writes = prop::collection::btree_map(key, prop::option::weighted(0.7, any::<u8>()), 0..5);
    let idempotency = prop::option::weighted(0.2, 0u8..4);
    (preconditions, writes, idempotency).prop_map(|(preconditions, writes, idempotency)| Step {
        preconditions,
        writes,
        idempotency,
    })
}

type State = BTreeMap<String, Record>;

/// The model: every state that was, and what was answered.
struct Model {
    states: BTreeMap<u64, State>,
    answered: BTreeMap<u8, u64>,
}

impl Model {
    fn now(&self) -> &State {
        self.states.last_key_value().unwrap().1
    }

    fn precondition(&self, kind: u8, key: &str) -> (Precondition, bool) {
        let found = self.now().get(key);
        let any = self.now().keys().any(|other| other.starts_with(key));
        let key = key.to_owned();
        match kind {
            0 => (Precondition::Absent(key), found.is_none()),
            1 => (Precondition::Exists(key), found.is_some()),
            2 => {
                let version = found.map_or(0, |record| record.version);
                (Precondition::Version(key, version), found.is_some())
            }
            _ => (Precondition::PrefixEmpty(key), !any),
        }
    }

    /// The state after the commit.
    fn apply(&self, step: &Step, version: u64) -> State {
        let mut state = self.now().clone();
        for (key, data) in &step.writes {
            let key = KEYS[*key].to_owned();
            match data {
                None => drop(state.remove(&key)),
                Some(data) => {
                    let create_version =
                        state.get(&key).map_or(version, |record| record.create_version);
                    let record =
                        Record { key: key.clone(), value: value(*data), create_version, version };
                    state.insert(key, record);
                }
            }
        }
        state
    }
}

fn value(data: u8) -> Value {
    Value { storage_version: 1, sealed: false, data: vec![data; usize::from(data)].into() }
}

fn with_prefix(state: &State, prefix: &str) -> Vec<Record> {
    state.values().filter(|record| record.key.starts_with(prefix)).cloned().collect()
}

async fn check(store: &dyn Store, steps: Vec<Step>) {
    let first = store.scan("", None, None, 1).await.unwrap().version;
    let mut model =
        Model { states: BTreeMap::from([(first, State::new())]), answered: BTreeMap::new() };
    for step in steps {
        run(store, &mut model, &step).await;
    }
    let mut whole = None;
    for version in model.states.keys() {
        match as_of(store, &model, *version).await {
            Ok(()) => whole = Some(*version),
            // Only the oldest may be forgotten, also while this goes on.
            Err(Error::Compacted { .. }) => {}
            Err(error) => panic!("{version}: {error}"),
        }
    }
    let newest = *model.states.last_key_value().unwrap().0;
    assert_eq!(whole, Some(newest), "the newest is never forgotten");
    assert_eq!(store.scan("", None, None, 1).await.unwrap().version, newest);
}

/// What was at `version`, and what happened since.
async fn as_of(store: &dyn Store, model: &Model, version: u64) -> Result<(), Error> {
    let state = &model.states[&version];
    for prefix in PREFIXES {
        let scan = store.scan(prefix, Some(version), None, usize::MAX).await?;
        assert_eq!(scan.records, with_prefix(state, prefix), "{prefix} at {version}");
    }
    for prefix in ["", "/a/b", "/b"] {
        let mut state = state.clone();
        state.retain(|key, _| key.starts_with(prefix));
        let mut watcher = store.watch(prefix, version).await?;
        for (later, then) in model.states.range(version + 1..) {
            for _ in 0..changes(model, *later, prefix) {
                let event = watcher.next().await.unwrap()?;
                assert_eq!(event.version(), *later);
                replay(&mut state, event);
            }
            let have: Vec<Record> = state.values().cloned().collect();
            assert_eq!(have, with_prefix(then, prefix));
            let reached = watcher.progress();
            let mut rest = model.states.range(later + 1..).map(|(version, _)| *version);
            match rest.find(|version| changes(model, *version, prefix) > 0) {
                Some(next) => assert!(reached < next, "{reached}: {next} was not given out"),
                None => assert!(reached <= *model.states.last_key_value().unwrap().0),
            }
            assert!(reached >= *later || changes(model, *later, prefix) == 0, "{reached}, {later}");
        }
    }
    Ok(())
}

async fn run(store: &dyn Store, model: &mut Model, step: &Step) {
    let (preconditions, holds): (Vec<_>, Vec<_>) =
        step.preconditions.iter().map(|(kind, key)| model.precondition(*kind, KEYS[*key])).unzip();
    let writes = step.writes.iter().map(|(key, data)| {
        let key = KEYS[*key].to_owned();
        match data {
            None => Write::Delete { key },
            Some(data) => Write::Put { key, value: value(*data) },
        }
    });
    let commit = Commit {
        preconditions,
        writes: writes.collect(),
        idempotency_key: step.idempotency.map(|key| key.to_string()),
        ..Commit::default()
    };
    let result = store.commit(commit).await;
    let earlier = step.idempotency.and_then(|key| model.answered.get(&key));
    if let Some(earlier) = earlier {
        assert_eq!(result.unwrap(), *earlier);
    } else if holds.contains(&false) {
        assert!(matches!(result, Err(Error::Conflict { .. })), "{result:?}");
    } else {
        let version = result.unwrap();
        assert!(version > *model.states.last_key_value().unwrap().0);
        let state = model.apply(step, version);
        model.states.insert(version, state);
        if let Some(key) = step.idempotency {
            model.answered.insert(key, version);
        }
    }
    for key in KEYS {
        assert_eq!(store.get(key).await.unwrap().as_ref(), model.now().get(key));
    }
}

/// How many keys with `prefix` the commit of `version` wrote or removed.
fn changes(model: &Model, version: u64, prefix: &str) -> usize {
    let after = &model.states[&version];
    let (_, before) = model.states.range(..version).next_back().unwrap();
    let changed = |key: &&&str| {
        let (before, after) = (before.get(**key), after.get(**key));
        after.is_some_and(|record| record.version == version)
            || (before.is_some() && after.is_none())
    };
    KEYS.iter().filter(|key| key.starts_with(prefix)).filter(changed).count()
}

fn replay(state: &mut State, event: WatchEvent) {
    assert_eq!(event.previous(), state.get(event.key()));
    match event {
        WatchEvent::Put { record, .. } => drop(state.insert(record.key.clone(), record)),
        WatchEvent::Delete { previous, .. } => drop(state.remove(&previous.key)),
    }
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

/// Few versions as often as many.
fn retained() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..8, Just(100_000)]
}

fn options(versions: u64) -> Options {
    Options::new(Retention { versions, ..Retention::DISK })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn memory_does_what_the_model_does(
        steps in prop::collection::vec(step(), 1..30),
        versions in retained(),
    ) {
        block_on(async { check(&Memory::with(options(versions)), steps).await });
    }
}

proptest! {
    // Each commit waits for the disk.
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_does_what_the_model_does(
        steps in prop::collection::vec(step(), 1..30),
        versions in retained(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let store = Sqlite::open_with(&dir.path().join("db"), options(versions)).unwrap();
        block_on(async { check(&store, steps).await });
    }
}
