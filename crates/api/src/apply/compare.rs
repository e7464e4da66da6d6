//! What differs between two forms of an object.

use std::collections::BTreeSet;

use serde_json::Value;

use super::element::Element;
use super::set::Set;
use super::walk::{Shape, bare, elements, entries, field, grouped, shape};
use crate::schema::Node;

/// Fields that differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Only in the new form.
    pub(crate) added: Set,
    /// In both, with other values.
    pub(crate) modified: Set,
    /// Only in the old form.
    pub(crate) removed: Set,
}

impl Difference {
    /// What the new form says that the old one did not.
    pub(crate) fn said(&self) -> Set {
        self.added.union(&self.modified)
    }

    /// The same with every set changed.
    pub(crate) fn map(&self, change: impl Fn(&Set) -> Set) -> Self {
        Self {
            added: change(&self.added),
            modified: change(&self.modified),
            removed: change(&self.removed),
        }
    }
}

/// What differs between `old` and `new`.
pub(crate) fn compare(node: &Node, old: &Value, new: &Value) -> Difference {
    let mut walk = Walk { path: Vec::new(), found: Difference::default() };
    walk.both(node, Some(old), Some(new));
    walk.found
}

struct Walk {
    path: Vec<Element>,
    found: Difference,
}

impl Walk {
    fn both(&mut self, node: &Node, old: Option<&Value>, new: Option<&Value>) {
        match shape(node, &[old, new]) {
            // Nothing on both sides may still be an empty object here and null there.
            Shape::Fields | Shape::Elements(..) if bare(old) && bare(new) => {
                return self.leaf(old, new);
            }
            Shape::Leaf => return self.leaf(old, new),
            Shape::Fields => {
                let (old, new) = (entries(old), entries(new));
                let names: BTreeSet<&String> =
                    old.into_iter().chain(new).flat_map(|map| map.keys()).collect();
                for name in names {
                    self.path.push(Element::field(name.as_str()));
                    let old = old.and_then(|map| map.get(name));
                    let new = new.and_then(|map| map.get(name));
                    self.both(field(node, name).0, old, new);
                    self.path.pop();
                }
            }
            Shape::Elements(items, merge) => {
                let old = grouped(&elements(merge, old));
                let new = grouped(&elements(merge, new));
                let steps: BTreeSet<&Element> = old.keys().chain(new.keys()).collect();
                for step in steps {
                    self.path.push(step.clone());
                    match (old.get(step).map(Vec::as_slice), new.get(step).map(Vec::as_slice)) {
                        (Some([old]), Some([new])) => self.both(items, Some(old), Some(new)),
                        (None, Some([new])) => self.both(items, None, Some(new)),
                        (Some([old]), None) => self.both(items, Some(old), None),
                        (Some(old), Some(new)) if old == new => {}
                        (old, new) => self.mark(old.is_some(), new.is_some()),
                    }
                    self.path.pop();
                }
            }
        }
        if old.is_none() || new.is_none() {
            self.mark(old.is_some(), new.is_some());
        }
    }

    fn leaf(&mut self, old: Option<&Value>, new: Option<&Value>) {
        if old != new {
            self.mark(old.is_some(), new.is_some());
        }
    }

    fn mark(&mut self, was: bool, is: bool) {
        let set = match (was, is) {
            (false, _) => &mut self.found.added,
            (true, false) => &mut self.found.removed,
            (true, true) => &mut self.found.modified,
        };
        set.insert(&self.path);
    }
}
