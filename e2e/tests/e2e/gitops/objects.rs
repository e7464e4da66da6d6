//! What the controller keeps: a few kinds, and many objects of each.

use base64::Engine as _;
use ebb_e2e::image;
use serde_json::{Value, json};

/// Namespace of everything here.
pub(crate) const NAMESPACE: &str = "gitops";
/// Label that all of it carries, as in a selector.
pub(crate) const LABEL: &str = "kept-by=gitops";

/// A kind, with what the controller and others do to its objects.
#[derive(Debug)]
pub(crate) struct Kind {
    /// Path of its objects.
    pub(crate) path: &'static str,
    /// How many objects there are.
    pub(crate) count: usize,
    /// Whether controllers of the platform write its objects too.
    pub(crate) reconciled: bool,
    make: fn(&str) -> Value,
    /// A field that the controller applies.
    pub(crate) owned: &'static str,
    /// A change of that field.
    pub(crate) conflicting: fn() -> Value,
    /// A field that it does not apply.
    pub(crate) free: &'static str,
    /// A change of that one.
    pub(crate) disjoint: fn() -> Value,
}

/// 200 objects in all.
pub(crate) const KINDS: [Kind; 5] = [
    Kind {
        path: "/api/v1/namespaces/gitops/configmaps",
        count: 60,
        reconciled: false,
        make: |_| json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"colour": "blue"}}),
        owned: "/data/colour",
        conflicting: || json!({"data": {"colour": "red"}}),
        free: "/data/local",
        disjoint: || json!({"data": {"local": "kept"}}),
    },
    Kind {
        path: "/api/v1/namespaces/gitops/secrets",
        count: 50,
        reconciled: false,
        make: |_| json!({"apiVersion": "v1", "kind": "Secret", "data": {"colour": encoded("blue")}}),
        owned: "/data/colour",
        conflicting: || json!({"data": {"colour": encoded("red")}}),
        free: "/data/local",
        disjoint: || json!({"data": {"local": encoded("kept")}}),
    },
    Kind {
        path: "/apis/coordination.k8s.io/v1/namespaces/gitops/leases",
        count: 50,
        reconciled: false,
        make: |name| {
            json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "spec": {"holderIdentity": name, "leaseDurationSeconds": 15}})
        },
        owned: "/spec/holderIdentity",
        conflicting: || json!({"spec": {"holderIdentity": "somebody"}}),
        free: "/spec/leaseTransitions",
        disjoint: || json!({"spec": {"leaseTransitions": 3}}),
    },
    Kind {
        path: "/apis/serving.knative.dev/v1/namespaces/gitops/services",
        count: 20,
        reconciled: true,
        make: |_| serving("Service"),
        owned: "/spec/template/spec/timeoutSeconds",
        conflicting: || json!({"spec": {"template": {"spec": {"timeoutSeconds": 40}}}}),
        free: "/metadata/annotations/local",
        disjoint: || json!({"metadata": {"annotations": {"local": "kept"}}}),
    },
    Kind {
        path: "/apis/serving.knative.dev/v1/namespaces/gitops/configurations",
        count: 20,
        reconciled: true,
        make: |_| serving("Configuration"),
        owned: "/spec/template/spec/timeoutSeconds",
        conflicting: || json!({"spec": {"template": {"spec": {"timeoutSeconds": 40}}}}),
        free: "/metadata/annotations/local",
        disjoint: || json!({"metadata": {"annotations": {"local": "kept"}}}),
    },
];

impl Kind {
    /// What the controller applies under this name.
    pub(crate) fn object(&self, name: &str) -> Value {
        let mut object = (self.make)(name);
        object["metadata"] =
            json!({"name": name, "namespace": NAMESPACE, "labels": {"kept-by": "gitops"}});
        object
    }

    /// Its objects. No two kinds share a name, as a Service brings a Configuration of its own name.
    pub(crate) fn objects(&self) -> Vec<Value> {
        (0..self.count).map(|n| self.object(&self.name(n))).collect()
    }

    /// Name of an object.
    pub(crate) fn name(&self, n: usize) -> String {
        format!("{}-{n:02}", self.plural())
    }

    /// Name of the object that is made after everything else.
    pub(crate) fn last(&self) -> String {
        format!("{}-last", self.plural())
    }

    fn plural(&self) -> &'static str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// A Service or Configuration that sleeps when nobody asks.
fn serving(kind: &str) -> Value {
    json!({
        "apiVersion": "serving.knative.dev/v1",
        "kind": kind,
        "spec": { "template": {
            "metadata": { "annotations": { "autoscaling.knative.dev/min-scale": "0" } },
            "spec": { "timeoutSeconds": 30, "containers": [{ "image": image::HELLO }] },
        }},
    })
}

fn encoded(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}
