mod reference;

use std::fmt::Write as _;

use expect_test::expect;

use super::*;
use crate::registry::KINDS;

/// One line per list and per map or struct that is replaced as a whole, by path.
fn facts(node: &Node, path: &str, out: &mut String) {
    match node {
        Node::Struct { fields, atomic } => {
            if *atomic {
                let _ = writeln!(out, "{path}: atomic");
                return;
            }
            for (name, field) in fields {
                facts(field, &format!("{path}.{name}"), out);
            }
        }
        Node::Map { values, atomic } => {
            if *atomic {
                let _ = writeln!(out, "{path}: atomic");
            }
            facts(values, &format!("{path}{{}}"), out);
        }
        Node::List { items, merge, patch_key } => {
            let merge = match merge {
                ListMerge::Atomic => "atomic".to_owned(),
                ListMerge::Set => "set".to_owned(),
                ListMerge::Map(keys) => format!("map by {}", keys.join(", ")),
            };
            let merged = match patch_key {
                Some("") => ", patched as a set".to_owned(),
                Some(key) => format!(", patched by {key}"),
                None => String::new(),
            };
            if merge != "atomic" || !merged.is_empty() {
                let _ = writeln!(out, "{path}[]: {merge}{merged}");
            }
            facts(items, &format!("{path}[]"), out);
        }
        Node::Scalar | Node::Any => {}
    }
}

fn known(group: &str, plural: &str) -> &'static Node {
    of(crate::registry::find(group, "v1", plural).unwrap())
}

fn at<'a>(mut node: &'a Node, path: &[&str]) -> &'a Node {
    for part in path {
        node = match node {
            Node::Struct { fields, .. } => &fields[*part],
            Node::List { items, .. } => items,
            Node::Map { values, .. } => values,
            Node::Scalar | Node::Any => panic!("nothing below {part}"),
        };
    }
    node
}

#[test]
fn every_kind_has_metadata_with_the_same_facts() {
    for kind in KINDS {
        let node = of(kind);
        assert!(matches!(at(node, &["apiVersion"]), Node::Scalar), "{}", kind.kind);
        assert!(matches!(at(node, &["kind"]), Node::Scalar), "{}", kind.kind);
        let patch = if kind.strategic { ", patched by uid" } else { "" };
        let set = if kind.strategic { ", patched as a set" } else { "" };
        let mut text = String::new();
        facts(at(node, &["metadata"]), "", &mut text);
        assert_eq!(
            text,
            format!(
                ".finalizers[]: set{set}\n.ownerReferences[]: map by uid{patch}\n\
                 .ownerReferences[]: atomic\n"
            ),
            "{}",
            kind.kind
        );
        assert_eq!(*at(node, &["metadata", "managedFields", "", "fieldsV1"]), Node::Any);
        assert!(matches!(at(node, &["metadata", "labels", ""]), Node::Scalar));
    }
}

#[test]
fn kinds_without_lists_are_merged_by_key() {
    for plural in ["secrets", "configmaps"] {
        let data = at(known("", plural), &["data"]);
        let Node::Map { values, atomic: false } = data else { panic!("{data:?}") };
        assert_eq!(**values, Node::Scalar);
    }
}

#[test]
fn events_and_namespaces_and_nodes() {
    let mut text = String::new();
    for plural in ["events", "namespaces", "nodes"] {
        let Node::Struct { fields, .. } = known("", plural) else { panic!() };
        for (name, field) in fields.iter().filter(|(name, _)| *name != "metadata") {
            facts(field, &format!("{plural}.{name}"), &mut text);
        }
    }
    expect![[r"
        events.involvedObject: atomic
        events.related: atomic
        namespaces.status.conditions[]: map by type, patched by type
        nodes.spec.podCIDRs[]: set, patched as a set
        nodes.status.addresses[]: map by type, patched by type
        nodes.status.conditions[]: map by type, patched by type
    "]]
    .assert_eq(&text);
}

#[test]
fn pods_merge_as_kubernetes_says() {
    let mut text = String::new();
    let pod = known("", "pods");
    facts(at(pod, &["status"]), "status", &mut text);
    let Node::Struct { fields, .. } = at(pod, &["spec"]) else { panic!() };
    for (name, field) in fields {
        if !["volumes", "affinity", "initContainers", "ephemeralContainers"]
            .contains(&name.as_str())
        {
            facts(field, name, &mut text);
        }
    }
    expect![[r"
        status.conditions[]: map by type, patched by type
        status.containerStatuses[].allocatedResourcesStatus[]: map by name, patched by name
        status.containerStatuses[].allocatedResourcesStatus[].resources[]: map by resourceID
        status.containerStatuses[].resources.claims[]: map by name
        status.containerStatuses[].volumeMounts[]: map by mountPath, patched by mountPath
        status.ephemeralContainerStatuses[].allocatedResourcesStatus[]: map by name, patched by name
        status.ephemeralContainerStatuses[].allocatedResourcesStatus[].resources[]: map by resourceID
        status.ephemeralContainerStatuses[].resources.claims[]: map by name
        status.ephemeralContainerStatuses[].volumeMounts[]: map by mountPath, patched by mountPath
        status.hostIPs[]: atomic, patched by ip
        status.initContainerStatuses[].allocatedResourcesStatus[]: map by name, patched by name
        status.initContainerStatuses[].allocatedResourcesStatus[].resources[]: map by resourceID
        status.initContainerStatuses[].resources.claims[]: map by name
        status.initContainerStatuses[].volumeMounts[]: map by mountPath, patched by mountPath
        status.nodeAllocatableResourceClaimStatuses[]: map by resourceClaimName, patched by resourceClaimName
        status.podIPs[]: map by ip, patched by ip
        status.resourceClaimStatuses[]: map by name, patched by name
        status.resources.claims[]: map by name
        status.volumeHealth[]: map by name, patched by name
        containers[]: map by name, patched by name
        containers[].env[]: map by name, patched by name
        containers[].env[].valueFrom.configMapKeyRef: atomic
        containers[].env[].valueFrom.fieldRef: atomic
        containers[].env[].valueFrom.fileKeyRef: atomic
        containers[].env[].valueFrom.resourceFieldRef: atomic
        containers[].env[].valueFrom.secretKeyRef: atomic
        containers[].ports[]: map by containerPort, protocol, patched by containerPort
        containers[].resources.claims[]: map by name
        containers[].restartPolicyRules[].exitCodes.values[]: set
        containers[].volumeDevices[]: map by devicePath, patched by devicePath
        containers[].volumeMounts[]: map by mountPath, patched by mountPath
        evictionResponders[]: map by name, patched by name
        hostAliases[]: map by ip, patched by ip
        imagePullSecrets[]: map by name, patched by name
        imagePullSecrets[]: atomic
        nodeSelector: atomic
        resourceClaims[]: map by name, patched by name
        resources.claims[]: map by name
        schedulingGates[]: map by name, patched by name
        topologySpreadConstraints[]: map by topologyKey, whenUnsatisfiable, patched by topologyKey
        topologySpreadConstraints[].labelSelector: atomic
    "]].assert_eq(&text);
}

#[test]
fn services_of_knative_merge_as_a_custom_resource() {
    let mut text = String::new();
    let Node::Struct { fields, .. } = known("serving.knative.dev", "services") else { panic!() };
    for (name, field) in fields.iter().filter(|(name, _)| *name != "metadata") {
        facts(field, name, &mut text);
    }
    expect![[r"
        spec.template.metadata.finalizers[]: set
        spec.template.metadata.ownerReferences[]: map by uid
        spec.template.metadata.ownerReferences[]: atomic
        spec.template.spec.containers[].env[]: map by name
        spec.template.spec.containers[].env[].valueFrom.configMapKeyRef: atomic
        spec.template.spec.containers[].env[].valueFrom.fieldRef: atomic
        spec.template.spec.containers[].env[].valueFrom.fileKeyRef: atomic
        spec.template.spec.containers[].env[].valueFrom.resourceFieldRef: atomic
        spec.template.spec.containers[].env[].valueFrom.secretKeyRef: atomic
        spec.template.spec.containers[].envFrom[].configMapRef: atomic
        spec.template.spec.containers[].envFrom[].secretRef: atomic
        spec.template.spec.containers[].volumeMounts[]: map by mountPath
        spec.template.spec.imagePullSecrets[]: map by name
        spec.template.spec.imagePullSecrets[]: atomic
    "]]
    .assert_eq(&text);
}

#[test]
fn nothing_of_knative_is_patched_strategically() {
    fn none(node: &Node) -> bool {
        match node {
            Node::Struct { fields, .. } => fields.values().all(none),
            Node::Map { values, .. } => none(values),
            Node::List { items, patch_key, .. } => patch_key.is_none() && none(items),
            Node::Scalar | Node::Any => true,
        }
    }
    for kind in KINDS.iter().filter(|kind| !kind.strategic) {
        assert!(none(of(kind)), "{}", kind.kind);
    }
}

#[test]
fn what_only_a_subresource_serves_has_a_view_too() {
    let replicas = at(of(&crate::kinds::scale::KIND), &["spec", "replicas"]);
    assert_eq!(*replicas, Node::Scalar);
}

#[test]
fn a_kind_without_a_type_is_anything() {
    let kind = Kind { plural: "unheard-of", ..crate::kinds::CORE };
    assert_eq!(*of(&kind), Node::Any);
}
