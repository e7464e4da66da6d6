use std::fmt::Write as _;

use ebb_model::k8s::api::core::v1::Secret;
use ebb_model::knative::Service;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn code(failure: &Failure) -> String {
    failure.to_json()["details"]["causes"][0]["reason"].as_str().unwrap().to_owned()
}

#[test]
fn hostile_json_is_named() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let objects = "{\"a\":".repeat(70);
    for (text, want) in [
        ("", "INVALID_JSON"),
        ("{", "INVALID_JSON"),
        ("{} x", "INVALID_JSON"),
        ("\u{feff}{}", "INVALID_JSON"),
        ("{\"a\": \"\\ud800\"}", "INVALID_JSON"),
        ("{\"a\": 1e400}", "INVALID_NUMBER"),
        ("{\"a\": NaN}", "INVALID_JSON"),
        (&deep, "JSON_TOO_DEEP"),
        (&objects, "JSON_TOO_DEEP"),
    ] {
        let failure = json(text.as_bytes()).unwrap_err();
        assert_eq!(code(&failure), want, "{text:.40}");
    }
    assert_eq!(code(&json(b"{\"a\": \"\xff\"}").unwrap_err()), "INVALID_JSON");
    let message = json(b"{\n\"a\": x}").unwrap_err().message.clone();
    assert!(message.contains("line 2 column 6"), "{message}");
}

#[test]
fn hostile_yaml_is_named() {
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for n in 1..12 {
        let p = n - 1;
        let _ = writeln!(bomb, "a{n}: &a{n} [*a{p},*a{p},*a{p},*a{p},*a{p},*a{p},*a{p}]");
    }
    for (text, want) in [
        ("a: [", "INVALID_YAML"),
        ("a: 1\n---\nb: 2", "INVALID_YAML"),
        ("a: !object x\n", "UNSUPPORTED_TAG"),
        ("a: .nan", "INVALID_NUMBER"),
        ("a:\n\t- b", "INVALID_YAML"),
        (&bomb, "MANIFEST_TOO_COMPLEX"),
    ] {
        let failure = yaml(text.as_bytes()).unwrap_err();
        assert_eq!(code(&failure), want, "{text:.40}: {}", failure.message);
    }
    assert_eq!(yaml(b"a: no\nb: 010").unwrap().value, json!({"a": "no", "b": "010"}));
}

#[test]
fn duplicates_are_remembered() {
    let tree = json(br#"{"a":{"b":1,"b":2},"c":[{"d":1,"d":1}],"a2":1}"#).unwrap();
    assert_eq!(tree.duplicates, ["a.b", "c[0].d"]);
    assert_eq!(tree.value["a"]["b"], 2);
}

#[test]
fn what_is_wrong_many_times_is_named_a_hundred_times_and_shortly() {
    let key = "k".repeat(100_000);
    let twice = "\"a\":1,".repeat(2_000);
    let tree = json(format!("{{\"{key}\":{{{twice}\"b\":1}}}}").as_bytes()).unwrap();
    assert_eq!(tree.duplicates.len(), 100);
    assert!(tree.duplicates.iter().all(|path| path.len() < 1_100));
    let twice = "  a: 1\n".repeat(2_000);
    let tree = yaml(format!("? {key}\n:\n{twice}").as_bytes()).unwrap();
    assert_eq!(tree.duplicates.len(), 100);
    assert!(tree.duplicates.iter().all(|path| path.len() < 1_100));
    let many: serde_json::Map<String, Value> =
        (0..2_000).map(|n| (format!("é{n}{key:.2000}"), serde_json::json!(1))).collect();
    let decoded = typed::<Service>(Value::Object(many)).unwrap();
    assert_eq!(decoded.unknown.len(), 100);
    assert!(decoded.unknown.iter().all(|path| path.len() < 1_100));
}

/// Each anchor keeps a copy of what it names, and each of these is part of all those around it.
#[test]
fn anchors_within_anchors_are_counted() {
    let nested = |levels: usize, inside: &str| -> String {
        let open: Vec<String> = (0..levels).map(|level| format!("&a{level} [")).collect();
        format!("{}{inside}{}", open.concat(), "]".repeat(levels))
    };
    let values = "{},".repeat(100_000);
    assert_eq!(code(&yaml(nested(50, &values).as_bytes()).unwrap_err()), "MANIFEST_TOO_COMPLEX");
    assert!(yaml(nested(2, &values).as_bytes()).is_ok());
    assert!(yaml(nested(50, "1").as_bytes()).is_ok());
}

#[test]
fn unknown_fields_have_kubernetes_paths() {
    let service = json!({
        "apiVersion": "serving.knative.dev/v1", "kind": "Service", "nope": 1,
        "metadata": {"name": "a", "labels": {"free": "text"}, "nope": {}},
        "spec": {"nope": 1, "template": {"spec": {
            "containers": [{"image": "x", "imagee": "y", "ports": [{"containerport": 1}]}],
        }}},
    });
    let mut unknown = typed::<Service>(service).unwrap().unknown;
    unknown.sort();
    assert_eq!(
        unknown,
        [
            "metadata.nope",
            "nope",
            "spec.nope",
            "spec.template.spec.containers[0].imagee",
            "spec.template.spec.containers[0].ports[0].containerport",
        ]
    );
    let secret = json!({"data": {"free": "eA=="}, "type": "Opaque", "dta": {}});
    assert_eq!(typed::<Secret>(secret).unwrap().unknown, ["dta"]);
}

#[test]
fn a_wrong_type_names_its_field() {
    let service = json!({"spec": {"template": {"spec": {"containerConcurrency": "1"}}}});
    let failure = typed::<Service>(service).unwrap_err();
    assert_eq!(code(&failure), "INVALID_NUMBER");
    let message = &failure.message;
    assert!(message.contains("spec.template.spec.containerConcurrency"), "{message}");
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "\\PC{0,60}|[\\[\\]{}\":,0-9a-z\\\\ .\n&*!-]{0,60}") {
        for tree in [json(text.as_bytes()), yaml(text.as_bytes())].into_iter().flatten() {
            let _ = typed::<Service>(tree.value.clone());
            let _ = typed::<Secret>(tree.value);
        }
    }

    #[test]
    fn what_serde_reads_is_read_the_same(numbers in prop::collection::vec(any::<i64>(), 0..5),
        text in "\\PC{0,20}") {
        let value = json!({"a": numbers, "b": {"c": text, "d": null, "e": true, "f": 1.5}});
        let tree = super::json(value.to_string().as_bytes()).unwrap();
        prop_assert_eq!(tree.value, value);
        prop_assert!(tree.duplicates.is_empty());
    }
}
