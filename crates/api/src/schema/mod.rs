//! What fields a kind has and how changes to them are merged.
//!
//! The one source is the Rust type of the kind ([`crate::registry::Type`]). Its JSON schema is
//! derived from it; what a Rust type cannot say (which lists are merged by which keys) is a table
//! of facts beside it.

mod compile;
pub(crate) mod facts;
pub(crate) mod normal;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::registry::Kind;

/// The merge view of `kind`: its whole object. Compiled once and kept for good, as there are only so
/// many kinds.
pub(crate) fn of(kind: &Kind) -> &'static Node {
    type Key = (&'static str, &'static str, &'static str);
    static COMPILED: Mutex<BTreeMap<Key, &'static Node>> = Mutex::new(BTreeMap::new());
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    compiled
        .entry((kind.group, kind.version, kind.plural))
        .or_insert_with(|| Box::leak(Box::new(compile::compile(kind))))
}

/// One field, element or value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// An object with known fields.
    Struct {
        /// By name, as in JSON.
        fields: BTreeMap<String, Node>,
        /// Whether it is replaced as a whole (`x-kubernetes-map-type: atomic`).
        atomic: bool,
    },
    /// An object with free keys.
    Map {
        /// What each key holds.
        values: Box<Node>,
        /// Whether it is replaced as a whole.
        atomic: bool,
    },
    /// A list.
    List {
        /// What each element is.
        items: Box<Node>,
        /// How server-side apply merges it (`x-kubernetes-list-type`).
        merge: ListMerge,
        /// How a strategic merge patch merges it (`x-kubernetes-patch-strategy: merge`): by this
        /// key of its elements, or, with an empty key, as a set of plain values. None: replaced.
        patch_key: Option<&'static str>,
    },
    /// A text, number or truth value; also what has its own form in JSON, such as a quantity.
    Scalar,
    /// Anything; replaced as a whole.
    Any,
}

/// How server-side apply merges a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListMerge {
    /// Replaced as a whole.
    Atomic,
    /// Plain values, each owned by itself.
    Set,
    /// Elements known by these keys (`x-kubernetes-list-map-keys`).
    Map(&'static [&'static str]),
}

#[cfg(test)]
mod tests;
