//! The kinds that this door serves.

use ebb_model::{Fault, Timestamp, key};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::admission::Lookup;
use crate::auth::{Principal, Verb};
use crate::decode::{self, Decoded};
use crate::kinds;
use crate::protobuf;
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
    /// What it is, in one sentence; empty to take it from the type.
    pub(crate) about: &'static str,
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
    /// Says what the server has to say to an object that is not stored; none for the stored ones.
    pub(crate) answer: Option<Answer>,
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
    /// Fields beside `metadata` that only the server writes, besides `status`.
    pub(crate) kept: &'static [&'static str],
    /// Whether replacing one that is not there makes it.
    pub(crate) put_creates: bool,
    /// Whether replacing one without naming its version is taken: Kubernetes'
    /// `AllowUnconditionalUpdate`.
    pub(crate) allow_unconditional_update: bool,
    /// Whether `metadata.generation` counts the changes of `spec`.
    pub(crate) generation: bool,
    /// What else there is below one object.
    pub(crate) subresources: &'static [Subresource],
    /// Fields for field selectors, besides `metadata.name` and `metadata.namespace`.
    pub(crate) fields: &'static [&'static str],
    /// Columns of its table.
    pub(crate) columns: &'static [Column],
    /// Cells of one object, one per column.
    pub(crate) cells: fn(&Value, Timestamp) -> Vec<Value>,
    /// Its type: the one source of what fields it has.
    pub(crate) type_: Type,
    /// Reads its protobuf form; none when it has none.
    pub(crate) protobuf: Option<protobuf::Convert>,
    /// Fills in what was left out.
    pub(crate) default: fn(&mut Value),
    /// What is wrong with a new object, given the old one when it is an update.
    pub(crate) validate: fn(&Value, Option<&Value>) -> Vec<Fault>,
    /// What else must be looked up to judge it; none for most.
    pub(crate) lookup: Option<Lookup>,
}

/// Fills the status of an object that is answered and not stored, for whoever asks.
pub(crate) type Answer = fn(Principal, &mut Value);

/// The Rust type of a kind, from which everything about its fields is derived: strict decoding,
/// schema, and with the schema OpenAPI, patch keys and the reference.
#[derive(Clone, Copy)]
pub(crate) struct Type {
    /// Reads it strictly.
    pub(crate) decode: fn(Value) -> Result<Decoded, Failure>,
    /// Its JSON schema, with references into the generator's definitions.
    pub(crate) schema: fn(&mut SchemaGenerator) -> Schema,
}

impl Type {
    /// Everything that the Rust type says.
    pub(crate) const fn of<T: DeserializeOwned + Serialize + JsonSchema>() -> Self {
        Self { decode: decode::typed::<T>, schema: |generator| generator.subschema_for::<T>() }
    }
}

/// A part or view of an object with a path of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subresource {
    /// Output of a Pod's container.
    Log,
    /// What controllers observed.
    Status,
    /// The number of instances, as `autoscaling/v1` Scale.
    Scale,
}

impl Subresource {
    /// As in paths.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Status => "status",
            Self::Scale => "scale",
        }
    }

    /// Group, version and kind of what it answers, for objects of `kind`.
    pub(crate) const fn gvk(self, kind: &Kind) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Log | Self::Status => (kind.group, kind.version, kind.kind),
            Self::Scale => ("autoscaling", "v1", "Scale"),
        }
    }

    /// What clients may do with it.
    pub(crate) const fn verbs(self) -> &'static [Verb] {
        match self {
            Self::Log => &[Verb::Get],
            Self::Status | Self::Scale => &[Verb::Get, Verb::Patch, Verb::Update],
        }
    }
}

/// Which store holds a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backing {
    /// Declared; survives everything.
    Durable,
    /// Mirrors the running machine; gone with the process.
    Live,
    /// None: it is answered at once ([`Kind::answer`]).
    Answered,
}

/// Every verb.
pub(crate) const ALL: &[Verb] = &[
    Verb::Create,
    Verb::Delete,
    Verb::DeleteCollection,
    Verb::Get,
    Verb::List,
    Verb::Patch,
    Verb::Update,
    Verb::Watch,
];
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
    &kinds::self_subject_review::KIND,
    &kinds::self_subject_access_review::KIND,
    &kinds::self_subject_rules_review::KIND,
    &kinds::lease::KIND,
    &kinds::configuration::KIND,
    &kinds::revision::KIND,
    &kinds::route::KIND,
    &kinds::service::KIND,
];

/// Every kind that is stored, for those who treat all of them alike: garbage collection, namespaces.
pub fn resources() -> Vec<ebb_model::Resource> {
    let resource = |kind: &&Kind| ebb_model::Resource {
        group: kind.group.to_owned(),
        version: kind.version.to_owned(),
        kind: kind.kind.to_owned(),
        plural: kind.plural.to_owned(),
        namespaced: kind.namespaced,
        durable: kind.backing == Backing::Durable,
    };
    KINDS.iter().filter(|kind| kind.backing != Backing::Answered).map(resource).collect()
}

/// The kind at `group/version` with this plural.
pub(crate) fn find(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    KINDS
        .iter()
        .copied()
        .find(|kind| kind.group == group && kind.version == version && kind.plural == plural)
}

/// Every group and version with kinds, in the order of discovery.
pub(crate) fn group_versions() -> Vec<(&'static str, &'static str)> {
    let kinds = KINDS.iter().map(|kind| (kind.group, kind.version));
    let mut seen = Vec::new();
    for found in kinds.chain([(crate::images::GROUP, crate::images::VERSION)]) {
        if !seen.contains(&found) {
            seen.push(found);
        }
    }
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
            let mut object = (kind.type_.decode)(object).unwrap().object;
            (kind.default)(&mut object);
            let _ = (kind.validate)(&object, None);
        }
    }
}
