//! Kinds of objects, as those need them who treat all kinds alike.

/// One kind of stored objects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// API group, empty for core.
    pub group: String,
    /// Version within the group.
    pub version: String,
    /// Kind, such as `Secret`.
    pub kind: String,
    /// Plural, as in paths and keys.
    pub plural: String,
    /// Whether its objects live in a namespace.
    pub namespaced: bool,
    /// Whether it is declared and survives the process. The others mirror the running machine.
    pub durable: bool,
}

impl Resource {
    /// `v1` or `<group>/<version>`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `<plural>` or `<plural>.<group>`, as Kubernetes names a resource in messages.
    pub fn full_name(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }
}
