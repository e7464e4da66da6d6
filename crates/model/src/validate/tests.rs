use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::knative::{Configuration, Revision, Service};

fn base() -> Value {
    json!({
        "apiVersion": "serving.knative.dev/v1", "kind": "Service",
        "metadata": {"name": "hello", "namespace": "default"},
        "spec": {"template": {"spec": {"containers": [{"image": "hello"}]}}},
    })
}

/// The base with something set at a JSON pointer below the template's spec or elsewhere.
fn with(pointer: &str, value: Value) -> Service {
    let mut object = base();
    let mut node = &mut object;
    for part in pointer.trim_start_matches('/').split('/') {
        node = match part.parse::<usize>() {
            Ok(index) => &mut node[index],
            Err(_) => &mut node[part],
        };
    }
    *node = value;
    let mut service: Service = serde_json::from_value(object).unwrap();
    default_service(&mut service);
    service
}

fn found(service_: &Service) -> Vec<(String, String)> {
    service(service_, None)
        .into_iter()
        .map(|fault| (fault.code, fault.field.unwrap_or_default()))
        .collect()
}

const SPEC: &str = "/spec/template/spec";
const CONTAINER: &str = "/spec/template/spec/containers/0";
const NOTES: &str = "/spec/template/metadata/annotations";

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
fn annotations_of_the_autoscaler() {
    for (key, value, code) in [
        ("min-scale", "-1", "INVALID_ANNOTATION"),
        ("min-scale", "1.5", "INVALID_ANNOTATION"),
        ("min-scale", "", "INVALID_ANNOTATION"),
        ("min-scale", "+1", "INVALID_ANNOTATION"),
        ("max-scale", "1000000000000", "INVALID_ANNOTATION"),
        ("maxScale", "x", "INVALID_ANNOTATION"),
        ("initial-scale", "0", "INVALID_ANNOTATION"),
        ("initial-scale", "3", "UNSUPPORTED_FIELD"),
        ("window", "5s", "INVALID_ANNOTATION"),
        ("window", "2h", "INVALID_ANNOTATION"),
        ("window", "sixty", "INVALID_ANNOTATION"),
        ("target", "10", "UNSUPPORTED_FIELD"),
        ("class", "hpa.autoscaling.knative.dev", "UNSUPPORTED_FIELD"),
    ] {
        let key = format!("autoscaling.knative.dev/{key}");
        let got = found(&with(NOTES, json!({key.clone(): value})));
        let at = format!("spec.template.metadata.annotations[{key}]");
        assert_eq!(got, [(code.to_owned(), at)], "{key}={value}");
    }
    let both = with(NOTES, json!({MIN_SCALE: "3", MAX_SCALE: "2"}));
    assert_eq!(found(&both).len(), 1);
}

#[test]
fn the_scaling_mode_of_a_service() {
    const MODE: &str = "run.googleapis.com/scalingMode";
    const COUNT: &str = "run.googleapis.com/manualInstanceCount";
    let at = |annotations: Value| found(&with("/metadata/annotations", annotations));
    for right in [
        json!({MODE: "automatic"}),
        json!({MODE: "manual", COUNT: "0"}),
        json!({MODE: "manual", COUNT: "1000"}),
        json!({"run.googleapis.com/ingress": "all"}),
    ] {
        assert_eq!(at(right.clone()), [], "{right}");
    }
    for (wrong, key) in [
        (json!({MODE: "Manual"}), MODE),
        (json!({MODE: "off", COUNT: "1"}), MODE),
        (json!({MODE: "manual"}), COUNT),
        (json!({MODE: "manual", COUNT: "1001"}), COUNT),
        (json!({MODE: "manual", COUNT: "-1"}), COUNT),
        (json!({MODE: "manual", COUNT: "+1"}), COUNT),
        (json!({MODE: "manual", COUNT: ""}), COUNT),
        (json!({MODE: "manual", COUNT: "99999999999"}), COUNT),
        (json!({COUNT: "1"}), COUNT),
        (json!({MODE: "automatic", COUNT: "1"}), COUNT),
    ] {
        let want = [("INVALID_ANNOTATION".to_owned(), format!("metadata.annotations[{key}]"))];
        assert_eq!(at(wrong.clone()), want, "{wrong}");
    }
}

#[test]
fn shares_of_traffic() {
    for (traffic, at) in [
        (json!([{"latestRevision": true, "percent": 99}]), "spec.traffic"),
        (json!([{"latestRevision": true, "percent": 101}]), "spec.traffic[0].percent"),
        (
            json!([{"latestRevision": true, "revisionName": "a-1", "percent": 100}]),
            "spec.traffic[0].latestRevision",
        ),
        (json!([{"latestRevision": false, "percent": 100}]), "spec.traffic[0].revisionName"),
        (
            json!([{"revisionName": "a", "percent": 50}, {"revisionName": "a", "percent": 50}]),
            "spec.traffic[1]",
        ),
        (json!([{"latestRevision": true, "percent": 100, "tag": "x"}]), "spec.traffic[0].tag"),
        (json!([{"latestRevision": true, "percent": 100, "url": "x"}]), "spec.traffic[0].url"),
        (json!([{"revisionName": "A", "percent": 100}]), "spec.traffic[0].revisionName"),
    ] {
        let got = found(&with("/spec/traffic", traffic.clone()));
        assert_eq!(got.first().map(|(_, field)| field.as_str()), Some(at), "{traffic}: {got:?}");
    }
    let negative = json!([{"revisionName": "a", "percent": 110}, {"latestRevision": true,
        "percent": -10}]);
    assert_eq!(found(&with("/spec/traffic", negative)).len(), 2);
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

#[test]
fn a_container_without_a_name_is_written_without_one() {
    let spec = json!({"containers": [{"image": "x"}, {"image": "y", "name": "z"}]});
    let read: crate::knative::RevisionSpec = serde_json::from_value(spec.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), spec);
}

#[test]
fn shares_of_a_route() {
    for (traffic, at) in [
        (json!([{"configurationName": "a", "percent": 100}]), None),
        (
            json!([{"configurationName": "a", "percent": 60}, {"configurationName": "b",
            "latestRevision": true, "percent": 30}, {"revisionName": "c-1", "percent": 10}]),
            None,
        ),
        (json!([]), Some("spec.traffic")),
        (json!([{"percent": 100}]), Some("spec.traffic[0]")),
        (
            json!([{"configurationName": "a", "revisionName": "b", "percent": 100}]),
            Some("spec.traffic[0]"),
        ),
        (
            json!([{"revisionName": "a", "latestRevision": true, "percent": 100}]),
            Some("spec.traffic[0].latestRevision"),
        ),
        (
            json!([{"configurationName": "a", "latestRevision": false, "percent": 100}]),
            Some("spec.traffic[0].latestRevision"),
        ),
        (
            json!([{"configurationName": "a", "percent": 50}, {"configurationName": "a",
            "percent": 50}]),
            Some("spec.traffic[1]"),
        ),
        (
            json!([{"configurationName": "a", "percent": 100, "tag": "x"}]),
            Some("spec.traffic[0].tag"),
        ),
    ] {
        let value = json!({"metadata": {"name": "a"}, "spec": {"traffic": traffic}});
        let faults = route(&serde_json::from_value(value).unwrap(), None);
        assert_eq!(faults.first().and_then(|f| f.field.as_deref()), at, "{traffic}: {faults:?}");
    }
}

#[test]
fn a_revision_does_not_change() {
    let made = |value: Value| -> Revision { serde_json::from_value(value).unwrap() };
    let old = made(json!({"metadata": {"labels": {"serving.knative.dev/service": "a"}}}));
    let mut new = old.clone();
    new.metadata.labels.as_mut().unwrap().insert("team".to_owned(), "b".to_owned());
    assert_eq!(revision(&new, &old), []);
    new.spec.timeout_seconds = Some(1);
    new.metadata.labels = None;
    let fields: Vec<_> = revision(&new, &old).into_iter().map(|f| (f.code, f.field)).collect();
    let want = |field: &str| ("REVISION_IMMUTABLE".to_owned(), Some(field.to_owned()));
    assert_eq!(fields, [want("spec"), want("metadata.labels")]);
}

#[test]
fn what_may_not_change() {
    let named = |image: &str| {
        let mut service = with(CONTAINER, json!({"image": image}));
        let metadata = service.spec.template.metadata.get_or_insert_default();
        metadata.name = Some("hello-v1".to_owned());
        service
    };
    assert!(service(&named("a"), Some(&named("a"))).is_empty());
    let faults = service(&named("b"), Some(&named("a")));
    assert_eq!((faults.len(), faults[0].code.as_str()), (1, "IMMUTABLE_FIELD"));
    let by = |creator: &str| {
        with("/metadata/annotations", json!({"serving.knative.dev/creator": creator}))
    };
    assert_eq!(service(&by("a"), Some(&by("b")))[0].code, "IMMUTABLE_FIELD");
}

#[test]
fn config_maps_and_secrets() {
    let map = |value: Value| -> ConfigMap { serde_json::from_value(value).unwrap() };
    let codes = |faults: Vec<crate::Fault>| -> Vec<String> {
        faults.into_iter().map(|fault| fault.code).collect()
    };
    assert_eq!(codes(config_map(&map(json!({"data": {"a.b_c-D": "x"}})), None)), [""; 0]);
    for key in ["", "a/b", "..", "..a", ".", &"a".repeat(254)] {
        let map = map(json!({"data": {key: "x"}}));
        assert_eq!(codes(config_map(&map, None)), ["INVALID_NAME"], "{key}");
    }
    let twice = map(json!({"data": {"a": "x"}, "binaryData": {"a": "eA=="}}));
    assert_eq!(codes(config_map(&twice, None)), ["DUPLICATE_KEY"]);
    let fixed = map(json!({"data": {"a": "x"}, "immutable": true}));
    let changed = map(json!({"data": {"a": "y"}}));
    assert_eq!(codes(config_map(&changed, Some(&fixed))), ["IMMUTABLE_FIELD"; 2]);

    let secret_ = |value: Value| -> Secret { serde_json::from_value(value).unwrap() };
    let docker = |data: Value| {
        secret_(json!({"type": "kubernetes.io/dockerconfigjson",
        "data": data}))
    };
    assert_eq!(codes(secret(&docker(json!({".dockerconfigjson": "e30="})), None)), [""; 0]);
    assert_eq!(codes(secret(&docker(json!({})), None)), ["REQUIRED_FIELD"]);
    assert_eq!(
        codes(secret(&docker(json!({".dockerconfigjson": "eA=="})), None)),
        ["INVALID_VALUE"]
    );
    let opaque = secret_(json!({"type": "Opaque"}));
    assert_eq!(codes(secret(&secret_(json!({"type": "x"})), Some(&opaque))), ["IMMUTABLE_FIELD"]);
}

#[test]
fn labels_and_keys() {
    for good in ["a", "a.b/c", "A_b-c.D", "example.com/x"] {
        assert!(metadata::key(good, "f").is_ok(), "{good}");
    }
    for bad in ["", "/", "a/", "/a", "a/b/c", "a b", "-a", "é", "A.com/x", &"a".repeat(64)] {
        assert!(metadata::key(bad, "f").is_err(), "{bad}");
    }
    assert_eq!(metadata::labels(&[("a", ""), ("b", "B-1.x_y")], "l"), []);
    assert_eq!(metadata::labels(&[("a", "-"), ("b", "ä")], "l").len(), 2);
    assert_eq!(metadata::annotations(&[("a", &"x".repeat(300 << 10))], "l").len(), 1);
}

#[test]
fn durations_as_in_go() {
    for (text, millis) in [
        ("0", 0),
        ("60s", 60_000),
        ("1m30s", 90_000),
        ("1.5h", 5_400_000),
        ("500ms", 500),
        (".5s", 500),
        ("1h0m0s", 3_600_000),
    ] {
        assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
    }
    for bad in ["", "1", "s", "-1s", "1 s", "1d", "1.2.3s", ".s", "99999999999999999999h"] {
        assert_eq!(parse_duration(bad), None, "{bad}");
    }
}

/// Any JSON, with the field names that matter more likely.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "[0-9.]{1,4}(m|Mi|s|h)?".prop_map(Value::from),
    ];
    let name = prop_oneof![
        Just("metadata"),
        Just("name"),
        Just("spec"),
        Just("template"),
        Just("containers"),
        Just("image"),
        Just("ports"),
        Just("containerPort"),
        Just("env"),
        Just("valueFrom"),
        Just("resources"),
        Just("limits"),
        Just("cpu"),
        Just("memory"),
        Just("traffic"),
        Just("percent"),
        Just("annotations"),
        Just(WINDOW),
        Just(MIN_SCALE),
        Just("status"),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6).prop_map(|entries| {
                entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_answered(value in any_json()) {
        if let Ok(mut service_) = serde_json::from_value::<Service>(value) {
            let _ = service(&service_, None);
            default_service(&mut service_);
            let once = service_.clone();
            default_service(&mut service_);
            prop_assert_eq!(&once, &service_);
            for fault in service(&service_, Some(&once)) {
                prop_assert!(fault.field.is_some(), "{:?}", fault);
            }
        }
    }

    #[test]
    fn any_template_is_answered(spec in any_json(), notes in any_json()) {
        let value = json!({"metadata": {"name": "a"}, "spec": {"template":
            {"metadata": {"annotations": notes}, "spec": spec}}});
        if let Ok(service_) = serde_json::from_value::<Service>(value) {
            let _ = service(&service_, None);
        }
    }

    #[test]
    fn any_duration_is_answered(text in "[0-9.nuµmsh]{0,70}") {
        let _ = parse_duration(&text);
    }
}
