//! Names, labels and keys of data.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use serde_json::{Value, json};

use super::*;

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
fn names_of_namespaces() {
    for name in ["default", "shop", "1a", "kube", "kubernetes", "systems", "ebbing", "my-admin"] {
        assert_eq!(namespace(name, true), None, "{name}");
    }
    for name in ["system", "admin", "ebb", "kube-system", "kube-x", "ebb-system", "_", "A", ""] {
        let fault = namespace(name, true).unwrap();
        let at = (fault.code.as_str(), fault.field.as_deref());
        assert_eq!(at, ("INVALID_NAME", Some("metadata.name")), "{name}");
    }
    assert_eq!(namespace("kube-system", false), None, "it was there before");
    assert!(namespace("A.b", false).is_some());
}
