//! The kinds that this door serves.

use ebb_model::{Fault, Timestamp, key};
use serde_json::Value;

use crate::auth::Verb;
use crate::decode::Decoded;
use crate::kinds;
use crate::status::Failure;
use crate::table::Column;

/// Everything that is particular to one kind. The verbs are the same for all of them.
#[allow(clippy::struct_excessive_bools, clippy::struct_field_names)] // a table of facts
pub(crate) struct Kind {
    /// API group, empty for core.
    pub(crate) group: &'static str,
    /// Version within the group.
    pub(crate) version: &'static str,
    /// Kind, such as `Secret`.
    pub(crate) kind: &'static str,
    /// Plural, as in paths.
    pub(crate) plural: &'static str,
    /// Singular, as on command lines.
    pub(crate) singular: &'static str,
    /// Short names, as on command lines.
    pub(crate) short: &'static [&'static str],
    /// Groups of kinds that it is listed with, such as `all`.
    pub(crate) categories: &'static [&'static str],
    /// Whether its objects live in a namespace.
    pub(crate) namespaced: bool,
    /// Which store holds it.
    pub(crate) backing: Backing,
    /// Whether it is encrypted at rest.
    pub(crate) sealed: bool,
    /// What clients may do.
    pub(crate) verbs: &'static [Verb],
    /// What to do instead of what clients may not do; empty when there is nothing to say.
    pub(crate) refused: &'static str,
    /// Whether a strategic merge patch is taken, as for Kubernetes' own kinds.
    pub(crate) strategic: bool,
    /// Whether `status` belongs to controllers, so that clients cannot write it.
    pub(crate) status: bool,
    /// Whether `metadata.generation` counts the changes of `spec`.
    pub(crate) generation: bool,
    /// Subresources that are read with `get`.
    pub(crate) subresources: &'static [&'static str],
    /// Fields for field selectors, besides `metadata.name` and `metadata.namespace`.
    pub(crate) fields: &'static [&'static str],
    /// Columns of its table.
    pub(crate) columns: &'static [Column],
    /// Cells of one object, one per column.
    pub(crate) cells: fn(&Value, Timestamp) -> Vec<Value>,
    /// Reads it strictly as its type.
    pub(crate) decode: fn(Value) -> Result<Decoded, Failure>,
    /// Fills in what was left out.
    pub(crate) default: fn(&mut Value),
    /// What is wrong with a new object, given the old one when it is an update.
    pub(crate) validate: fn(&Value, Option<&Value>) -> Vec<Fault>,
}

/// Which store holds a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backing {
    /// Declared; survives everything.
    Durable,
    /// Mirrors the running machine; gone with the process.
    Live,
}

/// Every verb.
pub(crate) const ALL: &[Verb] =
    &[Verb::Create, Verb::Delete, Verb::Get, Verb::List, Verb::Patch, Verb::Update, Verb::Watch];
/// For kinds that only controllers write.
pub(crate) const READ: &[Verb] = &[Verb::Get, Verb::List, Verb::Watch];

/// Every kind, in the order of discovery.
pub(crate) static KINDS: &[&Kind] = &[
    &kinds::configmap::KIND,
    &kinds::event::KIND,
    &kinds::namespace::KIND,
    &kinds::node::KIND,
    &kinds::pod::KIND,
    &kinds::secret::KIND,
    &kinds::configuration::KIND,
    &kinds::revision::KIND,
    &kinds::route::KIND,
    &kinds::service::KIND,
];

/// The kind at `group/version` with this plural.
pub(crate) fn find(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    KINDS
        .iter()
        .copied()
        .find(|kind| kind.group == group && kind.version == version && kind.plural == plural)
}

/// Every group and version with kinds, in the order of discovery.
pub(crate) fn group_versions() -> Vec<(&'static str, &'static str)> {
    let mut seen: Vec<_> = KINDS.iter().map(|kind| (kind.group, kind.version)).collect();
    seen.push((crate::images::GROUP, crate::images::VERSION));
    seen.dedup();
    seen
}

impl Kind {
    /// `v1` or `<group>/<version>`.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `<plural>` or `<plural>.<group>`, as Kubernetes names a resource in messages.
    pub(crate) fn resource(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_owned()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// Key of an object; the namespace is empty for a cluster-scoped kind.
    pub(crate) fn key(&self, namespace: &str, name: &str) -> String {
        key::object(self.group, self.plural, namespace, name)
    }

    /// Prefix of the keys of every object, or of those in one namespace.
    pub(crate) fn prefix(&self, namespace: Option<&str>) -> String {
        match namespace {
            Some(namespace) => key::namespaced(self.group, self.plural, namespace),
            None => key::all(self.group, self.plural),
        }
    }

    /// Whether clients may do `verb`.
    pub(crate) fn allows(&self, verb: Verb) -> bool {
        self.verbs.contains(&verb)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_has_a_cell_per_column_and_takes_an_empty_object() {
        for kind in KINDS {
            let object = json!({"metadata": {"name": "x"}});
            let cells = (kind.cells)(&object, Timestamp::default());
            assert_eq!(cells.len(), kind.columns.len(), "{}", kind.kind);
            assert!(find(kind.group, kind.version, kind.plural).is_some());
            let mut object = (kind.decode)(object).unwrap().object;
            (kind.default)(&mut object);
            let _ = (kind.validate)(&object, None);
        }
    }
}
