//! What the Rust types cannot say: which lists are merged by which keys, and what is replaced as a
//! whole. The facts are those of Kubernetes' published OpenAPI and of Knative's own resource
//! definitions (`x-kubernetes-*`); every list that is not named here is replaced as a whole.

use super::ListMerge;
use crate::registry::Kind;

/// Where a kind comes from, which decides what is known about the types that it shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Kubernetes' own: knows strategic merge patches.
    Builtin,
    /// A custom resource: no strategic merge, and types of Pods are merged as its definition says.
    Custom,
}

impl Origin {
    /// Of a kind.
    pub(crate) const fn of(kind: &Kind) -> Self {
        if kind.strategic { Self::Builtin } else { Self::Custom }
    }
}

/// How one list is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct List {
    /// By server-side apply.
    pub(crate) merge: ListMerge,
    /// By a strategic merge patch, see [`super::Node::List`].
    pub(crate) patch_key: Option<&'static str>,
    /// Whether such a patch may say which fields of an element stay (`$retainKeys`).
    pub(crate) retain_keys: bool,
}

/// A list that nothing is known about.
const ATOMIC: List = List { merge: ListMerge::Atomic, patch_key: None, retain_keys: false };

const fn keyed(keys: &'static [&'static str]) -> List {
    List { merge: ListMerge::Map(keys), patch_key: Some(keys[0]), retain_keys: false }
}

const fn retaining(keys: &'static [&'static str]) -> List {
    List { retain_keys: true, ..keyed(keys) }
}

/// Server-side apply knows the keys, strategic merge does not.
const fn apply_only(merge: ListMerge) -> List {
    List { merge, ..ATOMIC }
}

const NAME: List = keyed(&["name"]);
const TYPE: List = keyed(&["type"]);
const PORTS: List = keyed(&["containerPort", "protocol"]);
const MOUNTS: List = keyed(&["mountPath"]);
const DEVICES: List = keyed(&["devicePath"]);
/// Plain values, merged as a set by both.
const SET: List = List { merge: ListMerge::Set, patch_key: Some(""), retain_keys: false };

/// Definition (last part of its name), field, how it is merged.
const LISTS: &[(&str, &str, List)] = &[
    ("Container", "env", NAME),
    ("Container", "ports", PORTS),
    ("Container", "volumeDevices", DEVICES),
    ("Container", "volumeMounts", MOUNTS),
    ("ContainerRestartRuleOnExitCodes", "values", apply_only(ListMerge::Set)),
    ("ContainerStatus", "allocatedResourcesStatus", NAME),
    ("ContainerStatus", "volumeMounts", MOUNTS),
    ("EphemeralContainer", "env", NAME),
    ("EphemeralContainer", "ports", PORTS),
    ("EphemeralContainer", "volumeDevices", DEVICES),
    ("EphemeralContainer", "volumeMounts", MOUNTS),
    ("NamespaceStatus", "conditions", TYPE),
    ("NodeSpec", "podCIDRs", SET),
    ("NodeStatus", "addresses", TYPE),
    ("NodeStatus", "conditions", TYPE),
    ("ObjectMeta", "finalizers", SET),
    ("ObjectMeta", "ownerReferences", keyed(&["uid"])),
    ("PodSpec", "containers", NAME),
    ("PodSpec", "ephemeralContainers", NAME),
    ("PodSpec", "evictionResponders", NAME),
    ("PodSpec", "hostAliases", keyed(&["ip"])),
    ("PodSpec", "imagePullSecrets", NAME),
    ("PodSpec", "initContainers", NAME),
    ("PodSpec", "resourceClaims", retaining(&["name"])),
    ("PodSpec", "schedulingGates", NAME),
    ("PodSpec", "topologySpreadConstraints", keyed(&["topologyKey", "whenUnsatisfiable"])),
    ("PodSpec", "volumes", retaining(&["name"])),
    ("PodStatus", "conditions", TYPE),
    (
        "PodStatus",
        "hostIPs",
        List { merge: ListMerge::Atomic, patch_key: Some("ip"), retain_keys: false },
    ),
    ("PodStatus", "nodeAllocatableResourceClaimStatuses", keyed(&["resourceClaimName"])),
    ("PodStatus", "podIPs", keyed(&["ip"])),
    ("PodStatus", "resourceClaimStatuses", retaining(&["name"])),
    ("PodStatus", "volumeHealth", NAME),
    ("ResourceRequirements", "claims", apply_only(ListMerge::Map(&["name"]))),
    ("ResourceStatus", "resources", apply_only(ListMerge::Map(&["resourceID"]))),
];

/// The same for custom resources. Knative gives keys to these lists of its Pod template only; its
/// containers and ports are replaced as a whole.
const CUSTOM: &[(&str, &str, List)] = &[
    ("Container", "env", apply_only(ListMerge::Map(&["name"]))),
    ("Container", "volumeMounts", apply_only(ListMerge::Map(&["mountPath"]))),
    ("ObjectMeta", "finalizers", apply_only(ListMerge::Set)),
    ("ObjectMeta", "ownerReferences", apply_only(ListMerge::Map(&["uid"]))),
    ("RevisionSpec", "imagePullSecrets", apply_only(ListMerge::Map(&["name"]))),
    ("RevisionSpec", "volumes", apply_only(ListMerge::Map(&["name"]))),
];

/// Definitions that are replaced as a whole.
const ATOMIC_STRUCTS: &[&str] = &[
    "ConfigMapEnvSource",
    "ConfigMapKeySelector",
    "CrossVersionObjectReference",
    "FileKeySelector",
    "LabelSelector",
    "LocalObjectReference",
    "NodeSelector",
    "NodeSelectorTerm",
    "ObjectFieldSelector",
    "ObjectReference",
    "OwnerReference",
    "ResourceFieldSelector",
    "SecretEnvSource",
    "SecretKeySelector",
    "SecretReference",
    "TypedLocalObjectReference",
];

/// Those of them that are so only in custom resources, where a reference that Kubernetes embeds is
/// written out.
const ATOMIC_IF_CUSTOM: &[&str] = &["ConfigMapEnvSource", "SecretEnvSource"];

/// Fields with free keys that are replaced as a whole.
const ATOMIC_MAPS: &[(&str, &str)] =
    &[("PodSpec", "nodeSelector"), ("RevisionSpec", "nodeSelector")];

/// How the list in `field` of `definition` is merged.
pub(crate) fn list(origin: Origin, definition: &str, field: &str) -> List {
    let table = match origin {
        Origin::Builtin => LISTS,
        Origin::Custom => CUSTOM,
    };
    let short = short(definition);
    let found = table.iter().find(|(d, f, _)| *d == short && *f == field);
    found.map_or(ATOMIC, |(_, _, list)| *list)
}

/// Whether `definition` is replaced as a whole.
pub(crate) fn atomic_struct(origin: Origin, definition: &str) -> bool {
    let short = short(definition);
    ATOMIC_STRUCTS.contains(&short)
        && (origin == Origin::Custom || !ATOMIC_IF_CUSTOM.contains(&short))
}

/// Whether the free keys in `field` of `definition` are replaced as a whole.
pub(crate) fn atomic_map(definition: &str, field: &str) -> bool {
    ATOMIC_MAPS.contains(&(short(definition), field))
}

/// The last part of a definition's name.
fn short(definition: &str) -> &str {
    definition.rsplit('.').next().unwrap_or(definition)
}
