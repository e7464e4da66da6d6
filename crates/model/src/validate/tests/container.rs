//! The one container of a template.

use serde_json::json;

use super::*;

#[test]
#[allow(clippy::too_many_lines)] // a table
fn what_is_wrong_with_a_container() {
    let field = |name: &str| format!("spec.template.spec.containers[0].{name}");
    for (name, value, code, at) in [
        ("image", json!(null), "REQUIRED_FIELD", "image"),
        ("image", json!("A B"), "IMAGE_REFERENCE_INVALID", "image"),
        ("name", json!("A"), "INVALID_NAME", "name"),
        ("imagePullPolicy", json!("Never"), "UNSUPPORTED_FIELD", "imagePullPolicy"),
        ("ports", json!([{"containerPort": 0}]), "INVALID_PORT", "ports[0].containerPort"),
        ("ports", json!([{"containerPort": 65536}]), "INVALID_PORT", "ports[0].containerPort"),
        ("ports", json!([{"containerPort": 1}, {"containerPort": 2}]), "INVALID_PORT", "ports"),
        ("ports", json!([{"containerPort": 1, "name": "x"}]), "INVALID_PORT", "ports[0].name"),
        (
            "ports",
            json!([{"containerPort": 1, "name": "h2c"}]),
            "UNSUPPORTED_FIELD",
            "ports[0].name",
        ),
        (
            "ports",
            json!([{"containerPort": 1, "protocol": "UDP"}]),
            "INVALID_PORT",
            "ports[0].protocol",
        ),
        (
            "ports",
            json!([{"containerPort": 1, "hostPort": 1}]),
            "FORBIDDEN_FIELD",
            "ports[0].hostPort",
        ),
        ("env", json!([{"name": "PORT", "value": "1"}]), "RESERVED_ENV", "env[0].name"),
        ("env", json!([{"name": "K_REVISION", "value": "1"}]), "RESERVED_ENV", "env[0].name"),
        ("env", json!([{"name": "A=B"}]), "INVALID_NAME", "env[0].name"),
        ("env", json!([{"name": ""}]), "INVALID_NAME", "env[0].name"),
        ("env", json!([{"name": "1A"}]), "INVALID_NAME", "env[0].name"),
        ("env", json!([{"name": "A"}, {"name": "A"}]), "DUPLICATE_KEY", "env[1].name"),
        ("env", json!([{"name": "A", "value": "x\u{0}"}]), "INVALID_VALUE", "env[0].value"),
        (
            "env",
            json!([{"name": "A", "value": "x".repeat(32769)}]),
            "INVALID_VALUE",
            "env[0].value",
        ),
        ("env", json!([{"name": "A", "valueFrom": {}}]), "REQUIRED_FIELD", "env[0].valueFrom"),
        (
            "env",
            json!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]),
            "UNSUPPORTED_FIELD",
            "env[0].valueFrom.fieldRef",
        ),
        (
            "env",
            json!([{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "x"}}}]),
            "UNSUPPORTED_FIELD",
            "env[0].valueFrom.resourceFieldRef",
        ),
        (
            "env",
            json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "S", "key": "k"}}}]),
            "INVALID_NAME",
            "env[0].valueFrom.secretKeyRef.name",
        ),
        ("envFrom", json!([]), "UNSUPPORTED_FIELD", "envFrom"),
        ("livenessProbe", json!({}), "UNSUPPORTED_FIELD", "livenessProbe"),
        ("startupProbe", json!({}), "UNSUPPORTED_FIELD", "startupProbe"),
        ("readinessProbe", json!({}), "UNSUPPORTED_FIELD", "readinessProbe.tcpSocket"),
        (
            "readinessProbe",
            json!({"httpGet": {"port": 0}}),
            "UNSUPPORTED_FIELD",
            "readinessProbe.httpGet",
        ),
        (
            "readinessProbe",
            json!({"tcpSocket": {"port": 9}}),
            "UNSUPPORTED_FIELD",
            "readinessProbe.tcpSocket",
        ),
        ("securityContext", json!({}), "UNSUPPORTED_FIELD", "securityContext"),
        ("volumeMounts", json!([]), "UNSUPPORTED_FIELD", "volumeMounts"),
        ("lifecycle", json!({}), "UNSUPPORTED_FIELD", "lifecycle"),
        ("tty", json!(true), "UNSUPPORTED_FIELD", "tty"),
        ("workingDir", json!("x"), "INVALID_VALUE", "workingDir"),
        ("args", json!(["a\u{0}"]), "INVALID_VALUE", "args[0]"),
        (
            "resources",
            json!({"limits": {"nvidia.com/gpu": "1"}}),
            "UNSUPPORTED_FIELD",
            "resources.limits.nvidia.com/gpu",
        ),
        ("resources", json!({"limits": {"cpu": "0"}}), "INVALID_QUANTITY", "resources.limits.cpu"),
        (
            "resources",
            json!({"limits": {"cpu": "NaN"}}),
            "INVALID_QUANTITY",
            "resources.limits.cpu",
        ),
        (
            "resources",
            json!({"limits": {"memory": "1Ki"}}),
            "INVALID_QUANTITY",
            "resources.limits.memory",
        ),
        (
            "resources",
            json!({"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}),
            "INVALID_QUANTITY",
            "resources.requests.cpu",
        ),
    ] {
        let got = found(&with(&format!("{CONTAINER}/{name}"), value.clone()));
        assert_eq!(got, [(code.to_owned(), field(at))], "{name} {value}");
    }
}

#[test]
fn a_container_without_a_name_is_written_without_one() {
    let spec = json!({"containers": [{"image": "x"}, {"image": "y", "name": "z"}]});
    let read: crate::knative::RevisionSpec = serde_json::from_value(spec.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), spec);
}
