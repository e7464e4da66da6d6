use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const NOTHING: Deletion = Deletion { marked: false, orphan: false, foreground: false };
const FOREGROUND: Deletion = Deletion { marked: true, orphan: false, foreground: true };

#[test]
fn table() {
    use Owner::{Gone, Invalid, Live, Unknown, Waiting};
    let free = Dependent { blocks: false, deleting: false, waits: false };
    let blocking = Dependent { blocks: true, ..free };
    let going = Dependent { blocks: true, deleting: true, ..free };
    let waits = Dependent { waits: true, ..going };
    let marked = Deletion { marked: true, ..NOTHING };
    let orphan = Deletion { marked: true, orphan: true, foreground: false };
    let delete = Action::Delete;
    for (deletion, owners, dependents, action) in [
        (NOTHING, &[][..], &[][..], Action::Keep),
        (NOTHING, &[Live], &[], Action::Keep),
        (NOTHING, &[Unknown], &[], Action::Keep),
        (NOTHING, &[Invalid], &[], Action::Keep),
        (NOTHING, &[Gone], &[], delete(Propagation::Background)),
        (NOTHING, &[Gone, Invalid], &[], Action::Keep),
        (NOTHING, &[Unknown, Waiting], &[waits], Action::Keep),
        (NOTHING, &[Live, Gone, Invalid], &[], Action::Keep),
        (NOTHING, &[Gone, Gone], &[], delete(Propagation::Background)),
        (NOTHING, &[Gone, Live], &[], Action::Detach(vec![0])),
        (NOTHING, &[Live, Waiting, Gone], &[], Action::Detach(vec![1, 2])),
        (NOTHING, &[Gone, Unknown], &[], Action::Keep),
        (NOTHING, &[Waiting], &[], delete(Propagation::Background)),
        (NOTHING, &[Waiting, Gone], &[free], delete(Propagation::Foreground)),
        (NOTHING, &[Waiting], &[free, waits], delete(Propagation::Background)),
        (marked, &[Gone], &[blocking], Action::Keep),
        (orphan, &[Live], &[blocking], Action::LetGo),
        (FOREGROUND, &[], &[], Action::Release),
        (FOREGROUND, &[], &[free], Action::Release),
        (FOREGROUND, &[], &[free, blocking], Action::Collect(vec![0, 1])),
        (FOREGROUND, &[], &[going, free], Action::Collect(vec![1])),
        (FOREGROUND, &[], &[going], Action::Wait(vec![0])),
    ] {
        let decision = collect(deletion, owners, dependents);
        assert_eq!(decision.action, action, "{deletion:?} {owners:?} {dependents:?}");
        assert!(!decision.why.is_empty());
    }
    let keeps_its_own = Deletion { orphan: true, ..NOTHING };
    let decision = collect(keeps_its_own, &[Gone], &[free]);
    assert_eq!(decision.action, delete(Propagation::Orphan));
}

/// One object of a little world.
#[derive(Clone, Debug, Default)]
struct Object {
    /// Owners by id, with whether it blocks them.
    owners: BTreeMap<usize, bool>,
    deletion: Deletion,
}

/// Objects by id. An id is never used again.
type World = BTreeMap<usize, Object>;

fn delete(world: &mut World, id: usize, how: Propagation) {
    let Some(object) = world.get_mut(&id) else { return };
    object.deletion.orphan = how == Propagation::Orphan;
    object.deletion.foreground = how == Propagation::Foreground;
    object.deletion.marked = true;
    tidy(world, id);
}

/// Removes an object that is marked and waits for nothing.
fn tidy(world: &mut World, id: usize) {
    let done = |object: &Object| {
        object.deletion.marked && !object.deletion.orphan && !object.deletion.foreground
    };
    if world.get(&id).is_some_and(done) {
        world.remove(&id);
    }
}

fn seen(world: &World, id: usize) -> (Vec<usize>, Vec<Owner>, Vec<usize>, Vec<Dependent>) {
    let owners: Vec<usize> = world[&id].owners.keys().copied().collect();
    let states = owners.iter().map(|owner| match world.get(owner) {
        None => Owner::Gone,
        Some(Object { deletion: Deletion { marked: true, foreground: true, .. }, .. }) => {
            Owner::Waiting
        }
        Some(_) => Owner::Live,
    });
    let dependents: Vec<(usize, Dependent)> = world
        .iter()
        .filter(|(other, _)| **other != id)
        .filter_map(|(other, object)| {
            let blocks = *object.owners.get(&id)?;
            let Deletion { marked, foreground, .. } = object.deletion;
            Some((*other, Dependent { blocks, deleting: marked, waits: marked && foreground }))
        })
        .collect();
    let states = states.collect();
    let (ids, dependents) = dependents.into_iter().unzip();
    (owners, states, ids, dependents)
}

/// Does what was decided about `id`. Answers whether anything changed.
fn step(world: &mut World, id: usize) -> bool {
    let (owners, states, dependents, known) = seen(world, id);
    let decision = collect(world[&id].deletion, &states, &known);
    match decision.action {
        Action::Keep | Action::Wait(_) => return false,
        // Looking at the dependents is what every round does.
        Action::Collect(places) => {
            assert!(places.iter().all(|place| *place < dependents.len()));
            return false;
        }
        Action::LetGo => {
            for dependent in dependents {
                world.get_mut(&dependent).unwrap().owners.remove(&id);
            }
            world.get_mut(&id).unwrap().deletion.orphan = false;
            tidy(world, id);
        }
        Action::Release => {
            assert!(known.iter().all(|dependent| !dependent.blocks), "a blocking one is left");
            world.get_mut(&id).unwrap().deletion.foreground = false;
            tidy(world, id);
        }
        Action::Detach(places) => {
            for place in places {
                world.get_mut(&id).unwrap().owners.remove(&owners[place]);
            }
        }
        Action::Delete(how) => {
            assert!(!states.contains(&Owner::Live), "{id} has a live owner");
            delete(world, id, how);
        }
    }
    true
}

/// Decides about every object until nothing changes. Answers whether that was ever so.
fn settle(world: &mut World) -> bool {
    for _ in 0..200 {
        let ids: Vec<usize> = world.keys().copied().collect();
        let mut changed = false;
        for id in ids {
            if world.contains_key(&id) {
                changed |= step(world, id);
            }
        }
        if !changed {
            return true;
        }
    }
    false
}

fn how() -> impl Strategy<Value = Propagation> {
    prop_oneof![
        Just(Propagation::Background),
        Just(Propagation::Foreground),
        Just(Propagation::Orphan)
    ]
}

/// Objects that own each other, also in circles.
fn worlds() -> impl Strategy<Value = World> {
    prop::collection::vec((prop::collection::vec((0usize..12, any::<bool>()), 0..3),), 1..12)
        .prop_map(|objects| {
            let count = objects.len();
            let object = |(id, (owners,)): (usize, (Vec<(usize, bool)>,))| {
                let owners = owners.into_iter().filter(|(owner, _)| *owner < count).collect();
                (id, Object { owners, deletion: NOTHING })
            };
            objects.into_iter().enumerate().map(object).collect()
        })
}

fn below(world: &World, id: usize) -> BTreeSet<usize> {
    let mut all = BTreeSet::new();
    let mut next = vec![id];
    while let Some(id) = next.pop() {
        for (other, object) in world {
            if object.owners.contains_key(&id) && all.insert(*other) {
                next.push(*other);
            }
        }
    }
    all
}

proptest! {
    #[test]
    fn it_always_ends_and_takes_only_what_nobody_keeps(
        mut world in worlds(),
        deletions in prop::collection::vec((0usize..12, how()), 1..4),
    ) {
        for (id, how) in deletions {
            let before = world.clone();
            let (dependents, all) = (seen_below(&before, id), below(&before, id));
            let known = before.contains_key(&id);
            delete(&mut world, id, how);
            prop_assert!(settle(&mut world), "it goes on for ever");
            prop_assert!(world.values().all(|object| !object.deletion.marked), "{:?}", world);
            for (other, object) in &before {
                if *other == id || (known && all.contains(other)) {
                    continue;
                }
                let now = world.get(other);
                prop_assert_eq!(now.map(|o| &o.owners), Some(&object.owners), "{}", other);
            }
            if known && how == Propagation::Orphan {
                prop_assert!(dependents.iter().all(|dependent| world.contains_key(dependent)));
            }
            if known {
                prop_assert!(!world.contains_key(&id));
            }
            // Whoever had owners and lost all of them without being let go is gone.
            for (other, object) in &world {
                let named = object.owners.keys().all(|owner| world.contains_key(owner));
                prop_assert!(named, "{other} names one that is gone");
            }
        }
    }
}

fn seen_below(world: &World, id: usize) -> Vec<usize> {
    let named = |(_, object): &(&usize, &Object)| object.owners.contains_key(&id);
    world.iter().filter(named).map(|(other, _)| *other).filter(|other| *other != id).collect()
}
