//! What a write does to who owns what, and what server-side apply does to an object.

use serde_json::Value;

use super::cap::cap;
use super::compare::{Difference, compare};
use super::element::Element;
use super::managers::{Manager, Managers, Operation, Owned};
use super::merge::{merge, remove, with_parents};
use super::set::{Set, render};
use super::walk::fields;
use crate::schema::Node;

/// Owner of everything that an object had before it was applied for the first time.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Fields of `metadata` that nobody owns: they belong to the server or say which object it is.
const NOBODYS: &[&str] = &[
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
];

/// Which part of an object a write is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All of it.
    Whole,
    /// Everything but `status`, which has a path of its own.
    WithoutStatus,
    /// Only `status`.
    StatusOnly,
}

impl Scope {
    /// What of a set such a write can own.
    fn of(self, set: &Set) -> Set {
        match self {
            Self::Whole => set.clone(),
            Self::WithoutStatus => set.without("status"),
            Self::StatusOnly => set.only("status"),
        }
    }
}

/// A write, for what it owns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct By<'a> {
    /// Merge view of the kind.
    pub(crate) node: &'a Node,
    /// Who writes.
    pub(crate) manager: &'a Manager,
    /// What about.
    pub(crate) scope: Scope,
    /// A new object before anything is in it.
    pub(crate) blank: &'a Value,
    /// RFC 3339.
    pub(crate) now: &'a str,
}

/// Fields that others own with another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Conflict {
    /// Who.
    pub(crate) manager: Manager,
    /// Which.
    pub(crate) fields: Set,
}

impl Conflict {
    /// Who it is with, as in messages.
    pub(crate) fn who(&self) -> String {
        let Manager { operation, name, api_version, subresource } = &self.manager;
        let mut who = format!("{name:?}");
        if !subresource.is_empty() {
            who = format!("{who} with subresource {subresource:?}");
        }
        if *operation == Operation::Update {
            who = format!("{who} using {api_version}");
        }
        who
    }

    /// What it is about, as in messages.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.fields.paths().iter().map(|path| render(path)).collect()
    }
}

/// Makes the writer own what it changed from `old` to `new`, and nobody what it removed.
pub(crate) fn track_update(by: &By<'_>, managers: &mut Managers, old: &Value, new: &Value) {
    let found = compare(by.node, old, new).map(|set| by.scope.of(set));
    let said = found.said();
    managers.take(&said.union(&found.removed), None);
    let owned = ownable(&said);
    if !owned.is_empty() {
        let before = managers.remove(by.manager).map(|owned| owned.fields).unwrap_or_default();
        let fields = before.union(&owned);
        managers.set(by.manager, Owned { time: Some(by.now.to_owned()), fields });
    }
    cap(managers);
}

/// Lays a configuration over an object: the object as it shall be. What the writer owned by its
/// last configuration and does not name any more is removed, unless somebody else owns it.
///
/// # Errors
/// Everything that others own and the configuration says otherwise, unless `force`.
pub(crate) fn apply(
    by: &By<'_>,
    managers: &mut Managers,
    live: &Value,
    config: &Value,
    force: bool,
) -> Result<Value, Vec<Conflict>> {
    if managers.is_empty() {
        adopt(by, managers, live);
    }
    let merged = merge(by.node, live, config);
    let last = managers.remove(by.manager).map(|owned| owned.fields).unwrap_or_default();
    let owned = ownable(&by.scope.of(&fields(by.node, config)));
    let now = Some(by.now.to_owned());
    managers.set(by.manager, Owned { time: now, fields: owned });
    let pruned = prune(by.node, &merged, managers, &last);
    let found = compare(by.node, live, &pruned).map(|set| by.scope.of(set));
    let conflicts = conflicts(by.manager, managers, &found);
    if !force && !conflicts.is_empty() {
        return Err(conflicts);
    }
    let mut taken = found.removed;
    for conflict in &conflicts {
        taken.absorb(&conflict.fields);
    }
    managers.take(&taken, Some(by.manager));
    Ok(pruned)
}

/// Gives what the object has, and nobody owns, to one manager.
fn adopt(by: &By<'_>, managers: &mut Managers, live: &Value) {
    let manager = Manager {
        operation: Operation::Update,
        name: BEFORE_FIRST_APPLY.to_owned(),
        api_version: by.manager.api_version.clone(),
        subresource: by.manager.subresource.clone(),
    };
    track_update(&By { manager: &manager, ..*by }, managers, by.blank, live);
}

fn conflicts(writer: &Manager, managers: &Managers, found: &Difference) -> Vec<Conflict> {
    let said = found.said();
    let others = managers.iter().filter(|(manager, _)| *manager != writer);
    others
        .map(|(manager, owned)| Conflict {
            manager: manager.clone(),
            fields: owned.fields.intersection(&said),
        })
        .filter(|conflict| !conflict.fields.is_empty())
        .collect()
}

/// Without what is in `last` and nobody owns any more.
fn prune(node: &Node, merged: &Value, managers: &Managers, last: &Set) -> Value {
    if last.is_empty() {
        return merged.clone();
    }
    let empty = || Value::Object(serde_json::Map::new());
    let last = with_parents(node, last);
    let all = with_parents(node, &fields(node, merged));
    let without_last = remove(node, merged, &last).unwrap_or_else(empty);
    let left = with_parents(node, &fields(node, &without_last));
    let owned = with_parents(node, &managers.union());
    // What went with a parent comes back when somebody owns it.
    let with_owned = remove(node, merged, &all.difference(&left.union(&owned)));
    let left = with_parents(node, &fields(node, &with_owned.unwrap_or_else(empty)));
    // And so does what nobody owns and was no part of the last configuration.
    let gone = all.difference(&left).intersection(&last);
    remove(node, merged, &gone).unwrap_or_else(empty)
}

fn ownable(set: &Set) -> Set {
    let mut nobodys = Set::default();
    for field in ["apiVersion", "kind", "metadata"] {
        nobodys.insert(&[Element::field(field)]);
    }
    for field in NOBODYS {
        nobodys.insert(&[Element::field("metadata"), Element::field(*field)]);
    }
    set.difference(&nobodys)
}
