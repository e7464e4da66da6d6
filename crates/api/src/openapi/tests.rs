use super::*;

fn parts(json: &Value, field: &str) -> usize {
    json[field].as_object().unwrap().len()
}

#[test]
fn the_protobuf_form_says_what_the_json_form_says() {
    let json = v2::document();
    let bytes = gnostic::encode(&json);
    let (paths, definitions) = gnostic::count(&bytes);
    assert_eq!(paths, parts(&json, "paths"));
    assert_eq!(definitions, parts(&json, "definitions"));
}

#[test]
fn groups_are_named_as_kubernetes_names_them() {
    for (group, want) in [
        ("", "CoreV1"),
        ("coordination.k8s.io", "CoordinationV1"),
        ("serving.knative.dev", "ServingKnativeDevV1"),
    ] {
        assert_eq!(operations::group_name(group, "v1"), want);
    }
}

#[test]
fn protobuf_is_for_those_who_ask_first() {
    let asks = |accept: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        wants_protobuf(&headers)
    };
    assert!(asks(PROTOBUF[0]) && asks(PROTOBUF[1]));
    assert!(!asks("text/plain") && !asks("application/json"));
    assert!(!wants_protobuf(&HeaderMap::new()));
}
