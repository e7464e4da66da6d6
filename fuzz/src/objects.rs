//! A valid object of each kind: what generated requests are made from.

use serde_json::{Value, json};

use crate::case::Case;

/// Name of every object that a door starts with.
pub const NAME: &str = "hello";
/// Path of the namespaced core kinds.
const CORE: &str = "/api/v1/namespaces/default";
/// Path of the kinds of Knative Serving.
const SERVING: &str = "/apis/serving.knative.dev/v1/namespaces/default";

/// A valid object of the collection with this plural, named `name`; none when nothing is known of
/// it but its schema.
pub fn of(plural: &str, name: &str) -> Option<Value> {
    let template =
        json!({"spec": {"containers": [{"image": "hello", "env": [{"name": "A", "value": "1"}]}]}});
    let serving = |kind: &str, spec: Value| json!({"apiVersion": "serving.knative.dev/v1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    let core = |kind: &str, more: Value| {
        let mut object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
        if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
            object.extend(more);
        }
        object
    };
    Some(match plural {
        "configmaps" => {
            core("ConfigMap", json!({"data": {"a": "1", "b": "2"}, "binaryData": {"c": "AAEC"}}))
        }
        "secrets" => core(
            "Secret",
            json!({"type": "Opaque", "data": {"k": "dg=="}, "stringData": {"s": "t"}}),
        ),
        "namespaces" => core("Namespace", json!({})),
        "events" => core(
            "Event",
            json!({
                "type": "Normal", "reason": "Tested", "message": "m", "count": 1,
                "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": "p", "namespace": "default"},
                "firstTimestamp": "2024-01-01T00:00:00Z", "lastTimestamp": "2024-01-01T00:00:00Z",
                "source": {"component": "c"},
            }),
        ),
        "leases" => json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name},
            "spec": {"holderIdentity": "a", "leaseDurationSeconds": 15, "leaseTransitions": 0,
                "renewTime": "2024-01-01T00:00:00.000000Z"},
        }),
        "services" => serving(
            "Service",
            json!({
                "template": template, "traffic": [{"latestRevision": true, "percent": 100}],
            }),
        ),
        "configurations" => serving("Configuration", json!({"template": template})),
        "routes" => {
            serving("Route", json!({"traffic": [{"configurationName": NAME, "percent": 100}]}))
        }
        "scale" => json!({
            "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": name, "namespace": "default"},
            "spec": {"replicas": 2},
        }),
        "selfsubjectaccessreviews" => json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}},
        }),
        _ => return None,
    })
}

/// What a door starts with that people write: collection and object.
pub(crate) fn declared() -> Vec<(&'static str, Value)> {
    let objects = [
        ("/api/v1/namespaces", "namespaces", "other"),
        ("/api/v1/namespaces/default/configmaps", "configmaps", NAME),
        ("/api/v1/namespaces/default/secrets", "secrets", NAME),
        ("/api/v1/namespaces/default/events", "events", NAME),
        ("/apis/serving.knative.dev/v1/namespaces/default/services", "services", NAME),
        ("/apis/serving.knative.dev/v1/namespaces/default/configurations", "configurations", NAME),
        ("/apis/serving.knative.dev/v1/namespaces/default/routes", "routes", NAME),
    ];
    objects.into_iter().filter_map(|(path, plural, name)| Some((path, of(plural, name)?))).collect()
}

/// What a door starts with that controllers write: whether it is kept in memory, its key and the
/// object.
pub(crate) fn observed() -> Vec<(bool, String, Value)> {
    let meta = json!({"name": NAME, "namespace": "default", "uid": "00000000-0000-4000-8000-000000000001",
        "creationTimestamp": "2024-01-01T00:00:00Z", "labels": {"serving.knative.dev/service": NAME}});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta,
        "spec": {"containers": [{"name": "user-container", "image": "hello"}]},
        "status": {"phase": "Running"}});
    let mut cluster = meta.clone();
    if let Some(cluster) = cluster.as_object_mut() {
        cluster.remove("namespace");
    }
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": cluster, "status": {}});
    let revision = json!({"apiVersion": "serving.knative.dev/v1", "kind": "Revision", "metadata": meta,
        "spec": {"containers": [{"image": "hello"}], "timeoutSeconds": 300}, "status": {"conditions": []}});
    let key = ebb_model::key::object;
    vec![
        (true, key("", "pods", "default", NAME), pod),
        (true, key("", "nodes", "", NAME), node),
        (false, key("serving.knative.dev", "revisions", "default", NAME), revision),
    ]
}

/// Creates `object` in the collection at `path`.
pub fn create(path: &str, object: &Value) -> Case {
    Case {
        method: "POST".to_owned(),
        path: path.to_owned(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: object.to_string().into_bytes(),
        ..Case::default()
    }
}

/// Collections in `default` that are asked for most.
pub fn collections() -> [String; 5] {
    [
        format!("{CORE}/configmaps"),
        format!("{CORE}/secrets"),
        format!("{CORE}/events"),
        format!("{SERVING}/services"),
        format!("{SERVING}/routes"),
    ]
}
