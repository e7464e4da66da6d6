//! What becomes of an object because of those that own it or that it owns: garbage collection, as
//! Kubernetes does it.
//!
//! An object may name owners. When none of them is left, it goes too (background). An owner that is
//! deleted in the foreground stays, marked, until those of its dependents that block it are gone.
//! An owner that is deleted as an orphan maker lets its dependents go first, so that they stay.

#[cfg(test)]
mod tests;

/// What is known about one owner that an object names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It is there.
    Live,
    /// It is there, and is being deleted in the foreground: it waits for its dependents.
    Waiting,
    /// No object with that identity exists where it would have to be: in the namespace of the
    /// object, or in none.
    Gone,
    /// Nobody here knows its kind or version: it may well be there.
    Unknown,
    /// Its kind lives in namespaces and the object in none: there is no place to look for it.
    Invalid,
}

/// What is known about one object that names this one as an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dependent {
    /// Whether its owner may not go before it (`blockOwnerDeletion`).
    pub blocks: bool,
    /// Whether it is being deleted already.
    pub deleting: bool,
    /// Whether it is being deleted in the foreground: it waits for its own dependents.
    pub waits: bool,
}

/// How far the deletion of an object is that somebody asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deletion {
    /// Whether it is marked as deleted.
    pub marked: bool,
    /// Whether it waits until its dependents are let go (finalizer `orphan`).
    pub orphan: bool,
    /// Whether it waits until its dependents are gone (finalizer `foregroundDeletion`).
    pub foreground: bool,
}

/// How an object is to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// At once; its dependents are found later.
    Background,
    /// Marked, until its dependents are gone.
    Foreground,
    /// Marked, until its dependents are let go.
    Orphan,
}

/// What to do about the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Keep,
    /// Nothing before the dependents at these places changed: they go already.
    Wait(Vec<usize>),
    /// Look at the dependents at these places: they go because this one does.
    Collect(Vec<usize>),
    /// Take the reference to this object out of every dependent, then the finalizer `orphan`.
    LetGo,
    /// Take out the finalizer `foregroundDeletion`.
    Release,
    /// Take the references at these places out of the object: others keep it.
    Detach(Vec<usize>),
    /// Delete it.
    Delete(Propagation),
}

/// What to do, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// The rule that asked for it.
    pub why: &'static str,
}

const fn decide(action: Action, why: &'static str) -> Decision {
    Decision { action, why }
}

/// Decides about one object, from what somebody asked for, the owners that it names and the
/// objects that name it.
pub fn collect(deletion: Deletion, owners: &[Owner], dependents: &[Dependent]) -> Decision {
    if deletion.marked {
        return finish(deletion, dependents);
    }
    let places = |wanted: &[Owner]| -> Vec<usize> {
        let all = owners.iter().enumerate();
        all.filter(|(_, owner)| wanted.contains(owner)).map(|(place, _)| place).collect()
    };
    if !places(&[Owner::Unknown, Owner::Invalid]).is_empty() {
        // Whether the object is kept cannot be told, so not even what is lost is taken out of it.
        return decide(Action::Keep, "an owner of it cannot be looked for");
    }
    let kept = owners.contains(&Owner::Live);
    let lost = places(&[Owner::Gone, Owner::Waiting]);
    if lost.is_empty() {
        return decide(Action::Keep, "no owner of it is gone");
    }
    if kept {
        return decide(Action::Detach(lost), "another owner keeps it");
    }
    let circle = dependents.iter().any(|dependent| dependent.waits);
    if owners.contains(&Owner::Waiting) && circle {
        // It may be its own owner's owner: if both waited, both would for ever.
        return decide(Action::Delete(Propagation::Background), "what it owns waits for it, too");
    }
    if owners.contains(&Owner::Waiting) && !dependents.is_empty() {
        return decide(
            Action::Delete(Propagation::Foreground),
            "its owner waits until it and what it owns are gone",
        );
    }
    let propagation = match deletion {
        Deletion { orphan: true, .. } => Propagation::Orphan,
        Deletion { foreground: true, .. } => Propagation::Foreground,
        _ => Propagation::Background,
    };
    decide(Action::Delete(propagation), "every owner of it is gone or going")
}

/// What is left to do for an object that is marked as deleted.
fn finish(deletion: Deletion, dependents: &[Dependent]) -> Decision {
    if deletion.orphan {
        return decide(Action::LetGo, "it was deleted without what it owns");
    }
    if !deletion.foreground {
        return decide(Action::Keep, "it waits for finalizers of others");
    }
    let places = |wanted: &dyn Fn(&Dependent) -> bool| -> Vec<usize> {
        let all = dependents.iter().enumerate();
        all.filter(|(_, dependent)| wanted(dependent)).map(|(place, _)| place).collect()
    };
    let blocking = places(&|dependent| dependent.blocks);
    if blocking.is_empty() {
        return decide(Action::Release, "nothing that blocks it is left");
    }
    let fresh = places(&|dependent| !dependent.deleting);
    if fresh.is_empty() {
        return decide(Action::Wait(blocking), "what it owns is being deleted");
    }
    decide(Action::Collect(fresh), "what it owns goes before it")
}
