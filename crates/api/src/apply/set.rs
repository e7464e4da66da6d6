//! Sets of fields: what a manager owns, or what a change touched.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::element::Element;

/// Paths, as a tree. A path is a member for itself: owning `.metadata.labels` says nothing about
/// `.metadata.labels.app`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Set(BTreeMap<Element, Branch>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Branch {
    /// Whether the path that ends here is in the set.
    member: bool,
    below: Set,
}

impl Branch {
    fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }
}

impl Set {
    /// Whether no path is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one path; the empty path is no field.
    pub(crate) fn insert(&mut self, path: &[Element]) {
        if let [first, rest @ ..] = path {
            let branch = self.0.entry(first.clone()).or_default();
            if rest.is_empty() {
                branch.member = true;
            } else {
                branch.below.insert(rest);
            }
        }
    }

    /// Whether the one-step path is in it.
    pub(crate) fn has(&self, element: &Element) -> bool {
        self.0.get(element).is_some_and(|branch| branch.member)
    }

    /// What it holds below a step.
    pub(crate) fn below(&self, element: &Element) -> Option<&Self> {
        self.0.get(element).map(|branch| &branch.below).filter(|below| !below.is_empty())
    }

    /// The first steps of its paths.
    pub(crate) fn first_steps(&self) -> impl Iterator<Item = &Element> {
        self.0.keys()
    }

    /// Adds a one-step path when `member`, and paths below it.
    pub(crate) fn graft(&mut self, element: Element, member: bool, below: Self) {
        if member || !below.is_empty() {
            let branch = self.0.entry(element).or_default();
            branch.member |= member;
            if branch.below.is_empty() {
                branch.below = below;
            } else {
                branch.below.absorb(&below);
            }
        }
    }

    /// Adds the paths of another one.
    pub(crate) fn absorb(&mut self, other: &Self) {
        for (element, theirs) in &other.0 {
            let branch = self.0.entry(element.clone()).or_default();
            branch.member |= theirs.member;
            branch.below.absorb(&theirs.below);
        }
    }

    /// Paths of either.
    pub(crate) fn union(&self, other: &Self) -> Self {
        let mut union = self.clone();
        union.absorb(other);
        union
    }

    /// Its paths for which `keep` says so, given whether the other one has them.
    fn filter(&self, other: &Self, keep: fn(bool) -> bool) -> Self {
        let none = Branch::default();
        let branches = self.0.iter().map(|(element, ours)| {
            let theirs = other.0.get(element).unwrap_or(&none);
            let member = ours.member && keep(theirs.member);
            let below = ours.below.filter(&theirs.below, keep);
            (element.clone(), Branch { member, below })
        });
        Self(branches.filter(|(_, branch)| !branch.is_empty()).collect())
    }

    /// Paths of both.
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        self.filter(other, |theirs| theirs)
    }

    /// Paths of this one only.
    pub(crate) fn difference(&self, other: &Self) -> Self {
        self.filter(other, |theirs| !theirs)
    }

    /// Without a field of the object and everything below it.
    pub(crate) fn without(&self, field: &str) -> Self {
        let mut rest = self.clone();
        rest.0.remove(&Element::field(field));
        rest
    }

    /// Only a field of the object and everything below it.
    pub(crate) fn only(&self, field: &str) -> Self {
        let field = Element::field(field);
        let kept =
            self.0.get_key_value(&field).map(|(step, branch)| (step.clone(), branch.clone()));
        Self(kept.into_iter().collect())
    }

    /// Every path, in order.
    pub(crate) fn paths(&self) -> Vec<Vec<Element>> {
        let mut paths = Vec::new();
        self.collect(&mut Vec::new(), &mut paths);
        paths
    }

    fn collect(&self, path: &mut Vec<Element>, paths: &mut Vec<Vec<Element>>) {
        for (element, branch) in &self.0 {
            path.push(element.clone());
            if branch.member {
                paths.push(path.clone());
            }
            branch.below.collect(path, paths);
            path.pop();
        }
    }

    /// As `FieldsV1`.
    pub(crate) fn encode(&self) -> Value {
        let mut map = Map::new();
        for (element, branch) in &self.0 {
            let mut below = branch.below.encode();
            if branch.member && !branch.below.is_empty() {
                below["."] = Value::Object(Map::new());
            }
            map.insert(element.encode(), below);
        }
        Value::Object(map)
    }

    /// From `FieldsV1`.
    ///
    /// # Errors
    /// The key that is not a step of a path.
    pub(crate) fn decode(value: &Value) -> Result<Self, String> {
        let Value::Object(map) = value else {
            return Err(format!("{value} is not an object"));
        };
        let mut set = BTreeMap::new();
        for (key, value) in map.iter().filter(|(key, _)| *key != ".") {
            let element = Element::decode(key).ok_or_else(|| key.clone())?;
            let below = Self::decode(value)?;
            let leaf = value.as_object().is_none_or(Map::is_empty);
            let branch = Branch { member: leaf || value.get(".").is_some(), below };
            if !branch.is_empty() {
                set.insert(element, branch);
            }
        }
        Ok(Self(set))
    }
}

/// A path as in messages.
pub(crate) fn render(path: &[Element]) -> String {
    path.iter().map(Element::to_string).collect()
}
