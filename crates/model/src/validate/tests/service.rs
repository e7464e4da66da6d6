//! What a Service, or a Configuration, may say beside its container.

use serde_json::json;

use super::*;
use crate::knative::Configuration;

#[test]
fn defaults_make_a_valid_service() {
    let service_ = with("/spec/template/spec/containers/0/image", json!("hello"));
    assert_eq!(found(&service_), []);
    let spec = &service_.spec.template.spec;
    assert_eq!((spec.timeout_seconds, spec.container_concurrency), (Some(300), Some(80)));
    assert_eq!(service_.spec.traffic[0].latest_revision, Some(true));
    let mut again = service_.clone();
    default_service(&mut again);
    assert_eq!(again, service_, "defaults are stable");
}

#[test]
fn what_is_allowed() {
    for (at, field, value) in [
        (CONTAINER, "ports", json!([{"containerPort": 80, "name": "http1", "protocol": "TCP"}])),
        (CONTAINER, "env", json!([{"name": "A", "value": "1"}, {"name": "a.b-c_D"}])),
        (
            CONTAINER,
            "env",
            json!([{"name": "A", "valueFrom":
            {"secretKeyRef": {"name": "s", "key": "k"}}}]),
        ),
        (
            CONTAINER,
            "env",
            json!([{"name": "A", "valueFrom":
            {"configMapKeyRef": {"name": "s", "key": "k", "optional": true}}}]),
        ),
        (
            CONTAINER,
            "resources",
            json!({"limits": {"cpu": "1", "memory": "512Mi"},
            "requests": {"cpu": "25m", "memory": "32Mi"}}),
        ),
        (CONTAINER, "imagePullPolicy", json!("Always")),
        (CONTAINER, "readinessProbe", json!({"tcpSocket": {"port": 0}, "successThreshold": 1})),
        (CONTAINER, "command", json!(["/x", "$(A)"])),
        (CONTAINER, "workingDir", json!("/srv")),
        (SPEC, "containerConcurrency", json!(0)),
        (SPEC, "containerConcurrency", json!(1000)),
        (SPEC, "timeoutSeconds", json!(3600)),
        (SPEC, "terminationGracePeriodSeconds", json!(0)),
        (SPEC, "runtimeClassName", json!("ebb")),
        (SPEC, "serviceAccountName", json!("default")),
        (SPEC, "enableServiceLinks", json!(false)),
        (SPEC, "imagePullSecrets", json!([{"name": "regcred"}])),
        (
            NOTES,
            "",
            json!({"autoscaling.knative.dev/min-scale": "1",
            "autoscaling.knative.dev/maxScale": "0", "autoscaling.knative.dev/window": "6s",
            "autoscaling.knative.dev/initial-scale": "1", "example.com/free": "x",
            "run.googleapis.com/client-name": "gcloud"}),
        ),
        ("/spec/template/metadata", "name", json!("hello-v2")),
        (
            "/spec",
            "traffic",
            json!([{"revisionName": "hello-00001", "percent": 90},
            {"latestRevision": true, "percent": 10}]),
        ),
    ] {
        let pointer = if field.is_empty() { at.to_owned() } else { format!("{at}/{field}") };
        assert_eq!(found(&with(&pointer, value.clone())), [], "{pointer} {value}");
    }
}

#[test]
#[allow(clippy::too_many_lines)] // a table
fn what_is_wrong_with_a_service() {
    let (spec, template) = ("spec.template.spec.", "spec.template.metadata.");
    for (pointer, value, code, at) in [
        ("/metadata/name", json!("A"), "INVALID_NAME", "metadata.name".to_owned()),
        ("/metadata/name", json!("a".repeat(58)), "INVALID_NAME", "metadata.name".to_owned()),
        (
            "/spec/template/spec/containers",
            json!([]),
            "REQUIRED_FIELD",
            format!("{spec}containers"),
        ),
        (
            "/spec/template/spec/containers",
            json!([{"image": "a"}, {"image": "b"}]),
            "UNSUPPORTED_FIELD",
            format!("{spec}containers[1]"),
        ),
        (
            "/spec/template/spec/containerConcurrency",
            json!(-1),
            "INVALID_VALUE",
            format!("{spec}containerConcurrency"),
        ),
        (
            "/spec/template/spec/containerConcurrency",
            json!(1001),
            "INVALID_VALUE",
            format!("{spec}containerConcurrency"),
        ),
        (
            "/spec/template/spec/timeoutSeconds",
            json!(0),
            "INVALID_VALUE",
            format!("{spec}timeoutSeconds"),
        ),
        (
            "/spec/template/spec/timeoutSeconds",
            json!(3601),
            "INVALID_VALUE",
            format!("{spec}timeoutSeconds"),
        ),
        (
            "/spec/template/spec/responseStartTimeoutSeconds",
            json!(1),
            "UNSUPPORTED_FIELD",
            format!("{spec}responseStartTimeoutSeconds"),
        ),
        (
            "/spec/template/spec/idleTimeoutSeconds",
            json!(1),
            "UNSUPPORTED_FIELD",
            format!("{spec}idleTimeoutSeconds"),
        ),
        (
            "/spec/template/spec/serviceAccountName",
            json!("robot"),
            "UNSUPPORTED_FIELD",
            format!("{spec}serviceAccountName"),
        ),
        (
            "/spec/template/spec/runtimeClassName",
            json!("kata"),
            "RUNTIME_CLASS_UNKNOWN",
            format!("{spec}runtimeClassName"),
        ),
        (
            "/spec/template/spec/terminationGracePeriodSeconds",
            json!(3601),
            "INVALID_VALUE",
            format!("{spec}terminationGracePeriodSeconds"),
        ),
        (
            "/spec/template/spec/hostNetwork",
            json!(true),
            "FORBIDDEN_FIELD",
            format!("{spec}hostNetwork"),
        ),
        (
            "/spec/template/spec/volumes",
            json!([{"name": "v"}]),
            "UNSUPPORTED_FIELD",
            format!("{spec}volumes"),
        ),
        (
            "/spec/template/metadata/name",
            json!("other-1"),
            "INVALID_NAME",
            format!("{template}name"),
        ),
        (
            "/spec/template/metadata/labels",
            json!({"a b": "x"}),
            "INVALID_LABEL",
            format!("{template}labels"),
        ),
        (
            "/metadata/labels",
            json!({"networking.knative.dev/visibility": "cluster-local"}),
            "UNSUPPORTED_FIELD",
            "metadata.labels[networking.knative.dev/visibility]".to_owned(),
        ),
        (
            "/metadata/annotations",
            json!({"autoscaling.knative.dev/min-scale": "1"}),
            "INVALID_ANNOTATION",
            "metadata.annotations[autoscaling.knative.dev/min-scale]".to_owned(),
        ),
    ] {
        let got = found(&with(pointer, value.clone()));
        assert_eq!(got, [(code.to_owned(), at)], "{pointer} {value}");
    }
}

#[test]
fn configurations_have_the_rules_of_a_service() {
    let made = |value: Value| -> Configuration { serde_json::from_value(value).unwrap() };
    let named = |image: &str, name: &str| {
        made(json!({"metadata": {"name": "a"}, "spec": {"template": {"metadata": {"name": name},
            "spec": {"containers": [{"image": image}]}}}}))
    };
    let good = named("x", "a-1");
    assert_eq!(configuration(&good, None), []);
    let wrong = configuration(&named("x", "b-1"), None);
    assert_eq!(wrong[0].field.as_deref(), Some("spec.template.metadata.name"));
    let changed = configuration(&named("y", "a-1"), Some(&good));
    assert_eq!((changed.len(), changed[0].code.as_str()), (1, "IMMUTABLE_FIELD"));
    let mut long = good.clone();
    long.metadata.name = Some("a".repeat(58));
    long.spec.template.metadata = None;
    assert_eq!(configuration(&long, None)[0].code, "INVALID_NAME");
    let mut defaulted = good.clone();
    default_configuration(&mut defaulted);
    assert_eq!(defaulted.spec.template.spec.timeout_seconds, Some(300));
    assert_eq!(configuration(&defaulted, Some(&defaulted.clone())), []);
}
